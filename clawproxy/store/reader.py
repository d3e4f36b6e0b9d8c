"""The reader's process: ``python -m clawproxy.store.reader``, started and watched by the proxy's.

It serves ``/api/`` and the dashboard's pages on a Unix socket that only the proxy opens, so that no
query, no JSON and no page is ever made in the process that streams. Whoever comes here has been let
in already. It ends when its standard input does: then the proxy is gone.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.stdio import StandardIO
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, globalLogBeginner
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.http import Request
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import Site

from clawproxy.dashboard.api import Api
from clawproxy.store.feed import Feed
from clawproxy.store.line import Line, LineObserver
from clawproxy.store.opening import URL_VARIABLE, open_store
from clawproxy.store.pool import StorePool
from clawproxy.store.protocol import Store
from clawproxy.store.supervisor import detach

CONNECTIONS = 3
"""Queries that run at a time."""
NICE = 5
"""How much the reader gives way to the proxy."""
PAGES = "clawproxy.dashboard.pages"
_log = Logger()


class QuietSite(Site):
    """A site without an access log: the proxy's own log has what is to be known."""

    noisy = False

    def log(self, request: Request) -> None:
        """Log nothing."""


def site(reactor: Any, pool: StorePool, url: str) -> QuietSite:
    """Make the site: ``/api/``, and ``/ui/`` where the pages are installed.

    A module :data:`PAGES` has ``resource(reactor, pool)``, which gives what is served below
    ``/ui/``.
    """
    root = Resource()
    root.putChild(b"api", Api(reactor, pool))
    root.putChild(b"ui", Pages(reactor, pool))
    if not url.startswith("sqlite:"):
        root.putChild(b"feed", Feed(reactor, url, pool))
    return QuietSite(root, reactor=reactor, parsePOSTFormSubmission=False)


class Pages(Resource):
    """What stands below ``/ui/``, loaded when somebody looks at it: programs that only call the API need none of it."""

    isLeaf = True

    def __init__(self, reactor: Any, pool: StorePool) -> None:
        super().__init__()
        self._load = lambda: import_module(PAGES).resource(reactor, pool)
        self._loaded: IResource | None = None

    def render(self, request: Request) -> int | bytes:
        """Have the page answer."""
        if self._loaded is None:
            self._loaded = self._pages()
        found: int | bytes = getChildForRequest(self._loaded, request).render(request)
        return found

    def _pages(self) -> IResource:
        if find_spec(PAGES) is None:
            return notFound()
        try:
            pages: IResource = self._load()
        except ImportError:
            # The API is of use without pages, and whoever opens one learns from the log why there is none.
            _log.failure("the dashboard's pages cannot be loaded")
            return notFound()
        return pages


def stores(reactor: Any, url: str, threads: ThreadPool) -> StorePool:
    """Make the pool of stores that a URL names, with queries in threads where they would block."""

    async def in_thread(function: Any, *arguments: Any) -> Any:
        return await deferToThreadPool(reactor, threads, function, *arguments)

    def make() -> Store:
        return open_store(url, reactor, in_thread)

    return StorePool(make, CONNECTIONS)


async def serve(reactor: Any, url: str, socket: Path, line: Line) -> None:
    """Listen, and say so."""
    threads = ThreadPool(0, CONNECTIONS, "queries")
    threads.start()
    reactor.addSystemEventTrigger("during", "shutdown", threads.stop)
    socket.unlink(missing_ok=True)
    endpoint = UNIXServerEndpoint(reactor, str(socket), mode=0o600, wantPID=False)
    await endpoint.listen(site(reactor, stores(reactor, url, threads), url))
    line.say(ready=os.getpid())


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m clawproxy.store.reader", description=__doc__)
    parser.add_argument("--store", default=os.environ.get(URL_VARIABLE), help="storage.url")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    found = parser.parse_args(argv)
    if not found.store:
        parser.error(f"--store or ${URL_VARIABLE} is needed")
    return found


def main(reactor: Any, argv: list[str]) -> None:
    """Run the process until the proxy is gone."""
    from twisted.internet.defer import ensureDeferred

    detach()
    options = arguments(argv)
    os.nice(NICE)

    def stop() -> None:
        if reactor.running:
            reactor.stop()

    def broken(failure: Failure) -> None:
        _log.failure("the reader cannot start", failure)
        # Let the line out first.
        reactor.callLater(0.05, stop)

    orphaned: list[bool] = []

    def gone() -> None:
        orphaned.append(True)
        reactor.callWhenRunning(stop)

    line = Line(lambda: None, lambda: None, gone)
    StandardIO(line, reactor=reactor)
    globalLogBeginner.beginLoggingTo([LineObserver(line)], redirectStandardIO=False)
    reactor.callWhenRunning(
        lambda: ensureDeferred(serve(reactor, options.store, options.socket, line)).addErrback(
            broken
        )
    )
    reactor.run()
    if orphaned:
        leave_nothing(options.socket)


def leave_nothing(socket: Path) -> None:
    """Remove the socket and its folder in the place of a proxy that cannot: it may have been killed."""
    with suppress(OSError):  # the proxy was faster, or the folder is for more than the socket
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()


if __name__ == "__main__":
    from twisted.internet import reactor as _reactor

    main(_reactor, sys.argv[1:])
