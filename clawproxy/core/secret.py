"""Secrets that cannot be printed by accident: keys, tokens and passwords live in :class:`Secret`."""

from __future__ import annotations

import hmac
from typing import final

MASK = "***"


@final
class Secret:
    """Hold a key so that no log line, traceback, record or ``repr`` can show it.

    :param value: the secret itself; read it only through :meth:`reveal`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret, for the one place that has to send or compare it."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Compare in constant time, so that timing tells a guesser nothing.

        :param candidate: what a caller presented.
        """
        return hmac.compare_digest(self._value.encode(), candidate.encode())

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled: it would be written out in the clear")
