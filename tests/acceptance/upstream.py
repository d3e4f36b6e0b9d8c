"""An upstream in threads that answers in bytes: what a test scripts is what goes over the wire."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class End(Enum):
    """What a script may end with, in place of waiting for the next request."""

    RESET = auto()
    CLOSE = auto()
    HANG = auto()


Step = bytes | float | End
"""Bytes to write as they are, seconds to wait, or an end."""

JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True)
class Asked:
    """A request as it arrived.

    :ivar headers: names in lower case, in order.
    :ivar connection: the number of the connection it came on.
    :ivar at: when its last byte had come, monotonic seconds.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    at: float

    def all(self, name: str) -> list[str]:
        """Give a header's values in order."""
        return [value for found, value in self.headers if found == name]

    def header(self, name: str) -> str | None:
        """Give a header's first value."""
        return next(iter(self.all(name)), None)

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


Script = Callable[[Asked], Iterable[Step]]


def answer(
    body: bytes | dict[str, Any] | list[Any] = b"{}",
    status: int = 200,
    headers: Sequence[tuple[str, str]] = JSON,
) -> list[Step]:
    """Answer with a whole body of known length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Some Phrase", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Content-Length: {len(data)}")
    return ["\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data]


def stream(
    *pieces: Step,
    headers: Sequence[tuple[str, str]] = (),
    content_type: str = "text/event-stream",
    end: Step = b"0\r\n\r\n",
) -> list[Step]:
    """Stream pieces, each a chunk of its own; numbers between them are pauses in seconds."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in headers]
    steps: list[Step] = ["\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"]
    for piece in pieces:
        steps.append(b"%x\r\n%s\r\n" % (len(piece), piece) if isinstance(piece, bytes) else piece)
    return [*steps, end]


@dataclass
class Upstream:
    """A server on a free loopback port, as a context manager.

    :ivar script: says how each request is answered; may be replaced at any time.
    :ivar asked: every request, in order of arrival.
    :ivar left: when connections ended from the other side while a script ran, monotonic seconds.
    """

    script: Script = field(default=lambda _: answer())
    asked: list[Asked] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __enter__(self) -> Upstream:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Listen no more, if it still does."""
        if not self._thread.is_alive():
            return
        # Closing alone would leave the thread in accept(), and the port with it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What to give the proxy as ``base_url``."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self, *scripts: Iterable[Step]) -> None:
        """Forget what was asked; give these answers in turn, and the last one from then on."""
        left = [list(each) for each in scripts]
        self.asked.clear()
        self.left.clear()
        self.script = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            arguments = (connection, self.connections)
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as reader:
            try:
                while (asked := _read(reader, number)) is not None:
                    self.asked.append(asked)
                    if not self._play(connection, self.script(asked)):
                        return
            except OSError:
                self.left.append(time.monotonic())

    def _play(self, connection: socket.socket, steps: Iterable[Step]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step is End.CLOSE:
                return False
            elif step is End.RESET:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            else:
                seconds = 600.0 if isinstance(step, End) else step
                if select.select([connection], [], [], seconds)[0]:
                    # No request may come while one is answered: this is the other side's end.
                    self.left.append(time.monotonic())
                    return False
        return True


def _read(reader: Any, number: int) -> Asked | None:
    if reader.peek(1)[:1] == b"\x16":
        return None  # A TLS handshake, which is no request.
    first = reader.readline()
    if not first:
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers = []
    while (line := reader.readline().rstrip(b"\r\n")) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.lower(), value.strip()))
    found = dict(headers)
    if "chunked" in found.get("transfer-encoding", ""):
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(found.get("content-length", 0)))
    return Asked(method, target, headers, body, number, time.monotonic())
