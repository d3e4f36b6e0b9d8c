"""Pieces come back as they were, with their times, and take little."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import pieces, varint
from clawproxy.store.pieces import Pieces


class PiecesTests(SynchronousTestCase):
    def test_joined(self) -> None:
        first, second = Pieces((1.0, 2.0), (b"a", b"b")), Pieces((3.0,), (b"c",))
        self.assertEqual(pieces.joined(iter([first, second])), first + second)
        self.assertEqual(pieces.joined([]), Pieces())

    def test_after(self) -> None:
        run = Pieces((1.0, 2.0), (b"a", b"b"))
        self.assertEqual(run.after(1), Pieces((2.0,), (b"b",)))
        self.assertEqual((run.after(0), run.after(2)), (run, Pieces()))


class BlobTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=300)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 10**8),
                st.binary(max_size=200)
                | st.builds(
                    lambda frame, words: frame % words,
                    st.sampled_from((b"a%sb", b"aaa%sbbb", b"ab%s", b"%sab", b"a%sa")),
                    st.text("ab", max_size=4).map(str.encode),
                ),
            ),
            max_size=20,
        )
    )
    def test_come_back(self, rows: list[tuple[int, bytes]]) -> None:
        given = Pieces(tuple(t / 100 for t, _ in rows), tuple(d for _, d in rows))
        self.assertEqual(pieces.decode(pieces.encode(given)), given)

    def test_the_first_layout(self) -> None:
        given = Pieces((1.0, 1.5, 1.25), (b"one", b"", b"three"))
        steps = [varint.zigzag(step) for step in (100, 50, -25)]
        blob = varint.pack([3]) + varint.pack(steps) + varint.pack([3, 0, 5]) + b"onethree"
        self.assertEqual(pieces.decode(blob), given)
        self.assertEqual(pieces.decode(b"\0"), Pieces())

    def test_alike_ones_take_little(self) -> None:
        """The frame around each word is told once, whatever came before the words."""
        frame = b'data: {"id":"msg_0123456789","delta":{"text":"%s"}}\n\n'
        words = "".join(f"word{number} " for number in range(300)).encode()
        texts = [words[at : at + 7] for at in range(0, len(words), 7)]
        data = (b"event: start\n\n", b"data: 1\n\n", *(frame % text for text in texts))
        blob = pieces.encode(Pieces(tuple(map(float, range(len(data)))), data))
        self.assertLess(len(blob), len(words) + 6 * len(data) + 400)
