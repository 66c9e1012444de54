"""What a call asks of whoever carries its media: a media engine, the built-in relay or rtpengine.

An engine knows sessions, and the two ends of each, by words of ours. It is told every description that crosses, and
says what the other end is to read: our own addresses, never the far side's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from b2bua.sip.grammar import Malformed

THE_ENGINE = "the media engine"  # whose fault it is, where no peer has broken a rule


class End(NamedTuple):
    """One leg, as an engine is told of it.

    `word` stands for the party: the same as long as it is the same party. `address` is where that party is to meet its
    media by the listener's configuration, `bound` where sockets of ours for it are bound. `signalling` is the party's
    own address, which its messages come from or go to. `profile` is what it speaks: "plain" RTP, "srtp" with keys in
    the description, "webrtc" (DTLS and ICE); empty: whatever the other end does.
    """

    word: str
    zone: str
    address: str
    bound: str
    signalling: str
    profile: str = ""

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.bound else 4


@dataclass(frozen=True, slots=True)
class Said:
    """A description on its way from one end to the other.

    `session` is a word for these two parties' call, `branch` one for the far leg that was called (a fork below it has
    the same). `options` are a route's own words for the engine.
    """

    session: str
    branch: str
    source: End
    target: End
    sdp: bytes
    options: tuple[str, ...] = ()


class Stream(NamedTuple):
    """One medium of one end: where it is met, where it is, and what came from there.

    `lost` and `idle` (seconds since the last packet) are None where nobody knows.
    """

    word: str
    kind: str  # "audio", "video"; as the description says
    ours: str  # address and port: "192.0.2.1:30000", "[2001:db8::1]:30000"
    theirs: str  # the same of the party, empty until it is known
    packets: int
    octets: int
    lost: int | None = None
    idle: float | None = None


class Medium(NamedTuple):
    """A stream in a call's record: by which engine it went, and whether the caller is its party."""

    engine: str
    callers: bool
    stream: Stream


Report = Sequence[Stream]
Then = Callable[["bytes | Malformed"], None]
Reported = Callable[["Report | None"], None]


class Engine(Protocol):
    """Carries media. Nothing here raises because of a peer; what goes wrong is the answer."""

    name: str

    def offer(self, said: Said, then: Then) -> None:
        """An offer (RFC 3264). `then` is called once, soon or at once, with the description for the target."""

    def answer(self, said: Said, then: Then) -> None:
        """The answer to the last offer of `said.target`, in the same session."""

    def end(self, session: str, then: Reported) -> None:
        """The session is over: nothing is held for it any more. `then` hears how it was, None where nobody knows."""

    def query(self, session: str, then: Reported) -> None:
        """How it is now; None where nobody knows."""


def unanchored(why: str, status: int = 503) -> Malformed:
    """Why a description cannot cross: for want of an engine, not by a peer's fault."""
    return Malformed(why, THE_ENGINE, status)
