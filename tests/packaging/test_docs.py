"""The documentation against the program: the table of errors."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind
from tests.packaging.environment import ROOT


class ErrorsTests(SynchronousTestCase):
    """``docs/errors.rst``."""

    def test_table(self) -> None:
        """Each row is a kind of error that the program has, with its status, type and code."""
        text = (ROOT / "docs" / "errors.rst").read_text()
        rows = re.findall(r"   \* - .+\n     - (\d+)\n     - (\w+)\n     - (\w+)\n", text)
        self.assertEqual(len(rows), 9)
        known = {(str(kind.status), kind.anthropic_type, kind.openai_code) for kind in Kind}
        self.assertEqual(set(rows) - known, set())
