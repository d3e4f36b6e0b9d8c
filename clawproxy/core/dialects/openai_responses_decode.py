"""Read a Responses stream: SSE bytes become neutral events.

1. :class:`ResponsesDecoder` takes bytes and never raises; events and items of unknown types are
   passed over or kept opaque.
2. What is said of the output items goes to :class:`~.openai_responses_items.OutputItems`, at the end all that the
   terminal event names: an item that never came before is made up for.

Events: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from clawproxy.core.dialects.events import (
    Event,
    MessageStarted,
    Ping,
    Stopped,
    StreamFailed,
    UsageReported,
)
from clawproxy.core.dialects.frame_reader import FrameReader
from clawproxy.core.dialects.openai_responses_items import OutputItems
from clawproxy.core.dialects.openai_responses_wire import (
    Frame,
    Response,
    frame_decoder,
    read_usage,
    response_decoder,
    type_decoder,
)
from clawproxy.core.dialects.rawjson import MALFORMED, decode
from clawproxy.core.dialects.upstream_error import malformed, openai_fault
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.sse import SSEEvent

_TERMINAL = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}


_KNOWN_PREFIXES = ("response.output_", "response.content_", "response.function_", "response.reason")


class ResponsesDecoder(FrameReader):
    """See :class:`~.dialect.StreamDecoder`."""

    def __init__(self) -> None:
        super().__init__()
        self._items = OutputItems()
        self._started = False

    def whole(self, body: bytes) -> list[Event]:
        """Read a whole answer instead of a stream.

        :raises ProxyError: the body is none.
        """
        try:
            response = decode(response_decoder, body)
        except MALFORMED:
            raise malformed("a response") from None
        if response.output is None and response.error is not None:
            return [StreamFailed(openai_fault(response.error))]
        if response.output is None or response.status in ("queued", "in_progress"):
            raise malformed("a response without output")
        return self._ending(response, response.status or "completed")

    def read_frame(self, frame: SSEEvent) -> list[Event]:
        """See :class:`~.frame_reader.FrameReader`."""
        if frame.data == b"[DONE]":
            return []
        out = self._frame(frame)
        # Whatever begins the answer, a late response.created begins none.
        self._started = self._started or any(not isinstance(event, Ping) for event in out)
        return out

    def _frame(self, frame: SSEEvent) -> list[Event]:
        try:
            found = self.halves.decode(frame_decoder, frame.data)
        except MALFORMED:
            return [] if self._foreign(frame) else self.fail(malformed("an event"))
        try:
            return self._event(found, found.type or frame.event)
        except ProxyError as error:
            return self.fail(error)

    def _event(self, found: Frame, kind: str) -> list[Event]:
        match kind:
            case "response.output_text.delta":
                return self._items.text(found, found.delta, refusal=False)
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                return self._items.arguments(found, found.delta)
            case "response.reasoning_summary_text.delta":
                return self._items.thinking(found, "summary", found.summary_index)
            case "response.reasoning_text.delta":
                return self._items.thinking(found, "content", found.content_index)
            case "response.refusal.delta":
                return self._items.text(found, found.delta, refusal=True)
            case "response.output_item.added":
                return self._items.added(found)
            case "response.output_item.done":
                return self._items.done(found)
            case "response.content_part.added":
                refusal = found.part is not None and found.part.type == "refusal"
                if found.part is None or found.part.type not in ("output_text", "refusal"):
                    return []
                return self._items.text(found, found.part.text, refusal=refusal)
            case "response.output_text.annotation.added":
                return self._items.annotation(found)
            case "response.output_text.done" | "response.refusal.done":
                return self._items.text_done(found, kind == "response.refusal.done")
            case "response.content_part.done":
                return self._items.part_done(found)
            case "response.function_call_arguments.done" | "response.custom_tool_call_input.done":
                return self._items.arguments_done(found)
            case "response.created" | "response.in_progress" | "response.queued":
                return self._lifecycle(found)
            case "ping" | "keepalive":
                return [Ping()]
            case "error":
                flat = {"code": found.code, "message": found.message, "param": found.param}
                return self.fail(openai_fault(found.error or flat))
            case _ if kind in _TERMINAL:
                return self._terminal(found, _TERMINAL[kind])
            case _ if found.error is not None and not kind:
                return self.fail(openai_fault(found.error))
        return []

    @staticmethod
    def _foreign(frame: SSEEvent) -> bool:
        """Tell whether a frame that cannot be read is one whose shape nobody knows."""
        try:
            kind = decode(type_decoder, frame.data).type or frame.event
        except MALFORMED:
            return False
        return not isinstance(kind, str) or not (
            kind.startswith(_KNOWN_PREFIXES) or kind in _TERMINAL or kind in ("error", "")
        )

    def _lifecycle(self, found: Frame) -> list[Event]:
        if self._started or self._items:
            return [Ping()]
        try:
            response = decode(response_decoder, found.response)
        except MALFORMED:
            response = Response()
        return self._start(response)

    def _start(self, response: Response) -> list[Event]:
        if self._started or self._items:
            return []
        self._started = True
        return [MessageStarted(response.id or "", response.model or "")]

    def _terminal(self, found: Frame, status: str) -> list[Event]:
        try:
            response = decode(response_decoder, found.response)
        except MALFORMED:
            return self.fail(malformed("a terminal event"))
        return self._ending(response, status)

    def _ending(self, response: Response, status: str) -> list[Event]:
        out = self._start(response)
        if status in ("completed", "incomplete"):
            self._items.recall()
            for index, raw in enumerate(response.output or ()):
                try:
                    out += self._items.item_done(index, raw)
                except ProxyError as error:
                    return out + self.fail(error)
            out += self._items.stop_all()
        if usage := read_usage(response.usage):
            out.append(UsageReported(usage))
        if status not in ("completed", "incomplete"):
            fault = ProxyError(Kind.API, f"The upstream's response ended as {status!r}.")
            return out + self.fail(openai_fault(response.error) if response.error else fault)
        self.final = True
        return [*out, self._stop(response, status)]

    def _stop(self, response: Response, status: str) -> Stopped:
        if status == "incomplete":
            details = response.incomplete_details
            reason = details.get("reason") if isinstance(details, dict) else None
            if reason == "content_filter":
                return Stopped("refusal")
            return Stopped("end_turn" if reason in ("steered", "max_messages") else "max_tokens")
        items = self._items
        if items.calls:
            return Stopped("tool_use")
        return Stopped("refusal" if items.refused and not items.words else "end_turn")
