"""The leak guard at its post: what becomes of a message that names another zone, by the mode of its own zone (S42).

The switchboard shows it every message that a leg built, once, as the octets that are to go out. Who is at fault? The
log's line, and `counts` for the manhole.

Where a leak only counts or is told of, the message need not wait for the look: `look` does many at a time, and those of
one leg in one, which costs less than a look between two messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from b2bua.policy.guard import Finding, Mode, Wall, redacted
from b2bua.sip.foreign import Foreign, Speaker
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.status import reason_of

COUNTED = 1024  # peers and headers that are counted apart; what comes after them is counted under OTHERS
OTHERS = "others"

BUNDLE = 0.1  # seconds that a look may wait

_UNCHANGED = frozenset({"count", "log"})  # modes in which a message goes as it is
_NEVER_REFUSED = frozenset({"ACK", "BYE", "CANCEL"})  # without them a call hangs
_OUR_FRAME = ("Via", "From", "To", "Call-ID", "CSeq")

Place = tuple[str, str, str, str]  # zone, header, kind, peer
Sent = tuple[Flow, Speaker, Sequence[str], bytes, Request, int]  # with the Vias of then; 0 or a response's status


class Told(Protocol):
    """Who is told of leaks: the journal."""

    def leak(self, flow: Flow, message: str, finding: Finding, done: str) -> None:
        """A message to a peer named what is another zone's; `done` says what became of it."""


class LeakGuard:
    """Looks at what leaves. `walls`, `modes` by zone; `uncovered` by source and target zone: headers not looked at.

    `elsewhere(zone, word)` says whether a word is an id of another zone's call. `later`, the wheel's `after`, is for
    looks that may wait; without it none does.
    """

    def __init__(
        self,
        walls: Mapping[str, Wall],
        modes: Mapping[str, Mode],
        uncovered: Mapping[tuple[str, str], frozenset[str]],
        elsewhere: Callable[[str, str], bool],
        journal: Told,
    ) -> None:
        self.counts: Counter[Place] = Counter()
        self.modes = modes
        self.later: Callable[[float, Callable[[], None]], object] | None = None
        self._waiting: dict[tuple[str, Foreign], list[Sent]] = {}  # by zone, and what must not be said there
        self._unhurried = frozenset(zone for zone, mode in modes.items() if mode in _UNCHANGED)
        self._walls = walls
        self._uncovered = uncovered
        self._elsewhere = elsewhere
        self._journal = journal

    def request(self, request: Request, data: bytes, flow: Flow) -> bytes:
        """What may leave of a request: `data`, `data` without its leaks, or nothing at all."""
        speaker = request.speaker
        if speaker is None or self._passes(flow, speaker, data, request, 0):
            return data
        found = self._findings(data, speaker, flow, b"")
        if not found:
            return data
        mode = self._mode(flow, request.method)
        self._tell(flow, request.method, found, mode)
        return self._changed(data, found, mode, flow)

    def response(self, request: Request, response: Response, flow: Flow) -> tuple[int, bytes]:
        """The status and octets that may leave in place of a response to `request`; no octets for none at all."""
        data, speaker = bytes(response), response.speaker
        if speaker is None or self._passes(flow, speaker, data, request, response.status):
            return response.status, data
        found = self._findings(data, speaker, flow, bytes(request))
        if not found:
            return response.status, data
        mode = self._mode(flow, request.method)
        self._tell(flow, f"{response.status} {request.method}", found, mode)
        changed = self._changed(data, found, mode, flow)
        if changed or response.status < 200:  # a provisional response may be missed
            return response.status, changed
        frame = Response(500, reason_of(500), {name: response.headers[name] for name in _OUR_FRAME})
        data = bytes(frame)
        return 500, redacted(data, self._findings(data, speaker, flow, bytes(request)), flow.listener)

    def _passes(self, flow: Flow, speaker: Speaker, data: bytes, request: Request, status: int) -> bool:
        """Whether a message may go at once: it is looked at later, or nothing in it is suspicious."""
        foreign, zone = speaker.foreign, flow.listener.zone
        if self.later is None or zone not in self._unhurried:
            return not self._walls[zone].suspects([data.lower()], foreign, [foreign.vias])
        if not self._waiting:
            self.later(BUNDLE, self.look)
        sent = flow, speaker, foreign.vias, data, request, status
        waiting = self._waiting.get((zone, foreign))
        if waiting is None:
            self._waiting[zone, foreign] = [sent]
        else:
            waiting.append(sent)
        return True

    def look(self) -> None:
        """Look at what has gone since the last time: at what one leg said in one look, where nothing is in it."""
        waiting, self._waiting = self._waiting, {}
        for (zone, foreign), sent in waiting.items():
            lows = [data.lower() for _, _, _, data, _, _ in sent]
            if self._walls[zone].suspects(lows, foreign, [vias for _, _, vias, _, _, _ in sent]):
                for each in sent:
                    self._look_at(zone, foreign, *each)

    def _look_at(
        self, zone: str, now: Foreign, flow: Flow, speaker: Speaker, vias: Sequence[str], data: bytes,
        request: Request, status: int,
    ) -> None:  # fmt: skip
        foreign = Foreign(now.names, now.source, vias, now.path)  # as it was
        found = self._findings(data, speaker, flow, bytes(request) if status else b"", foreign)
        if found:
            message = f"{status} {request.method}" if status else request.method
            self._tell(flow, message, found, self.modes[zone])

    def _findings(
        self, data: bytes, speaker: Speaker, flow: Flow, asked: bytes, foreign: Foreign | None = None
    ) -> list[Finding]:
        zone = flow.listener.zone
        foreign = foreign or speaker.foreign
        told = flow.host, flow.listener, *speaker.said
        said = " ".join(map(str, told)).encode("utf-8", "surrogateescape") + asked
        return self._walls[zone].findings(
            data,
            foreign,
            lambda word: self._elsewhere(zone, word),
            self._uncovered.get((foreign.source, zone), frozenset()),
            said.lower(),
        )

    def _mode(self, flow: Flow, method: str) -> Mode:
        mode = self.modes[flow.listener.zone]
        return "redact" if mode == "refuse" and method in _NEVER_REFUSED else mode

    def _changed(self, data: bytes, found: list[Finding], mode: Mode, flow: Flow) -> bytes:
        if mode == "refuse":
            return b""
        return redacted(data, found, flow.listener) if mode == "redact" else data

    def _tell(self, flow: Flow, message: str, found: list[Finding], mode: Mode) -> None:
        for finding in found:
            place = flow.listener.zone, finding.header, finding.kind, flow.host
            if place not in self.counts and len(self.counts) >= COUNTED:
                place = flow.listener.zone, OTHERS, finding.kind, OTHERS
            self.counts[place] += 1
        if mode != "count":
            done = {"log": "sent as it is", "redact": "sent without it", "refuse": "not sent"}[mode]
            more = f" (and {len(found) - 1} more in it)" if len(found) > 1 else ""
            self._journal.leak(flow, message, found[0], done + more)
