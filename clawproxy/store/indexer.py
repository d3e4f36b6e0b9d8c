"""The indexer's process: ``python -m clawproxy.store.indexer``, started and watched by the proxy's.

Everything that recording costs beyond appending to a file happens here, at the lowest priority the
system has. It hears from the proxy on standard input: any byte is a nudge that there is more to
read, ``E`` that the journal is closed, the end of input that the proxy is gone. It tells how it
fares on standard output, a JSON object a line.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater
from twisted.logger import Logger, globalLogBeginner
from twisted.python.failure import Failure

from clawproxy import prices
from clawproxy.core.pricing import PriceTable
from clawproxy.store.conversation_enrich import Enrichment
from clawproxy.store.indexing import Indexing
from clawproxy.store.line import Line, LineObserver
from clawproxy.store.opening import URL_VARIABLE, open_store
from clawproxy.store.priority import make_way
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable
from clawproxy.store.retention import Retention
from clawproxy.store.supervisor import detach

ORPHANS_EVERY = 2.0
"""Seconds between two looks for what dead proxies left. The indexer of one that was killed needs a moment to
leave, longer than the next proxy's may need to come, and what was running passes for running meanwhile."""
RETENTION_EVERY = 30.0
STATUS_EVERY = 1.0
PACE = 0.2
"""Seconds of rest between two looks at the journal. The proxy nudges ten times a second while streams
run, and most of what a look costs (waking up, a commit, a sync of the disk) does not depend on how
much there is."""
LEAVE_WITHIN = 8.0
"""Seconds that are spent on bringing in the rest once the proxy has gone."""
_log = Logger()


class Indexer:
    """Run an :class:`~clawproxy.store.indexing.Indexing` until there is no more reason to.

    :param reactor: the process's.
    :param store: where to.
    :param indexing: what does it.
    :param retention: what may stay.
    """

    def __init__(
        self, reactor: Any, store: Store, indexing: Indexing, retention: Retention
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._indexing = indexing
        self._retention = retention
        self._ended = self._gone = False
        self._nudged = self._resting = self._quiet = False
        self._wake: Deferred[None] | None = None
        self._said: object = None
        self._telling: IDelayedCall | None = None
        self.line = Line(self.nudge, self._end, self._lose)

    def nudge(self) -> None:
        """Look at the journal soon; at once, if that has not been done for :data:`PACE`."""
        self._nudged = True
        if not self._resting:
            self._awake()

    def _awake(self) -> None:
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake.callback(None)

    def _end(self) -> None:
        self._ended = True
        self._reactor.callLater(LEAVE_WITHIN, self._indexing.leave)
        self._awake()

    def _lose(self) -> None:
        if not self._gone:
            self._gone = True
            if not self._ended:
                self._reactor.callLater(LEAVE_WITHIN, self._indexing.leave)
            self._awake()

    def leave(self) -> None:
        """Finish the batch at hand and end; the rest waits in its segments."""
        self._gone = True
        self._indexing.leave()
        self._awake()

    async def run(self) -> None:
        """Index until the proxy is gone and nothing of it is left to do."""
        self._say()
        await self._indexing.open()
        orphans_at = retention_at = self._reactor.seconds()
        tidied = 0
        while True:
            done = await self._indexing.own(self._ended)
            if self._ended and (done or self._indexing.leaving):
                break
            if self._gone:
                break
            now = self._reactor.seconds()
            if now >= orphans_at:
                await self._indexing.orphans()
                orphans_at = now + ORPHANS_EVERY
            progress = self._indexing.progress
            # Once it is quiet, what a burst left (the database's own log) need not wait its turn.
            due = now >= retention_at or (self._quiet and tidied != progress.stored)
            if due and progress.error is None:
                tidied = progress.stored
                more = await self._retain()
                retention_at = now + (0.0 if more else RETENTION_EVERY)
            await self._pause()
        self._indexing.close()
        await self._store.close()
        if self._telling is not None:
            self._telling.cancel()
        self._tell()

    async def _retain(self) -> bool:
        try:
            return await self._retention.step(self._store, time.time())
        except (StoreUnavailable, StoreRefused) as error:
            _log.warn("Retention waits for the store: {error}", error=str(error))
            return False

    async def _pause(self) -> None:
        if self._gone or self._ended:
            await deferLater(self._reactor, 0.05)
            return
        self._resting = True
        await self._sleep(PACE)
        self._resting = False
        self._quiet = False
        # What was nudged for while it worked or rested is still to be looked at.
        if not (self._nudged or self._gone or self._ended):
            await self._sleep(STATUS_EVERY)
            self._quiet = not self._nudged
        self._nudged = False

    async def _sleep(self, seconds: float) -> None:
        wake: Deferred[None] = Deferred()
        self._wake = wake
        timer = self._reactor.callLater(seconds, self._awake)
        await wake
        if timer.active():
            timer.cancel()

    def _say(self) -> None:
        self._tell()
        # Beside the work and not after it: what waits for a store has to be told, too.
        self._telling = self._reactor.callLater(STATUS_EVERY, self._say)

    def _tell(self) -> None:
        progress = self._indexing.progress
        status = msgspec.to_builtins(progress)
        if status != self._said:
            self._said = status
            self.line.say(status=status)


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m clawproxy.store.indexer", description=__doc__)
    parser.add_argument("--store", default=os.environ.get(URL_VARIABLE), help="storage.url")
    parser.add_argument("--journal", type=Path, required=True, help="the directory of segments")
    parser.add_argument("--instance", help="the proxy that this indexer belongs to")
    parser.add_argument("--retention-days", type=float, default=0.0)
    parser.add_argument("--max-bytes", type=int, default=0)
    parser.add_argument("--prices", help="a price table to put in front of the built-in one")
    found = parser.parse_args(argv)
    if not found.store:
        parser.error(f"--store or ${URL_VARIABLE} is needed")
    return found


def prices_of(path: str | None) -> PriceTable:
    """Read the price table; where the operator's own is wrong, the built-in one does."""
    try:
        return prices.load(path)
    except (prices.PriceError, OSError) as error:
        _log.error("storage.prices is not used: {error}", error=str(error))
        return prices.load()


def main(reactor: Any, argv: list[str]) -> None:
    """Run the process until it is no longer needed."""
    detach()
    options = arguments(argv)
    make_way()
    store = open_store(options.store, reactor)
    enrichment = Enrichment(prices_of(options.prices))
    indexing = Indexing(
        reactor, store, options.journal, options.instance, enrichment, recall=enrichment.recall
    )
    retention = Retention(options.retention_days, options.max_bytes)
    indexer = Indexer(reactor, store, indexing, retention)
    StandardIO(indexer.line, reactor=reactor)
    globalLogBeginner.beginLoggingTo([LineObserver(indexer.line)], redirectStandardIO=False)
    finished = ensureDeferred(indexer.run())

    def leave() -> Deferred[None]:
        indexer.leave()
        return finished

    def end(result: object) -> None:
        if isinstance(result, Failure):
            _log.failure("The indexer broke", failure=result)
        # Let the last lines out first.
        reactor.callLater(0.05, stop)

    def stop() -> None:
        if reactor.running:
            reactor.stop()

    finished.addBoth(end)
    reactor.addSystemEventTrigger("before", "shutdown", leave)
    reactor.run()


if __name__ == "__main__":
    from twisted.internet import reactor as _reactor

    main(_reactor, sys.argv[1:])
