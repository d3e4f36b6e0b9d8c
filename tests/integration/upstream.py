"""An upstream for real clients: says what it is told to, and keeps what it was asked.

A thread of its own serves each connection, so that a blocking client in the test and the proxy in
its process can both be waited for in the plainest way. It is deliberately not made of ClawProxy's
parts: what the clients get through the proxy is compared with what an independent program sent.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Seconds after which an answer goes on although its event was never set.
WAIT = 60

Piece = bytes | float | threading.Event


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, in any case of letters."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What to say: a status, headers, and pieces; a number among them waits that many seconds, an event
    until it is set.

    :ivar cut: reset the connection after the pieces, in place of the end that HTTP wants.
    """

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),)
    cut: bool = False


Script = Callable[[Asked], Answer]


@dataclass
class Upstream:
    """A server on a free loopback port, as a context manager.

    :ivar script: says how each request is answered; may be replaced at any time.
    :ivar asked: every request, in order of arrival.
    :ivar left: the monotonic time at which each asker was found to have gone before its answer's end.
    """

    script: Script
    asked: list[Asked] = field(default_factory=list)
    left: list[float] = field(default_factory=list)

    def __enter__(self) -> Upstream:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                upstream._serve(self)

            do_GET = do_POST = do_HEAD = do_DELETE = _serve

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing; the test shows what was asked."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that goes away is nothing to report."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What to give the proxy as ``base_url``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        if "chunked" in (handler.headers.get("transfer-encoding") or ""):
            body = b""
            while size := int(handler.rfile.readline(), 16):
                body += handler.rfile.read(size)
                handler.rfile.readline()
            handler.rfile.readline()
        else:
            body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        asked = Asked(handler.command, handler.path, list(handler.headers.items()), body)
        self.asked.append(asked)
        answer = self.script(asked)
        handler.send_response(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        chunked = not any(name.lower() == "content-length" for name, _ in answer.headers)
        if chunked:
            handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        if handler.command == "HEAD":
            return
        try:
            self._say(handler, answer, chunked)
        except OSError:
            self.left.append(time.monotonic())
            raise

    def _say(self, handler: BaseHTTPRequestHandler, answer: Answer, chunked: bool) -> None:
        for piece in answer.pieces:
            if isinstance(piece, bytes):
                framed = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
                handler.wfile.write(framed)
                handler.wfile.flush()
            elif isinstance(piece, threading.Event):
                piece.wait(WAIT)
            else:
                time.sleep(piece)
        if answer.cut:
            handler.close_connection = True
        elif chunked:
            handler.wfile.write(b"0\r\n\r\n")


def in_turn(*answers: Answer) -> Script:
    """Give these answers one after the other, and the last one from then on."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]
