"""The names of dialogs, translated from one side of the border to the other (S37).

Alice tells Bob to call Carol and to replace a call of hers: she names it by the ids that her leg has. Bob is told the
ids that the same call has on his side, or, where it has none there, a *handle*: a Call-ID and two tags made up, which
mean something only to us, and only when they come back from the side that they were given to.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from b2bua.call.book import Book
from b2bua.dialog.leg import Leg
from b2bua.sip.dialogid import DialogId
from b2bua.sip.tokens import Tokens

HANDLES = 1024  # for what one zone told, at most; the one that was not used for longest goes first
LIFE = 7200.0  # seconds that a handle lives without being used


class Named(NamedTuple):
    """What a peer's name of a dialog stands for: `dialog`, as the party in `zone` sees it that is named.

    `leg` is ours to that party; None for a dialog that is none of ours, of which we only know where it was told.
    """

    zone: str
    dialog: DialogId
    leg: Leg | None


class _Handle:
    __slots__ = ("source", "target", "original", "ours", "made", "used")

    def __init__(self, source: str, target: str, original: DialogId, ours: bool, made: DialogId) -> None:
        self.source = source
        self.target = target
        self.original = original
        self.ours = ours
        self.made = made
        self.used = 0.0


class Ids:
    """Finds what a dialog's name means on the other side. A name is good only in the zone that it is valid in."""

    __slots__ = ("_book", "_tokens", "_now", "_by_call_id", "_by_original")

    def __init__(self, book: Book, tokens: Tokens, now: Callable[[], float]) -> None:
        self._book = book
        self._tokens = tokens
        self._now = now
        self._by_call_id: dict[str, _Handle] = {}
        # By the zone that told it; in the order of use.
        self._by_original: dict[str, OrderedDict[tuple[str, DialogId], _Handle]] = {}

    def __len__(self) -> int:
        """How many handles there are."""
        return len(self._by_call_id)

    def translate(self, zone_from: str, zone_to: str, call_id: str, local_tag: str, remote_tag: str) -> DialogId | None:
        """The name that a dialog of somebody in `zone_from` has in `zone_to`; None for what can be no dialog's.

        `local_tag` is the tag of the party that the name is about, of whichever side of the leg. The ids of the leg
        beyond, where that is in `zone_to`; else a handle, the same one each time.
        """
        if not (call_id and local_tag and remote_tag):
            return None
        source, told, came = self._told(zone_from, DialogId(call_id, local_tag, remote_tag))
        if came and source == zone_to:
            return told  # it comes home
        return self._known(source, told, zone_to) or self._mint(source, zone_to, told)

    def known(self, zone_from: str, zone_to: str, told: DialogId) -> DialogId | None:
        """The same without making handles: None where nobody in `zone_to` can know of this dialog."""
        source, told, came = self._told(zone_from, told)
        return told if came and source == zone_to else self._known(source, told, zone_to)

    def _told(self, zone: str, told: DialogId) -> tuple[str, DialogId, bool]:
        """Where a name was first told, what it was there, and whether it was a handle here."""
        handled = self._handle(zone, told)
        return (zone, told, False) if handled is None else (handled[0].source, handled[1], True)

    def _known(self, zone_from: str, told: DialogId, zone_to: str) -> DialogId | None:
        found = self._find(zone_from, told)
        if found is None or found[1].listener.zone != zone_to:
            return None
        _, peer, direct = found
        # Who is at the end of this leg is, seen from the other side, behind us: the tag there is ours.
        tags = (peer.local_tag, peer.remote_tag) if direct else (peer.remote_tag, peer.local_tag)
        return DialogId(peer.call_id, *tags)

    def resolve(self, zone_from: str, told: DialogId) -> Named | None:
        """Whom a name in a request from `zone_from` is about (Replaces, Join); None where it is not valid there."""
        handled = self._handle(zone_from, told)
        if handled is None:
            return self._named(zone_from, told)
        handle, original = handled
        if handle.ours:
            return self._named(handle.source, original)
        return Named(handle.source, original, None)

    def _named(self, zone: str, told: DialogId) -> Named | None:
        found = self._find(zone, told)
        if found is None:
            return None
        leg, peer, direct = found
        party = leg if direct else peer
        return Named(party.listener.zone, DialogId(party.call_id, party.remote_tag, party.local_tag), party)

    def call_id(self, zone_from: str, zone_to: str, call_id: str) -> str:
        """What a Call-ID alone is in `zone_to` (In-Reply-To); empty where nobody there knows it."""
        handle = self._by_call_id.get(call_id)
        if handle is not None:
            return handle.original.call_id if (handle.target, handle.source) == (zone_from, zone_to) else ""
        side = self._book.called(call_id)
        if side is None or (side.leg.listener.zone, side.peer.listener.zone) != (zone_from, zone_to):
            return ""
        return side.peer.call_id

    def leg(self, zone: str, told: DialogId) -> Leg | None:
        """Our leg in `zone` that a name of that zone is of."""
        found = self._find(zone, told)
        return None if found is None else found[0]

    def _find(self, zone: str, told: DialogId) -> tuple[Leg, Leg, bool] | None:
        """The leg in `zone` that a name is of, its peer, and whether the party named is at the end of this leg."""
        call_id, local, remote = told
        for direct, key in ((False, (call_id, local, remote)), (True, (call_id, remote, local))):
            side = self._book.side(*key)
            if side is not None and side.leg.listener.zone == zone:
                return side.leg, side.peer, direct
        return None

    # Handles

    def _handle(self, zone: str, told: DialogId) -> tuple[_Handle, DialogId] | None:
        """The handle that a name is, for whom it was made, and what it stands for."""
        handle = self._by_call_id.get(told.call_id)
        if handle is None or handle.target != zone:
            return None
        made, original = handle.made, handle.original
        self._use(handle)
        if told == made:
            return handle, original
        if (told.remote_tag, told.local_tag) == made[1:]:
            return handle, DialogId(original.call_id, original.remote_tag, original.local_tag)
        return None

    def _mint(self, source: str, target: str, told: DialogId) -> DialogId:
        handles = self._by_original.setdefault(source, OrderedDict())
        handle = handles.get((target, told))
        if handle is None:
            self._tidy(handles)
            word = self._tokens.word
            handle = _Handle(
                source, target, told, self._find(source, told) is not None, DialogId(word(), word(), word())
            )
            handles[target, told] = self._by_call_id[handle.made.call_id] = handle
        self._use(handle)
        return handle.made

    def _use(self, handle: _Handle) -> None:
        handle.used = self._now()
        self._by_original[handle.source].move_to_end((handle.target, handle.original))

    def _tidy(self, handles: OrderedDict[tuple[str, DialogId], _Handle]) -> None:
        """Forget what was not used for long, and what there is no room for."""
        longest = self._now() - LIFE
        while handles:
            oldest = next(iter(handles.values()))
            if oldest.used >= longest and len(handles) < HANDLES:
                return
            handles.popitem(last=False)
            del self._by_call_id[oldest.made.call_id]
