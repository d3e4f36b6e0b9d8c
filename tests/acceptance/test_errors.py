"""The table of errors, row by row, in each dialect; the lines that a failed forward logs."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import zstandard

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program, free_port
from tests.acceptance.upstream import JSON, End, Step, Upstream, answer, stream
from tests.wire import Reply

MAX_BODY = 100_000
FRAME = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'


def full_backlog() -> tuple[list[socket.socket], int]:
    """A port on which no connection ever comes about."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    sockets = [listener]
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        sockets.append(filler)
    return sockets, listener.getsockname()[1]


def house(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy whose providers have all that can be wrong with an upstream."""
    upstream = stack.enter_context(Upstream())
    sockets, unconnectable = full_backlog()
    for each in sockets:
        stack.callback(each.close)
    wrong: dict[str, dict[str, object]] = {
        "refused": {"base_url": f"http://127.0.0.1:{free_port()}"},
        "nameless": {"base_url": "http://does-not-exist.invalid"},
        "no-tls": {"base_url": f"https://127.0.0.1:{upstream.port}"},
        "unconnectable": {"base_url": f"http://127.0.0.1:{unconnectable}", "connect_timeout": 0.3},
        "silent": {
            "base_url": upstream.url,
            "response_header_timeout": 0.3,
            "idle_timeout": 0.4,
        },
    }
    providers: dict[str, object] = {
        "anthropic": {"base_url": upstream.url},
        "openai": {"base_url": upstream.url},
        "to-gpt": {"kind": "openai", "base_url": upstream.url, "api_key": "sk-k"},
        "to-claude": {"kind": "anthropic", "base_url": upstream.url, "api_key": "sk-k"},
    }
    for name, settings in wrong.items():
        for kind in ("anthropic", "openai"):
            providers[f"{name}-{kind}"] = {"kind": kind, **settings}
    config = {
        "server": {"max_body": MAX_BODY},
        "providers": providers,
        "routes": [
            {"match": "to-gpt", "provider": "to-gpt"},
            {"match": "to-claude", "provider": "to-claude"},
        ],
        "default_provider": {"anthropic": None, "openai": None},
        "storage": {"url": "none"},
    }
    # With a route of its own and no default, a model that nothing matches is answered 404.
    config["routes"] += [  # type: ignore[operator]
        {"match": "claude-*", "provider": "anthropic"},
        {"match": "gpt-*", "provider": "openai"},
    ]
    return upstream, stack.enter_context(Program(folder, config))


class ErrorCase(AcceptanceCase):
    def setUp(self) -> None:
        super().setUp()
        self.up, self.proxy = shared(house)
        self.up.answers(answer())

    def messages(self, body: Any, path: str = "/v1/messages", **headers: str) -> Reply:
        return post(self.proxy.port, path, body, {**ANTHROPIC, **headers})

    def chat(self, body: Any, path: str = "/v1/chat/completions", **headers: str) -> Reply:
        return post(self.proxy.port, path, body, {**OPENAI, **headers})

    def responses(self, body: Any, path: str = "/v1/responses", **headers: str) -> Reply:
        return post(self.proxy.port, path, body, {**OPENAI, **headers})


class BodyTests(ErrorCase):
    def test_no_json_object(self) -> None:
        """Body empty, not JSON, or not an object: 400 invalid_request_error / invalid_json."""
        for body in (
            b"",
            b"   ",
            b"{",
            b'{"model":"claude-x","messages":[]',
            b'{"model":"claude-x","messages":[]}}',
            b'{"model":"claude-x","messages":[],}',
            b"{'model':'x'}",
            b"[]",
            b"[1]",
            b'"text"',
            b"null",
            b"1",
            b"model=claude-x",
            b"\xff\xfe{\x00",
        ):
            for ask in (self.messages, lambda b: self.messages(b, "/v1/messages/count_tokens")):
                self.assertAnthropicError(ask(body), 400, "invalid_request_error")
            for ask in (self.chat, self.responses):
                self.assertOpenAIError(ask(body), 400, "invalid_json")
        self.assertEqual(self.up.asked, [])

    def test_missing_fields(self) -> None:
        """`model`, or `messages` where the path has it, missing or of the wrong type: missing_field."""
        for missing, wrong in (
            ("model", (None, 5, [], {}, True)),
            ("messages", (None, "x", {}, 5)),
        ):
            for value in ("absent", *wrong):
                claude, gpt = message(), message("gpt-x")
                for body in (claude, gpt):
                    if value == "absent":
                        del body[missing]
                    else:
                        body[missing] = value
                for path in ("/v1/messages", "/v1/messages/count_tokens", "/anthropic/v1/messages"):
                    reply = self.messages(claude, path)
                    error = self.assertAnthropicError(reply, 400, "invalid_request_error")
                    self.assertIn(missing, error["message"])
                error = self.assertOpenAIError(self.chat(gpt), 400, "missing_field")
                self.assertEqual(error["param"], missing)
                self.assertIn(missing, error["message"])
        for value in (None, 5, []):
            reply = self.responses({"model": value, "input": "x"})
            self.assertEqual(self.assertOpenAIError(reply, 400, "missing_field")["param"], "model")
        self.assertOpenAIError(self.responses({"input": "x"}), 400, "missing_field")
        self.assertEqual(self.responses({"model": "gpt-x"}).status, 200)

    def test_errors_are_json_even_when_a_stream_was_asked_for(self) -> None:
        reply = self.messages({"model": 5, "messages": [], "stream": True})
        self.assertAnthropicError(reply, 400, "invalid_request_error")

    def test_unsupported_parameters(self) -> None:
        """A field that the target cannot express (translated routes only): unsupported_parameter."""
        for field, value in (
            ("n", 2),
            ("logprobs", True),
            ("audio", {"voice": "a", "format": "mp3"}),
        ):
            reply = self.chat(message("to-claude", **{field: value}))
            error = self.assertOpenAIError(reply, 400, "unsupported_parameter")
            self.assertEqual(error["param"], field)
            self.assertIn(field, error["message"])
        reply = self.responses({"model": "to-claude", "input": "x", "previous_response_id": "r"})
        error = self.assertOpenAIError(reply, 400, "unsupported_parameter")
        self.assertEqual(error["param"], "previous_response_id")
        thread = {"type": "continue", "previous_message_id": "msg_1"}
        reply = self.messages(message("to-gpt", thread=thread))
        error = self.assertAnthropicError(reply, 400, "invalid_request_error")
        self.assertIn("thread", error["message"])
        self.assertEqual(self.up.asked, [])

    def test_verbatim_routes_refuse_no_parameter(self) -> None:
        thread = {"type": "continue", "previous_message_id": "msg_1"}
        self.assertEqual(self.messages(message("claude-x", thread=thread)).status, 200)
        self.assertEqual(self.chat(message("gpt-x", n=2, logprobs=True)).status, 200)
        reply = self.responses({"model": "gpt-x", "input": "x", "previous_response_id": "r"})
        self.assertEqual(reply.status, 200)


class SizeTests(ErrorCase):
    """Body over `max_body`: 413 request_too_large."""

    def test_as_sent(self) -> None:
        fits = json.dumps(message(padding="")).encode()
        fits = json.dumps(message(padding="x" * (MAX_BODY - len(fits)))).encode()
        self.assertEqual(len(fits), MAX_BODY)
        self.assertEqual(self.messages(fits).status, 200)
        self.assertAnthropicError(self.messages(fits + b" "), 413, "request_too_large")
        self.assertOpenAIError(self.chat(fits + b" "), 413, "request_too_large")
        self.assertOpenAIError(self.responses(fits + b" "), 413, "request_too_large")
        self.assertOpenAIError(self.chat(fits + b" ", "/v1/embeddings"), 413, "request_too_large")
        self.assertEqual(len(self.up.asked), 1)

    def test_at_once(self) -> None:
        """Larger ones get 413 without being read whole."""
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", b"", {"content-length": "10000000000"})
            self.assertAnthropicError(caller.reply(), 413, "request_too_large")

    def test_chunked(self) -> None:
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", b"", {"transfer-encoding": "chunked"})
            piece = b"%x\r\n%s\r\n" % (30_000, b"x" * 30_000)
            for _ in range(4):
                caller.socket.sendall(piece)
            self.assertAnthropicError(caller.reply(), 413, "request_too_large")

    def test_decoded(self) -> None:
        """`max_body` bounds it both as sent and decoded."""
        self.proxy.until_in_flight(0)
        bomb = json.dumps(message(padding="x" * 50_000_000)).encode()
        small = json.dumps(message(padding="x" * 50_000)).encode()
        codings: dict[str, Callable[[bytes], bytes]] = {
            "gzip": gzip.compress,
            "deflate": zlib.compress,
            "br": lambda data: bytes(brotli.compress(data, quality=3)),
            "zstd": zstandard.ZstdCompressor().compress,
        }
        for coding, compress in codings.items():
            headers = {"content-encoding": coding}
            started = time.monotonic()
            packed = compress(bomb)
            if len(packed) > MAX_BODY:
                continue
            reply = self.messages(packed, **headers)
            self.assertAnthropicError(reply, 413, "request_too_large")
            self.assertOpenAIError(self.chat(packed, **headers), 413, "request_too_large")
            self.assertEqual(self.messages(compress(small), **headers).status, 200)
            self.assertLess(time.monotonic() - started, 10)

    def test_twice_compressed_bombs(self) -> None:
        bomb = gzip.compress(gzip.compress(b"\0" * 200_000_000, 9), 9)
        reply = self.messages(bomb, **{"content-encoding": "gzip, gzip"})
        self.assertAnthropicError(reply, 413, "request_too_large")

    def test_undecodable(self) -> None:
        """Undecodable: 400."""
        whole = gzip.compress(json.dumps(message()).encode())
        for coding in ("gzip", "deflate", "br", "zstd"):
            headers = {"content-encoding": coding}
            for body in (b"nonsense", b'{"model":"claude-x","messages":[]}', whole[:-12], b"\x00"):
                reply = self.messages(body, **headers)
                self.assertAnthropicError(reply, 400, "invalid_request_error")
                self.assertOpenAIError(self.chat(body, **headers), 400, "invalid_json")
        self.assertEqual(self.up.asked, [])


class NoRouteTests(ErrorCase):
    def test_no_route(self) -> None:
        """No route: 404 not_found_error / model_not_found."""
        reply = self.messages(message("unheard-of"))
        self.assertIn(
            "unheard-of", self.assertAnthropicError(reply, 404, "not_found_error")["message"]
        )
        self.assertOpenAIError(self.chat(message("unheard-of")), 404, "model_not_found")
        reply = self.responses({"model": "unheard-of", "input": "x"})
        self.assertOpenAIError(reply, 404, "model_not_found")
        reply = self.messages(message("unheard-of"), "/v1/messages/count_tokens")
        self.assertAnthropicError(reply, 404, "not_found_error")
        self.assertEqual(self.up.asked, [])

    def test_no_default_for_another_path(self) -> None:
        self.assertEqual(self.chat(b"x", "/v1/embeddings").status, 404)


class UpstreamTests(ErrorCase):
    """What an upstream does wrong before its answer begins."""

    def both(
        self, name: str, status: int, kind: str, code: str, *, streaming: bool = False
    ) -> None:
        reply = self.messages(message(stream=streaming), f"/{name}-anthropic/v1/messages")
        self.assertAnthropicError(reply, status, kind)
        reply = self.chat(message(stream=streaming), f"/{name}-openai/v1/chat/completions")
        self.assertOpenAIError(reply, status, code)
        body = {"model": "m", "input": "x", "stream": streaming}
        reply = self.responses(body, f"/{name}-openai/v1/responses")
        self.assertOpenAIError(reply, status, code)

    def test_unreachable(self) -> None:
        """Upstream refused, reset, or broke TLS before its headers: 502 api_error."""
        for streaming in (False, True):
            for name in ("refused", "nameless", "no-tls"):
                self.both(name, 502, "api_error", "upstream_unreachable", streaming=streaming)

    def test_broken_off(self) -> None:
        broken: tuple[list[Step], ...] = (
            [End.RESET],
            [End.CLOSE],
            [b"HTTP/1.1 200 OK\r\nContent-", End.RESET],
            [b"HTTP/1.1 200 OK\r\nContent-", End.CLOSE],
            [b"SSH-2.0-OpenSSH\r\n\r\n", End.CLOSE],
            [b"\x00\x01\x02\r\n\r\n", 0.1, End.CLOSE],
        )
        for steps in broken:
            self.up.answers(steps)
            self.both("silent", 502, "api_error", "upstream_unreachable")

    def test_not_connected(self) -> None:
        """Not connected within `connect_timeout`: 504 timeout_error / upstream_timeout."""
        self.both("unconnectable", 504, "timeout_error", "upstream_timeout")

    def test_no_head(self) -> None:
        """No response header within `response_header_timeout`."""
        silent: tuple[list[Step], ...] = ([End.HANG], [b"HTTP/1.1 200 OK\r\nContent-", End.HANG])
        for steps in silent:
            self.up.answers(steps)
            started = time.monotonic()
            self.both("silent", 504, "timeout_error", "upstream_timeout")
            self.assertLess(time.monotonic() - started, 4)
            self.eventually(lambda: len(self.up.left) >= 3)

    def test_interim_answers_are_no_head(self) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        self.up.answers([interim, 0.02, interim, *answer({"x": 1})])
        reply = self.messages(message())
        self.assertEqual((reply.status, parsed(reply)), (200, {"x": 1}))

    def test_ports_that_nobody_listens_on_are_not_told_as_a_timeout(self) -> None:
        started = time.monotonic()
        self.both("refused", 502, "api_error", "upstream_unreachable")
        self.assertLess(time.monotonic() - started, 3)

    def test_a_wrong_certificate(self) -> None:
        """Broke TLS: a certificate that is not to be trusted is the same."""
        with TLSServer() as server:
            program = self.program(
                {
                    "providers": {"anthropic": {"base_url": f"https://localhost:{server.port}"}},
                    "storage": {"url": "none"},
                }
            )
            reply = post(program.port, "/v1/messages", message(), ANTHROPIC)
            self.assertAnthropicError(reply, 502, "api_error")
            self.assertIn("certificate", parsed(reply)["error"]["message"].lower())


class TLSServer:
    """A TLS listener with a certificate of its own making."""

    def __enter__(self) -> TLSServer:
        import datetime
        import tempfile
        import threading

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(key.public_key()).serial_number(1)
        builder = builder.not_valid_before(now - datetime.timedelta(1))
        builder = builder.not_valid_after(now + datetime.timedelta(1))
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate.public_bytes(pem))
            file.write(
                key.private_bytes(
                    pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            file.flush()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file.name)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class OwnErrorTests(ErrorCase):
    """An upstream's own error keeps its status, its headers and, on a verbatim route, its body."""

    HEADERS = (
        *JSON,
        ("retry-after", "60"),
        ("request-id", "req_7"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("x-ratelimit-remaining-requests", "0"),
    )

    def assertKept(self, reply: Reply, status: int) -> None:
        self.assertEqual(reply.status, status)
        for name, value in self.HEADERS[1:]:
            self.assertEqual(reply.all(name), [value])
        self.assertEqual(reply["x-request-id"], "req_7")

    def test_verbatim(self) -> None:
        for status in (400, 401, 402, 403, 404, 409, 413, 429, 500, 503, 529):
            body = b'{"type" : "error","error":{"type":"odd_error","message":"words"} }'
            self.up.answers(answer(body, status, self.HEADERS))
            for reply in (
                self.messages(message()),
                self.messages(message(stream=True)),
                self.chat(message("gpt-x", stream=True)),
                self.responses({"model": "gpt-x", "input": "x"}),
            ):
                self.assertKept(reply, status)
                self.assertEqual(reply.body, body)

    def test_translated_from_openai(self) -> None:
        for status, kind in (
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
        ):
            body = {"error": {"message": "their words", "type": "t", "param": None, "code": "c"}}
            self.up.answers(answer(body, status, self.HEADERS))
            for streaming in (False, True):
                reply = self.messages(message("to-gpt", stream=streaming))
                self.assertKept(reply, status)
                error = parsed(reply)
                self.assertEqual((error["type"], error["error"]["type"]), ("error", kind))
                self.assertIn("their words", error["error"]["message"])
                self.assertEqual(error["request_id"], "req_7")

    def test_translated_from_anthropic(self) -> None:
        for status, kind in (
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (429, "rate_limit_error"),
            (529, "overloaded_error"),
        ):
            body = {"type": "error", "error": {"type": kind, "message": "their words"}}
            self.up.answers(answer(body, status, self.HEADERS))
            replies = (
                self.chat(message("to-claude", stream=True)),
                self.responses({"model": "to-claude", "input": "x"}),
            )
            for reply in replies:
                self.assertKept(reply, status)
                error = parsed(reply)["error"]
                self.assertEqual(error.keys(), {"message", "type", "param", "code"})
                self.assertIn("their words", error["message"])

    def test_what_is_no_json(self) -> None:
        self.up.answers(answer(b"<html>Bad gateway</html>", 502, [("Content-Type", "text/html")]))
        reply = self.messages(message())
        self.assertEqual((reply.status, reply.body), (502, b"<html>Bad gateway</html>"))
        reply = self.messages(message("to-gpt"))
        self.assertEqual((reply.status, reply["content-type"]), (502, "application/json"))
        self.assertEqual(parsed(reply)["error"]["type"], "api_error")


class BrokenStreamTests(ErrorCase):
    """Upstream broke or fell silent after the headers."""

    CASES = (
        (
            "/silent-anthropic/v1/messages",
            message(stream=True),
            rb"event: error\ndata: \{\"type\":\"error\".*\}",
        ),
        (
            "/silent-openai/v1/chat/completions",
            message(stream=True),
            rb"data: \{\"error\":\{.*\}\}",
        ),
        (
            "/silent-openai/v1/responses",
            {"model": "m", "input": "x", "stream": True},
            rb"event: error\ndata: \{\"type\":\"error\".*\}",
        ),
    )

    def assertCut(self, reply: Reply, before: bytes, event: bytes, ends: bytes) -> None:
        self.assertEqual(reply.status, 200)
        self.assertFalse(reply.whole, "a cut answer was ended as if it were whole")
        self.assertTrue(reply.body.startswith(before), reply.body)
        self.assertRegex(reply.body[len(before) :], rb"\A" + ends + event + rb"\n\n\Z")

    def test_ends_of_all_kinds(self) -> None:
        """A half-sent frame is ended by a blank line, then the dialect's `error` event, then the close."""
        half = b'event: content_block_delta\ndata: {"ty'
        for path, body, event in self.CASES:
            for end in (End.RESET, End.CLOSE, End.HANG, b"xyz\r\n"):
                for pieces, ends in (((FRAME,), b""), ((FRAME, half), rb"\n\n")):
                    self.up.answers(stream(*pieces, 0.05, end=end))
                    reply = post(self.proxy.port, path, body, ANTHROPIC)
                    self.assertCut(reply, b"".join(pieces), event, ends)

    def test_what_is_half_a_frame(self) -> None:
        path, body, event = self.CASES[0]
        for sent, ends in (
            (b"data: {}\n\n", b""),
            (b"data: {}\r\n\r\n", b""),
            (b"data: {}\r\r", b""),
            (b"data: {}\n", rb"\n"),
            (b"data: {}", rb"\n\n"),
            (b"data: {}\r\n", rb"\r?\n"),
            (b": comment", rb"\n\n"),
        ):
            self.up.answers(stream(sent, 0.05, end=End.CLOSE))
            self.assertCut(post(self.proxy.port, path, body, ANTHROPIC), sent, event, ends)

    def test_the_error_itself(self) -> None:
        path, body, _ = self.CASES[0]
        for end, kind in ((End.RESET, "api_error"), (End.HANG, "timeout_error")):
            self.up.answers(stream(FRAME, 0.05, end=end))
            reply = post(self.proxy.port, path, body, {**ANTHROPIC, "x-request-id": "mine"})
            data = json.loads(reply.body.rpartition(b"data: ")[2])
            self.assertEqual((data["type"], data["error"]["type"]), ("error", kind))
            self.assertEqual(data["request_id"], "mine")

    def test_answers_that_are_no_streams(self) -> None:
        """A cut answer is never taken for a whole one."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        for framing in (
            b"Content-Length: 100\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n64\r\n",
        ):
            self.up.answers([head + framing + b'{"id":', 0.05, End.CLOSE])
            reply = self.messages(message())
            self.assertEqual((reply.status, reply.whole, reply.body), (200, False, b'{"id":'))

    def test_a_compressed_stream(self) -> None:
        """No byte can be added there; the end tells."""
        data = gzip.compress(FRAME * 100)[:40]
        self.up.answers(stream(data, 0.05, headers=[("Content-Encoding", "gzip")], end=End.RESET))
        reply = self.messages(message(stream=True))
        self.assertEqual((reply.whole, reply.body), (False, data))

    def test_the_next_request_on_the_connection(self) -> None:
        """Then the connection is closed."""
        self.up.answers(stream(FRAME, 0.05, end=End.RESET))
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            caller.end()
            self.assertTrue(caller.closed)


NAMES = [
    *("request_id", "provider", "model", "stream", "body_bytes", "has_thinking"),
    *("anthropic_beta", "query", "elapsed", "phase", "client", "error"),
]
LINE = re.compile(
    r"forward_error request_id=(?P<request_id>\S+) provider=(?P<provider>\S+) model=(?P<model>\S+) "
    r"stream=(?P<stream>true|false) body_bytes=(?P<body_bytes>\d+) "
    r"has_thinking=(?P<has_thinking>true|false) anthropic_beta=\"(?P<beta>[^\"]*)\" "
    r"query=\"(?P<query>[^\"]*)\" elapsed=(?P<elapsed>\d+\.\d{3})s "
    r"phase=(?P<phase>connect|headers|body) client=(?P<client>connected|gone) error=\"(?P<error>.+)\""
)


class LogTests(ErrorCase):
    """A failed forward logs one `key=value` line, beside a human-readable one."""

    def line(self, start: int) -> dict[str, str]:
        found = self.proxy.wait_for_log("forward_error ", start=start)
        time.sleep(0.15)
        lines = [each for each in self.proxy.log[start:].splitlines() if "forward_error " in each]
        self.assertEqual(len(lines), 1, lines)
        match = LINE.search(found)
        assert match is not None, found
        return match.groupdict()

    def test_fields(self) -> None:
        start = len(self.proxy.log)
        body = json.dumps(message("m-1", stream=True, thinking={"type": "enabled"})).encode()
        target = "/refused-anthropic/v1/messages?beta=true&api_key=hidden-1&key=hidden-2"
        headers = {**ANTHROPIC, "anthropic-beta": "one,two-2026", "x-request-id": "mine-7"}
        reply = post(self.proxy.port, target, body, headers)
        found = self.line(start)
        self.assertEqual((found["request_id"], reply["x-request-id"]), ("mine-7", "mine-7"))
        self.assertEqual((found["provider"], found["model"]), ("refused-anthropic", "m-1"))
        self.assertEqual((found["stream"], found["body_bytes"]), ("true", str(len(body))))
        self.assertEqual((found["has_thinking"], found["beta"]), ("true", "one,two-2026"))
        self.assertTrue(found["query"].startswith("beta=true&"), found["query"])
        self.assertNotIn("hidden", self.proxy.log)
        self.assertEqual((found["phase"], found["client"]), ("connect", "connected"))
        lines = [
            each for each in self.proxy.log[start:].splitlines() if "refused-anthropic" in each
        ]
        self.assertGreaterEqual(len(lines), 2, "there is no human-readable line")

    def test_hostile_values(self) -> None:
        """Whatever a caller writes, it is one line, and its fields stay apart."""
        start = len(self.proxy.log)
        model = 'm" x\nforward_error request_id=forged'
        headers = {**ANTHROPIC, "anthropic-beta": 'a" phase=body b\\'}
        post(self.proxy.port, '/refused-anthropic/v1/messages?a="b', message(model), headers)
        line = self.proxy.wait_for_log("forward_error ", start=start)
        self.assertNotIn("\nforward_error request_id=forged", self.proxy.log)
        fields = shlex.split(line[line.index("forward_error ") :])
        names = [each.partition("=")[0] for each in fields[1:]]
        self.assertEqual(
            names,
            NAMES,
        )
        self.assertIn('anthropic_beta=a" phase=body b\\', fields)
        self.assertIn('query=a="b', fields)

    def test_has_thinking(self) -> None:
        """`has_thinking`: the request turns thinking on."""
        for thinking, expected in (
            (None, "false"),
            ({"type": "disabled"}, "false"),
            ({"type": "enabled", "budget_tokens": 5}, "true"),
            ({"type": "adaptive"}, "true"),
        ):
            start = len(self.proxy.log)
            more: dict[str, object] = {"thinking": thinking} if thinking else {}
            self.messages({**message(), **more}, "/refused-anthropic/v1/messages")
            self.assertEqual(self.line(start)["has_thinking"], expected)

    def test_phases(self) -> None:
        for steps, phase in (
            ([End.RESET], "headers"),
            ([End.HANG], "headers"),
            (stream(FRAME, 0.05, end=End.RESET, headers=[("request-id", "req_3")]), "body"),
            (stream(FRAME, End.HANG), "body"),
        ):
            start = len(self.proxy.log)
            self.up.answers(steps)
            reply = self.messages(message(stream=True), "/silent-anthropic/v1/messages")
            found = self.line(start)
            self.assertEqual(found["request_id"], reply["x-request-id"])
            self.assertEqual((found["phase"], found["client"]), (phase, "connected"))
        start = len(self.proxy.log)
        self.messages(message(), "/unconnectable-anthropic/v1/messages")
        found = self.line(start)
        self.assertEqual(found["phase"], "connect")
        self.assertGreaterEqual(float(found["elapsed"]), 0.25)

    def test_a_caller_that_left_before_the_headers(self) -> None:
        """It is logged too when the caller left before the headers (`client=gone`)."""
        start = len(self.proxy.log)
        self.up.answers([End.HANG])
        with Connection(self.proxy.port) as caller:
            caller.send("POST", "/v1/messages", message(), ANTHROPIC)
            self.eventually(lambda: self.up.asked)
        found = self.line(start)
        self.assertEqual((found["phase"], found["client"]), ("headers", "gone"))

    def test_no_line_without_a_fault(self) -> None:
        start = len(self.proxy.log)
        self.messages(message())
        self.up.answers(answer({}, 529))
        self.messages(message())
        self.messages(b"{")
        time.sleep(0.2)
        self.assertNotIn("] forward_error", self.proxy.log[start:])

    def test_one_line_an_exchange(self) -> None:
        start = len(self.proxy.log)
        reply = self.messages(message(), "/v1/messages?token=hidden-3")
        line = self.proxy.wait_for_log(str(reply["x-clawproxy-id"]), start=start)
        self.assertIn("/v1/messages", line)
        self.assertIn("200", line)
        self.assertNotIn("hidden", self.proxy.log)
        self.assertNotIn("sk-caller", self.proxy.log)
