"""Request bodies without repetition: an agent resends its whole history with each turn, and each
message is kept once.

1. :func:`split` cuts a body into *parts* (the system prompt, the tools, each message) and *glue*
   (what stands between them). It only ever cuts; joined together, the cuts are the body byte for
   byte, whatever the bytes were. What is not a JSON object, or is broken, is one part.
2. The store keeps each part once, by its :func:`digest`.
3. :func:`encode_manifest` writes a body as a list of parts' numbers with the glue in between;
   :func:`decode_manifest` reads it.

The scanner is one regular expression over strings and brackets. It does not judge JSON: a body that
no parser takes is cut somewhere and still comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

from attrs import frozen

from clawproxy.store import varint

ELEMENTWISE = frozenset((b'"messages"', b'"input"', b'"contents"'))
"""Members whose array elements are parts of their own."""
TEXTS = frozenset((b'"system"', b'"instructions"', b'"prompt"', *ELEMENTWISE))
"""Members whose values are parts however short: the search index refers to them."""
TEXT_SIZE = 3
"""Bytes from which on such a value, or an array element, is a part."""
MEMBER_SIZE = 256
"""Any other member's value is a part from this many bytes on."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]', re.DOTALL)


@frozen
class Part:
    """A piece of a body that is likely to recur.

    :ivar data: the bytes, exactly.
    :ivar member: the top-level member it is of (``messages``, ``system``, …), or ``""`` for a whole
        body.
    :ivar element: it is one element of the member's array.
    """

    data: bytes
    member: str = ""
    element: bool = False


@frozen
class Split:
    """A body, cut.

    :ivar glue: what stands before each part, and last what stands behind the last one: one more
        than parts.
    :ivar parts: in the body's order.
    """

    glue: tuple[bytes, ...]
    parts: tuple[Part, ...]

    @property
    def body(self) -> bytes:
        """The body again."""
        pairs = zip(self.glue, self.parts, strict=False)
        return (
            b"".join(piece for glue, part in pairs for piece in (glue, part.data)) + self.glue[-1]
        )


def digest(data: bytes) -> bytes:
    """Give the name of a part's content: 16 bytes of BLAKE2b, too many for a chance collision and
    half an index of 32."""
    return blake2b(data, digest_size=16).digest()


def split(body: bytes) -> Split:
    """Cut a body into parts and glue."""
    spans = list(_spans(body))
    if not spans:
        if len(body) < MEMBER_SIZE:
            return Split((body,), ())
        return Split((b"", b""), (Part(body),))
    glue, parts, at = [], [], 0
    for start, end, member, element in spans:
        glue.append(body[at:start])
        parts.append(Part(body[start:end], member, element))
        at = end
    glue.append(body[at:])
    return Split(tuple(glue), tuple(parts))


def _spans(body: bytes) -> list[tuple[int, int, str, bool]]:
    """Find the parts as ``(start, end, member, element)``, in order and never overlapping."""
    spans: list[tuple[int, int, str, bool]] = []
    depth = 0
    name = b""  # the top-level member at hand, with its quotes
    last = b""  # the string before the last colon
    value = element = -1  # where the value, the element at hand begin
    elements = False
    for token in _TOKEN.finditer(body):
        char = body[token.start()]
        if char == 0x22:  # "
            if depth == 1 and value < 0:
                last = token.group()
            continue
        if char == 0x3A:  # :
            if depth == 1:
                name, value = last, token.end()
                elements = False
            continue
        if char in b"[{":
            depth += 1
            if depth == 1 and char == 0x5B:
                return []  # an array at the top
            if depth == 2 and char == 0x5B and name in ELEMENTWISE:
                elements, element = True, token.end()
            continue
        # From here on: a comma or a closing bracket.
        if elements and depth == 2:
            _note(spans, body, element, token.start(), name, True)
            element = token.end()
        if char != 0x2C:
            depth -= 1
            if depth == 0:
                if value >= 0 and not elements:
                    _note(spans, body, value, token.start(), name, False)
                break
            continue
        if depth == 1:
            if value >= 0 and not elements:
                _note(spans, body, value, token.start(), name, False)
            value, elements = -1, False
    return spans


def _note(
    spans: list[tuple[int, int, str, bool]],
    body: bytes,
    start: int,
    end: int,
    name: bytes,
    element: bool,
) -> None:
    least = TEXT_SIZE if name in TEXTS else MEMBER_SIZE
    while start < end and body[start] in b" \t\r\n":
        start += 1
    while end > start and body[end - 1] in b" \t\r\n":
        end -= 1
    if end - start >= least:
        spans.append((start, end, name[1:-1].decode("utf-8", "replace"), element))


def encode_manifest(glue: Sequence[bytes], numbers: Sequence[int]) -> bytes:
    """Write a body as its parts' numbers and the glue, not yet compressed.

    Numbers are written as differences: those of one session mostly count up by one, and a list of
    ones compresses to nothing.
    """
    deltas, before = [], 0
    for number in numbers:
        deltas.append(varint.zigzag(number - before))
        before = number
    return b"".join(
        (varint.pack([len(numbers)]), varint.pack(deltas), varint.pack(map(len, glue)), *glue)
    )


def decode_manifest(data: bytes) -> tuple[list[bytes], list[int]]:
    """Undo :func:`encode_manifest`."""
    (count,), offset = varint.unpack(data, 1)
    deltas, offset = varint.unpack(data, count, offset)
    lengths, offset = varint.unpack(data, count + 1, offset)
    glue, numbers, number = [], [], 0
    for length in lengths:
        glue.append(data[offset : offset + length])
        offset += length
    for delta in deltas:
        number += varint.unzigzag(delta)
        numbers.append(number)
    return glue, numbers


def join(glue: Sequence[bytes], parts: Sequence[bytes]) -> bytes:
    """Rebuild a body from its glue and its parts."""
    pieces = [glue[0]]
    for part, behind in zip(parts, glue[1:], strict=True):
        pieces += (part, behind)
    return b"".join(pieces)
