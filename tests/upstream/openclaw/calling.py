"""Calls to a provider in tests: a sink that keeps what it gets, and turns made of strings."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.task import Clock

from clawproxy.config.gateway import OpenClawProviderConfig
from clawproxy.core.dialects.events import (
    BlockStopped,
    Event,
    MessageStarted,
    Stopped,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    UsageReported,
)
from clawproxy.core.dialects.parts import ImagePart, InlineData, Message, Part, TextPart
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import ProxyError
from clawproxy.core.secret import Secret
from clawproxy.upstream.openclaw.identity import DeviceIdentity
from clawproxy.upstream.openclaw.provider import OpenClawProvider
from clawproxy.upstream.provider import CallContext, Run
from tests.upstream.openclaw.gateway import Gateway

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJg"
    "gg=="
)
"""The smallest PNG there is."""


@define
class Sink:
    """Keep an answer, and see that it obeys the grammar of events."""

    got: list[Event] = field(factory=list)
    ends: list[ProxyError | None] = field(factory=list)
    _block: type | None = None

    def events(self, events: list[Event]) -> None:
        assert not self.ends, "events after the end"
        for event in events:
            self._check(event)
            self.got.append(event)

    def _check(self, event: Event) -> None:
        assert not any(isinstance(e, Stopped) for e in self.got), "an event after Stopped"
        match event:
            case MessageStarted():
                assert not self.got, "MessageStarted is not the first"
            case TextStarted() | ThinkingStarted():
                assert self._block is None, "a block in a block"
                self._block = type(event)
            case TextDelta(text):
                assert self._block is TextStarted, "text outside a text block"
                assert text, "an empty delta"
                text.encode()
            case ThinkingDelta(text):
                assert self._block is ThinkingStarted, "thinking outside a thinking block"
                assert text, "an empty delta"
                text.encode()
            case BlockStopped():
                assert self._block is not None, "no block to stop"
                self._block = None
            case Stopped():
                assert self._block is None, "stopped inside a block"
            case StreamFailed():
                raise AssertionError("a failure belongs into ended()")
            case _:
                pass
        if not isinstance(event, MessageStarted):
            assert self.got, "the first event is not MessageStarted"

    def ended(self, error: ProxyError | None) -> None:
        assert not self.ends, "ended twice"
        if error is None:
            assert isinstance(self.got[-1], Stopped), "ended well without Stopped"
        self.ends.append(error)

    @property
    def text(self) -> str:
        """All text."""
        return "".join(e.text for e in self.got if isinstance(e, TextDelta))

    @property
    def thinking(self) -> str:
        """All thinking."""
        return "".join(e.text for e in self.got if isinstance(e, ThinkingDelta))

    @property
    def usage(self) -> TokenUsage | None:
        """The last report."""
        reports = [e.usage for e in self.got if isinstance(e, UsageReported)]
        return reports[-1] if reports else None

    @property
    def done(self) -> bool:
        """Ended well."""
        return self.ends == [None]

    @property
    def error(self) -> ProxyError:
        """Why it failed."""
        assert self.ends and self.ends[0] is not None, f"no error: {self.ends}"
        return self.ends[0]


def turn(*said: str, model: str = "main", image: bool = False, **members: object) -> Turn:
    """Make a turn of what user and assistant said, by turns, the user first."""
    messages = []
    for index, words in enumerate(said):
        parts: tuple[Part, ...] = (TextPart(words),)
        if image and index == len(said) - 1:
            parts += (ImagePart(InlineData("image/png", PIXEL), where="messages[0].content[1]"),)
        messages.append(Message("assistant" if index % 2 else "user", parts))
    return Turn(
        dialect="openai_chat",
        model=model,
        messages=tuple(messages),
        **members,  # type: ignore[arg-type]
    )


@define
class Caller:
    """A provider with a gateway in memory, and who calls it."""

    gateway: Gateway
    clock: Clock
    provider: OpenClawProvider

    @classmethod
    def make(
        cls, gateway: Gateway, *, identity: DeviceIdentity | None = None, **config: Any
    ) -> Caller:
        """Start a provider."""
        clock = Clock()
        provider = OpenClawProvider(
            clock,
            OpenClawProviderConfig(
                name="openclaw",
                url="ws://gateway.test:18789",
                token=Secret("token-1"),
                **config,
            ),
            endpoint=gateway,
            identity=identity or DeviceIdentity.generate(),
            clock=lambda: 1_800_000_000 + clock.seconds(),
            rng=lambda: 0.5,
        )
        provider.startService()
        return cls(gateway, clock, provider)

    def call(
        self, *said: str, headers: dict[str, str] | None = None, **members: object
    ) -> tuple[Sink, Run]:
        """Start a call."""
        sink = Sink()
        asked = turn(*said, **members)  # type: ignore[arg-type]
        context = CallContext("x-1", "openai_chat", asked.model, headers or {})
        return sink, self.provider.start(asked, context, sink)

    def ask(self, *said: str, headers: dict[str, str] | None = None, **members: object) -> Sink:
        """Start a call, and keep its sink alone."""
        return self.call(*said, headers=headers, **members)[0]
