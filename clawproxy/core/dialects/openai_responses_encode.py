"""Write neutral events as a Responses stream for a caller.

1. :class:`ResponsesEncoder` knows which item is open and gives it what happens (:mod:`.openai_responses_open`); an
   item is ended when another begins, or the answer ends.
2. A failure ends the stream with ``response.failed``, which Codex reads, and ``error``, which
   the SDKs read.

Events: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    CitationAdded,
    Event,
    MessageStarted,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Stopped,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageReported,
    made_up_call_id,
)
from clawproxy.core.dialects.openai_responses_frames import Frames
from clawproxy.core.dialects.openai_responses_open import OpenCall, OpenMessage, OpenReasoning
from clawproxy.core.dialects.openai_responses_output import Json, ResponseObject, error_code
from clawproxy.core.dialects.openai_responses_tools import Origin, origin_of
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import unfinished
from clawproxy.core.errors import ProxyError


class ResponsesEncoder:
    """See :class:`~.dialect.StreamEncoder`."""

    request_id: str = ""  # the API's error events have no place for it

    def __init__(self, turn: Turn, *, model: str, response_id: str, created: int) -> None:
        self._turn = turn
        self._response = ResponseObject(turn, model=model, response_id=response_id, created=created)
        self._frames = Frames(self._response)
        self._response_id = response_id
        self._tools = {tool.name: tool for tool in turn.tools}
        self._calls = 0
        self._open: OpenMessage | OpenReasoning | OpenCall | None = None
        self._refused = False
        self._begun = False
        self._final = False
        #: The finished response object, once ``Stopped`` has come.
        self.finished: Json | None = None

    def encode(self, event: Event) -> bytes:
        """Return an event's frames."""
        item = self._open
        match event:
            case _ if self._final:
                return b""
            case TextDelta(text):
                return item.text(text) if isinstance(item, OpenMessage) else b""
            case ArgumentsDelta(text):
                return item.arguments(text) if isinstance(item, OpenCall) else b""
            case ThinkingDelta(text):
                return item.text(text) if isinstance(item, OpenReasoning) else b""
            case StreamFailed(error):
                return self.error(error)
            case UsageReported(usage):
                self._response.usage = self._response.usage.merged(usage)
                return b""
            case Ping():
                return self.ping()
            case MessageStarted():
                return self._begin()
            case TextStarted(refusal):
                return self._begin() + self._start_text(refusal=refusal)
            case ThinkingStarted():
                out = self._begin() + self._end_item()
                self._open = OpenReasoning(self._frames, event)
                return out
            case ToolCallStarted():
                return self._begin() + self._start_call(event)
            case CitationAdded():
                return item.cite(event) if isinstance(item, OpenMessage) else b""
            case SignatureDelta(signature, origin):
                if isinstance(item, OpenReasoning):
                    item.seal(signature, origin)
                return b""
            case BlockStopped():
                return item.stop() if isinstance(item, OpenMessage | OpenCall) else b""
            case Stopped():
                return self._begin() + self._stop(event)
            case OpaqueBlock():
                return b""

    def ping(self) -> bytes:
        """Return a repeated ``response.in_progress``; Codex's idle clock does not see comments."""
        if not self._begun or self._final:
            return b""
        return self._frames.frame("response.in_progress", {"response": self._response.alive()})

    def error(self, error: ProxyError, request_id: str = "") -> bytes:
        """Return the frames that end the stream with an error."""
        if self._final:
            return b""
        out = self._begin()  # the SDKs take no other first event
        self._final = True
        out += self._frames.frame("response.failed", {"response": self._response.failed(error)})
        code = error_code(error)
        return out + self._frames.frame(
            "error", {"code": code, "message": error.message, "param": error.param}
        )

    def close(self) -> bytes:
        """End the stream; without a final event that is an error."""
        return b"" if self._final else self.error(unfinished())

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        begun = {"response": self._response.begun()}
        created = self._frames.frame("response.created", begun)
        return created + self._frames.frame("response.in_progress", begun)

    def _end_item(self, status: str = "completed") -> bytes:
        """End the open item: something else follows, or nothing."""
        item, self._open = self._open, None
        return b"" if item is None else item.end(status)

    def _start_text(self, *, refusal: bool) -> bytes:
        out = b""
        message = self._open
        if not isinstance(message, OpenMessage):
            out += self._end_item()
            self._open = message = OpenMessage(self._frames)
            out += message.start()
        self._refused = self._refused or refusal
        return out + message.start_part(refusal=refusal)

    def _start_call(self, event: ToolCallStarted) -> bytes:
        out = self._end_item()
        name = self._turn.original_tool_name(event.name)
        origin = origin_of(self._tools.get(name), name)
        if event.custom and origin.flavour == "function":
            origin = Origin("custom", origin.name, origin.namespace)
        call_id = event.id or made_up_call_id(self._response_id, self._calls)
        self._calls += 1
        self._open = call = OpenCall(self._frames, call_id, origin, wrapped=not event.custom)
        return out + call.start()

    def _stop(self, stopped: Stopped) -> bytes:
        refused = self._refused and stopped.reason == "refusal"
        cut = stopped.reason in ("max_tokens", "context_window", "refusal") and not refused
        out = self._end_item("incomplete" if cut else "completed")
        if stopped.reason == "refusal" and stopped.explanation and not refused:
            message = self._open = OpenMessage(self._frames)
            out += message.start() + message.start_part(refusal=True)
            out += message.text(stopped.explanation) + self._end_item()
        self._final = True
        self.finished = self._response.ended(stopped, refused=refused)
        kind = f"response.{self.finished['status']}"
        return out + self._frames.frame(kind, {"response": self.finished})
