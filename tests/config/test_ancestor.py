"""Config files and databases of the two ancestors."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config import ConfigError, Loaded, load
from clawproxy.config.ancestor import BRIDGE_KEYS, spare
from clawproxy.config.model import Config, HTTPProviderConfig, OpenClawProviderConfig
from clawproxy.config.section import keys_of

#: The example that the recording proxy shipped, as its users copied it.
RECORDER = """\
server:
  port: 3001
  timeouts:
    read: 10m
    write: 10m
    idle: 5m
providers:
  anthropic:
    base_url: "https://api.anthropic.com"
    version: "2023-06-01"
    max_retries: 3
  openai:
    # api_key: "sk-..."
    # base_url: "https://api.openai.com"
storage:
  db_path: "requests.db"
  # requests_dir: "./requests"
subagents:
  mappings:
    # code-reviewer: "gpt-4o"
"""
BRIDGE = """\
{"httpPort": 8081, "httpHost": "127.0.0.1", "apiKey": "sk-mine", "gatewayUrl": "ws://10.0.0.2:19001",
 "gatewayToken": "720ed579", "defaultModel": "dev", "verbose": true}
"""
SCHEMA = (
    "CREATE TABLE requests (id TEXT PRIMARY KEY, timestamp DATETIME, method TEXT, endpoint TEXT, headers TEXT,"
    " body TEXT, user_agent TEXT, content_type TEXT, prompt_grade TEXT, response TEXT, model TEXT,"
    " original_model TEXT, routed_model TEXT, created_at DATETIME)"
)


class AncestorCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)

    def load(
        self, text: str, environ: dict[str, str] | None = None, name: str = "config"
    ) -> Loaded:
        file = self.folder / name
        file.write_text(text)
        return load(str(file), environ=environ or {}, cwd=self.folder, home=self.folder)


class RecorderTests(AncestorCase):
    def test_example(self) -> None:
        loaded = self.load(RECORDER)
        config = loaded.config
        self.assertEqual(config.server.listen, ("tcp:3001:interface=127.0.0.1",))
        self.assertEqual(config.server.idle_timeout, 300)
        anthropic = config.providers["anthropic"]
        assert isinstance(anthropic, HTTPProviderConfig)
        self.assertEqual((anthropic.max_retries, anthropic.version), (3, "2023-06-01"))
        self.assertIn("openai", config.providers)
        self.assertEqual(config.storage.url, "sqlite:requests.db")
        self.assertFalse(config.subagents.enable)
        words = "\n".join(loaded.warnings)
        for told in ("claude-code-proxy", "server.timeouts.read", "server.timeouts.write"):
            self.assertIn(told, words)
        self.assertNotIn("requests_dir", words)

    def test_subagents_are_switched_on_by_a_mapping(self) -> None:
        text = RECORDER.replace('# code-reviewer: "gpt-4o"', 'code-reviewer: "gpt-4o"')
        subagents = self.load(text).config.subagents
        self.assertTrue(subagents.enable)
        self.assertEqual(dict(subagents.mappings), {"code-reviewer": "gpt-4o"})

    def test_defaults_are_the_ancestors(self) -> None:
        config = self.load("storage: {db_path: /var/lib/old.db, requests_dir: x}\n").config
        self.assertEqual(config.server.listen, ("tcp:3001:interface=127.0.0.1",))
        anthropic = config.providers["anthropic"]
        assert isinstance(anthropic, HTTPProviderConfig)
        self.assertEqual(anthropic.max_retries, 3)

    def test_environment_goes_before_it(self) -> None:
        environ = {"PORT": "4000", "DB_PATH": "other.db", "ANTHROPIC_MAX_RETRIES": "1"}
        config = self.load(RECORDER, environ).config
        self.assertEqual(config.server.listen, ("tcp:4000:interface=127.0.0.1",))
        self.assertEqual(config.storage.url, "sqlite:other.db")
        anthropic = config.providers["anthropic"]
        assert isinstance(anthropic, HTTPProviderConfig)
        self.assertEqual(anthropic.max_retries, 1)

    def test_mistakes_keep_their_places(self) -> None:
        with self.assertRaises(ConfigError) as caught:
            self.load(RECORDER.replace("max_retries: 3", "max_retires: 3"))
        [mistake] = caught.exception.mistakes
        self.assertEqual((mistake.key, mistake.line), ("providers.anthropic.max_retires", 11))
        with self.assertRaises(ConfigError) as caught:
            self.load(RECORDER.replace("port: 3001", "port: high"))
        self.assertEqual([each.line for each in caught.exception.mistakes], [2])

    def test_file_of_ours_stays_what_it_is(self) -> None:
        for text in (
            "server: {port: 3001}\n",
            "server: {timeouts: 5}\n",
            "storage: {db_path: x}\n",
            "httpPort: 8080\nlog: {level: info}\n",
        ):
            with self.assertRaises(ConfigError):
                self.load(text)
        self.assertEqual(self.load("{}\n").warnings, self.load("").warnings)


class BridgeTests(AncestorCase):
    def test_example(self) -> None:
        loaded = self.load(BRIDGE)
        config = loaded.config
        self.assertEqual(config.server.listen, ("tcp:8081:interface=127.0.0.1",))
        self.assertEqual([each.key.reveal() for each in config.auth.api_keys], ["sk-mine"])
        gateway = config.providers["openclaw"]
        assert isinstance(gateway, OpenClawProviderConfig) and gateway.token is not None
        self.assertEqual(gateway.url, "ws://10.0.0.2:19001")
        self.assertEqual(gateway.token.reveal(), "720ed579")
        self.assertEqual((gateway.default_agent, gateway.session_mode), ("dev", "passthrough"))
        self.assertEqual(config.log.level, "debug")
        self.assertEqual(config.default_provider.openai, "openclaw")
        self.assertEqual(config.routes[0].match, "gpt-4")
        self.assertIn("OpenClaw bridge", loaded.warnings[0])

    def test_little_is_enough(self) -> None:
        config = self.load(
            '{"httpHost": "0.0.0.0", "apiKey": ""}', {"OPENCLAW_GATEWAY_TOKEN": "t"}
        ).config
        self.assertEqual(config.server.listen, ("tcp:8080",))
        self.assertEqual(config.auth.api_keys, ())
        gateway = config.providers["openclaw"]
        assert isinstance(gateway, OpenClawProviderConfig) and gateway.token is not None
        self.assertEqual((gateway.url, gateway.token.reveal()), ("ws://127.0.0.1:19001", "t"))

    def test_no_key_of_theirs_is_one_of_ours(self) -> None:
        self.assertEqual(BRIDGE_KEYS & set(keys_of(Config)), set())


class SpareTests(AncestorCase):
    def old(self, name: str, *statements: str) -> Path:
        file = self.folder / name
        with closing(sqlite3.connect(file)) as database:
            for statement in statements:
                database.execute(statement)
            database.commit()
        return file

    def test_old_database_is_left_alone(self) -> None:
        self.old("requests.db", SCHEMA)
        for loaded in (
            self.load("", {"DB_PATH": "requests.db"}),
            self.load(RECORDER),
        ):
            self.assertEqual(loaded.config.storage.url, "sqlite:requests.clawproxy.db")
            self.assertIn("clawproxy import requests.db", "\n".join(loaded.warnings))

    def test_absolute_paths(self) -> None:
        file = self.old("requests.db", SCHEMA)
        url, note = spare(f"sqlite:{file}", Path("/"))
        self.assertEqual(url, f"sqlite:{self.folder / 'requests.clawproxy.db'}")
        self.assertIn(str(file), note or "")

    def test_stays_with_its_file_when_the_old_one_is_gone(self) -> None:
        (self.folder / "requests.clawproxy.db").touch()
        config = self.load("", {"DB_PATH": "requests.db"}).config
        self.assertEqual(config.storage.url, "sqlite:requests.clawproxy.db")

    def test_all_else_is_taken_as_it_is(self) -> None:
        self.old("ours.db", SCHEMA, "PRAGMA user_version = 1")
        self.old("foreign.db", "CREATE TABLE requests (id)")
        (self.folder / "text.db").write_text("no database" * 100)
        for name in ("ours.db", "foreign.db", "text.db", "new.db"):
            self.assertEqual(spare(f"sqlite:{name}", self.folder), (f"sqlite:{name}", None))
        self.assertEqual(spare("none", self.folder), ("none", None))

    def test_what_storage_url_says_is_meant(self) -> None:
        self.old("requests.db", SCHEMA)
        config = self.load("storage: {url: 'sqlite:requests.db'}").config
        self.assertEqual(config.storage.url, "sqlite:requests.db")
