"""An upstream that does what a test wants, down to the byte: :class:`ScriptedUpstream`.

A script is a list of steps that follow one another once a request is complete::

    upstream.script([Send(head), Pause(0.1), Send(b"event: ping\\n\\n"), Reset()])

Scripts are used in the order in which they were given, the last one for every further request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure


@frozen
class Send:
    """Write these bytes as they are."""

    data: bytes


@frozen
class Pause:
    """Wait, seconds."""

    seconds: float


@frozen
class Reset:
    """End the connection with a TCP reset."""


@frozen
class Close:
    """End the connection after what was written."""


@frozen
class Hang:
    """Do nothing more."""


Step = Send | Pause | Reset | Close | Hang


@frozen
class Received:
    """A request as it arrived.

    :ivar headers: names in lower case, in order.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Give a header's first value."""
        return next((value for found, value in self.headers if found == name), None)


def answer(
    body: bytes,
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),),
) -> list[Step]:
    """Make a script that answers with a whole body of known length."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return [Send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)]


def event_stream(
    *pieces: bytes | float,
    headers: Sequence[tuple[str, str]] = (),
    end: Step | None = None,
) -> list[Step]:
    """Make a script that streams: each piece a chunk of its own, each number a pause in seconds.

    :param end: what happens instead of the final chunk.
    """
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in headers]
    steps: list[Step] = [Send("\r\n".join(lines).encode() + b"\r\n\r\n")]
    for piece in pieces:
        if isinstance(piece, bytes):
            steps.append(Send(b"%x\r\n%s\r\n" % (len(piece), piece)))
        else:
            steps.append(Pause(piece))
    steps.append(end if end is not None else Send(b"0\r\n\r\n"))
    return steps


class _Connection(Protocol):
    """One connection to the scripted upstream."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._data = b""
        self._call: IDelayedCall | None = None
        self.transport: Any = None

    def connectionMade(self) -> None:
        self._upstream.connections += 1
        self._upstream.open += 1

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._upstream.open -= 1
        if self._call is not None and self._call.active():
            self._call.cancel()
            self._upstream.cut_short += 1
        for waiting in self._upstream.take_waiting_for_end():
            waiting.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while True:
            head, separator, rest = self._data.partition(b"\r\n\r\n")
            if not separator:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = []
            for line in lines:
                name, _, value = line.partition(":")
                headers.append((name.lower(), value.strip()))
            length = int(dict(headers).get("content-length", "0"))
            if len(rest) < length and not self._upstream.early:
                return
            method, target, _ = first.split(" ", 2)
            self._data = rest[length:]
            self._upstream.requests.append(Received(method, target, headers, rest[:length]))
            self._run(list(self._upstream.next_script()))

    def _run(self, steps: list[Step]) -> None:
        self._call = None
        while steps:
            step = steps.pop(0)
            if isinstance(step, Send):
                self.transport.write(step.data)
            elif isinstance(step, Pause):
                self._call = self._upstream.reactor.callLater(step.seconds, self._run, steps)
                return
            elif isinstance(step, Reset):
                self.transport.abortConnection()
                return
            elif isinstance(step, Close):
                self.transport.loseConnection()
                return
            else:
                # Kept as a call that never comes, so that an abort of the connection is counted.
                self._call = self._upstream.reactor.callLater(86_400, int)
                return


@define(eq=False)
class ScriptedUpstream:
    """An upstream on a loopback socket.

    :param reactor: TCP and time.
    :ivar requests: what came, in order.
    :ivar connections: how many were ever made.
    :ivar open: how many are open now.
    :ivar cut_short: scripts that the other side ended by leaving.
    :ivar early: answer at the head of a request, without waiting for its body.
    """

    reactor: Any
    requests: list[Received] = field(factory=list)
    connections: int = 0
    open: int = 0
    cut_short: int = 0
    early: bool = False
    _scripts: list[list[Step]] = field(factory=list)
    _port: Any = None
    _waiting: list[Deferred[None]] = field(factory=list)

    def script(self, *scripts: Sequence[Step] | Callable[[Received], Sequence[Step]]) -> None:
        """Say how the next requests are answered; a callable is given the request."""
        self._scripts = list(scripts)  # type: ignore[arg-type]

    def next_script(self) -> Sequence[Step]:
        """Take the script of the request that has just arrived."""
        if not self._scripts:
            return answer(b"{}")
        script: Any = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        found: Sequence[Step] = script(self.requests[-1]) if callable(script) else script
        return found

    def listen(self, context_factory: Any = None) -> str:
        """Listen on a free port.

        :param context_factory: speak TLS with it.
        :return: the base URL.
        """
        factory = ServerFactory()
        factory.noisy = False

        def build(_: IAddress | None) -> Protocol:
            return _Connection(self)

        factory.buildProtocol = build  # type: ignore[method-assign,assignment]
        if context_factory is None:
            self._port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
            return f"http://127.0.0.1:{self._port.getHost().port}"
        self._port = self.reactor.listenSSL(0, factory, context_factory, interface="127.0.0.1")
        return f"https://localhost:{self._port.getHost().port}"

    def take_waiting_for_end(self) -> list[Deferred[None]]:
        """Take those who wait for a connection's end."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def connection_end(self) -> Deferred[None]:
        """Wait for the next end of a connection."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    async def stop(self) -> None:
        """Listen no more."""
        if self._port is not None:
            port, self._port = self._port, None
            stopped = port.stopListening()
            if stopped is not None:
                await stopped
