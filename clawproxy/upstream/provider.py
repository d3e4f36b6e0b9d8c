"""The seam between an exchange and whoever answers it: small protocols that every upstream implements.

There are two kinds of provider:

* :class:`~clawproxy.upstream.http.HTTPProvider` is given a finished request (:class:`Ask`) and gives an
  :class:`Answer`: status, headers and a body that streams bytes in the provider's own dialect;
* a :class:`TurnProvider` (demo, OpenClaw) is given a neutral turn and answers with neutral events, which
  the relay words in the caller's dialect.
"""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen
from twisted.internet.interfaces import IProtocol

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.events import Event
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import ProxyError
from clawproxy.core.headers import RawHeaders


@frozen
class Ask:
    """A request as it shall go out.

    :ivar target: path and query, exactly as they go into the request line.
    :ivar headers: every header line but ``Host`` and ``Content-Length``, credential included.
    :ivar body: ``None`` sends no body.
    """

    method: str
    target: bytes
    headers: RawHeaders
    body: bytes | None


class Answer(Protocol):
    """An upstream's answer whose head is known. It is the ``transport`` of whoever reads its body."""

    code: int
    raw_headers: RawHeaders

    def deliverBody(self, protocol: IProtocol) -> None:
        """Stream the body into ``protocol``: ``dataReceived``, then one ``connectionLost``."""

    def stopProducing(self) -> None:
        """Abort: nobody wants the rest."""


class Wire(Protocol):
    """Takes what a turn provider says and hears on its own wire, message by message, for the record."""

    def asked(self, message: str) -> None:
        """Take a message that goes out."""

    def heard(self, message: str) -> None:
        """Take a message that came."""


@frozen
class CallContext:
    """What a turn provider may want to know of the caller beside the turn.

    :ivar exchange_id: the proxy's id of the exchange, for logs.
    :ivar dialect: the caller's dialect.
    :ivar headers: request headers by lower-case name (credentials removed), for session keys and the like.
    :ivar model: the model as routed (an OpenClaw agent's id).
    :ivar caller: the name of the key that the caller presented; ``None`` where none is asked for.
    :ivar wire: keeps what is said and heard for this call; ``None`` where nothing is kept.
    """

    exchange_id: str
    dialect: DialectName
    model: str
    headers: dict[str, str] = field(factory=dict)
    caller: str | None = None
    wire: Wire | None = None


class EventSink(Protocol):
    """Where a turn provider puts its answer."""

    def events(self, events: list[Event]) -> None:
        """Take the next events, in order, as soon as they are known."""

    def ended(self, error: ProxyError | None) -> None:
        """Take the end, exactly once, and nothing after it; an error before the first event becomes an HTTP status."""


class Run(Protocol):
    """A turn under way."""

    def cancel(self) -> None:
        """Stop: the caller is gone. ``ended`` need not be called any more."""

    def pause(self) -> None:
        """Hold back events: the caller reads slowly."""

    def resume(self) -> None:
        """Go on."""


class TurnProvider(Protocol):
    """An upstream that answers turns itself."""

    name: str

    def start(self, turn: Turn, context: CallContext, sink: EventSink) -> Run:
        """Begin answering; never raises, failures go to ``sink.ended``."""
