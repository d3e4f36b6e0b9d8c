"""Lets ClawProxy run for half an hour while everything goes wrong around it, and watches memory and
descriptors.

``python bench/soak.py`` starts a recording proxy, an upstream and 200 callers. Streams have about
20 events a second. One answer in three goes wrong in some way, one caller in three leaves in some
way (see ``faults.py``). At the end the callers leave, and the exit code is 0 when nothing that must
never be was seen (a cut answer that looks whole, an event lost or of another answer), memory grew
by less than 5 % between the fifth minute and the last one, no descriptors are left over, and
nothing is in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from faults import Callers, Upstream
from peers import Peer, free_port, resident, tree

#: The main process's memory may grow by this part between the first mark and the end.
GROWTH = 0.05


@dataclass(frozen=True)
class Sample:
    """One look at the proxy.

    :ivar at: seconds since the callers began.
    :ivar main: KiB resident of the process that serves.
    :ivar all: KiB resident of it and its helpers.
    """

    at: float
    main: int
    all: int
    descriptors: int
    in_flight: int


def own(pid: int) -> int:
    """KiB that one process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmRSS:")


def look(pid: int, port: int, at: float) -> Sample:
    """Take a sample."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=30) as answer:
        live = json.load(answer)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(at, own(pid), resident(pid), descriptors, live["in_flight"])


async def load(
    options: argparse.Namespace, peer: Peer, upstream: Upstream
) -> tuple[list[Sample], Callers]:
    """Run the callers, sample every five seconds, let the callers leave, and take a last sample."""
    assert peer.process is not None
    pid = peer.process.pid
    callers = Callers(peer.port, upstream)
    samples: list[Sample] = []
    begun = time.monotonic()
    tasks = [asyncio.create_task(callers.run()) for _ in range(options.streams)]
    print("   s   main MB    all MB  fds  in flight  whole")
    while (at := time.monotonic() - begun) < options.minutes * 60:
        sample = await asyncio.to_thread(look, pid, peer.port, at)
        samples.append(sample)
        if len(samples) % 12 == 1:
            print(
                f"{at:5.0f} {sample.main / 1024:9.1f} {sample.all / 1024:9.1f} {sample.descriptors:4}"
                f" {sample.in_flight:10} {callers.seen['saw a whole answer']:6}",
                flush=True,
            )
        await asyncio.sleep(5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(options.rest)
    samples.append(await asyncio.to_thread(look, pid, peer.port, time.monotonic() - begun))
    return samples, callers


def verdict(
    options: argparse.Namespace, first: Sample, samples: list[Sample], callers: Callers
) -> list[str]:
    """What is not as it should be, in words."""
    wrong = [f"{count} times {what}" for what, count in callers.wrong.items()]
    *during, last = samples
    mark = min(5.0, options.minutes / 2) * 60
    early = statistics.median(s.main for s in during if mark - 60 <= s.at <= mark + 60)
    late = statistics.median(s.main for s in during if s.at >= options.minutes * 60 - 120)
    growth = late / early - 1
    print(
        f"main process: {early / 1024:.1f} MB at {mark / 60:g} min, {late / 1024:.1f} MB at the end: {growth:+.1%}"
    )
    print(
        f"descriptors: {first.descriptors} before, {last.descriptors} after; in flight: {last.in_flight}"
    )
    if growth > GROWTH:
        wrong.append(f"memory grew by {growth:.1%}")
    if last.descriptors > first.descriptors + 5:
        wrong.append(f"{last.descriptors - first.descriptors} descriptors are left over")
    if last.in_flight:
        wrong.append(f"{last.in_flight} still in flight")
    return wrong


async def soak(options: argparse.Namespace, folder: Path) -> list[str]:
    """Start everything, run, and say what was wrong."""
    upstream = Upstream(options.rate)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=1024)
    port = free_port()
    settings = {
        "providers.anthropic.base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "providers.anthropic.response_header_timeout": 5,
        "providers.anthropic.idle_timeout": 5,
        "storage.url": "sqlite:clawproxy.db",
    }
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "clawproxy"]
    command += ["--listen", f"tcp:{port}:interface=127.0.0.1:backlog=1024"]
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    peer = Peer("ClawProxy", port, command, process)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                first = await asyncio.to_thread(look, process.pid, port, 0)
                break
            await asyncio.sleep(0.1)
        else:
            return ["the proxy did not start: " + (folder / "log").read_text()[-2000:]]
        await asyncio.sleep(3)
        first = await asyncio.to_thread(look, process.pid, port, 0)
        samples, callers = await load(options, peer, upstream)
        print("upstream:", dict(upstream.seen.most_common()))
        print("callers:", dict(callers.seen.most_common()))
        wrong = verdict(options, first, samples, callers)
        helpers = tree(process.pid)[1:]
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, 60)
        if code:
            wrong.append(f"the proxy ended with {code}")
        wrong += [f"helper {pid} outlived it" for pid in helpers if Path(f"/proc/{pid}").exists()]
        text = (folder / "log").read_text(errors="replace")
        if "Traceback" in text:
            wrong.append("a traceback in the log:\n" + text[text.index("Traceback") :][:3000])
        return wrong
    finally:
        peer.stop()
        server.close()


def main(arguments: list[str]) -> int:
    """Soak."""
    parser = argparse.ArgumentParser(prog="python bench/soak.py", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20, help="events a second in a stream")
    parser.add_argument(
        "--rest", type=float, default=15, help="seconds between the end and the last look"
    )
    parser.add_argument("--seed", type=int, help="makes the order of faults repeat")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        import random

        random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="clawproxy-soak-") as folder:
        wrong = asyncio.run(soak(options, Path(folder)))
    for each in wrong:
        print("WRONG:", each)
    print("all is well" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
