"""What an operator is told about TLS files before anything is bound, and the certificate made for development."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.certificates import CertificateError, ClientContexts, KeyPair, ServerCertificates, ServerFiles
from b2bua.net.development import make_development_certificate
from b2bua.net.identity import identity_fault
from tests.pki import DAY, issue, make_ca

NOW = datetime.now(UTC)
CA = make_ca()
EXAMPLE = issue(CA, dns=["example.com"], not_after=NOW + 30 * DAY)


class Files(SynchronousTestCase):
    """CertificateError names the file and what is wrong with it; warnings do not stop anything."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.pair = KeyPair(*EXAMPLE.write(self.folder))

    def file(self, name: str, content: bytes) -> str:
        """A file with this content; its path."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    def assertFault(self, pair: KeyPair, file: str, reason: str) -> None:
        """The pair cannot be used, because of this file, for this reason."""
        error = self.assertRaises(CertificateError, ServerCertificates, ServerFiles(pair))
        self.assertEqual(error.file, file)
        self.assertIn(reason, error.reason)
        self.assertEqual(str(error), f"{error.file}: {error.reason}")

    def test_missing_and_unreadable(self) -> None:
        """A file that is not there, and one that is no file."""
        nowhere = str(self.folder / "nowhere.pem")
        self.assertFault(KeyPair(nowhere, self.pair.key), nowhere, "no such file")
        self.assertFault(KeyPair(self.pair.certificate, nowhere), nowhere, "no such file")
        self.assertFault(KeyPair(str(self.folder), self.pair.key), str(self.folder), "cannot be read: Is a directory")

    def test_not_pem(self) -> None:
        """DER, an empty file, a damaged one, a key where a certificate should be and the other way round."""
        der = EXAMPLE.certificate.public_bytes(Encoding.DER)
        for content in (der, b"", EXAMPLE.pem[:-60], EXAMPLE.key_pem):
            bad = self.file("bad.pem", content)
            self.assertFault(KeyPair(bad, self.pair.key), bad, "holds no certificate in PEM")
        for content in (der, b"", EXAMPLE.key_pem[:-60], EXAMPLE.pem):
            bad = self.file("bad.key", content)
            self.assertFault(KeyPair(self.pair.certificate, bad), bad, "holds no private key in PEM")

    def test_one_file_for_both(self) -> None:
        """Certificate and key may stand in one file."""
        both = self.file("both.pem", EXAMPLE.key_pem + EXAMPLE.pem)
        self.assertEqual(ServerCertificates(ServerFiles(KeyPair(both, both))).warnings, ())

    def test_keys_that_do_not_do(self) -> None:
        """Another certificate's key, an encrypted one, one of a kind that TLS does not use, one too short."""
        other = self.file("other.key", issue(CA, dns=["example.com"]).key_pem)
        self.assertFault(KeyPair(self.pair.certificate, other), other, "does not belong to the certificate")
        secret = EXAMPLE.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        secret_file = self.file("secret.key", secret)
        self.assertFault(KeyPair(self.pair.certificate, secret_file), secret_file, "encrypted")
        plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        odd = self.file("odd.key", x25519.X25519PrivateKey.generate().private_bytes(*plain))
        self.assertFault(KeyPair(self.pair.certificate, odd), odd, "of a kind that TLS does not use")
        short = rsa.generate_private_key(65537, 1024)
        plan = x509.CertificateBuilder(x509.Name([]), CA.certificate.subject, short.public_key(), 1, NOW, NOW + DAY)
        certificate = self.file("short.pem", plan.sign(CA.key, SHA256()).public_bytes(Encoding.PEM))
        key = self.file("short.key", short.private_bytes(*plain))
        self.assertFault(KeyPair(certificate, key), certificate, "OpenSSL refuses it: ee key too small")

    def test_wrong_order(self) -> None:
        """The own certificate comes first in its file (RFC 8446 4.4.2)."""
        wrong = self.file("wrong.pem", CA.pem + EXAMPLE.pem)
        self.assertFault(KeyPair(wrong, self.pair.key), wrong, "must come first")

    def test_further_names(self) -> None:
        """Every further certificate needs a name of its own."""
        file = self.pair.certificate
        nameless = ServerFiles(self.pair, (self.pair,))
        self.assertIn("has no name", str(self.assertRaises(CertificateError, ServerCertificates, nameless)))
        twice = tuple(KeyPair(file, self.pair.key, name) for name in ("a.example", "A.example."))
        error = self.assertRaises(CertificateError, ServerCertificates, ServerFiles(self.pair, twice))
        self.assertEqual(str(error), f"{file}: a.example has more than one certificate")

    def test_client_authority(self) -> None:
        """Clients' certificates cannot be asked for without saying who may sign them."""
        for wanted in ("optional", "required"):
            files = ServerFiles(self.pair, client_certificate=wanted)
            error = self.assertRaises(CertificateError, ServerCertificates, files)
            self.assertEqual(str(error), f'client_ca: missing: client_certificate = "{wanted}" needs it')
        bad = ServerFiles(self.pair, client_certificate="required", client_ca="nowhere.pem")
        self.assertEqual(str(self.assertRaises(CertificateError, ServerCertificates, bad)), "nowhere.pem: no such file")
        self.assertRaises(ValueError, ServerCertificates, ServerFiles(self.pair, client_certificate="maybe"))

    def test_all_faults_at_once(self) -> None:
        """`faults` finds every mistake, not only the first."""
        further = (KeyPair("a.pem", self.pair.key, "a"), KeyPair(self.pair.certificate, "a.key", "a"))
        faults = ServerFiles(KeyPair("none.pem", "none.key"), further, "required", "ca.pem").faults()
        files = ["none.pem", "a.pem", "a.key", "ca.pem", "a.pem"]
        self.assertEqual([fault.file for fault in faults], files)
        self.assertEqual(ServerFiles(self.pair).faults(), [])

    def test_outwards(self) -> None:
        """Issuers and key pair of outgoing connections are read at once, too."""
        error = self.assertRaises(CertificateError, ClientContexts, ca="nowhere.pem")
        self.assertEqual(str(error), "nowhere.pem: no such file")
        error = self.assertRaises(CertificateError, ClientContexts, pair=KeyPair("nowhere.pem", self.pair.key))
        self.assertEqual(str(error), "nowhere.pem: no such file")
        self.assertEqual(ClientContexts(ca="nowhere.pem", verify=False, pair=self.pair).warnings, ())

    def test_warnings(self) -> None:
        """Expired, soon to expire, not valid yet, not for its name, key open to everybody: said, not refused."""

        def warnings(now: datetime, name: str = "") -> str:
            pair = KeyPair(self.pair.certificate, self.pair.key, name)
            files = ServerFiles(self.pair, (pair,)) if name else ServerFiles(pair)
            return "\n".join(ServerCertificates(files, lambda: now).warnings)

        last = EXAMPLE.certificate.not_valid_after_utc
        self.assertEqual(warnings(last - timedelta(days=15)), "")
        self.assertIn(f"{self.pair.certificate}: expires on {last:%Y-%m-%d}", warnings(last - timedelta(days=13)))
        self.assertIn(f"{self.pair.certificate}: expired on {last:%Y-%m-%d}", warnings(last))
        self.assertIn("not valid before", warnings(last - timedelta(days=40)))
        self.assertIn("peers will refuse it as other.example: it proves", warnings(last, "other.example"))
        self.assertNotIn("peers will refuse it", warnings(last, "example.com"))
        outwards = ClientContexts(verify=False, pair=self.pair, now=lambda: last)
        self.assertEqual("\n".join(outwards.warnings), warnings(last))
        os.chmod(self.pair.key, 0o644)
        self.assertIn(f"{self.pair.key}: this key can be read by every user", warnings(last))


class Development(SynchronousTestCase):
    """The certificate of `make run`: made once, for this machine only."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "tls"

    def test_made_once(self) -> None:
        """The second call changes nothing; the key is for its owner only."""
        self.assertTrue(make_development_certificate(self.folder))
        first = {file.name: file.read_bytes() for file in self.folder.iterdir()}
        self.assertEqual(set(first), {"ca.pem", "certificate.pem", "key.pem"})
        self.assertFalse(make_development_certificate(str(self.folder)))
        self.assertEqual(first, {file.name: file.read_bytes() for file in self.folder.iterdir()})
        self.assertEqual(stat.S_IMODE((self.folder / "key.pem").stat().st_mode), 0o600)

    def test_never_overwritten(self) -> None:
        """Where only some of the files are left, nothing is made and the operator is told what to do."""
        make_development_certificate(self.folder)
        kept = (self.folder / "key.pem").read_bytes()
        (self.folder / "ca.pem").unlink()
        error = self.assertRaises(CertificateError, make_development_certificate, self.folder)
        self.assertIn("key.pem: is there, but ca.pem is not", str(error))
        self.assertEqual((self.folder / "key.pem").read_bytes(), kept)

    def test_cannot_be_written(self) -> None:
        """A directory that cannot be made is a CertificateError too."""
        self.folder.parent.write_text("a file where the directory should be")
        error = self.assertRaises(CertificateError, make_development_certificate, self.folder)
        self.assertIn("cannot be written: Not a directory", str(error))

    def test_its_names(self) -> None:
        """It proves localhost and loopback addresses, and the listener takes it without a warning."""
        make_development_certificate(self.folder)
        certificate = str(self.folder / "certificate.pem")
        pair, ca = KeyPair(certificate, str(self.folder / "key.pem")), str(self.folder / "ca.pem")
        files = ServerFiles(pair, client_certificate="required", client_ca=ca)
        self.assertEqual(ServerCertificates(files).warnings, ())
        loaded = files.default.load().chain[0]
        for name in ("localhost", "127.0.0.1", "127.0.0.2", "::1"):
            self.assertEqual(identity_fault(loaded, name), "")
        self.assertTrue(identity_fault(loaded, "127.0.0.3"))
        uris = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(uris.get_values_for_type(x509.UniformResourceIdentifier), ["sip:localhost"])
