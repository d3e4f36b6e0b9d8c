"""Charts as SVG, made on the server: stacked bars and lines over time, with axes that can be read and
a table behind each.

A chart fits any width without a script and without a style attribute: positions along the width are
per cent, shapes are drawn in a viewBox of their own that is stretched, words are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil

from attrs import field, frozen
from markupsafe import Markup

from clawproxy.core.timestamp import rfc3339
from clawproxy.dashboard.chart_axis import axis, time_step

HEIGHT = 180
"""Pixels of the drawing."""
COLOURS = 8
"""Series that have a colour of their own; all others are one."""
Format = Callable[[float | None], str]


@frozen(kw_only=True)
class Series:
    """Values over time.

    :ivar values: one for each bucket; ``None`` where there is none.
    :ivar colour: the number of its colour in the style sheet.
    """

    name: str
    values: Sequence[float | None]
    colour: int = 0


@frozen(kw_only=True)
class Chart:
    """A chart.

    :ivar starts: when each bucket begins, milliseconds since the epoch.
    :ivar width: milliseconds of a bucket.
    :ivar stacked: bars that add up, instead of lines.
    :ivar whole: the values are counts, and so are the axis's marks.
    :ivar most: the top of the axis, if it is not the largest value (1 for shares).
    """

    id: str
    title: str
    starts: Sequence[int]
    width: int
    series: Sequence[Series] = field()
    format: Format = str
    stacked: bool = True
    whole: bool = False
    most: float | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for each in self.series for value in each.values)

    @property
    def sum(self) -> str:
        """What all bars come to, for the head."""
        values = [value or 0.0 for each in self.series for value in each.values]
        return self.format(sum(values)) if self.stacked else ""

    def rows(self) -> list[tuple[str, list[str]]]:
        """Give the table: each bucket that has a value, with the series' values."""
        found = []
        for number, start in enumerate(self.starts):
            values = [each.values[number] for each in self.series]
            if any(value is not None and value != 0 for value in values):
                found.append((rfc3339(start / 1000), [self.format(value) for value in values]))
        return found

    def svg(self) -> Markup:
        """Draw it."""
        if self.most is None:
            marks = axis(self._largest(), whole=self.whole)
        else:
            marks = [self.most * quarter / 4 for quarter in range(5)]
        top = marks[-1]
        shapes = self._bars(top) if self.stacked else self._lines(top)
        grid = Markup("").join(
            Markup('<line x1="0" x2="1000" y1="{0}" y2="{0}"/>').format(_y(mark, top))
            for mark in marks
        )
        labels = Markup("").join(
            Markup('<text x="100%" y="{}%" dx="-6" dy="{}">{}</text>').format(
                f"{(1 - mark / top) * 100:.1f}",
                "0.9em" if mark == top else "-0.2em" if mark == 0 else "0.35em",
                self.format(mark),
            )
            for mark in marks
        )
        return Markup(
            '<div class="chart"><svg class="y" height="{h}" aria-hidden="true">{labels}</svg>'
            '<svg class="plot" height="{h}" viewBox="0 0 1000 {h}" preserveAspectRatio="none" role="img"'
            ' aria-label="{title}; the values are in the table below"><g class="grid">{grid}</g>{shapes}{hover}</svg>'
            '<span></span><svg class="x" height="18" aria-hidden="true">{times}</svg></div>'
        ).format(
            h=HEIGHT,
            labels=labels,
            title=self.title,
            grid=grid,
            shapes=shapes,
            hover=self._hover(),
            times=self._times(),
        )

    def _largest(self) -> float:
        if not self.stacked:
            return max((value or 0.0 for each in self.series for value in each.values), default=0)
        sums = [
            sum(each.values[number] or 0.0 for each in self.series)
            for number in range(len(self.starts))
        ]
        return max(sums, default=0.0)

    def _bars(self, top: float) -> Markup:
        step = 1000 / max(1, len(self.starts))
        width = max(step * 0.82, step - 3)
        bars = []
        for number in range(len(self.starts)):
            below = 0.0
            for each in self.series:
                value = each.values[number] or 0.0
                if value <= 0:
                    continue
                height = value / top * HEIGHT
                bars.append(
                    Markup('<rect class="k{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                        each.colour,
                        f"{number * step + (step - width) / 2:.2f}",
                        f"{HEIGHT - below - height:.2f}",
                        f"{width:.2f}",
                        f"{max(height, 0.6):.2f}",
                    )
                )
                below += height
        return Markup("").join(bars)

    def _lines(self, top: float) -> Markup:
        step = 1000 / max(1, len(self.starts))
        found = []
        for each in self.series:
            points = [
                None
                if value is None
                else (number * step + step / 2, HEIGHT * (1 - min(value, top) / top))
                for number, value in enumerate(each.values)
            ]
            path = "".join(_path(points))
            found.append(Markup('<path class="l{}" d="{}"/>').format(each.colour, path))
            # A value without neighbours would be a line of no length.
            lone = "".join(
                f"M{point[0]:.1f} {point[1]:.1f}h.01" for point in _alone(points) if point
            )
            if lone:
                found.append(Markup('<path class="l{} dot" d="{}"/>').format(each.colour, lone))
        return Markup("").join(found)

    def _hover(self) -> Markup:
        step = 1000 / max(1, len(self.starts))
        found = []
        for number, start in enumerate(self.starts):
            said = [
                f"{each.name}: {self.format(each.values[number])}"
                for each in self.series
                if each.values[number]
            ]
            if said:
                found.append(
                    Markup(
                        '<rect class="over" data-at="{}" data-says="{}" x="{}" y="0" width="{}" height="{}"/>'
                    ).format(
                        rfc3339(start / 1000),
                        "\n".join(said),
                        f"{number * step:.2f}",
                        f"{step:.2f}",
                        HEIGHT,
                    )
                )
        return Markup("").join(found)

    def _times(self) -> Markup:
        whole = len(self.starts) * self.width
        if not whole:
            return Markup("")
        begin = self.starts[0]
        found = []
        distance = time_step(whole)
        at = ceil(begin / distance) * distance
        while at < begin + whole:
            share = (at - begin) / whole
            if 0.02 <= share <= 0.98:
                show = "date" if distance >= 86_400_000 else "hour"
                written = rfc3339(at / 1000)
                found.append(
                    Markup('<text x="{}%" y="13" data-time="{}" data-show="{}">{}</text>').format(
                        f"{share * 100:.2f}",
                        written,
                        show,
                        written[5:10] if show == "date" else written[11:16],
                    )
                )
            at += distance
        return Markup("").join(found)


def _y(value: float, top: float) -> str:
    return f"{HEIGHT * (1 - value / top):.1f}"


_Point = tuple[float, float] | None


def _path(points: Sequence[_Point]) -> list[str]:
    found, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        found.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    return found


def _alone(points: Sequence[_Point]) -> list[_Point]:
    padded = [None, *points, None]
    return [
        b
        for (a, b), (_, c) in zip(pairwise(padded), list(pairwise(padded))[1:], strict=False)
        if a is None and c is None
    ]
