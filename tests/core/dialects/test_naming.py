"""Tools' names and calls' ids, as far as other vendors than the caller's take them."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import BlockStopped, Event, Stopped, ToolCallStarted
from clawproxy.core.dialects.naming import (
    escaped_call_id,
    original_call_id,
    short_call_id,
    short_tool_name,
)
from clawproxy.core.dialects.openai_chat_servers import chat_call_id
from clawproxy.core.dialects.parts import Message, TextPart, ToolCallPart, ToolResultPart
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ToolChoice
from clawproxy.core.dialects.turn import Turn
from tests.core.dialects.transcripts import frames, request, turn, written

LONG_ID = "toolu_" + "x" * 70
NAMES = ("files.read", "files_read", "n" * 129, "n" * 128, "n" * 65, "größer", "read")
MODELS: dict[DialectName, str] = {
    "anthropic": "claude-sonnet-4-5",
    "openai_chat": "gpt-4o",
    "openai_responses": "gpt-5",
}


def asked(dialect: DialectName, **more: Any) -> Turn:
    """A request with a call of each tool in its history."""
    calls = tuple(ToolCallPart(f"{LONG_ID}.{name}", name, "{}") for name in NAMES)
    answers = tuple(ToolResultPart(call.id, (TextPart("ok"),)) for call in calls)
    return Turn(
        dialect=dialect,
        model="m",
        messages=(
            Message("user", (TextPart("go"),)),
            Message("assistant", calls),
            Message("user", answers),
        ),
        tools=tuple(FunctionTool(name) for name in NAMES),
        **more,
    )


def sent(target: DialectName, turn: Turn, model: str = "") -> Any:
    """The request that an upstream gets."""
    model = model or MODELS[target]
    return json.loads(DIALECTS[target].build_request(turn, model=model, stream=True))


class NameTests(SynchronousTestCase):
    """A tool's name goes out as the vendor takes it, and comes back as the caller knows it."""

    def written(self, target: DialectName, turn: Turn) -> tuple[list[str], list[str], str]:
        """The names of the tools, of the calls of the history, and of the chosen tool."""
        body = sent(target, turn)
        if target == "anthropic":
            calls = [block["name"] for block in body["messages"][1]["content"]]
            return [tool["name"] for tool in body["tools"]], calls, body["tool_choice"]["name"]
        if target == "openai_chat":
            calls = [call["function"]["name"] for call in body["messages"][1]["tool_calls"]]
            chosen = body["tool_choice"]["function"]["name"]
            return [tool["function"]["name"] for tool in body["tools"]], calls, chosen
        calls = [item["name"] for item in body["input"] if item["type"] == "function_call"]
        return [tool["name"] for tool in body["tools"]], calls, body["tool_choice"]["name"]

    def test_there_and_back(self) -> None:
        for target, most in (("anthropic", 128), ("openai_chat", 64), ("openai_responses", 64)):
            for caller in DIALECTS:
                for name in NAMES:
                    turn = asked(caller, tool_choice=ToolChoice("tool", name))
                    tools, calls, chosen = self.written(target, turn)  # type: ignore[arg-type]
                    self.assertEqual(tools, calls)
                    self.assertEqual(len(set(tools)), len(NAMES))
                    for own, fitted in zip(NAMES, tools, strict=True):
                        self.assertRegex(fitted, rf"\A[a-zA-Z0-9_-]{{1,{most}}}\Z")
                        self.assertEqual(turn.original_tool_name(fitted), own)
                    self.assertEqual(chosen, tools[NAMES.index(name)])

    def test_what_fits_stays(self) -> None:
        self.assertEqual(short_tool_name("a-Z_9"), "a-Z_9")
        self.assertEqual(short_tool_name("n" * 64), "n" * 64)
        self.assertEqual(short_tool_name("n" * 128, 128), "n" * 128)

    def test_a_call_comes_back_under_its_own_name(self) -> None:
        for caller in DIALECTS:
            turn = asked(caller)
            for most in (64, 128):
                events: list[Event] = [
                    ToolCallStarted("c1", short_tool_name("files.read", most)),
                    BlockStopped(),
                ]
                body = DIALECTS[caller].build_response(
                    [*events, Stopped("tool_use")], turn, model="m", response_id="r", created=1
                )
                self.assertIn(b'"files.read"', body)

    def test_freeform_tools(self) -> None:
        """Their kind is told by their own name."""
        turn = Turn(
            dialect="openai_chat",
            model="m",
            messages=(Message("user", (TextPart("go"),)),),
            tools=(CustomTool("apply.patch"),),
        )
        name = sent("anthropic", turn)["tools"][0]["name"]
        events: list[Event] = [ToolCallStarted("c1", name), BlockStopped(), Stopped("tool_use")]
        body = DIALECTS["openai_chat"].build_response(
            events, turn, model="m", response_id="r", created=1
        )
        call = json.loads(body)["choices"][0]["message"]["tool_calls"][0]
        self.assertEqual(call["custom"]["name"], "apply.patch")


class IdTests(SynchronousTestCase):
    """Calls and their results keep one id, whatever the vendor makes of it."""

    def pairs(self, target: DialectName, model: str = "") -> tuple[list[str], list[str]]:
        """The ids of the calls and of the results, in a request."""
        body = sent(target, asked("openai_chat"), model)
        if target == "anthropic":
            calls, results = (message["content"] for message in body["messages"][1:])
            return [c["id"] for c in calls], [r["tool_use_id"] for r in results]
        if target == "openai_chat":
            messages = body["messages"]
            calls = [call["id"] for call in messages[1]["tool_calls"]]
            return calls, [message["tool_call_id"] for message in messages[2:]]
        items = body["input"][1:]
        half = len(items) // 2
        return [i["call_id"] for i in items[:half]], [i["call_id"] for i in items[half:]]

    def test_every_vendor(self) -> None:
        targets: tuple[tuple[DialectName, str, str], ...] = (
            ("anthropic", "", r"[a-zA-Z0-9_-]+"),
            ("openai_chat", "", r".{1,40}"),
            ("openai_chat", "mistral-large-latest", r"[a-zA-Z0-9]{9}"),
            ("openai_chat", "Devstral-Small", r"[a-zA-Z0-9]{9}"),
            ("openai_responses", "", r".{1,64}"),
        )
        for target, model, form in targets:
            calls, results = self.pairs(target, model)
            self.assertEqual(calls, results)
            self.assertEqual(len(set(calls)), len(NAMES))
            for found in calls:
                self.assertTrue(re.fullmatch(form, found), (target, model, found))

    def test_no_id(self) -> None:
        """Anthropic refuses an empty one."""
        turn = Turn(
            dialect="openai_responses",
            model="m",
            messages=(
                Message("assistant", (ToolCallPart("", "f", "{}"), ToolCallPart("", "f", "{}"))),
                Message("user", (ToolResultPart("", (TextPart("ok"),)),)),
            ),
        )
        ids = [block["id"] for block in sent("anthropic", turn)["messages"][1]["content"]]
        self.assertEqual(len(set(ids)), 2)
        self.assertNotIn("", ids)

    def test_what_fits_stays(self) -> None:
        self.assertEqual(chat_call_id("abcDEF123", "mistral-small"), "abcDEF123")
        self.assertEqual(chat_call_id("c" * 40, "gpt-4o"), "c" * 40)
        kimi = "functions.mcp__a_server_with_a_name__and_a_tool:0"
        self.assertEqual(chat_call_id(kimi, "moonshotai/Kimi-K2"), kimi)

    @settings(deadline=None)
    @given(
        st.lists(st.text(min_size=1, max_size=90), min_size=2, unique=True),
        st.sampled_from((40, 64)),
    )
    def test_no_two_become_one(self, ids: list[str], most: int) -> None:
        short = [short_call_id(each, most) for each in ids]
        self.assertEqual(len(set(short)), len(ids))
        self.assertLessEqual(max(map(len, short)), most)


class BackAndForthTests(SynchronousTestCase):
    """An upstream's id that Anthropic would refuse, on its way to one of its callers and back."""

    KIMI = "functions.Bash:0"

    def test_there_and_back(self) -> None:
        """The caller has one that Anthropic takes, the upstream gets its own again."""
        events: list[Event] = [
            ToolCallStarted(self.KIMI, "Bash"),
            BlockStopped(),
            Stopped("tool_use"),
        ]
        stream = written("anthropic", events)
        whole = DIALECTS["anthropic"].build_response(
            events, turn("anthropic"), model="m", response_id="r", created=1
        )
        [started] = [
            frame["content_block"]
            for frame in frames(stream)
            if frame["type"] == "content_block_start"
        ]
        self.assertEqual(started["id"], "esc_functions-2EBash-3A0")
        [block] = json.loads(whole)["content"]
        self.assertEqual(block["id"], started["id"])
        result = {"type": "tool_result", "tool_use_id": block["id"], "content": "ok"}
        history = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [block]},
            {"role": "user", "content": [result]},
        ]
        again = request("anthropic", {"messages": history, "max_tokens": 9})
        body = sent("openai_chat", again, "kimi-k2")
        self.assertEqual(body["messages"][1]["tool_calls"][0]["id"], self.KIMI)
        self.assertEqual(body["messages"][2]["tool_call_id"], self.KIMI)

    @settings(deadline=None)
    @given(st.one_of(st.text(), st.from_regex("esc_[a-z]*(-[0-9A-F]{2})*", fullmatch=True)))
    def test_any(self, call_id: str) -> None:
        """Whatever it is, it comes back as it was, and is legal on the way."""
        escaped = escaped_call_id(call_id)
        self.assertEqual(original_call_id(escaped), call_id)
        self.assertTrue(re.fullmatch("[a-zA-Z0-9_-]*", escaped))

    @settings(deadline=None)
    @given(st.from_regex("esc_[a-zA-Z0-9_-]*", fullmatch=True))
    def test_never_ours(self, call_id: str) -> None:
        """What only looks like one of ours has a reading that leads back to it, or stays."""
        found = original_call_id(call_id)
        self.assertIn(call_id, (found, escaped_call_id(found)))
