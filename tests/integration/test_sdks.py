"""Both Python SDKs through the proxy: streaming, tools, errors, retries."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.proxy import Proxy
from tests.integration.upstream import Answer, Asked, in_turn

TOOL = {
    "name": "weather",
    "description": "Says the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
FUNCTION = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Says the weather.",
        "parameters": TOOL["input_schema"],
    },
}
HELLO: list[Any] = [{"role": "user", "content": "hi"}]


def anthropic_hello(asked: Asked) -> Answer:
    """Say hello in the form that was asked for."""
    return answers.anthropic(bool(asked.json.get("stream")), answers.text("Hello, you there."))


class AnthropicTests(ProxyCase):
    """``anthropic.Anthropic(base_url=…)``."""

    def client(self, proxy: Proxy, retries: int = 0) -> Any:
        """A client of the SDK."""
        try:
            import anthropic
        except ImportError as error:
            raise SkipTest("the anthropic package is not installed") from error
        made = anthropic.Anthropic(base_url=proxy.url, api_key="sk-mine", max_retries=retries)
        self.addCleanup(made.close)
        return made

    def test_message(self) -> None:
        """A plain message, with its request id and the caller's own key."""
        upstream = self.upstream(anthropic_hello)
        client = self.client(self.proxy(upstream))
        message = client.messages.create(model="claude-x", max_tokens=99, messages=HELLO)
        self.assertEqual(message.content[0].text, "Hello, you there.")
        self.assertEqual(message._request_id, "req_scripted")
        [asked] = upstream.asked
        credentials = (asked.header("authorization"), asked.header("x-api-key"))
        self.assertIn(credentials, [("Bearer sk-mine", None), (None, "sk-mine")])

    def test_stream(self) -> None:
        """The stream's text, and the message that the SDK makes of it."""
        client = self.client(self.proxy(self.upstream(anthropic_hello)))
        with client.messages.stream(model="claude-x", max_tokens=99, messages=HELLO) as stream:
            words = list(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual("".join(words), "Hello, you there.")
        self.assertEqual(len(words), 3)
        self.assertEqual((final.stop_reason, final.usage.output_tokens), ("end_turn", 30))

    def test_tool_round(self) -> None:
        """A tool is called in a stream, its result goes up, and the answer comes."""
        call = answers.tool_use("weather", {"city": "Zürich"})
        upstream = self.upstream(
            in_turn(
                answers.anthropic(True, call, stop="tool_use"),
                answers.anthropic(True, answers.text("It rains.")),
            )
        )
        client = self.client(self.proxy(upstream))
        asked: dict[str, Any] = {"model": "claude-x", "max_tokens": 99, "tools": [TOOL]}
        with client.messages.stream(messages=HELLO, **asked) as stream:
            message = stream.get_final_message()
        [use] = message.content
        self.assertEqual((use.name, use.input), ("weather", {"city": "Zürich"}))
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
        turns = [
            *HELLO,
            {"role": "assistant", "content": [use.model_dump(mode="json", exclude_none=True)]},
            {"role": "user", "content": [result]},
        ]
        with client.messages.stream(messages=turns, **asked) as stream:
            self.assertEqual(stream.get_final_text(), "It rains.")
        self.assertEqual(upstream.asked[1].json["messages"][2]["content"], [result])

    def test_errors_keep_their_class(self) -> None:
        """Each status is the SDK's exception of that name, with the upstream's wording."""
        import anthropic

        wanted = [
            (400, "invalid_request_error", anthropic.BadRequestError),
            (401, "authentication_error", anthropic.AuthenticationError),
            (404, "not_found_error", anthropic.NotFoundError),
            (429, "rate_limit_error", anthropic.RateLimitError),
            (529, "overloaded_error", anthropic.APIStatusError),
        ]
        upstream = self.upstream()
        client = self.client(self.proxy(upstream))
        for status, kind, exception in wanted:
            upstream.script = in_turn(answers.anthropic_error(status, kind, f"on purpose {status}"))
            raised = self.assertRaises(
                exception, client.messages.create, model="claude-x", max_tokens=9, messages=HELLO
            )
            self.assertEqual((raised.status_code, raised.body["error"]["type"]), (status, kind))
            self.assertEqual(raised.request_id, "req_scripted")

    def test_error_within_a_stream(self) -> None:
        """An ``error`` event after the first words raises, after those words."""
        import anthropic

        frames = answers.anthropic_frames([answers.text("Hello, you")])[:4]
        error = {"type": "overloaded_error", "message": "Overloaded"}
        frames.append(answers.event("error", error=error))
        client = self.client(
            self.proxy(self.upstream(in_turn(Answer(frames, headers=answers.STREAM))))
        )
        words = []
        with client.messages.stream(model="claude-x", max_tokens=9, messages=HELLO) as stream:

            def read() -> None:
                words.extend(iter(stream.text_stream))

            raised = self.assertRaises(anthropic.APIStatusError, read)
        self.assertIn("Overloaded", str(raised))
        self.assertEqual(words, ["Hello, "])

    def test_upstream_that_breaks_off(self) -> None:
        """A stream that the upstream cuts raises; it is never taken for a whole one."""
        import anthropic

        frames = answers.anthropic_frames([answers.text("Hello, you")])[:4]
        cut = Answer(frames, headers=answers.STREAM, cut=True)
        client = self.client(self.proxy(self.upstream(in_turn(cut))))
        with client.messages.stream(model="claude-x", max_tokens=9, messages=HELLO) as stream:
            self.assertRaises(anthropic.APIError, stream.get_final_message)

    def test_retries(self) -> None:
        """The SDK's own retries see the upstream's 529 and its retry-after."""
        busy = answers.anthropic_error(
            529, "overloaded_error", "Overloaded", ("retry-after-ms", "10")
        )
        good = answers.anthropic(False, answers.text("At last."))
        upstream = self.upstream(in_turn(busy, busy, good))
        client = self.client(self.proxy(upstream), retries=2)
        message = client.messages.create(model="claude-x", max_tokens=9, messages=HELLO)
        self.assertEqual(message.content[0].text, "At last.")
        self.assertEqual(len(upstream.asked), 3)
        self.assertEqual(upstream.asked[0].body, upstream.asked[2].body)

    def test_count_tokens_and_models(self) -> None:
        """What is not a message passes, too."""

        def script(asked: Asked) -> Answer:
            if asked.target.startswith("/v1/messages/count_tokens"):
                return Answer([b'{"input_tokens": 7}'])
            created = "2026-01-01T00:00:00Z"
            model = {"type": "model", "id": "claude-x", "display_name": "X", "created_at": created}
            page = {"data": [model], "has_more": False, "first_id": None, "last_id": None}
            return Answer([json.dumps(page).encode()])

        client = self.client(self.proxy(self.upstream(script)))
        counted = client.messages.count_tokens(model="claude-x", messages=HELLO)
        self.assertEqual(counted.input_tokens, 7)
        self.assertIn("claude-x", [model.id for model in client.models.list()])


class OpenAITests(ProxyCase):
    """``openai.OpenAI(base_url=…/v1)``."""

    def client(self, proxy: Proxy, retries: int = 0) -> Any:
        """A client of the SDK."""
        try:
            import openai
        except ImportError as error:
            raise SkipTest("the openai package is not installed") from error
        made = openai.OpenAI(base_url=proxy.url + "/v1", api_key="sk-mine", max_retries=retries)
        self.addCleanup(made.close)
        return made

    def test_completion(self) -> None:
        """A plain completion with the caller's own key."""
        upstream = self.upstream(lambda _: answers.chat(False, "Hello, you there."))
        client = self.client(self.proxy(upstream))
        completion = client.chat.completions.create(model="gpt-x", messages=HELLO)
        self.assertEqual(completion.choices[0].message.content, "Hello, you there.")
        self.assertEqual(upstream.asked[0].target, "/v1/chat/completions")
        self.assertEqual(upstream.asked[0].header("authorization"), "Bearer sk-mine")

    def test_stream(self) -> None:
        """The pieces of a stream until ``[DONE]``."""
        client = self.client(
            self.proxy(self.upstream(lambda _: answers.chat(True, "Hello, you there.")))
        )
        with client.chat.completions.create(model="gpt-x", messages=HELLO, stream=True) as stream:
            choices = [chunk.choices[0] for chunk in stream]
        said = "".join(choice.delta.content or "" for choice in choices)
        self.assertEqual((said, choices[-1].finish_reason), ("Hello, you there.", "stop"))

    def test_tool_round(self) -> None:
        """A tool is called in a stream, its result goes up, and the answer comes."""
        upstream = self.upstream(
            in_turn(
                answers.chat_tool(True, "weather", {"city": "Zürich"}),
                answers.chat(False, "It rains."),
            )
        )
        client = self.client(self.proxy(upstream))
        stream = client.chat.completions.create(
            model="gpt-x", messages=HELLO, tools=[FUNCTION], stream=True
        )
        calls = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
        arguments = "".join(call.function.arguments for call in calls)
        self.assertEqual(
            (calls[0].function.name, arguments), ("weather", '{"city": "Z\\u00fcrich"}')
        )
        call = {
            "id": calls[0].id,
            "type": "function",
            "function": {"name": "weather", "arguments": arguments},
        }
        turns = [
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"},
        ]
        answer = client.chat.completions.create(model="gpt-x", messages=turns, tools=[FUNCTION])
        self.assertEqual(answer.choices[0].message.content, "It rains.")
        self.assertEqual(upstream.asked[1].json["messages"], turns)

    def test_responses(self) -> None:
        """The Responses API, plain and as a stream."""
        upstream = self.upstream(
            lambda asked: answers.response(bool(asked.json.get("stream")), "Hello, you there.")
        )
        client = self.client(self.proxy(upstream))
        whole = client.responses.create(model="gpt-x", input="hi")
        self.assertEqual(whole.output_text, "Hello, you there.")
        with client.responses.stream(model="gpt-x", input="hi") as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        self.assertEqual(final.output_text, "Hello, you there.")
        self.assertEqual((kinds[0], kinds[-1]), ("response.created", "response.completed"))

    def test_errors_keep_their_class(self) -> None:
        """Each status is the SDK's exception of that name, with the upstream's wording."""
        import openai

        wanted = [
            (400, "unsupported_value", openai.BadRequestError),
            (401, "invalid_api_key", openai.AuthenticationError),
            (404, "model_not_found", openai.NotFoundError),
            (429, "rate_limit_exceeded", openai.RateLimitError),
            (503, "overloaded", openai.InternalServerError),
        ]
        upstream = self.upstream()
        client = self.client(self.proxy(upstream))
        for status, code, exception in wanted:
            upstream.script = in_turn(answers.openai_error(status, code, f"on purpose {status}"))
            raised = self.assertRaises(
                exception, client.chat.completions.create, model="gpt-x", messages=HELLO
            )
            self.assertEqual((raised.status_code, raised.code), (status, code))

    def test_error_within_a_stream(self) -> None:
        """A frame that is an error raises."""
        import openai

        frames = [answers.data({"error": {"message": "Overloaded", "type": "server_error"}})]
        client = self.client(
            self.proxy(self.upstream(in_turn(Answer(frames, headers=answers.STREAM))))
        )
        stream = client.chat.completions.create(model="gpt-x", messages=HELLO, stream=True)
        self.assertRaises(openai.APIError, list, stream)

    def test_retries(self) -> None:
        """The SDK's own retries see the upstream's 503 and its retry-after."""
        busy = answers.openai_error(503, "overloaded", "Overloaded", ("retry-after-ms", "10"))
        upstream = self.upstream(in_turn(busy, busy, answers.chat(False, "At last.")))
        client = self.client(self.proxy(upstream), retries=2)
        completion = client.chat.completions.create(model="gpt-x", messages=HELLO)
        self.assertEqual(completion.choices[0].message.content, "At last.")
        self.assertEqual(len(upstream.asked), 3)
