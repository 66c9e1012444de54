"""TLS outwards over loopback: whose certificate is believed (S50, RFC 5922)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from b2bua.net.certificates import CertificateError, ClientContexts
from b2bua.net.identity import PeerRefused, tls_failure
from tests.handshakes import CA, OTHER, STRANGER, Handshakes
from tests.pki import CLIENT, DAY, issue, make_ca


class Outwards(Handshakes):
    """S50: whom we believe when we connect."""

    async def test_uri_name(self) -> None:
        """A SAN URI `sip:domain` proves the domain; SNI is the domain (S50, RFC 5922 7.1)."""
        self.listen()
        client = await self.connect(self.clients().creator("Example.com"))
        self.assertEqual(client.names, ("example.com",))
        self.assertEqual(self.served[0].sni, b"example.com")
        self.assertEqual(client.events, ["made", "handshake", "pong"])

    async def test_dns_name(self) -> None:
        """A SAN dNSName proves the domain where there is no sip URI."""
        self.listen(OTHER)
        client = await self.connect(self.clients().creator("other.example"))
        self.assertEqual(client.names, ("other.example",))

    async def test_common_name(self) -> None:
        """The CN proves the domain where there is no subjectAltName."""
        self.listen(issue(CA, cn="example.com"))
        await self.connect(self.clients().creator("example.com"))

    async def test_common_name_beside_alternative_names(self) -> None:
        """The CN proves nothing where there is a subjectAltName."""
        self.listen(issue(CA, cn="example.com", dns=["other.example"]))
        words, _ = await self.refused(self.clients().creator("example.com"))
        self.assertIn("it proves 'other.example', not 'example.com'", words)

    async def test_wildcard(self) -> None:
        """A wildcard proves nothing (RFC 5922 7.2), though TLS libraries accept it."""
        self.listen(issue(CA, dns=["*.example.com"]))
        words, _ = await self.refused(self.clients().creator("sip.example.com"))
        self.assertIn("it proves '*.example.com', not 'sip.example.com'", words)

    async def test_wrong_name(self) -> None:
        """Another domain's certificate is refused before any octet of ours is sent; the peer gets an alert."""
        self.listen()
        words, client = await self.refused(self.clients().creator("example.org"))
        self.assertIn("it proves 'sip:example.com', not 'example.org'", words)
        self.assertEqual(client.events, ["made", "lost"])
        self.assertIsInstance(client.reason.value, PeerRefused)  # type: ignore[union-attr]
        await self.served[0].gone
        self.assertEqual(self.served[0].events, ["made", "lost"])
        self.assertIn("the peer refused TLS:", tls_failure(self.served[0].reason))  # type: ignore[arg-type]

    async def test_address(self) -> None:
        """An address is proved by a SAN iPAddress and is never sent as SNI (S50, RFC 6066 3)."""
        self.listen(issue(CA, ips=["127.0.0.1", "::1"]))
        for name in ("127.0.0.1", "::1", "[::1]"):
            await self.connect(self.clients().creator(name))
        self.assertEqual([end.sni for end in self.served], [None, None, None])

    async def test_address_not_in_certificate(self) -> None:
        """An address is not believed because a certificate is good for something else."""
        self.listen(issue(CA, uris=["sip:127.0.0.1"], dns=["localhost"]))
        words, _ = await self.refused(self.clients().creator("127.0.0.1"))
        self.assertIn("not '127.0.0.1'", words)

    async def test_untrusted_issuer(self) -> None:
        """The right name from an issuer that we do not trust is refused."""
        self.listen(issue(STRANGER, dns=["example.com"]))
        words, client = await self.refused(self.clients().creator("example.com"))
        self.assertIn("its issuer is not trusted", words)
        self.assertIn("'CN=nobody knows this CA'", words)
        self.assertNotIn("handshake", client.events)

    async def test_expired(self) -> None:
        """An expired certificate is refused, and the log line says since when."""
        now = datetime.now(UTC)
        self.listen(issue(CA, dns=["example.com"], not_before=now - 9 * DAY, not_after=now - 2 * DAY))
        words, _ = await self.refused(self.clients().creator("example.com"))
        self.assertIn(f"it has expired ({now - 2 * DAY:%Y-%m-%d}", words)

    async def test_not_for_servers(self) -> None:
        """A certificate that is only for clients is refused (RFC 5280 4.2.1.12)."""
        self.listen(issue(CA, dns=["example.com"], uses=[CLIENT]))
        words, _ = await self.refused(self.clients().creator("example.com"))
        self.assertIn("extended key usage", words)

    async def test_no_name_is_refused(self) -> None:
        """Without a name nobody is believed: a mistake elsewhere does not switch verification off."""
        self.listen()
        words, _ = await self.refused(self.clients().creator(""))
        self.assertIn("cannot be compared with ''", words)

    async def test_without_verification(self) -> None:
        """`verify=False` takes any certificate, but believes none of its names; SNI is sent all the same."""
        self.listen(issue(STRANGER, dns=["example.com"]))
        client = await self.connect(self.clients(verify=False).creator("example.org"))
        self.assertEqual((client.names, self.served[0].sni), ((), b"example.org"))

    async def test_system_issuers(self) -> None:
        """`ca = "system"` is the machine's own list; a private CA is not on it until it is."""
        self.listen()
        words, _ = await self.refused(ClientContexts().creator("example.com"))
        self.assertIn("its issuer is not trusted", words)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = self.ca
        put_back: Any = os.environ.pop if before is None else os.environ.__setitem__
        self.addCleanup(put_back, "SSL_CERT_FILE", before)
        await self.connect(ClientContexts().creator("example.com"))

    async def test_intermediate_issuer(self) -> None:
        """The certificates above the server's own are sent along, so that the root is enough for the client."""
        self.listen(issue(make_ca("between", above=CA), dns=["example.com"]))
        await self.connect(self.clients().creator("example.com"))

    async def test_reload(self) -> None:
        """Outwards too the next connection uses the new files, and bad ones change nothing."""
        self.listen(issue(STRANGER, dns=["example.com"]))
        contexts = self.clients()
        await self.refused(contexts.creator("example.com"))
        STRANGER.write(self.folder, "ca")
        contexts.reload()
        await self.connect(contexts.creator("example.com"))
        (self.folder / "ca.pem").unlink()
        self.assertRaises(CertificateError, contexts.reload)
        await self.connect(contexts.creator("example.com"))
