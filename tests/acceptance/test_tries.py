"""Retries, keep-alive connections that had gone stale, fallbacks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program, free_port
from tests.acceptance.upstream import JSON, End, Step, Upstream, answer, stream
from tests.wire import Reply

OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
START = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{}}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def error_event(kind: str = "overloaded_error") -> bytes:
    """An Anthropic stream's in-band error."""
    data = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    return b"event: error\ndata: " + json.dumps(data).encode() + b"\n\n"


def house(stack: ExitStack, folder: Path) -> tuple[Upstream, Upstream, Program]:
    """A proxy that tries twice more, and routes with fallbacks between two upstreams."""
    first = stack.enter_context(Upstream())
    second = stack.enter_context(Upstream())
    config = {
        "providers": {
            "anthropic": {"base_url": first.url, "max_retries": 2},
            "openai": {"base_url": first.url, "max_retries": 1},
            "once": {"kind": "anthropic", "base_url": first.url},
            "twice": {"kind": "anthropic", "base_url": first.url, "max_retries": 1},
            "second": {"kind": "anthropic", "base_url": second.url, "api_key": "sk-second"},
            "gpt-second": {"kind": "openai", "base_url": second.url, "api_key": "sk-second"},
            "gone": {"kind": "anthropic", "base_url": f"http://127.0.0.1:{free_port()}"},
            "slow": {
                "kind": "anthropic",
                "base_url": first.url,
                "response_header_timeout": 0.3,
                "idle_timeout": 0.5,
            },
            "ai": {"kind": "openai", "base_url": first.url},
            "ai-second": {"kind": "openai", "base_url": second.url, "api_key": "sk-second"},
        },
        "routes": [
            {"match": "plain", "provider": "once"},
            {"match": "backed", "provider": "once", "fallbacks": ["rescue"]},
            {"match": "backed-twice", "provider": "twice", "fallbacks": ["rescue"]},
            {"match": "backed-gone", "provider": "gone", "fallbacks": ["rescue"]},
            {"match": "backed-slow", "provider": "slow", "fallbacks": ["rescue"]},
            {"match": "backed-gpt", "provider": "once", "fallbacks": ["rescue-gpt"]},
            {"match": "backed-long", "provider": "gone", "fallbacks": ["plain", "rescue"]},
            {"match": "ai-backed", "provider": "ai", "fallbacks": ["ai-rescue"]},
            {"match": "rescue", "provider": "second", "model": "claude-rescue"},
            {"match": "rescue-gpt", "provider": "gpt-second", "model": "gpt-rescue"},
            {"match": "ai-rescue", "provider": "ai-second"},
        ],
        "storage": {"url": "none"},
    }
    return first, second, stack.enter_context(Program(folder, config))


class TryCase(AcceptanceCase):
    def setUp(self) -> None:
        super().setUp()
        self.first, self.second, self.proxy = shared(house)
        self.first.answers(answer({"from": "first"}))
        self.second.answers(answer({"from": "second"}))

    def ask(self, model: str = "claude-x", **more: object) -> Reply:
        return post(self.proxy.port, "/v1/messages", message(model, **more), ANTHROPIC)

    def failing(self, status: int, *headers: tuple[str, str]) -> list[Step]:
        more = headers or (("retry-after-ms", "1"),)
        return answer(OVERLOADED, status, [*JSON, *more])


class RetryTests(TryCase):
    """`max_retries` counts further tries after the first."""

    def test_statuses(self) -> None:
        """For connect failures, 408, 409, 429 and ≥ 500."""
        for status in (408, 409, 429, 500, 502, 503, 504, 529, 599):
            self.first.answers(self.failing(status), self.failing(status), answer({"at": 3}))
            reply = self.ask()
            self.assertEqual((reply.status, parsed(reply)), (200, {"at": 3}), status)
            self.assertEqual(len(self.first.asked), 3)
            bodies = {each.body for each in self.first.asked}
            self.assertEqual(len(bodies), 1, "not the same bytes were sent again")

    def test_other_statuses(self) -> None:
        """What is not retried goes to the caller unchanged."""
        for status in (400, 401, 402, 403, 404, 410, 413, 422, 499, 200):
            self.first.answers(self.failing(status))
            reply = self.ask()
            self.assertEqual((reply.status, len(self.first.asked)), (status, 1))

    def test_the_last_failure_goes_to_the_caller(self) -> None:
        """An upstream's own error keeps its status, its headers and its body."""
        more = [*JSON, ("retry-after-ms", "1"), ("request-id", "req_9"), ("x-ratelimit", "r")]
        self.first.answers(answer(b'{"odd" : 1 }', 529, more))
        reply = self.ask()
        self.assertEqual((reply.status, reply.body), (529, b'{"odd" : 1 }'))
        self.assertEqual((reply["request-id"], reply["x-ratelimit"]), ("req_9", "r"))
        self.assertEqual((reply["x-request-id"], reply["retry-after-ms"]), ("req_9", "1"))
        self.assertEqual(len(self.first.asked), 3)

    def test_none_by_default(self) -> None:
        self.first.answers(self.failing(529))
        self.assertEqual((self.ask("plain").status, len(self.first.asked)), (529, 1))

    def test_spellings_of_retry_after(self) -> None:
        """`retry-after` (seconds, date, `retry-after-ms`) is obeyed."""
        date = formatdate(time.time() + 2, usegmt=True)
        for header, low, high in (
            (("Retry-After", date), 0.5, 3.0),
            (("Retry-After", "1"), 0.95, 2.5),
            (("retry-after", "0.4"), 0.35, 1.5),
            (("Retry-After-Ms", "600"), 0.55, 1.6),
        ):
            self.first.answers(self.failing(429, header), answer())
            self.assertEqual(self.ask().status, 200)
            first, second = (each.at for each in self.first.asked)
            self.assertTrue(low <= second - first <= high, (header, second - first))

    def test_both_spellings(self) -> None:
        """The exact one counts, as for the vendors' SDKs."""
        self.first.answers(
            self.failing(429, ("retry-after", "20"), ("retry-after-ms", "50")), answer()
        )
        started = time.monotonic()
        self.assertEqual(self.ask().status, 200)
        self.assertLess(time.monotonic() - started, 5)

    def test_what_cannot_be_obeyed(self) -> None:
        for text in ("-5", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "nan"):
            self.first.answers(self.failing(429, ("retry-after", text)), answer())
            started = time.monotonic()
            self.assertEqual((self.ask().status, len(self.first.asked)), (200, 2), text)
            self.assertLess(time.monotonic() - started, 3)

    def test_a_long_one(self) -> None:
        """Obeyed up to 30 s; a longer one goes to the caller at once."""
        far = formatdate(time.time() + 60, usegmt=True)
        for header in (
            ("Retry-After", "31"),
            ("Retry-After", "1000000000"),
            ("Retry-After", far),
            ("Retry-After-Ms", "30001"),
        ):
            self.first.answers(self.failing(429, header))
            started = time.monotonic()
            reply = self.ask()
            self.assertLess(time.monotonic() - started, 2)
            self.assertEqual((reply.status, len(self.first.asked)), (429, 1))
            self.assertEqual(reply[header[0].lower()], header[1])

    def test_not_once_a_byte_has_reached_the_caller(self) -> None:
        """As long as no byte has reached the caller."""
        self.first.answers(stream(START, 0.05, end=End.RESET))
        reply = self.ask(stream=True)
        self.assertEqual((reply.status, reply.whole, len(self.first.asked)), (200, False, 1))

    def test_connect_failures(self) -> None:
        port = free_port()
        program = self.program(
            {
                "providers": {
                    "anthropic": {"base_url": f"http://127.0.0.1:{port}", "max_retries": 9}
                },
                "storage": {"url": "none"},
            }
        )
        with Connection(program.port) as caller:
            caller.send("POST", "/v1/messages", message(), ANTHROPIC)
            time.sleep(0.3)
            self.stack.enter_context(Upstream(port=port))
            self.assertEqual(caller.reply().status, 200)

    def test_a_failure_whose_body_does_not_end(self) -> None:
        """It holds up neither the next try, though that may have no further connection, nor itself."""
        program = self.program(
            {
                "providers": {
                    "anthropic": {
                        "base_url": self.first.url,
                        "max_retries": 1,
                        "max_connections": 1,
                    }
                },
                "storage": {"url": "none"},
            }
        )
        head = b"HTTP/1.1 503 X\r\nretry-after-ms: 1\r\nContent-Length: 100000\r\n\r\n"
        for body in (b"{", b"x" * 90_000):
            self.first.answers([head + body, End.HANG], answer())
            started = time.monotonic()
            self.assertEqual(post(program.port, "/v1/messages", message(), ANTHROPIC).status, 200)
            self.assertLess(time.monotonic() - started, 3)
            self.eventually(lambda: self.first.left, 2)

    def test_a_caller_that_leaves_meanwhile(self) -> None:
        self.first.answers(self.failing(429, ("retry-after", "1")))
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", message(), ANTHROPIC)
            self.eventually(lambda: self.first.asked)
        self.proxy.until_in_flight(0)
        time.sleep(1.2)
        self.assertEqual(len(self.first.asked), 1)


class StaleTests(TryCase):
    """A keep-alive connection that the upstream had closed is not a try: it is replaced once."""

    def twice(self, *ends: Iterable[Step]) -> Reply:
        self.first.answers(answer(), *ends)
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", message("plain"), ANTHROPIC)
            self.assertEqual(caller.reply().status, 200)
            caller.send("POST", "/v1/messages", message("plain"), ANTHROPIC)
            return caller.reply()

    def test_closed_as_the_request_comes(self) -> None:
        for end in (End.CLOSE, End.RESET):
            reply = self.twice([end], answer({"n": 2}))
            self.assertEqual((reply.status, parsed(reply)), (200, {"n": 2}))
            self.assertEqual(len(self.first.asked), 3)

    def test_only_when_not_a_byte_of_an_answer_came(self) -> None:
        reply = self.twice([b"HTTP/1.1 ", End.CLOSE], answer({"n": 2}))
        self.assertAnthropicError(reply, 502, "api_error")
        self.assertEqual(len(self.first.asked), 2)

    def test_only_once(self) -> None:
        reply = self.twice([End.CLOSE], [End.CLOSE], answer())
        self.assertAnthropicError(reply, 502, "api_error")
        self.assertEqual(len(self.first.asked), 3)

    def test_silently(self) -> None:
        before = len(self.proxy.log)
        self.twice([End.CLOSE], answer())
        self.assertNotIn("forward_error", self.proxy.log[before:])


class FallbackTests(TryCase):
    """`fallbacks` are tried on the same failures."""

    def rescued(self, reply: Reply) -> None:
        self.assertEqual((reply.status, parsed(reply)), (200, {"from": "second"}))
        self.assertEqual([each.json["model"] for each in self.second.asked], ["claude-rescue"])
        self.assertEqual(self.second.asked[0].header("x-api-key"), "sk-second")
        self.second.asked.clear()

    def test_statuses(self) -> None:
        for status in (408, 409, 429, 500, 503, 529):
            self.first.answers(self.failing(status))
            self.rescued(self.ask("backed"))

    def test_never_for_another_4xx(self) -> None:
        for status in (400, 401, 403, 404, 413, 422):
            self.first.answers(self.failing(status))
            self.assertEqual(self.ask("backed").status, status)
        self.assertEqual(self.second.asked, [])

    def test_unreachable(self) -> None:
        self.rescued(self.ask("backed-gone"))

    def test_silence(self) -> None:
        """No header in time: the caller has nothing yet, so another may answer."""
        self.first.answers([End.HANG])
        self.rescued(self.ask("backed-slow"))
        self.eventually(lambda: self.first.left)

    def test_retries_come_first(self) -> None:
        self.first.answers(self.failing(529))
        self.rescued(self.ask("backed-twice"))
        self.assertEqual(len(self.first.asked), 2)

    def test_a_retry_after_that_is_too_long(self) -> None:
        """Not waited for: the next target is asked at once."""
        self.first.answers(self.failing(429, ("retry-after", "600")))
        started = time.monotonic()
        self.rescued(self.ask("backed-twice"))
        self.assertLess(time.monotonic() - started, 3)
        self.assertEqual(len(self.first.asked), 1)

    def test_one_after_the_other(self) -> None:
        self.first.answers(self.failing(529))
        self.rescued(self.ask("backed-long"))
        self.assertEqual([each.json["model"] for each in self.first.asked], ["plain"])

    def test_all_fail(self) -> None:
        self.first.answers(self.failing(529))
        self.second.answers(answer(b'{"last":1}', 503))
        reply = self.ask("backed")
        self.assertEqual((reply.status, reply.body), (503, b'{"last":1}'))

    def test_in_another_dialect(self) -> None:
        said = {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi"},
            "finish_reason": "stop",
        }
        chat = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [said],
        }
        self.second.answers(answer(chat))
        self.first.answers(self.failing(529))
        reply = self.ask("backed-gpt")
        self.assertEqual((reply.status, parsed(reply)["content"][0]["text"]), (200, "Hi"))
        asked = self.second.asked[0]
        self.assertEqual((asked.path, asked.json["model"]), ("/v1/chat/completions", "gpt-rescue"))

    def test_a_first_event_that_is_an_error(self) -> None:
        """And on a 200 whose first stream event is an error (overloaded, rate limit, api error)."""
        self.second.answers(stream(START, STOP))
        for kind in ("overloaded_error", "rate_limit_error", "api_error"):
            event = error_event(kind)
            for pieces in (
                [event],
                [event[:9], 0.02, event[9:30], 0.02, event[30:]],
                [b": comment\n\n", event],
                [b'event: ping\ndata: {"type":"ping"}\n\n', 0.02, event],
            ):
                self.first.answers(stream(*pieces))
                reply = self.ask("backed", stream=True)
                self.assertEqual((reply.status, reply.body), (200, START + STOP), kind)
                self.assertEqual(len(self.second.asked), 1)
                self.second.asked.clear()

    def test_in_openais_dialects(self) -> None:
        fine = b'data: {"id":"x","choices":[]}\n\ndata: [DONE]\n\n'
        self.second.answers(stream(fine))
        error = b'data: {"error":{"message":"m","type":"server_error","code":"rate_limit_exceeded"}}\n\n'
        self.first.answers(stream(error))
        body = message("ai-backed", stream=True)
        reply = post(self.proxy.port, "/v1/chat/completions", body, OPENAI)
        self.assertEqual(reply.body, fine)
        event = b'event: error\ndata: {"type":"error","code":"server_error","message":"m"}\n\n'
        self.first.answers(stream(event))
        body = {"model": "ai-backed", "input": "hi", "stream": True}
        self.assertEqual(post(self.proxy.port, "/v1/responses", body, OPENAI).body, fine)

    def test_an_error_that_comes_later(self) -> None:
        """Never after anything reached the caller."""
        self.first.answers(stream(START, error_event()))
        reply = self.ask("backed", stream=True)
        self.assertEqual(reply.body, START + error_event())
        self.assertEqual(self.second.asked, [])

    def test_an_error_of_the_callers(self) -> None:
        self.first.answers(stream(error_event("invalid_request_error")))
        reply = self.ask("backed", stream=True)
        self.assertEqual(reply.body, error_event("invalid_request_error"))
        self.assertEqual(self.second.asked, [])

    def test_what_was_held_back_comes_whole(self) -> None:
        self.first.answers(
            stream(b": c\n\nevent: pi", b'ng\ndata: {"type":"ping"}\n\n' + START, STOP)
        )
        reply = self.ask("backed", stream=True)
        self.assertEqual(
            reply.body, b': c\n\nevent: ping\ndata: {"type":"ping"}\n\n' + START + STOP
        )

    def test_held_back_only_where_there_are_fallbacks(self) -> None:
        """Only on a route that has fallbacks is the first event held back until it is seen."""
        half = START[:20]
        for model, comes in (("plain", True), ("backed", False)):
            self.first.answers(stream(half, 0.6, START[20:], STOP))
            with Connection(self.proxy.port) as caller:
                caller.send("POST", "/v1/messages", message(model, stream=True), ANTHROPIC)
                caller.socket.settimeout(0.3)
                try:
                    while half not in caller.data:
                        caller.receive()
                    came = True
                except TimeoutError:
                    came = False
                self.assertEqual(came, comes, model)
                caller.socket.settimeout(10)
                self.assertEqual(caller.reply().body, START + STOP)

    def test_an_error_without_fallbacks(self) -> None:
        self.first.answers(stream(error_event()))
        reply = self.ask("plain", stream=True)
        self.assertEqual((reply.status, reply.body, reply.whole), (200, error_event(), True))

    def test_one_that_answers_nothing(self) -> None:
        self.first.answers([End.RESET])
        self.rescued(self.ask("backed"))
