"""Completions of the OpenAI Chat dialect: from a stream's chunks, and as whole bodies.

A ``chat.completion`` has the chunks' own members; each choice's deltas become its ``message``
(https://platform.openai.com/docs/api-reference/chat-streaming). Strings and lists grow, anything
else is set. Servers that imitate the API are followed where they are known to differ:

* Tool calls without an ``index``, or several ids under one, are told apart by their ids.
* A name or id that is repeated in each chunk is not repeated in the message.
* ``finish_reason: ""`` is none.
* Usage in a choice (Moonshot) or in ``x_groq`` is the answer's.
"""

from __future__ import annotations

from clawproxy.core.facts import Facts
from clawproxy.core.jsonread import peek, read
from clawproxy.core.message_base import (
    MAX_MESSAGE,
    Accumulator,
    Finished,
    error_text,
    given,
    integer,
    items,
    spell,
    spell_list,
    string,
    tool_names,
    unfold,
)
from clawproxy.core.message_choice import Choice, content_text
from clawproxy.core.message_usage import usage_of
from clawproxy.core.sse import SSEEvent

# Members of a chunk that a completion does not have, or that are put together here.
_NOT_KEPT = frozenset({"object", "choices", "usage", "obfuscation"})


class ChatAccumulator(Accumulator):
    """Chunks of ``/v1/chat/completions`` to the completion that a call without ``stream`` gives."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        super().__init__(limit)
        self._top: dict[str, bytes] = {}
        self._usage: bytes | None = None
        self._choices: dict[int, Choice] = {}
        self._done = False

    def _take(self, event: SSEEvent) -> None:
        if event.data.strip() == b"[DONE]":
            self._done = True
            return
        members = peek(event.data)
        if members.kind("error") in ("object", "string"):
            self._fail(event.data, members.get("error"))
            if "choices" not in members:
                return
        for name in members:
            raw = members.raw(name) or b"null"
            if name not in _NOT_KEPT and (given(raw) or name not in self._top):
                self._top[name] = raw
        if members.kind("usage") == "object":
            self._usage = members.raw("usage")
        elif told := unfold(members.raw("x_groq")).get("usage"):  # Groq's place for it
            self._told_elsewhere(told)
        for choice in items(members.raw("choices")):
            parts = unfold(choice)
            self._told_elsewhere(parts.get("usage"))  # Moonshot's
            index = integer(read(parts.get("index", b"0"))) or 0
            self._choices.setdefault(index, Choice()).take(parts)

    def _told_elsewhere(self, usage: bytes | None) -> None:
        if usage is not None and usage.startswith(b"{"):
            self._usage = usage

    def _finished(self) -> Finished:
        if not self._top and not self._choices:
            return Finished(error=self._error, error_event=self._error_event)
        choices = [self._choices[index] for index in sorted(self._choices)]
        message: dict[str, bytes] = {}
        for name, raw in self._top.items():
            message[name] = raw
            if name == "id":
                message["object"] = b'"chat.completion"'
        message.setdefault("object", b'"chat.completion"')
        message["choices"] = spell_list(
            self._choices[index].raw(index) for index in sorted(self._choices)
        )
        if self._usage is not None:
            message["usage"] = self._usage
        reason = string(choices[0].finish_reason) if choices else None
        # Some servers end without [DONE]; then a reason for every choice is the end.
        ended = self._done or (
            bool(choices) and all(choice.finish_reason != b"null" for choice in choices)
        )
        usage = None if self._usage is None else read(self._usage)
        return Finished(
            message=spell(message),
            usage=usage_of("openai_chat", usage, complete=ended),
            model=string(message.get("model")),
            stop_reason=reason,
            error=self._error,
            error_event=self._error_event,
            complete=ended and self._error is None and not self.broken,
            tools=tool_names(name for choice in choices for name in choice.tools()),
            text=choices[0].text() if choices else "",
        )


def read_chat(body: bytes) -> Finished:
    """Read a whole answer, completion or error.

    :raises JSONError: if it is not a JSON object.
    """
    members = peek(body)
    if members.kind("error") in ("object", "string"):
        error = error_text(members.get("error"))
        return Finished(error=error, error_event=body, complete=True)
    facts = Facts("openai_chat")
    facts.whole(members)
    names: list[str | None] = []
    text = ""
    for place, choice in enumerate(items(members.raw("choices"))):
        message = unfold(unfold(choice).get("message"))
        if place == 0:
            text = content_text(message.get("content"))
        for call in items(message.get("tool_calls")):
            parts = unfold(call)
            called = unfold(parts.get("function") or parts.get("custom"))
            names.append(string(called.get("name")))
    summary = facts.summary(complete=True)
    return Finished(
        message=body,
        usage=summary.usage,
        model=summary.model,
        stop_reason=summary.stop_reason,
        complete=True,
        tools=tool_names(names),
        text=text,
    )
