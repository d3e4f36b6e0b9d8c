"""Messages of the Anthropic dialect: from a stream's events, and as whole bodies.

The rules are the API's (https://docs.anthropic.com/en/docs/build-with-claude/streaming), read as
its own SDK reads them (``accumulate_event`` in ``anthropic/lib/streaming``), and go beyond it only
where that leaves out what it does not know:

* Blocks grow as :class:`~clawproxy.core.message_anthropic_block.Block` says.
* Unknown members of ``message_delta``, its ``delta`` and its ``usage`` are set on the message.
"""

from __future__ import annotations

from clawproxy.core.jsonread import peek, read
from clawproxy.core.message_anthropic_block import TOOL_BLOCKS, Block
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
from clawproxy.core.message_usage import usage_of
from clawproxy.core.sse import SSEEvent

_STOP = ("stop_reason", "stop_sequence", "stop_details")


class AnthropicAccumulator(Accumulator):
    """Events of ``/v1/messages`` to the message that a call without ``stream`` would have given."""

    matters = frozenset(
        {
            "",
            "message_start",
            "content_block_start",
            "content_block_delta",
            "message_delta",
            "message_stop",
        }
    )

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        super().__init__(limit)
        self._message: dict[str, bytes] | None = None
        self._usage: dict[str, bytes] = {}
        self._blocks: list[Block] = []
        self._by_index: dict[int, Block] = {}
        self._stopped = False

    def _take(self, event: SSEEvent) -> None:
        members = peek(event.data)
        kind = members.text("type") or event.event
        if kind == "content_block_delta":
            block = self._by_index.get(_index(members.get("index")))
            if block is None:
                self.broken = True
            else:
                block.delta(members.raw("delta"))
        elif kind == "content_block_start":
            self._start_block(_index(members.get("index")), members.raw("content_block"))
        elif kind == "message_start":
            if self._message is None and members.kind("message") == "object":
                self._start(unfold(members.raw("message")))
        elif kind == "message_delta":
            self._delta({name: members.raw(name) or b"null" for name in members})
        elif kind == "message_stop":
            self._stopped = True
        elif kind == "error" or event.event == "error":
            self._fail(event.data, members.get("error") or read(event.data))

    def _start(self, message: dict[str, bytes]) -> None:
        self._message = message
        self._usage = unfold(message.get("usage"))
        for index, raw in enumerate(items(message.get("content"))):
            self._start_block(index, raw)

    def _start_block(self, index: int, raw: bytes | None) -> None:
        if self._message is None or raw is None or not raw.startswith(b"{"):
            return
        block = Block(raw)
        self._blocks.append(block)
        self._by_index[index] = block
        if block.type == "fallback":
            # What a non-streaming call gives is labelled with the model that served in the end.
            model = unfold(block.members.get("to")).get("model")
            if model is not None and model.startswith(b'"'):
                self._message["model"] = model

    def _delta(self, event: dict[str, bytes]) -> None:
        message = self._message
        if message is None:
            return
        delta = unfold(event.pop("delta", None))
        usage = unfold(event.pop("usage", None))
        event.pop("type", None)
        for name in _STOP:
            if name in delta or name in message:
                message[name] = delta.pop(name, b"null")
        # Counts are cumulative: they replace. What is absent or null keeps message_start's value.
        message.update({name: value for name, value in delta.items() if given(value)})
        message.update({name: value for name, value in event.items() if given(value)})
        self._usage.update({name: value for name, value in usage.items() if given(value)})

    def _finished(self) -> Finished:
        if self._message is None:
            return Finished(error=self._error, error_event=self._error_event)
        message = dict(self._message)
        message["content"] = spell_list(block.raw() for block in self._blocks)
        if self._usage:
            message["usage"] = spell(self._usage)
        complete = self._stopped and self._error is None and not self.broken
        return Finished(
            message=spell(message),
            usage=usage_of("anthropic", read(spell(self._usage)), complete=self._stopped),
            model=string(message.get("model")),
            stop_reason=string(message.get("stop_reason")),
            error=self._error,
            error_event=self._error_event,
            complete=complete,
            tools=tool_names(
                string(block.members.get("name"))
                for block in self._blocks
                if block.type in TOOL_BLOCKS
            ),
            text="".join(block.text() for block in self._blocks if block.type == "text"),
        )


def _index(value: object) -> int:
    index = integer(value)
    return -1 if index is None else index


def read_anthropic(body: bytes) -> Finished:
    """Read a whole answer, message or error.

    :raises JSONError: if it is not a JSON object.
    """
    members = peek(body)
    if members.text("type") == "error" or (
        "error" in members and members.kind("content") != "array"
    ):
        error = members.get("error")
        return Finished(error=error_text(error), error_event=body, complete=True)
    blocks = [Block(raw) for raw in items(members.raw("content"))]
    return Finished(
        message=body,
        usage=usage_of("anthropic", members.get("usage")),
        model=members.text("model"),
        stop_reason=members.text("stop_reason"),
        complete=True,
        tools=tool_names(
            string(block.members.get("name")) for block in blocks if block.type in TOOL_BLOCKS
        ),
        text="".join(block.text() for block in blocks if block.type == "text"),
    )
