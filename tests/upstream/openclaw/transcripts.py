"""Recorded conversations with real gateways, and a gateway in memory that has them again:
:class:`Player`."""

from __future__ import annotations

import gzip
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.upstream.openclaw.gateway import Connection, Gateway, JSONObject

DATA = Path(__file__).parents[2] / "data" / "openclaw"

STARTS = frozenset({"agent", "chat.send"})


@frozen
class Recording:
    """One scenario of one gateway version."""

    version: str
    scenario: str
    frames: tuple[tuple[str, JSONObject], ...]

    @property
    def name(self) -> str:
        """How failures call it."""
        return f"{self.version}__{self.scenario}"

    def responses(self, method: str) -> list[JSONObject]:
        """The good answers to a method, in order."""
        ids = [f["id"] for d, f in self.frames if d == "out" and f.get("method") == method]
        return [f["payload"] for d, f in self.frames if f.get("id") in ids and f.get("ok")]


def recordings() -> Iterator[Recording]:
    """Read all of them."""
    for path in sorted(DATA.glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            for line in lines:
                entry = json.loads(line)
                frames = tuple((direction, frame) for direction, frame in entry["frames"])
                yield Recording(path.name.removesuffix(".jsonl.gz"), entry["scenario"], frames)


class Player(Gateway):
    """Have a recorded conversation once more, with a client that names its requests, runs and
    sessions itself.

    Where the recorded client started a run, aborted one or decided an approval, the player waits
    for this client to do so, and :attr:`wanted` says what; other requests of the recorded client
    are left out, and so are their answers.

    :param recording: what to play; each connection gets the next one.
    :param without: methods that ``hello-ok`` does not name, to have a client take another way.
    """

    def __init__(self, *recording: Recording, without: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._recordings = deque(recording)
        self._without = without
        self._frames: deque[tuple[str, JSONObject]] = deque()
        self._names: dict[str, str] = {}
        self._ids: dict[str | None, str] = {}
        self._left_out: set[str] = set()
        self._runs: set[str] = set()
        self._first = False
        self.own = {"connect", "chat.history", *STARTS}
        self.wanted: JSONObject | None = None
        self.close_code: int | None = None

    def upgrading(self, connection: Connection) -> None:
        connection.accept()
        if self._recordings:
            self._frames = deque(self._recordings.popleft().frames)
            self._first = True
            self.go_on()

    def go_on(self) -> None:
        """Say all up to the next thing that the client has to do."""
        self.wanted = None
        while self._frames:
            direction, frame = self._frames[0]
            if direction == "out":
                if self._awaited(frame):
                    self.wanted = frame
                    return
                self._left_out.add(frame.get("id", ""))
                self._frames.popleft()
                continue
            self._frames.popleft()
            if "_ws_close" in frame:
                code = frame["_ws_close"]["code"]
                self.close_code = code
                if code != 1000:
                    self.last.close(code, frame["_ws_close"]["reason"])
            elif frame.get("id") not in self._left_out:
                self.last.text(self._renamed(frame))

    def _awaited(self, frame: JSONObject) -> bool:
        method = frame.get("method")
        if self._first and "id" in frame:
            # Whatever the recorded client began with, this one sends connect.
            return True
        if method not in self.own:
            return False
        key = frame.get("params", {}).get("idempotencyKey", "")
        if method in STARTS and (key in self._runs or frame["params"]["message"] == "/stop"):
            return False
        return "params" in frame

    def _renamed(self, frame: JSONObject) -> str:
        if frame.get("payload", {}) and isinstance(frame["payload"], dict):
            features = frame["payload"].get("features")
            if features:
                kept = [m for m in features["methods"] if m not in self._without]
                frame = {**frame, "payload": {**frame["payload"], "features": {"methods": kept}}}
        # The recorded client sometimes used one name for a request and its run.
        request_id = frame.get("id")
        text = json.dumps({**frame, "id": None})
        for old, new in self._names.items():
            text = text.replace(json.dumps(old), json.dumps(new))
        return json.dumps({**json.loads(text), "id": self._ids.get(request_id, request_id)})

    def requested(self, connection: Connection, frame: JSONObject) -> None:
        method = frame["method"]
        if method == "agents.list":
            agents = [{"id": name} for name in ("main", "dev", "nosuch")]
            connection.answer(frame, {"defaultId": "main", "agents": agents})
        elif method == "exec.approval.list":
            connection.answer(frame, [])
        elif method == "connect" and (self.wanted is None or not self._first):
            # The recorded client never sent it, and was not answered.
            return
        elif self.wanted is not None and (self._first or self.wanted["method"] == method):
            self._first = False
            self._match(self.wanted, frame)
            self._frames.popleft()
            self.go_on()
        elif method == "chat.send":
            # Asked once more with the same key, a gateway tells that the run is over.
            connection.answer(frame, {"status": "ok"})
        else:
            connection.answer(frame, None, code="INVALID_REQUEST", message="not recorded")

    def _match(self, recorded: JSONObject, frame: JSONObject) -> None:
        self._ids[recorded["id"]] = frame["id"]
        theirs, ours = recorded.get("params") or {}, frame.get("params") or {}
        for member in ("idempotencyKey", "sessionKey", "runId"):
            if isinstance(theirs.get(member), str) and isinstance(ours.get(member), str):
                self._names[theirs[member]] = ours[member]
        if recorded["method"] in STARTS:
            self._runs.add(theirs.get("idempotencyKey", ""))

    def skip(self) -> None:
        """Leave out what is wanted: this client does not do that."""
        _, frame = self._frames.popleft()
        self._left_out.add(frame.get("id", ""))
        self.go_on()


def params(frame: JSONObject | None) -> dict[str, Any]:
    """The parameters of a wanted request."""
    return dict((frame or {}).get("params") or {})
