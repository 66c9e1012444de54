"""Our own registration as a table, and its times (RFC 3261 10.2, RFC 5626 4.5)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.enrolling import (
    LONGEST,
    MOST,
    SOONEST,
    TABLE,
    Do,
    Input,
    Row,
    State,
    back_off,
    granted,
    longer,
    refresh_in,
)
from b2bua.sip.message import Headers, Response
from b2bua.sip.uri import parse_uri

OURS = parse_uri("sip:4420@192.0.2.1:5060")

# Every cell in which something happens, as a person reads the RFC; all the others stay and do nothing.
DECIDED = {
    ("not registered", "START"): ("registering", "ASK"),
    ("registering", "ACCEPTED"): ("registered", "KEEP"),
    ("registering", "BRIEF"): ("registering", "LONGER"),
    ("registering", "REFUSED"): ("failed", "LOSE BACK_OFF"),
    ("registering", "FAILED"): ("registering", "NEXT"),
    ("registering", "EXHAUSTED"): ("failed", "LOSE BACK_OFF"),
    ("registering", "STOP"): ("ending", ""),
    ("registered", "DUE"): ("registered, refreshing", "ASK"),
    ("registered", "LAPSED"): ("registering", "LOSE ASK"),
    ("registered", "STOP"): ("leaving", "LEAVE"),
    ("registered, refreshing", "ACCEPTED"): ("registered", "KEEP"),
    ("registered, refreshing", "BRIEF"): ("registered, refreshing", "LONGER"),
    ("registered, refreshing", "REFUSED"): ("registered, but the refresh failed", "BACK_OFF"),
    ("registered, refreshing", "FAILED"): ("registered, refreshing", "NEXT"),
    ("registered, refreshing", "EXHAUSTED"): ("registered, but the refresh failed", "BACK_OFF"),
    ("registered, refreshing", "LAPSED"): ("registering", "LOSE"),
    ("registered, refreshing", "STOP"): ("ending", ""),
    ("registered, but the refresh failed", "DUE"): ("registered, refreshing", "ASK"),
    ("registered, but the refresh failed", "LAPSED"): ("failed", "LOSE"),
    ("registered, but the refresh failed", "STOP"): ("leaving", "LEAVE"),
    ("failed", "DUE"): ("registering", "ASK"),
    ("failed", "STOP"): ("not registered", ""),
    ("ending", "START"): ("registering", ""),
    ("ending", "ACCEPTED"): ("leaving", "LEAVE"),
    **{("ending", event): ("not registered", "") for event in ("BRIEF", "REFUSED", "FAILED", "EXHAUSTED")},
    **{("leaving", event): ("not registered", "") for event in ("ACCEPTED", "BRIEF", "REFUSED", "FAILED", "EXHAUSTED")},
}


class TestTable(SynchronousTestCase):
    """Every state and every input."""

    def test_every_cell(self) -> None:
        """As above."""
        for state in State:
            for event in Input:
                cell = TABLE[state][event]
                next_state, actions = DECIDED.get((state.value, event.name), (state.value, ""))
                self.assertEqual(
                    (cell.state.value, " ".join(Do(each).name for each in cell.actions)),
                    (next_state, actions),
                    f"{state.value}, {event.name}",
                )
        self.assertIsInstance(cell, Row)

    def test_one_at_a_time(self) -> None:
        """RFC 3261 10.2: no other REGISTER while one has no answer: only its own end leads to another."""
        waiting = {State.ASKING, State.REFRESHING, State.ENDING, State.LEAVING}
        sends = {Do.ASK, Do.NEXT, Do.LONGER, Do.LEAVE}
        for state in waiting:
            for event in (Input.START, Input.DUE, Input.LAPSED, Input.STOP):
                self.assertFalse(sends & set(TABLE[state][event].actions), f"{state}, {event}")
        for state in set(State) - waiting:
            for event in (Input.ACCEPTED, Input.BRIEF, Input.REFUSED, Input.FAILED, Input.EXHAUSTED):
                self.assertEqual(TABLE[state][event], Row(state))

    def test_it_ends(self) -> None:
        """STOP leads to the end from everywhere, whatever is answered."""
        for state in State:
            state = TABLE[state][Input.STOP].state
            for event in (Input.ACCEPTED, Input.FAILED):
                state = TABLE[state][event].state
            self.assertIs(state, State.IDLE)


class TestTimes(SynchronousTestCase):
    """Chance and bounds."""

    def test_refresh(self) -> None:
        """75 to 90 % of the time, and never at once."""
        self.assertEqual(refresh_in(3600, lambda n: 0), 2700)
        self.assertEqual(refresh_in(3600, lambda n: n - 1), 3240)
        self.assertEqual(refresh_in(1, lambda n: 0), SOONEST)

    def test_back_off(self) -> None:
        """RFC 5626 4.5: 30 s doubled to half an hour, of which 50 to 100 %; Retry-After where it is more."""
        self.assertEqual(
            [back_off(each, 0, lambda n: n - 1) for each in (1, 2, 3, 9, 10**9)], [30, 60, 120, LONGEST, LONGEST]
        )
        self.assertEqual([back_off(each, 0, lambda n: 0) for each in (1, 2, 99)], [15, 30, LONGEST / 2])
        self.assertEqual(back_off(1, 3000, lambda n: 0), 3000)
        self.assertEqual(back_off(99, 3, lambda n: 0), LONGEST / 2)

    def test_longer(self) -> None:
        """RFC 3261 20.23: only what is more than was asked, and what can be read."""
        for text, seconds in (
            ("7200", 7200),
            ("3600", 0),
            ("60", 0),
            ("x", 0),
            ("", 0),
            (str(MOST + 1), 0),
            ("9" * 99, 0),
        ):
            self.assertEqual(longer(Response(423, "", {"Min-Expires": [text]}), 3600), seconds, text)
        self.assertEqual(longer(Response(423, "", {}), 3600), 0)

    def test_granted(self) -> None:
        """Our Contact's expires; the header's; else what was asked (RFC 3261 10.2.4)."""
        ours, other = "<sip:4420@192.0.2.1:5060>", "<sip:4420@198.51.100.9:1024>"
        cases: list[tuple[Headers, int]] = [
            ({"Contact": [f"{ours};expires=60"]}, 60),
            ({"Contact": [f"{other};expires=90, {ours};expires=60"]}, 60),
            ({"Contact": [f"{other};expires=90, <sip:x@192.0.2.9>;expires=1"]}, 90),
            ({"Contact": ["<sip:seen@198.51.100.9>;expires=45"]}, 45),
            ({"Contact": ["<sip:x@198.51.100.9>;expires=45, <sip:y@198.51.100.8>;expires=60"], "Expires": ["60"]}, 0),
            ({"Contact": ["<sip:x@198.51.100.9>;expires=45, <sip:x@192.0.2.1:5060>"], "Expires": ["60"]}, 60),
            ({"Contact": [ours], "Expires": ["120"]}, 120),
            ({"Contact": [f"{ours};expires=soon"]}, 600),
            ({"Contact": [f"{ours};expires=0"]}, 0),
            ({"Contact": ["<tel:+1>;expires=5"]}, 600),
            ({"Contact": ["<<<"]}, 600),
            ({"Contact": [f"{ours};expires={'9' * 40}"]}, MOST),
            ({"Expires": ["77"]}, 77),
            ({}, 600),
        ]
        for headers, seconds in cases:
            self.assertEqual(granted(Response(200, "OK", headers), OURS, 600), seconds, headers)
