"""Answers that every vendor can give in one way or another; each is a scenario of the suite."""

from __future__ import annotations

from tests.conformance.scripts import Answer, Call, Refusal, Text, Thinking

WEATHER = Call("call_w1", "weather", ('{"city"', ': "Pa', 'ris"}'))
CLOCK = Call("call_c2", "clock", ('{"zone":', ' "UTC"}'))
NOTHING = Call("call_n3", "nothing", ())

ANSWERS = (
    Answer("text", (Text(("Hel", "lo", ", world.")),)),
    Answer("text of one piece", (Text(("Hello.",)),)),
    Answer("no text at all", ()),
    Answer("text of many pieces", (Text(tuple(f"w{n} " for n in range(300))),)),
    Answer("a piece of spaces", (Text(("a", " ", "\n\n", "b")),)),
    Answer("unicode", (Text(("Grüße, ", "日本", "語 ", "\u2028", "👩\u200d👧 ", "\U0001f600")),)),
    Answer("quotes and control characters", (Text(('"\\', "\t\x01", "</script>", "\x7f")),)),
    Answer("text like SSE", (Text(("data: [DONE]\n\n", "event: error\ndata: x\n\n")),)),
    Answer("two texts", (Text(("One.",)), Text(("Two.",)))),
    Answer("max_tokens", (Text(("Half a sent",)),), "max_tokens"),
    Answer("max_tokens before any text", (), "max_tokens"),
    Answer("stop sequence", (Text(("Until",)),), "stop_sequence"),
    Answer("context window full", (Text(("Too",)),), "context_window"),
    Answer("pause_turn", (Text(("Wait",)),), "pause_turn", upstreams=("anthropic",)),
    Answer("refused by a filter", (Text(("I w",)),), "refusal"),
    Answer("refused by a filter at once", (), "refusal"),
    Answer(
        "refusal in words",
        (Refusal(("I can", "not.")),),
        upstreams=("openai_chat", "openai_responses"),
    ),
    Answer("one call", (WEATHER,), "tool_use"),
    Answer("text and a call", (Text(("Let me see.",)), WEATHER), "tool_use"),
    Answer("parallel calls", (WEATHER, CLOCK), "tool_use"),
    Answer("interleaved calls", (WEATHER, CLOCK, NOTHING), "tool_use", interleaved=True),
    Answer(
        "text and interleaved calls",
        (Text(("Hm.",)), CLOCK, WEATHER),
        "tool_use",
        interleaved=True,
    ),
    Answer("call without arguments", (NOTHING,), "tool_use"),
    Answer("call of empty object", (Call("call_1", "nothing", ("{}",)),), "tool_use"),
    Answer(
        "arguments in one piece", (Call("call_1", "weather", ('{"city": "Rome"}',)),), "tool_use"
    ),
    Answer(
        "arguments character by character",
        (Call("call_1", "weather", tuple('{"city": "Köln 👋", "n": [1, {"a": null}]}')),),
        "tool_use",
    ),
    Answer(
        "big integers in arguments",
        (
            Call(
                "call_1",
                "count",
                ('{"n": 123456789012345678901234567890, ', '"m": 9007199254740993}'),
            ),
        ),
        "tool_use",
    ),
    Answer(
        "deep arguments",
        (Call("call_1", "deep", ('{"a": ' * 20 + "1" + "}" * 20,)),),
        "tool_use",
    ),
    Answer(
        "many calls",
        tuple(Call(f"call_{n}", "weather", ('{"city": "X"}',)) for n in range(12)),
        "tool_use",
    ),
    Answer("call of a long name", (Call("call_1", "n" * 64, ("{}",)),), "tool_use"),
    Answer(
        "thinking", (Thinking(("Let me", " think.")), Text(("Done.",))), usage=(5, 40, 0, 0, 30)
    ),
    Answer("thinking and a call", (Thinking(("Look it up.",)), WEATHER), "tool_use"),
    Answer("thinking alone", (Thinking(("Hmm.",)),), "max_tokens"),
    Answer("usage with cache", (Text(("Hi",)),), usage=(10, 5, 2000, 300, 0)),
    Answer("usage all from cache", (Text(("Hi",)),), usage=(0, 5, 4000, 0, 0)),
    Answer("usage with reasoning", (Text(("42",)),), usage=(10, 900, 0, 0, 890)),
    Answer("usage missing", (Text(("Hi",)),), usage=None),
    Answer("large usage", (Text(("Hi",)),), usage=(1_000_000, 128_000, 0, 0, 0)),
)
