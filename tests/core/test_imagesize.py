"""Image sizes from first bytes, of every accepted format, and of bytes that are none."""

from __future__ import annotations

import base64

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.imagesize import image_size, image_size_of_base64


def png(width: int, height: int) -> bytes:
    """Give the beginning of a PNG."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size + b"\x08\x06\0\0\0"


def jpeg(width: int, height: int) -> bytes:
    """Give the beginning of a JPEG: EXIF, a fill byte, a table, and a progressive frame."""
    exif = b"\xff\xe1\x10\x00" + b"\0" * 4094
    table = b"\xff\xff\xc4\x00\x04\0\0"
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"\xff\xd8" + exif + table + b"\xff\xc2\x00\x11\x08" + size + b"\x03"


def webp(kind: bytes, payload: bytes) -> bytes:
    """Give the beginning of a WebP of one of its three kinds."""
    return b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + payload + b"\0" * 10


class ImageSizeTests(SynchronousTestCase):
    """:func:`image_size`."""

    def test_formats(self) -> None:
        """Each format tells its size."""
        gif = b"GIF89a" + (300).to_bytes(2, "little") + (200).to_bytes(2, "little")
        lossless = ((300 - 1) | (200 - 1) << 14).to_bytes(4, "little")
        lossy = b"\0\0\0\x9d\x01\x2a" + (300).to_bytes(2, "little") + (200).to_bytes(2, "little")
        extended = b"\0\0\0\0" + (299).to_bytes(3, "little") + (199).to_bytes(3, "little")
        for data in (
            png(300, 200),
            jpeg(300, 200),
            gif,
            webp(b"VP8L", b"\x2f" + lossless),
            webp(b"VP8 ", lossy),
            webp(b"VP8X", extended),
        ):
            self.assertEqual(image_size(data), (300, 200), data[:4])
            self.assertEqual(image_size_of_base64(base64.b64encode(data).decode()), (300, 200))

    def test_none(self) -> None:
        """Other bytes, cut ones and sizes of zero tell nothing."""
        for data in (b"", b"GIF89a", png(300, 200)[:20], jpeg(3, 2)[:4000], png(0, 1), b"%PDF-1"):
            self.assertIsNone(image_size(data), data)
        for text in ("", "é", "====", "a"):
            self.assertIsNone(image_size_of_base64(text))

    def test_base64_of_many_lines(self) -> None:
        """Line ends in the base64 do not matter."""
        text = base64.encodebytes(jpeg(300, 200)).decode()
        self.assertEqual(image_size_of_base64(text), (300, 200))

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"RIFF0000WEBPVP8X"]),
        st.binary(max_size=60),
    )
    def test_hostile(self, magic: bytes, data: bytes) -> None:
        """Nothing raises."""
        size = image_size(magic + data)
        if size is not None:
            self.assertGreater(min(size), 0)
