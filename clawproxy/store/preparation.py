"""All that is read out of an exchange before it is stored: the finished message, usage, tools, cut
bodies.

It runs in the indexer's process, beside no stream, and bounded: a content coding that decodes to
more than :data:`DECODED_LIMIT`, or a body that nobody can read, leaves the exact bytes and nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clawproxy.core.dialects import DialectName
from clawproxy.core.jsonread import JSONError, read
from clawproxy.core.masking import mask_text
from clawproxy.core.message import accumulator, read_message
from clawproxy.core.message_base import Finished, encode
from clawproxy.core.record import Exchange
from clawproxy.store import pieces
from clawproxy.store.entry import Entry, Prepared
from clawproxy.store.parts import split
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.plan import DECODED_REQUEST, REQUEST, UPSTREAM_REQUEST
from clawproxy.store.reading import header, undo

DECODED_LIMIT = 64 << 20
"""Bytes to which a request or an answer may decode in order to be read."""

Enrich = Callable[[Exchange, bytes | None, Finished | None, Finished | None], str | None]
"""What else is to be known of a final exchange, from its request, its answer, and the upstream's answer
where that was translated: it may set ``conversation_id``, ``session_id``, ``agent_id``, ``cost_usd`` on
the exchange, and returns what kind of side call it is, ``None`` for a turn of the conversation."""


def prepare(entry: Entry, request: bytes | None = None, enrich: Enrich | None = None) -> Prepared:
    """Read an entry.

    :param request: the caller's body, also where the entry has none because the store has it
        already.
    :param enrich: called for final exchanges.
    """
    exchange = entry.exchange
    bodies = {}
    received = entry.received.after(entry.superseded)
    request_coding = header(exchange.request_headers, "content-encoding")
    if entry.request is not None and (entry.request or not exchange.request_bytes):
        bodies[REQUEST] = split(entry.request)
        if request_coding:
            plain = decoded(entry.request, request_coding)
            if plain != entry.request:
                bodies[DECODED_REQUEST] = split(plain)
    if entry.upstream_request and entry.final:
        bodies[UPSTREAM_REQUEST] = split(entry.upstream_request)
    if not entry.final:
        return Prepared(entry, bodies)
    answers = {}
    for side, answer in ((Side.SENT, entry.sent), (Side.RECEIVED, received)):
        if answer.data:
            answers[int(side)] = pieces.encode(answer)
    finished = finish(exchange, entry.sent)
    if finished is not None:
        learn(exchange, finished)
    side_call = None
    if enrich is not None:
        plain_request = decoded(request, request_coding) if request else None
        side_call = enrich(exchange, plain_request, finished, translated(exchange, received))
    return Prepared(
        entry,
        bodies,
        answers,
        (finished.message or finished.error_event) if finished is not None else None,
        finished.tools if finished is not None else (),
        side_call,
    )


def bare(entry: Entry) -> Prepared:
    """Prepare an entry whose reading failed: the exact bytes are kept and nothing is read out of
    them."""
    bodies = {REQUEST: split(entry.request)} if entry.request is not None else {}
    answers = {
        0: pieces.encode(entry.sent),
        1: pieces.encode(entry.received.after(entry.superseded)),
    }
    return Prepared(entry, bodies, answers if entry.final else {})


def finish(exchange: Exchange, answer: Pieces) -> Finished | None:
    """Give the finished message that an answer amounts to, ``None`` if there is none.

    :param answer: as it was sent to the caller, content codings included.
    """
    return _read(exchange.dialect, answer, exchange.response_headers)


def translated(exchange: Exchange, answer: Pieces) -> Finished | None:
    """Give what an upstream's own answer amounts to, ``None`` where it was not translated.

    :param answer: as it came from the upstream.
    """
    if exchange.upstream_dialect in (None, exchange.dialect):
        return None
    return _read(exchange.upstream_dialect, answer, exchange.upstream_response_headers)


def _read(
    dialect: DialectName | None, answer: Pieces, headers: Sequence[tuple[str, str]]
) -> Finished | None:
    if not answer.data:
        return None
    body = decoded(answer.body, header(headers, "content-encoding"))
    if "event-stream" in header(headers, "content-type").lower():
        if dialect is None:
            return None
        taker = accumulator(dialect)
        taker.feed(body)
        return taker.close()
    if dialect is not None:
        found = read_message(dialect, body)
        if found.message is not None or found.error_event is not None:
            return found
    try:
        return Finished(encode(read(body)))
    except JSONError:
        return None


def learn(exchange: Exchange, finished: Finished) -> None:
    """Complete an exchange by what its answer says, where the relay did not see it.

    Where the upstream told no usage, an answer that the proxy worded has zeros, since its dialect wants the numbers:
    no call uses nothing, so they mean that nobody knows.
    """
    usage = finished.usage
    if exchange.usage is None and usage is not None and (usage.input_tokens or usage.output_tokens):
        exchange.usage = usage
    if finished.error is not None and exchange.outcome == "ok":
        exchange.outcome = "error"
    if finished.error is not None and exchange.error is None:
        exchange.error = mask_text(finished.error)


def decoded(body: bytes, coding: str) -> bytes:
    """Undo content codings of a body as far as that is needed to read it."""
    return undo(body, coding, DECODED_LIMIT)
