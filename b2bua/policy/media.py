"""Where media is anchored, as the configuration says: which engine carries it between two zones, and how.

`NONE`: media passes us by. `AUTO`: anchored where the two legs differ in zone or in family. `RELAY` is the built-in
relay; any other word is the name of an [[engine]].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from b2bua.sip.listener import Listener

NONE, AUTO, RELAY = "none", "auto", "relay"
RESERVED = frozenset({NONE, AUTO, RELAY})

Profile = Literal["", "plain", "srtp", "webrtc"]


@dataclass(frozen=True, slots=True)
class Anchoring:
    """What is said of media: `default`, by pair of zones in `between`, and, above both, by a route.

    `auto` is the engine that AUTO means. `profiles` are what the parties of a zone speak, by zone.
    """

    default: str = NONE
    between: Mapping[frozenset[str], str] = field(default_factory=dict)
    auto: str = RELAY
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def engine(self, near: Listener, far: Listener, route: str = "") -> str:
        """The name of the engine that carries media between two legs; empty where none does."""
        said = route or self.between.get(frozenset((near.zone, far.zone)), self.default)
        if said == AUTO:
            return self.auto if near.zone != far.zone or near.family != far.family else ""
        return "" if said == NONE else said
