"""TLS towards upstreams: :class:`NameChecking` closes a gap in how Twisted checks whose certificate it is shown.

Twisted 26.10 logs what keeps it from comparing names, and then goes by the signature alone. So a certificate
without any ``subjectAltName``, as private authorities used to sign them, is taken for every host's. Here it is nobody's
(RFC 9525 §2).
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

_DEMANDED = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


@implementer(IOpenSSLClientConnectionCreator)
class NameChecking:
    """Makes the connections of another creator refuse a certificate that is not the host's.

    :param creator: says whose signatures are trusted, and all else.
    :param host: a name in ASCII, or an IP address.
    """

    def __init__(self, creator: Any, host: str) -> None:
        self._creator = creator
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Make a connection."""
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)
        address = isIPAddress(self._host) or isIPv6Address(self._host)
        expected = IPAddress_ID(self._host) if address else DNS_ID(self._host)
        connection.set_verify(_DEMANDED, _Check(tlsProtocol, expected))
        return connection


class _Check:
    """What OpenSSL calls for each certificate of the chain.

    :param protocol: is told what is wrong; let go after the host's own certificate, or both would hold each other.
    """

    def __init__(self, protocol: Any, expected: ServiceID) -> None:
        self._protocol = protocol
        self._expected = expected

    def __call__(self, _: object, certificate: Any, error: int, depth: int, ok: int) -> bool:
        if depth or not ok:
            return bool(ok)
        protocol, self._protocol = self._protocol, None
        try:
            verify_service_identity(extract_patterns(certificate), [self._expected], [])
        except (CertificateError, VerificationError):
            if protocol is not None:
                protocol.failVerification(Failure())
            return False
        return True
