"""Certificates for tests, made in memory, and their files as a spec names them."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from raymill.safety_spec import TlsSpec

HOST = "models.example.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def authority() -> Identity:
    """One that vouches for others."""
    return _made("an authority", None, (-1, 1), x509.BasicConstraints(ca=True, path_length=0))


def leaf(by: Identity | None = None, days: tuple[int, int] = (-1, 1)) -> Identity:
    """A server's, signed by itself or an authority, valid between so many days from now."""
    return _made(HOST, by, days, x509.BasicConstraints(ca=False, path_length=None))


def write(folder: Path, shown: Identity, *above: Identity, password: bytes | None = None) -> TlsSpec:
    """The files of a server: its certificate before those that vouch for it, and its key, for its owner alone."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(each.pem for each in (shown, *above)))
    sealed = BestAvailableEncryption(password) if password else NoEncryption()
    key.touch(mode=0o600)
    key.write_bytes(shown.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    return TlsSpec(certificate=str(certificate), key=str(key))


def _made(name: str, by: Identity | None, days: tuple[int, int], constraints: x509.BasicConstraints) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(constraints, critical=True)
        .add_extension(names, critical=False)
    )
    return Identity(certificate=builder.sign(by.key if by else key, hashes.SHA256()), key=key)
