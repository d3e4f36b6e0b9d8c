"""Users of the two ancestors start with what they have: environment, config file and database as they were."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import SkipTest

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.proxy import PATIENCE, TWISTD, Proxy, environment, free_port
from tests.integration.upstream import Upstream

CLAWPROXY = Path(sys.executable).with_name("clawproxy")
ASK = {
    "model": "claude-haiku-4-5",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Hello"}],
}

#: The recording ancestor's table.
SCHEMA = """\
CREATE TABLE requests (
    id TEXT PRIMARY KEY, timestamp DATETIME DEFAULT CURRENT_TIMESTAMP, method TEXT NOT NULL, endpoint TEXT NOT NULL,
    headers TEXT NOT NULL, body TEXT NOT NULL, user_agent TEXT, content_type TEXT, prompt_grade TEXT, response TEXT,
    model TEXT, original_model TEXT, routed_model TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP
)
"""
STREAM = [
    'data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    '"model":"claude-sonnet-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}',
    'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"An old answer."}}',
    'data: {"type":"content_block_stop","index":0}',
    'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}',
    'data: {"type":"message_stop"}',
]


def old_database(file: Path) -> None:
    """Make a database as the recording ancestor left it: a whole answer, a stream, and one without an answer."""
    whole = {
        "statusCode": 200,
        "headers": {"Content-Type": ["application/json"], "Request-Id": ["req_011"]},
        "body": {
            "id": "msg_0",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-4-1",
            "content": [{"type": "text", "text": "A whole old answer."}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 11, "output_tokens": 7},
        },
        "responseTime": 1234,
        "isStreaming": False,
        "completedAt": "2025-11-28T13:03:30-08:00",
    }
    stream = {
        "statusCode": 200,
        "headers": {"Content-Type": ["text/event-stream"]},
        "responseTime": 2345,
        "streamingChunks": STREAM,
        "isStreaming": True,
        "completedAt": "2025-11-28T13:04:30-08:00",
    }
    rows = [
        ("1f6", "2025-11-28T13:03:29-08:00", "claude-opus-4-1", json.dumps(whole)),
        ("2a7", "2025-11-28T13:04:28-08:00", "claude-sonnet-4-5", json.dumps(stream)),
        ("3b8", "2025-11-28T13:05:28-08:00", "claude-sonnet-4-5", None),
    ]
    with closing(sqlite3.connect(file)) as database:
        database.execute(SCHEMA)
        for id, moment, model, response in rows:
            body = {
                **ASK,
                "model": model,
                "messages": [{"role": "user", "content": f"Question {id}"}],
            }
            headers = {"User-Agent": ["claude-cli/1.0.128"], "X-Api-Key": ["sha256:0f3"]}
            database.execute(
                "INSERT INTO requests (id, timestamp, method, endpoint, headers, body, user_agent, content_type, model,"
                " original_model, routed_model, response) VALUES (?, ?, 'POST', '/v1/messages', ?, ?,"
                " 'claude-cli/1.0.128', 'application/json', ?, ?, ?, ?)",
                (id, moment, json.dumps(headers), json.dumps(body), model, model, model, response),
            )
        database.commit()


class AncestorCase(ProxyCase):
    def old(self, env: Mapping[str, str], *arguments: str, port: int | None = None) -> Proxy:
        """Start a proxy as its users started the ancestor: in the same folder, with the same words."""
        proxy = Proxy(self.folder, env=env)
        proxy.command = [str(TWISTD), "-n", "--pidfile=", "clawproxy", *arguments]
        if port is not None:
            proxy.port = port
        return self.stack.enter_context(proxy)

    def ask(
        self, proxy: Proxy, path: str, value: object = None, key: str | None = None
    ) -> tuple[int, Any]:
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        data = json.dumps(value).encode() if value is not None else None
        request = urllib.request.Request(proxy.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def records(self, proxy: Proxy, number: int) -> list[dict[str, Any]]:
        """Wait until that many exchanges are in the store."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, found = self.ask(proxy, "/api/requests")
            if status == 200 and found["total"] >= number:
                listed: list[dict[str, Any]] = found["requests"]
                return listed
            if time.monotonic() > deadline:
                raise AssertionError(f"{status} {found}\n{proxy.log}")
            time.sleep(0.1)


class RecorderTests(AncestorCase):
    """The recording proxy for Claude Code."""

    def anthropic(self) -> Upstream:
        return self.upstream(lambda _: answers.anthropic(False, answers.text("Hello.")))

    def environ(self, upstream: Upstream, port: int) -> dict[str, str]:
        return {
            "PORT": str(port),
            "READ_TIMEOUT": "10m",
            "WRITE_TIMEOUT": "600s",
            "IDLE_TIMEOUT": "10m",
            "ANTHROPIC_FORWARD_URL": upstream.url,
            "ANTHROPIC_VERSION": "2023-06-01",
            "ANTHROPIC_MAX_RETRIES": "3",
            "OPENAI_API_KEY": "sk-old",
            "DB_PATH": "requests.db",
            "SUBAGENT_MAPPINGS": "code-reviewer:gpt-4o",
        }

    def test_environment(self) -> None:
        upstream, port = self.anthropic(), free_port()
        proxy = self.old(self.environ(upstream, port), port=port)
        status, answer = self.ask(proxy, "/v1/messages", ASK, key="sk-ant-oat-mine")
        self.assertEqual((status, answer["content"][0]["text"]), (200, "Hello."), proxy.log)
        self.assertEqual(upstream.asked[0].header("authorization"), "Bearer sk-ant-oat-mine")
        self.assertEqual(self.records(proxy, 1)[0]["model"], "claude-haiku-4-5")
        self.assertTrue((self.folder / "requests.db").exists())

    def test_config(self) -> None:
        upstream, port = self.anthropic(), free_port()
        (self.folder / "config.yaml").write_text(
            f"server:\n  port: {port}\n  timeouts: {{read: 10m, write: 10m, idle: 10m}}\n"
            f'providers:\n  anthropic: {{base_url: "{upstream.url}", version: "2023-06-01", max_retries: 3}}\n'
            "  openai:\n    # api_key: sk-...\nstorage:\n  db_path: requests.db\n"
            "subagents:\n  mappings:\n    code-reviewer: gpt-4o\n"
        )
        proxy = self.old({}, "--config", "config.yaml", port=port)
        status, answer = self.ask(proxy, "/v1/messages", ASK, key="sk-ant-mine")
        self.assertEqual((status, answer["type"]), (200, "message"), proxy.log)
        self.records(proxy, 1)
        self.assertIn("claude-code-proxy", proxy.log)

    def test_database(self) -> None:
        """The old database stays where it is; new records go beside it; ``clawproxy import`` joins them."""
        old_database(self.folder / "requests.db")
        before = (self.folder / "requests.db").read_bytes()
        upstream, port = self.anthropic(), free_port()
        environ = self.environ(upstream, port)
        proxy = self.old(environ, port=port)
        self.assertEqual(self.ask(proxy, "/v1/messages", ASK, key="sk-mine")[0], 200)
        self.records(proxy, 1)
        self.assertIn("clawproxy import requests.db", proxy.log)
        done = subprocess.run(
            [str(CLAWPROXY), "import", "requests.db"],
            cwd=self.folder,
            env=environment(self.folder, environ),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode == 2 and "invalid choice" in done.stderr:
            raise SkipTest("there is no `clawproxy import` in this version")
        self.assertEqual(done.returncode, 0, done.stderr)
        found = self.records(proxy, 4)
        self.assertEqual(
            [(each["started_at"][:19], each["model"]) for each in found[1:]],
            [
                ("2025-11-28T21:05:28", "claude-sonnet-4-5"),
                ("2025-11-28T21:04:28", "claude-sonnet-4-5"),
                ("2025-11-28T21:03:29", "claude-opus-4-1"),
            ],
        )
        details = [self.ask(proxy, f"/api/requests/{each['id']}")[1] for each in found[1:]]
        self.assertEqual(
            [each["request"]["messages"][0]["content"] for each in details],
            ["Question 3b8", "Question 2a7", "Question 1f6"],
        )
        self.assertEqual(
            [each["response"]["content"][0]["text"] for each in details[1:]],
            ["An old answer.", "A whole old answer."],
        )
        self.assertEqual((details[2]["status"], details[2]["usage"]["output_tokens"]), (200, 7))
        self.assertEqual((self.folder / "requests.db").read_bytes(), before)


class BridgeTests(AncestorCase):
    """The OpenAI-compatible front of the OpenClaw Gateway; here with a gateway that is away."""

    def check(self, proxy: Proxy) -> None:
        self.assertEqual(self.ask(proxy, "/v1/models")[0], 401)
        status, models = self.ask(proxy, "/v1/models", key="sk-mine")
        self.assertEqual((status, models["object"]), (200, "list"), proxy.log)
        health = self.ask(proxy, "/health")[1]
        self.assertFalse(health["gateways"]["openclaw"]["connected"])
        body = {"model": "openclaw", "messages": [{"role": "user", "content": "Hello"}]}
        status, error = self.ask(proxy, "/v1/chat/completions", body, key="sk-mine")
        self.assertEqual((status // 100, error["error"]["type"]), (5, "server_error"))
        self.assertIn("gateway", error["error"]["message"])
        self.assertEqual(self.ask(proxy, "/v1/chat/completions", body, key="sk-other")[0], 401)

    def test_environment(self) -> None:
        port, away = free_port(), free_port()
        environ = {
            "CLAWPROXY_PORT": str(port),
            "CLAWPROXY_HOST": "127.0.0.1",
            "CLAWPROXY_API_KEY": "sk-mine",
            "CLAWPROXY_GATEWAY_URL": f"ws://127.0.0.1:{away}",
            "OPENCLAW_GATEWAY_TOKEN": "720ed579",
            "CLAWPROXY_DEFAULT_MODEL": "dev",
            "CLAWPROXY_SESSION_MODE": "passthrough",
            "CLAWPROXY_VERBOSE": "true",
        }
        self.check(self.old(environ, port=port))

    def test_config(self) -> None:
        port, away = free_port(), free_port()
        config = {
            "httpPort": port,
            "httpHost": "127.0.0.1",
            "apiKey": "sk-mine",
            "gatewayUrl": f"ws://127.0.0.1:{away}",
            "gatewayToken": "720ed579",
            "defaultModel": "dev",
            "verbose": True,
        }
        (self.folder / "config.json").write_text(json.dumps(config))
        proxy = self.old({}, "--config", "config.json", port=port)
        self.check(proxy)
        self.assertNotIn("720ed579", proxy.log)
