"""Where media is anchored, as the configuration says: which engine carries it between two zones, and how.

`NONE`: media passes us by. `AUTO`: anchored where the two legs differ in zone or in family. `RELAY` is the built-in
relay; any other word is the name of an [[engine]].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from b2bua.policy.mistakes import among
from b2bua.sip.grammar import bracketed
from b2bua.sip.listener import Listener

NONE, AUTO, RELAY = "none", "auto", "relay"
RESERVED = frozenset({NONE, AUTO, RELAY})

Profile = Literal["", "plain", "srtp", "webrtc"]


@dataclass(frozen=True, slots=True)
class Anchoring:
    """What is said of media: `default`, by pair of zones in `between`, and, above both, by a route.

    `auto` is the engine that AUTO means. `profiles` are what the parties of a zone speak, by zone. `engines` are the
    names of every [[engine]].
    """

    default: str = NONE
    between: Mapping[frozenset[str], str] = field(default_factory=dict)
    auto: str = RELAY
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    engines: frozenset[str] = frozenset()

    def engine(self, near: Listener, far: Listener, route: str = "") -> str:
        """The name of the engine that carries media between two legs; empty where none does."""
        said = route or self.between.get(frozenset((near.zone, far.zone)), self.default)
        if said == AUTO:
            return self.auto if near.zone != far.zone or near.family != far.family else ""
        return "" if said == NONE else said

    def check(self, route: str) -> None:
        """LookupError where a route's word is no engine's; the rules' words have been checked, a script's have not."""
        if route and route not in RESERVED and route not in self.engines:
            raise LookupError(f"no media engine has the name {route}; {among((*self.engines, *RESERVED))}")

    def misfit(self, near: Listener, far: Listener, route: str = "") -> str:
        """Why what the parties on both sides speak cannot meet there; empty where it can, or nobody has said."""
        return misfit(self.engine(near, far, route), self.profiles.get(near.zone, ""), self.profiles.get(far.zone, ""))


def misfit(engine: str, one: Profile, other: Profile) -> str:
    """Why `engine`, empty for none, cannot stand between two profiles. Who has none speaks the other."""
    if engine == RELAY and "webrtc" in (one, other):
        return "the relay does not speak ICE"
    if one == other or not (one and other) or engine not in ("", RELAY):
        return ""
    return "the relay does not change keys" if engine else "media passes us by, and nobody changes it"


@dataclass(frozen=True, slots=True)
class Daemon:
    """One rtpengine, where its ng protocol is spoken. `weight` is its share of the calls."""

    host: str
    port: int
    weight: int = 1

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One [[engine]]: daemons that stand for each other.

    `interfaces` are the daemons' own names for their addresses, by zone. `patience` is how many seconds one question
    may take in all, `ping` how many are between two that ask whether a daemon is alive.
    """

    name: str
    daemons: tuple[Daemon, ...] = ()
    interfaces: Mapping[str, str] = field(default_factory=dict)
    patience: float = 1.0
    ping: float = 5.0

    def parts(self, one: str, other: str) -> bool:
        """Whether each of two zones is told an address of its own; else it is the same for both."""
        return one in self.interfaces and other in self.interfaces


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """[media] and every [[engine]].

    `given`: there is a [media] or an [[engine]]. `ports` are the relay's first and last UDP port, on each listener's
    address. `silence` is after how many seconds without any media a call is ended, 0 for never.
    """

    anchoring: Anchoring = Anchoring()
    ports: tuple[int, int] = (30000, 39999)
    silence: float = 0.0
    engines: tuple[EngineSettings, ...] = ()
    given: bool = False

    def parts(self, near: Listener, far: Listener, route: str = "") -> bool:
        """Whether media between two legs is anchored, and each side is told an address of its own zone's alone."""
        name = self.anchoring.engine(near, far, route)
        return name == RELAY or any(each.name == name and each.parts(near.zone, far.zone) for each in self.engines)
