"""What has been read of an upstream's answer: :class:`AnswerReader` takes llhttp's calls and keeps what they tell.

The parser calls while it is fed, so nothing is decided here; whoever feeds it looks at what there is afterwards.
"""

from __future__ import annotations

import httptools
from twisted.internet.protocol import Protocol

from clawproxy.core.headers import RawHeaders


class AnswerReader(Protocol):
    """The reading side of a connection to an upstream: the answer under way, as far as it came.

    :ivar complete: the end of the answer has been read.
    """

    # Beside what Twisted puts into the instance's dictionary, which takes three times the room from its 31st name on.
    __slots__ = (
        "_head_complete",
        "_headers",
        "_keep",
        "_parser",
        "_phrase",
        "_pieces",
        "_status",
        "complete",
    )

    _parser: httptools.HttpResponseParser | None

    def _begin_answer(self) -> None:
        self._reset_head()
        self.complete = False
        self._keep = True
        self._parser = httptools.HttpResponseParser(self)

    def _reset_head(self) -> None:
        self._status = 0
        self._phrase = b""
        self._headers: RawHeaders = []
        self._pieces: list[bytes] = []
        self._head_complete = False

    def on_status(self, phrase: bytes) -> None:
        """Take the reason phrase."""
        if not self._head_complete:
            self._phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header as it stands; trailers of a chunked body are dropped."""
        if not self._head_complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Know the status."""
        if not self._head_complete:
            self._status = self._parser.get_status_code()  # type: ignore[union-attr]
            self._head_complete = True

    def on_body(self, data: bytes) -> None:
        """Take a run of body bytes."""
        if not self.complete:
            self._pieces.append(data)

    def on_message_begin(self) -> None:
        """Notice a second message that was never asked for."""
        if self.complete:
            self._keep = False

    def on_message_complete(self) -> None:
        """Skip interim answers (1xx, RFC 9110 §15.2); else the answer is whole."""
        if 100 <= self._status < 200 and self._status != 101:
            self._reset_head()
        elif not self.complete:
            self.complete = True
            # llhttp knows it only now: later its state is that of the next message.
            self._keep = self._keep and self._parser.should_keep_alive()  # type: ignore[union-attr]
