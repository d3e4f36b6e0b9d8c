"""Leaving without cutting an answer: :class:`Drain` counts what is in flight and waits for none.

1. Every request under ``/v1/`` calls :meth:`Drain.enter` and, once, :meth:`Drain.leave`.
2. :meth:`Drain.start` begins the drain and gives a Deferred; more than one caller may wait for it
   (the service's stop and the reactor's shutdown trigger do).
3. It fires with ``True`` once ``settle`` seconds have passed, nothing is in flight and the callers have
   taken all that was written, and with ``False`` when ``timeout`` is over or :meth:`Drain.give_up` was
   called: then what is left has been cut.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

LOOK_EVERY = 1.0
"""Seconds between two looks at the count."""

CUT_GRACE = 0.25
"""Seconds that cut streams have to send their last bytes."""


class Drain:
    """The count of requests in flight, and the way out.

    :param timeout: seconds after which what is left is cut.
    :param settle: seconds to go on serving in any case, until load balancers have noticed.
    :param log_every: seconds between two log lines on what is still in flight.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        timeout: float = 1920.0,
        settle: float = 0.0,
        log_every: float = 10.0,
    ) -> None:
        self._reactor = reactor
        self.timeout, self.settle, self.log_every = timeout, settle, log_every
        self._cut: Callable[[], list[str]] = list
        self._begun: Callable[[], object] = bool
        self._unsent: Callable[[], int] = int
        self._started = 0.0
        self._logged = 0.0
        self._waiting: list[Deferred[bool]] = []
        self._call: IDelayedCall | None = None
        self._outcome: bool | None = None
        self._impatient = False
        self.in_flight = 0
        self.draining = False

    def leaves(self, cut: Callable[[], list[str]], begun: Callable[[], object]) -> None:
        """Say what a drain has to do with the rest of the program.

        :param cut: ends each running exchange and gives words for the log about each.
        :param begun: called once when the drain begins.
        """
        self._cut, self._begun = cut, begun

    def waits_also_for(self, unsent: Callable[[], int]) -> None:
        """Say what counts finished answers of which some bytes have not left the process yet.

        They are no longer in flight, but an exit would cut them all the same.
        """
        self._unsent = unsent

    def enter(self) -> None:
        """Count one more."""
        self.in_flight += 1

    def leave(self) -> None:
        """Count one less."""
        self.in_flight -= 1

    def start(self) -> Deferred[bool]:
        """Begin to leave, or join those who wait.

        :return: fires with whether everything ended by itself.
        """
        waiting: Deferred[bool] = Deferred()
        if self._outcome and self.in_flight:
            # Something came in between the drain's end and the last port's: that is waited for too.
            self._outcome = None
            self._look()
        if self._outcome is False and self._cut_late_ones():
            self._waiting.append(waiting)
            return waiting
        if self._outcome is not None:
            waiting.callback(self._outcome)
            return waiting
        self._waiting.append(waiting)
        if not self.draining:
            self.draining = True
            self._started = self._logged = self._reactor.seconds()
            self._log.info(
                "draining: {in_flight} in flight, up to {timeout:g} s",
                in_flight=self.in_flight,
                timeout=self.timeout,
            )
            self._begun()
            self._look()
        return waiting

    def _cut_late_ones(self) -> bool:
        """Cut what came after the others had been cut, while the ports were still open."""
        words = self._cut()
        if words:
            self._log.warn("cut {count} more: {words}", count=len(words), words="; ".join(words))
            self._reactor.callLater(CUT_GRACE, self._fire)
        return bool(words)

    def give_up(self) -> None:
        """Wait no longer: cut what is left now, or as soon as the drain begins.

        Of two signals that come together, the second is heard before the first one's drain has begun.
        """
        self._impatient = True
        if self.draining and self._outcome is None:
            self._look()

    def _look(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        now = self._reactor.seconds()
        passed = now - self._started
        if self.in_flight == 0 and passed >= self.settle and not self._unsent():
            self._end(whole=True)
            return
        if passed >= self.timeout or self._impatient:
            self._end(whole=False)
            return
        if now - self._logged >= self.log_every:
            self._logged = now
            self._log.info(
                "draining: {in_flight} in flight after {passed:.0f} s",
                in_flight=self.in_flight,
                passed=passed,
            )
        left = self.timeout - passed
        self._call = self._reactor.callLater(min(LOOK_EVERY, max(left, 0.01)), self._look)

    def _end(self, *, whole: bool) -> None:
        self._outcome = whole
        seconds = self._reactor.seconds() - self._started
        if whole:
            self._log.info("drained in {seconds:.1f} s", seconds=seconds)
            self._fire()
            return
        unsent = self._unsent()  # before the cut ones have their last words there
        words = self._cut()
        if unsent:
            words.append(f"the ends of {unsent} answers whose callers do not read")
        self._log.warn(
            "gave up draining after {seconds:.1f} s; cut {count}: {words}",
            seconds=seconds,
            count=len(words),
            words="; ".join(words) or "nothing",
        )
        self._reactor.callLater(CUT_GRACE, self._fire)

    def _fire(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(bool(self._outcome))
