"""Counting a prompt's tokens where the upstream cannot be asked: an estimate, and said to be one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.threads import deferToThreadPool

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward

ESTIMATED = b"x-clawproxy-estimated"
"""The answer's header that says that its numbers are an estimate."""


async def count_tokens(forward: Forward) -> None:
    """Answer a token count from the tokenizer, in a thread: a long prompt takes tens of milliseconds."""
    from clawproxy.core.tokens import estimate  # the vocabulary is loaded at the first count

    reactor: Any = forward.board.reactor
    count = await deferToThreadPool(
        reactor,
        reactor.getThreadPool(),
        estimate,
        "anthropic",
        forward.inbound.decoded,
        forward.exchange.routed_model or "",
    )
    answer = msgspec.json.encode({"input_tokens": count})
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(answer)),
        (ESTIMATED, b"true"),
    ]
    forward.send_head(200, b"OK", headers, stream=False, upstream=False)
    forward.write(answer)
    forward.end("ok")
