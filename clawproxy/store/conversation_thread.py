"""A history with its branches, as a conversation has one or several: :class:`Thread`, and the messages and exchanges
that it consists of.

:class:`~clawproxy.store.conversation_tree.Tree` grows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import define, field, frozen

from clawproxy.core.record import Exchange
from clawproxy.store.conversation import Said

Origin = Literal["start", "subagent", "compaction", "restart"]


@frozen
class Message:
    """A message of a request or an answer.

    :ivar raw: its JSON, as it was written.
    """

    said: Said
    raw: bytes


@frozen
class Turn:
    """An exchange, as far as it is part of a conversation.

    :ivar kind: what side call it is; ``None`` for a turn.
    :ivar messages: the request's.
    :ivar answer: the finished answer's.
    :ivar answer_id: by which later requests may name it.
    :ivar follows: ids of answers that the request goes on from without repeating them.
    :ivar system: the system prompt's JSON.
    """

    exchange: Exchange
    kind: str | None = None
    messages: Sequence[Message] = ()
    answer: Sequence[Message] = ()
    answer_id: str | None = None
    follows: Sequence[str] = ()
    system: bytes | None = None


@define(eq=False)
class Node:
    """A message in its place.

    :ivar exchange: the id of the exchange that first had it.
    :ivar answer: it came as an answer, and not only as part of a later request.
    :ivar aside: it is a system message among others, which is part of no path.
    """

    id: str
    parent: Node | None
    message: Message
    exchange: str
    answer: bool
    at: str
    aside: bool = False
    children: dict[int, Node] = field(factory=dict)


@define(eq=False)
class Step:
    """An exchange in its thread.

    :ivar tip: the last message of its request.
    :ivar answer: the messages of its answer.
    """

    exchange: Exchange
    tip: Node | None
    answer: list[Node]


@define(eq=False)
class Source:
    """Where a thread came from.

    :ivar call: the id of the tool call that started it.
    """

    exchange: str
    node: Node | None = None
    call: str | None = None

    @classmethod
    def after(cls, step: Step) -> Source:
        """Come out of an exchange's end: its answer, where it has one."""
        return cls(step.exchange.id, step.answer[-1] if step.answer else step.tip)


@define(eq=False)
class Thread:
    """A history with its branches.

    :ivar nodes: its messages, each after its parent.
    :ivar children: threads that came out of it.
    """

    id: str
    origin: Origin
    agent_id: str | None
    parent_agent_id: str | None
    system: bytes | None = None
    source: Source | None = None
    nodes: list[Node] = field(factory=list)
    steps: list[Step] = field(factory=list)
    children: list[Thread] = field(factory=list)

    @property
    def branches(self) -> int:
        """How many ways it has ended in, less one."""
        leaves = sum(1 for node in self.nodes if not node.children and not node.aside)
        return max(0, leaves - 1)
