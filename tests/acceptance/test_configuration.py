"""Where the configuration comes from, what it may say, and what is said of mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from tests.acceptance.caller import message, parsed, post
from tests.acceptance.case import AcceptanceCase
from tests.acceptance.program import check, run

DEFAULTS = """
server:
  listen: ["tcp:8080:interface=127.0.0.1"]
  max_body: 33554432
  cors: {origins: ["*"]}
  idle_timeout: 600
  drain: {timeout: 1920, settle: 0, log_every: 10}
auth:
  api_keys: []
providers:
  anthropic: {kind: anthropic, base_url: "https://api.anthropic.com", api_key: null, version: "2023-06-01"}
  openai:    {kind: openai,    base_url: "https://api.openai.com",    api_key: null}
routes:
  - {match: "claude-*", provider: anthropic}
  - {match: "gpt-*", provider: openai}
  - {match: "o[0-9]*", provider: openai}
default_provider: {anthropic: anthropic, openai: openai}
subagents: {enable: false, mappings: {}}
storage:
  url: "sqlite:clawproxy.db"
  retention_days: 0
  bodies: full
dashboard: {enabled: true, password: null}
log: {level: info, format: text}
"""


OF_HTTP_PROVIDERS = {
    "connect_timeout": 10,
    "response_header_timeout": 300,
    "idle_timeout": 300,
    "max_retries": 0,
    "max_connections": 1000,
    "keepalive": 15,
    "headers": {},
}


EVERYTHING = """
server:
  listen: ["tcp:8080:interface=127.0.0.1"]
  max_body: 33554432
  cors: {origins: ["*"]}
  idle_timeout: 600
  drain: {timeout: 1920, settle: 0, log_every: 10}
auth:
  api_keys: []
providers:
  anthropic: {kind: anthropic, base_url: "https://api.anthropic.com", api_key: null, version: "2023-06-01",
    connect_timeout: 10, response_header_timeout: 300, idle_timeout: 300, max_retries: 0, max_connections: 1000,
    keepalive: 15, headers: {name: value}, demote_nonstreaming: false}
  openai: {kind: openai, base_url: "https://api.openai.com", api_key: null, api: responses}
  openclaw: {kind: openclaw, url: "ws://127.0.0.1:18789", token: null, default_agent: main, session_mode: stateful}
  demo: {kind: demo}
routes:
  - {match: "claude-*", provider: anthropic}
  - {match: "fast", provider: openai, model: "gpt-5-mini", fallbacks: ["claude-haiku-4-5"]}
default_provider: {anthropic: null, openai: openai}
subagents: {enable: false, mappings: {}, agents_dirs: [".claude/agents", "~/.claude/agents"]}
storage: {url: "postgresql://user:pass@host/db", retention_days: 0, bodies: metadata}
dashboard: {enabled: true, password: null}
log: {level: info, format: json}
"""


class CheckCase(AcceptanceCase):
    def effective(
        self, config: object = None, *arguments: str, env: Mapping[str, str] | None = None
    ) -> Any:
        """What ``clawproxy check`` prints."""
        done = check(self.folder, config, *arguments, env=env)
        self.assertEqual((done.returncode, done.stderr.count("Traceback")), (0, 0), done.stderr)
        return yaml.safe_load(done.stdout)

    def assertSays(self, said: Any, expected: Any, at: str = "") -> None:
        """Check that what is expected stands in what is said, beside whatever else may be there."""
        if isinstance(expected, dict) and expected:
            for name, value in expected.items():
                self.assertIn(name, said, at)
                self.assertSays(said[name], value, f"{at}.{name}")
        elif isinstance(expected, list) and expected and isinstance(expected[0], dict):
            for number, value in enumerate(expected):
                self.assertSays(said[number], value, f"{at}.{number}")
        else:
            self.assertEqual(said, expected, at)


class CheckTests(CheckCase):
    """`clawproxy check [--config FILE]` validates and prints the effective config."""

    def test_defaults(self) -> None:
        """Configuration (defaults shown)."""
        said = self.effective()
        self.assertSays(said, yaml.safe_load(DEFAULTS))
        for name in ("anthropic", "openai"):
            self.assertSays(said["providers"][name], OF_HTTP_PROVIDERS)
        self.assertIs(said["providers"]["anthropic"]["demote_nonstreaming"], False)
        self.assertEqual(said["subagents"]["agents_dirs"][0], ".claude/agents")

    def test_every_key_that_is_promised(self) -> None:
        """Every key of the page, its commented ones included, is one that the program knows."""
        self.assertSays(self.effective(EVERYTHING)["providers"]["openai"], {"api": "responses"})

    def test_what_it_prints_is_a_configuration(self) -> None:
        """Prints the effective config."""
        first = self.effective("routes: [{match: a, provider: demo, fallbacks: [b]}]")
        self.assertEqual(self.effective(first)["routes"][0], first["routes"][0])

    def test_secrets_are_masked(self) -> None:
        """With secrets masked."""
        secrets = [f"very-secret-{number}" for number in range(8)]
        config = {
            "auth": {"api_keys": [secrets[0], {"name": "me", "key": secrets[1]}]},
            "providers": {
                "anthropic": {"api_key": secrets[2], "headers": {"X-Key": secrets[3]}},
                "openclaw": {"token": secrets[4], "url": f"ws://h:1/?token={secrets[5]}"},
            },
            "storage": {"url": f"postgresql://me:{secrets[6]}@host/db"},
            "dashboard": {"password": secrets[7]},
        }
        done = check(self.folder, config)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([each for each in secrets if each in done.stdout + done.stderr], [])
        self.assertIn("@host/db", done.stdout)
        self.assertIn("name: me", done.stdout)

    def test_help(self) -> None:
        """`clawproxy` is also the entry point of the other tools (`clawproxy --help`)."""
        done = run("clawproxy", "--help", folder=self.folder)
        self.assertEqual(done.returncode, 0)
        self.assertIn("check", done.stdout)

    def test_twistd_knows_the_plugin(self) -> None:
        """twistd -n clawproxy [--config FILE] [--listen ENDPOINT]... [--set dotted.key=value]..."""
        done = run("twistd", "clawproxy", "--help", folder=self.folder)
        for option in ("--config", "--listen", "--set"):
            self.assertIn(option, done.stdout)


class SourceTests(CheckCase):
    """Config file: `--config`, else `$CLAWPROXY_CONFIG`, else `./clawproxy.yaml`, else `~/.config/…`."""

    def test_order_of_the_files(self) -> None:
        folder = self.folder
        places = {
            "option": folder / "option.yaml",
            "variable": folder / "variable.yaml",
            "here": folder / "clawproxy.yaml",
            "home": folder / "home/.config/clawproxy/clawproxy.yaml",
        }
        for number, place in enumerate(places.values(), 1):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"server: {{max_body: {number}}}")
        env = {"HOME": str(folder / "home")}

        def size(*arguments: str, **more: str) -> Any:
            done = check(folder, None, *arguments, env={**env, **more})
            self.assertEqual(done.returncode, 0, done.stderr)
            return yaml.safe_load(done.stdout)["server"]["max_body"]

        named = {"CLAWPROXY_CONFIG": str(places["variable"])}
        self.assertEqual(size("--config", str(places["option"]), **named), 1)
        self.assertEqual(size(**named), 2)
        self.assertEqual(size(), 3)
        places["here"].unlink()
        self.assertEqual(size(), 4)
        places["home"].unlink()
        self.assertEqual(size(), 33554432)

    def test_a_file_that_is_named_must_be_there(self) -> None:
        for arguments, env in (
            (["--config", "nowhere.yaml"], {}),
            ([], {"CLAWPROXY_CONFIG": "nowhere.yaml"}),
        ):
            done = check(self.folder, None, *arguments, env=env)
            self.assertEqual(done.returncode, 1)
            self.assertIn("nowhere.yaml", done.stderr)

    def test_an_empty_file(self) -> None:
        for text in ("", "# nothing\n", "server:\n"):
            self.assertEqual(self.effective(text)["server"]["max_body"], 33554432)

    def test_variables_in_values(self) -> None:
        """`${VAR}` and `${VAR:-default}` are filled in inside values, after the YAML is parsed."""
        config = """
        server: {max_body: "${SIZE}", idle_timeout: "${NONE:-7}"}
        auth: {api_keys: []}
        providers:
          anthropic: {base_url: "http://${HOST}:${PORT_OF_HOST:-81}${PATH_OF_HOST:-}"}
        routes:
          - {match: "${PUNCTUATION}", provider: openai, model: "${EMPTY:-instead}"}
          - {match: "${NONE:-a: b # c}", provider: openai}
        log: {level: "${LEVEL:-info}"}
        """
        env = {"SIZE": "123", "HOST": "h.example", "PUNCTUATION": "a: [b, 'c' # {d", "EMPTY": ""}
        said = self.effective(config, env=env)
        self.assertEqual((said["server"]["max_body"], said["server"]["idle_timeout"]), (123, 7))
        self.assertEqual(said["providers"]["anthropic"]["base_url"], "http://h.example:81")
        self.assertEqual(said["routes"][0]["match"], "a: [b, 'c' # {d")
        self.assertEqual(said["routes"][0]["model"], "instead")
        self.assertEqual(said["routes"][1]["match"], "a: b # c")
        self.assertEqual(said["log"]["level"], "info")

    def test_a_variable_that_is_not_set(self) -> None:
        done = check(self.folder, "log: {level: '${NOT_SET_ANYWHERE}'}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("log.level", done.stderr)
        self.assertIn("NOT_SET_ANYWHERE", done.stderr)

    def test_precedence(self) -> None:
        """`--set`/`--listen` > environment > config file > defaults."""
        upstreams = [self.upstream() for _ in range(4)]
        file, variable, option, version = upstreams
        config = {
            "server": {"listen": ["tcp:1"]},
            "providers": {
                "anthropic": {"base_url": file.url, "version": "2020-01-01"},
                "openai": {"base_url": file.url},
                "other": {"kind": "openai", "base_url": file.url},
            },
            "routes": [{"match": "other", "provider": "other"}],
            "storage": {"url": "none"},
        }
        program = self.program(
            config,
            "--set",
            f"providers.anthropic.base_url={option.url}",
            env={
                "ANTHROPIC_FORWARD_URL": variable.url,
                "OPENAI_BASE_URL": variable.url,
                "PORT": "1",
            },
        )
        for model in ("claude-x", "gpt-x", "other"):
            path = "/v1/messages" if model == "claude-x" else "/v1/chat/completions"
            self.assertEqual(post(program.port, path, message(model)).status, 200)
        self.assertEqual([each.json["model"] for each in option.asked], ["claude-x"])
        self.assertEqual([each.json["model"] for each in variable.asked], ["gpt-x"])
        self.assertEqual([each.json["model"] for each in file.asked], ["other"])
        self.assertEqual(option.asked[0].header("anthropic-version"), "2020-01-01")
        self.assertEqual(version.asked, [])


class MistakeTests(AcceptanceCase):
    """A wrong config stops the start with exit code 1 (never a traceback): every mistake at once."""

    WRONG = """\
server:
  max_boddy: 5
  listen: ["tcp:notaport"]
  cors: {orgins: []}
  drain: {timeout: soon}
auth: {api_key: [x]}
providers:
  anthropic: {base_ulr: "http://x", max_retries: -1, connect_timeout: 0}
  local: {kind: opnai}
routes:
  - {match: "a*", provider: nobody}
  - {provider: openai}
default_provider: {anthropic: nothing}
storage: {bodies: some, url: "oracle:x"}
log: {level: loud, format: xml}
databse: {}
"""
    #: Dotted key, what was found, what is to be in the words beside.
    EXPECTED = (
        ("server.max_boddy", "max_boddy", "max_body"),
        ("server.listen", "notaport", ""),
        ("server.cors.orgins", "orgins", "origins"),
        ("server.drain.timeout", "soon", "econds"),
        ("auth.api_key", "api_key", "api_keys"),
        ("providers.anthropic.base_ulr", "base_ulr", "base_url"),
        ("providers.anthropic.max_retries", "-1", "0"),
        ("providers.anthropic.connect_timeout", "0", "more than 0"),
        ("providers.local.kind", "opnai", "openai"),
        ("routes.0.provider", "nobody", "provider"),
        ("routes.1.match", "nothing", "glob"),
        ("default_provider.anthropic", "nothing", "provider"),
        ("storage.bodies", "some", "metadata"),
        ("storage.url", "oracle", "postgresql"),
        ("log.level", "loud", "info"),
        ("log.format", "xml", "json"),
    )

    def test_all_at_once(self) -> None:
        """Each with its file, dotted key, what was found, what was expected, and the nearest key."""
        folder = self.folder
        for done in (
            check(folder, self.WRONG),
            run("twistd", "-n", "--pidfile=", "clawproxy", folder=folder),
        ):
            said = done.stderr + done.stdout
            self.assertEqual(done.returncode, 1, said)
            self.assertNotIn("Traceback", said)
            for key, found, expected in self.EXPECTED:
                lines = [line for line in said.splitlines() if key in line]
                self.assertTrue(lines, f"nothing was said of {key}:\n{said}")
                line = next((line for line in lines if found in line and expected in line), "")
                self.assertIn("clawproxy.yaml", line, f"{key}: {lines}")
            self.assertIn("databse", said)
        self.assertEqual(list(folder.glob("*.db")), [])

    def test_of_a_daemon_too(self) -> None:
        folder = self.folder
        check(folder, self.WRONG)
        done = run("twistd", "--pidfile=p", "--logfile=l", "clawproxy", folder=folder)
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("Traceback", done.stderr + done.stdout)
        self.assertIn("server.max_boddy", done.stderr + done.stdout)

    def test_of_options_and_variables(self) -> None:
        folder = self.folder
        command = ("twistd", "-n", "--pidfile=", "clawproxy")
        for arguments, env, words in (
            (("--set", "server.max_boddy=3"), {}, "server.max_body"),
            (("--set", "server.max_body=x"), {}, "server.max_body"),
            (("--set", "nonsense"), {}, "dotted.key=value"),
            (("--listen", "tcp:xyz"), {}, "xyz"),
            (("--config", "missing.yaml"), {}, "missing.yaml"),
            ((), {"PORT": "many"}, "PORT"),
            ((), {"ANTHROPIC_MAX_RETRIES": "many"}, "ANTHROPIC_MAX_RETRIES"),
        ):
            done = run(*command, *arguments, folder=folder, env=env)
            said = done.stderr + done.stdout
            self.assertEqual(done.returncode, 1, said)
            self.assertNotIn("Traceback", said)
            self.assertIn(words, said)

    def test_what_is_no_yaml(self) -> None:
        for text in (
            "server: {max_body: [",
            "\t- x: y: z",
            "- a\n- b\n",
            "just words",
            "a: &a [*a]",
        ):
            done = check(self.folder, text)
            self.assertEqual(done.returncode, 1, text)
            self.assertNotIn("Traceback", done.stderr)
            self.assertIn("clawproxy.yaml", done.stderr)

    def test_of_wrong_shapes(self) -> None:
        shapes = (
            ("server: 5", "server"),
            ("server: {listen: {a: b}}", "server.listen"),
            ("server: {cors: true}", "server.cors"),
            ("auth: {api_keys: {a: b}}", "auth.api_keys"),
            ("providers: [a]", "providers"),
            ("providers: {x: 5}", "providers.x"),
            ("providers: {x: {base_url: 'http://x'}}", "providers.x.kind"),
            ("routes: {a: b}", "routes"),
            ("routes: [a]", "routes.0"),
            ("subagents: {mappings: [a]}", "subagents.mappings"),
            ("storage: {retention_days: -1}", "storage.retention_days"),
            ("dashboard: {enabled: maybe}", "dashboard.enabled"),
            ("providers: {openai: {api: grpc}}", "providers.openai.api"),
            ("providers: {openai: {demote_nonstreaming: true}}", "providers.openai.demote"),
            ("providers: {openclaw: {session_mode: x}}", "providers.openclaw.session_mode"),
            ("server: {max_body: 1, max_body: 2}", "max_body"),
        )
        # All mistakes are told at once: one file holds as many as have sections of their own.
        files: list[dict[str, tuple[str, str]]] = []
        for text, key in shapes:
            section = text.partition(":")[0]
            file = next((each for each in files if section not in each), None)
            if file is None:
                file = {}
                files.append(file)
            file[section] = (text, key)
        for file in files:
            done = check(self.folder, "\n".join(text for text, _ in file.values()))
            self.assertEqual(done.returncode, 1, file)
            self.assertNotIn("Traceback", done.stderr)
            for _, key in file.values():
                self.assertIn(key, done.stderr)


class RunningTests(AcceptanceCase):
    def test_set_takes_any_key(self) -> None:
        upstream = self.upstream()
        program = self.program(
            None,
            "--set",
            "storage.url=none",
            "--set",
            f'providers={{"anthropic":{{"base_url":"{upstream.url}"}}}}',
            "--set",
            "auth.api_keys=[one, two]",
        )
        reply = post(program.port, "/v1/messages", message(), {"x-api-key": "three"})
        self.assertEqual(parsed(reply)["error"]["type"], "authentication_error")
        headers = [("x-api-key", "two"), ("authorization", "Bearer sk-own")]
        reply = post(program.port, "/v1/messages", message(), headers)
        self.assertEqual(reply.status, 200, reply.body)
