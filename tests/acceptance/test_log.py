"""The lines of the log."""

from __future__ import annotations

import json
import re
import shlex
import time

from tests.acceptance.caller import ANTHROPIC, Connection, message, post
from tests.acceptance.test_errors import FRAME, ErrorCase
from tests.acceptance.upstream import End, answer, stream

NAMES = [
    *("request_id", "provider", "model", "stream", "body_bytes", "has_thinking"),
    *("anthropic_beta", "query", "elapsed", "phase", "client", "error"),
]


LINE = re.compile(
    r"forward_error request_id=(?P<request_id>\S+) provider=(?P<provider>\S+) model=(?P<model>\S+) "
    r"stream=(?P<stream>true|false) body_bytes=(?P<body_bytes>\d+) "
    r"has_thinking=(?P<has_thinking>true|false) anthropic_beta=\"(?P<beta>[^\"]*)\" "
    r"query=\"(?P<query>[^\"]*)\" elapsed=(?P<elapsed>\d+\.\d{3})s "
    r"phase=(?P<phase>connect|headers|body) client=(?P<client>connected|gone) error=\"(?P<error>.+)\""
)


class LogTests(ErrorCase):
    """A failed forward logs one `key=value` line, beside a human-readable one."""

    def line(self, start: int) -> dict[str, str]:
        found = self.proxy.wait_for_log("forward_error ", start=start)
        time.sleep(0.15)
        lines = [each for each in self.proxy.log[start:].splitlines() if "forward_error " in each]
        self.assertEqual(len(lines), 1, lines)
        match = LINE.search(found)
        assert match is not None, found
        return match.groupdict()

    def test_fields(self) -> None:
        start = len(self.proxy.log)
        body = json.dumps(message("m-1", stream=True, thinking={"type": "enabled"})).encode()
        target = "/refused-anthropic/v1/messages?beta=true&api_key=hidden-1&key=hidden-2"
        headers = {**ANTHROPIC, "anthropic-beta": "one,two-2026", "x-request-id": "mine-7"}
        reply = post(self.proxy.port, target, body, headers)
        found = self.line(start)
        self.assertEqual((found["request_id"], reply["x-request-id"]), ("mine-7", "mine-7"))
        self.assertEqual((found["provider"], found["model"]), ("refused-anthropic", "m-1"))
        self.assertEqual((found["stream"], found["body_bytes"]), ("true", str(len(body))))
        self.assertEqual((found["has_thinking"], found["beta"]), ("true", "one,two-2026"))
        self.assertTrue(found["query"].startswith("beta=true&"), found["query"])
        self.assertNotIn("hidden", self.proxy.log)
        self.assertEqual((found["phase"], found["client"]), ("connect", "connected"))
        lines = [
            each for each in self.proxy.log[start:].splitlines() if "refused-anthropic" in each
        ]
        self.assertGreaterEqual(len(lines), 2, "there is no human-readable line")

    def test_flags_on_several_lines(self) -> None:
        """A list of flags may be spread over header lines of the same name."""
        start = len(self.proxy.log)
        headers = [*ANTHROPIC.items(), ("anthropic-beta", "one"), ("anthropic-beta", "two,three")]
        post(self.proxy.port, "/refused-anthropic/v1/messages", message("m"), headers)
        self.assertEqual(self.line(start)["beta"], "one,two,three")

    def test_hostile_values(self) -> None:
        """Whatever a caller writes, it is one line, and its fields stay apart."""
        start = len(self.proxy.log)
        model = 'm" x\nforward_error request_id=forged'
        headers = {**ANTHROPIC, "anthropic-beta": 'a" phase=body b\\'}
        post(self.proxy.port, '/refused-anthropic/v1/messages?a="b', message(model), headers)
        line = self.proxy.wait_for_log("forward_error ", start=start)
        self.assertNotIn("\nforward_error request_id=forged", self.proxy.log)
        fields = shlex.split(line[line.index("forward_error ") :])
        names = [each.partition("=")[0] for each in fields[1:]]
        self.assertEqual(
            names,
            NAMES,
        )
        self.assertIn('anthropic_beta=a" phase=body b\\', fields)
        self.assertIn('query=a="b', fields)

    def test_has_thinking(self) -> None:
        """`has_thinking`: the request turns thinking on."""
        for thinking, expected in (
            (None, "false"),
            ({"type": "disabled"}, "false"),
            ({"type": "enabled", "budget_tokens": 5}, "true"),
            ({"type": "adaptive"}, "true"),
        ):
            start = len(self.proxy.log)
            more: dict[str, object] = {"thinking": thinking} if thinking else {}
            self.messages({**message(), **more}, "/refused-anthropic/v1/messages")
            self.assertEqual(self.line(start)["has_thinking"], expected)

    def test_phases(self) -> None:
        for steps, phase in (
            ([End.RESET], "headers"),
            ([End.HANG], "headers"),
            (stream(FRAME, 0.05, end=End.RESET, headers=[("request-id", "req_3")]), "body"),
            (stream(FRAME, End.HANG), "body"),
        ):
            start = len(self.proxy.log)
            self.up.answers(steps)
            reply = self.messages(message(stream=True), "/silent-anthropic/v1/messages")
            found = self.line(start)
            self.assertEqual(found["request_id"], reply["x-request-id"])
            self.assertEqual((found["phase"], found["client"]), (phase, "connected"))
        start = len(self.proxy.log)
        self.messages(message(), "/unconnectable-anthropic/v1/messages")
        found = self.line(start)
        self.assertEqual(found["phase"], "connect")
        self.assertGreaterEqual(float(found["elapsed"]), 0.25)

    def test_a_caller_that_left_before_the_headers(self) -> None:
        """It is logged too when the caller left before the headers (`client=gone`)."""
        start = len(self.proxy.log)
        self.up.answers([End.HANG])
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", message(), ANTHROPIC)
            self.eventually(lambda: self.up.asked)
        found = self.line(start)
        self.assertEqual((found["phase"], found["client"]), ("headers", "gone"))

    def test_no_line_without_a_fault(self) -> None:
        start = len(self.proxy.log)
        self.messages(message())
        self.up.answers(answer({}, 529))
        self.messages(message())
        self.messages(b"{")
        time.sleep(0.2)
        self.assertNotIn("] forward_error", self.proxy.log[start:])

    def test_one_line_an_exchange(self) -> None:
        start = len(self.proxy.log)
        reply = self.messages(message(), "/v1/messages?token=hidden-3")
        line = self.proxy.wait_for_log(str(reply["x-clawproxy-id"]), start=start)
        self.assertIn("/v1/messages", line)
        self.assertIn("200", line)
        self.assertNotIn("hidden", self.proxy.log)
        self.assertNotIn("sk-caller", self.proxy.log)
