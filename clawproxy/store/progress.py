"""How indexing fares, for ``/health`` and ``/metrics``: what it has brought in, and how far it is behind."""

from __future__ import annotations

from attrs import define, field


@define
class Progress:
    """What one process has indexed since its start; every time is the reactor's, in seconds.

    :ivar state: ``idle``, ``working`` or ``waiting`` (for a store that cannot take anything now).
    :ivar error: what the store says while it is waited for.
    :ivar stored: exchanges brought in since the start.
    :ivar rejected: exchanges that the store cannot take at all; their segments are kept as
        ``*.rejected``.
    :ivar behind: seconds since the oldest exchange that is not in came to notice.
    """

    state: str = "idle"
    error: str | None = None
    stored: int = 0
    rejected: int = 0
    behind: float = 0.0
    # Begun with an underscore, it is no part of what is told as JSON.
    _since: float | None = field(default=None, init=False)

    def begin(self, now: float) -> None:
        """Note that there is something to bring in."""
        self.state = "working"
        if self._since is None:
            self._since = now

    def look(self, now: float) -> None:
        """Measure how far it is behind."""
        if self._since is not None:
            self.behind = now - self._since

    def wait(self, now: float) -> None:
        """Note that the store does not take it now."""
        self.state = "waiting"
        self.look(now)

    def go_on(self, state: str) -> None:
        """Note that the store takes it again.

        :param state: what it was before the wait.
        """
        self.state = state
        self.error = None

    def rest(self) -> None:
        """Note that a batch is in."""
        self.state = "idle"

    def catch_up(self) -> None:
        """Note that nothing is left to bring in."""
        self._since = None
        self.behind = 0.0
