"""Whose request bodies are read: :func:`welcome_of` looks at the head before a byte of the body is kept.

A stranger could else fill the memory with bodies, one on each connection, before anybody asks for a key.
"""

from __future__ import annotations

from collections.abc import Callable

from clawproxy.relay.switchboard import Switchboard
from clawproxy.web.request import ProxyRequest

MOST_ELSEWHERE = 65_536
"""Bytes of a body that is not for the API: a login, a decision, or what nobody asked for."""

Uploads = Callable[[ProxyRequest], bool]
"""Tells whether a request that is not for the API may bring as much as one that is."""


def welcome_of(board: Switchboard, uploads: Uploads | None) -> Callable[[ProxyRequest], int]:
    """Make what says how many bytes of the body that belongs to a head are read.

    Nothing here is asked of a request that came in one piece: it costs no memory that it does not have already.

    :param uploads: ``None`` where only the API takes large bodies.
    """

    def welcome(request: ProxyRequest) -> int:
        wiring = board.wiring
        most = wiring.config.server.max_body
        if request.counted:
            # Asked again with the whole request: what it is answered then stands in one place.
            wiring.callers.authenticate(request.lines)
            return most
        if uploads is not None and uploads(request):
            return most
        return min(most, MOST_ELSEWHERE)

    return welcome
