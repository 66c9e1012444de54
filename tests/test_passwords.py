"""Who may use the manhole: hashes, the file, its mistakes, and the checker that asks it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops import passwords
from b2bua.ops.passwords import NOBODY, Hash, UsersChecker, UsersError, read_users, set_password, warnings

PASSWORD = "correct horse"
SALT = b"0123456789abcdef"


def cheap(password: bytes, salt: bytes = SALT) -> Hash:
    """A hash that takes no time to make."""
    return Hash.of(password, salt, ln=4)


class TestHash(SynchronousTestCase):
    """scrypt with its parameters in the line."""

    def test_there_and_back(self) -> None:
        """What is written is read again, and fits the password it was made of and no other."""
        hashed = cheap(PASSWORD.encode())
        self.assertTrue(str(hashed).startswith("$scrypt$ln=4,r=8,p=1$"))
        again = Hash.parse(str(hashed))
        self.assertEqual(again, hashed)
        self.assertTrue(again.fits(PASSWORD.encode()))
        for other in (b"", b"correct horsf", PASSWORD.encode() + b"x", b"x" * 5000):
            self.assertFalse(again.fits(other))

    def test_rfc_7914(self) -> None:
        """The function is RFC 7914's: its second test vector."""
        digest = passwords._scrypt(b"password", b"NaCl", 10, 8, 16, 64)
        self.assertTrue(digest.hex().startswith("fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"))

    def test_salts(self) -> None:
        """The same password twice is not the same line."""
        self.assertNotEqual(str(cheap(b"password")), str(cheap(b"password", b"another one, sir")))

    def test_broken_lines(self) -> None:
        """What is no hash, costs too much or is damaged is refused, with the reason."""
        good = str(cheap(b"password"))
        for text, reason in (
            ("", "no hash of b2bua passwd"),
            ("$6$salt$crypted", "no hash of b2bua passwd"),
            (good.replace("ln=4", "ln=40"), "a cost"),
            (good.replace("ln=4", "ln=0"), "a cost"),
            (good.replace("p=1", "p=0"), "a cost"),
            (good.replace("p=1", "p=17"), "a cost"),
            (good.rpartition("$")[0] + "$A", "damaged"),
            (good.rpartition("$")[0] + "$AAAA", "too short"),
        ):
            self.assertIn(reason, str(self.assertRaises(UsersError, Hash.parse, text)), text)


class TestFile(SynchronousTestCase):
    """The file of users."""

    def setUp(self) -> None:
        """No test waits for scrypt."""
        self.path = str(Path(self.mktemp()).absolute())
        self.patch(Hash, "of", classmethod(_cheap))

    def write(self, text: str | bytes) -> None:
        """What stands in it."""
        Path(self.path).write_bytes(text if isinstance(text, bytes) else text.encode())

    def test_set_and_change(self) -> None:
        """A user is added, or gets another password; everything else in the file stays."""
        self.assertTrue(set_password(self.path, "alice", PASSWORD))
        self.assertTrue(set_password(self.path, "bob", "another one"))
        text = Path(self.path).read_text()
        Path(self.path).write_text(f"# operators\n\n{text}")
        self.assertFalse(set_password(self.path, "alice", "something new"))
        users = read_users(self.path)
        self.assertEqual(sorted(users), ["alice", "bob"])
        self.assertTrue(users["alice"].fits(b"something new"))
        self.assertTrue(users["bob"].fits(b"another one"))
        self.assertTrue(Path(self.path).read_text().startswith("# operators\n\nbob:"))

    def test_mode(self) -> None:
        """Nobody else may read it, whatever the umask; a group that could read it still can."""
        self.addCleanup(os.umask, os.umask(0))
        set_password(self.path, "alice", PASSWORD)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(warnings(self.path), [])
        os.chmod(self.path, 0o664)
        self.assertIn("chmod 600", warnings(self.path)[0])
        set_password(self.path, "bob", PASSWORD)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)

    def test_whole_or_not_at_all(self) -> None:
        """Where it cannot be written, the old file stays and nothing else is left."""
        set_password(self.path, "alice", PASSWORD)
        before = Path(self.path).read_bytes()
        with patch("os.replace", side_effect=OSError(28, "No space left on device")):
            error = self.assertRaises(UsersError, set_password, self.path, "bob", PASSWORD)
        self.assertEqual(str(error), f"{self.path}: cannot be written: No space left on device")
        self.assertEqual(Path(self.path).read_bytes(), before)
        left = [each.name for each in Path(self.path).parent.iterdir() if Path(self.path).name in each.name]
        self.assertEqual(left, [Path(self.path).name])
        nowhere = os.path.join(self.path, "users")
        self.assertRaises(UsersError, set_password, nowhere, "bob", PASSWORD)

    def test_names_and_passwords(self) -> None:
        """Names that would break the line, and passwords that are no secret or cannot be typed, are refused."""
        for user in ("", "a:b", "a b", "a\n", "é", "x" * 65):
            error = self.assertRaises(UsersError, set_password, self.path, user, PASSWORD)
            self.assertIn("a user's name", str(error))
        for password in ("", "short", "with a\x07 bell", "x" * 2000):
            error = self.assertRaises(UsersError, set_password, self.path, "alice", password)
            self.assertIn("at least 8 characters", str(error))
        self.assertFalse(os.path.exists(self.path))

    def test_mistakes(self) -> None:
        """What is wrong with a file is said with the line."""
        line = f"alice:{cheap(b'password')}\n"
        for text, said in (
            ("alice\n", ":1: a line is NAME:HASH"),
            (f"\n{line}{line}", ":3: alice is there twice"),
            (f"{line}bob:plain\n", ":2: what follows the name is no hash of b2bua passwd"),
            (b"\xff\xfe", ": is no text in UTF-8"),
        ):
            self.write(text)
            self.assertIn(f"{self.path}{said}", str(self.assertRaises(UsersError, read_users, self.path)))
        os.unlink(self.path)
        self.assertIn("no such file", str(self.assertRaises(UsersError, read_users, self.path)))
        self.assertIn("cannot be read", str(self.assertRaises(UsersError, read_users, "/")))

    def test_nobody(self) -> None:
        """A file without a user is worth a warning."""
        self.write("# nobody yet\n")
        self.assertIn("nobody can log in", "".join(warnings(self.path)))


class TestChecker(SynchronousTestCase):
    """The twisted.cred checker."""

    def setUp(self) -> None:
        """A file with one user."""
        self.path = self.mktemp()
        Path(self.path).write_text(f"alice:{cheap(PASSWORD.encode())}\n")
        self.checked: list[Hash] = []
        self.checker = UsersChecker(self.path, self.at_once)

    def at_once(self, function: Callable[..., bool], *arguments: Any) -> Deferred[bool]:
        """A thread that takes no time."""
        self.checked.append(function.__self__)  # type: ignore[attr-defined]
        return succeed(function(*arguments))

    def login(self, user: bytes, password: bytes) -> Deferred[bytes]:
        """Whether these are let in."""
        return self.checker.requestAvatarId(UsernamePassword(user, password))

    def test_right(self) -> None:
        """Who has the right password is who he says."""
        self.assertEqual(self.successResultOf(self.login(b"alice", PASSWORD.encode())), b"alice")

    def test_wrong(self) -> None:
        """Another password, another user, no name at all: nobody is let in, and one answer is as the other."""
        answers = set()
        attempts = ((b"alice", b"wrong"), (b"bob", PASSWORD.encode()), (b"", b""), (b"\xff", b"\xff"))
        for user, password in attempts:
            failure = self.failureResultOf(self.login(user, password), UnauthorizedLogin)
            answers.add(failure.getErrorMessage())
        self.assertEqual(len(answers), 1)

    def test_the_same_work_for_the_unknown(self) -> None:
        """A hash is computed for whoever comes, at the cost of the others' hashes: nothing to be seen by the clock."""
        for user in (b"alice", b"nobody"):
            self.failureResultOf(self.login(user, b"wrong"), UnauthorizedLogin)
        self.assertEqual([(each.ln, each.r, each.p) for each in self.checked], [(4, 8, 1)] * 2)
        Path(self.path).write_text("")
        self.failureResultOf(self.login(b"alice", b"wrong"), UnauthorizedLogin)
        self.assertIs(self.checked[-1], NOBODY)

    def test_one_at_a_time(self) -> None:
        """However many come at once, one password is checked at a time."""
        running: list[Deferred[bool]] = []

        def slow(function: object, *arguments: object) -> Deferred[bool]:
            running.append(Deferred())
            return running[-1]

        checker = UsersChecker(self.path, slow)
        logins = [checker.requestAvatarId(UsernamePassword(b"alice", b"x")) for _ in range(3)]
        for number in range(3):
            self.assertEqual(len(running), number + 1)
            running[number].callback(False)
            self.failureResultOf(logins[number], UnauthorizedLogin)

    def test_a_change_counts_at_once(self) -> None:
        """The file is read at each login."""
        Path(self.path).write_text(f"bob:{cheap(b'another one')}\n")
        self.failureResultOf(self.login(b"alice", PASSWORD.encode()), UnauthorizedLogin)
        self.assertEqual(self.successResultOf(self.login(b"bob", b"another one")), b"bob")

    def test_a_file_that_broke(self) -> None:
        """Nobody is let in by a file that cannot be read."""
        Path(self.path).write_text("alice:secret\n")
        self.failureResultOf(self.login(b"alice", b"secret"), UnauthorizedLogin)


def _cheap(made: type[Hash], password: bytes, salt: bytes, ln: int = 4) -> Hash:
    return made(ln, 8, 1, salt, passwords._scrypt(password, salt, ln, 8, 1, 32))
