"""Reliable provisional responses of one leg (RFC 3262, S31), without sockets or a clock.

`Reliable` sends them, for one INVITE of the peer's: one at a time, again and again until its PRACK. `Order` takes them,
for one INVITE of ours: each once, and none before the one that precedes it. The table decides every (state, input).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from enum import Enum, auto
from typing import Generic, NamedTuple, TypeVar

from b2bua.sip.grammar import Malformed, digits
from b2bua.sip.message import Request, Response
from b2bua.sip.tokens import Tokens

OPTION = "100rel"
MAX_RSEQ = 2**32 - 1  # RFC 3262 7.1
_FIRST_BELOW = 2**31 - 1  # RFC 3262 3: chosen "uniformly between 1 and 2**31 - 1"
QUEUED = 16  # responses that wait for the PRACK of the one before, at most

_RACK = re.compile(r"([0-9]++)[ \t]++([0-9]++)[ \t]++(\S++)")

Item = TypeVar("Item")


class State(Enum):
    """Where the responses to one INVITE stand."""

    QUIET = auto()  # none waits for its PRACK
    WAITING = auto()  # one does; others may be queued behind it
    ANSWERED = auto()  # the INVITE has its final response; a late PRACK is still good
    GIVEN_UP = auto()  # no PRACK came in 64·T1


class Input(Enum):
    """What comes in."""

    RESPONSE = auto()  # a provisional response is to be sent reliably
    PRACK = auto()  # the PRACK for the one that waits
    AGAIN = auto()  # the interval between two retransmissions has passed
    TOO_LONG = auto()  # 64·T1 have passed
    FINAL = auto()  # the INVITE has its final response


class Do(Enum):
    """What to do."""

    SEND = auto()  # it, with the next RSeq
    QUEUE = auto()  # it waits for its turn
    RESEND = auto()  # the one that waits
    TAKE = auto()  # it is acknowledged: send the next in the queue
    REFUSE = auto()  # the INVITE, with a 5xx (RFC 3262 3)
    NOTHING = auto()


class Row(NamedTuple):
    """One cell: the next state and what to do."""

    state: State
    do: Do = Do.NOTHING


_OVER = {event: Row(State.GIVEN_UP) for event in Input}
TABLE: Mapping[State, Mapping[Input, Row]] = {
    State.QUIET: {
        Input.RESPONSE: Row(State.WAITING, Do.SEND),
        Input.PRACK: Row(State.QUIET),
        Input.AGAIN: Row(State.QUIET),
        Input.TOO_LONG: Row(State.QUIET),
        Input.FINAL: Row(State.ANSWERED),
    },
    State.WAITING: {
        # RFC 3262 3: no second one before the first is acknowledged.
        Input.RESPONSE: Row(State.WAITING, Do.QUEUE),
        Input.PRACK: Row(State.QUIET, Do.TAKE),
        Input.AGAIN: Row(State.WAITING, Do.RESEND),
        Input.TOO_LONG: Row(State.GIVEN_UP, Do.REFUSE),
        Input.FINAL: Row(State.ANSWERED),
    },
    State.ANSWERED: {
        # RFC 3262 3: no new ones after the final response, no retransmissions, but their PRACKs are taken.
        Input.RESPONSE: Row(State.ANSWERED),
        Input.PRACK: Row(State.ANSWERED, Do.TAKE),
        Input.AGAIN: Row(State.ANSWERED),
        Input.TOO_LONG: Row(State.ANSWERED),
        Input.FINAL: Row(State.ANSWERED),
    },
    State.GIVEN_UP: _OVER,
}


class Reliable(Generic[Item]):
    """The reliable responses to one INVITE of the peer's, whose CSeq number is `cseq`.

    `waiting` is the item whose PRACK is awaited, with the number `rseq`; `queue` those behind it.
    """

    __slots__ = ("state", "cseq", "rseq", "waiting", "queue", "interval", "passed")

    def __init__(self, cseq: int, tokens: Tokens) -> None:
        self.state = State.QUIET
        self.cseq = cseq
        self.rseq = tokens.below(_FIRST_BELOW)  # of the one before the first
        self.waiting: Item | None = None
        self.queue: deque[Item] = deque()
        self.interval = self.passed = 0.0

    def step(self, event: Input) -> Do:
        """Take an input: go to the next state and say what to do."""
        self.state, do = TABLE[self.state][event]
        return do

    def send(self, item: Item) -> Do:
        """A response: SEND says that it is its turn now, as number `rseq`."""
        do = self.step(Input.RESPONSE)
        if do is Do.SEND:
            self.rseq += 1
            self.waiting = item
            self.interval = self.passed = 0.0
        elif do is Do.QUEUE and len(self.queue) < QUEUED:
            self.queue.append(item)
        return do

    def acknowledge(self, rack: tuple[int, int, str]) -> Item | None:
        """The item that a RAck acknowledges; None where it is for nothing that waits (RFC 3262 3: 481)."""
        if self.waiting is None or rack != (self.rseq, self.cseq, "INVITE") or self.step(Input.PRACK) is not Do.TAKE:
            return None
        item, self.waiting = self.waiting, None
        return item

    def next_interval(self, t1: float) -> float:
        """Seconds to the next look: T1, doubled each time (RFC 3262 3), and 64·T1 in all."""
        self.interval = min(2 * self.interval if self.interval else t1, 64 * t1 - self.passed)
        self.passed += self.interval
        return self.interval

    def due(self, t1: float) -> Do:
        """That look: send it again, or give up."""
        return self.step(Input.TOO_LONG if self.passed >= 64 * t1 else Input.AGAIN)


class Verdict(Enum):
    """What a reliable response that comes is (RFC 3262 4)."""

    NEXT = auto()
    AGAIN = auto()
    TOO_EARLY = auto()  # one before it is missing: neither taken nor acknowledged


class Order:
    """The order of the reliable responses to our INVITEs, in one dialog."""

    __slots__ = ("cseq", "rseq")

    def __init__(self) -> None:
        self.cseq = self.rseq = 0

    def judge(self, cseq: int, rseq: int) -> Verdict:
        """A response with this RSeq to our INVITE of this number; NEXT means that it is taken."""
        if cseq == self.cseq:
            if rseq <= self.rseq:
                return Verdict.AGAIN
            if rseq != self.rseq + 1:
                return Verdict.TOO_EARLY
        self.cseq, self.rseq = cseq, rseq
        return Verdict.NEXT


def rseq_of(response: Response) -> int:
    """RSeq of a 1xx that is to be acknowledged; 0 of any other (RFC 3262 4). Malformed for what is no number."""
    if "RSeq" not in response.headers or OPTION not in response.tokens("Require"):
        return 0
    return digits(response.only("RSeq"), MAX_RSEQ, "RSeq", "RFC 3262 7.1")


def rack_of(request: Request) -> tuple[int, int, str]:
    """RAck: RSeq, CSeq number and method that a PRACK is for (RFC 3262 7.2). Malformed for what is none."""
    found = _RACK.fullmatch(request.only("RAck"))
    if found is None:
        raise Malformed("RAck is not two numbers and a method", "RFC 3262 7.2")
    rseq = digits(found[1], MAX_RSEQ, "RAck", "RFC 3262 7.2")
    return rseq, digits(found[2], MAX_RSEQ, "RAck", "RFC 3262 7.2"), found[3]
