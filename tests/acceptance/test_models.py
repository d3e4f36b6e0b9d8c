"""The lists of models, and what the proxy answers by itself."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.acceptance.caller import ANTHROPIC, OPENAI, ask, message, parsed, post
from tests.acceptance.case import RFC3339, AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.test_paths import PathCase
from tests.acceptance.upstream import Asked, End, Upstream, answer

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
