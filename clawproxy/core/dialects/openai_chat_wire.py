"""What a Chat Completions upstream sends, as msgspec reads it: only the fields that are looked at, in a stream and
without one.

Every field is optional, since servers that imitate the API leave them out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.events import SignatureDelta, Stopped, StopReason, StreamFailed
from clawproxy.core.dialects.rawjson import String, decode, is_null, one_line, text_of
from clawproxy.core.dialects.upstream_error import openai_fault
from clawproxy.core.errors import Kind, ProxyError

_REASONS: dict[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "sensitive": "refusal",
    "safety": "refusal",
    "recitation": "refusal",
    "blocklist": "refusal",
    "prohibited_content": "refusal",
    "spii": "refusal",
    "model_context_window_exceeded": "context_window",
    "model_length": "context_window",
}
"""In small letters: some gateways pass on Gemini's own, which are capital. ``model_length`` is Mistral's."""

_FAILURES: dict[str, Kind] = {
    "error": Kind.API,
    "abort": Kind.API,
    "network_error": Kind.API,
    "insufficient_system_resource": Kind.OVERLOADED,
    "function_call_filter": Kind.API,
    "malformed_function_call": Kind.API,
    "unexpected_tool_call": Kind.API,
}
"""Reasons of servers whose own servers failed them (OpenRouter, vLLM, Z.ai, DeepSeek), or that threw the model's call
away (Gemini).
"""


class Function(msgspec.Struct, gc=False):
    """A call's name and arguments; a string, or with some servers the object itself."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()


class CustomCall(msgspec.Struct, gc=False):
    """A custom tool's name and free text."""

    name: str | None = None
    input: str | None = None


class CallDelta(msgspec.Struct, gc=False):
    """A piece of a tool call, or a whole one in an answer that is not a stream."""

    index: int | None = None
    id: str | int | None = None
    function: Function | None = None
    custom: CustomCall | None = None
    extra_content: msgspec.Raw = msgspec.Raw()

    @property
    def seal(self) -> SignatureDelta | None:
        """What a server seals its thinking about the call with, and wants back beside it (Gemini)."""
        raw = self.extra_content
        if is_null(raw) or b"thought_signature" not in (text := one_line(raw)):
            return None
        return SignatureDelta(text.decode(), "openai_chat")

    @property
    def call_id(self) -> str:
        """The call's id as text, as which it has to come back; ``""`` if it has none."""
        return "" if self.id is None else str(self.id)


class Delta(msgspec.Struct, gc=False):
    """A piece of the answer, or the whole ``message``."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: list[CallDelta] | None = None
    function_call: Function | None = None


class Choice(msgspec.Struct, gc=False):
    """A piece of one of the answers."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


class Reply(msgspec.Struct, gc=False):
    """What a frame of the stream and a whole answer have in common, or an error in the place of either."""

    id: Any = None
    object: Any = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None
    message: Any = None
    code: Any = None
    type: Any = None

    @property
    def fault(self) -> ProxyError | None:
        """The error that it is; some servers give its members without an ``error`` around them."""
        if self.error is not None:
            return openai_fault(self.error)
        return self.flat_fault() if self.object == "error" else None

    def flat_fault(self) -> ProxyError:
        """Read it as an error's members."""
        return openai_fault({"message": self.message, "code": self.code, "type": self.type})


class Chunk(Reply, gc=False):
    """A frame of the stream."""

    choices: list[Choice] | None = None


chunk_decoder = msgspec.json.Decoder(Chunk)


def content_text(content: str | list[Any] | None) -> str:
    """Return the text of ``content``; some servers put parts there."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in content or () if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def arguments_text(function: Function) -> str:
    """Return a call's arguments as JSON text.

    :raises Exception: one of :data:`~.rawjson.MALFORMED`.
    """
    if is_null(function.arguments):
        return ""
    text = text_of(function.arguments)
    return decode(String, function.arguments) if text.startswith('"') else text


def name_and_text(call: CallDelta) -> tuple[str, str]:
    """Return a call's name and its arguments, or a custom call's free text, as far as this piece has them.

    :raises Exception: one of :data:`~.rawjson.MALFORMED`.
    """
    if call.function is not None:
        return call.function.name or "", arguments_text(call.function)
    if call.custom is not None:
        return call.custom.name or "", call.custom.input or ""
    return "", ""


def read_finish(reason: str, *, called: bool, refused: bool) -> Stopped | StreamFailed:
    """Read ``finish_reason``; ``stop`` after a call or a refusal is what imitators send."""
    word = reason.partition(":")[0].strip().lower()  # Gemini says more: "content_filter: SAFETY"
    if failure := _FAILURES.get(word):
        return StreamFailed(ProxyError(failure, f"The upstream's answer ended as {reason!r}."))
    known = _REASONS.get(word, "end_turn")
    if known == "tool_use" and not called:
        known = "end_turn"
    elif known == "end_turn" and refused:
        known = "refusal"
    elif known == "end_turn" and called:
        known = "tool_use"
    return Stopped(known)
