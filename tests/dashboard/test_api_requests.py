"""Bodies as ``/api/`` gives them."""

from __future__ import annotations

from clawproxy.dashboard import api
from clawproxy.dashboard.api_answer import Answer, Call
from tests.dashboard.pagecase import NOW, PagesCase, run
from tests.dashboard.stories import Teller


class BodyCase(PagesCase):
    """``/api/requests/{id}/response``."""

    def given(self, id: str) -> Answer:
        """Ask for it."""

        async def pause(seconds: float = 0) -> None:
            pass

        call = Call(self.pool, "GET", f"requests/{id}/response", "", NOW, pause)
        return run(api.answer(call))

    def test_no_bytes(self) -> None:
        """An answer without a body has none, one that did not come is not there, and no figure hides what is."""
        teller = Teller(NOW - 1000)
        whole = teller.exchange({"model": "m"}, [(9.0, b"{}")], kind="application/json").id
        # As an import may have it, from whoever counts no bytes.
        uncounted = teller.exchange({"model": "m"}, [(9.0, b"{}")], response_bytes=0).id
        empty = teller.exchange({"model": "m"}, [], status=204).id
        failed = teller.exchange({"model": "m"}, [], status=None, outcome="client_gone").id
        dropped = teller.exchange({"model": "m"}, [], response_bytes=9).id
        self.keep(teller.told)
        for id, status, body in ((whole, 200, b"{}"), (uncounted, 200, b"{}"), (empty, 200, b"")):
            answer = self.given(id)
            self.assertEqual((answer.status, answer.body), (status, body))
        for id in (failed, dropped):
            self.assertEqual(self.given(id).status, 404)
