"""The session timer of one leg (RFC 4028), without sockets or a clock: who refreshes, how often, and when it is over.

The leg's own: what was agreed on the other leg does not matter here. The table decides every (state, input).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple

from b2bua.sip.grammar import digits, parse_params
from b2bua.sip.message import Headers, Message, Request, Response
from b2bua.sip.sdp import description

OPTION = "timer"
LEAST = 90  # seconds: RFC 4028 4
REFRESHES = frozenset({"INVITE", "UPDATE"})

_RULE = "RFC 4028 4"
_MOST = 2**32 - 1


class State(Enum):
    """Where the timer stands."""

    OFF = auto()  # nothing agreed (yet)
    OURS = auto()  # we refresh
    REFRESHING = auto()  # and are about it
    THEIRS = auto()  # the peer refreshes
    OVER = auto()


class Input(Enum):
    """What comes in."""

    OURS = auto()  # agreed (anew): we refresh
    THEIRS = auto()  # agreed (anew): the peer does
    NONE = auto()  # agreed: there is no timer (RFC 4028 7.2)
    DUE = auto()  # the time of a refresh, or of the end where the peer should have refreshed
    EXPIRED = auto()  # the interval has passed
    REFUSED = auto()  # our refresh was refused, and may be tried again


class Do(Enum):
    """What to do."""

    REFRESH = auto()
    HANG_UP = auto()
    NOTHING = auto()


class Row(NamedTuple):
    """One cell: the next state and what to do."""

    state: State
    do: Do = Do.NOTHING


_AGREED = {Input.OURS: Row(State.OURS), Input.THEIRS: Row(State.THEIRS), Input.NONE: Row(State.OFF)}
_STAY = (Input.DUE, Input.EXPIRED, Input.REFUSED)
_END = Row(State.OVER, Do.HANG_UP)
TABLE: Mapping[State, Mapping[Input, Row]] = {
    State.OFF: {**_AGREED, **{event: Row(State.OFF) for event in _STAY}},
    State.OURS: {
        **_AGREED,
        Input.DUE: Row(State.REFRESHING, Do.REFRESH),
        Input.EXPIRED: _END,
        Input.REFUSED: Row(State.OURS),
    },
    State.REFRESHING: {
        **_AGREED,
        Input.DUE: Row(State.REFRESHING),
        Input.EXPIRED: _END,
        Input.REFUSED: Row(State.OURS),
    },
    State.THEIRS: {
        **_AGREED,
        Input.DUE: _END,
        Input.EXPIRED: _END,
        Input.REFUSED: Row(State.THEIRS),
    },
    State.OVER: {event: Row(State.OVER) for event in Input},
}


class SessionExpires(NamedTuple):
    """Session-Expires: seconds, and "uac", "uas" or nothing."""

    seconds: int
    refresher: str


class SessionTimer:
    """One leg's timer.

    `wanted` is what we ask for (0: nothing), `least` the shortest that we, and the peer so far, insist on; `seconds`
    and `ours` are what is agreed. `updates`: the peer takes UPDATE. `session` is the session description that we said
    last and that was agreed on, with its Content-Type. `due` and `expires` are on the clock that `agree` was given.
    """

    __slots__ = ("state", "wanted", "least", "seconds", "ours", "updates", "session", "due", "expires")

    def __init__(self, wanted: int = 0, least: int = LEAST) -> None:
        self.state = State.OFF
        self.wanted = wanted
        self.least = least
        self.seconds = 0
        self.ours = False
        self.updates = False
        self.session = b""
        self.due = self.expires = 0.0

    def another(self) -> SessionTimer:
        """The same, for another dialog of the same INVITE (S28)."""
        return SessionTimer(self.wanted, self.least)

    @property
    def runs(self) -> bool:
        """Whether something is agreed."""
        return self.state in (State.OURS, State.REFRESHING, State.THEIRS)

    def step(self, event: Input) -> Do:
        """Take an input: go to the next state and say what to do."""
        self.state, do = TABLE[self.state][event]
        return do

    # What our requests and responses say

    def ask(self, headers: Headers) -> None:
        """What a request that refreshes, or begins, says of it (RFC 4028 7.1, 7.4)."""
        add_option(headers, "Supported", OPTION)
        if self.runs:
            seconds = max(self.seconds, self.least)
            headers["Session-Expires"] = [f"{seconds};refresher={'uac' if self.ours else 'uas'}"]
        elif self.wanted:
            headers["Session-Expires"] = [str(max(self.wanted, self.least))]
        if self.least > LEAST:
            headers["Min-SE"] = [str(self.least)]

    def answer(self, request: Request, headers: Headers) -> None:
        """What a 2xx to the peer's request says of it (RFC 4028 9, table 2); the agreement is in `seconds`, `ours`."""
        asked, supports = expires_of(request), OPTION in request.tokens("Supported")
        if not supports and OPTION not in request.tokens("Require"):
            self.ours = True  # a proxy on the way asks: nobody but us can refresh
        elif asked is not None and asked.refresher:
            self.ours = asked.refresher == "uas"
        elif not self.runs:
            self.ours = False  # as it came to us
        if asked is not None:
            floor = max(LEAST, min_se_of(request))
            self.seconds = max(min(asked.seconds, self.wanted or asked.seconds), floor)
        elif not supports:
            self.seconds = 0  # RFC 4028 9: it asks for none, and knows of none
        elif not self.runs:
            self.seconds = max(self.wanted, min_se_of(request)) if self.wanted else 0
        if self.seconds:
            headers["Session-Expires"] = [f"{self.seconds};refresher={'uas' if self.ours else 'uac'}"]
            if not self.ours:
                add_option(headers, "Require", OPTION)

    def hear(self, response: Response) -> None:
        """A 2xx to our request: what the peer agrees to (RFC 4028 7.2)."""
        agreed = expires_of(response)
        self.seconds = max(agreed.seconds, LEAST) if agreed is not None else 0
        self.ours = agreed is None or agreed.refresher != "uas"

    # Time

    def agree(self, now: float) -> None:
        """The session is refreshed: the interval begins anew."""
        self.step(Input.NONE if not self.seconds else Input.OURS if self.ours else Input.THEIRS)
        self.expires = now + self.seconds
        # RFC 4028 10: half the interval; and the BYE for a refresh that did not come min(32, a third) before its end.
        self.due = now + self.seconds / 2 if self.ours else self.expires - min(32.0, self.seconds / 3)

    def look(self, now: float) -> Do:
        """What time brings."""
        if not self.runs or now < self.due:
            return Do.NOTHING
        if now >= self.expires:
            return self.step(Input.EXPIRED)
        do = self.step(Input.DUE)
        if do is Do.REFRESH:
            self.due = self.expires
        return do

    def refused(self, now: float, wait: float = 0.0) -> None:
        """Our refresh was refused: again in `wait` seconds, or when half of what is left has passed."""
        if self.step(Input.REFUSED) is Do.NOTHING and self.state is State.OURS:
            self.due = min(now + (wait or max(2.0, (self.expires - now) / 2)), self.expires)

    def insists(self, response: Response) -> bool:
        """A 422: whether we have learned from it, so that another try may be better (RFC 4028 7.3)."""
        least = min_se_of(response)
        if least <= max(self.least, self.seconds if self.runs else self.wanted):
            return False
        self.least = least
        return True

    def keep(self, message: Message) -> None:
        """A message of ours that was agreed on: its session description is the one that a refresh says again."""
        self.session = description(message.body, message.first("Content-Type")) or self.session


def expires_of(message: Message) -> SessionExpires | None:
    """Session-Expires, or None. Malformed for what is none."""
    if "Session-Expires" not in message.headers:
        return None
    value, semicolon, rest = message.only("Session-Expires").partition(";")
    refresher = (parse_params(semicolon + rest, _RULE).get("refresher") or "").lower()
    seconds = digits(value.strip(), _MOST, "Session-Expires", _RULE)
    return SessionExpires(seconds, refresher if refresher in ("uac", "uas") else "")


def min_se_of(message: Message) -> int:
    """Min-SE in seconds; 0 where there is none (RFC 4028 5). Malformed for what is no number."""
    if "Min-SE" not in message.headers:
        return 0
    return digits(message.only("Min-SE").partition(";")[0].strip(), _MOST, "Min-SE", "RFC 4028 5")


def too_short(request: Request, least: int) -> bool:
    """Whether a request asks for an interval that is to be refused with 422 (RFC 4028 9).

    Malformed where what it asks for cannot be read.
    """
    headers = request.headers
    if request.method not in REFRESHES or ("Session-Expires" not in headers and "Min-SE" not in headers):
        return False
    min_se_of(request)
    asked = expires_of(request)
    return asked is not None and asked.seconds < least


def add_option(headers: Headers, name: str, option: str) -> None:
    """Write an option tag into Supported or Require, beside those that stand there."""
    known = headers.get(name)
    if known is None:
        headers[name] = [option]
    elif not any(option == each.strip().lower() for value in known for each in value.split(",")):
        headers[name] = [*known, option]


__all__ = [
    "Do",
    "Input",
    "SessionExpires",
    "SessionTimer",
    "State",
    "add_option",
    "expires_of",
    "min_se_of",
    "too_short",
]
