"""Sending at once, and hearing out a peer that has stopped listening, on real sockets."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from clawproxy.sending import hear_out, send, unsent

reactor: Any = _reactor


class Talker(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


class SocketTests(TestCase):
    async def connect(self) -> tuple[Talker, socket.socket]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", listener.getsockname()[1])
        talker: Talker = await connectProtocol(endpoint, Talker())
        peer, _ = listener.accept()
        peer.settimeout(5)
        self.addCleanup(peer.close)

        def end() -> Deferred[None]:
            if not talker.ended.called:
                talker.transport.abortConnection()
            return talker.ended

        self.addCleanup(end)
        return talker, peer

    async def test_small_piece_has_left_when_send_returns(self) -> None:
        talker, peer = await self.connect()
        send(talker.transport, b"now")
        self.assertEqual(peer.recv(10), b"now")
        self.assertFalse(unsent(talker.transport))

    async def test_order_is_kept_behind_what_waits(self) -> None:
        talker, peer = await self.connect()
        most = b"a" * 50_000_000
        send(talker.transport, most)
        self.assertTrue(unsent(talker.transport))
        send(talker.transport, b"end")
        got = bytearray()
        peer.setblocking(False)
        while not got.endswith(b"end"):
            await deferLater(reactor, 0.001)
            try:
                got += peer.recv(10_000_000)
            except BlockingIOError:
                continue
        self.assertEqual(bytes(got), most + b"end")
        self.assertFalse(unsent(talker.transport))

    async def test_refusal_is_heard_though_writing_fails_first(self) -> None:
        talker, peer = await self.connect()
        hear_out(talker.transport)
        hear_out(talker.transport)
        talker.transport.write(b"x" * 1_000_000)
        talker.transport.doWrite()
        peer.recv(10)
        peer.sendall(b"too large")
        peer.close()
        # What the reactor does when it finds the socket writable before it finds it readable.
        failed = None
        while failed is None:
            failed = talker.transport.doWrite()
        reactor._disconnectSelectable(talker.transport, failed, False)
        await talker.ended
        self.assertEqual(talker.data, b"too large")


class OtherTransportTests(SynchronousTestCase):
    def test_any_transport_is_written_to(self) -> None:
        transport = StringTransport()
        send(transport, b"x")
        hear_out(transport)
        self.assertEqual(transport.value(), b"x")
        self.assertFalse(unsent(transport))
