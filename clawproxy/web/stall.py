"""Callers that stay connected and take nothing would hold their upstreams for ever: :class:`Stall` notices them.

A caller that reads slowly is waited for as long as it takes; one whose socket has taken not a byte for
``server.send_timeout`` is treated as gone, as nginx's ``send_timeout`` does it.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall, IReactorTime

LOOKS = 4
"""How often within the time allowed it is looked whether the caller has taken something."""


class CallerStalled(Exception):
    """The caller is connected and has taken nothing for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the caller took nothing for {seconds:g} s (server.send_timeout)")


class Stall:
    """Looks now and then whether a caller for whom something waits takes any of it; costs nothing in between.

    :param seconds: without any progress after which *give_up* is called; may be exceeded by a quarter.
    :param left: gives how many bytes wait, ``None`` once the caller has caught up.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        seconds: float,
        left: Callable[[], int | None],
        give_up: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._left = left
        self._give_up = give_up
        self._call: IDelayedCall | None = None
        self._least = 0
        self._since = 0.0
        self.moved = True

    def begin(self) -> None:
        """Look from now on, until the caller has caught up."""
        if self._call is None:
            self.moved = True
            self._look()

    def end(self) -> None:
        """Look no more."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _look(self) -> None:
        self._call = None
        left = self._left()
        if left is None:
            return
        now = self._reactor.seconds()
        if self.moved or left < self._least:
            self.moved = False
            self._least, self._since = left, now
        elif now - self._since >= self._seconds:
            self._give_up()
            return
        self._call = self._reactor.callLater(self._seconds / LOOKS, self._look)


def outstanding(transport: Any) -> int:
    """Count the bytes that were written and that the caller's machine has not yet acknowledged.

    :param transport: a socket's, or one of TLS above it.
    """
    while not isinstance(transport, FileDescriptor):
        transport = getattr(transport, "transport", None)
        if transport is None:
            return 0
    waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    handle = getattr(transport, "socket", None)
    if isinstance(handle, socket.socket):
        # Kernels hold megabytes that a slow caller takes little by little, without taking more from here.
        held = fcntl.ioctl(handle, termios.TIOCOUTQ, b"\0" * 4)
        waiting += struct.unpack("i", held)[0]
    return waiting
