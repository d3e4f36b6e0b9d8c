"""The one connection to a gateway: a service that keeps it, asks through it, and says why it is not
there.

1. :meth:`GatewayConnection.startService` connects (:mod:`.attempt`); a loss or failure arms the one
   timer (:mod:`.redial`).
2. :meth:`GatewayConnection.ready` waits for the connection on behalf of a caller
   (:mod:`.waiting`) and pulls the timer forward.
3. :meth:`GatewayConnection.request` asks one thing; :meth:`GatewayConnection.open` asks what is
   answered more than once. What is pending when the connection is lost fails at once.
4. A refusal that only a changed configuration can cure ends all attempts until
   :meth:`GatewayConnection.retry`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol as Interface

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.address import GatewayAddress, GatewayState
from clawproxy.upstream.openclaw.attempt import Attempt
from clawproxy.upstream.openclaw.faults import unreachable
from clawproxy.upstream.openclaw.frames import JSON, Event, Response
from clawproxy.upstream.openclaw.handshake import Credentials, Hello
from clawproxy.upstream.openclaw.identity import DeviceIdentity, IdentityError
from clawproxy.upstream.openclaw.pending import PendingRequests
from clawproxy.upstream.openclaw.redial import PATIENCE, Redial
from clawproxy.upstream.openclaw.refusal import Obstacle, Refusal
from clawproxy.upstream.openclaw.session import GatewaySession
from clawproxy.upstream.openclaw.waiting import Waiters
from clawproxy.upstream.provider import Wire

REQUEST_TIMEOUT = 30.0
"""Seconds that a gateway may take to answer a request that is no run."""


class GatewayListener(Interface):
    """Who wants to know what the gateway does."""

    def gateway_connected(self, hello: Hello) -> None:
        """The handshake is complete."""

    def gateway_event(self, event: Event) -> None:
        """Something happened, perhaps to another client of the gateway."""

    def gateway_lost(self, refusal: Refusal) -> None:
        """The connection is gone and every pending request has failed; or there will be none any
        more, as the refusal is terminal or the service stops."""


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
        self._redial = Redial(reactor, rng, self._connect)
        self._attempt: Attempt | None = None
        self._pending = PendingRequests(reactor)
        self._waiters = Waiters(reactor, self._late)
        self._refusal: Refusal | None = None
        self.hello: Hello | None = None

    # --- the service's life

    def startService(self) -> None:
        super().startService()
        self._redial.now()

    def stopService(self) -> None:
        super().stopService()
        self._redial.cancel()
        refusal = Refusal(Obstacle.LOST, "The proxy is stopping", going=True)
        if self._attempt is not None:
            self._attempt.end(refusal, 1001, "going away")
        else:
            self._listener.gateway_lost(refusal)
        self._waiters.dismiss(unreachable(refusal))

    def retry(self) -> None:
        """Forget a refusal and connect again at once: the configuration was read anew."""
        if not self.running or self.hello is not None:
            return
        self._refusal = None
        if self._attempt is None:
            self._redial.now()

    @property
    def state(self) -> GatewayState:
        """Whether the gateway is connected, and why not."""
        if self.hello is not None:
            return GatewayState(True, protocol=self.hello.protocol, version=self.hello.version)
        refusal = self._refusal
        return GatewayState(
            False,
            obstacle=refusal.obstacle.value if refusal else None,
            reason=refusal.message if refusal else "Not connected yet",
            remedy=refusal.remedy or None if refusal else None,
        )

    # --- asking

    def ready(self, timeout: float) -> Deferred[Hello]:
        """Wait for the connection, and have it tried at once.

        :param timeout: seconds.
        :returns: fires with the gateway's hello; fails with a ``ProxyError`` that says why there is
            none.
        """
        if self.hello is not None:
            return succeed(self.hello)
        problem = self._hurry()
        return fail(problem) if problem is not None else self._waiters.wait(timeout)

    def _late(self) -> ProxyError:
        why = f": {self._refusal}" if self._refusal else ""
        words = f"the OpenClaw gateway did not connect in time{why}"
        return ProxyError(Kind.UPSTREAM_TIMEOUT, words)

    def _hurry(self) -> ProxyError | None:
        """Have the next attempt as early as it may be; or say why no caller should wait for it."""
        if not self.running:
            return unreachable(Refusal(Obstacle.LOST, "The proxy is stopping"))
        if self._attempt is not None:
            return None
        refusal = self._refusal
        if refusal is not None and refusal.terminal:
            return unreachable(refusal)
        pairing = refusal is not None and refusal.obstacle is Obstacle.PAIRING
        if self._redial.hurry(pairing=pairing):
            return None
        return unreachable(refusal or Refusal(Obstacle.UNREACHABLE, "Too many attempts"))

    def request(
        self,
        method: str,
        params: JSON,
        timeout: float = REQUEST_TIMEOUT,
        wire: Wire | None = None,
    ) -> Deferred[Response]:
        """Ask one thing.

        :param wire: keeps question and answer for a call's record.
        :returns: fires with the response, whether it is ``ok`` or not; fails with a ``ProxyError``
            if the gateway is not there, goes away, or does not answer in ``timeout`` seconds.
        """
        answer: Deferred[Response] = Deferred(lambda _: cancel())

        def respond(response: Response) -> None:
            if wire is not None:
                wire.heard(response.raw)
            answer.callback(response)

        asked = wire.asked if wire is not None else None
        try:
            cancel = self.open(
                method, params, respond, answer.errback, timeout=timeout, asked=asked
            )
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
        asked: Callable[[str], None] | None = None,
    ) -> Callable[[], None]:
        """Ask what may be answered more than once.

        :param respond: takes each response.
        :param fail: hears, instead of a last response, that none will come.
        :param repeats: whether another response follows this one.
        :param timeout: seconds until the last response; ``None`` waits as long as the connection
            lasts.
        :param asked: hears the request as it is sent.
        :returns: a function that stops waiting.
        :raises ProxyError: not connected, or the request is too long for the gateway.
        """
        attempt = self._attempt
        if attempt is None or not attempt.connected:
            raise unreachable(self._refusal)
        request_id, text = attempt.session.request(method, params)
        if asked is not None:
            asked(text)
        forget = self._pending.add(request_id, method, respond, fail, repeats, timeout)
        attempt.send(text)
        return forget

    # --- connecting

    def _connect(self) -> None:
        session = GatewaySession(
            identity=self._identity,
            credentials=self._credentials,
            device_token=self._identity.token(self._url),
            now_ms=lambda: int(self._clock() * 1000),
        )
        attempt = Attempt(self._reactor, self._address, session, self, self._connect_timeout)
        self._attempt = attempt
        attempt.begin(self._endpoint)

    # --- what becomes of an attempt

    def attempt_connected(self, hello: Hello) -> None:
        """Use what the attempt has brought."""
        self.hello = hello
        self._refusal = None
        self._redial.succeeded()
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
        self._waiters.welcome(hello)

    def attempt_heard(self, heard: Event | Response) -> None:
        """Bring a response to who asked, and an event to the listener."""
        if isinstance(heard, Event):
            self._listener.gateway_event(heard)
        else:
            self._pending.respond(heard)

    def attempt_ended(self, refusal: Refusal) -> None:
        """Fail what was asked, and see when to try again."""
        self._attempt = None
        was, self.hello = self.hello, None
        self._refusal = refusal
        soon = False
        if self.running and not refusal.terminal and refusal.obstacle is not Obstacle.PAIRING:
            delay = self._redial.later(refusal.retry_after)
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
        if was is not None or refusal.terminal or not self.running:
            self._listener.gateway_lost(refusal)
        if not soon:
            self._waiters.dismiss(error)
