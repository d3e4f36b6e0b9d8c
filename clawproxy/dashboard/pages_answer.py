"""What pages are given and what they give: :class:`Visit`, and :class:`Answer` made of HTML.

Pages run in the reader's process, behind :mod:`clawproxy.store.reader`; whoever comes there has been
let in.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from clawproxy.dashboard.api_answer import SANDBOX, Answer, Call
from clawproxy.dashboard.render import HTML, page

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page's own files may do, and nothing else: no script or style stands in a page, and nothing is
fetched from another host."""


@frozen
class Visit(Call):
    """A page's call.

    :ivar guarded: there is a password, so there is a way out.
    """

    guarded: bool = False


def shown(visit: Visit, template: str, here: str = "", status: int = 200, **values: Any) -> Answer:
    """Answer with a page.

    :param here: which of the pages in the bar it is.
    """
    body = page(template, guarded=visit.guarded, here=here, **values)
    return Answer(status, body, HTML, [("Content-Security-Policy", CSP)])


def fragment(template: str, **values: Any) -> Answer:
    """Answer with a piece of a page, for a script to put in."""
    return Answer(200, page(template, **values), HTML, [("Content-Security-Policy", SANDBOX)])


def plain(body: bytes, kind: str = "text/plain; charset=utf-8", **headers: str) -> Answer:
    """Answer with bytes that nobody can trust."""
    more = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Answer(200, body, kind, [("Content-Security-Policy", SANDBOX), *more])


class Given(dict[str, tuple[str, ...]]):
    """A page's filters, each with its values; one that was not given has none."""

    def __missing__(self, name: str) -> tuple[str, ...]:
        return ()
