"""The OpenAI Responses API (https://platform.openai.com/docs/api-reference/responses) as a dialect.

The work is done next door, in the modules of the same prefix: ``_request``, ``_input`` and
``_tools`` read a request, ``_build`` writes one; ``_decode`` and ``_encode`` do streams; ``_calls``
and ``_output`` know the items and the object that both directions share. Whole answers go the way
of streams: an upstream's through the decoder, a caller's through the encoder, whose terminal event
holds it.
"""

from __future__ import annotations

from collections.abc import Iterable

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import Dialect, Headers
from clawproxy.core.dialects.events import Event, StreamFailed
from clawproxy.core.dialects.openai_responses_build import build_request
from clawproxy.core.dialects.openai_responses_decode import ResponsesDecoder
from clawproxy.core.dialects.openai_responses_encode import ResponsesEncoder
from clawproxy.core.dialects.openai_responses_request import parse_request
from clawproxy.core.dialects.rawjson import encode
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import openai_error, unfinished
from clawproxy.core.errors import ProxyError


class ResponsesDialect:
    """Responses, spoken by Codex and by OpenAI's SDKs; see :class:`~.dialect.Dialect`."""

    name: DialectName = "openai_responses"
    path = "/v1/responses"

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
        return build_request(turn, model=model, stream=stream)

    def stream_decoder(self) -> ResponsesDecoder:
        """Return a decoder for one upstream answer."""
        return ResponsesDecoder()

    def stream_encoder(
        self, turn: Turn, *, model: str, response_id: str, created: int
    ) -> ResponsesEncoder:
        """Return an encoder for one answer to a caller."""
        return ResponsesEncoder(turn, model=model, response_id=response_id, created=created)

    def parse_response(self, body: bytes) -> list[Event]:
        """Read an upstream's whole answer."""
        return ResponsesDecoder().whole(body)

    def build_response(
        self, events: Iterable[Event], turn: Turn, *, model: str, response_id: str, created: int
    ) -> bytes:
        """Write a whole answer to a caller."""
        encoder = ResponsesEncoder(turn, model=model, response_id=response_id, created=created)
        for event in events:
            if isinstance(event, StreamFailed):
                raise event.error
            encoder.encode(event)
        if encoder.finished is None:
            raise unfinished()
        return encode(encoder.finished)

    def parse_error(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        """Read an upstream's HTTP error."""
        return openai_error(status, headers, body)


DIALECT: Dialect = ResponsesDialect()
