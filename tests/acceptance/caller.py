"""A caller that writes and reads bytes: nothing of an answer is hidden by a library."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.wire import Reply, replies

#: Seconds that a caller waits for bytes, on a busy machine.
PATIENCE = 20

Headers = Mapping[str, str] | Sequence[tuple[str, str]]

ANTHROPIC = {"anthropic-version": "2023-06-01", "x-api-key": "sk-caller"}
OPENAI = {"authorization": "Bearer sk-caller"}

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def message(model: str = "claude-x", **more: object) -> dict[str, object]:
    """Make a body that all paths with messages take."""
    said = [{"role": "user", "content": "hi"}]
    return {"model": model, "max_tokens": 100, "messages": said, **more}


class Connection:
    """A connection to the proxy, as a context manager.

    :param where: a port on 127.0.0.1, or the path of a Unix socket.
    """

    def __init__(self, where: int | str, seconds: float = PATIENCE) -> None:
        if isinstance(where, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(seconds)
            self.socket.connect(where)
        else:
            self.socket = socket.create_connection(("127.0.0.1", where), timeout=seconds)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.closed = False

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(
        self,
        method: str,
        target: str,
        body: bytes | object = b"",
        headers: Headers = (),
        *,
        version: str = "1.1",
    ) -> None:
        """Send a request; objects go as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in given}
        lines = [f"{method} {target} HTTP/{version}"]
        if "host" not in names:
            lines.append("Host: 127.0.0.1")
        lines += [f"{name}: {value}" for name, value in given]
        if data and "transfer-encoding" not in names:
            lines.append(f"Content-Length: {len(data)}")
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data)

    def receive(self) -> bool:
        """Take what comes next; false at the end of the connection."""
        try:
            piece = self.socket.recv(1 << 18)
        except ConnectionResetError:
            piece = b""
        self.data += piece
        self.closed = self.closed or not piece
        return bool(piece)

    def until(self, text: bytes) -> float:
        """Wait until these bytes have come; gives when, monotonic seconds."""
        while text not in self.data:
            if not self.receive():
                raise AssertionError(f"the end came before {text!r}: {self.data[-500:]!r}")
        return time.monotonic()

    def reply(self, *, head_only: bool = False) -> Reply:
        """Wait for one whole answer, or a cut one's end, and take it."""
        while not self._there(head_only) and self.receive():
            pass
        if not self.data:
            raise ConnectionError("the connection ended without an answer")
        found = replies(self.data, closed=self.closed, head_only=head_only)
        assert len(found) == 1, found
        self.data = b""
        return found[0]

    def _there(self, head_only: bool) -> bool:
        head = self.data.find(b"\r\n\r\n")
        if head < 0 or head_only:
            return head >= 0
        length = _LENGTH.search(self.data, 0, head + 4)
        if length is not None:
            return len(self.data) >= head + 4 + int(length[1])
        return replies(self.data)[0].whole

    def end(self) -> None:
        """Wait for the end of the connection."""
        while self.receive():
            pass


def ask(
    where: int | str,
    method: str,
    target: str,
    body: bytes | object = b"",
    headers: Headers = (),
) -> Reply:
    """Send one request on a connection of its own and give its answer."""
    with Connection(where) as connection:
        connection.send(method, target, body, headers)
        return connection.reply(head_only=method == "HEAD")


def post(where: int | str, target: str, body: bytes | object, headers: Headers = ()) -> Reply:
    """POST, on a connection of its own."""
    return ask(where, "POST", target, body, headers)


def parsed(reply: Reply) -> Any:
    """Give an answer's JSON."""
    return json.loads(reply.body)
