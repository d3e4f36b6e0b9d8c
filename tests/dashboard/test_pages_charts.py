"""Charts: bars that add up, lines with gaps."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.dashboard.charts import HEIGHT, Chart, Series
from clawproxy.dashboard.render_numbers import number
from tests.dashboard.pagecase import Document

HOUR = 3_600_000


def chart(*values: list[float | None], stacked: bool = True) -> Chart:
    """Make a chart of hours."""
    series = [Series(name=f"s{at}", values=each, colour=at) for at, each in enumerate(values)]
    starts = [1_790_000_000_000 + HOUR * at for at in range(len(values[0]))]
    return Chart(
        id="c",
        title="A chart",
        starts=starts,
        width=HOUR,
        series=series,
        format=number,
        stacked=stacked,
    )


class ChartCase(SynchronousTestCase):
    """Drawings."""

    def test_bars(self) -> None:
        """Bars stand on each other and fill the axis."""
        document = Document(str(chart([10, 0], [30, 20]).svg()))
        self.assertEqual(document.faults, [])
        first, second, third = (each for each in document.all("rect") if each["class"] != "over")
        self.assertEqual(float(first["height"]), HEIGHT / 4)
        self.assertEqual(float(second["y"]), 0)
        self.assertEqual(float(second["height"]) + float(first["height"]), HEIGHT)
        self.assertGreater(float(third["x"]), float(second["x"]))
        self.assertIn("40", document.text)

    def test_lines(self) -> None:
        """A line has a gap where nothing was measured, and a dot where a value stands alone."""
        document = Document(str(chart([1, 2, None, 3], stacked=False).svg()))
        paths = document.all("path")
        self.assertEqual(paths[0]["d"].count("M"), 2)
        self.assertEqual(len([each for each in paths if "dot" in each["class"]]), 1)

    def test_table(self) -> None:
        """The table has the same values, bucket by bucket."""
        rows = chart([10, 0], [None, 20]).rows()
        self.assertEqual([values for _, values in rows], [["10", "\u2013"], ["0", "20"]])

    def test_empty(self) -> None:
        """Nothing to draw."""
        self.assertTrue(chart([0, None]).empty)
