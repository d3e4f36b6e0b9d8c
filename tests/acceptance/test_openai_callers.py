"""OpenAI's clients on Anthropic's models."""

from __future__ import annotations

import gzip
import json
import time

from tests.acceptance.caller import parsed
from tests.acceptance.test_translation import (
    BIG,
    TEXT,
    TOOL,
    WEATHER,
    TranslationCase,
    claude,
    frames,
)
from tests.acceptance.upstream import answer, stream


class ChatOnAnthropicTests(TranslationCase):
    def test_a_stream(self) -> None:
        self.streams(*claude(TEXT, TOOL, stop="tool_use"))
        reply = self.chat(stream=True)
        self.assertTrue(reply.body.endswith(b"data: [DONE]\n\n"))
        chunks = frames(reply.body)
        text = "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks)
        self.assertEqual(text, "Hello there")
        calls = [
            piece
            for each in chunks
            for piece in each["choices"][0]["delta"].get("tool_calls") or []
        ]
        self.assertEqual((calls[0]["id"], calls[0]["function"]["name"]), ("toolu_1", "weather"))
        arguments = "".join(piece["function"].get("arguments") or "" for piece in calls)
        self.assertEqual(json.loads(arguments), {"city": "Paris", "id": BIG})
        self.assertEqual({piece["index"] for piece in calls}, {0})
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "tool_calls")
        self.assertEqual({each["object"] for each in chunks}, {"chat.completion.chunk"})
        self.assertEqual(len({each["id"] for each in chunks}), 1)
        # `created` is in seconds.
        self.assertLess(abs(chunks[0]["created"] - time.time()), 60)
        # No usage is shown that the caller did not ask for.
        self.assertTrue(all(each.get("usage") is None for each in chunks))

    def test_usage_where_it_was_asked_for(self) -> None:
        self.streams(*claude(TEXT))
        reply = self.chat(stream=True, stream_options={"include_usage": True})
        chunks = frames(reply.body)
        with_usage = [each for each in chunks if each.get("usage")]
        self.assertEqual(len(with_usage), 1)
        self.assertEqual((chunks[-1], chunks[-1]["choices"]), (with_usage[0], []))
        usage = with_usage[0]["usage"]
        self.assertEqual((usage["prompt_tokens"], usage["completion_tokens"]), (16, 7))
        self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], 5)
        self.assertTrue(all("usage" in each for each in chunks))

    def test_what_is_asked(self) -> None:
        tool = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
        said: list[dict[str, object]] = [
            {"role": "developer", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": f'{{"id": {BIG}}}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ]
        self.chat(messages=said, tools=[tool], tool_choice="auto", stop="END", user="me")
        sent = self.up.asked[0].json
        self.assertEqual(sent["model"], "claude-real")
        # Max tokens filled in where required.
        self.assertGreater(sent["max_tokens"], 0)
        self.assertIn("be brief", json.dumps(sent["system"]))
        self.assertEqual([each["role"] for each in sent["messages"]], ["user", "assistant", "user"])
        image = sent["messages"][0]["content"][1]
        self.assertEqual(image["source"]["data"], "iVBORw0KGgo=")
        self.assertEqual(sent["messages"][1]["content"][0]["input"], {"id": BIG})
        result = sent["messages"][2]["content"][0]
        self.assertEqual((result["type"], result["tool_use_id"]), ("tool_result", "c1"))
        self.assertEqual(sent["tools"][0]["input_schema"], WEATHER)
        self.assertEqual(sent["stop_sequences"], ["END"])
        asked = self.up.asked[0]
        self.assertEqual(
            (asked.path, asked.header("anthropic-version")), ("/v1/messages", "2023-06-01")
        )
        self.assertEqual(asked.header("x-api-key"), "sk-k")

    def test_sampling(self) -> None:
        """Sampling parameters, left out where the API version refuses them."""
        self.chat(temperature=0.5)
        self.assertEqual(self.up.asked[0].json["temperature"], 0.5)
        self.up.answers(answer())
        self.chat("claude-new", temperature=0.5, top_p=0.9)
        self.assertNotIn("temperature", self.up.asked[0].json)
        self.assertNotIn("top_p", self.up.asked[0].json)

    def test_a_whole_answer(self) -> None:
        content = [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Hi"},
        ]
        usage = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 5}
        for stop, finish in (
            ("end_turn", "stop"),
            ("max_tokens", "length"),
            ("stop_sequence", "stop"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
            ("pause_turn", "stop"),
            ("model_context_window_exceeded", "length"),
        ):
            whole = {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": content,
                "stop_reason": stop,
                "usage": usage,
            }
            self.up.answers(answer(whole))
            found = parsed(self.chat())
            choice = found["choices"][0]
            self.assertEqual(found["object"], "chat.completion")
            self.assertEqual(choice["message"]["content"], "Hi")
            if stop != "tool_use":
                self.assertEqual(choice["finish_reason"], finish, stop)
            self.assertEqual(found["usage"]["prompt_tokens"], 16)
            self.assertEqual(found["usage"]["total_tokens"], 23)

    def test_an_answer_that_is_coded_all_the_same(self) -> None:
        body = gzip.compress(b"".join(claude(TEXT)))
        self.up.answers(stream(body[:50], body[50:], headers=[("Content-Encoding", "gzip")]))
        reply = self.chat(stream=True)
        text = "".join(
            each["choices"][0]["delta"].get("content") or "" for each in frames(reply.body)
        )
        self.assertEqual(text, "Hello there")


class ResponsesOnAnthropicTests(TranslationCase):
    def test_a_stream(self) -> None:
        """`sequence_number` strictly rising; `response.completed` holds the full output and usage."""
        self.streams(*claude(TEXT, TOOL, stop="tool_use"))
        events = frames(self.responses(stream=True).body)
        numbers = [each["sequence_number"] for each in events]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(events[0]["type"], "response.created")
        last = events[-1]
        self.assertEqual(last["type"], "response.completed")
        output = last["response"]["output"]
        self.assertEqual([each["type"] for each in output], ["message", "function_call"])
        self.assertEqual(output[0]["content"][0]["text"], "Hello there")
        self.assertEqual(json.loads(output[1]["arguments"]), {"city": "Paris", "id": BIG})
        self.assertEqual(output[1]["call_id"], "toolu_1")
        usage = last["response"]["usage"]
        self.assertEqual((usage["input_tokens"], usage["output_tokens"]), (16, 7))

    def test_what_codex_asks(self) -> None:
        """Input roles developer and user, a call and its output."""
        items = [
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "brief"}],
            },
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ]
        tools = [{"type": "function", "name": "shell", "parameters": WEATHER, "strict": False}]
        self.responses(input=items, instructions="you are", tools=tools, store=False)
        sent = self.up.asked[0].json
        text = json.dumps(sent)
        for words in ("brief", "you are", "done"):
            self.assertIn(words, text)
        self.assertEqual(sent["tools"][0]["name"], "shell")
        self.assertEqual(sent["messages"][-1]["content"][0]["type"], "tool_result")
