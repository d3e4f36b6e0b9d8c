"""Parameters and the JSON of records."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.dashboard.api_query import (
    FILTERS,
    SEVERAL,
    BadParameter,
    filters,
    moment,
    parameters,
    read_filter,
    whole,
)
from clawproxy.dashboard.api_record import events, json_of
from clawproxy.dashboard.api_requests import safe
from clawproxy.store.pieces import Pieces
from clawproxy.store.protocol import Filter

NOW = 1_790_000_000.0


class Parameters(SynchronousTestCase):
    """Query strings."""

    def test_moments(self) -> None:
        """In each form that people and programs write."""
        for text, want in (
            ("2026-09-21T14:13:20Z", 1_790_000_000_000),
            ("2026-09-21T14:13:20.5+00:00", 1_790_000_000_500),
            ("2026-09-21T16:13:20 02:00", 1_790_000_000_000),
            ("2026-09-21", 1_789_948_800_000),
            ("1790000000000", 1_790_000_000_000),
            ("1790000000", 1_790_000_000_000),
            ("1790000000.25", 1_790_000_000_250),
            ("1790000000000.5", 1_790_000_000_000),
            ("0", 0),
            ("90m", 1_790_000_000_000 - 5_400_000),
            ("0s", 1_790_000_000_000),
            ("9999w", 0),
        ):
            self.assertEqual(moment("since", text, NOW), want, text)
        for text in (
            "",
            "soon",
            "1y",
            "-1",
            "99999999999999999",
            "9999999999999999",
            "1.",
            ".5",
            "1e9",
            "\u0661",
            "2026-13-01",
            "9999999h",
        ):
            with self.assertRaises(BadParameter):
                moment("since", text, NOW)

    def test_numbers(self) -> None:
        """Within their bounds."""
        self.assertEqual(whole("limit", "0050", 1, 99), 50)
        for text in ("0", "100", "-1", "1.0", "1e1", "", " 1", "٣", "9" * 99):
            with self.assertRaises(BadParameter):
                whole("limit", text, 1, 99)

    def test_unknown_names_are_refused(self) -> None:
        """With the nearest one that is known."""
        with self.assertRaises(BadParameter) as caught:
            parameters("sesion=1", FILTERS)
        self.assertTrue(caught.exception.expected.startswith("session, or another of "))
        self.assertEqual(parameters("session=&q=a%20b", FILTERS), {"q": "a b"})
        for query in ("session=", "session=1&session=1", "a=1", "session=%00"):
            with self.assertRaises(BadParameter):
                parameters(query, FILTERS, strict=True)
        with self.assertRaises(BadParameter):
            parameters("&".join("session=1" for _ in range(200)), FILTERS)

    def test_fields_of_a_record_name_filters(self) -> None:
        query = "session_id=s&agent_id=a&parent_agent_id=p&conversation_id=c&text=t"
        want = {"session": "s", "agent": "a", "parent_agent": "p", "conversation": "c", "q": "t"}
        self.assertEqual(parameters(query, FILTERS), want)
        for wrong in ("session_id=s&session=s", "text=a&q=b"):
            self.assertRaises(BadParameter, parameters, wrong, FILTERS)
        self.assertRaises(BadParameter, parameters, "text=a", ("since",))

    def test_several_values(self) -> None:
        """Of some any will do; outcomes may stand behind one another."""
        query = "outcome=error,cut&outcome=error&model=a,b&model=c&provider=p&agent_id=x&agent=y&limit=3&session="
        given, others = filters(query, FILTERS, ("limit",))
        self.assertEqual(others, {"limit": "3"})
        self.assertEqual(
            given,
            {
                "outcome": ("error", "cut"),
                "model": ("a,b", "c"),
                "provider": ("p",),
                "agent": ("x", "y"),
            },
        )
        self.assertEqual(
            read_filter(given, NOW),
            Filter(outcome=("error", "cut"), model=("a,b", "c"), provider="p", agent_id=("x", "y")),
        )
        for wrong in ("outcome=error,nothing", "outcome=error, cut", "since=1d&since=2d"):
            with self.assertRaises(BadParameter):
                read_filter(filters(wrong, FILTERS)[0], NOW)
        for name in set(FILTERS) - set(SEVERAL):
            self.assertRaises(BadParameter, filters, f"{name}=1&{name}=2", FILTERS)
        for wrong in ("outcome=error,", "outcome=,", "outcome=error&outcome=", "limit=&model=a"):
            self.assertRaises(BadParameter, filters, wrong, FILTERS, ("limit",), strict=True)

    def test_filters(self) -> None:
        """Each parameter narrows by a field of its own."""
        filter = Filter(
            since=1000, until=2000, model="m", provider="p", outcome="ok", status=200, session_id="s", agent_id="a",
            parent_agent_id="b", conversation_id="c", dialect="anthropic", tool="t", path="/v1", key="k",
            side_call="", text="w",
        )  # fmt: skip
        query = (
            "since=1&until=2&model=m&provider=p&outcome=ok&status=200&session=s&agent=a&parent_agent=b&conversation=c"
            "&dialect=anthropic&tool=t&path=/v1&key=k&kind=turn&q=w"
        )
        found, _ = filters(query, FILTERS)
        self.assertEqual(set(found), set(FILTERS))
        self.assertEqual(read_filter(found, NOW), filter)

    @settings(deadline=None, max_examples=200)
    @given(st.text(max_size=60))
    def test_anything(self, query: str) -> None:
        """Nothing but a BadParameter is raised."""
        try:
            read_filter(filters(query, FILTERS)[0], NOW)
        except BadParameter as bad:
            self.assertTrue(bad.expected)


class Shown(SynchronousTestCase):
    """What the API makes of recorded bytes."""

    def test_json_is_spelled_as_it_came(self) -> None:
        """And what is none is null."""
        body = b'{"n":123456789012345678901234567890,"x":1e2,"a":1,"a":2}'
        self.assertEqual(msgspec.json.encode(json_of(body)), body)
        for none in (b"", b"{", b"\xff", b"data: x", None):
            self.assertIsNone(json_of(none))
        odd = msgspec.json.encode(json_of(b'{"a":NaN,"b":"\\ud800"}'))
        self.assertEqual(json.loads(odd), {"a": None, "b": "\ufffd"})

    @settings(deadline=None, max_examples=100)
    @given(st.text(max_size=50), st.integers(1, 7))
    def test_text_in_any_cut(self, text: str, size: int) -> None:
        """Joined, the pieces are the text."""
        data = text.encode("utf-8", "replace")
        cut = tuple(data[at : at + size] for at in range(0, len(data), size))
        found = events(Pieces(tuple(float(at) for at in range(len(cut))), cut), "")
        self.assertEqual("".join(str(each["data"]) for each in found), data.decode())
        self.assertEqual([each["at_ms"] for each in found], [float(at) for at in range(len(cut))])

    def test_what_is_no_text(self) -> None:
        """Is given in Base64; an unknown coding leaves the bytes."""
        found = events(Pieces((1.0,), (b"\xff\xfe",)), "")
        self.assertEqual(found, [{"at_ms": 1.0, "data": "//4=", "encoding": "base64"}])
        found = events(Pieces((1.0,), (b"abc",)), "klingon")
        self.assertEqual(found, [{"at_ms": 1.0, "data": "abc"}])
        self.assertEqual(events(Pieces((), ()), "gzip"), [])

    def test_no_type_that_a_browser_runs(self) -> None:
        """Whatever the upstream said."""
        for kind, want in (
            ("text/html", "text/plain; charset=utf-8"),
            ("text/event-stream; charset=utf-8", "text/plain; charset=utf-8"),
            ("application/x-ndjson", "text/plain; charset=utf-8"),
            ("application/problem+json", "application/json"),
            ("Application/JSON", "application/json"),
            ("image/svg+xml", "application/octet-stream"),
            ("application/javascript", "application/octet-stream"),
            ("", "application/octet-stream"),
        ):
            self.assertEqual(safe(kind), want)
