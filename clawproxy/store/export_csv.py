"""What is known of exchanges as CSV (RFC 4180), for spreadsheets: no prompt and no answer."""

from __future__ import annotations

import csv
import io

from clawproxy.core.record import Exchange, Usage
from clawproxy.dashboard.api_record import FIELDS

USAGE = tuple(name for name in Usage.__struct_fields__ if name != "complete")
_APART = frozenset({"usage", "client"})
COLUMNS = (
    *(name for name in FIELDS if name not in _APART),
    *USAGE,
    "usage_complete",
    "client_address",
    "client_user_agent",
    "kind",
)
# A spreadsheet takes text that begins so for a formula, and models' names are what callers say they are.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def _line(values: list[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode("utf-8", "replace")


def heading() -> bytes:
    """Give the columns' names."""
    return _line(list(COLUMNS))


def row(exchange: Exchange, kind: str | None) -> bytes:
    """Give an exchange as a line."""
    values = [_plain(getattr(exchange, name)) for name in FIELDS if name not in _APART]
    usage = exchange.usage
    values += [getattr(usage, name) if usage is not None else "" for name in USAGE]
    values.append("" if usage is None else _plain(usage.complete))
    client = exchange.client
    values += [_plain(client.address), _plain(client.user_agent), _plain(kind)]
    return _line(values)


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return "'" + value
    return value
