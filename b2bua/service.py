"""The bridge as a Twisted service: `twistd -n b2bua etc/b2bua.toml`.

`assemble` puts the rooms together, with the clock, the entropy and the kernel as arguments; `Border` gives it sockets.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import IO, Any, cast

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.logfile import LogFile

from b2bua.call.anchoring import Anchors
from b2bua.call.bindings import Bindings
from b2bua.call.hall import Hall
from b2bua.call.lookup import names_of_ours
from b2bua.call.media import Engine
from b2bua.call.mid_registrar import MidRegistrar
from b2bua.call.pinging import Pinging
from b2bua.call.probing import Probing
from b2bua.call.registrar import Registrar
from b2bua.call.wire import Journal
from b2bua.config import Configuration, ConfigurationError
from b2bua.config.walls import uncovered, walls
from b2bua.media.engines import RtpEngine
from b2bua.media.relay import Relay
from b2bua.net.certificates import CertificateError, ClientContexts, ServerCertificates
from b2bua.net.connections import Connections
from b2bua.net.garbage import Garbage
from b2bua.net.kernel import KernelRoutes
from b2bua.net.leak_guard import LeakGuard
from b2bua.net.names import Names
from b2bua.net.nameservers import Nameservers
from b2bua.net.resolver import Resolver
from b2bua.net.switchboard import Switchboard
from b2bua.net.transports import tcp, tls
from b2bua.net.transports.udp import UdpSocket
from b2bua.net.wheel import Clock, Wheel
from b2bua.ops.check import read
from b2bua.ops.log import CallLog, LogObserver
from b2bua.ops.next_hops import NextHopWatch
from b2bua.policy.admission import Sources
from b2bua.policy.authentication import Authentication
from b2bua.policy.groups import Groups
from b2bua.policy.interface import Interfaces, Kernel
from b2bua.policy.media import RELAY, EngineSettings
from b2bua.policy.nonces import Nonces
from b2bua.policy.routing import Go
from b2bua.policy.users import FileUsers
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Listener
from b2bua.sip.tokens import Tokens
from b2bua.store import Store, open_store
from b2bua.store.memory import MemoryStore
from b2bua.transaction.machine import State

FAREWELL = 2.0  # seconds that BYEs may take when the bridge stops
WAITING = frozenset({State.CALLING, State.HELD, State.TRYING, State.PROCEEDING})


def assemble(
    configuration: Configuration,
    clock: Clock,
    entropy: Callable[[int], bytes],
    kernel: Kernel | None,
    resolver: Resolver,
    journal: Journal,
    store: Store | None = None,
    engines: Mapping[str, Engine] | None = None,
) -> tuple[Switchboard, Hall]:
    """The rooms, put together, without a socket yet.

    Without a `store` nothing outlives them; without `engines` media goes past them, whatever the configuration says.
    """
    tokens = Tokens(entropy)
    groups = Groups(configuration.groups.values(), tokens.below)
    groups.tell = lambda health, up, why: journal.member(health.group.name, str(health.member.uri), up, why)
    switchboard = Switchboard(
        Wheel(clock),
        configuration.timers,
        tokens,
        Interfaces(configuration.listeners, configuration.networks),
        kernel,
        resolver,
        journal,
    )
    hall = Hall(
        switchboard,
        journal,
        configuration.zones,
        configuration.hiding_tables(),
        configuration.rules,
        configuration.script,
        configuration.call,
        groups,
        configuration.accounts,
        configuration.registrations,
    )
    switchboard.hall = hall
    registrar = configuration.registrar
    if (realm := configuration.authentication) is not None:
        ours = names_of_ours(configuration.listeners, registrar.domains if registrar is not None else ())
        hall.ask_for_credentials(Authentication(realm, Nonces(entropy(32), tokens.word, realm.nonce_life), ours))
    if registrar is not None:
        bindings = Bindings(store or MemoryStore())
        hall.lookup = hall.registrar = Registrar(hall, bindings, registrar)
        if any(rule.asks_for("REGISTER") and isinstance(rule.answer, Go) for rule in configuration.rules):
            hall.inside = MidRegistrar(hall, bindings, registrar)
    if engines:
        hall.media = Anchors(hall, configuration.media.anchoring, engines, configuration.media.silence)
    if groups:
        switchboard.locating.groups = groups
    if configuration.source_rate:
        switchboard.sources = Sources(configuration.source_rate)
    switchboard.product = configuration.user_agent
    if around := walls(configuration):
        modes = {name: zone.leaks for name, zone in configuration.zones.items()}
        switchboard.guard = LeakGuard(around, modes, uncovered(configuration), hall.book.elsewhere, journal)
    return switchboard, hall


class Border(Service):
    """The bridge with its sockets."""

    log = Logger(namespace="b2bua")

    def __init__(self, configuration: Configuration, reactor: Any, journal: Journal | None = None) -> None:
        self.configuration = configuration
        self.routes = _kernel_routes(reactor)
        self.names = Names(Nameservers(reactor, configuration.dns).ask, reactor)
        self.resolver = Resolver(self.names, reactor)
        self.certificates = {name: ServerCertificates(files) for name, files in configuration.tls_files.items()}
        self.contexts = {
            name: ClientContexts(configuration.tls.ca, configuration.tls.verify, files.default)
            for name, files in configuration.tls_files.items()
        }
        self.store = open_store(configuration.store) if configuration.store else None
        kernel = self.routes.lookup if self.routes is not None else None
        journal = journal or CallLog()
        self.relay, self.rtpengines = _engines(configuration, reactor, journal)
        self.engines: dict[str, Engine] = {each.name: each for each in self.rtpengines}
        if self.relay is not None:
            self.engines[RELAY] = self.relay
        self.switchboard, self.hall = assemble(
            configuration,
            reactor,
            os.urandom,
            kernel,
            self.resolver,
            journal,
            self.store,
            self.engines,
        )
        if self.switchboard.guard is not None:
            self.switchboard.guard.later = self.switchboard.wheel.after
        self.connections = Connections(reactor, self.switchboard, self.contexts)
        self.switchboard.connections = self.connections
        if (realm := configuration.authentication) is not None and isinstance(realm.users, FileUsers):
            realm.users.tell = lambda fault: self.log.error("{fault}", fault=fault)
        self.next_hops = NextHopWatch(
            self.switchboard, configuration.rules, configuration.groups, configuration.registrations
        )
        self.probing = Probing(self.hall, self.hall.groups)
        self.pinging: Pinging | None = None
        if (registrar := self.hall.registrar) is not None:
            self.pinging = Pinging(self.hall, registrar.bindings, registrar.terms.nat_ping)
        self._reactor = reactor
        self._ports: list[Any] = []
        self._hurried = False

    def privilegedStartService(self) -> None:
        """Bind every listener: all of them, or none."""
        _take_descriptors()
        switchboard, reactor = self.switchboard, self._reactor
        try:
            for listener in self.configuration.listeners:
                if listener.transport == "udp":
                    socket = UdpSocket(listener, switchboard.received, switchboard.unreachable, reactor)
                    socket.startListening()
                    switchboard.sockets[listener.name] = socket
                    self._ports.append(socket)
                elif listener.transport == "tcp":
                    self._ports.append(tcp.listen(reactor, listener, self.connections))
                else:
                    certificates = self.certificates[listener.name]
                    self._ports.append(tls.listen(reactor, listener, self.connections, certificates))
        except CannotListenError as error:
            why = getattr(error.socketError, "strerror", None) or error.socketError
            sys.stderr.write(f"b2bua: listener {listener.name}: cannot listen on {_bound(listener)}: {why}\n")
            for port in self._ports:
                port.stopListening()
            raise SystemExit(1)

    def startService(self) -> None:
        """Say what is open."""
        if not self._ports:
            self.privilegedStartService()
        super().startService()
        if self.hall.registrar is not None:
            self._restore(self.hall.registrar)
        for warning in (*self.configuration.warnings, *self._certificate_warnings()):
            self.log.warn("{caution}", caution=str(warning))
        for listener in self.configuration.listeners:
            self.log.info(
                "listening: {name} ({zone}) {transport} {address}",
                name=listener.name,
                zone=listener.zone,
                transport=listener.transport,
                address=_bound(listener),
            )
        self.next_hops.look()
        self.probing.start()
        for engine in self.rtpengines:
            engine.start()
        if self.pinging is not None:
            self.pinging.start()
        if self.hall.enrolments is not None:
            self.hall.enrolments.start()
        if self.routes is not None:
            self.routes.on_change.append(self.next_hops.look)

    def _restore(self, registrar: Registrar) -> None:
        """Whoever was registered still is."""
        begun = self._reactor.seconds()
        gc.disable()  # it would walk through all that is there already, again and again, and find nothing
        try:
            registrar.begin()
            if self.hall.inside is not None:
                self.hall.inside.begin()
        except OSError as error:
            sys.stderr.write(f"b2bua: the registrations cannot be read: {error}\n")
            raise SystemExit(1)
        finally:
            gc.enable()
        if count := len(registrar.bindings):
            seconds = self._reactor.seconds() - begun
            self.log.info("registrations read: {count} in {seconds:.1f} s", count=count, seconds=seconds)

    def _certificate_warnings(self) -> list[str]:
        """Each once, however many listeners show the same certificate."""
        found = [warning for each in self.certificates.values() for warning in each.warnings]
        found += [warning for each in self.contexts.values() for warning in each.warnings]
        return list(dict.fromkeys(found))

    def idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not (len(self.switchboard.transactions) or len(self.hall.book))

    def reload(self) -> None:
        """Read the certificates anew (SIGHUP, S51); connections that stand are not touched."""
        for name, certificates in self.certificates.items():
            try:
                certificates.reload()
                self.contexts[name].reload()
            except CertificateError as error:
                self.log.error("certificates of {listener} stay as they were: {error}", listener=name, error=str(error))
        for warning in self._certificate_warnings():
            self.log.warn("{caution}", caution=warning)
        self.log.info("certificates read anew")

    def stop(self) -> None:
        """End the process in good order; asked a second time, without waiting for anybody's answer."""
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            self._hurried = True

    def stopService(self) -> Deferred[Any]:
        """End every call with BYE on both sides, wait a little for the answers, and close."""
        super().stopService()
        self.probing.stop()
        if self.pinging is not None:
            self.pinging.stop()
        if self.hall.enrolments is not None:
            self.hall.enrolments.stop()
        self.hall.draining = True
        self.hall.hang_up_all("the bridge is stopping")
        done: Deferred[None] = Deferred()
        self._farewell(self._reactor.seconds() + FAREWELL, done)
        return done.addCallback(lambda _: self._close())

    def _farewell(self, until: float, done: Deferred[None]) -> None:
        waiting = any(each.state in WAITING for each in self.switchboard.transactions)
        if waiting and not self._hurried and self._reactor.seconds() < until:
            self._reactor.callLater(0.05, self._farewell, until, done)
        else:
            done.callback(None)

    def _close(self) -> Deferred[Any]:
        self.connections.close()
        for engine in self.rtpengines:
            engine.stop()
        if self.relay is not None:
            self.relay.close()
        if self.switchboard.guard is not None:
            self.switchboard.guard.look()
        self.switchboard.wheel.stop()
        closing = [maybeDeferred(port.stopListening) for port in self._ports]
        if self.store is not None:
            closing.append(self.store.close())
        self._ports.clear()
        self.names.stop()
        if self.routes is not None:
            self.routes.close()
        return gatherResults(closing)


def _engines(
    configuration: Configuration, reactor: Any, journal: Journal
) -> tuple[Relay | None, list[RtpEngine]]:
    """Who can carry media: the relay and every [[engine]]; nobody, where nobody may be asked to."""
    if not configuration.anchors:
        return None, []
    tokens = Tokens(os.urandom)

    def made(each: EngineSettings) -> RtpEngine:
        tell = partial(journal.engine, each.name)
        return RtpEngine(each.name, each.daemons, reactor, tokens, each.interfaces, each.patience, each.ping, tell)

    ours = {
        place
        for each in configuration.listeners
        for place in ((each.address, each.port), (each.media_address, each.advertise_port or each.port))
    }
    relay = Relay(reactor, *configuration.media.ports, tokens.below, ours)
    return relay, list(map(made, configuration.media.engines))


def _take_descriptors() -> None:
    """Open as many files as the system lets us: a connection is one, a medium that the relay carries is four."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # some systems say "no limit" and mean one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _bound(listener: Listener) -> str:
    return f"{bracketed(listener.address)}:{listener.port}"


def _kernel_routes(reactor: Any) -> KernelRoutes | None:
    try:
        return KernelRoutes(reactor)
    except OSError as error:
        Border.log.warn("the kernel's routes cannot be read: {error}; automatic interface choice refuses", error=error)
        return None


class Options(usage.Options):
    """What stands behind `twistd b2bua`."""

    synopsis = "CONFIG"
    longdesc = "Carries SIP calls between networks and hides each from the other. CONFIG is a file as in b2bua.toml(5)."

    def parseArgs(self, config: str) -> None:  # type: ignore[override]  # usage.Options takes them by number
        self["config"] = config

    def postOptions(self) -> None:
        """Every mistake is said here, before anything is bound."""
        try:
            self["configuration"] = read(self["config"])
        except ConfigurationError as error:
            count = len(error.mistakes)
            raise usage.UsageError(f"{count} mistake{'s' if count > 1 else ''} in the configuration:\n{error}")


class Bridge(MultiService):
    """The whole tree: the border and the manhole."""

    def __init__(self, configuration: Configuration, parent: Any) -> None:
        super().__init__()
        self._observer = LogObserver(_log_stream(parent), configuration.log.format, configuration.log.level)

    def setServiceParent(self, parent: Any) -> None:
        if hasattr(parent, "setComponent"):  # the application: its log is ours, where and how twistd was told
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)


def _log_stream(parent: Any) -> Callable[[], IO[str]]:
    """Where twistd was told to log: its --logfile, or standard output."""
    path = (parent or {}).get("logfile")
    if not path or path == "-":
        return lambda: sys.__stdout__ or sys.stderr
    file: Any = LogFile.fromFullPath(path, rotateLength=None)
    return lambda: file


def makeService(options: Options) -> MultiService:
    """The service that twistd runs."""
    from twisted.internet import reactor

    configuration, loop = options["configuration"], cast(Any, reactor)
    bridge = Bridge(configuration, options.parent)
    journal = CallLog(loop.callLater)
    loop.addSystemEventTrigger("after", "shutdown", journal.flush)
    border = Border(configuration, loop, journal)
    border.setServiceParent(bridge)
    if configuration.manhole is not None:
        from b2bua.ops.manhole import ManholeService

        ManholeService(border, configuration.manhole, loop).setServiceParent(bridge)
    Garbage(loop, border.idle).setServiceParent(bridge)  # last: what is there by then stays
    loop.callWhenRunning(_obey_signals, border, loop)
    return bridge


def _obey_signals(border: Border, loop: Any) -> None:
    """SIGINT and SIGTERM end the bridge with BYEs, a second one without waiting; SIGHUP reads the certificates anew."""
    for number, action in ((signal.SIGINT, border.stop), (signal.SIGTERM, border.stop), (signal.SIGHUP, border.reload)):
        signal.signal(number, partial(_from_outside, loop, action))


def _from_outside(loop: Any, action: Callable[[], None], number: int, frame: object) -> None:
    """A signal may come in the middle of anything: what it asks for is done by the reactor."""
    loop.callFromThread(action)
