"""Which tool call started a subagent: :class:`Starts` keeps the prompts that calls hand on.

Clients do not say it. But a subagent's first message repeats what its call says, so it is found by these
words.
"""

from __future__ import annotations

from attrs import define, field

from clawproxy.core.record import Exchange
from clawproxy.store.conversation_thread import Node, Step

COMPARED = 2000
"""Characters of a call's prompt that are looked for in the first message of a subagent."""


@define(eq=False)
class Start:
    """A call that hands on a prompt.

    :ivar call: its id.
    :ivar step: the exchange that it was made in.
    :ivar node: the message.
    :ivar taken: a thread has come out of it.
    """

    call: str
    prompt: str
    step: Step
    node: Node
    taken: bool = False


@define(eq=False)
class Starts:
    """The calls of a conversation that may have started somebody."""

    _starts: list[Start] = field(factory=list, init=False)

    def note(self, step: Step) -> None:
        """Take the calls of an answer."""
        for node in step.answer:
            for call in node.message.said.calls:
                prompt = " ".join((call.prompt or "").split())
                if prompt:
                    self._starts.append(Start(call.id, prompt, step, node))

    def find(self, exchange: Exchange, text: str) -> Start | None:
        """Find the call that asked for this, by its words; of several alike, one that has no thread yet.

        :param exchange: the first one of a thread.
        :param text: its first message's.
        """
        words = " ".join(text.split())
        found = [
            start
            for start in self._starts
            if start.prompt[:COMPARED] in words
            and (exchange.agent_id is None or start.step.exchange.agent_id != exchange.agent_id)
        ]
        if not found:
            return None
        start = next((each for each in found if not each.taken), found[-1])
        start.taken = True
        return start
