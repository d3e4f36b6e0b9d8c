"""Whose key goes where."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.caller import Headers, ask, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.upstream import Asked, Upstream, answer
from tests.wire import Reply

SECRETS = ("x-api-key", "authorization", "api-key")


def open_house(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy that lets everybody in; some of its providers have keys."""
    upstream = stack.enter_context(Upstream())
    config = {
        "providers": {
            "anthropic": {"base_url": upstream.url},
            "openai": {"base_url": upstream.url},
            "keyed": {"kind": "anthropic", "base_url": upstream.url, "api_key": "sk-own"},
            "keyed-gpt": {"kind": "openai", "base_url": upstream.url, "api_key": "sk-own"},
        },
        "routes": [
            {"match": "keyed", "provider": "keyed"},
            {"match": "keyed-gpt", "provider": "keyed-gpt"},
            {"match": "falls-back", "provider": "anthropic", "fallbacks": ["gpt-x", "keyed-gpt"]},
        ],
        "storage": {"url": "none"},
    }
    return upstream, stack.enter_context(Program(folder, config))


def closed_house(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy with keys of its own for its callers."""
    upstream = stack.enter_context(Upstream())
    config = {
        "auth": {"api_keys": ["pk-one", {"name": "two", "key": "pk-two"}]},
        "providers": {
            "anthropic": {"base_url": upstream.url},
            "openai": {"base_url": upstream.url},
            "keyed": {"kind": "anthropic", "base_url": upstream.url, "api_key": "sk-own"},
        },
        "routes": [{"match": "keyed", "provider": "keyed"}],
        "storage": {"url": "none"},
    }
    return upstream, stack.enter_context(Program(folder, config))


class CredentialCase(AcceptanceCase):
    def begin(self, house: tuple[Upstream, Program]) -> None:
        self.up, self.proxy = house
        self.up.answers(answer())

    def ask(self, model: str, headers: Headers, path: str = "/v1/messages") -> Reply:
        self.up.asked.clear()
        return post(self.proxy.port, path, message(model), headers)

    def keys(self, asked: Asked | None = None) -> Mapping[str, str]:
        """The credentials that the upstream saw."""
        found = self.up.asked[-1] if asked is None else asked
        return {name: value for name, value in found.headers if name in SECRETS}


class OpenTests(CredentialCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin(shared(open_house))

    def test_the_callers_own_goes_through_untouched(self) -> None:
        """`api_key: null` passes the caller's own credential through, in whichever form."""
        forms: tuple[dict[str, str], ...] = (
            {"x-api-key": "sk-caller"},
            {"authorization": "Bearer sk-ant-oat01-token"},
            {"api-key": "sk-caller"},
            {"x-api-key": "sk-caller", "authorization": "Bearer sk-caller"},
            {"authorization": "bearer  odd spelling"},
            {"authorization": "Basic dTpw"},
        )
        for headers in forms:
            self.assertEqual(self.ask("claude-x", headers).status, 200)
            self.assertEqual(self.keys(), headers)
            self.ask("gpt-x", headers, "/v1/chat/completions")
            self.assertEqual(self.keys(), headers)

    def test_none_is_none(self) -> None:
        """It is the upstream that says that a key is missing."""
        self.assertEqual(self.ask("claude-x", {}).status, 200)
        self.assertEqual(self.keys(), {})

    def test_the_oauth_beta_stays(self) -> None:
        headers = {"authorization": "Bearer sk-ant-oat01-x", "anthropic-beta": "oauth-2025-04-20,b"}
        self.ask("claude-x", headers)
        self.assertEqual(self.up.asked[0].header("anthropic-beta"), "oauth-2025-04-20,b")

    def test_a_configured_key_replaces_whatever_was_sent(self) -> None:
        """Set, it replaces whatever the caller sent, and the caller's credential never leaves."""
        for headers in (
            {"x-api-key": "sk-caller"},
            {"authorization": "Bearer sk-caller"},
            {"api-key": "sk-caller"},
            {"x-api-key": "sk-caller", "authorization": "Basic sk-caller", "api-key": "sk-caller"},
            {},
        ):
            self.ask("keyed", headers)
            self.assertEqual(self.keys(), {"x-api-key": "sk-own"})
            self.ask("keyed-gpt", headers, "/v1/chat/completions")
            self.assertEqual(self.keys(), {"authorization": "Bearer sk-own"})
            self.assertNotIn("sk-caller", str(self.up.asked))

    def test_of_another_kind(self) -> None:
        """Translated or rerouted to a provider of another kind without a key there: 401, naming it."""
        reply = self.ask("gpt-x", {"x-api-key": "sk-caller"})
        error = self.assertAnthropicError(reply, 401, "authentication_error")
        self.assertIn("providers.openai.api_key", error["message"])
        headers = {"authorization": "Bearer sk-caller"}
        reply = self.ask("claude-x", headers, "/v1/chat/completions")
        error = self.assertOpenAIError(reply, 401, "invalid_api_key")
        self.assertIn("providers.anthropic.api_key", error["message"])
        reply = post(self.proxy.port, "/v1/responses", {"model": "claude-x", "input": "x"}, headers)
        self.assertOpenAIError(reply, 401, "invalid_api_key")
        reply = self.ask("claude-x", headers, "/anthropic/v1/chat/completions")
        self.assertEqual(reply.status, 401)
        self.assertEqual(self.up.asked, [])

    def test_of_another_kind_with_a_key(self) -> None:
        """The caller's credential never leaves for another provider's host."""
        self.ask("keyed-gpt", {"x-api-key": "sk-caller"})
        self.assertEqual(self.keys(), {"authorization": "Bearer sk-own"})
        self.assertNotIn("sk-caller", str(self.up.asked))

    def test_a_fallback_of_another_kind(self) -> None:
        """A fallback without a key is not asked with the caller's; the next one with a key is."""
        self.up.answers(answer({}, 529), answer({"choices": []}))
        self.ask("falls-back", {"x-api-key": "sk-caller"})
        self.assertEqual(
            [self.keys(each) for each in self.up.asked],
            [{"x-api-key": "sk-caller"}, {"authorization": "Bearer sk-own"}],
        )

    def test_passed_through_paths(self) -> None:
        ask(self.proxy.port, "GET", "/v1/files", b"", {"authorization": "Bearer sk-caller"})
        self.assertEqual(self.keys(), {"authorization": "Bearer sk-caller"})
        ask(self.proxy.port, "GET", "/keyed/v1/files", b"", {"authorization": "Bearer sk-caller"})
        self.assertEqual(self.keys(), {"x-api-key": "sk-own"})


class ClosedTests(CredentialCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin(shared(closed_house))

    def test_every_form(self) -> None:
        """Callers must present one (Authorization: Bearer …, x-api-key, or api-key)."""
        for key in ("pk-one", "pk-two"):
            for headers in (
                {"authorization": f"Bearer {key}"},
                {"Authorization": f"bearer {key}"},
                {"x-api-key": key},
                {"api-key": key},
                {"x-api-key": key, "authorization": f"Bearer {key}"},
            ):
                self.assertEqual(self.ask("keyed", headers).status, 200, headers)
                self.assertEqual(self.keys(), {"x-api-key": "sk-own"})

    def test_no_or_wrong_key(self) -> None:
        """No or wrong key: 401 authentication_error / invalid_api_key, on every path of the API."""
        for headers in (
            {},
            {"x-api-key": "pk-on"},
            {"x-api-key": "pk-onee"},
            {"x-api-key": ""},
            {"authorization": "pk-one"},
            {"authorization": "Basic pk-one"},
            {"authorization": "Bearer"},
            {"x-key": "pk-one"},
            {"cookie": "api-key=pk-one"},
        ):
            reply = self.ask("keyed", headers)
            self.assertAnthropicError(reply, 401, "authentication_error")
            reply = self.ask("gpt-x", headers, "/v1/chat/completions")
            self.assertOpenAIError(reply, 401, "invalid_api_key")
            for target in ("/v1/models", "/v1/files", "/v1/responses/x", "/keyed/v1/files"):
                reply = ask(self.proxy.port, "GET", target + "?api_key=pk-one", b"", headers)
                self.assertEqual((reply.status, self.up.asked), (401, []))

    def test_the_key_is_looked_at_before_the_body(self) -> None:
        reply = post(self.proxy.port, "/v1/messages", b"{", {})
        self.assertAnthropicError(reply, 401, "authentication_error")

    def test_the_proxys_key_is_never_sent_on(self) -> None:
        """With `auth.api_keys` set, the caller's proxy key is never sent on."""
        own = "sk-ant-caller"
        for headers, expected in (
            ({"x-api-key": "pk-one", "authorization": f"Bearer {own}"}, "authorization"),
            ({"x-api-key": own, "authorization": "Bearer pk-one"}, "x-api-key"),
            ({"x-api-key": own, "api-key": "pk-two"}, "x-api-key"),
        ):
            self.assertEqual(self.ask("claude-x", headers).status, 200)
            self.assertEqual(list(self.keys()), [expected])
            self.assertNotIn("pk-", str(self.up.asked[0].headers))

    def test_with_the_proxys_key_alone(self) -> None:
        """No key configured for the provider routed to: 401, naming the key that is missing."""
        reply = self.ask("claude-x", {"x-api-key": "pk-one"})
        error = self.assertAnthropicError(reply, 401, "authentication_error")
        self.assertIn("providers.anthropic.api_key", error["message"])
        reply = self.ask("gpt-x", {"authorization": "Bearer pk-one"}, "/v1/chat/completions")
        error = self.assertOpenAIError(reply, 401, "invalid_api_key")
        self.assertIn("providers.openai.api_key", error["message"])
        self.assertEqual(self.up.asked, [])

    def test_keys_are_not_told(self) -> None:
        for headers in ({}, {"x-api-key": "sk-wrong"}):
            reply = self.ask("keyed", headers)
            self.assertNotIn(b"sk-", reply.body)
            self.assertNotIn(b"pk-", reply.body)
        self.assertNotIn("sk-wrong", self.proxy.log)
        self.assertNotIn("pk-one", self.proxy.log)

    def test_in_the_demo(self) -> None:
        self.assertEqual(self.ask("demo", {}).status, 401)
        reply = self.ask("demo", {"x-api-key": "pk-one"})
        self.assertEqual((reply.status, parsed(reply)["type"]), (200, "message"))


class WarningTests(AcceptanceCase):
    """A provider with a key, no `auth.api_keys`, CORS `*`: the start warns of it."""

    def warned(self, proxy: Program) -> bool:
        lines = [line.lower() for line in proxy.log.splitlines()]
        return any("auth.api_keys" in line and "cors" in line for line in lines)

    def test_the_start_warns(self) -> None:
        self.assertTrue(self.warned(shared(open_house)[1]))
        self.assertFalse(self.warned(shared(closed_house)[1]))
        self.assertFalse(self.warned(shared(harmless)))


def harmless(stack: ExitStack, folder: Path) -> Program:
    """A proxy with a key that no page can spend."""
    config = {
        "server": {"cors": {"origins": []}},
        "providers": {"anthropic": {"api_key": "sk-own", "base_url": "http://127.0.0.1:9"}},
        "storage": {"url": "none"},
    }
    return stack.enter_context(Program(folder, config))


class NoCorsTests(AcceptanceCase):
    """`[]` turns CORS off."""

    def test_off(self) -> None:
        proxy = shared(harmless)
        origin = {"origin": "https://a.example", "access-control-request-method": "POST"}
        for reply in (
            ask(proxy.port, "OPTIONS", "/v1/messages", b"", origin),
            post(proxy.port, "/v1/messages", b"", origin),
            ask(proxy.port, "GET", "/v1/models", b"", origin),
            post(proxy.port, "/v1/messages", message("demo"), origin),
        ):
            names = [name for name, _ in reply.headers if name.startswith("access-control-")]
            self.assertEqual(names, [])
