"""What upstreams do wrong, before their answers and within."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import time

from tests.acceptance.caller import ANTHROPIC, Connection, message, parsed, post
from tests.acceptance.test_errors import FRAME, ErrorCase
from tests.acceptance.upstream import End, Step, answer, stream
from tests.wire import Reply


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
