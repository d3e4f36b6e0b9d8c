"""Sessions that went through a real proxy: told by :mod:`tests.dashboard.stories`, asked by a client, answered by
an upstream that says what the story says.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from clawproxy.core.record import Exchange
from tests.dashboard.stories import JSON, Teller
from tests.integration.proxy import PATIENCE, Proxy
from tests.integration.records import Records
from tests.integration.upstream import Answer, Asked, Piece

#: The header by which the upstream knows which part of a story it is asked for.
PART = "x-story-part"


@define
class Part:
    """An exchange of a story, before it happens.

    :ivar pieces: milliseconds after the request, and bytes.
    """

    body: bytes
    pieces: Sequence[tuple[float, bytes]]
    headers: list[tuple[str, str]]
    kind: str
    method: str
    path: str
    status: int
    outcome: str
    agent: str


@define
class Script(Teller):
    """A teller whose story is still to be acted."""

    parts: list[Part] = field(factory=list)

    def exchange(
        self,
        request: JSON | bytes,
        pieces: Sequence[tuple[float, bytes]],
        *,
        headers: Sequence[tuple[str, str]] = (),
        kind: str = "text/event-stream",
        **fields: Any,
    ) -> Exchange:
        """Note an exchange; the recorded one that it gives is what a teller makes of it.

        One that the proxy answers by itself is left out.
        """
        told = Teller.exchange(self, request, pieces, headers=headers, kind=kind, **fields)
        path = told.path + ("?beta=true" if fields.get("query") else "")
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        part = Part(
            body=body,
            pieces=list(pieces),
            headers=list(headers),
            kind=kind,
            method=told.method,
            path=path,
            status=told.status or 200,
            outcome=told.outcome,
            agent=told.client.user_agent or "",
        )
        if told.path != "/v1/models":
            self.parts.append(part)
        return told


class Play:
    """Acts the parts of a script: the upstream's side of them, and the client's.

    :param pace: how many seconds pass for each that the script has; 0 is without a pause.
    """

    def __init__(self, parts: Sequence[Part], pace: float = 0) -> None:
        self.parts = parts
        self._pace = pace
        self._left = [threading.Event() for _ in parts]

    def answer(self, asked: Asked) -> Answer:
        """The upstream's side."""
        number = int(asked.header(PART) or 0)
        part = self.parts[number]
        pieces: list[Piece] = []
        last = 0.0
        for at, data in part.pieces:
            if self._pace:
                pieces.append((at - last) / 1000 * self._pace)
            pieces.append(data)
            last = at
        gone = part.outcome == "client_gone"
        if gone:
            pieces.append(self._left[number])
        status = 200 if gone else part.status
        broken = part.outcome == "error" and status == 200
        return Answer(pieces, status, [("content-type", part.kind)], cut=broken)

    def ask(self, proxy: Proxy, number: int) -> str:
        """The client's side of one part; gives the proxy's id of the exchange."""
        part = self.parts[number]
        headers = {
            "content-type": "application/json",
            "user-agent": part.agent,
            "x-api-key": "sk-ant-mine",
            "anthropic-version": "2023-06-01",
            **dict(part.headers),
            PART: str(number),
        }
        if not part.path.startswith("/v1/me") and part.method == "POST":
            headers["authorization"] = "Bearer sk-mine"
            del headers["x-api-key"], headers["anthropic-version"]
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        try:
            connection.request(part.method, part.path, part.body or None, headers)
            answer = connection.getresponse()
            if part.outcome == "client_gone":
                answer.read(sum(len(data) for _, data in part.pieces))
                answer.close()  # else it would keep the connection open
            else:
                self._read(answer, part)
        finally:
            connection.close()
        return answer.headers["x-clawproxy-id"]

    def _read(self, answer: http.client.HTTPResponse, part: Part) -> None:
        try:
            answer.read()
        except (http.client.IncompleteRead, ConnectionError):
            if part.outcome != "error":
                raise

    def act(self, proxy: Proxy) -> list[str]:
        """Act all parts, one after the other; gives the exchanges' ids once all are recorded."""
        ids = [self.ask(proxy, number) for number in range(len(self.parts))]
        recorded(proxy, ids)
        self.end()
        return ids

    def end(self) -> None:
        """Let the upstream go on where a caller has left it."""
        for event in self._left:
            event.set()


def recorded(proxy: Proxy, ids: Sequence[str]) -> None:
    """Wait until these exchanges are in the store, finished."""
    wanted = set(ids)
    deadline = time.monotonic() + PATIENCE
    while wanted - {each["id"] for each in Records(proxy).all(1)}:
        if time.monotonic() > deadline:
            raise AssertionError(f"not recorded: {wanted}\n{proxy.log}")
        time.sleep(0.1)
