"""A whole answer in neutral terms, put together from events, for callers that do not stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from attrs import define, field

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    CitationAdded,
    Event,
    MessageStarted,
    OpaqueBlock,
    SignatureDelta,
    Stopped,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.upstream_error import unfinished


@define
class TextBlock:
    """A text with its citations."""

    refusal: bool
    text: str = ""
    citations: list[CitationAdded] = field(factory=list)


@define
class ThinkingBlock:
    """Thinking with its seal and the seal's vendor."""

    started: ThinkingStarted
    text: str = ""
    signature: str = ""
    origin: DialectName | None = None


@define
class CallBlock:
    """A tool call with its arguments as the upstream spelled them; ``""`` if there were none."""

    started: ToolCallStarted
    arguments: str = ""


Block: TypeAlias = TextBlock | ThinkingBlock | CallBlock | OpaqueBlock


@define
class Answer:
    """Everything that was answered.

    :ivar model: as the upstream said, ``""`` if it did not.
    """

    stopped: Stopped
    blocks: list[Block] = field(factory=list)
    usage: TokenUsage = field(factory=TokenUsage)
    model: str = ""


def collect(events: Iterable[Event]) -> Answer:
    """Put events together.

    :raises ProxyError: they end in ``StreamFailed`` (its error), or without a final event.
    """
    answer = Answer(Stopped("end_turn"))
    pieces: list[str] = []
    block: Block | None = None

    def finish() -> None:
        if isinstance(block, CallBlock):
            block.arguments = "".join(pieces)
        elif isinstance(block, (TextBlock, ThinkingBlock)):
            block.text = "".join(pieces)
        pieces.clear()

    for event in events:
        match event:
            case TextDelta(text) | ThinkingDelta(text) | ArgumentsDelta(text):
                pieces.append(text)
            case TextStarted() | ThinkingStarted() | ToolCallStarted() | OpaqueBlock():
                finish()
                block = _opened(event)
                answer.blocks.append(block)
            case SignatureDelta(signature, origin) if isinstance(block, ThinkingBlock):
                block.signature, block.origin = signature, origin
            case CitationAdded() if isinstance(block, TextBlock):
                block.citations.append(event)
            case UsageReported(usage):
                answer.usage = answer.usage.merged(usage)
            case MessageStarted():
                answer.model = event.model
            case Stopped():
                finish()
                answer.stopped = event
                return answer
            case StreamFailed(error):
                raise error
    raise unfinished()


def _opened(event: TextStarted | ThinkingStarted | ToolCallStarted | OpaqueBlock) -> Block:
    match event:
        case TextStarted(refusal):
            return TextBlock(refusal)
        case ThinkingStarted():
            return ThinkingBlock(event)
        case ToolCallStarted():
            return CallBlock(event)
        case OpaqueBlock():
            return event
