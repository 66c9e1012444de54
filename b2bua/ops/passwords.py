"""Who may use the manhole: a file of users and hashed passwords, made with `b2bua passwd`; and that of SIP users.

One user a line, `name:$scrypt$ln=15,r=8,p=1$salt$hash` (RFC 7914; salt and hash in base64 without padding). Empty lines
and lines that begin with # are passed over. The file is read at each login, so a change counts at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
import tempfile
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger
from zope.interface import implementer

from b2bua.policy.mistakes import ConfigurationError
from b2bua.policy.users import WORD, Key, exposed, read_secrets
from b2bua.sip.digest import hashes_of

SHORTEST = 8  # characters of a password
LONGEST = 1024  # octets

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")
_MOST_MEMORY = 256 << 20  # octets that one password may cost to check

Threads = Callable[..., "Deferred[bool]"]


class UsersError(Exception):
    """A users' file, a name or a password cannot be used. `file` and `line` (from 1) are empty or 0 where none is."""

    def __init__(self, reason: str, file: str = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if line else f"{file}: " if file else ""
        super().__init__(f"{place}{reason}")
        self.reason = reason
        self.file = file
        self.line = line


@dataclass(frozen=True, slots=True)
class Hash:
    """A hashed password with what it was hashed with: scrypt's N = 2**`ln`, `r` and `p`."""

    ln: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        return f"$scrypt$ln={self.ln},r={self.r},p={self.p}${_base64(self.salt)}${_base64(self.digest)}"

    @classmethod
    def of(cls, password: bytes, salt: bytes, ln: int = 15, r: int = 8, p: int = 1) -> Hash:
        """Hash a password. With the usual cost it takes 32 MiB and something like a tenth of a second."""
        return cls(ln, r, p, salt, _scrypt(password, salt, ln, r, p, 32))

    @classmethod
    def parse(cls, text: str) -> Hash:
        """What `str` of one gives. Raises UsersError."""
        found = _LINE.fullmatch(text)
        if found is None:
            raise UsersError("what follows the name is no hash of b2bua passwd")
        ln, r, p = (int(each) for each in found.groups()[:3])
        if not (1 <= ln and 1 <= r and 1 <= p <= 16 and 128 * r << ln <= _MOST_MEMORY):
            raise UsersError(f"ln={ln},r={r},p={p} is a cost that no password of ours has")
        try:
            salt, digest = (b64decode(each + "=" * (-len(each) % 4)) for each in found.groups()[3:])
        except NotBase64:
            raise UsersError("the hash is damaged")
        if len(digest) < 16:
            raise UsersError("the hash is too short")
        return cls(ln, r, p, salt, digest)

    def fits(self, password: bytes) -> bool:
        """Whether this is the password."""
        found = _scrypt(password, self.salt, self.ln, self.r, self.p, len(self.digest))
        return hmac.compare_digest(found, self.digest)


# Compared with where there is no such user, so that the answer takes as long.
NOBODY = Hash(15, 8, 1, b"nobody has this password", bytes(32))


def _scrypt(password: bytes, salt: bytes, ln: int, r: int, p: int, length: int) -> bytes:
    memory = (128 * r << ln) + 128 * r * (p + 2) + (1 << 20)  # OpenSSL counts a little more than RFC 7914
    return hashlib.scrypt(password, salt=salt, n=1 << ln, r=r, p=p, maxmem=memory, dklen=length)


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii").rstrip("=")


def read_users(path: str) -> dict[str, Hash]:
    """The users of a file. Raises UsersError with the line."""
    users: dict[str, Hash] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, rest = line.strip().partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise UsersError("a line is NAME:HASH, as b2bua passwd writes it", path, number)
        if name in users:
            raise UsersError(f"{name} is there twice", path, number)
        try:
            users[name] = Hash.parse(rest)
        except UsersError as error:
            raise UsersError(error.reason, path, number)
    return users


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise UsersError("no such file; b2bua passwd makes it", path)
    except OSError as error:
        raise UsersError(f"cannot be read: {error.strerror}", path)
    except UnicodeDecodeError:
        raise UsersError("is no text in UTF-8", path)


def warnings(path: str) -> list[str]:
    """What an operator should know of a users' file that can be used."""
    found = []
    if not read_users(path):
        found.append(f"{path}: there is no user in it: nobody can log in")
    if exposed(path):
        found.append(f"{path}: other users of this machine can read or change it: chmod 600 {path}")
    return found


def set_password(path: str, user: str, password: str, entropy: Callable[[int], bytes] = os.urandom) -> bool:
    """Write a user's password into a file, which is made if need be; whether the user is new. Raises UsersError.

    The other lines stay as they are. The file is replaced as a whole, or not at all. It has mode 0600; one that was
    there keeps its owner, and its group may read it if it could.
    """
    if not _NAME.fullmatch(user):
        raise UsersError(f"a user's name has up to 64 letters, digits and the signs . _ -; {user!r} has not")
    _check_password(password)
    there = os.path.exists(path)
    known = read_users(path) if there else {}
    line = f"{user}:{Hash.of(password.encode(), entropy(16))}"
    lines = [each for each in (_lines(path) if there else []) if each.partition(":")[0].strip() != user]
    _replace(path, "\n".join([*lines, line]) + "\n")
    return user not in known


def set_sip_password(path: str, user: str, realm: str, password: str) -> bool:
    """Write a SIP user's HA1s into a file (`policy.users`), as `set_password` does; whether the user is new there.

    There is one for each algorithm, so that the phone may choose. Raises UsersError.
    """
    for what, name in (("user", user), ("realm", realm)):
        if not WORD.fullmatch(name) or name != name.strip() or name[0] == "#":
            raise UsersError(f"{name!r} can be no {what}'s name: no colon, quotation mark, backslash or blank edge")
    _check_password(password)
    known: dict[Key, str] = {}
    lines: list[str] = []
    if os.path.exists(path):
        try:
            known = read_secrets(path)
        except ConfigurationError as error:
            raise UsersError(error.mistakes[0].message, path, error.mistakes[0].line)
        lines = Path(path).read_text("utf-8").rstrip("\n").split("\n")
    mine = (user, realm)
    lines = [each for each in lines if each.startswith("#") or tuple(each.strip().split(":")[:2]) != mine]
    lines += [f"{user}:{realm}:{algorithm}:{ha1}" for algorithm, ha1 in hashes_of(user, realm, password).items()]
    _replace(path, "\n".join(lines).lstrip("\n") + "\n")
    return all(key[:2] != mine for key in known)


def _check_password(password: str) -> None:
    if not password.isprintable() or len(password) < SHORTEST or len(password.encode()) > LONGEST:
        raise UsersError(f"a password has at least {SHORTEST} characters, none of them a control character")


def _replace(path: str, text: str) -> None:
    target = os.path.realpath(path)
    try:
        # mkstemp makes it with mode 0600
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(target)}.", dir=os.path.dirname(target))
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            with suppress(OSError):  # root writes it, the bridge reads it
                was = os.stat(target)
                os.chown(temporary, was.st_uid, was.st_gid)
                os.chmod(temporary, stat.S_IRUSR | stat.S_IWUSR | was.st_mode & stat.S_IRGRP)
            os.replace(temporary, target)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsersError(f"cannot be written: {error.strerror}", path)


@implementer(ICredentialsChecker)
class UsersChecker:
    """Lets in whom a users' file names (twisted.cred).

    A password costs time and memory to check: that is done in a thread (`threads` is like deferToThread), one at a
    time, so that calls go on meanwhile. Who is unknown waits as long as who is wrong.
    """

    credentialInterfaces = (IUsernamePassword,)
    log = Logger()

    def __init__(self, path: str, threads: Threads) -> None:
        self._path = path
        self._threads = threads
        self._one: Any = DeferredSemaphore(1)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes]:
        """The user's name; UnauthorizedLogin for whoever is unknown or has another password."""
        try:
            users = read_users(self._path)
        except UsersError as error:
            self.log.error("nobody can log in: {error}", error=str(error))
            users = {}
        name: bytes = credentials.username
        known = users.get(name.decode("utf-8", "replace"))
        # One of the file's own, where there is one: its cost may be another than ours.
        hashed = known or next(iter(users.values()), NOBODY)
        checked: Deferred[bool] = self._one.run(self._threads, hashed.fits, credentials.password[:LONGEST])

        def judge(fits: bool) -> bytes:
            if known is None or not fits:
                raise UnauthorizedLogin("no such user, or another password")
            return name

        return checked.addCallback(judge)
