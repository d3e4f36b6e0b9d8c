"""Answers as a whole: stream events or a body to the finished message, in each dialect.

1. :func:`accumulator` gives what puts a stream's events together.
2. :func:`read_message` reads an answer that came as one body.

Both end in a :class:`~clawproxy.core.message_base.Finished`: records, conversations and demoted
calls are made from it. Nothing that an upstream may send raises.
"""

from __future__ import annotations

from clawproxy.core.dialects import DialectName
from clawproxy.core.jsonread import JSONError
from clawproxy.core.message_anthropic import AnthropicAccumulator, read_anthropic
from clawproxy.core.message_base import MAX_MESSAGE, Accumulator, Finished
from clawproxy.core.message_chat import ChatAccumulator, read_chat
from clawproxy.core.message_responses import ResponsesAccumulator, read_responses

__all__ = ["MAX_MESSAGE", "Accumulator", "Finished", "accumulator", "read_message"]

_ACCUMULATORS: dict[DialectName, type[Accumulator]] = {
    "anthropic": AnthropicAccumulator,
    "openai_chat": ChatAccumulator,
    "openai_responses": ResponsesAccumulator,
}
_READERS = {
    "anthropic": read_anthropic,
    "openai_chat": read_chat,
    "openai_responses": read_responses,
}


def accumulator(dialect: DialectName, limit: int = MAX_MESSAGE) -> Accumulator:
    """Give an accumulator for one stream.

    :param limit: most bytes of events that it takes in; see
        :class:`~clawproxy.core.message_base.Accumulator`.
    """
    return _ACCUMULATORS[dialect](limit)


def read_message(dialect: DialectName, body: bytes) -> Finished:
    """Read an answer that came as one body; what is not JSON gives an incomplete nothing."""
    try:
        return _READERS[dialect](body)
    except JSONError:
        return Finished()
