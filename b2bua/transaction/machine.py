"""The four transaction machines as tables: state, what comes in, next state, what to do.

Every cell is decided: what is not written stands as "stay, do nothing", filled in by `_table` and listed by
`cells()`. The tables read like figures 5 to 8 of RFC 3261 as changed by RFC 6026, and hold two things more, so that
they stand where the rest does: the CANCEL that waits for a provisional (RFC 3261 9.1), and the 2xx that is repeated
until its ACK comes (RFC 3261 13.3.1.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum, auto
from typing import NamedTuple

from b2bua.transaction.timers import Timer


class State(IntEnum):
    """Where a transaction stands."""

    CALLING = auto()
    HELD = auto()  # calling, with a CANCEL held until a provisional allows it
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()  # a 2xx, not yet acknowledged where we are the server
    ACKNOWLEDGED = auto()  # RFC 6026's Accepted, after the ACK
    TERMINATED = auto()


class Input(IntEnum):
    """What comes in. The timers are inputs too, under their own names."""

    PROVISIONAL = 101  # a 1xx: received by a client, sent by the core of a server
    SUCCESS = 102  # a 2xx
    FAILURE = 103  # a 3xx to 6xx
    REQUEST = 104  # the request again
    ACK = 105
    CANCEL = 106  # the core wants the INVITE cancelled
    ERROR = 107  # the transport says that it cannot deliver


class Do(IntEnum):
    """What to do, besides starting a timer (which the table writes as the timer itself)."""

    SEND = 201  # the message that came in, to the peer
    RESEND = 202  # what was sent last, again
    SEND_ACK = 203  # ACK for a failure (RFC 3261 17.1.1.3)
    SEND_CANCEL = 204
    PASS = 205  # the message that came in, to the core
    TIMED_OUT = 206  # tell the core that nobody answers
    FAILED = 207  # tell the core that the transport cannot deliver
    UNACKNOWLEDGED = 208  # tell the core that no ACK came for its 2xx
    FORGET = 209  # the transaction is over


# The same as names of the module: to look one up in its enumeration costs as much as to act on it.
SEND, RESEND, SEND_ACK, SEND_CANCEL, PASS, TIMED_OUT, FAILED, UNACKNOWLEDGED, FORGET = Do

Action = Do | Timer
Event = Input | Timer


class Row(NamedTuple):
    """One cell: the next state and what to do."""

    state: State
    actions: tuple[Action, ...] = ()


Table = Mapping[State, Mapping[Event, Row]]

_RESPONSES = (Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE)


def _table(inputs: tuple[Event, ...], cells: dict[State, dict[Event, Row]]) -> Table:
    """Fill the cells that say nothing: stay, do nothing."""
    states = (*cells, State.TERMINATED)
    return {state: {event: cells.get(state, {}).get(event, Row(state)) for event in inputs} for state in states}


_CALLING: dict[Event, Row] = {
    Input.PROVISIONAL: Row(State.PROCEEDING, (Do.PASS,)),
    Input.SUCCESS: Row(State.ACCEPTED, (Timer.M, Do.PASS)),
    Input.FAILURE: Row(State.COMPLETED, (Do.SEND_ACK, Timer.D, Do.PASS)),
    Timer.A: Row(State.CALLING, (Do.RESEND, Timer.A)),
    Timer.B: Row(State.TERMINATED, (Do.FORGET, Do.TIMED_OUT)),
    Input.CANCEL: Row(State.HELD),
    Input.ERROR: Row(State.TERMINATED, (Do.FORGET, Do.FAILED)),
}

INVITE_CLIENT: Table = _table(
    (*_RESPONSES, Input.CANCEL, Input.ERROR, Timer.A, Timer.B, Timer.D, Timer.M, Timer.X),
    {
        State.CALLING: _CALLING,
        State.HELD: _CALLING
        | {
            Input.PROVISIONAL: Row(State.PROCEEDING, (Do.SEND_CANCEL, Timer.X, Do.PASS)),
            Timer.A: Row(State.HELD, (Do.RESEND, Timer.A)),
            Input.CANCEL: Row(State.HELD),
        },
        State.PROCEEDING: {
            Input.PROVISIONAL: Row(State.PROCEEDING, (Do.PASS,)),
            Input.SUCCESS: _CALLING[Input.SUCCESS],
            Input.FAILURE: _CALLING[Input.FAILURE],
            Input.CANCEL: Row(State.PROCEEDING, (Do.SEND_CANCEL, Timer.X)),
            Timer.X: Row(State.TERMINATED, (Do.FORGET, Do.TIMED_OUT)),
        },
        State.ACCEPTED: {
            Input.SUCCESS: Row(State.ACCEPTED, (Do.PASS,)),
            Timer.M: Row(State.TERMINATED, (Do.FORGET,)),
        },
        State.COMPLETED: {
            Input.FAILURE: Row(State.COMPLETED, (Do.SEND_ACK,)),
            Timer.D: Row(State.TERMINATED, (Do.FORGET,)),
            Input.ERROR: Row(State.TERMINATED, (Do.FORGET,)),
        },
    },
)

_FINAL = Row(State.COMPLETED, (Timer.K, Do.PASS))
_TRYING: dict[Event, Row] = {
    Input.PROVISIONAL: Row(State.PROCEEDING, (Do.PASS,)),
    Input.SUCCESS: _FINAL,
    Input.FAILURE: _FINAL,
    Timer.E: Row(State.TRYING, (Do.RESEND, Timer.E)),
    Timer.F: Row(State.TERMINATED, (Do.FORGET, Do.TIMED_OUT)),
    Input.ERROR: Row(State.TERMINATED, (Do.FORGET, Do.FAILED)),
}

CLIENT: Table = _table(
    (*_RESPONSES, Input.ERROR, Timer.E, Timer.F, Timer.K),
    {
        State.TRYING: _TRYING,
        State.PROCEEDING: _TRYING | {Timer.E: Row(State.PROCEEDING, (Do.RESEND, Timer.E))},
        State.COMPLETED: {Timer.K: Row(State.TERMINATED, (Do.FORGET,))},
    },
)

INVITE_SERVER: Table = _table(
    (*_RESPONSES, Input.REQUEST, Input.ACK, Input.ERROR, Timer.G, Timer.H, Timer.I, Timer.L, Timer.R),
    {
        State.PROCEEDING: {
            Input.REQUEST: Row(State.PROCEEDING, (Do.RESEND,)),
            Input.PROVISIONAL: Row(State.PROCEEDING, (Do.SEND,)),
            Input.SUCCESS: Row(State.ACCEPTED, (Do.SEND, Timer.R, Timer.L)),
            Input.FAILURE: Row(State.COMPLETED, (Do.SEND, Timer.G, Timer.H)),
        },
        State.ACCEPTED: {
            # RFC 6026 7.1: the INVITE again is absorbed; the 2xx goes out by its own clock.
            Timer.R: Row(State.ACCEPTED, (Do.RESEND, Timer.R)),
            Input.ACK: Row(State.ACKNOWLEDGED, (Do.PASS,)),
            Timer.L: Row(State.TERMINATED, (Do.FORGET, Do.UNACKNOWLEDGED)),
        },
        State.ACKNOWLEDGED: {
            Timer.L: Row(State.TERMINATED, (Do.FORGET,)),
        },
        State.COMPLETED: {
            Input.REQUEST: Row(State.COMPLETED, (Do.RESEND,)),
            Timer.G: Row(State.COMPLETED, (Do.RESEND, Timer.G)),
            Timer.H: Row(State.TERMINATED, (Do.FORGET,)),
            Input.ACK: Row(State.CONFIRMED, (Timer.I,)),
            Input.ERROR: Row(State.TERMINATED, (Do.FORGET,)),
        },
        State.CONFIRMED: {Timer.I: Row(State.TERMINATED, (Do.FORGET,))},
    },
)

_ANSWERED = Row(State.COMPLETED, (Do.SEND, Timer.J))

SERVER: Table = _table(
    (*_RESPONSES, Input.REQUEST, Input.ERROR, Timer.J),
    {
        State.TRYING: {
            Input.PROVISIONAL: Row(State.PROCEEDING, (Do.SEND,)),
            Input.SUCCESS: _ANSWERED,
            Input.FAILURE: _ANSWERED,
        },
        State.PROCEEDING: {
            Input.REQUEST: Row(State.PROCEEDING, (Do.RESEND,)),
            Input.PROVISIONAL: Row(State.PROCEEDING, (Do.SEND,)),
            Input.SUCCESS: _ANSWERED,
            Input.FAILURE: _ANSWERED,
        },
        State.COMPLETED: {
            Input.REQUEST: Row(State.COMPLETED, (Do.RESEND,)),
            Timer.J: Row(State.TERMINATED, (Do.FORGET,)),
            Input.ERROR: Row(State.TERMINATED, (Do.FORGET,)),
        },
    },
)

MACHINES: Mapping[str, Table] = {
    "INVITE client": INVITE_CLIENT,
    "client": CLIENT,
    "INVITE server": INVITE_SERVER,
    "server": SERVER,
}


def cells() -> Iterator[tuple[str, State, Event, Row]]:
    """Every cell of every machine, for the manual and the tests."""
    for machine, table in MACHINES.items():
        for state, row in table.items():
            for event, cell in row.items():
                yield machine, state, event, cell


def response_input(status: int) -> Input:
    """The input that a response of this status is."""
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE
