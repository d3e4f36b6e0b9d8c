"""``bench/storefaults.py`` as a test: real proxies under 100 streams whose store fails, and that are killed.

By default a proxy is killed twice; with ``CLAWPROXY_TEST_FULL=1`` twenty times on both stores, and every
fault of both stores is gone through at its full length, which takes half an hour.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.store import server
from tests.store.length import FULL, VARIABLE, length

ROOT = Path(__file__).resolve().parents[2]


class BenchCase(SynchronousTestCase):
    timeout = 3600

    def run_bench(self, *arguments: str) -> str:
        """Run the command, and fail where it finds anything wrong."""
        if shutil.which("cc") is None:
            raise SkipTest("no C compiler for the load equipment")
        command = [sys.executable, str(ROOT / "bench" / "storefaults.py"), *arguments]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=self.timeout, check=False
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def stores(self) -> str:
        """Name those that can be had here."""
        try:
            server.url()
        except RuntimeError:
            return "sqlite"
        return "sqlite,postgresql"


class KillTests(BenchCase):
    def test_killed_again_and_again(self) -> None:
        stores = self.stores() if FULL else "sqlite"
        streams = length("30", "100")
        said = self.run_bench("--kill", length("2", "20"), "--streams", streams, "--stores", stores)
        self.assertIn("killed", said)


class FaultTests(BenchCase):
    def test_every_fault(self) -> None:
        if not FULL:
            raise SkipTest(f"every fault at full length takes half an hour: set {VARIABLE}=1")
        self.assertIn("all is well", self.run_bench("--stores", self.stores()))
