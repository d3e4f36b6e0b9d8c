"""How talking to an upstream can fail, in one type, so that nobody else looks into Twisted's failures.

:class:`UpstreamFailure` says in which phase it happened and whether a further try may help; its
:meth:`~UpstreamFailure.proxy_error` is what the caller gets.
"""

from __future__ import annotations

from typing import Literal

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as TwistedTimeoutError
from twisted.python.failure import Failure

from clawproxy.core.errors import Kind, ProxyError

Phase = Literal["connect", "headers", "body"]


class UpstreamFailure(Exception):
    """The upstream could not be reached, fell silent, or broke off.

    :ivar phase: ``connect`` until the request could be written, ``headers`` until the response's
        header section was complete, ``body`` from then on.
    :ivar timeout: whether one of the clocks ran out (504) or the upstream itself failed (502).
    :ivar stale: a reused keep-alive connection that ended before a byte of the answer came.
    """

    def __init__(
        self, phase: Phase, message: str, *, timeout: bool = False, stale: bool = False
    ) -> None:
        super().__init__(message)
        self.phase: Phase = phase
        self.message = message
        self.timeout = timeout
        self.stale = stale

    def proxy_error(self, provider: str) -> ProxyError:
        """Give the error that a caller is told.

        :param provider: the provider's configured name, so that the reader knows which one it was.
        """
        kind = Kind.UPSTREAM_TIMEOUT if self.timeout else Kind.UPSTREAM_UNREACHABLE
        return ProxyError(kind, f"provider {provider!r}: {self.message}")


def connect_failure(reason: Failure, host: str, port: int) -> UpstreamFailure:
    """Say in plain words why a connection did not come about.

    :param reason: what the endpoint's Deferred failed with.
    """
    error = reason.value
    where = f"{host}:{port}"
    if isinstance(error, UpstreamFailure):
        return error
    if isinstance(error, DNSLookupError):
        return UpstreamFailure("connect", f"the name {host!r} could not be resolved")
    if isinstance(error, TwistedTimeoutError | TCPTimedOutError):
        return UpstreamFailure("connect", f"no connection to {where} in time", timeout=True)
    if isinstance(error, ConnectionRefusedError):
        return UpstreamFailure("connect", f"connection to {where} was refused")
    if isinstance(error, SSL.Error):
        return UpstreamFailure("connect", f"TLS with {where} failed: {tls_reason(error)}")
    if isinstance(error, VerificationError):
        return UpstreamFailure(
            "connect", f"TLS with {where} failed: its certificate is not one of {host!r}"
        )
    if isinstance(error, CertificateError):
        return UpstreamFailure(
            "connect", f"TLS with {where} failed: its certificate names no host (subjectAltName)"
        )
    if isinstance(error, ConnectionLost | ConnectionDone):
        return UpstreamFailure(
            "connect", f"connection to {where} failed: it was closed in the handshake"
        )
    if isinstance(error, ConnectError):
        return UpstreamFailure("connect", f"connection to {where} failed: {error}")
    return UpstreamFailure(
        "connect", f"connection to {where} failed: {type(error).__name__}: {error}"
    )


def tls_reason(error: SSL.Error) -> str:
    """Give the reasons that OpenSSL lists, without its tuple noise."""
    try:
        return ", ".join(entry[2] for entry in error.args[0]) or "connection closed"
    except (IndexError, TypeError):
        return str(error) or "connection closed"


def loss_words(reason: Failure) -> str:
    """Say how a connection ended.

    :param reason: what ``connectionLost`` was called with.
    """
    error = reason.value
    if isinstance(error, SSL.Error):
        return f"TLS failed: {tls_reason(error)}"
    if isinstance(error, ConnectionDone):
        return "the upstream closed the connection"
    if isinstance(error, ConnectionLost):
        return "the upstream reset the connection"
    return f"the connection was lost ({type(error).__name__})"
