"""Lists of records, deleting them, and what outlives the process."""

from __future__ import annotations

import re
import signal
import time

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, ask, message, parsed, post
from tests.acceptance.case import AcceptanceCase
from tests.acceptance.program import Program, run
from tests.acceptance.test_records import EVENTS, R, RecordCase, event
from tests.acceptance.upstream import End, answer, stream


class ListTests(RecordCase):
    def test_pages(self) -> None:
        """`{"requests":[R…],"next_cursor":null|"…","total":N}`, newest first."""
        model = f"claude-page-{time.time()}"
        ids = [self.made(message(model))[1]["id"] for _ in range(5)]
        listing = parsed(self.get(f"/api/requests?model={model}"))
        self.assertEqual(listing.keys(), {"requests", "next_cursor", "total"})
        self.assertEqual([each["id"] for each in listing["requests"]], ids[::-1])
        self.assertEqual((listing["total"], listing["next_cursor"]), (5, None))
        self.assertEqual(listing["requests"][0].keys(), R)
        found: list[str] = []
        cursor = ""
        for expected in (2, 2, 1):
            page = parsed(self.get(f"/api/requests?model={model}&limit=2{cursor}"))
            self.assertEqual((len(page["requests"]), page["total"]), (expected, 5))
            found += [each["id"] for each in page["requests"]]
            cursor = f"&cursor={page['next_cursor']}"
        self.assertIsNone(page["next_cursor"])
        self.assertEqual(found, ids[::-1])
        everything = parsed(self.get("/api/requests?limit=3"))
        self.assertEqual([each["id"] for each in everything["requests"]], ids[:1:-1])

    def test_deleting(self) -> None:
        """`DELETE /api/requests` (same filters) → `{"deleted":N}`."""
        model = f"claude-delete-{time.time()}"
        kept = self.made(message())[1]["id"]
        gone = [self.made(message(model))[1]["id"] for _ in range(3)]
        reply = ask(self.port, "DELETE", f"/api/requests?model={model}")
        self.assertEqual((reply.status, parsed(reply)), (200, {"deleted": 3}))
        for id in gone:
            self.assertEqual(self.get(f"/api/requests/{id}").status, 404)
        self.assertEqual(self.get(f"/api/requests/{kept}").status, 200)

    def test_deleting_what_has_just_finished(self) -> None:
        """Nobody waits for the store first."""
        model = f"claude-delete-{time.time()}"
        for _ in range(3):
            post(self.port, "/v1/messages", message(model), self.KEY)
        reply = ask(self.port, "DELETE", f"/api/requests?model={model}")
        self.assertEqual((reply.status, parsed(reply)), (200, {"deleted": 3}))

    def test_a_filter_that_is_not_known(self) -> None:
        """A misspelled filter does not delete everything."""
        self.made(message())
        self.assertEqual(ask(self.port, "DELETE", "/api/requests?modle=x").status, 400)
        self.assertGreater(parsed(self.get("/api/requests"))["total"], 0)
        for query in ("limit=0", "limit=x", "limit=-1", "cursor=nonsense"):
            self.assertEqual(self.get(f"/api/requests?{query}").status, 400)

    def test_operations_are_not_recorded(self) -> None:
        before = parsed(self.get("/api/requests"))["total"]
        for path in ("/health", "/livez", "/metrics", "/openapi.json", "/api/requests", "/"):
            self.get(path)
        self.made(message())
        self.assertEqual(parsed(self.get("/api/requests"))["total"], before + 1)


class RestartTests(AcceptanceCase):
    def test_what_a_crash_interrupted(self) -> None:
        """`interrupted`: what was running when the process died."""
        upstream = self.upstream()
        upstream.answers(stream(*EVENTS[:4], End.HANG))
        config = {
            "providers": {"anthropic": {"base_url": upstream.url}},
            "storage": {"url": "sqlite:records.db"},
        }
        proxy = self.program(config)
        with Connection(proxy.port) as caller:
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            caller.until(b"there")
            found = re.search(rb"x-clawproxy-id: (\S+)", caller.data, re.IGNORECASE)
            assert found is not None
            # The journal is written in batches.
            time.sleep(0.5)
            proxy.signal(signal.SIGKILL)
            proxy.wait()
        again = self.stack.enter_context(Program(proxy.folder))
        target = f"/api/requests/{found[1].decode()}"

        def interrupted() -> bool:
            reply = ask(again.port, "GET", target)
            return reply.status == 200 and parsed(reply)["outcome"] == "interrupted"

        self.eventually(interrupted, 20)
        self.assertIn("ended", parsed(ask(again.port, "GET", target))["error"])
        body = ask(again.port, "GET", f"{target}/response").body
        self.assertEqual(body, b"".join(EVENTS[:4]))

    def test_what_a_drain_cut(self) -> None:
        """`cut`: what the drain's ceiling ended."""
        upstream = self.upstream()
        upstream.answers(stream(*EVENTS[:4], End.HANG))
        config = {
            "server": {"drain": {"timeout": 0}},
            "providers": {"anthropic": {"base_url": upstream.url}},
            "storage": {"url": "sqlite:records.db"},
        }
        proxy = self.program(config)
        with Connection(proxy.port) as caller:
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            caller.until(b"there")
            proxy.signal()
            cut = caller.reply()
        self.assertEqual((proxy.wait(), cut.whole), (1, False))
        again = self.stack.enter_context(Program(proxy.folder))
        target = f"/api/requests/{cut['x-clawproxy-id']}"
        self.eventually(lambda: ask(again.port, "GET", target).status == 200, 20)
        record = parsed(ask(again.port, "GET", target))
        self.assertEqual((record["outcome"], record["status"]), ("cut", 200))
        self.assertEqual(ask(again.port, "GET", f"{target}/response").body, cut.body)
        # Without a filter, everything goes.
        self.assertEqual(parsed(ask(again.port, "DELETE", "/api/requests")), {"deleted": 1})
        self.assertEqual(parsed(ask(again.port, "GET", "/api/requests"))["total"], 0)

    def test_no_text_is_kept(self) -> None:
        """`bodies: metadata`: no prompt or answer text is kept, nor what an error repeats of it."""
        upstream = self.upstream()
        config = {
            "providers": {"anthropic": {"base_url": upstream.url}},
            "storage": {"url": "sqlite:records.db", "bodies": "metadata"},
        }
        proxy = self.program(config)
        said = b"hush-hush"
        words = {"type": "invalid_request_error", "message": "cannot do hush-hush"}
        told = event("error", error=words)
        delta = {"type": "text_delta", "text": "hush-hush"}
        piece = event("content_block_delta", index=0, delta=delta)
        ask_it = {**message(stream=True), "system": "hush-hush"}
        answers = (
            stream(*EVENTS[:2], piece, 0.4, *EVENTS[4:]),
            stream(EVENTS[0], told),
            answer({"type": "error", "error": words}, 400),
        )
        errors: list[str | None] = []
        with Connection(proxy.port) as watcher:
            watcher.send("GET", "/api/live")
            for script in answers:
                upstream.answers(script)
                reply = post(proxy.port, "/v1/messages", ask_it, ANTHROPIC)
                self.assertIn(said, reply.body)
                target = f"/api/requests/{reply['x-clawproxy-id']}"
                self.eventually(
                    lambda target=target: (  # type: ignore[misc]
                        parsed(ask(proxy.port, "GET", target)).get("outcome")
                        not in (None, "running")
                    )
                )
                record = parsed(ask(proxy.port, "GET", target))
                self.assertIsNone(record["request"])
                self.assertIsNone(record["response"])
                errors.append(record["error"])
                watcher.until(b'"outcome":"error"' if errors[-1] else b"event: progress")
            self.assertNotIn(said, watcher.data)
        self.assertEqual([bool(error) for error in errors], [False, True, True])
        self.assertNotIn("hush", str(errors))
        for target in ("/api/requests", "/api/conversations", "/ui/"):
            self.assertNotIn(said, ask(proxy.port, "GET", target).body)
        self.assertEqual(run("clawproxy", "export", folder=proxy.folder).stdout.count("hush"), 0)
        for file in proxy.folder.rglob("*"):
            if file.is_file():
                self.assertNotIn(said, file.read_bytes(), file)

    def test_without_a_store(self) -> None:
        """`none` keeps nothing, and proxies all the same."""
        upstream = self.upstream()
        config = {
            "providers": {"openai": {"base_url": upstream.url}},
            "storage": {"url": "none"},
        }
        proxy = self.program(config)
        reply = post(proxy.port, "/v1/chat/completions", message("gpt-x"), OPENAI)
        self.assertEqual(reply.status, 200)
        self.assertEqual(ask(proxy.port, "GET", "/health").status, 200)
        names = {each.name for each in proxy.folder.iterdir()}
        self.assertEqual(names, {"clawproxy.yaml", "output.log"})
