"""A browser's page on another origin that streams by ``fetch``: preflight, tokens as they come, abort."""

from __future__ import annotations

import http.client
import threading
import time
from typing import Any

from tests.integration import answers
from tests.integration.browser import Pages, chromium
from tests.integration.records import RecordedCase, Records
from tests.integration.upstream import Answer, Piece, in_turn

#: Begins to read an answer piece by piece; the page keeps what came, and how it ended.
READ = """
([url, headers, body]) => {
  window.text = ""; window.ended = null; window.seen = {};
  window.aborter = new AbortController();
  (async () => {
    const answer = await fetch(url, {
      method: "POST", headers, body: JSON.stringify(body), signal: window.aborter.signal,
    });
    window.status = answer.status;
    answer.headers.forEach((value, name) => { window.seen[name] = value; });
    const decoder = new TextDecoder(), reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      window.text += decoder.decode(value, { stream: true });
    }
  })().then(() => { window.ended = "whole"; }, error => { window.ended = error.name; });
}
"""
#: Asks once; gives status, headers and text, or the error's name.
ASK = """
async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return [answer.status, Object.fromEntries(answer.headers), await answer.text()];
  } catch (error) { return error.name; }
}
"""
ANTHROPIC = {
    "content-type": "application/json",
    "x-api-key": "sk-mine",
    "anthropic-version": "2023-06-01",
    "anthropic-dangerous-direct-browser-access": "true",
}
OPENAI = {"content-type": "application/json", "authorization": "Bearer sk-mine"}
QUESTION = {
    "model": "claude-x",
    "max_tokens": 99,
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}


class BrowserTests(RecordedCase):
    """``fetch`` in Chromium."""

    def page(self, *headers: tuple[str, str], permissions: tuple[str, ...] = ()) -> Any:
        """Open a page of another origin than the proxy's."""
        pages = self.stack.enter_context(Pages(headers))
        self.origin = pages.origin
        context = chromium(self.stack).new_context()
        context.grant_permissions(list(permissions))
        page = context.new_page()
        page.goto(pages.origin)
        return page

    def ask(self, page: Any, url: str, **options: Any) -> Any:
        """Have the page ask once."""
        return page.evaluate(ASK, [url, options])

    def test_stream(self) -> None:
        """Tokens are there as they are said, behind a preflight; ids can be read, and so can the proxy's
        record of it all.
        """
        frames = answers.anthropic_frames([answers.text("Hello, you there.")])
        gates = [threading.Event(), threading.Event()]
        for gate in gates:
            self.addCleanup(gate.set)
        # The start, "Hello, ", a wait, "you ", a wait, the rest.
        pieces: list[Piece] = [*frames[:4], gates[0], frames[4], gates[1], *frames[5:]]
        limit = ("anthropic-ratelimit-tokens-remaining", "7")
        upstream = self.upstream(in_turn(Answer(pieces, headers=(*answers.STREAM, limit))))
        proxy = self.recording_proxy(upstream)
        tap = self.wiretap(proxy)
        page = self.page()
        page.evaluate(READ, [tap.url + "/v1/messages", ANTHROPIC, QUESTION])
        page.wait_for_function('window.text.includes("Hello, ")')
        self.assertNotIn("you ", page.evaluate("window.text"))
        gates[0].set()
        page.wait_for_function('window.text.includes("you ")')
        self.assertNotIn("there.", page.evaluate("window.text"))
        self.assertIsNone(page.evaluate("window.ended"))
        gates[1].set()
        page.wait_for_function("window.ended")
        self.assertEqual(page.evaluate("window.ended"), "whole")
        self.assertEqual(page.evaluate("window.text"), b"".join(frames).decode())
        seen = page.evaluate("window.seen")
        self.assertEqual((seen["request-id"], seen["x-request-id"]), ("req_scripted",) * 2)
        self.assertEqual(seen[limit[0]], "7")
        [asked] = upstream.asked
        for name in ("origin", "referer", "cookie", "access-control-request-method"):
            self.assertIsNone(asked.header(name), name)
        [(detail, _)] = self.check_records(proxy, tap, upstream)
        self.assertEqual(detail["id"], seen["x-clawproxy-id"])
        self.assertIn("HeadlessChrome", detail["client"]["user_agent"])
        [preflight] = [each for each in tap.exchanges() if each.asked.method == "OPTIONS"]
        self.assertEqual(preflight.reply.status, 204)
        self.assertEqual(preflight.reply["access-control-allow-origin"], "*")
        allowed = preflight.reply["access-control-allow-headers"] or ""
        self.assertLessEqual({"x-api-key", "anthropic-version"}, set(allowed.split(",")))
        self.assertIsNotNone(preflight.reply["access-control-max-age"])

    def test_translated_stream_and_errors(self) -> None:
        """So it is across dialects, and a page can read what was wrong and when to come again."""
        upstream = self.upstream(
            lambda asked: answers.anthropic(True, answers.text("Hello, you there."))
        )
        route = '[{match: "gpt-*", provider: anthropic, model: claude-x}]'
        proxy = self.recording_proxy(
            upstream, routes=route, providers__anthropic__api_key="sk-upstream"
        )
        page = self.page()
        url = proxy.url + "/v1/chat/completions"
        page.evaluate(READ, [url, OPENAI, {**QUESTION, "model": "gpt-x"}])
        page.wait_for_function("window.ended")
        self.assertEqual(page.evaluate("window.ended"), "whole")
        text = page.evaluate("window.text")
        self.assertIn('"content":"there."', text)
        self.assertTrue(text.endswith("data: [DONE]\n\n"))
        upstream.script = in_turn(
            answers.anthropic_error(429, "rate_limit_error", "Slow down.", ("retry-after", "9"))
        )
        body = '{"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}'
        status, headers, text = self.ask(page, url, method="POST", headers=OPENAI, body=body)
        self.assertEqual((status, headers["retry-after"]), (429, "9"))
        self.assertIn("Slow down.", text)
        self.assertIn("x-clawproxy-id", headers)
        status, _, text = self.ask(page, url, method="POST", headers=OPENAI, body="no JSON")
        self.assertEqual(status, 400)
        self.assertIn("invalid_json", text)
        status, _, text = self.ask(page, proxy.url + "/v1/models", headers=OPENAI)
        self.assertEqual(status, 200)
        # What was recorded is for nobody else's page.
        self.assertEqual(self.ask(page, proxy.url + "/api/requests"), "TypeError")
        self.assertEqual(self.ask(page, proxy.url + "/api/requests", method="DELETE"), "TypeError")
        self.assertEqual(len(Records(proxy).all(3)), 3)

    def test_abort(self) -> None:
        """A page that aborts its fetch cancels the upstream within a second, and that is recorded."""
        start = answers.anthropic_frames([answers.text("more and more")])[:4]
        pieces = [*start, *answers.paced([b": wait\n\n"] * 400, 0.05)]
        upstream = self.upstream(in_turn(Answer(pieces, headers=answers.STREAM)))
        proxy = self.recording_proxy(upstream)
        page = self.page()
        page.evaluate(READ, [proxy.url + "/v1/messages", ANTHROPIC, QUESTION])
        page.wait_for_function('window.text.includes("more ")')
        proxy.in_flight(1)
        aborted = time.monotonic()
        page.evaluate("window.aborter.abort()")
        proxy.in_flight(0)
        while not upstream.left and time.monotonic() < aborted + 20:
            time.sleep(0.02)
        self.assertLess(upstream.left[0] - aborted, 1)
        self.assertEqual(page.evaluate("window.ended"), "AbortError")
        [listed] = Records(proxy).all(1)
        self.assertEqual((listed["outcome"], listed["status"]), ("client_gone", 499))
        self.assertEqual(listed["usage"]["input_tokens"], 12)
        self.assertFalse(listed["usage"]["complete"])
        detail = Records(proxy).detail(listed["id"])
        self.assertEqual(detail["response"]["content"], [answers.text("more ")])

    def test_origins(self) -> None:
        """With ``server.cors.origins`` only the pages named may read, and may ask at all."""
        upstream = self.upstream(lambda _: answers.anthropic(False, answers.text("Hello.")))
        page = self.page()
        options = {"method": "POST", "headers": ANTHROPIC, "body": '{"model": "m", "messages": []}'}
        named = self.recording_proxy(upstream, server__cors__origins=f'["{self.origin}"]')
        status, headers, _ = self.ask(page, named.url + "/v1/messages", **options)
        self.assertEqual(status, 200)
        self.assertIn("x-clawproxy-id", headers)
        self.assertEqual(len(upstream.asked), 1)
        for name, origins in (("other", '["https://chat.example"]'), ("none", "[]")):
            other = self.proxy(upstream, settings={"server.cors.origins": origins}, name=name)
            found = self.ask(page, other.url + "/v1/messages", **options)
            self.assertEqual(found, "TypeError", origins)
        self.assertEqual(len(upstream.asked), 1)

    def test_page_of_a_public_network(self) -> None:
        """A page from the internet may call the proxy on this machine, once its user has allowed that."""
        upstream = self.upstream(lambda _: answers.anthropic(False, answers.text("Hello.")))
        proxy = self.recording_proxy(upstream)
        public = ("content-security-policy", "treat-as-public-address")
        page = self.page(public, permissions=("local-network-access",))
        body = '{"model": "claude-x", "messages": []}'
        status, _, text = self.ask(
            page, proxy.url + "/v1/messages", method="POST", headers=ANTHROPIC, body=body
        )
        self.assertEqual(status, 200)
        self.assertIn("Hello.", text)
        # Browsers before that permission asked the server, in the preflight.
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        self.addCleanup(connection.close)
        for asked, wanted in (("true", "true"), (None, None)):
            headers = {
                "Origin": "https://chat.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "x-api-key",
            }
            if asked:
                headers["Access-Control-Request-Private-Network"] = asked
            connection.request("OPTIONS", "/v1/messages", headers=headers)
            reply = connection.getresponse()
            reply.read()
            self.assertEqual(reply.status, 204)
            self.assertEqual(reply.getheader("access-control-allow-private-network"), wanted)
        self.assertEqual(len(upstream.asked), 1)
