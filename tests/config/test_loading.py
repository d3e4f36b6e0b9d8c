"""Tests of :mod:`clawproxy.config.loading`: layers, files, and every mistake at once."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from clawproxy.config import Config, HTTPProviderConfig, OpenClawProviderConfig, load
from clawproxy.config.loading import find_file
from clawproxy.core.secret import Secret
from tests.config.loading import HOME, ConfigTestCase

SECRET = "sk-ant-do-not-show-me"


class Defaults(ConfigTestCase):
    def test_nothing_gives_the_defaults(self) -> None:
        loaded = self.loaded()
        self.assertEqual(loaded.sources, ("defaults",))
        self.assertEqual(loaded.warnings, ())
        subagents = evolve(
            Config().subagents, agents_dirs=(".claude/agents", str(HOME / ".claude/agents"))
        )
        self.assertEqual(loaded.config, evolve(Config(), subagents=subagents))

    def test_an_empty_file_and_empty_sections_change_nothing(self) -> None:
        empty = "server:\nauth:\nproviders:\ndefault_provider:\nstorage:\nlog:\n"
        self.assertEqual(self.config(empty), self.config())
        self.assertEqual(self.config(""), self.config())
        self.assertEqual(self.config("server: {cors: }\n"), self.config())

    def test_the_defaults_are_those_of_the_interface(self) -> None:
        config = self.config()
        self.assertEqual(config.server.listen, ("tcp:8080:interface=127.0.0.1",))
        self.assertEqual(config.server.max_body, 32 * 1024 * 1024)
        self.assertEqual(config.server.drain.timeout, 1920)
        self.assertEqual(config.storage.url, "sqlite:clawproxy.db")
        self.assertEqual(config.storage.journal_directory, "clawproxy.db.journal")
        self.assertEqual(
            [(route.match, route.provider) for route in config.routes],
            [
                ("claude-*", "anthropic"),
                ("gpt-*", "openai"),
                ("o[0-9]*", "openai"),
                ("demo", "demo"),
            ],
        )


class Files(ConfigTestCase):
    def test_search_order(self) -> None:
        home, system = self.folder / "home", self.folder / "system.yaml"
        found = [
            self.folder / "clawproxy.yaml",
            home / ".config" / "clawproxy" / "clawproxy.yaml",
            system,
        ]
        for path in reversed(found):
            self.assertNotEqual(find_file(None, {}, self.folder, home, system), path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
            self.assertEqual(find_file(None, {}, self.folder, home, system), path)
        environ = {"CLAWPROXY_CONFIG": "sub/x.yaml"}
        self.assertEqual(
            find_file(None, environ, self.folder, home, system), self.folder / "sub/x.yaml"
        )
        self.assertEqual(find_file("~/y.yaml", environ, self.folder, home, system), home / "y.yaml")
        self.assertEqual(find_file("/z.yaml", environ, self.folder, home, system), Path("/z.yaml"))

    def test_a_named_file_that_is_missing_is_a_mistake(self) -> None:
        error = self.mistake(environ={"CLAWPROXY_CONFIG": "gone.yaml"})
        self.assertEqual(error.file, str(self.folder / "gone.yaml"))
        self.assertIn("no such file", error.found)

    def test_a_directory_is_a_mistake(self) -> None:
        (self.folder / "clawproxy.yaml").mkdir()
        self.assertIn("directory", self.mistake().found)

    def test_a_byte_that_is_not_utf8(self) -> None:
        (self.folder / "clawproxy.yaml").write_bytes(b"log:\n  level: \xff\n")
        error = self.mistake()
        self.assertEqual(error.line, 2)
        self.assertIn("UTF-8", error.expected)

    def test_a_byte_order_mark_is_no_mistake(self) -> None:
        (self.folder / "clawproxy.yaml").write_bytes(b"\xef\xbb\xbflog: {level: debug}\n")
        self.assertEqual(self.config().log.level, "debug")

    def test_the_file_is_named_as_source(self) -> None:
        loaded = self.loaded("log: {level: debug}")
        self.assertEqual(loaded.file, self.folder / "test.yaml")
        self.assertEqual(loaded.sources, ("defaults", str(loaded.file)))

    def test_no_home_directory(self) -> None:
        nowhere = Path("/nonexistent")
        config = load(environ={}, cwd=self.folder, home=nowhere, system=nowhere).config
        self.assertEqual(config.log.level, "info")


class Precedence(ConfigTestCase):
    def test_set_over_environment_over_file_over_defaults(self) -> None:
        file = "server: {idle_timeout: 1, max_body: 7}\n"
        environ = {"IDLE_TIMEOUT": "2"}
        sets = ["server.idle_timeout=3"]
        self.assertEqual(self.config().server.idle_timeout, 600)
        self.assertEqual(self.config(file).server.idle_timeout, 1)
        self.assertEqual(self.config(file, environ).server.idle_timeout, 2)
        config = self.config(file, environ, sets)
        self.assertEqual(config.server.idle_timeout, 3)
        self.assertEqual(config.server.max_body, 7)

    def test_listen_replaces_everything_else(self) -> None:
        config = self.config(
            'server: {listen: ["tcp:1", "tcp:2"]}',
            {"PORT": "3"},
            ["server.listen=tcp:4"],
            ["tcp:5", "unix:/tmp/x.sock"],
        )
        self.assertEqual(config.server.listen, ("tcp:5", "unix:/tmp/x.sock"))

    def test_the_later_set_wins(self) -> None:
        self.assertEqual(
            self.config(sets=["log.level=debug", "log.level=error"]).log.level, "error"
        )

    def test_sources_are_named_without_values(self) -> None:
        loaded = self.loaded(environ={"OPENAI_API_KEY": SECRET}, sets=[f"auth.api_keys=[{SECRET}]"])
        self.assertEqual(
            loaded.sources, ("defaults", "environment: OPENAI_API_KEY", "--set: auth.api_keys")
        )


class Sets(ConfigTestCase):
    def test_values_are_yaml(self) -> None:
        config = self.config(
            sets=[
                'server.listen=["tcp:0:interface=127.0.0.1"]',
                "providers.openai={base_url: 'http://127.0.0.1:9/v1', api_key: k}",
                "dashboard.enabled=false",
                "default_provider.anthropic=null",
                "server.cors.origins=*",
                "auth.api_keys=[12345]",
                "storage.url=sqlite:/tmp/a=b.db",
            ]
        )
        self.assertEqual(config.server.listen, ("tcp:0:interface=127.0.0.1",))
        openai = config.providers["openai"]
        assert isinstance(openai, HTTPProviderConfig)
        self.assertEqual(openai.root, "http://127.0.0.1:9")
        self.assertEqual(openai.api_key, Secret("k"))
        self.assertFalse(config.dashboard.enabled)
        self.assertIsNone(config.default_provider.anthropic)
        self.assertEqual(config.server.cors.origins, ("*",))
        self.assertEqual(config.auth.api_keys[0].key, Secret("12345"))
        self.assertEqual(config.storage.path, "/tmp/a=b.db")

    def test_list_indexes(self) -> None:
        file = """
            routes:
              - {match: a, provider: demo}
              - {match: b, provider: demo}
            """
        sets = ["routes.1.model=x", "routes.2.match=c", "routes.2.provider=openai"]
        routes = self.config(file, sets=sets).routes
        self.assertEqual([route.match for route in routes[:3]], ["a", "b", "c"])
        self.assertEqual(routes[1].model, "x")
        self.assertEqual(routes[2].provider, "openai")

    def test_a_list_can_begin_with_its_first_index(self) -> None:
        self.assertEqual(self.config(sets=["server.listen.0=tcp:0"]).server.listen, ("tcp:0",))

    def test_an_index_beyond_the_end(self) -> None:
        error = self.mistake("server: {listen: ['tcp:1']}", sets=["server.listen.5=tcp:0"])
        self.assertEqual((error.file, error.key), ("--set", "server.listen.5"))
        self.assertEqual(error.found, "no item '5' in a list of 1")

    def test_a_value_around_it(self) -> None:
        mistakes = self.mistakes(f"auth: {SECRET}", sets=["auth.api_keys=x"])
        self.assertEqual([mistake.key for mistake in mistakes], ["auth", "auth.api_keys"])
        self.assertNotIn(SECRET, "\n".join(map(str, mistakes)))

    def test_variables_are_filled_in(self) -> None:
        config = self.config(environ={"KEY": "k"}, sets=["auth.api_keys=${KEY}"])
        self.assertEqual(config.auth.api_keys[0].key, Secret("k"))

    def test_what_is_no_setting(self) -> None:
        for text in (SECRET, f"={SECRET}", "", "log..level=debug"):
            error = self.mistake(sets=[text])
            self.assertEqual(error.expected, "dotted.key=value")
            self.assertNotIn(SECRET, str(error))
        self.assertEqual(self.mistake(sets=["log.level"]).found, "'log.level'")

    def test_what_is_not_yaml(self) -> None:
        error = self.mistake(sets=[f"auth.api_keys=[{SECRET}"])
        self.assertEqual((error.file, error.key), ("--set", "auth.api_keys"))
        self.assertNotIn(SECRET, str(error))

    def test_an_unknown_key(self) -> None:
        error = self.mistake(sets=["log.levle=debug"])
        self.assertEqual((error.file, error.key), ("--set", "log.levle"))
        self.assertEqual(error.nearest, "log.level")
        self.assertIsNone(error.line)


class Providers(ConfigTestCase):
    def test_a_partial_override_keeps_the_rest(self) -> None:
        config = self.config("providers: {anthropic: {api_key: k}}")
        anthropic = config.providers["anthropic"]
        assert isinstance(anthropic, HTTPProviderConfig)
        self.assertEqual(anthropic.api_key, Secret("k"))
        self.assertEqual(anthropic.base_url, "https://api.anthropic.com")
        self.assertEqual(list(config.providers), ["anthropic", "openai", "demo"])

    def test_null_switches_one_off(self) -> None:
        config = self.config("providers: {openai: null}")
        self.assertEqual(list(config.providers), ["anthropic", "demo"])
        self.assertEqual([route.match for route in config.routes], ["claude-*", "demo"])
        self.assertIsNone(config.default_provider.openai)
        self.assertEqual(config.default_provider.anthropic, "anthropic")

    def test_another_kind_under_a_known_name(self) -> None:
        config = self.config("providers: {anthropic: {kind: openai, api: chat}}")
        anthropic = config.providers["anthropic"]
        assert isinstance(anthropic, HTTPProviderConfig)
        self.assertEqual(anthropic.kind, "openai")
        self.assertEqual(anthropic.base_url, "https://api.openai.com")

    def test_the_kind_of_a_name_that_is_one(self) -> None:
        gateway = self.config("providers: {openclaw: {token: t}}").providers["openclaw"]
        assert isinstance(gateway, OpenClawProviderConfig)
        self.assertEqual(gateway.url, "ws://127.0.0.1:18789")
        self.assertEqual(gateway.token, Secret("t"))
        self.assertEqual(gateway.device_file, str(HOME / ".config/clawproxy/openclaw-device.json"))

    def test_the_identity_lies_in_systemds_state_directory(self) -> None:
        text = "providers: {gw: {kind: openclaw}, gx: {kind: openclaw, device_file: /x.json}}"
        config = self.config(text, {"STATE_DIRECTORY": "/var/lib/clawproxy:/var/lib/other"})
        first, second = config.providers["gw"], config.providers["gx"]
        assert isinstance(first, OpenClawProviderConfig)
        assert isinstance(second, OpenClawProviderConfig)
        self.assertEqual(first.device_file, "/var/lib/clawproxy/openclaw-device.json")
        self.assertEqual(second.device_file, "/x.json")

    def test_every_key_of_an_http_provider(self) -> None:
        config = self.config(
            """
            providers:
              one:
                kind: openai
                base_url: "https://host.example/base/v1/"
                api_key: k
                connect_timeout: 1
                response_header_timeout: 5m
                idle_timeout: 1h
                max_retries: 2
                max_connections: 3
                keepalive: 0
                api: responses
                headers: {X-Team: blue, x-number: 7}
            """
        )
        self.assertEqual(
            config.providers["one"],
            HTTPProviderConfig(
                name="one",
                kind="openai",
                base_url="https://host.example/base/v1/",
                api_key=Secret("k"),
                connect_timeout=1.0,
                response_header_timeout=300.0,
                idle_timeout=3600.0,
                max_retries=2,
                max_connections=3,
                keepalive=0.0,
                api="responses",
                headers={"X-Team": Secret("blue"), "x-number": Secret("7")},
            ),
        )

    def test_a_key_of_another_kind(self) -> None:
        error = self.mistake("providers: {openai: {demote_nonstreaming: true}}")
        self.assertEqual(error.key, "providers.openai.demote_nonstreaming")
        self.assertIn("anthropic", error.expected)

    def test_an_unknown_name_without_a_kind(self) -> None:
        error = self.mistake("providers: {antropic: {api_key: k}}")
        self.assertEqual(error.key, "providers.antropic.kind")
        self.assertEqual(error.nearest, "anthropic")

    def test_a_wrong_kind_hides_nothing(self) -> None:
        text = "providers: {x: {kind: antropic, max_retries: -1, bas_url: y, token: t}, y: {keepalive: q}}"
        self.assertEqual(
            [(mistake.key, mistake.nearest) for mistake in self.mistakes(text)],
            [
                ("providers.x.kind", "anthropic"),
                ("providers.x.max_retries", None),
                ("providers.x.bas_url", "providers.x.base_url"),
                ("providers.y.kind", None),
                ("providers.y.keepalive", None),
            ],
        )

    def test_names_that_are_paths_of_the_proxy(self) -> None:
        for name in ("v1", "api", "ui", "health", "livez", "metrics", "openapi.json", "a/b", ".x"):
            error = self.mistake(f'providers: {{"{name}": {{kind: demo}}}}')
            self.assertEqual(error.key, f"providers.{name}")

    def test_an_unquoted_date_is_a_version(self) -> None:
        config = self.config("providers: {anthropic: {version: 2026-10-21}}")
        anthropic = config.providers["anthropic"]
        assert isinstance(anthropic, HTTPProviderConfig)
        self.assertEqual(anthropic.version, "2026-10-21")


class Routes(ConfigTestCase):
    def matches(self, text: str) -> list[str]:
        return [route.match for route in self.config(text).routes]

    def test_own_routes_stand_before_the_built_in_ones(self) -> None:
        self.assertEqual(
            self.matches("routes: [{match: fast, provider: demo}]"),
            ["fast", "claude-*", "gpt-*", "o[0-9]*", "demo"],
        )

    def test_a_glob_of_ones_own_is_not_repeated(self) -> None:
        self.assertEqual(
            self.matches("routes: [{match: 'gpt-*', provider: demo}]"),
            ["gpt-*", "claude-*", "o[0-9]*", "demo"],
        )

    def test_an_empty_list_is_none(self) -> None:
        self.assertEqual(self.matches("routes: []"), [])

    def test_a_closed_list_stays_closed(self) -> None:
        self.assertEqual(
            self.matches(
                "routes: [{match: fast, provider: demo}]\ndefault_provider: {openai: null}"
            ),
            ["fast"],
        )

    def test_null_defaults_alone_keep_the_built_in_routes(self) -> None:
        text = "default_provider: {openai: null, anthropic: null}"
        self.assertEqual(self.matches(text), ["claude-*", "gpt-*", "o[0-9]*", "demo"])

    def test_a_mistake_in_the_built_in_part_is_impossible(self) -> None:
        self.assertEqual(self.matches("providers: {anthropic: null, openai: null, demo: null}"), [])


class Mistakes(ConfigTestCase):
    def test_version_that_no_header_can_hold(self) -> None:
        for version in ("2023-06-01\\nx-evil: 1", "2023\\u0665"):
            (mistake,) = self.mistakes(f'providers: {{anthropic: {{version: "{version}"}}}}')
            self.assertEqual(mistake.key, "providers.anthropic.version")

    def test_all_at_once_in_the_order_of_the_file(self) -> None:
        mistakes = self.mistakes(
            f"""\
            servr: {{}}
            server:
              max_body: lots
              listen: []
            auth: {SECRET}
            providers:
              anthropic:
                api_key: [{SECRET}]
                base_url: ftp://user:{SECRET}@host/?key={SECRET}
                version: ${{UNSET}}
            routes:
              - {{match: fast, provider: opnai}}
              - {{provider: demo, modell: x}}
            default_provider: {{anthropic: antropic}}
            storage: {{url: "mysql://user:{SECRET}@host/db"}}
            log: {{level: loud}}
            """,
            {"IDLE_TIMEOUT": "soon"},
            ["dashboard.enabled=perhaps"],
        )
        places = [(mistake.line, mistake.key) for mistake in mistakes]
        self.assertEqual(
            places,
            [
                (1, "servr"),
                (3, "server.max_body"),
                (4, "server.listen"),
                (5, "auth"),
                (8, "providers.anthropic.api_key"),
                (9, "providers.anthropic.base_url"),
                (10, "providers.anthropic.version"),
                (12, "routes.0.provider"),
                (13, "routes.1.modell"),
                (13, "routes.1.match"),
                (14, "default_provider.anthropic"),
                (15, "storage.url"),
                (16, "log.level"),
                (None, "server.idle_timeout"),
                (None, "dashboard.enabled"),
            ],
        )
        files = {mistake.file for mistake in mistakes[:13]}
        self.assertEqual(files, {str(self.folder / "test.yaml")})
        self.assertEqual(mistakes[13].file, "environment variable IDLE_TIMEOUT")
        self.assertEqual(mistakes[14].file, "--set")
        nearest = [mistake.nearest for mistake in mistakes if mistake.nearest]
        self.assertEqual(nearest, ["server", "openai", "routes.1.model", "anthropic"])
        self.assertNotIn(SECRET, "\n".join(map(str, mistakes)))

    def test_each_is_one_line(self) -> None:
        text = str(self.mistakes('log: {level: "a\\nb", format: "x"}')[0])
        self.assertEqual(len(text.splitlines()), 1)
        self.assertIn("log.level", text)

    def test_names_of_other_programs_are_known(self) -> None:
        for text, nearest in (
            ("server: {port: 8080}", "server.listen"),
            ("storage: {db_path: x.db}", "storage.url"),
            ("providers: {anthropic: {forward_url: x}}", "providers.anthropic.base_url"),
        ):
            self.assertEqual(self.mistake(text).nearest, nearest)

    def test_a_truth_value_in_place_of_a_section(self) -> None:
        self.assertEqual(self.mistake("dashboard: false").found, "false")

    def test_a_word_that_is_like_nothing(self) -> None:
        error = self.mistake("zzzzzz: 1")
        self.assertIsNone(error.nearest)
        self.assertIn("server, auth, providers", error.expected)

    def test_numbers_out_of_range(self) -> None:
        for key, value in (
            ("server.max_body", "0"),
            ("server.max_body", "1.5"),
            ("server.max_body", "true"),
            ("server.max_body", "null"),
            ("server.idle_timeout", "0"),
            ("server.idle_timeout", ".inf"),
            ("server.idle_timeout", ".nan"),
            ("server.idle_timeout", "1" + "0" * 400),
            ("server.drain.settle", "-1"),
            ("providers.openai.max_retries", "-1"),
            ("providers.openai.max_connections", "0"),
            ("providers.demo.tokens_per_second", "-5"),
            ("storage.retention_days", "-1"),
            ("storage.journal_budget", "0"),
        ):
            self.assertEqual(self.mistake(sets=[f"{key}={value}"]).key, key)

    def test_secrets_are_never_shown(self) -> None:
        for text in (
            f"auth: {{api_keys: [{{nme: x, key: {SECRET}}}]}}",
            f"auth: {{api_keys: [{{name: x, key: {SECRET}}}, {{name: y, key: {SECRET}}}]}}",
            f"auth: {{api_keys: ['{SECRET}é']}}",
            f"providers: {{openai: {SECRET}}}",
            f"providers: {{openai: {{api_key: {{a: {SECRET}}}}}}}",
            f"providers: {{openai: {{headers: {{x-key: ['{SECRET}']}}}}}}",
            f"providers: {{openclaw: {{url: 'ws://u:{SECRET}@h'}}}}",
            f"dashboard: {{password: ['{SECRET}']}}",
            f"dashboard: {SECRET}",
            f"storage: {{url: 'postgres//u:{SECRET}@h/db'}}",
            f"{SECRET}",
            f"- {SECRET}",
            f"auth: {{api_keys: [{SECRET}",
            f"auth: {{api_keys: *{SECRET}}}",
            f"auth: !{SECRET} x",
        ):
            mistakes = self.mistakes(text)
            self.assertNotIn(SECRET, "\n".join(map(str, mistakes)), text)

    def test_the_mask_is_no_secret(self) -> None:
        error = self.mistake("providers: {openai: {api_key: '***'}}")
        self.assertIn("mask", error.expected)

    def test_duplicate_names_and_keys(self) -> None:
        text = "auth: {api_keys: [{name: a, key: k1}, {name: a, key: k2}, k1]}"
        self.assertEqual(
            [mistake.key for mistake in self.mistakes(text)],
            ["auth.api_keys.1.name", "auth.api_keys.2"],
        )

    def test_a_provider_that_is_not_there(self) -> None:
        for name in ("nowhere", "3", "2026-01-01"):
            text = f"{{default_provider: {{openai: {name}}}, routes: [{{match: x, provider: {name}}}]}}"
            self.assertEqual(
                [(mistake.key, mistake.found) for mistake in self.mistakes(text)],
                [("default_provider.openai", repr(name)), ("routes.0.provider", repr(name))],
            )
        self.config("{providers: {3: {kind: demo}}, default_provider: {openai: 3}}")

    def test_a_fallback_that_leads_nowhere(self) -> None:
        text = """
            routes: [{match: fast, provider: demo, fallbacks: [fast-2, nowhere]},
                     {match: "fast-*", provider: demo}]
            default_provider: {anthropic: null, openai: null}
            """
        self.assertEqual(self.mistake(text).key, "routes.0.fallbacks.1")
        self.assertEqual(len(self.config(text.split("default")[0]).routes[0].fallbacks), 2)

    def test_a_broken_password_hash(self) -> None:
        text = "dashboard: {password: '$argon2id$v=19$m=65536'}"
        self.assertEqual(self.mistake(text).key, "dashboard.password")

    def test_a_whole_password_hash(self) -> None:
        value = (
            "$argon2id$v=19$m=65536,t=3,p=4$OkdKQ69+ebTpPEsgblU5Ag"
            "$jsx1agcJ2hKvEFB/q9P1E2wsnPPtPPmw4xP9NcdCQOw"
        )
        config = self.config(f"dashboard: {{password: '{value}'}}")
        self.assertEqual(config.dashboard.password, Secret(value))


class Warnings(ConfigTestCase):
    def test_any_page_could_spend_a_key(self) -> None:
        (warning,) = self.loaded("providers: {openai: {api_key: k}}").warnings
        self.assertIn("any web page", warning)
        self.assertIn("openai", warning)

    def test_a_gateways_token_counts_too(self) -> None:
        loaded = self.loaded(environ={"CLAWPROXY_GATEWAY_TOKEN": "t"})
        self.assertIn("openclaw", loaded.warnings[0])

    def test_no_warning_with_keys_for_callers_or_without_cors(self) -> None:
        provider = "providers: {openai: {api_key: k}}\n"
        self.assertEqual(self.loaded(provider + "auth: {api_keys: [x]}").warnings, ())
        self.assertEqual(self.loaded(provider + "server: {cors: {origins: []}}").warnings, ())
        origins = "server: {cors: {origins: ['https://app.example']}}"
        self.assertEqual(self.loaded(provider + origins).warnings, ())

    def test_listening_for_everyone(self) -> None:
        for listen in ("tcp:8080", "tcp:1:interface=0.0.0.0", r"tcp:1:interface=\:\:", "tcp6:1"):
            (warning,) = self.loaded(listen=[listen]).warnings
            self.assertIn("auth.api_keys is empty", warning)
        for listen in (
            "tcp:1:interface=127.0.0.2",
            r"tcp:1:interface=\:\:1",
            "tcp:1:interface=localhost",
            "unix:/tmp/x",
            "systemd:domain=INET:index=0",
        ):
            self.assertEqual(self.loaded(listen=[listen]).warnings, ())

    def test_a_key_over_plain_http(self) -> None:
        text = "providers: {{openai: {{base_url: '{}', api_key: k}}}}\nauth: {{api_keys: [x]}}"
        (warning,) = self.loaded(text.format("http://llm.example.com")).warnings
        self.assertIn("unencrypted", warning)
        for url in ("http://127.0.0.1:1", "http://localhost", "http://ollama:1", "https://a.b"):
            self.assertEqual(self.loaded(text.format(url)).warnings, ())
