"""The paths and their methods, operations' paths, CORS, and what every answer carries."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, ask, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.upstream import Asked, End, Upstream, answer

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")

ANTHROPIC_MODELS = {
    "data": [
        {
            "type": "model",
            "id": "claude-listed",
            "display_name": "Claude Listed",
            "created_at": "2026-01-01T00:00:00Z",
        }
    ],
    "has_more": False,
    "first_id": "claude-listed",
    "last_id": "claude-listed",
}
OPENAI_MODELS = {
    "object": "list",
    "data": [{"id": "gpt-listed", "object": "model", "created": 1700000000, "owned_by": "openai"}],
}


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


class OperationsTests(PathCase):
    def test_health(self) -> None:
        """GET, HEAD /health: 200 `{"status":"ok",…}`."""
        reply = ask(self.port, "GET", "/health")
        self.assertEqual((reply.status, parsed(reply)["status"]), (200, "ok"))
        self.assertEqual(reply["content-type"], "application/json")
        reply = ask(self.port, "HEAD", "/health")
        self.assertEqual((reply.status, reply.body), (200, b""))

    def test_livez(self) -> None:
        """GET /livez: `{"status":"ok"|"draining","in_flight":N,"draining":bool,"timestamp":RFC 3339}`."""
        reply = ask(self.port, "GET", "/livez")
        said = parsed(reply)
        self.assertEqual(reply.status, 200)
        self.assertEqual(said.keys(), {"status", "in_flight", "draining", "timestamp"})
        self.assertEqual((said["status"], said["in_flight"], said["draining"]), ("ok", 0, False))
        self.assertRegex(said["timestamp"], RFC3339)
        moment = datetime.fromisoformat(said["timestamp"].replace("Z", "+00:00"))
        now = datetime.now(moment.tzinfo)
        self.assertLess(abs((now - moment).total_seconds()), 5)

    def test_metrics(self) -> None:
        """GET /metrics: Prometheus."""
        post(self.port, "/v1/messages?key=hidden", message("claude-metric"), ANTHROPIC)
        reply = ask(self.port, "GET", "/metrics")
        self.assertEqual(reply.status, 200)
        self.assertTrue(
            (reply["content-type"] or "").startswith(("text/plain", "application/openm"))
        )
        text = reply.body.decode()
        self.assertRegex(text, r"(?m)^# TYPE clawproxy\w* ")
        for hidden in ("sk-caller", "hidden", "127.0.0.1", '"hi"'):
            self.assertNotIn(hidden, text)

    def test_openapi(self) -> None:
        """GET /openapi.json, /openapi.yaml: OpenAPI 3.1 of all of the above."""
        reply = ask(self.port, "GET", "/openapi.json")
        self.assertEqual((reply.status, reply["content-type"]), (200, "application/json"))
        document = parsed(reply)
        self.assertTrue(document["openapi"].startswith("3.1."))
        for path, methods in (
            ("/v1/messages", {"post"}),
            ("/v1/messages/count_tokens", {"post"}),
            ("/v1/chat/completions", {"post"}),
            ("/v1/responses", {"post"}),
            ("/v1/models", {"get"}),
            ("/v1/tools", {"get"}),
            ("/health", {"get", "head"}),
            ("/livez", {"get"}),
            ("/metrics", {"get"}),
            ("/openapi.json", {"get"}),
            ("/openapi.yaml", {"get"}),
            ("/", {"get", "head"}),
        ):
            self.assertIn(path, document["paths"])
            self.assertLessEqual(methods, document["paths"][path].keys(), path)
        self.assertTrue(any(path.startswith("/v1/models/{") for path in document["paths"]))
        self.assertTrue(any(path.startswith("/{provider}/v1/") for path in document["paths"]))
        self.assertIn("/api/requests", document["paths"])
        reply = ask(self.port, "GET", "/openapi.yaml")
        self.assertEqual(reply.status, 200)
        self.assertIn("yaml", reply["content-type"] or "")
        self.assertEqual(yaml.safe_load(reply.body), document)

    def test_claude_codes_probe(self) -> None:
        """HEAD / 200: Claude Code's probe."""
        reply = ask(self.port, "HEAD", "/")
        self.assertEqual((reply.status, reply.body), (200, b""))

    def test_the_way_to_the_dashboard(self) -> None:
        """GET / → /ui/: dashboard."""
        reply = ask(self.port, "GET", "/")
        self.assertIn(reply.status, (301, 302, 303, 307, 308))
        self.assertTrue((reply["location"] or "").endswith("/ui/"))

    def test_none_counts_and_none_needs_a_key(self) -> None:
        """/health, /livez, /metrics and /openapi.* need no key and count nowhere."""
        up, proxy = shared(keyed)
        up.answers(answer())
        for path in ("/health", "/livez", "/metrics", "/openapi.json", "/openapi.yaml"):
            self.assertEqual(ask(proxy.port, "GET", path).status, 200, path)
            self.assertEqual(ask(proxy.port, "HEAD", path).status, 200, path)
        self.assertEqual(ask(proxy.port, "HEAD", "/").status, 200)
        self.assertEqual(proxy.livez["in_flight"], 0)
        for path in ("/v1/models", "/v1/models/x", "/v1/tools", "/v1/files", "/anthropic/v1/files"):
            self.assertEqual(ask(proxy.port, "GET", path).status, 401, path)


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


class EveryAnswerTests(PathCase):
    """Every answer carries `x-clawproxy-id` … and `x-request-id`."""

    def test_every_answer(self) -> None:
        ids = set()
        answers = [
            ask(self.port, "GET", "/health"),
            ask(self.port, "GET", "/livez"),
            ask(self.port, "GET", "/metrics"),
            ask(self.port, "GET", "/openapi.json"),
            ask(self.port, "GET", "/"),
            ask(self.port, "HEAD", "/"),
            ask(self.port, "GET", "/nowhere"),
            ask(self.port, "GET", "/v1/models"),
            ask(self.port, "GET", "/v1/messages"),
            ask(self.port, "GET", "/v1/files"),
            post(self.port, "/v1/messages", message(), ANTHROPIC),
            post(self.port, "/v1/messages", b"{", ANTHROPIC),
            ask(self.port, "OPTIONS", "/v1/messages", b"", PREFLIGHT),
        ]
        for reply in answers:
            self.assertEqual(len(reply.all("x-clawproxy-id")), 1, reply)
            self.assertEqual(len(reply.all("x-request-id")), 1, reply)
            ids.add(reply["x-clawproxy-id"])
        self.assertEqual(len(ids), len(answers), "an id was used twice")

    def test_x_request_id(self) -> None:
        """The upstream's if it sent one, else the caller's if sane, else the proxy's own."""
        sane = "Az09._-" + "x" * 121
        self.assertEqual(len(sane), 128)
        for upstream, caller, expected in (
            ("req_up", "mine", "req_up"),
            ("req_up", None, "req_up"),
            (None, "mine", "mine"),
            (None, sane, sane),
            (None, sane + "x", None),
            (None, "not sane", None),
            (None, "<script>", None),
            (None, "ümlaut", None),
            (None, "", None),
            (None, None, None),
        ):
            more = [("X-Request-Id", upstream)] if upstream else []
            self.claude.answers(answer(headers=[("Content-Type", "application/json"), *more]))
            headers = [
                *ANTHROPIC.items(),
                *([("x-request-id", caller)] if caller is not None else []),
            ]
            reply = post(self.port, "/v1/messages", message(), headers)
            self.assertEqual(reply.all("x-request-id"), [expected or reply["x-clawproxy-id"]])

    def test_anthropics_own_request_id(self) -> None:
        """The upstream's, which is called `request-id` there; that header stays as well."""
        more = [("Content-Type", "application/json"), ("request-id", "req_011")]
        self.claude.answers(answer(headers=more))
        reply = post(self.port, "/v1/messages", message(), {**ANTHROPIC, "x-request-id": "mine"})
        self.assertEqual((reply["x-request-id"], reply["request-id"]), ("req_011", "req_011"))

    def test_of_errors(self) -> None:
        """`request_id` in an error body of the proxy's own is the answer's `x-request-id`."""
        for method, target, body in (
            ("POST", "/v1/messages", b"{"),
            ("GET", "/v1/messages", b""),
            ("GET", "/nowhere", b""),
        ):
            reply = ask(self.port, method, target, body, {**ANTHROPIC, "x-request-id": "mine-1"})
            self.assertEqual(reply["x-request-id"], "mine-1")
            self.assertEqual(parsed(reply)["request_id"], "mine-1")
            reply = ask(self.port, method, target, body, {**ANTHROPIC, "x-request-id": "a b"})
            self.assertEqual(reply["x-request-id"], reply["x-clawproxy-id"])
            self.assertEqual(parsed(reply)["request_id"], reply["x-request-id"])

    def test_a_callers_own_x_clawproxy_id_is_not_taken(self) -> None:
        reply = post(self.port, "/v1/messages", message(), {**ANTHROPIC, "x-clawproxy-id": "mine"})
        self.assertNotEqual(reply["x-clawproxy-id"], "mine")

    def test_an_upstreams_x_clawproxy_id_is_not_taken(self) -> None:
        more = [("Content-Type", "application/json"), ("x-clawproxy-id", "theirs")]
        self.claude.answers(answer(headers=more))
        reply = post(self.port, "/v1/messages", message(), ANTHROPIC)
        self.assertEqual(len(reply.all("x-clawproxy-id")), 1)
        self.assertNotEqual(reply["x-clawproxy-id"], "theirs")


PREFLIGHT = {
    "origin": "https://chat.example.com",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-custom",
}


class CorsTests(PathCase):
    """`cors: {origins: ["*"]}`; [] turns CORS off."""

    def test_preflight(self) -> None:
        for target in ("/v1/chat/completions", "/v1/messages", "/v1/models", "/openai/v1/files"):
            reply = ask(self.port, "OPTIONS", target, b"", PREFLIGHT)
            self.assertIn(reply.status, (200, 204))
            self.assertEqual(reply["access-control-allow-origin"], "*")
            self.assertIn("POST", reply["access-control-allow-methods"] or "")
            allowed = (reply["access-control-allow-headers"] or "").lower()
            for name in ("authorization", "content-type", "x-custom"):
                self.assertIn(name, allowed)
            self.assertIsNone(reply["access-control-allow-private-network"])
        self.assertEqual(self.asked(), [])

    def test_preflight_of_a_private_network(self) -> None:
        headers = {**PREFLIGHT, "access-control-request-private-network": "true"}
        reply = ask(self.port, "OPTIONS", "/v1/chat/completions", b"", headers)
        self.assertEqual(reply["access-control-allow-private-network"], "true")

    def test_answers(self) -> None:
        origin = {"origin": "https://chat.example.com"}
        for reply in (
            post(self.port, "/v1/chat/completions", message("gpt-x"), {**OPENAI, **origin}),
            post(self.port, "/v1/chat/completions", b"", {**OPENAI, **origin}),
            ask(self.port, "GET", "/v1/models", b"", {**OPENAI, **origin}),
            ask(self.port, "GET", "/v1/chat/completions", b"", {**OPENAI, **origin}),
        ):
            self.assertEqual(reply.all("access-control-allow-origin"), ["*"])

    def test_an_upstreams_own_is_replaced(self) -> None:
        more = [("Content-Type", "application/json"), ("access-control-allow-origin", "https://x")]
        self.gpt.answers(answer(headers=more))
        headers = {**OPENAI, "origin": "https://chat.example.com"}
        reply = post(self.port, "/v1/chat/completions", message("gpt-x"), headers)
        self.assertEqual(reply.all("access-control-allow-origin"), ["*"])

    def test_of_certain_origins(self) -> None:
        up, proxy = shared(keyed)
        up.answers(answer())
        theirs = {**PREFLIGHT, "origin": "https://app.example.com"}
        reply = ask(proxy.port, "OPTIONS", "/v1/messages", b"", theirs)
        self.assertEqual(reply["access-control-allow-origin"], "https://app.example.com")
        reply = ask(proxy.port, "OPTIONS", "/v1/messages", b"", PREFLIGHT)
        self.assertIsNone(reply["access-control-allow-origin"])
        for origin, allowed in (
            ("https://app.example.com", "https://app.example.com"),
            ("https://app.example.com.evil.example", None),
            ("https://evil.example", None),
            ("null", None),
        ):
            headers = {"x-api-key": "proxy-key", "origin": origin}
            reply = post(proxy.port, "/v1/messages", message(), headers)
            self.assertEqual((reply.status, reply["access-control-allow-origin"]), (200, allowed))
            self.assertIn("Origin", reply["vary"] or "")

    def test_no_key_is_needed_to_ask(self) -> None:
        """A browser sends no key with a preflight."""
        _, proxy = shared(keyed)
        theirs = {**PREFLIGHT, "origin": "https://app.example.com"}
        self.assertIn(ask(proxy.port, "OPTIONS", "/v1/messages", b"", theirs).status, (200, 204))

    def test_a_browser_can_read_why_its_key_is_refused(self) -> None:
        _, proxy = shared(keyed)
        headers = {"origin": "https://app.example.com"}
        reply = post(proxy.port, "/v1/messages", message(), headers)
        self.assertEqual(reply.status, 401)
        self.assertEqual(reply["access-control-allow-origin"], "https://app.example.com")


def catalogue(stack: ExitStack, folder: Path) -> Program:
    """A proxy with several providers, one of which is gone and one of which is silent."""
    claude, gpt, gone, silent = (Upstream() for _ in range(4))
    for each in (claude, gpt, silent, gone):
        stack.enter_context(each)
    gone.stop()
    claude.script = lambda asked: answer(ANTHROPIC_MODELS if _lists(asked, "sk-a") else {})
    gpt.script = lambda asked: answer(OPENAI_MODELS if _lists(asked, "sk-o") else {})
    silent.script = lambda asked: [End.HANG]
    config = {
        "providers": {
            "anthropic": {"base_url": claude.url, "api_key": "sk-a"},
            "openai": {"base_url": gpt.url, "api_key": "sk-o"},
            "gone": {"kind": "openai", "base_url": gone.url, "api_key": "sk-x"},
            "silent": {"kind": "openai", "base_url": silent.url, "api_key": "sk-x"},
        },
        "routes": [{"match": "fast", "provider": "openai", "model": "gpt-listed"}],
        "storage": {"url": "none"},
    }
    return stack.enter_context(Program(folder, config))


def _lists(asked: Asked, key: str) -> bool:
    presented = (asked.header("x-api-key"), asked.header("authorization"))
    return asked.path == "/v1/models" and presented in ((key, None), (None, f"Bearer {key}"))


class ModelTests(AcceptanceCase):
    """GET /v1/models, /v1/models/{id}: all models of all providers, in the caller's dialect."""

    def setUp(self) -> None:
        super().setUp()
        self.proxy = shared(catalogue)

    def get(self, target: str, headers: dict[str, str]) -> Any:
        started = time.monotonic()
        reply = ask(self.proxy.port, "GET", target, b"", headers)
        # Claude Code gives up after 3 s.
        self.assertLess(time.monotonic() - started, 3)
        self.assertEqual(reply.status, 200)
        return parsed(reply)

    def test_in_openais_dialect(self) -> None:
        listing = self.get("/v1/models", OPENAI)
        self.assertEqual(listing["object"], "list")
        models = {each["id"]: each for each in listing["data"]}
        for name in ("claude-listed", "gpt-listed", "fast", "demo"):
            self.assertIn(name, models)
            self.assertEqual(models[name]["object"], "model")
            self.assertIsInstance(models[name]["created"], int)
            self.assertIsInstance(models[name]["owned_by"], str)

    def test_in_anthropics_dialect(self) -> None:
        """Anthropic's when `anthropic-version` is sent."""
        listing = self.get("/v1/models?limit=1000", ANTHROPIC)
        self.assertLessEqual({"data", "has_more", "first_id", "last_id"}, listing.keys())
        models = {each["id"]: each for each in listing["data"]}
        for name in ("claude-listed", "gpt-listed", "fast"):
            self.assertEqual(models[name]["type"], "model")
            self.assertTrue(models[name]["display_name"])
            self.assertRegex(models[name]["created_at"], RFC3339)
        self.assertEqual(models["claude-listed"]["display_name"], "Claude Listed")

    def test_one_model(self) -> None:
        one = self.get("/v1/models/claude-listed", OPENAI)
        self.assertEqual((one["id"], one["object"]), ("claude-listed", "model"))
        one = self.get("/v1/models/gpt-listed", ANTHROPIC)
        self.assertEqual((one["id"], one["type"]), ("gpt-listed", "model"))

    def test_an_unknown_model(self) -> None:
        target = "/v1/models/nothing-like-it"
        reply = ask(self.proxy.port, "GET", target, b"", OPENAI)
        self.assertOpenAIError(reply, 404, "model_not_found")
        reply = ask(self.proxy.port, "GET", target, b"", ANTHROPIC)
        self.assertAnthropicError(reply, 404, "not_found_error")


class OwnAnswerTests(PathCase):
    """What the proxy answers by itself."""

    def test_tools_need_an_agent(self) -> None:
        """GET /v1/tools: an OpenClaw agent's skills; without one there is nothing to list."""
        self.assertOpenAIError(
            ask(self.port, "GET", "/v1/tools", b"", OPENAI), 404, "model_not_found"
        )
        self.assertEqual(self.asked(), [])

    def test_the_demo(self) -> None:
        """The model name `demo` is answered by the proxy itself, in each dialect."""
        said = parsed(post(self.port, "/v1/messages", message("demo")))
        self.assertEqual(
            (said["type"], said["role"], said["model"]), ("message", "assistant", "demo")
        )
        said = parsed(post(self.port, "/v1/chat/completions", message("demo")))
        self.assertEqual(said["object"], "chat.completion")
        said = parsed(post(self.port, "/v1/responses", {"model": "demo", "input": "hi"}))
        self.assertEqual((said["object"], said["status"]), ("response", "completed"))
        self.assertEqual(self.asked(), [])


class ProtocolTests(PathCase):
    """HTTP as callers speak it."""

    def test_http_1_0(self) -> None:
        """An HTTP/1.0 caller gets a body that ends by the connection's end, without chunks."""
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", message("demo", stream=True), version="1.0")
            caller.end()
            head, _, body = caller.data.partition(b"\r\n\r\n")
        self.assertNotIn(b"transfer-encoding", head.lower())
        self.assertTrue(body.startswith(b"event: message_start\n"), body[:100])

    def test_pipelined(self) -> None:
        with Connection(self.port) as caller:
            one = json.dumps(message()).encode()
            head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(one)
            caller.socket.sendall((head + one) * 3)
            while caller.data.count(b'{"from": "upstream"}') < 3:
                self.assertTrue(caller.receive())
        self.assertEqual(len(self.claude.asked), 3)

    def test_expect_100_continue(self) -> None:
        data = json.dumps(message()).encode()
        with Connection(self.port) as caller:
            headers = {"expect": "100-continue", "content-length": str(len(data))}
            caller.send("POST", "/v1/messages", b"", headers)
            caller.until(b"100 Continue\r\n\r\n")
            caller.data = b""
            caller.socket.sendall(data)
            self.assertEqual(caller.reply().status, 200)

    def test_chunked_request(self) -> None:
        data = json.dumps(message()).encode()
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", b"", {"transfer-encoding": "chunked"})
            for piece in (data[:7], data[7:]):
                caller.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            caller.socket.sendall(b"0\r\n\r\n")
            self.assertEqual(caller.reply().status, 200)
        self.assertEqual(self.claude.asked[0].body, data)

    def test_large_heads(self) -> None:
        """Headers of more than 16 KiB, from callers and from upstreams."""
        many = [(f"X-Many-{number}", "v" * 1000) for number in range(60)]
        self.claude.answers(answer(headers=[("Content-Type", "application/json"), *many]))
        reply = post(self.port, "/v1/messages", message(), [*ANTHROPIC.items(), *many])
        self.assertEqual(reply.status, 200)
        for name, value in many:
            self.assertEqual(reply[name.lower()], value)
            self.assertEqual(self.claude.asked[0].header(name.lower()), value)
