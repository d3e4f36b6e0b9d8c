"""What the API's calls are given and what they give: :class:`Call` and :class:`Answer`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec
from attrs import evolve, field, frozen

from clawproxy.store.pool import StorePool

JSON = "application/json"
SANDBOX = "default-src 'none'; sandbox"
"""What recorded bytes may do in a browser: nothing."""


class Pause(Protocol):
    """Waits for some seconds, or just long enough for others to have their turn."""

    def __call__(self, seconds: float = 0) -> Awaitable[None]:
        """Wait."""


class NotFound(Exception):
    """There is no such thing; the message says what was looked for."""


@frozen
class Call:
    """A call of the API.

    :ivar path: behind ``/api/``, its percent-encoding undone.
    :ivar query: behind the ``?``, as it came.
    :ivar now: seconds since the epoch.
    :ivar names: what the path names, e.g. an exchange's id.
    :ivar pause: waits, or lets others have their turn in the middle of something long.
    """

    pool: StorePool
    method: str
    path: str
    query: str
    now: float
    pause: Pause
    names: tuple[str, ...] = ()

    def named(self, names: Sequence[str]) -> Call:
        """Give the call with what its path names."""
        return evolve(self, names=tuple(names))


@frozen
class Answer:
    """An answer, whole: records are read whole from the store, too.

    :ivar kind: the content type.
    """

    status: int
    body: bytes
    kind: str = JSON
    headers: list[tuple[str, str]] = field(factory=list)


def given(value: object) -> Answer:
    """Answer with JSON."""
    return Answer(200, msgspec.json.encode(value))


def fault(
    status: int,
    message: str,
    headers: Sequence[tuple[str, str]] = (),
    more: Mapping[str, object] | None = None,
) -> Answer:
    """Answer with an error.

    :param message: what was found and what was expected.
    :param more: further members of the error.
    """
    error = {"status": status, "type": HTTPStatus(status).phrase, "message": message}
    return Answer(
        status, msgspec.json.encode({"error": {**error, **(more or {})}}), JSON, [*headers]
    )
