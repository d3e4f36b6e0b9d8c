"""Where an exchange's time went: :func:`waterfall` draws it as SVG and says it in words.

Widths are thousandths of the whole, so that the drawing fits any screen; all words stand beside it
as HTML and stay readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from attrs import frozen
from markupsafe import Markup

from clawproxy.core.record import Exchange
from clawproxy.dashboard.render_numbers import duration, number, size

TICKS = 600
"""Pieces that are drawn one by one; of more, those that fall together are one."""
LONG_GAP = 3.0
"""How many times the usual gap a gap is long."""
LEAST_GAP = 500.0
"""Milliseconds from which on a gap may count as long."""


@frozen(kw_only=True)
class Span:
    """A part of the time.

    :ivar name: also its class in the style sheet.
    """

    name: str
    label: str
    start: float
    end: float
    words: str = ""


def spans(x: Exchange, times: Sequence[float]) -> list[Span]:
    """Cut an exchange's time into what it was spent on."""
    end = x.duration_ms or (times[-1] if times else 0.0)
    marks = [
        ("connect", "until connected", x.connect_ms),
        ("headers", "until the answer's head", x.headers_ms),
        ("first", "until the first token", x.ttft_ms),
    ]
    found, at = [], 0.0
    for name, label, mark in marks:
        if mark is not None and mark >= at:
            found.append(Span(name=name, label=label, start=at, end=min(mark, end)))
            at = min(mark, end)
    if end > at:
        label = "streaming" if len(times) > 1 else "until the end"
        found.append(Span(name="stream", label=label, start=at, end=end))
    return found


def gaps(times: Sequence[float], most: int = 5) -> list[tuple[float, float]]:
    """Find the long silences between pieces, the longest first, as ``(start, length)``."""
    found = [(a, b - a) for a, b in pairwise(times)]
    if not found:
        return []
    usual = sorted(length for _, length in found)[len(found) // 2]
    least = max(LEAST_GAP, LONG_GAP * usual)
    long = [gap for gap in found if gap[1] >= least]
    return sorted(long, key=lambda gap: -gap[1])[:most]


def waterfall(x: Exchange, times: Sequence[float], sizes: Sequence[int]) -> Markup:
    """Draw an exchange's time."""
    parts = spans(x, times)
    whole = max(parts[-1].end if parts else 0.0, times[-1] if times else 0.0)
    if whole <= 0:
        return Markup('<p class="nothing">Nothing was measured.</p>')
    silences = gaps(times)
    rows = Markup("").join(_row(part, whole) for part in parts)
    pieces = _pieces(times, whole, silences) if times else Markup("")
    return Markup('<div class="waterfall"><div class="wf-rows">{}{}</div>{}{}</div>').format(
        rows, pieces, _axis(whole), _words(times, sizes, silences)
    )


def _share(value: float, whole: float) -> str:
    return f"{value / whole * 1000:.2f}"


def _row(part: Span, whole: float) -> Markup:
    length = part.end - part.start
    return Markup(
        '<div class="wf"><span class="wf-name">{}</span>'
        '<svg viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="wf-{}" x="{}" y="1" width="{}" height="12" rx="2"/></svg>'
        '<span class="wf-time">{}</span></div>'
    ).format(
        part.label,
        part.name,
        _share(part.start, whole),
        f"{max(length / whole * 1000, 1.5):.2f}",
        duration(length),
    )


def _pieces(
    times: Sequence[float], whole: float, silences: Sequence[tuple[float, float]]
) -> Markup:
    places = sorted({round(at / whole * TICKS) for at in times})
    ticks = "".join(f"M{place / TICKS * 1000:.2f} 2v10" for place in places)
    silent = Markup("").join(
        Markup(
            '<rect class="wf-gap" x="{}" y="1" width="{}" height="12"><title>{}</title></rect>'
        ).format(_share(start, whole), _share(length, whole), f"silent for {duration(length)}")
        for start, length in silences
    )
    return Markup(
        '<div class="wf"><span class="wf-name">pieces</span>'
        '<svg viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label="{}">{}'
        '<path class="wf-ticks" d="{}"/></svg><span class="wf-time">{}</span></div>'
    ).format(f"{len(times)} pieces over time", silent, ticks, number(len(times)))


def step(whole: float, most: int = 6) -> float:
    """Give a round distance between the marks of an axis."""
    unit = 1.0
    while True:
        for factor in (1, 2, 5):
            if whole / (unit * factor) <= most:
                return unit * factor
        unit *= 10


def _axis(whole: float) -> Markup:
    distance = step(whole)
    marks, at = [], 0.0
    while at <= whole:
        marks.append(at)
        at += distance
    texts = Markup("").join(
        Markup('<text x="{}%" y="12" class="{}">{}</text>').format(
            f"{mark / whole * 100:.2f}",
            _class(nth, mark / whole),
            duration(mark) if mark else "0",
        )
        for nth, mark in enumerate(marks)
    )
    return Markup(
        '<div class="wf wf-axis"><span class="wf-name"></span><svg height="16" aria-hidden="true">{}</svg>'
        '<span class="wf-time"></span></div>'
    ).format(texts)


def _class(nth: int, share: float) -> str:
    """Say how a mark of the axis stands; every other one is left out where there is little room."""
    if not nth:
        return "first"
    return " ".join(["last"] * (share > 0.96) + ["odd"] * (nth % 2))


def _words(
    times: Sequence[float], sizes: Sequence[int], silences: Sequence[tuple[float, float]]
) -> Markup:
    if len(times) < 2:
        return Markup("")
    lengths = sorted(b - a for a, b in pairwise(times))
    facts = [
        ("pieces", number(len(times))),
        ("bytes", size(sum(sizes))),
        ("between two, usually", duration(lengths[len(lengths) // 2])),
        ("longest silence", duration(lengths[-1])),
    ]
    entries = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in facts
    )
    listed = ", ".join(f"{duration(length)} at {duration(start)}" for start, length in silences)
    words = Markup("<p>Long silences: {}.</p>").format(listed) if listed else Markup("")
    return Markup('<dl class="strip">{}</dl>{}').format(entries, words)
