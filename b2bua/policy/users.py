"""Where the passwords of SIP users are: a file, a database, or the policy script. Never the password, always its HA1.

An HA1 (RFC 7616 3.4.2) stands for the password in one realm with one algorithm: who has it can register and call as
this user there, and nowhere else. It is as secret as the password.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from b2bua.policy.mistakes import NOTHING, ConfigurationError, Mistake, shown
from b2bua.sip.digest import ALGORITHMS, hashes_of

# Of an HA1, in hexadecimal digits.
LENGTHS = {algorithm: len(ha1) for algorithm, ha1 in hashes_of("", "", "").items()}
# What may stand in a line of the file, and in a quoted string without a backslash.
WORD = re.compile(r'[^\x00-\x1f\x7f-\x9f:"\\\u2028\u2029\ud800-\udfff]{1,128}')
_HEX = re.compile(r"[0-9A-Fa-f]+")

Key = tuple[str, str, str]  # user, realm, algorithm
Secret = str | None


class UsersFailed(Exception):
    """The source of users does not work now: it is the operator's."""


class Users(Protocol):
    """A source of HA1s."""

    def ha1(self, user: str, realm: str, algorithm: str) -> Secret | Awaitable[Secret]:
        """The HA1 in hexadecimal digits, None where there is none; UsersFailed, or whatever a script raises."""


class FileUsers:
    """A file with a line `user:realm:algorithm:HA1` for each, as `b2bua passwd --sip` writes it.

    It is read again when it has changed. A broken one is told of (`tell`), and what was read before counts on.
    """

    __slots__ = ("path", "tell", "_secrets", "_stamp")

    def __init__(self, path: str) -> None:
        """Raises ConfigurationError."""
        self.path = path
        self.tell: Callable[[str], None] = lambda _: None
        self._stamp = _stamp(path)
        self._secrets = read_secrets(path)

    def __len__(self) -> int:
        return len(self._secrets)

    def ha1(self, user: str, realm: str, algorithm: str) -> Secret:
        """The HA1 of a line."""
        stamp = _stamp(self.path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._secrets = read_secrets(self.path)
            except ConfigurationError as error:
                self.tell(f"the users stay as they were: {error}")
        return self._secrets.get((user, realm, algorithm))

    def without(self, realm: str, algorithms: tuple[str, ...]) -> list[str]:
        """Users of the realm who have no line for one of the algorithms: they cannot log in with it."""
        there = {user for user, theirs, _ in self._secrets if theirs == realm}
        return sorted(user for user in there if any((user, realm, each) not in self._secrets for each in algorithms))

    def lone(self, realm: str) -> bool:
        """Whether there is nobody in this realm."""
        return all(theirs != realm for _, theirs, _ in self._secrets)

    @property
    def exposed(self) -> bool:
        """Whether others on this machine can read or change the file."""
        return exposed(self.path)


def exposed(path: str) -> bool:
    """Whether others on this machine can read a file, or change it; its group may read it. OSError without one."""
    return bool(os.stat(path).st_mode & (stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH))


class DatabaseUsers:
    """A query to an SQLite database, which gives the HA1 in one column, for :user, :realm and :algorithm.

    It is asked for each request with credentials, and everything waits for it: it should have an index to answer from.
    A database that somebody else has locked is not waited for.
    """

    __slots__ = ("path", "query", "_connection")

    def __init__(self, path: str, query: str) -> None:
        """Raises UsersFailed where the query cannot be asked."""
        self.path = path
        self.query = query
        self._connection: sqlite3.Connection | None = None
        self.ha1("", "", "MD5")
        # Opened again by whoever asks first: a connection does not survive that a daemon forks.
        self.close()

    def close(self) -> None:
        """Let go of the database; the next question opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ha1(self, user: str, realm: str, algorithm: str) -> Secret:
        """What the query gives."""
        try:
            if self._connection is None:
                place = f"file:{quote(self.path)}?mode=ro"
                self._connection = sqlite3.connect(place, uri=True, timeout=0, check_same_thread=False)
            said = {"user": user, "realm": realm, "algorithm": algorithm}
            row = self._connection.execute(self.query, said).fetchone()
        except (sqlite3.Error, sqlite3.Warning) as error:
            self.close()
            raise UsersFailed(f"{self.path}: {error}")
        return None if row is None or row[0] is None else str(row[0])


class ScriptUsers:
    """A function of the policy script, `ha1(user, realm, algorithm)`, which may be a coroutine function."""

    __slots__ = ("ha1",)

    def __init__(self, ha1: Callable[[str, str, str], Secret | Awaitable[Secret]]) -> None:
        self.ha1 = ha1


def checked(said: object, algorithm: str) -> Secret:
    """An HA1 that a source gave, in lower case. Raises UsersFailed for what is none, without saying what it was."""
    if said is None:
        return None
    if not isinstance(said, str) or len(said) != LENGTHS[algorithm] or not _HEX.fullmatch(said):
        raise UsersFailed(f"what was given is no HA1 for {algorithm}: {LENGTHS[algorithm]} hexadecimal digits")
    return said.lower()


def read_secrets(path: str) -> dict[Key, str]:
    """The HA1s in a file. Raises ConfigurationError with each line that is wrong."""
    secrets: dict[Key, str] = {}
    mistakes: list[Mistake] = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fault = _take(line.strip(), secrets)
        if fault:
            mistakes.append(Mistake(path, "", NOTHING, fault, number))
    if mistakes:
        raise ConfigurationError(mistakes)
    return secrets


def _take(line: str, secrets: dict[Key, str]) -> str:
    """Put a line among the secrets; what is wrong with it where that cannot be, without its secret."""
    parts = line.split(":")
    if len(parts) != 4:
        return "a line is USER:REALM:ALGORITHM:HA1, as b2bua passwd --sip writes it"
    user, realm, algorithm, secret = parts
    if not WORD.fullmatch(user) or not WORD.fullmatch(realm):
        return "the user or the realm is empty, too long, or has a quotation mark, a backslash or a control character"
    if algorithm not in ALGORITHMS:
        return f"no such algorithm: {shown(algorithm)}; there are {', '.join(ALGORITHMS)}"
    if len(secret) != LENGTHS[algorithm] or not _HEX.fullmatch(secret):
        return f"an HA1 for {algorithm} is {LENGTHS[algorithm]} hexadecimal digits"
    if (user, realm, algorithm) in secrets:
        return f"{shown(user)} is there twice with {algorithm}"
    secrets[user, realm, algorithm] = secret.lower()
    return ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").split("\n")
    except FileNotFoundError:
        message = "no such file; b2bua passwd --sip makes it"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        message = "is no text in UTF-8"
    raise ConfigurationError([Mistake(path, "", NOTHING, message)])


def _stamp(path: str) -> tuple[int, int, int] | None:
    """What changes when the file does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
