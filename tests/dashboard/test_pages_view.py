# ruff: noqa: E501 - requests are easier to read on one line
"""Prompts and answers of all dialects, as people read them."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.record import Usage
from clawproxy.dashboard.render import page
from clawproxy.dashboard.view import (
    Aside,
    Call,
    Image,
    Message,
    Other,
    Prompt,
    Result,
    Text,
    Thinking,
)
from clawproxy.dashboard.view_cache import cache_map
from clawproxy.dashboard.view_json import data_url, sniff_base64, weight
from clawproxy.dashboard.view_outline import outline
from clawproxy.dashboard.view_pane import Code, Difference, Fields, Shown, Todo
from clawproxy.dashboard.view_tools import shown
from clawproxy.dashboard.view_turn import json_object, novelty, print_of, read_answer, read_prompt
from clawproxy.dashboard.waterfall import gaps, spans
from tests.dashboard.stories import PATCH, Teller, call, png, result, text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "content",
                    "text",
                    "id",
                    "input",
                    "name",
                    "arguments",
                    "source",
                    "url",
                ]
            )
            | st.text(max_size=6),
            inner,
            max_size=5,
        )
    ),
    max_leaves=14,
)
BODIES = st.dictionaries(
    st.sampled_from(
        [
            "messages",
            "system",
            "tools",
            "input",
            "instructions",
            "content",
            "choices",
            "output",
            "error",
            "usage",
        ]
    ),
    JSON,
    max_size=5,
)
DIALECTS = ("anthropic", "openai_chat", "openai_responses", None)


def anthropic(*messages: Any, **more: Any) -> Prompt:
    """Read a request of Anthropic's."""
    return read_prompt("anthropic", {"model": "m", "messages": list(messages), **more})


class AnthropicCase(SynchronousTestCase):
    """The Messages API."""

    def test_pairs(self) -> None:
        """A result stands beside its call; a message of nothing else is answered."""
        prompt = anthropic(
            {"role": "user", "content": "do"},
            {"role": "assistant", "content": [call("1", "A"), call("2", "B")]},
            {
                "role": "user",
                "content": [result("2", "two"), result("1", "one", error=True), text("and?")],
            },
            {"role": "user", "content": [result("9", "whose?")]},
        )
        first, second = prompt.messages[1].parts
        assert isinstance(first, Call) and isinstance(second, Call)
        assert first.result is not None and second.result is not None
        self.assertEqual((first.result.error, second.result.error), (True, False))
        self.assertEqual([part.kind for part in prompt.messages[2].parts], ["text"])
        self.assertFalse(prompt.messages[3].answered)
        self.assertIsInstance(prompt.messages[3].parts[0], Result)

    def test_same_id_twice(self) -> None:
        """An id that comes again does not take the first one's result away."""
        prompt = anthropic(
            {"role": "assistant", "content": [call("1", "A"), call("1", "B")]},
            {"role": "user", "content": [result("1", "one")]},
        )
        first, second = prompt.messages[0].parts
        assert isinstance(first, Call) and isinstance(second, Call)
        self.assertIsNotNone(first.result)
        self.assertIsNone(second.result)

    def test_ids_counted_anew(self) -> None:
        """Where each turn's calls have the same ids, each result stands beside the call that it followed."""
        prompt = anthropic(
            {"role": "assistant", "content": [call("0", "Lost")]},
            {"role": "user", "content": "again"},
            {"role": "assistant", "content": [call("0", "A"), call("0", "B")]},
            {"role": "user", "content": [result("0", "one"), result("0", "two")]},
            {"role": "assistant", "content": [call("0", "C")]},
            {"role": "user", "content": [result("0", "three"), result("0", "whose?")]},
        )
        found = {}
        for message in prompt.messages:
            for part in message.parts:
                if isinstance(part, Call):
                    (said,) = part.result.parts if part.result is not None else (None,)
                    found[part.name] = said.text if isinstance(said, Text) else None
        self.assertEqual(found, {"Lost": None, "A": "one", "B": "two", "C": "three"})
        self.assertEqual([part.kind for part in prompt.messages[-1].parts], ["result"])

    def test_reminders(self) -> None:
        """What a client put between a person's words is apart."""
        said = "<system-reminder>\nbe brief\n</system-reminder>\nWhat now?"
        aside, words = anthropic({"role": "user", "content": said}).messages[0].parts
        assert isinstance(aside, Aside) and isinstance(words, Text)
        self.assertEqual(
            (aside.name, aside.text, words.text), ("system-reminder", "be brief", "What now?")
        )

    def test_reminders_without_end(self) -> None:
        """Beginnings that are never ended are text, and cost no minutes; one that is ended is found among them."""
        said = (
            "<bash-input>" * 20_000
            + "<bash-stdout>\nout</bash-stdout> \n"
            + "<bash-input>" * 20_000
        )
        started = time.monotonic()
        before, aside, after = anthropic({"role": "user", "content": said}).messages[0].parts
        self.assertLess(time.monotonic() - started, 5)
        assert isinstance(aside, Aside)
        self.assertEqual((aside.name, aside.text), ("bash-stdout", "out"))
        self.assertEqual(before.weight + aside.weight + after.weight, len(said))

    def test_blocks(self) -> None:
        """Each kind of block is what it is; an unknown one is shown as it is."""
        blocks = [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "redacted_thinking", "data": "abc"},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "title": "T", "url": "u"}]},
            {"type": "hologram", "x": 1},
        ]  # fmt: skip
        thinking, redacted, search, other = (
            anthropic({"role": "assistant", "content": blocks}).messages[0].parts
        )
        assert (
            isinstance(thinking, Thinking)
            and isinstance(redacted, Thinking)
            and isinstance(search, Call)
        )
        self.assertEqual(thinking.text, "hm")
        self.assertIn("encrypted", redacted.note)
        assert search.result is not None
        self.assertEqual(search.note, "provider's tool")
        self.assertIsInstance(other, Other)

    def test_system_message(self) -> None:
        """A message may have the role system."""
        prompt = anthropic({"role": "user", "content": "a"}, {"role": "system", "content": "b"})
        self.assertEqual([message.role for message in prompt.messages], ["user", "system"])

    def test_answer(self) -> None:
        """A finished message, and an error."""
        answer = read_answer(
            "anthropic", {"type": "message", "content": [text("hi")], "stop_reason": "end_turn"}
        )
        self.assertEqual((answer.stop, len(answer.messages)), ("end_turn", 1))
        error: dict[str, Any] = {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "busy"},
        }
        failure = read_answer("anthropic", error).error
        assert failure is not None
        self.assertEqual((failure.kind, failure.message), ("overloaded_error", "busy"))


class ChatCase(SynchronousTestCase):
    """Chat Completions."""

    def test_message(self) -> None:
        """Reasoning, calls and results, images."""
        prompt = read_prompt(
            "openai_chat",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png()}"}}]},
                    {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
                    {"role": "tool", "tool_call_id": "c", "content": "done"},
                ]
            },
        )  # fmt: skip
        image = prompt.messages[0].parts[1]
        assert isinstance(image, Image)
        self.assertEqual((image.media, image.embedded), ("image/png", True))
        self.assertEqual(image.pointer, "messages/0/content/1/image_url/url")
        thinking, asked = prompt.messages[1].parts
        assert isinstance(asked, Call) and asked.result is not None
        self.assertEqual((thinking.kind, asked.arguments), ("thinking", {"a": 1}))
        self.assertTrue(prompt.messages[2].answered)

    def test_think(self) -> None:
        """Thoughts that stand in the text."""
        body: dict[str, Any] = {
            "choices": [
                {
                    "message": {"role": "assistant", "content": "<think>a</think>b"},
                    "finish_reason": "stop",
                }
            ]
        }
        (message,) = read_answer("openai_chat", body).messages
        self.assertEqual([part.kind for part in message.parts], ["thinking", "text"])

    def test_parts_of_tools_and_answers(self) -> None:
        """What a tool gave in parts is no Markdown either, and breakpoints count wherever they are set."""
        marked = {"type": "text", "text": "# *x*", "cache_control": {"type": "ephemeral"}}
        prompt = read_prompt(
            "openai_chat",
            {
                "messages": [
                    {"role": "assistant", "content": [marked]},
                    {"role": "tool", "tool_call_id": "c", "content": [marked]},
                ]
            },
        )
        (said,) = prompt.messages[0].parts
        (given_back,) = prompt.messages[1].parts
        assert isinstance(said, Text) and isinstance(given_back, Result)
        (printed,) = given_back.parts
        assert isinstance(printed, Text)
        self.assertEqual((said.plain, said.breakpoint), (False, "5m"))
        self.assertEqual((printed.plain, printed.breakpoint), (True, "5m"))

    def test_broken_arguments(self) -> None:
        """Arguments that are no JSON are kept as they are."""
        body: dict[str, Any] = {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": "{half"}}],
                }
            ]
        }
        (asked,) = read_prompt("openai_chat", body).messages[0].parts
        assert isinstance(asked, Call)
        self.assertEqual((asked.arguments, asked.raw), (None, "{half"))


class ResponsesCase(SynchronousTestCase):
    """The Responses API."""

    def test_items(self) -> None:
        """Items that one side said in a row are one message."""
        prompt = read_prompt(
            "openai_responses",
            {
                "instructions": "be good",
                "input": [
                    {"role": "user", "content": "go"},
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": '{"output":"out","metadata":{}}',
                    },
                ],
            },
        )
        self.assertEqual(
            [(m.role, m.number, m.span) for m in prompt.messages][:2],
            [("user", 0, 1), ("assistant", 1, 2)],
        )
        asked = prompt.messages[1].parts[1]
        assert isinstance(asked, Call) and asked.result is not None
        (said,) = asked.result.parts
        assert isinstance(said, Text)
        self.assertEqual(said.text, "out")
        self.assertEqual(len(prompt.system), 1)

    def test_screens(self) -> None:
        """What a computer's screen showed is a picture, and no page full of base64."""
        screen = {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{png()}"}
        items = [
            {"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}},
            {"type": "computer_call_output", "call_id": "c", "output": screen},
        ]
        ((asked,), _) = (
            each.parts for each in read_prompt("openai_responses", {"input": items}).messages
        )
        assert isinstance(asked, Call) and asked.result is not None
        (image,) = asked.result.parts
        assert isinstance(image, Image)
        self.assertEqual((image.media, image.pointer), ("image/png", "input/1/output/image_url"))

    def test_what_a_provider_ran(self) -> None:
        """What its code printed and drew, and what its search found, stand below the call, each at its place."""
        outputs = [
            {"type": "logs", "logs": "42\n"},
            {"type": "image", "url": "https://x.example/y"},
        ]
        found = [{"filename": "a.txt", "text": "words"}]
        items = [
            {"type": "code_interpreter_call", "id": "i", "code": "6 * 7", "outputs": outputs},
            {"type": "file_search_call", "id": "s", "queries": ["q"], "results": found},
        ]
        (message,) = read_answer("openai_responses", {"output": items}).messages
        ran, searched = message.parts
        assert isinstance(ran, Call) and ran.result is not None
        printed, drawn = ran.result.parts
        assert isinstance(printed, Text) and isinstance(drawn, Image)
        self.assertEqual((printed.text, printed.plain), ("42\n", True))
        self.assertEqual((drawn.url, drawn.embedded), ("https://x.example/y", False))
        assert isinstance(searched, Call) and searched.result is not None
        (hit,) = searched.result.parts
        assert isinstance(hit, Other)
        self.assertEqual((hit.value, hit.pointer), (found[0], "output/1/results/0"))

    def test_text(self) -> None:
        """Input that is one text."""
        (message,) = read_prompt("openai_responses", {"input": "hello"}).messages
        self.assertEqual((message.role, message.pointer), ("user", "input"))


class AnythingCase(SynchronousTestCase):
    """JSON that nobody expected."""

    @given(BODIES, st.sampled_from(DIALECTS))
    @settings(deadline=None, max_examples=200)
    def test_prompts(self, body: dict[str, object], dialect: str | None) -> None:
        """Any request is read, and has a cache map."""
        prompt = read_prompt(dialect, body)
        cache_map(prompt, Usage(10, 1, 20, 5), dialect)
        for message in prompt.messages:
            for part in message.parts:
                if isinstance(part, Call):
                    shown(part)

    @given(BODIES, st.sampled_from(DIALECTS))
    @settings(deadline=None, max_examples=200)
    def test_answers(self, body: dict[str, object], dialect: str | None) -> None:
        """Any answer is read."""
        read_answer(dialect, body)

    @given(BODIES, BODIES)
    @settings(deadline=None, max_examples=100)
    def test_turns(self, before: dict[str, object], now: dict[str, object]) -> None:
        """Any two requests can be compared; one is never new against itself."""
        self.assertLessEqual(novelty(before, now).old, 4)
        self.assertEqual(novelty(now, now).changed, ())

    def test_wrong_types(self) -> None:
        """What an upstream refuses because it is of no type that it takes is shown nevertheless: people look for it."""
        odd = {"type": "text", "text": "lost?"}
        said = {"role": "user", "content": odd}
        bodies: list[tuple[str, dict[str, object]]] = [
            ("anthropic", {"messages": odd}),
            ("anthropic", {"messages": [said]}),
            ("anthropic", {"system": odd, "messages": []}),
            ("anthropic", {"tools": odd, "messages": []}),
            ("openai_chat", {"messages": odd}),
            ("openai_chat", {"messages": [said]}),
            ("openai_chat", {"tools": odd, "messages": []}),
            ("openai_responses", {"input": odd}),
            ("openai_responses", {"input": [said]}),
            ("openai_responses", {"input": "hi", "tools": odd}),
            ("openai_responses", {"input": "hi", "instructions": odd}),
        ]
        for dialect, body in bodies:
            prompt = read_prompt(dialect, body)
            parts = [*prompt.system, *(part for each in prompt.messages for part in each.parts)]
            found = [part.value for part in parts if isinstance(part, Other)]
            found += [value for _, value in prompt.settings]
            self.assertEqual(found, [odd], (dialect, body))
        nothing = read_prompt("openai_chat", {"messages": [], "tools": None})
        self.assertEqual(nothing.settings, ())

    def test_fault_page(self) -> None:
        """A page of a fault holds nothing unescaped."""
        html = page(
            "fault.html", guarded=True, here="", words="<b>", code=500, again=False
        ).decode()
        self.assertIn("&lt;b&gt;", html)
        self.assertIn("/ui/logout", html)


class ToolsCase(SynchronousTestCase):
    """Calls as people read them."""

    def see(self, name: str, **arguments: Any) -> Shown:
        """Show a call."""
        return shown(Call(id="1", name=name, arguments=arguments))

    def test_edit(self) -> None:
        """Old and new text are a difference, under any of their names."""
        for old, new in (
            ("old_string", "new_string"),
            ("old_str", "new_str"),
            ("oldText", "newText"),
        ):
            found = self.see("x", path="/a.py", **{old: "a\nb", new: "a\nc"})
            (pane,) = found.panes
            assert isinstance(pane, Difference)
            self.assertEqual((found.gist, pane.added, pane.removed), ("/a.py", 1, 1))

    def test_edits(self) -> None:
        """Several edits of one call."""
        edits = [
            {"old_string": "a", "new_string": "b"},
            {"old_string": "c", "new_string": "", "replace_all": True},
        ]
        panes = self.see("MultiEdit", file_path="/a", edits=edits).panes
        self.assertEqual([pane.title for pane in panes], ["edit 1 of 2", "edit 2 of 2 every time"])

    def test_write(self) -> None:
        """A file that is written is all new."""
        (pane,) = self.see("Write", file_path="/a", content="x\ny").panes
        assert isinstance(pane, Difference)
        self.assertEqual((pane.added, pane.removed), (2, 0))

    def test_patch(self) -> None:
        """A patch as text, as an argument, and inside a command."""
        free = shown(Call(name="apply_patch", raw=PATCH))
        self.assertIsInstance(free.panes[0], Difference)
        self.assertIsInstance(self.see("apply_patch", input=PATCH).panes[0], Difference)
        inside = self.see("shell", command=["bash", "-lc", f"apply_patch <<'EOF'\n{PATCH}EOF"])
        self.assertIn("diff", [pane.kind for pane in inside.panes])

    def test_lists(self) -> None:
        """To-do lists and plans."""
        for name, entries in (
            (
                "todos",
                [{"content": "a", "status": "completed"}, {"content": "b", "status": "pending"}],
            ),
            ("plan", [{"step": "a", "status": "completed"}, {"step": "b", "status": "pending"}]),
        ):
            (pane,) = self.see("x", **{name: entries}).panes
            assert isinstance(pane, Todo)
            self.assertEqual(pane.entries, (("done", "a"), ("open", "b")))

    def test_command(self) -> None:
        """A command, with what it is for; the shell around it is left out."""
        found = self.see("Bash", command="ls -l", description="List", timeout=5)
        self.assertEqual(found.gist, "List")
        self.assertEqual([type(pane) for pane in found.panes], [Fields, Code])
        self.assertEqual(self.see("shell", command=["bash", "-lc", "ls"]).gist, "ls")

    def test_quick(self) -> None:
        """Without time to compare, both sides are shown whole."""
        asked = Call(
            name="Edit", arguments={"path": "/a", "old_string": "a\nb", "new_string": "a\nc"}
        )
        (pane,) = shown(asked, quick=True).panes
        assert isinstance(pane, Difference)
        self.assertEqual((pane.added, pane.removed), (2, 2))


class NoveltyCase(SynchronousTestCase):
    """What is new in a turn."""

    def turn(self, *said: str, mark: int | None = None, **more: object) -> dict[str, object]:
        """Make a request; one of its messages has the breakpoint."""
        messages: list[object] = []
        for number, words in enumerate(said):
            block: dict[str, object] = {"type": "text", "text": words}
            if number == mark:
                block["cache_control"] = {"type": "ephemeral"}
            content: object = [block] if number == mark else words
            messages.append({"role": "user", "content": content})
        return {"model": "m", "messages": messages, **more}

    def test_breakpoints_move(self) -> None:
        """A breakpoint that has moved on changes nothing, though a string became a list by it."""
        found = novelty(self.turn("a", "b", mark=1), self.turn("a", "b", "c", mark=2))
        self.assertEqual((found.old, found.dropped, found.changed), (2, 0, ()))

    def test_changes(self) -> None:
        """Other tools, another model, a history that was rewritten."""
        found = novelty(self.turn("a", "b", tools=[1]), self.turn("a", "x", tools=[2], model="n"))
        self.assertEqual((found.old, found.dropped), (1, 1))
        self.assertEqual(found.changed, ("model", "tools", "history"))

    def test_prints(self) -> None:
        """Prints tell values apart, however deep they are."""
        self.assertNotEqual(print_of([1]), print_of(["1"]))
        deep: list[object] = []
        for _ in range(3000):
            deep = [deep]
        self.assertEqual(print_of(deep), print_of(deep))


class CacheCase(SynchronousTestCase):
    """Cache hits and misses, part by part."""

    def states(self, usage: Usage, old: int = 0) -> list[str]:
        """Give the states of the last turn of a story."""
        teller = Teller(1_790_000_000.0)
        history = [
            {"role": "user", "content": [text("first " * 60)]},
            {"role": "assistant", "content": [text("answer " * 60)]},
            {"role": "user", "content": [text("second " * 60)]},
        ]
        teller.messages(history, [text("ok")])
        prompt = read_prompt("anthropic", json_object(teller.told[0].bodies[0].body))
        found = cache_map(prompt, usage, "anthropic", old)
        return [found.states[message.parts[0].pointer] for message in prompt.messages]

    def test_all_written(self) -> None:
        """The first turn of a conversation."""
        self.assertEqual(self.states(Usage(6, 1, 0, 5000)), ["written"] * 3)

    def test_all_read(self) -> None:
        """The same turn once more."""
        self.assertEqual(self.states(Usage(6, 1, 5000, 0)), ["read"] * 3)

    def test_border(self) -> None:
        """What the turn before had is read, what came since is written."""
        self.assertEqual(self.states(Usage(6, 1, 4600, 400), old=1), ["read", "written", "written"])

    def test_nothing(self) -> None:
        """Without a cache all is fresh; without counts nothing is said."""
        self.assertEqual(self.states(Usage(5000, 1)), ["fresh"] * 3)
        self.assertEqual(self.states(Usage(0, 0)), [""] * 3)

    def test_behind_the_last_breakpoint(self) -> None:
        """What stands behind the last breakpoint is not cached, exactly."""
        prompt = anthropic(
            {
                "role": "user",
                "content": [
                    {**text("a" * 400), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
                ],
            },
            {"role": "user", "content": "b" * 400},
        )
        found = cache_map(prompt, Usage(100, 1, 0, 100), "anthropic")
        self.assertEqual([each.state for each in found.segments], ["written", "fresh"])
        self.assertTrue(found.exact)
        self.assertEqual(prompt.messages[0].parts[0].breakpoint, "1h")

    def test_openai(self) -> None:
        """OpenAI's cache has one border, by share."""
        prompt = read_prompt(
            "openai_chat", {"messages": [{"role": "user", "content": "a" * 100}] * 4}
        )
        found = cache_map(prompt, Usage(50, 1, 50), "openai_chat")
        self.assertEqual(
            [each.state for each in found.segments], ["read", "read", "fresh", "fresh"]
        )
        self.assertFalse(found.exact)


class OutlineCase(SynchronousTestCase):
    """The list of what an exchange's page has."""

    def test_marks(self) -> None:
        """Only what came behind the turn before is marked new, and nothing in a first turn."""
        prompt = anthropic(*({"role": "user", "content": f"m{at}"} for at in range(3)))
        old, fresh = prompt.messages[:2], prompt.messages[2:]
        later = [(each.anchor, each.fresh) for each in outline(prompt, old, fresh)]
        self.assertEqual(
            later,
            [("history", False), ("m0", False), ("m1", False), ("m2", True), ("answer", False)],
        )
        first = outline(prompt, (), prompt.messages)
        self.assertFalse(any(each.fresh for each in first))

    def test_many(self) -> None:
        """Messages, which may be thousands, are not compared with each other."""
        prompt = anthropic(*({"role": "user", "content": f"m{at}"} for at in range(9)))
        compared: list[object] = []
        self.patch(Message, "__eq__", lambda *both: compared.append(both))
        for old in (0, 3):
            found = outline(prompt, prompt.messages[:old], prompt.messages[old:])
            self.assertGreater(len(found), 9)
        self.assertEqual(compared, [])


class SmallCase(SynchronousTestCase):
    """Small readers."""

    def test_images(self) -> None:
        """An image is told by its bytes."""
        self.assertEqual(sniff_base64(png()), "image/png")
        for data in ("", "%%%", "PHN2Zz4=", "R0lGODc="):
            self.assertEqual(sniff_base64(data), "")
        self.assertEqual(data_url("data:image/png;base64,AAAA"), ("image/png", True))
        self.assertIsNone(data_url("javascript:x"))

    def test_weight(self) -> None:
        """Strings weigh what they are long, however deep they stand."""
        value: object = "x" * 100
        for _ in range(2000):
            value = [value]
        self.assertEqual(weight(value), 100)

    def test_spans(self) -> None:
        """A time is cut where something was reached, and never runs backwards."""
        x = Teller(0).exchange({"model": "m"}, [(100.0, b"a"), (900.0, b"b")])
        found = spans(x, (100.0, 900.0))
        self.assertEqual([each.name for each in found], ["connect", "headers", "first", "stream"])
        for before, after in pairwise(found):
            self.assertEqual(before.end, after.start)
        x.connect_ms = 500.0
        self.assertTrue(all(each.end >= each.start for each in spans(x, ())))

    def test_gaps(self) -> None:
        """Silences that are long for this stream."""
        self.assertEqual(gaps((0, 10, 20, 30, 2030, 2040)), [(30, 2000)])
        self.assertEqual(gaps((0, 1000, 2000, 3000)), [])
        self.assertEqual(gaps(()), [])
