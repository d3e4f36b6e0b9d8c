"""Tests of :mod:`clawproxy.config.reload`."""

from __future__ import annotations

from clawproxy.config.reload import ignored, keep
from tests.config.loading import ConfigTestCase


class Reload(ConfigTestCase):
    def test_what_changes_at_once(self) -> None:
        old = self.config()
        new = self.config(
            """
            server: {max_body: 1, cors: {origins: []}, idle_timeout: 1, drain: {timeout: 1}}
            auth: {api_keys: [k]}
            providers: {openai: {api_key: k}, mine: {kind: demo}}
            routes: [{match: x, provider: mine}]
            default_provider: {openai: mine}
            subagents: {enable: true}
            dashboard: {password: p}
            log: {level: debug}
            """
        )
        self.assertEqual(ignored(old, new), [])
        self.assertEqual(keep(old, new), new)

    def test_what_has_to_wait(self) -> None:
        old = self.config("storage: {url: 'postgresql://u:secret-1@h/db'}")
        new = self.config(
            """
            server: {listen: ["tcp:1"]}
            storage: {url: "postgresql://u:secret-2@h/other", bodies: metadata}
            log: {level: debug, format: json}
            """
        )
        lines = ignored(old, new)
        keys = [line.split()[0] for line in lines]
        self.assertEqual(keys, ["server.listen", "storage.url", "storage.bodies", "log.format"])
        self.assertNotIn("secret", "".join(lines))
        self.assertIn("'tcp:1'", lines[0])
        kept = keep(old, new)
        self.assertEqual(kept.server.listen, old.server.listen)
        self.assertEqual(kept.storage, old.storage)
        self.assertEqual((kept.log.level, kept.log.format), ("debug", "text"))
        self.assertEqual(ignored(old, kept), [])

    def test_nothing_changed(self) -> None:
        self.assertEqual(ignored(self.config(), self.config()), [])
