"""How long a call's parts may last, and how often it may pass through us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; 0 switches off.

    `max_duration`: of an answered call. `ring_timeout`: until the answer. `probe`: of silence, after which both ends of
    a call are asked whether they are still there. `session_expires`: the session interval that we ask of both sides
    (RFC 4028); switched off, each side has the one that it, or the caller, asks for. `min_se`: the shortest that a peer
    may ask for. `subscriptions` is a number: of those with dialogs of their own that there may be at once. `spirals` is
    one too: how many times a request may come back to us for somebody else than before (RFC 3261 16.6.8), 0 to
    `MAX_PASSES` - 1.
    """

    max_duration: float = 14400.0
    ring_timeout: float = 180.0
    probe: float = 300.0
    session_expires: int = 0
    min_se: int = 90
    subscriptions: int = 20000
    spirals: int = 5

    @property
    def longest_ring(self) -> float:
        """Of what rings in a call that is up, which must not wait for ever: 180 where `ring_timeout` is off."""
        return self.ring_timeout or 180.0
