"""A certificate for trying things out: made once on this machine, and good for this machine only."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from b2bua.net.certificates import CertificateError

CA, CERTIFICATE, KEY = "ca.pem", "certificate.pem", "key.pem"

_ADDRESSES = ("127.0.0.1", "127.0.0.2", "::1")
_LIFETIME = timedelta(days=3650)
_USES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


def make_development_certificate(directory: str | Path, now: datetime | None = None) -> bool:
    """Write `ca.pem`, `certificate.pem` and `key.pem` into `directory`, unless they are there; whether it did.

    The certificate is for `sip:localhost`, `localhost` and loopback addresses, for either end of a
    connection. Its issuer's key is thrown away, so that nobody can sign another. The key has mode 0600.
    Nothing is ever overwritten: CertificateError if only some of the files exist, or none can be written.
    """
    folder = Path(directory)
    files = [folder / name for name in (KEY, CERTIFICATE, CA)]
    there = [file for file in files if file.exists()]
    if len(there) == len(files):
        return False
    if there:
        missing = ", ".join(file.name for file in files if file not in there)
        raise CertificateError(str(there[0]), f"is there, but {missing} is not: remove it to have all made anew")
    ca, certificate, key = _make(now or datetime.now(UTC))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    contents = (pem, certificate.public_bytes(Encoding.PEM), ca.public_bytes(Encoding.PEM))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content, mode in zip(files, contents, (0o600, 0o644, 0o644), strict=True):
            _write_new(file, content, mode)
    except OSError as error:
        raise CertificateError(str(directory), f"cannot be written: {error.strerror}")
    return True


def _write_new(file: Path, content: bytes, mode: int) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        opened.write(content)


def _make(now: datetime) -> tuple[x509.Certificate, x509.Certificate, ec.EllipticCurvePrivateKey]:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _common_name("b2bua development CA")
    ca = _sign(_builder(ca_name, ca_name, ca_key, now), _usage(signs_certificates=True), ca_key, ca_key)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier("sip:localhost"), x509.DNSName("localhost")]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    plan = _builder(_common_name("b2bua development"), ca_name, key, now)
    plan = plan.add_extension(x509.SubjectAlternativeName(names), critical=False)
    plan = plan.add_extension(x509.ExtendedKeyUsage(_USES), critical=False)
    return ca, _sign(plan, _usage(signs_certificates=False), key, ca_key), key


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the clock of a machine beside it may be slow
        .not_valid_after(now + _LIFETIME)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(
    plan: x509.CertificateBuilder,
    usage: x509.KeyUsage,
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    constraints = x509.BasicConstraints(ca=usage.key_cert_sign, path_length=0 if usage.key_cert_sign else None)
    return (
        plan.add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, SHA256())
    )
