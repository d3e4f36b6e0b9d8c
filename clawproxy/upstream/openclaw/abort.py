"""Having the gateway stop a run whose caller is gone: :class:`Abort`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import ProxyError
from clawproxy.upstream.openclaw.dispatch import Mission
from clawproxy.upstream.openclaw.frames import JSON, Response


class Abort:
    """Ask for a run's end, once, and again only where the question was not answered.

    :param ask: asks the gateway: method and parameters.
    :ivar wanted: the run is to be stopped, as soon as it is accepted and the gateway there.
    """

    log = Logger()

    def __init__(self, ask: Callable[[str, JSON], Deferred[Response]], mission: Mission) -> None:
        self._ask = ask
        self._mission = mission
        self._asked = False
        self.wanted = False

    def send(self) -> None:
        """Ask, if it is wanted and was not asked yet."""
        if self._asked or not self.wanted:
            return
        self._asked = True
        params = {"sessionKey": self._mission.session_key, "runId": self._mission.run_id}
        self._ask("chat.abort", params).addCallbacks(self._heard, self._unheard)

    def _heard(self, response: Response) -> None:
        if not response.ok or response.payload.get("aborted") is False:
            self.log.warn(
                "the gateway did not abort the run {run}: it goes on there",
                run=self._mission.run_id,
            )

    def _unheard(self, failure: Failure) -> None:
        failure.trap(ProxyError)
        self._asked = False
