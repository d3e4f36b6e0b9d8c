"""Requests sent ahead of their answers, over sockets with little room, by callers who read by fits and starts."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS

from clawproxy.testing import Received, event_stream
from clawproxy.testing.upstream import Step, answer
from tests.integration import certificates
from tests.integration.live import Caller, LiveCase, reactor
from tests.integration.test_tls import TLSCase
from tests.wire import ASK, LAST_CHUNK, chunk, first_reply

_REQUESTS = 60
_START = "%s HTTP/1.1\r\nHost: proxy\r\nX-Request-Id: n%d\r\n"


def _request(chance: random.Random, number: int) -> tuple[bytes, bool]:
    """Make a request, and tell whether it asks for a head alone."""
    kind = chance.choice(["livez", "metrics", "head", "post", "large", "expect", "chunked", "none"])
    path = {"livez": "GET /livez", "metrics": "GET /metrics", "head": "HEAD /livez"}
    if kind in path or kind == "none":
        start = _START % (path.get(kind, "GET /nowhere"), number)
        return (start + "\r\n").encode(), kind == "head"
    start = _START % ("POST /v1/messages", number)
    if kind == "chunked":
        head = start + "Transfer-Encoding: chunked\r\n\r\n"
        return head.encode() + chunk(ASK[:9]) + chunk(ASK[9:]) + LAST_CHUNK, False
    body = ASK.ljust(100_000) if kind == "large" else ASK
    lines = "Expect: 100-continue\r\n" if kind == "expect" else ""
    return f"{start}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body, False


class _Chance:
    """Answers by chance: small or large, at once or later, whole or as a stream."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def __call__(self, _: Received) -> list[Step]:
        size = self.chance.choice([2, 2000, 300_000])
        if self.chance.random() < 0.5:
            return answer(b'"' + b"a" * size + b'"')
        return event_stream(b"data: 1\n\n", 0.003, b"data: " + b"s" * size + b"\n\n", 0.001)


class _Pipelining(LiveCase):
    async def converse(self, wrap: Callable[[Any], Any]) -> None:
        """Have several callers, one after another."""
        for seed in range(2):
            address: Any = self.service.addresses[0]
            plain = TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
            await self._converse(seed, await self.caller(wrap(plain)))

    async def _converse(self, seed: int, caller: Caller) -> None:
        """Send everything, and read it in pieces with pauses between."""
        chance = random.Random(seed)
        self.upstream.script(_Chance(random.Random(seed + 1)))
        await self.eventually(lambda: self.service._assembled.site.channels)
        [channel] = self.service._assembled.site.channels
        below = _socket_of(caller)
        # With less than a packet of the loopback interface takes, the kernels would wait for their timers.
        below.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 150_000)
        _socket_of(channel).socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        asked = [_request(chance, number) for number in range(_REQUESTS)]
        data = b"".join(request for request, _ in asked)
        got = 0
        while data or got < _REQUESTS:
            size = chance.choice([1, 50, 3000, 200_000])
            caller.write(data[:size])
            data = data[size:]
            if chance.random() < 0.3:
                below.stopReading()
                await self.pause(0.005)
                below.startReading()
            await self.pause(0.001 * (not data))
            while got < _REQUESTS and (taken := _take(caller, head_only=asked[got][1])):
                self.assertEqual(taken, f"n{got}")
                got += 1
            self.assertIsNone(caller.lost)
        self.assertEqual(bytes(caller.data), b"")
        await self.eventually(lambda: channel.idle and not channel.paused)
        self.assertEqual(self.service._assembled.site.held, 0)
        caller.leave()
        await self.eventually(lambda: not self.service._assembled.site.channels)


class PlainTests(_Pipelining):
    async def test_all_are_answered_in_order(self) -> None:
        await self.proxy("server.max_body=120000")
        await self.converse(lambda plain: plain)


class SecureTests(_Pipelining, TLSCase):
    """The same over TLS, where some more may come after reading was stopped."""

    async def test_all_are_answered_in_order(self) -> None:
        key = self.folder / "proxy.pem"
        key.write_bytes(certificates.signed_pem("localhost"))
        listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={key}"
        await self.proxy("server.max_body=120000", listen=listen)
        options = optionsForClientTLS(
            "localhost", trustRoot=Certificate.loadPEM(certificates.authority_pem())
        )
        await self.converse(lambda plain: wrapClientTLS(options, plain))


def _socket_of(protocol: Any) -> Any:
    transport = protocol.transport
    while not hasattr(transport, "socket"):
        transport = transport.transport
    return transport


def _take(caller: Caller, *, head_only: bool) -> str | None:
    """Take the next answer if it is whole, and give its id."""
    while b"\r\n\r\n" in caller.data:
        reply, rest = first_reply(bytes(caller.data), head_only=head_only)
        if not reply.whole:
            return None
        caller.data[:] = rest
        if reply.status != 100:
            return reply["x-request-id"]
    return None
