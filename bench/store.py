"""How long the API's questions take on a store of many exchanges: ``python bench/store.py --exchanges 100000``.

It fills a store with sessions of ten turns (or takes the one that an earlier run left there), asks what the dashboard
asks, and prints the median and the slowest of some runs. The store is asked directly: what HTTP adds is measured by
the others.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from clawproxy import prices
from clawproxy.core.record import Client, Exchange, Usage
from clawproxy.core.timestamp import rfc3339
from clawproxy.store import conversation_list, conversation_query
from clawproxy.store.conversation_enrich import Enrichment
from clawproxy.store.entry import Entry, Prepared
from clawproxy.store.opening import open_store
from clawproxy.store.pieces import Pieces
from clawproxy.store.preparation import prepare
from clawproxy.store.protocol import Filter, Store
from clawproxy.store.statistics import BYS, report

TURNS = 10
BATCH = 200
START = 1_780_000_000.0
SPACING = 60.0
"""Seconds between two exchanges: 100,000 are ten weeks."""
MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5", "gpt-5-mini")
RUNS = 11
RARE = 997
"""Every so many-th exchange holds a rare word."""


def words(dice: random.Random, count: int) -> str:
    """Make a text of a vocabulary of 20,000 words, some of them far more frequent than others."""
    return " ".join(f"word{int(dice.paretovariate(0.6)) % 20_000}" for _ in range(count))


def made(number: int, dice: random.Random, history: list[dict[str, str]]) -> tuple[Entry, bytes]:
    """Make the next exchange of a session."""
    started = START + number * SPACING
    question = words(dice, 30) + (" kingfisher" if number % RARE == 0 else "")
    history.append({"role": "user", "content": question})
    body = json.dumps(
        {
            "model": MODELS[number % 4],
            "max_tokens": 1000,
            "system": "You are brief.",
            "messages": history,
        }
    ).encode()
    said = words(dice, 60)
    history.append({"role": "assistant", "content": said})
    answer = json.dumps(
        {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": MODELS[number % 4],
            "content": [{"type": "text", "text": said}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 100 + number % 900, "output_tokens": 80},
        }
    ).encode()
    exchange = Exchange(
        id=f"cp_bench{number:09d}",
        request_id=f"req_{number:09d}",
        started_at=rfc3339(started),
        finished_at=rfc3339(started + 2),
        outcome="error" if number % 50 == 0 else "ok",
        status=529 if number % 50 == 0 else 200,
        method="POST",
        path="/v1/messages",
        dialect="anthropic",
        provider="anthropic",
        model=MODELS[number % 4],
        routed_model=MODELS[number % 4],
        usage=Usage(100 + number % 900, 80),
        ttft_ms=dice.lognormvariate(6, 1),
        duration_ms=dice.lognormvariate(8, 1),
        request_bytes=len(body),
        response_bytes=len(answer),
        client=Client("127.0.0.1", "bench"),
        request_headers=[
            ("content-type", "application/json"),
            ("x-claude-code-session-id", f"session-{number // TURNS}"),
        ],
        response_headers=[("content-type", "application/json")],
    )
    return Entry(exchange, "bench", True, body, None, Pieces((1.0,), (answer,))), body


async def fill(store: Store, count: int) -> None:
    """Bring the store to so many exchanges."""
    there = (await store.sizes()).exchanges
    dice = random.Random(there)
    enrichment = Enrichment(prices.load())
    history: list[dict[str, str]] = []
    batch: list[Prepared] = []
    for number in range(there, count):
        if number % TURNS == 0:
            history = []
        entry, body = made(number, dice, history)
        batch.append(prepare(entry, body, enrichment))
        if len(batch) == BATCH or number == count - 1:
            await store.ingest(batch)
            batch = []
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{number + 1:,} exchanges ")


def questions(store: Store, count: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Give what is asked, by name."""
    middle = str(int((START + count * SPACING / 2) * 1000) << 10)
    day = Filter(since=int((START + count * SPACING - 86_400) * 1000))
    session = f"session-{count // TURNS // 2}"

    return {
        "list": lambda: store.list(Filter()),
        "list, from the middle": lambda: store.list(Filter(), middle),
        "list by model": lambda: store.list(Filter(model=MODELS[1])),
        "list by outcome": lambda: store.list(Filter(outcome="error")),
        "list by session": lambda: store.list(Filter(session_id=session)),
        "search, a rare word": lambda: store.list(Filter(text="kingfisher")),
        "search, a frequent word": lambda: store.list(Filter(text="word2")),
        "search, two words": lambda: store.list(Filter(text="word7 word100")),
        "search, a beginning": lambda: store.list(Filter(text="kingf*")),
        "search, a phrase": lambda: store.list(Filter(text='"word7 word2"')),
        "search, all words": lambda: store.list(Filter(text="word*")),
        "search with a model": lambda: store.list(Filter(text="word2", model=MODELS[1])),
        "one exchange": lambda: store.get(f"cp_bench{count // 2:09d}"),
        "conversations": lambda: conversation_list.page(store, Filter()),
        "one conversation": lambda: conversation_query.load(store, session),
        "figures of a day": lambda: report(store, day, BYS),
        "figures of all": lambda: report(store, Filter(), BYS),
    }


async def measure(url: str, count: int, reactor: Any) -> None:
    """Fill a store, ask it, and print how long that took."""
    store = open_store(url, reactor)
    await store.open()
    before = time.perf_counter()
    there = (await store.sizes()).exchanges
    await fill(store, count)
    took = time.perf_counter() - before
    sizes = await store.sizes()
    if count > there:
        print(
            f"\nfilled with {count - there:,} exchanges in {took:.0f} s ({(count - there) / took:,.0f}/s)"
        )
    print(f"{sizes.exchanges:,} exchanges, {sizes.disk_bytes / 1e6:,.0f} MB\n")
    print(f"{'':28}{'median':>10}{'slowest':>10}  ms")
    for name, ask in questions(store, count).items():
        times = []
        for _ in range(RUNS):
            before = time.perf_counter()
            await ask()
            times.append((time.perf_counter() - before) * 1000)
        print(f"{name:28}{statistics.median(times):10.1f}{max(times):10.1f}")
    await store.close()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="sqlite:bench.db", help="sqlite:PATH or postgresql://…")
    parser.add_argument("--exchanges", type=int, default=100_000)
    arguments = parser.parse_args()
    if arguments.url.startswith("sqlite:"):
        Path(arguments.url.removeprefix("sqlite:")).parent.mkdir(parents=True, exist_ok=True)
    from twisted.internet import reactor as installed

    reactor: Any = installed
    failed = []

    def end(result: Any) -> None:
        failed.append(result)
        reactor.stop()

    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(
            measure(arguments.url, arguments.exchanges, reactor)
        ).addBoth(end)
    )
    reactor.run()
    if failed and failed[0] is not None:
        failed[0].printTraceback()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
