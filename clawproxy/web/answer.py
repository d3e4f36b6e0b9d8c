"""A caller's request as far as it is answered: :class:`AnsweredRequest` is Twisted's, with heads as they are given.

1. Heads go out as the upstream spelled them, with the framing that the caller understands; each bears an id, and says
   that the connection ends while the process is leaving.
2. What one turn brings may be kept back until the turn is over, so that it leaves as one packet.
3. An answer that breaks off ends so that nobody takes it for whole.

On it stands :class:`~clawproxy.web.request.ProxyRequest`, which is also read.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.web import server
from twisted.web.http import NO_BODY_CODES, RESPONSES

from clawproxy.core.headers import ID_HEADER, RawHeaders
from clawproxy.web.channel import ProxyChannel

if TYPE_CHECKING:
    from clawproxy.web.site import ProxySite


_PHRASES = {each.value: each.phrase.encode() for each in HTTPStatus}
_PHRASES |= {499: b"Client Closed Request", 529: b"Overloaded"}
"""Of those that Twisted has no words for, such as 429."""


def phrase(status: int) -> bytes:
    """Give the words that stand beside a status where no upstream chose them; clients show them to people.

    SillyTavern shows nothing else of an error where it does not stream.
    """
    words: bytes = RESPONSES.get(status) or _PHRASES.get(status, b"Status")
    return words


class AnsweredRequest(server.Request):
    """What of a caller's request leads back to the caller.

    :ivar first: each of the request's headers by its name in lower case, the first value.
    """

    __slots__ = ("_bodyless",)

    defaultContentType = None
    channel: Any
    site: ProxySite
    first: dict[bytes, bytes]
    _bodyless: bool  # set by the one constructor that there is, as all else

    @property
    def gone(self) -> bool:
        """Whether the caller's connection is no more, or the answer is complete."""
        return bool(self._disconnected or self.finished)

    def send_head(
        self, status: int, reason: bytes, headers: RawHeaders, *, stamped: bool = False
    ) -> None:
        """Write status and headers as they are given, with the framing that the caller understands.

        :param headers: end-to-end headers; a ``Content-Length`` among them is kept.
        :param stamped: an exchange has put its id among them; what none has gets one here.
        """
        if self._disconnected:
            return
        self.code, self.code_message = status, reason
        if not stamped and not any(name.lower() == ID_HEADER for name, _ in headers):
            headers = [*headers, *self.site.stamp(self)]
        if self.site.drain.draining:
            headers = [*headers, (b"Connection", b"close")]
            self.channel.persistent = 0
        if not isinstance(self.channel, ProxyChannel):
            for name, value in headers:
                if name.lower() != b"connection":
                    self.responseHeaders.addRawHeader(name, value)
            self.write(b"")
            return
        bodyless = self.method == b"HEAD" or status in NO_BODY_CODES
        sized = False
        lines = [b"%s %d %s" % (self.clientproto, status, reason)]
        for name, value in headers:
            if name.lower() == b"content-length":
                sized = True
            lines.append(name + b": " + value)
        if self.clientproto != b"HTTP/1.1":
            self.channel.persistent = 0
        elif not sized and not bodyless:
            lines.append(b"Transfer-Encoding: chunked")
            self.chunked = 1
        if (
            not self.channel.persistent
            and self.clientproto == b"HTTP/1.1"
            and not self.site.drain.draining
        ):
            lines.append(b"Connection: close")
        lines.append(b"\r\n")
        self.startedWriting = 1
        self._bodyless = bodyless
        self.channel.write(b"\r\n".join(lines))

    def write(self, data: bytes) -> None:
        """Write a piece of the body; before the first, see to a drain's ``Connection: close``."""
        if self.startedWriting and not self.finished:
            if not data or self._disconnected or self._bodyless:
                return
            if self.chunked:
                self.channel.write(b"%x\r\n%b\r\n" % (len(data), data))
            else:
                self.channel.write(data)
            return
        if self.site.drain.draining and not self._disconnected:
            self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            self.channel.persistent = 0
        super().write(data)

    def finish(self) -> None:
        """End the answer."""
        # First: what is pipelined behind this one is answered before the last line here is reached.
        self._uncount()
        if self._disconnected or self.finished or not self.startedWriting:
            super().finish()
        else:
            if self.chunked:
                self.channel.write(b"0\r\n\r\n")
            self.finished = 1
            self._cleanup()

    def _uncount(self) -> None:
        """Let go of the request: it is in flight no longer."""
        raise NotImplementedError

    def cork(self) -> None:
        """Keep what is written until :meth:`flush`, so that one turn's pieces leave as one packet."""
        if not self._disconnected:
            self.channel.corked = True

    def flush(self) -> None:
        """Send what was kept."""
        if not self._disconnected and not self.finished and isinstance(self.channel, ProxyChannel):
            self.channel.flush()

    def uncork(self) -> None:
        """Send what was kept and keep nothing from now on."""
        if not self._disconnected and not self.finished:
            self.channel.corked = False
            self.flush()

    def break_off(self) -> None:
        """End an answer so that nobody takes it for whole: close without the final chunk."""
        if self._disconnected or self.finished:
            return
        channel = self.channel
        if isinstance(channel, ProxyChannel):
            channel.break_off()
        else:
            channel._conn.break_off(channel.streamID)

    def answer_json(self, status: int, value: object, headers: RawHeaders | None = None) -> None:
        """Answer with a small JSON document of the proxy's own."""
        body = value if isinstance(value, bytes) else msgspec.json.encode(value)
        lines = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
        self.send_head(status, phrase(status), lines + (headers or []))
        self.write(body)
        self.finish()
