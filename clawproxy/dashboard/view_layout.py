"""How a conversation's threads are laid out for people: :class:`Layout`. Each is one way from its beginning to its
latest end, with what branched off, what subagents did and what each turn cost beside it.

:mod:`clawproxy.store.conversation_tree` makes the tree; :mod:`~clawproxy.dashboard.view_thread` has what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clawproxy.core.record import Exchange
from clawproxy.dashboard.view import Message, Text
from clawproxy.dashboard.view_pairing import paired
from clawproxy.dashboard.view_said import joined, read_said
from clawproxy.dashboard.view_thread import Item, Laid, totals
from clawproxy.store.conversation_thread import Node, Step, Thread

DEEPEST = 8
"""Branches that stand in each other; those that leave the last one stand beside it. A page that nests without end
cannot be written, and nobody opens a hundred branches to get to one."""
MOST_MESSAGES = 6_000
"""Messages of a conversation that its page shows, the newest ways first: a client that rewrites its first message each
time says everything anew each time, and a page of all that would be as long as its turns times its messages."""


class Layout:
    """Lay threads out.

    :param exchanges: the conversation's, in the order of time.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = {x.id: x for x in exchanges}
        self._totals = totals(exchanges)
        self._left = MOST_MESSAGES

    def lay(self, thread: Thread) -> Laid:
        """Lay one out, with all below it."""
        below: dict[int, list[Node]] = {}
        roots: list[Node] = []
        own = {id(node) for node in thread.nodes}
        for node in thread.nodes:
            if node.parent is None or id(node.parent) not in own:
                roots.append(node)
            else:
                below.setdefault(id(node.parent), []).append(node)
        turns = self._turns(thread)
        hung = self._hung(thread, own)
        latest = _latest(thread, below)
        items = self._walk(roots, below, turns, hung, latest)
        # What belongs nowhere: turns without a message, threads without a place.
        items += [item for left in turns.values() for item in left]
        items += [item for left in hung.values() for item in left]
        costs = [step.exchange.cost_usd or 0.0 for step in thread.steps]
        outputs = [
            step.exchange.usage.output_tokens for step in thread.steps if step.exchange.usage
        ]
        return Laid(
            thread=thread,
            items=items,
            title=_title(items),
            turns=len(thread.steps),
            cost=sum(costs),
            output=sum(outputs),
        )

    def _turns(self, thread: Thread) -> dict[int, list[Item]]:
        found: dict[int, list[Item]] = {}
        for step in thread.steps:
            found.setdefault(_end(step), []).append(self._turn(step))
        return found

    def _turn(self, step: Step) -> Item:
        x = step.exchange
        return Item(kind="turn", anchor=x.id, exchange=x, total=self._totals.get(x.id))

    def _hung(self, thread: Thread, own: set[int]) -> dict[int, list[Item]]:
        found: dict[int, list[Item]] = {}
        for child in reversed(thread.children):  # the newest are laid out while there is room
            node = child.source.node if child.source is not None else None
            place = id(node) if node is not None and id(node) in own else 0
            laid = self.lay(child)
            found.setdefault(place, []).insert(0, Item(kind="thread", anchor=laid.id, thread=laid))
        return found

    def _walk(
        self,
        start: Sequence[Node],
        below: Mapping[int, list[Node]],
        turns: dict[int, list[Item]],
        hung: dict[int, list[Item]],
        latest: set[int],
        depth: int = 0,
    ) -> list[Item]:
        """Go the way that ends last; other ways are branches where they leave it."""
        run, forks = _way(start, below, latest)
        items = self._run(run, turns, hung)
        places = {id(node): place for place, node in enumerate(run)}
        for place, node in reversed(forks):
            branches = []
            beside = [node]
            while beside:
                first = beside.pop()
                if depth + 1 < DEEPEST:
                    inner = self._walk([first], below, turns, hung, latest, depth + 1)
                else:
                    way, others = _way([first], below, latest)
                    inner = self._run(way, turns, hung)
                    beside += [other for _, other in reversed(others)]
                branches.append(
                    Item(kind="branch", anchor=f"b-{first.id}", node=first, items=inner)
                )
            spot = next(
                (
                    at
                    for at, item in enumerate(items)
                    if item.node and places.get(id(item.node), place) >= place
                ),
                len(items),
            )
            items[spot:spot] = branches
        return items

    def _run(
        self,
        run: Sequence[Node],
        turns: dict[int, list[Item]],
        hung: dict[int, list[Item]],
    ) -> list[Item]:
        shown = run if self._left > 0 else run[:1]
        self._left -= len(shown)
        said = joined([(node, message) for node in shown for message in self._said(node)])
        messages = paired(tuple(message for _, message in said))
        found: list[Item] = []
        for (nodes, _), message in zip(said, messages, strict=True):
            node = nodes[0]
            if not message.answered:
                found.append(
                    Item(
                        kind="message",
                        anchor=node.id,
                        message=message,
                        node=node,
                        answer=node.answer,
                    )
                )
            for each in nodes:
                found += hung.pop(id(each), [])
                found += turns.pop(id(each), [])
        if len(shown) < len(run):
            found.append(Item(kind="left_out", count=len(run) - len(shown)))
            for each in run[len(shown) :]:
                found += hung.pop(id(each), [])
                found += turns.pop(id(each), [])
        return found

    def _said(self, node: Node) -> tuple[Message, ...]:
        x = self._exchanges.get(node.exchange)
        return read_said(node, x.dialect if x is not None else None)


def _way(
    start: Sequence[Node], below: Mapping[int, list[Node]], latest: set[int]
) -> tuple[list[Node], list[tuple[int, Node]]]:
    """Give the way that ends last, and where along it which others leave it."""
    at = list(start)
    run: list[Node] = []
    forks: list[tuple[int, Node]] = []
    while at:
        run.extend(node for node in at if node.aside)
        ways = [node for node in at if not node.aside]
        if not ways:
            break
        main = next((node for node in ways if id(node) in latest), ways[-1])
        forks += [(len(run), node) for node in ways if node is not main]
        run.append(main)
        at = below.get(id(main), [])
    return run, forks


def _end(step: Step) -> int:
    if step.answer:
        return id(step.answer[-1])
    return id(step.tip) if step.tip is not None else 0


def _latest(thread: Thread, below: Mapping[int, list[Node]]) -> set[int]:
    """Give the nodes on the way to the latest turn's end, and on from there."""
    last = thread.steps[-1] if thread.steps else None
    node = (last.answer[-1] if last.answer else last.tip) if last is not None else None
    found = set()
    while node is not None:
        found.add(id(node))
        node = node.parent
    return found


def _title(items: Sequence[Item]) -> str:
    for item in items:
        if item.message is not None and item.message.role == "user":
            for part in item.message.parts:
                if isinstance(part, Text) and part.text.strip():
                    return part.text[:400]
    return ""
