"""Holds what a proxy recorded against what its callers got, byte for byte."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a caller of ``sseload -o`` got.

    :ivar id: the answer's ``x-clawproxy-id``.
    :ivar whole: whether it came to its end.
    :ivar begun: ``time.monotonic()`` when it was asked for.
    :ivar ended: when it was over.
    """

    id: str
    whole: bool
    status: int
    begun: float
    ended: float
    body: bytes


def read(path: Path) -> list[Answer]:
    """Read what ``sseload -o`` wrote."""
    found = []
    with path.open("rb") as file:
        while line := file.readline():
            id, how, status, begun, ended, length = line.decode().split()
            body = file.read(int(length))
            file.read(1)
            whole = how == "whole"
            found.append(Answer(id, whole, int(status), int(begun) / 1e9, int(ended) / 1e9, body))
    return found


class Records:
    """What a running proxy says under ``/api/``.

    :param port: the proxy's.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> bytes:
        """Ask, and try again once on a new connection."""
        for last in (False, True):
            try:
                self._connection.request("GET", path)
                answer = self._connection.getresponse()
                body = answer.read()
                break
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if last:
                    raise
        if answer.status != 200:
            raise LookupError(f"{path}: {answer.status} {body[:200]!r}")
        return body

    def body(self, id: str, which: str) -> bytes:
        """A body's exact bytes; none where there is none."""
        try:
            return self.get(f"/api/requests/{id}/{which}")
        except LookupError:
            return b""

    def final(self, id: str) -> bool:
        """Whether an exchange is there, and over."""
        try:
            return bool(json.loads(self.get(f"/api/requests/{id}"))["outcome"] != "running")
        except LookupError:
            return False

    def listed(self) -> Iterator[dict[str, Any]]:
        """Every record, newest first."""
        cursor = ""
        while True:
            page = json.loads(self.get(f"/api/requests?limit=500{cursor}"))
            yield from page["requests"]
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"

    def outcomes(self) -> dict[str, str]:
        """Every record's outcome; none while the store is away."""
        try:
            return {record["id"]: record["outcome"] for record in self.listed()}
        except (LookupError, OSError, http.client.HTTPException):
            return {}

    def settle(self, wanted: set[str], within: float) -> tuple[dict[str, str], float]:
        """Wait until all that are wanted are there and over.

        :returns: every outcome, and the seconds that it took.
        """
        begun = time.monotonic()
        while True:
            found = self.outcomes()
            late = time.monotonic() - begun
            if late > within or all(found.get(id, "running") != "running" for id in wanted):
                return found, late
            time.sleep(0.25)


@dataclass
class Comparison:
    """What came of holding records against answers.

    :ivar missing: answers without a record.
    :ivar different: answers whose record has other bytes, another outcome or another request.
    """

    expected: int = 0
    found: int = 0
    rebuilt: int = 0
    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)


def compare(
    records: Records, outcomes: dict[str, str], answers: list[Answer], request: bytes
) -> Comparison:
    """Look every answer up, and its bytes.

    :param outcomes: what :meth:`Records.settle` gave.
    :param request: the body that each caller sent.
    """
    result = Comparison(len(answers))
    for answer in answers:
        outcome = outcomes.get(answer.id)
        if outcome is None:
            result.missing.append(answer.id)
            continue
        result.found += 1
        recorded = records.body(answer.id, "response")
        if outcome != "ok":
            result.different.append(f"{answer.id} is {outcome}")
        elif recorded != answer.body:
            result.different.append(f"{answer.id}: {len(recorded)} of {len(answer.body)} bytes")
        elif records.body(answer.id, "request") != request:
            result.different.append(f"{answer.id}: another request")
        else:
            result.rebuilt += 1
    return result
