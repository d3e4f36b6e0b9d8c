"""The description of the API against a running proxy: schemathesis asks it everything that the description allows,
and much that it does not, and holds every answer to what is described.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import SkipTest

from tests.integration.case import ProxyCase
from tests.integration.proxy import PATIENCE, Proxy

#: Each call is answered by the proxy itself, so that no error can be an upstream's.
SETTINGS = {
    "providers.anthropic": "null",
    "providers.openai": "null",
    "routes": "[]",
    "default_provider.anthropic": "demo",
    "default_provider.openai": "demo",
    "storage.url": "sqlite:clawproxy.db",
}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
#: What methods there are is the upstream's or the pages' business there.
OPEN = re.compile(r"/v1/\{path\}|/\{provider\}|/ui/")
SECONDS = 240
ASK = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}


class OpenAPITests(ProxyCase):
    def demo(self, tokens_per_second: int = 0) -> Proxy:
        settings = {**SETTINGS, "providers.demo.tokens_per_second": tokens_per_second}
        return self.stack.enter_context(Proxy(self.folder / "proxy", settings=settings))

    def call(
        self, proxy: Proxy, method: str, path: str, value: object = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        try:
            connection.request(method, path, json.dumps(value) if value is not None else None)
            answer = connection.getresponse()
            headers = {name.lower(): text for name, text in answer.getheaders()}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def recorded(self, proxy: Proxy, number: int) -> list[dict[str, Any]]:
        """Wait until that many exchanges are in the store."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, _, body = self.call(proxy, "GET", "/api/requests")
            if status == 200:
                found: list[dict[str, Any]] = json.loads(body)["requests"]
                if len([each for each in found if each["finished_at"]]) >= number:
                    return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{status} {body!r}\n{proxy.log}")
            time.sleep(0.1)

    def description(self, proxy: Proxy) -> dict[str, Any]:
        _, _, body = self.call(proxy, "GET", "/openapi.json")
        found: dict[str, Any] = json.loads(body)
        return found

    def check(
        self, described: dict[str, Any], path: str, reply: tuple[int, dict[str, str], bytes]
    ) -> None:
        """Hold an answer to a GET against its description."""
        from jsonschema import Draft202012Validator

        status, headers, body = reply
        answer = described["paths"][path]["get"]["responses"][str(status)]
        schema = answer["content"][headers["content-type"]].get("schema", {})
        whole = {**schema, "components": described["components"]}
        problems = [
            each.message for each in Draft202012Validator(whole).iter_errors(json.loads(body))
        ]
        self.assertEqual(problems, [], path)

    def test_records(self) -> None:
        """What is shown of a real exchange is what is described."""
        if find_spec("jsonschema") is None:
            raise SkipTest("jsonschema is not installed")
        proxy = self.demo()
        self.assertEqual(self.call(proxy, "POST", "/v1/messages", ASK)[0], 200)
        self.call(proxy, "POST", "/v1/messages", {**ASK, "stream": True})
        self.assertEqual(self.call(proxy, "POST", "/v1/messages", {"model": 1})[0], 400)
        described = self.description(proxy)
        for exchange in self.recorded(proxy, 3):
            own = f"/api/requests/{exchange['id']}"
            for tail in ("", "/request", "/response", "/events"):
                reply = self.call(proxy, "GET", own + tail)
                if reply[1]["content-type"] == "application/json":
                    self.check(described, "/api/requests/{id}" + tail, reply)
        conversations = json.loads(self.call(proxy, "GET", "/api/conversations")[2])[
            "conversations"
        ]
        self.assertGreater(len(conversations), 0)
        for each in conversations:
            reply = self.call(proxy, "GET", f"/api/conversations/{each['id']}")
            self.check(described, "/api/conversations/{id}", reply)
        for path in (
            "/api/requests",
            "/api/conversations",
            "/api/stats",
            "/api/status",
            "/health",
            "/livez",
        ):
            self.check(described, path, self.call(proxy, "GET", path))

    def test_draining(self) -> None:
        """The answer of a proxy that leaves is what is described."""
        if find_spec("jsonschema") is None:
            raise SkipTest("jsonschema is not installed")
        proxy = self.demo(tokens_per_second=10)
        described = self.description(proxy)
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/messages", json.dumps({**ASK, "max_tokens": 30}))
        proxy.in_flight(1)
        proxy.signal()
        deadline = time.monotonic() + PATIENCE
        while (reply := self.call(proxy, "GET", "/health"))[0] == 200:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual((reply[0], json.loads(reply[2])["status"]), (503, "draining"))
        self.check(described, "/health", reply)
        self.assertEqual(connection.getresponse().status, 200)
        self.assertEqual(proxy.wait(), 0, proxy.log)

    def test_schemathesis(self) -> None:
        """Nothing that a caller sends gives a 5xx or an answer that is not described."""
        program = Path(sys.executable).with_name("schemathesis")
        if not program.exists():
            raise SkipTest("schemathesis is not installed")
        proxy = self.demo()
        self.call(proxy, "POST", "/v1/messages", ASK)
        self.recorded(proxy, 1)
        described = self.description(proxy)
        for path, item in described["paths"].items():
            for method, operation in item.items():
                # An upstream's own answers may be anything; here there is no upstream.
                if method != "parameters" and path != "/api/send":
                    operation["responses"].pop("default", None)
        known = {path for path in described["paths"] if not OPEN.match(path)}
        # A watch has no end.
        known.discard("/api/live")
        for name, paths, checks in (
            ("known", known, (*CHECKS, "unsupported_method", "allow_header_conformance")),
            ("open", set(described["paths"]) - known - {"/api/live"}, CHECKS),
        ):
            part = {
                **described,
                "paths": {path: item for path, item in described["paths"].items() if path in paths},
            }
            file = self.folder / f"{name}.json"
            file.write_text(json.dumps(part))
            command = [str(program), "run", str(file), "--url", proxy.url, "--seed", "1"]
            command += ["--phases", "examples,coverage,fuzzing", "--checks", ",".join(checks)]
            command += ["-n", "10", "--no-shrink", "--no-color", "--request-timeout", "30"]
            command += ["--warnings", "off", "--generation-database", "none"]
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, text=True, timeout=SECONDS
            )
            self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-2000:])
            self.assertRegex(done.stdout, r"\d{3,} generated")
        self.assertNotIn("Traceback", proxy.log)
        self.assertNotIn("bug:", proxy.log)
        self.assertEqual(proxy.get("/livez")[1]["in_flight"], 0)
