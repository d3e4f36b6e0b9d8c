"""Figures as people read them at a glance. ``static/figures.js`` says the same in the browser; a test
holds the two together."""

from __future__ import annotations

from datetime import UTC, datetime

DASH = "\u2013"
"""What stands where there is no figure."""


def number(value: float | None) -> str:
    """Give a count in full: ``12,345``."""
    return DASH if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """Give a count in three or four characters: ``950``, ``1.2k``, ``34k``, ``5.6M``."""
    if value is None:
        return DASH
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def duration(ms: float | None) -> str:
    """Give a time that passed: ``12 ms``, ``1.23 s``, ``45.6 s``, ``3m 20s``, ``2h 05m``."""
    if ms is None:
        return DASH
    if ms < 999.5:
        return f"{ms:.0f} ms" if ms >= 9.95 or ms == 0 else f"{ms:.1f} ms"
    seconds = ms / 1000
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def usd(value: float | None) -> str:
    """Give a cost: ``$0.0123``, ``$1.23``, ``$1,234``; what is nearly nothing has two digits."""
    if value is None:
        return DASH
    if value == 0:
        return "$0"
    if value < 0.0001:
        return "<$0.0001"
    if value < 0.01:
        return f"${value:.4f}"
    if value < 1:
        return f"${value:.3f}"
    if value < 1000:
        return f"${value:.2f}"
    return f"${value:,.0f}"


def size(value: float | None) -> str:
    """Give bytes: ``512 B``, ``1.2 kB``, ``34 MB``."""
    if value is None:
        return DASH
    if value < 1000:
        return f"{value:.0f} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if value < scale * 999.5 or unit == "GB":
            scaled = value / scale
            return f"{scaled:.1f} {unit}" if scaled < 9.95 else f"{scaled:.0f} {unit}"
    raise AssertionError("the last unit takes all")


def percent(value: float | None) -> str:
    """Give a share of 1: ``0 %``, ``12 %``, ``99.5 %``, ``100 %``."""
    if value is None:
        return DASH
    whole = value * 100
    if 0 < whole < 0.95 or 99.05 < whole < 100:
        return f"{whole:.1f} %"
    return f"{whole:.0f} %"


def clock(moment: str | None) -> str:
    """Give the time of day of an RFC 3339 moment, in UTC."""
    return moment[11:19] if moment and len(moment) >= 19 else DASH


def day(moment: str | None) -> str:
    """Give the date of an RFC 3339 moment, in UTC: ``21 Nov 2026``."""
    if not moment:
        return DASH
    try:
        found = datetime.fromisoformat(moment).astimezone(UTC)
    except ValueError:
        return moment[:10]
    return f"{found.day} {found:%b %Y}"


def agent(value: str | None) -> str:
    """Give a long id in few characters."""
    if not value:
        return DASH
    return value if len(value) <= 12 else value[:8]
