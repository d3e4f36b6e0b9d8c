"""Exchanges shown as they happen, in a proxy in memory."""

from __future__ import annotations

import json
from typing import Any

from clawproxy.dashboard import live
from clawproxy.testing import MemoryProxy
from tests.dashboard.livecase import HEAD, LiveCase, delta, unchunked


class Watching(LiveCase):
    """What a watcher sees."""

    def test_a_stream(self) -> None:
        """Its start, its text so far, its end."""
        watcher = self.watch()
        _, upstream = self.ask()
        ((name, started),) = self.events(watcher.read())
        self.assertEqual(
            (name, started["outcome"], started["model"]), ("started", "running", "claude-x")
        )
        upstream.write(HEAD + delta("Good "))
        upstream.write(delta("day"))
        self.assertEqual(watcher.read(), b"")
        self.proxy.advance(live.ROUND)
        ((name, progress),) = self.events(watcher.read())
        self.assertEqual(
            (name, progress["id"], progress["text"]), ("progress", started["id"], "Good day")
        )
        upstream.write(delta(", sir"))
        self.finish(upstream)
        (_, progress), (name, finished) = self.events(watcher.read())
        self.assertEqual(progress["text"], "Good day, sir")
        self.assertEqual(
            (name, finished["id"], finished["outcome"]), ("finished", started["id"], "ok")
        )
        self.proxy.advance(1)
        self.assertEqual(watcher.read(), b"")

    def test_what_is_under_way(self) -> None:
        """Whoever comes later is shown it at once, and its text from then on."""
        _, upstream = self.ask()
        upstream.write(HEAD + delta("unseen "))
        watcher = self.watch()
        self.assertEqual([name for name, _ in self.first], ["started"])
        upstream.write(delta("seen"))
        self.proxy.advance(live.ROUND)
        ((_, progress),) = self.events(watcher.read())
        self.assertEqual(progress["text"], "seen")
        # The bytes before are not told; they can be asked for.
        self.assertEqual(progress["since"], len(unchunked(delta("unseen "))))

    def test_what_others_have_seen(self) -> None:
        """Whoever comes later is told the text that is known."""
        self.watch()
        _, upstream = self.ask()
        upstream.write(HEAD + delta("Good day"))
        self.proxy.advance(live.ROUND)
        later = self.watch()
        self.proxy.advance(live.ROUND)
        ((name, progress),) = self.events(later.read())
        self.assertEqual((name, progress["text"], progress["since"]), ("progress", "Good day", 0))

    def test_nobody_watches(self) -> None:
        """Then nothing is read, and nothing kept."""
        board = self.proxy.assembly.board
        (shown,) = [each for each in board.observers if isinstance(each, live.Live)]
        self.assertFalse(board.watched)
        watcher = self.watch()
        self.assertTrue(board.watched)
        _, upstream = self.ask()
        upstream.write(HEAD + delta("text"))
        watcher.leave()
        self.assertFalse(board.watched)
        self.assertEqual((shown.watchers, shown._streams, shown._fresh), (0, {}, {}))
        upstream.write(delta("more"))
        self.finish(upstream)
        self.assertEqual(self.proxy.exchanges[-1].outcome, "ok")
        self.assertEqual((shown._round, shown._beat), (None, None))

    def test_a_heartbeat(self) -> None:
        """Silence is told from a dead connection."""
        watcher = self.watch()
        self.proxy.advance(live.HEARTBEAT + 1)
        self.assertIn(b": still here", watcher.read())

    def test_too_many(self) -> None:
        """There is a bound."""
        self.patch(live, "WATCHERS", 1)
        self.watch()
        self.assertIn(b"503", self.get("/api/live").read())

    def test_one_round_reads_only_so_much(self) -> None:
        """However much many streams bring at once, the rest waits for the next round."""
        self.patch(live, "ROUND_BYTES", 1)
        watcher = self.watch()
        upstreams = [self.ask()[1] for _ in range(3)]
        watcher.read()
        for upstream in upstreams:
            upstream.write(HEAD + delta("text"))
        for _ in upstreams:
            self.proxy.reactor.advance(live.ROUND)
            self.assertEqual([name for name, _ in self.events(watcher.read())], ["progress"])


class Doors(LiveCase):
    """What the proxy's own process answers."""

    def status(self, path: str, headers: bytes = b"") -> int:
        """The status of an answer."""
        return int(self.get(path, headers).read().split()[1])

    def test_status(self) -> None:
        """The proxy's own facts."""
        head, _, body = self.get("/api/status").read().partition(b"\r\n\r\n")
        found = json.loads(body)
        self.assertEqual((found["draining"], found["in_flight"]), (False, 0))
        self.assertIn({"name": "demo", "kind": "demo", "circuit": "closed"}, found["providers"])
        self.assertNotIn(b"access-control", head.lower())

    def test_no_approvals(self) -> None:
        """Without a gateway there are none."""
        _, _, body = self.get("/api/approvals").read().partition(b"\r\n\r\n")
        self.assertEqual(json.loads(body), {"approvals": []})

    def test_nothing_recorded(self) -> None:
        """What needs records says that there are none."""
        self.assertEqual(self.status("/api/requests"), 503)

    def test_refused(self) -> None:
        """Foreign pages and names."""
        self.assertEqual(self.status("/api/status", b"Origin: http://evil.example\r\n"), 403)
        self.assertEqual(self.status("/api/live", b"Sec-Fetch-Site: cross-site\r\n"), 403)
        caller = self.proxy.caller()
        caller.write(b"GET /api/status HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        self.assertIn(b" 403 ", caller.read())

    def test_not_in_flight(self) -> None:
        """A watcher does not hold up a drain."""
        self.watch()
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)


class Login(LiveCase):
    """Getting in with a password."""

    def setUp(self) -> None:
        """Start a proxy with a password."""
        self.proxy = MemoryProxy("dashboard.password=open sesame")
        reactor: Any = self.proxy.reactor
        reactor.getThreadPool = _Now
        reactor.callFromThread = lambda function, *arguments: function(*arguments)

    def post(self, path: str, body: bytes, headers: bytes = b"") -> bytes:
        """Send a form from a page of this server."""
        caller = self.proxy.caller()
        caller.write(
            b"POST %s HTTP/1.1\r\nHost: proxy.example\r\nOrigin: http://proxy.example\r\n%s"
            b"Content-Length: %d\r\n\r\n%s" % (path.encode(), headers, len(body), body)
        )
        return caller.read()

    def test_form(self) -> None:
        """A login, a page, a logout."""
        form = self.get("/ui/login?next=/ui/x").read()
        self.assertIn(b'value="/ui/x"', form)
        self.assertIn(b"frame-ancestors 'none'", form)
        wrong = self.post("/ui/login", b"password=barley&next=/ui/x")
        self.assertIn(b" 401 ", wrong)
        self.assertIn(b"not the password", wrong)
        right = self.post("/ui/login", b"password=open+sesame&next=//evil.example")
        self.assertIn(b" 303 ", right)
        self.assertIn(b"Location: /ui/\r\n", right)
        cookie = right.partition(b"Set-Cookie: ")[2].partition(b";")[0]
        header = b"Cookie: " + cookie + b"\r\n"
        self.assertIn(b" 200 ", self.get("/api/status", header).read())
        self.assertIn(b" 303 ", self.post("/ui/logout", b"", header))
        self.assertIn(b" 401 ", self.get("/api/status", header).read())

    def test_program(self) -> None:
        """JSON is answered with JSON."""
        kind = b"Content-Type: application/json\r\n"
        self.assertIn(b'{"ok":true}', self.post("/api/login", b'{"password":"open sesame"}', kind))
        self.assertIn(b" 401 ", self.post("/api/login", b'{"password":"x"}', kind))
        self.assertIn(b" 400 ", self.post("/api/login", b"{", kind))

    def test_pages_lead_to_the_login(self) -> None:
        """And calls of the API say 401."""
        page = self.get("/ui/exchanges?model=x").read()
        self.assertIn(b"Location: /ui/login?next=%2Fui%2Fexchanges%3Fmodel%3Dx\r\n", page)
        answer = self.get("/api/status").read()
        self.assertIn(b" 401 ", answer)
        self.assertIn(b"WWW-Authenticate: Bearer", answer)
        self.assertIn(
            b" 200 ", self.get("/api/status", b"Authorization: Bearer open sesame\r\n").read()
        )

    def test_a_foreign_form(self) -> None:
        """Nobody is logged in from elsewhere."""
        caller = self.proxy.caller()
        body = b"password=open+sesame"
        caller.write(
            b"POST /ui/login HTTP/1.1\r\nHost: proxy.example\r\nOrigin: https://evil.example\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.assertIn(b" 403 ", caller.read())


class _Now:
    """A thread pool that works at once."""

    def callInThreadWithCallback(self, done: Any, function: Any, *arguments: Any) -> None:
        """Work now."""
        done(True, function(*arguments))
