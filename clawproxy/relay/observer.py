"""Those who want to know of exchanges as they happen: the live page and the metrics."""

from __future__ import annotations

from typing import Protocol

from clawproxy.core.record import Exchange


class Observer(Protocol):
    """Is told of every exchange. Its methods return at once and never raise."""

    watching: bool
    """Whether :meth:`progress` is wanted; false costs a stream nothing."""

    def started(self, exchange: Exchange) -> None:
        """A request is complete and begins to be forwarded."""

    def progress(self, exchange: Exchange, data: bytes) -> None:
        """A piece of the answer went to the caller (content codings undone)."""

    def finished(self, exchange: Exchange) -> None:
        """The exchange is final."""
