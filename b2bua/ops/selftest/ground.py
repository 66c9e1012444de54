"""Where scenarios are played: around a bridge of our own on loopback, or around one that runs already."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, globalLogPublisher

from b2bua.call.call import Phase
from b2bua.config import Configuration, load
from b2bua.net.kernel import KernelRoutes
from b2bua.net.names import Names
from b2bua.net.nameservers import Nameservers
from b2bua.net.resolver import Resolver
from b2bua.ops.explain import Question, explain
from b2bua.ops.log import CallLog
from b2bua.ops.phonelines import Lines, free_port
from b2bua.ops.selftest.scenario import PHONES, Scenario
from b2bua.ops.selftest.sockets import Carrier, Place, Surroundings
from b2bua.ops.selftest.stage import TEAMS, ZONES, configuration
from b2bua.ops.ways import Way
from b2bua.policy.interface import Kernel
from b2bua.service import Border, assemble
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Listener
from b2bua.sip.uri import parse_uri

SHORT = 0.05  # seconds: T1 of our own bridge for slow scenarios
_T1 = 0.5  # seconds, a ladder's
_LOOPBACK = {"alice": "127.0.0.3", "bob": "127.0.0.4", "carol": "127.0.0.5"}
_BRIDGE = {"public": "127.0.0.1", "private": "127.0.0.2"}


class CannotTest(Exception):
    """This bridge cannot be tested, and why; says what would help."""


class Ground:
    """Phones around a bridge. `absent` says of phones that cannot be there, and of groups, why."""

    def __init__(self, around: Surroundings, absent: Mapping[str, str]) -> None:
        self.around = around
        self.absent = absent

    def missing(self, scenario: Scenario) -> str:
        """Why a scenario cannot be played here; empty when it can."""
        for name in (*scenario.phones, *scenario.targets):
            if name in self.absent:
                return self.absent[name]
        streams = [name for name in scenario.phones if self.around.places[name].carrier.at.transport != "udp"]
        if streams and scenario.wired:
            return f"{streams[0]} is not called by UDP, and nothing else is lost on the way"
        return ""

    async def close(self) -> None:
        """Everything that it opened."""
        await self.around.lines.close()


class OwnGround(Ground):
    """Around a bridge of our own, into which one can look."""

    def __init__(self, reactor: Any, t1: float = _T1) -> None:
        lines = Lines(reactor)
        carriers = {name: lines.made(Carrier, name, "udp", host) for name, host in _LOOPBACK.items()}
        bridge = {zone: (host, free_port("udp", host)) for zone, host in _BRIDGE.items()}
        phones = {name: (each.at.address, each.at.port) for name, each in carriers.items()}
        with tempfile.TemporaryDirectory(prefix="b2bua-selftest-") as folder:
            file = Path(folder) / "selftest.toml"
            file.write_text(configuration(bridge, phones, t1))
            self.border = Border(load(str(file)), reactor)
        self._faults: list[str] = []
        globalLogPublisher.addObserver(cast(ILogObserver, self._observe))
        self.border.startService()
        places = {name: Place(ZONES[name], bridge[ZONES[name]], each) for name, each in carriers.items()}
        hosts = {
            zone: frozenset({_BRIDGE[zone], *(host for name, host in _LOOPBACK.items() if ZONES[name] == zone)})
            for zone in _BRIDGE
        }

        def uris(phone: str, user: str) -> str:
            host, port = bridge[ZONES[phone]]
            return f"sip:{user}@{host}:{port}"

        super().__init__(Surroundings(reactor, lines, places, hosts, uris, t1 / _T1, self._left), {})

    def _observe(self, event: Mapping[str, Any]) -> None:
        if "log_failure" in event:
            self._faults.append(event["log_failure"].getErrorMessage())

    def _left(self) -> list[str]:
        left = [
            f"a call is left: {call.phase.value}" for call in self.border.hall.book if call.phase is not Phase.ENDED
        ]
        return left + [f"a fault in the log: {fault}" for fault in self._faults]

    async def emptied(self) -> list[str]:
        """64·T1 and five seconds later: what is left, which is nothing."""
        await deferLater(self.around.reactor, self.border.configuration.timers.patience + 5)
        board, book = self.border.switchboard, self.border.hall.book
        left = [f"transaction {each.method} {each.state.name}" for each in board.transactions]
        left += [f"call {each.phase.value}" for each in book]
        return left + ([f"{book.legs} legs"] if book.legs else [])

    async def close(self) -> None:
        """The bridge too."""
        globalLogPublisher.removeObserver(cast(ILogObserver, self._observe))
        await self.border.stopService()
        await super().close()


async def ground_of(reactor: Any, given: Configuration, dialled: Mapping[str, str], name: str) -> Ground:
    """Phones around a bridge that runs with this configuration. `dialled` is what alice dials for each phone.

    `name` is the listener that alice calls, the first UDP one unless given. The rules of the configuration say where
    the bridge looks for bob, and there he is. CannotTest where that is not possible.
    """
    try:
        routes: KernelRoutes | None = KernelRoutes()
    except OSError:
        routes = None
    names = Names(Nameservers(reactor, given.dns).ask, reactor)
    lines = Lines(reactor)
    try:
        kernel = routes.lookup if routes is not None else None
        return await _Survey(reactor, given, dialled, kernel, names, lines).ground(name)
    except BaseException:
        await lines.close()
        raise
    finally:
        names.stop()
        if routes is not None:
            routes.close()


class _Survey:
    """Finds out where the phones of a running bridge must be."""

    def __init__(
        self, reactor: Any, given: Configuration, dialled: Mapping[str, str], kernel: Kernel | None, names: Names,
        lines: Lines,
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._given = given
        self._kernel = kernel
        self._lines = lines
        self._dialled = dialled
        self._board, _ = assemble(given, reactor, os.urandom, kernel, Resolver(names, reactor), CallLog())
        self._places: dict[str, Place] = {}
        self._absent: dict[str, str] = {}

    async def ground(self, name: str) -> Ground:
        """The phones, where they must be."""
        near = self._near(name)
        for phone in PHONES[1:]:
            await self._callee(phone, near)
        if "bob" not in self._places:
            raise CannotTest(self._absent["bob"])
        await self._caller(near)
        for team in TEAMS:
            self._absent[team] = f"no route of this configuration is known to lead to {team}"
        hosts = self._hosts()
        around = Surroundings(self._reactor, self._lines, self._places, hosts, self._uri, self._given.timers.t1 / _T1)
        return Ground(around, self._absent)

    def _near(self, name: str) -> Listener:
        """The listener that alice calls."""
        found = [each for each in self._given.listeners if name in ("", each.name) and each.transport != "tls"]
        if not found:
            asked = f"no listener {name} without TLS" if name else "no listener without TLS"
            raise CannotTest(f"{asked}; there are: {', '.join(each.name for each in self._given.listeners)}")
        return min(found, key=lambda each: each.transport != "udp")

    def _uri(self, phone: str, user: str) -> str:
        place = self._places[phone]
        dialled = parse_uri(self._dialled[user])
        return str(dialled) if phone == "alice" else f"sip:{dialled.user}@{bracketed(place.way[0])}:{place.way[1]}"

    async def _callee(self, phone: str, near: Listener) -> None:
        """Where the bridge looks for a phone that alice calls."""
        uri = self._dialled[phone]
        found = await explain(self._given, self._board, Question(uri, listener=near.name), self._kernel)
        way = next((hop.best for hop in found.hops if hop.best is not None), None)
        if way is None:
            self._absent[phone] = f"{uri} leads nowhere: {found.why or 'no next hop'}. {_hint(phone)}"
        else:
            self._listen(phone, way)

    def _listen(self, phone: str, way: Way) -> None:
        target, choice = way.target, way.choice
        assert choice is not None, "the best way has a listener"
        if target.transport == "tls":
            self._absent[phone] = f"{phone} is called by TLS, for which he has no certificate. {_hint(phone)}"
            return
        try:
            carrier = self._lines.made(Carrier, phone, target.transport, target.host, target.port)
        except (CannotListenError, OSError) as error:
            why = f"{bracketed(target.host)}:{target.port} ({target.transport})"
            error = getattr(error, "socketError", error)
            self._absent[phone] = f"{phone} cannot be at {why}, where his calls go: {error}. {_hint(phone)}"
            return
        self._places[phone] = Place(choice.listener.zone, (choice.listener.address, choice.listener.port), carrier)

    async def _caller(self, near: Listener) -> None:
        """alice is where the bridge looks for her; or anywhere, and then nobody can call her."""
        far = self._places["bob"]
        listener = next(each for each in self._given.listeners if (each.address, each.port) == far.way)
        question = Question(f"sip:{parse_uri(self._dialled['alice']).user}@{listener.sent_by}", listener=listener.name)
        found = await explain(self._given, self._board, question, self._kernel)
        way = next((hop.best for hop in found.hops if hop.best is not None), None)
        if way is not None and way.choice is not None and way.choice.listener.zone == near.zone:
            self._listen("alice", way)
        host = near.address
        if "alice" not in self._places:
            address = _source(near)
            self._places["alice"] = Place(
                near.zone, (host, near.port), self._lines.made(Carrier, "alice", near.transport, address)
            )
        self._places["alice"].way = (host, near.port)

    def _hosts(self) -> dict[str, frozenset[str]]:
        """What is of one side and of no other; nothing where hosts are shown to a side, or are those of both."""
        hosts: dict[str, set[str]] = {}
        for place in self._places.values():
            hosts.setdefault(place.zone, set()).update({place.way[0], place.carrier.at.address})
        shown = any(zone.keep_hosts for zone in self._given.zones.values())
        everyone = [host for each in hosts.values() for host in each]
        return {
            zone: frozenset() if shown else frozenset(host for host in each if everyone.count(host) == 1)
            for zone, each in hosts.items()
        }


def _source(near: Listener) -> str:
    """The address of this machine from which a listener is reached."""
    family = socket.AF_INET6 if near.family == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((near.address, near.port))
        address: str = probe.getsockname()[0]
        return address


def _hint(phone: str) -> str:
    return f"A route for the user selftest-{phone} must lead to an address of this machine: see b2bua(8)."
