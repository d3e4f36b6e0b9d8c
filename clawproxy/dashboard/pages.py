"""``/ui/``: the dashboard's pages, as the reader's process serves them.

:func:`resource` is what :mod:`clawproxy.store.reader` puts below ``/ui/``. A page is a coroutine that
gets a :class:`~clawproxy.dashboard.pages_answer.Visit` and gives an
:class:`~clawproxy.dashboard.api_answer.Answer`; pages may take their time, as nothing streams here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

from attrs import asdict, evolve, frozen
from twisted.web.resource import Resource

from clawproxy.dashboard import (
    pages_compare,
    pages_conversation,
    pages_detail,
    pages_exchange,
    pages_live,
    pages_parts,
    pages_send,
    pages_statistics,
    render,
)
from clawproxy.dashboard.answering import Answering
from clawproxy.dashboard.api_answer import Answer, Call, NotFound
from clawproxy.dashboard.api_query import BadParameter
from clawproxy.dashboard.pages_answer import Visit, shown
from clawproxy.store.pool import StorePool
from clawproxy.store.protocol import StoreRefused, StoreUnavailable

Page = Callable[[Visit], Awaitable[Answer]]

_ID = r"([^/]+)"
_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FRESH = 15.0
"""Seconds within which an exchange that is not there may still be recorded."""
_MOMENT = re.compile(r"requests/cp_([0-9a-f]{11})[0-9a-f]{16}(?:/|\Z)")
_STATIC = re.compile(r"[a-z_]{1,40}\.(css|js|svg)")


@frozen
class Place:
    """A path below ``/ui/`` and its page."""

    pattern: re.Pattern[str]
    page: Page


def _place(pattern: str, page: Page) -> Place:
    return Place(re.compile(pattern + r"\Z"), page)


PLACES = (
    _place("", pages_live.live),
    _place("rows", pages_live.rows),
    _place(f"requests/{_ID}", pages_exchange.exchange),
    _place(f"requests/{_ID}/timing", pages_detail.timing),
    _place(f"requests/{_ID}/headers", pages_detail.headers),
    _place(f"requests/{_ID}/raw", pages_detail.raw),
    _place(f"requests/{_ID}/curl", pages_parts.curl),
    _place(f"requests/{_ID}/har", pages_parts.har),
    _place(f"requests/{_ID}/part/(request|response)/(.+)", pages_parts.part),
    _place(f"requests/{_ID}/send", pages_send.send),
    _place(f"said/{_ID}/([0-9a-f]+)/(.+)", pages_conversation.said),
    _place("conversations", pages_conversation.conversations),
    _place(f"conversations/{_ID}", pages_conversation.conversation),
    _place("compare", pages_compare.compare),
    _place("stats", pages_statistics.statistics),
    _place("status", pages_live.status),
    _place(r"static/([^/]+)", lambda visit: _static(visit)),
)


@cache
def _file(name: str) -> tuple[bytes, str] | None:
    if not _STATIC.fullmatch(name):
        return None
    path = files("clawproxy.dashboard") / "static" / name
    if not path.is_file():
        return None
    body = path.read_bytes()
    return body, f'"{blake2b(body, digest_size=12).hexdigest()}"'


async def _static(visit: Visit) -> Answer:
    """Give a file that comes with the program. Its ETag is looked at where the answer is sent: a page's
    modules name each other without a version, so each is asked for again and mostly not sent."""
    (name,) = visit.names
    found = _file(name)
    if found is None:
        raise NotFound(f"there is no file {name[:100]!r}")
    body, tag = found
    kind = _KINDS[name.rpartition(".")[2]]
    return Answer(200, body, kind, [("ETag", tag), ("Cache-Control", "no-cache")])


def resource(reactor: Any, pool: StorePool) -> Resource:
    """Make what stands below ``/ui/``."""
    # The first page would wait for its templates to be compiled.
    reactor.callLater(0, render.warm)
    return Pages(reactor, pool)


async def answer(visit: Visit) -> Answer:
    """Find the page of a visit, and turn every fault into a page."""
    if visit.method not in ("GET", "HEAD"):
        return _fault(visit, 405, f"found {visit.method[:20]}, expected GET")
    for place in PLACES:
        match = place.pattern.match(visit.path)
        if match is None:
            continue
        try:
            return await place.page(evolve(visit, names=match.groups()))
        except BadParameter as bad:
            return _fault(visit, 400, str(bad))
        except NotFound as missing:
            return _fault(visit, 404, str(missing))
        except StoreUnavailable as error:
            return _fault(visit, 503, f"the store is away: {error}")
        except StoreRefused as error:
            return _fault(visit, 503, f"the store cannot be used: {error}")
    return _fault(visit, 404, f"there is no page /ui/{visit.path[:200]}")


def _fault(visit: Visit, status: int, words: str) -> Answer:
    again = status == 503
    if status == 404 and _just_begun(visit):
        # Recording is a moment behind; somebody was quick to look.
        status, words, again = 202, "This has just begun.", True
    return shown(visit, "fault.html", status=status, words=words, code=status, again=again)


def _just_begun(visit: Visit) -> bool:
    """Tell by its id whether an exchange may not be recorded yet."""
    match = _MOMENT.match(visit.path)
    return match is not None and abs(visit.now - int(match[1], 16) / 1000) < FRESH


class Pages(Answering[Visit]):
    """The resource of ``/ui/``."""

    place = "/ui/"
    protection = (
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    )

    def call(self, request: Any, call: Call) -> Visit:
        """Add whether there is a password."""
        guarded = request.requestHeaders.getRawHeaders("x-clawproxy-guarded") == ["1"]
        return Visit(**asdict(call, recurse=False), guarded=guarded)

    async def answer(self, call: Visit) -> Answer:
        """See :func:`answer`."""
        return await answer(call)

    def bug(self, call: Visit) -> Answer:
        """Say where to look."""
        return _fault(call, 500, "the dashboard failed; the proxy's log says more")
