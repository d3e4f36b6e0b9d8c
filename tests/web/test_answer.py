"""A caller's request as far as it is answered."""

from __future__ import annotations

from tests.web.test_site import SiteCase
from tests.wire import ASK, LAST_CHUNK, OK, STREAM_HEAD, chunk


class PacketTests(SiteCase):
    def test_whole_answer_leaves_as_one_packet(self) -> None:
        written: list[bytes] = []
        self.patch(self.caller.transport, "write", written.append)
        upstream = None
        for answer in (OK, STREAM_HEAD + chunk(b"data: 1\n\n") + LAST_CHUNK):
            self.caller.post("/v1/messages", ASK)
            upstream = upstream or self.proxy.upstream()
            upstream.write(answer)
            self.assertEqual(len(written), 1)
            written.clear()
