"""Exports in every form, and JSON lines back again."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from clawproxy import prices
from clawproxy.core.record import Client
from clawproxy.store.entry import Entry
from clawproxy.store.export import CannotExport, export
from clawproxy.store.export_csv import COLUMNS
from clawproxy.store.export_jsonl import LineError, read_line
from clawproxy.store.imports import bring, lines
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.preparation import prepare
from clawproxy.store.protocol import Filter
from clawproxy.store.sqlite import SQLiteStore
from tests.store.samples import asking, exchange, message
from tests.store.traffic import Traffic

BINARY = bytes(range(256))


class ExportCase(TestCase):
    """Has a store with a few odd exchanges in it."""

    def setUp(self) -> Any:
        """Open a store."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.store = self.opened("one.db")

    def opened(self, name: str) -> SQLiteStore:
        """Open a store of this name."""
        store = SQLiteStore(self.folder / name)
        store.open_now()
        self.addCleanup(store.close_now)
        return store

    async def fill(self) -> dict[str, bytes]:
        """Bring in exchanges of all kinds; gives their requests by id."""
        bodies = {
            "plain": asking("What is a heron?"),
            "pretty": json.dumps(json.loads(asking("What is\na heron?")), indent=2).encode()
            + b"\n",
            "binary": BINARY,
            "coded": gzip.compress(asking("squeezed")),
            "exact": b'{"model":"m","big":123456789012345678901234567890,"e":1e2,"messages":[]} ',
            "empty": b"",
        }
        for number, (id, body) in enumerate(bodies.items()):
            headers = [
                ("Host", "proxy.example:8080"),
                ("Content-Type", "application/json"),
                ("x-api-key", "***"),
            ]
            if id == "coded":
                headers.append(("Content-Encoding", "gzip"))
            made = exchange(
                number,
                id=id,
                request_bytes=len(body),
                request_headers=headers,
                query="beta=true",
                method="GET" if id == "empty" else "POST",
                client=Client("127.0.0.1", "=cmd()"),
            )
            answer = message(f"answer {number}", "look_up")
            pieces = Pieces((1.5, 20.25), (answer[:7], answer[7:]))
            received = Pieces((1.0,), (BINARY,)) if id == "binary" else Pieces()
            upstream = BINARY + b"!" if id == "binary" else None
            entry = Entry(made, "1-a", True, body, upstream, pieces, received)
            await self.store.ingest([prepare(entry, body)])
        return bodies

    async def written(
        self, form: str, id: str | None = None, filter: Filter | None = None
    ) -> bytes:
        """An export's bytes."""
        found: list[bytes] = []
        await export(self.store, filter or Filter(), id, form, found.append, lambda count: None)
        return b"".join(found)


class Lines(ExportCase):
    """JSON lines."""

    async def test_there_and_back(self) -> None:
        """Every byte, time and fact of every exchange."""
        bodies = await self.fill()
        out = await self.written("jsonl")
        other = self.opened("two.db")
        bad: list[str] = []
        counted = await bring(
            other, lines(io.BytesIO(out), bad.append), prices.load(), lambda count: None
        )
        self.assertEqual((counted, bad), ((len(bodies), len(bodies)), []))
        for id, body in bodies.items():
            before, after = await self.store.get(id), await other.get(id)
            assert before is not None and after is not None
            after.stored.exchange.conversation_id = None
            after.stored.exchange.cost_usd = None
            self.assertEqual(after.stored.exchange, before.stored.exchange, id)
            self.assertEqual(await other.body(id, "request"), body, id)
            for which in ("upstream-request", "response", "upstream-response"):
                ours, theirs = await self.store.body(id, which), await other.body(id, which)
                self.assertEqual(ours, theirs, (id, which))
            self.assertEqual(await other.events(id), await self.store.events(id))
            self.assertEqual(
                await other.events(id, Side.RECEIVED), await self.store.events(id, Side.RECEIVED)
            )
        again = await bring(
            other, lines(io.BytesIO(out), bad.append), prices.load(), lambda count: None
        )
        self.assertEqual(again, (len(bodies), 0))

    async def test_a_line_is_what_the_api_shows(self) -> None:
        """With the request as it was spelled."""
        await self.fill()
        found = [json.loads(line) for line in (await self.written("jsonl")).splitlines()]
        self.assertEqual(
            [each["id"] for each in found], ["plain", "pretty", "binary", "coded", "exact", "empty"]
        )
        self.assertEqual(found[0]["request"], json.loads(asking("What is a heron?")))
        self.assertEqual(found[0]["response"]["content"][0]["text"], "answer 0")
        self.assertEqual(found[3]["request"]["messages"][0]["content"], "squeezed")
        self.assertIn(
            b'"big":123456789012345678901234567890,"e":1e2', await self.written("jsonl", "exact")
        )
        self.assertNotIn("request", found[0]["raw"])

    async def test_a_usage_that_nobody_told_comes_back_as_none(self) -> None:
        """Although a line shows zeros that are marked as not complete."""
        entry = Entry(exchange(1, usage=None), "1-a", True, b"{}", None, Pieces(), Pieces())
        await self.store.ingest([prepare(entry, b"{}")])
        line = await self.written("jsonl")
        self.assertFalse(json.loads(line)["usage"]["complete"])
        self.assertIsNone(read_line(line, "1-b").exchange.usage)

    async def test_filters(self) -> None:
        """The oldest first, by search, too."""
        traffic = Traffic(self.store)
        for number in range(5):
            await traffic.ask([f"heron {number}"], model=f"m{number % 2}")
        for filter, count in (
            (Filter(), 5),
            (Filter(model="m1"), 2),
            (Filter(text="heron"), 5),
            (Filter(text="3"), 1),
            (Filter(tool="none"), 0),
        ):
            ids = [
                json.loads(line)["id"]
                for line in (await self.written("jsonl", None, filter)).splitlines()
            ]
            self.assertEqual((len(ids), ids), (count, sorted(ids)))

    async def test_a_body_that_is_null(self) -> None:
        """It is told from a line that has none."""
        entry = Entry(exchange(1, request_bytes=4), "1-a", True, b"null")
        await self.store.ingest([prepare(entry, b"null")])
        self.assertEqual(read_line(await self.written("jsonl"), "x").request, b"null")

    def test_wrong_lines(self) -> None:
        """Each is told with its number, and the others are read."""
        good = b'{"id":"a","started_at":"2026-01-01T00:00:00.000Z","raw":{"version":1}}\n'
        wrong = (
            b"{",
            b"[]",
            b"{}",
            b'{"id":"a"}',
            b'{"id":"","raw":{"version":1}}',
            b'{"id":"a","raw":{"version":2}}',
            b'{"id":"a","raw":{"version":1,"request":{"base64":"%"}}}',
            b"\xff",
            b'{"id":"a","raw":{"version":1,"sent":1}}',
            b'{"id":"a","raw":{"version":1},"request_bytes":9223372036854775808}',
            b'{"id":"a","raw":{"version":1},"usage":{"output_tokens":9223372036854775808}}',
            b'{"id":"a","raw":{"version":1},"status":2147483648}',
        )
        for each in wrong:
            with self.assertRaises(LineError):
                read_line(each, "x")
        bad: list[str] = []
        found = list(lines(io.BytesIO(b"\n" + good + b"{\n" + good), bad.append))
        self.assertEqual((len(found), len(bad)), (2, 1))
        self.assertTrue(bad[0].startswith("line 3: "))
        self.assertEqual(found[0].exchange.outcome, "interrupted")


class Archives(ExportCase):
    """HAR."""

    async def test_entries(self) -> None:
        """What a reader of archives needs."""
        await self.fill()
        log = json.loads(await self.written("har"))["log"]
        self.assertEqual(
            (log["version"], log["creator"]["name"], len(log["entries"])), ("1.2", "ClawProxy", 6)
        )
        for each in log["entries"]:
            self.assertLessEqual(
                {"startedDateTime", "time", "request", "response", "cache", "timings"}, set(each)
            )
            self.assertLessEqual(
                {
                    "method",
                    "url",
                    "httpVersion",
                    "cookies",
                    "headers",
                    "queryString",
                    "headersSize",
                    "bodySize",
                },
                set(each["request"]),
            )
            self.assertLessEqual(
                {
                    "status",
                    "statusText",
                    "httpVersion",
                    "cookies",
                    "headers",
                    "content",
                    "redirectURL",
                },
                set(each["response"]),
            )
            timings = each["timings"]
            self.assertAlmostEqual(
                each["time"], sum(value for value in timings.values() if value > 0), 2
            )
        first = log["entries"][0]
        self.assertEqual(first["request"]["url"], "http://proxy.example:8080/v1/messages?beta=true")
        self.assertEqual(first["request"]["queryString"], [{"name": "beta", "value": "true"}])
        self.assertEqual(first["request"]["postData"]["text"], asking("What is a heron?").decode())
        self.assertEqual(
            first["response"]["content"]["text"], message("answer 0", "look_up").decode()
        )
        self.assertEqual(
            json.loads(log["entries"][3]["request"]["postData"]["text"])["max_tokens"], 100
        )

    async def test_none(self) -> None:
        """An archive of nothing is one."""
        self.assertEqual(json.loads(await self.written("har"))["log"]["entries"], [])


class Tables(ExportCase):
    """CSV."""

    async def test_rows(self) -> None:
        """A row each, no formulas."""
        await self.fill()
        rows = list(csv.DictReader(io.StringIO((await self.written("csv")).decode())))
        self.assertEqual(list(rows[0]), list(COLUMNS))
        self.assertEqual(
            [row["id"] for row in rows], ["plain", "pretty", "binary", "coded", "exact", "empty"]
        )
        self.assertEqual((rows[0]["input_tokens"], rows[0]["usage_complete"]), ("10", "true"))
        self.assertEqual(rows[0]["client_user_agent"], "'=cmd()")
        self.assertEqual(rows[0]["error"], "")
        (only,) = csv.DictReader(io.StringIO((await self.written("csv", "req_2")).decode()))
        self.assertEqual(only["id"], "binary")


class Commands(ExportCase):
    """curl."""

    async def test_the_same_bytes(self) -> None:
        """A shell gives curl the request byte for byte, and its own secrets."""
        bodies = await self.fill()
        bodies["large"] = asking("x" * 200_000)
        made = exchange(
            9, id="large", request_bytes=1, request_headers=[("Cookie", "***"), ("x-empty", "")]
        )
        await self.store.ingest(
            [prepare(Entry(made, "1-a", True, bodies["large"]), bodies["large"])]
        )
        fake = self.folder / "curl"
        fake.write_text(
            f"#!{sys.executable}\nimport json, sys\nout = {str(self.folder / 'out')!r}\n"
            "arguments = sys.argv[1:]\nbody = sys.stdin.buffer.read() if '@-' in arguments else b''\n"
            "json.dump([arguments, body.hex()], open(out, 'w'))\n"
        )
        fake.chmod(0o755)
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "API_KEY": "sk-mine",
            "COOKIE": "mine",
        }
        for id, body in bodies.items():
            words = (await self.written("curl", id)).decode()
            script = self.folder / "script"
            script.write_text(words)
            subprocess.run(["/bin/sh", str(script)], env=environment, check=True, timeout=30)
            arguments, piped = json.loads((self.folder / "out").read_text())
            if id == "empty":
                self.assertIn("GET", arguments)
                continue
            option = "--data-raw" if "--data-raw" in arguments else "--data-binary"
            data = arguments[arguments.index(option) + 1]
            self.assertEqual(bytes.fromhex(piped) if data == "@-" else data.encode(), body, id)
            if id == "large":
                self.assertIn("Cookie: mine", arguments)
                self.assertIn("x-empty;", arguments)
            else:
                self.assertIn("x-api-key: sk-mine", arguments)
                self.assertIn("http://proxy.example:8080/v1/messages?beta=true", arguments)

    async def test_hostile_text(self) -> None:
        """Nothing of a prompt or header is taken for a command."""
        body = asking("'; touch /tmp/pwned; $(id) `id` \"")
        made = exchange(
            1, request_bytes=1, request_headers=[("x", "$(id)'"), ("Host", "a;b")], path="/v1/m'x"
        )
        await self.store.ingest([prepare(Entry(made, "1-a", True, body), body)])
        words = shlex.split((await self.written("curl", "id000001")).decode().replace("\\\n", " "))
        self.assertEqual(words[words.index("--data-raw") + 1], body.decode())
        self.assertIn("x: $(id)'", words)
        self.assertIn("http://a;b/v1/m'x", words)
        # curl itself takes an @ in front for a file that is to be sent.
        body = b"@/etc/passwd"
        made = exchange(2, request_bytes=1, path="/v1/messages")
        await self.store.ingest([prepare(Entry(made, "1-a", True, body), body)])
        words = shlex.split((await self.written("curl", "id000002")).decode().replace("\\\n", " "))
        self.assertEqual(words[words.index("--data-raw") + 1], "@/etc/passwd")

    async def test_nothing_there(self) -> None:
        """An unknown exchange is said to be none."""
        with self.assertRaises(CannotExport):
            await self.written("curl", "nobody")


class CommandLine(ExportCase):
    """The commands as an operator runs them."""

    def clawproxy(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command on this test's store."""
        words = [
            sys.executable,
            "-m",
            "clawproxy.cli",
            arguments[0],
            "--set",
            "storage.url=sqlite:one.db",
        ]
        return subprocess.run(
            [*words, *arguments[1:]], cwd=self.folder, capture_output=True, timeout=60
        )

    async def test_broken_off(self) -> None:
        """Ctrl-C ends an import in the middle of it, and without a traceback."""
        await self.fill()
        self.store.close_now()
        one = json.loads(self.clawproxy("export").stdout.splitlines()[0])
        with (self.folder / "many.jsonl").open("w") as many:
            for number in range(20_000):
                many.write(json.dumps({**one, "id": f"cp_{number:032x}"}) + "\n")
        words = [sys.executable, "-m", "clawproxy.cli", "import", "many.jsonl"]
        process = subprocess.Popen(
            [*words, "--set", "storage.url=sqlite:new.db"], cwd=self.folder, stderr=subprocess.PIPE
        )
        until = time.monotonic() + 30
        while not (self.folder / "new.db").exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
        self.assertEqual((process.returncode, told), (130, b""))

    async def test_from_a_pipe(self) -> None:
        """As a shell's ``<(zcat …)`` gives one."""
        await self.fill()
        self.store.close_now()
        lines = self.clawproxy("export").stdout
        read, write = os.pipe()
        os.write(write, lines.splitlines(keepends=True)[0])
        os.close(write)
        words = [sys.executable, "-m", "clawproxy.cli", "import", f"/dev/fd/{read}"]
        done = subprocess.run(
            [*words, "--set", "storage.url=sqlite:new.db"],
            cwd=self.folder,
            capture_output=True,
            pass_fds=[read],
            timeout=60,
        )
        os.close(read)
        self.assertEqual(done.stderr, b"1 read, 1 of them new, 0 unreadable\n")

    async def test_export_and_import(self) -> None:
        """To a file and back; mistakes are told in a sentence."""
        await self.fill()
        self.store.close_now()
        done = self.clawproxy(
            "export", "--model", "claude-sonnet-4-5", "--since", "2020-01-01", "-o", "out.jsonl"
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        earlier = (self.folder / "out.jsonl").read_bytes()
        for mistake in (("nobody",), ("--set", "storage.url=sqlite:missing.db")):
            done = self.clawproxy("export", *mistake, "-o", "out.jsonl")
            self.assertEqual(done.returncode, 1)
            self.assertEqual((self.folder / "out.jsonl").read_bytes(), earlier)
        (self.folder / "one.db").rename(self.folder / "old.db")
        done = self.clawproxy("import", "out.jsonl")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"6 read, 6 of them new, 0 unreadable", done.stderr)
        done = self.clawproxy("export", "--format", "csv")
        self.assertEqual(len(done.stdout.splitlines()), 7)
        every = ("--model", "claude-sonnet-4-5", "--model", "none", "--outcome", "error,ok")
        done = self.clawproxy("export", *every, "--outcome", "client_gone")
        self.assertEqual(len(done.stdout.splitlines()), 6)
        for arguments, words in (
            (("export", "--outcome", "fine"), b"outcome: found 'fine', expected one of"),
            (("export", "--since", "1d", "--since", "2d"), b"since: found '1d and 2d'"),
            (("export", "nobody"), b"there is no exchange 'nobody'"),
            (("export", "--format", "curl"), b"needs the id"),
            (("export", "--set", "storage.url=none"), b"nothing is recorded"),
            (("export", "--set", "storage.url=sqlite:missing.db"), b"there is no file missing.db"),
            (("import", "missing.jsonl"), b"missing.jsonl"),
            (("export", os.fsdecode(b"\xff")), b"id: found '\\udcff', expected text"),
            (("export", "--model", os.fsdecode(b"\xff")), b"model: found '\\udcff'"),
            (("export", "-o", "missing/x"), b"missing/x: No such file"),
            (("export", "-o", "/dev/full"), b"/dev/full: No space left"),
        ):
            done = self.clawproxy(*arguments)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(words, done.stderr)
            self.assertNotIn(b"Traceback", done.stderr)
