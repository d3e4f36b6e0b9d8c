"""Sessions of real clients, recorded: every exchange as it was, while it ran and afterwards."""

from __future__ import annotations

import gzip
import json
import threading
import time
from typing import Any

from tests.integration import answers
from tests.integration.clients import claude_code, codex
from tests.integration.proxy import PATIENCE
from tests.integration.records import RecordedCase, Records, export
from tests.integration.sdks import anthropic_client, openai_client
from tests.integration.test_claude_code import COMMAND, is_turn, results
from tests.integration.upstream import Answer, Asked, Piece, in_turn

HELLO: list[Any] = [{"role": "user", "content": "hi"}]


class SessionTests(RecordedCase):
    """Sessions on upstreams of the client's own dialect: what is recorded is what was said."""

    def test_claude_code(self) -> None:
        """A refusal, a broken stream, the same asked again whole, a tool, an end: all of it is there, in one
        conversation.
        """
        turns: list[Asked] = []

        def script(asked: Asked) -> Answer:
            stream = bool(asked.json.get("stream"))
            if not is_turn(asked):
                return answers.anthropic(stream, answers.text("Fine."))
            turns.append(asked)
            if len(turns) == 1:
                error = ("overloaded_error", "Overloaded", ("retry-after", "0"))
                return answers.anthropic_error(529, *error)
            if len(turns) == 2:
                frames = answers.anthropic_frames([answers.text("This never ends.")])[:5]
                return Answer(frames, headers=answers.STREAM, cut=True)
            if results(asked):
                return answers.anthropic(stream, answers.text("The command has run."))
            call = answers.tool_use("Bash", {"command": COMMAND})
            return answers.anthropic(stream, call, stop="tool_use")

        upstream = self.upstream(script)
        proxy = self.recording_proxy(upstream)
        tap = self.wiretap(proxy)
        events = claude_code(self.folder / "home", tap.url, "Add with a command.")
        self.assertEqual(events[-1]["result"], "The command has run.")
        records = [
            (detail, overheard)
            for detail, overheard in self.check_records(proxy, tap, upstream)
            if is_turn(overheard.asked)
        ]
        found = [(detail["outcome"], detail["status"], detail["stream"]) for detail, _ in records]
        refused, broken, *rest = found
        self.assertEqual((refused, broken), (("error", 529, True), ("error", 200, True)))
        self.assertGreaterEqual(len(rest), 2)
        for outcome, status, _ in rest:
            self.assertEqual((outcome, status), ("ok", 200))
        self.assertIn(False, [stream for *_, stream in rest])
        cut = records[1][0]
        self.assertEqual(cut["response"]["content"], [answers.text("This never ")])
        self.assertEqual((cut["usage"]["input_tokens"], cut["usage"]["complete"]), (12, False))
        self.assertEqual(records[2][0]["tools"], ["Bash"])
        session = events[-1]["session_id"]
        for detail, _ in records:
            self.assertEqual((detail["session_id"], detail["conversation_id"]), (session, session))
            self.assertEqual(detail["routed_model"], detail["model"])
            self.assertEqual(detail["provider"], "anthropic")
        status, listed = proxy.get("/api/conversations")
        self.assertEqual(status, 200)
        [conversation] = listed["conversations"]
        self.assertEqual(conversation["id"], session)
        status, tree = proxy.get(f"/api/conversations/{session}")
        self.assertEqual(status, 200)
        self.assertIn("The command has run.", json.dumps(tree))

    def test_codex(self) -> None:
        """A turn on the Responses API, compressed on its way up."""
        upstream = self.upstream(
            lambda asked: (
                answers.response(True, "Hello from the script.")
                if asked.method == "POST"
                else Answer([b'{"object":"list","data":[]}'])
            )
        )
        proxy = self.recording_proxy(upstream)
        tap = self.wiretap(proxy)
        said = codex(self.folder / "home", tap.url, "Say hello.", login=True)
        self.assertIn("Hello from the script.", said)
        [(detail, overheard)] = self.check_records(proxy, tap, upstream)
        self.assertEqual(overheard.asked.header("content-encoding"), "zstd")
        [asked] = [each for each in upstream.asked if each.target == "/v1/responses"]
        self.assertEqual(asked.body, overheard.asked.body)
        self.assertEqual((detail["outcome"], detail["provider"]), ("ok", "openai"))
        self.assertEqual(detail["usage"]["output_tokens"], 30)
        self.assertEqual(
            detail["response"]["output"][0]["content"][0]["text"], "Hello from the script."
        )

    def test_running_then_finished(self) -> None:
        """A stream under way is shown as running, with its model and no end; then with everything, under
        both of its ids.
        """
        frames = answers.anthropic_frames([answers.text("Hello, you there.")])
        gate = threading.Event()
        self.addCleanup(gate.set)
        pieces: list[Piece] = [*frames[:5], gate, *frames[5:]]
        proxy = self.recording_proxy(self.upstream(in_turn(Answer(pieces, headers=answers.STREAM))))
        client = anthropic_client(self, proxy.url)
        with client.messages.stream(model="claude-x", max_tokens=9, messages=HELLO) as stream:
            words = iter(stream.text_stream)
            self.assertEqual((next(words), next(words)), ("Hello, ", "you "))
            deadline = time.monotonic() + PATIENCE
            listed: list[Any] = []
            while not listed and time.monotonic() < deadline:
                status, page = proxy.get("/api/requests")
                listed = page["requests"] if status == 200 else []
                time.sleep(0.05)
            [running] = listed
            self.assertEqual((running["outcome"], running["model"]), ("running", "claude-x"))
            self.assertIsNone(running["finished_at"])
            gate.set()
            self.assertEqual(stream.get_final_text(), "Hello, you there.")
        [done] = Records(proxy).all(1)
        self.assertEqual((done["id"], done["outcome"]), (running["id"], "ok"))
        self.assertEqual(done["usage"]["output_tokens"], 30)
        self.assertGreater(done["duration_ms"], done["ttft_ms"])
        self.assertEqual(Records(proxy).detail("req_scripted")["id"], done["id"])

    def test_compressed_answers(self) -> None:
        """An answer that the upstream compressed is kept as it came, and readable."""
        plain = b"".join(answers.anthropic_frames([answers.text("Hello, you there.")]))
        packed = gzip.compress(plain)
        headers = (*answers.STREAM, ("content-encoding", "gzip"))
        half = len(packed) // 2
        upstream = self.upstream(in_turn(Answer([packed[:half], packed[half:]], headers=headers)))
        proxy = self.recording_proxy(upstream)
        client = anthropic_client(self, proxy.url)
        with client.messages.stream(model="claude-x", max_tokens=9, messages=HELLO) as stream:
            self.assertEqual(stream.get_final_text(), "Hello, you there.")
        records = Records(proxy)
        [listed] = records.all(1)
        self.assertEqual(records.body(listed["id"], "response"), packed)
        self.assertEqual(records.body(listed["id"], "response", "?decoded=1"), plain)
        detail = records.detail(listed["id"])
        self.assertEqual(detail["response"]["content"], [answers.text("Hello, you there.")])
        self.assertEqual(detail["usage"]["output_tokens"], 30)
        told = "".join(piece["data"] for piece in records.events(listed["id"]))
        self.assertEqual(told, plain.decode())

    def test_export(self) -> None:
        """What is exported says what the API says."""
        upstream = self.upstream(
            lambda asked: answers.chat(bool(asked.json.get("stream")), "Hello, you there.")
        )
        proxy = self.recording_proxy(upstream)
        client = openai_client(self, proxy.url)
        client.chat.completions.create(model="gpt-x", messages=HELLO)
        list(client.chat.completions.create(model="gpt-x", messages=HELLO, stream=True))
        records = Records(proxy)
        wanted = [records.detail(each["id"]) for each in records.all(2)]
        lines = [json.loads(line) for line in export(proxy).splitlines()]
        self.assertEqual(len(lines), 2)
        for detail, line in zip(wanted, lines, strict=True):
            self.assertEqual({name: line[name] for name in detail}, detail)
        har = json.loads(export(proxy, "--format", "har"))
        self.assertEqual(len(har["log"]["entries"]), 2)
        self.assertEqual(len(export(proxy, "--format", "csv").splitlines()), 3)
        command = export(proxy, "--format", "curl", wanted[0]["id"])
        self.assertIn(b"/v1/chat/completions", command)
