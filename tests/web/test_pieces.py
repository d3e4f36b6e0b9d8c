"""However a caller's bytes are cut, and whenever it stops to read: the same answers, and nothing left behind."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryCaller, MemoryProxy, MemoryUpstream
from tests.wire import ASK, LAST_CHUNK, OK, chunk

_KEY = "x-api-key: opensesame"
_SIZE = f"Content-Length: {len(ASK)}"


def _ask(*lines: str, start: str = "POST /v1/messages HTTP/1.1", body: bytes = b"") -> bytes:
    return "\r\n".join([start, "Host: proxy", *lines, "", ""]).encode() + body


_LIVEZ = "GET /livez HTTP/1.1"
_CHUNKED = _ask(_KEY, "Transfer-Encoding: chunked", body=chunk(ASK) + LAST_CHUNK)

# With the statuses of their answers. The connection goes on after these, and ends with the last ones.
_MORE = [
    (_ask(_KEY, _SIZE, body=ASK), ["200"]),
    (_ask(_KEY, "Connection: keep-alive, te", _SIZE, body=ASK), ["200"]),
    (_ask(_KEY, "Expect: 100-continue", _SIZE, body=ASK), ["100", "200"]),
    (_CHUNKED, ["200"]),
    (_ask(start=_LIVEZ), ["200"]),
    (b"\r\n" + _ask("X-Folded: a\r\n b", start=_LIVEZ), ["200"]),
    (_ask(start="HEAD / HTTP/1.1"), ["200"]),
    (_ask(start="GET /nowhere HTTP/1.1"), ["404"]),
    (_ask(_KEY, start="GET /v1/messages HTTP/1.1"), ["405"]),
]
_LAST = [
    (b"", []),
    (b"no request\r\n\r\n", ["400"]),
    (_ask(_KEY, "Host: another", _SIZE, body=ASK), ["400"]),
    (_ask(_SIZE, body=ASK), ["401"]),
    (_ask("Transfer-Encoding: chunked", body=chunk(ASK) + LAST_CHUNK), ["401"]),
    (_ask(_KEY, "Content-Length: 99999999", body=ASK), ["413"]),
    (_ask("Content-Length: 70000", start="POST /nowhere HTTP/1.1", body=ASK), ["413"]),
    (_ask(start="GET /livez HTTP/1.0"), ["200"]),
    (_ask("Connection: close", start=_LIVEZ), ["200"]),
]


class PiecesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = MemoryProxy("auth.api_keys.0=opensesame", "providers.anthropic.api_key=k")
        self.upstreams: list[MemoryUpstream] = []

    def serve(self) -> None:
        """Answer whatever the proxy asks its upstream, until it asks no more."""
        asked = True
        while asked:
            asked = False
            if self.proxy.reactor.tcpClients:
                self.upstreams.append(self.proxy.upstream())
            for upstream in self.upstreams:
                if upstream.request():
                    asked = True
                    upstream.write(OK)

    def send(self, caller: MemoryCaller, data: bytes, cuts: list[tuple[int, bool]]) -> bytes:
        """Send bytes in pieces, reading or not reading meanwhile."""
        got = b""
        for size, reading in [*cuts, (len(data), True)]:
            if caller.transport.producer is not None:
                (caller.resume if reading else caller.pause)()
            if data and not caller.closed:
                caller.write(data[:size])
                data = data[size:]
            self.serve()
            got += caller.read()
        return got

    @settings(deadline=None, max_examples=150)
    @given(
        st.lists(st.sampled_from(_MORE), max_size=4),
        st.sampled_from(_LAST),
        st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=20),
    )
    def test_answers_do_not_depend_on_the_cut(
        self,
        more: list[tuple[bytes, list[str]]],
        last: tuple[bytes, list[str]],
        cuts: list[tuple[int, bool]],
    ) -> None:
        asked = [*more, last]
        caller = self.proxy.caller()
        got = self.send(caller, b"".join(data for data, _ in asked), cuts)
        statuses = [found.decode() for found in re.findall(rb"HTTP/1\.[01] (\d+)", got)]
        self.assertEqual(statuses, [status for _, expected in asked for status in expected])
        if not caller.closed:
            caller.leave()
        site = self.proxy.assembly.site
        self.assertEqual((site.held, self.proxy.assembly.drain.in_flight), (0, 0))
        self.assertEqual(site.channels, set())
        self.assertEqual(self.flushLoggedErrors(), [])
