"""Another vendor's thinking goes out of a verbatim request, and not one other byte with it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.foreign import without_foreign
from clawproxy.core.dialects.seal import wrap

SEAL = wrap("openai_responses", "c2VhbA==", "rs_1")
FOREIGN = json.dumps({"type": "thinking", "thinking": "Hm.", "signature": SEAL}).encode()
OWN = b'{"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}'
TEXT = b'{ "type":"text","text":"clawproxy:openai_chat::unsealed", "n": 12345678901234567890123 }'
ITEM = json.dumps({"type": "reasoning", "summary": [], "encrypted_content": SEAL}).encode()


def said(*blocks: bytes) -> bytes:
    return b'{"role" : "assistant","content":[' + b" , ".join(blocks) + b' ] , "x":1.10}'


def request(*messages: bytes, name: bytes = b"messages") -> bytes:
    return b'{ "model":"m", "n":1e400,"' + name + b'": [ ' + b" ,\n".join(messages) + b"\n]}\n"


class ForeignTests(SynchronousTestCase):
    def check(self, before: bytes, after: bytes, dialect: Any = "anthropic") -> None:
        self.assertEqual(without_foreign(before, dialect), after)

    def test_blocks(self) -> None:
        hello = b'{"role":"user","content":"clawproxy:hello"}'
        for blocks in (
            (FOREIGN, TEXT),
            (TEXT, FOREIGN),
            (OWN, FOREIGN, TEXT),
            (FOREIGN, FOREIGN, OWN, FOREIGN, TEXT, FOREIGN),
        ):
            kept = [block for block in blocks if block != FOREIGN]
            self.check(request(hello, said(*blocks)), request(hello, said(*kept)))

    def test_message_that_said_nothing_else(self) -> None:
        for hello in (b'{"role":"user","content":"hello"}', said(TEXT)):
            self.check(request(hello, said(FOREIGN), hello), request(hello, hello))
            self.check(request(said(FOREIGN), hello), request(hello))

    def test_items(self) -> None:
        item = b'{"type":"reasoning","encrypted_content":"c2VhbGVk","summary":[]}'
        hello = b'{"role":"user","content":[{"type":"input_text","text":"clawproxy:"}]}'
        before = request(hello, ITEM, item, ITEM, hello, name=b"input")
        self.check(before, request(hello, item, hello, name=b"input"), "openai_responses")

    def test_what_is_left_alone(self) -> None:
        result = b'{"type":"tool_result","content":[' + FOREIGN + b"]}"
        for body in (
            request(said(OWN, TEXT)),
            request(said(TEXT, result)),
            request(b'{"role":"user","content":"clawproxy:"}'),
            b'{"messages":"clawproxy:"}',
            b'{"messages":[1,"clawproxy:"]}',
            b'{"messages":[{"content":["clawproxy:"]}]}',
            b'{"messages":[{"content":[{"type":"thinking","signature":["clawproxy:"]}]}]}',
            b'{"x":"clawproxy:"}',
            b'{"messages":[{"content":[{"type":"thinking","signature":"clawproxy:',
            b"clawproxy:",
        ):
            self.assertIs(without_foreign(body, "anthropic"), body)
        for dialect in (None, "openai_chat", "openai_responses"):
            body = request(said(FOREIGN))
            self.assertIs(without_foreign(body, dialect), body)

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(
            st.lists(st.sampled_from([FOREIGN, OWN, TEXT, b'{"type":"x"}']), max_size=4), max_size=4
        ),
        st.sampled_from(["", " ", "\n\t"]),
    )
    def test_only_they_go(self, messages: list[list[bytes]], space: str) -> None:
        value = {"messages": [{"content": [json.loads(block) for block in m]} for m in messages]}
        text = json.dumps(value, separators=(f"{space},{space}", f"{space}:{space}"))
        found = json.loads(without_foreign(text.encode(), "anthropic"))
        kept = [(was, [json.loads(block) for block in was if block != FOREIGN]) for was in messages]
        wanted = [{"content": blocks} for was, blocks in kept if blocks or FOREIGN not in was]
        self.assertEqual(found, {"messages": wanted})
