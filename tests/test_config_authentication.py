"""[authentication] and a zone's `authenticate`: what they become, and each mistake in its exact words."""

from __future__ import annotations

import sqlite3

from b2bua.policy.users import DatabaseUsers, FileUsers, ScriptUsers
from tests.credentials import line
from tests.test_config import BASE, ROUTE, ConfigCase

REALM = "example.com"
ASKING = BASE.replace('name = "public"\n', 'name = "public"\nauthenticate = ["REGISTER", "calls"]\n', 1) + ROUTE
SECTION = f'[authentication]\nrealm = "{REALM}"\n'
MISSING = (
    "authentication.users: missing: make the file with b2bua passwd --sip, or give database and query, "
    "or a policy with ha1"
)
LIST = 'must be a list of "SHA-512-256", "SHA-256" and "MD5", the best first'
QUERY = 'database = "phones.sqlite"\nquery = "SELECT ha1 FROM phones WHERE name = :user"\n'


class TestAuthentication(ConfigCase):
    """[authentication]."""

    def users(self, text: str = line("alice", "secret", REALM, "SHA-256", "MD5")) -> None:
        """The file of users, which nobody else can read."""
        self.write(text, "phones")
        (self.folder / "phones").chmod(0o600)

    def test_defaults(self) -> None:
        """Realm and file are all that it needs."""
        self.users()
        configuration = self.load(ASKING + SECTION + 'users = "phones"\n')
        realm = configuration.authentication
        assert realm is not None and isinstance(realm.users, FileUsers)
        self.assertEqual((realm.name, realm.algorithms), (REALM, ("SHA-256", "MD5")))
        self.assertEqual((realm.nonce_life, realm.own), (300.0, True))
        self.assertEqual(realm.users.path, str(self.folder / "phones"))
        self.assertEqual(configuration.zones["public"].authenticate, {"REGISTER", "calls"})
        self.assertEqual(configuration.zones["private"].authenticate, frozenset())
        self.assertEqual([each for each in configuration.warnings if "authentication" in each.key], [])

    def test_all(self) -> None:
        """Every key."""
        self.users()
        more = 'users = "phones"\nalgorithms = ["SHA-512-256", "MD5"]\nnonce_life = 60\nidentities = "any"\n'
        realm = self.load(ASKING + SECTION + more).authentication
        assert realm is not None
        self.assertEqual((realm.algorithms, realm.nonce_life, realm.own), (("SHA-512-256", "MD5"), 60.0, False))

    def test_other_sources(self) -> None:
        """A database, or the policy script."""
        with sqlite3.connect(self.folder / "phones.sqlite") as database:
            database.execute("CREATE TABLE phones (name, ha1)")
        database.close()
        realm = self.load(ASKING + SECTION + QUERY).authentication
        assert realm is not None
        self.assertIsInstance(realm.users, DatabaseUsers)
        self.write("def route(request, listeners): pass\ndef ha1(user, realm, algorithm): return user\n", "policy.py")
        realm = self.load('policy = "policy.py"\n' + ASKING + SECTION).authentication
        assert realm is not None and isinstance(realm.users, ScriptUsers)
        self.assertEqual(realm.users.ha1("alice", "", ""), "alice")

    def test_nothing_to_ask(self) -> None:
        """A zone that asks needs it; it needs a zone that asks, somebody to ask for, and a file for us alone."""
        right = "authentication: missing: zone public asks for credentials, and [authentication] says whose"
        self.assertEqual(self.mistakes(ASKING), [right])
        self.users()
        said = self.warnings(BASE + ROUTE + SECTION + 'users = "phones"\n')
        self.assertIn("authentication: no zone asks for credentials: give one authenticate", said)
        self.users(line("alice", "secret", "other", "MD5"))
        (self.folder / "phones").chmod(0o644)
        said = self.warnings(ASKING + SECTION + 'users = "phones"\n')
        head = 'authentication.users = "phones": '
        self.assertIn(f"{head}there is nobody of the realm example.com in it", said)
        self.assertIn(f"{head}other users of this machine can read or change it: its mode should be 600", said)
        self.users(line("alice", "secret", REALM, "MD5") + line("bob", "secret", REALM, "MD5"))
        said = self.warnings(ASKING + SECTION + 'users = "phones"\n')
        what = "cannot log in with every algorithm that is offered: b2bua passwd --sip writes them"
        self.assertIn(f"{head}alice and 1 more {what}", said)
        self.users(line("alice", "secret", REALM, "MD5"))
        self.assertIn(f"{head}alice {what}", self.warnings(ASKING + SECTION + 'users = "phones"\n'))

    def test_our_own_realm(self) -> None:
        """Credentials of ours for our own realm: a peer could hand our challenge back to us."""
        self.users()
        proof = '[[credentials]]\nrealm = "{}"\nuser = "alice"\npassword = "s"\nto = "sip:10.0.0.20"\n'
        text = ASKING + SECTION + 'users = "phones"\n' + proof.format("carrier") + proof.format(REALM)
        message = "is the realm of [authentication] too: its next hop could have us answer our own challenge"
        found = [each for each in self.warnings(text) if "].realm" in each]
        self.assertEqual(found, [f'credentials[2].realm = "{REALM}": {message}'])

    def test_mistakes(self) -> None:
        """Each key by itself, and what cannot be together."""
        self.users()
        self.assertEqual(
            self.mistakes(ASKING + "[authentication]\n"), ["authentication.realm: missing: it must be a text", MISSING]
        )
        self.assertEqual(
            self.mistakes(
                ASKING + '[authentication]\nrealm = "a:b"\nusers = "phones"\nalgorithms = ["SHA-1"]\nnonce_life = 1\n'
                'identities = "some"\nuser = "x"\n'
            ),
            [
                'authentication.user = "x": no such key; did you mean "users"?',
                f'authentication.algorithms = ["SHA-1"]: {LIST}',
                "authentication.nonce_life = 1: must be a number of seconds, from 10 to a day",
                'authentication.identities = "some": must be "own" or "any"',
                'authentication.realm = "a:b": must be a name without quotation marks and colons',
            ],
        )
        for lines, said in (
            ('users = "phones"\nalgorithms = []', f"authentication.algorithms = []: {LIST}"),
            (
                'users = "phones"\nalgorithms = ["MD5", "MD5"]',
                'authentication.algorithms = ["MD5", "MD5"]: names one twice',
            ),
            ('users = "nowhere"', f"{self.folder / 'nowhere'}: no such file; b2bua passwd --sip makes it"),
            ("users = 5", "authentication.users = 5: must be the path of a file"),
            (
                'users = "phones"\n' + QUERY,
                'authentication.database = "phones.sqlite": give users or database, not both',
            ),
            ('query = "x"', "authentication.database: missing: query is given, and they belong together"),
            ('database = "x"', "authentication.query: missing: database is given, and they belong together"),
            ('database = "phones"\nquery = 5', "authentication.query = 5: must be a text"),
            ("", MISSING),
        ):  # fmt: skip
            self.assertEqual(self.mistakes(ASKING + SECTION + lines + "\n"), [said])
        self.assertEqual(len(self.mistakes(ASKING + SECTION + QUERY)), 2)  # no such file, and so nothing to ask
        self.write("", "phones.sqlite")
        (said,) = self.mistakes(ASKING + SECTION + QUERY)
        self.assertIn("cannot be asked: ", said)
        self.assertIn("no such table: phones", said)
        self.write("broken\n", "phones")
        (said,) = self.mistakes(ASKING + SECTION + 'users = "phones"\n')
        self.assertEqual(
            said, f"{self.folder / 'phones'}:1: a line is USER:REALM:ALGORITHM:HA1, as b2bua passwd --sip writes it"
        )
        self.write("def route(request, listeners): pass\n", "policy.py")
        self.assertEqual(self.mistakes('policy = "policy.py"\n' + ASKING + SECTION), [MISSING])

    def test_methods(self) -> None:
        """A zone names methods as they stand in a request; what is never asked is told."""
        self.users()
        never = "is never asked for credentials: what began the dialog or the call was"
        right = 'must be a method in capital letters, or "calls" for all but REGISTER'
        for value, said in (
            ('["ACK"]', f'zone[1].authenticate = "ACK": {never}'),
            ('["BYE"]', f'zone[1].authenticate = "BYE": {never}'),
            ('["register"]', f'zone[1].authenticate = "register": {right}'),
            ('["A B"]', f'zone[1].authenticate = "A B": {right}'),
            ('[""]', f'zone[1].authenticate = "": {right}'),
            ('"REGISTER"', 'zone[1].authenticate = "REGISTER": must be a list of methods: ["REGISTER", "calls"]'),
        ):
            text = ASKING.replace('["REGISTER", "calls"]', value) + SECTION + 'users = "phones"\n'
            self.assertEqual(self.mistakes(text), [said])
