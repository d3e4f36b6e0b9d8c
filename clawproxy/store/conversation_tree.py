"""A conversation as a tree in which each message stands once: :class:`Tree`.

1. :meth:`Tree.add` takes the exchanges in the order of time. A request's messages are a path from the beginning; what
   of it is known is walked, what is new grows as a branch, and the answer grows at its tip.
2. Each agent of a session has a tree of its own. A history that begins anew is a thread
   (:mod:`.conversation_thread`) of its own, too: after a compaction, or a subagent's of a client that does not name
   its agents.
3. :meth:`Tree.finish` hangs each thread where it came from: under the call that started it
   (:mod:`.conversation_start`), or under the thread that it sums up.

Clients rewrite what they send back. A message that differs only in form is the same one (:mod:`.conversation`); where
one in the middle was really changed, as by dropping old tool results, what follows is found again by what cannot be
there twice by chance: ids of tool calls, longer answers.
"""

from __future__ import annotations

import re

from attrs import define, field

from clawproxy.core.record import Exchange
from clawproxy.store.conversation import Said
from clawproxy.store.conversation_start import Starts
from clawproxy.store.conversation_thread import Message, Node, Origin, Source, Step, Thread, Turn

TELLING = 40
"""Characters of an answer from which on it is found again by itself."""
DEEPEST = 8
"""Threads that hang below each other; what came out of the last one hangs beside it, so that a session whose every
question begins anew does not make a pit."""
_SUMMED_UP = re.compile(
    r"continued from a previous conversation|conversation (?:so far )?(?:was|has been) (?:compacted|summarized)",
    re.IGNORECASE,
)
_SUM_UP = re.compile(r"create a detailed summary of (?:the|this|our) conversation", re.IGNORECASE)


@define(eq=False)
class _Group:
    """All threads of one agent."""

    agent_id: str | None
    roots: dict[int, Node] = field(factory=dict)
    latest: Step | None = None
    by_digest: dict[int, Node] = field(factory=dict)
    asides: set[tuple[int, int]] = field(factory=set)

    def below(self, tip: Node | None) -> dict[int, Node]:
        """Give the messages that follow one, or that histories begin with."""
        return self.roots if tip is None else tip.children


class Tree:
    """The tree of one conversation.

    :ivar side_calls: exchanges that are none of its turns, with their kinds.
    """

    def __init__(self) -> None:
        self.side_calls: list[tuple[str, Exchange]] = []
        self._groups: dict[str | None, _Group] = {}
        self._by_id: dict[str, Node] = {}
        self._starts = Starts()
        self._threads: list[Thread] = []
        self._home: dict[int, Thread] = {}
        self._count = 0
        self._summing: set[str | None] = set()

    def add(self, turn: Turn) -> None:
        """Take the next exchange."""
        exchange = turn.exchange
        if turn.kind is not None:
            self.side_calls.append((turn.kind, exchange))
            return
        group = self._groups.get(exchange.agent_id)
        if group is None:
            group = self._groups[exchange.agent_id] = _Group(exchange.agent_id)
        tip = next((self._by_id[id] for id in turn.follows if id in self._by_id), None)
        thread = self._home[id(tip)] if tip is not None else None
        asides = []
        for message in turn.messages:
            if message.said.role == "system":
                asides.append((tip, message))
            elif not message.said.empty:
                tip, thread = self._walk(group, thread, tip, message, turn)
        if thread is None:
            thread = self._begin(group, None, turn)
        for parent, message in asides:
            self._aside(group, thread, parent, message, exchange)
        answer: list[Node] = []
        at = tip
        for message in turn.answer:
            if not message.said.empty:
                known = group.below(at).get(message.said.digest)
                at = known or self._grow(group, thread, at, message, exchange, answer=True)
                answer.append(at)
        step = Step(exchange, tip, answer)
        thread.steps.append(step)
        group.latest = step
        if turn.answer_id and at is not None:
            self._by_id[turn.answer_id] = at
        last = next((m.said for m in reversed(turn.messages) if m.said.role == "user"), None)
        if last is not None and _SUM_UP.search(last.text):
            self._summing.add(exchange.agent_id)
        self._starts.note(step)

    # Walking and growing.

    def _walk(
        self,
        group: _Group,
        thread: Thread | None,
        tip: Node | None,
        message: Message,
        turn: Turn,
    ) -> tuple[Node, Thread]:
        """Go one message further, growing it if it is new."""
        said = message.said
        below = group.below(tip)
        node = below.get(said.digest) or self._again(group, tip, said)
        if node is not None:
            below[said.digest] = node
            return node, self._home[id(node)]
        if thread is None:
            thread = self._begin(group, message, turn)
        return self._grow(group, thread, tip, message, turn.exchange, answer=False), thread

    def _again(self, group: _Group, tip: Node | None, said: Said) -> Node | None:
        """Find a message whose history was rewritten."""
        if tip is not None and said.role == "assistant":
            for node in tip.children.values():
                if node.answer and _alike(node.message.said, said):
                    return node
        if not (said.calls or (said.role == "assistant" and len(said.text) >= TELLING)):
            return None
        found = group.by_digest.get(said.digest)
        above = tip
        while found is not None and above is not None:
            if above is found:
                return None  # said twice
            above = above.parent
        return found

    def _grow(
        self,
        group: _Group,
        thread: Thread,
        tip: Node | None,
        message: Message,
        exchange: Exchange,
        *,
        answer: bool,
        aside: bool = False,
    ) -> Node:
        self._count += 1
        node = Node(
            f"m{self._count}", tip, message, exchange.id, answer, exchange.started_at, aside
        )
        thread.nodes.append(node)
        self._home[id(node)] = thread
        if not aside:
            group.below(tip)[message.said.digest] = group.by_digest[message.said.digest] = node
        return node

    def _aside(
        self,
        group: _Group,
        thread: Thread,
        parent: Node | None,
        message: Message,
        exchange: Exchange,
    ) -> None:
        key = (id(thread), message.said.digest)
        if key not in group.asides:
            group.asides.add(key)
            self._grow(group, thread, parent, message, exchange, answer=False, aside=True)

    # Threads.

    def _begin(self, group: _Group, message: Message | None, turn: Turn) -> Thread:
        exchange = turn.exchange
        text = message.said.text if message is not None else ""
        origin: Origin = "restart"
        source = None
        start = self._starts.find(exchange, text)
        if start is not None:
            origin, source = "subagent", Source(start.step.exchange.id, start.node, start.call)
        elif group.latest is None:
            origin = "start" if exchange.agent_id is None else "subagent"
        elif group.agent_id in self._summing or _SUMMED_UP.search(text):
            origin = "compaction"
        if source is None and group.latest is not None:
            source = Source.after(group.latest)
        elif source is None and exchange.agent_id is not None:
            above = self._groups.get(exchange.parent_agent_id) or self._groups.get(None)
            if above is not None and above is not group and above.latest is not None:
                source = Source.after(above.latest)
        self._summing.discard(group.agent_id)
        thread = Thread(
            f"t{len(self._threads) + 1}",
            origin,
            exchange.agent_id,
            exchange.parent_agent_id,
            turn.system,
            source,
        )
        self._threads.append(thread)
        return thread

    def finish(self) -> list[Thread]:
        """Give the threads that came out of no other, with all others below them."""
        step_home = {step.exchange.id: thread for thread in self._threads for step in thread.steps}
        top = []
        ways: dict[str, list[Thread]] = {}
        for thread in self._threads:
            above = step_home.get(thread.source.exchange) if thread.source is not None else None
            # A thread is younger than what it came out of, so no circle can close.
            way = [] if above is None or above is thread else ways[above.id][: DEEPEST - 1]
            ways[thread.id] = [*way, thread]
            if way:
                way[-1].children.append(thread)
            else:
                top.append(thread)
        return top


def _alike(answer: Said, again: Said) -> bool:
    """Tell whether a client's copy is an answer's, in other words."""
    ours, theirs = [call.id for call in answer.calls], [call.id for call in again.calls]
    if any(ours) or any(theirs):
        return ours == theirs
    return len(again.text) >= TELLING and answer.text[:TELLING] == again.text[:TELLING]
