"""The manhole: operators come in by telnet, and by SSH where the conch extra is installed, and find `Commands` there.

Who comes from another machine needs a password (`ops.passwords`); without one only a loopback address is opened.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.conch.telnet import ITelnetProtocol
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from b2bua.config import Configuration, Manhole, Mistake
from b2bua.ops.commands import Commands
from b2bua.ops.desk import Desk, Drain
from b2bua.ops.passwords import UsersChecker, UsersError, read_users
from b2bua.ops.passwords import warnings as user_warnings
from b2bua.ops.session import Session, Terminal
from b2bua.ops.tables import counted, span
from b2bua.ops.telnet import Bootstrap, Login, Telnet, Unasked, user_text
from b2bua.ops.trace import Tracer
from b2bua.policy.mistakes import NOTHING
from b2bua.sip.grammar import bracketed

if TYPE_CHECKING:
    from b2bua.service import Border

SESSIONS = 16  # at a time
LOGIN_TIME = 60.0  # seconds

GREETING = """\
b2bua manhole: {calls}, up {uptime}
calls()  show(id)  ladder(id)  hangup(id)  trace(id)  subscriptions()  transactions()  listeners()  explain(uri)
stats()  groups()  limits()  drain()  undrain()  help()  quit(): Ctrl-D too. TAB completes names and call ids."""


def mistakes(configuration: Configuration) -> list[Mistake]:
    """What is wrong with [manhole] beyond what the file itself shows: the users in it, and whether there is SSH."""
    manhole = configuration.manhole
    if manhole is None:
        return []
    found = []
    if manhole.users:
        try:
            read_users(manhole.users)
        except UsersError as error:
            found.append(Mistake(configuration.path, "manhole.users", manhole.users, str(error)))
    elif not ip_address(manhole.address).is_loopback or manhole.ssh_port:
        found.append(Mistake(configuration.path, "manhole.users", NOTHING, "missing: make the file with b2bua passwd"))
    if manhole.ssh_port:
        try:
            import b2bua.ops.ssh  # noqa: F401 - whether it can be imported
        except ImportError as error:
            message = f"SSH needs the extra: pip install 'b2bua[conch]' ({error})"
            found.append(Mistake(configuration.path, "manhole.ssh_port", manhole.ssh_port, message))
    return found


def warnings(configuration: Configuration) -> list[str]:
    """What works in [manhole], but should be known of."""
    manhole = configuration.manhole
    if manhole is None:
        return []
    found = user_warnings(manhole.users) if manhole.users else []
    if manhole.port and not manhole.users:
        found.append("manhole: no password is asked for: whoever can connect runs code as the bridge")
    if manhole.port and not ip_address(manhole.address).is_loopback:
        found.append(f"manhole: telnet to {manhole.address} is not encrypted: who listens on the way has the passwords")
    return found


class ManholeService(Service):
    """The manhole of a running border."""

    log = Logger()

    def __init__(self, border: Border, settings: Manhole, reactor: Any) -> None:
        board, hall = border.switchboard, border.hall
        as_json = border.configuration.log.format == "json"
        tracer = Tracer(board, hall.book, time.time, as_json)
        self.desk = Desk(border, tracer, Drain(hall, border.stop), reactor.seconds())
        self.sessions: set[Session] = set()
        self._settings = settings
        self._reactor = reactor
        self._connections: set[Any] = set()
        self._ports: list[Any] = []
        self._checker = UsersChecker(settings.users, self._threads) if settings.users else None

    def _threads(self, function: Callable[..., bool], *arguments: Any) -> Deferred[bool]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)

    def privilegedStartService(self) -> None:
        """Bind, together with the listeners."""
        settings = self._settings
        factories: list[tuple[int, Any]] = []
        if settings.port:
            factories.append((settings.port, _Factory(self)))
        if settings.ssh_port and self._checker is not None:
            from b2bua.ops.ssh import ssh_factory

            factories.append((settings.ssh_port, ssh_factory(self, self._checker, settings.users)))
        for port, factory in factories:
            try:
                self._ports.append(self._reactor.listenTCP(port, factory, 5, settings.address))
            except CannotListenError as error:
                why = getattr(error.socketError, "strerror", None) or error.socketError
                place = f"{bracketed(settings.address)}:{port}"
                sys.stderr.write(f"b2bua: manhole: cannot listen on {place}: {why}\n")
                raise SystemExit(1)

    def startService(self) -> None:
        """Say how to come in."""
        if not self._ports:
            self.privilegedStartService()
        super().startService()
        settings = self._settings
        for text in warnings(self.desk.border.configuration):
            self.log.warn("{caution}", caution=text)
        login = "" if settings.users else ", without a password"
        if settings.port:
            self.log.info("manhole: telnet {address} {port}{login}; then help()", address=settings.address,
                          port=settings.port, login=login)  # fmt: skip
        if settings.ssh_port:
            self.log.info("manhole: ssh -p {port} USER@{address}", address=settings.address, port=settings.ssh_port)

    def stopService(self) -> Deferred[list[Any]]:
        """Close the ports and every session."""
        super().stopService()
        for connection in list(self._connections):
            connection.abortConnection()
        closing = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports.clear()
        return gatherResults(closing)

    # Sessions

    def opened(self, connection: Any) -> bool:
        """A connection came; whether there is room for it."""
        if len(self._connections) >= SESSIONS:
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: Any) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def login_deadline(self, action: Callable[[], None]) -> Any:
        """Call `action` when it takes too long until somebody has logged in; it can be cancelled."""
        return self._reactor.callLater(LOGIN_TIME, action)

    def terminal(self, user: str) -> Terminal:
        """The end of one session's terminal; `user` is who has come in, "" where nobody had to say."""

        def commands(session: Session) -> Commands:
            self.sessions.add(session)
            return Commands(self.desk, session.say, session.later, lambda: session.width, session.leave, user)

        return Terminal(Session, commands, self._greeting(), self._gone)

    def _greeting(self) -> str:
        up = span(self._reactor.seconds() - self.desk.started)
        return GREETING.format(calls=counted(self.desk.drain.left, "call"), uptime=up)

    def _gone(self, session: Session) -> None:
        self.sessions.discard(session)
        self.desk.tracer.leave(session.later)

    # Telnet

    def telnet(self) -> Protocol:
        """The protocol of one telnet connection."""
        if self._checker is None:
            return Telnet(self, lambda: Unasked(self.terminal, self))
        realm: Any = _Realm(self)
        checker: Any = self._checker
        portal = Portal(realm, [checker])
        return Telnet(self, lambda: Login(portal, self))


class _Factory(ServerFactory):
    """Makes the protocols of telnet connections."""

    noisy = False

    def __init__(self, manhole: ManholeService) -> None:
        self._manhole = manhole

    def buildProtocol(self, addr: object) -> Protocol:
        return self._manhole.telnet()


@implementer(IRealm)
class _Realm:
    """What a user who has the right password gets."""

    def __init__(self, manhole: ManholeService) -> None:
        self._manhole = manhole

    def requestAvatar(self, avatarId: bytes, mind: object, *interfaces: Any) -> tuple[Any, Any, Callable[[], None]]:
        user = user_text(avatarId)
        return ITelnetProtocol, Bootstrap(self._manhole.terminal, user), lambda: None
