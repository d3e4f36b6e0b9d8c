"""A chat whose agent may be waiting for its user: :class:`Conversation`, and all of them:
:class:`Conversations`.

A conversation is kept only while something in it is open: an approval that nobody has decided, one
whose end the user has not been told, or a run that goes on without anybody listening.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field

from clawproxy.upstream.openclaw.approvals import Approval, ApprovalBook, Standing
from clawproxy.upstream.openclaw.gateway_run import GatewayRun

MAX_OPEN = 2000
"""Conversations with something open; the longest untouched one is forgotten first."""

MAX_SESSIONS = 20000
"""Sessions whose conversation is remembered, so that an approval finds its chat."""


@define(eq=False)
class Conversation:
    """One chat.

    :ivar approvals: the ids of those the user was asked, or is still to be asked, in order.
    :ivar shown: the ids of those that were really shown: only these can be allowed by a word.
    :ivar parked: the run that waits, or went on after its approval was decided elsewhere.
    """

    key: str
    approvals: list[str] = field(factory=list)
    shown: set[str] = field(factory=set)
    parked: GatewayRun | None = None

    @property
    def open(self) -> bool:
        """Whether there is something that the next message has to be seen against."""
        return bool(self.approvals) or self.parked is not None

    def waiting(self, book: ApprovalBook) -> list[Approval]:
        """The approvals that nobody has decided yet."""
        found = (book.get(approval_id) for approval_id in self.approvals)
        return [a for a in found if a is not None and a.standing is Standing.PENDING]

    def take_ended(self, book: ApprovalBook) -> list[Approval]:
        """Take out those that ended without this conversation's user; each is told once."""
        waiting = {a.id for a in self.waiting(book)}
        ended = [book.get(i) for i in self.approvals if i not in waiting]
        self.approvals = [i for i in self.approvals if i in waiting]
        return [a for a in ended if a is not None]


class Conversations:
    """Find the conversation of a request, and that of a session."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, Conversation] = OrderedDict()
        self._by_session: OrderedDict[str, str] = OrderedDict()

    def get(self, key: str) -> Conversation:
        """Give the conversation, an empty one if nothing in it is open."""
        conversation = self._by_key.get(key)
        return Conversation(key) if conversation is None else conversation

    def keep(self, conversation: Conversation) -> None:
        """Remember a conversation as long as something in it is open."""
        if not conversation.open:
            if self._by_key.get(conversation.key) is conversation:
                del self._by_key[conversation.key]
            return
        self._by_key[conversation.key] = conversation
        self._by_key.move_to_end(conversation.key)
        while len(self._by_key) > MAX_OPEN:
            self._by_key.popitem(last=False)

    def note_session(self, session_key: str, key: str) -> None:
        """Remember which conversation a session belongs to."""
        self._by_session[session_key] = key
        self._by_session.move_to_end(session_key)
        while len(self._by_session) > MAX_SESSIONS:
            self._by_session.popitem(last=False)

    def of_session(self, session_key: str) -> Conversation | None:
        """Find a session's conversation; ``None`` if the session is not one of this proxy's.

        A stateful session's key tells it by itself, so that a question outlives a restart of the
        proxy.
        """
        key = self._by_session.get(session_key)
        if key is None:
            head, _, rest = session_key.partition(":clawproxy-")
            agent = head.removeprefix("agent:")
            if not rest or ":" in agent or rest.startswith("once-"):
                return None
            key = f"{agent}/{rest}"
        return self.get(key)
