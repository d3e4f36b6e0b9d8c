"""``clawproxy import``: JSON lines that ``clawproxy export`` wrote, or the SQLite file of the recording ancestor
(claude-code-proxy), into the configured store.

What is in the store already stays as it is, so an import may be repeated. It works beside a running proxy, too.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from twisted.internet.task import deferLater

from clawproxy import prices
from clawproxy.cli import add_config_options, load_config
from clawproxy.core.message_base import Finished
from clawproxy.core.pricing import PriceTable
from clawproxy.core.record import Exchange
from clawproxy.store.conversation_enrich import Enrichment
from clawproxy.store.entry import Entry, Prepared
from clawproxy.store.export import CannotExport, Progress, Report, breath, with_store
from clawproxy.store.export_jsonl import LineError, read_line
from clawproxy.store.import_ancestor import AncestorError, entries
from clawproxy.store.preparation import prepare
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from clawproxy.cli import Subparsers

INSTANCE = "import"
"""Who is said to have recorded what was imported."""
BATCH = 50
"""Exchanges brought in by one transaction."""
TRIES = 120
"""How often a store that others write to is asked again, half a second apart."""
SQLITE = b"SQLite format 3\0"
"""How an SQLite file begins (https://www.sqlite.org/fileformat2.html)."""
Complain = Callable[[str], None]


def add_command(subparsers: Subparsers) -> None:
    """Add ``clawproxy import``."""
    parser = subparsers.add_parser(
        "import",
        help="read exchanges from JSON lines or from claude-code-proxy's database",
        description="Read exchanges that `clawproxy export` wrote as JSON lines, or the SQLite file of"
        " claude-code-proxy, into the configured store. What is there already stays as it is.",
    )
    add_config_options(parser)
    parser.add_argument("file", help="the file; - is standard input (JSON lines)")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Import; exit code 1 where something could not be read."""
    config = load_config(arguments).config
    bad = 0

    def complain(words: str) -> None:
        nonlocal bad
        bad += 1
        sys.stderr.write(f"{arguments.file}: {words}\n")

    try:
        table = prices.load(config.storage.prices)
        count = [0, 0]
        with _opened(arguments.file) as source:
            found = _entries(arguments.file, source, complain)

            async def work(store: Store) -> None:
                progress = Progress(sys.stderr, "read")
                count[:] = await bring(store, found, table, progress)
                progress.end()

            with_store(config.storage.url, work, create=True)
    except (
        AncestorError,
        CannotExport,
        StoreRefused,
        StoreUnavailable,
        prices.PriceError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or arguments.file}: {error.strerror}\n")
        return 1
    sys.stderr.write(f"{count[0]:,} read, {count[1]:,} of them new, {bad:,} unreadable\n")
    return 1 if bad else 0


def _opened(name: str) -> BufferedReader:
    return cast(BufferedReader, sys.stdin.buffer) if name == "-" else Path(name).open("rb")


def _entries(name: str, source: BufferedReader, complain: Complain) -> Iterator[Entry]:
    # Looked at, and not read: a pipe cannot be set back.
    if name != "-" and source.peek(len(SQLITE)).startswith(SQLITE):
        return entries(Path(name), INSTANCE, complain)
    return lines(source, complain)


def lines(source: BinaryIO, complain: Complain) -> Iterator[Entry]:
    """Read JSON lines."""
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            yield read_line(line, INSTANCE)
        except LineError as error:
            complain(f"line {number}: {error}")


async def bring(
    store: Store, found: Iterator[Entry], table: PriceTable, report: Report
) -> tuple[int, int]:
    """Bring exchanges into a store.

    :param found: the oldest first, so that conversations are recognised.
    :returns: how many were read, and how many of them were new.
    :raises StoreUnavailable: it stays away.
    """
    enrichment = Enrichment(table)

    def enrich(
        exchange: Exchange,
        request: bytes | None,
        finished: Finished | None,
        upstream: Finished | None,
    ) -> str | None:
        known = exchange.conversation_id, exchange.cost_usd
        kind = enrichment(exchange, request, finished, upstream)
        # What was known where it comes from counts: the beginning may not have come with it.
        exchange.conversation_id = known[0] or exchange.conversation_id
        exchange.cost_usd = known[1] if known[1] is not None else exchange.cost_usd
        return kind

    batch: list[Prepared] = []
    read = new = 0
    for entry in found:
        if entry.exchange.conversation_id is None:
            await enrichment.recall(store, entry.exchange, entry.request)
        batch.append(prepare(entry, entry.request, enrich))
        read += 1
        if len(batch) == BATCH:
            new += await _ingest(store, batch)
            batch = []
            report(read)
            await breath()
    new += await _ingest(store, batch)
    report(read)
    return read, new


async def _ingest(store: Store, batch: list[Prepared]) -> int:
    from twisted.internet import reactor

    for tries in range(TRIES):
        try:
            return await store.ingest(batch) if batch else 0
        except StoreUnavailable:
            if tries == TRIES - 1:
                raise
            await deferLater(reactor, 0.5)
    raise AssertionError("not reached")
