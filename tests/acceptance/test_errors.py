"""The table of errors, row by row, in each dialect; the lines that a failed forward logs."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import zstandard

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program, free_port
from tests.acceptance.upstream import JSON, Upstream, answer
from tests.wire import Reply

MAX_BODY = 100_000


FRAME = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'


def full_backlog() -> tuple[list[socket.socket], int]:
    """A port on which no connection ever comes about."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    sockets = [listener]
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        sockets.append(filler)
    return sockets, listener.getsockname()[1]


def house(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy whose providers have all that can be wrong with an upstream."""
    upstream = stack.enter_context(Upstream())
    sockets, unconnectable = full_backlog()
    for each in sockets:
        stack.callback(each.close)
    wrong: dict[str, dict[str, object]] = {
        "refused": {"base_url": f"http://127.0.0.1:{free_port()}"},
        "nameless": {"base_url": "http://does-not-exist.invalid"},
        "no-tls": {"base_url": f"https://127.0.0.1:{upstream.port}"},
        "unconnectable": {"base_url": f"http://127.0.0.1:{unconnectable}", "connect_timeout": 0.3},
        "silent": {
            "base_url": upstream.url,
            "response_header_timeout": 0.3,
            "idle_timeout": 0.4,
        },
    }
    providers: dict[str, object] = {
        "anthropic": {"base_url": upstream.url},
        "openai": {"base_url": upstream.url},
        "to-gpt": {"kind": "openai", "base_url": upstream.url, "api_key": "sk-k"},
        "to-claude": {"kind": "anthropic", "base_url": upstream.url, "api_key": "sk-k"},
    }
    for name, settings in wrong.items():
        for kind in ("anthropic", "openai"):
            providers[f"{name}-{kind}"] = {"kind": kind, **settings}
    config = {
        "server": {"max_body": MAX_BODY},
        "providers": providers,
        "routes": [
            {"match": "to-gpt", "provider": "to-gpt"},
            {"match": "to-claude", "provider": "to-claude"},
        ],
        "default_provider": {"anthropic": None, "openai": None},
        "storage": {"url": "none"},
    }
    # With a route of its own and no default, a model that nothing matches is answered 404.
    config["routes"] += [  # type: ignore[operator]
        {"match": "claude-*", "provider": "anthropic"},
        {"match": "gpt-*", "provider": "openai"},
    ]
    return upstream, stack.enter_context(Program(folder, config))


class ErrorCase(AcceptanceCase):
    def setUp(self) -> None:
        super().setUp()
        self.up, self.proxy = shared(house)
        self.up.answers(answer())

    def messages(self, body: Any, path: str = "/v1/messages", **headers: str) -> Reply:
        return post(self.proxy.port, path, body, {**ANTHROPIC, **headers})

    def chat(self, body: Any, path: str = "/v1/chat/completions", **headers: str) -> Reply:
        return post(self.proxy.port, path, body, {**OPENAI, **headers})

    def responses(self, body: Any, path: str = "/v1/responses", **headers: str) -> Reply:
        return post(self.proxy.port, path, body, {**OPENAI, **headers})


class BodyTests(ErrorCase):
    def test_no_json_object(self) -> None:
        """Body empty, not JSON, or not an object: 400 invalid_request_error / invalid_json."""
        for body in (
            b"",
            b"   ",
            b"{",
            b'{"model":"claude-x","messages":[]',
            b'{"model":"claude-x","messages":[]}}',
            b'{"model":"claude-x","messages":[],}',
            b"{'model':'x'}",
            b"[]",
            b"[1]",
            b'"text"',
            b"null",
            b"1",
            b"model=claude-x",
            b"\xff\xfe{\x00",
        ):
            for ask in (self.messages, lambda b: self.messages(b, "/v1/messages/count_tokens")):
                self.assertAnthropicError(ask(body), 400, "invalid_request_error")
            for ask in (self.chat, self.responses):
                self.assertOpenAIError(ask(body), 400, "invalid_json")
        self.assertEqual(self.up.asked, [])

    def test_it_says_what_was_found(self) -> None:
        for body, words in (
            (b" ", "it is empty"),
            (b"[]", "it is an array, not an object"),
            (b"{", "it is not JSON: "),
        ):
            error = parsed(self.messages(body))["error"]["message"]
            self.assertTrue(error.startswith(f"the request body must be a JSON object; {words}"))

    def test_missing_fields(self) -> None:
        """`model`, or `messages` where the path has it, missing or of the wrong type: missing_field."""
        for missing, wrong in (
            ("model", (None, 5, [], {}, True)),
            ("messages", (None, "x", {}, 5)),
        ):
            for value in ("absent", *wrong):
                claude, gpt = message(), message("gpt-x")
                for body in (claude, gpt):
                    if value == "absent":
                        del body[missing]
                    else:
                        body[missing] = value
                for path in ("/v1/messages", "/v1/messages/count_tokens", "/anthropic/v1/messages"):
                    reply = self.messages(claude, path)
                    error = self.assertAnthropicError(reply, 400, "invalid_request_error")
                    self.assertIn(missing, error["message"])
                error = self.assertOpenAIError(self.chat(gpt), 400, "missing_field")
                self.assertEqual(error["param"], missing)
                self.assertIn(missing, error["message"])
        for value in (None, 5, []):
            reply = self.responses({"model": value, "input": "x"})
            self.assertEqual(self.assertOpenAIError(reply, 400, "missing_field")["param"], "model")
        self.assertOpenAIError(self.responses({"input": "x"}), 400, "missing_field")
        self.assertEqual(self.responses({"model": "gpt-x"}).status, 200)

    def test_errors_are_json_even_when_a_stream_was_asked_for(self) -> None:
        reply = self.messages({"model": 5, "messages": [], "stream": True})
        self.assertAnthropicError(reply, 400, "invalid_request_error")

    def test_unsupported_parameters(self) -> None:
        """A field that the target cannot express (translated routes only): unsupported_parameter."""
        for field, value in (
            ("n", 2),
            ("logprobs", True),
            ("audio", {"voice": "a", "format": "mp3"}),
        ):
            reply = self.chat(message("to-claude", **{field: value}))
            error = self.assertOpenAIError(reply, 400, "unsupported_parameter")
            self.assertEqual(error["param"], field)
            self.assertIn(field, error["message"])
        reply = self.responses({"model": "to-claude", "input": "x", "previous_response_id": "r"})
        error = self.assertOpenAIError(reply, 400, "unsupported_parameter")
        self.assertEqual(error["param"], "previous_response_id")
        thread = {"type": "continue", "previous_message_id": "msg_1"}
        reply = self.messages(message("to-gpt", thread=thread))
        error = self.assertAnthropicError(reply, 400, "invalid_request_error")
        self.assertIn("thread", error["message"])
        self.assertEqual(self.up.asked, [])

    def test_verbatim_routes_refuse_no_parameter(self) -> None:
        thread = {"type": "continue", "previous_message_id": "msg_1"}
        self.assertEqual(self.messages(message("claude-x", thread=thread)).status, 200)
        self.assertEqual(self.chat(message("gpt-x", n=2, logprobs=True)).status, 200)
        reply = self.responses({"model": "gpt-x", "input": "x", "previous_response_id": "r"})
        self.assertEqual(reply.status, 200)


class SizeTests(ErrorCase):
    """Body over `max_body`: 413 request_too_large."""

    def test_as_sent(self) -> None:
        fits = json.dumps(message(padding="")).encode()
        fits = json.dumps(message(padding="x" * (MAX_BODY - len(fits)))).encode()
        self.assertEqual(len(fits), MAX_BODY)
        self.assertEqual(self.messages(fits).status, 200)
        self.assertAnthropicError(self.messages(fits + b" "), 413, "request_too_large")
        self.assertOpenAIError(self.chat(fits + b" "), 413, "request_too_large")
        self.assertOpenAIError(self.responses(fits + b" "), 413, "request_too_large")
        self.assertOpenAIError(self.chat(fits + b" ", "/v1/embeddings"), 413, "request_too_large")
        self.assertEqual(len(self.up.asked), 1)

    def test_at_once(self) -> None:
        """Larger ones get 413 without being read whole."""
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", b"", {"content-length": "10000000000"})
            self.assertAnthropicError(caller.reply(), 413, "request_too_large")

    def test_chunked(self) -> None:
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", b"", {"transfer-encoding": "chunked"})
            piece = b"%x\r\n%s\r\n" % (30_000, b"x" * 30_000)
            for _ in range(4):
                caller.socket.sendall(piece)
            self.assertAnthropicError(caller.reply(), 413, "request_too_large")

    def test_decoded(self) -> None:
        """`max_body` bounds it both as sent and decoded."""
        self.proxy.until_in_flight(0)
        bomb = json.dumps(message(padding="x" * 50_000_000)).encode()
        small = json.dumps(message(padding="x" * 50_000)).encode()
        codings: dict[str, Callable[[bytes], bytes]] = {
            "gzip": gzip.compress,
            "deflate": zlib.compress,
            "br": lambda data: bytes(brotli.compress(data, quality=3)),
            "zstd": zstandard.ZstdCompressor().compress,
        }
        for coding, compress in codings.items():
            headers = {"content-encoding": coding}
            started = time.monotonic()
            packed = compress(bomb)
            if len(packed) > MAX_BODY:
                continue
            reply = self.messages(packed, **headers)
            self.assertAnthropicError(reply, 413, "request_too_large")
            self.assertOpenAIError(self.chat(packed, **headers), 413, "request_too_large")
            self.assertEqual(self.messages(compress(small), **headers).status, 200)
            self.assertLess(time.monotonic() - started, 10)

    def test_twice_compressed_bombs(self) -> None:
        bomb = gzip.compress(gzip.compress(b"\0" * 200_000_000, 9), 9)
        reply = self.messages(bomb, **{"content-encoding": "gzip, gzip"})
        self.assertAnthropicError(reply, 413, "request_too_large")

    def test_undecodable(self) -> None:
        """Undecodable: 400."""
        whole = gzip.compress(json.dumps(message()).encode())
        for coding in ("gzip", "deflate", "br", "zstd"):
            headers = {"content-encoding": coding}
            for body in (b"nonsense", b'{"model":"claude-x","messages":[]}', whole[:-12], b"\x00"):
                reply = self.messages(body, **headers)
                self.assertAnthropicError(reply, 400, "invalid_request_error")
                self.assertOpenAIError(self.chat(body, **headers), 400, "invalid_json")
        self.assertEqual(self.up.asked, [])


class NoRouteTests(ErrorCase):
    def test_no_route(self) -> None:
        """No route: 404 not_found_error / model_not_found."""
        reply = self.messages(message("unheard-of"))
        self.assertIn(
            "unheard-of", self.assertAnthropicError(reply, 404, "not_found_error")["message"]
        )
        self.assertOpenAIError(self.chat(message("unheard-of")), 404, "model_not_found")
        reply = self.responses({"model": "unheard-of", "input": "x"})
        self.assertOpenAIError(reply, 404, "model_not_found")
        reply = self.messages(message("unheard-of"), "/v1/messages/count_tokens")
        self.assertAnthropicError(reply, 404, "not_found_error")
        self.assertEqual(self.up.asked, [])

    def test_no_default_for_another_path(self) -> None:
        self.assertEqual(self.chat(b"x", "/v1/embeddings").status, 404)


class OwnErrorTests(ErrorCase):
    """An upstream's own error keeps its status, its headers and, on a verbatim route, its body."""

    HEADERS = (
        *JSON,
        ("retry-after", "60"),
        ("request-id", "req_7"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("x-ratelimit-remaining-requests", "0"),
    )

    def assertKept(self, reply: Reply, status: int) -> None:
        self.assertEqual(reply.status, status)
        for name, value in self.HEADERS[1:]:
            self.assertEqual(reply.all(name), [value])
        self.assertEqual(reply["x-request-id"], "req_7")

    def test_verbatim(self) -> None:
        for status in (400, 401, 402, 403, 404, 409, 413, 429, 500, 503, 529):
            body = b'{"type" : "error","error":{"type":"odd_error","message":"words"} }'
            self.up.answers(answer(body, status, self.HEADERS))
            for reply in (
                self.messages(message()),
                self.messages(message(stream=True)),
                self.chat(message("gpt-x", stream=True)),
                self.responses({"model": "gpt-x", "input": "x"}),
            ):
                self.assertKept(reply, status)
                self.assertEqual(reply.body, body)

    def test_translated_from_openai(self) -> None:
        for status, kind in (
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
        ):
            body = {"error": {"message": "their words", "type": "t", "param": None, "code": "c"}}
            self.up.answers(answer(body, status, self.HEADERS))
            for streaming in (False, True):
                reply = self.messages(message("to-gpt", stream=streaming))
                self.assertKept(reply, status)
                error = parsed(reply)
                self.assertEqual((error["type"], error["error"]["type"]), ("error", kind))
                self.assertIn("their words", error["error"]["message"])
                self.assertEqual(error["request_id"], "req_7")

    def test_translated_from_anthropic(self) -> None:
        for status, kind in (
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (429, "rate_limit_error"),
            (529, "overloaded_error"),
        ):
            body = {"type": "error", "error": {"type": kind, "message": "their words"}}
            self.up.answers(answer(body, status, self.HEADERS))
            replies = (
                self.chat(message("to-claude", stream=True)),
                self.responses({"model": "to-claude", "input": "x"}),
            )
            for reply in replies:
                self.assertKept(reply, status)
                error = parsed(reply)["error"]
                self.assertEqual(error.keys(), {"message", "type", "param", "code"})
                self.assertIn("their words", error["message"])

    def test_what_is_no_json(self) -> None:
        self.up.answers(answer(b"<html>Bad gateway</html>", 502, [("Content-Type", "text/html")]))
        reply = self.messages(message())
        self.assertEqual((reply.status, reply.body), (502, b"<html>Bad gateway</html>"))
        reply = self.messages(message("to-gpt"))
        self.assertEqual((reply.status, reply["content-type"]), (502, "application/json"))
        self.assertEqual(parsed(reply)["error"]["type"], "api_error")
