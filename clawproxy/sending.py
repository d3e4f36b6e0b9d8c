"""Send bytes now rather than at the reactor's next turn, where nothing waits before them.

Twisted's ``transport.write`` puts data into a buffer, registers for writability and sends in the next turn
of the reactor: three system calls and a turn per piece of a stream. A socket that has nothing waiting can
nearly always take a piece at once; only what it does not take needs the buffer. Measured figures are in
docs/decisions/upstream.rst.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.tcp import Connection


def send(transport: Any, data: bytes) -> None:
    """Write to a transport, at once if it is a plain socket with nothing before it.

    :param transport: any transport; all but TCP and Unix sockets are written to as usual.
    """
    if (
        isinstance(transport, Connection)
        and not transport._tempDataBuffer
        and not transport.dataBuffer
        and transport.connected
        and not transport.disconnecting
        and not transport._writeDisconnected
        and not transport.TLS
    ):
        try:
            taken = transport.socket.send(data)
        except OSError:
            # It is full; or it is broken, which shows itself again in the reactor's own write, that knows what to do.
            taken = 0
        if taken == len(data):
            return
        data = data[taken:]
    transport.write(data)


def hear_out(transport: Any) -> None:
    """Have a socket that can write no more read what came before that, instead of just closing.

    A server may refuse a large request early and close: its answer is here, and yet the next write finds
    the connection reset. Twisted then drops the socket with the answer unread.

    :param transport: a socket's, or one of TLS above it.
    """
    while not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
        if transport is None:
            return
    if "doWrite" in vars(transport):
        return  # done for an earlier request
    write = transport.doWrite

    def write_or_hear() -> Any:
        failed = write()
        if isinstance(failed, ConnectionLost):
            transport.doRead()
        return failed

    transport.doWrite = write_or_hear  # type: ignore[method-assign]


def hang_up(transport: Any) -> None:
    """Close the socket below TLS, which would wait for the other side to agree to its end (RFC 8446 §6.1 need not).

    :param transport: one that was told to close and has nothing left to send.
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    transport.loseConnection()


def unsent(transport: Any) -> bool:
    """Tell whether something that was written has not yet gone to the kernel.

    :param transport: a socket's, or one of TLS above it.
    """
    while transport is not None:
        if getattr(transport, "_appSendBuffer", None):
            return True  # TLS is still being negotiated
        if isinstance(transport, FileDescriptor):
            return bool(transport._tempDataBuffer) or len(transport.dataBuffer) > transport.offset
        transport = getattr(transport, "transport", None)
    return False
