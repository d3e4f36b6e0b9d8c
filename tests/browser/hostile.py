# ruff: noqa: E501 - what attackers send is not wrapped
"""What somebody who wants to harm the reader of a record would send, in every place that is shown."""

from __future__ import annotations

import json
from typing import Any

from clawproxy.core.record import Client
from tests.browser.recording import Script
from tests.dashboard.stories import GPT, JSON, SONNET, call, result, stream, text, thought

#: What each of these would set, if it ran.
MARK = "pwned"

#: A name on no network, which a page that loaded anything would ask for.
ELSEWHERE = "http://elsewhere.invalid"

SCRIPT = f"<script>window.{MARK}=1</script>"
IMAGE = f'<img src=x onerror="window.{MARK}=1">'
BREAKOUT = (
    f"\"'></textarea></title></style></template></details>{SCRIPT}{IMAGE}"
    f"<svg onload=window.{MARK}=1><a autofocus onfocus=window.{MARK}=1 tabindex=0>{{{{7*7}}}}"
)
MARKDOWN = f"""# A heading {SCRIPT}

[a link](javascript:window.{MARK}=1) [another](JaVaScRiPt&colon;window.{MARK}=1) [data](data:text/html,<script>window.{MARK}=1</script>)
[vb](vbscript:x) <javascript:window.{MARK}=1> [ref][r] ![picture]({ELSEWHERE}/picture.png) ![js](javascript:window.{MARK}=1)

[r]: javascript:window.{MARK}=1 "title"

<iframe src="javascript:window.{MARK}=1"></iframe><object data="{ELSEWHERE}/o"></object><base href="{ELSEWHERE}/">
<meta http-equiv="refresh" content="0;url={ELSEWHERE}/"><link rel=stylesheet href="{ELSEWHERE}/s.css">
<form action="{ELSEWHERE}"><button>Log in</button></form><style>*{{display:none}}</style>
{IMAGE}

```html"><script>window.{MARK}=1</script>
{SCRIPT}
```

| a | {SCRIPT} |
|---|---|
| {IMAGE} | [x](javascript:window.{MARK}=1) |
"""
ANSI = (
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;javascript:window.pwned=1\x1b\\link\x1b]8;;\x1b\\ \x1b[2J\x1b[H"
    "\x1b[38;5;999m \x1b[1;2;3;4;5;6;7;8;9;99999999m\x1b[ \x9b31m" + SCRIPT
)
BIDI = "invoice_\u202egpj.exe \u2066\u2067nested\u2069 \u200f\u05e9\u05dc\u05d5\u05dd \u202dleft"
ODD = (
    "nul\x00 bell\x07 delete\x7f \ufeff\u200b\u2028\u2029 \ufffe Z\u0351\u036b\u0343\u0352"
    + "\u0310" * 300
)
LONG = "A" * 5_000_000
SVG = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0id2luZG93LnB3bmVkPTEiLz4="
IMAGES = (
    ("image/png", "bm90IGEgcGljdHVyZQ=="),
    ("image/png", "%%% no base64 %%%"),
    ("image/svg+xml", SVG),
    ("text/html", "PHNjcmlwdD53aW5kb3cucHduZWQ9MTwvc2NyaXB0Pg=="),
    ('image/png" onerror="window.pwned=1', "iVBORw0KGgo="),
)


def _pictures() -> list[JSON]:
    given: list[JSON] = [
        {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
        for kind, data in IMAGES
    ]
    for address in (f"{ELSEWHERE}/p.png", f"javascript:window.{MARK}=1"):
        given.append({"type": "image", "source": {"type": "url", "url": address}})
    return given


def attack(script: Script) -> None:
    """Tell of a conversation that attacks wherever it can, in two dialects, and of errors that do."""
    everything = [text(each) for each in (SCRIPT, BREAKOUT, MARKDOWN, ANSI, BIDI, ODD)]
    tools = [
        {
            "name": f"Bash{IMAGE}"[:60],
            "description": MARKDOWN,
            "input_schema": {"type": "object", "title": BREAKOUT},
        }
    ]
    calls = [
        call("h1", "Bash", command=BREAKOUT, description=IMAGE),
        call("h2", "Edit", file_path=BREAKOUT, old_string=SCRIPT, new_string=IMAGE),
        call(
            "h3",
            "TodoWrite",
            todos=[{"content": BREAKOUT, "status": SCRIPT, "activeForm": IMAGE}, IMAGE, None],
        ),
        call("h4", SCRIPT, **{BREAKOUT: IMAGE, "nested": {SCRIPT: [BREAKOUT]}}),
        call("h5", "Edit", file_path=None, old_string=7, new_string=[]),
        call("h6", "Write", file_path="x.html", content=MARKDOWN),
    ]
    results = [
        result("h1", ANSI, error=True),
        result("h2", [text(BREAKOUT), *_pictures()]),
        result("h3", BIDI + ODD),
        result("h4", MARKDOWN),
        result("nobody", BREAKOUT),
    ]
    first: list[JSON] = [{"role": "user", "content": [*everything, *_pictures()]}]
    said = [thought(MARKDOWN), *everything, *calls]
    common: dict[str, Any] = {
        "model": f"claude-{BREAKOUT}"[:200],
        "system": [text(BREAKOUT), text(MARKDOWN)],
        "tools": tools,
    }
    client = Client("127.0.0.1", BREAKOUT)
    script.messages(first, said, agent="<script>alert(1)</script>", client=client, **common)
    history = [*first, {"role": "assistant", "content": said}, {"role": "user", "content": results}]
    script.messages(history, [text(MARKDOWN)], client=client, **common)
    script.messages(
        [{"role": "user", "content": [text(LONG)]}],
        [text("That was long. " + "b" * 200_000)],
        tools=None,
        system=SCRIPT,
    )
    _odd(script)


def _odd(script: Script) -> None:
    chat = {
        "model": GPT,
        "messages": [
            {"role": "system", "content": BREAKOUT},
            {"role": "user", "content": [{"type": "text", "text": MARKDOWN}, *({"type": "image_url", "image_url": {"url": url}} for url in (f"javascript:window.{MARK}=1", f"data:text/html,{SCRIPT}", f"{ELSEWHERE}/c.png", "data:image/svg+xml;base64," + SVG))]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": SCRIPT, "type": "function", "function": {"name": "Bash", "arguments": "{not json " + BREAKOUT}}]},
            {"role": "tool", "tool_call_id": SCRIPT, "content": BREAKOUT},
        ],
    }  # fmt: skip
    reply = {
        "id": SCRIPT,
        "model": IMAGE,
        "choices": [
            {
                "index": 0,
                "finish_reason": BREAKOUT,
                "message": {"role": "assistant", "content": MARKDOWN, "refusal": BREAKOUT},
            }
        ],
    }
    error = {"error": {"message": MARKDOWN, "type": BREAKOUT, "code": SCRIPT, "param": IMAGE}}
    page = f"<!doctype html><title>Bad gateway</title>{SCRIPT}{IMAGE}".encode()
    there: dict[str, Any] = {
        "path": "/v1/chat/completions",
        "dialect": "openai_chat",
        "provider": "openai",
        "kind": "application/json",
    }
    script.exchange(chat, [(5.0, json.dumps(reply).encode())], **there)
    script.exchange(chat, [(5.0, json.dumps(error).encode())], status=400, outcome="error", **there)
    script.exchange(
        chat, [(5.0, page)], status=502, outcome="error", **{**there, "kind": "text/html"}
    )
    bad: JSON = {"model": SONNET, "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": [{"type": SCRIPT, "x": BREAKOUT}, 7, None]}, "a message that is none", {"role": IMAGE, "content": {"an": "object"}}]}  # fmt: skip
    script.exchange(
        bad,
        [
            *stream([text(ANSI)], SONNET, {"input_tokens": 3, "output_tokens": 3})[:3],
            (900.0, b"event: <b>\ndata: {no json <script>\n\n\xff\xfe\n\n"),
        ],
    )
