"""A world without a network: the bridge, phones around it, the wires between them, and one clock.

    world = World()                                     # alice is in "public", bob in "private"
    talk = world.alice.invite("sip:bob@biloxi.example")
    world.ladder("alice> INVITE", "alice< 100 INVITE", "bob< INVITE")
    world.bob.says(200)
    world.ladder("bob> 200 INVITE", "bob< ACK", "alice< 200 INVITE", "alice> ACK")

Everything is real but sockets, time and chance: the configuration file as `twistd` would read it, policy script
included, so that an operator can try a policy of his own:

    world = World(Path("etc/b2bua.toml").read_text(), files={"policy.py": Path("etc/policy.py").read_text()})

`ladder` compares what passed since it was last asked: "alice> X" left alice, "alice< X" reached her, "alice| X" was
lost on its way to her. Phones do nothing unless told, but send again, acknowledge and take CANCEL as phones do.
Wires lose, delay and double what a rule of theirs says; a run with the same seed is the same run.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from b2bua.call.bindings import Binding
from b2bua.call.call import Call
from b2bua.config import Configuration, load
from b2bua.net.connections import Connections
from b2bua.net.development import make_development_certificate
from b2bua.net.names import Names
from b2bua.net.resolver import Resolver
from b2bua.net.transports.stream import Stream
from b2bua.net.wheel import Wheel
from b2bua.ops.phone import Dialog
from b2bua.policy.guard import Finding
from b2bua.policy.interface import KernelRoute
from b2bua.policy.media import Daemon
from b2bua.service import assemble
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request
from b2bua.sip.stream import PING, PONG
from b2bua.sip.tokens import Tokens
from b2bua.store import Store
from tests.carriage import Contexts, Packet, Pipe, Reactor, Socket, Transport, Wires
from tests.party import Party
from tests.zone import Zone

__all__ = ["TLS_TOO", "TWO_SIDES", "Journal", "Packet", "Party", "World", "read"]

AT_ONCE = 0.05  # seconds; what happens within them happens at once, and no timer of SIP's is as short

TWO_SIDES = """
[[zone]]
name = "public"
leaks = "refuse"
[[zone]]
name = "private"
leaks = "refuse"

[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "192.0.2.1"
port = 5060
[[listener]]
name = "public-tcp"
zone = "public"
transport = "tcp"
address = "192.0.2.1"
port = 5060
[[listener]]
name = "private-udp"
zone = "private"
transport = "udp"
address = "10.0.0.1"
port = 5060
[[listener]]
name = "private-tcp"
zone = "private"
transport = "tcp"
address = "10.0.0.1"
port = 5060

[[route]]
name = "inwards"
zone = "public"
to = "sip:10.0.0.20;transport=udp"
send_from = "private"
[[route]]
name = "outwards"
zone = "private"
to = "sip:192.0.2.20;transport=udp"
send_from = "public"
"""
TLS_TOO = """
[[listener]]
name = "public-tls"
zone = "public"
transport = "tls"
address = "192.0.2.1"
port = 5061
certificate = "tls/certificate.pem"
key = "tls/key.pem"
[[listener]]
name = "private-tls"
zone = "private"
transport = "tls"
address = "10.0.0.1"
port = 5061
certificate = "tls/certificate.pem"
key = "tls/key.pem"
"""


class Journal:
    """What the bridge told, one line each, in the words of the test."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.calls: list[Call] = []

    def started(self, call: Call) -> None:
        """The first INVITE left."""
        self.calls.append(call)
        self.lines.append(f"started by rule {call.rule}")

    def answered(self, call: Call) -> None:
        """The call is up."""
        self.lines.append("answered")

    def ended(self, call: Call) -> None:
        """The call is over."""
        self.lines.append(f"ended: {call.ending}")

    def fault(self, flow: Flow, fault: Malformed, what: str, answered: bool = False) -> None:
        """A peer broke a rule."""
        self.lines.append(f"fault of {flow.host} in {what}: {fault.reason}")

    def refused(self, request: Request, flow: Flow, status: int, why: str) -> None:
        """A request was refused."""
        self.lines.append(f"refused {request.method} with {status}: {why}")

    def member(self, group: str, uri: str, up: bool, why: str) -> None:
        """A member of a group rests, or is up again."""
        self.lines.append(f"{uri} of {group} {'is up again' if up else 'rests'}: {why}")

    def engine(self, name: str, daemon: Daemon, up: bool, why: str) -> None:
        """A daemon of a media engine answers again, or no more."""
        self.lines.append(f"{daemon} of {name} {'answers' if up else 'rests'}: {why}")

    def binding(self, binding: Binding, what: str) -> None:
        """Somebody is registered, or no more."""
        self.lines.append(f"{binding.aor} at {binding.contact}: {what}")

    def no_way(self, request: Request, why: str) -> None:
        """A next hop could not be reached."""
        self.lines.append(f"no way: {why}")

    def unproved(self, flow: Flow, realm: str, user: str, why: str) -> None:
        """Our credentials are not taken."""
        self.lines.append(f"credentials of {user} in {realm} for {flow.host}: {why}")

    def registered(self, aor: str, registrar: str, up: bool, why: str) -> None:
        """We are registered, or are not."""
        self.lines.append(f"{aor} is {'' if up else 'not '}registered at {registrar}: {why}")

    def leak(self, flow: Flow, message: str, finding: Finding, done: str) -> None:
        """A message named what is another zone's."""
        self.lines.append(f"leak to {flow.host}: {finding.kind} in {finding.header} of {message}: {done}")

    def script_failed(self, request: Request) -> None:
        """The policy raised."""
        self.lines.append("the script failed")

    def crashed(self, request: Request) -> None:
        """A fault of ours."""
        self.lines.append(f"crashed: {sys.exception()}")


class World:
    """The bridge and what is around it.

    `configuration` is the text of a configuration file, or a `Configuration`; `files` are what stands beside it, by
    name ("policy.py"); "tls/certificate.pem" and "tls/key.pem" are always there. `dns` is a zone file as in
    `tests.zone`, whose server takes `dns_delay` seconds. `kernel` answers for routes; without it every listener's
    own network (/24, /64) is on its link. `store` is where registrations last, `begin` what the clock shows at first.
    """

    def __init__(
        self,
        configuration: str | Configuration = TWO_SIDES,
        files: Mapping[str, str] | None = None,
        dns: str = "",
        seed: int = 1,
        kernel: Callable[[str], KernelRoute | None] | None = None,
        store: Store | None = None,
        begin: float = 0.0,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(begin)
        self.chance = random.Random(seed)
        self.tokens = Tokens(self.chance.randbytes)  # the phones'
        self.wheel = Wheel(self.clock)  # the phones'
        self.wires = Wires(self)
        self.journal = Journal()
        self.story: list[str] = []
        self.zone = Zone(dns)
        self.dns_delay = 0.0
        self.connecting: list[str] = []  # every connection that the bridge wanted: "tcp 10.0.0.20:5060"
        self.phones: list[Party] = []
        if isinstance(configuration, str):
            configuration = read(configuration, files or {})
        self.configuration = configuration
        reactor = Reactor(self)
        self.resolver = Resolver(Names(self._ask, self.clock, "/dev/null"), self.clock, self.chance.randrange)
        self.switchboard, self.hall = assemble(
            configuration,
            self.clock,
            random.Random(seed + 1).randbytes,
            kernel or self._on_the_link,
            self.resolver,
            self.journal,
            store,
        )
        if self.hall.registrar is not None:
            self.hall.registrar.begin()
        if self.hall.inside is not None:
            self.hall.inside.begin()
        self.connections = Connections(reactor, self.switchboard, Contexts())
        self.switchboard.connections = self.connections
        self.sockets = {each.name: Socket(self, each) for each in configuration.listeners if each.transport == "udp"}
        self.switchboard.sockets.update(self.sockets)
        self._port = 40000
        self.alice = self.phone("alice", "192.0.2.20")
        self.bob = self.phone("bob", "10.0.0.20")

    def phone(self, user: str, host: str, transport: str = "udp", port: int = 0, proxy: str = "") -> Party:
        """A phone at an address; `proxy` is the listener that it calls by, one on its own network unless given."""
        at = Listener(user, "", transport, host, port or (5061 if transport == "tls" else 5060))
        if proxy:
            listener = next(each for each in self.configuration.listeners if each.name == proxy)
        else:
            fitting = [each for each in self.configuration.listeners if each.transport == transport]
            near = [each for each in fitting if _on_one_link(each.address, host)]
            same = [each for each in fitting if each.family == at.family]
            listener = (near or same or list(self.configuration.listeners))[0]
        party = Party(self, user, at, listener)
        self.phones.append(party)
        return party

    def at(self, transport: str, host: str, port: int) -> Party | None:
        """The phone at an address."""
        for phone in self.phones:
            if (phone.at.transport, phone.at.address, phone.at.port) == (transport, host, port):
                return phone
        return None

    # Time

    def settle(self) -> None:
        """Let everything happen that happens at once."""
        self.wait(AT_ONCE)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = self.clock.seconds() + seconds
        while (soonest := self._soonest()) <= until:
            self.clock.advance(max(0.0, soonest - self.clock.seconds()))
        self.clock.advance(max(0.0, until - self.clock.seconds()))

    def _soonest(self) -> float:
        calls = cast("list[Any]", self.clock.getDelayedCalls())
        return min((call.getTime() for call in calls), default=float("inf"))

    def quiet(self) -> None:
        """64·T1 and five seconds later nothing is left: no transaction, no call, no leg, no timer of the bridge's."""
        self.wait(self.configuration.timers.patience + 5)
        left = [f"transaction {each.method} {each.state.name}" for each in self.switchboard.transactions]
        left += [f"call {each.phase.value}" for each in self.hall.book]
        left += [f"subscription to {each.event.package}" for each in self.hall.book.subscriptions.values()]
        if self.hall.book.legs:
            left.append(f"{self.hall.book.legs} legs")
        if self.switchboard.wheel:
            left.append(f"{len(self.switchboard.wheel)} timers")
        if left:
            raise AssertionError("left over: " + ", ".join(left))

    # What passed

    def note(self, packet: Packet, mark: str) -> None:
        """Remember a message for the ladder."""
        if packet.phone is not None and packet.data not in (PING, PONG):
            self.story.append(f"{packet.phone.user}{mark} {packet.label}")

    def ladder(self, *steps: str) -> None:
        """What passed since the last time is this, in this order; each step may hold several, with commas."""
        self.settle()
        wanted = [step.strip() for line in steps for step in line.split(",") if step.strip()]
        passed, self.story = self.story, []
        if passed != wanted:
            width = max(map(len, wanted + passed + ["wanted"]))
            rows = [f"{'wanted':{width}}  passed"]
            for at in range(max(len(wanted), len(passed))):
                left, right = (each[at] if at < len(each) else "" for each in (wanted, passed))
                rows.append(f"{left:{width}}  {right}{'' if left == right else '   <-'}")
            raise AssertionError("another ladder:\n" + "\n".join(rows) + "\n" + "\n".join(self.journal.lines))

    def forget(self) -> None:
        """Let everything happen and do not look at it."""
        self.settle()
        self.story.clear()

    # Short ways

    def call(
        self, caller: Party | None = None, callee: Party | None = None, uri: str = "sip:bob@biloxi.example"
    ) -> tuple[Dialog, Dialog]:
        """An answered call: the caller's dialog and the callee's."""
        caller, callee = caller or self.alice, callee or self.bob
        near = caller.invite(uri)
        self.settle()
        far = callee.talk
        callee.says(180)
        callee.says(200)
        self.forget()
        return near, far

    # The wires' other ends

    def deliver(self, packet: Packet) -> None:
        """A packet arrives."""
        phone = packet.phone
        if packet.pipe is not None:
            if packet.inward and not packet.pipe.phone.mute:
                self.note(packet, "<")
            packet.pipe.arrive(packet)
        elif not packet.inward:
            assert phone is not None
            self._to_bridge(packet, phone)
        elif phone is None or phone.mute:
            return
        elif phone.refusing:
            assert packet.listener is not None
            self.switchboard.unreachable(packet.listener, packet.host, packet.port)
        else:
            self.note(packet, "<")
            sender = packet.listener
            assert sender is not None
            phone.receive(packet.data, Flow(phone.at, sender.address, sender.port, None, sender.address))

    def _to_bridge(self, packet: Packet, phone: Party) -> None:
        for listener in self.configuration.listeners:
            if (listener.transport, listener.address, listener.port) == ("udp", packet.host, packet.port):
                self.switchboard.received(packet.data, Flow(listener, phone.at.address, phone.at.port))

    def connect(self, phone: Party, host: str, port: int) -> Pipe:
        """A phone connects to the bridge; to its listening port where a connection that the bridge made is gone."""
        there = [
            each
            for each in self.configuration.listeners
            if (each.transport, each.address) == (phone.at.transport, host)
        ]
        listener = next((each for each in there if each.port == port), there[0])
        self._port += 1
        stream = self.connections.accept(listener, phone.at.address, self._port)
        assert stream is not None
        return self.join(phone, stream, host, listener.port)

    def join(self, phone: Party, stream: Stream, host: str, port: int) -> Pipe:
        """Make a connection of two ends."""
        pipe = Pipe(self, phone, stream, host, port)
        stream.makeConnection(cast(Any, Transport(pipe)))
        return pipe

    def _ask(self, name: str, kind: int) -> Deferred[Any]:
        if not self.dns_delay:
            return self.zone.wire(name, kind)
        later: Deferred[Any] = Deferred()
        self.clock.callLater(self.dns_delay, lambda: self.zone.wire(name, kind).chainDeferred(later))
        return later

    def _on_the_link(self, host: str) -> KernelRoute | None:
        for listener in self.configuration.listeners:
            if _on_one_link(listener.address, host):
                return KernelRoute(listener.address, listener.zone)
        return None


def read(text: str, files: Mapping[str, str]) -> Configuration:
    """The configuration that `text` is; `files` stand beside it, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "certificate" in text:
            make_development_certificate(folder / "tls")
        for file, content in files.items():
            (folder / file).write_text(content)
        path = folder / "b2bua.toml"
        path.write_text(text)
        return load(str(path), {})


def _on_one_link(ours: str, theirs: str) -> bool:
    if (":" in ours) != (":" in theirs):
        return False
    return ip_address(theirs) in ip_network(f"{ours}/{64 if ':' in ours else 24}", strict=False)
