# ruff: noqa: E501, W291 - what people, models and tools say is not wrapped
"""Recorded sessions of our own writing, as their clients would have sent them: a coding agent that mends
a rate limiter, a chat with a picture, an agent of the Responses API, and what goes wrong.

:class:`Teller` tells them: it keeps the time, makes streams out of answers, and gives exchanges as the
journal would.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from attrs import define, field

from clawproxy import prices
from clawproxy.core.pricing import PriceTable
from clawproxy.core.record import Client, Exchange, Usage
from clawproxy.core.timestamp import rfc3339
from clawproxy.store.conversation_enrich import Enrichment
from clawproxy.store.entry import Entry, Prepared
from clawproxy.store.pieces import Pieces
from clawproxy.store.preparation import bare, prepare

JSON = dict[str, Any]
SONNET, HAIKU, GPT = "claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5-mini"
SESSION = "5f0c2b9e-7a41-4d0a-9d3c-2f6f0f5d1c77"


@cache
def _prices() -> PriceTable:
    return prices.load()


@cache
def png(width: int = 240, height: int = 120) -> str:
    """Draw a chart of a burst, as a PNG in base64."""
    rows = []
    for y in range(height):
        row = bytearray(b"\0")
        for x in range(width):
            bar = 20 + (x // 12 * 37) % 50 if not 8 <= x // 12 <= 11 else 108
            inside = height - y < bar and x % 12 < 9
            row += (
                bytes((0xD9, 0x5F, 0x3B))
                if inside and bar > 100
                else b"\x5b\x8d\xb8"
                if inside
                else b"\xf5\xf3\xee"
            )
        rows.append(bytes(row))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows))
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return base64.b64encode(whole).decode()


def _schema(**members: str) -> JSON:
    kinds = {name: {"type": "string", "description": words} for name, words in members.items()}
    return {"type": "object", "properties": kinds, "required": list(members)[:1]}


TOOLS: list[JSON] = [
    {"name": "Bash", "description": "Run a command in a shell.\n\n- Quote paths with spaces.\n- Prefer `Grep` and `Glob` to `find` and `grep`.", "input_schema": _schema(command="the command", description="five to ten words on what it does", timeout="milliseconds")},
    {"name": "Read", "description": "Read a file. Images and notebooks can be read, too.", "input_schema": _schema(file_path="absolute path", offset="first line", limit="number of lines")},
    {"name": "Edit", "description": "Replace a string in a file, exactly once unless `replace_all` is set.", "input_schema": _schema(file_path="absolute path", old_string="what to replace", new_string="with what")},
    {"name": "MultiEdit", "description": "Make several edits of one file at once.", "input_schema": _schema(file_path="absolute path", edits="a list of edits")},
    {"name": "Write", "description": "Write a file.", "input_schema": _schema(file_path="absolute path", content="the whole content")},
    {"name": "Grep", "description": "Search files by a regular expression.", "input_schema": _schema(pattern="the expression", path="where", glob="which files")},
    {"name": "Glob", "description": "Find files by a pattern.", "input_schema": _schema(pattern="the pattern")},
    {"name": "TodoWrite", "description": "Keep the list of things to do.", "input_schema": _schema(todos="the list")},
    {"name": "Task", "description": "Start a subagent with a task of its own.", "input_schema": _schema(description="three to five words", prompt="the task", subagent_type="which one")},
    {"name": "WebFetch", "description": "Fetch a page and ask a question about it.", "input_schema": _schema(url="the address", prompt="the question")},
]  # fmt: skip
TOOLS[-1]["cache_control"] = {"type": "ephemeral"}

SYSTEM = [
    {"type": "text", "text": "x-example-header: version=2.1; entrypoint=cli;"},
    {"type": "text", "text": "You are a coding assistant that works in a terminal.", "cache_control": {"type": "ephemeral"}},
    {
        "type": "text",
        "text": "# Tone\n\nBe brief. Say what you did and what you did not do.\n\n# Doing tasks\n\n"
        + "\n".join(
            f"{n}. {words}"
            for n, words in enumerate(
                (
                    "Read before you write; never guess what is in a file.",
                    "Plan work of more than two steps with `TodoWrite`, and keep the list true.",
                    "Run the tests after each change. A change without a test that failed before is not done.",
                    "Use **the project's own style**; do not reformat what you did not touch.",
                    "Never commit unless you are asked to.",
                ),
                1,
            )
        )
        + "\n\n# Environment\n\nWorking directory: /home/kim/throttle\nPlatform: linux\nIs a git repository: yes\n\n"
        + "gitStatus: On branch main. Your branch is up to date.\n M src/throttle/bucket.py\n" * 6,
        "cache_control": {"type": "ephemeral"},
    },
]  # fmt: skip

BUCKET = '''     1	"""A token bucket."""
     2	
     3	from __future__ import annotations
     4	
     5	from dataclasses import dataclass, field
     6	from time import monotonic
     7	
     8	
     9	@dataclass
    10	class Bucket:
    11	    """Let ``rate`` calls a second through, and bursts of ``size``."""
    12	
    13	    rate: float
    14	    size: int
    15	    _tokens: float = field(init=False)
    16	    _last: float = field(default_factory=monotonic)
    17	
    18	    def __post_init__(self) -> None:
    19	        self._tokens = self.size
    20	
    21	    def take(self) -> bool:
    22	        now = monotonic()
    23	        self._tokens += (now - self._last) * self.rate
    24	        self._last = now
    25	        if self._tokens < 1:
    26	            return False
    27	        self._tokens -= 1
    28	        return True
'''
FAILED = (
    "\x1b[1m============================= test session starts ==============================\x1b[0m\n"
    "platform linux -- Python 3.12.4, pytest-8.2.0\ncollected 4 items\n\n"
    "tests/test_bucket.py \x1b[32m.\x1b[0m\x1b[32m.\x1b[0m\x1b[32m.\x1b[0m\x1b[31mF\x1b[0m\n\n"
    "\x1b[31m\x1b[1m_______________________ test_idle_does_not_save_up _______________________\x1b[0m\n\n"
    "    def test_idle_does_not_save_up(clock):\n        bucket = Bucket(rate=2, size=5, clock=clock)\n"
    "        clock.advance(3600)\n>       assert sum(bucket.take() for _ in range(100)) == 5\n"
    "\x1b[1m\x1b[31mE       TypeError: Bucket.__init__() got an unexpected keyword argument 'clock'\x1b[0m\n\n"
    "tests/test_bucket.py:31: TypeError\n\x1b[31m1 failed\x1b[0m, \x1b[32m3 passed\x1b[0m in 0.05s"
)
PASSED = "tests/test_bucket.py \x1b[32m....\x1b[0m\n\n\x1b[32m4 passed\x1b[0m in 0.03s"


def text(words: str) -> JSON:
    """Make a block of text."""
    return {"type": "text", "text": words}


def thought(words: str) -> JSON:
    """Make a block of thinking."""
    return {"type": "thinking", "thinking": words, "signature": "c2lnbmF0dXJl" * 12}


def call(id: str, name: str, **arguments: Any) -> JSON:
    """Make a tool call."""
    return {"type": "tool_use", "id": f"toolu_{id}", "name": name, "input": arguments}


def result(id: str, content: Any, error: bool = False) -> JSON:
    """Make a tool's result."""
    made: JSON = {"type": "tool_result", "tool_use_id": f"toolu_{id}", "content": content}
    return {**made, "is_error": True} if error else made


QUESTION = (
    "Our rate limiter lets bursts through after the service has been idle: 5 calls a second are allowed, and"
    " this morning 400 came through in one second (see the chart). Find out why, fix it, and add a test."
)
REMINDER = (
    "<system-reminder>\nAs you answer, you can use this:\n# CLAUDE.md\n- Tests are run with `pytest -q`.\n"
    "- Time is always a parameter.\n</system-reminder>\n"
)
TODOS = (
    "Find where tokens are added",
    "Cap the bucket at its size",
    "Make the clock a parameter",
    "Test that idling saves nothing up",
)


def todo(id: str, *states: str) -> JSON:
    """Make a call that writes the list of things to do."""
    return call(
        id,
        "TodoWrite",
        todos=[
            {"content": words, "status": state, "activeForm": words}
            for words, state in zip(TODOS, states, strict=True)
        ],
    )


#: What the agent answers, and what its tools then give.
STEPS: list[tuple[list[JSON], list[JSON]]] = [
    (
        [
            thought(
                "The chart shows one spike far above the limit, after a quiet time. That smells of a token bucket that"
                " is not capped: while nobody calls, tokens add up.\n\nI should look at the code before I say so."
            ),
            text("The spike comes right after a quiet hour, so I suspect that unused tokens add up. Let me look."),
            todo("01", "in_progress", "pending", "pending", "pending"),
            call("02", "Grep", pattern="_tokens\\s*[+-]=", path="/home/kim/throttle/src", glob="*.py"),
        ],
        [
            result("01", "The list was written."),
            result("02", "src/throttle/bucket.py:23:        self._tokens += (now - self._last) * self.rate\nsrc/throttle/bucket.py:27:        self._tokens -= 1"),
        ],
    ),
    ([call("03", "Read", file_path="/home/kim/throttle/src/throttle/bucket.py")], [result("03", BUCKET)]),
    (
        [
            text("Line 23 adds tokens without a ceiling. Two changes: cap them at `size`, and take the clock as a parameter, so that a test need not wait."),
            call(
                "04",
                "Edit",
                file_path="/home/kim/throttle/src/throttle/bucket.py",
                old_string="        self._tokens += (now - self._last) * self.rate\n        self._last = now",
                new_string="        self._tokens = min(self.size, self._tokens + (now - self._last) * self.rate)\n        self._last = now",
            ),
            call(
                "05",
                "Write",
                file_path="/home/kim/throttle/tests/test_idle.py",
                content='"""Idling saves nothing up."""\n\nfrom throttle.bucket import Bucket\n\n\ndef test_idle_does_not_save_up(clock):\n    bucket = Bucket(rate=2, size=5, clock=clock)\n    clock.advance(3600)\n    assert sum(bucket.take() for _ in range(100)) == 5\n',
            ),
            call("06", "Bash", command="pytest -q --color=yes", description="Run the tests"),
        ],
        [
            result("04", "The file was changed."),
            result("05", "The file was written."),
            result("06", FAILED, error=True),
        ],
    ),
    (
        [
            text("As expected: the test needs the clock. While I change that, a subagent can look for other callers of `Bucket`."),
            call(
                "07",
                "MultiEdit",
                file_path="/home/kim/throttle/src/throttle/bucket.py",
                edits=[
                    {"old_string": "from dataclasses import dataclass, field\nfrom time import monotonic", "new_string": "from collections.abc import Callable\nfrom dataclasses import dataclass, field\nfrom time import monotonic"},
                    {"old_string": "    _last: float = field(default_factory=monotonic)", "new_string": "    clock: Callable[[], float] = monotonic\n    _last: float = field(init=False)"},
                    {"old_string": "        now = monotonic()", "new_string": "        now = self.clock()", "replace_all": True},
                ],
            ),
            call("08", "Task", description="Find callers of Bucket", subagent_type="search", prompt="Find every place in /home/kim/throttle that makes a Bucket, and say whether a new keyword argument `clock` would break it."),
        ],
        [
            result("07", "3 edits were made."),
            result("08", [text("Two places make a `Bucket`: `src/throttle/middleware.py:18` and `bench/load.py:9`. Both use keywords, so a new optional argument breaks neither.")]),
        ],
    ),
    (
        [
            todo("09", "completed", "completed", "completed", "in_progress"),
            call("10", "Bash", command="pytest -q --color=yes && git diff --stat", description="Run the tests, show what changed"),
        ],
        [result("09", "The list was written."), result("10", PASSED + "\n src/throttle/bucket.py | 9 +++++----\n 1 file changed, 5 insertions(+), 4 deletions(-)")],
    ),
]  # fmt: skip
FINAL = (
    "Fixed. While nobody called, `Bucket` went on adding tokens without a ceiling; after an hour it held 18,000 of them, and the next"
    " 400 calls all went through.\n\n| | before | after |\n|:--|--:|--:|\n| tokens after an hour idle | 18,000 | 5 |\n"
    "| calls let through at once | 400 | 5 |\n\n```python\nself._tokens = min(self.size, self._tokens + (now - self._last) * self.rate)\n```\n\n"
    "What I changed:\n\n1. `bucket.py` caps tokens at `size`.\n2. `clock` is a parameter now; both callers use keywords, so nothing breaks.\n"
    "3. `test_idle.py` failed before and passes now.\n\nI did **not** touch the limits themselves."
)
SUBAGENT = [
    (
        [call("s1", "Grep", pattern="Bucket\\(", path="/home/kim/throttle")],
        [result("s1", "src/throttle/middleware.py:18:    bucket = Bucket(rate=limit.rate, size=limit.burst)\nbench/load.py:9:bucket = Bucket(rate=1000, size=50)")],
    ),
]  # fmt: skip
FOUND = "Two places make a `Bucket`: `src/throttle/middleware.py:18` and `bench/load.py:9`. Both use keywords, so a new optional argument breaks neither."


@define
class Teller:
    """Tells stories.

    :ivar now: seconds since the epoch at which the next thing happens.
    :ivar told: the exchanges so far.
    """

    now: float
    told: list[Prepared] = field(factory=list)
    _enrich: Enrichment = field(factory=lambda: Enrichment(_prices()))
    _cached: dict[str, int] = field(factory=dict)
    _count: int = 0

    def exchange(
        self,
        request: JSON | bytes,
        pieces: Sequence[tuple[float, bytes]],
        *,
        headers: Sequence[tuple[str, str]] = (),
        kind: str = "text/event-stream",
        **fields: Any,
    ) -> Exchange:
        """Record an exchange.

        :param pieces: milliseconds and bytes.
        """
        self._count += 1
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        end = pieces[-1][0] + 2 if pieces else 30.0
        values: JSON = {
            "id": f"{int(self.now * 1000):013x}{self._count:04x}",
            "request_id": f"req_{self._count:06d}",
            "started_at": rfc3339(self.now),
            "finished_at": rfc3339(self.now + end / 1000),
            "outcome": "ok",
            "status": 200,
            "method": "POST",
            "path": "/v1/messages",
            "dialect": "anthropic",
            "stream": kind == "text/event-stream",
            "provider": "anthropic",
            "tries": 1,
            "ttft_ms": pieces[0][0] if pieces else None,
            "connect_ms": 14.2,
            "headers_ms": pieces[0][0] - 8 if pieces else None,
            "duration_ms": end,
            "request_bytes": len(body),
            "response_bytes": sum(len(data) for _, data in pieces),
            "client": Client("127.0.0.1", "claude-cli/2.1.197 (external, cli)"),
            "request_headers": [
                ("content-type", "application/json"),
                ("anthropic-version", "2023-06-01"),
                ("x-api-key", "***"),
                ("user-agent", "claude-cli/2.1.197 (external, cli)"),
                *headers,
            ],
            "response_headers": [("content-type", kind), ("request-id", f"req_up_{self._count}")],
        }
        values |= fields
        if isinstance(request, dict):
            values.setdefault("model", request.get("model"))
        values.setdefault("routed_model", values.get("model"))
        x = Exchange(**values)
        final = x.outcome != "running"
        sent = Pieces(tuple(at for at, _ in pieces), tuple(data for _, data in pieces))
        entry = Entry(x, "1-a", final, body, None, sent)
        try:
            self.told.append(prepare(entry, body, self._enrich))
        except RecursionError:  # as the indexer does it with what nobody can read
            self.told.append(bare(entry))
        self.now += end / 1000 + 0.4
        return x

    def messages(
        self,
        messages: list[JSON],
        answer: list[JSON],
        *,
        model: str = SONNET,
        agent: str | None = None,
        system: Any = SYSTEM,
        tools: Any = TOOLS,
        pace: float = 22.0,
        break_cache: bool = False,
        **fields: Any,
    ) -> Exchange:
        """Record a turn of the coding agent: the last message gets a breakpoint, as its client does it."""
        marked = [*messages[:-1], _marked(messages[-1])]
        request: JSON = {
            "model": model,
            "max_tokens": 32000,
            "messages": marked,
            "system": system,
            "tools": tools,
            "metadata": {"user_id": json.dumps({"session_id": SESSION})},
            "thinking": {"type": "enabled", "budget_tokens": 8000},
            "temperature": 1,
            "stream": True,
        }
        size = len(json.dumps(request)) // 4
        key = f"{model} {agent}"
        read = 0 if break_cache else self._cached.get(key, 0)
        written = max(0, size - read - 6)
        self._cached[key] = read + written
        output = max(1, len(json.dumps(answer)) // 4)
        usage = {
            "input_tokens": 6,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": output,
        }
        headers = [("x-claude-code-session-id", SESSION)]
        if agent is not None:
            headers.append(("x-claude-code-agent-id", agent))
            fields.setdefault("agent_id", agent)
        fields.setdefault("usage", Usage(6, output, read, written))
        fields.setdefault("session_id", SESSION)
        pieces = stream(answer, model, usage, pace=pace)
        return self.exchange(request, pieces, headers=headers, query="beta=true", **fields)


def _marked(message: JSON) -> JSON:
    content = message["content"]
    blocks = [text(content)] if isinstance(content, str) else list(content)
    blocks[-1] = {**blocks[-1], "cache_control": {"type": "ephemeral"}}
    return {**message, "content": blocks}


def frame(name: str, **members: Any) -> bytes:
    """Make an event of Anthropic's stream."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **members})}\n\n".encode()


def stream(
    answer: Sequence[JSON], model: str, usage: JSON, pace: float = 22.0, first: float = 840.0
) -> list[tuple[float, bytes]]:
    """Make Anthropic's stream of an answer.

    :param pace: milliseconds between two pieces.
    """
    at = first
    started = {**usage, "output_tokens": 1}
    message: JSON = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
    }
    message |= {"stop_reason": None, "stop_sequence": None, "usage": started}
    pieces = [(at, frame("message_start", message=message))]
    reason = "end_turn"
    for index, block in enumerate(answer):
        kind = block["type"]
        empty = {
            **block,
            **{"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(
                kind, {"input": {}}
            ),
        }
        at += 4
        pieces.append((at, frame("content_block_start", index=index, content_block=empty)))
        member, name, whole = {
            "text": ("text", "text_delta", block.get("text", "")),
            "thinking": ("thinking", "thinking_delta", block.get("thinking", "")),
        }.get(kind, ("partial_json", "input_json_delta", json.dumps(block.get("input"))))
        for start in range(0, len(whole), 24):
            at += pace if start % 240 else pace * 4
            if start == 480:
                at += 1300
            delta = {"type": name, member: whole[start : start + 24]}
            pieces.append((at, frame("content_block_delta", index=index, delta=delta)))
        if kind == "thinking":
            delta = {"type": "signature_delta", "signature": block["signature"]}
            pieces.append((at, frame("content_block_delta", index=index, delta=delta)))
        if kind == "tool_use":
            reason = "tool_use"
        pieces.append((at + 1, frame("content_block_stop", index=index)))
    ended = {"stop_reason": reason, "stop_sequence": None}
    pieces.append((at + 6, frame("message_delta", delta=ended, usage=usage)))
    pieces.append((at + 7, frame("message_stop")))
    return pieces


def coding(teller: Teller) -> list[Exchange]:
    """Tell of the agent that mends the rate limiter: a title, its turns, a subagent, a branch."""
    title = {
        "model": HAIKU,
        "max_tokens": 512,
        "system": [
            text("Generate a concise, sentence-case title (3-7 words) for this coding session.")
        ],
        "messages": [{"role": "user", "content": QUESTION}],
        "output_config": {"format": {"type": "json_schema", "schema": _schema(title="the title")}},
        "metadata": {"user_id": json.dumps({"session_id": SESSION})},
        "stream": True,
    }
    usage = {"input_tokens": 210, "output_tokens": 14}
    named = [text('{"title": "Cap the rate limiter\'s burst after idling"}')]
    headers = [("x-claude-code-session-id", SESSION)]
    found = [
        teller.exchange(
            title,
            stream(named, HAIKU, usage, first=310),
            headers=headers,
            usage=Usage(210, 14),
            session_id=SESSION,
        )
    ]
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": png()},
    }
    history: list[JSON] = [{"role": "user", "content": [text(REMINDER + QUESTION), picture]}]
    for number, (answer, results) in enumerate(STEPS):
        found.append(teller.messages(history, answer))
        if number == 3:
            found += _subagent(teller)
        history = [
            *history,
            {"role": "assistant", "content": answer},
            {"role": "user", "content": results},
        ]
    teller.now += 400  # long enough for a cache to go
    found.append(teller.messages(history, [text(FINAL)], break_cache=True))
    history = [*history, {"role": "assistant", "content": [text(FINAL)]}]
    thanks = [
        *history,
        {"role": "user", "content": "Thanks. Please also say in the changelog what was wrong."},
    ]
    found.append(teller.messages(thanks, [text("Done: one line under *Fixed*."), call("11", "Bash", command="git add -A && git status --short", description="See what is staged")]))  # fmt: skip
    other = [
        *history,
        {"role": "user", "content": "Could you show me the final `take` as a whole?"},
    ]
    found.append(teller.messages(other, [text("```python\ndef take(self) -> bool:\n    now = self.clock()\n    self._tokens = min(self.size, self._tokens + (now - self._last) * self.rate)\n    self._last = now\n    if self._tokens < 1:\n        return False\n    self._tokens -= 1\n    return True\n```")]))  # fmt: skip
    return found


def _subagent(teller: Teller) -> list[Exchange]:
    prompt = STEPS[3][0][2]["input"]["prompt"]
    history: list[JSON] = [{"role": "user", "content": prompt}]
    system = [text("You are a search agent. Answer with places in files.")]
    found = []
    for answer, results in SUBAGENT:
        found.append(
            teller.messages(history, answer, agent="a7f3c1d2e4", system=system, model=HAIKU)
        )
        history = [
            *history,
            {"role": "assistant", "content": answer},
            {"role": "user", "content": results},
        ]
    found.append(
        teller.messages(history, [text(FOUND)], agent="a7f3c1d2e4", system=system, model=HAIKU)
    )
    return found


def chatting(teller: Teller) -> Exchange:
    """Tell of a chat with a picture, in Chat Completions, translated from another provider."""
    request = {
        "model": GPT,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "messages": [
            {"role": "system", "content": "You are a friendly assistant. Answer in Markdown."},
            {"role": "user", "content": [{"type": "text", "text": "What is in this picture?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(120, 60)}"}}]},
        ],
    }  # fmt: skip
    words = "A **bar chart**: blue bars of ordinary height, and four red ones that reach the top. Something *burst* there."
    deltas = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Bars, two colours. Four of them are cut off at the top."},
    ]
    deltas += [{"content": words[start : start + 12]} for start in range(0, len(words), 12)]
    pieces = [
        (620 + 31.0 * n, b"data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": GPT, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n")
        for n, delta in enumerate(deltas)
    ]  # fmt: skip
    counted = {
        "prompt_tokens": 1830,
        "completion_tokens": 64,
        "total_tokens": 1894,
        "prompt_tokens_details": {"cached_tokens": 1024},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    last = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": GPT,
    }
    at = pieces[-1][0]
    pieces.append(
        (
            at + 30,
            b"data: "
            + json.dumps(
                {**last, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            ).encode()
            + b"\n\n",
        )
    )
    pieces.append(
        (
            at + 31,
            b"data: "
            + json.dumps({**last, "choices": [], "usage": counted}).encode()
            + b"\n\ndata: [DONE]\n\n",
        )
    )
    return teller.exchange(
        request,
        pieces,
        path="/v1/chat/completions",
        dialect="openai_chat",
        provider="openai",
        usage=Usage(806, 64, 1024, 0, 20),
        client=Client("127.0.0.1", "Open WebUI"),
        request_headers=[("content-type", "application/json"), ("authorization", "***")],
    )


PATCH = "*** Begin Patch\n*** Update File: src/throttle/middleware.py\n@@ def limit\n-    bucket = Bucket(rate=limit.rate, size=limit.burst)\n+    bucket = Bucket(rate=limit.rate, size=limit.burst, clock=clock)\n*** Add File: CHANGES\n+Fixed: idling saved tokens up.\n*** End Patch\n"


def responding(teller: Teller) -> Exchange:
    """Tell of an agent of the Responses API: a plan, a patch, reasoning."""
    request = {
        "model": "gpt-5-codex",
        "instructions": "You are a coding agent that runs in a terminal.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions instructions>\nYou may write below the working directory.\n</permissions instructions>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Pass the clock on in the middleware."}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "**Looking at the middleware**\n\nIt makes the bucket itself."}], "encrypted_content": "gAAAA" * 40},
            {"type": "function_call", "call_id": "c1", "name": "update_plan", "arguments": json.dumps({"explanation": "Two steps.", "plan": [{"step": "Read the middleware", "status": "completed"}, {"step": "Pass the clock", "status": "in_progress"}]})},
            {"type": "function_call_output", "call_id": "c1", "output": "Plan updated"},
            {"type": "function_call", "call_id": "c2", "name": "shell", "arguments": json.dumps({"command": ["bash", "-lc", "sed -n 10,30p src/throttle/middleware.py"], "workdir": "/home/kim/throttle"})},
            {"type": "function_call_output", "call_id": "c2", "output": json.dumps({"output": "def limit(limit, clock):\n    bucket = Bucket(rate=limit.rate, size=limit.burst)\n", "metadata": {"exit_code": 0, "duration_seconds": 0.1}})},
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "Run a command.", "parameters": _schema(command="the command"), "strict": False},
            {"type": "custom", "name": "apply_patch", "description": "Change files.", "format": {"type": "grammar", "syntax": "lark", "definition": "start: patch"}},
        ],
        "reasoning": {"effort": "medium", "summary": "auto"},
        "parallel_tool_calls": False,
        "store": False,
        "stream": True,
        "prompt_cache_key": "0199-cache",
    }  # fmt: skip
    output: list[JSON] = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "**Writing the patch**"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "One line changes; I note it in `CHANGES`, too.", "annotations": []}]},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c3", "name": "apply_patch", "input": PATCH, "status": "completed"},
    ]  # fmt: skip
    usage = {
        "input_tokens": 5210,
        "input_tokens_details": {"cached_tokens": 4608},
        "output_tokens": 180,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 5390,
    }
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1790000000,
        "model": "gpt-5-codex",
        "status": "in_progress",
        "output": [],
    }
    pieces = [(900.0, _event("response.created", 0, response=response))]
    at, number = 900.0, 1
    for index, item in enumerate(output):
        at += 80
        pieces.append(
            (at, _event("response.output_item.added", number, output_index=index, item=item))
        )
        if item["type"] == "message":
            words = item["content"][0]["text"]
            for start in range(0, len(words), 9):
                at, number = at + 25, number + 1
                pieces.append(
                    (
                        at,
                        _event(
                            "response.output_text.delta",
                            number,
                            item_id="msg_1",
                            output_index=index,
                            content_index=0,
                            delta=words[start : start + 9],
                        ),
                    )
                )
        number += 2
        pieces.append(
            (at + 1, _event("response.output_item.done", number, output_index=index, item=item))
        )
    done = {**response, "status": "completed", "output": output, "usage": usage}
    pieces.append((at + 12, _event("response.completed", number + 1, response=done)))
    return teller.exchange(
        request,
        pieces,
        path="/v1/responses",
        dialect="openai_responses",
        provider="openai",
        usage=Usage(602, 180, 4608, 0, 64),
        client=Client("127.0.0.1", "codex_cli_rs/0.169.0"),
        request_headers=[
            ("content-type", "application/json"),
            ("authorization", "***"),
            ("session-id", "0199a213-81c0"),
        ],
    )


def _event(name: str, number: int, **members: Any) -> bytes:
    data = json.dumps({"type": name, "sequence_number": number, **members})
    return f"event: {name}\ndata: {data}\n\n".encode()


def failing(teller: Teller) -> list[Exchange]:
    """Tell of what goes wrong: overload, a caller that leaves, a broken stream, a refused key."""
    ask = {
        "model": SONNET,
        "max_tokens": 100,
        "stream": True,
        "messages": [{"role": "user", "content": "Are you there?"}],
    }
    overloaded = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_x"}'
    return [
        teller.exchange(ask, [(210.0, overloaded)], kind="application/json", outcome="error", status=529, tries=3, error="overloaded_error: Overloaded", session_id=None),
        teller.exchange(ask, stream([text("Yes, I am here, and")], SONNET, {"input_tokens": 12, "output_tokens": 6})[:-2], outcome="client_gone", status=499, usage=Usage(12, 6, complete=False), error="the caller left"),
        teller.exchange(ask, stream([text("Yes, I")], SONNET, {"input_tokens": 12, "output_tokens": 3})[:-3], outcome="error", usage=Usage(12, 1, complete=False), error="the upstream broke off after the headers"),
        teller.exchange({"model": GPT, "messages": [{"role": "user", "content": "Hello?"}]}, [(95.0, b'{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}')], kind="application/json", path="/v1/chat/completions", dialect="openai_chat", provider="openai", outcome="error", status=401, error="Incorrect API key provided."),
        teller.exchange({"model": SONNET, "messages": [{"role": "user", "content": "count me"}]}, [(60.0, b'{"input_tokens":11}')], kind="application/json", path="/v1/messages/count_tokens"),
        teller.exchange(b"", [(40.0, b'{"data":[{"id":"claude-sonnet-4-5","display_name":"Claude Sonnet 4.5"}],"has_more":false}')], kind="application/json", method="GET", path="/v1/models", dialect="anthropic", model=None),
    ]  # fmt: skip


XSS = "<script>window.broken=1</script><img src=x onerror=window.broken=1>\"'><svg onload=window.broken=1>"
MARKDOWN = (
    "[click](javascript:window.broken=1) [data](data:text/html,<script>window.broken=1</script>)"
    " <javascript:window.broken=1> ![x](http://evil.example/track.png) [home](/ui/logout)\n\n"
    "<iframe src=//evil.example></iframe>\n\n[ref]: javascript:window.broken=1\n[ref]\n\n"
    "```html\n<script>window.broken=1</script>\n```\n\n# <img src=x onerror=window.broken=1>\n"
)
ANSI = "\x1b[31mred\x1b[0m \x1b]8;;javascript:window.broken=1\x07link\x1b]8;;\x07 \x1b[2J\x1b]0;title\x07 \u202egnp.exe\u202c \x00\x07\x08"


def hostile(teller: Teller) -> list[Exchange]:
    """Tell of prompts that were made to break a page."""
    evil = XSS + MARKDOWN
    fake = base64.b64encode(b"GIF87 no image at all <script>").decode()
    torn = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"torn" * 40).decode()
    drawing = base64.b64encode(
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.broken=1'/>"
    ).decode()
    images = [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": f"image/png{XSS}", "data": data},
        }
        for data in (fake, torn, drawing, "%%%", "")
    ]
    images.append(
        {"type": "image", "source": {"type": "url", "url": "http://evil.example/pixel.png"}}
    )
    call_ = call(
        "x1",
        f"Edit{XSS}",
        file_path=f"/tmp/{XSS}",
        old_string=evil,
        new_string=evil + ANSI,
        **{XSS: evil},
    )
    todo_ = call(
        "x2",
        "TodoWrite",
        todos=[{"content": evil, "status": XSS}, {"content": ANSI, "status": "completed"}],
    )
    content = [
        text(evil),
        text(ANSI),
        text(f"<system-reminder>{evil}</system-reminder>"),
        *images,
        {"type": XSS, "x": evil},
    ]
    content.append(
        {
            "type": "document",
            "title": XSS,
            "source": {"type": "text", "media_type": XSS, "data": evil},
        }
    )
    messages: list[JSON] = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [thought(evil), call_, todo_]},
        {
            "role": "user",
            "content": [result("x1", ANSI + evil, error=True), result("x2", [*images, text(evil)])],
        },
        {"role": XSS, "content": evil},
        {"role": "user", "content": "x" * 5_000_000},
    ]
    tools = [{"name": XSS, "description": evil, "input_schema": {XSS: evil}}]
    strange: JSON = {
        "model": SONNET,
        "messages": 7,
        "system": {"a": 1},
        "tools": "none",
        "max_tokens": [],
        XSS: evil,
    }
    odd: list[Any] = [
        5,
        None,
        "text",
        [],
        {},
        {"role": 3, "content": 4},
        {"role": "user", "content": {"a": [1]}},
        {"content": [None, 1, "x", {}, {"type": 5}, {"type": "tool_result", "content": 8}]},
    ]
    deep = b'{"model":"m","messages":[{"role":"user","content":' + b"[" * 900 + b"]" * 900 + b"}]}"
    lone = b'{"model":"m","messages":[{"role":"user","content":"\\ud800 \\u0000 lone"}],"n":NaN,"i":123456789012345678901234567890}'
    chat: JSON = {
        "model": XSS,
        "messages": [
            {
                "role": "user",
                "name": XSS,
                "content": [
                    {"type": "image_url", "image_url": {"url": "javascript:window.broken=1"}},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/svg+xml;base64,{drawing}"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": f"<think>{evil}</think>{evil}",
                "tool_calls": [
                    {"id": 5, "function": {"name": XSS, "arguments": "{not json" + evil}},
                    7,
                ],
            },
        ],
    }
    responses: JSON = {
        "model": XSS,
        "instructions": evil,
        "input": [
            *odd,
            {"type": "function_call_output", "output": {"x": evil}},
            {"type": "apply_patch_call", "operation": {"diff": evil}},
            {"type": "reasoning", "summary": 4},
        ],
    }
    return [
        teller.messages(messages, [text(evil), thought(evil), call("x3", XSS, command=evil)], model=XSS, tools=tools, system=evil, agent=XSS, session_id=None, provider=XSS, error=evil, outcome="error"),
        teller.exchange(strange, stream([text(ANSI)], SONNET, {"output_tokens": -1})),
        teller.exchange({"model": SONNET, "messages": odd}, [(5.0, b"event: content_block_delta\ndata: {{{\n\n"), (6.0, b"\xff\xfe\x00")]),
        teller.exchange(deep, [(9.0, b"{" * 2000)], kind="application/json"),
        teller.exchange(lone, [(9.0, b'{"type":"error","error":{"type":"x","message":' + json.dumps(evil).encode() + b"}}")], kind="application/json", outcome="error", status=400),
        teller.exchange(b"\x00\x01 no json at all " + XSS.encode(), [(3.0, XSS.encode())], kind="text/html", dialect=None, path=f"/v1/{XSS}"),
        teller.exchange(chat, [(9.0, json.dumps({"choices": [{"message": {"content": evil, "refusal": 4, "tool_calls": 5}}, 7, {"message": 8}], "usage": evil}).encode())], kind="application/json", dialect="openai_chat", path="/v1/chat/completions", request_headers=[("x-evil", XSS), ("content-type", XSS)]),
        teller.exchange(responses, [(9.0, json.dumps({"output": [*odd, {"type": "message", "content": [{"type": "output_text", "text": evil, "annotations": [{"url": "javascript:window.broken=1", "title": XSS}]}]}], "status": XSS}).encode())], kind="application/json", dialect="openai_responses", path="/v1/responses"),
    ]  # fmt: skip
