"""TLS inwards over loopback: the certificate we show, the ones we ask for, what a reload changes (S51)."""

from __future__ import annotations

import gc
import os

from OpenSSL import SSL
from twisted.internet.utils import getProcessOutputAndValue

from b2bua.net.certificates import CertificateError
from b2bua.net.identity import CheckedConnection, tls_failure
from tests.handshakes import CA, EXAMPLE, OTHER, STRANGER, Handshakes
from tests.pki import SERVER, issue
from tests.programs import need


class Inwards(Handshakes):
    """S51: the certificate we show, and the ones we ask for."""

    async def test_certificate_by_sni(self) -> None:
        """Each domain's own certificate; the default for no SNI and for domains we do not know."""
        self.listen(EXAMPLE, ("other.example", OTHER))
        contexts = self.clients(verify=False)
        shown = {}
        for name in ("OTHER.example", "example.com", "unknown.example", "127.0.0.1"):
            shown[name] = (await self.connect(contexts.creator(name))).certificate
        self.assertEqual(shown.pop("OTHER.example"), OTHER.certificate)
        self.assertEqual(set(shown.values()), {EXAMPLE.certificate})

    async def test_reload(self) -> None:
        """After `reload` the next handshake sees the new files; a connection that was up goes on (S51)."""
        certificates = self.listen(EXAMPLE, ("other.example", OTHER))
        contexts = self.clients()
        before = await self.connect(contexts.creator("example.com"))
        other = await self.connect(contexts.creator("other.example"))
        renewed, renewed_other = issue(CA, dns=["example.com"]), issue(CA, dns=["other.example"])
        self.pair(renewed, "server")
        self.pair(renewed_other, "other.example")
        certificates.reload()
        after = await self.connect(contexts.creator("example.com"))
        self.assertEqual(after.certificate, renewed.certificate)
        after = await self.connect(contexts.creator("other.example"))
        self.assertEqual(after.certificate, renewed_other.certificate)
        self.assertEqual((await before.ping()).certificate, EXAMPLE.certificate)
        self.assertEqual((await other.ping()).certificate, OTHER.certificate)

    async def test_reload_of_bad_files(self) -> None:
        """A new file that cannot be used is reported, and all the old ones stay in force."""
        certificates = self.listen(EXAMPLE, ("other.example", OTHER))
        self.pair(issue(CA, dns=["example.com"]), "server")
        (self.folder / "other.example.pem").write_text("half a fi")
        error = self.assertRaises(CertificateError, certificates.reload)
        self.assertEqual(error.file, str(self.folder / "other.example.pem"))
        client = await self.connect(self.clients().creator("example.com"))
        self.assertEqual(client.certificate, EXAMPLE.certificate)
        await self.connect(self.clients().creator("other.example"))

    async def test_no_client_certificate_is_asked_for(self) -> None:
        """`none`: the client shows nothing, even when it could."""
        self.listen()
        await self.connect(self.clients(pair=self.pair(OTHER, "client")).creator("example.com"))
        self.assertIsNone(self.served[0].certificate)

    async def test_optional_client_certificate(self) -> None:
        """`optional`: a client without a certificate is served, one with a good certificate has names."""
        self.listen(client_certificate="optional", client_ca=self.ca)
        await self.connect(self.clients().creator("example.com"))
        await self.connect(self.clients(pair=self.pair(OTHER, "client")).creator("example.com"))
        self.assertEqual([end.names for end in self.served], [(), ("other.example",)])

    async def test_optional_client_certificate_must_be_good(self) -> None:
        """`optional`: a certificate that is shown and is not good is refused, and we say why."""
        self.listen(client_certificate="optional", client_ca=self.ca)
        pair = self.pair(issue(STRANGER, dns=["other.example"]), "client")
        words, _ = await self.refused(self.clients(pair=pair).creator("example.com"))
        self.assertIn("the peer refused TLS", words)
        await self.served[0].gone
        self.assertIn("its issuer is not trusted", tls_failure(self.served[0].reason))  # type: ignore[arg-type]
        self.assertEqual(self.served[0].events, ["made", "lost"])

    async def test_required_client_certificate(self) -> None:
        """`required`: mutual TLS, for the default certificate and for one chosen by SNI."""
        self.listen(EXAMPLE, ("other.example", OTHER), client_certificate="required", client_ca=self.ca)
        contexts = self.clients(pair=self.pair(OTHER, "client"))
        for name in ("example.com", "other.example"):
            client = await self.connect(contexts.creator(name))
            self.assertEqual((self.served[-1].names, client.names), (("other.example",), (name,)))

    async def test_refused_client_sees_a_handshake_first(self) -> None:
        """TLS 1.3: a client without the required certificate completes its handshake before it is refused."""
        self.listen(client_certificate="required", client_ca=self.ca)
        words, client = await self.refused(self.clients().creator("example.com"))
        self.assertEqual(client.events, ["made", "handshake", "lost"])
        self.assertIn("the peer refused TLS: tlsv13 alert certificate required", words)
        await self.served[0].gone
        self.assertEqual(self.served[0].events, ["made", "lost"])
        self.assertIn("did not return a certificate", tls_failure(self.served[0].reason))  # type: ignore[arg-type]

    async def test_client_certificate_only_for_servers(self) -> None:
        """A client's certificate that is only for servers is refused, and the reason says so."""
        self.listen(client_certificate="required", client_ca=self.ca)
        pair = self.pair(issue(CA, dns=["other.example"], uses=[SERVER]), "client")
        await self.refused(self.clients(pair=pair).creator("example.com"))
        await self.served[0].gone
        self.assertIn("extended key usage", tls_failure(self.served[0].reason))  # type: ignore[arg-type]

    async def test_second_client_hello_after_reload(self) -> None:
        """A reload between the two ClientHellos of a retried handshake (RFC 8446 4.1.4) harms nobody."""
        certificates = self.listen(EXAMPLE, ("other.example", OTHER))
        chosen: list[SSL.Context] = []

        def choose_and_reload(connection: CheckedConnection, context: SSL.Context) -> None:
            SSL.Connection.set_context(connection, context)
            chosen.append(context)
            certificates.reload()
            gc.collect()

        self.patch(CheckedConnection, "set_context", choose_and_reload)
        printed = await self.openssl("-servername", "other.example", "-groups", "P-521:X25519")
        self.assertEqual(len(chosen), 2)
        self.assertIn("Verify return code: 0 (ok)", printed)

    async def openssl(self, *arguments: str) -> str:
        """What `openssl s_client`, connected to the listener and given no input, prints."""
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", self.ca, *arguments]
        output, errors, _ = await getProcessOutputAndValue(command[0], command[1:], env=os.environ, stdinBytes=b"")
        return str(output + errors, "utf-8", "replace")

    async def test_openssl_client(self) -> None:
        """Another implementation: SNI, the issuers named to clients, and a client certificate."""
        self.listen(EXAMPLE, ("other.example", OTHER), client_certificate="required", client_ca=self.ca)
        certificate, key = OTHER.write(self.folder, "client")
        printed = await self.openssl(
            "-servername", "other.example", "-verify_hostname", "other.example", "-cert", certificate, "-key", key
        )
        self.assertIn("Verify return code: 0 (ok)", printed)
        self.assertIn("Acceptable client certificate CA names\nCN = b2bua test CA", printed)
        self.assertEqual(self.served[0].names, ("other.example",))

    async def test_openssl_old_version(self) -> None:
        """TLS 1.1 is refused with the alert that says so (RFC 8996)."""
        self.listen()
        printed = await self.openssl("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        self.assertIn("alert protocol version", printed)
        printed = await self.openssl("-tls1_2", "-servername", "example.com")
        self.assertIn("Verify return code: 0 (ok)", printed)
