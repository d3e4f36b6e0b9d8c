"""Tests of :mod:`clawproxy.config.show`, and of the example file, which shows every key too."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from clawproxy.config.show import key_rows, to_yaml
from tests.config.loading import ConfigTestCase

EXAMPLE = Path(__file__).parents[2] / "etc" / "clawproxy.yaml"
SECRET = "do-not-show-me"


class Shown(ConfigTestCase):
    def test_what_is_shown_can_be_loaded_again(self) -> None:
        config = self.config("routes: [{match: fast, provider: demo, model: demo}]")
        self.assertEqual(self.config(to_yaml(config)), config)

    def test_no_secret(self) -> None:
        config = self.config(
            f"""
            auth: {{api_keys: [{SECRET}-1, {{name: ci, key: {SECRET}-2}}]}}
            providers:
              openai: {{api_key: {SECRET}-3, headers: {{x-key: {SECRET}-4}}}}
              openclaw: {{token: {SECRET}-5, password: {SECRET}-6, url: "ws://h/?key={SECRET}-7"}}
            storage: {{url: "postgresql://user:{SECRET}-8@host/db"}}
            dashboard: {{password: {SECRET}-9}}
            """
        )
        text = to_yaml(config)
        self.assertNotIn(SECRET, text)
        self.assertNotIn(SECRET, repr(config))
        shown = yaml.safe_load(text)
        self.assertEqual(shown["auth"]["api_keys"][1], {"key": "***", "name": "ci"})
        self.assertEqual(shown["storage"]["url"], "postgresql://***@host/db")
        self.assertEqual(shown["providers"]["openai"]["headers"], {"x-key": "***"})

    def test_keys_of_other_kinds_are_left_out(self) -> None:
        shown = yaml.safe_load(to_yaml(self.config()))
        self.assertNotIn("api", shown["providers"]["anthropic"])
        self.assertNotIn("version", shown["providers"]["openai"])


class Rows(ConfigTestCase):
    def test_each_key_is_documented(self) -> None:
        rows = key_rows()
        self.assertIn("auth.api_keys.N.key", {row.key for row in rows})
        for row in rows:
            self.assertTrue(row.doc.endswith("."), row)
            self.assertTrue(row.expected, row)

    def test_defaults_are_shown_as_written(self) -> None:
        defaults = {row.key: row.default for row in key_rows() if not row.kinds}
        self.assertEqual(defaults["server.listen"], "['tcp:8080:interface=127.0.0.1']")
        self.assertEqual(defaults["storage.retention_days"], "0")
        self.assertIsNone(defaults["routes.N.match"])

    def test_what_needs_a_restart(self) -> None:
        fixed = {row.key for row in key_rows() if not row.live}
        self.assertIn("server.listen", fixed)
        self.assertIn("storage.url", fixed)
        self.assertNotIn("routes", fixed)
        self.assertNotIn("dashboard.password", fixed)


class Example(ConfigTestCase):
    def test_it_is_the_defaults(self) -> None:
        self.assertEqual(self.config(EXAMPLE.read_text()), self.config())

    def test_it_has_every_key_and_all_are_right(self) -> None:
        text = re.sub(r"(?m)^( +)#(?=\S|  )", r"\1", EXAMPLE.read_text())
        config = self.config(text)
        self.assertIn("openclaw", config.providers)
        present = set(keys(yaml.safe_load(text)))
        # There is no key of one's own in it; how to write one is in a comment.
        expected = {row.key for row in key_rows() if not row.key.startswith("auth.api_keys.N")}
        self.assertEqual(expected - present, set())


def keys(value: object, at: tuple[str, ...] = ()) -> list[str]:
    """Give the dotted keys of a tree as the table of keys writes them."""
    found = [".".join(at)]
    match value:
        case dict() as mapping:
            for key, item in mapping.items():
                found += keys(item, (*at, "NAME" if at == ("providers",) else key))
        case list() as items:
            for item in items:
                found += keys(item, (*at, "N"))
    return found
