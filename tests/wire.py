"""HTTP/1.1 as bytes: what tests write as an upstream, and how they read what a caller gets.

Deliberately not made of the program's own parts, and strict: bytes that are no answer raise.
"""

from __future__ import annotations

from dataclasses import dataclass

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
ASK = b'{"model":"claude-x","messages":[],"stream":true}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def chunk(data: bytes) -> bytes:
    """Frame a piece."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class Reply:
    """An answer as its caller reads it.

    :ivar headers: names in lower case, in order.
    :ivar whole: it ended as its framing says; false where it was cut.
    """

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool

    def all(self, name: str) -> list[str]:
        """Give a header's values in order."""
        return [value for found, value in self.headers if found == name]

    def __getitem__(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None


def replies(data: bytes, *, closed: bool = False, head_only: bool = False) -> list[Reply]:
    """Read all answers of a connection.

    :param closed: the connection has ended, which ends a body without a length.
    :param head_only: they answer HEAD requests.
    :raise ValueError: for bytes that are no answer.
    """
    found = []
    while data:
        reply, data = first_reply(data, closed=closed, head_only=head_only)
        found.append(reply)
    return found


def first_reply(
    data: bytes, *, closed: bool = False, head_only: bool = False
) -> tuple[Reply, bytes]:
    """Read one answer, and give the bytes behind it; otherwise as :func:`replies`."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError(f"no whole head in {data[:200]!r}")
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *reason = first.split(" ", 2)
    if not version.startswith("HTTP/"):
        raise ValueError(f"not a status line: {first!r}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"not a header line: {line!r}")
        headers.append((name.lower(), value.strip()))
    reply = Reply(version, int(status), "".join(reason), headers, b"", True)
    if head_only or reply.status in (204, 304) or 100 <= reply.status < 200:
        return reply, rest
    if reply["transfer-encoding"] == "chunked":
        if reply["content-length"] is not None:
            raise ValueError("both Content-Length and Transfer-Encoding")
        reply.body, reply.whole, rest = _chunks(rest)
        return reply, rest
    length = reply["content-length"]
    if length is None:
        reply.body, reply.whole = rest, closed
        return reply, b""
    size = int(length)
    reply.body, reply.whole = rest[:size], len(rest) >= size
    return reply, rest[size:]


def _chunks(data: bytes) -> tuple[bytes, bool, bytes]:
    body: list[bytes] = []
    while True:
        line, separator, rest = data.partition(b"\r\n")
        if not separator:
            return b"".join(body), False, b""
        size = int(line, 16)
        if size == 0:
            if not rest.startswith(b"\r\n"):
                return b"".join(body), False, b""
            return b"".join(body), True, rest[2:]
        if len(rest) < size + 2:
            return b"".join([*body, rest[:size]]), False, b""
        if rest[size : size + 2] != b"\r\n":
            raise ValueError("a chunk does not end where it said")
        body.append(rest[:size])
        data = rest[size + 2 :]
