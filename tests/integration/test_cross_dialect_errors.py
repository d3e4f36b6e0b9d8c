"""What the SDKs see of another vendor's upstream that fails, and what they see of no upstream at all:
the demo, token counts, lists of models.
"""

from __future__ import annotations

import json
from typing import Any

from tests.integration import answers
from tests.integration.frames import chat_stream
from tests.integration.records import RecordedCase, Records
from tests.integration.sdks import anthropic_client, openai_client
from tests.integration.upstream import Answer, Asked, Script, in_turn

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
#: Without a pace, so that nobody waits.
DEMO = "{kind: demo, tokens_per_second: 0}"
ON_EACH_OTHER = {
    "routes": '[{match: "gpt-*", provider: anthropic, model: claude-sonnet-4-5},'
    ' {match: "claude-*", provider: openai, model: gpt-5-mini}]',
    "providers__anthropic__api_key": "sk-upstream",
    "providers__openai__api_key": "sk-upstream",
}


def cut(whole: Answer, frames: int) -> Answer:
    """Break an answer off after some frames."""
    return Answer(list(whole.pieces)[:frames], headers=whole.headers, cut=True)


def then(whole: Answer, frames: int, last: bytes) -> Answer:
    """Let an answer go on otherwise after some frames."""
    return Answer([*list(whole.pieces)[:frames], last], headers=whole.headers)


class CrossErrorTests(RecordedCase):
    """Errors of one vendor's API as the other vendor's SDK raises them."""

    def begin(self, **settings: object) -> None:
        """Start an upstream and a proxy."""
        self.upstream_ = self.upstream()
        self.running = self.recording_proxy(self.upstream_, **ON_EACH_OTHER, **settings)
        self.tap = self.wiretap(self.running)

    def script(self, script: Script) -> None:
        """Have the upstream answer otherwise from here on."""
        self.upstream_.script = script

    def check_recorded(self, *wanted: tuple[str, int]) -> list[dict[str, Any]]:
        """Check outcomes and statuses of all records in their order."""
        records = [
            detail for detail, _ in self.check_records(self.running, self.tap, self.upstream_)
        ]
        found = [(detail["outcome"], detail["status"]) for detail in records]
        self.assertEqual(found, list(wanted))
        return records

    def test_anthropic_exceptions(self) -> None:
        """An OpenAI upstream's errors are the Anthropic SDK's exceptions, with its wording and ids."""
        import anthropic

        self.begin()
        client = anthropic_client(self, self.tap.url)
        wanted = [
            (400, "unsupported_value", "invalid_request_error", anthropic.BadRequestError),
            (401, "invalid_api_key", "authentication_error", anthropic.AuthenticationError),
            (403, "permission_denied", "permission_error", anthropic.PermissionDeniedError),
            (404, "model_not_found", "not_found_error", anthropic.NotFoundError),
            (429, "rate_limit_exceeded", "rate_limit_error", anthropic.RateLimitError),
            (500, "server_error", "api_error", anthropic.InternalServerError),
            (503, "server_is_overloaded", "overloaded_error", anthropic.InternalServerError),
        ]
        for status, code, kind, exception in wanted:
            error = answers.openai_error(status, code, f"on purpose {status}", ("retry-after", "7"))
            self.script(in_turn(error))
            raised = self.assertRaises(
                exception,
                client.messages.create,
                model="claude-x",
                max_tokens=9,
                messages=HELLO,
                stream=status == 429,
            )
            self.assertEqual((raised.status_code, raised.body["error"]["type"]), (status, kind))
            self.assertEqual(raised.body["error"]["message"], f"on purpose {status}")
            self.assertEqual(raised.response.headers["retry-after"], "7")
            self.assertEqual(raised.request_id, "req_scripted")
        records = self.check_recorded(*(("error", status) for status, *_ in wanted))
        for detail in records:
            self.assertEqual(detail["error"], f"on purpose {detail['status']}")

    def test_openai_exceptions(self) -> None:
        """An Anthropic upstream's errors are the OpenAI SDK's exceptions."""
        import openai

        self.begin()
        client = openai_client(self, self.tap.url)
        wanted = [
            (400, "invalid_request_error", openai.BadRequestError),
            (401, "authentication_error", openai.AuthenticationError),
            (403, "permission_error", openai.PermissionDeniedError),
            (404, "not_found_error", openai.NotFoundError),
            (429, "rate_limit_error", openai.RateLimitError),
            (500, "api_error", openai.InternalServerError),
            (529, "overloaded_error", openai.InternalServerError),
        ]
        for status, kind, exception in wanted:
            self.script(
                in_turn(answers.anthropic_error(status, kind, "on purpose", ("retry-after", "7")))
            )
            for ask in (
                lambda: client.chat.completions.create(model="gpt-x", messages=HELLO),
                lambda: client.responses.create(model="gpt-x", input="hi", stream=True),
            ):
                raised = self.assertRaises(exception, ask)
                self.assertEqual(
                    (raised.status_code, raised.body["message"]), (status, "on purpose")
                )
                self.assertEqual(raised.response.headers["retry-after"], "7")
                self.assertEqual(raised.request_id, "req_scripted")
        self.check_recorded(*(("error", status) for status, *_ in wanted for _ in range(2)))

    def test_unsupported(self) -> None:
        """What the other API cannot express is refused by its name, and nobody is asked."""
        import anthropic
        import openai

        self.begin()
        client = openai_client(self, self.tap.url)
        for field, value in (("n", 2), ("logprobs", True)):
            raised = self.assertRaises(
                openai.BadRequestError,
                client.chat.completions.create,
                model="gpt-x",
                messages=HELLO,
                **{field: value},
            )
            self.assertEqual((raised.code, raised.param), ("unsupported_parameter", field))
        raised = self.assertRaises(
            openai.BadRequestError,
            client.responses.create,
            model="gpt-x",
            input="hi",
            previous_response_id="resp_1",
        )
        self.assertEqual(
            (raised.code, raised.param), ("unsupported_parameter", "previous_response_id")
        )
        thread = {"previous_message_id": "msg_1"}
        raised = self.assertRaises(
            anthropic.BadRequestError,
            anthropic_client(self, self.tap.url).messages.create,
            model="claude-x",
            max_tokens=9,
            messages=HELLO,
            extra_body={"thread": thread},
        )
        self.assertIn("thread", raised.body["error"]["message"])
        self.assertEqual(self.upstream_.asked, [])
        self.check_recorded(*[("error", 400)] * 4)

    def test_no_key(self) -> None:
        """Without a key for the other vendor the caller's own stays here, and the answer says which is
        missing.
        """
        import anthropic

        self.upstream_ = self.upstream()
        route = '[{match: "claude-*", provider: openai}]'
        self.running = self.recording_proxy(self.upstream_, routes=route)
        self.tap = self.wiretap(self.running)
        client = anthropic_client(self, self.tap.url)
        raised = self.assertRaises(
            anthropic.AuthenticationError,
            client.messages.create,
            model="claude-x",
            max_tokens=9,
            messages=HELLO,
        )
        self.assertIn("providers.openai.api_key", raised.body["error"]["message"])
        self.assertEqual(self.upstream_.asked, [])
        self.check_recorded(("error", 401))

    def test_retries(self) -> None:
        """The SDKs' own retries see a refusal of the other vendor's, and then its answer."""
        self.begin()
        busy = answers.openai_error(503, "overloaded", "Busy", ("retry-after-ms", "10"))
        self.script(in_turn(busy, busy, chat_stream(text="At last.")))
        client = anthropic_client(self, self.tap.url, retries=2)
        with client.messages.stream(model="claude-x", max_tokens=9, messages=HELLO) as stream:
            self.assertEqual(stream.get_final_text(), "At last.")
        busy = answers.anthropic_error(529, "overloaded_error", "Busy", ("retry-after-ms", "10"))
        self.script(in_turn(busy, answers.anthropic(False, answers.text("At last."))))
        client = openai_client(self, self.tap.url, retries=2)
        whole = client.chat.completions.create(model="gpt-x", messages=HELLO)
        self.assertEqual(whole.choices[0].message.content, "At last.")
        self.assertEqual(len(self.upstream_.asked), 5)
        self.check_recorded(
            ("error", 503), ("error", 503), ("ok", 200), ("error", 529), ("ok", 200)
        )

    def test_proxy_retries(self) -> None:
        """With ``max_retries`` the proxy asks again before the caller has seen anything."""
        self.begin(providers__openai__max_retries=2)
        busy = answers.openai_error(503, "overloaded", "Busy", ("retry-after-ms", "10"))
        self.script(in_turn(busy, busy, chat_stream(text="At last.")))
        client = anthropic_client(self, self.tap.url)
        with client.messages.stream(model="claude-x", max_tokens=9, messages=HELLO) as stream:
            self.assertEqual(stream.get_final_text(), "At last.")
        [detail] = self.check_recorded(("ok", 200))
        self.assertEqual(detail["tries"], 3)

    def test_broken_streams_for_anthropic(self) -> None:
        """A stream that breaks off or tells an error half way raises behind its first words."""
        import anthropic

        self.begin()
        client = anthropic_client(self, self.tap.url)
        whole = chat_stream(text="Hello, you there.")
        error = answers.data({"error": {"message": "Broke.", "type": "server_error"}})
        for answer in (cut(whole, 3), then(whole, 3, error)):
            self.script(in_turn(answer))
            words: list[str] = []
            with client.messages.stream(model="claude-x", max_tokens=9, messages=HELLO) as stream:
                self.assertRaises(anthropic.APIError, words.extend, stream.text_stream)
            self.assertEqual("".join(words), "Hello, you ")
        for detail in self.check_broken():
            self.assertEqual(detail["response"]["content"][0]["text"], "Hello, you ")

    def test_broken_streams_for_openai(self) -> None:
        """So it is with both of OpenAI's APIs."""
        import openai

        self.begin()
        client = openai_client(self, self.tap.url)
        whole = answers.anthropic(True, answers.text("Hello, you there."))
        error = {"type": "overloaded_error", "message": "Broke."}
        for answer in (cut(whole, 5 * 2), then(whole, 5 * 2, answers.event("error", error=error))):
            self.script(in_turn(answer))
            words: list[str] = []

            def read_chat(words: list[str] = words) -> None:
                for chunk in client.chat.completions.create(
                    model="gpt-x", messages=HELLO, stream=True
                ):
                    words.append(chunk.choices[0].delta.content or "")

            self.assertRaises(openai.APIError, read_chat)
            self.assertEqual("".join(words), "Hello, you ")
            events: list[Any] = []

            def read_response(events: list[Any] = events) -> None:
                events.extend(client.responses.create(model="gpt-x", input="hi", stream=True))

            # The SDK raises on an ``error`` event and on a broken connection.
            self.assertRaises(openai.APIError, read_response)
            deltas = [each for each in events if each.type == "response.output_text.delta"]
            self.assertEqual("".join(each.delta for each in deltas), "Hello, you ")
        self.check_broken()

    def check_broken(self) -> list[dict[str, Any]]:
        """Check that every exchange is recorded as failed, with what came and what was used."""
        heard = [each for each in self.tap.exchanges() if each.asked.method == "POST"]
        listed = Records(self.running).all(len(heard))
        self.assertEqual(len(listed), len(heard))
        details = [Records(self.running).detail(each["id"]) for each in listed]
        for detail, each in zip(details, heard, strict=True):
            self.assertEqual((detail["outcome"], detail["status"]), ("error", 200))
            self.assertTrue(detail["error"])
            self.assertEqual(Records(self.running).body(detail["id"], "response"), each.reply.body)
            # Chat Completions tell the usage at the end only, the Messages API at the start as well.
            told = 0 if detail["upstream_dialect"] == "openai_chat" else 12
            self.assertEqual(detail["usage"]["input_tokens"], told)
            self.assertFalse(detail["usage"]["complete"])
        return details


class DemoTests(RecordedCase):
    """Both SDKs on the demo, which answers by itself."""

    def test_anthropic(self) -> None:
        """Text, thinking and a tool as the Anthropic SDK reads them."""
        upstream = self.upstream()
        proxy = self.recording_proxy(upstream, providers__demo=DEMO)
        tap = self.wiretap(proxy)
        client = anthropic_client(self, tap.url)
        common: dict[str, Any] = {"model": "demo", "max_tokens": 4000, "messages": HELLO}
        thinking = {"type": "enabled", "budget_tokens": 1024}
        with client.messages.stream(thinking=thinking, **common) as stream:
            told = stream.get_final_message()
        self.assertEqual([block.type for block in told.content], ["thinking", "text"])
        self.assertIn('"hi"', told.content[1].text)
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        tool = {"name": "look", "input_schema": schema}
        whole = client.messages.create(tools=[tool], tool_choice={"type": "any"}, **common)
        [call] = whole.content
        self.assertEqual((call.name, call.input, whole.stop_reason), ("look", {"n": 1}, "tool_use"))
        counted = client.messages.with_raw_response.count_tokens(model="demo", messages=HELLO)
        self.assertGreater(counted.parse().input_tokens, 0)
        self.assertEqual(counted.headers["x-clawproxy-estimated"], "true")
        records = self.check_records(proxy, tap, upstream)
        self.assertEqual([detail["kind"] for detail, _ in records], [None, None, "count_tokens"])
        self.assertEqual(upstream.asked, [])

    def test_openai(self) -> None:
        """The same in both of OpenAI's APIs."""
        upstream = self.upstream()
        proxy = self.recording_proxy(upstream, providers__demo=DEMO)
        tap = self.wiretap(proxy)
        client = openai_client(self, tap.url)
        stream = client.chat.completions.create(model="demo", messages=HELLO, stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        self.assertIn('"hi"', said)
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        function = {"name": "look", "parameters": schema}
        whole = client.chat.completions.create(
            model="demo",
            messages=HELLO,
            tools=[{"type": "function", "function": function}],
            tool_choice="required",
        )
        [call] = whole.choices[0].message.tool_calls
        self.assertEqual((call.function.name, call.function.arguments), ("look", '{"n":1}'))
        with client.responses.stream(
            model="demo", input="hi", reasoning={"effort": "low", "summary": "auto"}
        ) as stream:
            told = stream.get_final_response()
        self.assertEqual([item.type for item in told.output], ["reasoning", "message"])
        self.assertIn('"hi"', told.output_text)
        records = self.check_records(proxy, tap, upstream)
        self.assertEqual([detail["outcome"] for detail, _ in records], ["ok"] * 3)
        for detail, _ in records:
            self.assertGreater(detail["usage"]["output_tokens"], 0)


class ListTests(RecordedCase):
    """What is no message: counts and lists, asked by either SDK of upstreams of both kinds."""

    def lists(self, asked: Asked) -> Answer:
        """List a model of each vendor; count seven tokens."""
        if asked.target.startswith("/v1/messages/count_tokens"):
            return Answer([b'{"input_tokens": 7}'])
        if asked.header("anthropic-version"):
            created = "2026-01-01T00:00:00Z"
            model = {"type": "model", "id": "claude-x", "display_name": "X", "created_at": created}
            page = {"data": [model], "has_more": False, "first_id": None, "last_id": None}
            return Answer([json.dumps(page).encode()])
        entry = {"id": "gpt-x", "object": "model", "created": 1, "owned_by": "openai"}
        return Answer([json.dumps({"object": "list", "data": [entry]}).encode()])

    def test_lists_and_counts(self) -> None:
        """Each SDK sees all models in its own vendor's shape; a count is asked where it can be."""
        upstream = self.upstream(self.lists)
        both = {
            **ON_EACH_OTHER,
            "routes": '[{match: "gpt-*", provider: openai}, {match: "fast", provider: openai, model: gpt-x}]',
        }
        proxy = self.recording_proxy(upstream, providers__demo=DEMO, **both)
        anthropic, openai = anthropic_client(self, proxy.url), openai_client(self, proxy.url)
        wanted = {"claude-x", "gpt-x", "demo", "fast"}
        listed = {model.id: model for model in anthropic.models.list()}
        self.assertLessEqual(wanted, listed.keys())
        self.assertEqual((listed["claude-x"].type, listed["claude-x"].display_name), ("model", "X"))
        self.assertTrue(all(model.display_name for model in listed.values()))
        shown = {model.id: model for model in openai.models.list()}
        self.assertEqual(shown.keys(), listed.keys())
        self.assertEqual((shown["gpt-x"].object, shown["gpt-x"].created), ("model", 1))
        self.assertEqual(anthropic.models.retrieve("gpt-x").id, "gpt-x")
        self.assertEqual(openai.models.retrieve("claude-x").id, "claude-x")
        counted = anthropic.messages.with_raw_response.count_tokens(
            model="claude-x", messages=HELLO
        )
        self.assertEqual(counted.parse().input_tokens, 7)
        self.assertNotIn("x-clawproxy-estimated", counted.headers)
        counted = anthropic.messages.with_raw_response.count_tokens(model="gpt-x", messages=HELLO)
        self.assertGreater(counted.parse().input_tokens, 0)
        self.assertEqual(counted.headers["x-clawproxy-estimated"], "true")
