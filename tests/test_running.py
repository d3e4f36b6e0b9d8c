"""What a run of the tests says at its end."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from tests import __main__ as running
from tests.__main__ import Tally


class ExitTests(SynchronousTestCase):
    """The exit code, and the line that goes with it."""

    def ended(self, tally: Tally, unsteady: list[str]) -> tuple[int, str]:
        """Have a run end so."""
        self.patch(running, "run", lambda names, options: tally)
        self.patch(running, "second_try", lambda failed, folder: unsteady)
        with redirect_stdout(StringIO()) as said:
            code = running.main(["some.test"])
        return code, said.getvalue().splitlines()[-1]

    def test_codes(self) -> None:
        """It is 0 when something ran, were it only at the second try or to be skipped, and nothing failed for good."""
        for tally, unsteady, want in (
            (Tally(2, [], []), [], (0, "2 passed, 0 failed, 0 skipped")),
            (Tally(0, [], ["a"]), ["a"], (0, "1 passed, 0 failed, 0 skipped")),
            (Tally(0, ["no PostgreSQL"], []), [], (0, "0 passed, 0 failed, 1 skipped")),
            (Tally(2, [], ["a", "b"]), ["a"], (1, "3 passed, 1 failed, 0 skipped")),
            (Tally(0, [], []), [], (1, "0 passed, 0 failed, 0 skipped")),
        ):
            self.assertEqual(self.ended(tally, unsteady), want)
