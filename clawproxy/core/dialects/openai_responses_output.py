"""The ``response`` object that grows while an answer is written, in a stream and without one.

1. :class:`ResponseObject` gives the object for each stage of an answer: what the request asked,
   repeated, the output items so far, status, usage.
2. Ids of output items come from the response's id, so that two runs over one stream are equal.

The object: https://platform.openai.com/docs/api-reference/responses/object.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.events import Stopped, TokenUsage
from clawproxy.core.dialects.openai_responses_request import ResponsesTurn
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import ProxyError

Json = dict[str, Any]

_INCOMPLETE = {
    "max_tokens": "max_output_tokens",
    "context_window": "max_output_tokens",
    "refusal": "content_filter",
}

_DEFAULTS: Json = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def usage_json(usage: TokenUsage) -> Json | None:
    """Return a whole ``usage`` object, ``None`` if nothing was reported."""
    if usage == TokenUsage():
        return None
    output = usage.output_tokens or 0
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_input_tokens or 0,
            "cache_write_tokens": usage.cache_creation_input_tokens or 0,
        },
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.prompt_tokens + output,
    }


def error_code(error: ProxyError) -> str:
    """Word a fault as a code of the API's ``error`` event and ``response.error``."""
    return error.code or error.kind.openai_code or error.kind.openai_type


class ResponseObject:
    """The answer to one request, as far as it has come.

    :ivar items: the output items that are done.
    """

    def __init__(self, turn: Turn, *, model: str, response_id: str, created: int) -> None:
        self.items: list[Json] = []
        self.usage = TokenUsage()
        self._head: Json = {
            "id": response_id,
            "object": "response",
            "created_at": created,
            "model": model,
        }
        self._echo = dict(_DEFAULTS)
        if isinstance(turn, ResponsesTurn):
            self._echo |= {name: msgspec.Raw(raw) for name, raw in turn.echo.items()}
        self._letters = "".join(c for c in response_id if c.isascii() and c.isalnum())[-40:]

    def item_id(self, prefix: str, index: int) -> str:
        """Name an output item.

        :param prefix: how ids of its kind begin; OpenAI refuses a history with other ones.
        """
        return f"{prefix}{self._letters}{index:02d}"

    def begun(self) -> Json:
        """Return the object of ``response.created`` and ``response.in_progress``."""
        return {**self._head, "status": "in_progress", "output": [], **self._echo, "usage": None}

    def alive(self) -> Json:
        """Return the least object that a client takes, for a ping."""
        return {
            **self._head,
            "status": "in_progress",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def ended(self, stopped: Stopped, *, refused: bool) -> Json:
        """Return the object of the terminal event, and the answer to a call without a stream.

        :param refused: the refusal stands in the output; the answer is whole then.
        """
        reason = None if refused else _INCOMPLETE.get(stopped.reason)
        return {
            **self._head,
            "status": "incomplete" if reason else "completed",
            "output": self.items,
            **self._echo,
            "incomplete_details": {"reason": reason} if reason else None,
            "usage": usage_json(self.usage),
        }

    def failed(self, error: ProxyError) -> Json:
        """Return the object of ``response.failed``."""
        return {
            **self._head,
            "status": "failed",
            "output": self.items,
            **self._echo,
            "error": {"code": error_code(error), "message": error.message},
            "usage": usage_json(self.usage),
        }
