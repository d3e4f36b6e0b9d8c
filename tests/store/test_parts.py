"""Bodies are cut and rebuilt byte for byte, and what recurs is found again."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import parts, varint
from clawproxy.store.compression import Packer

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=400),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {"messages": st.lists(values, max_size=5)},
    optional={"system": values, "tools": values, "input": values, "model": st.text(max_size=5)},
)


def dumped(value: Any, draw: st.DataObject) -> bytes:
    indent = draw.draw(st.sampled_from([None, 1, "\t"]))
    ascii = draw.draw(st.booleans())
    return json.dumps(value, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")


class SplitTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=150)
    @given(st.binary(max_size=600))
    def test_any_bytes_come_back(self, body: bytes) -> None:
        self.assertEqual(parts.split(body).body, body)

    @settings(deadline=None, max_examples=150)
    @given(requests, st.data())
    def test_any_request_comes_back(self, request: Any, draw: st.DataObject) -> None:
        body = dumped(request, draw)
        cut = parts.split(body)
        self.assertEqual(cut.body, body)
        whole = parts.split(body[: draw.draw(st.integers(0, len(body)))] + b'\\"[{,')
        self.assertEqual(whole.body[-5:], b'\\"[{,')
        manifest = parts.encode_manifest(cut.glue, range(5, 5 + len(cut.parts)))
        glue, numbers = parts.decode_manifest(manifest)
        self.assertEqual(numbers, list(range(5, 5 + len(cut.parts))))
        self.assertEqual(parts.join(glue, [part.data for part in cut.parts]), body)

    def test_each_message_is_a_part(self) -> None:
        first = {"role": "user", "content": 'a "quoted" [bracket] {brace}, comma: colon \\'}
        second = {"role": "assistant", "content": [{"type": "text", "text": "x" * 50}]}
        body = json.dumps(
            {
                "model": "m",
                "messages": [first, second],
                "system": "s" * 300,
                "tools": [{"name": "t" * 300}],
                "stream": True,
            }
        ).encode()
        cut = parts.split(body)
        self.assertEqual(
            [(part.member, part.element, json.loads(part.data)) for part in cut.parts],
            [
                ("messages", True, first),
                ("messages", True, second),
                ("system", False, "s" * 300),
                ("tools", False, [{"name": "t" * 300}]),
            ],
        )

    def test_a_longer_history_repeats_its_parts(self) -> None:
        history = [{"role": "user", "content": f"message {n} " + "y" * 80} for n in range(50)]
        before = parts.split(json.dumps({"messages": history[:-2], "stream": True}).encode())
        after = parts.split(json.dumps({"messages": history}).encode())
        self.assertEqual([p.data for p in after.parts[:48]], [p.data for p in before.parts])

    def test_lone_surrogates_and_nan_are_cut_like_anything(self) -> None:
        body = rb'{"input":[{"role":"user","content":"\ud800 and so on on"},'
        body += rb'{"n":NaN,"text":"some more text"}]}'
        self.assertEqual(len(parts.split(body).parts), 2)

    def test_short_values_stay_in_the_glue(self) -> None:
        self.assertEqual(parts.split(b'{"model":"m","messages":[1,2]}').parts, ())

    def test_what_is_no_object_is_one_part(self) -> None:
        body = b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 2
        self.assertEqual([part.data for part in parts.split(body).parts], [body])


class BlobTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.integers(0, 2**70), max_size=9), st.lists(st.integers(), max_size=5))
    def test_varints(self, numbers: list[int], signed: list[int]) -> None:
        data = varint.pack(numbers)
        self.assertEqual(varint.unpack(data + b"\xff", len(numbers)), (numbers, len(data)))
        self.assertEqual([varint.unzigzag(varint.zigzag(n)) for n in signed], signed)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=300), st.integers(1, 400))
    def test_packer(self, data: bytes, times: int) -> None:
        packer = Packer()
        blob = packer.pack(data * times)
        self.assertLessEqual(len(blob), len(data) * times + 1)
        self.assertEqual(packer.unpack(blob), data * times)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=300), st.binary(max_size=300), st.integers(1, 400))
    def test_packed_beside_another(self, data: bytes, alike: bytes, times: int) -> None:
        blob = Packer().pack(data * times, alike)
        self.assertEqual(Packer().unpack(blob, alike), data * times)

    def test_the_same_again_takes_little(self) -> None:
        said = b'{"text":"%s"}' % b" ".join(b"word%d" % number for number in range(200))
        packer = Packer()
        blob = packer.pack(b"answer: " + said, said)
        self.assertLess(len(blob), 50)
        self.assertRaises(ValueError, packer.unpack, blob)

    def test_unknown_blob(self) -> None:
        self.assertRaises(ValueError, Packer().unpack, b"\x77abc")
