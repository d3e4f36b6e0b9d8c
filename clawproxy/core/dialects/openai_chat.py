"""OpenAI's Chat Completions API (https://platform.openai.com/docs/api-reference/chat) as a dialect.

The work is done next door: :mod:`.openai_chat_parse` and :mod:`.openai_chat_build` for requests,
:mod:`.openai_chat_decode` and
:mod:`.openai_chat_encode` for streams, :mod:`.openai_chat_message` for whole answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import Dialect, Headers
from clawproxy.core.dialects.events import Event
from clawproxy.core.dialects.openai_chat_build import build_request
from clawproxy.core.dialects.openai_chat_decode import ChatDecoder
from clawproxy.core.dialects.openai_chat_encode import ChatEncoder
from clawproxy.core.dialects.openai_chat_message import build_response, parse_response
from clawproxy.core.dialects.openai_chat_parse import parse_request
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import openai_error
from clawproxy.core.errors import ProxyError


class ChatDialect:
    """Chat Completions, spoken by most of the world; see :class:`~.dialect.Dialect`."""

    name: DialectName = "openai_chat"
    path = "/v1/chat/completions"

    def parse_request(self, body: bytes, headers: Headers) -> Turn:
        """Read a caller's request."""
        return parse_request(body)

    def build_request(
        self,
        turn: Turn,
        *,
        model: str,
        stream: bool,
        api_version: str | None = None,
        server: str = "",
    ) -> bytes:
        """Write a request for an upstream."""
        return build_request(turn, model=model, stream=stream, server=server)

    def stream_decoder(self) -> ChatDecoder:
        """Return a decoder for one upstream answer."""
        return ChatDecoder()

    def stream_encoder(
        self, turn: Turn, *, model: str, response_id: str, created: int
    ) -> ChatEncoder:
        """Return an encoder for one answer to a caller."""
        return ChatEncoder(turn, model=model, response_id=response_id, created=created)

    def parse_response(self, body: bytes) -> list[Event]:
        """Read an upstream's whole answer."""
        return parse_response(body)

    def build_response(
        self, events: Iterable[Event], turn: Turn, *, model: str, response_id: str, created: int
    ) -> bytes:
        """Write a whole answer to a caller."""
        return build_response(events, turn, model=model, response_id=response_id, created=created)

    def parse_error(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        """Read an upstream's HTTP error."""
        return openai_error(status, headers, body)


DIALECT: Dialect = ChatDialect()
