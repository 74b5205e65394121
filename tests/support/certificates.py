"""An authority of a test's own, and the certificates that it gives to servers."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Issues certificates; only what ``trusting`` returns trusts it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        builder = _builder(self._name, self._name, self._key.public_key(), (-30, 30))
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(_SIGNS, critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())

    def trusting(self) -> ssl.SSLContext:
        """Return what a client needs to trust it."""
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=_pem(self._certificate).decode())
        return context

    def server(self, name: str, days: tuple[int, int] = (-1, 1)) -> ssl.SSLContext:
        """Return the context of a server with a certificate for a name or an address.

        ``days`` from now it becomes valid and expires.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The module reads keys from files only.
        with tempfile.NamedTemporaryFile() as file:
            certificate, private = self._issue(name, days)
            file.write(private + certificate)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def files(self, place: Path, name: str) -> tuple[Path, Path]:
        """Write a certificate for a name or an address, and its key, to files in a directory."""
        paths = place / "certificate.pem", place / "key.pem"
        for path, content in zip(paths, self._issue(name, (-1, 1)), strict=True):
            path.write_bytes(content)
        return paths

    def _issue(self, name: str, days: tuple[int, int]) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
        builder = _builder(self._name, subject, key.public_key(), days)
        names = x509.SubjectAlternativeName([_general_name(name)])
        # Python 3.13 asks for it: VERIFY_X509_STRICT.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(certificate), private


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: tuple[int, int]
) -> x509.CertificateBuilder:
    first, last = (datetime.now(UTC) + timedelta(days=it) for it in days)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
