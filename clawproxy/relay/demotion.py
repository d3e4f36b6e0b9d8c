"""The demoted way: a non-streaming call that went upstream as a stream comes back as one message.

What the upstream says is put together by :class:`clawproxy.core.demotion.Demoter`; a stream that fails
becomes a real HTTP error, and half a message is never a success.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from clawproxy.core import headers as heads
from clawproxy.core.demotion import Demoted, Demoter
from clawproxy.core.errors import ProxyError
from clawproxy.core.jsonedit import edit, peek
from clawproxy.core.masking import mask_headers
from clawproxy.core.policy import transient
from clawproxy.core.requestid import request_id, upstream_request_id
from clawproxy.relay.pump import Decoded, Pump
from clawproxy.upstream.response import H1Response

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward


class Demotion:
    """One demoted call's answer."""

    def __init__(self, forward: Forward, answer: H1Response) -> None:
        self._forward = forward
        self._answer = answer
        forward.exchange.upstream_response_headers = mask_headers(answer.raw_headers)
        kind = heads.value(answer.raw_headers, b"content-type") or b""
        self._demoter = Demoter(kind.decode("latin-1"))
        forward.account = lambda: self._demoter.close().finished.usage
        self._decoded = Decoded(heads.value(answer.raw_headers, b"content-encoding"))

    async def run(self, *, more: bool) -> ProxyError | None:
        """Take the whole answer in and give the caller what it asked for.

        :return: the error on which another target is to be asked, where there is ``more``.
        """
        forward = self._forward
        pump = Pump(self._answer, self._take)
        self._answer.deliverBody(pump)
        failure = await pump.done
        broken = None
        if failure is not None:
            broken = failure.proxy_error(forward.exchange.provider or "")
        demoted = self._demoter.close(broken)
        forward.exchange.usage = demoted.finished.usage
        error = demoted.error
        forward.quoted = error is not None
        if error is not None and more and transient(error.http_status):
            return error
        if failure is not None and error is broken:
            forward.broken(failure)
        elif demoted.body is None:
            assert error is not None
            forward.fail(error)
        elif error is None:
            self._answer_whole(demoted, demoted.body)
        else:
            self._answer_whole(demoted, self._with_id(demoted.body))
        return None

    def _take(self, data: bytes) -> None:
        forward = self._forward
        forward.recording.received(data, forward.now_ms())  # type: ignore[union-attr]
        for piece in self._decoded.feed(data):
            self._demoter.feed(piece)

    def _with_id(self, told: bytes) -> bytes:
        """Give an error its ``request_id``, which HTTP errors have and events may lack."""
        if "request_id" in peek(told):
            return told
        exchange = self._forward.exchange
        upstream = upstream_request_id(self._answer.first)
        chosen = request_id(upstream, exchange.client_request_id, exchange.id)
        return edit(told, {("request_id",): msgspec.json.encode(chosen)})

    def _answer_whole(self, demoted: Demoted, body: bytes) -> None:
        forward = self._forward
        headers = heads.response_headers(
            self._answer.raw_headers, changed=True, cors=bool(forward.wiring.cors)
        )
        headers += [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        if demoted.error is not None:
            forward.exchange.error = demoted.error.message
        forward.send_head(demoted.status, b"", headers, stream=False)
        forward.write(body)
        forward.watch(body)
        forward.end("ok" if demoted.error is None else "error")
