"""The Anthropic Messages API (https://docs.claude.com/en/api/messages) as a dialect.

The work is done next door: :mod:`.anthropic_parse` and :mod:`.anthropic_build` for requests,
:mod:`.anthropic_decode` and
:mod:`.anthropic_encode` for streams, :mod:`.anthropic_message` for whole answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.anthropic_build import build_request
from clawproxy.core.dialects.anthropic_decode import AnthropicDecoder
from clawproxy.core.dialects.anthropic_encode import AnthropicEncoder
from clawproxy.core.dialects.anthropic_message import build_response, parse_response
from clawproxy.core.dialects.anthropic_parse import parse_request
from clawproxy.core.dialects.dialect import Dialect, Headers
from clawproxy.core.dialects.events import Event
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import anthropic_error
from clawproxy.core.errors import ProxyError


class AnthropicDialect:
    """Messages, spoken by Claude Code and by Anthropic's SDKs; see :class:`~.dialect.Dialect`."""

    name: DialectName = "anthropic"
    path = "/v1/messages"

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
        return build_request(turn, model=model, stream=stream, api_version=api_version)

    def stream_decoder(self) -> AnthropicDecoder:
        """Return a decoder for one upstream answer."""
        return AnthropicDecoder()

    def stream_encoder(
        self, turn: Turn, *, model: str, response_id: str, created: int
    ) -> AnthropicEncoder:
        """Return an encoder for one answer to a caller."""
        return AnthropicEncoder(turn, model=model, response_id=response_id)

    def parse_response(self, body: bytes) -> list[Event]:
        """Read an upstream's whole answer."""
        return parse_response(body)

    def build_response(
        self, events: Iterable[Event], turn: Turn, *, model: str, response_id: str, created: int
    ) -> bytes:
        """Write a whole answer to a caller."""
        return build_response(events, turn, model=model, response_id=response_id)

    def parse_error(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        """Read an upstream's HTTP error."""
        return anthropic_error(status, headers, body)


DIALECT: Dialect = AnthropicDialect()
