"""Both vendors' Python SDKs on models of the other vendor: tools, images, structured output, streams."""

from __future__ import annotations

import json
from typing import Any

from tests.integration import answers
from tests.integration.frames import PIXEL, USAGE, arguments, chat_said, responses_said
from tests.integration.records import RecordedCase
from tests.integration.sdks import anthropic_client, openai_client
from tests.integration.upstream import Answer, Asked, Upstream

BIG = 900719925474099312345678
PICTURE = "https://pictures.example/cat.png"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ON_CLAUDE = {
    "routes": '[{match: "gpt-*", provider: anthropic, model: claude-sonnet-4-5}]',
    "providers__anthropic__api_key": "sk-upstream",
}
ON_GPT = {
    "routes": '[{match: "claude-*", provider: openai, model: gpt-5-mini}]',
    "providers__openai__api_key": "sk-upstream",
}


def claude(asked: Asked) -> Answer:
    """Call two tools at once, then say what was seen; give JSON where a schema is set."""
    stream = bool(asked.json.get("stream"))
    if "output_config" in asked.json:
        return answers.anthropic(stream, answers.text('{"city": "Zürich", "degrees": 7}'))
    if len(asked.json["messages"]) > 1:
        return answers.anthropic(stream, answers.text("A red cat."))
    return answers.anthropic(
        stream,
        answers.text("I look."),
        answers.tool_use("look", {"n": BIG}, "toolu_one"),
        answers.tool_use("look", {"n": 2}, "toolu_two"),
        stop="tool_use",
    )


class OpenAIOnClaudeTests(RecordedCase):
    """``openai.OpenAI`` with a Claude model behind the name it asks for."""

    def begin(self, upstream: Upstream) -> Any:
        """Start a proxy; a client of it."""
        self.running = self.recording_proxy(upstream, **ON_CLAUDE)
        self.tap = self.wiretap(self.running)
        return openai_client(self, self.tap.url)

    def check_upstream(self, asked: list[Asked]) -> None:
        """Check what of pictures, tools and results has reached Claude."""
        first, second = (each.json for each in asked)
        self.assertEqual(first["model"], "claude-sonnet-4-5")
        self.assertEqual([block["text"] for block in first["system"]], ["Be brief."])
        [tool] = first["tools"]
        self.assertEqual((tool["name"], tool["input_schema"]), ("look", SCHEMA))
        self.assertEqual(first["tool_choice"]["type"], "any")
        [question] = first["messages"]
        self.assertEqual(
            [block.get("source") for block in question["content"]],
            [
                None,
                {"type": "base64", "media_type": "image/png", "data": PIXEL},
                {"type": "url", "url": PICTURE},
            ],
        )
        _, said, results = second["messages"]
        calls = [block for block in said["content"] if block["type"] == "tool_use"]
        self.assertEqual([call["id"] for call in calls], ["toolu_one", "toolu_two"])
        self.assertEqual([call["input"] for call in calls], [{"n": BIG}, {"n": 2}])
        self.assertEqual(
            [block["tool_use_id"] for block in results["content"]], ["toolu_one", "toolu_two"]
        )

    def check_recorded(self, upstream: Upstream, number: int) -> None:
        """Check the records."""
        records = self.check_records(self.running, self.tap, upstream)
        self.assertEqual(len(records), number)
        for detail, _ in records:
            self.assertEqual((detail["outcome"], detail["provider"]), ("ok", "anthropic"))
            self.assertEqual(
                (detail["model"], detail["routed_model"]), ("gpt-5", "claude-sonnet-4-5")
            )
            self.assertEqual(detail["usage"]["input_tokens"], 12)
            self.assertEqual(detail["usage"]["output_tokens"], 30)

    def test_chat_with_tools_and_images(self) -> None:
        """Chat Completions, first as a stream, then not."""
        upstream = self.upstream(claude)
        client = self.begin(upstream)
        function = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
        common: dict[str, Any] = {
            "model": "gpt-5",
            "tools": [{"type": "function", "function": function}],
        }
        parts = [
            {"type": "text", "text": "What is there?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": {"url": PICTURE}},
        ]
        messages: list[Any] = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": parts},
        ]
        with client.chat.completions.stream(
            messages=messages,
            tool_choice="required",
            stream_options={"include_usage": True},
            **common,
        ) as stream:
            kinds = [event.type for event in stream]
            told = stream.get_final_completion()
        self.assertIn("content.delta", kinds)
        self.assertEqual((told.usage.prompt_tokens, told.usage.completion_tokens), (12, 30))
        [choice] = told.choices
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertEqual(choice.message.content, "I look.")
        calls = choice.message.tool_calls
        self.assertEqual([call.id for call in calls], ["toolu_one", "toolu_two"])
        self.assertEqual(json.loads(calls[0].function.arguments), {"n": BIG})
        kept = ("role", "content", "tool_calls")
        said = choice.message.model_dump(mode="json", include=kept, exclude_none=True)
        for call in said["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
        messages.append(said)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": f"seen {at}"}
            for at, call in enumerate(calls)
        ]
        whole = client.chat.completions.create(messages=messages, **common)
        self.assertEqual(whole.choices[0].message.content, "A red cat.")
        self.assertEqual(whole.choices[0].finish_reason, "stop")
        self.assertEqual(whole.usage.total_tokens, 42)
        self.check_upstream(upstream.asked)
        self.check_recorded(upstream, 2)

    def test_responses_with_tools_and_images(self) -> None:
        """The Responses API, first as a stream, then not."""
        upstream = self.upstream(claude)
        client = self.begin(upstream)
        tool = {"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}
        common: dict[str, Any] = {"model": "gpt-5", "tools": [tool], "instructions": "Be brief."}
        parts = [
            {"type": "input_text", "text": "What is there?"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
            {"type": "input_image", "image_url": PICTURE},
        ]
        turns: list[Any] = [{"role": "user", "content": parts}]
        with client.responses.stream(input=turns, tool_choice="required", **common) as stream:
            kinds = [event.type for event in stream]
            told = stream.get_final_response()
        self.assertEqual((kinds[0], kinds[-1]), ("response.created", "response.completed"))
        self.assertEqual(told.output_text, "I look.")
        self.assertEqual((told.usage.input_tokens, told.usage.output_tokens), (12, 30))
        calls = [item for item in told.output if item.type == "function_call"]
        self.assertEqual([call.call_id for call in calls], ["toolu_one", "toolu_two"])
        self.assertEqual(json.loads(calls[0].arguments), {"n": BIG})
        for item in told.output:
            turns.append(
                item.model_dump(mode="json", exclude_none=True, exclude={"parsed_arguments"})
            )
        turns += [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"seen {at}"}
            for at, call in enumerate(calls)
        ]
        whole = client.responses.create(input=turns, **common)
        self.assertEqual((whole.status, whole.output_text), ("completed", "A red cat."))
        self.check_upstream(upstream.asked)
        self.check_recorded(upstream, 2)

    def test_structured_output(self) -> None:
        """A model of Pydantic's comes back from both APIs, streaming and not."""
        from pydantic import BaseModel

        class Weather(BaseModel):
            city: str
            degrees: int

        upstream = self.upstream(claude)
        client = self.begin(upstream)
        asked: list[Any] = [{"role": "user", "content": "How warm is it?"}]
        chat: dict[str, Any] = {"model": "gpt-5", "messages": asked, "response_format": Weather}
        wanted = Weather(city="Zürich", degrees=7)
        whole = client.chat.completions.parse(**chat)
        self.assertEqual(whole.choices[0].message.parsed, wanted)
        with client.chat.completions.stream(**chat) as stream:
            told = stream.get_final_completion()
        self.assertEqual(told.choices[0].message.parsed, wanted)
        response: dict[str, Any] = {"model": "gpt-5", "input": asked, "text_format": Weather}
        self.assertEqual(client.responses.parse(**response).output_parsed, wanted)
        with client.responses.stream(**response) as stream:
            self.assertEqual(stream.get_final_response().output_parsed, wanted)
        for each in upstream.asked:
            shape = each.json["output_config"]["format"]
            self.assertEqual(shape["type"], "json_schema")
            self.assertEqual(shape["schema"]["required"], ["city", "degrees"])
        self.check_recorded(upstream, 4)


class AnthropicOnGPTTests(RecordedCase):
    """``anthropic.Anthropic`` with a GPT model behind the name it asks for."""

    def gpt(self, asked: Asked) -> Answer:
        """Call two tools at once, then say what was seen; give JSON where a schema is set."""
        responses = asked.target == "/v1/responses"
        stream = bool(asked.json.get("stream"))
        say = responses_said if responses else chat_said
        shaped = asked.json.get("text") if responses else asked.json.get("response_format")
        if shaped:
            return say(stream, '{"city": "Zürich", "degrees": 7}')
        if "call_two" in asked.body.decode():
            return say(stream, "A red cat.")
        one = ("call_one", "look", arguments(n=BIG))
        return say(stream, "I look.", one, ("call_two", "look", arguments(n=2)))

    def begin(self, upstream: Upstream, api: str) -> Any:
        """Start a proxy; a client of it."""
        self.running = self.recording_proxy(upstream, providers__openai__api=api, **ON_GPT)
        self.tap = self.wiretap(self.running)
        return anthropic_client(self, self.tap.url)

    def round(self, api: str) -> Upstream:
        """Have a round with tools and pictures, first as a stream, then not."""
        upstream = self.upstream(self.gpt)
        client = self.begin(upstream, api)
        common: dict[str, Any] = {
            "model": "claude-sonnet-5",
            "max_tokens": 500,
            "system": "Be brief.",
            "tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}],
        }
        pixel = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        parts = [
            {"type": "text", "text": "What is there?"},
            {"type": "image", "source": pixel},
            {"type": "image", "source": {"type": "url", "url": PICTURE}},
        ]
        turns: list[Any] = [{"role": "user", "content": parts}]
        choice = {"type": "any"}
        with client.messages.stream(messages=turns, tool_choice=choice, **common) as stream:
            kinds = [event.type for event in stream]
            told = stream.get_final_message()
        self.assertEqual((kinds[0], kinds[-1]), ("message_start", "message_stop"))
        self.assertEqual(told.stop_reason, "tool_use")
        text, one, two = told.content
        self.assertEqual((text.text, one.id, two.id), ("I look.", "call_one", "call_two"))
        self.assertEqual((one.input, two.input), ({"n": BIG}, {"n": 2}))
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens"):
            self.assertEqual(getattr(told.usage, name), USAGE[name])
        fields = {"type", "text", "id", "name", "input"}
        said = [block.model_dump(mode="json", include=fields) for block in told.content]
        results = [
            {
                "type": "tool_result",
                "tool_use_id": "call_one",
                "content": [{"type": "text", "text": "a"}, {"type": "image", "source": pixel}],
            },
            {"type": "tool_result", "tool_use_id": "call_two", "content": "no", "is_error": True},
        ]
        turns += [{"role": "assistant", "content": said}, {"role": "user", "content": results}]
        whole = client.messages.create(messages=turns, **common)
        self.assertEqual((whole.content[0].text, whole.stop_reason), ("A red cat.", "end_turn"))
        self.assertEqual(whole.usage.cache_read_input_tokens, 100)
        return upstream

    def check_recorded(self, upstream: Upstream, number: int) -> None:
        """Check the records."""
        records = self.check_records(self.running, self.tap, upstream)
        self.assertEqual(len(records), number)
        for detail, _ in records:
            self.assertEqual((detail["outcome"], detail["provider"]), ("ok", "openai"))
            self.assertEqual(
                (detail["model"], detail["routed_model"]), ("claude-sonnet-5", "gpt-5-mini")
            )
            self.assertEqual(detail["usage"], USAGE)

    def test_chat_upstream(self) -> None:
        """On Chat Completions."""
        upstream = self.round("chat")
        first, second = (each.json for each in upstream.asked)
        self.assertEqual(first["tool_choice"], "required")
        self.assertEqual(first["tools"][0]["function"]["parameters"], SCHEMA)
        urls = [
            part["image_url"]["url"]
            for part in first["messages"][-1]["content"]
            if part["type"] == "image_url"
        ]
        self.assertEqual(urls, [f"data:image/png;base64,{PIXEL}", PICTURE])
        said = next(each for each in second["messages"] if each["role"] == "assistant")
        told = [json.loads(call["function"]["arguments"]) for call in said["tool_calls"]]
        self.assertEqual(told, [{"n": BIG}, {"n": 2}])
        results = [each for each in second["messages"] if each["role"] == "tool"]
        self.assertEqual([each["tool_call_id"] for each in results], ["call_one", "call_two"])
        # A tool's message holds no picture there: it comes behind the results, and is not lost.
        self.assertIn(PIXEL, json.dumps(second["messages"][-1]))
        self.check_recorded(upstream, 2)

    def test_responses_upstream(self) -> None:
        """On the Responses API."""
        upstream = self.round("responses")
        first, second = (each.json for each in upstream.asked)
        self.assertEqual(first["tool_choice"], "required")
        urls = [
            part["image_url"]
            for item in first["input"]
            for part in item["content"]
            if part["type"] == "input_image"
        ]
        self.assertEqual(urls, [f"data:image/png;base64,{PIXEL}", PICTURE])
        calls = [item for item in second["input"] if item["type"] == "function_call"]
        told = [json.loads(call["arguments"]) for call in calls]
        self.assertEqual(told, [{"n": BIG}, {"n": 2}])
        results = [item for item in second["input"] if item["type"] == "function_call_output"]
        self.assertEqual([each["call_id"] for each in results], ["call_one", "call_two"])
        self.assertIn(PIXEL, json.dumps(results[0]["output"]))
        self.check_recorded(upstream, 2)

    def test_structured_output(self) -> None:
        """A model of Pydantic's comes back, streaming and not."""
        from pydantic import BaseModel

        class Weather(BaseModel):
            city: str
            degrees: int

        upstream = self.upstream(self.gpt)
        client = self.begin(upstream, "chat")
        common: dict[str, Any] = {
            "model": "claude-sonnet-5",
            "max_tokens": 500,
            "messages": [{"role": "user", "content": "How warm is it?"}],
            "output_format": Weather,
        }
        wanted = Weather(city="Zürich", degrees=7)
        self.assertEqual(client.messages.parse(**common).parsed_output, wanted)
        with client.messages.stream(**common) as stream:
            self.assertEqual(stream.get_final_message().parsed_output, wanted)
        for each in upstream.asked:
            shape = each.json["response_format"]
            self.assertEqual(shape["type"], "json_schema")
            self.assertEqual(shape["json_schema"]["schema"]["required"], ["city", "degrees"])
        self.check_recorded(upstream, 2)
