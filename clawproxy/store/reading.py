"""From rows to values, the same for every database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clawproxy.core.coding import CodingError, StreamDecoder
from clawproxy.core.record import Exchange, decode_exchange
from clawproxy.store import parts, pieces
from clawproxy.store.compression import Packer
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.plan import DECODED_REQUEST, REQUEST, UPSTREAM_REQUEST
from clawproxy.store.protocol import BodyKind, Stored

LISTED = "e.id, e.side_call, e.truncated, e.conversation_id, e.session_id, e.cost_usd, r.data"
"""What a query selects for :func:`stored`; ``e`` is ``exchange``, ``r`` its ``record``."""
DECODED_LIMIT = 256 << 20
"""Bytes to which a stored body may decode."""

BODIES: dict[BodyKind, int] = {"request": REQUEST, "upstream-request": UPSTREAM_REQUEST}
SIDES: dict[BodyKind, Side] = {"response": Side.SENT, "upstream-response": Side.RECEIVED}
DECODED: dict[int, int] = {REQUEST: DECODED_REQUEST}

Listed = tuple[int, str | None, int, str | None, str | None, float | None, bytes]


def stored(row: Listed, packer: Packer) -> Stored:
    """Read a row of :data:`LISTED`."""
    number, side_call, truncated, conversation, session, cost, data = row
    exchange = decode_exchange(packer.unpack(bytes(data)))
    # What the store may learn later than the record was written stands in the columns.
    exchange.conversation_id = conversation
    exchange.session_id = session
    exchange.cost_usd = cost
    return Stored(number, exchange, side_call, bool(truncated))


def coding(exchange: Exchange, which: BodyKind) -> str:
    """Give the content codings of a body, in the order they were applied."""
    headers = {
        "request": exchange.request_headers,
        "response": exchange.response_headers,
        "upstream-request": exchange.upstream_request_headers or exchange.request_headers,
        "upstream-response": exchange.upstream_response_headers or exchange.response_headers,
    }[which]
    return header(headers, "content-encoding")


def header(headers: Sequence[tuple[str, str]], name: str) -> str:
    """Give a header's value, of several lines all, joined by commas (RFC 9110 §5.3)."""
    return ", ".join(value for key, value in headers if key.lower() == name)


def undo(body: bytes, coding: str, limit: int = DECODED_LIMIT) -> bytes:
    """Undo content codings as far as they can be undone: of a body that was cut or is corrupt as much as came
    before that, and where nothing can be had it is given as it is.

    :param limit: most bytes that are decoded.
    """
    if not coding:
        return body
    found: list[bytes] = []
    try:
        found.extend(StreamDecoder(coding, limit).feed(body))
    except CodingError:
        if not found:
            return body
    return b"".join(found)


def wanted(manifest: bytes, packer: Packer) -> tuple[list[bytes], list[int]]:
    """Read a manifest: the glue and the ids of the parts."""
    return parts.decode_manifest(packer.unpack(manifest))


def rebuilt(glue: Sequence[bytes], ids: Sequence[int], contents: Mapping[int, bytes]) -> bytes:
    """Join a body again.

    :param contents: its parts by id, uncompressed.
    """
    return parts.join(glue, [contents[id] for id in ids])


def answer(row: tuple[bytes, bytes | None], packer: Packer) -> Pieces:
    """Read an answer from its row in ``answer`` and the message in ``finished``, beside which it was packed."""
    packed, message = row
    alike = packer.unpack(bytes(message)) if message is not None else None
    return pieces.decode(packer.unpack(bytes(packed), alike))


def merged(rows: Iterable[tuple[int, bytes]], packer: Packer) -> dict[Side, Pieces]:
    """Join the pieces of several segments, each row a side and a packed blob."""
    found: dict[Side, list[Pieces]] = {}
    for side, blob in rows:
        found.setdefault(Side(side), []).append(pieces.decode(packer.unpack(bytes(blob))))
    return {side: pieces.joined(runs) for side, runs in found.items()}
