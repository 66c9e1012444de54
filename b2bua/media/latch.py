"""Who may speak on a port of ours, and where its peer is met: as the peer announced, never as a stranger sends.

A relay that follows whoever sends last hands calls to whoever sends most (RTP bleed). Here the first packet decides,
once, and only one from where the session description or the signalling comes from; what was decided holds until the
peer announces something else.
"""

from __future__ import annotations

Place = tuple[str, int]  # address without brackets, port


class Latch:
    """One port of ours and the peer that it is for.

    `announced` is where the peer wants its media; `signalling` the address that its messages come from, which is where
    its media comes from too when it is behind a NAT (RFC 4961, RFC 7362).
    """

    __slots__ = ("announced", "signalling", "source", "strangers", "_left", "_before")

    def __init__(self) -> None:
        self.announced: Place | None = None
        self.signalling = ""
        self.source: Place | None = None  # where it speaks from, once it has spoken
        self.strangers = 0  # packets of others
        self._left: Place | None = None  # what it announced before, and from where it spoke then
        self._before: Place | None = None

    def announce(self, where: Place | None, signalling: str) -> None:
        """The peer says where it wants its media. The same again changes nothing."""
        if where == self.announced and signalling == self.signalling:
            return
        if self.announced is not None:
            self._left, self._before = self.announced, self.target
        self.announced, self.signalling, self.source = where, signalling, None

    @property
    def target(self) -> Place | None:
        """Where to send: where it speaks from, else what it announced; None where it wants nothing."""
        return self.source or self.announced

    def takes(self, source: Place) -> bool:
        """Whether a packet from there is the peer's."""
        if self.source is not None:
            if source == self.source:
                return True
        elif self.announced is not None and source[0] in (self.announced[0], self.signalling):
            late = source == self._before and self.announced not in (self._left, source)  # still on its way
            if not late:
                self.source = source
                return True
        self.strangers += 1
        return False
