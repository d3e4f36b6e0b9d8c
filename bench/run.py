"""Prints how ClawProxy does beside nginx and HAProxy, each on one core, in the same run.

``python bench/run.py`` builds the load equipment (a C compiler is needed), starts what is installed
of the peers, and measures them in turn, round after round, so that whatever else the machine does
meets all of them. The upstream and the load run on another core. Figures are medians over the
rounds; read them as ratios, machines differ and are noisy.

The measurements: one plain answer at a time (what the proxy adds), 32 at a time (what it can do),
bursts (eight streams of 100 events as fast as they come), slow streams (1,000 of 20 events a
second: how much older an event is when it arrives, and what a stream costs in memory), and plain
answers to prompts of 80 KB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peers import Peer, peers

HERE = Path(__file__).resolve().parent
SLOW = "/v1/messages?events=200&interval=50000"

Figures = dict[str, float]


@dataclass
class Load:
    """Runs ``sseload`` on its own core."""

    core: int
    seconds: float

    def __call__(self, peer: Peer, *arguments: str, seconds: float | None = None) -> Figures:
        """Measure and flatten: ``{"answers_per_s": …, "age.p99": …}``."""
        command = [str(HERE / "sseload"), "-p", str(peer.port), "-t", str(seconds or self.seconds)]
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.core}),
        )
        flat: Figures = {}
        for name, value in json.loads(done.stdout).items():
            if isinstance(value, dict):
                flat |= {f"{name}.{part}": figure for part, figure in value.items()}
            elif not isinstance(value, list):
                flat[name] = value
        return flat


def plain(load: Load, peer: Peer) -> Figures:
    """One answer at a time."""
    got = load(peer, "-w", "0.5")
    return {"plain p50 µs": got["total.p50"], "wrong": wrong(got)}


def many(load: Load, peer: Peer) -> Figures:
    """Thirty-two answers at a time."""
    got = load(peer, "-w", "0.5", "-c", "32")
    return {"c=32 /s": got["answers_per_s"], "wrong": wrong(got)}


def bursts(load: Load, peer: Peer) -> Figures:
    """Streams as fast as they come."""
    got = load(peer, "-w", "0.5", "-c", "8", "-s")
    return {"bursts ev/s": got["events_per_s"], "wrong": wrong(got)}


def large(load: Load, peer: Peer) -> Figures:
    """Prompts of 80 KB."""
    got = load(peer, "-w", "0.5", "-c", "8", "-b", "80000")
    return {"80 KB /s": got["answers_per_s"], "wrong": wrong(got)}


def slow(load: Load, peer: Peer) -> Figures:
    """A thousand streams of 20 events a second, opened over two seconds."""
    before = peer.memory()
    sizes: list[int] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.5):
            sizes.append(peer.memory())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        got = load(peer, "-w", "3", "-c", "1000", "-r", "2000", "-s", "-u", SLOW, seconds=7)
    finally:
        done.set()
        sampler.join()
    grown = statistics.median(sizes[-8:]) - before
    return {
        "slow p50 ms": got["age.p50"] / 1000,
        "slow p99 ms": got["age.p99"] / 1000,
        "KB/stream": grown / 1000,
        "wrong": wrong(got),
    }


def wrong(got: Figures) -> float:
    """Answers that were not whole, or not a 200."""
    return got["errors"] + got["refused"]


MEASUREMENTS: list[Callable[[Load, Peer], Figures]] = [plain, many, bursts, slow, large]

#: Figures of which less is better.
LESS = {"plain p50 µs", "slow p50 ms", "slow p99 ms", "KB/stream"}


def build() -> None:
    """Compile the two C programs where they are older than their source."""
    for name in ("ssegen", "sseload"):
        source, program = HERE / f"{name}.c", HERE / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            compiler = os.environ.get("CC", "cc")
            subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(source)], check=True)


def table(results: dict[str, dict[str, list[float]]], reference: str) -> str:
    """Lay out medians, each with its ratio to the reference peer's."""
    names = [name for name in next(iter(results.values())) if name != "wrong"]
    rows = [["", *names]]
    for peer, figures in results.items():
        row = [peer + (" (!)" if sum(figures["wrong"]) else "")]
        for name in names:
            value = statistics.median(figures[name])
            base = statistics.median(results[reference][name])
            ratio = f" {value / base:.2f}x" if base > 0 and peer != reference else ""
            row.append(f"{value:,.0f}{ratio}" if value >= 100 else f"{value:,.2f}{ratio}")
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += ["", f"x: times {reference}; less is better in: {', '.join(sorted(LESS))}"]
    if any(sum(figures["wrong"]) for figures in results.values()):
        lines.append("(!): some answers were cut or were not a 200")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python bench/run.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement")
    parser.add_argument("--peers", default="", help="comma-separated parts of names; default: all")
    parser.add_argument("--measure", default="", help="of plain,many,bursts,slow,large")
    parser.add_argument("--json", type=Path, help="write every figure of every round there, too")
    options = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("two cores are needed, one for the proxy and one for the load")
    build()
    wanted = options.measure.split(",")
    measurements = [m for m in MEASUREMENTS if not options.measure or m.__name__ in wanted]
    load = Load(cores[-1], options.seconds)
    results: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    started: list[Peer] = []
    with tempfile.TemporaryDirectory(prefix="clawproxy-bench-") as folder:
        upstream = subprocess.Popen(
            [str(HERE / "ssegen")],
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {load.core}),
        )
        try:
            assert upstream.stdout is not None
            for peer in peers(int(upstream.stdout.readline()), Path(folder)):
                if any(part.lower() in peer.name.lower() for part in options.peers.split(",")):
                    peer.start(Path(folder) / peer.name, cores[0])
                    started.append(peer)
            for turn in range(options.rounds):
                for measure in measurements:
                    for peer in started:
                        print(f"round {turn + 1}: {measure.__name__}, {peer.name}", file=sys.stderr)
                        for name, value in measure(load, peer).items():
                            results[peer.name][name].append(value)
                        peer.settle()
        finally:
            for peer in started:
                peer.stop()
            upstream.kill()
            upstream.wait()
    print(table(results, "nginx" if "nginx" in results else next(iter(results))))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
