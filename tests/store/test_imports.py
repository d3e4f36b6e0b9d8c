"""The recording ancestor's database."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from clawproxy import prices
from clawproxy.store.import_ancestor import AncestorError, entries
from clawproxy.store.imports import INSTANCE, bring
from clawproxy.store.protocol import Filter
from clawproxy.store.sqlite import SQLiteStore

SCHEMA = (
    "CREATE TABLE requests (id TEXT PRIMARY KEY, timestamp DATETIME DEFAULT CURRENT_TIMESTAMP, method TEXT NOT NULL,"
    " endpoint TEXT NOT NULL, headers TEXT NOT NULL, body TEXT NOT NULL, user_agent TEXT, content_type TEXT,"
    " prompt_grade TEXT, response TEXT, model TEXT, original_model TEXT, routed_model TEXT,"
    " created_at DATETIME DEFAULT CURRENT_TIMESTAMP)"
)
CHUNKS = [
    'data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x",'
    '"content":[],"stop_reason":null,"usage":{"input_tokens":7,"output_tokens":1}}}',
    'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"A wading bird."}}',
    'data: {"type":"content_block_stop","index":0}',
    'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}',
    'data: {"type":"message_stop"}',
]


class Ancestor(TestCase):
    """Its rows become exchanges."""

    def setUp(self) -> Any:
        """Make its database and a store."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "requests.db"
        self.db = sqlite3.connect(self.path)
        self.addCleanup(self.db.close)
        self.store = SQLiteStore(self.folder / "test.db")
        self.store.open_now()
        self.addCleanup(self.store.close_now)
        self.bad: list[str] = []

    def add(self, id: str, timestamp: str, body: Any, response: Any, **more: Any) -> None:
        """Add a row as the ancestor writes one."""
        headers = {
            "X-Api-Key": ["sha256:" + "ab" * 32],
            "Content-Type": ["application/json"],
            "X-Claude-Code-Session-Id": ["s-1"],
        }
        row = {
            "id": id,
            "timestamp": timestamp,
            "method": "POST",
            "endpoint": "/v1/messages",
            "headers": json.dumps(headers),
            "body": body if isinstance(body, str) else json.dumps(body),
            "user_agent": "claude-cli/1.0",
            "content_type": "application/json",
            "response": None if response is None else json.dumps(response),
            "model": "claude-x",
            "original_model": "claude-x",
            "routed_model": "claude-x",
            **more,
        }
        marks = ", ".join("?" * len(row))
        self.db.execute(
            f"INSERT INTO requests ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
        )
        self.db.commit()

    async def bring(self) -> tuple[int, int]:
        """Import everything."""
        found = entries(self.path, INSTANCE, self.bad.append)
        return await bring(self.store, found, prices.load(), lambda count: None)

    async def test_rows(self) -> None:
        """A stream, an error, one that never ended, one whose model was another."""
        self.db.execute(SCHEMA)
        asked = {
            "model": "claude-x",
            "messages": [{"role": "user", "content": "What is a heron?"}],
            "stream": True,
        }
        streamed = {
            "statusCode": 200,
            "headers": {"Content-Type": ["text/event-stream"], "Content-Encoding": ["gzip"]},
            "body": {"content": [], "id": "msg_1"},
            "responseTime": 1234,
            "streamingChunks": CHUNKS,
            "isStreaming": True,
            "completedAt": "2025-07-01T10:00:02+02:00",
        }
        self.add("a1", "2025-07-01T10:00:00+02:00", asked, streamed)
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        failed = {
            "statusCode": 529,
            "headers": {"Content-Type": ["application/json"]},
            "bodyText": json.dumps(error),
            "responseTime": 10,
        }
        self.add("a2", "2025-07-01T10:01:00+02:00", {**asked, "stream": False}, failed)
        self.add("a3", "2025-07-01 08:02:00", asked, None, routed_model="gpt-4o")
        self.assertEqual(await self.bring(), (3, 3))
        self.assertEqual(self.bad, [])
        page = await self.store.list(Filter())
        third, second, first = [item.exchange for item in page.items]
        self.assertEqual((first.id, first.started_at), ("ccp_a1", "2025-07-01T08:00:00.000Z"))
        self.assertEqual((first.outcome, first.status, first.duration_ms), ("ok", 200, 1234))
        assert first.usage is not None
        self.assertEqual((first.usage.input_tokens, first.usage.output_tokens), (7, 4))
        self.assertEqual((first.session_id, first.conversation_id), ("s-1", "s-1"))
        self.assertIn(("X-Api-Key", "***"), first.request_headers)
        detail = await self.store.get("ccp_a1")
        assert detail is not None
        self.assertEqual(json.loads(detail.finished or b"")["content"][0]["text"], "A wading bird.")
        self.assertEqual(json.loads(detail.request or b""), asked)
        self.assertEqual(
            (second.outcome, second.status, second.error), ("error", 529, "Overloaded")
        )
        self.assertEqual(
            (third.outcome, third.status, third.provider), ("interrupted", None, "openai")
        )
        self.assertEqual((await self.store.list(Filter(text="wading"))).total, 1)
        self.assertEqual(await self.bring(), (3, 0))

    async def test_odd_rows(self) -> None:
        """One that cannot be read is told, and stops nobody."""
        self.db.execute(SCHEMA)
        self.add("b1", "yesterday", {}, None)
        self.add("b2", "2025-07-01T10:00:00Z", "no JSON", None)
        self.add("b3", "2025-07-01T10:00:00Z", {}, [])
        self.assertEqual(await self.bring(), (1, 1))
        self.assertEqual(
            [words.partition(":")[0] for words in self.bad], ["request b3", "request b1"]
        )
        self.assertEqual(await self.store.body("ccp_b2", "request"), b"no JSON")

    async def test_another_database(self) -> None:
        """A file of somebody else's is said to be none."""
        self.db.execute("CREATE TABLE other (id)")
        self.db.commit()
        with self.assertRaises(AncestorError):
            await self.bring()
        self.path.write_bytes(b"SQLite format 3\0" + b"x" * 100)
        with self.assertRaises(AncestorError):
            await self.bring()
