"""What to do when an upstream fails: values and the time in, a verdict out.

1. The relay words what happened as a :class:`Failure`.
2. :class:`RetryPolicy` says whether to ask the same provider again, and after how many seconds.
3. Where it does not, :func:`falls_back` says whether the route's next target is asked.

All of it holds only as long as no byte of the answer has reached the caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from email.utils import mktime_tz, parsedate_tz
from enum import Enum, auto

from attrs import frozen

from clawproxy.core.headers import Headers, value

MAX_WAIT = 30.0
"""Seconds: the longest ``retry-after`` that is waited for; a longer one is the caller's to know."""

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 8.0
"""Seconds: without ``retry-after`` the n-th wait is ``BACKOFF_FIRST * 2**n``, at most this."""

BACKOFF_JITTER = 0.25
"""The share of a wait that chance may take off, so that callers do not come back in step."""


class Cause(Enum):
    """The ways in which an upstream can fail before anything reached the caller."""

    STATUS = auto()
    """It answered with an HTTP error."""
    CONNECT = auto()
    """No connection came about: DNS, refused, TLS, ``connect_timeout``."""
    LOST = auto()
    """The connection broke before the head of an answer."""
    SILENT = auto()
    """Connected, but no head within ``response_header_timeout``."""


@frozen
class Failure:
    """One failed try.

    :ivar cause: how it failed.
    :ivar status: the upstream's HTTP status, with :attr:`Cause.STATUS`.
    :ivar headers: the upstream's response headers, with :attr:`Cause.STATUS`.
    """

    cause: Cause
    status: int = 0
    headers: Sequence[tuple[bytes, bytes]] = ()


@frozen
class Retry:
    """Ask the same target again.

    :ivar after: seconds to wait first; 0 is at once.
    """

    after: float


@frozen
class GiveUp:
    """Do not ask this target again.

    :ivar why: for the log.
    """

    why: str


def transient(status: int) -> bool:
    """Tell whether a status may be gone at the next try: 408, 409, 429 and everything from 500 on.

    The vendors' SDKs retry the same (``_should_retry`` in their ``_base_client.py``).
    """
    return status in (408, 409, 429) or status >= 500


def falls_back(failure: Failure) -> bool:
    """Tell whether a failure is one that another target may not have; no other 4xx ever is."""
    return failure.cause is not Cause.STATUS or transient(failure.status)


def _retried(failure: Failure) -> bool:
    # A silent upstream may still be working on the request, and has used up its time already: it is
    # not asked again, only another is.
    if failure.cause is Cause.STATUS:
        return transient(failure.status)
    return failure.cause in (Cause.CONNECT, Cause.LOST)


@frozen
class RetryPolicy:
    """Decide about further tries at one target.

    :ivar max_retries: how many tries may follow the first one.
    """

    max_retries: int = 0

    def verdict(self, tries: int, failure: Failure, now: float, chance: float) -> Retry | GiveUp:
        """Judge a failed try.

        ``x-should-retry: false`` is obeyed; ``true`` does not widen what is retried, since the
        list of statuses is the operator's to rely on.

        :param tries: how many tries this target has had, the failed one included.
        :param failure: what happened.
        :param now: Unix time in seconds, for a ``retry-after`` that is a date.
        :param chance: a random number from 0 to 1, for the jitter.
        """
        if not _retried(failure):
            return GiveUp("not transient")
        if tries > self.max_retries:
            return GiveUp("no tries left")
        if value(failure.headers, b"x-should-retry") == b"false":
            return GiveUp("x-should-retry: false")
        wait = retry_after(failure.headers, now)
        if wait is None:
            return Retry(backoff(tries - 1, chance))
        if wait > MAX_WAIT:
            return GiveUp("retry-after is too long to wait")
        return Retry(wait)


def backoff(nth: int, chance: float) -> float:
    """Give the seconds to wait before another try when the upstream named none.

    :param nth: 0 for the first wait.
    :param chance: a random number from 0 to 1.
    """
    wait = min(BACKOFF_FIRST * 2.0 ** min(nth, 64), BACKOFF_MOST)
    return wait * (1.0 - BACKOFF_JITTER * chance)


# Nothing is tried twice, since an upstream's header may be long.
# float() alone would also take "1_0", "nan" and digits of other scripts.
_NUMBER = re.compile(rb"\s*+([+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?)\s*\Z")


def _number(text: bytes | None) -> float | None:
    """Read a number of at least 0; anything else is as good as absent."""
    found = _NUMBER.match(text) if text else None
    if found is None:
        return None
    number = float(found[1])
    return number if number >= 0 else None


def retry_after(headers: Headers, now: float) -> float | None:
    """Read how many seconds an upstream asks to wait, in any of the spellings that clients know.

    ``retry-after-ms`` first, then ``retry-after`` as a number or as an HTTP date (RFC 9110,
    10.2.3), as the vendors' SDKs do. What is negative, past, or cannot be read counts as absent.

    :param now: Unix time in seconds.
    :return: seconds, perhaps infinite; ``None`` where nothing usable was said.
    """
    milliseconds = _number(value(headers, b"retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = value(headers, b"retry-after")
    seconds = _number(said)
    if seconds is not None or said is None:
        return seconds
    try:
        date = parsedate_tz(said.decode("ascii"))
        wait = -math.inf if date is None else mktime_tz(date) - now
    except (ValueError, OverflowError, IndexError, TypeError):
        return None  # parsedate_tz and mktime_tz raise these on texts that are almost dates
    return wait if wait >= 0 else None
