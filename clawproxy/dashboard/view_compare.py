"""Two exchanges side by side: which messages both have, and how the others differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from clawproxy.core.record import Exchange
from clawproxy.dashboard import diff
from clawproxy.dashboard.render_numbers import DASH, duration, number, percent, size, usd
from clawproxy.dashboard.view import (
    Answer,
    Aside,
    Call,
    File,
    Image,
    Message,
    Other,
    Part,
    Prompt,
    Result,
    Text,
    Thinking,
)
from clawproxy.dashboard.view_json import pretty, words
from clawproxy.dashboard.view_pane import Difference, difference
from clawproxy.dashboard.view_turn import print_of

LONGEST = 200_000
"""Characters of one thing that are compared."""
NOISE = 0.02
"""The share of a figure below which a difference is neither better nor worse: no two runs take the same time."""


@frozen(kw_only=True)
class Change:
    """A stretch of two prompts.

    :ivar kind: ``equal``, ``changed``, ``removed`` or ``added``.
    :ivar title: what it is.
    :ivar count: how many messages, where they are equal.
    """

    kind: str
    title: str
    count: int = 1
    change: Difference | None = None


@frozen(kw_only=True)
class Figure:
    """A row of the table of figures."""

    name: str
    left: str
    right: str
    delta: str = ""
    better: str = ""


def lines_of(parts: Sequence[Part]) -> Iterator[str]:
    """Write parts as lines of text."""
    for part in parts:
        if isinstance(part, Text):
            yield part.text
        elif isinstance(part, Thinking):
            yield f"[thinking] {part.text or part.note}"
        elif isinstance(part, Aside):
            yield f"<{part.name}>\n{part.text}\n</{part.name}>"
        elif isinstance(part, Call):
            given = pretty(part.arguments) if part.arguments is not None else part.raw
            yield f"[call] {part.name} {given}"
            if part.result is not None:
                yield from lines_of((part.result,))
        elif isinstance(part, Result):
            yield "[error]" if part.error else "[result]"
            yield from lines_of(part.parts)
        elif isinstance(part, Image):
            yield f"[image {part.media} {part.size}]"
        elif isinstance(part, File):
            yield f"[file {part.name} {part.size}]\n{part.text}"
        elif isinstance(part, Other):
            yield pretty(part.value)


def text_of(parts: Sequence[Part]) -> str:
    """Write parts as text."""
    return "\n".join(lines_of(parts))[:LONGEST]


def prompt_changes(left: Prompt, right: Prompt) -> list[Change]:
    """Compare two prompts in the order in which a model reads them."""
    found = []
    for title, a, b in (
        ("settings", _settings(left), _settings(right)),
        ("tools", _tools(left), _tools(right)),
        ("system", text_of(left.system), text_of(right.system)),
    ):
        if a == b:
            if a:
                found.append(Change(kind="equal", title=title))
        else:
            kind = "added" if not a else "removed" if not b else "changed"
            found.append(Change(kind=kind, title=title, change=difference(diff.compare(a, b))))
    found.extend(message_changes(left.messages, right.messages))
    return found


def _settings(prompt: Prompt) -> str:
    lines = [f"model: {prompt.model}"]
    for name, value in prompt.settings:
        lines.append(f"{name}: {pretty(value) if isinstance(value, dict | list) else words(value)}")
    return "\n".join(lines)


def _tools(prompt: Prompt) -> str:
    return "\n".join(
        f"{tool.name}\n  {tool.description}\n  {words(tool.schema)}" for tool in prompt.tools
    )[:LONGEST]


def message_changes(left: Sequence[Message], right: Sequence[Message]) -> Iterator[Change]:
    """Compare two lists of messages: those that are the same stand as one, the others pair up."""
    a = [message for message in left if not message.answered]
    b = [message for message in right if not message.answered]
    old, new = [_print(message) for message in a], [_print(message) for message in b]
    for tag, i, j, k, m in diff.opcodes(old, new):
        if tag == "equal":
            yield Change(kind="equal", title=_places(b[k:m]), count=m - k)
            continue
        for before, after in zip(a[i:j], b[k:m], strict=False):
            if before.role == after.role:
                lines = diff.compare(text_of(before.parts), text_of(after.parts))
                yield Change(kind="changed", title=_places([after]), change=difference(lines))
            else:
                yield _gone(before)
                yield _come(after)
        pairs = min(j - i, m - k)
        for before in a[i + pairs : j]:
            yield _gone(before)
        for after in b[k + pairs : m]:
            yield _come(after)


def _gone(message: Message) -> Change:
    lines = diff.compare(text_of(message.parts), "")
    return Change(kind="removed", title=_places([message]), change=difference(lines))


def _come(message: Message) -> Change:
    lines = diff.all_added(text_of(message.parts))
    return Change(kind="added", title=_places([message]), change=difference(lines))


def _print(message: Message) -> bytes:
    return print_of([message.role, text_of(message.parts)])


def _places(messages: Sequence[Message]) -> str:
    first, last = messages[0], messages[-1]
    if len(messages) == 1:
        return f"{first.role} m{first.number}"
    return f"m{first.number} to m{last.number}"


def answer_change(left: Answer, right: Answer) -> Difference | None:
    """Compare two answers; ``None`` if they are the same."""
    a, b = (
        "\n".join(text_of(message.parts) for message in answer.messages) for answer in (left, right)
    )
    return None if a == b else difference(diff.compare(a, b, context=100))


def figures(left: Exchange, right: Exchange) -> list[Figure]:
    """Compare what two exchanges took and cost."""
    rows = [
        Figure(name="model", left=_model(left), right=_model(right)),
        Figure(name="provider", left=left.provider or DASH, right=right.provider or DASH),
        Figure(name="outcome", left=_outcome(left), right=_outcome(right)),
        _figure("first token", left.ttft_ms, right.ttft_ms, duration),
        _figure("duration", left.duration_ms, right.duration_ms, duration),
    ]
    for title, name in (
        ("input tokens", "input_tokens"),
        ("tokens from the cache", "cache_read_input_tokens"),
        ("tokens to the cache", "cache_creation_input_tokens"),
        ("output tokens", "output_tokens"),
    ):
        a = getattr(left.usage, name) if left.usage else None
        b = getattr(right.usage, name) if right.usage else None
        rows.append(_figure(title, a, b, number, judged=False))
    rows.append(_figure("cost", left.cost_usd, right.cost_usd, usd))
    rows.append(
        _figure("request", float(left.request_bytes), float(right.request_bytes), size, False)
    )
    return rows


def _model(x: Exchange) -> str:
    return x.routed_model or x.model or DASH


def _outcome(x: Exchange) -> str:
    return f"{x.outcome.replace('_', ' ')} {x.status or ''}".strip()


def _figure(
    name: str,
    left: float | None,
    right: float | None,
    written: object,
    judged: bool = True,
) -> Figure:
    assert callable(written)
    delta = better = ""
    if left is not None and right is not None and written(left) != written(right):
        sign = "+" if right > left else "−"  # noqa: RUF001 - a minus as wide as the plus
        delta = f"{sign}{written(abs(right - left))}"
        if left:
            delta += f" ({sign}{percent(abs(right - left) / left)})"
        if judged and abs(right - left) >= NOISE * max(left, right):
            better = "better" if right < left else "worse"
    return Figure(name=name, left=written(left), right=written(right), delta=delta, better=better)
