"""One try at a gateway, from the first packet to the loss of what came of it: :class:`Attempt`.

1. :meth:`Attempt.begin` connects, upgrades and answers the challenge, all within one timeout.
2. What the gateway says goes to the :class:`Owner`.
3. Ticks are watched: a gateway that is silent for two of its intervals is given up.
4. Whatever ends it, the owner hears of it once; what it says afterwards is ignored.
"""

from __future__ import annotations

from typing import Protocol as Interface
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from clawproxy.upstream.failure import connect_failure
from clawproxy.upstream.openclaw.address import GatewayAddress
from clawproxy.upstream.openclaw.frames import Event, FrameError, Response
from clawproxy.upstream.openclaw.handshake import Hello
from clawproxy.upstream.openclaw.refusal import Obstacle, Refusal, read_close, read_rejection
from clawproxy.upstream.openclaw.session import Connected, GatewaySession, Refused, Say
from clawproxy.upstream.openclaw.websocket import Ending, WebSocketClient


class Owner(Interface):
    """Who makes attempts, one at a time."""

    def attempt_connected(self, hello: Hello) -> None:
        """The handshake is complete."""

    def attempt_heard(self, heard: Event | Response) -> None:
        """The gateway says something."""

    def attempt_ended(self, refusal: Refusal) -> None:
        """It is over: the try failed, or the connection is lost."""


class Attempt:
    """Try to connect.

    :param timeout: seconds from the first packet to ``hello-ok``.
    :ivar session: the protocol's state on this connection.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        address: GatewayAddress,
        session: GatewaySession,
        owner: Owner,
        timeout: float,
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._owner = owner
        self._timeout = timeout
        self._socket: WebSocketClient | None = None
        self._connecting: Deferred[WebSocketClient] | None = None
        self._timer: IDelayedCall | None = None
        self._heard = 0.0
        self._over = False
        self.session = session

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""
        return self._socket is not None and self.session.hello is not None

    def send(self, text: str) -> None:
        """Send a text message; without a socket it is dropped."""
        if self._socket is not None:
            self._socket.send(text)

    # --- connecting

    def begin(self, endpoint: IStreamClientEndpoint) -> None:
        """Connect; the owner may hear of the end before this returns."""
        self._timer = self._reactor.callLater(self._timeout, self._slow)
        address = self._address
        factory = Factory.forProtocol(
            lambda: WebSocketClient(address.authority, address.target, self)
        )
        factory.noisy = False
        connecting = cast("Deferred[WebSocketClient]", endpoint.connect(factory))
        self._connecting = connecting
        connecting.addCallbacks(self._made, self._unmade)

    def _made(self, socket: WebSocketClient) -> None:
        self._connecting = None
        if self._over:
            socket.abort()
            return
        self._socket = socket

    def _unmade(self, failure: Failure) -> None:
        self._connecting = None
        why = connect_failure(failure, self._address.host, self._address.port).message
        self.end(
            Refusal(
                Obstacle.UNREACHABLE,
                f"{why[:1].upper()}{why[1:]}",
                "Start the gateway, or correct the provider's url",
            ),
        )

    def _slow(self) -> None:
        refusal = Refusal(
            Obstacle.UNREACHABLE,
            f"The gateway at {self._address.authority} did not complete the handshake in "
            f"{self._timeout:g} s",
            "See whether something else listens there",
        )
        self.end(refusal, answering=False)

    # --- the socket's side

    def opened(self, socket: WebSocketClient) -> None:
        """The upgrade succeeded; the gateway speaks first."""
        self._socket = socket

    def received(self, message: str) -> None:
        """Take a text message."""
        if self._over:
            return
        self._heard = self._reactor.seconds()
        try:
            happenings = self.session.receive(message)
        except FrameError as error:
            self.end(self._garbled(error))
            return
        for happening in happenings:
            if self._over:
                return
            match happening:
                case Event() | Response():
                    self._owner.attempt_heard(happening)
                case Say(text):
                    self.send(text)
                case Connected(hello):
                    self._connected(hello)
                case Refused(refusal):
                    # The close that follows says less than this.
                    self.end(refusal)

    def _garbled(self, error: FrameError) -> Refusal:
        if self.session.hello is None:
            return Refusal(
                Obstacle.REJECTED,
                f"What answers there is not an OpenClaw Gateway ({error})",
                "Check the provider's url",
            )
        # It has shown that it is one: a new connection may be better.
        return Refusal(Obstacle.LOST, f"The gateway sent what nobody understands ({error})")

    def _connected(self, hello: Hello) -> None:
        self._disarm()
        self._timer = self._reactor.callLater(hello.tick_interval, self._look, hello.tick_interval)
        self._owner.attempt_connected(hello)

    def _look(self, interval: float) -> None:
        """Give up a gateway that has been silent for two of its tick intervals."""
        silent = self._reactor.seconds() - self._heard
        if silent >= 2 * interval:
            refusal = Refusal(Obstacle.LOST, f"The gateway was silent for {silent:.0f} s")
            self.end(refusal, answering=False)
        else:
            self._timer = self._reactor.callLater(2 * interval - silent, self._look, interval)

    # --- ending

    def closed(self, ending: Ending) -> None:
        """The socket is gone."""
        if ending.status is not None:
            refusal = read_rejection(ending.status, ending.reason)
        else:
            connected = self.session.hello is not None
            refusal = read_close(ending.code, ending.reason, connected=connected)
        self.end(refusal)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def end(
        self, refusal: Refusal, code: int = 1000, reason: str = "", *, answering: bool = True
    ) -> None:
        """End it, whatever became of it; only the first call counts.

        :param answering: the gateway still answers. One that hangs is not told: it would leave the
            end of TLS, too, without an answer.
        """
        if self._over:
            return
        self._over = True
        self._disarm()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._socket is not None and answering:
            self._socket.close(code, reason)
        elif self._socket is not None:
            self._socket.abort()
        self._owner.attempt_ended(refusal)
