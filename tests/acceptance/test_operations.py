"""What operators ask, and the ids that every answer carries."""

from __future__ import annotations

from datetime import datetime

import yaml

from tests.acceptance.caller import ANTHROPIC, ask, message, parsed, post
from tests.acceptance.case import RFC3339, shared
from tests.acceptance.test_paths import PREFLIGHT, PathCase, keyed
from tests.acceptance.upstream import answer


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
