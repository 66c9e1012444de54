"""Which names a certificate proves (RFC 5922 7.1, 7.2; S50), without any connection."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.identity import PeerRefused, identity_fault, peer_names, shown, sip_identities, tls_failure
from tests.pki import issue, make_ca

CA = make_ca()


class Identities(SynchronousTestCase):
    """RFC 5922 7.1: the procedure that finds the SIP identities of a certificate."""

    def assertIdentities(self, expected: tuple[str, ...], **names: object) -> None:
        """A certificate with these names proves exactly `expected`."""
        self.assertEqual(sip_identities(issue(CA, **names).certificate), expected)  # type: ignore[arg-type]

    def test_sip_uris_come_first(self) -> None:
        """ "An implementation MUST accept a domain name system identifier as a SIP domain identity if and only if
        no other identity is found that matches the "sip" URI type" (RFC 5922 7.1)."""
        self.assertIdentities(("example.com",), uris=["sip:example.com"], dns=["other.example"])

    def test_dns_names_where_no_uri_counts(self) -> None:
        """Other schemes and URIs of users are no domain identities, so the dNSNames count (RFC 5922 7.1)."""
        uris = ["sips:a.example", "https://b.example", "sip:alice@c.example"]
        self.assertIdentities(("d.example", "e.example"), uris=uris, dns=["d.example", "E.Example"])

    def test_host_of_the_uri(self) -> None:
        """Only the host part of the URI is the identity, and the scheme is case-insensitive (RFC 5922 7.1, 7.2)."""
        uris = ["SIP:A.Example", "sip:b.example:5061", "sip:c.example;transport=tls", "sip:d.example?x=y"]
        self.assertIdentities(("a.example", "b.example", "c.example", "d.example"), uris=uris)

    def test_common_name_only_without_alternative_names(self) -> None:
        """The CN counts "if and only if the subjectAltName does not appear in the certificate" (RFC 5922 7.1)."""
        self.assertIdentities(("example.com",), cn="example.com")
        self.assertIdentities(("other.example",), cn="example.com", dns=["other.example"])
        self.assertIdentities((), cn="example.com", ips=["192.0.2.1"])
        self.assertIdentities((), cn="An Example, Inc.")

    def test_wildcards_and_addresses_prove_no_domain(self) -> None:
        """No wildcard is an identity (RFC 5922 7.2); nor is an address in a place for names."""
        self.assertIdentities((), dns=["*.example.com", ".example.com", "192.0.2.1", "12345", "a..example"])
        self.assertIdentities((), uris=["sip:*.example.com", "sip:[::1]", "sip:192.0.2.1", "sip:"])


class Faults(SynchronousTestCase):
    """S50, RFC 5922 7.2: comparing the name we want with the names of the certificate."""

    def fault(self, name: str, **names: object) -> str:
        """Why a certificate with these names does not prove `name`."""
        return identity_fault(issue(CA, **names).certificate, name)  # type: ignore[arg-type]

    def test_match_without_regard_to_case(self) -> None:
        """Names are compared as DNS names (RFC 5922 7.2, RFC 4343); a final dot changes nothing."""
        for name in ("example.com", "EXAMPLE.com", "example.com."):
            self.assertEqual(self.fault(name, uris=["sip:Example.COM"]), "")
            self.assertEqual(self.fault(name, dns=["example.com"]), "")

    def test_whole_names_only(self) -> None:
        """ "MUST NOT match suffixes" (RFC 5922 7.2)."""
        for name in ("foo.example.com", "com", "xexample.com", "example.com.evil.example"):
            self.assertIn("not '" + name, self.fault(name, dns=["example.com"]))

    def test_wildcard(self) -> None:
        """ "MUST NOT match any form of wildcard" (RFC 5922 7.2); the message shows the wildcard."""
        fault = self.fault("sip.example.com", dns=["*.example.com"], cn="sip.example.com")
        self.assertIn("proves '*.example.com', not 'sip.example.com'", fault)

    def test_one_bad_name_does_not_spoil_the_others(self) -> None:
        """A wildcard or a URI that is none beside a good name is passed over."""
        names = ["*.example", "*.*.example.org", "4711", "example.com"]
        self.assertEqual(self.fault("example.com", dns=names, uris=["https://example.com:8080", "x"]), "")

    def test_addresses(self) -> None:
        """S50: an address is proved by an iPAddress only; addresses are compared parsed (S12)."""
        self.assertEqual(self.fault("192.0.2.1", ips=["192.0.2.1"]), "")
        for text in ("2001:db8::1", "[2001:DB8:0::1]", "2001:db8::1%eth0"):
            self.assertEqual(self.fault(text, ips=["192.0.2.1", "2001:db8::1"]), "")
        for names in ({"dns": ["192.0.2.1"]}, {"uris": ["sip:192.0.2.1"]}, {"cn": "192.0.2.1"}, {"ips": ["192.0.2.2"]}):
            self.assertIn("not '192.0.2.1'", self.fault("192.0.2.1", **names))

    def test_names_that_are_none(self) -> None:
        """A name that no certificate can prove is refused, not raised."""
        for name in ("", ".", "exa mple.com", "a\0b", "1234", "\u2028"):
            self.assertTrue(self.fault(name, dns=["example.com"]))

    def test_message_is_safe_to_log(self) -> None:
        """What a peer wrote in its certificate reaches the log escaped and shortened."""
        fault = self.fault("example.com", cn="a\r\nb" + "x" * 50)
        self.assertIn(r"'CN a\r\nbxxx", fault)
        many = self.fault("example.com", dns=[f"{i}-{'x' * 60}.{'y' * 60}.example" for i in range(500)])
        self.assertIn("and 496 more", many)
        self.assertLess(len(many), 600)

    @settings(deadline=None)
    @given(st.text(max_size=40))
    def test_any_text_is_compared_or_refused(self, name: str) -> None:
        """Whatever the name, there is an answer and no exception."""
        self.assertTrue(identity_fault(ONE, name) or name.strip("[]").rstrip(".").lower() == "example.com")

    def test_unreadable_names(self) -> None:
        """A subjectAltName that is not even DER is a refusal in words."""
        broken = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x05\x82")
        plan = issue_builder().add_extension(broken, critical=False)
        certificate = plan.sign(CA.key, CA.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
        self.assertIn("cannot be compared", identity_fault(certificate, "example.com"))


ONE = issue(CA, dns=["example.com"]).certificate


def issue_builder() -> x509.CertificateBuilder:
    """The bare plan of a certificate, for names that `issue` cannot write."""
    return (
        x509.CertificateBuilder(x509.Name([]), CA.certificate.subject, ONE.public_key())
        .serial_number(1)
        .not_valid_before(ONE.not_valid_before_utc)
        .not_valid_after(ONE.not_valid_after_utc)
    )


class Words(SynchronousTestCase):
    """The reasons that reach log lines."""

    def test_failures_in_words(self) -> None:
        """Our refusal, the peer's alert, any other TLS error, and a lost connection."""
        for error, words in (
            (PeerRefused("it has expired"), "it has expired"),
            (SSL.Error([("", "", "tlsv1 alert unknown ca")]), "the peer refused TLS: tlsv1 alert unknown ca"),
            (SSL.Error([("SSL routines", "", "wrong version number")]), "TLS failed: wrong version number"),
            (SSL.SysCallError(-1, "Unexpected EOF"), "TLS failed: Unexpected EOF"),
            (ConnectionDone(), "Connection was closed cleanly."),
        ):
            self.assertEqual(tls_failure(Failure(error)), words)

    def test_no_names_without_a_connection(self) -> None:
        """A transport that is gone has no handle any more; an unverified certificate proves nothing."""
        self.assertEqual(peer_names(None), ())
        self.assertEqual(peer_names(SSL.Connection(SSL.Context(SSL.TLS_METHOD))), ())

    def test_shown(self) -> None:
        """Foreign text is quoted, ASCII, and cut."""
        self.assertEqual(shown("a\x1b\u00e9"), r"'a\x1b\xe9'")
        self.assertEqual(len(shown("x" * 500)), 85)
