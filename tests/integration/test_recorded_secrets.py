"""Secrets wherever a caller, an operator and an upstream can put one are nowhere to be read."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zstandard

from clawproxy.store.compression import Packer
from tests.integration import answers
from tests.integration.proxy import PATIENCE
from tests.integration.records import RecordedCase, Records, export
from tests.integration.upstream import Answer, Asked

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
#: Stands in every secret, and nowhere else.
MARK = "s3cr3t"
#: Stands beside the secrets, to prove that what is searched is what was written.
PLAIN = "plainly-seen"


class SecretTests(RecordedCase):
    """Secrets wherever a caller, an operator and an upstream can put one are nowhere to be read."""

    def setUp(self) -> None:
        """Have an upstream that tells secrets in its headers, and a proxy with keys of its own."""
        super().setUp()
        leaking = (
            ("set-cookie", f"session={MARK}-set-cookie"),
            ("x-session-token", f"{MARK}-answer"),
            ("location", f"https://elsewhere.example/?access_token={MARK}-location"),
        )

        def script(asked: Asked) -> Answer:
            if "/v1/files" in asked.target:
                return Answer([b'{"data":[]}'], headers=(*answers.JSON, *leaking))
            if b"break" in asked.body:
                return Answer([b"{"], headers=(*answers.STREAM, *leaking), cut=True)
            stream = bool(asked.json.get("stream"))
            make: Any = answers.anthropic
            said: Any = answers.text("Hello.")
            if "chat" in asked.target:
                make, said = answers.chat, "Hello."
            elif "responses" in asked.target:
                make, said = answers.response, "Hello."
            answer = make(stream, said)
            return Answer(answer.pieces, headers=(*answer.headers, *leaking))

        self.upstream_ = self.upstream(script)
        self.running = self.recording_proxy(
            self.upstream_,
            auth__api_keys=f'["{MARK}-proxy"]',
            providers__anthropic__api_key=f"{MARK}-anthropic",
            providers__openai__api_key=f"{MARK}-openai",
            providers__openai__headers=f'{{x-custom-secret: "{MARK}-custom"}}',
            routes='[{match: "over", provider: openai, model: gpt-x}]',
        )

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> int:
        """Ask with a secret in each place; the status."""
        basic = b64encode(f"user:{MARK}-basic".encode()).decode()
        headers = {
            "user-agent": PLAIN,
            "content-type": "application/json",
            "authorization": f"Bearer {MARK}-proxy",
            "x-api-key": f"{MARK}-x-api-key",
            "api-key": f"{MARK}-api-key",
            "proxy-authorization": f"Basic {basic}",
            "cookie": f"session={MARK}-cookie; other={MARK}-other",
            "x-goog-api-key": f"{MARK}-goog",
            "x-auth-token": f"{MARK}-token",
            "x-client-secret": f"{MARK}-client",
            "cf-access-client-secret": f"{MARK}-cf",
            "referer": f"http://localhost/?token={MARK}-referer",
            "x-claude-code-session-id": "a-session",
            **(more or {}),
        }
        secrets = "&".join(
            f"{name}={MARK}-query" for name in ("key", "api_key", "access_token", "X-Amz-Signature")
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=PATIENCE)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"{path}?beta=true&{secrets}", text, headers)
            answer = connection.getresponse()
            answer.read()
        except http.client.IncompleteRead:
            pass
        finally:
            connection.close()
        return answer.status

    def ask_everything(self) -> int:
        """Ask in every way there is; how many exchanges that made."""
        version = {"anthropic-version": "2023-06-01"}
        body: dict[str, Any] = {"model": "claude-x", "max_tokens": 9, "messages": HELLO}
        chat = {"model": "gpt-x", "messages": HELLO}
        statuses = []
        for stream in (True, False):
            statuses += [
                self.ask("POST", "/v1/messages", {**body, "stream": stream}, version),
                self.ask("POST", "/v1/messages", {**body, "model": "over", "stream": stream}),
                self.ask("POST", "/v1/chat/completions", {**chat, "stream": stream}),
                self.ask(
                    "POST", "/v1/responses", {"model": "gpt-x", "input": "hi", "stream": stream}
                ),
            ]
        statuses.append(self.ask("POST", "/anthropic/v1/messages", body))
        statuses.append(self.ask("GET", "/v1/files", None, version))
        statuses.append(self.ask("GET", "/openai/v1/files"))
        self.assertEqual(statuses, [200] * 11)
        broken = self.ask("POST", "/v1/messages", {**body, "stream": True, "user": "break"})
        self.assertEqual(broken, 200)
        refused = self.ask("POST", "/v1/messages", body, {"authorization": f"Bearer {MARK}-wrong"})
        self.assertEqual(refused, 401)
        refused = self.ask("POST", "/v1/messages", {"model": 7})
        self.assertEqual(refused, 400)
        return len(statuses) + 3

    def assertClean(self, where: str, *texts: bytes | str) -> None:
        """Fail where a secret stands."""
        basic = b64encode(f"user:{MARK}-basic".encode()).decode()
        for text in texts:
            readable = text.decode("latin-1") if isinstance(text, bytes) else text
            at = max(readable.find(MARK), readable.find(basic))
            self.assertEqual(at, -1, f"{where}: …{readable[max(at - 80, 0) : at + 80]}…")

    def files(self) -> dict[str, bytes]:
        """Every file beside the proxy, by its name."""
        return {
            str(path): path.read_bytes()
            for path in sorted(self.running.folder.rglob("*"))
            if path.is_file()
        }

    def test_nowhere(self) -> None:
        """Not in the journal, the database, the log, the API, the metrics, nor an export."""
        indexer = self.indexer()
        live = self.watch()
        os.kill(indexer, signal.SIGSTOP)  # so that the journal stays to be read
        try:
            number = self.ask_everything()
            deadline = time.monotonic() + PATIENCE
            while not (journal := self.journal()) or journal.count(PLAIN.encode()) < number:
                self.assertLess(time.monotonic(), deadline, "the journal was not written")
                time.sleep(0.1)
            self.assertClean("the journal", *self.files().values())
        finally:
            os.kill(indexer, signal.SIGCONT)
        records = Records(self.running)
        listed = records.all(number)
        self.assertEqual(len(listed), number)
        details = [records.detail(each["id"]) for each in listed]
        for detail in details:
            text = json.dumps(detail)
            self.assertIn(PLAIN, text)
            self.assertIn("***", text)
            self.assertIn("beta=true", detail["query"])
            self.assertClean(f"the record of {detail['path']}", text)
        self.assertEqual([detail["key"] for detail in details].count("key-1"), number - 1)
        self.assertClean("the log", self.running.log)
        self.assertIn("forward_error", self.running.log)
        self.assertIn(PLAIN.encode(), bytes(live))
        self.assertClean("what is shown live", bytes(live))
        self.assertClean("the metrics", self.text("/metrics"), self.text("/health"))
        self.assertClean("the folder", *self.files().values())
        self.assertClean("the database", *self.database())
        for format in ("jsonl", "har", "csv"):
            written = export(self.running, "--format", format)
            self.assertIn(PLAIN.encode(), written, format)
            self.assertClean(f"the export as {format}", written)
        command = export(self.running, "--format", "curl", details[0]["id"])
        self.assertIn(PLAIN.encode(), command)
        self.assertClean("the command", command)
        # The upstreams had what they were meant to have, and nothing of the others'.
        for asked in self.upstream_.asked:
            sent = json.dumps(asked.headers)
            theirs = "openai" if asked.header("x-custom-secret") else "anthropic"
            self.assertIn(f"{MARK}-{theirs}", sent)
            for word in ("proxy", "cookie", "other", "x-api-key", "api-key", "referer", "wrong"):
                self.assertNotIn(f"{MARK}-{word}", sent)

    def indexer(self) -> int:
        """The process id of the proxy's indexer, which is a child of its."""
        process = self.running.process
        assert process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for path in Path("/proc").glob("[0-9]*/stat"):
                try:
                    parent = path.read_text().rpartition(")")[2].split()[1]
                    command = path.with_name("cmdline").read_bytes()
                except OSError:  # it has just ended
                    continue
                if int(parent) == process.pid and b"clawproxy.store.indexer" in command:
                    return int(path.parent.name)
            time.sleep(0.05)
        raise AssertionError("there is no indexer")

    def watch(self) -> bytearray:
        """Watch ``/api/live``; what has come of it so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port)
        connection.request("GET", "/api/live")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        seen = bytearray()

        def read() -> None:
            # It ends with the proxy.
            with (
                contextlib.closing(connection),
                contextlib.suppress(OSError, http.client.HTTPException),
            ):
                while data := answer.read1():
                    seen.extend(data)

        threading.Thread(target=read, daemon=True).start()
        return seen

    def journal(self) -> bytes:
        """What stands in the journal."""
        return b"".join(data for name, data in self.files().items() if ".journal/" in name)

    def text(self, path: str) -> bytes:
        """The body of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def database(self) -> list[str | bytes]:
        """Every value in the database, uncompressed where it is compressed."""
        packer = Packer()
        values: list[str | bytes] = []
        store = sqlite3.connect(f"file:{self.running.folder / 'clawproxy.db'}?mode=ro", uri=True)
        try:
            names = store.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'search%'"
            )
            for (name,) in names.fetchall():
                for row in store.execute(f'SELECT * FROM "{name}"'):
                    values += [value for value in row if isinstance(value, str | bytes)]
        finally:
            store.close()
        unpacked: list[str | bytes] = []
        for value in values:
            if isinstance(value, bytes):
                # What is not packed, as hashes and manifests are not, is read as it stands.
                with contextlib.suppress(ValueError, zstandard.ZstdError):
                    unpacked.append(packer.unpack(value))
        self.assertIn(PLAIN, "".join(str(value) for value in unpacked))
        return values + unpacked
