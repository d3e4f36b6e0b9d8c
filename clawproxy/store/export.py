"""``clawproxy export``: recorded exchanges as JSON lines, HAR, CSV, or one as a curl command.

Exchanges are fetched and written one by one, so that memory stays the same however many there are. Secrets are in no
record, and so in no export.
"""

from __future__ import annotations

import signal
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from clawproxy.cli import add_config_options, load_config
from clawproxy.dashboard.api_query import (
    FILTERS,
    SEVERAL,
    SYNONYMS,
    BadParameter,
    collected,
    read_filter,
)
from clawproxy.store import export_csv, export_har
from clawproxy.store.export_curl import command
from clawproxy.store.export_jsonl import write_line
from clawproxy.store.export_record import CHUNK, ids, known, recorded
from clawproxy.store.opening import open_store
from clawproxy.store.protocol import Filter, Store, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from clawproxy.cli import Subparsers

FORMATS = ("jsonl", "har", "csv", "curl")
REPORT_EVERY = 0.2
"""Seconds between two reports on a terminal."""
Write = Callable[[bytes], object]
Report = Callable[[int], None]


class CannotExport(Exception):
    """What was asked for cannot be done; the message says why."""


def add_command(subparsers: Subparsers) -> None:
    """Add ``clawproxy export``."""
    parser = subparsers.add_parser(
        "export",
        help="write recorded exchanges as JSON lines, HAR, CSV or a curl command",
        description="Write recorded exchanges to standard output or a file, the oldest first. The filters are those of"
        " /api/requests.",
    )
    add_config_options(parser)
    parser.add_argument("id", nargs="?", help="one exchange: its id or a request id")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="jsonl unless given")
    parser.add_argument("--output", "-o", metavar="FILE", help="write here")
    filters = parser.add_argument_group("filters")
    for name in FILTERS:
        names = (name, *(other for other, meant in SYNONYMS.items() if meant == name))
        options = [f"--{each.replace('_', '-')}" for each in names]
        filters.add_argument(*options, dest=name, metavar="VALUE", action="append")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Export; exit code 1 where that cannot be done."""
    config = load_config(arguments).config
    query = [(name, value) for name in FILTERS for value in getattr(arguments, name) or ()]
    try:
        for name, value in [("id", arguments.id or ""), *query]:
            if not value.isprintable():
                # Bytes that are no text in this terminal's encoding among them: no store can be asked for such.
                raise CannotExport(
                    f"{name}: found {value!r}, expected text without control characters"
                )
        given = collected(query, SEVERAL, strict=True)
        filter = read_filter(given, time.time())
        if arguments.id and given:
            raise CannotExport("found an id and filters, expected one of them")
        if arguments.format == "curl" and not arguments.id:
            raise CannotExport("--format curl needs the id of one exchange")
        with ExitStack() as stack:

            async def work(store: Store) -> None:
                if arguments.id and await store.get(arguments.id) is None:
                    raise CannotExport(f"there is no exchange {arguments.id!r}")
                out: BinaryIO = sys.stdout.buffer
                if arguments.output:
                    # Not before it is clear that there is something to write: the file may hold an earlier export.
                    out = stack.enter_context(Path(arguments.output).open("wb"))
                # On a terminal it would stand in the middle of what is written there.
                progress = Progress(sys.stderr, quiet=out.isatty())
                await export(store, filter, arguments.id, arguments.format, out.write, progress)
                out.flush()
                progress.end()

            with_store(config.storage.url, work)
    except (BadParameter, CannotExport, StoreRefused, StoreUnavailable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        if arguments.output is None and error.filename is None:
            raise  # standard output, of which the command tells itself
        sys.stderr.write(f"{error.filename or arguments.output}: {error.strerror}\n")
        return 1
    return 0


def with_store(url: str, work: Callable[[Store], Awaitable[None]], *, create: bool = False) -> None:
    """Do something with the store that a URL names, in a reactor of its own.

    :param create: make an SQLite file that is not there.
    :raises CannotExport: there is no such store.
    :raises KeyboardInterrupt: it was broken off.
    """
    if url == "none":
        raise CannotExport("storage.url is none: nothing is recorded")
    path = Path(url.removeprefix("sqlite:"))
    if url.startswith("sqlite:") and not create and not path.exists():
        raise CannotExport(f"storage.url: there is no file {path}")
    from twisted.internet import reactor as installed

    reactor: Any = installed
    ended: list[Failure | None] = []

    def break_off() -> None:
        if reactor.running and not ended:
            reactor.stop()

    def take_signals() -> None:
        # The reactor's own handler would stop it a second time where the work has just ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: reactor.callFromThread(break_off))

    async def whole() -> None:
        store = open_store(url, reactor)
        await store.open()
        try:
            await work(store)
        finally:
            await store.close()

    def end(result: Failure | None) -> None:
        ended.append(result)
        if reactor.running:
            reactor.stop()

    reactor.callWhenRunning(take_signals)
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(whole()).addBoth(end))
    reactor.run()
    if not ended:
        raise KeyboardInterrupt
    if ended[0] is not None:
        ended[0].raiseException()


def breath() -> Deferred[None]:
    """Let the reactor hear of a Ctrl-C: a store that answers at once would keep it from that to the end."""
    from twisted.internet import reactor

    return deferLater(reactor, 0)


async def export(
    store: Store, filter: Filter, id: str | None, form: str, write: Write, report: Report
) -> int:
    """Write exchanges out.

    :param id: of the only one wanted.
    :param form: one of :data:`FORMATS`.
    :param report: is told how many are written.
    :returns: how many there were.
    :raises CannotExport: there is no such exchange.
    """
    chosen = _only(store, id) if id else ids(store, filter)
    if form == "csv":
        return await _csv(store, chosen, write, report)
    if form == "har":
        write(export_har.BEGINNING)
    count = 0
    async for uid in chosen:
        one = await recorded(store, uid)
        if one is None:
            continue  # deleted meanwhile
        if form == "har":
            write((b",\n" if count else b"\n") + export_har.entry(one))
        else:
            write(write_line(one) if form == "jsonl" else command(one).encode())
        count += 1
        report(count)
        if count % CHUNK == 0:
            await breath()
    if form == "har":
        write(export_har.END)
    return count


async def _only(store: Store, id: str) -> AsyncIterator[str]:
    detail = await store.get(id)
    if detail is None:
        raise CannotExport(f"there is no exchange {id!r}")
    yield detail.stored.exchange.id


async def _csv(store: Store, chosen: AsyncIterator[str], write: Write, report: Report) -> int:
    write(export_csv.heading())
    count = 0
    some: list[str] = []

    async def flush() -> None:
        nonlocal count
        for each in await known(store, some):
            write(export_csv.row(each.exchange, each.side_call))
            count += 1
        some.clear()
        report(count)
        await breath()

    async for uid in chosen:
        some.append(uid)
        if len(some) == CHUNK:
            await flush()
    await flush()
    return count


class Progress:
    """Tells a person at a terminal how far it is, and nobody else.

    :param done: what has become of what is counted, e.g. ``exported``.
    :param quiet: tell nobody.
    """

    def __init__(self, stream: TextIO, done: str = "exported", *, quiet: bool = False) -> None:
        self._stream = stream
        self._done = done
        self._shown = stream.isatty() and not quiet
        self._told = 0.0
        self._count = 0

    def __call__(self, count: int) -> None:
        """Hear how many it are."""
        self._count = count
        now = time.monotonic()
        if self._shown and now - self._told >= REPORT_EVERY:
            self._told = now
            self._tell("")

    def end(self) -> None:
        """Leave the last count standing."""
        if self._shown:
            self._tell("\n")

    def _tell(self, end: str) -> None:
        self._stream.write(f"\r{self._count:,} {self._done}{end}")
        self._stream.flush()
