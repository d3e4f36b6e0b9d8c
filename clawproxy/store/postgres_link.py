"""One connection to PostgreSQL that is made again whenever it is gone.

txpostgres does the protocol; what it leaves open is done here. Its pool hands out dead connections
and its detector knows only some deaths, so a :class:`Link` treats every operational error as the
end of the connection and the next use makes a new one. Its Deferreds must not be cancelled, so time
is bounded by the server's ``statement_timeout`` and, where no answer comes at all, by closing the
socket. libpq ignores ``connect_timeout`` in asynchronous mode, so connecting is timed here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import psycopg2
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import Logger
from txpostgres import txpostgres  # type: ignore[import-untyped]

from clawproxy.store.postgres_socket import WatchedConnection
from clawproxy.store.protocol import StoreRefused, StoreUnavailable

T = TypeVar("T")
Row = tuple[Any, ...]

CONNECT_TIMEOUT = 10.0
STATEMENT_TIMEOUT = 30.0
"""Seconds that the server gives one statement."""
IDLE_TIMEOUT = 300.0
"""Seconds that the server waits within a transaction for the next statement: a client that is frozen, or whose machine
is gone, must not keep all others from writing, nor the tables from being rewritten."""
SILENCE_TIMEOUT = 40.0
"""Seconds after which a server that does not answer, not even that its own limit is over, is taken
for gone."""
SCHEMA = "clawproxy"

# https://www.postgresql.org/docs/current/errcodes-appendix.html: classes that say "not this
# statement's
# fault, or not for ever": connection, transaction rollback, resources, intervention, system, and
# internal errors.
_PASSING = ("08", "40", "53", "55", "57", "58", "XX", "25")
_REFUSING = ("42501", "42P01", "42703", "42883", "42P07", "42723", "3F000")
"""Codes that say that rights or tables are not as they should be: withdrawn, dropped, or those of a newer program,
which migrated them meanwhile."""


class Session:
    """Statements on a connection, one after the other.

    :param link: what the connection is of.
    """

    def __init__(self, link: Link, connection: WatchedConnection) -> None:
        self._link = link
        self._connection = connection

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run a query and give its rows."""
        cursor = await self._link.timed(
            self._connection.cursor().execute(sql, tuple(parameters)), SILENCE_TIMEOUT
        )
        found: list[Row] = cursor.fetchall()
        return found

    async def do(
        self,
        sql: str,
        parameters: Sequence[object] | None = None,
        within: float = SILENCE_TIMEOUT,
    ) -> None:
        """Run a statement.

        :param within: seconds after which a server that has not answered is taken for gone.
        """
        values = None if parameters is None else tuple(parameters)
        await self._link.timed(self._connection.cursor().execute(sql, values), within)

    async def restore(self) -> None:
        """Set what every connection starts with."""
        await self.do(
            f"SET search_path = {SCHEMA};"
            f" SET statement_timeout = {int(STATEMENT_TIMEOUT * 1000)};"
            f" SET idle_in_transaction_session_timeout = {int(IDLE_TIMEOUT * 1000)};"
            " SET standard_conforming_strings = on;"
            # Costs are overstated on purpose (schema 002): no reason to compile a statement. And a search over
            # millions of rows is to remember rows, not pages of which each row would be looked through.
            " SET jit = off; SET work_mem = '32MB'"
        )


class Link:
    """Give sessions, connecting as needed; one at a time.

    :param reactor: to connect and wait in.
    :param url: ``postgresql://…``, as libpq reads it.
    :param prepared: run once on each new connection.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        prepared: Callable[[Session], Awaitable[None]] | None = None,
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._prepared = prepared
        self._lock = DeferredLock()
        self._connection: WatchedConnection | None = None
        self.where = _where(url)

    async def transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run statements as one transaction.

        :raises StoreUnavailable: if the server cannot be reached or cannot do it now; whether it
            did is not known then.
        :raises StoreRefused: if rights or tables are not as they should be.
        """
        # Whatever the database's own level is: what somebody wrote who had the writer's lock before has to be seen.
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
        return await self._locked(lambda session: self._transact(session, begin, work))

    async def snapshot(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run queries whose answers belong together: what somebody deletes between two of them is still there.

        :raises StoreUnavailable: as above.
        """
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return await self._locked(lambda session: self._transact(session, begin, work))

    async def query(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run statements, each for itself.

        :raises StoreUnavailable: as above.
        """
        return await self._locked(work)

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Hear what is notified on a channel while this connection lasts; call again from
        ``prepared``."""
        connection = self._connection
        assert connection is not None
        await connection.cursor().execute(f"LISTEN {channel}")
        connection.addNotifyObserver(lambda notify: heard(notify.payload))

    def close(self) -> None:
        """Close the connection, whatever it is doing."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.pollable() is not None:
            connection.close()

    async def _locked(self, work: Callable[[Session], Awaitable[T]]) -> T:
        await self._lock.acquire()
        try:
            return await self._attempt(work)
        except psycopg2.Error as error:
            if self._passing(error):
                self.close()
                raise StoreUnavailable(f"{self.where}: {_words(error)}") from error
            if error.pgcode in _REFUSING:
                raise StoreRefused(f"{self.where}: {_words(error)}") from error
            raise
        except CancelledError:
            # What txpostgres makes of a statement that the server has cancelled.
            self.close()
            raise StoreUnavailable(
                f"{self.where}: canceling statement due to statement timeout"
            ) from None
        except (_Silent, ConnectionDone, ConnectionLost) as error:
            self.close()
            raise StoreUnavailable(f"{self.where}: {error}") from None
        except (txpostgres.UnexpectedPollResult, txpostgres.AlreadyPolling) as error:
            self.close()
            raise StoreUnavailable(f"{self.where}: lost track of the connection") from error
        finally:
            self._lock.release()

    async def _attempt(self, work: Callable[[Session], Awaitable[T]]) -> T:
        connection = self._connection
        if connection is None or connection.closed:
            self.close()
            try:
                connection = await self._connect()
            except BaseException:
                self.close()  # half made, it would pass for a whole one next time
                raise
        return await work(Session(self, connection))

    async def _connect(self) -> WatchedConnection:
        connection = WatchedConnection(self._reactor)
        self._connection = connection
        # Said here and not by a statement: psycopg2 asks only once which one it is. The database's own, which it would
        # be otherwise, need not have all characters.
        connecting = connection.connect(self._url, client_encoding="UTF8")
        try:
            await self.timed(connecting, CONNECT_TIMEOUT)
        except psycopg2.ProgrammingError as error:
            raise StoreRefused(f"storage.url is none that libpq reads: {_fault(error)}") from None
        session = Session(self, connection)
        await session.restore()
        if self._prepared is not None:
            await self._prepared(session)
        return connection

    async def _transact(
        self, session: Session, begin: str, work: Callable[[Session], Awaitable[T]]
    ) -> T:
        await session.do(begin)
        try:
            result = await work(session)
        except Exception as error:
            if (
                self._connection is None
                or isinstance(error, CancelledError)
                or (isinstance(error, psycopg2.Error) and self._passing(error))
            ):
                self.close()  # the server rolls back what it is cut off from
            else:
                await session.do("ROLLBACK")
            raise
        await session.do("COMMIT")
        return result

    def _passing(self, error: psycopg2.Error) -> bool:
        code = error.pgcode
        if code is None:
            return isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) or (
                type(error) is psycopg2.DatabaseError
            )
        return str(code).startswith(_PASSING)

    def timed(self, deferred: Deferred[Any], seconds: float) -> Deferred[Any]:
        """Wait for a Deferred of txpostgres without ever cancelling it: past the time the socket is
        closed."""
        outer: Deferred[Any] = Deferred()

        def silent() -> None:
            if not outer.called:
                outer.errback(_Silent(f"no answer within {seconds:g} s"))
            self.close()

        timer = self._reactor.callLater(seconds, silent)

        def done(result: Any) -> None:
            if timer.active():
                timer.cancel()
            if not outer.called:
                outer.callback(result)  # a Failure goes its own way

        deferred.addBoth(done)
        return outer


class _Silent(Exception):
    """No answer came in time."""


def _where(url: str) -> str:
    """Name the server in messages, without its password."""
    try:
        found = psycopg2.extensions.parse_dsn(url)
    except psycopg2.Error:
        return "PostgreSQL"
    host = found.get("host", "localhost")
    return f"PostgreSQL at {host}{':' + found['port'] if 'port' in found else ''}"


def _fault(error: psycopg2.Error) -> str:
    """Say what libpq has against a URL: the name of a parameter, but nothing that may be a piece of a password."""
    words = _words(error).removeprefix("invalid dsn: ")
    return words if "invalid URI query parameter" in words else re.sub('"[^"]*"', '"***"', words)


def _words(error: psycopg2.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
