"""Reliable provisional responses by themselves (RFC 3262): every cell of the table, the numbers, the intervals."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from b2bua.dialog.reliable import (
    MAX_RSEQ,
    QUEUED,
    TABLE,
    Do,
    Input,
    Order,
    Reliable,
    State,
    Verdict,
    rack_of,
    rseq_of,
)
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, Response
from b2bua.sip.tokens import Tokens

# RFC 3262 3: what happens -> where to, and what is done. What is not written changes nothing.
FIGURE = """
QUIET RESPONSE -> WAITING SEND
QUIET FINAL -> ANSWERED NOTHING
WAITING RESPONSE -> WAITING QUEUE
WAITING PRACK -> QUIET TAKE
WAITING AGAIN -> WAITING RESEND
WAITING TOO_LONG -> GIVEN_UP REFUSE
WAITING FINAL -> ANSWERED NOTHING
ANSWERED PRACK -> ANSWERED TAKE
"""


def tokens() -> Tokens:
    """Words that can be foreseen."""
    return Tokens(Random(1).randbytes)


class Table(SynchronousTestCase):
    """`TABLE`."""

    def test_every_cell(self) -> None:
        """S31, RFC 3262 3: each state decides each input, and as the figure says; GIVEN_UP is the end."""
        written: dict[tuple[State, Input], tuple[State, Do]] = {}
        for line in FIGURE.strip().splitlines():
            at, what, _, where, do = line.split()
            written[State[at], Input[what]] = State[where], Do[do]
        for state in State:
            for event in Input:
                wanted = written.pop((state, event), (state, Do.NOTHING))
                if state is State.GIVEN_UP:
                    wanted = State.GIVEN_UP, Do.NOTHING
                self.assertEqual(tuple(TABLE[state][event]), wanted, (state, event))
        self.assertEqual(written, {})


class Sender(SynchronousTestCase):
    """`Reliable`."""

    def test_numbers(self) -> None:
        """S31, RFC 3262 3: from 1 to 2^31 - 1 to begin with, one more for each; each INVITE begins elsewhere."""
        source = tokens()
        first: set[int] = set()
        for _ in range(50):
            sending: Reliable[str] = Reliable(7, source)
            self.assertIs(sending.send("a"), Do.SEND)
            self.assertTrue(1 <= sending.rseq < 2**31)
            first.add(sending.rseq)
            at = sending.rseq
            self.assertEqual(sending.acknowledge((at, 7, "INVITE")), "a")
            self.assertIs(sending.send("b"), Do.SEND)
            self.assertEqual(sending.rseq, at + 1)
        self.assertEqual(len(first), 50)

    def test_what_acknowledges(self) -> None:
        """RFC 3262 7.2: RSeq, CSeq number and method, all three; and once."""
        sending: Reliable[str] = Reliable(7, tokens())
        self.assertIsNone(sending.acknowledge((sending.rseq, 7, "INVITE")))
        sending.send("a")
        at = sending.rseq
        for wrong in ((at + 1, 7, "INVITE"), (at - 1, 7, "INVITE"), (at, 8, "INVITE"), (at, 7, "UPDATE")):
            self.assertIsNone(sending.acknowledge(wrong))
        self.assertEqual(sending.acknowledge((at, 7, "INVITE")), "a")
        self.assertIsNone(sending.acknowledge((at, 7, "INVITE")))

    def test_given_up(self) -> None:
        """After 64·T1 no PRACK helps any more."""
        sending: Reliable[str] = Reliable(7, tokens())
        sending.send("a")
        sending.step(Input.TOO_LONG)
        self.assertIsNone(sending.acknowledge((sending.rseq, 7, "INVITE")))

    def test_one_at_a_time(self) -> None:
        """RFC 3262 3: the second waits for the PRACK of the first; what is too much is left out."""
        sending: Reliable[int] = Reliable(1, tokens())
        sending.send(-1)
        for number in range(QUEUED + 5):
            self.assertIs(sending.send(number), Do.QUEUE)
        self.assertEqual(list(sending.queue), list(range(QUEUED)))
        self.assertEqual(sending.waiting, -1)

    def test_intervals(self) -> None:
        """RFC 3262 3: T1, doubled for each retransmission, and 64·T1 in all."""
        sending: Reliable[str] = Reliable(1, tokens())
        sending.send("a")
        intervals, dos = [], []
        for _ in range(7):
            intervals.append(sending.next_interval(0.5))
            dos.append(sending.due(0.5))
        self.assertEqual(intervals, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 0.5])
        self.assertEqual(dos, [Do.RESEND] * 6 + [Do.REFUSE])


class Receiver(SynchronousTestCase):
    """`Order`."""

    def test_order(self) -> None:
        """S31, RFC 3262 4: any number first, then one after the other; what comes again is known; none is left out."""
        order = Order()
        self.assertIs(order.judge(5, 100), Verdict.NEXT)
        self.assertIs(order.judge(5, 100), Verdict.AGAIN)
        self.assertIs(order.judge(5, 102), Verdict.TOO_EARLY)
        self.assertIs(order.judge(5, 101), Verdict.NEXT)
        self.assertIs(order.judge(5, 99), Verdict.AGAIN)
        self.assertIs(order.judge(5, 102), Verdict.NEXT)
        self.assertIs(order.judge(6, 3), Verdict.NEXT)  # another INVITE begins elsewhere


class Headers(SynchronousTestCase):
    """RSeq and RAck."""

    def rseq(self, **headers: list[str]) -> int:
        """RSeq of a 183."""
        return rseq_of(Response(183, "", headers))

    def test_rseq(self) -> None:
        """RFC 3262 4: only with Require: 100rel; RFC 3262 7.1: a number of 32 bits."""
        self.assertEqual(self.rseq(Require=["100Rel"], RSeq=["988789"]), 988789)
        self.assertEqual(self.rseq(Require=["100rel"]), 0)
        self.assertEqual(self.rseq(RSeq=["988789"]), 0)
        for wrong in (["x"], [str(MAX_RSEQ + 1)], ["1", "2"], [""]):
            self.assertRaises(Malformed, self.rseq, Require=["100rel"], RSeq=wrong)

    def rack(self, *values: str) -> tuple[int, int, str]:
        """RAck of a PRACK."""
        return rack_of(Request("PRACK", "sip:a@b", {"RAck": list(values)} if values else {}))

    def test_rack(self) -> None:
        """RFC 3262 7.2."""
        self.assertEqual(self.rack("776656 1 \t INVITE"), (776656, 1, "INVITE"))
        for wrong in ("", "1 INVITE", "1 2 3 4", "-1 2 INVITE", "1 x INVITE", f"{MAX_RSEQ + 1} 1 INVITE"):
            self.assertRaises(Malformed, self.rack, wrong)
        self.assertRaises(Malformed, self.rack)
        self.assertRaises(Malformed, self.rack, "1 2 INVITE", "1 2 INVITE")
