"""Clients on models of another API: Claude Code on OpenAI's two and on the demo.

Each session has several steps with tools that the client really runs, and is recorded; what was
recorded is held against the bytes on both sides of the proxy.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from tests.integration import answers
from tests.integration.clients import claude_code
from tests.integration.frames import (
    PIXEL,
    USAGE,
    Call,
    arguments,
    chat_said,
    chat_stream,
    responses_stream,
)
from tests.integration.records import RecordedCase, streamed
from tests.integration.upstream import Answer, Asked, Upstream
from tests.integration.wiretap import Overheard

#: No double has it, and Claude Code, a JavaScript program, does not keep it.
BIG = 900719925474099312345678
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
THOUGHT = "I look before I leap."
STEPS: list[tuple[Call, ...]] = [
    (
        ("call_one", "Bash", arguments(command="echo one $((40 + 2))", description="Add")),
        ("call_two", "Bash", arguments(command="echo two", timeout=BIG)),
    ),
    (("call_read", "Read", arguments(file_path="/nowhere/at/all.txt")),),
    (
        ("call_write", "Write", arguments(file_path="note.txt", content='Zürich "1"\n')),
        ("call_cat", "Bash", arguments(command="cat note.txt; exit 3")),
    ),
    (),
]
CALLS = [call for step in STEPS for call in step]
KEYS = {"providers__openai__api_key": "sk-upstream", "providers__anthropic__api_key": "sk-upstream"}


def blocks(events: list[Any], kind: str) -> list[Any]:
    """All blocks of a kind that Claude Code told of, in order."""
    messages = [event["message"] for event in events if event["type"] in ("assistant", "user")]
    return [
        block
        for message in messages
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == kind
    ]


class ClaudeCodeTests(RecordedCase):
    """Claude Code on what is not Claude."""

    def session(self, upstream: Upstream, api: str) -> tuple[list[Any], list[Any]]:
        """Have a session of all steps on an OpenAI model; Claude Code's events, and the records."""
        route = '[{match: "claude-*", provider: openai, model: gpt-5-mini}]'
        proxy = self.recording_proxy(upstream, routes=route, providers__openai__api=api, **KEYS)
        tap = self.wiretap(proxy)
        home = self.folder / "home"
        events = claude_code(home, tap.url, "Look around.", tools="Bash,Read,Write")
        self.assertEqual(events[-1]["subtype"], "success", events[-1])
        return events, self.check_records(proxy, tap, upstream)

    def check_session(self, events: list[Any], records: list[tuple[Any, Overheard]]) -> None:
        """Check what the client made of the answers, and how they were recorded."""
        self.assertEqual(events[-1]["result"], "Step 3.")
        said = [block["text"] for block in blocks(events, "text")]
        self.assertEqual(said, ["Step 0.", "Step 1.", "Step 2.", "Step 3."])
        thought = [block["thinking"] for block in blocks(events, "thinking")]
        self.assertEqual(thought, [THOUGHT] * 4)
        calls = [(each["id"], each["name"]) for each in blocks(events, "tool_use")]
        self.assertEqual(calls, [(id, name) for id, name, _ in CALLS])
        results = {each["tool_use_id"]: each for each in blocks(events, "tool_result")}
        self.assertEqual(len(blocks(events, "tool_result")), len(CALLS))
        for id, text, failed in (
            ("call_one", "one 42", False),
            ("call_two", "two", False),
            ("call_read", "does not exist", True),
            ("call_cat", 'Exit code 3\nZürich "1"', True),
        ):
            self.assertIn(text, results[id]["content"])
            self.assertEqual(results[id].get("is_error", False), failed)
        self.assertEqual((self.folder / "home" / "note.txt").read_text(), 'Zürich "1"\n')
        told = events[-1]["usage"]
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
            self.assertEqual(told[name], 4 * USAGE[name])
        self.assertEqual(len(records), 4)
        for step, (detail, overheard) in zip(STEPS, records, strict=True):
            exact = [(id, name, json.loads(text)) for id, name, text in step]
            self.assertEqual(streamed("anthropic", overheard.reply.body).calls, exact)
            self.assertEqual((detail["outcome"], detail["status"]), ("ok", 200))
            self.assertEqual((detail["provider"], detail["tries"]), ("openai", 1))
            self.assertTrue(detail["model"].startswith("claude-"))
            self.assertEqual(detail["routed_model"], "gpt-5-mini")
            self.assertEqual(detail["usage"], USAGE)
            self.assertGreater(detail["cost_usd"], 0)
            self.assertEqual(detail["session_id"], events[-1]["session_id"])
            self.assertEqual(detail["conversation_id"], events[-1]["session_id"])
            self.assertEqual(detail["tools"], sorted({name for _, name, _ in step}))
            wanted = "tool_use" if step else "end_turn"
            self.assertEqual(detail["response"]["stop_reason"], wanted)
            self.assertFalse(detail["response"]["id"].startswith("msg_"))

    def test_chat_upstream(self) -> None:
        """On a Chat Completions upstream, whose parallel calls come interleaved."""

        def script(asked: Asked) -> Answer:
            said = [each for each in asked.json["messages"] if each["role"] == "assistant"]
            step = len(said)
            return chat_stream(*STEPS[step], thinking=THOUGHT, text=f"Step {step}.")

        upstream = self.upstream(script)
        self.check_session(*self.session(upstream, "chat"))
        self.assertEqual(len(upstream.asked), 4)
        for asked in upstream.asked:
            self.assertEqual(asked.target, "/v1/chat/completions")
            self.assertEqual(asked.header("authorization"), "Bearer sk-upstream")
            self.assertEqual(asked.json["stream_options"], {"include_usage": True})
            self.assertEqual(asked.json["model"], "gpt-5-mini")
            # What another provider's model thought is not put into its mouth as text.
            self.assertNotIn(THOUGHT, json.dumps(asked.json["messages"]))
        last = upstream.asked[-1].json["messages"]
        calls = [call for each in last for call in each.get("tool_calls") or ()]
        self.assertEqual(
            [(call["id"], call["function"]["name"]) for call in calls],
            [(id, name) for id, name, _ in CALLS],
        )
        results = {each["tool_call_id"]: each["content"] for each in last if each["role"] == "tool"}
        self.assertEqual(results.keys(), {id for id, _, _ in CALLS})
        self.assertEqual(results["call_one"], "one 42")
        self.assertIn("Exit code 3", results["call_cat"])

    def test_responses_upstream(self) -> None:
        """On a Responses upstream; its sealed reasoning goes back to it."""

        def script(asked: Asked) -> Answer:
            said = [each for each in asked.json["input"] if each.get("role") == "assistant"]
            step = len(said)
            return responses_stream(*STEPS[step], thinking=THOUGHT, text=f"Step {step}.")

        upstream = self.upstream(script)
        self.check_session(*self.session(upstream, "responses"))
        self.assertEqual(len(upstream.asked), 4)
        for asked in upstream.asked:
            self.assertEqual(asked.target, "/v1/responses")
            self.assertIs(asked.json["store"], False)
        last = upstream.asked[-1].json["input"]
        calls = [each for each in last if each["type"] == "function_call"]
        self.assertEqual(
            [(call["call_id"], call["name"]) for call in calls],
            [(id, name) for id, name, _ in CALLS],
        )
        results = {
            each["call_id"]: each["output"]
            for each in last
            if each["type"] == "function_call_output"
        }
        self.assertEqual(results.keys(), {id for id, _, _ in CALLS})
        self.assertEqual(results["call_two"], "two")
        sealed = [each["encrypted_content"] for each in last if each["type"] == "reasoning"]
        self.assertEqual(sealed, ["c2VhbGVk"] * 3)

    def test_pictures_and_a_broken_stream(self) -> None:
        """A picture and a document that the client reads arrive; a stream that breaks off is asked for again,
        whole; a tool that only Anthropic runs is refused, and the client goes on without it.
        """
        home = self.folder / "home"
        home.mkdir()
        picture, document = home / "dot.png", home / "page.pdf"
        picture.write_bytes(b64decode(PIXEL))
        document.write_bytes(PDF)
        steps: list[tuple[Call, ...]] = [
            (
                ("call_png", "Read", arguments(file_path=str(picture))),
                ("call_pdf", "Read", arguments(file_path=str(document))),
            ),
            (("call_search", "WebSearch", arguments(query="what is a proxy")),),
            (),
        ]

        def script(asked: Asked) -> Answer:
            said = [each for each in asked.json["messages"] if each["role"] == "assistant"]
            step = len(said)
            stream = bool(asked.json.get("stream"))
            answer = chat_said(stream, f"Step {step}.", *steps[step])
            if stream and step == 0:
                # Within its first block: behind a whole one the client does not ask again.
                return Answer(list(answer.pieces)[:2], headers=answer.headers, cut=True)
            return answer

        upstream = self.upstream(script)
        route = '[{match: "claude-*", provider: openai, model: gpt-5-mini}]'
        proxy = self.recording_proxy(upstream, routes=route, **KEYS)
        tap = self.wiretap(proxy)
        events = claude_code(home, tap.url, "Read them.", tools="Read,WebSearch")
        self.assertEqual(events[-1]["result"], "Step 2.", events[-1])
        results = {each["tool_use_id"]: each for each in blocks(events, "tool_result")}
        self.assertEqual(results.keys(), {"call_png", "call_pdf", "call_search"})
        self.assertIn("web_search", results["call_search"]["content"])
        streams = [asked.json.get("stream", False) for asked in upstream.asked]
        self.assertEqual((streams[0], False in streams), (True, True))
        last = upstream.asked[-1].json["messages"]
        parts = [
            part
            for each in last
            if each["role"] == "user" and isinstance(each["content"], list)
            for part in each["content"]
        ]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        self.assertEqual(urls, [f"data:image/png;base64,{PIXEL}"])
        [file] = [part["file"] for part in parts if part["type"] == "file"]
        self.assertEqual(b64decode(file["file_data"].partition(",")[2]), PDF)
        records = [detail for detail, _ in self.check_records(proxy, tap, upstream)]
        self.assertEqual((records[0]["outcome"], records[0]["status"]), ("error", 200))
        refused = [detail for detail in records if detail["status"] == 400]
        self.assertEqual([detail["kind"] for detail in refused], ["web_search"])
        self.assertEqual(refused[0]["session_id"], events[-1]["session_id"])
        for detail in records:
            if detail["status"] == 200 and detail is not records[0]:
                self.assertEqual((detail["outcome"], detail["usage"]), ("ok", USAGE))

    def test_demo(self) -> None:
        """On the demo, which calls a tool and reads what came of it."""
        upstream = self.upstream()
        proxy = self.recording_proxy(upstream, providers__demo="{kind: demo}")
        tap = self.wiretap(proxy)
        home = self.folder / "home"
        events = claude_code(home, tap.url, "Run a Bash command.", "--model", "demo")
        self.assertEqual(events[-1]["subtype"], "success", events[-1])
        [call] = blocks(events, "tool_use")
        self.assertEqual((call["name"], call["input"]), ("Bash", {"command": "demo"}))
        [result] = blocks(events, "tool_result")
        self.assertTrue(result["is_error"])
        self.assertIn("The tool answered", events[-1]["result"])
        self.assertIn("command not found", events[-1]["result"])
        self.assertEqual(upstream.asked, [])
        records = self.check_records(proxy, tap, upstream)
        self.assertEqual(len(records), 2)
        for detail, _ in records:
            self.assertEqual((detail["provider"], detail["routed_model"]), ("demo", "demo"))
            self.assertGreater(detail["usage"]["output_tokens"], 0)
            self.assertEqual(detail["cost_usd"], 0)

    def test_fallback_to_another_vendor(self) -> None:
        """Claude is overloaded, in each of its ways, so that GPT takes two turns; then Claude goes on."""
        overloaded = {"type": "overloaded_error", "message": "Overloaded"}
        claude: list[Asked] = []

        def script(asked: Asked) -> Answer:
            if asked.target == "/v1/chat/completions":
                step = len(claude) - 1
                return chat_stream(*STEPS[step], thinking=THOUGHT, text=f"Step {step}.")
            claude.append(asked)
            if len(claude) == 1:
                return Answer([answers.event("error", error=overloaded)], headers=answers.STREAM)
            if len(claude) == 2:
                return answers.anthropic_error(529, "overloaded_error", "Overloaded")
            return answers.anthropic(True, answers.text("Claude is back."))

        upstream = self.upstream(script)
        routes = (
            '[{match: "claude-*", provider: anthropic, fallbacks: [gpt-5-mini]},'
            ' {match: "gpt-*", provider: openai}]'
        )
        proxy = self.recording_proxy(upstream, routes=routes, **KEYS)
        tap = self.wiretap(proxy)
        events = claude_code(self.folder / "home", tap.url, "Look around.", tools="Bash,Read")
        self.assertEqual(events[-1]["result"], "Claude is back.", events[-1])
        ids = [each["id"] for each in blocks(events, "tool_use")]
        self.assertEqual(ids, ["call_one", "call_two", "call_read"])
        records = [detail for detail, _ in self.check_records(proxy, tap, upstream)]
        found = [(each["provider"], each["tries"], each["outcome"]) for each in records]
        self.assertEqual(found, [("openai", 2, "ok"), ("openai", 2, "ok"), ("anthropic", 1, "ok")])
        self.assertEqual([each["usage"]["output_tokens"] for each in records], [34, 34, 30])
        # Each turn was Claude's first, under the name that the client knows.
        asked_for = [asked.json["model"] for asked in claude]
        self.assertEqual(asked_for, [records[0]["model"]] * 3)
        self.assertIn("one 42", claude[2].body.decode())

    def test_subagent_of_another_provider(self) -> None:
        """A subagent that is mapped is answered by another provider, its caller by Claude."""
        home = self.folder / "home"
        agents = home / ".claude" / "agents"
        agents.mkdir(parents=True)
        agents.joinpath("scout.md").write_text(
            "---\nname: scout\ndescription: Finds things: use it to look around.\n"
            "tools: Bash\n---\nYou are the scout.\n\nReport what you find in one line.\n"
        )

        def script(asked: Asked) -> Answer:
            if asked.target == "/v1/chat/completions":
                results = [each for each in asked.json["messages"] if each["role"] == "tool"]
                if results:
                    return chat_stream(text="The scout found 42.")
                call = ("call_scout", "Bash", arguments(command="echo found 42"))
                return chat_stream(call, text="I look.")
            stream = bool(asked.json.get("stream"))
            if "The scout found 42." in asked.body.decode():
                return answers.anthropic(stream, answers.text("The scout says 42."))
            task = {
                "description": "Look around",
                "prompt": "Find a number.",
                "subagent_type": "scout",
                "run_in_background": False,
            }
            return answers.anthropic(stream, answers.tool_use("Agent", task), stop="tool_use")

        upstream = self.upstream(script)
        proxy = self.recording_proxy(
            upstream,
            subagents__enable="true",
            subagents__mappings="{scout: gpt-5-mini}",
            subagents__agents_dirs=json.dumps([str(agents)]),
            **KEYS,
        )
        tap = self.wiretap(proxy)
        events = claude_code(home, tap.url, "Send the scout.", tools="Bash,Agent")
        self.assertEqual(events[-1]["result"], "The scout says 42.", events[-1])
        records = self.check_records(proxy, tap, upstream)
        scout = [detail for detail, _ in records if detail["provider"] == "openai"]
        caller = [detail for detail, _ in records if detail["provider"] == "anthropic"]
        self.assertEqual((len(scout), len(caller)), (2, 2))
        for detail in scout:
            self.assertTrue(detail["model"].startswith("claude-"))
            self.assertEqual(detail["routed_model"], "gpt-5-mini")
            self.assertEqual(detail["session_id"], events[-1]["session_id"])
            self.assertIsNotNone(detail["agent_id"])
        for detail in caller:
            self.assertEqual(detail["routed_model"], detail["model"])
            self.assertIsNone(detail["agent_id"])
        # It stands in its caller's conversation, below the call that sent it.
        status, tree = proxy.get(f"/api/conversations/{events[-1]['session_id']}")
        self.assertEqual(status, 200)
        [thread] = tree["threads"]
        [child] = thread["children"]
        self.assertEqual((child["origin"], child["agent_id"]), ("subagent", scout[0]["agent_id"]))
        self.assertEqual(child["parent"]["tool_call_id"], "toolu_scripted")
        self.assertEqual(len(child["requests"]), 2)
        self.assertIn("The scout found 42.", json.dumps(child["messages"]))
