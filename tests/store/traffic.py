"""Exchanges as an indexer would bring them in, for tests of what is made of them."""

from __future__ import annotations

import json
from typing import Any

from clawproxy import prices
from clawproxy.core.record import Exchange
from clawproxy.store.conversation_enrich import Enrichment
from clawproxy.store.entry import Entry
from clawproxy.store.pieces import Pieces
from clawproxy.store.preparation import prepare
from clawproxy.store.protocol import Store
from tests.store.samples import exchange


class Traffic:
    """Bring exchanges into a store, one after the other.

    :ivar enrichment: the indexer's memory; a new one is a restarted indexer.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.enrichment = Enrichment(prices.load())
        self.count = 0

    def restart(self) -> None:
        """Forget what was seen, as a restarted indexer has."""
        self.enrichment = Enrichment(prices.load())

    async def bring(self, body: bytes, answer: bytes, **fields: Any) -> Exchange:
        """Bring in an exchange with these bytes."""
        self.count += 1
        made = exchange(self.count, request_bytes=len(body), **fields)
        entry = Entry(made, "1-a", True, body, None, Pieces((1.5,), (answer,)))
        await self.enrichment.recall(self.store, made, body)
        await self.store.ingest([prepare(entry, body, self.enrichment)])
        return made

    async def ask(
        self,
        messages: list[Any],
        answer: Any = "Yes.",
        more: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Exchange:
        """Bring in an Anthropic request with these messages; texts are a user's and an assistant's in turn.

        :param answer: the answer's text, or its content blocks.
        :param more: further members of the request.
        """
        listed = [
            {"role": ("user", "assistant")[at % 2], "content": each}
            if isinstance(each, str)
            else each
            for at, each in enumerate(messages)
        ]
        body = {"model": "claude-sonnet-4-5", **(more or {}), "messages": listed}
        content = [{"type": "text", "text": answer}] if isinstance(answer, str) else answer
        done = {
            "id": f"msg_{self.count + 1}",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": content,
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
        return await self.bring(json.dumps(body).encode(), json.dumps(done).encode(), **fields)
