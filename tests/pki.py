"""Certificates for tests, made in memory: any names, any dates, any issuer.

    ca = make_ca()
    server = issue(ca, uris=["sip:example.com"], dns=["example.com"], ips=["127.0.0.1"])
    certificate, key = server.write(self.mktemp())      # the paths of two PEM files
    (ca_file, _) = ca.write(self.mktemp())

Keys are EC P-256: making one takes less than a millisecond.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the intermediate certificates above it (the root is not among them)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate and those above it."""
        chain = dict.fromkeys((self.certificate, *self.above))  # an intermediate issuer is its own first one above
        return b"".join(each.public_bytes(Encoding.PEM) for each in chain)

    @property
    def key_pem(self) -> bytes:
        """The key, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, directory: str | Path, name: str = "test") -> tuple[str, str]:
        """Write `name.pem` and `name.key` (mode 0600), over old ones if need be; the two paths."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return str(certificate), str(key)


def make_ca(name: str = "b2bua test CA", above: Issued | None = None) -> Issued:
    """An issuer: self-signed, or an intermediate one signed by `above`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    issuer, signer = (subject, key) if above is None else (above.certificate.subject, above.key)
    plan = _plan(subject, issuer, key, signer)
    plan = plan.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = plan.sign(signer, SHA256())
    return Issued(certificate, key, () if above is None else (certificate, *above.above))


def issue(
    ca: Issued,
    uris: Sequence[str] = (),
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
    cn: str = "",
    uses: Sequence[x509.ObjectIdentifier] = (SERVER, CLIENT),
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> Issued:
    """A certificate signed by `ca`; with no `uris`, `dns` and `ips` it has no subjectAltName at all.

    `not_before` and `not_after` are a day ago and a day from now unless given.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    plan = _plan(_subject(cn), ca.certificate.subject, key, ca.key, not_before, not_after)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
    if names:
        plan = plan.add_extension(x509.SubjectAlternativeName(names), critical=not cn)
    if uses:
        plan = plan.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    plan = plan.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return Issued(plan.sign(ca.key, SHA256()), key, ca.above)


def _subject(cn: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])


def _plan(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now - DAY)
        .not_valid_after(not_after or now + DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
