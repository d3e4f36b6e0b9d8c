"""The records as JSON: what they hold, exact bytes, and who may see them."""

from __future__ import annotations

import gzip
import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from tests.acceptance.caller import Connection, ask, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program, free_port
from tests.acceptance.upstream import JSON, End, Upstream, answer, stream
from tests.wire import Reply

R = {
    "id", "request_id", "client_request_id", "started_at", "finished_at", "outcome", "status", "method", "path",
    "dialect", "stream", "provider", "model", "routed_model", "tries", "upstream_request_id", "usage", "cost_usd",
    "ttft_ms", "duration_ms", "request_bytes", "response_bytes", "conversation_id", "session_id", "agent_id",
    "parent_agent_id", "key", "client", "error",
}  # fmt: skip


USAGE = {
    "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens",
    "complete",
}  # fmt: skip


MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 11,
        "output_tokens": 7,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 3,
    },
}


def event(name: str, **data: object) -> bytes:
    """An event of an Anthropic stream."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


EVENTS = [
    event(
        "message_start",
        message={
            **MESSAGE,
            "content": [],
            "stop_reason": None,
            "usage": {**MESSAGE["usage"], "output_tokens": 1},  # type: ignore[dict-item]
        },
    ),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello "}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "there"}),
    event("content_block_stop", index=0),
    event(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"output_tokens": 7},
    ),
    event("message_stop"),
]


CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-real",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
}


def house(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy that records, and demands keys of its callers."""
    upstream = stack.enter_context(Upstream())
    config = {
        "auth": {"api_keys": [{"name": "alice", "key": "pk-alice"}]},
        "providers": {
            "anthropic": {"base_url": upstream.url, "api_key": "sk-up", "max_retries": 1},
            "openai": {"base_url": upstream.url, "api_key": "sk-up"},
            "gone": {"kind": "anthropic", "base_url": f"http://127.0.0.1:{free_port()}"},
        },
        "routes": [
            {"match": "renamed", "provider": "anthropic", "model": "claude-haiku-4-5"},
            {"match": "translated", "provider": "openai", "model": "gpt-real"},
            {"match": "priced", "provider": "openai", "model": "gpt-5"},
            {"match": "priced-back", "provider": "anthropic", "model": "claude-sonnet-4-5"},
            {
                "match": "falls",
                "provider": "openai",
                "model": "gpt-real",
                "fallbacks": ["claude-haiku-4-5"],
            },
        ],
        "storage": {"url": "sqlite:records.db"},
    }
    return upstream, stack.enter_context(Program(folder, config))


class RecordCase(AcceptanceCase):
    KEY: ClassVar = {"x-api-key": "pk-alice", "anthropic-version": "2023-06-01"}

    def setUp(self) -> None:
        super().setUp()
        self.up, self.proxy = shared(house)
        self.port = self.proxy.port
        self.up.answers(answer(MESSAGE))

    def get(self, target: str, **headers: str) -> Reply:
        return ask(self.port, "GET", target, b"", headers)

    def record(self, id: str | None, *, running: bool = False) -> Any:
        """Wait for a record, and give it."""
        found: list[Any] = []

        def there() -> bool:
            reply = self.get(f"/api/requests/{id}")
            if reply.status != 200:
                return False
            said = parsed(reply)
            found[:] = [said]
            return bool(running or said["outcome"] != "running")

        self.eventually(there)
        return found[0]

    def made(self, body: object, target: str = "/v1/messages", **headers: str) -> tuple[Reply, Any]:
        """Ask something, and give its answer and its record."""
        reply = post(self.port, target, body, {**self.KEY, **headers})
        return reply, self.record(reply["x-clawproxy-id"])


class FieldTests(RecordCase):
    def test_a_plain_one(self) -> None:
        """R, field by field."""
        body = json.dumps(message("renamed")).encode()
        more = {
            "x-request-id": "mine-1",
            "user-agent": "tester/1",
            "x-claude-code-session-id": "session-1",
            "x-claude-code-agent-id": "agent-1",
            "x-claude-code-parent-agent-id": "agent-0",
        }
        self.up.answers(answer(MESSAGE, headers=[*JSON, ("request-id", "req_up")]))
        reply, record = self.made(body, "/v1/messages?beta=true", **more)
        self.assertLessEqual(R, record.keys())
        expected = {
            "id": reply["x-clawproxy-id"],
            "request_id": "req_up",
            "client_request_id": "mine-1",
            "upstream_request_id": "req_up",
            "outcome": "ok",
            "status": 200,
            "method": "POST",
            "path": "/v1/messages",
            "dialect": "anthropic",
            "stream": False,
            "provider": "anthropic",
            "model": "renamed",
            "routed_model": "claude-haiku-4-5",
            "tries": 1,
            "request_bytes": len(body),
            "response_bytes": len(reply.body),
            "session_id": "session-1",
            "agent_id": "agent-1",
            "parent_agent_id": "agent-0",
            "key": "alice",
            "error": None,
        }
        self.assertEqual({name: record[name] for name in expected}, expected)
        self.assertEqual(record["usage"].keys(), USAGE)
        self.assertEqual(
            record["usage"],
            {
                "input_tokens": 11,
                "output_tokens": 7,
                "cache_read_input_tokens": 5,
                "cache_creation_input_tokens": 3,
                "reasoning_tokens": 0,
                "complete": True,
            },
        )
        self.assertEqual(record["client"], {"address": "127.0.0.1", "user_agent": "tester/1"})
        self.assertRegex(record["started_at"], MOMENT)
        self.assertRegex(record["finished_at"], MOMENT)
        self.assertGreater(record["cost_usd"], 0)
        self.assertTrue(0 < record["ttft_ms"] <= record["duration_ms"] < 20_000)

    def test_a_stream(self) -> None:
        self.up.answers(stream(*EVENTS[:3], 0.4, *EVENTS[3:]))
        reply, record = self.made(message(stream=True))
        self.assertEqual((record["stream"], record["outcome"]), (True, "ok"))
        self.assertEqual(
            (record["usage"]["input_tokens"], record["usage"]["output_tokens"]), (11, 7)
        )
        self.assertTrue(record["usage"]["complete"])
        self.assertLess(record["ttft_ms"], 350)
        self.assertGreater(record["duration_ms"], 390)
        self.assertEqual(record["response_bytes"], len(reply.body))
        # The finished message as JSON.
        self.assertEqual(record["response"], MESSAGE)

    def test_a_stream_that_broke_before_its_usage(self) -> None:
        """The usage seen so far, flagged incomplete: in every dialect, also where none was seen."""
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-real"}
        choice = {"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}
        data = f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode()
        self.up.answers(stream(data, End.CLOSE))
        asked = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        _, record = self.made(asked, "/v1/chat/completions")
        self.assertEqual((record["outcome"], record["cost_usd"]), ("error", None))
        self.assertEqual(record["usage"], {**dict.fromkeys(USAGE, 0), "complete": False})

    def test_dialects_and_translations(self) -> None:
        self.up.answers(answer(CHAT))
        body = json.dumps(message("translated")).encode()
        reply, record = self.made(body)
        self.assertEqual(
            (record["dialect"], record["provider"], record["routed_model"]),
            ("anthropic", "openai", "gpt-real"),
        )
        usage = record["usage"]
        # Disjoint counts, as Anthropic has them.
        self.assertEqual((usage["input_tokens"], usage["cache_read_input_tokens"]), (12, 8))
        self.assertEqual((usage["output_tokens"], usage["reasoning_tokens"]), (9, 4))
        self.assertEqual(record["response"], parsed(reply))
        id = record["id"]
        self.assertEqual(self.get(f"/api/requests/{id}/request").body, body)
        self.assertEqual(self.get(f"/api/requests/{id}/response").body, reply.body)
        self.assertEqual(
            self.get(f"/api/requests/{id}/upstream-request").body, self.up.asked[0].body
        )
        self.assertEqual(parsed(self.get(f"/api/requests/{id}/upstream-response")), CHAT)
        _, record = self.made(message("gpt-x"), "/v1/chat/completions")
        self.assertEqual((record["dialect"], record["usage"]["input_tokens"]), ("openai_chat", 12))
        _, record = self.made({"model": "gpt-x", "input": "x"}, "/v1/responses")
        self.assertEqual(record["dialect"], "openai_responses")
        reply = post(self.port, "/openai/v1/files", b"\x00", {"authorization": "Bearer pk-alice"})
        record = self.record(reply["x-clawproxy-id"])
        self.assertEqual((record["dialect"], record["path"]), (None, "/openai/v1/files"))

    def test_what_a_translated_answer_cost(self) -> None:
        """Lifetimes of cache writes, tiers and searches count, whatever dialect the caller speaks."""
        usage = {
            **MESSAGE["usage"],  # type: ignore[dict-item]
            "cache_creation_input_tokens": 2000,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2000},
            "server_tool_use": {"web_search_requests": 2},
            "service_tier": "batch",
        }
        said = {**MESSAGE, "model": "claude-sonnet-4-5", "usage": usage}
        begun = event("message_start", message={**said, "content": []})
        asked = message("priced-back")
        costs = []
        for target in ("/v1/messages", "/v1/chat/completions"):
            self.up.answers(answer(said))
            costs.append(self.made(asked, target)[1]["cost_usd"])
            self.up.answers(stream(begun, *EVENTS[1:]))
            costs.append(self.made({**asked, "stream": True}, target)[1]["cost_usd"])
        self.assertEqual(costs, [(11 * 3 + 5 * 0.3 + 2000 * 6 + 7 * 15) / 2e6 + 0.02] * 4)
        self.up.answers(answer({**CHAT, "model": "gpt-5", "service_tier": "priority"}))
        costs = [
            self.made(message("priced"), target)[1]["cost_usd"]
            for target in ("/v1/messages", "/v1/chat/completions")
        ]
        self.assertEqual(costs, [2 * (12 * 1.25 + 8 * 0.125 + 9 * 10) / 1e6] * 2)

    def test_tries(self) -> None:
        self.up.answers(answer({}, 529, [("retry-after-ms", "1")]), answer(MESSAGE))
        self.assertEqual(self.made(message())[1]["tries"], 2)

    def test_errors(self) -> None:
        for target, body, status in (
            ("/v1/messages", b"{", 400),
            ("/gone/v1/messages", message(), 401),
            ("/nobody/v1/messages", message(), 404),
        ):
            reply = post(self.port, target, body, self.KEY)
            self.assertEqual(reply.status, status)
            if status == 404:
                continue
            record = self.record(reply["x-clawproxy-id"])
            self.assertEqual((record["outcome"], record["status"]), ("error", status))
            self.assertTrue(record["error"])
            # The finished message or error as JSON.
            self.assertEqual(record["response"], parsed(reply))
        self.up.answers(answer({"type": "error", "error": {"type": "x", "message": "m"}}, 400))
        reply, record = self.made(message())
        self.assertEqual((record["outcome"], record["status"]), ("error", 400))
        self.assertEqual(record["response"], parsed(reply))

    def test_what_went_no_further(self) -> None:
        """A request that is refused before anything is asked has its record, too."""
        with Connection(self.port) as caller:
            head = {**self.KEY, "content-length": "99999999"}
            caller.send("POST", "/v1/messages?key=hush", b"", head)
            too_large = caller.reply()
        wrong_method = ask(self.port, "GET", "/v1/chat/completions", b"", self.KEY)
        for reply, status, method, path, dialect in (
            (too_large, 413, "POST", "/v1/messages", "anthropic"),
            (wrong_method, 405, "GET", "/v1/chat/completions", "openai_chat"),
        ):
            self.assertEqual(reply.status, status)
            record = self.record(reply["x-clawproxy-id"])
            self.assertEqual((record["outcome"], record["status"]), ("error", status))
            told = (record["method"], record["path"], record["dialect"], record["tries"])
            self.assertEqual(told, (method, path, dialect, 0))
            self.assertTrue(record["error"])
            self.assertEqual(record["response"], parsed(reply))
            self.assertEqual(record["request_id"], reply["x-request-id"])
        self.assertEqual(self.record(too_large["x-clawproxy-id"])["query"], "key=***")

    def test_a_refused_caller(self) -> None:
        reply = post(self.port, "/v1/messages", message(), {"x-api-key": "wrong"})
        record = self.record(reply["x-clawproxy-id"])
        self.assertEqual((record["status"], record["key"]), (401, None))

    def test_a_stream_that_broke(self) -> None:
        self.up.answers(stream(*EVENTS[:4], 0.05, end=End.RESET))
        reply, record = self.made(message(stream=True))
        self.assertEqual((record["outcome"], record["status"]), ("error", 200))
        self.assertFalse(record["usage"]["complete"])
        self.assertEqual(record["usage"]["input_tokens"], 11)
        self.assertEqual(self.get(f"/api/requests/{record['id']}/response").body, reply.body)

    def test_an_in_band_error(self) -> None:
        error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
        self.up.answers(stream(EVENTS[0], error))
        _, record = self.made(message(stream=True))
        self.assertEqual((record["outcome"], record["status"]), ("error", 200))

    def test_a_caller_that_went_away(self) -> None:
        """`status` of a caller that went away is 499."""
        self.up.answers(stream(*EVENTS[:3], End.HANG))
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", message(stream=True), self.KEY)
            caller.until(b"Hello ")
            id = re.search(rb"x-clawproxy-id: (\S+)", caller.data, re.IGNORECASE)
            assert id is not None
            running = self.record(id[1].decode(), running=True)
            self.assertEqual((running["outcome"], running["finished_at"]), ("running", None))
            self.assertIsNone(running["duration_ms"])
        record = self.record(id[1].decode())
        self.assertEqual((record["outcome"], record["status"]), ("client_gone", 499))
        self.assertIsNotNone(record["finished_at"])

    def test_conversations(self) -> None:
        """Turns of one conversation have one id."""
        said: list[dict[str, str]] = [{"role": "user", "content": f"A question {time.time()}"}]
        _, first = self.made({**message(), "messages": said})
        said += [{"role": "assistant", "content": "Hello there"}, {"role": "user", "content": "On"}]
        _, second = self.made({**message(), "messages": said})
        self.eventually(
            lambda: (
                self.record(first["id"])["conversation_id"]
                == self.record(second["id"])["conversation_id"]
                is not None
            )
        )


class BytesTests(RecordCase):
    def test_exact_bytes(self) -> None:
        """The exact bytes that came from and went to the caller."""
        sent = (
            b'{ "model" : "claude-x",\n"messages":[{"role":"user","content":"\\ud800 \xff"}],'
            b'"n":1e400,"\\u0000":"\\u0000" }\n'
        )
        odd = b'{"a" :\t1.0,"b":10000000000000000000000001}\n\n'
        self.up.answers(answer(odd))
        _, record = self.made(sent)
        self.assertEqual(self.get(f"/api/requests/{record['id']}/request").body, sent)
        self.assertEqual(self.get(f"/api/requests/{record['id']}/response").body, odd)

    def test_an_answer_without_a_body(self) -> None:
        """Its exact bytes are none."""
        self.up.answers(answer(b"", 204))
        reply = ask(self.port, "DELETE", "/openai/v1/files/1", b"", self.KEY)
        self.assertEqual((reply.status, self.record(reply["x-clawproxy-id"])["status"]), (204, 204))
        found = self.get(f"/api/requests/{reply['x-clawproxy-id']}/response")
        self.assertEqual((found.status, found.body), (200, b""))

    def test_codings(self) -> None:
        """Content codings undone only with `?decoded=1`."""
        body = json.dumps(message()).encode()
        packed, answered = gzip.compress(body), json.dumps(MESSAGE).encode()
        sent = gzip.compress(answered)
        self.up.answers(answer(sent, headers=[*JSON, ("Content-Encoding", "gzip")]))
        _, record = self.made(packed, **{"content-encoding": "gzip"})
        base = f"/api/requests/{record['id']}"
        self.assertEqual(self.get(f"{base}/request").body, packed)
        self.assertEqual(self.get(f"{base}/request?decoded=1").body, body)
        self.assertEqual(self.get(f"{base}/response").body, sent)
        self.assertEqual(self.get(f"{base}/response?decoded=1").body, answered)
        self.assertEqual((record["request"], record["response"]), (parsed_json(body), MESSAGE))
        self.assertEqual(record["usage"]["input_tokens"], 11)

    def test_events(self) -> None:
        """`[{"at_ms":12.3,"data":"…"}…]`, the pieces as they came."""
        self.up.answers(stream(EVENTS[0], 0.3, b"".join(EVENTS[1:5]), 0.3, *EVENTS[5:]))
        reply, record = self.made(message(stream=True))
        pieces = parsed(self.get(f"/api/requests/{record['id']}/events"))
        self.assertEqual("".join(each["data"] for each in pieces).encode(), reply.body)
        self.assertGreaterEqual(len(pieces), 3)
        self.assertEqual(pieces[0]["data"].encode(), EVENTS[0])
        times = [each["at_ms"] for each in pieces]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[1] - times[0], 250)

    def test_both_sides_where_they_differ(self) -> None:
        _, record = self.made(message("renamed"))
        base = f"/api/requests/{record['id']}"
        self.assertEqual(parsed(self.get(f"{base}/request"))["model"], "renamed")
        self.assertEqual(parsed(self.get(f"{base}/upstream-request"))["model"], "claude-haiku-4-5")

    def test_a_coded_answer_that_is_translated(self) -> None:
        """The upstream's side has heads of its own, and its coding is undone by them."""
        packed = gzip.compress(json.dumps(CHAT).encode())
        self.up.answers(
            answer(packed, headers=[*JSON, ("Content-Encoding", "gzip"), ("set-cookie", "a=sk-1")])
        )
        asked = gzip.compress(json.dumps(message("translated")).encode())
        _, record = self.made(asked, **{"content-encoding": "gzip"})
        base = f"/api/requests/{record['id']}"
        self.assertEqual(self.get(f"{base}/upstream-response").body, packed)
        self.assertEqual(parsed(self.get(f"{base}/upstream-response?decoded=1")), CHAT)
        reply = self.get(f"{base}/upstream-request")
        self.assertEqual((reply["content-type"], reply.body), (JSON[0][1], self.up.asked[0].body))
        sent = dict(record["upstream_request_headers"])
        self.assertEqual((sent["accept-encoding"], sent["authorization"]), ("identity", "***"))
        came = {name.lower(): value for name, value in record["upstream_response_headers"]}
        self.assertEqual((came["content-encoding"], came["set-cookie"]), ("gzip", "***"))

    def test_a_target_that_was_given_up(self) -> None:
        """The other side of the answer is the last target's alone, however long the first one took."""
        error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
        for pause in (0.0, 0.4):
            self.up.answers(stream(b": one moment\n\n", pause, error), stream(*EVENTS))
            reply, record = self.made(message("falls", stream=True))
            self.assertEqual((reply.body, record["tries"]), (b"".join(EVENTS), 2))
            base = f"/api/requests/{record['id']}"
            self.assertEqual(self.get(f"{base}/upstream-response").status, 404)
            self.assertEqual(self.get(f"{base}/upstream-request").body, self.up.asked[1].body)
            self.assertEqual(record["upstream_response_headers"], [])

    def test_ids(self) -> None:
        """`{id}` may be the proxy's id or a `request_id`."""
        self.up.answers(answer(MESSAGE, headers=[*JSON, ("request-id", "req_lookup")]))
        _, record = self.made(message())
        self.assertEqual(parsed(self.get("/api/requests/req_lookup"))["id"], record["id"])
        self.assertEqual(self.get("/api/requests/req_lookup/request").status, 200)
        for target in ("/api/requests/nothing", "/api/requests/nothing/events", "/api/nothing"):
            self.assertEqual(self.get(target).status, 404)

    def test_the_detail(self) -> None:
        """R plus `request_headers`, `response_headers` …, `request`, `response`."""
        _, record = self.made(message())
        self.assertEqual((record["request"], record["response"]), (message(), MESSAGE))
        for name in ("request_headers", "response_headers"):
            for pair in record[name]:
                self.assertEqual(len(pair), 2)
        names = {name.lower() for name, _ in record["response_headers"]}
        self.assertLessEqual({"content-type", "x-clawproxy-id", "x-request-id"}, names)
        _, record = self.made(b"not JSON", "/openai/v1/files")
        self.assertIsNone(record["request"])

    def test_keys_are_masked(self) -> None:
        """Keys in headers, cookies and queries are masked everywhere."""
        more = {
            "authorization": "Bearer sk-hidden",
            "api-key": "sk-hidden",
            "cookie": "session=sk-hidden",
            "x-secret": "sk-hidden",
        }
        self.up.answers(answer(MESSAGE, headers=[*JSON, ("set-cookie", "a=sk-hidden")]))
        target = "/v1/messages?key=sk-hidden&api_key=sk-hidden&beta=true"
        key = "sk-ant-api03-elsewhere"
        refusal = {"type": "error", "error": {"type": "authentication_error", "message": key}}
        self.up.answers(answer(refusal, 401))
        _, record = self.made(message(), f"/openai/v1/by/{key}")
        self.assertEqual((record["path"], record["error"]), ("/openai/v1/by/***", "***"))
        for said in (self.get("/api/requests").body, self.proxy.log.encode()):
            self.assertNotIn(b"elsewhere", said)
        self.up.answers(answer(MESSAGE, headers=[*JSON, ("set-cookie", "a=sk-hidden")]))
        reply, record = self.made(message(), target, **more)
        self.assertIn(["set-cookie", "a=sk-hidden"], [list(each) for each in reply.headers])
        base = f"/api/requests/{record['id']}"
        for path in (
            base,
            f"{base}/events",
            "/api/requests",
            f"{base}/request",
            f"{base}/response",
        ):
            said = self.get(path).body
            self.assertNotIn(b"sk-hidden", said)
            self.assertNotIn(b"pk-alice", said)
        headers = {name.lower(): value for name, value in record["request_headers"]}
        for name in ("authorization", "x-api-key", "api-key", "cookie"):
            self.assertIn("*", headers[name])
        self.proxy.until_in_flight(0)
        for file in self.proxy.folder.rglob("*"):
            if file.is_file() and file.name != "clawproxy.yaml":
                self.assertNotIn(b"sk-hidden", file.read_bytes(), file)


def parsed_json(body: bytes) -> Any:
    """Give JSON."""
    return json.loads(body)
