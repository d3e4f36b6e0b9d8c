"""Tests of :mod:`clawproxy.config.environment`: every name of both ancestors."""

from __future__ import annotations

from clawproxy.config import HTTPProviderConfig, OpenClawProviderConfig
from clawproxy.config.environment import VARIABLES, describe_variables
from clawproxy.config.show import key_rows
from clawproxy.core.secret import Secret
from tests.config.loading import ConfigTestCase

INTERFACE = (
    "PORT",
    "CLAWPROXY_PORT",
    "CLAWPROXY_HOST",
    "CLAWPROXY_API_KEY",
    "CLAWPROXY_GATEWAY_URL",
    "CLAWPROXY_GATEWAY_TOKEN",
    "OPENCLAW_GATEWAY_TOKEN",
    "CLAWPROXY_DEFAULT_MODEL",
    "CLAWPROXY_SESSION_MODE",
    "CLAWPROXY_VERBOSE",
    "READ_TIMEOUT",
    "WRITE_TIMEOUT",
    "IDLE_TIMEOUT",
    "ANTHROPIC_FORWARD_URL",
    "ANTHROPIC_VERSION",
    "ANTHROPIC_MAX_RETRIES",
    "ANTHROPIC_RESPONSE_HEADER_TIMEOUT",
    "ANTHROPIC_DEMOTE_NONSTREAMING",
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "DB_PATH",
    "DATABASE_URL",
    "SUBAGENT_MAPPINGS",
    "DASHBOARD_PASSWORD",
)


class Names(ConfigTestCase):
    def test_every_name_is_there(self) -> None:
        self.assertEqual({entry.name for entry in VARIABLES}, set(INTERFACE))

    def test_every_name_sets_a_key_that_there_is(self) -> None:
        keys = {row.key for row in key_rows()}
        for name, key, doc in describe_variables():
            if key:
                parts = key.split(".")
                if parts[0] == "providers":
                    parts[1] = "NAME"
                self.assertIn(".".join(parts), keys, name)
            else:
                self.assertTrue(doc)

    def test_an_empty_variable_is_not_set(self) -> None:
        loaded = self.loaded(environ=dict.fromkeys(INTERFACE, ""))
        self.assertEqual(loaded.config, self.config())
        self.assertEqual(loaded.sources, ("defaults",))


class Listening(ConfigTestCase):
    def listen(self, environ: dict[str, str], file: str | None = None) -> tuple[str, ...]:
        return self.config(file, environ).server.listen

    def test_the_port_alone_stays_on_the_loopback_address(self) -> None:
        expected = ("tcp:3001:interface=127.0.0.1",)
        self.assertEqual(self.listen({"PORT": "3001"}), expected)
        self.assertEqual(self.listen({"PORT": ":3001"}), expected)
        self.assertEqual(self.listen({"CLAWPROXY_PORT": "3001", "PORT": "1"}), expected)

    def test_the_host_alone_keeps_the_port(self) -> None:
        self.assertEqual(
            self.listen({"CLAWPROXY_HOST": "0.0.0.0"}), ("tcp:8080:interface=0.0.0.0",)
        )
        file = "server: {listen: ['tcp:9000:interface=10.0.0.1']}"
        self.assertEqual(
            self.listen({"CLAWPROXY_HOST": "10.0.0.2"}, file), ("tcp:9000:interface=10.0.0.2",)
        )
        self.assertEqual(self.listen({"PORT": "1"}, file), ("tcp:1:interface=10.0.0.1",))
        both = "server: {listen: ['tcp:9000', 'tcp:9001']}"
        self.assertEqual(self.listen({"PORT": "1"}, both), ("tcp:1:interface=127.0.0.1",))
        everywhere = "server: {listen: ['tcp:9000']}"
        self.assertEqual(self.listen({"PORT": "1"}, everywhere), ("tcp:1",))

    def test_ipv6(self) -> None:
        environ = {"CLAWPROXY_HOST": "[::1]", "PORT": "1"}
        self.assertEqual(self.listen(environ), (r"tcp:1:interface=\:\:1",))

    def test_what_is_wrong(self) -> None:
        error = self.mistake(environ={"PORT": "web"})
        self.assertEqual(error.file, "environment variable PORT")
        self.assertEqual(error.key, "server.listen")
        error = self.mistake(environ={"PORT": "1", "CLAWPROXY_HOST": "eth0"})
        self.assertEqual(error.file, "environment variable CLAWPROXY_HOST")


class Keys(ConfigTestCase):
    def anthropic(self, environ: dict[str, str], file: str | None = None) -> HTTPProviderConfig:
        provider = self.config(file, environ).providers["anthropic"]
        assert isinstance(provider, HTTPProviderConfig)
        return provider

    def test_anthropic(self) -> None:
        provider = self.anthropic(
            {
                "ANTHROPIC_FORWARD_URL": "http://127.0.0.1:9/v1/",
                "ANTHROPIC_VERSION": "2026-10-21",
                "ANTHROPIC_MAX_RETRIES": "3",
                "ANTHROPIC_RESPONSE_HEADER_TIMEOUT": "5m",
                "ANTHROPIC_DEMOTE_NONSTREAMING": "1",
                "ANTHROPIC_API_KEY": "k\n",
            }
        )
        self.assertEqual(provider.root, "http://127.0.0.1:9")
        self.assertEqual(provider.version, "2026-10-21")
        self.assertEqual(provider.max_retries, 3)
        self.assertEqual(provider.response_header_timeout, 300)
        self.assertTrue(provider.demote_nonstreaming)
        self.assertEqual(provider.api_key, Secret("k"))

    def test_the_spellings_of_a_time(self) -> None:
        for text, expected in (("90", 90), ("90s", 90), ("5m", 300), ("1h0m5s", 3605)):
            environ = {"ANTHROPIC_RESPONSE_HEADER_TIMEOUT": text}
            self.assertEqual(self.anthropic(environ).response_header_timeout, expected)
        error = self.mistake(environ={"ANTHROPIC_RESPONSE_HEADER_TIMEOUT": "long"})
        self.assertEqual(error.key, "providers.anthropic.response_header_timeout")

    def test_the_environment_adds_to_the_files_provider(self) -> None:
        file = "providers: {anthropic: {base_url: 'http://h', max_retries: 1}}"
        provider = self.anthropic({"ANTHROPIC_MAX_RETRIES": "4"}, file)
        self.assertEqual((provider.base_url, provider.max_retries), ("http://h", 4))

    def test_a_provider_that_is_switched_off_stays_off(self) -> None:
        loaded = self.loaded("providers: {anthropic: null}", {"ANTHROPIC_API_KEY": "k"})
        self.assertNotIn("anthropic", loaded.config.providers)
        (warning,) = loaded.warnings
        self.assertIn("ANTHROPIC_API_KEY", warning)

    def test_openai(self) -> None:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://h/v1"}
        provider = self.config(environ=environ).providers["openai"]
        assert isinstance(provider, HTTPProviderConfig)
        self.assertEqual((provider.root, provider.api_key), ("http://h", Secret("k")))

    def test_the_callers_key(self) -> None:
        keys = self.config("auth: {api_keys: [a]}", {"CLAWPROXY_API_KEY": "12"}).auth.api_keys
        self.assertEqual([key.key for key in keys], [Secret("12")])

    def test_storage(self) -> None:
        for environ, expected in (
            ({"DB_PATH": "/data/requests.db"}, "sqlite:/data/requests.db"),
            ({"DATABASE_URL": "postgres://u:p@h/db"}, "postgresql://u:p@h/db"),
            ({"DB_PATH": "x.db", "DATABASE_URL": "none"}, "none"),
        ):
            self.assertEqual(self.config(environ=environ).storage.url, expected)
        error = self.mistake(environ={"DATABASE_URL": "mysql://u:secret@h/db"})
        self.assertNotIn("secret", str(error))

    def test_subagents(self) -> None:
        subagents = self.config(environ={"SUBAGENT_MAPPINGS": "a:gpt-4o, b:qwen:7b,"}).subagents
        self.assertTrue(subagents.enable)
        self.assertEqual(subagents.mappings, {"a": "gpt-4o", "b": "qwen:7b"})
        error = self.mistake(environ={"SUBAGENT_MAPPINGS": "a"})
        self.assertEqual(error.key, "subagents.mappings.a")
        self.assertIn("'a'", error.found)
        self.assertIn("a:gpt-4o", error.expected)
        error = self.mistake(environ={"SUBAGENT_MAPPINGS": "a:o3,:o3"})
        self.assertEqual((error.key, error.found), ("subagents.mappings", "':o3'"))

    def test_the_rest(self) -> None:
        environ = {
            "IDLE_TIMEOUT": "10m",
            "CLAWPROXY_VERBOSE": "true",
            "DASHBOARD_PASSWORD": "${x} y",
        }
        config = self.config(environ=environ)
        self.assertEqual(config.server.idle_timeout, 600)
        self.assertEqual(config.log.level, "debug")
        self.assertEqual(config.dashboard.password, Secret("${x} y"))
        self.assertEqual(self.config(environ={"CLAWPROXY_VERBOSE": "false"}).log.level, "info")

    def test_limits_on_whole_requests_have_no_effect_and_say_so(self) -> None:
        for name in ("READ_TIMEOUT", "WRITE_TIMEOUT"):
            loaded = self.loaded(environ={name: "600s"})
            self.assertEqual(loaded.config, self.config())
            self.assertIn(name, loaded.warnings[0])
            self.assertEqual(
                self.mistake(environ={name: "soon"}).file, f"environment variable {name}"
            )


class Gateway(ConfigTestCase):
    def gateway(
        self, environ: dict[str, str], file: str | None = None, name: str = "openclaw"
    ) -> OpenClawProviderConfig:
        provider = self.config(file, environ).providers[name]
        assert isinstance(provider, OpenClawProviderConfig)
        return provider

    def test_a_token_or_a_url_is_enough(self) -> None:
        self.assertNotIn("openclaw", self.config().providers)
        self.assertEqual(self.gateway({"OPENCLAW_GATEWAY_TOKEN": "t"}).token, Secret("t"))
        self.assertEqual(self.gateway({"CLAWPROXY_GATEWAY_URL": "http://h:1"}).url, "ws://h:1")

    def test_the_proxys_own_name_goes_first(self) -> None:
        environ = {"OPENCLAW_GATEWAY_TOKEN": "a", "CLAWPROXY_GATEWAY_TOKEN": "b"}
        self.assertEqual(self.gateway(environ).token, Secret("b"))

    def test_what_else_is_said_of_it(self) -> None:
        gateway = self.gateway(
            {
                "CLAWPROXY_GATEWAY_TOKEN": "t",
                "CLAWPROXY_DEFAULT_MODEL": "dev",
                "CLAWPROXY_SESSION_MODE": "passthrough",
            }
        )
        self.assertEqual((gateway.default_agent, gateway.session_mode), ("dev", "passthrough"))

    def test_that_alone_makes_no_gateway(self) -> None:
        loaded = self.loaded(environ={"CLAWPROXY_DEFAULT_MODEL": "dev"})
        self.assertNotIn("openclaw", loaded.config.providers)
        self.assertIn("CLAWPROXY_DEFAULT_MODEL", loaded.warnings[0])

    def test_the_only_gateway_of_the_file_is_meant(self) -> None:
        file = "providers: {gw: {kind: openclaw, url: 'ws://h:1'}}"
        config = self.config(file, {"CLAWPROXY_GATEWAY_TOKEN": "t"})
        self.assertNotIn("openclaw", config.providers)
        gateway = self.gateway({"CLAWPROXY_GATEWAY_TOKEN": "t"}, file, "gw")
        self.assertEqual((gateway.url, gateway.token), ("ws://h:1", Secret("t")))

    def test_it_brings_back_one_that_the_file_switched_off(self) -> None:
        self.gateway({"CLAWPROXY_GATEWAY_TOKEN": "t"}, "providers: {openclaw: null}")

    def test_what_is_wrong(self) -> None:
        environ = {"CLAWPROXY_GATEWAY_TOKEN": "t", "CLAWPROXY_SESSION_MODE": "statefull"}
        error = self.mistake(environ=environ)
        self.assertEqual(error.file, "environment variable CLAWPROXY_SESSION_MODE")
        self.assertEqual(error.key, "providers.openclaw.session_mode")

    def test_a_broken_file_is_no_traceback(self) -> None:
        environ = {"CLAWPROXY_GATEWAY_TOKEN": "t", "OPENAI_API_KEY": "k", "PORT": "1"}
        for file in (
            "providers: [1]",
            "providers: x",
            "providers: {openai: [1], openclaw: x}",
            "server: [1]",
            "auth: [1]",
        ):
            self.assertTrue(self.mistakes(file, environ))
