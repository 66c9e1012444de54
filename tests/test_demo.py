"""`b2bua demo`, run as its user runs it, and what it draws."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from io import TextIOWrapper

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.call import Step
from b2bua.ops.ladder import Captured, ladder, steps_of
from b2bua.ops.sidebyside import compare, side_by_side
from b2bua.ops.terminal import Look
from b2bua.policy.hiding import Hiding
from b2bua.policy.zones import Zone
from tests.netns import ROOT, Namespace

COMMAND = [sys.executable, "-c", "import sys; from b2bua.ops.cli import main; sys.exit(main())", "demo"]
PATIENCE = 60  # seconds for what takes four
STEPS = (
    "INVITE",
    "100 Trying",
    "180 Ringing",
    "200 OK",
    "ACK",
    "INVITE (hold)",
    "INVITE (resume)",
    "INFO (digit 5)",
    "BYE",
)
HEADS = (("caller", "UDP 192.0.2.1:5060"), ("bridge",), ("callee",))
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def environment(**more: str) -> dict[str, str]:
    """The environment for the demonstration: nothing of ours that would change its looks."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **more}


def lines_with(text: str, *words: str) -> list[str]:
    """The lines of `text` in which all of `words` are."""
    return [line for line in text.splitlines() if all(word in line for word in words)]


class TestDemo(SynchronousTestCase):
    """The command itself, with real sockets."""

    def run_piped(self, command: list[str], **more: str) -> str:
        done = subprocess.run(
            command, capture_output=True, env=environment(**more), cwd=ROOT, timeout=PATIENCE, check=False
        )
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""), done.stdout.decode())
        return done.stdout.decode()

    def test_in_a_pipe(self) -> None:
        """Plain text, 100 columns at most; the whole call is in it, and the INVITE with what was hidden and why."""
        text = self.run_piped(COMMAND)
        self.assertNotIn("\x1b", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        for step in STEPS:
            self.assertTrue(lines_with(text, f" {step} ", "▶") or lines_with(text, f" {step} ", "◀"), step)
        self.assertTrue(lines_with(text, "TLS [::1]:"), text)
        self.assertTrue(lines_with(text, "User-Agent: alice's phone", "×"), text)
        self.assertTrue(lines_with(text, "names the product"), text)
        self.assertTrue(lines_with(text, "Subject: Lunch   ", "│ Subject: Lunch"), text)
        self.assertIn("make run", text.splitlines()[-1])
        self.assertTrue(lines_with(text, "bridge") and lines_with(text, "UDP 127.0.0.1:"), text)

    def test_in_ascii(self) -> None:
        """An output that has no arrows gets them in ASCII."""
        text = self.run_piped(COMMAND, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
        self.assertTrue(text.isascii())
        self.assertTrue(lines_with(text, "|-", " INVITE ", "->|"), text)
        self.assertTrue(lines_with(text, "User-Agent: alice's phone", " x |"), text)

    def test_on_a_terminal(self) -> None:
        """Coloured, and as wide as the terminal is."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        process = subprocess.Popen(COMMAND, stdout=its, stderr=its, stdin=its, env=environment(TERM="xterm"), cwd=ROOT)
        self.addCleanup(process.kill)
        os.close(its)
        pieces = []
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:
            pass  # a terminal ends so when its other end is closed
        os.close(ours)
        self.assertEqual(process.wait(PATIENCE), 0)
        text = b"".join(pieces).decode()
        self.assertIn("\x1b[36m", text)
        plain = ESCAPES.sub("", text)
        self.assertLessEqual(max(map(len, plain.splitlines())), 80)
        self.assertTrue(lines_with(plain, "INVITE (hold)"), plain)

    def test_without_ipv6(self) -> None:
        """A machine without IPv6 is told so, and the call goes by IPv4."""
        net = Namespace(self, "demo")
        net.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6")
        text = self.run_piped(net.command(*COMMAND))
        self.assertTrue(lines_with(text, "no IPv6"), text)
        self.assertTrue(lines_with(text, "TLS 127.0.0.2:"), text)
        self.assertTrue(lines_with(text, " BYE "), text)

    def test_no_answer(self) -> None:
        """Where the call does not go through, it says so and ends with status 1."""
        broken = "import sys; from b2bua.ops import demo, phone; phone.Dialog.answer = lambda self: None; "
        command = [sys.executable, "-c", broken + "demo.ANSWER = 0.5; sys.exit(demo.main())"]
        done = subprocess.run(command, capture_output=True, env=environment(), cwd=ROOT, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("did not go through", done.stderr.decode())
        self.assertTrue(lines_with(done.stdout.decode(), "180 Ringing"))


class TestLadder(SynchronousTestCase):
    """The ladder alone."""

    def test_directions(self) -> None:
        """Each of the four arrows there are: from and to the caller, from and to the callee."""
        steps = [
            Step(10.0, True, False, "INVITE"),
            Step(10.25, False, True, "INVITE"),
            Step(10.5, False, False, "200 INVITE"),
            Step(11.0, True, True, "200 INVITE"),
        ]
        drawn = ladder(steps, HEADS, Look(width=60)).splitlines()
        self.assertEqual(
            drawn[2:],
            [
                "   0.000  |------- INVITE ------>|                      |",
                "   0.250  |                      |------- INVITE ------>|",
                "   0.500  |                      |<---- 200 INVITE -----|",
                "   1.000  |<---- 200 INVITE -----|                      |",
            ],
        )
        self.assertIn("caller", drawn[0])
        self.assertIn("UDP 192.0.2.1:5060", drawn[1])

    def test_narrow_wide_and_empty(self) -> None:
        """No line is longer than the terminal is wide, a long label is cut, and a call without steps is drawn too."""
        for width in (60, 80, 100, 200):
            drawn = ladder([Step(0.0, True, False, "X" * 300)], HEADS, Look(width=width))
            self.assertLessEqual(max(map(len, drawn.splitlines())), width)
        self.assertEqual(len(ladder([], HEADS, Look()).splitlines()), 2)

    def test_what_a_peer_sent_steers_no_terminal(self) -> None:
        """Control characters in a method or a reason phrase are shown, not obeyed."""
        captured = [Captured(0.0, True, False, b"SIP/2.0 200 \x1b[2J\r\nCSeq: 1 X\r\n\r\n")]
        self.assertNotIn("\x1b", ladder(steps_of(captured), HEADS, Look()))

    def test_what_is_no_sip(self) -> None:
        """Something else is drawn as that."""
        self.assertIn("(no SIP)", ladder(steps_of([Captured(0.0, True, False, b"\0\1")]), HEADS, Look()))


class TestSideBySide(SynchronousTestCase):
    """Two messages beside each other."""

    CAME = (
        b"INVITE sip:bob@192.0.2.1 SIP/2.0\r\nf: <sip:alice@phone.example>;tag=1\r\nSubject: Lunch\r\n"
        b"Organization: Example\r\nX-Odd: \x1b[2J\r\nContent-Length: 70\r\n\r\n"
        b"v=0\r\no=alice 1 1 IN IP4 192.0.2.9\r\ns=words\r\ni=more words\r\nc=IN IP4 192.0.2.9\r\n"
    )
    LEFT = (
        b"INVITE sip:bob@10.0.0.5 SIP/2.0\r\nFrom: <sip:alice@10.0.0.1>;tag=2\r\nSubject: Lunch\r\nSupported: timer\r\n"
        b"Content-Length: 70\r\n\r\nv=0\r\no=- 7 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 192.0.2.9\r\n"
    )

    def setUp(self) -> None:
        self.explain = Hiding(Zone("public"), Zone("private")).explain

    def test_marks(self) -> None:
        """The same, changed, hidden and new lines are told apart, compact names are known, and reasons are given."""
        pairs = {pair.came or pair.left: pair for pair in compare(self.CAME, self.LEFT, self.explain)}
        marks = {line.partition(":")[0].partition(" ")[0]: pair.mark for line, pair in pairs.items()}
        self.assertEqual(
            marks,
            {
                "INVITE": "~", "f": "~", "Subject": " ", "Organization": "x", "X-Odd": "x", "Content-Length": " ",
                "Supported": "+", "": " ", "v=0": " ", "o=alice": "~", "s=words": "~", "i=more": "x", "c=IN": " ",
            },
        )  # fmt: skip
        self.assertEqual(pairs["Organization: Example"].why, "names who runs the far side")
        self.assertIn("end to end", pairs["c=IN IP4 192.0.2.9"].why)
        for pair in pairs.values():
            self.assertTrue(pair.why or pair.mark in " +", pair.came)

    def test_drawing(self) -> None:
        """Every octet is shown, within the width, and nothing steers the terminal."""
        for width in (60, 100):
            drawn = side_by_side(self.CAME, self.LEFT, ("in", "out"), self.explain, Look(width=width))
            self.assertLessEqual(max(map(len, drawn.splitlines())), width)
            self.assertNotIn("\x1b", drawn)
            self.assertIn("\\x1b[2J", drawn)

    def test_long_lines(self) -> None:
        """A line longer than the column goes on below itself, whole."""
        value = "".join(f"word{number};" for number in range(40)) + "x" * 200
        came = f"INVITE sip:bob@192.0.2.1 SIP/2.0\r\nX-Long: {value}\r\n\r\n".encode()
        drawn = side_by_side(came, b"INVITE sip:bob@192.0.2.1 SIP/2.0\r\n\r\n", ("", ""), self.explain, Look())
        column = "".join(line[:47].strip() for line in drawn.splitlines()[2:])
        self.assertIn(f"X-Long: {value}", column)


class TestLook(SynchronousTestCase):
    """What an output can show."""

    def test_no_terminal(self) -> None:
        """A file: 100 columns, no colour, arrows where its encoding has them."""
        for encoding, unicode in (("utf-8", True), ("ascii", False), ("latin-1", False)):
            with open(self.mktemp(), "wb") as file, TextIOWrapper(file, encoding=encoding) as stream:
                self.assertEqual(Look.of(stream), Look(100, False, unicode))

    def test_terminal(self) -> None:
        """A terminal: colours, unless NO_COLOR is set or TERM is dumb."""
        ours, its = pty.openpty()
        self.addCleanup(os.close, ours)
        with os.fdopen(its, "w", encoding="utf-8") as stream:
            self.assertEqual(Look.of(stream, {"TERM": "xterm"}), Look(100, True, True))
            self.assertFalse(Look.of(stream, {"TERM": "xterm", "NO_COLOR": "1"}).colour)
            self.assertFalse(Look.of(stream, {"TERM": "dumb"}).colour)
            fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 132, 0, 0))
            self.assertEqual(Look.of(stream, {}).width, 132)

    def test_paint(self) -> None:
        """Colour goes around the text and ends with it; nothing is painted where there is none."""
        self.assertEqual(Look(colour=True).paint("x", "red", "bold"), "\x1b[31;1mx\x1b[0m")
        self.assertEqual(Look(colour=True).paint("  ", "red"), "  ")
        self.assertEqual(Look().paint("x", "red"), "x")
