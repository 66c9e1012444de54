"""Who the TLS peer is: the names its certificate proves (RFC 5922), and the connection that insists on one (S50).

Which names does a certificate prove? `sip_identities`. Does it prove this one? `identity_fault` says why not.
Why did a TLS connection end? `tls_failure`, in words for the log line of the call that failed.
"""

from __future__ import annotations

import ipaddress
import re

import service_identity
from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    ServiceID,
    verify_service_identity,
)
from twisted.python.failure import Failure

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_DOMAIN = re.compile(r"(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*")  # the last label begins with a letter (RFC 3261 25.1)
_END_OF_HOST = re.compile(r"[:;?]")
_SHOWN_NAMES = 4  # of a foreign certificate, in a log line
_SHOWN_LENGTH = 80

# What a certificate that cannot be read raises: the peer wrote it, so any of these may come.
_UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion)

_CODES = SSL.X509VerificationCodes
_CHAIN_FAULTS = {
    _CODES.ERR_CERT_HAS_EXPIRED: "it has expired",
    _CODES.ERR_CERT_NOT_YET_VALID: "it is not valid yet",
    _CODES.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "it is self-signed and not among the trusted ones",
    _CODES.ERR_SELF_SIGNED_CERT_IN_CHAIN: "it is self-signed and not among the trusted ones",
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT: "its issuer is not trusted",
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its issuer is not trusted",
    _CODES.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its issuer is not trusted",
    _CODES.ERR_CERT_SIGNATURE_FAILURE: "its signature is wrong",
    _CODES.ERR_CERT_REVOKED: "it has been revoked",
    _CODES.ERR_INVALID_CA: "it may not sign other certificates",
    _CODES.ERR_CERT_CHAIN_TOO_LONG: "the chain above it is too long",
    _CODES.ERR_PATH_LENGTH_EXCEEDED: "the chain above it is too long",
    _CODES.ERR_INVALID_PURPOSE: "its extended key usage does not allow this end of a connection",
    _CODES.ERR_PERMITTED_VIOLATION: "its issuer may not sign for these names",
    _CODES.ERR_EXCLUDED_VIOLATION: "its issuer may not sign for these names",
}


class PeerRefused(SSL.Error):
    """We refused the peer's certificate; `reason` says why. It reaches `connectionLost` as the value of its reason."""

    def __init__(self, reason: str) -> None:
        super().__init__([("certificate", "", reason)])  # in the form of OpenSSL's own error queue
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class CheckedConnection(SSL.Connection):
    """A TLS connection that knows whom it must reach, and ends the handshake with `PeerRefused` otherwise.

    The peer is told by a TLS alert. Needs a context whose verify callback is `check_peer`.
    """

    expected: str | None = None  # the domain or address the peer must prove; None: any certificate of a trusted issuer
    refusal: str = ""
    proved: bool = False
    first_context: SSL.Context | None = None  # on servers: what it began with, before SNI chose another

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except SSL.Error:
            if self.refusal:
                raise PeerRefused(self.refusal)
            raise
        if self.expected is not None and not self.proved:
            raise PeerRefused(f"no certificate was checked for {shown(self.expected)}")


def check_peer(connection: SSL.Connection, certificate: X509, code: int, depth: int, ok: int) -> bool:
    """The verify callback of every context of ours: OpenSSL's own verdict first, then the name (RFC 5922 7.3)."""
    if not isinstance(connection, CheckedConnection):
        return False
    if not ok:
        connection.refusal = _chain_refusal(certificate, code, depth)
        return False
    if depth == 0 and connection.expected is not None:
        fault = identity_fault(certificate.to_cryptography(), connection.expected)
        if fault:
            connection.refusal = f"the peer's certificate is refused: {fault}"
            return False
        connection.proved = True
    return True


def _chain_refusal(certificate: X509, code: int, depth: int) -> str:
    fault = _CHAIN_FAULTS.get(code, f"OpenSSL's verification error {code}")
    subject = issuer = "?"
    try:
        plain = certificate.to_cryptography()
        if code == _CODES.ERR_CERT_HAS_EXPIRED:
            fault += f" ({plain.not_valid_after_utc:%Y-%m-%d %H:%M} UTC)"
        subject, issuer = plain.subject.rfc4514_string(), plain.issuer.rfc4514_string()
    except _UNREADABLE as error:
        fault += f" (and cannot be read: {shown(str(error))})"
    whose = "the peer's certificate" if depth == 0 else "a certificate above the peer's"
    return f"{whose} is refused: {fault}; subject {shown(subject)}, issuer {shown(issuer)}"


def sip_identities(certificate: x509.Certificate) -> tuple[str, ...]:
    """The domains that a certificate proves, in lower case (RFC 5922 7.1).

    `sip:` URIs without a user in its subjectAltName; else its dNSNames; the subject's CN only where there is
    no subjectAltName at all. Wildcards prove nothing (7.2), nor do addresses, which are no domains.
    Raises ValueError or one of `cryptography.x509`'s exceptions for a certificate that cannot be read.
    """
    names = _alternative_names(certificate)
    if names is None:
        return _domains(_common_names(certificate))
    hosts = [_host(uri) for uri in names.get_values_for_type(x509.UniformResourceIdentifier)]
    return _domains(hosts) or _domains(names.get_values_for_type(x509.DNSName))


def identity_fault(certificate: x509.Certificate, name: str) -> str:
    """Why the certificate does not prove `name`, a domain or an address as text; empty when it does.

    An address is proved by an iPAddress in the subjectAltName and by nothing else (S50).
    """
    wanted = name.strip("[]").rstrip(".").lower()
    patterns: list[CertificatePattern] = []
    service: ServiceID
    try:
        address = _address(wanted)
        if address is not None:
            service = IPAddress_ID(str(address))
            patterns.extend(IPAddressPattern(each) for each in _addresses(certificate))
        else:
            service = DNS_ID(wanted)
            patterns.extend(DNSPattern.from_bytes(each.encode()) for each in sip_identities(certificate))
        if patterns:
            verify_service_identity(patterns, [service], [])
            return ""
    except service_identity.VerificationError:
        pass
    except _UNREADABLE as error:
        return f"it cannot be compared with {shown(name)}: {shown(str(error))}"
    return f"it proves {_names_text(certificate)}, not {shown(name)} (RFC 5922 7.1, 7.2)"


def peer_names(connection: SSL.Connection | None) -> tuple[str, ...]:
    """The domains that the peer at the other end of a TLS connection has proved (RFC 5922 7.1, 7.4).

    Empty before the handshake is complete, without a certificate, or where certificates are not verified.
    `connection` is what a Twisted TLS transport's `getHandle()` gives.
    """
    if connection is None or connection.get_verify_mode() == SSL.VERIFY_NONE:
        return ()
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return ()
    try:
        return sip_identities(certificate)
    except _UNREADABLE:
        return ()


def tls_failure(reason: Failure) -> str:
    """What `connectionLost` or a failed connect of a TLS connection means, in words for a log line."""
    error = reason.value
    if isinstance(error, PeerRefused):
        return error.reason
    if isinstance(error, SSL.Error):
        last = error.args[-1] if error.args else "unknown error"  # OpenSSL's queue, or a SysCallError's text
        text = str(last[-1][2] if isinstance(last, list) and last else last)
        # An alert is the peer's verdict, most often on our certificate.
        return f"the peer refused TLS: {text}" if "alert" in text else f"TLS failed: {text}"
    return reason.getErrorMessage()


def shown(text: str) -> str:
    """Foreign text for a log line: printable ASCII, quoted, not too long."""
    return ascii(text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "...")


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _common_names(certificate: x509.Certificate) -> list[str]:
    values = [each.value for each in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return [value for value in values if isinstance(value, str)]


def _addresses(certificate: x509.Certificate) -> list[Address]:
    names = _alternative_names(certificate)
    found = names.get_values_for_type(x509.IPAddress) if names is not None else []
    return [each for each in found if isinstance(each, Address)]  # name constraints' networks are no addresses


def _host(uri: str) -> str:
    """The host of a `sip:` URI that names a domain; empty for other schemes and for users (RFC 5922 7.1)."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "sip" or "@" in rest:
        return ""
    return _END_OF_HOST.split(rest, maxsplit=1)[0]


def _domains(names: list[str]) -> tuple[str, ...]:
    plain = (name.lower().removesuffix(".") for name in names)
    return tuple(name for name in plain if _DOMAIN.fullmatch(name))


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _names_text(certificate: x509.Certificate) -> str:
    """What the certificate does say, wildcards included, so that an operator sees why it did not do."""
    names = _alternative_names(certificate)
    if names is None:
        said = [f"CN {name}" for name in _common_names(certificate)]
    else:
        said = [*names.get_values_for_type(x509.UniformResourceIdentifier), *names.get_values_for_type(x509.DNSName)]
        said += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    text = ", ".join(shown(name) for name in said[:_SHOWN_NAMES])
    return (text or "no name") + (f" and {len(said) - _SHOWN_NAMES} more" if len(said) > _SHOWN_NAMES else "")
