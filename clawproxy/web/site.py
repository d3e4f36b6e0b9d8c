"""The HTTP server that callers meet: Twisted's, with this program's limits and counting.

:class:`ProxySite` makes a :class:`~clawproxy.web.channel.ProxyChannel` per connection and knows them all, so that a
drain can close the idle ones. What comes on one is a :class:`~clawproxy.web.request.ProxyRequest`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web import http, server
from twisted.web.resource import IResource

from clawproxy.core.errors import ProxyError
from clawproxy.core.headers import RawHeaders
from clawproxy.drain import Drain
from clawproxy.web.answer import AnsweredRequest
from clawproxy.web.channel import ProxyChannel
from clawproxy.web.request import ProxyRequest

FRESH = 1.0
"""Seconds within which a new connection's first request is likely to come."""


class ProxyProtocol(http._GenericHTTPChannelProtocol):
    """A connection whose protocol is known once TLS has negotiated one."""

    _known = False

    def dataReceived(self, data: bytes) -> None:
        """Take HTTP/2's connection where that was chosen; all else is HTTP/1."""
        if not self._known:
            self._known = True
            if getattr(self._channel.transport, "negotiatedProtocol", None) == b"h2":
                self._switch()
        self._channel.dataReceived(data)

    def _switch(self) -> None:
        # As Twisted's own does it, with our connection.
        from clawproxy.web.h2 import ProxyH2Connection

        old: Any = self._channel
        old.site.channels.discard(old)
        producer = old._networkProducer
        producer.unregisterProducer()
        old.setTimeout(None)
        old.stop_idle_clock()
        new: Any = ProxyH2Connection(old.site.reactor)
        self._channel = new
        new.requestFactory = self._requestFactory
        new.site = new.factory = old.site
        new.timeOut, new.callLater = self._timeOut, self._callLater
        new.makeConnection(old.transport)
        producer.registerProducer(new, True)


class ProxySite(server.Site):
    """The tree of resources with what all of its requests share.

    :param api: what of the tree answers ``/v1/…``, found without a walk.
    :param drain: counts what is in flight and knows whether the process is leaving.
    :param max_body: bytes.
    :param idle_timeout: seconds that a connection may stay without a request.
    :param counts: whether a request target counts as in flight.
    :param refuse: answers a request with an error, without an exchange.
    :param stamp: gives the ids that an answer carries which belongs to no exchange.
    :param welcome: looks at a head whose body is still to come, and gives how many bytes of that are read; raises
        the :class:`~clawproxy.core.errors.ProxyError` with which it is refused.
    :param max_bodies: bytes of all requests' bodies together.
    :param send_timeout: seconds after which a caller that takes nothing is treated as gone; 0 for never.
    :ivar channels: the open connections.
    :ivar held: bytes of bodies that are kept; one that came whole with its head, in one read, is not among them.
    """

    requestFactory = ProxyRequest
    noisy = False

    def __init__(
        self,
        resource: IResource,
        api: IResource,
        reactor: IReactorTime,
        drain: Drain,
        max_body: int,
        idle_timeout: float,
        counts: Callable[[bytes], bool],
        refuse: Callable[[ProxyRequest, ProxyError], None],
        stamp: Callable[[AnsweredRequest], RawHeaders],
        welcome: Callable[[ProxyRequest], int],
        max_bodies: int,
        send_timeout: float = 0.0,
    ) -> None:
        super().__init__(
            resource, timeout=idle_timeout, reactor=reactor, parsePOSTFormSubmission=False
        )
        self.api = api
        self.drain = drain
        self.max_body = max_body
        self.counts = counts
        self.refuse = refuse
        self.stamp = stamp
        self.welcome = welcome
        self.max_bodies = max_bodies
        self.held = 0
        self.send_timeout = send_timeout
        self.channels: set[Any] = set()
        drain.waits_also_for(self.unsent)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection's protocol: Twisted's switch between HTTP/1.1 and HTTP/2 over our channels."""
        protocol = ProxyProtocol(ProxyChannel())
        protocol.factory = self
        protocol.callLater = self.reactor.callLater
        protocol.timeOut = self.timeOut
        protocol.requestFactory = self.requestFactory
        protocol.site = self
        return protocol

    def log(self, request: http.Request) -> None:
        """Keep Twisted's access log silent: it would show queries, keys and all."""

    def close_waiting(self) -> None:
        """Close the connections that carry no request, but for those whose first is likely on its way.

        One that was accepted in this very turn of the reactor would else be reset under the nose of a caller who
        came in time.
        """
        for channel in [each for each in self.channels if each.idle]:
            if not self._is_fresh(channel):
                channel.loseConnection()

    def fresh(self) -> bool:
        """Tell whether there are connections whose first request is likely on its way."""
        return any(each.idle and self._is_fresh(each) for each in self.channels)

    def _is_fresh(self, channel: Any) -> bool:
        if getattr(channel, "used", True):
            return False
        return bool(self.reactor.seconds() - channel.opened <= FRESH)

    def close_idle(self) -> None:
        """Close the connections that carry no request."""
        for channel in [each for each in self.channels if each.idle]:
            channel.loseConnection()

    def close_all(self) -> None:
        """Close every connection: what is read or watched there no longer has a proxy to be answered by."""
        for channel in list(self.channels):
            channel.leave()

    def unsent(self) -> int:
        """Count the finished answers that their callers have not yet taken; of a connection's last ones, one."""
        return sum(channel.unsent for channel in self.channels)
