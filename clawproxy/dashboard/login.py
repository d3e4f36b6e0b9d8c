"""Getting in and out: ``/ui/login`` and ``/ui/logout``, and the same for programs under ``/api/``.

A form's answer is a redirect, a program's (``Content-Type: application/json``) is JSON. A wrong password gives the
form again with status 401.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from twisted.web.http import RESPONSES

from clawproxy.dashboard.access import Facts, Refusal
from clawproxy.dashboard.gate import Gate
from clawproxy.dashboard.session import set_cookie
from clawproxy.dashboard.status import expect

LOGIN = "/ui/login"
HOME = "/ui/"
MOST = 4096
"""Bytes of a login's body."""

_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)


class _Body(msgspec.Struct):
    password: str = ""
    next: str = HOME


def safe_next(target: str) -> str:
    """Give where to go after a login: a page of the dashboard, and never another server's."""
    if target.startswith(HOME) and "\\" not in target and "//" not in target.partition("?")[0]:
        return target
    return HOME


def login_target(target: str) -> str:
    """Give the login page's address for somebody who wanted to see ``target``."""
    return LOGIN if target == HOME else f"{LOGIN}?next={quote(safe_next(target), safe='')}"


@cache
def _template(name: str) -> Template:
    loader = PackageLoader("clawproxy.dashboard")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Not those of the reader's pages: what those need is not loaded in this process.
    environment.globals["static"] = "/ui/static/{}".format
    return environment.get_template(name)


def login_page(next: str = HOME, error: str | None = None) -> bytes:
    """Make the page that asks for the password.

    :param next: where to go afterwards.
    :param error: why the last try did not do.
    """
    return _template("login.html").render(next=safe_next(next), error=error, action=LOGIN).encode()


def refused_page(refusal: Refusal, *, off: bool = False) -> bytes:
    """Make the page that says why there is none; where it may be there soon, it tries again.

    :param off: nothing is recorded.
    """
    return (
        _template("refused.html")
        .render(
            status=refusal.status,
            words=refusal.message.removesuffix("."),
            again=refusal.retry_after if refusal.status == 503 else None,
            off=off,
        )
        .encode()
    )


class Login:
    """Answers logins and logouts.

    :param gate: knows the password.
    :param reactor: gives the time.
    """

    def __init__(self, gate: Gate, reactor: Any) -> None:
        self._gate = gate
        self._reactor = reactor

    async def login(self, request: Any, facts: Facts) -> None:
        """Show the form, or take it."""
        program = is_program(request)
        page = request.path.lstrip(b"/").startswith(b"ui")
        if page and request.method in (b"GET", b"HEAD"):
            query = parse_qs(request.uri.partition(b"?")[2].decode("latin-1"))
            send_page(request, 200, login_page(query.get("next", [HOME])[0]))
            return
        expect(request, "POST")
        body = self._read(request, program)
        sessions = await self._gate.sessions()
        try:
            right = await self._gate.verify(body.password, facts)
        except Refusal as refusal:
            if program or refusal.retry_after is None:
                raise
            page = login_page(body.next, refusal.message)
            send_page(request, refusal.status, page, [_retry(refusal)])
            return
        if not right:
            words = "This is not the password."
            if program:
                raise Refusal(401, words)
            send_page(request, 401, login_page(body.next, words))
            return
        value = sessions.begin(self._reactor.seconds())
        self._go(request, program, body.next, value)

    async def logout(self, request: Any, facts: Facts) -> None:
        """End the caller's session."""
        expect(request, "POST")
        if self._gate.guarded:
            sessions = await self._gate.sessions()
            sessions.end(facts.cookies, self._reactor.seconds())
        self._go(request, is_program(request), LOGIN, "")

    def _read(self, request: Any, program: bool) -> _Body:
        data: bytes = request.body
        if len(data) > MOST:
            raise Refusal(413, f"found {len(data)} bytes, expected at most {MOST}")
        try:
            if program:
                return msgspec.json.decode(data, type=_Body)
            form = parse_qs(data.decode("utf-8"), keep_blank_values=True, max_num_fields=10)
        except (msgspec.MsgspecError, ValueError):
            raise Refusal(400, "expected a form or JSON with the member password") from None
        return _Body(form.get("password", [""])[0], form.get("next", [HOME])[0])

    def _go(self, request: Any, program: bool, next: str, cookie: str) -> None:
        secure = bool(request.isSecure())
        lines = [
            (b"Set-Cookie", set_cookie(cookie, secure=secure).encode("latin-1")),
            (b"Cache-Control", b"no-store"),
        ]
        if program:
            request.answer_json(200, {"ok": True}, lines)
            return
        target = next if next == LOGIN else safe_next(next)
        location = quote(target, safe="/?&=%:@!$'()*+,;~#-._[]").encode("ascii")
        lines += [(b"Location", location), (b"Content-Length", b"0")]
        request.send_head(303, b"See Other", lines)
        request.finish()


def is_program(request: Any) -> bool:
    """Tell whether a login comes from a program rather than a form."""
    kinds = request.requestHeaders.getRawHeaders("content-type") or [""]
    return bool(kinds[0].lower().startswith("application/json"))


def _retry(refusal: Refusal) -> tuple[bytes, bytes]:
    return b"Retry-After", b"%d" % (refusal.retry_after or 0)


def send_page(
    request: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer with a page of this process's own, which needs nothing but its style."""
    lines = [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
        (b"Content-Security-Policy", _CSP.encode("ascii")),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Referrer-Policy", b"same-origin"),
        *(headers or ()),
    ]
    request.send_head(status, RESPONSES.get(status, b"Status"), lines)
    request.write(body)
    request.finish()
