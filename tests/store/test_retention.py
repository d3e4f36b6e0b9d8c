"""Records go by age and by size, the oldest first, and disk use stays near the cap."""

from __future__ import annotations

import random
from pathlib import Path

from twisted.trial.unittest import TestCase

from clawproxy.store.protocol import Filter
from clawproxy.store.retention import Retention, used
from clawproxy.store.sqlite import SQLiteStore
from tests.store.samples import EPOCH, asking, message, stored

DAY = 86_400


class RetentionTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.store = SQLiteStore(Path(self.mktemp()))
        await self.store.open()
        self.addCleanup(self.store.close)

    async def test_by_age(self) -> None:
        await self.store.ingest([stored(day * DAY) for day in range(10)])
        retention = Retention(days=3)
        while await retention.step(self.store, EPOCH + 10 * DAY):
            pass
        page = await self.store.list(Filter())
        self.assertEqual(
            [item.exchange.id for item in page.items],
            [stored(d * DAY).entry.exchange.id for d in (9, 8, 7)],
        )

    async def test_nothing_goes_where_nothing_is_said(self) -> None:
        await self.store.ingest([stored(0)])
        self.assertFalse(await Retention().step(self.store, EPOCH * 2))
        self.assertEqual((await self.store.list(Filter())).total, 1)

    async def test_words_give_their_place_back(self) -> None:
        """The search index shrinks, too: nothing newer goes because it takes the place of older words."""
        cap = 4_000_000
        rng = random.Random(4)
        for number in range(0, 600, 50):
            batch = []
            for each in range(number, number + 50):
                words = " ".join(rng.randbytes(4).hex() for _ in range(700))
                batch.append(stored(each, asking(words), message(f"answer{each}")))
            await self.store.ingest(batch)
        self.assertGreater((await self.store.sizes()).disk_bytes, 3 * cap)
        retention = Retention(max_bytes=cap)
        for _ in range(500):
            if not await retention.step(self.store, EPOCH):
                break
        sizes = await self.store.sizes()
        self.assertLessEqual(sizes.disk_bytes, cap)
        page = await self.store.list(Filter())
        self.assertGreater(page.total, 100)
        self.assertEqual(page.items[0].exchange.id, "id000599")
        self.assertEqual((await self.store.list(Filter(text="answer599"))).total, 1)
        self.assertEqual((await self.store.list(Filter(text="answer3"))).total, 0)
        await self.store.delete(Filter(), 1000)
        while await self.store.shrink():
            pass
        self.assertLess((await self.store.sizes()).disk_bytes, 500_000)

    async def test_by_size(self) -> None:
        """30 MB under a cap of 3 MB: the newest stay, the file keeps near the cap, and reads go on."""
        cap = 3_000_000
        retention = Retention(max_bytes=cap)
        rng = random.Random(3)
        most = 0
        for number in range(300):
            body = asking(rng.randbytes(50_000).hex())
            await self.store.ingest([stored(number, body, message(f"answer{number}"))])
            if number % 10 == 9:
                for _ in range(50):
                    if not await retention.step(self.store, EPOCH):
                        break
                sizes = await self.store.sizes()
                most = max(most, sizes.disk_bytes)
                self.assertLessEqual(used(sizes), cap)
        self.assertLess(most, cap * 1.3)
        page = await self.store.list(Filter())
        self.assertGreater(page.total, 15)
        self.assertEqual(page.items[0].exchange.id, "id000299")
        self.assertEqual(await self.store.body("id000299", "request"), body)
        self.assertEqual((await self.store.list(Filter(text="answer299"))).total, 1)
        self.assertEqual((await self.store.list(Filter(text="answer3"))).total, 0)
