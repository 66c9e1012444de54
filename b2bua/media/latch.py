"""Who may speak on a port of ours, and where its peer is met: as the peer announced, never as a stranger sends.

A relay that follows whoever sends last hands calls to whoever sends most (RTP bleed, RTP inject). Here a packet is
the peer's if it comes from the place that the peer announced; or, decided once by the first packet, from another port
of that address or of the address that its signalling comes from (RFC 4961, RFC 7362). What was decided holds until the
peer announces something else, or speaks from where it said.
"""

from __future__ import annotations

from collections.abc import Callable

Place = tuple[str, int]  # address without brackets, in its one spelling; port

LATE = 50  # packets from where a peer spoke before that do not decide anything: a second of audio


def _nobody(_: Place) -> bool:
    return False


class Latch:
    """One port of ours and the peer that it is for.

    `announced` is where the peer wants its media; `signalling` the address that its messages come from. `ours` says
    whether a place is a port of the relay itself: such a one speaks only if it was announced.
    """

    __slots__ = (
        "announced", "signalling", "source", "target", "strangers", "_ours", "_proved", "_last", "_late", "_patience",
    )  # fmt: skip

    def __init__(self, ours: Callable[[Place], bool] = _nobody) -> None:
        self.announced: Place | None = None
        self.signalling = ""
        self.source: Place | None = None  # where it speaks from, once it has spoken
        self.target: Place | None = None  # where to send; None: nowhere, or not yet
        self.strangers = 0  # packets of others
        self._ours = ours
        self._proved = False  # whether it has spoken from the target
        self._last: tuple[Place, Place | None] | None = None  # what it announced before, and from where it spoke then
        self._late: Place | None = None  # from where it spoke before
        self._patience = 0

    def announce(self, where: Place | None, signalling: str, reachable: bool = True) -> bool:
        """The peer says where it wants its media; None: nowhere for now, though it may speak on. Returns what changed.

        The same again changes nothing, and what it said before that brings back where it was met then: an offer that
        was refused, or a hold, is over. A place that is not `reachable`, or may not be sent to unasked, waits for the
        first packet.
        """
        if where == self.announced and signalling == self.signalling:
            if not self._proved:
                self.target = where if reachable else None
            return False
        last = self._last
        if self.announced is not None:
            self._last = self.announced, self.target if self._proved else None
        self.announced, self.signalling = where, signalling
        self._proved = False
        if where is None:
            self.target = None
            return True
        self.target = where if reachable else None
        if last is not None and last[0] == where and last[1] is not None:
            self.target, self._proved = last[1], True
        self._late = self.source if self.source not in (where, self.target) else None
        self._patience = LATE
        self.source = None
        return True

    def takes(self, source: Place) -> bool:
        """Whether a packet from there is the peer's."""
        if source == self.source:
            return True
        if source == self.announced or self.source is None and self._may(source):
            self.source = source
            if self.announced is not None:
                self.target, self._proved = source, True
            return True
        self.strangers += 1
        return False

    def _may(self, source: Place) -> bool:
        """Whether this may be the peer, which has not spoken yet, though it announced another place or none."""
        if source == self._late and self._patience:
            self._patience -= 1
            return False
        if self.announced is None:
            return source[0] == self.signalling and not self._ours(source)
        return source[0] in (self.announced[0], self.signalling) and not (
            self._ours(source) or self._ours(self.announced)
        )
