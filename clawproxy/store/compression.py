"""Blobs as the store keeps them: compressed where that pays, with one leading byte that says how.

Most blobs are short (a message, the headers of an exchange, a brief stream) and of one of a few
shapes. Compression that starts from a dictionary of those shapes halves them. The dictionary is
part of the file format: a changed one gets a new number and the old one stays readable.

What says the same as another blob that is read with it anyway (an answer as it came, beside the finished message
that was read out of it) is compressed with that other one behind the dictionary.
"""

from __future__ import annotations

from importlib import resources

import zstandard

RAW = b"\x00"
PLAIN = b"\x01"
DICTIONARY_1 = b"\x02"
ALIKE_1 = b"\x03"

LEVEL = 3
"""Higher levels gain 3 % on dialogue and cost twice the time."""
_DICTIONARY_LIMIT = 64 << 10  # larger blobs carry their own shapes
_ALIKE_LIMIT = 256 << 10
"""Bytes of another blob that are used: a compressor has to be prepared for each. Part of the file format, too: it goes
with :data:`ALIKE_1`."""


class Packer:
    """Compress and decompress blobs. Not to be shared between threads.

    :param level: zstd's.
    """

    def __init__(self, level: int = LEVEL) -> None:
        self._level = level
        self._dictionary = (
            resources.files("clawproxy.store").joinpath("dictionary_1.txt").read_bytes()
        )
        dictionary = zstandard.ZstdCompressionDict(
            self._dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT
        )
        self._plain = zstandard.ZstdCompressor(level=level)
        self._unplain = zstandard.ZstdDecompressor()
        self._short = zstandard.ZstdCompressor(level=level, dict_data=dictionary)
        self._unshort = zstandard.ZstdDecompressor(dict_data=dictionary)

    def pack(self, data: bytes, alike: bytes | None = None) -> bytes:
        """Give the blob to keep.

        :param alike: what says much the same; it is needed again for :meth:`unpack`.
        """
        if len(data) < 32:
            return RAW + data
        if alike:
            compressor = zstandard.ZstdCompressor(self._level, self._with(alike))
            packed = ALIKE_1 + compressor.compress(data)
        elif len(data) <= _DICTIONARY_LIMIT:
            packed = DICTIONARY_1 + self._short.compress(data)
        else:
            packed = PLAIN + self._plain.compress(data)
        return packed if len(packed) <= len(data) else RAW + data

    def unpack(self, blob: bytes, alike: bytes | None = None) -> bytes:
        """Give back what was packed.

        :param alike: the same as when it was packed.
        :raises ValueError: for a blob that this version cannot read, or not without ``alike``.
        """
        kind, data = blob[:1], blob[1:]
        if kind == DICTIONARY_1:
            return self._unshort.decompress(data)
        if kind == PLAIN:
            return self._unplain.decompress(data)
        if kind == RAW:
            return data
        if kind == ALIKE_1:
            if not alike:
                raise ValueError("stored blob can only be read beside another, which is missing")
            return zstandard.ZstdDecompressor(self._with(alike)).decompress(data)
        raise ValueError(f"stored blob of unknown kind {kind!r}")

    def _with(self, alike: bytes) -> zstandard.ZstdCompressionDict:
        return zstandard.ZstdCompressionDict(
            self._dictionary + alike[:_ALIKE_LIMIT], dict_type=zstandard.DICT_TYPE_RAWCONTENT
        )
