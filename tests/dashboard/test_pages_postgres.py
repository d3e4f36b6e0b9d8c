"""The pages' own queries, asked of PostgreSQL."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, TestCase

from clawproxy.dashboard import pages
from clawproxy.dashboard.pages_answer import Visit
from clawproxy.store.pool import StorePool
from clawproxy.store.postgres import PostgresStore
from tests.dashboard import stories
from tests.dashboard.pagecase import NOW, Document
from tests.dashboard.stories import Teller
from tests.store import server


class PostgresPagesTests(TestCase):
    """Every page, over the same records as SQLite has them."""

    async def test_pages(self) -> None:
        """Each page is there and has no faults."""
        try:
            url = server.url()
        except RuntimeError as error:
            raise SkipTest(str(error)) from None
        server.execute("DROP SCHEMA IF EXISTS clawproxy CASCADE")
        pool = StorePool(lambda: PostgresStore(url, reactor), 1)
        teller = Teller(NOW - 2000)
        told = [*stories.coding(teller), stories.chatting(teller), *stories.failing(teller)]
        await pool.run(lambda store: store.ingest(teller.told))
        first, last = told[1].id, told[4].id
        paths: list[tuple[str, str]] = [
            ("", ""),
            ("", "q=bucket&kind=turn"),
            ("rows", "limit=3"),
            ("conversations", ""),
            (f"conversations/{stories.SESSION}", ""),
            ("stats", "range=1h"),
            ("stats", "range=all&by=agent&tool=Bash"),
            ("compare", f"a={first}&b={last}"),
            (f"requests/{last}", ""),
            (f"requests/{last}/timing", ""),
            (f"requests/{last}/headers", ""),
            (f"requests/{last}/raw", ""),
            (f"requests/{last}/send", ""),
        ]

        async def pause(seconds: float = 0) -> None:
            pass

        documents: dict[str, Any] = {}
        for path, query in paths:
            answer = await pages.answer(Visit(pool, "GET", path, query, NOW, pause))
            self.assertEqual(answer.status, 200, (path, query))
            documents[path + query] = Document(answer.body.decode())
            self.assertEqual(documents[path + query].faults, [], path)
        self.assertEqual(
            documents[f"requests/{last}"].all("a", rel="prev")[0]["href"],
            f"/ui/requests/{told[3].id}",
        )
        self.assertIn(f"requests {len(told)}", documents["statsrange=1h"].text)
        self.assertIn("1 subagent", documents["conversations"].text)
        await pool.close()
