"""Which parts of a prompt came from the provider's cache, as far as the answer's counts tell.

A provider says how many tokens were read from its cache, written to it and neither, and no more.
Caches hold prefixes (tools, system, messages, in this order), so the counts are two borders in the
prompt:

* Anthropic writes up to a ``cache_control`` breakpoint, so what lies behind the last one is not
  cached, exactly; the border between read and written is where the counts put it by the parts'
  share of the text, drawn to a place where a border can be (a breakpoint, the end of the turn
  before) if one is near.
* OpenAI caches by itself; its only border is placed by share.

https://docs.claude.com/en/docs/build-with-claude/prompt-caching,
https://platform.openai.com/docs/guides/prompt-caching
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import field, frozen

from clawproxy.core.record import Usage
from clawproxy.dashboard.view import Call, Part, Prompt

State = Literal["", "read", "written", "fresh"]
"""What the cache did for a part: gave it, took it, neither; ``""``: nothing is known."""

NEAR = 0.12
"""How far, as a share of what is cached, a border is drawn to a place where one can be."""


@frozen(kw_only=True)
class Block:
    """Something in the order in which the model reads it.

    :ivar place: the page's anchor of what holds it.
    """

    pointer: str
    place: str
    label: str
    weight: int
    breakpoint: str = ""


@frozen(kw_only=True)
class Segment:
    """Neighbouring blocks of one message (or the tools, or the system prompt) with one state.

    :ivar share: of the whole prompt, 0 to 1.
    """

    place: str
    label: str
    state: State
    share: float
    weight: int


@frozen(kw_only=True)
class CacheMap:
    """What the cache did for a prompt.

    :ivar states: by pointer.
    :ivar exact: no border had to be guessed.
    :ivar breakpoints: how many there are.
    """

    states: dict[str, State] = field(factory=dict)
    segments: tuple[Segment, ...] = ()
    exact: bool = True
    breakpoints: int = 0


def blocks(prompt: Prompt) -> list[Block]:
    """Give a prompt's blocks in the order in which the model reads them."""
    found = [
        Block(
            pointer=tool.pointer,
            place="tools",
            label="tools",
            weight=tool.weight,
            breakpoint=tool.breakpoint,
        )
        for tool in prompt.tools
    ]
    found += [_block(part, "system", "system") for part in prompt.system]
    inner: list[tuple[list[int], int, Block]] = []
    for message in prompt.messages:
        for part in _readable(message.parts):
            # A result stands beside its call on the page, and behind it in the prompt.
            key = _order(part.pointer)
            place = f"m{key[0]}" if key else f"m{message.number}"
            label = "tool result" if part.kind == "result" else message.role
            inner.append((key, len(inner), _block(part, place, label)))
    inner.sort(key=lambda each: each[:2])
    return found + [block for _, _, block in inner]


def _readable(parts: tuple[Part, ...]) -> Iterator[Part]:
    """Give parts and the results beside calls, but not what is inside results."""
    for part in parts:
        yield part
        if isinstance(part, Call) and part.result is not None:
            yield part.result


def _block(part: Part, place: str, label: str) -> Block:
    return Block(
        pointer=part.pointer,
        place=place,
        label=label,
        weight=part.weight,
        breakpoint=part.breakpoint,
    )


def _order(pointer: str) -> list[int]:
    return [int(piece) for piece in pointer.split("/") if piece.isascii() and piece.isdigit()]


def cache_map(prompt: Prompt, usage: Usage | None, dialect: str | None, old: int = 0) -> CacheMap:
    """Say what the cache did for each part of a prompt.

    :param old: how many messages stood in the turn before; a border is likely behind them.
    """
    found = blocks(prompt)
    marks = [number for number, block in enumerate(found) if block.breakpoint]
    if dict(prompt.settings).get("cache_control") and found:
        marks.append(len(found) - 1)  # the request's own: caching by itself, up to the end
    states, exact = _states(found, marks, usage, dialect, old)
    return CacheMap(
        states={block.pointer: state for block, state in zip(found, states, strict=True)},
        segments=tuple(_segments(found, states)),
        exact=exact,
        breakpoints=len(marks),
    )


def _states(
    found: list[Block], marks: list[int], usage: Usage | None, dialect: str | None, old: int
) -> tuple[list[State], bool]:
    if usage is None or not found:
        return [""] * len(found), True
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    if not read and not written:
        state: State = "fresh" if usage.input_tokens else ""
        return [state] * len(found), True
    if dialect != "anthropic" or not marks:
        whole = read + written + usage.input_tokens
        first = _border(found, len(found), read / whole, [])
        second = _border(found, len(found), (read + written) / whole, [])
        return _paint(len(found), first, max(first, second)), False
    end = marks[-1] + 1
    if not written:
        return _paint(len(found), end, end), True
    if not read:
        return _paint(len(found), 0, end), True
    likely = [mark + 1 for mark in marks[:-1]]
    likely += [n for n, block in enumerate(found) if _message(block) == old and old][:1]
    first = _border(found, end, read / (read + written), likely)
    return _paint(len(found), first, end), False


def _message(block: Block) -> int:
    return int(block.place[1:]) if block.place[:1] == "m" and block.place[1:].isdigit() else -1


def _border(found: list[Block], end: int, share: float, likely: list[int]) -> int:
    """Find the border in front of which a share of the weight of the first ``end`` blocks lies."""
    sums = [0]
    for block in found[:end]:
        sums.append(sums[-1] + block.weight)
    target = share * sums[-1]
    nearest = min(range(len(sums)), key=lambda n: abs(sums[n] - target))
    for border in sorted(likely, key=lambda n: abs(sums[min(n, end)] - target)):
        if border <= end and abs(sums[border] - target) <= NEAR * max(1, sums[-1]):
            return border
    return nearest


def _paint(size: int, first: int, second: int) -> list[State]:
    read: list[State] = ["read"] * first
    written: list[State] = ["written"] * (second - first)
    fresh: list[State] = ["fresh"] * (size - second)
    return read + written + fresh


def _segments(found: list[Block], states: list[State]) -> Iterator[Segment]:
    whole = sum(block.weight for block in found) or 1
    held: tuple[str, str, State] | None = None
    size = 0
    for block, state in zip(found, states, strict=True):
        key = (block.place, block.label, state)
        if held is not None and key != held:
            yield _segment(held, size, whole)
            size = 0
        held = key
        size += block.weight
    if held is not None:
        yield _segment(held, size, whole)


def _segment(held: tuple[str, str, State], size: int, whole: int) -> Segment:
    place, label, state = held
    return Segment(place=place, label=label, state=state, share=size / whole, weight=size)
