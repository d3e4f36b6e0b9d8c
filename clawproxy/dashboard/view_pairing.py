"""Results beside their calls, as people look for them: :func:`paired`. APIs put them into different messages."""

from __future__ import annotations

from collections import deque

from attrs import evolve

from clawproxy.dashboard.view import Call, Message, Part, Result


def paired(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put each tool's result beside its call.

    A message of which nothing else is left is marked :attr:`Message.answered`; where a result has no
    call, it stays where it is. Models that count their calls anew in each turn use an id again: a result is
    that of the latest message that called by its id, and of its calls the first's that has none.
    """
    waiting: dict[str, deque[Call]] = {}
    results: dict[int, Result] = {}
    for message in messages:
        begun: dict[str, deque[Call]] = {}
        for part in message.parts:
            if isinstance(part, Call) and part.id and part.result is None:
                begun.setdefault(part.id, deque()).append(part)
                waiting[part.id] = begun[part.id]
            elif isinstance(part, Result) and waiting.get(part.call):
                results[id(waiting[part.call].popleft())] = part
    if not results:
        return messages
    used = {id(result) for result in results.values()}

    def joined(part: Part) -> Part:
        if isinstance(part, Call) and (result := results.get(id(part))) is not None:
            return evolve(part, result=result)
        return part

    found = []
    for message in messages:
        kept = tuple(joined(part) for part in message.parts if id(part) not in used)
        gone = len(message.parts) > len(kept)
        found.append(evolve(message, parts=kept, answered=gone and not kept))
    return tuple(found)
