"""What is answered, in no vendor's words: decoders make these events, encoders write them down.

A stream of events obeys one grammar, whoever makes it (a dialect's decoder, the demo, an OpenClaw
run)::

    stream   = (Ping | UsageReported)* [MessageStarted] body* end
    body     = Ping | UsageReported | block | OpaqueBlock
    end      = Stopped | StreamFailed
    block    = text | thinking | call
    text     = TextStarted (TextDelta | CitationAdded)* BlockStopped
    thinking = ThinkingStarted (ThinkingDelta | SignatureDelta)* BlockStopped
    call     = ToolCallStarted ArgumentsDelta* BlockStopped

1. Blocks follow one another and never interleave; whoever reads an upstream that interleaves
   (parallel calls in Chat Completions) puts them in order with
   :class:`clawproxy.core.dialects.sequence.BlockSequence`.
2. ``Ping`` and ``UsageReported`` may also stand inside a block.
3. ``Stopped`` and ``StreamFailed`` are final. All usage has been reported before them.
   ``StreamFailed`` may come in the middle of a block; encoders then end what is open as their
   dialect wants it.
4. Deltas are never empty, except that a ``ThinkingStarted`` … ``BlockStopped`` pair may have none
   at all.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import evolve, frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.errors import ProxyError

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "context_window",
]
"""Why an answer ended. ``context_window``: the model's window is full (Anthropic's
``model_context_window_exceeded``). An upstream's unknown reason becomes ``end_turn``."""


@frozen(slots=True)
class TokenUsage:
    """Token counts as Anthropic counts them, so that nothing is counted twice: input, cache reads
    and cache writes are disjoint.

    OpenAI's ``prompt_tokens`` is their sum; its ``completion_tokens`` is ``output_tokens``,
    reasoning included in both. ``None`` means that the upstream has not reported the number (yet),
    which is not the same as 0.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    def merged(self, later: TokenUsage) -> TokenUsage:
        """Return these counts overwritten by those that ``later`` reports: reports are cumulative,
        not additive.
        """
        changes = {
            name: value
            for name in (
                "input_tokens",
                "output_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "reasoning_tokens",
            )
            if (value := getattr(later, name)) is not None
        }
        return evolve(self, **changes) if changes else self

    @property
    def prompt_tokens(self) -> int:
        """OpenAI's inclusive count of everything that was read."""
        return (
            (self.input_tokens or 0)
            + (self.cache_read_input_tokens or 0)
            + (self.cache_creation_input_tokens or 0)
        )


@frozen(slots=True)
class MessageStarted:
    """The upstream has begun to answer; sent at once so that the caller sees a first byte.

    :ivar id: the upstream's own id of the answer, ``""`` if it has none. Encoders show the
        ``response_id`` they were given instead.
    :ivar model: the model that the upstream says answers, ``""`` if it does not say.
    """

    id: str = ""
    model: str = ""


@frozen(slots=True)
class TextStarted:
    """A block of visible text begins.

    :ivar refusal: the text says why the model refuses (OpenAI's ``refusal``).
    """

    refusal: bool = False


@frozen(slots=True)
class TextDelta:
    """More of the open text block."""

    text: str


@frozen(slots=True)
class CitationAdded:
    """A source of the open text block.

    :ivar url: where it is, ``""`` for a document of the request.
    :ivar cited: the words that were quoted.
    :ivar start: :ivar end: characters of the block's text that the citation supports, where the
        upstream says so.
    :ivar origin: :ivar raw: the dialect that sent it and its own JSON, for an encoder of the same
        dialect.
    """

    url: str = ""
    title: str = ""
    cited: str = ""
    start: int | None = None
    end: int | None = None
    origin: DialectName | None = None
    raw: bytes = b""


@frozen(slots=True)
class ThinkingStarted:
    """A block of thinking (Anthropic) or reasoning (OpenAI) begins.

    :ivar summary: the text is a summary of the reasoning rather than the reasoning itself (OpenAI's
        Responses).
    :ivar id: the upstream's id of the item, where it has one.
    :ivar redacted: encrypted thinking that has no readable text (Anthropic's
        ``redacted_thinking.data``); then there are no deltas.
    """

    summary: bool = False
    id: str = ""
    redacted: str = ""


@frozen(slots=True)
class ThinkingDelta:
    """More of the open thinking block."""

    text: str


@frozen(slots=True)
class SignatureDelta:
    """The seal under the open thinking block, meaningful to ``origin``'s vendor alone; the last one
    stands.

    :ivar signature: Anthropic's ``signature``, or the Responses API's ``encrypted_content``.
    """

    signature: str
    origin: DialectName


@frozen(slots=True)
class ToolCallStarted:
    """The model calls a tool of the caller's.

    :ivar id: the upstream's id of the call, or ``""``: encoders then make one with
        :func:`made_up_call_id`.
    :ivar name: as the upstream gave it. Encoders pass it through
        :meth:`~clawproxy.core.dialects.turn.Turn.original_tool_name`, since a name may have been
        shortened on its way out.
    :ivar custom: the deltas are free text rather than JSON (OpenAI's custom tools). ``False``
        although the caller's tool is a custom one means that the upstream was given it as a
        function: see :class:`~clawproxy.core.dialects.tools.CustomTool`.
    :ivar item_id: the Responses API's second id (``fc_…``) of the call, where there is one.
    """

    id: str
    name: str
    custom: bool = False
    item_id: str = ""


@frozen(slots=True)
class ArgumentsDelta:
    """More of the open call's arguments: a piece of JSON text as the upstream spelled it, so that
    numbers of any size survive.
    """

    text: str


@frozen(slots=True)
class BlockStopped:
    """The open block is complete."""


@frozen(slots=True)
class OpaqueBlock:
    """A finished block that only its own dialect knows (server tools and their results); other
    dialects leave it out.

    :ivar raw: the block's JSON in the dialect ``origin``.
    """

    origin: DialectName
    kind: str
    raw: bytes


@frozen(slots=True)
class UsageReported:
    """Token counts so far; cumulative, each report overwriting what it repeats."""

    usage: TokenUsage


@frozen(slots=True)
class Stopped:
    """The answer is complete.

    :ivar sequence: the stop sequence that was met, for ``stop_sequence`` where the upstream tells
        it.
    :ivar explanation: the upstream's words on a refusal that are not part of the answer's text.
    :ivar category: its category of the refusal.
    """

    reason: StopReason
    sequence: str | None = None
    explanation: str | None = None
    category: str | None = None


@frozen(slots=True)
class StreamFailed:
    """The answer will not be completed: an error in the stream, or an end before the end."""

    error: ProxyError


@frozen(slots=True)
class Ping:
    """The upstream is alive and has nothing to say yet."""


BlockStart: TypeAlias = TextStarted | ThinkingStarted | ToolCallStarted
Delta: TypeAlias = TextDelta | CitationAdded | ThinkingDelta | SignatureDelta | ArgumentsDelta
Event: TypeAlias = (
    MessageStarted
    | BlockStart
    | Delta
    | BlockStopped
    | OpaqueBlock
    | UsageReported
    | Stopped
    | StreamFailed
    | Ping
)


def made_up_call_id(response_id: str, ordinal: int) -> str:
    """Name a call whose upstream gave it no id; unique in a conversation because the response's id
    is.

    :param response_id: the id under which the caller gets the answer.
    :param ordinal: the call's place among the answer's calls, from 0.
    """
    letters = "".join(c for c in response_id if c.isascii() and c.isalnum())
    return f"call_{letters[-24:]}_{ordinal}"
