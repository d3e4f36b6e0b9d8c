"""HTTP/2 callers that give little room, and answers that break off: in memory, on a clock that a test turns."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy, MemoryUpstream
from clawproxy.web.delivery import LAST_WORDS
from tests.web.socketlike import SocketLike
from tests.wire import ASK, STREAM_HEAD, chunk

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.settings
    from hyperframe.frame import GoAwayFrame
except ImportError:  # the extra "all" is not installed
    h2 = None  # type: ignore[assignment]

EVENT = b"data: " + b"x" * 900 + b"\n\n"


class _Caller:
    """A caller that opens its windows only when told to.

    :param window: bytes that each stream may bring.
    """

    def __init__(self, proxy: MemoryProxy, window: int) -> None:
        transport: Any = SocketLike(proxy.reactor, proxy.assembly.site, 1_000_000)
        self.transport = transport
        transport.negotiatedProtocol = b"h2"
        self.reactor = proxy.reactor
        self.connection: Any = h2.connection.H2Connection(h2.config.H2Configuration())
        self.connection.local_settings = h2.settings.Settings(
            initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.connection.initiate_connection()
        self.body: dict[int, bytes] = {}
        self.ends: dict[int, str] = {}
        self.goodbye = False
        self.turn()

    def ask(self, *, take: bool = True) -> int:
        number: int = self.connection.get_next_available_stream_id()
        lines = [(":method", "POST"), (":path", "/v1/messages"), (":scheme", "https")]
        self.connection.send_headers(number, [*lines, (":authority", "x")])
        self.connection.send_data(number, ASK, end_stream=True)
        self.body[number] = b""
        if take:
            self.turn()
        else:
            self.transport.incoming += self.connection.data_to_send()
            self.transport.deliver(1_000_000)
            self.reactor.advance(0)
        return number

    def open(self, number: int | None, size: int) -> None:
        self.connection.increment_flow_control_window(size, number)
        self.turn()

    def turn(self, turns: int = 10) -> None:
        """Exchange what there is."""
        for _ in range(turns):
            self.transport.incoming += self.connection.data_to_send()
            self.transport.deliver(1_000_000)
            self.reactor.advance(0)
            self.transport.take(1_000_000)
            got, self.transport.got = self.transport.got, b""
            for event in self.connection.receive_data(got):
                if isinstance(event, h2.events.DataReceived):
                    self.body[event.stream_id] += event.data
                elif isinstance(event, h2.events.StreamReset):
                    # Without an error, Node takes it for the ordinary end.
                    self.ends[event.stream_id] = "reset" if event.error_code else "NO_ERROR"
                elif isinstance(event, h2.events.StreamEnded):
                    self.ends[event.stream_id] = "end"
                elif isinstance(event, h2.events.ConnectionTerminated):
                    self.goodbye = True


class BreakOffTests(SynchronousTestCase):
    if h2 is None:
        skip = "h2 is not installed"

    def setUp(self) -> None:
        self.proxy = MemoryProxy("providers.anthropic.api_key=k", "server.idle_timeout=100")

    @property
    def in_flight(self) -> int:
        return self.proxy.assembly.drain.in_flight

    def broken(self, window: int, events: int = 3) -> tuple[_Caller, int, bytes]:
        """Ask for a stream, and have it broken; gives what its caller should get."""
        caller = _Caller(self.proxy, window)
        number = caller.ask()
        upstream: MemoryUpstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD)
        for _ in range(events):
            upstream.write(chunk(EVENT))
            caller.turn()
        upstream.write(chunk(b"data: half"))
        upstream.reset()
        caller.turn()
        return caller, number, EVENT * events + b"data: half\n\nevent: error\n"

    def moment(self, caller: _Caller) -> None:
        """Let the moment pass in which a caller reads the last words."""
        self.assertEqual((caller.ends, self.in_flight), ({}, 1))
        self.proxy.advance(LAST_WORDS)
        caller.turn()

    def test_room_enough(self) -> None:
        caller, number, expected = self.broken(65_535)
        self.moment(caller)
        self.assertTrue(caller.body[number].startswith(expected))
        self.assertEqual((caller.ends, self.in_flight), ({number: "reset"}, 0))

    def test_last_words_wait_for_room(self) -> None:
        for window in (1, 100, 908, 2000, 3 * 908 - 1, 3 * 908, 3 * 908 + 12, 3 * 908 + 40):
            self.setUp()  # no upstream connection is left to be used again
            caller, number, expected = self.broken(window)
            self.assertEqual(len(caller.body[number]), window)
            self.assertEqual((caller.ends, self.in_flight), ({}, 1), window)
            other = caller.ask()
            self.proxy.upstream().write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
            caller.turn()
            self.assertEqual((caller.body[other], caller.ends.pop(other)), (b"1", "end"))
            for _ in range(60):
                caller.open(number, 77)
            self.moment(caller)
            self.assertTrue(caller.body[number].startswith(expected), caller.body[number][-100:])
            self.assertTrue(caller.body[number].endswith(b"\n\n"))
            self.assertEqual((caller.ends, self.in_flight), ({number: "reset"}, 0))
            caller.transport.leave()

    def test_last_words_wait_not_for_ever(self) -> None:
        caller, number, _ = self.broken(1000)
        self.proxy.advance(99)
        caller.turn()
        self.assertEqual((caller.ends, self.in_flight), ({}, 1))
        self.proxy.advance(2)
        caller.turn()
        self.assertEqual((caller.ends, self.in_flight), ({number: "reset"}, 0))

    def test_caller_that_leaves_meanwhile(self) -> None:
        for leave in (
            lambda caller, number: caller.transport.leave(),
            lambda caller, number: caller.connection.reset_stream(number),
        ):
            caller, number, _ = self.broken(1000)
            self.assertEqual(self.in_flight, 1)
            leave(caller, number)
            caller.turn()
            self.assertEqual(self.in_flight, 0)
            self.proxy.advance(200)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_drain_waits_for_last_words(self) -> None:
        caller, number, expected = self.broken(1000)
        drained = self.proxy.assembly.drain.start()
        self.proxy.advance(5)
        self.assertNoResult(drained)
        caller.open(number, 10_000)
        self.moment(caller)
        self.assertTrue(caller.body[number].startswith(expected))
        self.assertEqual(caller.ends, {number: "reset"})
        self.proxy.advance(2)
        self.assertTrue(self.successResultOf(drained))

    def test_drain_waits_for_the_end_of_a_finished_answer(self) -> None:
        caller = _Caller(self.proxy, 1000)
        number = caller.ask()
        self.proxy.upstream().write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000
        )
        caller.turn()
        self.assertEqual((self.in_flight, len(caller.body[number])), (0, 1000))
        drained = self.proxy.assembly.drain.start()
        self.proxy.advance(5)
        self.assertNoResult(drained)
        caller.open(number, 10_000)
        self.assertEqual((caller.body[number], caller.ends), (b"x" * 3000, {number: "end"}))
        self.proxy.advance(2)
        self.assertTrue(self.successResultOf(drained))

    def test_room_by_settings_and_by_the_whole_connection(self) -> None:
        caller, number, expected = self.broken(1000)
        caller.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10_000})
        caller.turn()
        self.moment(caller)
        self.assertTrue(caller.body[number].startswith(expected))
        self.assertEqual(caller.ends, {number: "reset"})
        caller, number, expected = self.broken(10_000_000, events=80)
        self.assertEqual((len(caller.body[number]), caller.ends), (65_535, {}))
        caller.open(None, 100_000)
        self.moment(caller)
        self.assertTrue(caller.body[number].startswith(expected))
        self.assertEqual(caller.ends, {number: "reset"})

    def test_who_gives_no_room_costs_no_turns(self) -> None:
        caller, _, _ = self.broken(1000)
        caller.turn()
        soon = self.proxy.reactor.seconds() + 0.01
        calls = [each for each in self.proxy.reactor.getDelayedCalls() if each.getTime() < soon]
        self.assertEqual(calls, [])


class GoodbyeTests(SynchronousTestCase):
    """A caller's GOAWAY says that it begins nothing more, not that it wants no answer (RFC 9113 §6.8)."""

    if h2 is None:
        skip = "h2 is not installed"

    def setUp(self) -> None:
        self.proxy = MemoryProxy("providers.anthropic.api_key=k")
        self.caller = _Caller(self.proxy, 65_535)

    def goodbye(self, error: int = 0) -> None:
        """Say it as Node's ``session.close()`` does, after which the connection goes on."""
        frame = GoAwayFrame(0)
        frame.error_code = error
        self.caller.transport.incoming += frame.serialize()
        self.caller.turn()

    def test_what_is_under_way_is_answered_and_then_it_is_closed(self) -> None:
        number = self.caller.ask()
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(EVENT))
        self.caller.turn()
        self.goodbye()
        for _ in range(80):
            upstream.write(chunk(EVENT))
            self.caller.turn()
            self.caller.open(number, len(EVENT))
            self.caller.open(None, len(EVENT))
        self.assertFalse(self.caller.transport.lost)
        upstream.write(b"0\r\n\r\n")
        self.caller.turn()
        self.assertEqual(self.caller.body[number], EVENT * 81)
        self.assertEqual((self.caller.ends, self.caller.goodbye), ({number: "end"}, True))
        self.assertTrue(self.caller.transport.lost)
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)

    def test_with_nothing_under_way_it_is_closed(self) -> None:
        self.goodbye()
        self.assertTrue(self.caller.transport.lost)

    def test_because_of_an_error_it_is_closed_at_once(self) -> None:
        self.caller.ask()
        self.goodbye(1)
        self.assertTrue(self.caller.transport.lost)
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)


class WindowBySettingsTests(SynchronousTestCase):
    if h2 is None:
        skip = "h2 is not installed"

    def test_made_smaller_while_an_answer_waits(self) -> None:
        proxy = MemoryProxy("providers.anthropic.api_key=k")
        caller = _Caller(proxy, 60_000)
        number = caller.ask()
        upstream = proxy.upstream()
        upstream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"x" * 1000)
        caller.turn()
        upstream.write(b"x" * 49_000)
        caller.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
        caller.turn()
        caller.open(number, 60_000)
        self.assertEqual((len(caller.body[number]), caller.ends), (50_000, {number: "end"}))

    def test_made_larger_while_the_upstream_waits(self) -> None:
        for events in (1, 3):  # with nothing left to be sent, and with something
            proxy = MemoryProxy("providers.anthropic.api_key=k")
            caller = _Caller(proxy, len(EVENT))
            number = caller.ask()
            upstream = proxy.upstream()
            upstream.write(STREAM_HEAD + chunk(EVENT * events))
            caller.turn()
            self.assertTrue(upstream.paused)
            caller.connection.update_settings(
                {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10_000}
            )
            caller.turn()
            self.assertFalse(upstream.paused)
            self.assertEqual(caller.body[number], EVENT * events)


class IdleTests(SynchronousTestCase):
    if h2 is None:
        skip = "h2 is not installed"

    def setUp(self) -> None:
        self.proxy = MemoryProxy("providers.anthropic.api_key=k", "server.idle_timeout=100")
        self.caller = _Caller(self.proxy, 65_535)

    def test_request_that_does_not_come_to_its_end(self) -> None:
        connection = self.caller.connection
        lines = [(":method", "POST"), (":path", "/v1/messages"), (":scheme", "https")]
        connection.send_headers(1, [*lines, (":authority", "x")])
        connection.send_data(1, ASK[:10])
        self.caller.turn()
        self.proxy.advance(99)
        self.caller.turn()
        self.assertEqual((self.caller.goodbye, self.proxy.assembly.drain.in_flight), (False, 1))
        self.proxy.advance(2)
        self.caller.turn()
        self.assertEqual((self.caller.goodbye, self.proxy.assembly.drain.in_flight), (True, 0))

    def test_answer_may_be_silent_meanwhile(self) -> None:
        number = self.caller.ask()
        self.proxy.upstream().write(STREAM_HEAD + chunk(EVENT))
        self.proxy.advance(250)
        self.caller.turn()
        self.assertEqual((self.caller.body[number], self.caller.goodbye), (EVENT, False))


class FullTransportTests(SynchronousTestCase):
    if h2 is None:
        skip = "h2 is not installed"

    def test_heads_of_many_answers_wait_for_the_transport(self) -> None:
        proxy = MemoryProxy("providers.anthropic.api_key=k")
        caller = _Caller(proxy, 65_535)
        caller.transport.room = 1000
        first = caller.ask()
        upstream, body = proxy.upstream(), b"x" * 20_000
        upstream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20001\r\n\r\n" + body)
        proxy.reactor.advance(0)
        self.assertTrue(caller.transport.full)
        others = [caller.ask(take=False) for _ in range(50)]
        for number, other in [(each, proxy.upstream()) for each in others]:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Told: %d\r\n" % number
            other.write(head + b"X-Long: " + b"%x" % number * 500 + b"\r\n\r\n")
        caller.turn(200)
        upstream.write(b"x")
        caller.turn()
        self.assertEqual(caller.body[first], body + b"x")
        self.assertEqual(caller.ends, dict.fromkeys([first, *others], "end"))
