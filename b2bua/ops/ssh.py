"""The manhole over SSH. Importing this needs the extra `conch`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.conch.interfaces import IConchUser
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, Key
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.cred.portal import Portal
from twisted.logger import Logger
from twisted.python.failure import Failure

from b2bua.ops.passwords import UsersChecker

if TYPE_CHECKING:
    from b2bua.ops.manhole import ManholeService

HOST_KEY = "ssh_host_key"  # beside the users' file

_log = Logger(namespace="b2bua")


def ssh_factory(manhole: ManholeService, checker: UsersChecker, users: str) -> Any:
    """The factory of SSH connections."""
    realm: Any = _Realm(manhole)
    passwords: Any = checker
    factory: Any = _Factory(Portal(realm, [passwords]), manhole)
    key = host_key(Path(users).parent / HOST_KEY)
    factory.publicKeys = {b"ssh-ed25519": key.public()}
    factory.privateKeys = {b"ssh-ed25519": key}
    return factory


def host_key(path: Path) -> Key:
    """The key by which clients know us: read, or made once and kept; where it cannot be kept, a new one each time."""
    try:
        kept: Key = Key.fromString(path.read_bytes())
        return kept
    except FileNotFoundError:
        pass
    except (OSError, BadKeyError, EncryptedKeyError) as error:
        _log.warn("manhole: the SSH host key {path} cannot be used ({error}): a new one for this time",
                  path=str(path), error=str(error))  # fmt: skip
        return Key(Ed25519PrivateKey.generate())
    made = Ed25519PrivateKey.generate()
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except OSError as error:
        _log.warn("manhole: the SSH host key {path} cannot be kept ({error}): clients will see another one next time",
                  path=str(path), error=error.strerror)  # fmt: skip
    return Key(made)


class _Connection(SSHServerTransport):
    """One SSH connection; who has not logged in in time is sent away."""

    transport: Any
    factory: Any
    _deadline: Any = None

    def connectionMade(self) -> None:
        if not self.factory.manhole.opened(self.transport):
            self.transport.abortConnection()
            return
        self._deadline = self.factory.manhole.login_deadline(self._look)
        super().connectionMade()

    def _look(self) -> None:
        if not hasattr(self, "avatar"):  # Twisted sets it at login
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.factory.manhole.closed(self.transport)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        super().connectionLost(reason)


class _Factory(ConchFactory):
    """Makes SSH connections."""

    noisy = False
    protocol = _Connection

    def __init__(self, portal: Portal, manhole: ManholeService) -> None:
        super().__init__(portal)
        self.manhole = manhole


class _Session(TerminalSession):
    """A shell that is our own; no command line, no subsystem."""

    height, width = 24, 0  # until the client asks for a terminal

    def windowChanged(self, newWindowSize: Any) -> None:
        """The client's terminal has another size now."""
        self.height, self.width = newWindowSize[:2]
        terminal = getattr(self, "terminal", None)
        if terminal is not None:
            terminal.terminalProtocol.terminalSize(self.width, self.height)

    def openShell(self, proto: Any) -> None:
        """The session begins."""
        self.terminal = self.chainedProtocolFactory()
        self.transportFactory(proto, self.terminal, IConchUser(self.original), self.width, self.height)

    def eofReceived(self) -> None:
        """The client says nothing more."""


class _Realm(TerminalRealm):
    """What a user who has the right password gets."""

    sessionFactory = _Session

    def __init__(self, manhole: ManholeService) -> None:
        super().__init__()
        self._manhole = manhole

    def _getAvatar(self, avatarId: bytes) -> Any:
        user = avatarId.decode("utf-8", "replace")
        _log.info("manhole: {user} came in by SSH", user=user)
        self.chainedProtocolFactory: Any = partial(self._manhole.terminal, user)
        return super()._getAvatar(avatarId)
