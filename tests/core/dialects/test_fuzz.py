"""A short run of the fuzzer; long ones are started by hand (:mod:`.fuzz`)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.core.dialects.fuzz import fuzz, fuzz_requests


class FuzzTests(SynchronousTestCase):
    """Damaged streams and requests."""

    def test_some(self) -> None:
        """Some hundreds raise nothing."""
        fuzz(300, seed=20261121)

    def test_some_requests(self) -> None:
        """Some thousands raise nothing but what is told to the caller."""
        fuzz_requests(3000, seed=20261129)
