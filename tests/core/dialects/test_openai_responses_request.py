"""Responses requests are read into turns, as Codex and the SDKs send them."""

from __future__ import annotations

import json
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.openai_responses_request import ResponsesTurn, parse_request
from clawproxy.core.dialects.openai_responses_tools import (
    BuiltIn,
    GroupedCustom,
    GroupedFunction,
    flat_name,
)
from clawproxy.core.dialects.parts import (
    CacheControl,
    FilePart,
    ImagePart,
    InlineData,
    Message,
    OpaquePart,
    RefusalPart,
    RemoteUrl,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    VendorFile,
)
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ServerTool, ToolChoice
from clawproxy.core.dialects.turn import OutputFormat, Reasoning
from clawproxy.core.errors import Kind, ProxyError


def read(**members: Any) -> ResponsesTurn:
    """Read a request that has these members."""
    return parse_request(json.dumps({"model": "m", "input": "Hi"} | members).encode())


def items(*given: Any) -> tuple[Message, ...]:
    """Read an input of these items."""
    return read(input=list(given)).messages


def call(identifier: str = "c1", **more: Any) -> dict[str, Any]:
    """Write a call of the history."""
    return {"type": "function_call", "call_id": identifier, "name": "f", "arguments": "{}", **more}


def answer(output: Any = "ok", identifier: str = "c1") -> dict[str, Any]:
    """Write an answer to a call."""
    return {"type": "function_call_output", "call_id": identifier, "output": output}


class MembersTests(SynchronousTestCase):
    """The members beside the input."""

    def test_everything(self) -> None:
        """Each member finds its place."""
        turn = read(
            instructions="Be brief.",
            max_output_tokens=50,
            temperature=0.5,
            top_p=0.9,
            stream=True,
            parallel_tool_calls=False,
            reasoning={"effort": "high", "summary": "auto"},
            text={"verbosity": "low", "format": {"type": "text"}},
            metadata={"a": "b"},
            user="u",
            store=False,
            include=["reasoning.encrypted_content"],
            prompt_cache_key="k",
            client_metadata={"x": 1},
        )
        self.assertEqual(turn.dialect, "openai_responses")
        self.assertEqual(turn.system, (TextPart("Be brief."),))
        self.assertEqual(turn.messages, (Message("user", (TextPart("Hi"),)),))
        self.assertEqual((turn.max_tokens, turn.stream), (50, True))
        self.assertEqual((turn.sampling.temperature, turn.sampling.top_p), (0.5, 0.9))
        self.assertIs(turn.parallel_tool_calls, False)
        self.assertEqual(turn.reasoning, Reasoning(effort="high", summary="auto"))
        self.assertEqual((turn.verbosity, turn.output), ("low", OutputFormat("text")))
        self.assertEqual((turn.metadata, turn.user), (b'{"a": "b"}', "u"))
        self.assertEqual(
            turn.extras,
            {"store": b"false", "prompt_cache_key": b'"k"', "client_metadata": b'{"x": 1}'},
        )
        self.assertEqual(turn.echo["reasoning"], b'{"effort": "high", "summary": "auto"}')

    def test_missing_and_wrong(self) -> None:
        """What is missing or of the wrong type is named."""
        for body, kind, param in (
            (b"", Kind.INVALID_JSON, None),
            (b"[]", Kind.INVALID_JSON, None),
            (b'{"input": "x"}', Kind.MISSING_FIELD, "model"),
            (b'{"model": 1, "input": "x"}', Kind.MISSING_FIELD, "model"),
            (b'{"model": "m"}', Kind.MISSING_FIELD, "input"),
            (b'{"model": "m", "input": 5}', Kind.INVALID_REQUEST, "input"),
            (b'{"model": "m", "input": ["x"]}', Kind.INVALID_REQUEST, "input[0]"),
            (b'{"model": "m", "input": [{"role": "x"}]}', Kind.INVALID_REQUEST, "input[0].role"),
            (
                b'{"model": "m", "input": [{"role": "user"}]}',
                Kind.MISSING_FIELD,
                "input[0].content",
            ),
            (
                b'{"model": "m", "input": "", "tools": [{}]}',
                Kind.MISSING_FIELD,
                "tools[0].type",
            ),
            (
                b'{"model": "m", "input": "", "tools": [{"type": "function"}]}',
                Kind.MISSING_FIELD,
                "tools[0].name",
            ),
            (
                b'{"model": "m", "input": "", "reasoning": {"effort": "heroic"}}',
                Kind.INVALID_REQUEST,
                "reasoning.effort",
            ),
            (
                b'{"model": "m", "input": "", "tool_choice": "maybe"}',
                Kind.INVALID_REQUEST,
                "tool_choice",
            ),
        ):
            with self.subTest(body=body), self.assertRaises(ProxyError) as caught:
                parse_request(body)
            self.assertEqual((caught.exception.kind, caught.exception.param), (kind, param))

    def test_effort_none(self) -> None:
        """Effort ``none`` turns thinking off."""
        self.assertEqual(
            read(reasoning={"effort": "none"}).reasoning, Reasoning(enabled=False, effort="none")
        )

    def test_schema_keeps_its_spelling(self) -> None:
        """Schemas travel as they were written, numbers of any size included."""
        raw = (
            b'{"model":"m","input":"","tools":[{"type":"function","name":"f","parameters":'
            b'{"maximum":123456789012345678901234567890,"x":1e400}}],"text":{"format":'
            b'{"type":"json_schema","name":"n","schema":{"const":1.10},"strict":true}}}'
        )
        turn = parse_request(raw)
        tool = turn.tools[0]
        assert isinstance(tool, FunctionTool)
        self.assertEqual(tool.parameters, b'{"maximum":123456789012345678901234567890,"x":1e400}')
        assert turn.output is not None
        self.assertEqual(turn.output.schema, b'{"const":1.10}')


class ToolsTests(SynchronousTestCase):
    """Tools of all kinds become functions and freeform tools."""

    def test_namespaces(self) -> None:
        """A group's members get its name in front, those of ``functions`` do not."""
        tools = read(
            tools=[
                {
                    "type": "namespace",
                    "name": "clock",
                    "description": "",
                    "tools": [
                        {"type": "function", "name": "sleep", "description": "Sleeps."},
                        {"type": "custom", "name": "exec"},
                    ],
                },
                {
                    "type": "namespace",
                    "name": "functions",
                    "description": "",
                    "tools": [{"type": "custom", "name": "exec"}],
                },
            ]
        ).tools
        self.assertEqual(
            tools,
            (
                GroupedFunction("clock__sleep", "Sleeps.", own_name="sleep", namespace="clock"),
                GroupedCustom("clock__exec", own_name="exec", namespace="clock"),
                CustomTool("exec"),
            ),
        )

    def test_flat_names(self) -> None:
        """Flat names fit every dialect, and tell tools apart."""
        self.assertEqual(flat_name("a.b", None), "a.b")
        self.assertEqual(flat_name("a.b", "x y"), "x_y__a_b")
        long = flat_name("t" * 60, "mcp__server")
        self.assertEqual(len(long), 64)
        self.assertNotEqual(long, flat_name("t" * 61, "mcp__server"))
        self.assertNotEqual(flat_name("é" * 60, "n" * 9), flat_name("è" * 60, "n" * 9))

    def test_client_tools(self) -> None:
        """Tools that the client runs become functions with a schema."""
        tools = read(
            tools=[
                {"type": "local_shell"},
                {"type": "shell", "environment": {"type": "local"}},
                {"type": "apply_patch"},
                {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
            ]
        ).tools
        for tool in tools:
            assert isinstance(tool, BuiltIn)
            assert tool.parameters is not None
            self.assertEqual(json.loads(tool.parameters)["type"], "object")
        self.assertEqual(
            [tool.name for tool in tools], ["local_shell", "shell", "apply_patch", "tool_search"]
        )

    def test_hosted_tools(self) -> None:
        """Those that clients always offer may be left out; the rest may not."""
        tools = read(
            tools=[
                {"type": "web_search", "external_web_access": True},
                {"type": "file_search", "vector_store_ids": ["v"]},
                {"type": "shell", "environment": {"type": "container_auto"}},
                {"type": "tool_search"},
            ]
        ).tools
        for tool in tools:
            assert isinstance(tool, ServerTool)
        self.assertEqual(
            [(tool.kind, tool.optional, tool.where) for tool in tools],  # type: ignore[union-attr]
            [
                ("web_search", True, "tools[0].type"),
                ("file_search", False, "tools[1].type"),
                ("shell", False, "tools[2].type"),
                ("tool_search", False, "tools[3].type"),
            ],
        )

    def test_additional_tools(self) -> None:
        """Tools may stand in the input; of two with one name the later one counts."""
        turn = read(
            tools=[{"type": "function", "name": "a"}, {"type": "function", "name": "b"}],
            input=[
                {
                    "type": "additional_tools",
                    "role": "developer",
                    "tools": [{"type": "function", "name": "a", "description": "New."}],
                },
                {"role": "user", "content": "Hi"},
            ],
        )
        self.assertEqual(turn.tools, (FunctionTool("b"), FunctionTool("a", "New.")))
        self.assertEqual(len(turn.messages), 1)

    def test_found_tools(self) -> None:
        """What a search found can be called from then on."""
        turn = read(
            input=[
                {
                    "type": "tool_search_call",
                    "call_id": "c1",
                    "execution": "client",
                    "arguments": {"query": "x"},
                },
                {
                    "type": "tool_search_output",
                    "call_id": "c1",
                    "tools": [
                        {
                            "type": "namespace",
                            "name": "mcp",
                            "description": "",
                            "tools": [{"type": "function", "name": "go"}],
                        }
                    ],
                },
            ]
        )
        self.assertEqual([tool.name for tool in turn.tools], ["mcp__go"])
        self.assertEqual(
            turn.messages,
            (
                Message("assistant", (ToolCallPart("c1", "tool_search", '{"query": "x"}'),)),
                Message(
                    "user",
                    (ToolResultPart("c1", (TextPart("These tools can be called now: mcp__go"),)),),
                ),
            ),
        )

    def test_tool_choice(self) -> None:
        """Choices name tools as they are offered to the upstream."""
        offered = {
            "tools": [
                {"type": "apply_patch"},
                {"type": "custom", "name": "exec"},
                {
                    "type": "namespace",
                    "name": "ns",
                    "description": "",
                    "tools": [{"type": "function", "name": "f"}],
                },
            ]
        }
        for given, expected in (
            ("auto", ToolChoice("auto")),
            ("none", ToolChoice("none")),
            ("required", ToolChoice("required")),
            ({"type": "custom", "name": "exec"}, ToolChoice("tool", "exec")),
            ({"type": "function", "name": "f", "namespace": "ns"}, ToolChoice("tool", "ns__f")),
            ({"type": "apply_patch"}, ToolChoice("tool", "apply_patch")),
            (
                {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "apply_patch"}]},
                ToolChoice("auto", allowed=("apply_patch",)),
            ),
        ):
            self.assertEqual(read(tool_choice=given, **offered).tool_choice, expected)


class InputTests(SynchronousTestCase):
    """The items of the input."""

    def test_many_items_in_a_row(self) -> None:
        """Reading takes a time that grows with the body, and no faster."""
        many = 40_000
        began = time.process_time()
        answers = items(*(answer("x", f"c{number}") for number in range(many)))
        said = items(*(call(f"c{number}") for number in range(many)))
        self.assertEqual([len(message.parts) for message in (*answers, *said)], [many, many])
        self.assertLess(time.process_time() - began, 5)

    def test_roles_and_parts(self) -> None:
        """Messages keep their roles and parts."""
        found = items(
            {"role": "developer", "content": "D"},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "T", "prompt_cache_breakpoint": {"ttl": "12h"}},
                    {"type": "input_image", "image_url": "https://e.test/a.png", "detail": "low"},
                    {"type": "input_image", "file_id": "file-1"},
                    {"type": "input_file", "file_url": "https://e.test/a.pdf"},
                    {"type": "input_file", "file_data": "JVBERi0=", "filename": "a.pdf"},
                    {"type": "input_file", "file_data": "data:text/csv;base64,YQ=="},
                ],
            },
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "A", "annotations": []},
                    {"type": "refusal", "refusal": "R"},
                ],
            },
        )
        at = "input[1].content"
        self.assertEqual(
            found,
            (
                Message("developer", (TextPart("D"),)),
                Message(
                    "user",
                    (
                        TextPart("T", CacheControl("1h")),
                        ImagePart(
                            RemoteUrl("https://e.test/a.png"), "low", where=f"{at}[1].image_url"
                        ),
                        ImagePart(
                            VendorFile("file-1", "openai_responses"), where=f"{at}[2].file_id"
                        ),
                        FilePart(RemoteUrl("https://e.test/a.pdf"), where=f"{at}[3].file_url"),
                        FilePart(
                            InlineData("application/pdf", "JVBERi0="),
                            "a.pdf",
                            where=f"{at}[4].file_data",
                        ),
                        FilePart(InlineData("text/csv", "YQ=="), where=f"{at}[5].file_data"),
                    ),
                ),
                Message("assistant", (TextPart("A"), RefusalPart("R"))),
            ),
        )

    def test_one_answer_is_one_message(self) -> None:
        """Reasoning, words and calls that follow one another came in one answer."""
        found = items(
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "enc"},
            {"role": "assistant", "content": "A"},
            call("c1"),
            call("c2", arguments='{"n": 12345678901234567890}'),
            answer("1", "c1"),
            answer("2", "c2"),
        )
        self.assertEqual(
            found,
            (
                Message(
                    "assistant",
                    (
                        ThinkingPart("openai_responses", signature="enc", id="rs_1"),
                        TextPart("A"),
                        ToolCallPart("c1", "f", "{}"),
                        ToolCallPart("c2", "f", '{"n": 12345678901234567890}'),
                    ),
                ),
                Message(
                    "user",
                    (
                        ToolResultPart("c1", (TextPart("1"),)),
                        ToolResultPart("c2", (TextPart("2"),)),
                    ),
                ),
            ),
        )

    def test_answers_move_behind_their_calls(self) -> None:
        """Whatever stood between a call and its answer comes after both."""
        found = items(
            call("c1"), {"role": "developer", "content": "D"}, answer("1"), answer("?", "gone")
        )
        self.assertEqual(
            [message.role for message in found], ["assistant", "user", "developer", "user"]
        )
        self.assertEqual(found[1].parts, (ToolResultPart("c1", (TextPart("1"),)),))
        self.assertEqual(found[3].parts, (ToolResultPart("gone", (TextPart("?"),)),))

    def test_kinds_of_calls(self) -> None:
        """Calls of every kind become calls of the function that stands in for the tool."""
        for item, expected in (
            (
                {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "+a"},
                ToolCallPart("c", "p", "+a", custom=True),
            ),
            (call("c", namespace="ns"), ToolCallPart("c", "ns__f", "{}")),
            (call("c", arguments=None), ToolCallPart("c", "f", "")),
            (
                {
                    "type": "local_shell_call",
                    "id": "c",
                    "action": {"type": "exec", "command": ["ls"], "env": {}},
                },
                ToolCallPart("c", "local_shell", '{"command":["ls"],"env":{}}'),
            ),
            (
                {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
                ToolCallPart("c", "shell", '{"commands": ["ls"]}'),
            ),
            (
                {
                    "type": "apply_patch_call",
                    "call_id": "c",
                    "operation": {"type": "delete_file", "path": "a"},
                },
                ToolCallPart("c", "apply_patch", '{"type": "delete_file", "path": "a"}'),
            ),
            (
                {"type": "tool_search_call", "call_id": "c"},
                ToolCallPart("c", "tool_search", "{}"),
            ),
        ):
            self.assertEqual(items(item)[0].parts, (expected,))

    def test_kinds_of_answers(self) -> None:
        """Answers of every kind become results."""
        for kind, members, content, failed in (
            ("custom_tool_call_output", {"output": "t"}, (TextPart("t"),), False),
            ("function_call_output", {"output": ""}, (), False),
            ("function_call_output", {"output": None}, (), False),
            ("function_call_output", {"output": []}, (), False),
            (
                "function_call_output",
                {
                    "output": [
                        {"type": "input_text", "text": "a"},
                        {"type": "refusal", "refusal": "b"},
                    ]
                },
                (TextPart("a"), TextPart("b")),
                False,
            ),
            ("local_shell_call_output", {"output": "t"}, (TextPart("t"),), False),
            (
                "shell_call_output",
                {"output": [{"stdout": "t", "stderr": "", "outcome": {"type": "timeout"}}]},
                (
                    TextPart(
                        '[{"stdout": "t", "stderr": "", "outcome": {"type": "timeout"}}]',
                    ),
                ),
                False,
            ),
            (
                "apply_patch_call_output",
                {"output": "no", "status": "failed"},
                (TextPart("no"),),
                True,
            ),
            ("tool_search_output", {"tools": []}, (TextPart("No tools were found."),), False),
            ("function_call_output", {"output": {"odd": 1}}, (TextPart('{"odd": 1}'),), False),
        ):
            with self.subTest(kind=kind, members=members):
                found = items({"type": kind, "call_id": "c", **members})
                self.assertEqual(found[0].parts, (ToolResultPart("c", content, failed),))

    def test_image_in_an_answer(self) -> None:
        """A tool may answer with a picture."""
        part = {"type": "input_image", "image_url": "data:image/png;base64,QQ==", "detail": "auto"}
        (result,) = items(call(), answer([part]))[1].parts
        assert isinstance(result, ToolResultPart)
        self.assertEqual(
            result.content,
            (
                ImagePart(
                    InlineData("image/png", "QQ=="), "auto", where="input[1].output[0].image_url"
                ),
            ),
        )

    def test_reasoning(self) -> None:
        """Reasoning keeps its seal, and the seal's vendor."""
        for item, expected in (
            (
                {
                    "summary": [
                        {"type": "summary_text", "text": "A"},
                        {"type": "summary_text", "text": "B"},
                    ],
                    "encrypted_content": "e",
                },
                ThinkingPart("openai_responses", "A\n\nB", "e"),
            ),
            (
                {"summary": [], "content": [{"type": "reasoning_text", "text": "C"}]},
                ThinkingPart("openai_responses", "C"),
            ),
            (
                {
                    "summary": [{"type": "summary_text", "text": "A"}],
                    "encrypted_content": "clawproxy:anthropic::c2ln",
                },
                ThinkingPart("anthropic", "A", "c2ln"),
            ),
            (
                {"summary": [], "encrypted_content": "clawproxy:anthropic:redacted:ZGF0YQ=="},
                ThinkingPart("anthropic", redacted="ZGF0YQ=="),
            ),
        ):
            self.assertEqual(items({"type": "reasoning", **item})[0].parts, (expected,))

    def test_traces_of_hosted_tools(self) -> None:
        """A search's trace says nothing that the text does not; other traces stay as they are."""
        found = items(
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "mcp_call", "id": "mcp_1", "output": "x"},
        )
        (part,) = found[0].parts
        assert isinstance(part, OpaquePart)
        self.assertEqual((part.kind, part.where), ("mcp_call", "input[1].type"))

    def test_lone_surrogates(self) -> None:
        """A text cut between two code units is read."""
        body = b'{"model": "m", "input": [{"role": "user", "content": "a\\ud83d"}]}'
        self.assertEqual(parse_request(body).messages[0].parts, (TextPart("a\ufffd"),))
