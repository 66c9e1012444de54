"""Our own registration with a carrier (RFC 3261 10.2) as a table: state, what comes in, next state, what to do.

Every cell is decided: what is not written stands as "stay, do nothing", as in `transaction.machine`. The times are here
too; chance is `random(n)`, a number from 0 to n - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import NamedTuple

from b2bua.policy.accounts import Hop
from b2bua.sip.grammar import Malformed, digits, is_number
from b2bua.sip.message import Response
from b2bua.sip.uri import Uri

FIRST, LONGEST = 30.0, 1800.0  # seconds between two tries: the first time, and at most (RFC 5626 4.5)
SOONEST = 5.0  # seconds between two refreshes, at least, however little a registrar grants
MOST = 604_800  # seconds; no registrar makes us ask for more


@dataclass(frozen=True, slots=True)
class Enrolling:
    """One [[registration]]: calls for `aor` are to come to us, for `expires` seconds at a time.

    `registrar`, a URI or a group, is told so; `hops` are its next hops. `name` is the user of the credentials, where
    there are several.
    """

    aor: Uri
    registrar: str
    hops: frozenset[Hop]
    contact_user: str
    send_from: str
    expires: int
    name: str = ""


class State(Enum):
    """How far it has come."""

    IDLE = "not registered"
    ASKING = "registering"
    REGISTERED = "registered"
    REFRESHING = "registered, refreshing"
    HOLDING = "registered, but the refresh failed"
    WAITING = "failed"
    ENDING = "ending"  # we want to leave, while a REGISTER has no answer yet
    LEAVING = "leaving"


class Input(IntEnum):
    """What comes in."""

    START = auto()
    ACCEPTED = auto()  # a 2xx
    BRIEF = auto()  # 423: it wants a longer time, which we can give
    REFUSED = auto()  # an answer that no other address would better
    FAILED = auto()  # an address does not answer, or not now
    EXHAUSTED = auto()  # there is no other address
    DUE = auto()  # the time of the next refresh, or of the next try
    LAPSED = auto()  # what was granted is over
    STOP = auto()


class Do(IntEnum):
    """What to do."""

    ASK = auto()  # REGISTER, to the address that answered last, or to the first
    NEXT = auto()  # to the next address
    LONGER = auto()  # once more to the same, for as long as it wants
    KEEP = auto()  # what was granted, until it is to be refreshed
    BACK_OFF = auto()  # try again later
    LOSE = auto()  # we are not registered any more
    LEAVE = auto()  # REGISTER for no time (RFC 3261 10.2.2)


class Row(NamedTuple):
    """One cell: the next state and what to do."""

    state: State
    actions: tuple[Do, ...] = ()


_GONE = Row(State.IDLE)

_CELLS: dict[State, dict[Input, Row]] = {
    State.IDLE: {Input.START: Row(State.ASKING, (Do.ASK,))},
    State.ASKING: {
        Input.ACCEPTED: Row(State.REGISTERED, (Do.KEEP,)),
        Input.BRIEF: Row(State.ASKING, (Do.LONGER,)),
        Input.REFUSED: Row(State.WAITING, (Do.LOSE, Do.BACK_OFF)),
        Input.FAILED: Row(State.ASKING, (Do.NEXT,)),
        Input.EXHAUSTED: Row(State.WAITING, (Do.LOSE, Do.BACK_OFF)),
        Input.STOP: Row(State.ENDING),  # RFC 3261 10.2: no other REGISTER until this one has its answer
    },
    State.REGISTERED: {
        Input.DUE: Row(State.REFRESHING, (Do.ASK,)),
        Input.LAPSED: Row(State.ASKING, (Do.LOSE, Do.ASK)),  # the clock jumped over the refresh
        Input.STOP: Row(State.LEAVING, (Do.LEAVE,)),
    },
    State.REFRESHING: {
        Input.ACCEPTED: Row(State.REGISTERED, (Do.KEEP,)),
        Input.BRIEF: Row(State.REFRESHING, (Do.LONGER,)),
        Input.REFUSED: Row(State.HOLDING, (Do.BACK_OFF,)),
        Input.FAILED: Row(State.REFRESHING, (Do.NEXT,)),
        Input.EXHAUSTED: Row(State.HOLDING, (Do.BACK_OFF,)),
        Input.LAPSED: Row(State.ASKING, (Do.LOSE,)),
        Input.STOP: Row(State.ENDING),
    },
    State.HOLDING: {
        Input.DUE: Row(State.REFRESHING, (Do.ASK,)),
        Input.LAPSED: Row(State.WAITING, (Do.LOSE,)),
        Input.STOP: Row(State.LEAVING, (Do.LEAVE,)),
    },
    State.WAITING: {
        Input.DUE: Row(State.ASKING, (Do.ASK,)),
        Input.STOP: _GONE,
    },
    State.ENDING: {
        Input.START: Row(State.ASKING),  # it is wanted after all: the answer is awaited as before
        Input.ACCEPTED: Row(State.LEAVING, (Do.LEAVE,)),
        Input.BRIEF: _GONE,
        Input.REFUSED: _GONE,
        Input.FAILED: _GONE,
        Input.EXHAUSTED: _GONE,
    },
    State.LEAVING: {
        Input.ACCEPTED: _GONE,
        Input.BRIEF: _GONE,
        Input.REFUSED: _GONE,
        Input.FAILED: _GONE,
        Input.EXHAUSTED: _GONE,
    },
}

TABLE: Mapping[State, Mapping[Input, Row]] = {
    state: {event: cells.get(event, Row(state)) for event in Input} for state, cells in _CELLS.items()
}


def refresh_in(granted: int, random: Callable[[int], int]) -> float:
    """Seconds until a binding is to be refreshed: 75 to 90 % of what was granted, so that a second try has time."""
    return max(SOONEST, granted * (75 + random(16)) / 100)


def back_off(failures: int, asked: int, random: Callable[[int], int]) -> float:
    """Seconds until the next try after so many failures (RFC 5626 4.5): 50 to 100 % of a bound that doubles.

    Never sooner than the registrar `asked` for (Retry-After).
    """
    bound = min(LONGEST, FIRST * (1 << min(failures - 1, 16)))
    return max(float(asked), bound * (50 + random(51)) / 100)


def longer(response: Response, asked: int) -> int:
    """The seconds that a 423 wants (RFC 3261 20.23); 0 where it wants no more than was asked, or too much."""
    try:
        wanted = digits(response.first("Min-Expires"), MOST, "Min-Expires", "RFC 3261 20.23")
    except Malformed:
        return 0
    return wanted if wanted > asked else 0


def granted(response: Response, contact: Uri, asked: int) -> int:
    """The seconds for which a 2xx keeps our Contact (RFC 3261 10.2.4); 0 where it says that it does not.

    Some registrars write what they see in place of what we said: then the one with our user counts, or the only one.
    Where several are listed, of which none has our address or our user, ours is not there.
    """
    try:
        ours = [each for each in response.addresses("Contact") if each.uri.is_sip]
        same = [each for each in ours if (each.uri.host, each.uri.port) == (contact.host, contact.port)]
        mine = [each for each in same or ours if each.uri.user == contact.user] or (ours if len(ours) == 1 else [])
        if ours and not same and not mine:
            return 0
        text = mine[0].params.get("expires") if mine else None
    except Malformed:
        text = None
    for value in (text, response.first("Expires")):
        if value and is_number(value):
            return min(int(value[:10]), MOST)
    return asked
