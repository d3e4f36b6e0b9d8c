"""A conversation's threads as its page shows them: :class:`Laid`, made of :class:`Item`.

:class:`~clawproxy.dashboard.view_layout.Layout` lays them out.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from clawproxy.core.record import Exchange
from clawproxy.dashboard.view import Message
from clawproxy.store.conversation_thread import Node, Thread


@frozen(kw_only=True)
class Total:
    """What a conversation has used up to and with an exchange."""

    tokens: int
    cost: float


@define(kw_only=True)
class Item:
    """Something in a thread: a message, the end of a turn, a fork, a thread below, what is not shown.

    :ivar kind: ``message``, ``turn``, ``branch``, ``thread`` or ``left_out``.
    :ivar anchor: the page's.
    :ivar items: what is in a branch.
    :ivar count: how many messages are left out.
    """

    kind: str
    anchor: str = ""
    message: Message | None = None
    node: Node | None = None
    exchange: Exchange | None = None
    total: Total | None = None
    items: list[Item] = field(factory=list)
    thread: Laid | None = None
    answer: bool = False
    count: int = 0


@frozen(kw_only=True)
class Laid:
    """A thread, laid out."""

    thread: Thread
    items: list[Item]
    title: str
    turns: int
    cost: float
    output: int

    @property
    def id(self) -> str:
        """The thread's."""
        return self.thread.id


def totals(exchanges: Sequence[Exchange]) -> dict[str, Total]:
    """Add exchanges up in the order of time."""
    found: dict[str, Total] = {}
    tokens, cost = 0, 0.0
    for x in exchanges:
        if x.usage is not None:
            u = x.usage
            tokens += u.input_tokens + u.output_tokens
            tokens += u.cache_read_input_tokens + u.cache_creation_input_tokens
        cost += x.cost_usd or 0.0
        found[x.id] = Total(tokens=tokens, cost=cost)
    return found
