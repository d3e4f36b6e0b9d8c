"""The one connection to a gateway: a service that keeps it, asks through it, and says why it is not
there.

1. :meth:`GatewayConnection.startService` connects; a loss or failure arms the one timer
   (:mod:`.backoff`).
2. :meth:`GatewayConnection.ready` waits for the connection on behalf of a caller and pulls the
   timer forward.
3. :meth:`GatewayConnection.request` asks one thing; :meth:`GatewayConnection.open` asks what is
   answered more than once. What is pending when the connection is lost fails at once.
4. Ticks are watched: a gateway that is silent for two of its intervals is given up.
5. A refusal that only a changed configuration can cure ends all attempts until
   :meth:`GatewayConnection.retry`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol as Interface
from typing import cast

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.failure import connect_failure
from clawproxy.upstream.openclaw.address import GatewayAddress, GatewayState
from clawproxy.upstream.openclaw.backoff import Backoff
from clawproxy.upstream.openclaw.frames import JSON, Event, FrameError, Response
from clawproxy.upstream.openclaw.handshake import (
    Credentials,
    Hello,
    Obstacle,
    Refusal,
    read_close,
    read_rejection,
)
from clawproxy.upstream.openclaw.identity import DeviceIdentity, IdentityError
from clawproxy.upstream.openclaw.pending import PendingRequests
from clawproxy.upstream.openclaw.session import Connected, GatewaySession, Refused, Say
from clawproxy.upstream.openclaw.websocket import Ending, WebSocketClient

REQUEST_TIMEOUT = 30.0
"""Seconds that a gateway may take to answer a request that is no run."""

PATIENCE = 5.0
"""Seconds that a caller waits for the next attempt to begin; if that is further away, it hears at
once."""


class GatewayListener(Interface):
    """Who wants to know what the gateway does."""

    def gateway_connected(self, hello: Hello) -> None:
        """The handshake is complete."""

    def gateway_event(self, event: Event) -> None:
        """Something happened, perhaps to another client of the gateway."""

    def gateway_lost(self, refusal: Refusal) -> None:
        """The connection is gone and every pending request has failed; or there will be none any
        more, as the refusal is terminal."""


@define(eq=False)
class _Attempt:
    """One try, from its begin to the loss of what came of it; what an older one says is ignored."""

    owner: GatewayConnection
    session: GatewaySession
    started: float
    socket: WebSocketClient | None = None
    connecting: Deferred[WebSocketClient] | None = None
    timer: IDelayedCall | None = None
    refusal: Refusal | None = None
    over: bool = False

    def opened(self, socket: WebSocketClient) -> None:
        """The upgrade succeeded; the gateway speaks first."""
        self.socket = socket

    def received(self, message: str) -> None:
        self.owner._received(self, message)

    def closed(self, ending: Ending) -> None:
        self.owner._closed(self, ending)


class GatewayConnection(Service):
    """Keep one gateway connected.

    :param endpoint: where to connect.
    :param credentials: what is configured.
    :param connect_timeout: seconds from the first packet to ``hello-ok``.
    :param listener: hears what the gateway does.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        address: GatewayAddress,
        *,
        url: str,
        identity: DeviceIdentity,
        credentials: Credentials,
        connect_timeout: float,
        listener: GatewayListener,
        rng: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._address = address
        self._url = url
        self._identity = identity
        self._credentials = credentials
        self._connect_timeout = connect_timeout
        self._listener = listener
        self._clock = clock
        self._backoff = Backoff(rng)
        self._attempt: _Attempt | None = None
        self._timer: IDelayedCall | None = None
        self._watch: IDelayedCall | None = None
        self._pending = PendingRequests(reactor)
        self._waiting: list[Deferred[Hello]] = []
        self._refusal: Refusal | None = None
        self._since = clock()
        self._attempts = 0
        self._heard = 0.0
        self.hello: Hello | None = None

    # --- the service's life

    def startService(self) -> None:
        super().startService()
        self._connect()

    def stopService(self) -> None:
        super().stopService()
        self._disarm()
        refusal = Refusal(Obstacle.LOST, "The proxy is stopping", going=True)
        if self._attempt is not None:
            self._end(self._attempt, refusal, 1001, "going away")
        self._dismiss(unreachable(refusal))

    def retry(self) -> None:
        """Forget a refusal and connect again at once: the configuration was read anew."""
        if not self.running or self.hello is not None:
            return
        self._refusal = None
        if self._attempt is None:
            self._disarm()
            self._connect()

    @property
    def state(self) -> GatewayState:
        """Whether the gateway is connected, and why not."""
        if self.hello is not None:
            return GatewayState(
                True,
                self._since,
                protocol=self.hello.protocol,
                version=self.hello.version,
                attempts=self._attempts,
            )
        refusal = self._refusal
        return GatewayState(
            False,
            self._since,
            obstacle=refusal.obstacle.value if refusal else None,
            reason=refusal.message if refusal else "Not connected yet",
            remedy=refusal.remedy or None if refusal else None,
            attempts=self._attempts,
        )

    # --- asking

    def ready(self, timeout: float) -> Deferred[Hello]:
        """Wait for the connection, and have it tried at once.

        :param timeout: seconds.
        :returns: fires with the gateway's hello; fails with a ``ProxyError`` that says why there is
            none.
        """
        if self.hello is not None:
            done: Deferred[Hello] = Deferred()
            done.callback(self.hello)
            return done
        waiting: Deferred[Hello] = Deferred(self._given_up)
        problem = self._hurry()
        if problem is not None:
            waiting.errback(Failure(problem))
            return waiting
        self._waiting.append(waiting)
        late = self._reactor.callLater(timeout, self._too_late, waiting)

        def release(result: Hello | Failure) -> Hello | Failure:
            if late.active():
                late.cancel()
            return result

        waiting.addBoth(release)
        return waiting

    def _given_up(self, waiting: Deferred[Hello]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _too_late(self, waiting: Deferred[Hello]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            why = f": {self._refusal}" if self._refusal else ""
            waiting.errback(
                Failure(
                    ProxyError(
                        Kind.UPSTREAM_TIMEOUT, f"the OpenClaw gateway did not connect in time{why}"
                    )
                )
            )

    def _hurry(self) -> ProxyError | None:
        """Have the next attempt as early as it may be; or say why no caller should wait for it."""
        if not self.running:
            return unreachable(Refusal(Obstacle.LOST, "The proxy is stopping"))
        if self._attempt is not None:
            return None
        refusal = self._refusal
        if refusal is not None and refusal.terminal:
            return unreachable(refusal)
        now = self._reactor.seconds()
        pairing = refusal is not None and refusal.obstacle is Obstacle.PAIRING
        wait = self._backoff.earliest(now, pairing=pairing)
        if wait > PATIENCE:
            return unreachable(refusal or Refusal(Obstacle.UNREACHABLE, "Too many attempts"))
        if self._timer is None or not self._timer.active():
            self._arm(wait)
        elif self._timer.getTime() - now > wait:
            self._timer.reset(wait)
        return None

    def request(
        self, method: str, params: JSON, timeout: float = REQUEST_TIMEOUT
    ) -> Deferred[Response]:
        """Ask one thing.

        :returns: fires with the response, whether it is ``ok`` or not; fails with a ``ProxyError``
            if the gateway is not there, goes away, or does not answer in ``timeout`` seconds.
        """
        answer: Deferred[Response] = Deferred(lambda _: cancel())

        try:
            cancel = self.open(method, params, answer.callback, answer.errback, timeout=timeout)
        except ProxyError as error:
            answer.errback(error)
        return answer

    def open(
        self,
        method: str,
        params: JSON,
        respond: Callable[[Response], None],
        fail: Callable[[ProxyError], None],
        *,
        repeats: Callable[[Response], bool] = lambda _: False,
        timeout: float | None = None,
    ) -> Callable[[], None]:
        """Ask what may be answered more than once.

        :param respond: takes each response.
        :param fail: hears, instead of a last response, that none will come.
        :param repeats: whether another response follows this one.
        :param timeout: seconds until the last response; ``None`` waits as long as the connection
            lasts.
        :returns: a function that stops waiting.
        :raises ProxyError: not connected, or the request is too long for the gateway.
        """
        attempt = self._attempt
        if attempt is None or attempt.socket is None or self.hello is None:
            raise unreachable(self._refusal)
        request_id, text = attempt.session.request(method, params)
        forget = self._pending.add(request_id, method, respond, fail, repeats, timeout)
        attempt.socket.send(text)
        return forget

    # --- connecting

    def _arm(self, delay: float) -> None:
        self._disarm()
        self._timer = self._reactor.callLater(delay, self._connect)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _connect(self) -> None:
        self._timer = None
        if not self.running or self._attempt is not None:
            return
        self._backoff.attempted(self._reactor.seconds())
        self._attempts += 1
        attempt = _Attempt(
            self,
            GatewaySession(
                identity=self._identity,
                credentials=self._credentials,
                device_token=self._identity.token(self._url),
                now_ms=lambda: int(self._clock() * 1000),
            ),
            self._reactor.seconds(),
        )
        self._attempt = attempt
        attempt.timer = self._reactor.callLater(self._connect_timeout, self._slow, attempt)
        address = self._address
        factory = Factory.forProtocol(
            lambda: WebSocketClient(address.authority, address.target, attempt)
        )
        factory.noisy = False
        connecting = cast("Deferred[WebSocketClient]", self._endpoint.connect(factory))
        attempt.connecting = connecting
        connecting.addCallbacks(
            self._made, self._unmade, callbackArgs=(attempt,), errbackArgs=(attempt,)
        )

    def _made(self, socket: WebSocketClient, attempt: _Attempt) -> None:
        attempt.connecting = None
        if attempt.over:
            socket.abort()
            return
        attempt.socket = socket

    def _unmade(self, failure: Failure, attempt: _Attempt) -> None:
        attempt.connecting = None
        if not attempt.over:
            why = connect_failure(failure, self._address.host, self._address.port).message
            self._end(
                attempt,
                Refusal(
                    Obstacle.UNREACHABLE,
                    f"{why[:1].upper()}{why[1:]}",
                    "Start the gateway, or correct the provider's url",
                ),
            )

    def _slow(self, attempt: _Attempt) -> None:
        attempt.timer = None
        refusal = Refusal(
            Obstacle.UNREACHABLE,
            f"The gateway at {self._address.authority} did not complete the handshake in "
            f"{self._connect_timeout:g} s",
            "See whether something else listens there",
        )
        self._end(attempt, refusal)

    def _received(self, attempt: _Attempt, message: str) -> None:
        if attempt.over:
            return
        self._heard = self._reactor.seconds()
        try:
            happenings = attempt.session.receive(message)
        except FrameError as error:
            if self.hello is None:
                refusal = Refusal(
                    Obstacle.REJECTED,
                    f"What answers there is not an OpenClaw Gateway ({error})",
                    "Check the provider's url",
                )
            else:
                # It has shown that it is one: a new connection may be better.
                refusal = Refusal(
                    Obstacle.LOST, f"The gateway sent what nobody understands ({error})"
                )
            self._end(attempt, refusal)
            return
        for happening in happenings:
            if attempt.over:
                return
            match happening:
                case Event():
                    self._listener.gateway_event(happening)
                case Response():
                    self._pending.respond(happening)
                case Say(text):
                    if attempt.socket is not None:
                        attempt.socket.send(text)
                case Connected(hello):
                    self._connected(attempt, hello)
                case Refused(refusal):
                    # The close that follows says less than this.
                    self._end(attempt, refusal)

    def _connected(self, attempt: _Attempt, hello: Hello) -> None:
        if attempt.timer is not None and attempt.timer.active():
            attempt.timer.cancel()
        attempt.timer = None
        self.hello = hello
        self._refusal = None
        self._since = self._clock()
        self._backoff.succeeded()
        self._heard = self._reactor.seconds()
        self._watch = self._reactor.callLater(hello.tick_interval, self._look, attempt)
        self.log.info(
            "connected to the OpenClaw gateway {version} at {authority}, protocol {protocol}",
            version=hello.version,
            authority=self._address.authority,
            protocol=hello.protocol,
        )
        if hello.device_token is not None:
            try:
                self._identity.remember(self._url, hello.device_token)
            except IdentityError as error:
                self.log.warn("the device token is not kept: {error}", error=str(error))
        self._listener.gateway_connected(hello)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(hello)

    def _look(self, attempt: _Attempt) -> None:
        """Give up a gateway that has been silent for two of its tick intervals."""
        if attempt.over or self.hello is None:
            return
        limit = 2 * self.hello.tick_interval
        silent = self._reactor.seconds() - self._heard
        if silent >= limit:
            self._end(
                attempt,
                Refusal(Obstacle.LOST, f"The gateway was silent for {silent:.0f} s"),
                4000,
                "tick timeout",
            )
        else:
            self._watch = self._reactor.callLater(limit - silent, self._look, attempt)

    # --- losing it

    def _closed(self, attempt: _Attempt, ending: Ending) -> None:
        if attempt.over:
            return
        if ending.status is not None:
            refusal = read_rejection(ending.status, ending.reason)
        else:
            refusal = read_close(ending.code, ending.reason, connected=self.hello is not None)
        self._end(attempt, refusal)

    def _end(self, attempt: _Attempt, refusal: Refusal, code: int = 1000, reason: str = "") -> None:
        """The one way in which an attempt ends, whatever became of it."""
        attempt.over = True
        self._attempt = None
        was, self.hello = self.hello, None
        for timer in (attempt.timer, self._watch):
            if timer is not None and timer.active():
                timer.cancel()
        attempt.timer = self._watch = None
        if attempt.connecting is not None:
            attempt.connecting.cancel()
        if attempt.socket is not None:
            attempt.socket.close(code, reason)
        self._refusal = refusal
        if was is not None:
            self._since = self._clock()
        soon = False
        if self.running and not refusal.terminal and refusal.obstacle is not Obstacle.PAIRING:
            delay = self._backoff.failed(self._reactor.seconds(), refusal.retry_after)
            self._arm(delay)
            # A gateway that is there and says "shortly" is worth waiting for.
            soon = refusal.obstacle is Obstacle.STARTING and delay <= PATIENCE
            self.log.info(
                "no OpenClaw gateway: {refusal}; next attempt in {delay:.1f} s",
                refusal=str(refusal),
                delay=delay,
            )
        elif self.running:
            self.log.error("no OpenClaw gateway: {refusal}", refusal=str(refusal))
        error = unreachable(refusal)
        self._pending.fail(error)
        if was is not None or refusal.terminal:
            self._listener.gateway_lost(refusal)
        if not soon:
            self._dismiss(error)

    def _dismiss(self, error: ProxyError) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(Failure(error))


def unreachable(refusal: Refusal | None) -> ProxyError:
    """Word a missing connection for a caller."""
    why = f": {refusal}" if refusal is not None else ""
    kind = Kind.UPSTREAM_UNREACHABLE
    if refusal is not None and refusal.keyless:
        # As with any other provider that has no key.
        kind = Kind.AUTHENTICATION
    return ProxyError(kind, f"the OpenClaw gateway is not connected{why}")
