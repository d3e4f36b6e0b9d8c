"""``kill -9`` of the proxy, again and again: what had finished is there, what was running is found
interrupted."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

from clawproxy.store.protocol import Filter
from tests.store.length import length
from tests.store.logs import captured
from tests.store.recording import ServiceCase, until
from tests.store.samples import message

KILLED = """
    import os, signal, sys
    from twisted.internet import reactor
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.task import deferLater
    from clawproxy.store.service import RecordingService
    from tests.store.samples import asking, exchange, message
    from tests.store.recording import Settings

    async def main(url, journal, first):
        service = RecordingService(Settings(url, journal), reactor)
        await service.start()
        running = exchange(first + 90000, outcome="running", finished_at=None)
        stream = service.recorder.begin(running, asking("stream"))
        stream.sent(b"so far", 1.0)
        for number in range(first, first + 50):
            recording = service.recorder.begin(exchange(number), asking("hello"))
            recording.sent(message("there"), 1.0)
            recording.end()
            if number % 10 == 0:
                await deferLater(reactor, 0.05)
        await deferLater(reactor, 0.4)
        os.kill(os.getpid(), signal.SIGKILL)

    ensureDeferred(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))).addErrback(lambda f:
    (f.printTraceback(), reactor.stop()))
    reactor.run()
"""


class KillTests(ServiceCase):
    async def test_killed_again_and_again(self) -> None:
        root = Path(__file__).parent.parent.parent
        script = self.home / "killed.py"
        script.write_text(textwrap.dedent(KILLED))
        rounds = length(3, 20)
        for turn in range(rounds):
            command = [
                sys.executable,
                str(script),
                self.settings.url,
                str(self.journal),
                str(turn * 50),
            ]
            child = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": str(root)},
                capture_output=True,
                check=False,
            )
            self.assertEqual(child.returncode, -signal.SIGKILL, child.stderr)
        with captured():
            service = await self.started()
            store = await self.opened()

            async def there() -> bool:
                return (await store.list(Filter(outcome="interrupted"))).total == rounds

            self.assertTrue(await until(there, 15))
            await service.stop()
        page = await store.list(Filter(outcome="ok"), limit=1000)
        self.assertEqual(page.total, 50 * rounds)
        self.assertEqual((await store.list(Filter(outcome="running"))).total, 0)
        self.assertEqual(await store.body("id090000", "response"), b"so far")
        answer = await store.get("id000049")
        assert answer is not None
        self.assertEqual(json.loads(answer.finished or b"{}"), json.loads(message("there")))
        with sqlite3.connect(self.path) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        self.assertEqual(list(self.journal.iterdir()), [])
