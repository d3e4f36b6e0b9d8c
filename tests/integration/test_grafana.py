"""``etc/grafana/clawproxy.json`` asks for metrics and labels that the proxy has."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.integration import answers
from tests.integration.case import ProxyCase

BOARD = Path(__file__).parents[2] / "etc" / "grafana" / "clawproxy.json"

#: Labels that Prometheus adds, and the bound of a bucket.
ADDED = {"job", "instance", "le"}


def metrics(url: str) -> dict[str, set[str]]:
    """The names that a scrape has, with the labels that go with them."""
    with urllib.request.urlopen(url + "/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        name = family.name + "_total" if family.type == "counter" else family.name
        found.setdefault(name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


class GrafanaTests(ProxyCase):
    """The dashboard beside a proxy that has done something."""

    def test_expressions(self) -> None:
        """Every metric in every expression exists, with the labels that are asked for."""
        upstream = self.upstream(lambda _: answers.anthropic(True, answers.text("Hello.")))
        proxy = self.proxy(upstream, settings={"storage.url": "sqlite:clawproxy.db"})
        body = {"model": "claude-haiku-4-5", "max_tokens": 9, "stream": True, "messages": []}
        with urllib.request.urlopen(
            proxy.url + "/v1/messages", json.dumps(body).encode()
        ) as answer:
            self.assertIn(b"message_stop", answer.read())
        proxy.in_flight(0)
        known = metrics(proxy.url)
        board: dict[str, Any] = json.loads(BOARD.read_text())
        expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
        self.assertGreater(len(expressions), 20)
        for expression in expressions:
            for name, selector in re.findall(r"(clawproxy_\w+)\{([^}]*)\}", expression):
                self.assertIn(name, known, expression)
                asked = set(re.findall(r"(\w+)[=!]", selector))
                if known[name]:  # one that counts what has not happened yet tells no labels
                    self.assertEqual(asked - ADDED - known[name], set(), expression)
                    for by in re.findall(r"by \(([^)]*)\)", expression):
                        self.assertEqual(
                            set(by.split(",")) - ADDED - known[name], set(), expression
                        )

    def test_panels(self) -> None:
        """No two have the same number, and none overlap."""
        board = json.loads(BOARD.read_text())
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24)
            taken |= cells
        numbers = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(set(numbers)), len(numbers))
