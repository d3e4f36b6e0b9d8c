"""What the indexer finds out about a final exchange: its session and conversation, its kind, its cost.

:class:`Enrichment` is the indexer's hook (:data:`clawproxy.store.preparation.Enrich`). It remembers the histories it
has seen; what it has not seen, because it was restarted or another proxy served the turn before,
:meth:`Enrichment.recall` looks up in the store first.
"""

from __future__ import annotations

from collections.abc import Mapping

from clawproxy.core.jsonread import JSONError, read
from clawproxy.core.message_base import Finished
from clawproxy.core.pricing import PriceTable
from clawproxy.core.record import Exchange
from clawproxy.store.columns import milliseconds
from clawproxy.store.compression import Packer
from clawproxy.store.conversation import Said, answers, history, messages, said
from clawproxy.store.conversation_link import Asked, Threads
from clawproxy.store.conversation_session import is_claude_code, kind_of, session_of
from clawproxy.store.cost import cost_of
from clawproxy.store.parts import digest, split
from clawproxy.store.preparation import decoded
from clawproxy.store.protocol import Store
from clawproxy.store.reading import header

CANDIDATES = 5
"""Exchanges that are looked at to find the one a request goes on from."""
_RECALL = (
    "SELECT e.conversation_id, e.dialect, f.message FROM part p"
    " JOIN span s ON s.part = p.id"
    " JOIN body b ON b.lineage = s.lineage AND b.position >= s.first AND b.position < s.last"
    " AND b.which <> 1"
    " JOIN exchange e ON e.id = b.exchange"
    " JOIN finished f ON f.exchange = e.id"
    " WHERE p.hash = ? AND e.conversation_id IS NOT NULL AND e.session_id IS NULL"
    " AND COALESCE(e.key_name, '') = ? ORDER BY e.id DESC LIMIT ?"
)


class Enrichment:
    """Find out what belongs together and what it cost.

    :param prices: what models cost.
    """

    def __init__(self, prices: PriceTable) -> None:
        self._prices = prices
        self._threads = Threads()
        self._packer = Packer()

    def __call__(
        self,
        exchange: Exchange,
        request: bytes | None,
        finished: Finished | None,
        upstream: Finished | None = None,
    ) -> str | None:
        """Complete an exchange.

        :param request: the caller's body, content coding undone.
        :param upstream: the upstream's answer, where it was translated.
        :returns: what kind of side call it is, if it is one.
        """
        exchange.cost_usd = cost_of(exchange, finished, self._prices, upstream)
        body = _object(request)
        claude_code = is_claude_code(exchange.request_headers)
        kind = kind_of(exchange.path, exchange.method, body, claude_code=claude_code)
        if self._by_session(exchange, body):
            return kind
        if kind in ("other", "probe"):
            return kind
        asked = _asked(exchange, body)
        conversation = self._threads.find(asked)
        if conversation is None and kind is None and (asked.messages or asked.follows):
            conversation = exchange.id
        exchange.conversation_id = conversation
        if conversation is not None and kind is None:
            answer, id = _answer(exchange, finished)
            ids = (exchange.id, id) if id else (exchange.id,)
            self._threads.note(asked, conversation, answer, ids)
        return kind

    def _by_session(self, exchange: Exchange, body: Mapping[str, object]) -> bool:
        session = session_of(exchange.request_headers, body)
        if session is not None:
            exchange.session_id = exchange.session_id or session.session_id
            exchange.agent_id = exchange.agent_id or session.agent_id
        if exchange.session_id is None:
            return False
        exchange.conversation_id = exchange.session_id
        return True

    async def recall(self, store: Store, exchange: Exchange, request: bytes | None) -> None:
        """Learn from the store which conversation an exchange goes on with, if that is not known here.

        The message before the last answer is looked up by its content; whether the conversation is the same is
        told by the answer.

        :param request: the caller's body as it came.
        :raises StoreUnavailable: as the store does.
        """
        if not request or exchange.session_id is not None:
            return
        request = decoded(request, header(exchange.request_headers, "content-encoding"))
        body = _object(request)
        if session_of(exchange.request_headers, body) is not None:
            return
        asked = _asked(exchange, body)
        if not asked.continues or self._threads.find(asked) is not None:
            return
        listed = [said(message) for message in messages(body)]
        parts = [part.data for part in split(request).parts if part.element]
        last = max(at for at, message in enumerate(listed) if message.role == "assistant")
        questions = [at for at in range(last) if listed[at].role in ("user", "tool")]
        if len(parts) != len(listed) or not questions:
            return
        rows = await store.rows(
            _RECALL, (digest(parts[questions[-1]]), exchange.key or "", CANDIDATES)
        )
        given = [message.digest for message in history(listed[questions[-1] + 1 : last + 1])]
        for conversation, dialect, packed in rows:
            answer = _object(self._packer.unpack(bytes(packed))) if packed else {}
            told = history([said(message) for message in answers(dialect, answer)])
            if [message.digest for message in told] == given[: len(told)] and told:
                self._threads.note(asked, conversation)
                return


def _object(data: bytes | None) -> Mapping[str, object]:
    if not data:
        return {}
    try:
        value = read(data)
    except JSONError:
        return {}
    return value if isinstance(value, dict) else {}


def _asked(exchange: Exchange, body: Mapping[str, object]) -> Asked:
    client = exchange.client
    return Asked(
        history([said(message) for message in messages(body)]),
        f"{client.address} {client.user_agent}",
        exchange.key or "",
        milliseconds(exchange.started_at) or 0,
        (*follows(body), *((exchange.parent_id,) if exchange.parent_id else ())),
    )


def follows(body: Mapping[str, object]) -> tuple[str, ...]:
    """Give the ids of answers that a request says it goes on from: where the API keeps the history."""
    thread = body.get("thread")
    previous = thread.get("previous_message_id") if isinstance(thread, dict) else None
    named = (body.get("previous_response_id"), previous)
    return tuple(id for id in named if isinstance(id, str) and id)


def _answer(exchange: Exchange, finished: Finished | None) -> tuple[list[Said], str | None]:
    if finished is None or finished.message is None:
        return [], None
    message = _object(finished.message)
    id = message.get("id")
    told = [said(each) for each in answers(exchange.dialect, message)]
    return told, id if isinstance(id, str) else None
