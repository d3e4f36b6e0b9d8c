"""The paths and their methods, operations' paths, CORS, and what every answer carries."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.caller import ANTHROPIC, OPENAI, ask, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.upstream import Upstream, answer


def house(stack: ExitStack, folder: Path) -> tuple[Upstream, Upstream, Program]:
    """A proxy with nothing out of the ordinary, and an upstream for each dialect."""
    claude = stack.enter_context(Upstream())
    gpt = stack.enter_context(Upstream())
    config = {
        "providers": {
            "anthropic": {"base_url": claude.url},
            "openai": {"base_url": gpt.url + "/v1"},
        },
        "storage": {"url": "none"},
    }
    return claude, gpt, stack.enter_context(Program(folder, config))


class PathCase(AcceptanceCase):
    def setUp(self) -> None:
        super().setUp()
        self.claude, self.gpt, self.proxy = shared(house)
        self.port = self.proxy.port
        for upstream in (self.claude, self.gpt):
            upstream.answers(answer({"from": "upstream"}))

    def asked(self) -> list[tuple[str, str, str]]:
        """Who was asked, how, and for what."""
        both = [("anthropic", each) for each in self.claude.asked]
        both += [("openai", each) for each in self.gpt.asked]
        return [(name, each.method, each.target) for name, each in both]


class ForwardedPathTests(PathCase):
    def test_anthropic(self) -> None:
        """POST /v1/messages, /v1/messages/count_tokens: Anthropic dialect."""
        targets = [
            "/v1/messages",
            "/v1/messages?beta=true",
            "/v1/messages/count_tokens",
            "/v1/messages/count_tokens?beta=true&x=%41%2F",
        ]
        for target in targets:
            self.assertEqual(post(self.port, target, message(), ANTHROPIC).status, 200)
        self.assertEqual(self.asked(), [("anthropic", "POST", target) for target in targets])

    def test_openai(self) -> None:
        """POST /v1/chat/completions, POST /v1/responses: OpenAI dialects."""
        targets = ["/v1/chat/completions", "/v1/responses", "/v1/responses?x=y"]
        for target in targets:
            body = {**message("gpt-x"), "input": "hi"}
            self.assertEqual(post(self.port, target, body, OPENAI).status, 200)
        self.assertEqual(self.asked(), [("openai", "POST", target) for target in targets])

    def test_any_other(self) -> None:
        """Any other /v1/…: passed through to the dialect's default provider."""
        for headers, name in ((ANTHROPIC, "anthropic"), (OPENAI, "openai"), ({}, "openai")):
            wanted = []
            for method, target in (
                ("GET", "/v1/files?limit=3"),
                ("POST", "/v1/embeddings"),
                ("DELETE", "/v1/files/file-1"),
                ("PUT", "/v1/a/b/c%2Fd"),
                ("PATCH", "/v1/x"),
                ("GET", "/v1/messages/batches/b/results"),
                ("GET", "/v1/responses/resp_1"),
            ):
                if target.startswith("/v1/messages/") and name == "openai":
                    continue
                body = b"\x00\xffnot json" if method in ("POST", "PUT", "PATCH") else b""
                reply = ask(self.port, method, target, body, headers)
                self.assertEqual((reply.status, parsed(reply)), (200, {"from": "upstream"}))
                wanted.append((name, method, target))
            self.assertEqual(self.asked(), wanted)
            for upstream in (self.claude, self.gpt):
                for each in upstream.asked:
                    expected = (
                        b"\x00\xffnot json" if each.method in ("POST", "PUT", "PATCH") else b""
                    )
                    self.assertEqual(each.body, expected)
                upstream.asked.clear()

    def test_head_of_another(self) -> None:
        reply = ask(self.port, "HEAD", "/v1/files/1", b"", OPENAI)
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.asked(), [("openai", "HEAD", "/v1/files/1")])

    def test_pinned(self) -> None:
        """/{provider}/v1/…: passed through to that provider, whatever the model."""
        post(self.port, "/anthropic/v1/messages?beta=true", message("gpt-4"), ANTHROPIC)
        post(self.port, "/openai/v1/chat/completions", message("claude-x"), OPENAI)
        post(self.port, "/openai/v1/responses", {"model": "claude-x", "input": "x"}, OPENAI)
        ask(self.port, "GET", "/anthropic/v1/files", b"", ANTHROPIC)
        ask(self.port, "GET", "/openai/v1/files?x=1", b"", OPENAI)
        ask(self.port, "GET", "/openai/v1/models", b"", OPENAI)
        self.assertEqual(
            self.asked(),
            [
                ("anthropic", "POST", "/v1/messages?beta=true"),
                ("anthropic", "GET", "/v1/files"),
                ("openai", "POST", "/v1/chat/completions"),
                ("openai", "POST", "/v1/responses"),
                ("openai", "GET", "/v1/files?x=1"),
                ("openai", "GET", "/v1/models"),
            ],
        )
        self.assertEqual(self.claude.asked[0].json["model"], "gpt-4")
        self.assertEqual(self.gpt.asked[0].json["model"], "claude-x")

    def test_routes(self) -> None:
        """`claude-*`, `gpt-*` and `o[0-9]*` go to their providers; the rest to the dialect's own."""
        for model in ("gpt-5", "o3", "o4-mini", "llama", "omni", "O3"):
            post(self.port, "/v1/chat/completions", message(model), OPENAI)
        for model in ("claude-3", "llama", "Claude"):
            post(self.port, "/v1/messages", message(model), ANTHROPIC)
        self.assertEqual(
            [each.json["model"] for each in self.claude.asked], ["claude-3", "llama", "Claude"]
        )
        self.assertEqual(len(self.gpt.asked), 6)

    def test_doubled_slashes(self) -> None:
        """A base URL that ends in a slash works."""
        self.assertEqual(post(self.port, "//v1/messages", message(), ANTHROPIC).status, 200)
        self.assertEqual(self.asked(), [("anthropic", "POST", "/v1/messages")])

    def test_nowhere(self) -> None:
        for target in ("/nowhere", "/nobody/v1/messages", "/v2/messages"):
            reply = post(self.port, target, message(), ANTHROPIC)
            self.assertAnthropicError(reply, 404, "not_found_error")
            reply = post(self.port, target, message(), OPENAI)
            self.assertEqual(reply.status, 404)
            self.assertEqual(parsed(reply)["error"].keys(), {"message", "type", "param", "code"})
        self.assertEqual(self.asked(), [])

    def test_websockets(self) -> None:
        """An upgrade to a WebSocket is answered at once, so that the client falls back to HTTP."""
        headers = {
            **OPENAI,
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        self.assertEqual(ask(self.port, "GET", "/v1/responses", b"", headers).status, 426)


class MethodTests(PathCase):
    """Method not allowed on a known path: 405."""

    def test_paths_that_take_post(self) -> None:
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            for path in ("/v1/messages", "/v1/messages/count_tokens"):
                reply = ask(self.port, method, path)
                self.assertAnthropicError(reply, 405, "invalid_request_error")
                self.assertIn("POST", reply["allow"] or "")
            for path in ("/v1/chat/completions", "/v1/responses"):
                reply = ask(self.port, method, path)
                self.assertOpenAIError(reply, 405, "method_not_allowed")
                self.assertIn("POST", reply["allow"] or "")
            reply = ask(self.port, method, "/openai/v1/chat/completions")
            self.assertOpenAIError(reply, 405, "method_not_allowed")
        self.assertEqual(self.asked(), [])

    def test_paths_that_take_get(self) -> None:
        for path in ("/v1/models", "/v1/models/gpt-listed", "/v1/tools"):
            self.assertOpenAIError(post(self.port, path, {}, OPENAI), 405, "method_not_allowed")
            reply = post(self.port, path, {}, ANTHROPIC)
            self.assertAnthropicError(reply, 405, "invalid_request_error")
            self.assertIn("GET", reply["allow"] or "")
        self.assertEqual(self.asked(), [])

    def test_paths_of_operations(self) -> None:
        for path in ("/health", "/livez", "/metrics", "/openapi.json", "/openapi.yaml"):
            for method in ("POST", "DELETE"):
                reply = ask(self.port, method, path, b"")
                self.assertOpenAIError(reply, 405, "method_not_allowed")
                self.assertIn("GET", reply["allow"] or "")

    def test_head_of_a_path_that_takes_post(self) -> None:
        reply = ask(self.port, "HEAD", "/v1/messages")
        self.assertEqual((reply.status, reply.body), (405, b""))


def keyed(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy that demands a key, and has no dashboard."""
    upstream = stack.enter_context(Upstream())
    config = {
        "auth": {"api_keys": ["proxy-key"]},
        "server": {"cors": {"origins": ["https://app.example.com"]}},
        "providers": {
            "anthropic": {"base_url": upstream.url, "api_key": "sk-up"},
            "openai": {"base_url": upstream.url, "api_key": "sk-up"},
        },
        "default_provider": {"openai": None},
        "routes": [{"match": "known-*", "provider": "openai"}],
        "dashboard": {"enabled": False},
        "storage": {"url": "none"},
    }
    return upstream, stack.enter_context(Program(folder, config))


PREFLIGHT = {
    "origin": "https://chat.example.com",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-custom",
}
