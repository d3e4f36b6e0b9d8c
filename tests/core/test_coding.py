"""Content codings: every one, stacked, cut anywhere, corrupt, and bombs."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.coding import BURST, RATIO, CodingError, Reason, StreamDecoder, decode

LIMIT = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    """Compress without zlib's wrapping."""
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "identity": bytes,
}


class CodingTests(SynchronousTestCase):
    """:func:`decode` and :class:`StreamDecoder`."""

    def fails(self, reason: Reason, body: bytes, coding: str, limit: int = LIMIT) -> None:
        """Assert the reason for which a body cannot be decoded."""
        error = self.assertRaises(CodingError, decode, body, coding, limit)
        self.assertEqual(error.reason, reason)

    def test_each(self) -> None:
        """Each coding gives back what was coded, small, empty and large."""
        for data in (b"{}", b"", b"some text " * 50_000):
            for name, encode in ENCODERS.items():
                self.assertEqual(decode(encode(data), name, LIMIT), data, name)

    def test_none(self) -> None:
        """No coding, or an empty one, leaves the body; an empty body needs no coding."""
        for name in ("", "identity", " , identity"):
            self.assertEqual(decode(b"as it is", name, LIMIT), b"as it is")
        for name in ENCODERS:
            self.assertEqual(decode(b"", name, LIMIT), b"")

    def test_several(self) -> None:
        """Codings are undone in reverse of the order in which they are named."""
        body = brotli.compress(gzip.compress(b"twice"))
        self.assertEqual(decode(body, "gzip, br", LIMIT), b"twice")
        self.fails("undecodable", body, "br, gzip")

    def test_members_and_frames(self) -> None:
        """Several gzip members or zstd frames are one body; zeros after gzip are padding."""
        body = gzip.compress(b"one ") + gzip.compress(b"two")
        self.assertEqual(decode(body + b"\0\0", "gzip", LIMIT), b"one two")
        frame = zstandard.ZstdCompressor().compress
        skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
        self.assertEqual(
            decode(frame(b"one ") + skipped + frame(b"two"), "zstd", LIMIT), b"one two"
        )

    def test_many_members(self) -> None:
        """Twenty bytes are a gzip member and nine a zstd frame: a body full of them costs no minutes."""
        self.assertEqual(decode(gzip.compress(b"") * 10_000, "gzip", LIMIT), b"")
        members = gzip.compress(b"") * 1_000_000
        started = time.monotonic()
        self.fails("too_large", members, "gzip")
        self.fails("too_large", zstandard.compress(b"") * 1_000_000, "zstd")
        self.assertLess(time.monotonic() - started, 5)

    def test_unknown(self) -> None:
        """An unknown coding is named; too many are refused."""
        self.fails("unknown", b"x", "gzip, lzma")
        self.fails("unknown", b"x", ", ".join(["gzip"] * 20))

    def test_corrupt_and_cut(self) -> None:
        """A corrupt or cut body is undecodable in every coding, never half a body."""
        data = bytes(range(256)) * 20
        for name, encode in ENCODERS.items():
            if name == "identity":
                continue
            coded = encode(data)
            self.fails("undecodable", b"\x01\x02 nonsense " * 3, name)
            for end in (1, 3, len(coded) // 2, len(coded) - 1):
                self.fails("undecodable", coded[:end], name)

    def test_bombs(self) -> None:
        """A bomb stops at the limit, for each coding and for stacked ones."""
        bomb = b"\0" * (24 << 20)
        for name in ("gzip", "deflate", "br", "zstd"):
            self.fails("too_large", ENCODERS[name](bomb), name)
        self.fails("too_large", gzip.compress(gzip.compress(bomb)), "gzip, gzip")
        self.assertEqual(len(decode(gzip.compress(bomb[:LIMIT]), "gzip", LIMIT)), LIMIT)
        self.fails("too_large", b"12345", "", 4)

    def test_bounded_pieces(self) -> None:
        """Without a limit in all, what a single feed holds in memory is bounded all the same."""
        bomb = b"\0" * (24 << 20)
        for name in ("gzip", "deflate", "br", "zstd"):
            pieces = [len(piece) for piece in StreamDecoder(name).feed(ENCODERS[name](bomb))]
            self.assertEqual(sum(pieces), len(bomb))
            self.assertLessEqual(max(pieces), 11 << 20)

    def test_bombs_that_give_nothing(self) -> None:
        """What stages within give counts, and so do empty members: both take time and yield little."""
        empty = gzip.compress(gzip.compress(b"") * 100_000)
        self.fails("too_large", empty, "gzip, gzip")
        self.fails("too_large", gzip.compress(gzip.compress(b"") + b"\0" * (8 << 20)), "gzip, gzip")
        self.assertEqual(decode(gzip.compress(gzip.compress(b"") * 5), "gzip, gzip", LIMIT), b"")

    def test_paced(self) -> None:
        """No piece of a paced stream decodes to more than a bounded amount of work."""
        bomb = b"\0" * (24 << 20)
        stacked = gzip.compress(gzip.compress(bomb))
        empty = gzip.compress(gzip.compress(b"") * 100_000)
        bombs = [(name, ENCODERS[name](bomb)) for name in ("gzip", "deflate", "br", "zstd")]
        for name, coded in [*bombs, ("gzip, gzip", stacked), ("gzip, gzip", empty)]:
            given = 0
            decoder = StreamDecoder(name, paced=True)
            with self.assertRaises(CodingError) as caught:
                for start in range(0, len(coded), 1000):
                    for piece in decoder.feed(coded[start : start + 1000]):
                        given += len(piece)
            self.assertEqual(caught.exception.reason, "too_large", name)
            self.assertLessEqual(given, BURST + RATIO * len(coded))

    def test_paced_for_long(self) -> None:
        """A stream of ordinary text may be as long as it likes, also if it comes in large pieces."""
        text = b"".join(b'data: {"delta":{"text":"word %d"}}\n\n' % each for each in range(300_000))
        coded = gzip.compress(text, 9)
        for size in (700, 65_536):
            decoder = StreamDecoder("gzip", paced=True)
            places = range(0, len(coded), size)
            got = [piece for at in places for piece in decoder.feed(coded[at : at + size])]
            self.assertEqual(sum(map(len, got)), len(text))

    def test_at_once(self) -> None:
        """What an encoder has flushed is decoded with the piece that brought it."""
        deflate = zlib.compressobj(wbits=31)
        raw = zlib.compressobj(wbits=-15)
        br = brotli.Compressor()
        zstd = zstandard.ZstdCompressor().compressobj()

        def brotli_piece(data: bytes) -> bytes:
            return bytes(br.process(data) + br.flush())

        encoders: dict[str, Callable[[bytes], bytes]] = {
            "gzip": lambda data: deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH),
            "deflate": lambda data: raw.compress(data) + raw.flush(zlib.Z_SYNC_FLUSH),
            "br": brotli_piece,
            "zstd": lambda data: (
                zstd.compress(data) + zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
            ),
        }
        for name, encode in encoders.items():
            decoder = StreamDecoder(name)
            for number in range(5):
                event = b"event: x\ndata: %d\n\n" % number
                self.assertEqual(b"".join(decoder.feed(encode(event))), event, name)
            error = self.assertRaises(CodingError, decoder.close)
            self.assertEqual(error.reason, "undecodable")

    @settings(deadline=None, max_examples=100)
    @given(
        st.binary(max_size=3000),
        st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3),
        st.integers(1, 40),
    )
    def test_any_cut(self, data: bytes, names: list[str], size: int) -> None:
        """Any stack of codings comes back, whatever the pieces."""
        coded = data
        for name in names:
            coded = ENCODERS[name](coded)
        decoder = StreamDecoder(", ".join(names), LIMIT)
        decoded = b"".join(
            piece
            for start in range(0, len(coded), size)
            for piece in decoder.feed(coded[start : start + size])
        )
        decoder.close()
        self.assertEqual(decoded, data)

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=200), st.sampled_from(sorted(ENCODERS)))
    def test_hostile(self, body: bytes, name: str) -> None:
        """Random bytes raise the one error or decode."""
        try:
            decode(body, name, LIMIT)
        except CodingError as error:
            self.assertEqual(error.reason, "undecodable")
