"""One who watches what happens, over server-sent events: :class:`Watcher`.

Whoever reads more slowly than there is to read misses what a later event says again, gets the rest late, and is dropped
when even that piles up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

QUEUED = 2000
"""Events that wait for a slow watcher before it is dropped."""
_HEADERS = [
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"Cache-Control", b"no-store"),
    (b"X-Accel-Buffering", b"no"),
    (b"X-Content-Type-Options", b"nosniff"),
]


def event(name: str, value: object) -> bytes:
    """Word an event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), msgspec.json.encode(value))


@implementer(IPushProducer)
class Watcher:
    """One who watches.

    :param left: called when there is nobody there any more.
    """

    def __init__(self, request: Any, left: Callable[[Watcher], None]) -> None:
        self._request = request
        self._left = left
        self._queue: deque[bytes] = deque()
        self._paused = False
        self._gone = False
        request.notifyFinish().addErrback(self._lost)
        request.send_head(200, b"OK", _HEADERS)
        request.registerProducer(self, True)
        request.write(b"retry: 2000\n\n")

    def _lost(self, _: Failure) -> None:
        if not self._gone:
            self._gone = True
            self._left(self)

    def send(self, data: bytes, *, droppable: bool = False) -> None:
        """Send an event, now or when the watcher reads on.

        :param droppable: a later event says it again.
        """
        if self._gone:
            return
        if not self._paused:
            self._request.write(data)
        elif not droppable:
            self._queue.append(data)
            if len(self._queue) > QUEUED:
                self.end()

    @property
    def slow(self) -> bool:
        """Whether it reads more slowly than there is to read."""
        return self._paused

    def end(self) -> None:
        """End the watch; a browser comes again by itself."""
        if self._gone:
            return
        self._gone = True
        self._queue.clear()
        if not self._request.gone:
            self._request.unregisterProducer()
            self._request.finish()
        self._left(self)

    def pauseProducing(self) -> None:
        """Keep events: the watcher does not read them."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Send what was kept."""
        self._paused = False
        while self._queue and not self._paused:
            self._request.write(self._queue.popleft())

    def stopProducing(self) -> None:
        """Do nothing: the request says that it is over."""
