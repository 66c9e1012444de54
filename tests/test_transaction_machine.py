"""RFC 3261 17, RFC 6026: the four machines, cell by cell.

The figures below are what the RFCs draw (figures 5 to 8 of RFC 3261, 5 and 7 as changed by RFC 6026), written as text.
Every state and every input stands in them, also where nothing happens. They are compared with the tables in the code.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import tests.hostile  # noqa: F401 - the settings of the property tests
from b2bua.transaction.machine import MACHINES, Action, Do, Event, Input, Row, State, cells, response_input
from b2bua.transaction.timers import Timer

# What happens -> where to, and what is done, in this order. A single capital is a timer: it fires, or it is started.
FIGURES = {
    # RFC 3261 17.1.1, RFC 6026 8.4. HELD is Calling with a CANCEL that waits for a 1xx (RFC 3261 9.1); X gives up 64*T1
    # after it was sent (RFC 3261 9.1). B is a matter of Calling only; an error matters until a 1xx or 2xx is here.
    "INVITE client": """
        CALLING
            1xx     -> PROCEEDING  pass
            2xx     -> ACCEPTED    M pass
            3-6xx   -> COMPLETED   ack D pass
            A       -> CALLING     resend A
            B       -> TERMINATED  forget timed-out
            cancel  -> HELD
            error   -> TERMINATED  forget failed
            nothing on D M X
        HELD
            1xx     -> PROCEEDING  send-cancel X pass
            2xx     -> ACCEPTED    M pass
            3-6xx   -> COMPLETED   ack D pass
            A       -> HELD        resend A
            B       -> TERMINATED  forget timed-out
            error   -> TERMINATED  forget failed
            nothing on cancel D M X
        PROCEEDING
            1xx     -> PROCEEDING  pass
            2xx     -> ACCEPTED    M pass
            3-6xx   -> COMPLETED   ack D pass
            cancel  -> PROCEEDING  send-cancel X
            X       -> TERMINATED  forget timed-out
            nothing on A B D M error
        ACCEPTED
            2xx     -> ACCEPTED    pass
            M       -> TERMINATED  forget
            nothing on 1xx 3-6xx cancel error A B D X
        COMPLETED
            3-6xx   -> COMPLETED   ack
            D       -> TERMINATED  forget
            error   -> TERMINATED  forget
            nothing on 1xx 2xx cancel A B M X
        TERMINATED
            nothing on 1xx 2xx 3-6xx cancel error A B D M X
    """,
    # RFC 3261 17.1.2
    "client": """
        TRYING
            1xx     -> PROCEEDING  pass
            2xx     -> COMPLETED   K pass
            3-6xx   -> COMPLETED   K pass
            E       -> TRYING      resend E
            F       -> TERMINATED  forget timed-out
            error   -> TERMINATED  forget failed
            nothing on K
        PROCEEDING
            1xx     -> PROCEEDING  pass
            2xx     -> COMPLETED   K pass
            3-6xx   -> COMPLETED   K pass
            E       -> PROCEEDING  resend E
            F       -> TERMINATED  forget timed-out
            error   -> TERMINATED  forget failed
            nothing on K
        COMPLETED
            K       -> TERMINATED  forget
            nothing on 1xx 2xx 3-6xx error E F
        TERMINATED
            nothing on 1xx 2xx 3-6xx error E F K
    """,
    # RFC 3261 17.2.1, RFC 6026 7.1. R sends the 2xx again until the ACK comes (RFC 3261 13.3.1.4), which is Accepted
    # before and ACKNOWLEDGED after it; L then ends it (RFC 6026 7.1).
    "INVITE server": """
        PROCEEDING
            request -> PROCEEDING  resend
            1xx     -> PROCEEDING  send
            2xx     -> ACCEPTED    send R L
            3-6xx   -> COMPLETED   send G H
            nothing on ack error G H I L R
        ACCEPTED
            R       -> ACCEPTED    resend R
            ack     -> ACKNOWLEDGED pass
            L       -> TERMINATED  forget unacknowledged
            nothing on request 1xx 2xx 3-6xx error G H I
        ACKNOWLEDGED
            L       -> TERMINATED  forget
            nothing on request ack 1xx 2xx 3-6xx error G H I R
        COMPLETED
            request -> COMPLETED   resend
            G       -> COMPLETED   resend G
            H       -> TERMINATED  forget
            ack     -> CONFIRMED   I
            error   -> TERMINATED  forget
            nothing on 1xx 2xx 3-6xx I L R
        CONFIRMED
            I       -> TERMINATED  forget
            nothing on request ack 1xx 2xx 3-6xx error G H L R
        TERMINATED
            nothing on request ack 1xx 2xx 3-6xx error G H I L R
    """,
    # RFC 3261 17.2.2
    "server": """
        TRYING
            1xx     -> PROCEEDING  send
            2xx     -> COMPLETED   send J
            3-6xx   -> COMPLETED   send J
            nothing on request error J
        PROCEEDING
            request -> PROCEEDING  resend
            1xx     -> PROCEEDING  send
            2xx     -> COMPLETED   send J
            3-6xx   -> COMPLETED   send J
            nothing on error J
        COMPLETED
            request -> COMPLETED   resend
            J       -> TERMINATED  forget
            error   -> TERMINATED  forget
            nothing on 1xx 2xx 3-6xx
        TERMINATED
            nothing on request error 1xx 2xx 3-6xx J
    """,
}
INPUTS: dict[str, Event] = {
    "1xx": Input.PROVISIONAL, "2xx": Input.SUCCESS, "3-6xx": Input.FAILURE, "request": Input.REQUEST, "ack": Input.ACK,
    "cancel": Input.CANCEL, "error": Input.ERROR,
}  # fmt: skip
DOINGS: dict[str, Action] = {
    "send": Do.SEND, "resend": Do.RESEND, "ack": Do.SEND_ACK, "send-cancel": Do.SEND_CANCEL, "pass": Do.PASS,
    "timed-out": Do.TIMED_OUT, "failed": Do.FAILED, "unacknowledged": Do.UNACKNOWLEDGED, "forget": Do.FORGET,
}  # fmt: skip

Figure = dict[tuple[State, Event], Row]


def read(figure: str) -> Figure:
    """A figure's cells."""
    found: Figure = {}
    state = State.TERMINATED
    for line in figure.strip().splitlines():
        words = line.split()
        if len(words) == 1:
            state = State[words[0]]
        elif words[0] == "nothing":
            for word in words[2:]:
                enter(found, state, event(word), Row(state))
        else:
            actions = tuple(DOINGS[word] if word in DOINGS else Timer[word] for word in words[3:])
            enter(found, state, event(words[0]), Row(State[words[2]], actions))
    return found


def enter(figure: Figure, state: State, at: Event, row: Row) -> None:
    """Fill a cell, once."""
    assert (state, at) not in figure, f"{state.name} {at.name} is drawn twice"
    figure[state, at] = row


def event(word: str) -> Event:
    """What comes in."""
    return INPUTS[word] if word in INPUTS else Timer[word]


class TestFigures(SynchronousTestCase):
    """Each machine is as its figure."""

    def compare(self, machine: str) -> None:
        """Cell by cell, and no cell more or less."""
        figure = read(FIGURES[machine])
        table = {(state, at): row for name, state, at, row in cells() if name == machine}
        for place, row in figure.items():
            self.assertEqual(table.get(place), row, f"{machine}: {place[0].name} {place[1].name}")
        self.assertEqual(table.keys(), figure.keys())

    def test_invite_client(self) -> None:
        """RFC 3261 figure 5, RFC 6026 8.4, RFC 3261 9.1 (S23, S26)."""
        self.compare("INVITE client")

    def test_client(self) -> None:
        """RFC 3261 figure 6."""
        self.compare("client")

    def test_invite_server(self) -> None:
        """RFC 3261 figure 7, RFC 6026 7.1, RFC 3261 13.3.1.4 (S23)."""
        self.compare("INVITE server")

    def test_server(self) -> None:
        """RFC 3261 figure 8."""
        self.compare("server")

    def test_all_drawn(self) -> None:
        """There are no other machines."""
        self.assertEqual(MACHINES.keys(), FIGURES.keys())


class TestEveryCellDecided(SynchronousTestCase):
    """S22: no state and no input without a decision."""

    def test_rectangles(self) -> None:
        """In each machine every state knows every input."""
        for machine, table in MACHINES.items():
            inputs = {at for row in table.values() for at in row}
            for state, row in table.items():
                self.assertEqual(set(row), inputs, f"{machine} {state.name}")

    def test_closed(self) -> None:
        """Every next state is one of the machine's; every timer that is started is known in the state that follows."""
        for machine, state, at, row in cells():
            table = MACHINES[machine]
            self.assertIn(row.state, table, f"{machine} {state.name} {at.name}")
            for action in row.actions:
                if isinstance(action, Timer):
                    self.assertIn(action, table[row.state])
                    self.assertNotEqual(
                        table[row.state][action], Row(row.state), f"{machine} {action.name} is for nothing"
                    )

    def test_ends(self) -> None:
        """A transaction is forgotten where it ends and nowhere else; and every state has a way to its end."""
        for machine, state, at, row in cells():
            ends = row.state is State.TERMINATED and state is not State.TERMINATED
            self.assertEqual(Do.FORGET in row.actions, ends, f"{machine} {state.name} {at.name}")
        for table in MACHINES.values():
            reached = {State.TERMINATED}
            while more := {
                s for s, row in table.items() if s not in reached and {c.state for c in row.values()} & reached
            }:
                reached |= more
            self.assertEqual(reached, set(table))

    def test_states_and_inputs_are_used(self) -> None:
        """No state, input, timer or action is there for nothing."""
        every = list(cells())
        self.assertEqual({state for _, state, _, _ in every}, set(State))
        self.assertEqual({at for _, _, at, _ in every}, {*Input, *Timer})
        with_the_request = {Timer.A, Timer.B, Timer.E, Timer.F}  # they start as it is sent
        started = {action for _, _, _, row in every for action in row.actions}
        self.assertEqual(started | with_the_request, {*Do, *Timer})

    @given(st.sampled_from(sorted(MACHINES)), st.lists(st.integers(0, 11), max_size=40))
    def test_any_order(self, machine: str, order: list[int]) -> None:
        """Whatever comes in whatever order: the core is told of an end once, and of nothing after it."""
        table = MACHINES[machine]
        state = next(iter(table))
        forgotten = told = 0
        for number in order:
            row = list(table[state].values())[number % len(table[state])]
            for action in row.actions:
                forgotten += action is Do.FORGET
                told += action in (Do.TIMED_OUT, Do.FAILED, Do.UNACKNOWLEDGED)
            if state is State.TERMINATED:
                self.assertEqual(row.actions, ())
            state = row.state
        self.assertEqual(forgotten, state is State.TERMINATED)
        self.assertLessEqual(told, 1)


class TestResponses(SynchronousTestCase):
    """Which input a response is."""

    def test_classes(self) -> None:
        """1xx, 2xx and all the others."""
        for status, at in (
            (100, Input.PROVISIONAL),
            (199, Input.PROVISIONAL),
            (200, Input.SUCCESS),
            (299, Input.SUCCESS),
            (300, Input.FAILURE),
            (487, Input.FAILURE),
            (699, Input.FAILURE),
        ):
            self.assertIs(response_input(status), at)
