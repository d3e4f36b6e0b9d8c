"""What the reactor watches of a connection to PostgreSQL: a descriptor of our own.

txpostgres has the reactor watch libpq's socket itself. libpq closes that whenever it likes (the server was
killed, another way to connect is to be tried), and the reactor, which knows sockets by their numbers, goes
on watching a number that is nobody's, or already another connection's. Adding and removing then raise
``FileNotFoundError``, ``KeyError`` or ``ValueError`` out of the middle of a statement, which look as if what
was to be stored were at fault. A duplicate of the socket is ours: it is there until we close it, and tells
of the end all the same.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg2
from txpostgres import txpostgres  # type: ignore[import-untyped]


class WatchedCursor(txpostgres.Cursor):  # type: ignore[misc]
    """A statement, which waits by its connection's descriptor."""

    def fileno(self) -> int:
        """Give what the reactor watches."""
        number: int = self._connection.fileno()
        return number


class WatchedConnection(txpostgres.Connection):  # type: ignore[misc]
    """A connection whose end, whenever it comes, is found by the next who uses it, without a traceback."""

    cursorFactory = WatchedCursor
    _own = -1
    _same = False

    def connect(self, *arguments: Any, **named: Any) -> Any:
        """Connect; libpq's socket is the same one from then on."""

        def connected(result: Any) -> Any:
            self._same = True
            return result

        return super().connect(*arguments, **named).addCallback(connected)

    def fileno(self) -> int:
        """Give what the reactor watches."""
        if not self._same:
            self._follow()
        return self._own

    def _follow(self) -> None:
        """Duplicate libpq's socket, and once more where it has taken another."""
        pollable = self.pollable()
        theirs = -1 if pollable is None or pollable.closed else pollable.fileno()
        if theirs < 0 or (self._own >= 0 and os.path.sameopenfile(theirs, self._own)):
            return
        self._let_go()
        self._own = os.dup(theirs)

    def _let_go(self) -> None:
        if self._own < 0:
            return
        before, self._same = self._same, True
        for watched in (self, *self._cursors):
            self.reactor.removeReader(watched)
            self.reactor.removeWriter(watched)
        self._same = before
        os.close(self._own)
        self._own = -1

    def close(self) -> None:
        """Close it, whatever it is doing; whoever waits for a statement gets an error."""
        self._same = True
        self._let_go()
        super().close()

    def continuePolling(self, swallowErrors: bool = True) -> None:
        """Go on; an error that nobody waits for is the connection's end."""
        try:
            super().continuePolling(swallowErrors=False)
        except (psycopg2.Error, txpostgres.UnexpectedPollResult):
            self.close()
