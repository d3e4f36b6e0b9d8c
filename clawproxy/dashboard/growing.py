"""The readable text of a stream that is still coming: :class:`Growing`, for those who watch it live.

It is fed what the caller is sent, decodes no more than the few members that hold text, keeps only the end of a long
text, and never raises. The finished message is made elsewhere (:mod:`clawproxy.core.message`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from clawproxy.core.dialects import DialectName
from clawproxy.core.sse import SSEDecoder

LIMIT = 16 << 10
"""Characters of text that are kept, the last ones."""
FRAME_LIMIT = 1 << 20
"""Bytes of one event; larger ones are no text for people."""
MOST_TOOLS = 100
CALL = 2000
"""Characters that are given of the arguments of a call, the last ones."""


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _Block(msgspec.Struct):
    type: str = ""
    name: str = ""
    text: str = ""


class _Anthropic(msgspec.Struct):
    type: str = ""
    delta: _Delta | None = None
    content_block: _Block | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function | None = None


class _ChatDelta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _ChatDelta | None = None


class _Chat(msgspec.Struct):
    choices: list[_Choice] = []


class _Item(msgspec.Struct):
    type: str = ""
    name: str | None = None


class _Responses(msgspec.Struct):
    type: str = ""
    delta: str = ""
    item: _Item | None = None


_ARGUMENTS = frozenset(
    {
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
    }
)

_anthropic = msgspec.json.Decoder(_Anthropic).decode
_chat = msgspec.json.Decoder(_Chat).decode
_responses = msgspec.json.Decoder(_Responses).decode


class _Tail:
    """The end of a text that grows."""

    __slots__ = ("_parts", "_size", "dropped")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self.dropped = 0

    def add(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self._size += len(text)
            if self._size > 2 * LIMIT:
                self.take()

    def take(self) -> str:
        whole = "".join(self._parts)
        kept = whole[-LIMIT:]
        self.dropped += len(whole) - len(kept)
        self._parts, self._size = [kept], len(kept)
        return kept


class Growing:
    """What can be read of an answer so far.

    :param dialect: the caller's, in which the stream is; ``None``: nothing can be read.
    :ivar tools: the names of the tools called so far.
    """

    def __init__(self, dialect: DialectName | None) -> None:
        self._decoder = SSEDecoder(FRAME_LIMIT)
        self._take: Callable[[bytes], None] | None = {
            "anthropic": self._take_anthropic,
            "openai_chat": self._take_chat,
            "openai_responses": self._take_responses,
            None: None,
        }[dialect]
        self._text = _Tail()
        self._thinking = _Tail()
        self._call = _Tail()
        self.tools: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream, cut anywhere."""
        if self._take is None:
            return
        for event in self._decoder.feed(data):
            try:
                self._take(event.data)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue  # what is not of the expected form holds no text

    @property
    def text(self) -> str:
        """The answer's text so far, or its end where it is long."""
        return self._text.take()

    @property
    def offset(self) -> int:
        """How many characters stand before :attr:`text`; read that one first."""
        return self._text.dropped

    @property
    def thinking(self) -> str:
        """What the model thinks, if it shows that; its end where it is long."""
        return self._thinking.take()

    @property
    def call(self) -> str:
        """The arguments of the call that is being written, as they come; their end where they are long."""
        return self._call.take()[-CALL:]

    def _say(self, text: str) -> None:
        if text:
            self._text.add(text)
            self._call = _Tail()

    def _tool(self, name: str | None) -> None:
        if name:
            self._call = _Tail()
            if len(self.tools) < MOST_TOOLS:
                self.tools.append(name[:200])

    def _take_anthropic(self, data: bytes) -> None:
        event = _anthropic(data)
        if event.delta is not None:
            self._say(event.delta.text)
            self._call.add(event.delta.partial_json)
            self._thinking.add(event.delta.thinking)
        elif event.content_block is not None:
            self._say(event.content_block.text)
            self._tool(event.content_block.name)

    def _take_chat(self, data: bytes) -> None:
        for choice in _chat(data).choices:
            delta = choice.delta
            if delta is None or choice.index:
                continue
            self._say(delta.content or delta.refusal or "")
            self._thinking.add(delta.reasoning_content or delta.reasoning or "")
            for call in delta.tool_calls or ():
                if call.function is not None:
                    self._tool(call.function.name)
                    self._call.add(call.function.arguments or "")

    def _take_responses(self, data: bytes) -> None:
        event = _responses(data)
        if event.type in ("response.output_text.delta", "response.refusal.delta"):
            self._say(event.delta)
        elif event.type in _ARGUMENTS:
            self._call.add(event.delta)
        elif event.type.startswith("response.reasoning") and event.type.endswith(".delta"):
            self._thinking.add(event.delta)
        elif event.type == "response.output_item.added" and event.item is not None:
            self._tool(event.item.name)
