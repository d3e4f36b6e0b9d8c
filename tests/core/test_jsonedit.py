"""Editing JSON in place: what is asked changes, every other byte stays."""

from __future__ import annotations

import json
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.jsonedit import JSONError, Path, edit

KEYS = st.sampled_from(
    [
        '"model"',
        '"mod\\u0065l"',
        '"stream"',
        '"stream_options"',
        '"messages"',
        '""',
        '"\\ud800"',
        '"é\\n"',
        '"a\\"b"',
    ]
)
SPACES = st.sampled_from(["", "", "", " ", "\n  ", "\t", "\r\n"])
SCALARS = st.sampled_from(
    [
        '"x"',
        '"a \\"quoted\\" {[,:]} text"',
        '"\\ud800"',
        '"😀é"',
        '"\\\\"',
        "0",
        "-1.50e+3",
        "1e400",
        "12345678901234567890123",
        "true",
        "null",
        "NaN",
        "{}",
        "[]",
    ]
)


Member = tuple[str, str, tuple[str, str, str, str]]


def spell(members: list[Member], empty: str = "") -> str:
    """Spell an object: each key and value with the space around them."""
    spelled = (
        before + key + behind + ":" + between + value + after
        for key, value, (before, behind, between, after) in members
    )
    return "{" + (",".join(spelled) or empty) + "}"


def _members(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[Member]]:
    spaces = st.tuples(SPACES, SPACES, SPACES, SPACES)
    return st.lists(st.tuples(KEYS, values, spaces), max_size=5)


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(spell, _members(inner), SPACES),
        st.lists(inner, max_size=3).map(lambda items: "[ " + " , ".join(items) + "]"),
    ),
    max_leaves=8,
)
BODIES = st.builds(
    lambda bom, before, members, empty, after: (
        bom + before + spell(members, empty) + after
    ).encode(),
    st.sampled_from(["", "", "", "\ufeff"]),
    SPACES,
    _members(VALUES),
    SPACES,
    SPACES,
)


def pairs(body: bytes) -> list[tuple[str, object]]:
    """Read an object with its duplicates and its numbers' spelling."""
    value = json.loads(
        body.decode().removeprefix("\ufeff"),
        object_pairs_hook=lambda members: ("object", members),
        parse_int=lambda digits: ("int", digits),
        parse_float=lambda digits: ("float", digits),
        parse_constant=lambda name: ("constant", name),
    )
    members = value[1]
    assert isinstance(members, list)
    return members


class EditTests(SynchronousTestCase):
    """:func:`edit` on bodies as clients write them."""

    def test_replace(self) -> None:
        """Only the value's bytes change."""
        self.assertEqual(
            edit(b'{ "model" : "a" ,"n":1.50, "x":{"model":"a"}}', {("model",): b'"b"'}),
            b'{ "model" : "b" ,"n":1.50, "x":{"model":"a"}}',
        )

    def test_duplicates_and_escapes(self) -> None:
        """Every duplicate changes, an escaped spelling too, and the spelling of keys stays."""
        self.assertEqual(
            edit(b'{"stream":false,"a":1,"str\\u0065am" : 0}', {("stream",): b"true"}),
            b'{"stream":true,"a":1,"str\\u0065am" : true}',
        )

    def test_insert(self) -> None:
        """A missing member goes behind the last one, or into the empty object."""
        self.assertEqual(edit(b'{"a":1 }\n', {("b",): b"2"}), b'{"a":1,"b":2 }\n')
        self.assertEqual(edit(b"{ }", {("b",): b"2", ("c",): b"3"}), b'{"b":2,"c":3 }')

    def test_insert_below(self) -> None:
        """A path makes the objects that it needs, and leaves their other members."""
        change: dict[Path, bytes | None] = {("stream_options", "include_usage"): b"true"}
        self.assertEqual(edit(b"{}", change), b'{"stream_options":{"include_usage":true}}')
        self.assertEqual(
            edit(b'{"stream_options":null}', change), b'{"stream_options":{"include_usage":true}}'
        )
        self.assertEqual(
            edit(b'{"stream_options": {"include_obfuscation":false} }', change),
            b'{"stream_options": {"include_obfuscation":false,"include_usage":true} }',
        )

    def test_remove(self) -> None:
        """A member goes with one comma, wherever it stands; a missing one is no error."""
        self.assertEqual(edit(b'{"a":1, "b":2, "c":3}', {("a",): None}), b'{"b":2, "c":3}')
        self.assertEqual(edit(b'{"a":1, "b":2, "c":3}', {("b",): None}), b'{"a":1, "c":3}')
        self.assertEqual(edit(b'{"a":1, "b":2, "c":3}', {("c",): None}), b'{"a":1, "b":2}')
        self.assertEqual(edit(b'{"a":1,"a":2}', {("a",): None}), b"{}")
        self.assertEqual(edit(b'{"a":1}', {("b",): None, ("c", "d"): None}), b'{"a":1}')
        self.assertEqual(edit(b'{"a":1,"b":2}', {("b",): None, ("c",): b"3"}), b'{"a":1,"c":3}')
        self.assertEqual(edit(b'{"a":{"b":1}}', {("a", "b"): None}), b'{"a":{}}')

    def test_misread_duplicate(self) -> None:
        """A value that looks like the members behind it does not deceive the fast way."""
        body = b'{"a":"x","model":1,"a":"x\\",\\"model\\":2","model":12}'
        self.assertEqual(
            edit(body, {("model",): b"0"}),
            b'{"a":"x","model":0,"a":"x\\",\\"model\\":2","model":0}',
        )

    def test_nothing_to_change(self) -> None:
        """Without changes the body is not even read."""
        self.assertEqual(edit(b"not json", {}), b"not json")

    def test_faults(self) -> None:
        """What is not a JSON object is refused; so are paths that contradict each other."""
        for body in (
            b"",
            b"[]",
            b"1",
            b'{"a":}',
            b'{"a":1',
            b'{"a":1} x',
            b'{"a":[1 2]}',
            b"{'a':1}",
        ):
            self.assertRaises(JSONError, edit, body, {("model",): b"1"})
        self.assertRaises(ValueError, edit, b"{}", {(): b"1"})
        self.assertRaises(ValueError, edit, b"{}", {("a",): b"1", ("a", "b"): b"2"})

    @settings(deadline=None, max_examples=200)
    @given(_members(VALUES), SPACES)
    def test_replace_keeps_every_other_byte(self, members: list[Member], empty: str) -> None:
        """The body is as if the caller had spelled the new value in the same place."""
        new = '["new"]'
        expected = [
            (key, new if "del" in key or "65l" in key else value, spaces)
            for key, value, spaces in members
        ]
        added = ""
        if expected == members and not any(value == new for _, value, _ in expected):
            added = ("," if members else "") + '"model":' + new
        text = spell(expected, empty)
        if added and members:
            end = len(text) - 1 - len(members[-1][2][3])
            text = text[:end] + added + text[end:]
        elif added:
            text = "{" + added + text[1:]
        self.assertEqual(
            edit(spell(members, empty).encode(), {("model",): new.encode()}), text.encode()
        )

    @settings(deadline=None, max_examples=200)
    @given(BODIES, st.sampled_from(["model", "stream", "stream_options", "nothing"]))
    def test_remove_is_exact(self, body: bytes, name: str) -> None:
        """Removing a member removes all its duplicates and nothing else."""
        self.assertEqual(
            pairs(edit(body, {(name,): None})),
            [(key, value) for key, value in pairs(body) if key != name],
        )

    @settings(deadline=None, max_examples=200)
    @given(BODIES)
    def test_below(self, body: bytes) -> None:
        """A nested member is set in every duplicate of its parent, and nothing else changes."""
        changed = pairs(edit(body, {("stream_options", "include_usage"): b"true"}))
        before = pairs(body)
        self.assertEqual(
            [pair for pair in changed if pair[0] != "stream_options"],
            [pair for pair in before if pair[0] != "stream_options"],
        )
        parents = [value for key, value in changed if key == "stream_options"]
        self.assertTrue(parents)
        for parent in parents:
            assert isinstance(parent, tuple)
            self.assertEqual(dict(parent[1])["include_usage"], True)

    @settings(deadline=None, max_examples=200)
    @given(st.one_of(st.binary(max_size=60), BODIES.map(lambda body: body[:-1])))
    def test_hostile(self, body: bytes) -> None:
        """Anything else raises :class:`JSONError` and nothing besides, or was an object."""
        try:
            edited = edit(body, {("model",): b"1"})
        except JSONError:
            return
        self.assertIn(("model", ("int", "1")), pairs(edited))

    def test_large(self) -> None:
        """13 MB are edited in well under a second, also where only the slow way can."""
        message = b'{"role":"user","content":"hi \\u00e9"}'
        body = b'{"model":"a","messages":[' + b",".join([message] * 350_000) + b"]}"
        started = time.perf_counter()
        self.assertTrue(edit(body, {("model",): b'"b"'}).startswith(b'{"model":"b","messages"'))
        self.assertLess(time.perf_counter() - started, 2)
        odd = b'{"n":NaN,' + body[1:]
        self.assertEqual(edit(odd, {("n",): None}), body)
