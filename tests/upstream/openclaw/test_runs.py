"""Whatever a gateway tells, in whatever order: the answer obeys the grammar of events."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.upstream.openclaw.frames import GatewayError, Response
from clawproxy.upstream.openclaw.history import read_turn
from clawproxy.upstream.openclaw.runs import RunTranslator
from tests.upstream.openclaw.calling import Sink

WORDS = st.text("ab \ud83d", max_size=5)
VALUE: st.SearchStrategy[Any] = (
    WORDS | st.none() | st.integers(-3, 3) | st.booleans() | st.just({}) | st.just([{}])
)
NAMES = [
    *("text", "delta", "itemId", "replace", "phase", "name", "args", "result", "isError"),
    *("outputTokens", "error", "message", "kind", "progressText", "model", "executionSettled"),
    "aborted",
]
PHASES = st.sampled_from(
    ["start", "end", "error", "model", "finishing", "result", "update", "retrying"]
)
STREAMS = ["assistant", "thinking", "lifecycle", "tool", "item", "usage", "run_status", "odd"]


@st.composite
def payloads(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An ``agent`` or ``chat`` event's payload."""
    data: dict[str, Any] = draw(st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=4))
    if draw(st.booleans()):
        data["phase"] = draw(PHASES)
    if draw(st.integers(0, 4)) == 0:
        state = draw(st.sampled_from(["delta", "final", "error", "aborted", "status"]))
        return "chat", {"state": state, "message": draw(VALUE), **data}
    return "agent", {"stream": draw(st.sampled_from(STREAMS)), "data": data}


RESPONSES = st.sampled_from(
    [
        Response("1", True, {"status": "accepted"}),
        Response("1", True, {"status": "ok", "result": {"payloads": [{"text": "x"}, 5]}}),
        Response("1", True, {"status": "ok", "result": {"meta": {"stopReason": "error"}}}),
        Response("1", True, {"status": "timeout", "summary": "aborted"}),
        Response("1", True, {}),
        Response("1", False, {}, GatewayError("UNAVAILABLE", "HTTP 500")),
    ]
)


class Grammar(SynchronousTestCase):
    """Any events."""

    @settings(max_examples=250, deadline=None)
    @given(
        st.lists(payloads(), max_size=25),
        RESPONSES,
        st.sampled_from(["thinking", "text", "hidden"]),
        st.sampled_from(["thinking", "text", "hidden"]),
        st.sampled_from([3, 4]),
    )
    def test_anything(
        self,
        told: list[tuple[str, dict[str, Any]]],
        response: Response,
        thinking: Any,
        progress: Any,
        protocol: int,
    ) -> None:
        run = RunTranslator("main", protocol=protocol, thinking=thinking, progress=progress)
        sink = Sink()
        sink.events(run.respond(Response("1", True, {"status": "accepted"})))
        for name, payload in told:
            take = run.agent_event if name == "agent" else run.chat_event
            sink.events(take(payload))
        sink.events(run.respond(response))
        if response.payload.get("status") == "accepted":
            self.assertIsNone(run.outcome)
            sink.events(run.conclude(read_turn({"messages": []})))
        assert run.outcome is not None
        sink.ended(run.outcome.error)
        # What comes afterwards changes nothing.
        for name, payload in told:
            take = run.agent_event if name == "agent" else run.chat_event
            self.assertEqual(take(payload), [])
        self.assertEqual(run.respond(response), [])
