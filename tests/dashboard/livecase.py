"""A proxy in memory and those who look at it: :class:`LiveCase`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryCaller, MemoryProxy, MemoryUpstream

BODY = json.dumps(
    {
        "model": "claude-x",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"


def chunk(data: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def delta(text: str) -> bytes:
    """A piece of text in a stream."""
    event = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }
    return chunk(b"event: content_block_delta\ndata: %s\n\n" % json.dumps(event).encode())


def unchunked(data: bytes) -> bytes:
    """A chunked body's content, as far as it came."""
    found = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        found += rest[:length]
        data = rest[length + 2 :]
    return found


class LiveCase(SynchronousTestCase):
    """Has a proxy and those around it."""

    def setUp(self) -> None:
        """Start the proxy."""
        self.proxy = MemoryProxy()

    def get(self, path: str, headers: bytes = b"") -> MemoryCaller:
        """Ask for something as a browser on this machine does."""
        caller = self.proxy.caller()
        caller.write(GET % (path.encode(), headers))
        return caller

    def watch(self) -> MemoryCaller:
        """Begin to watch."""
        caller = self.get("/api/live")
        head, _, rest = caller.read().partition(b"\r\n\r\n")
        self.assertIn(b"200 OK", head)
        self.assertIn(b"text/event-stream", head)
        self.first = self.events(rest)
        return caller

    def events(self, data: bytes) -> list[tuple[str, Any]]:
        """The events in what a watcher was sent."""
        found = []
        for frame in unchunked(data).decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line)
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found

    def ask(self) -> tuple[MemoryCaller, MemoryUpstream]:
        """Begin a stream."""
        caller = self.proxy.caller()
        caller.post("/v1/messages", BODY)
        upstream = self.proxy.upstream()
        return caller, upstream

    def finish(self, upstream: MemoryUpstream) -> None:
        """End a stream."""
        stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        upstream.write(chunk(stop) + b"0\r\n\r\n")
