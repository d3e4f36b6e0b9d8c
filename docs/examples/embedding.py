"""A Twisted application of one's own that carries ClawProxy: ``twistd -ny embedding.py``.

It serves a page on port 8081 that says how many answers the proxy on port 8080 is giving. When it is told
to stop, it ends once the last of them is complete.
"""

from __future__ import annotations

from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application, MultiService
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.web.resource import Resource
from twisted.web.server import Site

from clawproxy.config import load
from clawproxy.service import ClawProxyService

SETTINGS = (
    "storage.url=sqlite:embedded.db",
    "server.drain.timeout=300",
    # Answers by itself, so that this example needs no account.
    "default_provider.anthropic=demo",
)


class Status(Resource):
    """The page of the application that has the proxy in it."""

    isLeaf = True

    def __init__(self, proxy: ClawProxyService) -> None:
        super().__init__()
        self._proxy = proxy

    def render_GET(self, request: Any) -> bytes:
        """Say what the proxy is doing."""
        drain = self._proxy.drain
        words = "leaving" if drain.draining else "at work"
        return b"The proxy is %s; %d in flight.\n" % (words.encode(), drain.in_flight)


def make(
    reactor: Any,
    page: str = "tcp:8081:interface=127.0.0.1",
    listen: str = "tcp:8080:interface=127.0.0.1",
    settings: tuple[str, ...] = SETTINGS,
) -> tuple[MultiService, ClawProxyService]:
    """Put the application together.

    :param page: the endpoint of the application's own page.
    :param listen: the endpoint of the proxy.
    :return: the whole, and the proxy in it.
    """
    # environ={}: this application's environment is not the proxy's configuration.
    config = load(listen=[listen], sets=settings, environ={}).config
    proxy = ClawProxyService(config, reactor)
    own = StreamServerEndpointService(serverFromString(reactor, page), Site(Status(proxy)))
    application = MultiService()
    proxy.setServiceParent(application)
    own.setServiceParent(application)
    return application, proxy


if __name__ == "builtins":  # what twistd calls a file that it is given with -y
    application = Application("my application")
    make(reactor)[0].setServiceParent(application)
