"""Where a request goes, as an exchange keeps it: :class:`Decision`, which a router makes.

It is a value: an exchange under way tries its targets as they were when it began, whatever becomes
of the routes meanwhile.
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

Reason = Literal["pinned", "agent", "rule", "demo", "default"]
"""Which of the ways that :mod:`.routing` lists led to a target."""


@frozen
class Target:
    """A provider's name and the model to ask it for."""

    provider: str
    model: str


@frozen
class Decision:
    """Where a request goes first, and where next should that fail.

    :ivar provider: the provider's name.
    :ivar model: the model as sent; equal to the one asked for unless the route says otherwise.
    :ivar fallbacks: further targets in their order; none of them equals the first or another.
    :ivar pinned: the caller named the provider itself.
    :ivar reason: which way led here, for logs and records.
    :ivar targets: all targets in the order in which they are tried.
    """

    provider: str
    model: str
    fallbacks: tuple[Target, ...] = ()
    pinned: bool = False
    reason: Reason = "default"
    targets: tuple[Target, ...] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        targets = (Target(self.provider, self.model), *self.fallbacks)
        object.__setattr__(self, "targets", targets)
