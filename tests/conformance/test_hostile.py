"""No stream, body or request, however broken, raises anything but what it should.

A few hundred are tried each time. With ``CLAWPROXY_HOSTILE_STREAMS=100000`` in the environment as
many streams are tried; ``CLAWPROXY_HOSTILE_SEED`` begins elsewhere.
"""

from __future__ import annotations

import os
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event
from clawproxy.core.errors import ProxyError
from tests.conformance.answers import ANSWERS
from tests.conformance.grammar import grammar_faults
from tests.conformance.hostile import broken_body, broken_request, broken_stream, pieces
from tests.conformance.readers import check_anthropic, check_responses, frames_of
from tests.conformance.translation import CREATED, RESPONSE_ID, turn_of

NAMES: tuple[DialectName, ...] = tuple(DIALECTS)
STREAMS = int(os.environ.get("CLAWPROXY_HOSTILE_STREAMS", "300"))
SEED = int(os.environ.get("CLAWPROXY_HOSTILE_SEED", "0"))
TURNS = {name: turn_of(name) for name in NAMES}


def check_frames(caller: DialectName, body: bytes) -> None:
    """Check that a caller's parser could read the stream, whatever the upstream sent."""
    frames = frames_of(body)
    if caller == "anthropic":
        check_anthropic(frames)
    elif caller == "openai_responses":
        check_responses(frames)
    else:
        ends = [data for _, data in frames if data == "[DONE]" or "error" in data]
        assert ends == [frames[-1][1]], "one end, at the end"


class HostileTests(SynchronousTestCase):
    """Streams, whole answers and requests broken at random."""

    def try_stream(self, random: Random) -> None:
        """Break a stream, decode it in random pieces, and encode it for every caller."""
        upstream = random.choice(NAMES)
        stream = broken_stream(random, upstream, ANSWERS)
        decoder = DIALECTS[upstream].stream_decoder()
        events: list[Event] = []
        for piece in pieces(random, stream):
            events += decoder.feed(piece)
        events += decoder.close()
        self.assertEqual(decoder.feed(stream) + decoder.close(), [], "nothing after the end")
        self.assertEqual(grammar_faults(events), [])
        whole = DIALECTS[upstream].stream_decoder()
        at_once = whole.feed(stream) + whole.close()
        self.assertEqual(repr(at_once), repr(events), "the same for every cut")
        for caller in NAMES:
            encoder = DIALECTS[caller].stream_encoder(
                TURNS[caller], model="m", response_id=RESPONSE_ID, created=CREATED
            )
            out = b"".join([encoder.encode(event) + encoder.ping() for event in events])
            check_frames(caller, out + encoder.close())

    def test_streams(self) -> None:
        """Nothing is raised; the events obey their grammar, the frames their API."""
        for seed in range(SEED, SEED + STREAMS):
            random = Random(seed)
            try:
                self.try_stream(random)
            except BaseException:
                print(f"CLAWPROXY_HOSTILE_SEED={seed}")  # noqa: T201
                raise

    @given(st.randoms(use_true_random=False))
    @settings(max_examples=300, deadline=None)
    def test_bodies(self, random: Random) -> None:
        """A whole answer gives one, or a fault that can be worded."""
        upstream = random.choice(NAMES)
        body = broken_body(random, upstream, ANSWERS)
        try:
            events = DIALECTS[upstream].parse_response(body)
        except ProxyError:
            return
        self.assertEqual(grammar_faults(events), [])
        for caller in NAMES:
            try:
                DIALECTS[caller].build_response(
                    events, TURNS[caller], model="m", response_id=RESPONSE_ID, created=CREATED
                )
            except ProxyError:
                continue

    @given(st.randoms(use_true_random=False))
    @settings(max_examples=300, deadline=None)
    def test_requests(self, random: Random) -> None:
        """A request is read and written, or refused."""
        caller = random.choice(NAMES)
        body = broken_request(random, caller)
        try:
            turn = DIALECTS[caller].parse_request(body, [])
        except ProxyError as error:
            self.assertTrue(400 <= error.http_status < 500, error)
            return
        for upstream in NAMES:
            try:
                DIALECTS[upstream].build_request(turn, model="m", stream=True)
            except ProxyError as error:
                self.assertTrue(400 <= error.http_status < 500, error)

    @given(st.binary(max_size=400), st.sampled_from(NAMES))
    @settings(max_examples=200, deadline=None)
    def test_bytes(self, data: bytes, upstream: DialectName) -> None:
        """Bytes of any kind are a failed stream, an unreadable answer and a refused request."""
        decoder = DIALECTS[upstream].stream_decoder()
        events = decoder.feed(data) + decoder.close()
        self.assertEqual(grammar_faults(events), [])
        for read in (
            DIALECTS[upstream].parse_response,
            lambda body: DIALECTS[upstream].parse_request(body, []),
        ):
            self.assertRaises(ProxyError, read, data)
