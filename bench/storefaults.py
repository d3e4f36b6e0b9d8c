"""Lets everything happen to the store that can, at full length, while 100 streams run through a
recording proxy.

``python bench/storefaults.py`` starts three proxies as an operator would, one that records and two with
``storage.url: none``, an upstream whose streams have 20 events a second each, and 100 callers a proxy. For
each fault the load runs through the two that do not record, then through one of them and the one that does
while the fault happens, and through the first two again. Then every answer that a caller got from the recording one is
looked up under ``/api/``, and its bytes, and its request's, are held against what the caller got and sent.

Printed is how old events were when they arrived (by the upstream's stamp; the 99th percentile of each
second, of these the median, which one hiccup of the machine does not change): of the recording proxy,
of the plain one beside it in the same seconds, of the plain ones before and after, and the ratios. Where
the machine is not quiet, only the ratio to what ran beside says anything. The exit code is 0 when no stream
failed and every record was there, whole and in its place.

``--kill 20`` is another test: the proxy is killed (``kill -9``) and started again so often under that
load, see ``storekill.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from answers import Comparison, Records, compare, read
from calamities import FAULTS, Fault, Place, server, small_disk
from peers import Peer, free_port, pinned
from run import HERE, build

STREAM = "/v1/messages?events=100&interval=50000"
PROMPT = 3000
WARM = 3.0
"""Seconds until all streams run and nothing is new."""
LEAD = 3.0
"""Seconds that are measured before the fault."""
TRAIL = 6.0
"""And after it."""
SETTLE = 90.0
"""Seconds that the records may take to be in the store afterwards: past a full disk or a frozen
server there are time limits and growing pauses to sit out."""


@dataclass
class Ages:
    """How a load fared.

    :ivar p99: of the events' ages, in ms.
    :ivar typical: the median over the seconds of each second's p99.
    """

    streams: int
    failed: int
    p99: float
    typical: float
    worst: float


@dataclass
class Outcome:
    """What a fault did."""

    store: str
    fault: str
    recording: Ages
    beside: Ages
    apart: Ages
    records: Comparison
    late: float
    wrong: list[str] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)


@dataclass
class Equipment:
    """What all measurements share.

    :ivar upstream: ``ssegen``'s port.
    :ivar core: the proxies' core; ``None`` lets the system choose.
    """

    folder: Path
    upstream: int
    streams: int
    core: int | None
    load_core: int | None

    def proxy(self, name: str, port: int, folder: Path, *settings: str) -> Peer:
        """Start a proxy."""
        values = (
            f"providers.anthropic.base_url=http://127.0.0.1:{self.upstream}",
            *settings,
        )
        command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "clawproxy"]
        command += ["--listen", f"tcp:{port}:interface=127.0.0.1:backlog=4096"]
        command += [part for value in values for part in ("--set", value)]
        peer = Peer(name, port, command)
        peer.start(folder, self.core)
        return peer

    def load(
        self,
        peer: Peer,
        seconds: float,
        output: Path,
        path: str = STREAM,
        ramp: float = WARM * 0.8,
    ) -> subprocess.Popen[str]:
        """Start the callers, over the seconds of *ramp*, who write down what they get."""
        command = [str(HERE / "sseload"), "-p", str(peer.port), "-c", str(self.streams), "-s"]
        command += ["-r", f"{ramp / self.streams * 1e6:.0f}", "-w", str(WARM)]
        command += ["-t", str(seconds), "-u", path]
        command += ["-b", str(PROMPT), "-o", str(output)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(self.load_core)
        )

    def request(self) -> bytes:
        """What each caller sends, as ``sseload`` words it."""
        words = b"the quick brown fox jumps over a lazy dog "
        prompt = (words * (PROMPT // len(words) + 1))[:PROMPT]
        return (
            b'{"model":"claude-bench","max_tokens":1024,"stream":true,'
            b'"messages":[{"role":"user","content":"%s"}]}' % prompt
        )


def ages(load: subprocess.Popen[str]) -> Ages:
    """Wait for the callers to end."""
    text, _ = load.communicate(timeout=120)
    if load.returncode:
        raise SystemExit(f"sseload ended with {load.returncode}")
    got = json.loads(text)
    return Ages(
        got["answers"],
        got["errors"] + got["refused"],
        got["age"]["p99"] / 1000,
        statistics.median(got["age_p99_each_s"]) / 1000,
        got["age"]["max"] / 1000,
    )


def between(first: Ages, second: Ages) -> Ages:
    """What two runs come to."""
    return Ages(
        first.streams + second.streams,
        first.failed + second.failed,
        statistics.mean((first.p99, second.p99)),
        statistics.mean((first.typical, second.typical)),
        max(first.worst, second.worst),
    )


@contextlib.contextmanager
def place(equipment: Equipment, store: str, fault: Fault) -> Iterator[tuple[Place, list[str]]]:
    """Make room for records, and say how the proxy is told of it."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(dir=equipment.folder))
        found = Place(folder)
        if fault.disk == "server":
            found.disk = server.directory()
        elif fault.disk:
            found.disk = stack.enter_context(small_disk(64))
        journal = folder / "journal"
        if fault.disk == "both":
            assert found.disk is not None
            journal = found.disk / "journal"
        url = f"sqlite:{found.database}"
        if store == "postgresql":
            url = server.url()
            server.execute("DROP SCHEMA IF EXISTS clawproxy CASCADE")
        yield found, [f"storage.url={url}", f"storage.journal={journal}"]


def without(equipment: Equipment, plain: list[Peer], seconds: float, folder: Path) -> Ages:
    """Run the load where nothing is recorded."""
    loads = [equipment.load(peer, seconds, folder / peer.name) for peer in plain]
    return between(*(ages(load) for load in loads))


def endure(
    equipment: Equipment, plain: list[Peer], store: str, fault: Fault, seconds: float
) -> Outcome:
    """Go through one fault, and look what is left."""
    with place(equipment, store, fault) as (found, settings):
        folder = found.folder
        peer = equipment.proxy("recording", free_port(), folder, *settings)
        assert peer.process is not None
        found.pid, found.port = peer.process.pid, peer.port
        try:
            time.sleep(2)
            half = (LEAD + seconds + TRAIL) / 2
            before = without(equipment, plain, half, folder)
            load = equipment.load(peer, LEAD + seconds + TRAIL, folder / "answers")
            other = equipment.load(plain[0], LEAD + seconds + TRAIL, folder / "beside")
            time.sleep(WARM + LEAD)
            fault.happen(found, seconds)
            during, beside = ages(load), ages(other)
            after = without(equipment, plain, half, folder)
            answers = read(folder / "answers")
            records = Records(peer.port)
            outcomes, late = records.settle({answer.id for answer in answers}, SETTLE)
            compared = compare(records, outcomes, answers, equipment.request())
            metrics = records.get("/metrics")
        finally:
            peer.stop()
        apart = between(before, after)
        outcome = Outcome(store, fault.name, during, beside, apart, compared, late)
        outcome.lateness = found.lateness
        outcome.wrong = aftermath(found, settings, peer, outcome, metrics)
        return outcome


def aftermath(
    place: Place, settings: list[str], peer: Peer, outcome: Outcome, metrics: bytes
) -> list[str]:
    """Say what is not as it should be once all is over."""
    assert peer.process is not None
    wrong = []
    records = outcome.records
    if outcome.recording.failed:
        wrong.append(f"{outcome.recording.failed} streams failed")
    if records.missing:
        wrong.append(f"{len(records.missing)} records are missing, as {records.missing[:3]}")
    if records.different:
        wrong.append(f"{len(records.different)} differ, as {records.different[:3]}")
    if peer.process.returncode:
        wrong.append(f"the proxy ended with {peer.process.returncode}")
    journal = Path(settings[1].partition("=")[2])
    if left := [path.name for path in journal.iterdir()]:
        wrong.append(f"the journal still holds {left}")
    if b"clawproxy_recorder_dropped 0" not in metrics or b"_dropped_pieces 0" not in metrics:
        wrong.append("something was dropped")
    if outcome.store == "sqlite":
        with contextlib.closing(sqlite3.connect(place.database)) as db:
            [(verdict,)] = db.execute("PRAGMA integrity_check").fetchall()[:1]
        if verdict != "ok":
            wrong.append(f"the database is damaged: {verdict}")
    log = (place.folder / "log").read_text(errors="replace")
    if "Traceback" in log:
        wrong.append("a traceback in the log: " + log[log.index("Traceback") :][:2000])
    return wrong


HEAD = (
    "store       fault                      streams failed   p99 ms  beside  ratio   apart  ratio"
    "  all p99  beside   worst  beside  records  found rebuilt  late"
)


def line(outcome: Outcome) -> str:
    """Lay an outcome out."""
    during, beside, records = outcome.recording, outcome.beside, outcome.records
    apart = outcome.apart.typical
    return (
        f"{outcome.store:11} {outcome.fault:26} {during.streams:7} {during.failed:6}"
        f" {during.typical:8.2f} {beside.typical:7.2f} {during.typical / beside.typical:5.2f}x"
        f" {apart:7.2f} {during.typical / apart:5.2f}x {during.p99:8.2f} {beside.p99:7.2f}"
        f" {during.worst:7.0f} {beside.worst:7.0f}"
        f" {records.expected:8} {records.found:6} {records.rebuilt:7} {outcome.late:4.1f}s"
    )


@contextlib.contextmanager
def upstream(core: int | None) -> Iterator[int]:
    """Start ``ssegen`` and give its port."""
    process = subprocess.Popen(
        [str(HERE / "ssegen")], stdout=subprocess.PIPE, preexec_fn=pinned(core)
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def main(arguments: list[str]) -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python bench/storefaults.py", description=__doc__)
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--faults", default="", help="those whose names hold one of these words")
    parser.add_argument("--seconds", type=float, default=30, help="how long a fault lasts")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument(
        "--apart",
        action="store_true",
        help="the proxies on one core, callers and upstream on another",
    )
    parser.add_argument(
        "--kill", type=int, default=0, metavar="ROUNDS", help="kill the proxy instead"
    )
    options = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    if options.apart and len(cores) < 2:
        parser.error("two cores are needed to be apart")
    build()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # and so clean up
    wrong = 0
    load_core = cores[-1] if options.apart else None
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clawproxy-faults-")))
        equipment = Equipment(
            folder,
            stack.enter_context(upstream(load_core)),
            options.streams,
            cores[0] if options.apart else None,
            load_core,
        )
        if "postgresql" in options.stores:
            server.settle_in(stack.enter_context(small_disk(600)))
            stack.callback(server.remove)
        if options.kill:
            from storekill import kill_again_and_again

            for store in options.stores.split(","):
                wrong += kill_again_and_again(equipment, store, options.kill)
            return 1 if wrong else 0
        plain = []
        for name in ("first", "second"):
            plain.append(equipment.proxy(name, free_port(), folder / name, "storage.url=none"))
            stack.callback(plain[-1].stop)
        print(HEAD, flush=True)
        for store in options.stores.split(","):
            for fault in FAULTS[store]:
                if any(word in fault.name for word in options.faults.split(",")):
                    outcome = endure(equipment, plain, store, fault, options.seconds)
                    print(line(outcome), flush=True)
                    if late := sorted(outcome.lateness):
                        print(
                            f"{len(late)} records were in /api/ after {statistics.median(late):.2f} s"
                            f" (median), {late[-1]:.2f} s (longest)"
                        )
                    for each in outcome.wrong:
                        print("WRONG:", each, flush=True)
                    wrong += len(outcome.wrong)
    print("all is well" if not wrong else f"{wrong} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
