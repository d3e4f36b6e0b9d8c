"""What goes into a store: :class:`Entry` as the journal tells it, :class:`Prepared` with what was
read out of it."""

from __future__ import annotations

from attrs import define, field, frozen

from clawproxy.core.record import Exchange
from clawproxy.store.parts import Split
from clawproxy.store.pieces import Pieces


@define
class Entry:
    """An exchange, running or final, put together from journal records.

    :ivar instance: which proxy process recorded it.
    :ivar final: it has ended; nothing will be added.
    :ivar request: the caller's body; ``None`` where none was kept, or it is in the store already.
    :ivar upstream_request: the body sent upstream where it differs.
    :ivar truncated: pieces were left out.
    :ivar superseded: how many of the first pieces received count no more; see
        :class:`~clawproxy.store.segment_record.End`.
    """

    exchange: Exchange
    instance: str
    final: bool
    request: bytes | None = None
    upstream_request: bytes | None = None
    sent: Pieces = field(factory=Pieces)
    received: Pieces = field(factory=Pieces)
    truncated: bool = False
    superseded: int = 0


@frozen
class Prepared:
    """An entry, read: all the work that needs no database.

    :ivar bodies: cut bodies by kind: 0 the caller's, 1 upstream's, 2 the caller's with its coding
        undone.
    :ivar answers: encoded pieces by side (0 sent, 1 received).
    :ivar finished: the finished message or error, JSON.
    :ivar tools: names of the tools that the answer called.
    :ivar side_call: what :class:`~clawproxy.store.preparation.Enrich` called it.
    """

    entry: Entry
    bodies: dict[int, Split] = field(factory=dict)
    answers: dict[int, bytes] = field(factory=dict)
    finished: bytes | None = None
    tools: tuple[str, ...] = ()
    side_call: str | None = None
