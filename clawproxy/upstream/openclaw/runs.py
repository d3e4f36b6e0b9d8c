"""One run of an agent: what the gateway tells of it becomes the neutral events of an answer.

1. :meth:`RunTranslator.agent_event` and :meth:`RunTranslator.chat_event` take the payloads of
   events whose ``runId`` is this run's; whoever owns the connection has looked at that.
2. :meth:`RunTranslator.respond` takes the responses to the request that started the run
   (:mod:`.result`). The second one is the only reliable end: gateways up to 2026.2 end a run's
   lifecycle after each failed try, and go on.
3. The answer is over when :attr:`RunTranslator.outcome` is set; what comes afterwards changes
   nothing.

Text and thinking come cumulatively and are told again when a provider is asked anew: see
:mod:`.cumulative`. :mod:`.blocks` shows them. Tools are the agent's own; they show as
:mod:`.progress`, never as calls that a caller would have to answer.
"""

from __future__ import annotations

from attrs import frozen

from clawproxy.core.dialects.events import (
    Event,
    Stopped,
    TokenUsage,
    UsageReported,
)
from clawproxy.core.errors import ProxyError
from clawproxy.upstream.openclaw import progress
from clawproxy.upstream.openclaw.blocks import Blocks, Showing
from clawproxy.upstream.openclaw.cumulative import SEPARATOR, CumulativeText
from clawproxy.upstream.openclaw.faults import failed, looks_like_error
from clawproxy.upstream.openclaw.frames import (
    JSON,
    Response,
    count,
    mapping,
    scrub,
    text,
)
from clawproxy.upstream.openclaw.history import PastTurn, content_text
from clawproxy.upstream.openclaw.result import (
    RunResult,
    is_underway,
    read_failure,
    read_stop_reason,
)


@frozen
class Outcome:
    """How a run ended.

    :ivar error: why it failed; ``None``: it is complete.
    """

    error: ProxyError | None = None


class RunTranslator:
    """Translate one run.

    :param agent: the agent asked, for error messages.
    :param protocol: the gateway's.
    :param thinking: how thinking is shown; ``text`` puts it between ``<think>`` tags.
    :param progress: how tools and retries are shown.
    :ivar postscripts: paragraphs of the proxy's own to stand under the complete answer.
    :ivar accepted: the gateway has accepted the run.
    :ivar outcome: how it ended, once it has.
    :ivar settled: the gateway says that the run's work is over; the response that ends it follows.
    """

    def __init__(
        self,
        agent: str,
        *,
        protocol: int = 4,
        thinking: Showing = "thinking",
        progress: Showing = "thinking",
    ) -> None:
        self._agent = agent
        self._protocol = protocol
        self._blocks = Blocks(thinking, progress)
        self._answer = CumulativeText()
        self._thinking = CumulativeText()
        self._starts = 0
        self._output_tokens = 0
        self._failure: str | None = None
        self._chat_text = ""
        self.postscripts: list[str] = []
        self.accepted = False
        self.settled = False
        self.outcome: Outcome | None = None

    @property
    def asked(self) -> bool:
        """Whether a model was asked, as far as was told; none is for a command."""
        return self._starts > 0 or self._answer.shown

    # --- what is shown

    def begin(self) -> list[Event]:
        """Begin the answer, if it has not begun: a caller that waits long gets its first byte."""
        return self._blocks.begin() if self.outcome is None else []

    def note(self, words: str) -> list[Event]:
        """Show a paragraph of the proxy's own, as part of the answer."""
        return self._blocks.note(words)

    def rest(self) -> list[Event]:
        """End the answer although the run goes on: it waits for its user."""
        return [*self._blocks.end(), Stopped("end_turn")]

    def resume(self) -> None:
        """A new answer shows what this run has still to say."""
        self._blocks = self._blocks.anew()
        self._answer.close()
        self._answer.shown = self._thinking.shown = False
        self._thinking.close()

    # --- what is told

    def agent_event(self, payload: JSON) -> list[Event]:
        """Take the payload of an ``agent`` event of this run."""
        if self.outcome is not None:
            return []
        data = mapping(payload, "data")
        match text(payload, "stream"):
            case "assistant":
                return self._blocks.say(self._fed(self._answer, data))
            case "thinking":
                return self._blocks.think(self._fed(self._thinking, data))
            case "lifecycle":
                return self._lifecycle(data)
            case "tool":
                return self._tool(data)
            case "usage":
                return self._counted(data)
            case "item" if data.get("kind") == "preamble" and data.get("phase") == "end":
                return self._preamble(text(data, "progressText"))
            case "run_status" if data.get("phase") == "retrying":
                return [*self.begin(), *self._blocks.tell(text(data, "message", "Asking again."))]
            case _:
                return []

    def _fed(self, into: CumulativeText, data: JSON) -> str:
        whole = data.get("text")
        item = data.get("itemId")
        return into.feed(
            whole if isinstance(whole, str) else None,
            text(data, "delta"),
            item if isinstance(item, str) else None,
            data.get("replace") is True,
        )

    def _lifecycle(self, data: JSON) -> list[Event]:
        phase = data.get("phase")
        self.settled = self.settled or data.get("executionSettled") is True
        if phase == "start":
            self._starts += 1
            self._failure = None
            if self._starts > 1:
                self._answer.again()
                self._thinking.again()
                return self.begin()
        elif phase == "model":
            self._blocks.model = text(data, "model") or self._blocks.model
        elif phase == "error" and data.get("aborted") is not True:
            self._failure = text(data, "error", "no reason given")
        return []

    def _preamble(self, words: str) -> list[Event]:
        """Show what was said before a tool's call: a gateway that hears both at once leaves out the
        ``assistant`` event.
        """
        return [] if self._answer.open else self._blocks.say(self._answer.feed(words))

    def _tool(self, data: JSON) -> list[Event]:
        phase = data.get("phase")
        if phase == "start":
            self._answer.close()
            self._thinking.close()
            return self._blocks.tell(progress.called(data))
        if phase == "result" and data.get("isError") is True:
            return self._blocks.tell(progress.broke(data))
        return []

    def _counted(self, data: JSON) -> list[Event]:
        tokens = count(data, "outputTokens")
        if tokens <= self._output_tokens or self._blocks.silent:
            return []
        self._output_tokens = tokens
        return [UsageReported(TokenUsage(output_tokens=tokens))]

    def chat_event(self, payload: JSON) -> list[Event]:
        """Take the payload of a ``chat`` event of this run: it repeats what ``agent`` events say,
        but for an error's words and for the answer to a command, which no model gave.
        """
        match payload.get("state"):
            case "error":
                self._failure = text(payload, "errorMessage", "no reason given")
            case "final":
                self._chat_text = content_text(mapping(payload, "message"))
            case _:
                pass
        return []

    # --- how it ends

    def respond(self, response: Response) -> list[Event]:
        """Take a response to the request that started the run."""
        if self.outcome is not None:
            return []
        if is_underway(response):
            self.accepted = True
            return []
        failure = read_failure(response, self._agent, accepted=self.accepted)
        if failure is not None:
            return self._fail(failure)
        return self._finish(RunResult.read(response.payload))

    def _finish(self, result: RunResult) -> list[Event]:
        payloads = result.payloads
        # 2.19 to 3.13: the failure was told, and the answer is its text.
        if self._failure is not None or result.stop_reason == "error":
            return self._fail(failed(self._failure or " ".join(payloads)))
        untold = [p for p in payloads if p.strip() and not self._answer.has_told(p)]
        if (
            result.usage is None
            and untold
            and self._protocol < 4
            and self._disguised(payloads[0], untold)
        ):
            return self._fail(failed(payloads[0]))
        events: list[Event] = []
        if self._answer.open:
            for words in untold:
                events += self._blocks.say(self._answer.rest(words))
        elif untold:
            # Not a word was told since the last tool, or at all: commands are answered without a
            # model, and so without a single event.
            events += self.note(SEPARATOR.join(map(scrub, untold)))
        elif not self._answer.shown:
            events += self._blocks.say(scrub(self._chat_text))
        return [*events, *self.complete(result.usage, result.stop_reason)]

    def _disguised(self, first: str, untold: list[str]) -> bool:
        """Whether a gateway up to 2026.2 tells a failure as if the model had said it: a model was
        asked, used no token, and the first payload was never streamed.
        """
        told_nothing = not self._answer.shown
        return self._starts > 0 and first in untold and (told_nothing or looks_like_error(first))

    def complete(self, usage: TokenUsage | None, stop_reason: str = "") -> list[Event]:
        """End the answer: the run is complete.

        :param usage: its tokens, where they are known.
        :param stop_reason: the model's own word for why it stopped.
        """
        events: list[Event] = []
        for words in self.postscripts:
            events += self.note(words)
        events += self._blocks.end()
        if usage is not None:
            events.append(UsageReported(usage))
        self.outcome = Outcome()
        return [*events, Stopped(read_stop_reason(stop_reason))]

    def conclude(self, turn: PastTurn) -> list[Event]:
        """End the answer with what the session's transcript says of the run.

        :param turn: empty where the transcript does not know of it.
        """
        if self.outcome is not None:
            return []
        failure = turn.failure if turn.answered else self._failure
        if failure is not None:
            return self._fail(failed(failure))
        events: list[Event] = []
        for words in turn.texts:
            if not self._answer.has_told(words):
                events += self._blocks.say(self._answer.feed(words))
        if not self._answer.shown and not turn.texts:
            events += self._blocks.say(scrub(self._chat_text))
        return [*events, *self.complete(turn.usage, turn.stop_reason)]

    def _fail(self, error: ProxyError) -> list[Event]:
        self.outcome = Outcome(error)
        return []

    def fail(self, error: ProxyError) -> None:
        """End the answer: nothing more will be heard of the run."""
        if self.outcome is None:
            self.outcome = Outcome(error)
