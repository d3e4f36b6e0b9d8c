"""Chat Completions requests, read and written."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import (
    BlockStopped,
    Event,
    SignatureDelta,
    Stopped,
    ThinkingDelta,
    ThinkingStarted,
)
from clawproxy.core.dialects.naming import short_tool_name
from clawproxy.core.dialects.openai_chat_servers import BRIDGE
from clawproxy.core.dialects.parts import (
    CacheControl,
    FilePart,
    ImagePart,
    InlineData,
    Message,
    OpaquePart,
    PlainText,
    RefusalPart,
    RemoteUrl,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    VendorFile,
)
from clawproxy.core.dialects.seal import UNSEALED, UNSEALED_REASONING
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ServerTool, ToolChoice
from clawproxy.core.dialects.turn import OutputFormat, Reasoning, Sampling
from clawproxy.core.errors import Kind, ProxyError
from tests.core.dialects.transcripts import built, events_of, request, turn

MISTRAL = "https://api.mistral.ai"


class ParseTests(SynchronousTestCase):
    """What a caller of Chat Completions says."""

    def refused(self, body: dict[str, Any], param: str, kind: Kind) -> None:
        """Assert that a request is refused because of a field."""
        error = self.assertRaises(ProxyError, request, "openai_chat", body)
        self.assertEqual((error.kind, error.param), (kind, param))

    def test_messages(self) -> None:
        """All roles, strings and parts; tool messages in a row are one message."""
        asked = request(
            "openai_chat",
            {
                "messages": [
                    {"role": "developer", "content": "a"},
                    {
                        "role": "user",
                        "name": "eve",
                        "content": [
                            {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
                            {
                                "type": "image_url",
                                "image_url": {"url": "data:image/PNG;base64,AA=="},
                            },
                            {
                                "type": "image_url",
                                "image_url": {"url": "https://e.org/i", "detail": "low"},
                            },
                            {
                                "type": "file",
                                "file": {
                                    "filename": "a.pdf",
                                    "file_data": "data:application/pdf;base64,JVBE",
                                },
                            },
                            {"type": "file", "file": {"file_id": "file-1"}},
                        ],
                    },
                    {
                        "role": "assistant",
                        "content": None,
                        "refusal": "No.",
                        "reasoning_content": "Hm.",
                        "tool_calls": [
                            {
                                "id": "1",
                                "type": "function",
                                "function": {"name": "f", "arguments": "{"},
                            },
                            {"id": "2", "type": "custom", "custom": {"name": "p", "input": "x"}},
                        ],
                    },
                    {"role": "tool", "tool_call_id": "1", "content": "c"},
                    {
                        "role": "tool",
                        "tool_call_id": "2",
                        "content": [{"type": "text", "text": "d"}],
                    },
                    {"role": "user", "content": ""},
                ]
            },
        )
        at = "messages[1].content[{}]".format
        self.assertEqual(
            asked.messages,
            (
                Message("developer", (TextPart("a"),)),
                Message(
                    "user",
                    (
                        TextPart("b", CacheControl()),
                        ImagePart(InlineData("image/png", "AA=="), where=at(1)),
                        ImagePart(RemoteUrl("https://e.org/i"), "low", where=at(2)),
                        FilePart(InlineData("application/pdf", "JVBE"), "a.pdf", where=at(3)),
                        FilePart(VendorFile("file-1", "openai_chat"), where=at(4)),
                    ),
                    "eve",
                ),
                Message(
                    "assistant",
                    (
                        ThinkingPart("openai_chat", "Hm."),
                        RefusalPart("No."),
                        ToolCallPart("1", "f", "{"),
                        ToolCallPart("2", "p", "x", custom=True),
                    ),
                ),
                Message(
                    "user",
                    (ToolResultPart("1", (TextPart("c"),)), ToolResultPart("2", (TextPart("d"),))),
                ),
                Message("user", ()),
            ),
        )

    def test_data_urls(self) -> None:
        """Every spelling of RFC 2397, and what is no address at all."""

        def source(url: str) -> Any:
            part = {"type": "image_url", "image_url": {"url": url}}
            asked = request("openai_chat", {"messages": [{"role": "user", "content": [part]}]})
            found = asked.messages[0].parts[0]
            assert isinstance(found, ImagePart)
            return found.source

        self.assertEqual(source("DATA:image/gif;base64,AA=="), InlineData("image/gif", "AA=="))
        self.assertEqual(
            source("data:image/gif;x=y;BASE64,A%2B%3D"), InlineData("image/gif", "A+=")
        )
        self.assertEqual(source("data:,a%20b"), InlineData("text/plain", "YSBi"))
        self.assertEqual(source("HTTPS://e.org"), RemoteUrl("HTTPS://e.org"))
        for wrong in ("file:///etc/passwd", "AA==", "data:image/png;base64"):
            error = self.assertRaises(ProxyError, source, wrong)
            self.assertEqual(error.kind, Kind.INVALID_REQUEST)

    def test_options(self) -> None:
        """Tools, choice, sampling, reasoning, format and user find their places."""
        asked = request(
            "openai_chat",
            {
                "max_tokens": 1,
                "max_completion_tokens": 99,
                "stop": "END",
                "temperature": 0.5,
                "frequency_penalty": 0.5,
                "seed": 3,
                "logit_bias": {"1": -100},
                "stream": True,
                "stream_options": {"include_usage": True},
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "description": "d",
                            "parameters": {"type": "object"},
                            "strict": True,
                        },
                    },
                    {"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}},
                ],
                "parallel_tool_calls": False,
                "reasoning_effort": "xhigh",
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
                },
                "user": "u",
                "store": True,
                "chat_id": "of a front-end",
            },
        )
        self.assertEqual(
            asked.tools,
            (
                FunctionTool("f", "d", b'{"type": "object"}', True),
                CustomTool("p", None, b'{"type": "text"}'),
            ),
        )
        self.assertIs(asked.parallel_tool_calls, False)
        self.assertEqual((asked.max_tokens, asked.stop_sequences), (99, ("END",)))
        self.assertEqual((asked.stream, asked.include_usage), (True, True))
        self.assertEqual(
            asked.sampling,
            Sampling(0.5, frequency_penalty=0.5, seed=3, logit_bias=b'{"1": -100}'),
        )
        self.assertEqual(asked.reasoning, Reasoning(effort="xhigh"))
        self.assertEqual(
            asked.output, OutputFormat("json_schema", "n", b'{"type": "object"}', True)
        )
        self.assertEqual((asked.user, set(asked.extras)), ("u", {"store", "chat_id"}))

    def test_tool_choices(self) -> None:
        """All forms."""
        allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
        for said, meant in (
            ("auto", ToolChoice("auto")),
            ("none", ToolChoice("none")),
            ("required", ToolChoice("required")),
            ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", "f")),
            ({"type": "custom", "custom": {"name": "p"}}, ToolChoice("tool", "p")),
            (
                {"type": "allowed_tools", "allowed_tools": allowed},
                ToolChoice("required", allowed=("f",)),
            ),
        ):
            self.assertEqual(request("openai_chat", {"tool_choice": said}).tool_choice, meant)
        self.refused({"tool_choice": "perhaps"}, "tool_choice", Kind.UNSUPPORTED_PARAMETER)

    def test_refused(self) -> None:
        """What no other API gives is refused by name."""
        audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
        for body, param in (
            ({"n": 2}, "n"),
            ({"logprobs": True}, "logprobs"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"audio": {"voice": "x"}}, "audio"),
            ({"modalities": ["text", "audio"]}, "modalities"),
            ({"functions": [{"name": "f"}]}, "functions"),
            ({"web_search_options": {}}, "web_search_options"),
            ({"messages": [{"role": "user", "content": [audio]}]}, "messages[0].content[0]"),
            ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
            ({"tools": [{"type": "novelty"}]}, "tools[0].type"),
            ({"reasoning_effort": "heroic"}, "reasoning_effort"),
        ):
            self.refused(body, param, Kind.UNSUPPORTED_PARAMETER)

    def test_harmless(self) -> None:
        """The same fields, asking for nothing."""
        request(
            "openai_chat",
            {
                "n": 1,
                "logprobs": False,
                "top_logprobs": None,
                "audio": None,
                "modalities": ["text"],
                "functions": [],
                "stream_options": None,
                "tool_choice": None,
                "response_format": {"type": "text"},
            },
        )

    def test_wrong(self) -> None:
        """Wrong types are named with their path."""
        for body, param in (
            ({"max_tokens": "9"}, "max_tokens"),
            ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
            (
                {"messages": [{"role": "assistant", "tool_calls": [{"id": 7}]}]},
                "messages[0].tool_calls[0].id",
            ),
        ):
            self.refused(body, param, Kind.INVALID_REQUEST)
        self.refused({"messages": None}, "messages", Kind.MISSING_FIELD)
        self.refused(
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
            Kind.MISSING_FIELD,
        )

    def test_lone_surrogates(self) -> None:
        """Half an emoji in a message stops no request."""
        body = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d!"}]}'
        asked = DIALECTS["openai_chat"].parse_request(body, [])
        self.assertEqual(asked.messages[0].parts, (TextPart("\ufffd!"),))


class BuildTests(SynchronousTestCase):
    """What an OpenAI upstream is asked."""

    def messages(self, *messages: Message, **fields: Any) -> Any:
        """Return the messages as they are sent."""
        return built("openai_chat", turn("anthropic", messages=messages, **fields))["messages"]

    def test_arguments_that_are_no_object(self) -> None:
        """Templates of chat models raise on them; a limit cut the call."""
        for arguments, sent in (
            ('{"path": "/et', {"raw_arguments": '{"path": "/et'}),
            ("[1]", {"raw_arguments": "[1]"}),
            ("", {}),
            ("null", {}),
            ('{"a": 1e400}', None),
        ):
            items = [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments},
                {"type": "function_call_output", "call_id": "c", "output": "aborted"},
            ]
            body = built("openai_chat", request("openai_responses", {"input": items}), "m")
            found = body["messages"][0]["tool_calls"][0]["function"]["arguments"]
            if sent is None:
                self.assertEqual(found, arguments)
            else:
                self.assertEqual(json.loads(found), sent)

    def test_messages_between_calls_and_results(self) -> None:
        """Anthropic reads consecutive messages of one role as one; here results follow calls at once."""

        def message(role: str, *content: dict[str, Any]) -> dict[str, Any]:
            return {"role": role, "content": list(content)}

        def call(name: str) -> dict[str, Any]:
            return {"type": "tool_use", "id": name, "name": "f", "input": {}}

        def result(name: str) -> dict[str, Any]:
            return {"type": "tool_result", "tool_use_id": name, "content": "ok"}

        said, words = {"type": "text", "text": "And so?"}, {"type": "text", "text": "Here."}
        body = {
            "model": "m",
            "max_tokens": 9,
            "messages": [
                message("user", said),
                message("assistant", call("a")),
                message("assistant", call("b"), words),
                message("user", result("a"), said),
                message("user", result("b")),
                message("user", said),
            ],
        }
        sent = built("openai_chat", request("anthropic", body), "m")["messages"]
        self.assertEqual(
            [(one["role"], one.get("tool_call_id")) for one in sent],
            [
                ("user", None),
                ("assistant", None),
                ("tool", "a"),
                ("tool", "b"),
                ("user", None),
                ("user", None),
            ],
        )
        self.assertEqual([one["id"] for one in sent[1]["tool_calls"]], ["a", "b"])

    def test_system(self) -> None:
        """Parts stay apart and first; later system messages stay in their places."""
        found = self.messages(
            Message("user", (TextPart("c"),)),
            Message("system", (TextPart("d"),)),
            Message("developer", (TextPart("e"),)),
            system=(TextPart("a", CacheControl()), TextPart("b")),
        )
        self.assertEqual(
            found,
            [
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
                {"role": "user", "content": "c"},
                {"role": "system", "content": "d"},
                {"role": "system", "content": "e"},
            ],
        )

    def test_tool_results(self) -> None:
        """Results follow the assistant at once; images and files follow them; errors say so."""
        png = ImagePart(InlineData("image/png", "AA=="))
        pdf = FilePart(InlineData("application/pdf", "JVBE"))
        found = self.messages(
            Message(
                "assistant", (ToolCallPart("1", "f", ""), ToolCallPart("2", "g", '{"n": 1e400}'))
            ),
            Message(
                "user",
                (
                    TextPart("look"),
                    ToolResultPart("1", (TextPart("bad"), png), is_error=True),
                    ToolResultPart("2", (pdf,)),
                    ToolResultPart("3"),
                    ToolResultPart("4", is_error=True),
                ),
            ),
        )
        self.assertEqual(
            found[0],
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {
                        "id": "2",
                        "type": "function",
                        "function": {"name": "g", "arguments": '{"n": 1e400}'},
                    },
                ],
            },
        )
        self.assertEqual(
            [(m["tool_call_id"], m["content"]) for m in found[1:5]],
            [
                ("1", "Error: bad"),
                ("2", "(The result is in the next message.)"),
                ("3", ""),
                ("4", "Error: The tool failed."),
            ],
        )
        self.assertEqual(
            [part["type"] for part in found[5]["content"]],
            ["text", "image_url", "text", "file", "text"],
        )
        self.assertEqual(found[5]["content"][-1]["text"], "look")
        self.assertEqual(len(found), 6)

    def test_instructions_between_calls_and_results(self) -> None:
        """Nothing stands between a call and its result, and no message is lost."""
        call = Message("assistant", (ToolCallPart("1", "f", "{}"),))
        note = Message("system", (TextPart("note"),))
        result = Message("user", (ToolResultPart("1"), TextPart("and")))
        for given, wanted in (
            ((call, note, result), ["assistant", "tool", "system", "user"]),
            ((call, note, call), ["assistant", "system", "assistant"]),
            ((call, note), ["assistant", "system"]),
        ):
            self.assertEqual([m["role"] for m in self.messages(*given)], wanted)

    def test_thinking_is_never_text(self) -> None:
        """Sealed thinking is left out, and a message of nothing else with it."""
        found = self.messages(
            Message("user", (TextPart("a"),)),
            Message("assistant", (ThinkingPart("anthropic", "secret", "sig"), TextPart("b"))),
            Message("assistant", (ThinkingPart("anthropic", redacted="zz"),)),
        )
        self.assertEqual(found[1:], [{"role": "assistant", "content": "b"}])

    def test_reasoning_goes_home(self) -> None:
        """Reasoning of a chat server, shown to an Anthropic caller, comes back in its own field."""
        events: list[Event] = [
            ThinkingStarted(),
            ThinkingDelta("Hm."),
            SignatureDelta(UNSEALED, "openai_chat"),
            BlockStopped(),
            Stopped("end_turn"),
        ]
        answer = DIALECTS["anthropic"].build_response(
            events, turn("anthropic"), model="m", response_id="r", created=1
        )
        content = [*json.loads(answer)["content"], {"type": "text", "text": "Yes."}]
        asked = request("anthropic", {"messages": [{"role": "assistant", "content": content}]})
        for model, sent in (("deepseek-v4", "Hm."), ("gpt-5", None)):
            (message,) = built("openai_chat", asked, model)["messages"]
            self.assertEqual(message.get("reasoning_content"), sent)
        back = built("anthropic", asked)["messages"][1]["content"]
        self.assertEqual(back, [{"type": "text", "text": "Yes."}])

    def test_mistrals_order(self) -> None:
        """Mistral's servers and templates refuse a user behind a result, and two users in a row."""
        asked = turn(
            "anthropic",
            user="eve",
            messages=(
                Message("user", (TextPart("a"),), "eve"),
                Message("user", (TextPart("b"),)),
                Message("assistant", (ToolCallPart("1", "f", "{}"),)),
                Message("user", (ToolResultPart("1", (TextPart("c"),)), TextPart("<reminder>"))),
                Message("assistant", (RefusalPart("No."),)),
                Message("user", (TextPart("d"),)),
            ),
        )
        both = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        for model in ("devstral-2512", "mistralai/Devstral-Small-2-24B-Instruct-2512"):
            sent = built("openai_chat", asked, model)
            found = [(each["role"], each["content"]) for each in sent["messages"]]
            self.assertEqual(
                found[:5],
                [
                    ("user", both),
                    ("assistant", None),
                    ("tool", "c"),
                    ("assistant", BRIDGE),
                    ("user", "<reminder>"),
                ],
            )
        self.assertEqual((sent["user"], sent["messages"][0]["name"]), ("eve", "eve"))
        sent = built("openai_chat", asked, "devstral-2512", server=MISTRAL)
        self.assertNotIn("user", sent)
        self.assertNotIn("name", sent["messages"][0])
        self.assertEqual(sent["messages"][5], {"role": "assistant", "content": "No."})
        sent = built("openai_chat", asked, "qwen3")
        roles = [each["role"] for each in sent["messages"]]
        self.assertEqual(roles, ["user", "user", "assistant", "tool", "user", "assistant", "user"])
        self.assertEqual((sent["user"], sent["messages"][0]["name"]), ("eve", "eve"))

    def test_reasoning_of_others(self) -> None:
        """DeepSeek and Moonshot refuse answers without reasoning, as Claude's are that went before."""
        asked = turn(
            "anthropic",
            messages=(
                Message("user", (TextPart("a"),)),
                Message(
                    "assistant",
                    (ThinkingPart("anthropic", "Hm.", "sig"), ToolCallPart("1", "f", "{}")),
                ),
                Message("user", (ToolResultPart("1", (TextPart("b"),)),)),
            ),
        )
        for model, sent in (
            ("deepseek-v4-pro", " "),
            ("kimi-k2.6", " "),
            ("moonshotai/kimi-k2-instruct", None),
            ("deepseek-r1:8b", None),
            ("deepseek-r1-distill-llama-70b", None),
            ("qwen3", None),
        ):
            messages = built("openai_chat", asked, model)["messages"]
            found = [each.get("reasoning_content") for each in messages]
            self.assertEqual(found, [None, sent, None], model)

    def test_reasoning_elsewhere(self) -> None:
        """Groq and Cerebras refuse DeepSeek's name for it: as a fallback they go on without, or with their own."""
        thoughts = (
            ThinkingPart("openai_chat", "Hm.", UNSEALED),
            ThinkingPart("openai_chat", "So.", UNSEALED_REASONING),
        )
        asked = turn("anthropic", messages=(Message("assistant", (*thoughts, TextPart("a"))),))
        for server, known in (
            ("https://api.groq.com/openai", False),
            ("https://api.cerebras.ai", False),
            ("https://groq.com.example", True),
            ("https://api.deepseek.com", True),
            ("", True),
        ):
            for model in ("deepseek-v4-pro", "zai-glm-4.7"):
                [message] = built("openai_chat", asked, model, server=server)["messages"]
                self.assertEqual("reasoning_content" in message, known, server)
                self.assertEqual(message["reasoning"], "So.")

    def test_names_of_results(self) -> None:
        """Gemini wants to be told in a result which function gave it."""
        call = Message("assistant", (ToolCallPart("1", "f", "{}"),))
        back = Message("user", (ToolResultPart("1"), ToolResultPart("2")))
        asked = turn("anthropic", messages=(call, back))
        for model, names in (
            ("gemini-2.5-pro", ["f", None]),
            ("gemini-pro-latest", ["f", None]),
            ("gpt-4o", [None, None]),
        ):
            sent = built("openai_chat", asked, model)["messages"]
            self.assertEqual([each.get("name") for each in sent if each["role"] == "tool"], names)

    def test_one_string(self) -> None:
        """DeepSeek's servers answer 400 to parts in an assistant's or a tool's message; the user's stay apart."""
        two = (TextPart("a"), TextPart("b"))
        found = self.messages(
            Message("user", two),
            Message("assistant", (*two, ToolCallPart("1", "f", "{}"))),
            Message("user", (ToolResultPart("1", two), TextPart("c"))),
            Message("assistant", two),
        )
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        self.assertEqual(
            [(each["role"], each["content"]) for each in found],
            [
                ("user", parts),
                ("assistant", "a\n\nb"),
                ("tool", "a\n\nb"),
                ("user", "c"),
                ("assistant", "a\n\nb"),
            ],
        )

    def test_reasoning_under_its_name(self) -> None:
        """Each server gets its reasoning where it had it: Groq and Mistral refuse the others' names, in both ways."""
        thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
        parts = [*thinking, {"type": "text", "text": "Yes."}]
        deltas: tuple[tuple[dict[str, Any], str, dict[str, Any]], ...] = (
            (
                {"reasoning_content": "Hm."},
                "deepseek-v4",
                {"reasoning_content": "Hm.", "content": "Yes."},
            ),
            ({"reasoning": "Hm."}, "openai/gpt-oss-120b", {"reasoning": "Hm.", "content": "Yes."}),
            ({"content": thinking}, "magistral-medium-2509", {"content": parts}),
            ({"content": thinking}, "qwen3", {"content": "Yes."}),
            ({"reasoning": "Hm."}, "devstral-2512", {"content": "Yes."}),
            ({"reasoning": "Hm."}, "gpt-5", {"content": "Yes."}),
        )
        for delta, model, sent in deltas:
            chunks = [{"choices": [{"delta": each}]} for each in (delta, {"content": "Yes."})]
            stream = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
            whole = {"content": "Yes."} | delta
            if "content" in delta:
                whole["content"] = parts
            body = {"choices": [{"message": whole, "finish_reason": "stop"}]}
            for events in (
                events_of("openai_chat", *stream, b"data: [DONE]\n\n"),
                DIALECTS["openai_chat"].parse_response(json.dumps(body).encode()),
            ):
                for caller in ("anthropic", "openai_responses"):
                    answer = DIALECTS[caller].build_response(
                        events, turn(caller), model="m", response_id="r", created=1
                    )
                    found = json.loads(answer)
                    again: dict[str, Any] = (
                        {"messages": [{"role": "assistant", "content": found["content"]}]}
                        if caller == "anthropic"
                        else {"input": found["output"]}
                    )
                    server = MISTRAL if model == "devstral-2512" else ""
                    asked = request(caller, again)
                    (message,) = built("openai_chat", asked, model, server=server)["messages"]
                    self.assertEqual(message, {"role": "assistant"} | sent)

    def test_reasoning_details(self) -> None:
        """OpenRouter seals reasoning in a field of its own; Gemini's calls are refused without it."""
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        secret = {"type": "reasoning.encrypted", "data": "xyz", "id": "c", "index": 1, "n": 1.5}

        def piece(**fields: Any) -> dict[str, Any]:
            return {"type": "reasoning.text", "index": 0, "format": "google-gemini-v1"} | fields

        deltas: list[dict[str, Any]] = [
            {"reasoning": "Hm", "reasoning_details": [piece(text="Hm")]},
            {"reasoning": ".", "reasoning_details": [piece(text=".")]},
            {"reasoning_details": [piece(signature="s", text=None)]},
            {"content": "Let me see."},
            {"reasoning_details": [secret], "tool_calls": [call | {"index": 0}]},
        ]
        details = [piece(text="Hm.", signature="s"), secret]
        chunks = [{"choices": [{"delta": delta}]} for delta in deltas]
        stream = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
        message = {
            "content": "Let me see.",
            "reasoning": "Hm.",
            "reasoning_details": details,
            "tool_calls": [call],
        }
        body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
        for events in (
            events_of("openai_chat", *stream, b"data: [DONE]\n\n"),
            DIALECTS["openai_chat"].parse_response(json.dumps(body).encode()),
        ):
            self.assertIn(ThinkingStarted(), events)
            self.assertEqual(events[-1], Stopped("tool_use"))
            for caller in ("anthropic", "openai_responses"):
                answer = DIALECTS[caller].build_response(
                    events, turn(caller), model="m", response_id="r", created=1
                )
                found = json.loads(answer)
                again: dict[str, Any] = (
                    {"messages": [{"role": "assistant", "content": found["content"]}]}
                    if caller == "anthropic"
                    else {"input": found["output"]}
                )
                asked = request(caller, again)
                for model, back in (
                    ("google/gemini-3-pro-preview", {"reasoning_details": details}),
                    ("anthropic/claude-sonnet-4.5", {"reasoning_details": details}),
                    ("gpt-5", {}),
                    ("devstral-2512", {}),
                ):
                    server = MISTRAL if model == "devstral-2512" else ""
                    (sent,) = built("openai_chat", asked, model, server=server)["messages"]
                    (called,) = sent.pop("tool_calls")
                    self.assertEqual(
                        sent, {"role": "assistant", "content": "Let me see."} | back, model
                    )
                    self.assertNotIn("extra_content", called)

    def test_calls_without_a_seal(self) -> None:
        """Gemini 3 refuses a call without one, and other models the field; parallel calls need one."""
        calls = (ToolCallPart("a", "f", "{}"), ToolCallPart("b", "f", "{}"))
        asked = turn("anthropic", messages=(Message("assistant", calls),))
        for model, sealed in (
            ("gemini-3.1-pro", [True, False]),
            ("google/gemini-3-flash", [True, False]),
            ("gemini-flash-lite-latest", [True, False]),
            ("gemini-2.5-pro", [False, False]),
            ("gpt-4o", [False, False]),
        ):
            [message] = built("openai_chat", asked, model)["messages"]
            self.assertEqual(["extra_content" in call for call in message["tool_calls"]], sealed)

    def test_claude_code(self) -> None:
        """A turn as Claude Code 2.1 sends it is understood whole."""
        asked = request(
            "anthropic",
            {
                "model": "claude-opus-4-8",
                "system": [
                    {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1"},
                    {"type": "text", "text": "You are.", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}},
                ],
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                    {"role": "system", "content": "The date is today."},
                ],
                "tools": [
                    {
                        "name": "Bash",
                        "description": "Runs.",
                        "input_schema": {"type": "object", "$schema": "https://e.org"},
                        "defer_loading": True,
                        "eager_input_streaming": True,
                    }
                ],
                "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "session_id": "s"})},
                "max_tokens": 64000,
                "thinking": {"type": "adaptive"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
                "output_config": {"effort": "xhigh"},
                "diagnostics": {"previous_message_id": "msg_1"},
                "betas": ["claude-code-20250219"],
                "stream": True,
            },
        )
        out = built("openai_chat", asked, "gpt-5.2", stream=True)
        self.assertEqual(
            set(out),
            {
                "model",
                "messages",
                "tools",
                "max_completion_tokens",
                "reasoning_effort",
                "stream",
                "stream_options",
            },
        )
        roles = [message["role"] for message in out["messages"]]
        self.assertEqual(roles, ["system", "user", "system"])
        self.assertEqual(len(out["messages"][0]["content"]), 3)
        self.assertEqual(out["reasoning_effort"], "xhigh")

    def test_sources(self) -> None:
        """Images and documents in the forms the API has; the others are refused by place."""
        found = self.messages(
            Message(
                "user",
                (
                    ImagePart(RemoteUrl("https://e.org/a.png"), "high"),
                    FilePart(PlainText("text"), "Title", "Context"),
                    FilePart(InlineData("application/pdf", "JVBE"), "a.pdf"),
                    RefusalPart("No."),
                ),
            )
        )
        self.assertEqual(
            found[0]["content"],
            [
                {
                    "type": "image_url",
                    "image_url": {"url": "https://e.org/a.png", "detail": "high"},
                },
                {"type": "text", "text": "Title\nContext\n\ntext"},
                {
                    "type": "file",
                    "file": {
                        "filename": "a.pdf",
                        "file_data": "data:application/pdf;base64,JVBE",
                    },
                },
                {"type": "text", "text": "No."},
            ],
        )
        for part in (
            FilePart(RemoteUrl("https://e.org/a.pdf"), where="W"),
            FilePart(VendorFile("f", "anthropic"), where="W"),
            ImagePart(VendorFile("f", "anthropic"), where="W"),
            OpaquePart("anthropic", "web_search_tool_result", b"{}", where="W"),
        ):
            error = self.assertRaises(ProxyError, self.messages, Message("user", (part,)))
            self.assertEqual((error.kind, error.param), (Kind.UNSUPPORTED_PARAMETER, "W"))

    def test_machinery_blocks(self) -> None:
        """Anthropic's blocks about itself are left out; a compaction is the text it holds."""
        found = self.messages(
            Message(
                "assistant",
                (
                    OpaquePart("anthropic", "fallback", b"{}"),
                    OpaquePart(
                        "anthropic",
                        "server_tool_use",
                        b'{"name":"tool_search_tool_regex"}',
                    ),
                    OpaquePart("anthropic", "compaction", b'{"content":"So far."}'),
                ),
            )
        )
        self.assertEqual(found, [{"role": "assistant", "content": "So far."}])

    def test_limits(self) -> None:
        """The limit's name and bound depend on the model."""
        for model, name, limit in (
            ("gpt-4o", "max_tokens", 16384),
            ("gpt-5.2", "max_completion_tokens", 64000),
            ("openai/o4-mini", "max_completion_tokens", 64000),
            ("gpt-5-chat-latest", "max_tokens", 16384),
            ("gpt-5.2-chat-latest", "max_completion_tokens", 16384),
            ("qwen3-coder", "max_tokens", 64000),
            ("gpt-oss:120b", "max_tokens", 64000),
        ):
            out = built("openai_chat", turn("anthropic", max_tokens=64000), model)
            self.assertEqual(out.get(name), limit, model)
            out = built("openai_responses", turn("anthropic", max_tokens=64000), model)
            self.assertEqual(out.get("max_output_tokens"), limit, model)
        error = self.assertRaises(ProxyError, built, "openai_chat", turn("anthropic", max_tokens=0))
        self.assertEqual(error.param, "max_tokens")

    def test_sampling(self) -> None:
        """Reasoning models get none; ``top_k`` cannot be asked for."""
        asked = turn("anthropic", sampling=Sampling(0.0, 0.5))
        out = built("openai_chat", asked, "gpt-4o")
        self.assertEqual((out["temperature"], out["top_p"]), (0.0, 0.5))
        self.assertFalse({"temperature", "top_p"} & set(built("openai_chat", asked, "o3")))
        error = self.assertRaises(
            ProxyError, built, "openai_chat", turn("anthropic", sampling=Sampling(top_k=3))
        )
        self.assertEqual((error.kind, error.param), (Kind.UNSUPPORTED_PARAMETER, "top_k"))

    def test_reasoning(self) -> None:
        """Budgets and efforts become what the model knows; others hear nothing of it."""
        for model, wish, word in (
            ("gpt-5.2", Reasoning(True, effort="max"), "xhigh"),
            ("gpt-5", Reasoning(True, effort="max"), "high"),
            ("gpt-5", Reasoning(False), "minimal"),
            ("gpt-5.1", Reasoning(False, effort="high"), "none"),
            ("gpt-5-codex", Reasoning(False), "low"),
            ("gpt-5.1-codex", Reasoning(effort="minimal"), "low"),
            ("gpt-5.2-codex", Reasoning(effort="max"), "xhigh"),
            ("gpt-6-astra", Reasoning(False), "low"),
            ("gpt-6-astra", Reasoning(effort="medium"), "medium"),
            ("gpt-5-pro", Reasoning(False), "high"),
            ("gpt-5-pro-2025-10-06", Reasoning(effort="medium"), "high"),
            ("gpt-5-pro", Reasoning(), None),
            ("gpt-5.2-pro", Reasoning(effort="low"), "medium"),
            ("gpt-5.4-pro", Reasoning(effort="max"), "xhigh"),
            ("gpt-5.2-chat-latest", Reasoning(effort="high"), None),
            ("o3-pro", Reasoning(effort="low"), "low"),
            ("o3", Reasoning(False), "low"),
            ("o3", Reasoning(True, 2000), "low"),
            ("o3", Reasoning(True, 10000), "medium"),
            ("o3", Reasoning(True, 31999), "high"),
            ("o3", Reasoning(True), None),
            ("gpt-oss-20b", Reasoning(False), "low"),
            ("gpt-4o", Reasoning(True, effort="high"), None),
            ("llama-4", Reasoning(True, 31999), None),
        ):
            out = built("openai_chat", turn("anthropic", reasoning=wish), model)
            self.assertEqual(out.get("reasoning_effort"), word, (model, wish))
        wished = turn("anthropic", reasoning=Reasoning(True, effort="high", summary="auto"))
        out = built("openai_responses", wished, "gpt-5.2-chat-latest")
        self.assertFalse({"reasoning", "include", "temperature"} & set(out))

    def test_tools(self) -> None:
        """Long names are shortened everywhere alike; strictness only where OpenAI takes it."""
        long = "mcp__" + "x" * 90
        asked = turn(
            "anthropic",
            messages=(Message("assistant", (ToolCallPart("1", long, "{}"),)),),
            tools=(
                FunctionTool(long, "d", b'{"type":"object"}', strict=True),
                FunctionTool("g"),
                CustomTool("p"),
                ServerTool("anthropic", "tool_search_tool_bm25", "s", b"{}", optional=True),
            ),
            tool_choice=ToolChoice("tool", long),
            parallel_tool_calls=False,
        )
        out = built("openai_chat", asked)
        short = short_tool_name(long)
        self.assertEqual(len(short), 64)
        self.assertEqual(asked.original_tool_name(short), long)
        self.assertEqual([tool["function"]["name"] for tool in out["tools"]], [short, "g", "p"])
        self.assertEqual(out["tools"][0]["function"]["strict"], False)
        self.assertEqual(out["tool_choice"]["function"]["name"], short)
        self.assertEqual(out["messages"][0]["tool_calls"][0]["function"]["name"], short)
        self.assertIs(out["parallel_tool_calls"], False)
        server = ServerTool("anthropic", "web_search_20250305", "w", b"{}", where="tools[0]")
        error = self.assertRaises(
            ProxyError, built, "openai_chat", turn("anthropic", tools=(server,))
        )
        self.assertEqual(error.param, "tools[0]")

    def test_schemas_of_functions(self) -> None:
        """Both of OpenAI's APIs get an object with properties, as they want it; others stay as spelled."""
        nothing = {"type": "object", "properties": {}}
        whole = b'{"properties": {"n": {"maximum": 1.50}}, "type": "object"}'
        for given, sent in (
            (None, nothing),
            (b'{"type":"object"}', nothing),
            (b"{}", nothing),
            (b'{"$schema":"s","type":"object"}', nothing | {"$schema": "s"}),
            (b'{"properties":{"n":{}}}', {"type": "object", "properties": {"n": {}}}),
            (whole, json.loads(whole)),
        ):
            asked = turn("anthropic", tools=(FunctionTool("f", None, given),))
            [chat] = built("openai_chat", asked)["tools"]
            [responses] = built("openai_responses", asked)["tools"]
            self.assertEqual(chat["function"]["parameters"], sent)
            self.assertEqual(responses["parameters"], sent)
        body = DIALECTS["openai_chat"].build_request(asked, model="m", stream=False)
        self.assertIn(whole, body)

    def test_parallel_calls(self) -> None:
        """The o-series takes no word about them in this API."""
        asked = turn("anthropic", tools=(FunctionTool("f"),), parallel_tool_calls=False)
        for model, taken in (("gpt-5", True), ("gpt-4o", True), ("o3-mini", False), ("o1", False)):
            self.assertIs("parallel_tool_calls" in built("openai_chat", asked, model), taken)
            self.assertIn("parallel_tool_calls", built("openai_responses", asked, model))

    def test_choices(self) -> None:
        """All forms; none without tools."""
        for choice, said in (
            (ToolChoice("auto"), "auto"),
            (ToolChoice("required"), "required"),
            (ToolChoice("none"), "none"),
            (ToolChoice("tool", "f"), {"type": "function", "function": {"name": "f"}}),
            (
                ToolChoice("auto", allowed=("f",)),
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "f"}}],
                    },
                },
            ),
        ):
            asked = turn("anthropic", tools=(FunctionTool("f"),), tool_choice=choice)
            self.assertEqual(built("openai_chat", asked)["tool_choice"], said)
        bare = built("openai_chat", turn("anthropic", tool_choice=ToolChoice("auto")))
        self.assertNotIn("tool_choice", bare)

    def test_output(self) -> None:
        """A schema is strict where it meets OpenAI's rules."""
        closed = (
            b'{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}'
        )
        loose = b'{"type":"object","properties":{"a":{}},"additionalProperties":false}'
        for schema, strict in ((closed, True), (loose, False)):
            shape = OutputFormat("json_schema", schema=schema, strict=True)
            out = built("openai_chat", turn("anthropic", output=shape))["response_format"]
            self.assertEqual(
                out["json_schema"],
                {"name": "answer", "schema": json.loads(schema), "strict": strict},
            )

    def test_stream(self) -> None:
        """A stream is asked for with its usage, whether the caller wants to see it or not."""
        out = built("openai_chat", turn("anthropic"), stream=True)
        self.assertEqual((out["stream"], out["stream_options"]), (True, {"include_usage": True}))
        self.assertNotIn("stream", built("openai_chat", turn("anthropic", stream=True)))

    def test_usage_unasked(self) -> None:
        """Mistral's own server answers 422 to who asks for what it tells anyway; others that run its models under the
        same names tell it to nobody else.
        """
        for server, asked in (
            ("https://api.mistral.ai", False),
            ("https://API.Mistral.ai:443", False),
            ("https://mistral.ai", False),
            ("https://gateway.ai.cloudflare.com/v1/account/gateway/mistral", False),
            ("https://gateway.example/mistral/x", False),
            ("", True),
            ("http://127.0.0.1:11434", True),
            ("http://mistral:8000", True),
            ("http://mistral.ai.example", True),
            ("http://notmistral.ai", True),
            ("https://api.example/mistral.ai", True),
            ("https://api.example/mistral-7b", True),
        ):
            for model in ("mistral-large-latest", "devstral-small-2507", "ft:open-mistral-7b:me"):
                sent = built("openai_chat", turn("anthropic"), model, stream=True, server=server)
                self.assertIs(sent["stream"], True)
                self.assertEqual("stream_options" in sent, asked, server)

    def test_user(self) -> None:
        """Claude Code's long user id, which names a device and an account, goes nowhere."""
        self.assertEqual(built("openai_chat", turn("anthropic", user="u"))["user"], "u")
        self.assertNotIn("user", built("openai_chat", turn("anthropic", user="u" * 65)))
