"""What a run says while nobody listens."""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.events import BlockStopped, Event, TextDelta, TextStarted
from clawproxy.upstream.openclaw.audience import MAX_HELD, MAX_HELD_FRAMES, Ear
from clawproxy.upstream.openclaw.runs import Outcome


@define(eq=False)
class Listener:
    """An audience, and the record of its call."""

    events: list[Event] = field(factory=list)
    frames: list[str] = field(factory=list)

    @property
    def wire(self) -> Listener:
        return self

    def told(self, events: list[Event]) -> None:
        self.events += events

    def parked(self) -> None:
        pass

    def over(self, outcome: Outcome) -> None:
        pass

    def asked(self, message: str) -> None:
        pass

    def heard(self, message: str) -> None:
        self.frames.append(message)


class EarTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ear = Ear()
        self.ear.attach(Listener())

    def test_held_for_the_next(self) -> None:
        self.ear.park()
        said: list[Event] = [TextStarted(), TextDelta("hello"), BlockStopped()]
        self.ear.hear("frame")
        self.ear.tell(said)
        following = Listener()
        self.ear.attach(following)
        self.assertEqual((following.events, following.frames), (said, ["frame"]))

    def test_bounds(self) -> None:
        """Beyond them nothing more is held, not even what would still fit; the next wait begins anew."""
        for _ in range(2):
            self.ear.park()
            for size in (MAX_HELD - 1, 2, 1):
                self.ear.tell([TextStarted(), TextDelta("x" * size), BlockStopped()])
            for size in (MAX_HELD_FRAMES - 1, 2, 1):
                self.ear.hear("x" * size)
            following = Listener()
            self.ear.attach(following)
            texts = [len(each.text) for each in following.events if isinstance(each, TextDelta)]
            self.assertEqual(texts, [MAX_HELD - 1])
            self.assertEqual(len(following.events), 7)
            self.assertEqual([len(frame) for frame in following.frames], [MAX_HELD_FRAMES - 1])

    def test_nobody_comes_any_more(self) -> None:
        self.ear.detach()
        self.ear.tell([TextDelta("hello")])
        late = Listener()
        self.ear.attach(late)
        self.assertEqual(late.events, [])

    def test_somebody_comes_all_the_same(self) -> None:
        """A run that nobody listened to any more may ask for an approval: from then on it has audiences again."""
        self.ear.detach()
        self.ear.attach(Listener())
        self.ear.park()
        self.ear.tell([TextDelta("hello")])
        following = Listener()
        self.ear.attach(following)
        self.assertEqual(following.events, [TextDelta("hello")])
