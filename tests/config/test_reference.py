"""Tests of :mod:`clawproxy.config.reference`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config.environment import VARIABLES
from clawproxy.config.reference import to_rst
from clawproxy.config.show import key_rows

PAGE = Path(__file__).parents[2] / "docs" / "configuration.rst"


class Reference(SynchronousTestCase):
    def test_the_page_is_up_to_date(self) -> None:
        self.assertEqual(
            PAGE.read_text(),
            to_rst(),
            "run: python -m clawproxy.config.reference > docs/configuration.rst",
        )

    def test_every_key_and_every_variable_is_on_it(self) -> None:
        page = to_rst()
        for row in key_rows():
            if row.key != "providers" and not row.key.endswith(".kind"):
                self.assertIn(f"``{row.key.removeprefix('providers.NAME.')}``", page)
        for variable in VARIABLES:
            self.assertIn(f"``{variable.name}``", page)
