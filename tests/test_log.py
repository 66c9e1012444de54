"""What the log says: a line for a call's start, answer and end, one for a fault; as text and as JSON."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.log import LEVELS, CallLog, Floods, LogObserver, escaped
from b2bua.ops.phone import answer_all
from b2bua.policy.media import Daemon
from tests.world import TWO_SIDES, World

SCRIPT = "def route(request, listeners):\n    raise LookupError('no \\x1b[2J such customer')\n"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class Logged(SynchronousTestCase):
    """A world whose log is kept."""

    def world(self, form: str = "text", level: str = "info", configuration: str = TWO_SIDES, script: str = "") -> World:
        """One with the real journal."""
        self.stream = StringIO()
        observer: Any = LogObserver(lambda: self.stream, form, level)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        world = World(configuration, {"policy.py": script})
        world.hall.journal = world.switchboard._journal = CallLog()
        return world

    @property
    def lines(self) -> list[str]:
        """Every line so far."""
        text = self.stream.getvalue()
        self.assertTrue(text.endswith("\n") or not text)
        self.assertTrue(text.replace("\n", "").isprintable(), ascii(text))
        return text.splitlines()


class TestText(Logged):
    """A log that is read."""

    def test_a_call(self) -> None:
        """One line each for start, answer and end, with both legs' Call-IDs; nothing for what happens in between."""
        world = self.world()
        near, far = world.call()
        world.bob.asked = answer_all
        world.wait(7)
        near.reinvite()
        world.settle()
        near.bye()
        world.quiet()
        started, answered, ended = self.lines
        for line in (started, answered, ended):
            self.assertRegex(line, rf"^{TIME} info  call \w+ .*; Call-IDs {near.call_id} \| {far.call_id}$")
        self.assertIn(" starts: <sip:alice@192.0.2.20> by public-udp -> <sip:bob@10.0.0.20> by private-udp; ", started)
        self.assertIn("; rule inwards; ", started)
        self.assertRegex(answered, r" answered after 0\.\d s; ")
        self.assertRegex(ended, r" ended: the caller hung up; talked 7\.\d s; ")
        self.assertEqual(len({line.split()[3] for line in (started, answered, ended)}), 1)

    def test_a_call_that_fails(self) -> None:
        """Where a call comes to nothing there is its end, with the reason, and no answer."""
        world = self.world()
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        world.bob.talk.refuse(486)
        world.quiet()
        self.assertEqual(len(self.lines), 2)
        self.assertRegex(self.lines[1], r"ended: refused with 486; talked 0\.0 s")

    def test_no_route(self) -> None:
        """A call that no rule takes is one line of refusal, with the Call-ID, beside its end."""
        world = self.world(configuration=TWO_SIDES.partition("[[route]]")[0])
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.quiet()
        refused = [line for line in self.lines if "refused with 404: no route" in line]
        self.assertEqual(len(refused), 1, self.lines)
        self.assertIn("INVITE sip:bob@biloxi.example from udp:192.0.2.20:5060 at public-udp ", refused[0])
        self.assertTrue(refused[0].endswith(f"Call-ID {talk.call_id}"))

    def test_a_fault(self) -> None:
        """A peer that breaks a rule is one line: who, where, what, the rule, and the answer."""
        world = self.world()
        world.alice.mute = True
        world.alice.say(
            b"OPTIONS sip:bob@biloxi.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\n"
            b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 99999999999 OPTIONS\r\n\r\n"
        )
        world.settle()
        (line,) = self.lines
        self.assertRegex(line, rf"^{TIME} warn  OPTIONS from udp:192\.0\.2\.20:5060 at public-udp: CSeq ")
        self.assertRegex(line, r" \(RFC 3261 [\d.]+\); answered 400$")

    def test_a_flood(self) -> None:
        """One source does not fill the log: so many lines a second, then a count; a long word is cut."""
        now = [5.0]
        floods = Floods(lambda: now[0])
        allowed = [floods.allows("192.0.2.66") for _ in range(50)]
        self.assertEqual(allowed.count(True), Floods.LINES)
        self.assertTrue(floods.allows("192.0.2.67"))
        now[0] = 6.0
        self.assertTrue(floods.allows("192.0.2.66"))
        world = self.world()
        world.alice.invite(f"sip:{'b' * 500}@192.0.2.20")
        world.settle()
        self.assertLess(max(map(len, self.lines)), 900)

    def test_a_daemon(self) -> None:
        """One of an engine that answers no more, and again: what it means for calls."""
        journal = self.world().hall.journal
        daemon = Daemon("::1", 2223)
        journal.engine("rtp", daemon, False, "it does not answer")
        journal.engine("rtp", daemon, True, "")
        rests, answers = self.lines
        which = r"rtpengine \[::1\]:2223 of engine rtp"
        rest = "it does not answer; no call goes there until it answers"
        self.assertRegex(rests, f"^{TIME} warn  {which} rests: {rest}$")
        self.assertRegex(answers, f"^{TIME} info  {which} answers: calls go there$")

    def test_no_way(self) -> None:
        """A next hop that is not there: the target, the reason, the Call-ID."""
        world = self.world()
        world.bob.refusing = True
        talk = world.alice.invite("sip:bob@biloxi.example")
        world.quiet()
        (line,) = [line for line in self.lines if " warn " in line]
        self.assertIn("10.0.0.20:5060", line)
        self.assertTrue(line.endswith(f"Call-ID {talk.call_id}"), line)

    def test_control_characters(self) -> None:
        """What a peer sends acts on nobody's terminal: control characters, also of Unicode, are written as escapes."""
        world = self.world()
        world.alice.address = '"\x9b2J\u202eecila\u2028" <sip:alice@192.0.2.20>'
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.assertIn('"\\x9b2J\\u202eecila\\u2028" <sip:alice@192.0.2.20>', self.lines[0])
        world.alice.say(b"\x1b]0;title\x07 \r\n\r\n")
        world.alice.say(b"INVITE sip:\x1b[2J SIP/2.0\r\nSubject: \x1b[2J\r\n\r\n")
        world.settle()
        self.assertGreater(len(self.lines), 1)

    def test_a_script_that_raises(self) -> None:
        """A policy that raises: a line with the request, and the traceback, escaped as well."""
        world = self.world(configuration='policy = "policy.py"\n' + TWO_SIDES, script=SCRIPT)
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        text = "\n".join(self.lines)
        self.assertRegex(text, r"critical the policy script failed for INVITE sip:bob@biloxi\.example; Call-ID \w+\n")
        self.assertIn("Traceback", text)
        self.assertIn("LookupError: no \\x1b[2J such customer", text)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_levels(self) -> None:
        """What is less severe than asked for is not written."""
        world = self.world(level="warn")
        world.call()
        world.alice.say(b"nonsense\r\n\r\n")
        world.settle()
        self.assertEqual([line.split()[1] for line in self.lines], ["warn"])

    def test_twisteds_chatter(self) -> None:
        """Twisted's own news of every socket are left out; its troubles are not."""
        self.world()
        for namespace in ("twisted.internet.udp.Port", "twisted.conch.telnet"):
            log = Logger(namespace=namespace)
            log.info("starting on 5060")
            log.warn("something is wrong with {namespace}", namespace=namespace)
        self.assertEqual(len(self.lines), 2)
        self.assertTrue(all("something is wrong" in line for line in self.lines))


class TestJson(Logged):
    """A log that is searched."""

    def test_a_call(self) -> None:
        """One object a line, with the fields apart; numbers are numbers."""
        world = self.world("json")
        near, far = world.call()
        world.bob.asked = answer_all
        world.wait(3)
        near.bye()
        world.quiet()
        started, answered, ended = map(json.loads, self.lines)
        for each in (started, answered, ended):
            self.assertRegex(each["time"], f"^{TIME}$")
            self.assertEqual((each["level"], each["rule"]), ("info", "inwards"))
            self.assertEqual((each["call_id_in"], each["call_id_out"]), (near.call_id, far.call_id))
            self.assertEqual((each["listener_in"], each["listener_out"]), ("public-udp", "private-udp"))
            self.assertIn(each["call"], each["text"])
        self.assertEqual((ended["why"], round(ended["talked"])), ("the caller hung up", 3))

    def test_control_characters(self) -> None:
        """A line is ASCII, and a field has what was really sent."""
        world = self.world("json")
        world.alice.address = '"\x9b2J\u202eecila" <sip:alice@192.0.2.20>'
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        self.assertTrue(self.lines[0].isascii())
        self.assertEqual(json.loads(self.lines[0])["caller"], world.alice.address)

    def test_a_script_that_raises(self) -> None:
        """The traceback is a field."""
        world = self.world("json", configuration='policy = "policy.py"\n' + TWO_SIDES, script=SCRIPT)
        world.alice.invite("sip:bob@biloxi.example")
        world.settle()
        (failed,) = (each for each in map(json.loads, self.lines) if "traceback" in each)
        self.assertEqual(failed["level"], "critical")
        self.assertIn("LookupError", failed["traceback"])
        self.flushLoggedErrors(LookupError)


class TestEscaped(SynchronousTestCase):
    """The one place where text is made safe."""

    def test_what_stays(self) -> None:
        """Printable text of any language is left alone."""
        for text in ("", "plain", "Zoë 日本 \\x1b", '"quoted" <sip:a@b>'):
            self.assertEqual(escaped(text), text)

    def test_what_does_not(self) -> None:
        """Controls, line ends, what turns the writing round, and halves of characters."""
        for text, safe in (
            ("a\r\nb", "a\\r\\nb"),
            ("\x1b[31m", "\\x1b[31m"),
            ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
            ("\u202e\u2028", "\\u202e\\u2028"),
            ("\udcff", "\\udcff"),
        ):
            self.assertEqual(escaped(text), safe)
            self.assertTrue(escaped(text).isprintable())

    def test_every_level_has_a_place(self) -> None:
        """The levels that the configuration can name are the logger's own."""
        self.assertEqual([level.name for level in LogLevel.iterconstants()], list(LEVELS))
