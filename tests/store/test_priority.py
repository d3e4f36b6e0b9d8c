"""The indexer's way of making way, asked of the kernel itself."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clawproxy.store import planner, priority, sqlite_file, sqlite_ingest
from clawproxy.store.sqlite import SQLiteStore
from tests.store.samples import asking, stored

_CHILD = """
import os, sys
from clawproxy.store import priority
if sys.argv[1] == "elsewhere":
    priority.platform.machine = lambda: "vax"
priority.make_way()
with open("/proc/self/sched") as lines:
    print(*(line.split()[-1] for line in lines if line.startswith("se.slice")), sep="")
print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))
"""


class MakeWayTests(SynchronousTestCase):
    def lowered(self, where: str) -> list[str]:
        if sys.platform != "linux":
            raise SkipTest("Linux alone has slices that can be asked for")
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, where], capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    def test_lowest_priority_and_shortest_slice(self) -> None:
        found, order = self.lowered("here")
        self.assertEqual(order, f"19 {os.SCHED_OTHER}")
        if not found:
            raise SkipTest("this kernel does not tell a process's slice")
        major, minor = (int(part) for part in os.uname().release.split(".")[:2])
        if (major, minor) < (6, 12):
            raise SkipTest("this kernel gives every process the same slice")
        self.assertEqual(int(found), priority.SLICE)

    def test_a_machine_without_the_call_is_none_the_worse(self) -> None:
        self.assertEqual(self.lowered("elsewhere")[1], f"19 {os.SCHED_OTHER}")


class GiveWayTests(SynchronousTestCase):
    def test_between_the_steps_of_a_batch(self) -> None:
        """A batch is many milliseconds; the processor is offered within each."""
        offered = []
        for module in (sqlite_file, sqlite_ingest, planner):
            self.patch(module, "give_way", lambda: offered.append(1))
        store = SQLiteStore(self.mktemp())
        self.successResultOf(ensureDeferred(store.open()))
        self.addCleanup(lambda: self.successResultOf(ensureDeferred(store.close())))
        offered.clear()
        batch = [stored(number, asking(f"question {number}")) for number in range(50)]
        self.successResultOf(ensureDeferred(store.ingest(batch)))
        self.assertGreater(len(offered), 2 * len(batch))
