"""curl through the proxy: what a person types first, and what shows the bytes as they are."""

from __future__ import annotations

import json
import signal
import subprocess
import time

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import system_program
from tests.integration.upstream import Answer, Asked

PROMPT = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


class CurlTests(ProxyCase):
    """A stream and a message, byte for byte."""

    def curl(self, *arguments: str) -> bytes:
        """Standard output of curl, which must succeed."""
        command = [str(system_program("curl")), "-sS", "--max-time", "30", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def test_message(self) -> None:
        """A message comes as the upstream wrote it, and the request arrives as curl sent it."""
        upstream = self.upstream(lambda _: answers.anthropic(False, answers.text("Hello.")))
        proxy = self.proxy(upstream)
        body = json.dumps({**PROMPT, "big": 2**70, "odd": 1.0e2})
        got = self.curl(
            proxy.url + "/v1/messages?beta=true",
            *("-H", "x-api-key: sk-mine", "-H", "content-type: application/json"),
            *("-H", "anthropic-version: 2023-06-01", "-d", body),
        )
        expected = answers.anthropic(False, answers.text("Hello.")).pieces[0]
        self.assertEqual(got, expected)
        [asked] = upstream.asked
        self.assertEqual(asked.target, "/v1/messages?beta=true")
        self.assertEqual(asked.body, body.encode())
        self.assertEqual(asked.header("x-api-key"), "sk-mine")

    def test_stream_with_odd_bytes(self) -> None:
        """Comments, ids, CRLF, unknown events and bytes that are not UTF-8 pass as they are."""
        frames = [
            b": hello\r\n\r\n",
            b"id: 7\nretry: 10\nevent: from_the_future\ndata:{}\n\n",
            b"data: \xff\xfe\n\n",
            *answers.anthropic_frames([answers.text("Hello, you.")]),
            b"data: no blank line at the end",
        ]
        upstream = self.upstream(lambda _: Answer(frames, headers=answers.STREAM))
        proxy = self.proxy(upstream)
        got = self.curl(
            "-N", proxy.url + "/v1/messages", "-d", json.dumps({**PROMPT, "stream": True})
        )
        self.assertEqual(got, b"".join(frames))

    def test_error_keeps_status_headers_and_body(self) -> None:
        """An upstream's 529 is the caller's 529."""
        error = answers.anthropic_error(529, "overloaded_error", "Overloaded", ("retry-after", "7"))
        proxy = self.proxy(self.upstream(lambda _: error))
        got = self.curl("-i", proxy.url + "/v1/messages", "-d", json.dumps(PROMPT))
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        self.assertTrue(lines[0].startswith(b"http/1.1 529"), lines)
        self.assertIn(b"retry-after: 7", lines)
        self.assertEqual(body, error.pieces[0])

    def test_each_piece_at_once(self) -> None:
        """A piece is there long before the next one is sent."""
        upstream = self.upstream(
            lambda _: Answer([b"data: one\n\n", 2.0, b"data: two\n\n"], headers=answers.STREAM)
        )
        proxy = self.proxy(upstream)
        command = [str(system_program("curl")), "-sSN", proxy.url + "/v1/messages"]
        command += ["-d", json.dumps({**PROMPT, "stream": True})]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
            assert curl.stdout is not None
            first = curl.stdout.read(len(b"data: one\n\n"))
            then = time.monotonic()
            rest = curl.stdout.read()
            waited = time.monotonic() - then
        self.assertEqual((first, rest), (b"data: one\n\n", b"data: two\n\n"))
        self.assertGreater(waited, 1.0)

    def test_sigterm_cuts_nothing(self) -> None:
        """A stream that runs when SIGTERM comes is whole; then the process ends with 0."""
        frames = answers.anthropic_frames([answers.text("one two three four five six seven")])

        def script(_: Asked) -> Answer:
            return Answer(answers.paced(frames, 0.2), headers=answers.STREAM)

        proxy = self.proxy(self.upstream(script))
        command = [str(system_program("curl")), "-sSN", proxy.url + "/v1/messages"]
        command += ["-d", json.dumps({**PROMPT, "stream": True})]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
            proxy.in_flight(1)
            proxy.signal(signal.SIGTERM)
            while proxy.get("/health")[0] != 503:
                time.sleep(0.05)
            live = proxy.get("/livez")[1]
            out, _ = curl.communicate(timeout=30)
        self.assertEqual((live["draining"], live["in_flight"]), (True, 1))
        self.assertEqual(out, b"".join(frames))
        self.assertEqual(proxy.wait(), 0, proxy.log)
