"""The demo provider: believable answers without an account, for a first run, a demo or a load test.

1. :func:`script` decides what to answer to a turn: thinking where it was asked for, a tool call where
   a tool is forced or the prompt speaks of one, else text.
2. :class:`DemoProvider` says it at the configured pace, one word at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clawproxy.config.model import DemoProviderConfig
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    Event,
    MessageStarted,
    Stopped,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.parts import TextPart, ToolResultPart
from clawproxy.core.dialects.tools import CustomTool, FunctionTool
from clawproxy.core.dialects.turn import Turn
from clawproxy.upstream.provider import CallContext, EventSink

_WORDS_PER_BATCH = 64
"""Words said in one turn of the reactor when there is no pace: the caller's reading sets it then."""

_THOUGHT = (
    "The question came through the proxy. I have no model behind me, so I will say honestly what I"
    " am and show what a stream looks like."
)
_ANSWER = """Hello! This answer comes from ClawProxy's **demo provider**: no account, no network, no model.

You wrote: "{echo}"

What you are watching is a real stream:

1. Every word leaves the proxy the moment it is made.
2. The exchange is recorded and appears in the dashboard at `/ui/`.
3. Ask for a tool, and you will see a tool call; turn thinking on, and you will see thinking.

Add a key for a provider to the configuration, and the same endpoint speaks to a real model."""


def _last_text(turn: Turn) -> str:
    for message in reversed(turn.messages):
        if message.role == "user":
            for part in reversed(message.parts):
                if isinstance(part, TextPart) and part.text.strip():
                    return part.text.strip()
    return ""


def _result(turn: Turn) -> str | None:
    """Give the text of a tool's result, if the conversation ends with one."""
    if not turn.messages:
        return None
    for part in reversed(turn.messages[-1].parts):
        if isinstance(part, ToolResultPart):
            texts = [each.text for each in part.content if isinstance(each, TextPart)]
            return " ".join(texts)
    return None


def _tool(turn: Turn) -> FunctionTool | CustomTool | None:
    """Choose the tool to call: the forced one, any if one is required, or the one the prompt names."""
    choice = turn.tool_choice
    tools = [tool for tool in turn.tools if isinstance(tool, FunctionTool | CustomTool)]
    if not tools or (choice is not None and choice.mode == "none"):
        return None
    if choice is not None and choice.mode == "tool":
        return next((tool for tool in tools if tool.name == choice.name), tools[0])
    if choice is not None and choice.mode == "required":
        return tools[0]
    if _result(turn) is not None:
        return None
    prompt = _last_text(turn).lower()
    named = next((tool for tool in tools if tool.name.lower() in prompt), None)
    return named or (tools[0] if "tool" in prompt.split() else None)


_EXAMPLES: dict[str, object] = {
    "string": "demo",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}


def _arguments(tool: FunctionTool) -> str:
    """Make arguments that fit the tool's schema as far as its required members say."""
    try:
        schema = msgspec.json.decode(tool.parameters or b"{}")
    except msgspec.DecodeError:
        return "{}"
    if not isinstance(schema, dict):
        return "{}"
    properties = schema.get("properties")
    made: dict[str, object] = {}
    for name in schema.get("required") or ():
        member = properties.get(name) if isinstance(properties, dict) else None
        kind = member.get("type") if isinstance(member, dict) else None
        allowed = member.get("enum") if isinstance(member, dict) else None
        made[str(name)] = allowed[0] if allowed else _EXAMPLES.get(str(kind), "demo")
    return msgspec.json.encode(made).decode()


def _words(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find(" ", start + 1)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end


def _prompt_tokens(turn: Turn) -> int:
    length = sum(len(part.text) for part in turn.system)
    for message in turn.messages:
        for part in message.parts:
            length += len(getattr(part, "text", "") or "")
    return max(1, length // 4)


def script(turn: Turn, call_id: str) -> Iterator[Event]:
    """Give the events of an answer, the deltas a word each.

    :param call_id: the id of the tool call, should there be one.
    """
    spent = 0
    thinking = 0
    limit = turn.max_tokens if turn.max_tokens is not None else 1 << 30
    yield MessageStarted(id=call_id, model="demo")
    yield UsageReported(TokenUsage(input_tokens=_prompt_tokens(turn), output_tokens=1))
    if turn.reasoning.enabled or turn.reasoning.effort not in (None, "none"):
        yield ThinkingStarted()
        for word in _words(_THOUGHT):
            spent += 1
            yield ThinkingDelta(word)
        thinking = spent
        yield BlockStopped()
    reason = "end_turn"
    tool = _tool(turn)
    if tool is not None:
        yield ToolCallStarted(call_id, tool.name, custom=isinstance(tool, CustomTool))
        text = "demo" if isinstance(tool, CustomTool) else _arguments(tool)
        for start in range(0, len(text), 8):
            spent += 1
            yield ArgumentsDelta(text[start : start + 8])
        yield BlockStopped()
        reason = "tool_use"
    else:
        result = _result(turn)
        text = (
            f'The tool answered: "{result[:200]}". That is all the demo needed to know.'
            if result is not None
            else _ANSWER.format(echo=_last_text(turn)[:200])
        )
        yield TextStarted()
        for word in _words(text):
            if spent >= limit:
                reason = "max_tokens"
                break
            spent += 1
            yield TextDelta(word)
        yield BlockStopped()
    yield UsageReported(
        TokenUsage(output_tokens=spent, reasoning_tokens=thinking if thinking else None)
    )
    yield Stopped(reason)  # type: ignore[arg-type]


@define(eq=False)
class DemoRun:
    """One answer being said."""

    _reactor: IReactorTime
    _events: Iterator[Event]
    _sink: EventSink
    _pause: float
    _paused: bool = False
    _over: bool = False
    _call: IDelayedCall | None = field(default=None)

    def start(self) -> DemoRun:
        """Say the first word in the reactor's next turn."""
        self._call = self._reactor.callLater(0, self._say)
        return self

    def _say(self) -> None:
        self._call = None
        said: list[Event] = []
        words = 1 if self._pause else _WORDS_PER_BATCH
        for event in self._events:
            said.append(event)
            if isinstance(event, TextDelta | ThinkingDelta | ArgumentsDelta):
                words -= 1
            if words == 0:
                self._sink.events(said)
                if not self._paused and not self._over:
                    self._call = self._reactor.callLater(self._pause, self._say)
                return
        self._sink.events(said)
        if not self._over:
            self._over = True
            self._sink.ended(None)

    def cancel(self) -> None:
        """Stop."""
        self._over = True
        if self._call is not None and self._call.active():
            self._call.cancel()

    def pause(self) -> None:
        """Say nothing until the caller reads again."""
        self._paused = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def resume(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            if not self._over:
                self._call = self._reactor.callLater(0, self._say)


class DemoProvider:
    """Answers by itself.

    :param config: its name and pace.
    """

    def __init__(self, config: DemoProviderConfig, reactor: IReactorTime) -> None:
        self.name = config.name
        self._pause = 1 / config.tokens_per_second if config.tokens_per_second else 0.0
        self._reactor = reactor

    def start(self, turn: Turn, context: CallContext, sink: EventSink) -> DemoRun:
        """Begin to answer a turn."""
        call_id = f"toolu_{context.exchange_id}"
        return DemoRun(self._reactor, script(turn, call_id), sink, self._pause).start()
