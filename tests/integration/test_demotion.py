"""Demoted calls and token counts through a running proxy: what the caller asked for comes back."""

from __future__ import annotations

import http.client
import json
from typing import Any

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.proxy import PATIENCE, Proxy
from tests.integration.upstream import Answer, Asked

TOOL = answers.tool_use("Bash", {"command": "ls", "n": 2**60})


class Reply:
    """A whole answer to a POST."""

    def __init__(self, proxy: Proxy, path: str, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        try:
            headers = {"content-type": "application/json", "x-api-key": "sk-mine"}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            self.status = answer.status
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
            self.body = answer.read()
        finally:
            connection.close()

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


class DemotionTests(ProxyCase):
    """``demote_nonstreaming``."""

    BODY = b'{"model":"claude-x", "max_tokens" : 9,"big":1e400,"stream" : false,"messages":[]}'

    def demoted(self, answer: Answer) -> tuple[Reply, Asked]:
        """Ask without a stream; give the reply and what the upstream was asked."""
        upstream = self.upstream(lambda _: answer)
        settings = {"providers.anthropic.demote_nonstreaming": "true"}
        proxy = self.proxy(upstream, settings=settings)
        return Reply(proxy, "/v1/messages?beta=true", self.BODY), upstream.asked[-1]

    def test_message(self) -> None:
        """The caller gets one message, as if nobody had streamed; the request's bytes stay."""
        blocks = (answers.text("Hello, you there."), TOOL)
        reply, asked = self.demoted(answers.anthropic(True, *blocks, stop="tool_use"))
        self.assertEqual(asked.body, self.BODY.replace(b": false", b": true"))
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["content-type"], "application/json")
        self.assertEqual(reply.headers["request-id"], "req_scripted")
        whole = answers.anthropic(False, *blocks, stop="tool_use").pieces[0]
        assert isinstance(whole, bytes)
        self.assertEqual(reply.json, json.loads(whole))

    def test_plain_json(self) -> None:
        """An upstream that does not stream is passed on byte for byte."""
        answer = answers.anthropic(False, TOOL)
        reply, _ = self.demoted(answer)
        self.assertEqual((reply.status, reply.body), (200, answer.pieces[0]))

    def failing(self, *after: bytes, cut: bool = False) -> Reply:
        """Ask an upstream whose stream fails half way."""
        frames = answers.anthropic_frames([answers.text("Hello, you there.")])[:4]
        return self.demoted(Answer([*frames, *after], headers=answers.STREAM, cut=cut))[0]

    def test_error_told(self) -> None:
        """An error event becomes that error, also where the connection breaks behind it."""
        error = {"type": "overloaded_error", "message": "Overloaded, sorry."}
        for cut in (False, True):
            reply = self.failing(answers.event("error", error=error), cut=cut)
            self.assertEqual(reply.status, 529)
            self.assertEqual(reply.json["error"], error)

    def test_half(self) -> None:
        """Half a message is never a success."""
        for cut in (False, True):
            reply = self.failing(cut=cut)
            self.assertEqual(reply.status, 502)
            self.assertEqual(reply.json["type"], "error")
            self.assertEqual(reply.json["error"]["type"], "api_error")


class CountTokensTests(ProxyCase):
    """``/v1/messages/count_tokens`` on a route whose upstream cannot count."""

    def test_estimate(self) -> None:
        """The count is an estimate, and says so; the upstream is not asked."""
        upstream = self.upstream()
        settings = {
            "providers.openai.api_key": "sk-theirs",
            "default_provider": '{"anthropic": "openai", "openai": "openai"}',
        }
        proxy = self.proxy(upstream, settings=settings)
        request = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello world"}]}
        reply = Reply(proxy, "/v1/messages/count_tokens", json.dumps(request).encode())
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(reply.headers["x-clawproxy-estimated"], "true")
        self.assertEqual(reply.json, {"input_tokens": 2 + 6})
        self.assertEqual(upstream.asked, [])
