"""How a call is carried once policy has said where to: the choices of a route beside its next hops.

A [[route]] of the configuration and a policy script (`Go(to, options=Options(...))`) say the same things by the same
names; whoever carries a call reads them here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from b2bua.policy.media import AUTO, NONE

Forks = Literal["transparent", "first"]
Hunting = Literal["serial", "parallel"]
Redirect = Literal["follow", "rewrite", "pass"]
Refer = Literal["pass", "local", "refuse"]

GO_ON = frozenset({408, 503})  # after these a hunt tries the next target

_MEDIA = {"": "media as usual", NONE: "media passes us by", AUTO: "media anchored where zones or families differ"}


@dataclass(frozen=True, slots=True)
class Options:
    """`forks`: whether the caller sees every early dialog of the far side, or only the first (S28).

    `hunt`: targets one after the other or all at once (S29, S30); `target_timeout`: seconds that one target may take
    to answer, 0 for as long as the call may ring; `go_on`: the statuses after which the next target is tried.
    `redirect`: what becomes of a 3xx (S41). `refer`: who carries out a transfer (RFC 3515).
    `media`: who carries the media of a call: "none", "auto", "relay" or an engine's name; empty: as [media] says.
    `media_options`: words that are passed on to the engine.
    """

    forks: Forks = "transparent"
    hunt: Hunting = "serial"
    target_timeout: float = 0.0
    go_on: frozenset[int] = GO_ON
    redirect: Redirect = "rewrite"
    refer: Refer = "pass"
    media: str = ""
    media_options: tuple[str, ...] = ()

    def describe(self) -> str:
        """What of it is not as usual, but for `hunt`: `goes on after 404 and 486, redirections followed`."""
        said = []
        if self.go_on != GO_ON:
            said.append("goes on after " + (" and ".join(map(str, sorted(self.go_on))) or "no refusal"))
        if self.target_timeout:
            said.append(f"{self.target_timeout:g} s for each target")
        if self.forks == "first":
            said.append("only the first fork shown")
        if self.redirect != "rewrite":
            said.append("redirections followed" if self.redirect == "follow" else "redirections passed on")
        if self.refer != "pass":
            said.append("transfers carried out here" if self.refer == "local" else "transfers refused")
        if self.media or self.media_options:
            words = f" ({' '.join(self.media_options)})" if self.media_options else ""
            said.append(_MEDIA.get(self.media, f"media by {self.media}") + words)
        return ", ".join(said)


DEFAULT = Options()
