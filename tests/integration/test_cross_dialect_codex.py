"""Codex on Claude: a session of several steps with tools, its requests plain and compressed."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from tests.integration import answers
from tests.integration.clients import codex
from tests.integration.frames import PIXEL, arguments, chat_stream
from tests.integration.frames import USAGE as CHAT
from tests.integration.records import RecordedCase, streamed
from tests.integration.upstream import Answer, Asked, Script, Upstream
from tests.integration.wiretap import Overheard

BIG = 900719925474099312345678
THOUGHT = "I look before I leap."
PATCH = '*** Begin Patch\n*** Add File: note.txt\n+Zürich "1"\n*** End Patch\n'
STEPS: list[tuple[dict[str, Any], ...]] = [
    (
        answers.tool_use("exec_command", {"cmd": "echo one $((40 + 2))", "n": BIG}, "toolu_one"),
        answers.tool_use("exec_command", {"cmd": "echo two"}, "toolu_two"),
    ),
    (answers.tool_use("apply_patch", {"input": PATCH}, "toolu_patch"),),
    (answers.tool_use("exec_command", {"cmd": "cat note.txt; exit 3"}, "toolu_cat"),),
    (),
]
CALLS = [call for step in STEPS for call in step]
USAGE = {
    "input_tokens": 12,
    "output_tokens": 30,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "reasoning_tokens": 0,
    "complete": True,
}


def script(asked: Asked) -> Answer:
    """Think, say which step it is, and call that step's tools; have no models to list."""
    if asked.method != "POST":
        return Answer([b'{"data":[],"has_more":false,"first_id":null,"last_id":null}'])
    step = sum(each["role"] == "assistant" for each in asked.json["messages"])
    calls = STEPS[step]
    said = (answers.thinking(THOUGHT), answers.text(f"Step {step}."), *calls)
    return answers.anthropic(True, *said, stop="tool_use" if calls else "end_turn")


class CodexTests(RecordedCase):
    """``codex exec`` with a model that knows ``exec_command`` and, as a custom tool, ``apply_patch``."""

    def session(self, *, login: bool) -> tuple[list[Any], list[Asked], list[tuple[Any, Overheard]]]:
        """Have a session of all steps; Codex' events, what the upstream was asked, and the records."""
        upstream = self.upstream(script)
        proxy = self.recording_proxy(
            upstream,
            routes='[{match: "gpt-*", provider: anthropic, model: claude-sonnet-4-5}]',
            providers__anthropic__api_key="sk-upstream",
        )
        tap = self.wiretap(proxy)
        options = ("--json", "--dangerously-bypass-approvals-and-sandbox")
        home = self.folder / "home"
        said = codex(home, tap.url, "Look around.", *options, model="gpt-5.5", login=login)
        events = [json.loads(line) for line in said.splitlines()]
        posted = [asked for asked in upstream.asked if asked.method == "POST"]
        return events, posted, self.check_records(proxy, tap, upstream)

    def check_session(self, events: list[Any], asked: list[Asked]) -> None:
        """Check what Codex made of the answers, and what Claude got to see of it."""
        self.assertEqual(events[-1]["type"], "turn.completed")
        told = events[-1]["usage"]
        self.assertEqual((told["input_tokens"], told["output_tokens"]), (4 * 12, 4 * 30))
        items = [event["item"] for event in events if event["type"] == "item.completed"]
        said = [item["text"] for item in items if item["type"] == "agent_message"]
        self.assertEqual(said, ["Step 0.", "Step 1.", "Step 2.", "Step 3."])
        thought = [item["text"] for item in items if item["type"] == "reasoning"]
        self.assertEqual(thought, [THOUGHT] * 4)
        ran = {
            (item["aggregated_output"], item["exit_code"])
            for item in items
            if item["type"] == "command_execution"
        }
        self.assertEqual(ran, {("one 42\n", 0), ("two\n", 0), ('Zürich "1"\n', 3)})
        self.assertEqual((self.folder / "home" / "note.txt").read_text(), 'Zürich "1"\n')
        self.assertEqual(len(asked), 4)
        for each in asked:
            self.assertEqual(
                (each.target, each.header("x-api-key")), ("/v1/messages", "sk-upstream")
            )
            self.assertIsNone(each.header("authorization"))
            self.assertIsNone(each.header("content-encoding"))
            self.assertEqual(each.json["model"], "claude-sonnet-4-5")
        blocks = [block for message in asked[-1].json["messages"] for block in message["content"]]
        self.assertEqual([block for block in blocks if block["type"] == "tool_use"], CALLS)
        results = {
            block["tool_use_id"]: json.dumps(block["content"], ensure_ascii=False)
            for block in blocks
            if block["type"] == "tool_result"
        }
        self.assertEqual(results.keys(), {call["id"] for call in CALLS})
        self.assertIn("one 42", results["toolu_one"])
        self.assertIn("A note.txt", results["toolu_patch"])
        self.assertIn("exited with code 3", results["toolu_cat"])
        # Claude wants its thinking back as it was, with the signature.
        thinking = [block for block in blocks if block["type"] == "thinking"]
        self.assertEqual(thinking, [answers.thinking(THOUGHT)] * 3)

    def check_recorded(self, records: list[tuple[Any, Overheard]]) -> None:
        """Check what stands in the records beside the bytes."""
        self.assertEqual(len(records), 4)
        for step, (detail, overheard) in zip(STEPS, records, strict=True):
            self.assertEqual((detail["outcome"], detail["status"]), ("ok", 200))
            self.assertEqual((detail["provider"], detail["tries"]), ("anthropic", 1))
            self.assertEqual(
                (detail["model"], detail["routed_model"]), ("gpt-5.5", "claude-sonnet-4-5")
            )
            self.assertEqual(detail["usage"], USAGE)
            self.assertGreater(detail["cost_usd"], 0)
            self.assertEqual(detail["dialect"], "openai_responses")
            self.assertEqual(detail["tools"], sorted({call["name"] for call in step}))
            said = streamed("openai_responses", overheard.reply.body)
            self.assertEqual(
                said.calls,
                [
                    (call["id"], call["name"], call["input"].get("input", call["input"]))
                    for call in step
                ],
            )
        threads = {detail["conversation_id"] for detail, _ in records}
        self.assertEqual(len(threads), 1)
        self.assertNotIn(None, threads)

    def test_session(self) -> None:
        """With a key."""
        events, asked, records = self.session(login=False)
        self.check_session(events, asked)
        self.check_recorded(records)
        for _, overheard in records:
            self.assertIsNone(overheard.asked.header("content-encoding"))

    def test_compressed_session(self) -> None:
        """With a login, so that each request is compressed with zstd; the record has it as it came, and
        readable.
        """
        events, asked, records = self.session(login=True)
        self.check_session(events, asked)
        self.check_recorded(records)
        for _, overheard in records:
            self.assertEqual(overheard.asked.header("content-encoding"), "zstd")


class OtherCodexTests(RecordedCase):
    """Other tools, other upstreams."""

    def session(
        self, upstream: Upstream, model: str = "gpt-5.5", prompt: str = "Go.", **settings: object
    ) -> tuple[list[Any], list[Any]]:
        """Have a session; what Codex tells of, and the records."""
        proxy = self.recording_proxy(upstream, **settings)
        tap = self.wiretap(proxy)
        options = ("--json", "--dangerously-bypass-approvals-and-sandbox")
        said = codex(self.folder / "home", tap.url, prompt, *options, model=model)
        events = [json.loads(line) for line in said.splitlines()]
        self.assertEqual(events[-1]["type"], "turn.completed")
        items = [event["item"] for event in events if event["type"] == "item.completed"]
        return items, [detail for detail, _ in self.check_records(proxy, tap, upstream)]

    def claude(self, model: str, script: Script) -> tuple[list[Any], list[Any], list[Any]]:
        """Have a session on Claude; also the blocks that Claude got to see in the end."""
        upstream = self.upstream(script)
        items, records = self.session(
            upstream,
            model,
            routes='[{match: "gpt-*", provider: anthropic, model: claude-sonnet-4-5}]',
            providers__anthropic__api_key="sk-upstream",
        )
        last = upstream.asked[-1].json["messages"]
        return items, records, [block for message in last for block in message["content"]]

    def test_code(self) -> None:
        """A model whose only tool runs JavaScript, given as text: the text arrives as it was written."""
        code = (
            'const done = await tools.exec_command({cmd: "echo $((40 + 2))"});\ntext(done.output);'
        )
        call = answers.tool_use("exec", {"input": code}, "toolu_code")

        def script(asked: Asked) -> Answer:
            if len(asked.json["messages"]) > 1:
                return answers.anthropic(True, answers.text("It is 42."))
            return answers.anthropic(True, call, stop="tool_use")

        items, records, seen = self.claude("gpt-6.1-sol", script)
        self.assertEqual(items[-1]["text"], "It is 42.")
        [ran] = [item for item in items if item["type"] == "command_execution"]
        self.assertEqual((ran["aggregated_output"], ran["exit_code"]), ("42\n", 0))
        self.assertEqual([block for block in seen if block["type"] == "tool_use"], [call])
        [result] = [block for block in seen if block["type"] == "tool_result"]
        self.assertIn("42", json.dumps(result["content"]))
        self.assertEqual(records[0]["response"]["output"][-1]["input"], code)

    def test_picture_and_a_broken_stream(self) -> None:
        """A stream that breaks off is asked for again; a picture that the client views is seen."""
        picture = self.folder / "dot.png"
        picture.write_bytes(b64decode(PIXEL))
        call = answers.tool_use("view_image", {"path": str(picture)}, "toolu_view")
        broken: list[Asked] = []

        def script(asked: Asked) -> Answer:
            if len(asked.json["messages"]) > 1:
                return answers.anthropic(True, answers.text("A dot."))
            answer = answers.anthropic(True, answers.text("I look."), call, stop="tool_use")
            if broken:
                return answer
            broken.append(asked)
            return Answer(list(answer.pieces)[:8], headers=answer.headers, cut=True)

        items, records, seen = self.claude("gpt-5.5", script)
        self.assertEqual(items[-1]["text"], "A dot.")
        [result] = [block for block in seen if block["type"] == "tool_result"]
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        self.assertEqual(result["content"], [{"type": "image", "source": source}])
        found = [(detail["outcome"], detail["status"]) for detail in records]
        self.assertEqual(found, [("error", 200), ("ok", 200), ("ok", 200)])
        self.assertFalse(records[0]["usage"]["complete"])

    def test_chat_upstream(self) -> None:
        """On Chat Completions, whose parallel calls come interleaved."""
        patch = ("call_patch", "apply_patch", arguments(input=PATCH))
        command = ("call_one", "exec_command", arguments(cmd="echo one", n=BIG))

        def script(asked: Asked) -> Answer:
            if any(each["role"] == "tool" for each in asked.json["messages"]):
                return chat_stream(text="Done.")
            return chat_stream(command, patch, thinking=THOUGHT, text="I go.")

        upstream = self.upstream(script)
        local = {"kind": "openai", "api": "chat", "base_url": upstream.url, "api_key": "sk-local"}
        items, records = self.session(
            upstream, routes='[{match: "*", provider: local}]', providers__local=json.dumps(local)
        )
        self.assertEqual(items[-1]["text"], "Done.")
        self.assertIn(THOUGHT, [item.get("text") for item in items])
        self.assertEqual((self.folder / "home" / "note.txt").read_text(), 'Zürich "1"\n')
        last = upstream.asked[-1].json["messages"]
        calls = [call for each in last for call in each.get("tool_calls") or ()]
        told = [(call["id"], json.loads(call["function"]["arguments"])) for call in calls]
        self.assertEqual(
            told, [("call_one", {"cmd": "echo one", "n": BIG}), ("call_patch", {"input": PATCH})]
        )
        results = [each["tool_call_id"] for each in last if each["role"] == "tool"]
        self.assertEqual(results, ["call_one", "call_patch"])
        for detail in records:
            self.assertEqual((detail["outcome"], detail["usage"]), ("ok", CHAT))

    def test_demo(self) -> None:
        """On the demo, which calls a tool and reads what came of it."""
        upstream = self.upstream()
        items, records = self.session(
            upstream,
            prompt="Use exec_command once.",
            routes='[{match: "*", provider: demo}]',
            providers__demo="{kind: demo, tokens_per_second: 0}",
        )
        [ran] = [item for item in items if item["type"] == "command_execution"]
        self.assertEqual(ran["exit_code"], 127)
        self.assertIn("command not found", items[-1]["text"])
        self.assertEqual([detail["provider"] for detail in records], ["demo", "demo"])
        self.assertEqual(upstream.asked, [])
