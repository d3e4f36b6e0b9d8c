"""The seam between a stream and its record: the relay speaks to these protocols and never waits.

Every method returns at once and never raises into the stream; what an implementation cannot keep it
counts and reports by itself.
"""

from __future__ import annotations

from typing import Protocol

from clawproxy.core.record import Exchange


class Recording(Protocol):
    """One exchange being recorded. The exchange object itself stays the relay's, who fills it in as it goes."""

    @property
    def keeps(self) -> bool:
        """Whether bytes are kept at all: where not, nothing has to be worded for the record's sake."""

    def upstream_request(self, body: bytes) -> None:
        """Keep the body that was sent upstream, where it differs from the caller's (the last try's counts)."""

    def sent(self, data: bytes, at_ms: float) -> None:
        """Keep a piece of the answer as it went to the caller, ``at_ms`` after the start."""

    def received(self, data: bytes, at_ms: float) -> None:
        """Keep a piece of the upstream's answer, called only where the two answers differ."""

    def again(self) -> None:
        """Forget what went to an upstream and came from it: the next target is asked in its place."""

    def end(self) -> None:
        """Close the record: the exchange is final and is read now."""


class Recorder(Protocol):
    """What begins a :class:`Recording` for each exchange."""

    def begin(self, exchange: Exchange, request_body: bytes) -> Recording:
        """Start keeping an exchange whose request is complete and was not yet sent upstream."""


class _Nothing:
    keeps = False

    def upstream_request(self, body: bytes) -> None:
        pass

    def sent(self, data: bytes, at_ms: float) -> None:
        pass

    def received(self, data: bytes, at_ms: float) -> None:
        pass

    def again(self) -> None:
        pass

    def end(self) -> None:
        pass


class NullRecorder:
    """Record nothing: ``storage.url: none``, and the default when embedded without a store."""

    _nothing = _Nothing()

    def begin(self, exchange: Exchange, request_body: bytes) -> Recording:
        """Give a recording that forgets."""
        return self._nothing
