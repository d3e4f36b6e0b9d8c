"""The treq client that speaks to upstreams, and the agent of ours below it.

treq carries each call; below it works :class:`UpstreamAgent`, which sends exactly the header lines and
bytes of the :class:`OutgoingRequest` that it is given as body producer, and keeps no cookie, follows no
redirect and decodes nothing.

1. :class:`StreamClient` is the treq client over an agent.
2. :meth:`UpstreamAgent.request` takes an idle connection of the origin, or opens one (at most
   ``max_connections``, the rest wait in line), within ``connect_timeout``.
3. A kept connection that the upstream had closed is replaced once, silently, when not a byte of an
   answer came; everything else that fails is an :class:`~clawproxy.upstream.failure.UpstreamFailure`.
"""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from treq.response import _Response
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IConsumer, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS, HostnameCachingHTTPSPolicy
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from clawproxy.core.headers import RawHeaders
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.h1 import H1Connection
from clawproxy.upstream.pool import Origin, Pool
from clawproxy.upstream.response import H1Response
from clawproxy.upstream.tls import NameChecking

ATTEMPT_DELAY = 0.1
"""Seconds between the attempts at a name's several addresses (RFC 8305 §5 allows 100 ms)."""


@implementer(IBodyProducer)
class OutgoingRequest:
    """A whole request in the shape treq knows, a body producer.

    :param target: path and query as they go into the request line.
    :param headers: all header lines but ``Host`` and ``Content-Length``, as they shall be sent.
    :param body: the bytes; ``None`` sends none and no ``Content-Length``.
    :param header_timeout: seconds from the written request to the answer's head.
    :param idle_timeout: seconds of silence allowed between two pieces of the answer's body.
    :param sent: called when the request goes onto a connection.
    :ivar sent_at: when the request was written, on the reactor's clock.
    """

    __slots__ = (
        "body",
        "header_timeout",
        "headers",
        "idle_timeout",
        "length",
        "response",
        "sent",
        "sent_at",
        "target",
    )

    def __init__(
        self,
        target: bytes,
        headers: RawHeaders,
        body: bytes | None,
        header_timeout: float = 0.0,
        idle_timeout: float = 0.0,
        sent: Callable[[], object] = bool,
    ) -> None:
        self.target = target
        self.headers = headers
        self.body = body
        self.length = len(body or b"")
        self.header_timeout = header_timeout
        self.idle_timeout = idle_timeout
        self.sent = sent
        self.sent_at = 0.0
        self.response: H1Response | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the body; the transport takes it whole."""
        consumer.write(self.body or b"")
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: all was written at once."""

    def resumeProducing(self) -> None:
        """Do nothing: all was written at once."""

    def stopProducing(self) -> None:
        """Do nothing: all was written at once."""

    def answered(self, response: H1Response) -> H1Response:
        """Remember the answer in its own form, whatever is wrapped around it further up."""
        response.sent_at = self.sent_at
        self.response = response
        return response

    def head(self, method: bytes, authority: bytes) -> bytes:
        """Give the request line and header section."""
        lines = [method + b" " + self.target + b" HTTP/1.1\r\nHost: " + authority]
        lines += [name + b": " + value for name, value in self.headers]
        if self.body is not None:
            lines.append(b"Content-Length: %d" % self.length)
        lines.append(b"\r\n")
        return b"\r\n".join(lines)


@implementer(IAgent)
class UpstreamAgent:
    """Connections to upstreams: opened, lent, kept and closed here and nowhere else.

    :param connect_timeout: seconds from wanting a connection to having one, TLS included.
    :param max_connections: per origin; further requests wait in line within ``connect_timeout``.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        connect_timeout: float = 10.0,
        max_connections: int = 1000,
        tls_policy: IPolicyForHTTPS | None = None,
    ) -> None:
        self._reactor = reactor
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._policy = tls_policy or HostnameCachingHTTPSPolicy(BrowserLikePolicyForHTTPS())
        self._pools: dict[bytes, Pool] = {}

    def pool(self, url: bytes) -> Pool:
        """Give the pool of a URL's origin, made at its first use.

        :param url: ``scheme://host[:port]``; what may follow is not looked at.
        """
        pool = self._pools.get(url)
        if pool is None:
            origin = Origin.of(url)
            pool = self._pools[url] = Pool(
                self._reactor,
                origin,
                self._endpoint(origin),
                self._connect_timeout,
                self._max_connections,
            )
        return pool

    def _endpoint(self, origin: Origin) -> IStreamClientEndpoint:
        where = (self._reactor, origin.host, origin.port, self._connect_timeout)
        tcp: IStreamClientEndpoint
        if isIPAddress(origin.host):
            tcp = TCP4ClientEndpoint(*where)
        elif isIPv6Address(origin.host):
            tcp = TCP6ClientEndpoint(*where)
        else:
            tcp = HostnameEndpoint(*where, attemptDelay=ATTEMPT_DELAY)
        if origin.scheme != "https":
            return tcp
        creator = self._policy.creatorForNetloc(origin.host.encode("ascii"), origin.port)
        return wrapClientTLS(NameChecking(creator, origin.host), tcp)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send a request as :class:`~twisted.web.iweb.IAgent` says.

        :param headers: used only where the body producer is not an :class:`OutgoingRequest`.
        :return: fires with an :class:`~clawproxy.upstream.response.H1Response`.
        """
        if not isinstance(bodyProducer, OutgoingRequest):
            raise TypeError(f"expected an OutgoingRequest as body producer, found {bodyProducer!r}")
        pool = self.pool(uri)
        head = bodyProducer.head(method, pool.authority)
        connection = pool.kept()
        if connection is None:
            return Deferred.fromCoroutine(self._send_fresh(pool, method, head, bodyProducer))
        return self._put(connection, method, head, bodyProducer).addCallbacks(
            bodyProducer.answered, self._replace, errbackArgs=(pool, method, head, bodyProducer)
        )

    def _replace(
        self, failure: Failure, pool: Pool, method: bytes, head: bytes, outgoing: OutgoingRequest
    ) -> Failure | Deferred[H1Response]:
        """Send again on a new connection where the kept one had been closed by the other side."""
        error = failure.value
        if isinstance(error, UpstreamFailure) and error.stale:
            return Deferred.fromCoroutine(self._send_fresh(pool, method, head, outgoing))
        return failure

    async def _send_fresh(
        self, pool: Pool, method: bytes, head: bytes, outgoing: OutgoingRequest
    ) -> H1Response:
        connection = await pool.fresh()
        try:
            return outgoing.answered(await self._put(connection, method, head, outgoing))
        except UpstreamFailure as failure:
            # Only one that another request gave back while this one waited in line can be stale.
            if not failure.stale:
                raise
        return outgoing.answered(await self._put(await pool.fresh(), method, head, outgoing))

    def _put(
        self, connection: H1Connection, method: bytes, head: bytes, outgoing: OutgoingRequest
    ) -> Deferred[H1Response]:
        outgoing.sent_at = self._reactor.seconds()
        outgoing.sent()
        return connection.send(
            method, head, outgoing.body or b"", outgoing.header_timeout, outgoing.idle_timeout
        )

    def close(self) -> None:
        """Close every idle connection; those in use go when their exchange is over."""
        for pool in self._pools.values():
            pool.close()


class StreamClient(HTTPClient):
    """The treq client of this program: treq's interface and answers, without what treq wraps around an agent.

    treq puts a cookie agent, a redirect agent and a gzip decoder around its agent anew for each call;
    a proxy must have none of the three, and they cost more than the call itself (docs/decisions/upstream.rst).
    """

    def __init__(self, agent: UpstreamAgent) -> None:
        jar = IndexableCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
        super().__init__(agent, cookiejar=jar)

    def request(  # type: ignore[override]
        self, method: str, url: bytes, *, data: OutgoingRequest, **kwargs: object
    ) -> Deferred[_Response]:
        """Send a request and get the answer as soon as its head is there, its body unread.

        :param url: the origin, ``http://host:port``; the target stands in ``data``.
        :raise TypeError: for treq's arguments that have no place here (cookies, redirects, ...).
        """
        unknown = kwargs.keys() - {"unbuffered", "allow_redirects", "reactor", "_stacklevel"}
        if unknown or kwargs.get("allow_redirects"):
            raise TypeError(f"a StreamClient does not take {sorted(kwargs)}")
        sending = self._agent.request(method.encode("ascii"), url, None, data)
        return sending.addCallback(_Response, self._cookiejar)
