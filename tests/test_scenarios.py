"""The library of ladders in the deterministic world: one test for each file, and what becomes of bad ones.

`b2bua selftest` plays the same files over real sockets (tests/test_selftest.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.selftest.library import FOLDER, scenarios
from b2bua.ops.selftest.play import Outcome
from b2bua.ops.selftest.report import drawn
from b2bua.ops.selftest.scenario import Reader, Scenario, ScenarioError
from b2bua.ops.selftest.verdict import grammar, verdict
from b2bua.ops.terminal import Look
from tests.engine import anchored
from tests.ladders import WorldStage, perform

CALL = "# RFC 3261: a call\nalice -> INVITE bob\nbob <- INVITE\n"


class Library(SynchronousTestCase):
    """Every scenario goes as it is drawn."""

    def perform(self, scenario: Scenario) -> tuple[Outcome, WorldStage]:
        """Play it."""
        return perform(scenario)


class Anchored(Library):
    """The same with the media of every call anchored, on an engine that takes its time."""

    def perform(self, scenario: Scenario) -> tuple[Outcome, WorldStage]:
        stage = WorldStage()
        studio = anchored(stage.world, 0.005)
        played = perform(scenario, stage)
        self.assertEqual((studio.open, len(stage.world.hall.media or ())), ({}, 0))
        return played


def _test_of(scenario: Scenario) -> Callable[[Library], None]:
    def test(self: Library) -> None:
        outcome, stage = self.perform(scenario)
        self.assertEqual(self.flushLoggedErrors(), [])
        if outcome.wrong:
            self.fail("\n".join([*outcome.wrong, drawn(stage, Look()), *stage.world.journal.lines]))

    test.__doc__ = scenario.title
    return test


for _scenario in scenarios():
    setattr(Library, "test_" + re.sub(r"\W", "_", _scenario.name), _test_of(_scenario))


def played(text: str) -> Outcome:
    """What becomes of a ladder that is written here."""
    return perform(Reader("here", text).scenario())[0]


class Format(SynchronousTestCase):
    """What a ladder may say."""

    def test_the_files(self) -> None:
        """Each names what it proves, an RFC's section or an S-number."""
        self.assertGreater(len(scenarios()), 50)
        for scenario in scenarios():
            self.assertRegex(
                scenario.title + scenario.notes, r"RFC [0-9]{4} [0-9A-Z]|\bS[0-9]+\b|RFC [0-9]{4}", scenario.name
            )
        self.assertEqual(len(list(FOLDER.glob("*.ladder"))), len(scenarios()))

    def test_what_cannot_be_read(self) -> None:
        """The file, the line, and what is wrong."""
        for text, why in (
            ("", "has a title"),
            ("# a title\n", "has a title"),
            ("# a\nalice => INVITE bob\n", '"alice => INVITE bob" is no step'),
            ("# a\neve -> INVITE bob\n", "eve is no phone"),
            ("# a\nalice <- INVITE bob\n", "names one whom it calls"),
            ("# a\nalice -> 200 INVITE bob\n", "names one whom it calls"),
            ("# a\nalice -> INVITE bob carol\n", "names one whom it calls"),
            ("# a\n  Require: 100rel\n", "stands below no message"),
            ("# a\nalice -> BYE\n  Require\n", "is no header"),
            ("# a\nalice -> BYE\n  ,x\n", "is no header"),
            ("# a\nalice -> BYE\n  sdp sideways\n", "no direction of media"),
            ("# a\nalice -> BYE\n  bob <- BYE\n", 'stands below "in any order"'),
            ("# a\nin any order\n  alice -> BYE\n", "only what comes"),
            ("# a\nin any order\n  alice <- BYE\nalice <- ACK\n", "two steps at least"),
            ("# a\ndelay BYE to bob\n", "by"),
            ("# a\nlose BYE to bob by 3\n", "by"),
            ("# a\nlose BYE to eve\n", "eve is no phone"),
            ("# a\neve answers BYE with 200\n", "eve is no phone"),
        ):
            with self.assertRaisesRegex(ScenarioError, re.escape(why)):
                Reader("here", text).scenario()

    def test_comments_and_blanks(self) -> None:
        """Blanks and comments between and behind the steps are nothing; only the first comment is the title."""
        scenario = Reader(
            "x", "# one\n# two\n\nslow\nalice -> INVITE bob   # three\n# four\nbob <-  INVITE [b]\n"
        ).scenario()
        self.assertEqual((scenario.title, scenario.notes, scenario.slow), ("one", "two", True))
        self.assertEqual([each.text for each in scenario.messages()], ["alice -> INVITE bob", "bob <- INVITE [b]"])
        self.assertEqual((scenario.phones, scenario.targets, scenario.wired), (("alice", "bob"), ("bob",), False))


class Interpreter(SynchronousTestCase):
    """It finds what goes otherwise."""

    def wrong(self, text: str, why: str) -> None:
        """The ladder fails, and this is why."""
        outcome = played(text)
        self.assertTrue(outcome.wrong, text)
        self.assertRegex(outcome.wrong[0], why)

    def test_what_goes_otherwise(self) -> None:
        """Each kind of expectation can fail, and names its line."""
        self.wrong(
            CALL + "bob -> 486 INVITE\nalice <- 480 INVITE\n", "line 5, alice <- 480 INVITE: 486 INVITE came instead"
        )
        self.wrong(CALL + "alice <- 180 INVITE\n", "line 4, .*: nothing came")
        self.wrong(CALL + "bob -> 180 INVITE\n", "at the end: 180 INVITE came to alice besides")
        self.wrong(CALL + "bob -> 100 INVITE\nbob <- INVITE again\n", "INVITE again: nothing came")
        self.wrong(CALL + "         Organization\n", "it has no Organization")
        self.wrong(CALL + "         Max-Forwards: 70\n", "its Max-Forwards is 69")
        self.wrong(CALL + "         no Via\n", "it has a Via")
        self.wrong(CALL + "         no sdp\n", "it has a body")
        self.wrong(CALL + "         sdp sendonly\n", "its media is sendrecv")
        self.wrong(CALL + "         body text/plain: x\n", "its body is application/sdp")
        self.wrong(CALL + "         body application/sdp: x=\n", "its body is b'v=0")
        self.wrong(CALL + "bob -> 180 INVITE\nalice <- 180 INVITE\n         sdp\n", "it has no SDP")

    def test_other_dialogs(self) -> None:
        """A message of another dialog than the line's is another message."""
        two = CALL + "bob -> 180 INVITE\nbob2 -> 180 INVITE\nalice <- 180 INVITE\n"
        self.wrong(two + "alice <- 180 INVITE\n", "line 7, alice <- 180 INVITE: it came in another dialog")
        self.assertEqual(played(two + "alice <- 180 INVITE [b]\n").wrong, [])

    def test_what_makes_no_sense(self) -> None:
        """A phone that has nothing to answer, acknowledge, repeat or follow says so."""
        self.wrong("# a\nalice -> BYE\n", "alice has no such call")
        self.wrong("# a\nalice -> BYE [x]\n", "alice has no such call \\[x\\]")
        self.wrong(CALL + "alice -> ACK\n", "nothing to acknowledge")
        self.wrong(CALL + "alice -> BYE again\n", "has not said BYE before")
        self.wrong(CALL + "bob -> 200 BYE\n", "bob was not asked BYE")
        self.wrong(CALL + "alice -> PRACK\n", "has no reliable response")
        self.wrong(CALL + "alice -> INVITE referred\n", "referred to nobody")
        self.wrong(CALL + "bob -> 302 INVITE\n         Contact: <{at eve}>\n", "eve is not there")

    def test_any_order(self) -> None:
        """What comes in any order still has to come, and nothing else."""
        cancelled = CALL + "bob -> 180 INVITE\nalice <- 180 INVITE\nalice -> CANCEL\nin any order\n"
        self.assertEqual(played(cancelled + "  alice <- 487 INVITE\n  alice <- 200 CANCEL\nbob <- CANCEL\n").wrong, [])
        self.wrong(cancelled + "  alice <- 487 INVITE\n  bob <- BYE\n", "line 8, alice <- 487 INVITE: 200 CANCEL came")


class Verdict(SynchronousTestCase):
    """What must be true of every play is looked at in what passed."""

    def setUp(self) -> None:
        outcome, self.stage = perform(Reader("here", "# a\nalice calls bob\n").scenario())
        self.assertEqual(outcome.wrong, [])

    def to_bob(self, start: bytes) -> int:
        """Where a message of this beginning is among what passed."""
        found = [at for at, each in enumerate(self.stage.passed) if each.inward and each.data.startswith(start)]
        return next(at for at in found if self.stage.passed[at].phone == "bob")

    def found(self, stage: WorldStage) -> str:
        """All that is wrong."""
        return "\n".join(verdict(stage))

    def test_a_leak(self) -> None:
        """S42: an id or a host of the other side, planted into what bob got."""
        at = self.to_bob(b"INVITE")
        whole = self.stage.passed[at].data
        call_id = re.findall(rb"Call-ID: ([^\r]+)", self.stage.passed[0].data)[0]
        for planted in (call_id, b"192.0.2.20", b"192.0.2.1"):
            self.stage.passed[at].data = whole.replace(b"\r\nCSeq", b"\r\nSubject: x " + planted + b" y\r\nCSeq")
            self.assertIn(f"INVITE to bob shows {planted.decode()} of the public side", self.found(self.stage))
        self.stage.passed[at].data = whole.replace(b"\r\nCSeq", b"\r\nSubject: 192.0.2.201 1192.0.2.1\r\nCSeq")
        self.assertEqual(self.found(self.stage), "")

    def test_grammar(self) -> None:
        """A message that our own parser refuses."""
        at = self.to_bob(b"INVITE")
        self.stage.passed[at].data = self.stage.passed[at].data.replace(b"CSeq: ", b"CSeq: x")
        self.assertIn("INVITE to bob is wrong", self.found(self.stage))
        self.stage.actors["bob"].receive(b"no sip\r\n\r\n", self.stage.actors["bob"].dialogs[0].flow)
        self.assertIn("bob got no SIP", self.found(self.stage))
        self.assertEqual(grammar(b"SIP/2.0 200 OK\r\n\r\n")[:3], "Via")

    def test_an_ack_that_is_missing(self) -> None:
        """RFC 3261 13.2.2.4: a 200 that reached the bridge and never had its ACK."""
        del self.stage.passed[self.to_bob(b"ACK")]
        self.assertIn("bob's 2xx to INVITE never had an ACK", self.found(self.stage))
