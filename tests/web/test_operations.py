"""What operators and load balancers ask."""

from __future__ import annotations

import json

from tests.web.test_v1 import V1Case


class OperationsTests(V1Case):
    def test_health(self) -> None:
        reply = self.ask("GET", "/health")
        self.assertEqual((reply.status, reply["content-type"]), (200, "application/json"))
        self.assertEqual(json.loads(reply.body)["status"], "ok")
        self.assertEqual(reply["cache-control"], "no-store")

    def test_health_by_head(self) -> None:
        reply = self.ask("HEAD", "/health")
        self.assertEqual((reply.status, reply.body), (200, b""))

    def test_livez(self) -> None:
        facts = json.loads(self.ask("GET", "/livez").body)
        self.assertEqual(facts.keys(), {"status", "in_flight", "draining", "timestamp"})
        self.assertEqual((facts["status"], facts["in_flight"]), ("ok", 0))
        self.assertIs(facts["draining"], False)
        self.assertEqual(facts["timestamp"], "1970-01-01T00:00:00.000Z")

    def test_other_methods(self) -> None:
        reply = self.ask("POST", "/health")
        self.assertEqual((reply.status, reply["allow"]), (405, "GET, HEAD"))

    def test_queries_and_slashes_do_no_harm(self) -> None:
        self.assertEqual(self.ask("GET", "/health?x=1").status, 200)
        self.assertEqual(self.ask("GET", "//health").status, 200)

    def test_neither_needs_a_key(self) -> None:
        self.proxy = type(self.proxy)('auth.api_keys=["secret"]')
        for path in ("/health", "/livez"):
            self.assertEqual(self.ask("GET", path).status, 200)

    def test_front_leads_to_what_is_there(self) -> None:
        reply = self.ask("GET", "/")
        self.assertEqual((reply.status, reply["location"]), (302, "/ui/"))
        self.proxy = type(self.proxy)("dashboard.enabled=false")
        for path in ("/", "//", "/?x=1"):
            reply = self.ask("GET", path)
            self.assertEqual((reply.status, reply["content-type"]), (200, "application/json"))
            for name, where in json.loads(reply.body).items():
                if name in ("health", "metrics"):
                    self.assertEqual(self.ask("GET", where).status, 200)
        self.assertEqual(self.ask("HEAD", "/").status, 200)
        for path in ("/ui/", "/ui", "/api/requests"):
            reply = self.ask("GET", path)
            self.assertEqual(reply.status, 404)
            self.assertIn("dashboard.enabled", json.loads(reply.body)["error"]["message"])
