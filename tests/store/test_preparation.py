"""What is read out of an exchange: message, usage and tools, through every coding, and never more
than is bearable."""

from __future__ import annotations

import gzip
import json
import zlib

import brotli  # type: ignore[import-untyped]
import zstandard
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.message_base import Finished
from clawproxy.core.pricing import Price, PriceTable
from clawproxy.core.record import Exchange, Usage
from clawproxy.store import preparation
from clawproxy.store.cost import cost_of
from clawproxy.store.entry import Entry, Prepared
from clawproxy.store.pieces import Pieces
from clawproxy.store.plan import DECODED_REQUEST, REQUEST, UPSTREAM_REQUEST
from clawproxy.store.preparation import prepare
from tests.store.samples import asking, exchange, message

STREAM = b"".join(
    f"event: {json.loads(data)['type']}\ndata: {data}\n\n".encode()
    for data in (
        '{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c",'
        '"content":[],"stop_reason":null,"stop_sequence":null,'
        '"usage":{"input_tokens":7,"output_tokens":1}}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Good "}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"day"}}',
        '{"type":"content_block_stop","index":0}',
        '{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"output_tokens":3}}',
        '{"type":"message_stop"}',
    )
)
SSE = ("content-type", "text/event-stream; charset=utf-8")
CODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def final(
    answer: bytes,
    request: bytes = b"{}",
    upstream: bytes | None = None,
    **fields: object,
) -> Prepared:
    fields.setdefault("request_bytes", len(request))
    fields.setdefault("usage", None)
    entry = Entry(exchange(1, **fields), "1-a", True, request, upstream, Pieces((1.0,), (answer,)))
    return prepare(entry, request)


class FinishedTests(SynchronousTestCase):
    def test_a_stream_in_every_coding(self) -> None:
        for coding, compress in CODINGS.items():
            headers = [SSE, ("Content-Encoding", coding)]
            prepared = final(compress(STREAM), response_headers=headers)
            found = json.loads(prepared.finished or b"null")
            self.assertEqual(found["content"], [{"type": "text", "text": "Good day"}], coding)
            usage = prepared.entry.exchange.usage
            assert usage is not None
            self.assertEqual((usage.input_tokens, usage.output_tokens), (7, 3), coding)
            self.assertTrue(usage.complete)

    def test_a_stream_that_was_cut(self) -> None:
        for coding, compress in [("", bytes), *CODINGS.items()]:
            data = compress(STREAM * 30) if coding else STREAM[: STREAM.index(b"day")]
            cut = data[: len(data) // 2] if coding else data
            headers = [SSE, ("content-encoding", coding)] if coding else [SSE]
            prepared = final(cut, response_headers=headers, outcome="client_gone", status=499)
            usage = prepared.entry.exchange.usage
            if coding in ("", "gzip", "deflate"):  # the others give nothing before a block is whole
                self.assertIsNotNone(usage, coding)
            if not coding:
                assert usage is not None
                self.assertFalse(usage.complete)
                self.assertIn(b"Good ", prepared.finished or b"")

    def test_an_error_in_band_is_an_error(self) -> None:
        error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
        record = final(error, response_headers=[SSE]).entry.exchange
        self.assertEqual((record.outcome, record.error), ("error", "Overloaded"))

    def test_one_body(self) -> None:
        prepared = final(message("hi", "Bash", "Read"))
        self.assertEqual(
            json.loads(prepared.finished or b""), json.loads(message("hi", "Bash", "Read"))
        )
        self.assertEqual(prepared.tools, ("Bash", "Read"))
        usage = prepared.entry.exchange.usage
        assert usage is not None
        self.assertEqual(usage.input_tokens, 10)

    def test_what_the_relay_saw_stays(self) -> None:
        record = final(STREAM, response_headers=[SSE], usage=Usage(1, 2)).entry.exchange
        self.assertEqual(record.usage, Usage(1, 2))

    def test_no_usage_was_told(self) -> None:
        told = b'"usage":{"input_tokens":7,"output_tokens":1}'
        zeros = b'"usage":{"input_tokens":0,"output_tokens":0}'
        assert told in STREAM
        silent = STREAM.replace(told, zeros).replace(b'{"output_tokens":3}', b'{"output_tokens":0}')
        prepared = final(silent, response_headers=[SSE])
        record = prepared.entry.exchange
        self.assertIsNone(record.usage)
        prices = PriceTable([("*", Price(1.0, 1.0, 1.0, 1.0, 1.0))])
        self.assertIsNone(cost_of(record, Finished(prepared.finished), prices))

    def test_answers_of_no_dialect(self) -> None:
        models = b'{"data": [{"id": "m"}]}'
        self.assertEqual(
            json.loads(final(models, dialect=None).finished or b""), json.loads(models)
        )
        self.assertIsNone(final(b"\x89PNG not JSON", dialect=None).finished)
        self.assertIsNone(final(STREAM, dialect=None, response_headers=[SSE]).finished)
        self.assertIsNone(final(b"<html>Bad gateway</html>", status=502).finished)
        self.assertIsNone(final(b"").finished)

    def test_a_bomb_is_not_unpacked(self) -> None:
        self.patch(preparation, "DECODED_LIMIT", 1 << 20)
        bomb = gzip.compress(b'{"a":"' + bytes(64 << 20))
        prepared = final(
            bomb,
            bomb,
            request_headers=[("content-encoding", "gzip")],
            response_headers=[("content-encoding", "gzip")],
        )
        self.assertIsNone(prepared.finished)
        self.assertEqual(prepared.bodies[REQUEST].body, bomb)
        decoded = prepared.bodies.get(DECODED_REQUEST)
        self.assertLessEqual(len(decoded.body) if decoded else 0, 2 << 20)


class BodyTests(SynchronousTestCase):
    def test_a_compressed_request_is_read_as_well(self) -> None:
        for coding, compress in CODINGS.items():
            packed = compress(asking("hello"))
            prepared = final(b"{}", packed, request_headers=[("content-encoding", coding)])
            self.assertEqual(prepared.bodies[REQUEST].body, packed)
            self.assertEqual(prepared.bodies[DECODED_REQUEST].body, asking("hello"))

    def test_an_unknown_coding_is_left_alone(self) -> None:
        prepared = final(b"{}", b"???", request_headers=[("content-encoding", "snappy")])
        self.assertEqual(prepared.bodies[REQUEST].body, b"???")
        self.assertNotIn(DECODED_REQUEST, prepared.bodies)

    def test_no_body_was_kept(self) -> None:
        self.assertEqual(final(b"", b"", request_bytes=500).bodies, {})
        self.assertEqual(final(b"", b"", request_bytes=0).bodies[REQUEST].body, b"")

    def test_upstream_bodies_are_for_the_end(self) -> None:
        self.assertIn(UPSTREAM_REQUEST, final(b"{}", b"{}", b"{...}").bodies)
        running = Entry(exchange(1, outcome="running"), "1-a", False, b"{}", b"{...}")
        self.assertNotIn(UPSTREAM_REQUEST, prepare(running).bodies)

    def test_enrichment(self) -> None:
        seen = []

        def enrich(
            record: Exchange, request: bytes | None, finished: object, upstream: object
        ) -> str | None:
            seen.append((request, finished))
            record.conversation_id = "c1"
            return "title"

        packed = gzip.compress(asking("name this"))
        record = exchange(1, request_headers=[("content-encoding", "gzip")])
        entry = Entry(record, "1-a", True, None, None, Pieces((1.0,), (message("A name"),)))
        prepared = prepare(entry, packed, enrich)
        self.assertEqual(prepared.side_call, "title")
        self.assertEqual(record.conversation_id, "c1")
        self.assertEqual(seen[0][0], asking("name this"))
