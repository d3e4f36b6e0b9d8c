"""Past the journal's disk budget, and only there, records are dropped; that can be seen, and it ends."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time

from tests.integration import answers
from tests.integration.proxy import PATIENCE, Proxy
from tests.integration.records import RecordedCase, Records

BUDGET = 1_000_000


class BudgetTests(RecordedCase):
    def ask(self, proxy: Proxy, number: int) -> str:
        """Have a call of 100 KB answered, and give its id."""
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        message = {"role": "user", "content": f"{number} " + "x" * 100_000}
        body = json.dumps({"model": "claude-x", "max_tokens": 9, "messages": [message]})
        connection.request("POST", "/v1/messages", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        self.assertEqual((answer.status, b"Fine." in answer.read()), (200, True))
        id = answer.getheader("x-clawproxy-id")
        assert id is not None
        connection.close()
        return id

    def dropped(self, proxy: Proxy) -> int:
        """Say how many were dropped, as /health and /metrics do."""
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
        connection.close()
        told: int = proxy.get("/health")[1]["recorder"]["dropped"]
        self.assertIn(f"\nclawproxy_recorder_dropped {float(told)}\n", metrics)
        return told

    def test_over_budget(self) -> None:
        upstream = self.upstream(lambda asked: answers.anthropic(False, answers.text("Fine.")))
        proxy = self.recording_proxy(upstream, storage__journal_budget=BUDGET)
        asked = [self.ask(proxy, 0)]
        Records(proxy).all(1)
        holder = sqlite3.connect(proxy.folder / "clawproxy.db", isolation_level=None, timeout=30)
        holder.execute("BEGIN EXCLUSIVE")
        deadline = time.monotonic() + PATIENCE
        # The journal is measured once a second: what comes in the meantime goes over the budget.
        while self.dropped(proxy) < 3:
            self.assertLess(time.monotonic(), deadline)
            asked.append(self.ask(proxy, len(asked)))
            time.sleep(0.1)
        self.assertEqual(proxy.log.count("Records are dropped"), 1)
        self.assertIn("locked", proxy.get("/health")[1]["recorder"]["error"])
        self.assertEqual(proxy.get("/health")[0], 200)
        holder.execute("COMMIT")
        holder.close()
        while proxy.get("/health")[1]["recorder"]["waiting_bytes"] > BUDGET:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        time.sleep(0.3)  # what is said of it is what the next flush goes by
        asked.append(self.ask(proxy, len(asked)))
        kept = len(asked) - self.dropped(proxy)
        self.assertGreater(kept, BUDGET / 100_000)
        found = {each["id"] for each in Records(proxy).all(kept)}
        self.assertEqual(len(found), kept)
        self.assertIn(asked[-1], found)
        self.assertEqual([id for id in asked if id in found], [*asked[: kept - 1], asked[-1]])
