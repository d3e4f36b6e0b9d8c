"""The environment names of both ancestors, and a proxy that nothing else configures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.caller import ANTHROPIC, OPENAI, message, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.test_configuration import CheckCase
from tests.acceptance.upstream import Upstream


class EnvironmentTests(CheckCase):
    """Environment names of the two ancestors keep working."""

    ROWS: tuple[tuple[dict[str, str], str, object], ...] = (
        ({"PORT": "3001"}, "server.listen", ["tcp:3001:interface=127.0.0.1"]),
        ({"CLAWPROXY_PORT": "3002"}, "server.listen", ["tcp:3002:interface=127.0.0.1"]),
        (
            {"CLAWPROXY_PORT": "3002", "PORT": "1"},
            "server.listen",
            ["tcp:3002:interface=127.0.0.1"],
        ),
        ({"CLAWPROXY_HOST": "0.0.0.0"}, "server.listen", ["tcp:8080:interface=0.0.0.0"]),
        (
            {"CLAWPROXY_HOST": "127.0.0.2", "CLAWPROXY_PORT": "9"},
            "server.listen",
            ["tcp:9:interface=127.0.0.2"],
        ),
        ({"CLAWPROXY_GATEWAY_URL": "ws://gw:1"}, "providers.openclaw.url", "ws://gw:1"),
        ({"CLAWPROXY_GATEWAY_TOKEN": "t"}, "providers.openclaw.kind", "openclaw"),
        ({"OPENCLAW_GATEWAY_TOKEN": "t"}, "providers.openclaw.url", "ws://127.0.0.1:18789"),
        (
            {"CLAWPROXY_GATEWAY_TOKEN": "t", "CLAWPROXY_DEFAULT_MODEL": "claw"},
            "providers.openclaw.default_agent",
            "claw",
        ),
        (
            {"CLAWPROXY_GATEWAY_TOKEN": "t", "CLAWPROXY_SESSION_MODE": "passthrough"},
            "providers.openclaw.session_mode",
            "passthrough",
        ),
        ({"CLAWPROXY_VERBOSE": "true"}, "log.level", "debug"),
        ({"CLAWPROXY_VERBOSE": "1"}, "log.level", "debug"),
        ({"CLAWPROXY_VERBOSE": "false"}, "log.level", "info"),
        ({"READ_TIMEOUT": "600"}, "server.max_body", 33554432),
        ({"WRITE_TIMEOUT": "10m"}, "server.max_body", 33554432),
        ({"IDLE_TIMEOUT": "601"}, "server.idle_timeout", 601),
        ({"IDLE_TIMEOUT": "10m"}, "server.idle_timeout", 600),
        ({"ANTHROPIC_FORWARD_URL": "http://a"}, "providers.anthropic.base_url", "http://a"),
        ({"ANTHROPIC_VERSION": "2026-10-21"}, "providers.anthropic.version", "2026-10-21"),
        ({"ANTHROPIC_MAX_RETRIES": "3"}, "providers.anthropic.max_retries", 3),
        (
            {"ANTHROPIC_RESPONSE_HEADER_TIMEOUT": "5m"},
            "providers.anthropic.response_header_timeout",
            300,
        ),
        (
            {"ANTHROPIC_RESPONSE_HEADER_TIMEOUT": "17"},
            "providers.anthropic.response_header_timeout",
            17,
        ),
        (
            {"ANTHROPIC_DEMOTE_NONSTREAMING": "true"},
            "providers.anthropic.demote_nonstreaming",
            True,
        ),
        ({"OPENAI_BASE_URL": "http://o"}, "providers.openai.base_url", "http://o"),
        ({"DB_PATH": "x/y.db"}, "storage.url", "sqlite:x/y.db"),
        ({"DATABASE_URL": "postgresql://h/db"}, "storage.url", "postgresql://h/db"),
        (
            {"SUBAGENT_MAPPINGS": "a:gpt-4o,b:o3"},
            "subagents.mappings",
            {"a": "gpt-4o", "b": "o3"},
        ),
    )

    def test_each(self) -> None:
        # A start takes its time: what does not get into each other's way is looked at together.
        groups: list[tuple[dict[str, str], dict[str, object]]] = []
        for env, key, expected in self.ROWS:
            for together, keys in groups:
                if not together.keys() & env.keys() and key not in keys:
                    break
            else:
                together, keys = {}, {}
                groups.append((together, keys))
            together.update(env)
            keys[key] = expected
        for together, keys in groups:
            effective = self.effective(env=together)
            for key, expected in keys.items():
                said: Any = effective
                for part in key.split("."):
                    self.assertIn(part, said, str(together))
                    said = said[part]
                self.assertEqual(said, expected, str(together))

    def test_secrets(self) -> None:
        env = {
            "CLAWPROXY_API_KEY": "hidden-1",
            "ANTHROPIC_API_KEY": "hidden-2",
            "OPENAI_API_KEY": "hidden-3",
            "DASHBOARD_PASSWORD": "hidden-4",
            "CLAWPROXY_GATEWAY_TOKEN": "hidden-5",
            "OPENCLAW_GATEWAY_TOKEN": "hidden-6",
        }
        said = self.effective(env=env)
        self.assertEqual(len(said["auth"]["api_keys"]), 1)
        self.assertIsNotNone(said["providers"]["anthropic"]["api_key"])
        self.assertIsNotNone(said["providers"]["openai"]["api_key"])
        self.assertIsNotNone(said["providers"]["openclaw"]["token"])
        self.assertIsNotNone(said["dashboard"]["password"])
        self.assertNotIn("hidden", yaml.safe_dump(said))

    def test_without_a_gateway_there_is_no_provider_for_it(self) -> None:
        """Setting a gateway token or URL is enough to enable the `openclaw` provider."""
        self.assertNotIn("openclaw", self.effective()["providers"])
        self.assertNotIn("openclaw", self.effective(env={"CLAWPROXY_GATEWAY_URL": ""})["providers"])

    def test_mappings_are_used(self) -> None:
        self.assertTrue(self.effective(env={"SUBAGENT_MAPPINGS": "a:b"})["subagents"]["enable"])


def ancestor(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy that only the environment configures, as an ancestor's users have it."""
    upstream = stack.enter_context(Upstream())
    probe = Program(folder)
    env = {
        "PORT": str(probe.port),
        "CLAWPROXY_API_KEY": "the-proxy-key",
        "ANTHROPIC_FORWARD_URL": upstream.url + "/v1",
        "ANTHROPIC_API_KEY": "sk-ant-env",
        "ANTHROPIC_VERSION": "2024-02-02",
        "ANTHROPIC_MAX_RETRIES": "1",
        "OPENAI_API_KEY": "sk-openai-env",
        "OPENAI_BASE_URL": upstream.url + "/v1/",
        "DB_PATH": "records/own.db",
    }
    return upstream, stack.enter_context(Program(folder, env=env, listen=False, port=probe.port))


class AncestorTests(AcceptanceCase):
    """The environment alone."""

    def setUp(self) -> None:
        super().setUp()
        self.up, self.proxy = shared(ancestor)
        self.up.answers([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])

    def test_keys_and_urls(self) -> None:
        """`base_url` may end in `/v1` or not."""
        key = {"authorization": "Bearer the-proxy-key"}
        self.assertEqual(post(self.proxy.port, "/v1/messages", message(), key).status, 200)
        asked = self.up.asked[0]
        self.assertEqual((asked.target, asked.header("x-api-key")), ("/v1/messages", "sk-ant-env"))
        self.assertEqual(asked.header("anthropic-version"), "2024-02-02")
        self.assertIsNone(asked.header("authorization"))
        reply = post(self.proxy.port, "/v1/chat/completions", message("gpt-x"), key)
        self.assertEqual(reply.status, 200)
        asked = self.up.asked[1]
        self.assertEqual(asked.target, "/v1/chat/completions")
        self.assertEqual(asked.header("authorization"), "Bearer sk-openai-env")

    def test_a_version_of_the_callers_own_stays(self) -> None:
        headers = {"x-api-key": "the-proxy-key", "anthropic-version": "2026-10-21"}
        post(self.proxy.port, "/v1/messages", message(), headers)
        self.assertEqual(self.up.asked[0].all("anthropic-version"), ["2026-10-21"])

    def test_the_key_is_demanded(self) -> None:
        for headers in (ANTHROPIC, {}):
            reply = post(self.proxy.port, "/v1/messages", message(), headers)
            self.assertAnthropicError(reply, 401, "authentication_error")
        reply = post(self.proxy.port, "/v1/chat/completions", message("gpt-x"), OPENAI)
        self.assertOpenAIError(reply, 401, "invalid_api_key")
        self.assertEqual(self.up.asked, [])

    def test_retries(self) -> None:
        failing = [b"HTTP/1.1 529 X\r\nretry-after-ms: 1\r\nContent-Length: 0\r\n\r\n"]
        fine = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]
        self.up.answers(failing, fine)
        reply = post(self.proxy.port, "/v1/messages", message(), {"api-key": "the-proxy-key"})
        self.assertEqual((reply.status, len(self.up.asked)), (200, 2))

    def test_the_database(self) -> None:
        self.assertTrue((self.proxy.folder / "records/own.db").exists())
