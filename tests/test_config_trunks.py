"""[[credentials]] and [[registration]]: what they become, and each mistake in its exact words, without a password."""

from __future__ import annotations

import os

from b2bua.policy.accounts import Account
from b2bua.policy.enrolling import Enrolling
from b2bua.sip.digest import hashes_of
from b2bua.sip.uri import parse_uri
from tests.test_config import BASE, NAMES, ROUTE, ConfigCase

GROUP = (
    '[[group]]\nname = "trunks"\nmembers = [{uri = "sip:192.0.2.8:5070;transport=udp"}, {uri = "sip:PBX.example"}]\n'
)
PROOF = '[[credentials]]\nrealm = "r"\nuser = "u"\npassword = "s3cret"\n'
TO = 'to = "sip:192.0.2.9"\n'
AOR = '[[registration]]\naor = "sip:u@192.0.2.9"\n'
NEXT = 'must be a SIP URI such as "sip:192.0.2.1:5060;transport=tcp"'


class TestCredentials(ConfigCase):
    """[[credentials]]."""

    def wrong(self, text: str) -> list[str]:
        """The mistakes of one, without its key; the password is in none of them."""
        found = self.mistakes(BASE + ROUTE + GROUP + text)
        self.assertNotIn("s3cret", "\n".join(found))
        return [each.removeprefix("credentials[1].") for each in found]

    def test_all(self) -> None:
        """Every key; a password is kept only as its hashes, and shown nowhere."""
        configuration = self.load(BASE + ROUTE + GROUP + PROOF + 'to = ["group:trunks", "sip:a"]\nzones = ["public"]\n')
        hops = frozenset({("192.0.2.8", 5070), ("pbx.example", 5060), ("a", 5060)})
        account = Account("r", "u", hops, frozenset({"public"}), hashes_of("u", "r", "s3cret"))
        self.assertEqual(configuration.accounts, (account,))
        self.assertEqual(len({*account.hashes}), 3)
        self.assertNotIn("s3cret", repr(configuration))
        for secret in account.hashes.values():
            self.assertNotIn(secret, repr(configuration))

    def test_leads(self) -> None:
        """Host, case aside, and port; in its zones."""
        text = BASE + ROUTE + GROUP + PROOF + 'to = "group:trunks"\n'
        (account,) = self.load(text + 'zones = ["public"]\n').accounts
        for uri, zone, leads in (
            ("sip:+331@pbx.EXAMPLE;transport=tcp", "public", True),
            ("sip:x@y;maddr=pbx.example", "public", True),
            ("sip:pbx.example:5060", "public", True),
            ("sips:pbx.example", "public", False),
            ("sip:pbx.example", "private", False),
            ("sip:pbx.example:5061", "public", False),
            ("sip:192.0.2.8", "public", False),
        ):
            self.assertIs(account.leads(parse_uri(uri), zone), leads, uri)
        self.assertTrue(self.load(text).accounts[0].leads(parse_uri("sip:pbx.example"), "private"))

    def test_file(self) -> None:
        """A file with one line; warned of where others can read it, as for a password in the configuration."""
        path = self.write("s3cret\r\n", "trunk.password")
        text = BASE + ROUTE + PROOF.replace('password = "s3cret"', 'password_file = "trunk.password"') + TO
        os.chmod(path, 0o644)
        warned = f"other users of this machine can read or change the password: chmod 600 {path}"
        self.assertIn(f'credentials[1].password_file = "trunk.password": {warned}', self.warnings(text))
        os.chmod(path, 0o640)
        self.assertFalse([each for each in self.warnings(text) if "password" in each])
        self.assertEqual(self.load(text).accounts[0].hashes, hashes_of("u", "r", "s3cret"))
        os.chmod(self.write(BASE + ROUTE + PROOF + TO), 0o644)
        warned = f"other users of this machine can read or change the password: chmod 600 {self.path}"
        self.assertIn(f"credentials[1].password: {warned}", self.warnings(BASE + ROUTE + PROOF + TO))

    def test_wrong_file(self) -> None:
        """Not there, empty, two lines, not text."""
        text = PROOF.replace('password = "s3cret"', 'password_file = "p"') + TO
        self.assertEqual(self.wrong(text), [f'password_file = "p": no such file: {self.folder}/p'])
        for octets in (b"", b"\n", b"s3cret\nmore\n", b"\xff\xfe", b"a\x00b"):
            self.write(octets, "p")
            message = f"must be a file with the password as its only line: {self.folder}/p"
            self.assertEqual(self.wrong(text), [f'password_file = "p": {message}'])

    def test_what_is_missing(self) -> None:
        """Realm, user, next hops, password."""
        self.assertEqual(
            self.wrong("[[credentials]]\n"),
            [
                "realm: missing: it must be one line of text",
                "user: missing: it must be one line of text",
                'to: missing: it must be a SIP URI, "group:NAME", or a list of them',
                "password: missing: give it, or password_file",
            ],
        )
        self.assertEqual(
            self.wrong(PROOF + TO + 'password_file = "p"\n'),
            ['password_file = "p": password is given too: keep one of them'],
        )

    def test_secrets_are_not_shown(self) -> None:
        """Under a misspelt key, as another type, with control characters, in place of the table."""
        known = "no such key; did you mean "
        self.assertEqual(
            self.wrong(PROOF.replace("password", "pasword") + TO),
            [f'pasword = "...": {known}"password"?', "password: missing: give it, or password_file"],
        )
        right = "must be one line of text"
        for value in ('["s3cret"]', r'"s3cret\n"', '""', '{a = "s3cret"}'):
            self.assertEqual(self.wrong(PROOF.replace('"s3cret"', value) + TO), [f'password = ["..."]: {right}'])
        self.assertEqual(
            self.wrong('[credentials]\npassword = "s3cret"\n'),
            ['credentials = "...": must be a list of tables: [[credentials]]'],
        )
        self.assertEqual(self.wrong(PROOF.replace('realm = "r"', "realm = 5") + TO), [f"realm = 5: {right}"])

    def test_next_hops(self) -> None:
        """That can be sent to, and are there."""
        for to, message in (
            ("[]", "to = []: an empty list: nobody would be told who we are"),
            ('"tel:1"', f'to = "tel:1": tel:1 is not a sip: or sips: URI; {NEXT}'),
            ('"group:x"', 'to = "group:x": no [[group]] of that name; there are: trunks'),
        ):
            self.assertEqual(self.wrong(PROOF + f"to = {to}\n"), [message])
        self.assertEqual(
            self.wrong(PROOF + TO + 'zones = ["x"]\n'),
            ['zones = "x": no zone of that name; there are: private, public'],
        )

    def test_twice(self) -> None:
        """One of the two would never count; another user or next hop is another matter."""
        self.assertEqual(
            self.wrong((PROOF + TO) * 2),
            ["credentials[2]: others are for the same realm, user and next hop: which would count?"],
        )
        other = PROOF.replace('"u"', '"v"') + TO + PROOF + 'to = "sip:192.0.2.10"\n'
        self.assertEqual(len(self.load(BASE + ROUTE + PROOF + TO + other).accounts), 3)


class TestRegistration(ConfigCase):
    """[[registration]]."""

    def wrong(self, text: str) -> list[str]:
        """The mistakes of one, without its key."""
        return [
            each.removeprefix("registration[1].") for each in self.mistakes(BASE + ROUTE + GROUP + PROOF + TO + text)
        ]

    def test_defaults(self) -> None:
        """The domain is asked, with its user, for an hour."""
        (made,) = self.load(BASE + ROUTE + PROOF + TO + AOR).registrations
        aor, hops = parse_uri("sip:u@192.0.2.9"), frozenset({("192.0.2.9", 5060)})
        self.assertEqual(made, Enrolling(aor, "sip:192.0.2.9", hops, "u", "auto", 3600, ""))

    def test_all(self) -> None:
        """Every key."""
        keys = 'registrar = "group:trunks"\ncontact_user = "c"\nsend_from = "public"\nexpires = 60\ncredentials = "u"\n'
        text = BASE + ROUTE + GROUP + PROOF + 'to = "group:trunks"\n' + AOR + keys
        (made,) = self.load(text).registrations
        hops = frozenset({("192.0.2.8", 5070), ("pbx.example", 5060)})
        aor = parse_uri("sip:u@192.0.2.9")
        self.assertEqual(made, Enrolling(aor, "group:trunks", hops, "c", "public", 60, "u"))
        self.assertEqual(len(self.load(text.replace('send_from = "public"\n', "")).registrations), 1)

    def test_aor(self) -> None:
        """A user at a domain."""
        right = 'must be what the carrier knows us by: "sip:USER@DOMAIN"'
        for aor in ("sip:192.0.2.9", "tel:1", "u@x", "sip:u@x;a=b", "sip:u:p@x", "sip:u@x?a=b", "%"):
            self.assertEqual(self.wrong(AOR.replace("sip:u@192.0.2.9", aor)), [f'aor = "{aor}": {right}'])
        self.assertEqual(self.wrong("[[registration]]\n"), ["aor: missing: it must be a text"])

    def test_registrar(self) -> None:
        """Somebody who can be sent to."""
        for registrar, message in (
            ('"tel:1"', f'registrar = "tel:1": tel:1 is not a sip: or sips: URI; {NEXT}'),
            ('"group:x"', 'registrar = "group:x": no [[group]] of that name; there are: trunks'),
            ("5", "registrar = 5: must be a text"),
            ('"sips:a"', 'registrar = "sips:a": no listener can reach it: it asks for TLS (sips)'),
        ):
            self.assertEqual(self.wrong(AOR + f"registrar = {registrar}\n"), [message])

    def test_send_from(self) -> None:
        """A listener or a zone, that can."""
        self.assertEqual(
            self.wrong(AOR + 'send_from = "x"\n'),
            [f'send_from = "x": no listener or zone of that name; {NAMES}'],
        )
        self.assertEqual(
            self.wrong(AOR + 'send_from = "x"\n[[zone]]\nname = "x"\n'),
            ['send_from = "x": no listener is in this zone'],
        )

    def test_other_keys(self) -> None:
        """Their kinds."""
        self.assertEqual(self.wrong(AOR + "expires = 5\n"), ["expires = 5: must be whole seconds, from 30 to a week"])
        right = "must be what may stand before the @ of a URI"
        self.assertEqual(self.wrong(AOR + 'contact_user = "a b"\n'), [f'contact_user = "a b": {right}'])

    def test_credentials(self) -> None:
        """They lead to the registrar; without any there is a warning."""
        message = "no [[credentials]] has this user and leads to the registrar; there are: u"
        self.assertEqual(self.wrong(AOR + 'credentials = "v"\n'), [f'credentials = "v": {message}'])
        warning = "no [[credentials]] leads to the registrar: if it asks who we are, that is the end"
        self.assertIn(f"registration[1]: {warning}", self.warnings(BASE + ROUTE + AOR))
        self.assertNotIn(warning, "".join(self.warnings(BASE + ROUTE + PROOF + TO + AOR)))

    def test_twice(self) -> None:
        """The same at one registrar."""
        self.assertEqual(
            self.wrong(AOR * 2),
            ["registration[2]: another [[registration]] is of this aor there: one Contact is enough"],
        )
