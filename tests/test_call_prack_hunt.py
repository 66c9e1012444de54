"""Reliable provisional responses (RFC 3262, S31) where several targets or devices ring, or have rung."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog, Sent
from b2bua.sip.message import Headers
from tests.test_call_parallel import TO, parallel
from tests.world import TWO_SIDES, Party, World

URI = "sip:bob@biloxi.example"
SDP: Headers = {"Content-Type": ["application/sdp"]}
RELIABLE: Headers = {"Require": ["100rel"], "RSeq": ["7"]}
SUPPORTED: Headers = {"Supported": ["100rel"]}
REQUIRED: Headers = {"Require": ["100rel"]}


def serial(more: str) -> str:
    """A configuration whose route tries two hosts in series, also after 486."""
    return TWO_SIDES.replace(TO, f'to = ["sip:10.0.0.21", "sip:10.0.0.22"]\ngo_on = [486]\n{more}')


class Two(SynchronousTestCase):
    """Two phones, and what the tests below share."""

    def begin(self, configuration: str, headers: Headers) -> None:
        """Alice calls."""
        self.world = world = World(configuration)
        self.one, self.two = world.phone("one", "10.0.0.21"), world.phone("two", "10.0.0.22")
        self.talk = world.alice.invite(URI, headers=headers)
        world.forget()

    def prack(self, status: int = 183, dialog: Dialog | None = None) -> Sent:
        """Alice acknowledges the last response of a kind."""
        response = (dialog or self.talk).last(f"{status} INVITE")
        rack = f"{response.headers['RSeq'][0]} {response.cseq[0]} INVITE"
        sent = (dialog or self.talk).ask("PRACK", headers={"RAck": [rack]})
        self.world.settle()
        return sent

    def progress(self, party: Party) -> bytes:
        """Somebody answers the offer in a reliable 183; returns its session description."""
        said = party.talk.sdp()
        party.says(183, said, {**RELIABLE, **SDP})
        self.world.settle()
        return said

    def over(self, party: Party) -> None:
        """Alice hangs up, and nothing is left."""
        self.talk.bye()
        party.says(200, to="BYE")
        self.world.quiet()
        self.assertEqual(self.flushLoggedErrors(), [])


class Gone(Two):
    """Who sent a reliable response has refused."""

    def refused(self, more: str, headers: Headers) -> None:
        """The first target refuses before its 183 is acknowledged; the second one rings for a minute."""
        self.begin(serial(more), headers)
        self.one.says(183, b"", RELIABLE)
        self.one.says(183, b"", {**RELIABLE, "RSeq": ["8"]})
        self.one.says(486)
        self.world.settle()
        self.two.says(180, b"", RELIABLE)
        self.world.wait(20)
        self.assertEqual(self.talk.times("183 INVITE"), 1)
        self.prack(180)
        if self.two.open[-1][1].method == "PRACK":
            self.two.says(200, to="PRACK")
        self.world.wait(40)
        self.two.says(200)
        self.world.settle()
        self.assertEqual((self.talk.times("504 INVITE"), self.talk.times("200 INVITE")), (0, 1))
        self.over(self.two)

    def test_nobody_waits_for_its_prack(self) -> None:
        """RFC 3262 3: a response of an early dialog that is over is neither sent again, nor the end of the call."""
        self.refused("", SUPPORTED)

    def test_with_one_early_dialog(self) -> None:
        """The next target's responses do not wait behind it either."""
        self.refused('forks = "first"', REQUIRED)

    def test_a_2xx_that_waited_behind_it(self) -> None:
        """S29: another target's 2xx in the same early dialog crosses when nothing is in its way any more."""
        self.begin(parallel("10.0.0.21", "10.0.0.22", more='forks = "first"'), REQUIRED)
        self.progress(self.one)
        self.two.says(180)
        self.two.says(200)
        self.world.settle()
        self.assertEqual(self.talk.times("200 INVITE"), 0)
        self.one.says(486, to="INVITE")
        self.world.settle()
        self.assertEqual(self.prack(180).status, 200)
        self.assertEqual(self.talk.times("200 INVITE"), 1)
        self.over(self.two)


class OneAnswer(Two):
    """An answer that the caller is not told as one waits for the 2xx."""

    def test_one_early_dialog(self) -> None:
        """S28, RFC 3262 5: reliable on the far side only; the answer in the 2xx is that of who answers."""
        for winner, loser in ((0, 1), (1, 0)):
            self.begin(parallel("10.0.0.21", "10.0.0.22", more='forks = "first"'), SUPPORTED)
            both = (self.one, self.two)
            for party in both:
                self.progress(party)
                self.assertFalse({"RSeq", "Require"} & self.talk.last("183 INVITE").headers.keys())
                party.says(200, to="PRACK")
            both[winner].says(200, b"", to="INVITE")
            self.world.settle()
            answer = self.talk.last("200 INVITE")
            self.assertIn(f"c=IN IP4 {both[winner].at.address}".encode(), answer.body)
            self.assertEqual(answer.headers["Content-Type"], SDP["Content-Type"])
            self.assertEqual(both[loser].talk.times("CANCEL"), 1)
            self.over(both[winner])

    def test_the_caller_knows_none(self) -> None:
        """RFC 3261 13.2.1: to a caller that takes no 183 for an answer the 2xx brings it; one in the 2xx counts."""
        for again in (False, True):
            self.begin(parallel("10.0.0.21"), {})
            self.progress(self.one)
            self.one.says(200, to="PRACK")
            self.one.says(200, self.one.talk.sdp("recvonly") if again else b"", SDP if again else {}, to="INVITE")
            self.world.settle()
            answer = self.talk.last("200 INVITE")
            self.assertIn(b"m=audio", answer.body)
            self.assertEqual(b"a=recvonly" in answer.body, again)
            self.over(self.one)

    def test_a_reinvite_of_the_callees(self) -> None:
        """RFC 3262 3: the 2xx waits for the PRACK in whichever direction the INVITE goes."""
        self.world = world = World()
        self.talk, far = world.call()
        far.ask("INVITE", far.sdp(), {**SDP, **REQUIRED})
        world.alice.says(183, self.talk.sdp(), SDP)
        world.alice.says(200)
        world.settle()
        self.assertEqual(far.times("200 INVITE"), 0)
        self.assertEqual(self.prack(dialog=far).status, 200)
        self.assertEqual(far.times("200 INVITE"), 1)
        self.over(world.bob)
