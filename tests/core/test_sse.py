"""SSE decoding: the standard's rules, any cut of the bytes, bounds, linear time, boundaries."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.sse import FrameBoundary, SSEDecoder, SSEEvent


def decode(*pieces: bytes, limit: int | None = None) -> list[SSEEvent]:
    """Feed the pieces and close."""
    decoder = SSEDecoder(limit)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def reference(stream: bytes) -> list[SSEEvent]:
    """Read a whole stream by the letter of the standard, slowly, with our rule for its end."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    ended, last = lines[:-1], lines[-1]
    if last:
        ended.append(last)
    events: list[SSEEvent] = []
    name, data, last_id, retry = "", None, None, None
    for line in [*ended, b""]:
        if not line:
            if data is not None:
                events.append(SSEEvent(name, data, last_id, retry))
            name, data, retry = "", None, None
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data = value if data is None else data + b"\n" + value
        elif field == b"id" and b"\0" not in value:
            last_id = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit():
            retry = int(value)
    return events


LINES = st.sampled_from(
    [
        b"event: message_start",
        b"event:x",
        b"event",
        b'data: {"type":"ping"}',
        b"data:",
        b"data",
        b"data:  two spaces",
        b"data: \xc3\xa9\xf0\x9f\x98\x80",
        b"data: \xff\xfe",
        b": comment",
        b":",
        b"id: 7",
        b"id",
        b"id: a\0b",
        b"retry: 150",
        b"retry: 1x",
        b"retry:",
        b"unknown: field",
        b" data: not a field",
        b"",
        b"",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r", b"\r\n"])
STREAMS = st.builds(
    lambda bom, lines, tail: bom + b"".join(line + end for line, end in lines) + tail,
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef", b"\xef\xbb"]),
    st.lists(st.tuples(LINES, ENDS), max_size=25),
    st.sampled_from([b"", b"data: [DONE]", b"event: x", b":"]),
)


def cut(stream: bytes, points: list[int]) -> list[bytes]:
    """Cut a stream at the points (modulo its length)."""
    places = sorted({point % (len(stream) + 1) for point in points})
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


class DecoderTests(SynchronousTestCase):
    """:class:`SSEDecoder` against the standard's examples and against a slow reading of it."""

    def test_examples_of_the_standard(self) -> None:
        """The WHATWG's own examples give what its text says."""
        self.assertEqual(
            decode(b"data: YHOO\ndata: +2\ndata: 10\n\n"), [SSEEvent("", b"YHOO\n+2\n10")]
        )
        self.assertEqual(
            decode(
                b": test stream\n\ndata: first event\nid: 1\n\n"
                b"data:second event\nid\n\ndata:  third event\n\n"
            ),
            [
                SSEEvent("", b"first event", "1"),
                SSEEvent("", b"second event", ""),
                SSEEvent("", b" third event", ""),
            ],
        )
        self.assertEqual(
            decode(b"data\n\ndata\ndata\n\n"), [SSEEvent("", b""), SSEEvent("", b"\n")]
        )
        self.assertEqual(decode(b"data:test\n\ndata: test\n\n"), [SSEEvent("", b"test")] * 2)

    def test_usual_frames(self) -> None:
        """Frames of the vendors' shapes, several in one piece."""
        self.assertEqual(
            decode(b'event: ping\ndata: {"type":"ping"}\n\ndata: {}\n\ndata: [DONE]\n\n'),
            [SSEEvent("ping", b'{"type":"ping"}'), SSEEvent("", b"{}"), SSEEvent("", b"[DONE]")],
        )

    def test_retry_and_id_outlive(self) -> None:
        """``retry`` belongs to its frame and to the stream, ``id`` to all that follow."""
        decoder = SSEDecoder()
        events = decoder.feed(b"id: a\nretry: 20\ndata: 1\n\ndata: 2\n\nretry: 30\n\n")
        self.assertEqual(events, [SSEEvent("", b"1", "a", 20), SSEEvent("", b"2", "a")])
        self.assertEqual((decoder.retry, decoder.last_event_id), (30, "a"))

    def test_unended_event(self) -> None:
        """An event without its blank line comes at the close; the stream counts as truncated."""
        decoder = SSEDecoder()
        self.assertEqual(decoder.feed(b"data: 1\n\ndata: [DONE]"), [SSEEvent("", b"1")])
        self.assertFalse(decoder.truncated)
        self.assertEqual(decoder.close(), [SSEEvent("", b"[DONE]")])
        self.assertTrue(decoder.truncated)

    def test_whole_stream_is_not_truncated(self) -> None:
        """Nothing is truncated where the stream ended between frames, in all three line ends."""
        for stream in (b"", b"data: 1\n\n", b"data: 1\r\r", b"data: 1\r\n\r\n", b": c\n\n"):
            decoder = SSEDecoder()
            decoder.feed(stream)
            decoder.close()
            self.assertFalse(decoder.truncated, stream)

    @settings(deadline=None, max_examples=300)
    @given(STREAMS, st.lists(st.integers(0, 600), max_size=12))
    def test_any_cut(self, stream: bytes, points: list[int]) -> None:
        """Any cut gives what a reading of the whole by the letter gives."""
        expected = reference(stream)
        self.assertEqual(decode(*cut(stream, points)), expected)
        self.assertEqual(decode(*[stream[i : i + 1] for i in range(len(stream))]), expected)

    @settings(deadline=None, max_examples=100)
    @given(STREAMS, st.lists(st.integers(0, 600), max_size=12), st.integers(0, 30))
    def test_any_cut_with_limit(self, stream: bytes, points: list[int], limit: int) -> None:
        """A limit drops the same events for every cut."""
        whole, pieces = SSEDecoder(limit), SSEDecoder(limit)
        expected = whole.feed(stream) + whole.close()
        found = [event for piece in cut(stream, points) for event in pieces.feed(piece)]
        self.assertEqual(found + pieces.close(), expected)
        self.assertEqual(pieces.dropped, whole.dropped)
        for event in expected:
            self.assertLessEqual(len(event.data), limit)

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.binary(max_size=40), max_size=8))
    def test_random_bytes(self, pieces: list[bytes]) -> None:
        """Random bytes raise nothing and read as by the letter."""
        self.assertEqual(decode(*pieces), reference(b"".join(pieces)))

    def test_limit(self) -> None:
        """An event over the limit is dropped and counted; its neighbours stay."""
        stream = b"data: ok\n\nevent: x\ndata: " + b"z" * 100 + b"\n\ndata: ok\n\n"
        for size in (1, 7, 50, 500):
            decoder = SSEDecoder(limit=50)
            events = [
                event
                for start in range(0, len(stream), size)
                for event in decoder.feed(stream[start : start + size])
            ]
            self.assertEqual(events, [SSEEvent("", b"ok")] * 2)
            self.assertEqual(decoder.dropped, 1)

    def test_long_line_in_linear_time(self) -> None:
        """A line of 5 MiB in pieces of 1 KiB takes well under a second, and is whole."""
        payload = b"x" * (5 * 1024 * 1024)
        stream = b"event: big\ndata: " + payload + b"\n\n"
        started = time.perf_counter()
        events = decode(*[stream[i : i + 1024] for i in range(0, len(stream), 1024)])
        self.assertLess(time.perf_counter() - started, 2)
        self.assertEqual(events, [SSEEvent("big", payload)])


class FrameBoundaryTests(SynchronousTestCase):
    """:class:`FrameBoundary` ends a frame with just the bytes needed."""

    def ending(self, *pieces: bytes) -> bytes:
        """Feed the pieces and ask."""
        boundary = FrameBoundary()
        for piece in pieces:
            boundary.feed(piece)
        return boundary.ending()

    def test_between_frames(self) -> None:
        """Nothing is to be added between two frames, for each kind of line end."""
        for stream in (
            b"",
            b"\n",
            b"\r\n",
            b"data: 1\n\n",
            b"data: 1\r\r",
            b"data: 1\r\n\r\n",
            b"data: 1\n\r\n",
            b"data: 1\r\n\n",
        ):
            self.assertEqual(self.ending(stream), b"", stream)
            self.assertEqual(self.ending(*[bytes([byte]) for byte in stream]), b"", stream)

    def test_inside(self) -> None:
        """A half line is ended, and then its frame; after a whole line only the frame."""
        self.assertEqual(self.ending(b"event: x\ndata: {"), b"\n\n")
        self.assertEqual(self.ending(b"data: {}", b"\n"), b"\n")
        self.assertEqual(self.ending(b"data: {}\r", b"\n"), b"\n")
        self.assertEqual(self.ending(b"data: {}\r"), b"\n\n")
        self.assertEqual(self.ending(b"d"), b"\n\n")

    @settings(deadline=None, max_examples=200)
    @given(STREAMS, st.lists(st.integers(0, 600), max_size=12))
    def test_error_event_is_read(self, stream: bytes, points: list[int]) -> None:
        """Whatever was sent, an event behind the ending is read as itself."""
        boundary = FrameBoundary()
        for piece in cut(stream, points):
            boundary.feed(piece)
        ending = boundary.ending()
        last = decode(stream + ending + b"event: error\ndata: {}\n\n")[-1]
        self.assertEqual((last.event, last.data), ("error", b"{}"))
        if not ending:
            self.assertEqual(SSEDecoder().feed(stream), decode(stream))
