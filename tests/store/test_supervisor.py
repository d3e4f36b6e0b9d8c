"""A child is started, watched, started again and told to leave."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.logger import LogLevel
from twisted.trial.unittest import TestCase

from clawproxy.store import supervisor
from clawproxy.store.supervisor import Supervisor
from tests.store.logs import captured
from tests.store.recording import until

CHILD = """
import json, sys
print(json.dumps({"status": {"state": "idle"}}))
print(json.dumps({"log": "warn", "text": "mind the gap"}))
print(json.dumps({"other": sys.argv[1:]}), flush=True)
for line in sys.stdin:
    if line.strip() == "die":
        raise SystemExit("as told")
    print(json.dumps({"status": {"state": line.strip()}}), flush=True)
if "stay" in sys.argv:
    import time
    time.sleep(60)
"""


class SupervisorTests(TestCase):
    def setUp(self) -> None:
        self.patch(supervisor, "FIRST_DELAY", 0.1)
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        (directory / "supervised_child.py").write_text(CHILD)
        self.environment = {"PYTHONPATH": str(directory)}
        self.said: list[dict[str, Any]] = []

    def started(self, *arguments: str) -> Supervisor:
        made = Supervisor(
            reactor, "child", "supervised_child", arguments, self.environment, self.said.append
        )
        made.start()
        self.addCleanup(made.stop, within=0.5)
        return made

    async def test_what_it_says(self) -> None:
        with captured() as events:
            child = self.started("--x")

            async def told() -> bool:
                return bool(self.said)

            self.assertTrue(await until(told))
            self.assertEqual(child.status, {"state": "idle"})
            self.assertEqual(self.said, [{"other": ["--x"]}])
            child.send(b"busy\n")

            async def busy() -> bool:
                return child.status == {"state": "busy"}

            self.assertTrue(await until(busy))
        warned = [event["text"] for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(warned, ["mind the gap"])

    async def test_it_is_started_again(self) -> None:
        with captured() as events:
            child = self.started()

            async def told() -> bool:
                return len(self.said) == 1

            self.assertTrue(await until(told))
            child.send(b"die\n")

            async def again() -> bool:
                return len(self.said) == 2

            self.assertTrue(await until(again))
            self.assertEqual(child.restarts, 1)
            self.assertTrue(child.running)
        errors = [event for event in events if event["log_level"] is LogLevel.error]
        self.assertTrue(any(event.get("text") == "as told" for event in errors))

    async def test_a_machine_that_has_no_room_for_it_is_asked_again(self) -> None:
        spawn = reactor.spawnProcess
        refused: list[object] = []

        def refuse_twice(*arguments: Any, **more: Any) -> Any:
            if len(refused) < 2:
                refused.append(arguments)
                raise OSError(errno.EMFILE, "Too many open files")
            return spawn(*arguments, **more)

        self.patch(reactor, "spawnProcess", refuse_twice)
        with captured() as events:
            child = self.started()
            self.assertFalse(child.running)

            async def told() -> bool:
                return bool(self.said)

            self.assertTrue(await until(told))
        self.assertTrue(child.running)
        self.assertEqual(child.restarts, 2)
        errors = [event["reason"] for event in events if event["log_level"] is LogLevel.error]
        self.assertEqual(len(errors), 2)
        self.assertIn("Too many open files", errors[0])

    async def test_it_leaves_when_told(self) -> None:
        child = self.started()
        await child.stop()
        self.assertFalse(child.running)
        self.assertEqual(child.restarts, 0)
        await child.stop()

    async def test_one_that_does_not_leave_is_made_to(self) -> None:
        child = self.started("stay")

        async def told() -> bool:
            return bool(self.said)

        self.assertTrue(await until(told))
        begun = time.monotonic()
        await child.stop(within=0.3)
        self.assertLess(time.monotonic() - begun, 5)

    async def test_stopping_between_two_lives(self) -> None:
        self.patch(supervisor, "FIRST_DELAY", 60.0)
        with captured():
            child = self.started()

            async def told() -> bool:
                return bool(self.said)

            self.assertTrue(await until(told))
            child.send(b"die\n")

            async def dead() -> bool:
                return not child.running

            self.assertTrue(await until(dead))
            await child.stop()
