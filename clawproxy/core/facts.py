"""What an answer tells of itself, by the rules of its dialect: facts for the record.

:class:`Facts` reads single events or whole bodies and sums them up in a :class:`Summary`.
"""

from __future__ import annotations

import json
import re
from collections import deque

import msgspec
from attrs import frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.jsonread import JSONError, Members, peek, read
from clawproxy.core.message_base import error_text, items
from clawproxy.core.message_usage import usage_of
from clawproxy.core.record import Usage
from clawproxy.core.sse import SSEEvent

MAX_ERROR = 8 * 1024
"""Characters of an error's words that are kept."""

_MOST_REPORTS = 8
"""How many places of a large answer are tried for its usage, from its end."""

_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')

_RESPONSE_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


@frozen
class Summary:
    """What an answer told of itself.

    :ivar usage: its last token counts; not ``complete`` where a stream broke off before its end.
    :ivar error: the words of an error told in the stream or body.
    :ivar model: the model that answered.
    :ivar stop_reason: why it ended, in the dialect's own word.
    :ivar saw_end: whether the dialect's own end of an answer was seen.
    """

    usage: Usage | None = None
    error: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    saw_end: bool = False


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    """What an ordinary answer says of itself, whichever of the two dialects it is in: read in one go.

    A member of another type, an error above all, makes it one that is not ordinary.
    """

    model: str | None = None
    usage: dict[str, object] | None = None
    stop_reason: str | None = None
    choices: list[_Choice] = []
    error: None = None


_body = msgspec.json.Decoder(_Body)


class Facts:
    """What was found so far.

    :param dialect: whose rules to read by; ``None``: only an error is recognised.
    :ivar ended: whether the dialect's own end of an answer was seen.
    """

    def __init__(self, dialect: DialectName | None) -> None:
        self.dialect = dialect
        self.usage: dict[str, object] = {}
        self.error: str | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.ended = False

    def fail(self, error: object) -> None:
        """Note the first error."""
        if self.error is None:
            self.error = error_text(error)[:MAX_ERROR]

    def count(self, usage: object) -> None:
        """Note a report: it replaces the last one member by member, as Anthropic's do."""
        if isinstance(usage, dict):
            self.usage.update({name: n for name, n in usage.items() if n is not None})

    def salvage(self, head: bytes, tail: bytes) -> None:
        """Read usage and model out of the ends of something too large to be read whole."""
        if match := _MODEL.search(head):
            self.model = _string(match[1]) or self.model
        for match in reversed(deque(_USAGE.finditer(tail), _MOST_REPORTS)):
            text = tail[match.end() :].decode("utf-8", "replace")
            try:
                usage, _ = json.JSONDecoder().raw_decode(text)
            except (ValueError, RecursionError):
                continue
            self.count(usage)
            break

    def summary(self, *, complete: bool) -> Summary:
        """Give the facts."""
        usage = usage_of(self.dialect, self.usage, complete=complete) if self.dialect else None
        return Summary(usage, self.error, self.model, self.stop_reason, self.ended)

    def event(self, event: SSEEvent) -> None:
        """Read an event that may matter."""
        if event.event == "content_block_delta":
            return
        if event.data.strip() == b"[DONE]":
            self.ended = True
            return
        try:
            members = peek(event.data)
            if self.dialect == "anthropic":
                self._anthropic(members, event.event)
            elif self.dialect == "openai_responses":
                self._responses(members, event.event)
            else:
                self.chat(members)
        except JSONError:
            if event.event == "error":
                self.fail(event.data.decode("utf-8", "replace"))

    def _anthropic(self, members: Members, name: str) -> None:
        kind = members.text("type") or name
        if kind == "message_start":
            message = members.get("message")
            if isinstance(message, dict):
                self.model = _text(message.get("model")) or self.model
                self.count(message.get("usage"))
        elif kind == "message_delta":
            delta = members.get("delta")
            if isinstance(delta, dict):
                self.stop_reason = _text(delta.get("stop_reason")) or self.stop_reason
            self.count(members.get("usage"))
        elif kind == "message_stop":
            self.ended = True
        elif kind == "content_block_start":
            block = members.get("content_block")
            if isinstance(block, dict) and block.get("type") == "fallback":
                to = block.get("to")
                served = _text(to.get("model")) if isinstance(to, dict) else None
                self.model = served or self.model
        elif kind == "error" or name == "error":
            self.fail(_error(members))

    def chat(self, members: Members) -> None:
        """Read a chunk, or a whole completion: both say it in the same members."""
        self.model = members.text("model") or self.model
        if members.kind("error") in ("object", "string"):
            self.fail(members.get("error"))
        if members.kind("usage") == "object":
            self.count(members.get("usage"))
        if isinstance(groq := members.get("x_groq"), dict):
            self.count(groq.get("usage"))
        choices = members.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if not isinstance(choice, dict):
                continue
            self.count(choice.get("usage"))  # Moonshot tells it there
            if reason := _text(choice.get("finish_reason")):
                self.stop_reason = reason
                self.ended = True

    def _responses(self, members: Members, name: str) -> None:
        kind = members.text("type") or name
        if kind == "error" or name == "error":
            self.fail(_error(members))
            return
        raw = members.raw("response")
        if raw is None or not raw.startswith(b"{"):
            return
        self.response(peek(raw))
        if kind in _RESPONSE_ENDS:
            self.ended = True

    def body(self, data: bytes) -> None:
        """Read a whole answer that is one JSON body.

        :raise JSONError: it is none.
        """
        if self.dialect != "openai_responses":
            try:
                self._ordinary(_body.decode(data))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass  # it has another shape, or none
            else:
                return
        text = data.strip()
        if text.startswith(b"["):  # Gemini's errors stand in an array
            text = next(iter(items(text)), text)
        self.whole(peek(text))

    def _ordinary(self, body: _Body) -> None:
        self.model = body.model or self.model
        self.count(body.usage)
        for choice in body.choices:
            if choice.finish_reason:
                self.stop_reason = choice.finish_reason
        if self.dialect == "anthropic":
            self.stop_reason = body.stop_reason or None
        self.ended = self.stop_reason is not None

    def whole(self, members: Members) -> None:
        """Read a whole answer whose members are known."""
        if self.dialect == "openai_responses":
            self.response(members)
            self.ended = self.stop_reason is not None
            return
        self.chat(members)
        if self.dialect == "anthropic":
            self.stop_reason = members.text("stop_reason")
            self.ended = self.stop_reason is not None

    def response(self, response: Members) -> None:
        """Read a Responses API's response object, of a stream or as a body."""
        self.model = response.text("model") or self.model
        self.count(response.get("usage"))
        status = response.text("status")
        details = response.get("incomplete_details")
        reason = _text(details.get("reason")) if isinstance(details, dict) else None
        if status not in (None, "in_progress", "queued"):
            self.stop_reason = reason or status
        if response.kind("error") in ("object", "string"):
            self.fail(response.get("error"))


def _error(members: Members) -> object:
    error = members.get("error")
    return error if error else {name: members.get(name) for name in ("message", "type", "code")}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _string(raw: bytes) -> str | None:
    try:
        return _text(read(raw))
    except JSONError:
        return None
