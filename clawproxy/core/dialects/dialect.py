"""One seam for all dialects, so that the relay can join any caller to any upstream:
:class:`Dialect` and its registry.

1. A caller's body goes through its dialect's :meth:`Dialect.parse_request` to a
   :class:`~.turn.Turn`.
2. The upstream's dialect writes it with :meth:`Dialect.build_request`; both raise ``ProxyError``
   before anything is sent.
3. Streaming: the upstream's bytes go through :meth:`Dialect.stream_decoder`, its events through the
   caller's :meth:`Dialect.stream_encoder`. Not streaming: :meth:`Dialect.parse_response`, then
   :meth:`Dialect.build_response`.
4. An upstream's HTTP error goes through :meth:`Dialect.parse_error` and is worded by
   :func:`clawproxy.core.errors.render`.

A new dialect is a module that implements :class:`Dialect` and a line in :data:`DIALECTS`'s loader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.events import Event
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import ProxyError

Headers = Sequence[tuple[str, str]]
"""Header fields in order; names in any case."""


class StreamDecoder(Protocol):
    """An upstream's SSE bytes become events that obey the grammar of
    :mod:`~clawproxy.core.dialects.events`.

    Neither method raises: whatever the bytes are, a broken stream becomes one final
    ``StreamFailed``, after which both return nothing.
    """

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, cut anywhere, and return what they complete."""
        ...

    def close(self) -> list[Event]:
        """Say that the upstream's body has ended; returns ``StreamFailed`` if the dialect's
        terminal event had not come.
        """
        ...


class StreamEncoder(Protocol):
    """Events become the bytes of the caller's stream.

    :ivar request_id: the answer's ``x-request-id``; whoever owns the encoder sets it, for the
        dialects whose errors name it.
    """

    request_id: str

    def encode(self, event: Event) -> bytes:
        """Return an event's bytes, ``b""`` if the dialect has nothing to say about it."""
        ...

    def ping(self) -> bytes:
        """Return a frame that changes nothing, for the upstream's silences; ``b""`` before the
        stream's first frame.
        """
        ...

    def error(self, error: ProxyError) -> bytes:
        """Return the frames that end the stream with an error."""
        ...

    def close(self) -> bytes:
        """Return what ends the stream after ``Stopped``; ``b""`` if it has been written. Without a
        final event it is an error's frame.
        """
        ...


class Dialect(Protocol):
    """All that ClawProxy knows of one vendor's API. Instances hold no state."""

    name: DialectName
    path: str
    """Where its requests go: ``/v1/messages`` and so on."""

    def parse_request(self, body: bytes, headers: Headers) -> Turn:
        """Read a caller's request.

        :param body: its JSON, content codings undone.
        :raises ProxyError: ``INVALID_JSON``, ``MISSING_FIELD``, ``INVALID_REQUEST``, or
            ``UNSUPPORTED_PARAMETER`` for what no other dialect can express.
        """
        ...

    def build_request(
        self,
        turn: Turn,
        *,
        model: str,
        stream: bool,
        api_version: str | None = None,
        server: str = "",
    ) -> bytes:
        """Write a request for an upstream.

        :param model: the upstream's name of the model.
        :param stream: ask for a stream, and for usage in it.
        :param api_version: the ``anthropic-version`` that goes with it; decides which fields are
            left out.
        :param server: the upstream's address; some servers are known to take less than others.
        :raises ProxyError: ``UNSUPPORTED_PARAMETER`` for what this dialect cannot express.
        """
        ...

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one upstream answer."""
        ...

    def stream_encoder(
        self, turn: Turn, *, model: str, response_id: str, created: int
    ) -> StreamEncoder:
        """Return an encoder for one answer to a caller.

        :param turn: what the caller asked: its tools' kinds and names, whether it wants usage.
        :param model: the model's name as the caller shall see it.
        :param response_id: a unique id of the answer. It must not begin with ``msg_``: clients
            anchor server-side message threads on such ids, and no thread exists behind a translated
            answer.
        :param created: seconds since the epoch.
        """
        ...

    def parse_response(self, body: bytes) -> list[Event]:
        """Read an upstream's whole answer as the events that a stream of it would have given, the
        last being ``Stopped`` or ``StreamFailed``.

        :raises ProxyError: the body is not an answer of this dialect.
        """
        ...

    def build_response(
        self, events: Iterable[Event], turn: Turn, *, model: str, response_id: str, created: int
    ) -> bytes:
        """Write a whole answer to a caller; the parameters are those of :meth:`stream_encoder`.

        :raises ProxyError: the events end in ``StreamFailed`` (its error), or without a final
            event.
        """
        ...

    def parse_error(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        """Read an upstream's HTTP error; keeps its status, message, ``retry-after``, rate limits
        and request id. Never raises.
        """
        ...


class _Registry(Mapping[DialectName, Dialect]):
    """The dialects by name, each imported when it is first asked for."""

    _homes: Mapping[DialectName, str] = {
        "anthropic": "clawproxy.core.dialects.anthropic",
        "openai_chat": "clawproxy.core.dialects.openai_chat",
        "openai_responses": "clawproxy.core.dialects.openai_responses",
    }

    def __getitem__(self, name: DialectName) -> Dialect:
        return cast(Dialect, import_module(self._homes[name]).DIALECT)

    def __iter__(self) -> Iterator[DialectName]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


DIALECTS: Mapping[DialectName, Dialect] = _Registry()
"""Every dialect by its name; each module's ``DIALECT`` is its one instance."""
