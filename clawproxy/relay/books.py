"""The books of an exchange: what is known of it, as its record will show it, from its head to its end.

1. :class:`Books` are opened with what the request's head tells, and filled in by whoever learns more.
2. :meth:`Books.record` begins to keep them and tells those who watch, :meth:`Books.close` does the last of both.

Nothing here speaks to the caller (:mod:`.reply`) or to an upstream (:mod:`.attempt`); they are kept by whoever does.
"""

from __future__ import annotations

from collections.abc import Callable

from clawproxy.core import headers as heads
from clawproxy.core.masking import mask_headers, mask_query, mask_text
from clawproxy.core.record import Client, Exchange, Outcome, Usage
from clawproxy.core.requestid import sane_id
from clawproxy.core.timestamp import rfc3339
from clawproxy.relay.inbound import ENDPOINTS, Inbound, Operation, dialect_of
from clawproxy.relay.recording import Recording
from clawproxy.relay.switchboard import Switchboard
from clawproxy.web.request import ProxyRequest

_CLAUDE_CODE = frozenset(
    {b"x-claude-code-session-id", b"x-claude-code-agent-id", b"x-claude-code-parent-agent-id"}
)

UNQUOTED = "the upstream told of an error; its words are not kept"
"""What stands for an upstream's words where no text of a prompt or an answer may be kept."""


class Books:
    """What is known of a request on its way.

    :param target: path and query from ``/v1`` on, as they came.
    :param pinned: the provider named by the path.
    :param parent_id: the exchange whose request this is once more.
    :ivar exchange: what is known, as the record will show it.
    :ivar account: gives the usage that the answer under way has told of so far.
    :ivar quoted: the error is in the upstream's words, which may repeat what it was asked.
    """

    def __init__(
        self,
        board: Switchboard,
        request: ProxyRequest,
        target: bytes,
        pinned: str | None,
        parent_id: str | None,
    ) -> None:
        self.board = board
        self.wiring = board.wiring
        self.started = request.started
        lines, first = request.lines, request.first
        path, _, query = target.partition(b"?")
        text = path.decode("latin-1")
        endpoint = ENDPOINTS.get(text)
        self.endpoint = endpoint
        operation: Operation = endpoint.operation if endpoint else "passthrough"
        dialect = endpoint.dialect if endpoint else dialect_of(text, first)
        named = first.get(heads.PROVIDER_HEADER)
        self.inbound = Inbound(
            method=request.method.decode("latin-1"),
            target=target,
            path=request.path.decode("latin-1"),
            headers=lines,
            first=first,
            body=request.body,
            dialect=dialect,
            operation=operation,
            pinned=pinned or (named.decode("latin-1") if named else None),
        )
        own = board.new_id()
        caller_id = first.get(b"x-request-id")
        caller_text = sane_id(caller_id.decode("latin-1")) if caller_id else None
        agent = first.get(b"user-agent")
        self.exchange = Exchange(
            id=own,
            request_id=caller_text or own,
            client_request_id=caller_text,
            started_at=rfc3339(self.started),
            method=self.inbound.method,
            path=self.inbound.path if endpoint else mask_text(self.inbound.path),
            query=mask_query(query.decode("latin-1")) if query else "",
            dialect=dialect,
            request_bytes=len(self.inbound.body),
            client=Client(request.caller, mask_text(agent.decode("latin-1")) if agent else None),
            parent_id=parent_id,
            request_headers=mask_headers(lines),
        )
        if not _CLAUDE_CODE.isdisjoint(first):
            self.exchange.session_id = _text(first, b"x-claude-code-session-id")
            self.exchange.agent_id = _text(first, b"x-claude-code-agent-id")
            self.exchange.parent_agent_id = _text(first, b"x-claude-code-parent-agent-id")
        self.recording: Recording | None = None
        self.quoted = self._closed = False
        self.account: Callable[[], Usage | None] | None = None

    def now_ms(self) -> float:
        """Milliseconds since the exchange began."""
        return (self.board.reactor.seconds() - self.started) * 1000

    def record(self) -> None:
        """Keep the exchange from now on, with what is known of it; only the first call counts."""
        if self.recording is None:
            self.recording = self.board.recorder.begin(self.exchange, self.inbound.body)
            for observer in self.board.observers:
                observer.started(self.exchange)

    def watch(self, data: bytes) -> None:
        """Show a readable piece of the answer to whoever watches."""
        for observer in self.board.observers:
            if observer.watching:
                observer.progress(self.exchange, data)

    def fit_to_keep(self, error: str) -> str:
        """Give an error's words as they may be recorded and logged."""
        if self.quoted and self.wiring.config.storage.bodies == "metadata":
            return UNQUOTED
        # Some upstreams repeat the key that they refuse.
        return mask_text(error)

    def close(self, outcome: Outcome) -> None:
        """Close the books on an exchange whose answer has ended, well or not; only the first call counts."""
        if self._closed:
            return
        self._closed = True
        exchange = self.exchange
        now = self.board.reactor.seconds()
        exchange.outcome = outcome
        if exchange.error is not None:
            self.quoted = self.quoted and outcome == "error"
            exchange.error = self.fit_to_keep(exchange.error)
        exchange.finished_at = rfc3339(now)
        exchange.duration_ms = (now - self.started) * 1000
        if exchange.usage is None and self.account is not None:
            exchange.usage = self.account()
        prices = self.board.prices
        if exchange.usage is not None and prices is not None and exchange.cost_usd is None:
            exchange.cost_usd = prices.cost_usd(exchange.routed_model or "", exchange.usage)
        if self.recording is not None:
            self.recording.end()
        for observer in self.board.observers:
            observer.finished(exchange)
        self.board.access_log(exchange)


def _text(first: dict[bytes, bytes], name: bytes) -> str | None:
    found = first.get(name)
    return found.decode("latin-1") if found else None
