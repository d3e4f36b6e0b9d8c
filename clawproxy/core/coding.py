"""Undo HTTP content codings of a copy, where the proxy has to read what passes through it coded.

1. :func:`decode` undoes those of a whole body.
2. :class:`StreamDecoder` undoes them piece by piece and gives at once all that a piece decodes to.

Both are bounded: a few bytes can decode to gigabytes, or take seconds and give nothing. Codings are named in
RFC 9110, 8.4.1; ``br`` in RFC 7932, ``zstd`` in RFC 8878 and 9659. Several may be applied, the last one named
outermost.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

PIECE = 64 * 1024
"""Most bytes that a stage gives at once (``br`` and ``zstd`` may exceed it, see their classes)."""

MOST_CODINGS = 4
"""More codings than this on one body are taken for an attack."""

BURST = 4 * 1024 * 1024
"""Most bytes that a paced stream may decode to at once: about 20 ms of work."""

RATIO = 64
"""How many times its size a paced stream may decode to for long; text with its framing stays below 30."""

STEP = 256
"""Bytes that each piece and each member counts as besides its own: there are bombs of empty ones, too."""

_SLICE = 8 * 1024

Reason = Literal["unknown", "undecodable", "too_large"]


class CodingError(ValueError):
    """A body whose codings cannot be undone.

    :ivar reason: ``unknown`` coding, ``undecodable`` (corrupt or cut), ``too_large`` when decoded.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class _Stage(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what the data decodes to, and nothing at a member's end, so that it is counted."""

    def whole(self) -> bool:
        """Whether the coded data ended where it may; nothing at all is whole, too."""


class _Zlib:
    """``gzip`` and ``deflate``.

    Several gzip members in a row are one body, and what follows the last is ignored, as gzip itself
    does; ``deflate`` is by the RFC in zlib's wrapping, and from some servers without.
    """

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflate: zlib._Decompress | None = None
        self._held = b""
        self._members = 0
        self._done = False

    def _begin(self, data: bytes) -> zlib._Decompress | None:
        if not self._gzip:
            if self._members:
                self._done = True
                return None
            if len(data) < 2:
                self._held = data
                return None
            header = data[0] & 0x8F == 0x08 and (data[0] * 256 + data[1]) % 31 == 0
            return zlib.decompressobj(zlib.MAX_WBITS if header else -zlib.MAX_WBITS)
        if self._members and not data.startswith(b"\x1f\x8b"):
            self._held = data if data == b"\x1f" else b""
            self._done = not self._held
            return None
        return zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        # What follows a member is copied with each: the rest of a whole body would be too much.
        for start in range(0, len(data), _SLICE):
            yield from self._feed(data[start : start + _SLICE])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data and not self._done:
            if self._inflate is None:
                data, self._held = self._held + data, b""
                self._inflate = self._begin(data)
                if self._inflate is None:
                    return
            inflate = self._inflate
            while True:
                decoded = inflate.decompress(data, PIECE)
                data = inflate.unconsumed_tail
                if decoded:
                    yield decoded
                if inflate.eof or (not data and len(decoded) < PIECE):
                    break
            if inflate.eof:
                self._members += 1
                self._inflate = None
                data = inflate.unused_data
                yield b""

    def whole(self) -> bool:
        return self._inflate is None and (self._members > 0 or not self._held)


class _Brotli:
    """``br``; the library may exceed the piece's size by its own block."""

    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        self._fed = True
        decoded = self._brotli.process(data, output_buffer_limit=PIECE)
        while True:
            if decoded:
                yield decoded
            elif self._brotli.can_accept_more_data() or self._brotli.is_finished():
                return
            if self._brotli.is_finished():
                return
            decoded = self._brotli.process(b"", output_buffer_limit=PIECE)

    def whole(self) -> bool:
        return not self._fed or self._brotli.is_finished()


class _Zstd:
    """``zstd``, any number of frames.

    The library cannot bound what one call gives, but a block (at least 3 bytes) decodes to at most
    128 KiB: small slices of the input keep a call below 11 MiB.
    """

    _SLICE = 256

    def __init__(self, window: int) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=window)
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), self._SLICE):
            part = data[start : start + self._SLICE]
            while part:
                if self._frame is None:
                    self._frame = self._context.decompressobj()
                decoded = self._frame.decompress(part)
                if decoded:
                    yield decoded
                part = b""
                if self._frame.eof:
                    part = self._frame.unused_data
                    self._frame = None
                    yield b""

    def whole(self) -> bool:
        return self._frame is None


_FAULTS = (zlib.error, brotli.error, zstandard.ZstdError)


def _stages(content_encoding: str, limit: int | None) -> list[_Stage]:
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name and name != "identity"]
    if len(names) > MOST_CODINGS:
        raise CodingError("unknown", f"{len(names)} content codings on one body")
    # RFC 9659 allows windows up to 8 MiB; a body within the limit never needs more than the limit.
    window = max(8 << 20, limit or 0)
    makers: dict[str, Callable[[], _Stage]] = {
        "gzip": lambda: _Zlib(gzip=True),
        "x-gzip": lambda: _Zlib(gzip=True),
        "deflate": lambda: _Zlib(gzip=False),
        "br": _Brotli,
        "zstd": lambda: _Zstd(window),
    }
    for name in names:
        if name not in makers:
            raise CodingError("unknown", f"unknown content coding {name[:40]!r}")
    return [makers[name]() for name in reversed(names)]


class StreamDecoder:
    """Undo the codings of a stream as its pieces come.

    :param content_encoding: the header's value, ``""`` for none.
    :param limit: most bytes that the whole stream may decode to; ``None``: no bound in all, and the
        memory is bounded still, since :meth:`feed` gives its pieces one by one.
    :param paced: bound also what one piece may decode to, for those whose thread must not stand still:
        :data:`BURST` bytes at once and :data:`RATIO` times its size in the long run.
    :raises CodingError: ``unknown``.
    """

    def __init__(
        self, content_encoding: str, limit: int | None = None, *, paced: bool = False
    ) -> None:
        self._stages = _stages(content_encoding, limit)
        self._limit = limit
        self._total = 0
        self._paced = paced
        # What all stages together may still give: a small result can have had a large way.
        self._room: float = math.inf if limit is None else 2 * limit + BURST
        if paced:
            self._room = BURST

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give all that the stream decodes to so far, in pieces; iterate to the end.

        :raises CodingError: ``undecodable`` or ``too_large``, while iterating.
        """
        if self._paced:
            self._room = min(self._room + RATIO * len(data), BURST)
        pieces: Iterable[bytes] = (data,) if data else ()
        for stage in self._stages:
            pieces = self._through(stage, pieces)
        try:
            for piece in pieces:
                self._total += len(piece)
                if self._limit is not None and self._total > self._limit:
                    raise CodingError("too_large", f"decodes to more than {self._limit} bytes")
                yield piece
        except _FAULTS as error:
            raise CodingError("undecodable", f"corrupt content coding: {error}") from None

    def _through(self, stage: _Stage, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            for decoded in stage.feed(piece):
                self._room -= len(decoded) + STEP
                if self._room < 0:
                    raise CodingError("too_large", "decodes to far more than its own size")
                if decoded:
                    yield decoded

    def close(self) -> None:
        """End the stream.

        :raises CodingError: ``undecodable`` if it was cut.
        """
        if not all(stage.whole() for stage in self._stages):
            raise CodingError("undecodable", "content coding cut off")


def decode(body: bytes, content_encoding: str, limit: int) -> bytes:
    """Undo all codings of a whole body.

    :param content_encoding: the header's value, ``""`` for none.
    :param limit: most bytes that it may decode to.
    :raises CodingError: with its ``reason``.
    """
    decoder = StreamDecoder(content_encoding, limit)
    decoded = b"".join(decoder.feed(body))
    decoder.close()
    return decoded
