"""A connection to a gateway in memory: the base of its tests."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import ProxyError
from clawproxy.core.secret import Secret
from clawproxy.upstream.openclaw.address import GatewayAddress
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.frames import Event
from clawproxy.upstream.openclaw.handshake import Credentials, Hello
from clawproxy.upstream.openclaw.identity import DeviceIdentity
from clawproxy.upstream.openclaw.refusal import Refusal
from tests.upstream.openclaw.gateway import Connection, Gateway, JSONObject

URL = "ws://gateway.test:18789/ws?x=1"


@define
class Heard:
    """What a listener heard."""

    hellos: list[Hello] = field(factory=list)
    events: list[Event] = field(factory=list)
    losses: list[Refusal] = field(factory=list)

    def gateway_connected(self, hello: Hello) -> None:
        self.hellos.append(hello)

    def gateway_event(self, event: Event) -> None:
        self.events.append(event)

    def gateway_lost(self, refusal: Refusal) -> None:
        self.losses.append(refusal)


class ConnectionTestCase(SynchronousTestCase):
    """A connection to a gateway in memory."""

    def connect(self, gateway: Gateway, *, start: bool = True) -> GatewayConnection:
        self.clock = Clock()
        self.heard = Heard()
        self.identity = DeviceIdentity.generate()
        connection = GatewayConnection(
            self.clock,
            gateway,
            GatewayAddress.parse(URL),
            url=URL,
            identity=self.identity,
            credentials=Credentials(Secret("token-1")),
            connect_timeout=10,
            listener=self.heard,
            rng=lambda: 0.5,
            clock=lambda: 1_700_000_000 + self.clock.seconds(),
        )
        if start:
            connection.startService()
            self.addCleanup(self.stop, connection)
        return connection

    def stop(self, connection: GatewayConnection) -> None:
        connection.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def failure(self, waiting: Deferred[Any]) -> ProxyError:
        return self.failureResultOf(waiting, ProxyError).value  # type: ignore[no-any-return]


class RefusingGateway(Gateway):
    """A gateway that answers ``connect`` with an error and closes."""

    def __init__(self, close: int = 1008, **error: object) -> None:
        super().__init__()
        self.error = error
        self.code = close

    def upgrading(self, connection: Connection) -> None:
        connection.accept()
        connection.event("connect.challenge", {"nonce": "n", "ts": 1})

    def requested(self, connection: Connection, frame: JSONObject) -> None:
        connection.answer(frame, None, **self.error)
        connection.close(self.code, str(self.error["message"]))
