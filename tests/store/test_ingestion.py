"""A batch on its way into the store: what is wrong with one exchange stays its own."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred

from clawproxy.store.indexing import Indexing
from tests.store.indexing import SEAL, IndexingCase, end, pieces, start, whole
from tests.store.logs import captured
from tests.store.samples import asking, message


class IngestionTests(IndexingCase):
    async def test_one_that_cannot_be_stored_stops_no_other(self) -> None:
        self.store.poison = "id000002"
        self.write(1, whole(1), whole(2), whole(3), SEAL)
        self.write(2, whole(4), SEAL)
        with captured():
            await self.indexing.own()
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.assertEqual(set(await self.outcomes()), {"id000001", "id000003", "id000004"})
        self.assertEqual(self.indexing.progress.rejected, 1)
        kept = [p.name for p in self.directory.iterdir() if p.suffix == ".rejected"]
        self.assertEqual(kept, ["1-a-00000001.rejected"])

    async def test_nor_is_it_tried_again_when_the_store_goes_away_behind_it(self) -> None:
        self.store.poison = "id000001"
        self.store.away = ("id000002",)
        self.write(1, whole(1), whole(2), SEAL)
        with captured():
            waiting = ensureDeferred(self.indexing.own())
            self.assertNoResult(waiting)
            self.clock.advance(1.0)
            self.assertTrue(await waiting)
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.assertEqual(await self.outcomes(), {"id000002": "ok"})
        self.assertEqual((self.indexing.progress.stored, self.indexing.progress.rejected), (1, 1))

    async def test_what_the_store_cannot_give_back_stops_no_other(self) -> None:
        self.write(1, start(1), pieces(1, b"one,"), SEAL)
        await self.indexing.own()
        other = self.made("1-a")
        assert self.indexing._lock is not None
        self.indexing._lock.release()
        for name in ("partials", "body"):

            async def damaged(*_: object) -> None:
                raise ValueError("a blob that is none")

            self.patch(self.store, name, damaged)
        self.write(2, pieces(1, b"two"), end(1), whole(2))
        with captured():
            self.assertTrue(await other.own())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(await self.outcomes(), {"id000001": "ok", "id000002": "ok"})
        detail = await self.store.get("id000001")
        assert detail is not None
        self.assertTrue(detail.stored.truncated)

    async def test_what_cannot_be_read_is_kept_exactly(self) -> None:
        def enrich(*arguments: object) -> str | None:
            raise ZeroDivisionError("a fault of ours")

        self.indexing = Indexing(self.clock, self.store, self.directory, "1-a", enrich)
        self.write(1, whole(1), SEAL)
        await self.indexing.own()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(await self.store.body("id000001", "request"), asking("hello"))
        self.assertEqual(await self.store.body("id000001", "response"), message("hello"))
