"""Non-streaming calls that are sent upstream as streams: back to what the caller asked for.

An upstream, or something before it, may cut calls that are silent for minutes; a stream is not
silent. Demotion sends such a call with ``stream: true`` and puts the answer together:

1. :class:`Demoter` takes the answer's body in.
2. Its :meth:`~Demoter.close` gives a :class:`Demoted`: the message that the call would have given,
   or the HTTP error that it would have been. Half a message is never a success.
"""

from __future__ import annotations

from attrs import frozen

from clawproxy.core.dialects.upstream_error import anthropic_fault, malformed, unfinished
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.jsonread import JSONError, peek, read
from clawproxy.core.message import MAX_MESSAGE, accumulator, read_message
from clawproxy.core.message_base import Finished

_UNKNOWN = b" \t\r\n\xef\xbb\xbf"


@frozen
class Demoted:
    """How a demoted call ended.

    :ivar status: the HTTP status for the caller.
    :ivar body: its JSON in the upstream's words; ``None`` where :attr:`error` has to be worded.
    :ivar error: the fault, where it did not end well.
    :ivar finished: what came, for the record, also where it is only half.
    """

    status: int
    body: bytes | None
    error: ProxyError | None
    finished: Finished


class Demoter:
    """Take in what an Anthropic upstream answers to a demoted call.

    :param content_type: of the answer. Without one, the first byte tells a stream from JSON, which
        some upstreams answer anyway and which is passed on as it is.
    :param limit: most bytes of an answer.
    """

    def __init__(self, content_type: str = "", limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._taken = 0
        self._accumulator = accumulator("anthropic", limit)
        self._json: list[bytes] = []
        kind = content_type.partition(";")[0].strip().lower()
        self._stream: bool | None = (kind == "text/event-stream") if kind else None

    def feed(self, data: bytes) -> None:
        """Take the next piece, content codings undone, cut anywhere."""
        self._taken += len(data)
        if self._taken > self._limit:
            self._json = []
            return
        if self._stream is None:
            start = data.lstrip(_UNKNOWN)[:1]
            if not start:
                self._json.append(data)
                return
            self._stream = start != b"{"
            if self._stream:
                data = b"".join(self._json) + data
                self._json = []
        if self._stream:
            self._accumulator.feed(data)
        else:
            self._json.append(data)

    def close(self, failure: ProxyError | None = None) -> Demoted:
        """End the answer.

        :param failure: what broke the answer off, if something did; a message whose end had come,
            and an error that the upstream told before, count all the same.
        """
        if self._taken > self._limit:
            words = f"The upstream's answer exceeds {self._limit} bytes."
            error = ProxyError(Kind.UPSTREAM_UNREACHABLE, words)
            return _failed(error, self._accumulator.close())
        if not self._stream:
            return self._passed_on(failure)
        finished = self._accumulator.close()
        if finished.error is not None:
            return _told(finished)
        if finished.complete and finished.message is not None:
            return Demoted(200, finished.message, None, finished)
        if failure is None:
            broken = self._accumulator.broken
            failure = malformed("an event in its stream") if broken else unfinished()
        return _failed(failure, finished)

    def _passed_on(self, failure: ProxyError | None) -> Demoted:
        body = b"".join(self._json)
        finished = read_message("anthropic", body)
        if failure is None and not finished.complete:
            failure = malformed("a body")
        if failure is not None:
            return _failed(failure, finished)
        if finished.error is not None:
            return _told(finished)
        return Demoted(200, body, None, finished)


def _failed(error: ProxyError, finished: Finished) -> Demoted:
    return Demoted(error.http_status, None, error, finished)


def _told(finished: Finished) -> Demoted:
    """Make an HTTP error of one that the upstream told with a status of 200."""
    told = finished.error_event or b"{}"
    body: bytes | None = None
    try:
        members = peek(told)
        fault = members.get("error") or read(told)
        if members.text("type") == "error" and members.kind("error") == "object":
            body = told
    except JSONError:
        fault = read(told)
    error = anthropic_fault(fault)
    return Demoted(error.http_status, body, error, finished)
