"""Codex on Claude: a session of several steps with tools, its requests plain and compressed."""

from __future__ import annotations

import json
from typing import Any

from tests.integration import answers
from tests.integration.clients import codex
from tests.integration.records import RecordedCase, streamed
from tests.integration.upstream import Answer, Asked
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
