"""What is asked, in no vendor's words: a dialect's request is read into a :class:`Turn` and written
from one.

1. Everything two dialects can say has its place here, as frozen values: messages (:mod:`.parts`), tools
   (:mod:`.tools`), and how the answer shall be drawn, thought about and formed. JSON that nobody needs to look into
   (schemas, tool arguments) stays the text that the caller sent, so that no number is respelled.
2. What only the caller's dialect knows travels as :class:`~.parts.OpaquePart`, :class:`~.tools.ServerTool` or in
   ``extras``, with its dialect's name. A builder of another dialect refuses what would change the
   answer's meaning and leaves out what would not;
   :func:`unsupported` words the refusal.
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.naming import MAX_CLAUDE_TOOL_NAME, short_tool_name
from clawproxy.core.dialects.parts import CacheControl, Message, TextPart
from clawproxy.core.dialects.tools import CustomTool, Tool, ToolChoice
from clawproxy.core.errors import Kind, ProxyError

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""Callers' words for how much a model shall think."""


@frozen(slots=True)
class Sampling:
    """How tokens are drawn; ``None``: the caller did not say.

    :ivar logit_bias: as raw JSON.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    logit_bias: bytes | None = None


@frozen(slots=True)
class Reasoning:
    """How much the model shall think before it answers.

    :ivar enabled: ``False``: not at all; ``True``: yes; ``None``: not said (``effort`` may still
        be).
    :ivar budget_tokens: Anthropic's budget, if the caller counts in tokens.
    :ivar effort: the caller's word for it.
    :ivar summary: the Responses API's ``summary`` (``auto``, ``concise``, ``detailed``);
        Anthropic's ``display`` ``summarized`` becomes ``auto``. ``None``: not asked for.
    """

    enabled: bool | None = None
    budget_tokens: int | None = None
    effort: Effort | None = None
    summary: str | None = None


@frozen(slots=True)
class OutputFormat:
    """The shape the answer's text must have.

    :ivar kind: ``json_object``: any JSON object.
    :ivar schema: raw JSON, for ``json_schema``.
    """

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: bytes | None = None
    strict: bool | None = None
    description: str | None = None


@frozen(slots=True, kw_only=True)
class Turn:
    """One request for one answer.

    :ivar dialect: the caller's, whose words ``where`` and ``extras`` use.
    :ivar system: standing instructions given apart from the messages (Anthropic's ``system``, the
        Responses API's ``instructions``): separate parts, in order, never merged.
    :ivar messages: the conversation; ``system`` and ``developer`` messages stay where the caller
        put them.
    :ivar parallel_tool_calls: ``False``: at most one call in the answer.
    :ivar max_tokens: limit of the answer, thinking included; ``None``: the model's own.
    :ivar include_usage: a Chat Completions caller asked for the usage chunk of its stream.
        Meaningless elsewhere.
    :ivar cache: the prompt as a whole shall be cached, up to wherever that is best; marks of the
        caller's own stay beside it.
    :ivar user: an opaque name of the end user, for the vendor's abuse detection.
    :ivar verbosity: OpenAI's ``verbosity`` hint.
    :ivar metadata: other key-value pairs for the vendor's books, as raw JSON.
    :ivar extras: top-level fields that have no place above, as raw JSON by name, for a target of
        the caller's own dialect or kind. Fields that must not be lost are never left here: parsing
        refuses them.
    """

    dialect: DialectName
    model: str
    messages: tuple[Message, ...]
    system: tuple[TextPart, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    reasoning: Reasoning = Reasoning()
    output: OutputFormat | None = None
    stream: bool = False
    include_usage: bool = False
    cache: CacheControl | None = None
    user: str | None = None
    verbosity: str | None = None
    metadata: bytes | None = None
    extras: dict[str, bytes] = field(factory=dict)

    def original_tool_name(self, name: str) -> str:
        """Return the caller's name of a tool whose name :func:`~.naming.short_tool_name` may have
        changed for the upstream.
        """
        given = [tool.name for tool in self.tools]
        if name not in given:
            for own in given:
                if name in (short_tool_name(own), short_tool_name(own, MAX_CLAUDE_TOOL_NAME)):
                    return own
        return name

    def custom_tool(self, name: str) -> CustomTool | None:
        """Return the caller's custom tool of that name, if it has one: an encoder needs to know
        what a call's deltas must look like.
        """
        for tool in self.tools:
            if tool.name == name and isinstance(tool, CustomTool):
                return tool
        return None


def unsupported(param: str, message: str) -> ProxyError:
    """Word the refusal of a field that the target cannot express.

    :param param: the field, as a path in the caller's own dialect.
    :param message: what it asks for and why the target cannot do it.
    """
    return ProxyError(Kind.UNSUPPORTED_PARAMETER, f"{param}: {message}", param=param)


_FIELDS: dict[str, dict[DialectName, str]] = {
    "max_tokens": {"openai_chat": "max_completion_tokens", "openai_responses": "max_output_tokens"},
    "stop_sequences": {"openai_chat": "stop", "openai_responses": "stop"},
    "output": {
        "anthropic": "output_config.format",
        "openai_chat": "response_format",
        "openai_responses": "text.format",
    },
}


def field_name(turn: Turn, name: str) -> str:
    """Return what the caller calls a field of :class:`Turn` or :class:`Sampling`."""
    return _FIELDS.get(name, {}).get(turn.dialect, name)
