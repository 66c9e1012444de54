"""Our own TLS files and the contexts made of them: for our listeners (S51) and for connections outwards (S50).

A file that cannot be used is a `CertificateError`, raised before anything is bound; what works today but not for long,
or not for everybody, is a line in `warnings`. `reload` reads all files again: the next handshake uses them, connections
that are up keep what they began with, and where a new file is bad all the old ones stay in force.

The contexts are built on pyOpenSSL and not on Twisted's CertificateOptions, which can neither forbid renegotiation nor
tell a client which issuers are welcome.
"""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from b2bua.net.identity import CheckedConnection, check_peer, identity_fault

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

SYSTEM = "system"  # the issuers that this machine trusts
CLIENT_CERTIFICATE = ("none", "optional", "required")

_SOON = timedelta(days=14)
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET
# Forward secrecy first; the last ones are for old telephones (RFC 3261 26.2.1 asks for RSA with AES-128-CBC).
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS"


class CertificateError(Exception):
    """A TLS file of the operator's cannot be used: `file` as it was configured, and the `reason`."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The files of one certificate (PEM, followed by those above it) and of its key; `name` is the SNI it is for."""

    certificate: str
    key: str
    name: str = ""

    def load(self) -> LoadedPair:
        """Read both files and let OpenSSL try them. Raises CertificateError."""
        chain = read_certificates(self.certificate)
        key = _read_key(self.key)
        try:
            fits = [each.public_key() == key.public_key() for each in chain]
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CertificateError(self.certificate, f"a public key in it cannot be used: {error}")
        if not any(fits):
            raise CertificateError(self.key, f"does not belong to the certificate {self.certificate}")
        if not fits[0]:
            raise CertificateError(self.certificate, "its own certificate must come first, before those above it")
        loaded = LoadedPair(self, tuple(chain), key, _readable_by_all(self.key))
        loaded.context()
        return loaded


@dataclass(frozen=True, slots=True)
class LoadedPair:
    """What the files of a `KeyPair` hold."""

    files: KeyPair
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey
    key_is_open: bool

    def context(self) -> SSL.Context:
        """A context that shows this certificate. Raises CertificateError where OpenSSL refuses it."""
        context = _context()
        try:
            context.use_certificate(self.chain[0])
            context.use_privatekey(self.key)
            for above in self.chain[1:]:
                context.add_extra_chain_cert(above)
        except SSL.Error as error:
            raise CertificateError(self.files.certificate, f"OpenSSL refuses it: {error.args[0][-1][2]}")
        return context

    def warnings(self, now: datetime) -> list[str]:
        """What an operator should know of files that can be used."""
        file, own = self.files.certificate, self.chain[0]
        found = []
        if own.not_valid_after_utc <= now:
            found.append(f"{file}: expired on {own.not_valid_after_utc:%Y-%m-%d}")
        elif own.not_valid_after_utc <= now + _SOON:
            found.append(f"{file}: expires on {own.not_valid_after_utc:%Y-%m-%d}")
        if own.not_valid_before_utc > now:
            found.append(f"{file}: not valid before {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
        if self.files.name and (fault := identity_fault(own, self.files.name)):
            found.append(f"{file}: peers will refuse it as {self.files.name}: {fault}")
        if self.key_is_open:
            found.append(f"{self.files.key}: this key can be read by every user of the machine")
        return found


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """The TLS files of one listener: the certificate for all, further ones by SNI name, whom clients must be signed by.

    `client_certificate` is `none`, `optional` (none is needed, but one that is shown must be good) or `required`.
    """

    default: KeyPair
    named: tuple[KeyPair, ...] = ()
    client_certificate: str = "none"
    client_ca: str = ""

    def faults(self) -> list[CertificateError]:
        """Everything that is wrong with these files, not only the first; empty when they can be used."""
        found = []
        steps: list[Callable[[], object]] = [pair.load for pair in (self.default, *self.named)]
        for step in (*steps, self.authorities, self.check_names):
            try:
                step()
            except CertificateError as error:
                found.append(error)
        return found

    def authorities(self) -> list[x509.Certificate]:
        """Who may sign clients' certificates; empty where none are asked for. Raises CertificateError."""
        if self.client_certificate not in CLIENT_CERTIFICATE:
            raise ValueError(f"client_certificate is {self.client_certificate!r}, not one of {CLIENT_CERTIFICATE}")
        if self.client_certificate == "none":
            return []
        if not self.client_ca:
            raise CertificateError("client_ca", f'missing: client_certificate = "{self.client_certificate}" needs it')
        return read_certificates(self.client_ca)

    def check_names(self) -> None:
        """Every further certificate has a name of its own. Raises CertificateError."""
        names = [_name(pair.name) for pair in self.named]
        for pair, name in zip(self.named, names, strict=True):
            if not name:
                raise CertificateError(pair.certificate, "has no name: which SNI is it for?")
            if names.count(name) > 1:
                raise CertificateError(pair.certificate, f"{name} has more than one certificate")


def _utc() -> datetime:
    return datetime.now(UTC)


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificates:
    """The TLS side of one listener, for `reactor.listenSSL` or `TLSMemoryBIOFactory` (S51). TLS 1.2 or later.

    A client that names no domain (SNI), or one we have no certificate for, sees the default certificate.
    `warnings` holds what an operator should know of the files in force. Raises CertificateError.
    """

    def __init__(self, files: ServerFiles, now: Callable[[], datetime] = _utc) -> None:
        self.files = files
        self.warnings: tuple[str, ...] = ()
        self._now = now
        self._context = self._load()

    def reload(self) -> None:
        """Read all files again; the next handshake uses them. On CertificateError everything stays as it was."""
        self._context = self._load()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """The OpenSSL side of a connection just accepted (Twisted's interface)."""
        connection = CheckedConnection(self._context)
        # A second ClientHello (RFC 8446 4.1.4) calls this context's SNI callback again, even when another
        # context was chosen and `reload` has let this one go: OpenSSL would call freed memory.
        connection.first_context = self._context
        return connection

    def _load(self) -> SSL.Context:
        files = self.files
        files.check_names()
        default, named = files.default.load(), [pair.load() for pair in files.named]
        authorities = files.authorities()
        by_name = {_name(pair.files.name): pair.context() for pair in named}
        context = default.context()

        # OpenSSL keeps the first context's verify mode but takes issuers from the one chosen: all must be alike.
        for each in (context, *by_name.values()):
            _ask_clients(each, files.client_certificate, authorities)

        def choose(connection: SSL.Connection) -> None:
            wanted = by_name.get(_name((connection.get_servername() or b"").decode("ascii", "replace")))
            if wanted is not None:
                connection.set_context(wanted)

        context.set_tlsext_servername_callback(choose)
        self.warnings = tuple(line for pair in (default, *named) for line in pair.warnings(self._now()))
        return context


class ClientContexts:
    """TLS outwards (S50): whom we trust, and the certificate we show when a server asks (mutual TLS).

    `ca` is `system` or a PEM file of issuers. `pair` is the key pair of the listener that the connection leaves
    by. `verify=False` takes any certificate: for tests and for wires that nobody else can touch.
    One context serves all names; `warnings` as in `ServerCertificates`. Raises CertificateError.
    """

    def __init__(
        self, ca: str = SYSTEM, verify: bool = True, pair: KeyPair | None = None, now: Callable[[], datetime] = _utc
    ) -> None:
        self.ca = ca
        self.verify = verify
        self.pair = pair
        self.warnings: tuple[str, ...] = ()
        self._now = now
        self._context = self._load()

    def reload(self) -> None:
        """Read all files again; the next handshake uses them. On CertificateError everything stays as it was."""
        self._context = self._load()

    def creator(self, tls_name: str) -> ClientConnectionCreator:
        """What makes connections to `tls_name`: the URI's own domain (never an SRV target's), or an address.

        For `reactor.connectSSL` or `TLSMemoryBIOFactory`; ask anew for each connection, so that a reload counts.
        `connectionMade` comes before the handshake: only `IHandshakeListener.handshakeCompleted` says that the
        peer has proved its name. Under TLS 1.3 the peer may refuse *our* certificate even after that: only its
        first octets say that it did not. A refusal by us is a `PeerRefused` in `connectionLost`;
        `tls_failure` puts any failure in words.
        """
        return ClientConnectionCreator(self._context, tls_name, self.verify)

    def _load(self) -> SSL.Context:
        loaded = self.pair.load() if self.pair is not None else None
        context = loaded.context() if loaded is not None else _context()
        if self.verify:
            context.set_verify(SSL.VERIFY_PEER, check_peer)
            if self.ca == SYSTEM:
                context.set_default_verify_paths()
            else:
                _trust(context, read_certificates(self.ca))
        self.warnings = tuple(loaded.warnings(self._now())) if loaded is not None else ()
        return context


@implementer(IOpenSSLClientConnectionCreator)
@dataclass(frozen=True, slots=True)
class ClientConnectionCreator:
    """Makes the OpenSSL side of connections to one name."""

    context: SSL.Context
    tls_name: str
    verify: bool

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """The OpenSSL side of a connection about to be made (Twisted's interface)."""
        connection = CheckedConnection(self.context)
        if self.verify:
            connection.expected = self.tls_name
        if sni := _sni(self.tls_name):
            connection.set_tlsext_host_name(sni)
        return connection


def read_certificates(file: str) -> list[x509.Certificate]:
    """The certificates of a PEM file, at least one. Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificates(_read(file))
    except ValueError:
        raise CertificateError(file, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----), or a damaged one")


def _read_key(file: str) -> PrivateKey:
    content = _read(file)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise CertificateError(file, "the key is encrypted; it must be stored without a passphrase")
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(file, "holds no private key in PEM (-----BEGIN PRIVATE KEY-----), or a damaged one")
    if not isinstance(key, PrivateKey):
        raise CertificateError(file, "the key is of a kind that TLS does not use: RSA, EC or Ed25519 is needed")
    return key


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except FileNotFoundError:
        raise CertificateError(file, "no such file")
    except OSError as error:
        raise CertificateError(file, f"cannot be read: {error.strerror}")


def _readable_by_all(file: str) -> bool:
    try:
        return bool(Path(file).stat().st_mode & stat.S_IROTH)
    except OSError as error:
        raise CertificateError(file, f"cannot be read: {error.strerror}")


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection keeps no buffers
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"b2bua")  # OpenSSL wants one where clients show certificates
    context.set_cipher_list(_CIPHERS)
    return context


def _ask_clients(context: SSL.Context, wanted: str, authorities: Sequence[x509.Certificate]) -> None:
    if wanted == "none":
        return
    must = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if wanted == "required" else 0
    context.set_verify(SSL.VERIFY_PEER | must, check_peer)
    _trust(context, authorities)
    for authority in authorities:
        context.add_client_ca(authority)


def _trust(context: SSL.Context, authorities: Sequence[x509.Certificate]) -> None:
    store = context.get_cert_store()
    assert store is not None
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))


def _name(name: str) -> str:
    return name.rstrip(".").lower()


def _sni(name: str) -> bytes:
    """The name as SNI carries it; empty for addresses, which it must not carry (RFC 6066 3)."""
    plain = _name(name)
    try:
        ipaddress.ip_address(plain.strip("[]").partition("%")[0])
    except ValueError:
        return plain.encode() if plain.isascii() and len(plain) <= 253 and plain.isprintable() else b""
    return b""
