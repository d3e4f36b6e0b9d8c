"""What the proxy's own process knows of itself: ``/api/status`` and ``/api/approvals``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.dashboard.access import Refusal

Report = Callable[[], object]
"""Gives what a part of the program has to say, as JSON values."""

_UNCACHED = [(b"Cache-Control", b"no-store")]


class Approvals(Protocol):
    """Questions of agents that wait for an operator; an OpenClaw provider's
    :class:`~clawproxy.upstream.openclaw.desk.ApprovalDesk`."""

    def list(self) -> Sequence[Mapping[str, object]]:
        """Give all that wait."""

    def resolve(self, approval_id: str, decision: str) -> Awaitable[Mapping[str, object]]:
        """Decide one.

        :raises ProxyError: it cannot be decided so; ``NOT_FOUND`` if it is not this one's.
        """


class Status:
    """Answers ``/api/status``: the members are what the reports say, asked anew each time.

    :param reports: by member.
    """

    def __init__(self, reports: Mapping[str, Report]) -> None:
        self._reports = dict(reports)

    async def answer(self, request: Any, rest: str) -> None:
        """Answer GET."""
        expect(request, "GET", "HEAD")
        found = {name: report() for name, report in self._reports.items()}
        request.answer_json(200, found, _UNCACHED)


class _Decision(msgspec.Struct):
    decision: str
    id: str | None = None


class ApprovalCalls:
    """Answers ``/api/approvals`` and ``/api/approvals/{id}``.

    :param desks: gives those who have approvals, now: a reload may change providers.
    """

    def __init__(self, desks: Callable[[], Sequence[Approvals]]) -> None:
        self._desks = desks

    async def answer(self, request: Any, rest: str) -> None:
        """List what waits, or decide one: ``{"id": …, "decision": "allow-once"|"allow-always"|"deny"}``."""
        named = rest.strip("/")
        if request.method in (b"GET", b"HEAD") and not named:
            waiting = [each for desk in self._desks() for each in desk.list()]
            request.answer_json(200, {"approvals": waiting}, _UNCACHED)
            return
        expect(request, *(("POST",) if named else ("GET", "HEAD", "POST")))
        try:
            asked = msgspec.json.decode(request.body, type=_Decision)
        except msgspec.MsgspecError as error:
            raise Refusal(400, f"expected JSON with decision and id: {error}") from None
        id = named or asked.id
        if not id:
            raise Refusal(400, "found no id, expected an approval's")
        request.answer_json(200, await self._resolve(id, asked.decision), _UNCACHED)

    async def _resolve(self, id: str, decision: str) -> Mapping[str, object]:
        for desk in self._desks():
            try:
                return await desk.resolve(id, decision)
            except ProxyError as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise
        raise Refusal(404, f"there is no approval {id[:100]!r}")


def expect(request: Any, *methods: str) -> None:
    """Refuse a method that is not among these.

    :raises Refusal: 405.
    """
    found = request.method.decode("latin-1")
    if found not in methods:
        allow = ", ".join(methods)
        raise Refusal(405, f"found {found[:20]}, expected {allow}", allow=allow)
