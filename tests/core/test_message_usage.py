"""Token counts, as vendors and their imitators tell them."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.openai_chat_usage import read_usage
from clawproxy.core.message_usage import usage_of

IMITATORS: tuple[tuple[str, dict[str, Any], tuple[int, int, int, int, int]], ...] = (
    (
        "xAI counts the reasoning beside the completion",
        {
            "prompt_tokens": 10120,
            "completion_tokens": 1499,
            "total_tokens": 14428,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 2809},
        },
        (9992, 4308, 128, 0, 2809),
    ),
    (
        "Gemini counts it in the total alone",
        {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 250},
        (7, 243, 0, 0, 238),
    ),
    (
        "Gemini, when nothing but thinking came",
        {"prompt_tokens": 7, "total_tokens": 107},
        (7, 100, 0, 0, 100),
    ),
    (
        "OpenAI counts it in the completion",
        {
            "prompt_tokens": 20,
            "completion_tokens": 30,
            "total_tokens": 50,
            "completion_tokens_details": {"reasoning_tokens": 10},
        },
        (20, 30, 0, 0, 10),
    ),
    (
        "a gateway whose prompt leaves out the cache",
        {
            "prompt_tokens": 20,
            "completion_tokens": 30,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 100},
        },
        (0, 30, 100, 0, 0),
    ),
    (
        "Moonshot tells its cache beside the details",
        {
            "prompt_tokens": 2000,
            "completion_tokens": 3,
            "total_tokens": 2003,
            "cached_tokens": 1792,
        },
        (208, 3, 1792, 0, 0),
    ),
    (
        "writes of a cache under another name",
        {
            "prompt_tokens": 100,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cache_creation_tokens": 60},
        },
        (40, 3, 0, 60, 0),
    ),
)


class ImitatorTests(SynchronousTestCase):
    """Servers that count otherwise than OpenAI does."""

    def test_recorded(self) -> None:
        """A record counts what is billed."""
        for whose, told, counts in IMITATORS:
            found = usage_of("openai_chat", told)
            assert found is not None
            self.assertEqual(
                (
                    found.input_tokens,
                    found.output_tokens,
                    found.cache_read_input_tokens,
                    found.cache_creation_input_tokens,
                    found.reasoning_tokens,
                ),
                counts,
                whose,
            )

    def test_translated(self) -> None:
        """A caller of another dialect is told the same."""
        for whose, told, counts in IMITATORS:
            found = read_usage(msgspec.Raw(msgspec.json.encode(told)))
            assert found is not None
            self.assertEqual(
                (
                    found.input_tokens,
                    found.output_tokens,
                    found.cache_read_input_tokens or 0,
                    found.cache_creation_input_tokens or 0,
                    found.reasoning_tokens or 0,
                ),
                counts,
                whose,
            )

    def test_no_reports(self) -> None:
        """A total by itself says nothing of the answer."""
        self.assertIsNone(read_usage(msgspec.Raw(b'{"total_tokens":5}')))
        found = usage_of("openai_chat", {"total_tokens": 5})
        assert found is not None
        self.assertEqual(found.output_tokens, 0)
