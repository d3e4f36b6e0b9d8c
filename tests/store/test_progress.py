"""What indexing tells of itself."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store.progress import Progress


class ProgressTests(SynchronousTestCase):
    def test_behind_counts_from_the_oldest_that_is_not_in(self) -> None:
        progress = Progress()
        progress.look(5.0)
        self.assertEqual(progress.behind, 0.0)
        progress.begin(10.0)
        progress.begin(12.0)
        progress.look(15.0)
        self.assertEqual((progress.state, progress.behind), ("working", 5.0))
        progress.catch_up()
        progress.look(20.0)
        self.assertEqual(progress.behind, 0.0)

    def test_what_is_told(self) -> None:
        """And nothing beside it: the proxy hands it on."""
        progress = Progress(stored=3)
        progress.begin(10.0)
        progress.wait(11.0)
        self.assertEqual(
            msgspec.to_builtins(progress),
            {"state": "waiting", "error": None, "stored": 3, "rejected": 0, "behind": 1.0},
        )
