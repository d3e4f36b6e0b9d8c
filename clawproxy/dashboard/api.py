"""``/api/`` as the reader's process serves it: which path leads to what, and how faults are answered.

Each call is a coroutine that gets a :class:`Call` and gives an :class:`Answer`. What the proxy's own process has to
answer (live, status, approvals) never comes here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from attrs import frozen

from clawproxy.dashboard import api_conversations, api_requests, api_statistics
from clawproxy.dashboard.answering import Answering
from clawproxy.dashboard.api_answer import SANDBOX, Answer, Call, NotFound, fault
from clawproxy.dashboard.api_query import BadParameter
from clawproxy.store.protocol import StoreRefused, StoreUnavailable

Handler = Callable[[Call], Awaitable[Answer]]

_ID = r"([^/]+)"


@frozen
class Route:
    """A path and what answers it, by method.

    :ivar pattern: of the path behind ``/api/``; its groups become :attr:`Call.names`.
    """

    pattern: re.Pattern[str]
    handlers: dict[str, Handler]

    @classmethod
    def of(cls, pattern: str, **handlers: Handler) -> Route:
        """Make a route, e.g. ``Route.of("requests", GET=page)``."""
        return cls(re.compile(pattern + r"\Z"), handlers)

    @property
    def allowed(self) -> str:
        """The ``Allow`` header's value."""
        names = [*self.handlers, "HEAD"] if "GET" in self.handlers else list(self.handlers)
        return ", ".join(names)


ROUTES = (
    Route.of("requests", GET=api_requests.page, DELETE=api_requests.delete),
    Route.of(f"requests/{_ID}", GET=api_requests.detail),
    Route.of(f"requests/{_ID}/events", GET=api_requests.events),
    Route.of(
        f"requests/{_ID}/(request|response|upstream-request|upstream-response)",
        GET=api_requests.body,
    ),
    Route.of("conversations", GET=api_conversations.page),
    Route.of(f"conversations/{_ID}", GET=api_conversations.detail),
    Route.of("stats", GET=api_statistics.statistics),
)


async def answer(call: Call) -> Answer:
    """Find what answers a call, and turn every fault into an answer."""
    for route in ROUTES:
        match = route.pattern.match(call.path)
        if match is None:
            continue
        handler = route.handlers.get("GET" if call.method == "HEAD" else call.method)
        if handler is None:
            words = f"found {call.method[:20]}, expected {route.allowed}"
            return fault(405, words, [("Allow", route.allowed)])
        try:
            return await handler(call.named(match.groups()))
        except BadParameter as bad:
            more = {"parameter": bad.name, "found": bad.found, "expected": bad.expected}
            return fault(400, str(bad), more=more)
        except NotFound as missing:
            return fault(404, str(missing))
        except StoreUnavailable as error:
            return fault(503, f"the store is away: {error}", [("Retry-After", "2")])
        except StoreRefused as error:
            return fault(503, f"the store cannot be used: {error}", [("Retry-After", "30")])
    return fault(404, f"nothing is served at /api/{call.path[:200]}")


class Api(Answering[Call]):
    """The resource of ``/api/``."""

    place = "/api/"
    # What was recorded is hostile: whatever a browser takes it for, it runs nothing of it here.
    protection = (("Content-Security-Policy", SANDBOX),)

    def call(self, request: object, call: Call) -> Call:
        """Take it as it is."""
        return call

    async def answer(self, call: Call) -> Answer:
        """See :func:`answer`."""
        return await answer(call)

    def bug(self, call: Call) -> Answer:
        """Say where to look."""
        return fault(500, "the dashboard failed; its log says more")
