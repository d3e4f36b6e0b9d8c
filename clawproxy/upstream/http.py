"""An upstream that speaks HTTP: the configured provider around the treq client."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from twisted.internet.interfaces import IReactorTime

from clawproxy.config.model import HTTPProviderConfig
from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.traits import reasons
from clawproxy.upstream.agent import OutgoingRequest, StreamClient, UpstreamAgent
from clawproxy.upstream.provider import Ask
from clawproxy.upstream.response import H1Response

VENDORS = frozenset({"api.anthropic.com", "api.openai.com"})
"""The hosts of the dialects' own vendors."""


class HTTPProvider:
    """A provider of kind ``anthropic`` or ``openai``.

    :param agent: given in tests; by default each provider has its own connections.
    :ivar is_vendor: the API of its dialect's own vendor is behind it, and no gateway or other server.
    """

    def __init__(
        self, config: HTTPProviderConfig, reactor: IReactorTime, agent: UpstreamAgent | None = None
    ) -> None:
        self.config = config
        self.name = config.name
        self.kind = config.kind
        self._agent = agent or UpstreamAgent(
            reactor, config.connect_timeout, config.max_connections
        )
        self._client = StreamClient(self._agent)
        url = urlsplit(config.root)
        self._origin = f"{url.scheme}://{url.netloc.rpartition('@')[2]}".encode("ascii")
        self._prefix = url.path.rstrip("/").encode("ascii")
        self.is_vendor = url.hostname in VENDORS

    def serves(self, dialect: DialectName | None) -> bool:
        """Tell whether a caller of this dialect is answered verbatim here."""
        if self.kind == "anthropic":
            return dialect in ("anthropic", None)
        if self.config.api == "chat":
            return dialect in ("openai_chat", None)
        if self.config.api == "responses":
            return dialect in ("openai_responses", None)
        return dialect != "anthropic"

    def dialect(self, model: str) -> DialectName:
        """Tell which dialect a caller of another one is translated to.

        OpenAI itself gives its reasoning models tools in the Responses API alone: from GPT-5.4 on Chat
        Completions answers 400 to tools beside any reasoning.
        """
        if self.kind == "anthropic":
            return "anthropic"
        if self.config.api is None and self.is_vendor and reasons(model):
            return "openai_responses"
        return "openai_responses" if self.config.api == "responses" else "openai_chat"

    async def ask(self, ask: Ask, sent: Callable[[], object] = bool) -> H1Response:
        """Send a request once.

        :param sent: called when there is a connection and the request is on it.
        :raise UpstreamFailure: no connection, no head within ``response_header_timeout``, or a broken one.
        """
        config = self.config
        outgoing = OutgoingRequest(
            self._prefix + ask.target,
            ask.headers,
            ask.body,
            config.response_header_timeout,
            config.idle_timeout,
            sent,
        )
        await self._client.request(ask.method, self._origin, data=outgoing)
        response = outgoing.response
        assert response is not None  # the agent sets it before the Deferred fires
        return response

    def close(self) -> None:
        """Close what is idle; answers under way keep their connections until their end."""
        self._agent.close()
