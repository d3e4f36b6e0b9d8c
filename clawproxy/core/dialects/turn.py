"""What is asked, in no vendor's words: a dialect's request is read into a :class:`Turn` and written
from one.

1. Everything two dialects can say has its place here, as frozen values. JSON that nobody needs to
   look into (schemas, tool arguments) stays the text that the caller sent, so that no number is
   respelled.
2. What only the caller's dialect knows travels as :class:`OpaquePart`, :class:`ServerTool` or in
   ``extras``, with its dialect's name. A builder of another dialect refuses what would change the
   answer's meaning and leaves out what would not;
   :func:`unsupported` words the refusal.
3. Places in a request are given as its own dialect's path (``messages[2].content[0]``) in
   ``where``, so that a refusal by the target can name the caller's field.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import field, frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.naming import MAX_CLAUDE_TOOL_NAME, short_tool_name
from clawproxy.core.errors import Kind, ProxyError

Role = Literal["system", "developer", "user", "assistant"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@frozen(slots=True)
class CacheControl:
    """A mark up to which the prompt may be cached.

    :ivar ttl: ``"5m"``, ``"1h"``, … or ``None`` for the vendor's default.
    """

    ttl: str | None = None


@frozen(slots=True)
class InlineData:
    """Bytes that came with the request.

    :ivar media_type: e.g. ``image/png``, ``application/pdf``.
    :ivar data: standard base64, without the data URL's head.
    """

    media_type: str
    data: str


@frozen(slots=True)
class RemoteUrl:
    """An ``http(s)`` address that the vendor fetches itself."""

    url: str


@frozen(slots=True)
class VendorFile:
    """A file that was uploaded to the vendor whose dialect is ``origin``; no other vendor can read
    it.
    """

    file_id: str
    origin: DialectName


@frozen(slots=True)
class PlainText:
    """A document's text."""

    text: str


Source: TypeAlias = InlineData | RemoteUrl | VendorFile | PlainText


@frozen(slots=True)
class TextPart:
    """Words."""

    text: str
    cache: CacheControl | None = None


@frozen(slots=True)
class RefusalPart:
    """Words with which an assistant refused earlier (OpenAI); elsewhere they are text."""

    text: str


@frozen(slots=True)
class ImagePart:
    """A picture.

    :ivar detail: OpenAI's ``detail`` hint.
    """

    source: InlineData | RemoteUrl | VendorFile
    detail: str | None = None
    cache: CacheControl | None = None
    where: str = ""


@frozen(slots=True)
class FilePart:
    """A document: a PDF, a text, a vendor's uploaded file.

    :ivar name: its file name or title.
    :ivar context: what the caller says about it (Anthropic).
    :ivar citations: the answer shall cite it (Anthropic).
    """

    source: Source
    name: str | None = None
    context: str | None = None
    citations: bool = False
    cache: CacheControl | None = None
    where: str = ""


@frozen(slots=True)
class ThinkingPart:
    """An assistant's earlier thinking; sent only to the dialect ``origin`` that sealed it, and to
    no other, not even as text.

    :ivar signature: Anthropic's ``signature``, the Responses API's ``encrypted_content``; ``""`` if
        it has none.
    :ivar redacted: Anthropic's ``redacted_thinking.data``.
    :ivar id: the Responses API's item id.
    """

    origin: DialectName
    text: str = ""
    signature: str = ""
    redacted: str = ""
    id: str = ""


@frozen(slots=True)
class ToolCallPart:
    """An assistant's earlier call of a tool.

    :ivar arguments: JSON text as the caller spelled it, or free text if ``custom``. Not checked: a
        cut answer may have left half an object.
    """

    id: str
    name: str
    arguments: str
    custom: bool = False
    cache: CacheControl | None = None


@frozen(slots=True)
class ToolResultPart:
    """What a tool gave back; stands in a ``user`` message, right after the assistant's message that
    called it.

    :ivar content: text, images and files, in order; may be empty.
    """

    call_id: str
    content: tuple[TextPart | ImagePart | FilePart, ...] = ()
    is_error: bool = False
    cache: CacheControl | None = None


@frozen(slots=True)
class OpaquePart:
    """A block that only the dialect ``origin`` knows, e.g. the traces of a server tool.

    :ivar raw: its JSON.
    """

    origin: DialectName
    kind: str
    raw: bytes
    where: str = ""


Part: TypeAlias = (
    TextPart
    | RefusalPart
    | ImagePart
    | FilePart
    | ThinkingPart
    | ToolCallPart
    | ToolResultPart
    | OpaquePart
)


@frozen(slots=True)
class Message:
    """One message; consecutive ones of one role are allowed, ``system`` and ``developer`` may stand
    anywhere.

    :ivar name: OpenAI's participant name, a hint.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


@frozen(slots=True)
class FunctionTool:
    """A tool whose arguments are a JSON object.

    :ivar parameters: its JSON schema as raw JSON; ``None``: it takes none.
    :ivar strict: arguments must match the schema exactly.
    """

    name: str
    description: str | None = None
    parameters: bytes | None = None
    strict: bool | None = None
    cache: CacheControl | None = None


@frozen(slots=True)
class CustomTool:
    """A tool whose argument is free text (OpenAI's custom tools, e.g. Codex's ``apply_patch``).

    A dialect without such tools gets a function with one string parameter ``input``
    (:meth:`as_function`); its call then comes back as JSON, from which :mod:`~.freeform` takes the
    text out again.

    :ivar format: the grammar, as raw JSON.
    """

    name: str
    description: str | None = None
    format: bytes | None = None

    def as_function(self) -> FunctionTool:
        """Return the function that stands in for this tool where only functions exist."""
        description = self.description or ""
        if self.format is not None:
            description += "\n\nThe input must follow this format: " + self.format.decode()
        return FunctionTool(
            name=self.name,
            description=description.strip() or None,
            parameters=b'{"type":"object","properties":{"input":{"type":"string"}},'
            b'"required":["input"],"additionalProperties":false}',
        )


@frozen(slots=True)
class ServerTool:
    """A tool that the vendor itself runs (web search, code execution); only the dialect ``origin``
    can express it.

    :ivar kind: its ``type``.
    :ivar raw: its JSON.
    :ivar optional: the caller offers it with every request and can do without: other dialects leave
        it out instead of refusing the request.
    """

    origin: DialectName
    kind: str
    name: str
    raw: bytes
    where: str = ""
    optional: bool = False


Tool: TypeAlias = FunctionTool | CustomTool | ServerTool


@frozen(slots=True)
class ToolChoice:
    """Whether the model may, must or must not call tools.

    :ivar mode: ``tool``: it must call the tool ``name``.
    :ivar allowed: if not ``None``, only these names may be called (OpenAI's ``allowed_tools``),
        with mode ``auto`` or ``required``.
    """

    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None
    allowed: tuple[str, ...] | None = None


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
