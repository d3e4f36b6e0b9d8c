"""What the log says, in both formats: of exchanges, of failed forwards, and never of secrets."""

from __future__ import annotations

import io
import json
import re
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config import load
from clawproxy.config.model import LogConfig
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.record import Client, Exchange, Usage
from clawproxy.log import ACCESS_DELAY, Observer, json_line, stream_of, text_line
from clawproxy.relay.accesslog import AccessLine
from clawproxy.testing import MemoryProxy
from clawproxy.upstream.demo import DemoProvider
from tests.wire import OK, STREAM_HEAD, chunk

LINE = re.compile(
    r"^forward_error request_id=(?P<request_id>[A-Za-z0-9._-]+) provider=(?P<provider>\S+)"
    r" model=(?P<model>\S+) stream=(?P<stream>true|false) body_bytes=(?P<body_bytes>\d+)"
    r' has_thinking=(?P<has_thinking>true|false) anthropic_beta="(?P<anthropic_beta>[^"]*)"'
    r' query="(?P<query>[^"]*)" elapsed=(?P<elapsed>\d+\.\d{3})s'
    r" phase=(?P<phase>connect|headers|body) client=(?P<client>connected|gone)"
    r' error="(?P<error>(?:[^"\\]|\\.)*)"$'
)


def exchange(**fields: Any) -> Exchange:
    """Make a finished exchange."""
    known: dict[str, Any] = {
        "id": "cp_1",
        "request_id": "req_1",
        "client_request_id": None,
        "started_at": "2025-11-21T00:00:00.000Z",
        "method": "POST",
        "path": "/v1/messages",
        "query": "",
        "dialect": "anthropic",
        "request_bytes": 10,
        "client": Client("127.0.0.1", None),
        "status": 200,
        "outcome": "ok",
        "model": "claude-x",
        "provider": "anthropic",
        "ttft_ms": 12.34,
        "duration_ms": 56.78,
        "response_bytes": 20,
    }
    return Exchange(**{**known, **fields})


class ObserverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()

    def observer(self, **settings: str) -> Observer:
        sets = [f"log.{name}={value}" for name, value in settings.items()]
        config: LogConfig = load(sets=sets, environ={}).config.log
        return Observer(config, self.stream, self.clock)

    def lines(self) -> list[str]:
        text = self.stream.getvalue()
        self.assertTrue(text == "" or text.endswith("\n"))
        return text.splitlines()

    def logger(self, observer: Observer) -> Logger:
        return Logger(namespace="test", observer=observer)

    def test_text(self) -> None:
        log = self.logger(self.observer())
        log.info("number {number}", number=7)
        [line] = self.lines()
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT.* \[test#info\] number 7$")

    def test_level(self) -> None:
        observer = self.observer(level="warn")
        log = self.logger(observer)
        log.info("one")
        observer.access(exchange())
        self.clock.advance(ACCESS_DELAY)
        log.warn("two")
        observer.change_level("info")
        log.info("three")
        observer.access(exchange())
        self.clock.advance(ACCESS_DELAY)
        words = [line.rpartition("] ")[2] for line in self.lines()]
        self.assertEqual(words[:2], ["two", "three"])
        self.assertEqual(len(words), 3)

    def test_json(self) -> None:
        log = self.logger(self.observer(format="json"))
        log.info("number {number}", number=7, other=object(), text='a "b"\n')
        log.failure("bad", Failure(ValueError("no")))
        first, second = [json.loads(line) for line in self.lines()]
        self.assertEqual(
            (first["message"], first["level"], first["logger"], first["number"]),
            ("number 7", "info", "test", 7),
        )
        self.assertEqual(first["text"], 'a "b"\n')
        self.assertIn("object", first["other"])
        self.assertEqual(second["level"], "critical")
        self.assertIn("ValueError: no", second["traceback"])

    def test_json_of_odd_events(self) -> None:
        odd: list[Any] = [
            {},
            {"log_format": "{missing}", "log_level": LogLevel.info},
            {"log_format": "{a!r}", "a": b"\xff", "log_level": LogLevel.info, "log_time": 1e9},
            {"message": ("old", "style"), "isError": 0, "system": "-", "time": 1.0},
            {"log_format": "x", "log_level": LogLevel.info, "nan": float("nan"), "big": 2**70},
            {"log_format": "x", "log_level": LogLevel.info, "lone": "\ud800"},
            {"log_format": "x", "log_level": LogLevel.info, "level": "mine"},
        ]
        for event in odd:
            line = json_line(event)
            self.assertEqual(line.count("\n"), 1, event)
            self.assertIsInstance(json.loads(line)["message"], str)

    def test_access_lines_are_written_together(self) -> None:
        observer = self.observer()
        for _ in range(3):
            observer.access(exchange())
        self.assertEqual(self.lines(), [])
        self.clock.advance(ACCESS_DELAY)
        self.assertEqual(len(self.lines()), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_access_lines_keep_their_place_among_others(self) -> None:
        observer = self.observer()
        observer.access(exchange())
        self.logger(observer).info("later")
        self.assertEqual([("later" in line) for line in self.lines()], [False, True])
        self.clock.advance(ACCESS_DELAY)
        self.assertEqual(len(self.lines()), 2)

    def test_a_terminal_that_knows_ascii_alone(self) -> None:
        """It gets every line, and a reader of JSON gets UTF-8."""
        for form, seen in (("text", b"n\\xe9"), ("json", "né".encode())):
            written = io.BytesIO()
            stream = io.TextIOWrapper(written, "ascii")
            observer = Observer(LogConfig(format=form), stream, self.clock)  # type: ignore[arg-type]
            observer.access(exchange(model="né"))
            observer.access(exchange())
            self.logger(observer).info("a word of {model}", model="né")
            lines = written.getvalue().splitlines()
            self.assertEqual(len(lines), 3)
            self.assertIn(seen, lines[0])
            self.assertIn(seen, lines[2])

    def test_a_lone_surrogate_loses_no_line(self) -> None:
        observer = self.observer(format="json")
        observer.access(exchange(model="a\ud800"))
        observer.access(exchange())
        observer.flush()
        self.assertEqual(json.loads(self.lines()[0])["model"], "a\ud800")
        self.assertEqual(len(self.lines()), 2)

    def test_access_line(self) -> None:
        observer = self.observer()
        observer.access(
            exchange(
                routed_model="claude-y",
                usage=Usage(input_tokens=1, output_tokens=2, cache_read_input_tokens=3),
                error='odd "one"\nforward_error fake=1',
                outcome="error",
            )
        )
        observer.flush()
        [line] = self.lines()
        self.assertEqual(
            line.rpartition("#info] ")[2],
            "cp_1 POST /v1/messages anthropic claude-x->claude-y anthropic 200 error ttft=12.3ms"
            " duration=56.8ms sent=20B got=10B in=1 cached=3 out=2"
            ' error="odd \\"one\\"\\nforward_error fake=1"',
        )

    def test_access_line_in_json(self) -> None:
        observer = self.observer(format="json")
        observer.access(exchange())
        observer.flush()
        [line] = [json.loads(text) for text in self.lines()]
        self.assertEqual(
            (line["id"], line["status"], line["ttft_ms"], line["logger"], line["level"]),
            ("cp_1", 200, 12.34, "clawproxy.access", "info"),
        )
        self.assertNotIn("request_headers", line)

    def test_a_line_is_one_for_every_reader_of_lines(self) -> None:
        odd = "a\u2028b\u2029c\x85d\x0be\x1cf"
        observer = self.observer(format="json")
        observer.access(exchange(model=odd, error=odd))
        observer.flush()
        lines = [
            *self.stream.getvalue().splitlines(),
            *json_line({"log_format": "{odd}", "odd": odd}).splitlines(),
        ]
        self.assertEqual(len(lines), 2)
        self.assertEqual(json.loads(lines[0])["model"], odd)
        self.assertEqual(json.loads(lines[1])["odd"], odd)

    def test_a_model_cannot_forge_a_line(self) -> None:
        observer = self.observer()
        observer.access(exchange(model="x\nforged", path="/v1/x\x1b[0m y"))
        observer.flush()
        self.assertEqual(len(self.lines()), 1)
        self.assertNotIn("\x1b", self.stream.getvalue())


class AccessLineTests(SynchronousTestCase):
    def test_a_caller_cannot_fill_the_log(self) -> None:
        line = str(AccessLine(exchange(model="m" * 1_000_000, path="/v1/" + "p" * 100_000)))
        self.assertLess(len(line), 2000)
        self.assertIn("mmm… anthropic 200 ok ", line)
        stream = io.StringIO()
        observer = Observer(LogConfig(level="info", format="json"), stream, Clock())
        observer.access(exchange(model="m" * 1_000_000))
        observer.flush()
        self.assertLess(len(stream.getvalue()), 5000)


class TextTests(SynchronousTestCase):
    """A line of text may hold what others said, and must not do what they say."""

    def line(self, said: str) -> str | None:
        return text_line({"log_time": 0.0, "log_format": "{said}", "said": said})

    def test_controls_are_spelled_out(self) -> None:
        line = self.line("a\x1b[2J\rb\x85c\x07é")
        assert line is not None
        self.assertTrue(line.endswith(" a\\x1b[2J\\x0db\\x85c\\x07é\n"), line)

    def test_a_second_line_cannot_be_taken_for_an_event(self) -> None:
        line = self.line("a\n2026-01-01T00:00:00+0000 [-] forged")
        assert line is not None
        self.assertIn("a\n\t2026", line)


class StreamTests(SynchronousTestCase):
    def test_twistds_options_decide(self) -> None:
        self.assertIsNone(stream_of(None))
        self.assertIsNone(stream_of({"syslog": True}))
        self.assertIsNone(stream_of({"logger": "x.y"}))
        import sys

        self.assertIs(stream_of({"nodaemon": True}), sys.stdout)
        self.assertIs(stream_of({"logfile": "-"}), sys.stdout)

    def test_file_can_be_rotated(self) -> None:
        name = self.mktemp()
        stream = stream_of({"logfile": name})
        self.assertIsInstance(stream, LogFile)
        assert stream is not None
        self.addCleanup(stream.close)
        observer = Observer(load(environ={}).config.log, stream, Clock())
        self.assertTrue(observer.rotates)
        observer.access(exchange())
        observer.rotate()
        observer.access(exchange(id="cp_2"))
        observer.flush()
        with open(f"{name}.1") as old, open(name) as new:  # noqa: PTH123
            self.assertIn("cp_1", old.read())
            self.assertIn("cp_2", new.read())
        self.assertFalse(Observer(load(environ={}).config.log, io.StringIO(), Clock()).rotates)


class ForwardErrorTests(SynchronousTestCase):
    """The line that operators' tools read."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.proxy = MemoryProxy()
        self.caller = self.proxy.caller()

    def ask(
        self,
        body: bytes = b'{"model":"claude-x","messages":[],"stream":true}',
        path: str = "/v1/messages",
        **headers: str,
    ) -> None:
        self.caller.post(path, body, {name.replace("_", "-"): headers[name] for name in headers})

    def fields(self) -> dict[str, str]:
        lines = [formatEvent(event) for event in self.events]
        found = [line for line in lines if line.startswith("forward_error")]
        self.assertEqual(len(found), 1, lines)
        match = LINE.match(found[0])
        assert match is not None, found[0]
        [human] = [line for line in lines if "could not forward" in line]
        self.assertIn(self.proxy.exchanges[-1].id, human)
        return match.groupdict()

    def expect(self, **expected: str) -> None:
        fields = self.fields()
        self.assertEqual({name: fields[name] for name in expected}, expected)

    def test_connect(self) -> None:
        body = b'{"model":"claude-x","messages":[],"thinking":{"type":"enabled","budget_tokens":9}}'
        self.ask(
            body,
            "/v1/messages?beta=true&api_key=sk-1&x=%20",
            anthropic_beta="a-1,b-2",
            x_request_id="mine-1",
        )
        self.proxy.advance(0.5)
        self.proxy.refuse()
        self.expect(
            request_id="mine-1",
            provider="anthropic",
            model="claude-x",
            stream="false",
            body_bytes=str(len(body)),
            has_thinking="true",
            anthropic_beta="a-1,b-2",
            query="beta=true&api_key=***&x=%20",
            elapsed="0.500",
            phase="connect",
            client="connected",
        )

    def test_own_id_where_the_caller_has_none(self) -> None:
        self.ask(x_request_id="not sane !")
        self.proxy.refuse()
        self.expect(request_id=self.proxy.exchanges[0].id, stream="true", has_thinking="false")

    def test_headers(self) -> None:
        self.ask()
        self.proxy.upstream().reset()
        self.expect(phase="headers", client="connected", query="", anthropic_beta="")

    def test_head_in_time(self) -> None:
        self.ask()
        self.proxy.upstream()
        self.proxy.advance(301)
        self.expect(phase="headers", client="connected", elapsed="300.000")

    def test_body(self) -> None:
        self.ask()
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b"data: "))
        upstream.reset()
        self.expect(phase="body", client="connected")

    def test_providers_that_answer_by_themselves(self) -> None:
        for kind, phase in (
            (Kind.UPSTREAM_UNREACHABLE, "connect"),
            (Kind.UPSTREAM_TIMEOUT, "headers"),
            (Kind.RATE_LIMIT, ""),
        ):

            def start(
                _: object, turn: object, context: object, sink: Any, kind: Kind = kind
            ) -> None:
                sink.ended(ProxyError(kind, "the gateway is gone"))

            self.events.clear()
            self.patch(DemoProvider, "start", start)
            self.ask(b'{"model":"demo","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}')
            self.assertIn(b"the gateway is gone", self.caller.read())
            if phase:
                self.expect(provider="demo", model="demo", phase=phase, error="the gateway is gone")
            else:
                self.assertNotIn("forward_error", str([formatEvent(each) for each in self.events]))

    def test_caller_that_left_before_a_connection(self) -> None:
        self.ask()
        self.caller.leave()
        self.expect(phase="connect", client="gone")

    def test_caller_that_left_before_the_head(self) -> None:
        self.ask()
        self.proxy.upstream()
        self.caller.leave()
        self.expect(phase="headers", client="gone")

    def test_caller_that_left_in_the_middle_is_no_failed_forward(self) -> None:
        self.ask()
        self.proxy.upstream().write(STREAM_HEAD)
        self.caller.leave()
        self.assertEqual([e for e in self.events if "forward_error" in formatEvent(e)], [])

    def test_answers_are_no_failed_forwards(self) -> None:
        self.ask()
        self.proxy.upstream().write(OK.replace(b"200 OK", b"529 Overloaded"))
        self.assertEqual([e for e in self.events if "forward_error" in formatEvent(e)], [])

    def test_hostile_values_stay_in_their_places(self) -> None:
        self.ask(
            b'{"model":"a b\\n\\"c\\"=1","messages":[]}',
            '/anthropic/v1/messages?q=%22&"x"=1',
            anthropic_beta='a" phase=connect client="',
        )
        self.proxy.refuse()
        lines = [formatEvent(event) for event in self.events]
        [line] = [line for line in lines if line.startswith("forward_error")]
        self.assertNotIn("\n", line)
        self.assertEqual(len(re.findall(r'(?<!\\)" elapsed=', line)), 1)

    def test_no_secret_is_logged(self) -> None:
        self.ask(
            b'{"model":"claude-x","messages":["sk-in-body"]}',
            "/v1/messages?key=sk-in-query&access_token=sk-2&token=sk-3&x=1",
            x_api_key="sk-in-header",
            authorization="Bearer sk-in-bearer",
            cookie="c=sk-in-cookie",
        )
        self.proxy.refuse()
        text = "\n".join(formatEvent(event) for event in self.events)
        self.assertNotIn("sk-", text)
        self.assertIn("x=1", self.fields()["query"])
