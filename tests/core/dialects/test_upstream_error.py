"""Upstreams' errors, mapped by type and status in both directions."""

from __future__ import annotations

import json
from time import process_time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.errors import Kind, ProxyError, body


def read(dialect: DialectName, status: int, error: Any) -> ProxyError:
    """Read an error's body."""
    return DIALECTS[dialect].parse_error(status, [], json.dumps(error).encode())


class AnthropicErrorTests(SynchronousTestCase):
    """Anthropic's errors."""

    def test_types(self) -> None:
        """Type and status come out as they went in, for a caller of either vendor."""
        for status, kind, openai in (
            (400, "invalid_request_error", "invalid_request_error"),
            (401, "authentication_error", "invalid_request_error"),
            (402, "billing_error", "insufficient_quota"),
            (403, "permission_error", "invalid_request_error"),
            (404, "not_found_error", "invalid_request_error"),
            (413, "request_too_large", "invalid_request_error"),
            (429, "rate_limit_error", "rate_limit_exceeded"),
            (500, "api_error", "server_error"),
            (529, "overloaded_error", "server_error"),
        ):
            said = {"type": "error", "error": {"type": kind, "message": "M"}, "request_id": "r"}
            error = read("anthropic", status, said)
            self.assertEqual((error.http_status, error.message), (status, "M"))
            self.assertEqual(error.kind.anthropic_type, kind)
            self.assertEqual(error.kind.openai_type, openai)

    def test_details(self) -> None:
        """The error code under ``details`` is kept."""
        said = {"error": {"type": "x", "message": "M", "details": {"error_code": "c", "n": 1}}}
        error = read("anthropic", 400, said)
        self.assertEqual(error.kind, Kind.INVALID_REQUEST)
        self.assertEqual(body(error, "anthropic", "r")["error"]["details"], {"error_code": "c"})  # type: ignore[index]

    def test_headers(self) -> None:
        """Waiting times, limits and the request's id come along; nothing else does."""
        headers = [
            ("Retry-After", "7"),
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("request-id", "req_1"),
            ("set-cookie", "secret"),
        ]
        error = DIALECTS["anthropic"].parse_error(529, headers, b"<html>")
        self.assertEqual(error.headers, tuple(headers[:3]))
        self.assertEqual((error.kind, error.http_status), (Kind.OVERLOADED, 529))
        self.assertEqual(error.message, "The upstream answered 529 without saying why.")


class TooLongTests(SynchronousTestCase):
    """A prompt that does not fit: the clients of both vendors compact when they understand it."""

    def test_for_openais_clients(self) -> None:
        for message in (
            "prompt is too long: 208310 tokens > 200000 maximum",
            "input length and `max_tokens` exceed context limit: 190000 + 32000 > 200000",
        ):
            said = {"error": {"type": "invalid_request_error", "message": message}}
            error = read("anthropic", 400, said)
            self.assertEqual(error.message, message)
            told = body(error, "openai_chat", "r")["error"]
            self.assertEqual(told["code"], "context_length_exceeded")  # type: ignore[index]

    def test_for_anthropics_clients(self) -> None:
        window = "Your input exceeds the context window of this model."
        length = "This model's maximum context length is 8192 tokens."
        for error in (
            {"message": window, "code": "context_length_exceeded"},
            {"message": length, "type": "BadRequestError", "code": 400},
            {"message": "Too many.", "type": "exceed_context_size_error", "code": 400},
        ):
            found = read("openai_chat", 400, {"error": error})
            self.assertEqual(found.code, "context_length_exceeded")
            told = body(found, "anthropic", "r")["error"]
            self.assertEqual(
                told,
                {
                    "type": "invalid_request_error",
                    "message": f"prompt is too long: {error['message']}",
                },
            )

    def test_imitators(self) -> None:
        """Each server has words of its own for it."""
        for message in (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "Invalid request: Your request exceeded model token limit: 131072",
            "Input is too long for requested model.",
            "invalid params, context window exceeds limit (2013)",
            "The number of tokens to keep from the initial prompt is greater than the context length.",
            "prompt token count of 130000 exceeds the limit of 128000",
        ):
            found = read("openai_chat", 400, {"error": {"message": message}})
            self.assertEqual(found.message, f"prompt is too long: {message}")
            self.assertEqual(found.code, "context_length_exceeded")

    def test_others(self) -> None:
        """A limit of another kind is none of the prompt."""
        for message in (
            "Request too large for model `m` on tokens per minute (TPM): Limit 8000, Requested 9000.",
            "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens.",
        ):
            found = read("openai_chat", 400, {"error": {"message": message}})
            self.assertEqual((found.message, found.code), (message, None))
        dialects: tuple[DialectName, ...] = ("anthropic", "openai_chat")
        for dialect in dialects:
            said = {
                "error": {"message": "The context is unclear.", "type": "invalid_request_error"}
            }
            found = read(dialect, 400, said)
            self.assertEqual((found.message, found.code), (said["error"]["message"], None))


class OpenAIErrorTests(SynchronousTestCase):
    """OpenAI's errors and those of its imitators."""

    def test_kinds(self) -> None:
        """The code decides, then the type, then the status."""
        for status, error, kind in (
            (401, {"message": "M", "code": "invalid_api_key"}, Kind.AUTHENTICATION),
            (429, {"message": "M", "code": "insufficient_quota"}, Kind.BILLING),
            (429, {"message": "M", "type": "requests", "code": None}, Kind.RATE_LIMIT),
            (404, {"message": "M", "code": "model_not_found"}, Kind.MODEL_NOT_FOUND),
            (404, {"message": "M", "type": "invalid_request_error"}, Kind.NOT_FOUND),
            (400, {"message": "M", "type": "invalid_request_error"}, Kind.INVALID_REQUEST),
            (503, {"message": "M", "type": "server_error"}, Kind.UNAVAILABLE),
            (503, {"message": "M", "code": "server_is_overloaded"}, Kind.OVERLOADED),
            (529, {"message": "M"}, Kind.OVERLOADED),
            (418, {"message": "M"}, Kind.INVALID_REQUEST),
            (502, {"message": "M", "code": 502}, Kind.API),
        ):
            found = read("openai_chat", status, {"error": error})
            self.assertEqual((found.kind, found.http_status), (kind, status), error)
            self.assertEqual(found.message, "M")

    def test_param_and_code(self) -> None:
        """The field at fault and the vendor's code stay for a caller of the same vendor."""
        said = {"message": "M", "type": "invalid_request_error", "param": "stop", "code": "why"}
        found = body(read("openai_chat", 400, {"error": said}), "openai_chat", "r")
        self.assertEqual(found, {"error": said})

    def test_in_an_array(self) -> None:
        """Gemini puts its error into one."""
        said = [{"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}]
        found = read("openai_chat", 429, said)
        self.assertEqual((found.kind, found.message), (Kind.RATE_LIMIT, "Slow down."))
        nothing: tuple[list[Any], ...] = ([], [[]], ["x"], [{"error": None}])
        for empty in nothing:
            found = read("openai_chat", 400, empty)
            self.assertEqual(found.message, "The upstream answered 400 without saying why.")

    def test_reading_takes_a_time_in_proportion_to_the_words(self) -> None:
        """An upstream that says much cannot keep the proxy from its other work."""
        for words in ("input token count ", "prompt token count "):
            said = {"error": {"message": words * 20_000}}
            start = process_time()
            self.assertEqual(read("openai_chat", 500, said).kind, Kind.API)
            self.assertLess(process_time() - start, 2.0)

    def test_a_routers_upstream(self) -> None:
        """OpenRouter says what its own upstream said in another place."""
        too_long = '{"error":{"message":"The input token count (9) exceeds the maximum (8)."}}'
        for raw, words in (
            ("plain", "Provider returned error: plain"),
            ('{"error":{"message":"Busy."}}', "Provider returned error: Busy."),
            ({"message": "Busy."}, "Provider returned error: Busy."),
            (None, "Provider returned error"),
            (
                too_long,
                "prompt is too long: Provider returned error: "
                "The input token count (9) exceeds the maximum (8).",
            ),
        ):
            metadata = {"raw": raw, "provider_name": "X"}
            said = {"message": "Provider returned error", "code": 400, "metadata": metadata}
            self.assertEqual(read("openai_chat", 400, {"error": said}).message, words)

    def test_lists_of_faults(self) -> None:
        """What servers say that check a request with pydantic."""
        faults = [
            {
                "type": "extra_forbidden",
                "loc": ["body", "messages", 3, "assistant", "reasoning_content"],
                "msg": "Extra inputs are not permitted",
                "input": "secret",
            },
            {"loc": ["body", "n"], "msg": "Field required"},
        ]
        words = (
            "body.messages.3.assistant.reasoning_content: Extra inputs are not permitted; "
            "body.n: Field required"
        )
        for said in (
            {"object": "error", "message": {"detail": faults}, "type": "invalid_request_error"},
            {"detail": faults},
            {"error": {"message": faults}},
        ):
            found = read("openai_chat", 422, said)
            self.assertEqual((found.message, found.http_status), (words, 422))
        deep: Any = "x"
        for _ in range(10):
            deep = [deep]
        found = read("openai_chat", 422, {"detail": deep})
        self.assertEqual(found.message, "The upstream answered 422 without saying why.")

    def test_imitators(self) -> None:
        """A string, a ``detail``, a bare object."""
        for said in ({"error": "M"}, {"detail": "M"}, {"object": "error", "message": "M"}):
            self.assertEqual(read("openai_chat", 400, said).message, "M")

    @settings(deadline=None, max_examples=100)
    @given(st.integers(400, 599), st.binary(max_size=60))
    def test_hostile(self, status: int, data: bytes) -> None:
        """Whatever came, the status stays and there is something to say."""
        for dialect in ("anthropic", "openai_chat"):
            error = DIALECTS[dialect].parse_error(status, [], data)
            self.assertEqual(error.http_status, status)
            self.assertTrue(error.message)
