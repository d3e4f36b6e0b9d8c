"""A short run of the fuzzer; long ones are started by hand (:mod:`.fuzz`)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.dialects.fuzz import fuzz


class FuzzTests(SynchronousTestCase):
    """Damaged streams."""

    def test_some(self) -> None:
        """Some hundreds raise nothing."""
        fuzz(300, seed=20261121)
