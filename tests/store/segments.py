"""The journal's records as they stand in a segment, and any of them for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from clawproxy.core.record import Client, Exchange, Usage
from clawproxy.store import segment
from clawproxy.store import segment_payload as payload
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.segment_record import (
    End,
    Kind,
    PieceRun,
    Record,
    Start,
    UpstreamRequest,
    Whole,
)

EXCHANGE = Exchange(
    id="x1",
    path="/v1/messages",
    usage=Usage(1, 2),
    client=Client("127.0.0.1", "ua"),
    request_headers=[("a", "b")],
)

pieces = st.lists(st.tuples(st.floats(0, 1e9), st.binary(max_size=40)), max_size=6).map(
    lambda rows: Pieces(tuple(t for t, _ in rows), tuple(d for _, d in rows))
)
wholes = st.builds(
    Whole,
    st.just(EXCHANGE),
    st.binary(max_size=60),
    st.none() | st.binary(max_size=30),
    pieces,
    pieces,
    st.booleans(),
)
records: st.SearchStrategy[Record] = st.one_of(
    wholes,
    st.builds(Start, st.just(EXCHANGE), st.binary(max_size=60)),
    st.builds(UpstreamRequest, st.text(max_size=20), st.binary(max_size=30)),
    st.builds(PieceRun, st.text(max_size=20), st.sampled_from(Side), pieces),
    st.builds(End, st.just(EXCHANGE), st.booleans(), st.integers(0, 2**32 - 1)),
)


def built(record: Record) -> tuple[Kind, list[bytes]]:
    """Give a record as the journal makes it: its kind, and the chunks of its payload."""
    match record:
        case Whole(exchange, request, upstream, sent, received, truncated):
            return Kind.WHOLE, payload.whole(
                exchange,
                request,
                upstream,
                payload.block(sent.times, sent.data),
                payload.block(received.times, received.data),
                truncated,
            )
        case Start(exchange, request):
            return Kind.START, payload.start(exchange, request)
        case UpstreamRequest(id, body):
            return Kind.UPSTREAM_REQUEST, payload.upstream_request(id, body)
        case PieceRun(id, side, run):
            return Kind.PIECES, payload.pieces(id, side, run.times, run.data)
        case End(exchange, truncated, superseded):
            return Kind.END, payload.end(exchange, truncated, superseded)
        case _:
            return Kind.SEAL, []


def framed(record: Record) -> bytes:
    """Give a record as it stands in a segment."""
    kind, chunks = built(record)
    data = b"".join(chunks)
    return segment.frame(kind, data) + data
