"""Certificates of a test's own: an authority, and what it signs."""

from __future__ import annotations

import datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import PrivateCertificate


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _made(
    common: str, key: Any, issuer: str, signer: Any, *, authority: bool, named: bool = True
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(common)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if named and not authority:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(certificate: x509.Certificate, key: Any | None = None) -> bytes:
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    if key is not None:
        pem += key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    return pem


@cache
def authority() -> tuple[Any, x509.Certificate]:
    """Make the authority, once a run."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _made("test authority", key, "test authority", key, authority=True)


def authority_pem() -> bytes:
    """What a client has to trust."""
    return _pem(authority()[1])


@cache
def signed_pem(name: str) -> bytes:
    """A server's certificate and key, signed by the authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _made(name, key, "test authority", authority()[0], authority=False)
    return _pem(certificate, key)


@cache
def nameless_pem(name: str) -> bytes:
    """A signed one as they were made long ago: its name stands where nobody looks any more (RFC 9525 §2)."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = authority()[0]
    return _pem(_made(name, key, "test authority", signer, authority=False, named=False), key)


@cache
def self_signed_pem(name: str) -> bytes:
    """A server's certificate and key that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _pem(_made(name, key, name, key, authority=False), key)


def context(pem: bytes) -> Any:
    """What a Twisted server takes to speak TLS."""
    return PrivateCertificate.loadPEM(pem).options()
