"""What a store is: the seam between the indexer and the API on one side and a database on the
other.

A store is one file with one class that has :class:`Store`'s methods; the conformance suite runs
over each. Every method is a coroutine, and every failure that may pass by itself (locked, full,
away) is a :class:`StoreUnavailable`, upon which the caller waits and tries again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from attrs import field, frozen

from clawproxy.core.record import Exchange
from clawproxy.store.entry import Prepared
from clawproxy.store.pieces import Pieces, Side

BodyKind = Literal["request", "response", "upstream-request", "upstream-response"]
"""Which bytes of an exchange; the names are those of the API's paths."""


class StoreUnavailable(Exception):
    """The database cannot take or give anything now: locked, full, away, hanging. Try again."""


class StoreRefused(Exception):
    """The database is not for this program: a newer schema, no database at all, no permission.
    Somebody has to act."""


def _any_of(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


@frozen(kw_only=True)
class Filter:
    """Which exchanges; every field that is set narrows it. Of those that hold several values, any will do.

    :ivar since: started at or after, milliseconds since the epoch.
    :ivar until: started before, milliseconds since the epoch.
    :ivar model: as asked or as routed.
    :ivar tool: the name of a tool that the answer called.
    :ivar text: words, "quoted phrases" or beginnings* in prompts and answers; all must be there.
    :ivar side_call: the kind of a side call, or ``""`` for none but the conversation's own turns.
    """

    since: int | None = None
    until: int | None = None
    model: tuple[str, ...] | None = field(default=None, converter=_any_of)
    provider: tuple[str, ...] | None = field(default=None, converter=_any_of)
    outcome: tuple[str, ...] | None = field(default=None, converter=_any_of)
    status: int | None = None
    dialect: str | None = None
    path: str | None = None
    session_id: str | None = None
    agent_id: tuple[str, ...] | None = field(default=None, converter=_any_of)
    parent_agent_id: str | None = None
    conversation_id: str | None = None
    key: str | None = None
    side_call: str | None = None
    tool: str | None = None
    text: str | None = None


@frozen
class Stored:
    """An exchange as the store has it.

    :ivar number: its place in time; the larger the newer.
    :ivar side_call: what kind of side call it is (a title, a token count, …), ``None`` for a turn.
    :ivar truncated: part of its answer was not recorded.
    """

    number: int
    exchange: Exchange
    side_call: str | None = None
    truncated: bool = False


@frozen
class Page:
    """Part of a list, newest first.

    :ivar cursor: gives the next page, ``None`` on the last.
    :ivar total: how many exchanges the filter lets through in all.
    """

    items: list[Stored]
    cursor: str | None
    total: int


@frozen
class Detail:
    """Everything about one exchange that its page shows.

    :ivar request: the caller's body as it came; ``None`` where none was kept.
    :ivar finished: the finished message or error as JSON; ``None`` while it runs or where none was
        kept.
    """

    stored: Stored
    request: bytes | None
    finished: bytes | None
    tools: list[str] = field(factory=list)


@frozen
class Sizes:
    """How much there is.

    :ivar disk_bytes: what the database takes on disk.
    :ivar free_bytes: how much of that holds nothing and will be used or given back.
    """

    exchanges: int
    disk_bytes: int
    free_bytes: int


@frozen
class Partial:
    """Pieces of a running exchange from one segment."""

    uid: str
    segment: int
    side: Side
    pieces: Pieces


class Store(Protocol):
    """A database of exchanges. ``id`` is an exchange's own id or a ``request_id``."""

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        :raises StoreRefused: for a database that is newer, or none.
        :raises StoreUnavailable: if it cannot be reached now.
        """

    async def close(self) -> None:
        """Let go of the database."""

    async def ingest(self, batch: Sequence[Prepared]) -> int:
        """Bring exchanges in, all or none. What is there already as final stays as it is, so a
        batch may come twice.

        :returns: how many were new or became final.
        """

    async def keep_partial(self, partials: Sequence[Partial]) -> None:
        """Keep pieces of running exchanges, so that their segment may go. May come twice."""

    async def partials(self, uid: str) -> dict[Side, Pieces]:
        """Give what :meth:`keep_partial` kept."""

    async def running(self, instance: str) -> list[Exchange]:
        """Give the exchanges of an instance that are not final."""

    async def list(
        self, filter: Filter, cursor: str | None = None, limit: int = 50, *, count: bool = True
    ) -> Page:
        """Give a page of exchanges, newest first.

        :param cursor: of the page before.
        :param count: find the total, too; without, ``total`` is -1.
        :raises ValueError: for a cursor or a filter that makes no sense.
        """

    async def get(self, id: str) -> Detail | None:
        """Give one exchange."""

    async def body(self, id: str, which: BodyKind, *, decoded: bool = False) -> bytes | None:
        """Give exact bytes; ``None`` if there is no such exchange, or it has no such bytes.

        :param decoded: with content codings undone.
        """

    async def events(self, id: str, side: Side = Side.SENT) -> Pieces | None:
        """Give an answer's pieces and their times."""

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[tuple[Any, ...]]:
        """Run a query of those that no other method asks: statistics, conversations.

        :param sql: one SELECT that every database understands, ``?`` for each parameter.
        """

    async def delete(self, filter: Filter, limit: int = 500) -> int:
        """Delete the oldest exchanges that the filter lets through, and all parts nobody else
        refers to.

        Running exchanges stay.

        :returns: how many went; call again while it is ``limit``.
        """

    async def sizes(self) -> Sizes:
        """Measure."""

    async def shrink(self) -> bool:
        """Give freed space back to the file system, a little at a time.

        :returns: whether there is more to give back.
        """
