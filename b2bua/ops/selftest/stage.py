"""What a scenario is played on: phones, wires, a clock, and a bridge between them that is a world's or a real one.

Seconds here are a ladder's, in which T1 is 0.5: a bridge whose T1 is shorter is played with in proportion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from b2bua.ops.selftest.actor import Actor
from b2bua.ops.selftest.wires import Wires, label_of
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Flow

# The bridge that a scenario expects: alice is on one side, bob and carol are on the other.
CONFIGURATION = """\
[[zone]]
name = "public"

[[zone]]
name = "private"

[[listener]]
name = "public"
zone = "public"
transport = "udp"
address = "{public}"
port = {public_port}

[[listener]]
name = "private"
zone = "private"
transport = "udp"
address = "{private}"
port = {private_port}

[timers]
t1 = {t1}
t2 = {t2}
t4 = {t4}
"""
_ROUTE = """
[[route]]
name = "{user}"
user = "{user}"
to = [{to}]
send_from = "{zone}"
"""
# Whom one can call besides the phones themselves: who is behind it, and how the route carries it.
TEAMS: dict[str, tuple[tuple[str, ...], str]] = {
    "everybody": (("bob", "carol"), 'hunt = "parallel"\n'),
    "somebody": (("bob", "carol"), 'hunt = "serial"\ngo_on = [408, 480, 486, 503]\n'),
    "wanderer": (("bob",), 'redirect = "follow"\n'),
    "secretary": (("bob",), 'refer = "local"\n'),
}
ZONES = {"alice": "public", "bob": "private", "carol": "private"}


def configuration(bridge: Mapping[str, tuple[str, int]], phones: Mapping[str, tuple[str, int]], t1: float = 0.5) -> str:
    """The text of a configuration for a bridge at these addresses (by zone), with these phones around it."""
    (public, public_port), (private, private_port) = bridge["public"], bridge["private"]
    text = CONFIGURATION.format(
        public=public, public_port=public_port, private=private, private_port=private_port, t1=t1, t2=8 * t1, t4=10 * t1
    )
    groups = {name: ((name,), "") for name in phones} | TEAMS
    for user, (members, more) in groups.items():
        places = [phones[name] for name in members]
        to = ", ".join(f'"sip:{bracketed(host)}:{port};transport=udp"' for host, port in places)
        text += _ROUTE.format(user=user, to=to, zone=ZONES[members[0]]) + more
    return text


@dataclass(slots=True)
class Passed:
    """One message between a phone and the bridge. `inward` is towards the phone."""

    at: float
    phone: str
    inward: bool
    data: bytes
    lost: bool = False

    @property
    def label(self) -> str:
        """What it is, as ladders call it."""
        return label_of(self.data)


class Stage(ABC):
    """One scenario's. `zones` says on which side each phone is; `hosts` what belongs to a side and to no other."""

    def __init__(self, seed: int, zones: Mapping[str, str], hosts: Mapping[str, frozenset[str]]) -> None:
        self.actors: dict[str, Actor] = {}
        self.zones = zones
        self.hosts = hosts
        self.passed: list[Passed] = []
        self.wires = Wires(self, Random(seed))

    @abstractmethod
    def now(self) -> float:
        """The time."""

    @abstractmethod
    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` later."""

    @abstractmethod
    async def wait(self, seconds: float) -> None:
        """Let time pass."""

    @abstractmethod
    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until a condition holds that depends on what comes; False when it does not come to hold."""

    @abstractmethod
    async def rest(self) -> list[str]:
        """The play is over and the phones are polite: wait for what must end, and say what has not."""

    def out(self, phone: str, data: bytes, put: Callable[[], None]) -> None:
        """A phone sends; `put` is how it would reach the bridge."""
        passed = Passed(self.now(), phone, False, data)
        self.passed.append(passed)
        passed.lost = not self.wires.carry(phone, False, data, put)

    def came(self, phone: str, data: bytes, flow: Flow) -> None:
        """The bridge sent something to a phone."""

        def deliver() -> None:
            self.passed.append(Passed(self.now(), phone, True, data))
            self.actors[phone].receive(data, flow)
            self.noticed()

        if not self.wires.carry(phone, True, data, deliver):
            self.passed.append(Passed(self.now(), phone, True, data, True))

    @abstractmethod
    def noticed(self) -> None:
        """Something came: whoever waits may look again."""
