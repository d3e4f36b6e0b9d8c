"""The PostgreSQL store: the conformance suite, and what is PostgreSQL's own."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any, cast

import psycopg2
from psycopg2.extensions import make_dsn
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from clawproxy.store import postgres_delete, postgres_link, reading
from clawproxy.store.postgres import PostgresStore
from clawproxy.store.postgres_ingest import CHANNEL
from clawproxy.store.postgres_link import Link, Session
from clawproxy.store.protocol import Filter, Stored, StoreRefused, StoreUnavailable
from clawproxy.store.retention import Retention
from tests.store import server
from tests.store.conformance import Conformance
from tests.store.length import length
from tests.store.samples import asking, long_session, stored

_FIRST_VERSION = """SET search_path = clawproxy;
    CREATE TABLE older (exchange bigint PRIMARY KEY, words tsvector NOT NULL);
    INSERT INTO older SELECT exchange, words_of(text) FROM search;
    INSERT INTO older VALUES (7, '');
    DROP TABLE search;
    DROP FUNCTION words_of;
    ALTER TABLE older RENAME TO search;
    CREATE INDEX search_words ON search USING gin (words);
    UPDATE version SET number = 1"""


class PostgresCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        try:
            self.url = server.url()
        except RuntimeError as error:
            raise SkipTest(str(error)) from None
        server.execute("DROP SCHEMA IF EXISTS clawproxy CASCADE")
        self.store = await self.other()

    async def other(self) -> PostgresStore:
        store = PostgresStore(self.url, reactor)
        self.addCleanup(store.close)
        await store.open()
        return store

    async def count(self, table: str) -> int:
        return server.count(table)


class PostgresConformanceTests(Conformance, PostgresCase):
    pass


class PostgresTests(PostgresCase):
    async def test_a_newer_database_is_refused(self) -> None:
        server.execute("UPDATE clawproxy.version SET number = 900")
        with self.assertRaises(StoreRefused) as caught:
            await self.other()
        self.assertIn("version 900", str(caught.exception))

    async def test_a_newer_program_migrates_meanwhile(self) -> None:
        """That is no fault of a record's: it waits, and what to do is told."""
        server.execute(
            "ALTER TABLE clawproxy.search RENAME text TO words; UPDATE clawproxy.version SET number = 900"
        )
        with self.assertRaises(StoreRefused):
            await self.store.ingest([stored(1, asking("a heron"))])
        with self.assertRaises(StoreRefused) as caught:
            await self.store.open()
        self.assertIn("version 900", str(caught.exception))
        self.assertEqual(await self.count("exchange"), 0)

    async def test_tables_that_are_gone_are_made_again(self) -> None:
        server.execute("DROP SCHEMA clawproxy CASCADE")
        with self.assertRaises(StoreRefused):
            await self.store.ingest([stored(1)])
        await self.store.open()
        self.assertEqual(await self.store.ingest([stored(1)]), 1)

    async def test_somebody_without_the_right_to_write(self) -> None:
        server.execute(
            "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA clawproxy TO reader;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA clawproxy TO reader"
        )
        self.addCleanup(server.execute, "DROP OWNED BY reader; DROP ROLE reader")
        store = PostgresStore(make_dsn(self.url, user="reader"), reactor)
        self.addCleanup(store.close)
        await store.open()
        with self.assertRaises(StoreRefused) as caught:
            await store.ingest([stored(1)])
        self.assertIn("permission denied", str(caught.exception))

    async def test_a_database_of_the_first_version(self) -> None:
        """What was found before is found afterwards, phrases too."""
        await self.store.ingest([stored(n, asking(f"number {n}, a Grey heron")) for n in range(3)])
        server.execute(_FIRST_VERSION)
        again = await self.other()
        for words, total in {"heron": 3, '"grey heron"': 3, '"heron grey"': 0, "1 a*": 1}.items():
            self.assertEqual((await again.list(Filter(text=words))).total, total, words)
        await again.ingest([stored(3, asking("a Grey heron"))])
        self.assertEqual((await again.list(Filter(text='"grey heron"'))).total, 4)

    async def test_what_the_first_version_measured(self) -> None:
        """Rows took more disk then: what the new ones leave is not taken for used, or retention would delete for it."""
        rng = random.Random(1)
        for number in range(40):
            words = rng.choices([f"word{n}" for n in range(300)], k=4000)
            await self.store.ingest([stored(number, asking(" ".join(words)))])
        server.execute(_FIRST_VERSION)
        before = (await self.store.sizes()).disk_bytes
        server.execute(
            f"""SET search_path = clawproxy;
            UPDATE meta SET value = 1 WHERE name = 'deleted';
            UPDATE meta SET value = {before}::bigint * 1000 / (SELECT value FROM meta WHERE name = 'bytes')
                WHERE name = 'per_mille'"""
        )
        again = await self.other()
        disk = (await again.sizes()).disk_bytes
        self.assertLess(disk, before * 0.9)
        meta: dict[str, int] = dict(await again.rows("SELECT name, value FROM clawproxy.meta"))
        used = meta["bytes"] * meta["per_mille"] // 1000
        self.assertApproximates(used, disk, disk * 0.02)

    async def test_a_word_that_is_everywhere(self) -> None:
        """Whatever the planner thinks of a word, the index finds it: computing the words of all rows takes minutes."""
        await self.store.ingest([stored(n, asking(f"a heron {n}")) for n in range(200)])
        server.execute("ANALYZE clawproxy.search")
        server.execute(
            "CREATE OR REPLACE FUNCTION clawproxy.words_of(text) RETURNS tsvector LANGUAGE plpgsql"
            " IMMUTABLE STRICT COST 100000 AS $$ BEGIN RAISE 'computed for a row'; END $$"
        )
        page = await self.store.list(Filter(text="heron"))
        self.assertEqual((page.total, len(page.items)), (200, 50))
        page = await self.store.list(Filter(text="heron", model="claude-sonnet-4-5"))
        self.assertEqual((page.total, len(page.items)), (200, 50))
        page = await self.store.list(Filter(text='"a heron"'), page.cursor)
        self.assertEqual((page.total, len(page.items)), (200, 50))
        self.assertEqual(await self.store.delete(Filter(text="heron"), limit=5), 5)

    async def test_a_long_session_stays_small(self) -> None:
        """200 turns whose history reaches 1 MB: 100 MB of bodies, at most 3 MB of tables."""
        before = (await self.store.sizes()).disk_bytes
        body = await long_session(self.store)
        self.assertGreater(len(body), 900_000)
        self.assertLess((await self.store.sizes()).disk_bytes - before, 3_000_000)
        self.assertEqual(await self.store.body("id000199", "request"), body)

    async def test_a_cut_connection_is_made_again(self) -> None:
        await self.store.ingest([stored(1)])
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND query LIKE '%%' AND backend_type = 'client backend'"
        )
        try:
            await self.store.ingest([stored(2)])
        except StoreUnavailable:
            await self.store.ingest([stored(2)])
        self.assertEqual((await self.store.list(Filter())).total, 2)

    async def test_cut_mid_batch(self) -> None:
        """The backend dies while a statement waits: the batch fails whole, and goes in whole."""
        holder = psycopg2.connect(self.url)
        self.addCleanup(holder.close)
        cursor = holder.cursor()
        cursor.execute("LOCK TABLE clawproxy.part IN ACCESS EXCLUSIVE MODE")
        batch = [stored(number, asking(f"question {number}")) for number in range(5)]
        waiting = ensureDeferred(self.store.ingest(batch))
        await deferLater(reactor, 0.2)
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        with self.assertRaises(StoreUnavailable):
            await waiting
        holder.rollback()
        self.assertEqual(await self.store.ingest(batch), 5)
        self.assertEqual((await self.store.list(Filter())).total, 5)

    async def test_cut_at_any_moment(self) -> None:
        """Whenever the server drops a connection, it is a connection that is gone, and never an error of what
        was to be stored; and the reactor has nothing to complain of."""
        killer = psycopg2.connect(self.url)
        self.addCleanup(killer.close)
        killer.autocommit = True
        cursor = killer.cursor()
        link = Link(reactor, self.url)
        self.addCleanup(link.close)
        rng = random.Random(1)

        def cut() -> None:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

        async def work(session: Session) -> None:
            await session.rows("SELECT length(%s)", ("x" * 300_000,))
            await session.rows("SELECT pg_sleep(0.002)")
            await session.do("SELECT pg_notify('nobody', '')")

        end = time.monotonic() + length(3.0, 60.0)
        unavailable = 0
        while time.monotonic() < end:
            cutting = reactor.callLater(rng.random() * 0.02, cut)
            try:
                await link.transaction(work)
            except StoreUnavailable:
                unavailable += 1
            if rng.random() < 0.5:
                await deferLater(reactor, 0.02)  # cut while nothing happens on it
            elif cutting.active():
                cutting.cancel()
        self.assertGreater(unavailable, 5)
        self.assertEqual(await link.query(lambda session: session.rows("SELECT 1")), [(1,)])

    async def test_nobody_there(self) -> None:
        store = PostgresStore("postgresql://nobody:secret@127.0.0.1:1/none", reactor)
        with self.assertRaises(StoreUnavailable) as caught:
            await store.open()
        self.assertNotIn("secret", str(caught.exception))

    async def test_a_url_that_libpq_does_not_read(self) -> None:
        """Somebody has to act, so it waits and says why, without a piece of the password."""
        for url, words in (
            ("postgresql://u:p@127.0.0.1:1/db?schema=public", 'query parameter: "schema"'),
            ("postgresql://u:se%cret@127.0.0.1:1/db", "invalid percent-encoded token"),
            ("postgresql://127.0.0.1:1/db?cret", "separator"),
        ):
            with self.subTest(url=url):
                store = PostgresStore(url, reactor)
                for _ in range(2):  # it is asked again and again
                    with self.assertRaises(StoreRefused) as caught:
                        await store.open()
                    self.assertIn(words, str(caught.exception))
                    self.assertNotIn("cret", str(caught.exception))

    async def test_a_connection_that_could_not_be_set_up(self) -> None:
        """It is used for nothing: statements would not find their tables."""
        restore = Session.restore

        async def odd(session: Session) -> None:
            await session.do("SET nonsense = 1")

        store = await self.other()
        await store.close()
        self.patch(Session, "restore", odd)
        with self.assertRaises(psycopg2.Error):
            await store.list(Filter())
        self.patch(Session, "restore", restore)
        self.assertEqual((await store.list(Filter())).total, 0)

    async def test_deleted_while_it_is_read(self) -> None:
        """What is given of an exchange is all of it, as it was when the reading began."""
        await self.store.ingest([stored(1, asking("hello"))])
        read = reading.stored

        def deleted(*arguments: Any) -> Stored:
            for table in ("body", "finished", "record", "exchange"):
                server.execute(f"DELETE FROM clawproxy.{table}")
            return read(*arguments)

        self.patch(reading, "stored", deleted)
        detail = await self.store.get("id000001")
        assert detail is not None
        self.assertEqual(detail.request, asking("hello"))
        self.assertEqual(detail.finished, b"{}")
        self.assertIsNone(await self.store.get("id000001"))

    async def test_two_writers(self) -> None:
        other = await self.other()
        same = asking("the same in both " * 5)
        await gatherResults(
            ensureDeferred(store.ingest([stored(number * 2 + at, same)]))
            for number in range(20)
            for at, store in enumerate((self.store, other))
        )
        self.assertEqual((await self.store.list(Filter())).total, 40)
        self.assertEqual(await self.count("part"), 1)

    async def database(self, name: str, options: str = "", given: str = "") -> PostgresStore:
        """Open a store in a database of its own.

        :param options: of CREATE DATABASE.
        :param given: what the URL says beside.
        """
        server.execute(f"DROP DATABASE IF EXISTS {name}")
        server.execute(f"CREATE DATABASE {name} {options}")
        store = PostgresStore(self.url.replace("/postgres?", f"/{name}?") + given, reactor)
        self.addCleanup(server.execute, f"DROP DATABASE IF EXISTS {name}")
        self.addCleanup(store.close)
        return store

    async def test_encodings(self) -> None:
        """Whichever the database or the environment has, all characters are kept."""
        self.patch(os, "environ", os.environ | {"PGCLIENTENCODING": "LATIN1"})
        bytes_alone = "ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        for options, given in (("", ""), ("", "&client_encoding=latin1"), (bytes_alone, "")):
            with self.subTest(options=options, given=given):
                store = await self.database("odd_encoding", options, given)
                await store.open()
                await store.ingest([stored(1, asking("smörgås ☃"), model="snö ☃", error="Ω")])
                page = await store.list(Filter(text="smorgas", model="snö ☃"))
                self.assertEqual([item.exchange.error for item in page.items], ["Ω"])
                await store.close()

    async def test_an_encoding_without_all_characters_is_refused(self) -> None:
        options = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        store = await self.database("latin", options)
        with self.assertRaises(StoreRefused) as caught:
            await store.open()
        self.assertIn("encoding is LATIN1", str(caught.exception))

    async def test_two_writers_where_transactions_see_what_was_first(self) -> None:
        """A database's own isolation level is for its other users: here it would give numbers out twice."""
        for level in ("repeatable read", "serializable"):
            with self.subTest(level=level):
                one = await self.database("isolated")
                server.execute(
                    f"ALTER DATABASE isolated SET default_transaction_isolation = '{level}'"
                )
                other = PostgresStore(one._link._url, reactor)
                self.addCleanup(other.close)
                await one.open()
                await other.open()
                await gatherResults(
                    ensureDeferred(
                        store.ingest([stored(number * 2 + at, asking(f"{at} {number}"))])
                    )
                    for number in range(20)
                    for at, store in enumerate((one, other))
                )
                self.assertEqual((await one.list(Filter())).total, 40)
                await one.close()
                await other.close()

    async def test_others_are_told(self) -> None:
        """What one proxy brings in is notified to all who listen, with ids and outcomes."""
        heard: list[str] = []
        link = Link(reactor, self.url)
        self.addCleanup(link.close)
        await link.query(lambda session: session.rows("SELECT 1"))
        await link.listen(CHANNEL, heard.append)
        await self.store.ingest([stored(1), stored(2, outcome="error")])
        for _ in range(40):
            if heard:
                break
            await deferLater(reactor, 0.05)
        self.assertEqual(json.loads(heard[0]), [["id000001", "ok"], ["id000002", "error"]])

    async def test_a_server_that_says_nothing_is_left(self) -> None:
        """It takes connections and never answers: libpq itself would wait for ever."""
        self.patch(postgres_link, "CONNECT_TIMEOUT", 0.3)
        factory = cast(ServerFactory, ServerFactory.forProtocol(Protocol))
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = cast(IPv4Address, port.getHost()).port
        store = PostgresStore(f"postgresql://x@127.0.0.1:{number}/x", reactor)
        with self.assertRaises(StoreUnavailable) as caught:
            await store.open()
        self.assertIn("no answer within 0.3 s", str(caught.exception))
        await deferLater(reactor, 0.1)

    async def test_a_statement_that_takes_too_long(self) -> None:
        self.patch(postgres_link, "STATEMENT_TIMEOUT", 0.3)
        link = Link(reactor, self.url)
        self.addCleanup(link.close)
        with self.assertRaises(StoreUnavailable) as caught:
            await link.query(lambda session: session.rows("SELECT pg_sleep(5)"))
        self.assertIn("statement timeout", str(caught.exception))
        self.assertEqual(await link.query(lambda session: session.rows("SELECT 1")), [(1,)])

    async def test_who_is_frozen_in_a_transaction_keeps_nobody_waiting(self) -> None:
        """Whether it reads or writes, the server ends it, and the next use makes a new connection."""
        self.patch(postgres_link, "IDLE_TIMEOUT", 0.3)
        link = Link(reactor, self.url)
        self.addCleanup(link.close)
        locked: list[int] = []

        async def frozen(session: Session) -> None:
            await session.rows("SELECT count(*) FROM exchange")
            server.execute(
                "SET lock_timeout = '5s'; BEGIN; LOCK TABLE clawproxy.exchange IN ACCESS EXCLUSIVE MODE; COMMIT"
            )
            locked.append(1)
            await session.rows("SELECT count(*) FROM exchange")

        for run in (link.snapshot, link.transaction):
            with self.assertRaises(StoreUnavailable):
                await run(frozen)
            self.assertEqual(await link.query(lambda session: session.rows("SELECT 1")), [(1,)])
        self.assertEqual(len(locked), 2)

    async def test_an_odd_one_among_many(self) -> None:
        """What cannot be stored is no reason to call the database unavailable, and leaves nothing
        behind."""
        with self.assertRaises(psycopg2.Error):
            await self.store.ingest([stored(1), stored(2, status=2**70)])
        self.assertEqual(await self.count("exchange"), 0)
        self.assertEqual(await self.store.ingest([stored(1)]), 1)

    async def test_the_tables_shrink(self) -> None:
        self.patch(postgres_delete, "REWRITE_BYTES", 1 << 20)
        rng = random.Random(1)
        for number in range(60):
            await self.store.ingest([stored(number, asking(rng.randbytes(40_000).hex()))])
        before = await self.store.sizes()
        self.assertEqual(before.free_bytes, 0)
        self.assertFalse(await self.store.shrink())
        while await self.store.delete(Filter(), 9):
            if (await self.store.sizes()).exchanges <= 6:
                break
        sparse = await self.store.sizes()
        self.assertEqual(sparse.exchanges, 6)
        self.assertGreater(sparse.free_bytes, before.disk_bytes * 0.7)
        self.assertTrue(await self.store.shrink())
        after = await self.store.sizes()
        self.assertLess(after.disk_bytes, before.disk_bytes * 0.3)
        self.assertEqual((await self.store.list(Filter())).total, 6)

    async def test_the_tables_shrink_that_were_small_at_the_first_deletion(self) -> None:
        """An almost empty database takes a hundred times the room of its blobs; what came later does not."""
        self.patch(postgres_delete, "REWRITE_BYTES", 1 << 20)
        await self.store.ingest([stored(0, asking("a first try"))])
        self.assertEqual(await self.store.delete(Filter()), 1)
        rng = random.Random(1)
        for number in range(60):
            await self.store.ingest([stored(number, asking(rng.randbytes(40_000).hex()))])
        before = await self.store.sizes()
        for _ in range(6):
            await self.store.delete(Filter(), 9)
        sparse = await self.store.sizes()
        self.assertEqual(sparse.exchanges, 6)
        self.assertGreater(sparse.free_bytes, before.disk_bytes * 0.7)
        self.assertTrue(await self.store.shrink())
        self.assertLess((await self.store.sizes()).disk_bytes, before.disk_bytes * 0.3)

    async def test_retention_where_the_first_deletion_was_early(self) -> None:
        """No more goes than is too much."""
        await self.store.ingest([stored(0, asking("a first try"))])
        await self.store.delete(Filter())
        rng = random.Random(1)
        for number in range(60):
            await self.store.ingest([stored(number, asking(rng.randbytes(40_000).hex()))])
        before = await self.store.sizes()
        retention = Retention(max_bytes=before.disk_bytes * 3 // 4)
        while await retention.step(self.store, 0.0):
            pass
        left = (await self.store.sizes()).exchanges
        self.assertGreater(left, 35)
        self.assertLess(left, 50)
