"""Telnet (RFC 854) to the manhole: the connection, the login, and the terminal behind it.

Twisted's own protocols, made to bear peers who negotiate nothing, or who do not speak telnet at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.conch.telnet import (
    ECHO,
    IP,
    NAWS,
    SGA,
    AuthenticatingTelnetProtocol,
    ITelnetProtocol,
    OptionRefused,
    TelnetBootstrapProtocol,
    TelnetTransport,
)
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from b2bua.ops.session import Terminal

if TYPE_CHECKING:
    from b2bua.ops.manhole import ManholeService

TRIES = 3  # passwords for one connection

_NEWLINE = re.compile(rb"(?<!\r)\n")
_HTTP = re.compile(rb"[A-Z]+ \S+ HTTP/")
_INTERRUPT = b"\x03"


class Telnet(TelnetTransport):
    """A telnet connection (RFC 854)."""

    log = Logger()
    transport: Any

    def __init__(self, manhole: ManholeService, protocol: Callable[[], Any]) -> None:
        super().__init__(protocol)
        self._manhole = manhole
        self._silent = True  # the peer

    def connectionMade(self) -> None:
        if not self._manhole.opened(self.transport):
            self.transport.write(b"b2bua: too many sessions\r\n")
            self.transport.loseConnection()
            return
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._manhole.closed(self.transport)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self.protocol is None:
            return
        if self._silent and _HTTP.match(data):
            self.log.warn("manhole: {peer} speaks HTTP: is it a browser?", peer=self.getPeer().host)
            self.abortConnection()
            return
        self._silent = False
        try:
            super().dataReceived(data)
        except Exception as error:  # noqa: BLE001 - Twisted raises for a command it does not know; ports are scanned
            self.log.warn("manhole: {peer} does not speak telnet: {error}", peer=self.getPeer().host, error=str(error))
            self.abortConnection()

    def abortConnection(self) -> None:
        """Close at once; nothing more is read."""
        self.transport.abortConnection()

    def write(self, data: bytes) -> None:
        self.transport.write(_NEWLINE.sub(b"\r\n", data).replace(b"\xff", b"\xff\xff"))


class Bootstrap(TelnetBootstrapProtocol):
    """After the login: character by character, with the terminal's size (RFC 857, 858, 1073)."""

    transport: Any
    protocol: Any

    def __init__(self, terminal: Callable[[str], Terminal], user: str) -> None:
        super().__init__(terminal, user)

    def connectionMade(self) -> None:
        self.transport.negotiationMap[NAWS] = self.telnet_NAWS
        for asked in self._ask():
            asked.addErrback(_not_minded)
        self._open()

    def _ask(self) -> tuple[Any, ...]:
        return self.transport.will(ECHO), self.transport.will(SGA), self.transport.do(NAWS)

    def _open(self) -> None:
        self.protocol = self.protocolFactory(*self.protocolArgs)
        self.protocol.makeConnection(self)

    def enableRemote(self, option: bytes) -> bool:
        return option in (NAWS, SGA)

    def disableLocal(self, option: bytes) -> None:
        """As the peer likes."""

    def disableRemote(self, option: bytes) -> None:
        """As the peer likes."""

    def unhandledCommand(self, command: bytes, argument: bytes | None) -> None:
        """An interrupt that the peer's telnet made a command of (RFC 854)."""
        if command == IP:
            self.protocol.dataReceived(_INTERRUPT)

    def write(self, data: bytes) -> None:
        self.transport.write(data)


class Unasked(Bootstrap):
    """Where there is no login, there is no terminal until the peer has answered a negotiation, before all else.

    A web page can make a browser connect to a loopback address and write lines of Python, but it always begins with a
    request and never answers.
    """

    log = Logger()

    def __init__(self, terminal: Callable[[str], Terminal], manhole: ManholeService) -> None:
        super().__init__(terminal, "")
        self._deadline = manhole.login_deadline(self._refuse)
        self._refused = False

    def connectionMade(self) -> None:
        self.transport.negotiationMap[NAWS] = self.telnet_NAWS
        for asked in self._ask():
            asked.addErrback(_refused_is_answered).addCallback(self._answered).addErrback(_not_minded)

    def _answered(self, _: object) -> None:
        if self.protocol is None and not self._refused:
            self._deadline.cancel()
            self._open()

    def dataReceived(self, data: bytes) -> None:
        if self.protocol is not None:
            super().dataReceived(data)
        elif not self._refused:
            self.log.warn("manhole: {peer} is no telnet client", peer=self.transport.getPeer().host)
            self._deadline.cancel()
            self._refuse()

    def _refuse(self) -> None:
        self._refused = True
        self.transport.abortConnection()

    def unhandledCommand(self, command: bytes, argument: bytes | None) -> None:
        """Means nothing without a terminal."""
        if self.protocol is not None:
            super().unhandledCommand(command, argument)

    def telnet_NAWS(self, data: list[bytes]) -> None:
        """The size is for a terminal."""
        if self.protocol is not None:
            super().telnet_NAWS(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._refused = True
        if self._deadline.active():
            self._deadline.cancel()
        super().connectionLost(reason)


class Login(AuthenticatingTelnetProtocol):
    """Asks for user and password, a few times."""

    log = Logger()
    transport: Any

    def __init__(self, portal: Portal, manhole: ManholeService) -> None:
        super().__init__(portal)
        self._left = TRIES
        self._deadline = manhole.login_deadline(self._too_late)

    def _too_late(self) -> None:
        self.transport.write(b"\nToo late.\n")
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Whatever the peer ends its lines with (RFC 854: CR LF or CR NUL, which telnet makes CR of)."""
        super().dataReceived(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))

    def enableLocal(self, option: bytes) -> bool:
        return option == ECHO

    def disableLocal(self, option: bytes) -> None:
        """As the peer likes."""

    def telnet_User(self, line: bytes) -> str:
        """The user's name; what is typed next is not shown."""
        self.username = line.strip()
        self.transport.will(ECHO).addErrback(_not_minded)
        self.transport.write(b"Password: ")
        return "Password"

    def telnet_Password(self, line: bytes) -> str:
        """The password."""
        asked = self.portal.login(UsernamePassword(self.username, line), None, ITelnetProtocol)
        asked.addCallbacks(self._cbLogin, self._ebLogin)
        return "Discard"

    def _cbLogin(self, ial: Any) -> None:
        if self.transport is None or self._deadline is None:
            return
        self._stop_clock()
        self.log.info("manhole: {user} came in from {peer}", user=user_text(self.username), peer=self.getPeer())
        self.transport.write(b"\n")
        super()._cbLogin(ial)

    def _ebLogin(self, failure: Failure) -> None:
        if self._deadline is None:
            return
        if not failure.check(UnauthorizedLogin):
            self.log.failure("manhole: a login could not be judged", failure)
        self.log.warn("manhole: refused {user} from {peer}", user=user_text(self.username), peer=self.getPeer())
        self._left -= 1
        self.transport.wont(ECHO).addErrback(_not_minded)
        self.transport.write(b"\nNo such user, or another password.\n")
        if self._left:
            self.transport.write(b"Username: ")
            self.state = "User"
        else:
            self.transport.loseConnection()

    def getPeer(self) -> str:
        """The address of whoever is there."""
        return str(self.transport.getPeer().host)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_clock()
        super().connectionLost(reason)

    def _stop_clock(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


def _refused_is_answered(failure: Failure) -> None:
    failure.trap(OptionRefused)  # anything else: the connection is gone


def _not_minded(failure: Failure) -> None:
    """The peer's telnet will not, or has already: it goes on all the same."""


def user_text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
