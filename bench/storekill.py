"""Kills a recording proxy again and again under load, and looks for what it should remember.

Used by ``storefaults.py --kill ROUNDS``. Each round starts the proxy on the same store, lets 100 callers read
short streams, and kills it (``kill -9``) at a random moment; in every other round its helpers are killed with it.
In the end it is started once more. Then every answer that was over a second before its proxy was
killed must be there, whole; every one that was running (and had begun a second before) must be there as
interrupted, with bytes that are the beginning of what was sent.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from answers import Answer, Records, read
from calamities import server
from peers import Peer, free_port, tree

if TYPE_CHECKING:
    from storefaults import Equipment

STREAM = "/v1/messages?events=20&interval=50000"
GRACE = 1.0
"""Seconds before the kill from which on nothing is promised."""
SETTLE = 60.0


@dataclass
class Tally:
    """What all rounds came to.

    :ivar fresh: answers that were over within the last second; how many of them are there whole.
    """

    finished: int = 0
    whole: int = 0
    fresh: int = 0
    fresh_whole: int = 0
    running: int = 0
    interrupted: int = 0
    wrong: list[str] = field(default_factory=list)


def kill_again_and_again(equipment: Equipment, store: str, rounds: int) -> int:
    """Run the rounds, and print what came of them.

    :returns: how many things were wrong.
    """
    folder = equipment.folder / f"kill-{store}"
    folder.mkdir()
    url = f"sqlite:{folder / 'records.db'}"
    if store == "postgresql":
        url = server.url()
        server.execute("DROP SCHEMA IF EXISTS clawproxy CASCADE")
    settings = (f"storage.url={url}", f"storage.journal={folder / 'journal'}")
    port = free_port()
    tally = Tally()
    seen: list[tuple[Answer, float]] = []
    slowest = 0.0
    for turn in range(rounds):
        begun = time.monotonic()
        peer = equipment.proxy("killed", port, folder, *settings)
        slowest = max(slowest, time.monotonic() - begun)
        seen += one_round(equipment, peer, folder / f"answers-{turn}", bool(turn % 2))
        if store == "sqlite" and (trouble := opens(folder / "records.db")):
            tally.wrong.append(f"round {turn + 1}: {trouble}")
    peer = equipment.proxy("killed", port, folder, *settings)
    try:
        wanted = {answer.id for answer, killed_at in seen if answer.begun < killed_at - GRACE}
        records = Records(port)
        outcomes, late = records.settle(wanted, SETTLE)
        for answer, killed_at in seen:
            judge(tally, records, outcomes, answer, killed_at)
    finally:
        peer.stop()
    if peer.process is not None and peer.process.returncode:
        tally.wrong.append(f"the last proxy ended with {peer.process.returncode}")
    if left := [path.name for path in (folder / "journal").iterdir()]:
        tally.wrong.append(f"the journal still holds {left}")
    print(
        f"{store}: killed {rounds} times; {tally.finished} answers were over for a second, {tally.whole} are there"
        f" byte for byte; of {tally.fresh} younger ones {tally.fresh_whole}; {tally.running} were running,"
        f" {tally.interrupted} are there as interrupted; the slowest start took {slowest:.1f} s, and all was in"
        f" {late:.1f} s after the last one",
        flush=True,
    )
    for each in tally.wrong[:20]:
        print("WRONG:", each, flush=True)
    return len(tally.wrong)


def one_round(
    equipment: Equipment, peer: Peer, output: Path, all_of_it: bool
) -> list[tuple[Answer, float]]:
    """Load and kill.

    :returns: the answers, each with the moment of the kill.
    """
    assert peer.process is not None
    load = equipment.load(peer, 60, output, STREAM, ramp=0.5)
    time.sleep(random.uniform(2, 4))
    pids = tree(peer.process.pid) if all_of_it else [peer.process.pid]
    killed_at = time.monotonic()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    peer.process.wait()
    try:
        load.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        load.kill()
        raise
    return [(answer, killed_at) for answer in read(output)]


def judge(
    tally: Tally, records: Records, outcomes: dict[str, str], answer: Answer, killed_at: float
) -> None:
    """Hold one answer against its record."""
    outcome = outcomes.get(answer.id)
    recorded = records.body(answer.id, "response") if outcome else b""
    intact = outcome == "ok" and recorded == answer.body
    if answer.whole and answer.ended < killed_at - GRACE:
        tally.finished += 1
        tally.whole += intact
        if not intact:
            tally.wrong.append(
                f"{answer.id}, over {killed_at - answer.ended:.2f} s before: {outcome},"
                f" {len(recorded)} of {len(answer.body)} bytes"
            )
    elif answer.whole:
        tally.fresh += 1
        tally.fresh_whole += intact
    elif answer.begun < killed_at - GRACE:
        tally.running += 1
        tally.interrupted += outcome == "interrupted"
        shorter = min(len(recorded), len(answer.body))
        if outcome not in ("interrupted", "ok"):
            tally.wrong.append(
                f"{answer.id}, running for {killed_at - answer.begun:.2f} s: {outcome}"
            )
        elif recorded[:shorter] != answer.body[:shorter]:
            tally.wrong.append(f"{answer.id}: other bytes than the caller got")


def opens(database: Path) -> str:
    """Say why a database cannot be used; nothing where it can."""
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=10)) as db:
            [(verdict,)] = db.execute("PRAGMA quick_check").fetchall()[:1]
    except sqlite3.Error as error:
        return str(error)
    return "" if verdict == "ok" else str(verdict)
