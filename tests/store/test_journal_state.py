"""What is said of records that were dropped: once a minute, and only when there are more."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store.journal_state import DROPS_LOGGED_EVERY, DropLog, JournalState
from tests.store.logs import captured


def dropping(exchanges: int, pieces: int = 0) -> JournalState:
    return JournalState(7, exchanges, pieces, 2, 500, True, "No space left on device")


class DropLogTests(SynchronousTestCase):
    def test_once_a_minute(self) -> None:
        log = DropLog(100)
        with captured() as events:
            log.look(dropping(0), 0.0)
            log.look(dropping(1), 1.0)
            log.look(dropping(2, 3), 2.0)
            log.look(dropping(2, 4), 1.0 + DROPS_LOGGED_EVERY)
            log.look(dropping(2, 4), 1.0 + 2 * DROPS_LOGGED_EVERY)
        told = [(event["dropped"], event["pieces"]) for event in events]
        self.assertEqual(told, [(1, 0), (2, 4)])
        self.assertEqual(log.told, 6)
        self.assertEqual((events[0]["budget"], events[0]["bytes"]), (100, 500))

    def test_at_the_end_whatever_the_time(self) -> None:
        log = DropLog(100)
        with captured() as events:
            log.look(dropping(1), 1.0)
            log.tell(dropping(2))
        self.assertEqual([event["dropped"] for event in events], [1, 2])
