"""Anthropic requests, read and written."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.anthropic_conversation import OPENING
from clawproxy.core.dialects.dialect import DIALECTS
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
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ServerTool, ToolChoice
from clawproxy.core.dialects.turn import OutputFormat, Reasoning, Sampling
from clawproxy.core.errors import Kind, ProxyError
from tests.core.dialects.transcripts import built, request, turn

OLD, NEW = "claude-sonnet-4-5", "claude-opus-5"


def user(*content: dict[str, Any]) -> dict[str, Any]:
    """Return a request body of one message."""
    return {"messages": [{"role": "user", "content": list(content)}]}


HELLO = [{"role": "user", "content": "Hello"}]


class ParseTests(SynchronousTestCase):
    """What a caller of the Messages API says."""

    def refused(self, body: dict[str, Any], param: str, kind: Kind) -> ProxyError:
        """Assert that a request is refused because of a field."""
        error: ProxyError = self.assertRaises(ProxyError, request, "anthropic", body)
        self.assertEqual((error.kind, error.param), (kind, param))
        return error

    def test_system(self) -> None:
        """Parts stay apart and in order, with their marks."""
        asked = request(
            "anthropic",
            {
                "system": [
                    {"type": "text", "text": "x-anthropic-billing-header: cc"},
                    {"type": "text", "text": "You.", "cache_control": {"type": "ephemeral"}},
                    {
                        "type": "text",
                        "text": "More.",
                        "cache_control": {"type": "ephemeral", "ttl": "1h"},
                    },
                ]
            },
        )
        self.assertEqual(
            asked.system,
            (
                TextPart("x-anthropic-billing-header: cc"),
                TextPart("You.", CacheControl()),
                TextPart("More.", CacheControl("1h")),
            ),
        )
        self.assertEqual(request("anthropic", {"system": "You."}).system, (TextPart("You."),))

    def test_system_message_in_the_middle(self) -> None:
        """A message of the role ``system`` stays where it is."""
        asked = request(
            "anthropic",
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "system", "content": [{"type": "text", "text": "b"}]},
                    {"role": "assistant", "content": "c"},
                ]
            },
        )
        self.assertEqual([m.role for m in asked.messages], ["user", "system", "assistant"])

    def test_blocks(self) -> None:
        """Every block that other dialects know has its part."""
        source = {"type": "base64", "media_type": "image/png", "data": "AA=="}
        asked = request(
            "anthropic",
            user(
                {"type": "image", "source": source},
                {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
                {
                    "type": "document",
                    "title": "A",
                    "context": "B",
                    "citations": {"enabled": True},
                    "source": {"type": "text", "media_type": "text/plain", "data": "C"},
                },
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "D"}]},
                },
                {
                    "type": "search_result",
                    "source": "https://e.org",
                    "title": "E",
                    "content": [{"type": "text", "text": "F"}],
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "G"},
                        {"type": "image", "source": source},
                        {"type": "tool_reference", "tool_name": "grep"},
                    ],
                },
                {"type": "tool_result", "tool_use_id": "t2"},
                {"type": "novelty", "of": 1e3},
            ),
        )
        at = "messages[0].content[{}]".format
        image = ImagePart(InlineData("image/png", "AA=="), where=at(0))
        self.assertEqual(
            asked.messages[0].parts,
            (
                image,
                ImagePart(RemoteUrl("https://e.org/a.png"), where=at(1)),
                ImagePart(VendorFile("file_1", "anthropic"), where=at(2)),
                FilePart(PlainText("C"), "A", "B", True, where=at(3)),
                TextPart("D"),
                TextPart("E\nhttps://e.org\n\nF"),
                ToolResultPart(
                    "t1",
                    (
                        TextPart("G"),
                        ImagePart(InlineData("image/png", "AA=="), where=at(6) + ".content[1]"),
                        TextPart("The tool grep is available."),
                    ),
                    is_error=True,
                ),
                ToolResultPart("t2"),
                OpaquePart("anthropic", "novelty", b'{"type": "novelty", "of": 1000.0}', at(8)),
            ),
        )

    def test_assistant(self) -> None:
        """Thinking keeps its seal, calls keep the spelling of their input."""
        body = (
            b'{"model":"m","messages":[{"role":"assistant","content":['
            b'{"type":"thinking","thinking":"Hm.","signature":"EqQB"},'
            b'{"type":"redacted_thinking","data":"zz"},'
            b'{"type":"tool_use","id":"t","name":"f",'
            b'"input":{"big": 123456789012345678901234567890, "e": 1e400, "r": 1.10}}]}]}'
        )
        asked = DIALECTS["anthropic"].parse_request(body, [])
        self.assertEqual(
            asked.messages[0].parts,
            (
                ThinkingPart("anthropic", "Hm.", "EqQB"),
                ThinkingPart("anthropic", redacted="zz"),
                ToolCallPart(
                    "t", "f", '{"big": 123456789012345678901234567890, "e": 1e400, "r": 1.10}'
                ),
            ),
        )
        for dialect in ("anthropic", "openai_chat"):
            sent = DIALECTS[dialect].build_request(asked, model="m", stream=False)
            self.assertIn(b"123456789012345678901234567890", sent)
            self.assertIn(b"1e400", sent)
            self.assertIn(b"1.10", sent)

    def test_options(self) -> None:
        """Tools, choice, sampling, thinking, format and user find their places."""
        asked = request(
            "anthropic",
            {
                "max_tokens": 99,
                "stop_sequences": ["END"],
                "temperature": 0,
                "top_p": 0.5,
                "top_k": 7,
                "stream": True,
                "tools": [
                    {"name": "f", "description": "d", "input_schema": {"type": "object"}},
                    {"type": "web_search_20250305", "name": "web_search"},
                    {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
                ],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
                "thinking": {"type": "enabled", "budget_tokens": 2048},
                "output_config": {
                    "effort": "high",
                    "format": {"type": "json_schema", "schema": {"type": "object"}},
                },
                "metadata": {"user_id": "u"},
                "context_management": {"edits": []},
                "speed": "fast",
            },
        )
        tool, search, finder = asked.tools
        self.assertEqual(tool, FunctionTool("f", "d", b'{"type": "object"}'))
        assert isinstance(search, ServerTool) and isinstance(finder, ServerTool)
        self.assertEqual((search.where, search.optional), ("tools[1]", False))
        self.assertTrue(finder.optional)
        self.assertEqual(asked.tool_choice, ToolChoice("required"))
        self.assertIs(asked.parallel_tool_calls, False)
        self.assertEqual(asked.sampling, Sampling(0.0, 0.5, 7))
        self.assertEqual(asked.reasoning, Reasoning(True, 2048, "high"))
        self.assertEqual(
            asked.output, OutputFormat("json_schema", schema=b'{"type": "object"}', strict=True)
        )
        self.assertEqual((asked.max_tokens, asked.stop_sequences), (99, ("END",)))
        self.assertEqual((asked.user, asked.stream), ("u", True))
        self.assertEqual(set(asked.extras), {"context_management", "speed"})

    def test_tool_choices(self) -> None:
        """All four forms."""
        for said, meant in (
            ({"type": "auto"}, ToolChoice("auto")),
            ({"type": "any"}, ToolChoice("required")),
            ({"type": "none"}, ToolChoice("none")),
            ({"type": "tool", "name": "f"}, ToolChoice("tool", "f")),
        ):
            self.assertEqual(request("anthropic", {"tool_choice": said}).tool_choice, meant)

    def test_client_tools(self) -> None:
        """What the client runs can be offered to anybody; what Anthropic runs cannot."""
        for kind, name, member in (
            ("bash_20250124", "bash", "restart"),
            ("text_editor_20250728", "str_replace_based_edit_tool", "old_str"),
            ("text_editor_20250124", "str_replace_editor", "view_range"),
            ("memory_20250818", "memory", "old_path"),
        ):
            tool = {"type": kind, "name": name, "cache_control": {"type": "ephemeral"}}
            asked = request("anthropic", {"messages": HELLO, "tools": [tool]})
            [chat] = built("openai_chat", asked)["tools"]
            [responses] = built("openai_responses", asked)["tools"]
            self.assertEqual((chat["function"]["name"], responses["name"]), (name, name))
            self.assertEqual(chat["function"]["parameters"], responses["parameters"])
            self.assertIn(member, responses["parameters"]["properties"])
            self.assertTrue(responses["description"])
            self.assertEqual(built("anthropic", asked)["tools"], [tool])
        for kind in ("computer_20250124", "bash_code_execution", "web_fetch_20250910"):
            asked = request(
                "anthropic", {"messages": HELLO, "tools": [{"type": kind, "name": "x"}]}
            )
            error = self.assertRaises(ProxyError, built, "openai_chat", asked)
            self.assertEqual(error.param, "tools[0]")

    def test_threads(self) -> None:
        """A thread's continuation is refused in the words on which clients send everything."""
        for thread in (
            {"type": "continue", "previous_message_id": "msg_1"},
            {"type": "create"},
        ):
            error = self.refused({"thread": thread}, "thread", Kind.UNSUPPORTED_PARAMETER)
            self.assertEqual(error.details, {"error_code": "thread_unsupported_request"})
            self.assertEqual(
                error.message, "capability_rejected: beta_header:message-threads-2026-08-12"
            )
        self.assertEqual(request("anthropic", {"thread": None}).extras, {})

    def test_refused(self) -> None:
        """What only Anthropic can do is refused by name; nothing asked for is nothing refused."""
        for name, value in (
            ("mcp_servers", [{"url": "https://e.org"}]),
            ("container", "c"),
            ("inference_geo", "us"),
        ):
            self.refused({name: value}, name, Kind.UNSUPPORTED_PARAMETER)
        request("anthropic", {"mcp_servers": [], "container": None})

    def test_wrong(self) -> None:
        """Wrong types are named with their path."""
        for body, param in (
            ({"max_tokens": "9"}, "max_tokens"),
            ({"temperature": "hot"}, "temperature"),
            ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
            ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
            (user({"type": "text", "text": 7}), "messages[0].content[0].text"),
            ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
        ):
            self.refused(body, param, Kind.INVALID_REQUEST)
        self.refused({"model": 7}, "model", Kind.MISSING_FIELD)
        self.refused({"messages": "x"}, "messages", Kind.MISSING_FIELD)
        self.refused(user({"type": "text"}), "messages[0].content[0].text", Kind.MISSING_FIELD)
        for text in (b"", b"[]", b"{", b"7", b"\xff", b'{"a":NaN}', b'{"a":' * 9999):
            error = self.assertRaises(ProxyError, DIALECTS["anthropic"].parse_request, text, [])
            self.assertEqual(error.kind, Kind.INVALID_JSON)


class BuildTests(SynchronousTestCase):
    """What an Anthropic upstream is asked."""

    def test_system_messages(self) -> None:
        """Leading ones become ``system``; later ones stay if the model takes them there."""
        messages = tuple(
            Message(role, (TextPart(text),))  # type: ignore[arg-type]
            for role, text in (
                ("system", "a"),
                ("developer", "b"),
                ("user", "c"),
                ("developer", "d"),
                ("assistant", "e"),
                ("system", "f"),
            )
        )
        asked = turn("openai_chat", messages=messages, system=(TextPart("0"),))
        new = built("anthropic", asked, "claude-opus-4-8")
        self.assertEqual([part["text"] for part in new["system"]], ["0", "a", "b"])
        self.assertEqual(
            [(m["role"], m["content"][0]["text"]) for m in new["messages"]],
            [
                ("user", "c"),
                ("system", "d"),
                ("assistant", "e"),
                ("user", "<system>\nf\n</system>"),
            ],
        )
        old = built("anthropic", asked, OLD)
        self.assertEqual([m["role"] for m in old["messages"]], ["user", "assistant", "user"])
        self.assertEqual(old["messages"][0]["content"][1]["text"], "<system>\nd\n</system>")

    def test_roles_are_joined(self) -> None:
        """Messages of one role become one, results first; empty text is left out."""
        messages = (
            Message("assistant", (ToolCallPart("call:1", "f", ""), ToolCallPart("b", "f", "{"))),
            Message("user", (TextPart("and"), TextPart(" \n"))),
            Message("user", (ToolResultPart("call:1"), ToolResultPart("b", is_error=True))),
        )
        out = built("anthropic", turn("openai_chat", messages=messages))["messages"]
        self.assertEqual([m["role"] for m in out], ["user", "assistant", "user"])
        self.assertEqual(out[0]["content"][0]["text"], OPENING)
        self.assertEqual(
            out[1]["content"],
            [
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {"raw_arguments": "{"}},
            ],
        )
        self.assertEqual(
            out[2]["content"],
            [
                {"type": "tool_result", "tool_use_id": "call_1"},
                {
                    "type": "tool_result",
                    "tool_use_id": "b",
                    "content": [{"type": "text", "text": "The tool failed."}],
                    "is_error": True,
                },
                {"type": "text", "text": "and"},
            ],
        )

    def test_ids_of_calls(self) -> None:
        """Each is allowed and one of a kind, and results know their call by it."""
        messages: list[Message] = []
        for pair in (("call_0", "call_1"), ("call_0", "call:0"), ("call_0", "toolu_1")):
            messages += (
                Message("assistant", tuple(ToolCallPart(name, "f", "{}") for name in pair)),
                Message("user", tuple(ToolResultPart(name) for name in reversed(pair))),
            )
        out = built("anthropic", turn("openai_chat", messages=tuple(messages)))["messages"][1:]
        told = [[block["id"] for block in message["content"]] for message in out[::2]]
        answered = [[block["tool_use_id"] for block in message["content"]] for message in out[1::2]]
        self.assertEqual(answered, [ids[::-1] for ids in told])
        self.assertEqual(told[0], ["call_0", "call_1"])
        self.assertEqual(told[2][1], "toolu_1")
        flat = [name for ids in told for name in ids]
        self.assertEqual(len(set(flat)), 6)
        for name in flat:
            self.assertRegex(name, "^[a-zA-Z0-9_-]+$")

    def test_last_words(self) -> None:
        """Newer models want them to be the user's; older ones go on where the assistant stopped."""
        said = (Message("user", (TextPart("a"),)), Message("assistant", (TextPart("b \n"),)))
        for model, roles in (
            (NEW, ["user", "assistant", "user"]),
            ("claude-opus-4-6", ["user", "assistant", "user"]),
            (OLD, ["user", "assistant"]),
            ("glm-5", ["user", "assistant"]),
        ):
            messages = built("anthropic", turn("openai_chat", messages=said), model)["messages"]
            self.assertEqual([message["role"] for message in messages], roles)
            self.assertEqual(messages[1]["content"][-1]["text"], "b")
        call = Message("assistant", (ToolCallPart("a", "f", "{}"),))
        messages = built("anthropic", turn("openai_chat", messages=(*said, call)), NEW)["messages"]
        self.assertEqual(messages[-1]["role"], "assistant")

    def test_files(self) -> None:
        """PDFs and texts are documents; what Anthropic cannot read is refused with its place."""
        parts = (
            FilePart(InlineData("application/pdf", "JVBE"), "a.pdf", cache=CacheControl("1h")),
            FilePart(InlineData("text/csv", "YSxi"), "b.csv"),
            FilePart(RemoteUrl("https://e.org/c.pdf")),
        )
        content = built("anthropic", turn("openai_chat", messages=(Message("user", parts),)))[
            "messages"
        ][0]["content"]
        self.assertEqual(
            content,
            [
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                    "title": "a.pdf",
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                },
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "a,b"},
                    "title": "b.csv",
                },
                {"type": "document", "source": {"type": "url", "url": "https://e.org/c.pdf"}},
            ],
        )
        for source in (InlineData("application/zip", "UEs="), VendorFile("f", "openai_chat")):
            asked = turn("openai_chat", messages=(Message("user", (FilePart(source, where="W"),)),))
            error = self.assertRaises(ProxyError, built, "anthropic", asked)
            self.assertEqual((error.kind, error.param), (Kind.UNSUPPORTED_PARAMETER, "W"))

    def test_pictures(self) -> None:
        """Anthropic answers 400 to a picture that is called otherwise than it is; OpenAI does not care."""
        jpeg, png = "/9j/4AAQSkZJRgABAQ==", "iVBORw0KGgoAAAANSUhEUg=="
        for said, data, sent in (
            ("image/jpg", "AAAA", "image/jpeg"),
            ("image/png", jpeg, "image/jpeg"),
            ("application/octet-stream", png, "image/png"),
            ("image/webp", "R0lGODlhAQABAAAAACw=", "image/gif"),
            ("image/png", "UklGRiQAAABXRUJQVlA4IA==", "image/webp"),
            ("image/png", "UklGRiQAAABXQVZFZm10IA==", "image/png"),
            ("image/heic", "AAAA", "image/heic"),
            ("image/png", "é", "image/png"),
        ):
            url = {"url": f"data:{said};base64,{data}"}
            part = {"type": "image_url", "image_url": url}
            asked = request("openai_chat", {"messages": [{"role": "user", "content": [part]}]})
            source = built("anthropic", asked)["messages"][0]["content"][0]["source"]
            self.assertEqual((source["media_type"], source["data"]), (sent, data))

    def test_document_as_picture(self) -> None:
        """Clients of gateways send documents where pictures stand."""
        url = {"url": "data:application/pdf;base64,JVBE"}
        part = {"type": "image_url", "image_url": url}
        asked = request("openai_chat", {"messages": [{"role": "user", "content": [part]}]})
        self.assertEqual(
            built("anthropic", asked)["messages"][0]["content"],
            [
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                }
            ],
        )

    def test_thinking_that_nothing_follows(self) -> None:
        """A limit cut the answer in it, and the API refuses a message that ends in it."""
        thought = ThinkingPart("anthropic", "Hm", signature="s")
        hidden = ThinkingPart("anthropic", redacted="r")
        words = TextPart("go")
        for said, kinds in (
            ((thought,), None),
            ((thought, hidden), None),
            ((thought, TextPart("Yes"), hidden), ["thinking", "text"]),
            ((thought, ToolCallPart("a", "f", "{}")), ["thinking", "tool_use"]),
        ):
            asked = turn(
                "openai_responses",
                messages=(
                    Message("user", (words,)),
                    Message("assistant", said),
                    Message("user", (words,)),
                ),
            )
            sent = built("anthropic", asked, "claude-opus-4-8")["messages"]
            if kinds is None:
                self.assertEqual([one["role"] for one in sent], ["user"])
                self.assertEqual([block["text"] for block in sent[0]["content"]], ["go", "go"])
            else:
                self.assertEqual([block["type"] for block in sent[1]["content"]], kinds)

    def test_thinking_history(self) -> None:
        """Anthropic's sealed thinking goes back to it; other vendors' and unsealed goes nowhere."""
        parts = (
            ThinkingPart("anthropic", "a", "sig"),
            ThinkingPart("anthropic", redacted="zz"),
            ThinkingPart("anthropic", "unsealed"),
            ThinkingPart("openai_responses", "b", "enc"),
            ThinkingPart("openai_chat", "c"),
            RefusalPart("No."),
        )
        out = built(
            "anthropic",
            turn("anthropic", messages=(*turn("anthropic").messages, Message("assistant", parts))),
        )
        self.assertEqual(
            out["messages"][1]["content"],
            [
                {"type": "thinking", "thinking": "a", "signature": "sig"},
                {"type": "redacted_thinking", "data": "zz"},
                {"type": "text", "text": "No."},
            ],
        )

    def test_max_tokens(self) -> None:
        """A limit is filled in where the caller gave none."""
        for model, limit in (
            ("claude-3-haiku-20240307", 4096),
            ("claude-3-5-sonnet-20241022", 8192),
            (OLD, 32000),
            (NEW, 32000),
            ("glm-5", 8192),
        ):
            self.assertEqual(built("anthropic", turn("openai_chat"), model)["max_tokens"], limit)
        self.assertEqual(built("anthropic", turn("openai_chat", max_tokens=5))["max_tokens"], 5)
        for model, limit in (
            ("claude-3-haiku-20240307", 4096),
            ("claude-3-5-haiku-latest", 8192),
            ("claude-3-7-sonnet-20250219", 64000),
            ("claude-opus-4-1-20250805", 32000),
            ("claude-sonnet-4-20250514", 64000),
            ("claude-opus-4-5", 64000),
            (NEW, 200_000),
            ("glm-5", 200_000),
        ):
            much = turn("openai_chat", max_tokens=200_000)
            self.assertEqual(built("anthropic", much, model)["max_tokens"], limit, model)

    def test_sampling(self) -> None:
        """Left out where version or model refuse it, refused where it cannot be said."""
        asked = turn("openai_chat", sampling=Sampling(0.5, 1.0, 4, 0.0, None, 7, b"{}"))
        names = {"temperature", "top_p", "top_k"}
        self.assertEqual(names & set(built("anthropic", asked, OLD)), {"temperature", "top_k"})
        for out in (
            built("anthropic", asked, OLD, api_version="2026-10-21"),
            built("anthropic", asked, NEW, api_version="2023-06-01"),
        ):
            self.assertFalse(names & set(out))
        both = turn("openai_chat", sampling=Sampling(0.5, 0.9))
        for model, names in (
            ("claude-sonnet-4-20250514", {"temperature", "top_p"}),
            ("claude-opus-4-1", {"temperature"}),
            (OLD, {"temperature"}),
            ("glm-5", {"temperature", "top_p"}),
        ):
            self.assertEqual({"temperature", "top_p"} & set(built("anthropic", both, model)), names)
        alone = turn("openai_chat", sampling=Sampling(top_p=0.9))
        self.assertEqual(built("anthropic", alone, OLD)["top_p"], 0.9)
        for name, sampling in (
            ("temperature", Sampling(temperature=1.5)),
            ("frequency_penalty", Sampling(frequency_penalty=0.1)),
            ("presence_penalty", Sampling(presence_penalty=-1.0)),
            ("logit_bias", Sampling(logit_bias=b'{"1":2}')),
        ):
            hot = turn("openai_chat", sampling=sampling)
            error = self.assertRaises(ProxyError, built, "anthropic", hot, OLD)
            self.assertEqual((error.kind, error.param), (Kind.UNSUPPORTED_PARAMETER, name))

    def test_stop_sequences(self) -> None:
        """Whitespace alone cannot be asked for, and the caller's own field is named."""
        out = built("anthropic", turn("openai_chat", stop_sequences=("END", "#")))
        self.assertEqual(out["stop_sequences"], ["END", "#"])
        error = self.assertRaises(
            ProxyError, built, "anthropic", turn("openai_chat", stop_sequences=("\n",))
        )
        self.assertEqual(error.param, "stop")

    def test_thinking(self) -> None:
        """Effort becomes adaptive thinking or a budget, whichever the model knows."""

        def thinking(model: str, wish: Reasoning, **fields: Any) -> tuple[Any, Any]:
            out = built("anthropic", turn("openai_chat", reasoning=wish, **fields), model)
            return out.get("thinking"), out.get("output_config")

        high = Reasoning(effort="high")
        self.assertEqual(thinking(NEW, high), ({"type": "adaptive"}, {"effort": "high"}))
        self.assertEqual(thinking(OLD, high), ({"type": "enabled", "budget_tokens": 16000}, None))
        self.assertEqual(thinking(OLD, high, max_tokens=100), (None, None))
        self.assertEqual(
            thinking(OLD, Reasoning(True, 5000), max_tokens=5001),
            ({"type": "enabled", "budget_tokens": 5000}, None),
        )
        self.assertEqual(thinking(NEW, Reasoning(False)), ({"type": "disabled"}, None))
        self.assertEqual(thinking(NEW, Reasoning()), (None, None))
        self.assertEqual(thinking("claude-3-haiku-20240307", high), (None, None))
        forced = ToolChoice("required")
        tools = (FunctionTool("f"),)
        self.assertIsNone(thinking(NEW, high, tools=tools, tool_choice=forced)[0])
        loop = (
            Message("user", (TextPart("go"),)),
            Message("assistant", (ToolCallPart("a", "f", "{}"),)),
            Message("user", (ToolResultPart("a"),)),
        )
        self.assertEqual(thinking(OLD, high, messages=loop), (None, None))

    def test_tools(self) -> None:
        """Functions, stand-ins for custom tools, forms of the choice, other vendors' tools."""
        asked = turn(
            "openai_chat",
            tools=(
                FunctionTool("f", "d", b'{"type":"object","properties":{}}', True),
                FunctionTool("g", parameters=b'{"properties":{"n":{"maximum":1e400}}}'),
                CustomTool("patch", "p"),
                ServerTool("openai_responses", "web_search", "w", b"{}", optional=True),
            ),
            parallel_tool_calls=False,
        )
        sent = DIALECTS["anthropic"].build_request(asked, model="m", stream=False)
        self.assertIn(b'"maximum":1e400', sent)
        tools = json.loads(sent.replace(b"1e400", b"1"))["tools"]
        self.assertEqual([tool["name"] for tool in tools], ["f", "g", "patch"])
        self.assertIs(tools[0]["strict"], True)
        self.assertEqual({tool["input_schema"]["type"] for tool in tools}, {"object"})
        self.assertEqual(
            built("anthropic", asked)["tool_choice"],
            {"type": "auto", "disable_parallel_tool_use": True},
        )
        only = turn(
            "openai_chat",
            tools=(FunctionTool("f"), FunctionTool("g")),
            tool_choice=ToolChoice("required", allowed=("g",)),
        )
        out = built("anthropic", only)
        self.assertEqual([tool["name"] for tool in out["tools"]], ["g"])
        self.assertEqual(out["tool_choice"], {"type": "any"})
        server = ServerTool("openai_responses", "file_search", "w", b"{}", where="tools[0]")
        error = self.assertRaises(
            ProxyError, built, "anthropic", turn("openai_responses", tools=(server,))
        )
        self.assertEqual(error.param, "tools[0]")

    def test_strict_tools(self) -> None:
        """The guarantee is left out where Anthropic would refuse the request for it."""

        def strict(model: str, *schemas: bytes) -> list[bool]:
            tools = tuple(FunctionTool(f"f{n}", None, s, True) for n, s in enumerate(schemas))
            out = built("anthropic", turn("openai_chat", tools=tools), model)
            return [tool.get("strict", False) for tool in out["tools"]]

        plain = b'{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
        self.assertEqual(strict(OLD, plain, plain), [True, True])
        self.assertEqual(strict("claude-sonnet-4-20250514", plain), [False])
        self.assertEqual(strict(NEW, *[plain] * 20), [True] * 20)
        self.assertEqual(strict(NEW, *[plain] * 21), [False] * 21)
        free = b'{"type":"object","properties":{"env":{"type":"object"}},"required":["env"]}'
        self.assertEqual(strict(NEW, plain, free), [True, False])
        loose = plain.replace(b'"required":["n"]', b'"required":[]')
        self.assertEqual(strict(NEW, *[loose] * 13), [True] * 13)
        union = plain.replace(b'"integer"', b'["integer","null"]')
        self.assertEqual(strict(NEW, *[union] * 17), [False] * 17)
        tool = FunctionTool("f", None, plain.replace(b'"integer"', b'"integer","minimum":1'), True)
        [sent] = built("anthropic", turn("openai_chat", tools=(tool,)), NEW)["tools"]
        self.assertEqual(
            sent["input_schema"]["properties"]["n"],
            {"type": "integer", "description": "{minimum: 1}"},
        )
        self.assertIs(sent["input_schema"]["additionalProperties"], False)

    def test_output(self) -> None:
        """A schema is Anthropic's format; JSON without one cannot be asked for."""
        schema = (
            b'{"type":"object","properties":{"n":{"type":"integer"}},"additionalProperties":false}'
        )
        shape = OutputFormat("json_schema", "n", schema, True)
        self.assertEqual(
            built("anthropic", turn("openai_chat", output=shape))["output_config"],
            {"format": {"type": "json_schema", "schema": json.loads(schema)}},
        )
        for anything in (b'{"type":"object"}', b'{"type":"array","items":{"type":"object"}}'):
            shape = OutputFormat("json_schema", "n", anything)
            error = self.assertRaises(
                ProxyError, built, "anthropic", turn("openai_chat", output=shape)
            )
            self.assertEqual(error.param, "response_format")
        error = self.assertRaises(
            ProxyError,
            built,
            "anthropic",
            turn("openai_chat", output=OutputFormat("json_object")),
        )
        self.assertEqual(error.param, "response_format")

    def test_user(self) -> None:
        """The end user's name is passed on, unless it is longer than the API takes."""
        self.assertEqual(
            built("anthropic", turn("openai_chat", user="u"))["metadata"], {"user_id": "u"}
        )
        self.assertNotIn("metadata", built("anthropic", turn("openai_chat", user="u" * 257)))
