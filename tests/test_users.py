"""Where SIP users' HA1s come from: the file and what can be wrong in it, the database, the script; and writing it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.passwords import UsersError, set_sip_password
from b2bua.policy.mistakes import ConfigurationError
from b2bua.policy.users import DatabaseUsers, FileUsers, ScriptUsers, UsersFailed, checked, read_secrets
from tests.credentials import digest, line
from tests.hostile import LONG

REALM = "biloxi.example"
ALICE = line("alice", "secret", REALM, "SHA-256", "MD5")
MD5 = digest("MD5", "alice", REALM, "secret")


class TestFile(SynchronousTestCase):
    """One line for each user, realm and algorithm."""

    def setUp(self) -> None:
        self.path = self.mktemp()

    def write(self, text: str | bytes) -> str:
        """The file's path."""
        Path(self.path).write_bytes(text.encode() if isinstance(text, str) else text)
        os.chmod(self.path, 0o600)
        return self.path

    def mistakes(self, text: str | bytes) -> list[str]:
        """What is wrong with a file."""
        with self.assertRaises(ConfigurationError) as caught:
            read_secrets(self.write(text))
        return [str(each).removeprefix(self.path) for each in caught.exception.mistakes]

    def test_read(self) -> None:
        """Comments and empty lines are passed over, digits may be capitals; each key has its own HA1."""
        users = FileUsers(
            self.write(f"# phones\n\n{ALICE.upper().replace('ALICE:BILOXI.EXAMPLE', 'alice:biloxi.example')}\r\n")
        )
        self.assertEqual(len(users), 2)
        self.assertEqual(users.ha1("alice", REALM, "MD5"), MD5)
        for key in (("alice", REALM, "SHA-512-256"), ("Alice", REALM, "MD5"), ("alice", "other", "MD5"), ("", "", "")):
            self.assertIsNone(users.ha1(*key))

    def test_mistakes(self) -> None:
        """Every line that is wrong is said, and none of its secrets."""
        good = f"alice:{REALM}:MD5:{MD5}"
        said = self.mistakes("\n".join([
            "alice", good, good, good.replace("MD5:", "SHA-1:"), f"bob:{REALM}:MD5:{MD5}0",
            f"bob:{REALM}:MD5:{'x' * 32}", f":{REALM}:MD5:{MD5}", f'a"b:{REALM}:MD5:{MD5}', f"bob::MD5:{MD5}",
            f"bob:{'r' * 129}:MD5:{MD5}", f"{good}:x",
        ]))  # fmt: skip
        names = "the user or the realm is empty, too long, or has a quotation mark, a backslash or a control character"
        self.assertEqual(said, [
            ":1: a line is USER:REALM:ALGORITHM:HA1, as b2bua passwd --sip writes it",
            ':3: "alice" is there twice with MD5',
            ':4: no such algorithm: "SHA-1"; there are SHA-256, SHA-512-256, MD5',
            ":5: an HA1 for MD5 is 32 hexadecimal digits",
            ":6: an HA1 for MD5 is 32 hexadecimal digits",
            f":7: {names}", f":8: {names}", f":9: {names}", f":10: {names}",
            ":11: a line is USER:REALM:ALGORITHM:HA1, as b2bua passwd --sip writes it",
        ])  # fmt: skip
        self.assertEqual(self.mistakes(b"\xff"), [": is no text in UTF-8"])
        with self.assertRaises(ConfigurationError) as caught:
            FileUsers("/nowhere/users")
        self.assertIn("no such file; b2bua passwd --sip makes it", str(caught.exception))
        with self.assertRaises(ConfigurationError) as caught:
            FileUsers("/")
        self.assertIn("cannot be read: Is a directory", str(caught.exception))

    @given(LONG)
    def test_any_text(self, text: str) -> None:
        """Whatever is in the file, it is users or mistakes."""
        Path(self.path).write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            read_secrets(self.path)
        except ConfigurationError as error:
            self.assertTrue(error.mistakes)

    def test_changes(self) -> None:
        """A change counts at once; a broken file, or none, is told of once, and what was there stays."""
        users, told = FileUsers(self.write(ALICE)), []
        users.ha1("alice", REALM, "MD5")
        self.write(ALICE + line("bob", "secret", REALM, "MD5"))
        self.assertEqual(users.ha1("bob", REALM, "MD5"), digest("MD5", "bob", REALM, "secret"))
        self.write("broken")
        users.ha1("bob", REALM, "MD5")  # nobody listens: the default
        users.tell = told.append
        for text in ("broken too", None):
            os.unlink(self.path) if text is None else self.write(text)
            for _ in range(3):
                self.assertEqual(users.ha1("alice", REALM, "MD5"), MD5)
        self.assertEqual([each.partition(": ")[0] for each in told], ["the users stay as they were"] * 2)
        self.assertIn("no such file", told[1])
        self.write(line("bob", "other", REALM, "MD5"))
        self.assertIsNone(users.ha1("alice", REALM, "MD5"))

    def test_what_to_know(self) -> None:
        """Who lacks an algorithm, whether the realm has anybody, whether others can read the file."""
        users = FileUsers(
            self.write(ALICE + line("bob", "secret", REALM, "MD5") + line("carol", "secret", "other", "MD5"))
        )
        self.assertEqual(users.without(REALM, ("SHA-256", "MD5")), ["bob"])
        self.assertEqual(users.without(REALM, ("MD5",)), [])
        self.assertEqual([users.lone(realm) for realm in (REALM, "other", "third")], [False, False, True])
        self.assertFalse(users.exposed)
        os.chmod(self.path, 0o604)
        self.assertTrue(users.exposed)


class TestDatabase(SynchronousTestCase):
    """A query."""

    QUERY = "SELECT ha1 FROM phones WHERE name = :user AND realm = :realm AND algorithm = :algorithm"

    def setUp(self) -> None:
        self.path = self.mktemp() + " ?#%"
        self.database = sqlite3.connect(self.path)
        self.addCleanup(self.database.close)
        self.database.execute("CREATE TABLE phones (name, realm, algorithm, ha1)")
        rows = [
            ("alice", REALM, "MD5", MD5),
            ("alice", REALM, "MD5", "0"),
            ("bob", REALM, "MD5", None),
            ("carol", REALM, "MD5", 7),
        ]
        self.database.executemany("INSERT INTO phones VALUES (?, ?, ?, ?)", rows)
        self.database.commit()

    def test_asked(self) -> None:
        """The first row's first column; None for no row and NULL; a change counts at once."""
        users = DatabaseUsers(self.path, self.QUERY)
        self.addCleanup(users.close)
        self.assertEqual(users.ha1("alice", REALM, "MD5"), MD5)
        self.assertEqual([users.ha1(name, REALM, "MD5") for name in ("bob", "nobody", "' OR 1 --")], [None] * 3)
        self.assertEqual(users.ha1("carol", REALM, "MD5"), "7")
        self.database.execute("UPDATE phones SET ha1 = 'new' WHERE name = 'bob'")
        self.database.commit()
        self.assertEqual(users.ha1("bob", REALM, "MD5"), "new")

    def test_wrong(self) -> None:
        """What is no query, writes, or asks for what is not there, is told when it is made."""
        for query in ("SELEC", "SELECT ha1 FROM phones WHERE name = :who", "DELETE FROM phones", "SELECT 1; SELECT 2"):
            with self.assertRaises(UsersFailed):
                DatabaseUsers(self.path, query)
        with self.assertRaises(UsersFailed):
            DatabaseUsers("/nowhere/users.sqlite", self.QUERY)

    def test_locked(self) -> None:
        """A locked database is not waited for; when it is free again it is asked again."""
        users = DatabaseUsers(self.path, self.QUERY)
        self.addCleanup(users.close)
        self.database.execute("BEGIN EXCLUSIVE")
        with self.assertRaises(UsersFailed) as caught:
            users.ha1("alice", REALM, "MD5")
        self.assertIn("database is locked", str(caught.exception))
        self.database.rollback()
        self.assertEqual(users.ha1("alice", REALM, "MD5"), MD5)


class TestChecked(SynchronousTestCase):
    """What a source gives."""

    def test_script(self) -> None:
        """A function as it is."""
        self.assertEqual(ScriptUsers(lambda *asked: "/".join(asked)).ha1("a", "b", "c"), "a/b/c")

    @given(st.none() | st.integers() | st.text("0aF\u0661", max_size=70))
    def test_any(self, said: object) -> None:
        """An HA1 of the right length, or None, or a failure that does not say it."""
        for algorithm, length in (("MD5", 32), ("SHA-256", 64)):
            try:
                self.assertTrue(checked(said, algorithm) is None or len(str(said)) == length)
            except UsersFailed as fault:
                self.assertIn(f"no HA1 for {algorithm}", str(fault))
        self.assertEqual(checked("A" * 32, "MD5"), "a" * 32)


class TestWriting(SynchronousTestCase):
    """`b2bua passwd --sip`."""

    def test_other_lines_stay(self) -> None:
        """Only this user's lines in this realm are written anew; comments and others stay as they are."""
        path = self.mktemp()
        other = line("bob", "secret", REALM, "MD5") + line("alice", "secret", "other", "MD5")
        Path(path).write_text("# alice:biloxi.example:\n" + other + ALICE)
        self.assertFalse(set_sip_password(path, "alice", REALM, "new secret"))
        text = Path(path).read_text()
        self.assertTrue(text.startswith("# alice:biloxi.example:\n" + other))
        self.assertEqual(read_secrets(path)["alice", REALM, "MD5"], digest("MD5", "alice", REALM, "new secret"))
        self.assertEqual(len(read_secrets(path)), 5)
        self.assertTrue(set_sip_password(path, "J\u00fcrgen@home", REALM, "new secret"))

    def test_refused(self) -> None:
        """What would not be read again is not written."""
        path = self.mktemp()
        for user, realm, password in (
            ("", REALM, "new secret"), ("a:b", REALM, "new secret"), ("#a", REALM, "new secret"),
            (" a", REALM, "new secret"),
            ("a", 'r"', "new secret"), ("a", REALM, "short"), ("a", REALM, "new\nsecret"),
        ):  # fmt: skip
            with self.assertRaises(UsersError):
                set_sip_password(path, user, realm, password)
            self.assertFalse(os.path.exists(path))
        Path(path).write_text("\nbroken\n")
        with self.assertRaises(UsersError) as caught:
            set_sip_password(path, "alice", REALM, "new secret")
        self.assertIn(f"{path}:2: a line is", str(caught.exception))
