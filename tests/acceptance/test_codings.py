"""Content codings, of requests and of answers."""

from __future__ import annotations

import gzip
import json
import re
import zlib

import brotli  # type: ignore[import-untyped]
import zstandard

from tests.acceptance.caller import ANTHROPIC, message, parsed, post
from tests.acceptance.test_streams import CHAT_FRAMES, DONE, ODD, PATHS, StreamCase
from tests.acceptance.upstream import JSON, answer, stream


def _compressed(data: bytes) -> dict[str, bytes]:
    return {
        "gzip": gzip.compress(data),
        "x-gzip": gzip.compress(data),
        "deflate": zlib.compress(data),
        "br": brotli.compress(data),
        "zstd": zstandard.ZstdCompressor().compress(data),
        "identity": data,
    }


class CodingTests(StreamCase):
    """Content encodings pass through untouched on a verbatim route, requests and answers."""

    def test_requests(self) -> None:
        for path, body, headers in PATHS:
            for coding, data in _compressed(json.dumps(body).encode()).items():
                self.up.answers(answer())
                reply = post(self.port, path, data, {**headers, "content-encoding": coding})
                self.assertEqual(reply.status, 200, coding)
                self.assertEqual(self.up.asked[0].body, data, coding)
                self.assertEqual(self.up.asked[0].header("content-encoding"), coding)

    def test_two_codings(self) -> None:
        data = gzip.compress(brotli.compress(json.dumps(message()).encode()))
        headers = {**ANTHROPIC, "content-encoding": "br, gzip"}
        self.assertEqual(post(self.port, "/v1/messages", data, headers).status, 200)
        self.assertEqual(self.up.asked[0].body, data)

    def test_requests_whose_model_is_another(self) -> None:
        """Where the proxy has to read a body it decodes a copy."""
        for coding, data in _compressed(json.dumps(message("alias")).encode()).items():
            self.up.answers(answer())
            headers = {**ANTHROPIC, "content-encoding": coding}
            self.assertEqual(post(self.port, "/v1/messages", data, headers).status, 200)
            asked = self.up.asked[0]
            sent = asked.header("content-encoding")
            body = asked.body if sent in (None, "identity") else gzip.decompress(asked.body)
            self.assertEqual(json.loads(body)["model"], "claude-real")

    def test_requests_that_are_translated(self) -> None:
        chat = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hi"},
                    "finish_reason": "stop",
                }
            ],
        }
        for coding, data in _compressed(json.dumps(message("translated")).encode()).items():
            self.up.answers(answer(chat))
            headers = {**ANTHROPIC, "content-encoding": coding}
            reply = post(self.port, "/v1/messages", data, headers)
            self.assertEqual((reply.status, parsed(reply)["type"]), (200, "message"), coding)
            self.assertEqual(self.up.asked[0].json["model"], "gpt-real")

    def test_answers(self) -> None:
        for coding, data in _compressed(b'{"x":1}').items():
            more = [*JSON, ("Content-Encoding", coding)]
            self.up.answers(answer(data, headers=more))
            reply = post(self.port, "/v1/messages", message(), ANTHROPIC)
            self.assertEqual((reply.body, reply["content-encoding"]), (data, coding))

    def test_bombs(self) -> None:
        """`max_body` bounds it both as sent and decoded; what is recorded is read beside the stream."""
        bomb = brotli.compress(b"\0" * (1 << 28))
        nothing = gzip.compress(gzip.compress(gzip.compress(b"") * 400_000))
        for coding, data in (("br", bomb), ("gzip, gzip, gzip", nothing)):
            headers = {**ANTHROPIC, "content-encoding": coding}
            reply = post(self.port, "/v1/messages", data, headers)
            self.assertAnthropicError(reply, 413, "request_too_large")
            self.up.answers(stream(data, headers=[("Content-Encoding", coding)]))
            reply = post(self.port, "/v1/messages", message(stream=True), ANTHROPIC)
            self.assertEqual((reply.whole, reply.body), (True, data))

    def test_coded_streams(self) -> None:
        data = gzip.compress(ODD)
        self.up.answers(stream(data[:20], 0.05, data[20:], headers=[("Content-Encoding", "gzip")]))
        reply = post(self.port, "/v1/messages", message(stream=True), ANTHROPIC)
        self.assertEqual((reply.body, reply["content-encoding"]), (data, "gzip"))

    def test_coded_streams_that_are_translated(self) -> None:
        """On translated routes it asks the upstream for `identity` or decodes what comes."""
        plain = b"".join([*CHAT_FRAMES, DONE])
        for coding, data in _compressed(plain).items():
            more = [("Content-Encoding", coding)]
            self.up.answers(stream(data[:30], 0.02, data[30:], headers=more))
            headers = {**ANTHROPIC, "accept-encoding": "gzip"}
            body = message("translated", stream=True)
            reply = post(self.port, "/v1/messages", body, headers)
            self.assertIsNone(reply["content-encoding"])
            self.assertIn(b'"text":"Hello"', re.sub(rb'": "', b'":"', reply.body), coding)
            self.assertIn(b"event: message_stop\n", reply.body)

    def test_unknown_coding(self) -> None:
        """A request in an unknown encoding goes to its dialect's default provider as it is."""
        data = b"\x00\x01 not for us"
        for path, _, headers in PATHS:
            self.up.answers(answer())
            reply = post(self.port, path, data, {**headers, "content-encoding": "snappy"})
            self.assertEqual(reply.status, 200)
            asked = self.up.asked[0]
            self.assertEqual((asked.body, asked.header("content-encoding")), (data, "snappy"))
            self.assertEqual(
                (asked.path, asked.header("host")), (path, f"127.0.0.1:{self.up.port}")
            )
