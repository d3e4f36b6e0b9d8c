"""The API of a real proxy: its records, its doors, its live view, and what becomes of it when its process dies."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from twisted.trial.unittest import SkipTest

from tests.integration.answers import STREAM, anthropic_frames, paced, text, tool_use
from tests.integration.case import ProxyCase
from tests.integration.proxy import PATIENCE, Proxy
from tests.integration.upstream import Answer, Asked
from tests.store import server

T = TypeVar("T")
FRAMES = anthropic_frames(
    [text("A heron is a wading bird."), tool_use("look_up", {"what": "heron"})]
)
R = {
    "id", "request_id", "client_request_id", "started_at", "finished_at", "outcome", "status", "method", "path",
    "dialect", "stream", "provider", "model", "routed_model", "tries", "upstream_request_id", "usage", "cost_usd",
    "ttft_ms", "duration_ms", "request_bytes", "response_bytes", "conversation_id", "session_id", "agent_id",
    "parent_agent_id", "key", "client", "error",
}  # fmt: skip
"""The interface's fields of an exchange."""
WITHIN = 5.0
"""Seconds until a record has to be there; the promise is one, the machine is busy with other tests."""


def asking(words: str, **more: Any) -> bytes:
    """A streaming request."""
    listed = [{"role": "user", "content": words}]
    return json.dumps(
        {"model": "claude-x", "max_tokens": 99, "stream": True, "messages": listed, **more}
    ).encode()


def script(asked: Asked) -> Answer:
    """Answer everything with the same stream."""
    return Answer(list(FRAMES), 200, STREAM)


class Calls:
    """Calls of a proxy's API, blocking and plain."""

    def __init__(self, proxy: Proxy, **headers: str) -> None:
        self.proxy = proxy
        self.headers = headers

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with names in lower case, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=PATIENCE)
        try:
            sent = {
                name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()
            }
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def json(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Any:
        """The JSON of an answer, whatever its status."""
        return json.loads(self.raw(method, path, body, **headers)[2])

    def status(self, path: str, method: str = "GET", **headers: str) -> int:
        """The status of an answer."""
        return self.raw(method, path, None, **headers)[0]

    def ask(self, body: bytes, path: str = "/v1/messages", **headers: str) -> str:
        """Send a request through the proxy, to its end, and give the exchange's id."""
        status, found, _ = self.raw(
            "POST",
            path,
            body,
            content_type="application/json",
            x_api_key="sk-ant-secret",
            **headers,
        )
        assert status == 200, status
        return found["x-clawproxy-id"]


def until(probe: Callable[[], T], within: float = WITHIN) -> T:
    """Ask again and again until the answer is true, and give the last one."""
    end = time.monotonic() + within
    while not (found := probe()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


class ApiCase(ProxyCase):
    """Has a proxy that records."""

    def recording(self, **settings: object) -> Calls:
        """Start a proxy that records into a file."""
        self.up = self.upstream(script)
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        proxy = self.proxy(self.up, settings={"storage.url": "sqlite:records.db", **dotted})
        return Calls(proxy)

    def total(self, calls: Calls, count: int, query: str = "") -> Any:
        """Wait until a list has so many exchanges."""
        page: Any = {}

        def there() -> bool:
            nonlocal page
            page = calls.json("/api/requests" + query)
            found: bool = page.get("total") == count
            return found

        self.assertTrue(until(there), page)
        return page


class Records(ApiCase):
    """What the API says of exchanges."""

    def test_an_exchange(self) -> None:
        """List, detail, exact bytes, events."""
        calls = self.recording()
        body = asking("What is a heron?")
        id = calls.ask(body, "/v1/messages?beta=true&key=abc")
        page = self.total(calls, 1)
        (listed,) = page["requests"]
        self.assertEqual(
            set(listed),
            R,
        )
        self.assertEqual((listed["id"], listed["outcome"], listed["status"]), (id, "ok", 200))
        self.assertEqual(
            (listed["dialect"], listed["stream"], listed["model"]), ("anthropic", True, "claude-x")
        )
        self.assertEqual(listed["usage"]["output_tokens"], 30)
        self.assertIsNone(page["next_cursor"])
        detail = calls.json(f"/api/requests/{id}")
        self.assertEqual(detail["request"], json.loads(body))
        self.assertEqual(detail["response"]["content"][0]["text"], "A heron is a wading bird.")
        headers = {name.lower(): value for name, value in detail["request_headers"]}
        self.assertEqual(headers["x-api-key"], "***")
        self.assertNotIn("sk-ant-secret", json.dumps(detail))
        self.assertNotIn("abc", detail["query"])
        self.assertEqual(calls.json("/api/requests/req_scripted")["id"], id)
        status, kind, sent = calls.raw("GET", f"/api/requests/{id}/request")
        self.assertEqual((status, sent), (200, body))
        self.assertEqual(kind["x-content-type-options"], "nosniff")
        self.assertNotIn("access-control-allow-origin", kind)
        self.assertEqual(calls.raw("GET", f"/api/requests/{id}/response")[2], b"".join(FRAMES))
        events = calls.json(f"/api/requests/{id}/events")
        self.assertEqual("".join(each["data"] for each in events), b"".join(FRAMES).decode())
        times = [each["at_ms"] for each in events]
        self.assertEqual(times, sorted(times))
        self.assertEqual(calls.status(f"/api/requests/{id}/upstream-response"), 404)

    def test_coded_bodies(self) -> None:
        """Exact bytes as they came, and their content on demand."""
        calls = self.recording()
        self.up.script = lambda asked: Answer(
            [gzip.compress(b"".join(FRAMES))], 200, (*STREAM, ("content-encoding", "gzip"))
        )
        body = gzip.compress(asking("Squeezed"))
        id = calls.ask(body, content_encoding="gzip", accept_encoding="gzip")
        self.total(calls, 1)
        detail = calls.json(f"/api/requests/{id}")
        self.assertEqual(detail["request"]["messages"][0]["content"], "Squeezed")
        self.assertEqual(detail["response"]["usage"]["output_tokens"], 30)
        self.assertEqual(calls.raw("GET", f"/api/requests/{id}/request")[2], body)
        decoded = calls.raw("GET", f"/api/requests/{id}/request?decoded=1")[2]
        self.assertEqual(decoded, asking("Squeezed"))
        decoded = calls.raw("GET", f"/api/requests/{id}/response?decoded=1")[2]
        self.assertEqual(decoded, b"".join(FRAMES))
        events = calls.json(f"/api/requests/{id}/events")
        self.assertEqual("".join(each["data"] for each in events), b"".join(FRAMES).decode())

    def test_lists(self) -> None:
        """Pages, filters, search, deletion."""
        calls = self.recording()
        for number in range(5):
            calls.ask(
                asking(f"question number{number} about herons"),
                X_Claude_Code_Session_Id=f"s{number % 2}",
            )
        calls.ask(asking("a stork", tools=[{"name": "look_up"}]))
        self.total(calls, 6)
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = calls.json("/api/requests?limit=4" + (f"&cursor={cursor}" if cursor else ""))
            self.assertEqual(page["total"], 6)
            seen += [each["started_at"] for each in page["requests"]]
            cursor = page["next_cursor"]
        self.assertEqual(seen, sorted(seen, reverse=True))
        self.assertEqual(len(seen), 6)
        for query, count in (
            ("session=s1", 2),
            ("q=herons", 5),
            ("q=" + quote('"number3 about"'), 1),
            ("q=wading", 6),
            ("tool=look_up", 6),
            ("outcome=error", 0),
            ("status=200&provider=anthropic&model=claude-x&dialect=anthropic", 6),
            ("since=1h", 6),
            ("until=2020-01-01T00:00:00Z", 0),
            ("conversation=s0", 3),
            ("kind=turn", 6),
            ("model=", 6),
        ):
            self.assertEqual(calls.json(f"/api/requests?{query}")["total"], count, query)
        self.assertEqual(calls.json("/api/requests?session=s0", "DELETE"), {"deleted": 3})
        self.assertEqual(calls.json("/api/requests")["total"], 3)
        self.assertEqual(calls.json("/api/requests?q=number0")["total"], 0)
        self.assertEqual(calls.json("/api/requests", "DELETE"), {"deleted": 3})
        self.total(calls, 0)

    def test_bad_parameters(self) -> None:
        """Each is refused with what was found and what was expected; a misspelled filter deletes nothing."""
        calls = self.recording()
        calls.ask(asking("hi"))
        self.total(calls, 1)
        for query in (
            "limit=0",
            "limit=x",
            "limit=1&limit=2",
            "cursor=x",
            "status=9",
            "outcome=fine",
            "since=yesterday",
            "dialect=klingon",
            "modle=x",
            "q=%20",
            "model=%00",
        ):
            status, _, body = calls.raw("GET", f"/api/requests?{query}")
            self.assertEqual(status, 400, query)
            error = json.loads(body)["error"]
            self.assertIn("found", error["message"])
            self.assertTrue(error["expected"], query)
        self.assertIn("model", calls.json("/api/requests?modle=x")["error"]["expected"])
        for query in ("modle=x", "model=", "limit=1"):
            self.assertEqual(calls.status(f"/api/requests?{query}", "DELETE"), 400, query)
        self.assertEqual(calls.json("/api/requests")["total"], 1)
        self.assertEqual(calls.status("/api/requests/nobody"), 404)
        self.assertEqual(calls.status("/api/nothing"), 404)
        self.assertEqual(calls.status("/api/requests", "PUT"), 405)
        self.assertEqual(calls.status("/api/requests/x/events?side=up"), 400)

    def test_conversations_and_figures(self) -> None:
        """Turns of a session are one conversation; figures add up."""
        calls = self.recording()
        session = {"X_Claude_Code_Session_Id": "0b5a9f4e-7a44"}
        calls.ask(asking("What is a heron?"), **session)
        answer = [text("A heron is a wading bird."), tool_use("look_up", {"what": "heron"})]
        history = [
            {"role": "user", "content": "What is a heron?"},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "And a stork?"},
        ]
        calls.ask(asking("", messages=history), **session)
        calls.ask(asking("Look for storks."), X_Claude_Code_Agent_Id="a1", **session)
        self.total(calls, 3)
        page = calls.json("/api/conversations")
        (summary,) = page["conversations"]
        self.assertEqual(
            (summary["id"], summary["requests"], page["total"]), ("0b5a9f4e-7a44", 3, 1)
        )
        self.assertEqual(summary["title"], "What is a heron?")
        tree = calls.json("/api/conversations/0b5a9f4e-7a44")
        words = json.dumps(tree)
        for said in ("What is a heron?", "And a stork?", "Look for storks."):
            self.assertEqual(words.count(said), 1, said)
        (thread,) = tree["threads"]
        self.assertEqual(
            [each["role"] for each in thread["messages"]],
            ["user", "assistant", "user", "assistant"],
        )
        self.assertEqual([each["agent_id"] for each in thread["children"]], ["a1"])
        self.assertEqual(calls.status("/api/conversations/nobody"), 404)
        figures = calls.json("/api/stats")
        self.assertEqual((figures["total"]["requests"], figures["total"]["output_tokens"]), (3, 90))
        self.assertEqual([each["requests"] for each in figures["by_hour"]], [3])
        self.assertEqual(
            {each["agent_id"]: each["requests"] for each in figures["by_agent"]}, {None: 2, "a1": 1}
        )
        self.assertGreater(figures["total"]["duration_ms"]["p50"], 0)
        only = calls.json("/api/stats?by=model&since=1h")
        self.assertEqual([each["model"] for each in only["by_model"]], ["claude-x"])
        self.assertNotIn("by_hour", only)
        self.assertEqual(calls.status("/api/stats?by=moon"), 400)

    def test_sent_again(self) -> None:
        """As it was and edited; a child of the first, with no secret of it."""
        calls = self.recording(
            auth__api_keys="[proxy-key]", providers__anthropic__api_key="sk-upstream"
        )
        _, found, _ = calls.raw(
            "POST",
            "/v1/messages",
            asking("once"),
            content_type="application/json",
            x_api_key="proxy-key",
            anthropic_beta="some-beta",
        )
        first = found["x-clawproxy-id"]
        self.total(calls, 1)
        status, found, answer = calls.raw("POST", "/api/send", json.dumps({"id": first}).encode())
        self.assertEqual((status, answer), (200, b"".join(FRAMES)))
        edited = {"id": first, "model": "claude-y", "headers": {"x-mark": "1"}}
        self.assertEqual(calls.raw("POST", "/api/send", json.dumps(edited).encode())[0], 200)
        own = {"request": json.loads(asking("new")), "path": "/v1/messages"}
        self.assertEqual(calls.raw("POST", "/api/send", json.dumps(own).encode())[0], 200)
        self.total(calls, 4)
        again = calls.json(f"/api/requests/{found['x-clawproxy-id']}")
        self.assertEqual(again["parent_id"], first)
        self.assertEqual(
            [each.json["model"] for each in self.up.asked],
            ["claude-x", "claude-x", "claude-y", "claude-x"],
        )
        self.assertEqual(self.up.asked[1].header("anthropic-beta"), "some-beta")
        self.assertEqual(self.up.asked[2].header("x-mark"), "1")
        for each in self.up.asked:
            self.assertEqual(each.header("x-api-key"), "sk-upstream")
            self.assertIsNone(each.header("api-key"))
        for wrong in (
            b"{}",
            b"[]",
            b'{"id":"x","path":"/etc/passwd"}',
            b'{"request":{},"path":"/ui/"}',
        ):
            self.assertIn(calls.raw("POST", "/api/send", wrong)[0], (400, 404), wrong)
        self.assertEqual(calls.raw("POST", "/api/send", b'{"id":"nobody"}')[0], 404)
        foreign = calls.raw("POST", "/api/send", b"{}", origin="http://evil.example")
        self.assertEqual(foreign[0], 403)


class Doors(ApiCase):
    """Who is let in, by a real proxy."""

    def test_without_a_password(self) -> None:
        """This machine, by its own names, and no page of another."""
        calls = self.recording()
        self.assertEqual(calls.status("/api/requests"), 200)
        self.assertEqual(calls.status("/api/requests", Host="[::1]:80"), 200)
        self.assertEqual(calls.status("/api/requests", Host="evil.example"), 403)
        self.assertEqual(calls.status("/api/requests", Origin="https://evil.example"), 403)
        self.assertEqual(calls.status("/api/requests", "DELETE", Origin="null"), 403)
        self.assertEqual(calls.status("/api/requests", X_Forwarded_For="203.0.113.1"), 403)
        own = f"http://127.0.0.1:{calls.proxy.port}"
        self.assertEqual(calls.status("/api/requests", "DELETE", Origin=own), 200)
        status, headers, _ = calls.raw("OPTIONS", "/api/requests", Origin="https://evil.example")
        self.assertEqual(status, 403)
        self.assertNotIn("access-control-allow-origin", headers)

    def test_with_a_password(self) -> None:
        """A login or the password itself; too many wrong ones wait."""
        calls = self.recording(dashboard__password="open-sesame")
        self.assertEqual(calls.status("/api/requests"), 401)
        self.assertEqual(calls.status("/api/live"), 401)
        self.assertEqual(calls.status("/api/requests", Authorization="Bearer open-sesame"), 200)
        self.assertEqual(
            calls.status("/api/requests", Authorization="Bearer open-sesame", Host="proxy.example"),
            200,
        )
        status, headers, _ = calls.raw(
            "POST",
            "/ui/login",
            b"password=open-sesame",
            content_type="application/x-www-form-urlencoded",
        )
        self.assertEqual((status, headers["location"]), (303, "/ui/"))
        cookie = headers["set-cookie"].partition(";")[0]
        self.assertIn("HttpOnly; SameSite=Strict", headers["set-cookie"])
        self.assertEqual(calls.status("/api/requests", Cookie=cookie), 200)
        found = [calls.status("/api/requests", Authorization="Bearer wrong") for _ in range(12)]
        self.assertEqual(set(found), {401, 429})
        self.assertEqual(calls.status("/api/requests", Cookie=cookie), 200)
        self.assertNotIn("open-sesame", calls.proxy.log)

    def test_switched_off(self) -> None:
        """Then nothing is there."""
        calls = self.recording(dashboard__enabled="false")
        self.assertEqual(calls.status("/api/requests"), 404)
        self.assertEqual(calls.status("/ui/"), 404)


class Faults(ApiCase):
    """What may go wrong beside the streams."""

    def reader_pid(self, calls: Calls) -> int:
        """The process id of the proxy's reader."""
        assert calls.proxy.process is not None
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes()
                    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                except OSError:
                    continue
                if b"clawproxy.store.reader" in words and int(parent) == calls.proxy.process.pid:
                    return int(entry.name)
        raise AssertionError("there is no reader")

    def test_a_reader_that_dies(self) -> None:
        """It is started again, and streams do not notice."""
        calls = self.recording()
        self.assertEqual(calls.status("/api/requests"), 200)
        os.kill(self.reader_pid(calls), signal.SIGKILL)
        calls.ask(asking("still here"))
        self.assertTrue(until(lambda: calls.status("/api/requests") == 200, 20))
        self.total(calls, 1)

    def test_a_reader_dies_with_its_proxy(self) -> None:
        """Even if the proxy is killed."""
        calls = self.recording()
        self.assertEqual(calls.status("/api/requests"), 200)
        pid = self.reader_pid(calls)
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        [socket] = [word.partition(b"=")[2] for word in words if word.startswith(b"--socket=")]
        folder = Path(os.fsdecode(socket)).parent
        self.assertTrue(folder.is_dir())
        calls.proxy.signal(signal.SIGKILL)
        calls.proxy.wait()

        def gone() -> bool:
            stat = Path(f"/proc/{pid}/stat")
            return not stat.exists() or ") Z " in stat.read_text()

        self.assertTrue(until(gone))
        self.assertFalse(folder.exists(), "the reader's folder was left behind")

    def test_leaving_does_not_wait_for_watchers(self) -> None:
        """A page that is left open holds up no restart."""
        calls = self.recording()
        connection = http.client.HTTPConnection("127.0.0.1", calls.proxy.port, timeout=PATIENCE)
        connection.request("GET", "/api/live")
        self.assertEqual(connection.getresponse().status, 200)
        self.assertEqual(calls.status("/api/requests"), 200)
        calls.proxy.signal()
        self.assertEqual(calls.proxy.wait(20), 0)
        connection.close()

    def test_nothing_recorded(self) -> None:
        """The API says so; what needs no record answers."""
        up = self.upstream(script)
        calls = Calls(self.proxy(up))
        self.assertEqual(calls.status("/api/requests"), 503)
        self.assertEqual(calls.status("/api/status"), 200)


def events_of(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """The events of a live view, as they come."""
    name = ""
    while line := answer.readline().decode():
        if line.startswith("event: "):
            name = line.removeprefix("event: ").rstrip()
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


class Live(ApiCase):
    """The live view of a real proxy."""

    def test_a_stream(self) -> None:
        """The text grows while it comes."""
        calls = self.recording()
        self.up.script = lambda asked: Answer(paced(FRAMES, 0.1), 200, STREAM)
        connection = http.client.HTTPConnection("127.0.0.1", calls.proxy.port, timeout=PATIENCE)
        connection.request("GET", "/api/live")
        answer = connection.getresponse()
        id = calls.ask(asking("hi"))
        seen: list[tuple[str, Any]] = []
        for each in events_of(answer):
            seen.append(each)
            if each[0] == "finished":
                break
        connection.close()
        self.assertEqual({each["id"] for _, each in seen}, {id})
        self.assertEqual(seen[0][0], "started")
        growing = [each["text"] for name, each in seen if name == "progress"]
        self.assertGreater(len(growing), 2)
        self.assertEqual(growing[-1], "A heron is a wading bird.")
        for earlier, later in pairwise(growing):
            self.assertTrue(later.startswith(earlier))
        self.assertEqual(seen[-1][1]["outcome"], "ok")


class Shared(ApiCase):
    """Two proxies on one PostgreSQL."""

    def setUp(self) -> None:
        """Have a server."""
        super().setUp()
        try:
            self.url = server.url()
        except RuntimeError as error:
            raise SkipTest(str(error)) from None
        server.execute("DROP SCHEMA IF EXISTS clawproxy CASCADE")
        self.up = self.upstream(script)

    def started(self, name: str) -> Calls:
        """Start a proxy that records there."""
        settings = {"storage.url": self.url, "storage.journal": "journal"}
        return Calls(self.proxy(self.up, settings=settings, name=name))

    def test_records(self) -> None:
        """The API answers for both."""
        first, second = self.started("first"), self.started("second")
        ids = {
            calls.ask(asking(f"question {number}")) for number, calls in enumerate((first, second))
        }
        for calls in (first, second):
            page = self.total(calls, 2)
            self.assertEqual({each["id"] for each in page["requests"]}, ids)
        self.assertEqual(first.json("/api/requests?q=" + quote('"question 1"'))["total"], 1)
        self.assertEqual(first.json("/api/stats")["total"]["requests"], 2)
        self.assertEqual(first.json("/api/conversations")["total"], 2)
        (id, *_) = ids
        self.assertEqual(second.raw("GET", f"/api/requests/{id}/response")[2], b"".join(FRAMES))
        self.assertEqual(second.json("/api/requests", "DELETE"), {"deleted": 2})
        self.total(first, 0)

    def test_live(self) -> None:
        """Whoever watches one proxy sees the other's traffic, and each exchange once."""
        first, second = self.started("first"), self.started("second")
        connection = http.client.HTTPConnection("127.0.0.1", first.proxy.port, timeout=PATIENCE)
        connection.request("GET", "/api/live")
        seen = events_of(connection.getresponse())
        self.assertEqual(first.status("/api/requests"), 200)
        time.sleep(2)  # until the reader listens: nothing tells that from outside
        theirs = second.ask(asking("theirs"))
        name, each = next(seen)
        while name != "finished":
            self.assertEqual(each["id"], theirs)
            name, each = next(seen)
        self.assertEqual((each["id"], each["outcome"]), (theirs, "ok"))
        ours = first.ask(asking("ours"))
        time.sleep(1)
        later = second.ask(asking("later"))
        names = []
        for name, each in seen:
            names.append((name, each["id"]))
            if (name, each["id"]) == ("finished", later):
                break
        connection.close()
        self.assertEqual(
            [name for name, id in names if id == ours and name != "progress"],
            ["started", "finished"],
        )

    def test_a_server_that_goes_away(self) -> None:
        """The API says so, and answers again when it is back."""
        calls = self.started("only")
        self.assertEqual(calls.status("/api/requests"), 200)
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        self.assertTrue(until(lambda: calls.status("/api/requests") == 200))
        calls.ask(asking("still here"))
        self.total(calls, 1)
