"""Leaving: what a drain waits for, when it gives up, and what the connections see of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.drain import CUT_GRACE, Drain
from clawproxy.testing import MemoryCaller, MemoryProxy
from clawproxy.web.delivery import LAST_WORDS
from tests.wire import ASK, LAST_CHUNK, OK, STREAM_HEAD, Reply, chunk, replies


class DrainTests(SynchronousTestCase):
    """The count and the clocks alone."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def drain(self, **options: float) -> Drain:
        drain = Drain(self.clock, **options)
        self.cut = 0
        self.begun = 0

        def cut() -> list[str]:
            self.cut += 1
            return ["cp_1 /v1/messages claude-x"]

        def begun() -> None:
            self.begun += 1

        drain.leaves(cut, begun)
        return drain

    def advance(self, seconds: int) -> None:
        self.clock.pump([0.5] * (2 * seconds))

    def lines(self) -> list[str]:
        return [str(event["log_format"]).format(**event) for event in self.events]

    def test_nothing_in_flight_ends_at_once(self) -> None:
        self.assertTrue(self.successResultOf(self.drain().start()))
        self.assertEqual((self.begun, self.cut), (1, 0))

    def test_settling_goes_on_all_the_same(self) -> None:
        waiting = self.drain(settle=5).start()
        self.advance(4)
        self.assertNoResult(waiting)
        self.advance(1)
        self.assertTrue(self.successResultOf(waiting))

    def test_what_is_in_flight_is_waited_for(self) -> None:
        drain = self.drain()
        drain.enter()
        waiting = drain.start()
        self.assertTrue(drain.draining)
        self.advance(1000)
        drain.enter()
        drain.leave()
        self.assertNoResult(waiting)
        drain.leave()
        self.advance(1)
        self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_count_is_logged_now_and_then(self) -> None:
        drain = self.drain(log_every=10)
        drain.enter()
        drain.start()
        self.advance(35)
        self.assertEqual(sum("1 in flight after" in line for line in self.lines()), 3)

    def test_ceiling_cuts_and_says_what(self) -> None:
        drain = self.drain(timeout=60)
        drain.enter()
        waiting = drain.start()
        self.advance(59)
        self.assertEqual(self.cut, 0)
        self.advance(1)
        self.assertEqual(self.cut, 1)
        self.clock.advance(CUT_GRACE)
        self.assertFalse(self.successResultOf(waiting))
        self.assertTrue(any("cp_1 /v1/messages claude-x" in line for line in self.lines()))

    def test_giving_up_does_not_wait_for_the_ceiling(self) -> None:
        drain = self.drain()
        drain.enter()
        waiting = drain.start()
        drain.give_up()
        drain.give_up()
        self.clock.advance(CUT_GRACE)
        self.assertFalse(self.successResultOf(waiting))
        self.assertEqual(self.cut, 1)

    def test_given_up_before_it_began(self) -> None:
        drain = self.drain()
        drain.enter()
        drain.give_up()
        self.assertEqual(self.cut, 0)
        waiting = drain.start()
        self.assertEqual(self.cut, 1)
        self.clock.advance(CUT_GRACE)
        self.assertFalse(self.successResultOf(waiting))

    def test_given_up_with_nothing_in_flight_is_a_whole_drain(self) -> None:
        drain = self.drain()
        drain.give_up()
        self.assertTrue(self.successResultOf(drain.start()))

    def test_several_may_wait_for_the_same_drain(self) -> None:
        drain = self.drain()
        drain.enter()
        waiting: list[Deferred[bool]] = [drain.start() for _ in range(3)]
        drain.leave()
        self.advance(1)
        waiting.append(drain.start())
        self.assertEqual([self.successResultOf(each) for each in waiting], [True] * 4)
        self.assertEqual(self.begun, 1)

    def test_what_comes_after_the_end_is_waited_for_by_who_asks_again(self) -> None:
        drain = self.drain()
        self.assertTrue(self.successResultOf(drain.start()))
        drain.enter()
        again = drain.start()
        self.advance(5)
        self.assertNoResult(again)
        drain.leave()
        self.advance(1)
        self.assertTrue(self.successResultOf(again))
        self.assertEqual(self.begun, 1)

    def test_what_comes_after_the_others_were_cut_is_cut_too(self) -> None:
        proxy = MemoryProxy("server.drain.timeout=3")
        drain = proxy.assembly.drain
        early, late = proxy.caller(), proxy.caller()
        early.post("/v1/messages", ASK)
        proxy.upstream().write(STREAM_HEAD)
        waiting = drain.start()
        proxy.advance(3)
        late.post("/v1/messages", ASK)
        proxy.upstream().write(STREAM_HEAD)
        proxy.advance(0.5)
        self.assertFalse(self.successResultOf(waiting))
        self.assertNotIn(b"event: error", late.read())
        waiting = drain.start()  # as the service does once the ports are closed
        self.assertNoResult(waiting)
        self.assertIn(b"event: error", late.read())
        proxy.advance(LAST_WORDS)
        self.assertTrue(late.closed, "its end was not told")
        self.assertNoResult(waiting)
        proxy.advance(CUT_GRACE)
        self.assertFalse(self.successResultOf(waiting))
        self.assertEqual([each.outcome for each in proxy.exchanges], ["cut", "cut"])
        self.assertTrue(
            any(f"cut 1 more: {proxy.exchanges[1].id}" in each for each in self.lines())
        )
        self.assertFalse(self.successResultOf(drain.start()))
        self.assertEqual(drain.in_flight, 0)

    def test_unsent_ends_of_answers_are_waited_for(self) -> None:
        unsent = [2]
        drain = self.drain(timeout=60)
        drain.waits_also_for(lambda: unsent[0])
        waiting = drain.start()
        self.advance(30)
        self.assertNoResult(waiting)
        unsent[0] = 0
        self.advance(1)
        self.assertTrue(self.successResultOf(waiting))

    def test_callers_that_never_read_do_not_hold_it_for_ever(self) -> None:
        drain = self.drain(timeout=60)
        drain.waits_also_for(lambda: 3)
        waiting = drain.start()
        self.advance(61)
        self.assertFalse(self.successResultOf(waiting))
        self.assertTrue(any("the ends of 3 answers" in line for line in self.lines()))

    def test_last_words_of_what_is_cut_are_no_further_answers(self) -> None:
        unsent = [0]

        def cut() -> list[str]:
            unsent[0] = 1
            return ["cp_1"]

        drain = self.drain(timeout=1)
        drain.leaves(cut, bool)
        drain.waits_also_for(lambda: unsent[0])
        drain.enter()
        drain.start()
        self.advance(2)
        self.assertTrue(any(line.endswith("cut 1: cp_1") for line in self.lines()), self.lines())


class ConnectionTests(SynchronousTestCase):
    """What callers see of a drain."""

    def setUp(self) -> None:
        self.proxy = MemoryProxy("server.drain.timeout=100", "server.drain.settle=3")
        self.drain = self.proxy.assembly.drain

    def get(self, path: str, caller: MemoryCaller | None = None) -> Reply:
        who = caller or self.proxy.caller()
        who.post(path, b"", method="GET")
        return replies(who.read(), closed=who.closed)[0]

    def test_health_and_livez_tell_the_truth(self) -> None:
        before = self.get("/health"), self.get("/livez")
        self.assertEqual([reply.status for reply in before], [200, 200])
        busy = self.proxy.caller()
        busy.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        drained = self.drain.start()
        for in_flight in (1, 0):
            health, livez = self.get("/health"), self.get("/livez")
            self.assertEqual((health.status, livez.status), (503, 200))
            self.assertEqual(json.loads(health.body)["status"], "draining")
            facts = json.loads(livez.body)
            self.assertEqual(
                (facts["status"], facts["draining"], facts["in_flight"]),
                ("draining", True, in_flight),
            )
            self.assertRegex(facts["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
            if in_flight:
                upstream.write(OK)
        self.proxy.advance(4)
        self.assertTrue(self.successResultOf(drained))

    def test_late_request_is_served_and_its_connection_closed(self) -> None:
        late = self.proxy.caller()
        late_before = self.proxy.caller()
        self.proxy.advance(2)
        self.drain.start()
        self.assertTrue(late.closed and late_before.closed, "idle connections are closed at once")
        new = self.proxy.caller()
        new.post("/v1/messages", ASK)
        self.assertEqual(self.drain.in_flight, 1)
        self.proxy.upstream().write(STREAM_HEAD + chunk(b"data: x\n\n") + LAST_CHUNK)
        reply = replies(new.read())[0]
        self.assertEqual((reply.status, reply.all("connection")), (200, ["close"]))
        self.assertTrue(reply.whole and new.closed)

    def test_answer_begun_before_ends_its_connection(self) -> None:
        caller = self.proxy.caller()
        caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD)
        self.drain.start()
        self.assertFalse(caller.closed)
        upstream.write(chunk(b"data: x\n\n") + LAST_CHUNK)
        self.assertTrue(replies(caller.read())[0].whole)
        self.assertTrue(caller.closed)

    def test_request_that_is_being_read_is_served(self) -> None:
        caller = self.proxy.caller()
        caller.write(b"POST /v1/mess")
        self.drain.start()
        self.assertFalse(caller.closed)
        caller.write(b"ages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK)
        self.proxy.upstream().write(OK)
        self.assertEqual(replies(caller.read())[0].status, 200)
        self.assertTrue(caller.closed)

    def test_pipelined_request_is_served_too(self) -> None:
        caller = self.proxy.caller()
        caller.post("/v1/messages", ASK)
        caller.post("/livez", b"", method="GET")
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD)
        self.drain.start()
        upstream.write(LAST_CHUNK)
        first, second = replies(caller.read())
        self.assertEqual((first.status, second.status, second["connection"]), (200, 200, "close"))
        self.assertTrue(caller.closed)

    def test_caller_of_http_1_0_and_a_drain(self) -> None:
        self.drain.start()
        caller = self.proxy.caller()
        caller.post("/livez", b"", method="GET", version="HTTP/1.0")
        reply = replies(caller.read(), closed=caller.closed)[0]
        self.assertEqual((reply.status, reply.all("connection")), (200, ["close"]))

    def test_cut_names_what_was_cut(self) -> None:
        callers = [self.proxy.caller() for _ in range(3)]
        for caller in callers:
            caller.post("/v1/messages", ASK)
        streaming, waiting = self.proxy.upstream(), self.proxy.upstream()
        streaming.write(STREAM_HEAD + chunk(b"event: ping\ndata: {}"))
        drained = self.drain.start()
        self.drain.give_up()
        self.proxy.advance(1)
        self.assertFalse(self.successResultOf(drained))
        stream, *others = [replies(caller.read(), closed=True)[0] for caller in callers]
        self.assertIn(b"data: {}\n\nevent: error\ndata: {", stream.body)
        self.assertFalse(stream.whole)
        for other in others:
            self.assertEqual(other.status, 503)
            self.assertEqual(json.loads(other.body)["type"], "error")
        self.assertTrue(streaming.aborted and waiting.aborted)
        self.assertEqual({each.outcome for each in self.proxy.exchanges}, {"cut"})
        self.assertEqual(self.drain.in_flight, 0)
