"""The WebSocket by itself: what it hands on, and how it ends."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    RejectConnection,
    RejectData,
    TextMessage,
)

from clawproxy.upstream.openclaw import websocket
from clawproxy.upstream.openclaw.address import GatewayAddress, endpoint_for
from clawproxy.upstream.openclaw.websocket import Ending, WebSocketClient


@define
class Heard:
    """A listener."""

    opens: int = 0
    messages: list[str] = field(factory=list)
    endings: list[Ending] = field(factory=list)

    def opened(self, socket: WebSocketClient) -> None:
        self.opens += 1

    def received(self, message: str) -> None:
        self.messages.append(message)

    def closed(self, ending: Ending) -> None:
        self.endings.append(ending)


class Sockets(SynchronousTestCase):
    """A client on a string, and wsproto as its server."""

    def setUp(self) -> None:
        self.heard = Heard()
        self.client = WebSocketClient("h.test:1", "/", self.heard)
        self.transport = StringTransport()
        self.client.makeConnection(self.transport)
        self.server = WSConnection(ConnectionType.SERVER)
        self.events()

    def events(self) -> list[Event]:
        """What the server has got."""
        self.server.receive_data(self.transport.value())
        self.transport.clear()
        return list(self.server.events())

    def say(self, *events: Event, chunk: int = 65536) -> None:
        data = b"".join(self.server.send(event) for event in events)
        for start in range(0, len(data), chunk):
            self.client.dataReceived(data[start : start + chunk])

    def lose(self, error: Exception | None = None) -> None:
        self.client.connectionLost(Failure(error or ConnectionDone()))

    def test_messages(self) -> None:
        self.say(AcceptConnection())
        self.say(TextMessage("é" * 300), TextMessage("two"), chunk=1)
        self.assertEqual(self.heard.messages, ["é" * 300, "two"])
        self.client.send("three")
        (event,) = self.events()
        self.assertEqual(event, TextMessage("three"))

    def test_closed_by_the_server(self) -> None:
        self.say(AcceptConnection(), CloseConnection(1012, "service restart"))
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.events(), [CloseConnection(1012, "service restart")])
        self.client.send("late")
        self.assertEqual(self.transport.value(), b"")
        self.lose()
        self.lose()
        self.assertEqual(self.heard.endings, [Ending(1012, "service restart")])

    def test_message_after_close(self) -> None:
        """What comes with the close frame, but after it, is not heard."""
        self.say(AcceptConnection())
        self.client.close(1000)
        self.server = WSConnection(ConnectionType.SERVER)
        self.client.dataReceived(b"\x81\x02hi")
        self.assertEqual(self.heard.messages, [])

    def test_closed_by_us(self) -> None:
        self.say(AcceptConnection())
        self.client.close(4000, "tick timeout")
        self.client.close(1000)
        (event,) = self.events()
        assert isinstance(event, CloseConnection)
        self.assertEqual(event.code, 4000)
        self.lose()
        self.assertEqual(self.heard.endings, [Ending(4000, "tick timeout")])

    def test_closed_before_the_upgrade(self) -> None:
        self.client.close(1001)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value(), b"")

    def test_broken(self) -> None:
        self.say(AcceptConnection())
        self.lose(ConnectionLost("reset"))
        self.assertIsNone(self.heard.endings[0].code)
        self.assertIn("reset", self.heard.endings[0].reason)

    def test_lost_while_upgrading(self) -> None:
        self.lose()
        self.assertEqual((self.heard.opens, len(self.heard.endings)), (0, 1))

    def test_rejected(self) -> None:
        body = b"proxy_attribution_required " * 500
        self.say(
            RejectConnection(403, [(b"content-length", b"%d" % len(body))], has_body=True),
            RejectData(body),
        )
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        (ending,) = self.heard.endings
        self.assertEqual(ending.status, 403)
        self.assertEqual(len(ending.reason), websocket.MAX_REJECTION)

    def test_not_http(self) -> None:
        self.client.dataReceived(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertIn("not a WebSocket", self.heard.endings[0].reason)

    def test_too_long(self) -> None:
        self.patch(websocket, "MAX_MESSAGE", 100)
        self.say(AcceptConnection(), TextMessage("x" * 60, message_finished=False))
        self.say(TextMessage("x" * 60, message_finished=False))
        (event,) = self.events()
        assert isinstance(event, CloseConnection)
        self.assertEqual(event.code, 1009)
        self.assertEqual(self.heard.messages, [])

    def test_bytes(self) -> None:
        self.say(AcceptConnection(), BytesMessage(b"x"))
        (event,) = self.events()
        assert isinstance(event, CloseConnection)
        self.assertEqual(event.code, 1003)


class Addresses(SynchronousTestCase):
    """Where a URL leads."""

    def test_parse(self) -> None:
        for url, expected in (
            ("ws://h", ("h", 80, False, "h", "/")),
            ("ws://h:18789/x?y=1", ("h", 18789, False, "h:18789", "/x?y=1")),
            ("wss://h/", ("h", 443, True, "h", "/")),
            ("ws://[::1]:5", ("::1", 5, False, "[::1]:5", "/")),
            ("http://user:secret@h:5", ("h", 5, False, "h:5", "/")),
        ):
            self.assertEqual(GatewayAddress.parse(url), GatewayAddress(*expected))
        for url in ("h:5", "ftp://h", "ws://", ""):
            self.assertRaises(ValueError, GatewayAddress.parse, url)

    def test_tls(self) -> None:
        plain = endpoint_for(MemoryReactorClock(), GatewayAddress.parse("ws://h:5"), 1)
        secure = endpoint_for(MemoryReactorClock(), GatewayAddress.parse("wss://h:5"), 1)
        self.assertNotEqual(type(plain), type(secure))
