"""A wire between a client and the proxy that keeps every byte of both directions.

What a program that cannot be asked really sent and read: :class:`Wiretap` stands where the client
looks for the API, passes everything on untouched, and reads the exchanges out of it afterwards.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from tests.integration.upstream import Asked
from tests.wire import Reply, replies

_PIECE = 65536


@dataclass(frozen=True)
class Overheard:
    """A request and what its client read."""

    asked: Asked
    reply: Reply


@dataclass
class _Line:
    """One connection."""

    ends: tuple[socket.socket, socket.socket]
    sent: bytearray = field(default_factory=bytearray)
    read: bytearray = field(default_factory=bytearray)


class Wiretap:
    """A TCP relay on a free loopback port, as a context manager.

    :param port: the proxy's, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._lines: list[_Line] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def __enter__(self) -> Wiretap:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # wakes a thread that waits in accept
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            for end in line.ends:
                end.close()

    @property
    def url(self) -> str:
        """What to give a client as the API's address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def exchanges(self) -> list[Overheard]:
        """Give every exchange, connection by connection in the order of their beginning."""
        return [each for line in self._lines for each in _read(bytes(line.sent), bytes(line.read))]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            proxy = socket.create_connection(("127.0.0.1", self._port))
            for end in (client, proxy):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = _Line((client, proxy))
            self._lines.append(line)
            for source, target, kept in (
                (client, proxy, line.sent),
                (proxy, client, line.read),
            ):
                threading.Thread(target=_pump, args=(source, target, kept), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    """Pass on until either side has enough, and the end as well."""
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE):
            kept += data
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _read(sent: bytes, read: bytes) -> list[Overheard]:
    asked = []
    while sent:
        request, sent = _request(sent)
        asked.append(request)
    only_heads = bool(asked) and all(each.method == "HEAD" for each in asked)
    answers = replies(read, closed=True, head_only=only_heads)
    return [Overheard(*pair) for pair in zip(asked, answers, strict=False)]


def _request(data: bytes) -> tuple[Asked, bytes]:
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = [line.partition(":") for line in lines]
    headers = [(name, value.strip()) for name, _, value in pairs]
    lower = {name.lower(): value for name, value in headers}
    if "chunked" in lower.get("transfer-encoding", ""):
        # Framed as answers are: read it as the body of one.
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        end = rest.index(b"\r\n0\r\n\r\n") + 7 if not rest.startswith(b"0\r\n\r\n") else 5
        [reply] = replies(answer + rest[:end])
        return Asked(method, target, headers, reply.body), rest[end:]
    size = int(lower.get("content-length", "0"))
    return Asked(method, target, headers, rest[:size]), rest[size:]
