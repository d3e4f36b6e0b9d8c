"""Blobs as the store keeps them: compressed where that pays, with one leading byte that says how.

Most blobs are short (a message, the headers of an exchange, a brief stream) and of one of a few
shapes. Compression that starts from a dictionary of those shapes halves them. The dictionary is
part of the file format: a changed one gets a new number and the old one stays readable.
"""

from __future__ import annotations

from importlib import resources

import zstandard

RAW = b"\x00"
PLAIN = b"\x01"
DICTIONARY_1 = b"\x02"

LEVEL = 3
"""Higher levels gain 3 % on dialogue and cost twice the time."""
_DICTIONARY_LIMIT = 64 << 10  # larger blobs carry their own shapes


def _load(name: str) -> zstandard.ZstdCompressionDict:
    data = resources.files("clawproxy.store").joinpath(name).read_bytes()
    return zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


class Packer:
    """Compress and decompress blobs. Not to be shared between threads.

    :param level: zstd's.
    """

    def __init__(self, level: int = LEVEL) -> None:
        dictionary = _load("dictionary_1.txt")
        self._plain = zstandard.ZstdCompressor(level=level)
        self._unplain = zstandard.ZstdDecompressor()
        self._short = zstandard.ZstdCompressor(level=level, dict_data=dictionary)
        self._unshort = zstandard.ZstdDecompressor(dict_data=dictionary)

    def pack(self, data: bytes) -> bytes:
        """Give the blob to keep."""
        if len(data) < 32:
            return RAW + data
        if len(data) <= _DICTIONARY_LIMIT:
            packed = DICTIONARY_1 + self._short.compress(data)
        else:
            packed = PLAIN + self._plain.compress(data)
        return packed if len(packed) <= len(data) else RAW + data

    def unpack(self, blob: bytes) -> bytes:
        """Give back what was packed.

        :raises ValueError: for a blob that this version cannot read.
        """
        kind, data = blob[:1], blob[1:]
        if kind == DICTIONARY_1:
            return self._unshort.decompress(data)
        if kind == PLAIN:
            return self._unplain.decompress(data)
        if kind == RAW:
            return data
        raise ValueError(f"stored blob of unknown kind {kind!r}")
