"""`b2bua selftest`, run as its user runs it: real sockets, a bridge of its own or one that runs, and what it prints."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phonelines import free_port
from b2bua.ops.selftest.library import scenarios
from b2bua.ops.selftest.report import drawn
from b2bua.ops.selftest.scenario import Reader
from b2bua.ops.terminal import Look
from tests.ladders import perform
from tests.netns import ROOT
from tests.test_demo import environment, lines_with

COMMAND = [sys.executable, "-c", "import sys; from b2bua.ops.cli import main; sys.exit(main())", "selftest"]
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="]
PATIENCE = 120  # seconds for what takes ten
QUICK = ("--only", "3.1-", "--only", "cancel-crosses", "--only", "fork-two", "--only", "6xx")
RUNNING = """
[[zone]]
name = "out"
[[zone]]
name = "in"
[[listener]]
name = "outside"
zone = "out"
transport = "udp"
address = "127.0.0.1"
port = {outside}
[[listener]]
name = "inside"
zone = "in"
transport = "tcp"
address = "127.0.0.2"
port = {inside}
[[route]]
name = "bob"
user = "selftest-bob"
to = "sip:127.0.0.9:{bob};transport=tcp"
send_from = "inside"
[[route]]
name = "carol"
user = "selftest-carol"
to = "sip:192.0.2.1:5060;transport=tcp"
send_from = "inside"
[[route]]
name = "alice"
user = "selftest-alice"
to = "sip:127.0.0.8:{alice};transport=udp"
send_from = "outside"
"""


class Command(SynchronousTestCase):
    """The command."""

    def run_it(self, *arguments: str) -> tuple[int, str, str]:
        """Status, output, errors."""
        done = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, env=environment(), cwd=ROOT, timeout=PATIENCE, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_a_bridge_of_its_own(self) -> None:
        """What is played goes as drawn; one line each, and a summary."""
        status, out, errors = self.run_it(*QUICK)
        self.assertEqual((status, errors), (0, ""), out)
        self.assertTrue(lines_with(out, "rfc3665-3.1-answered", " ok"), out)
        self.assertTrue(lines_with(out, "fork-two-answer", " ok"), out)
        self.assertRegex(out.splitlines()[-1], r"^[0-9]+ as drawn, 0 failed, 0 skipped$")

    def test_slow_ones(self) -> None:
        """Skipped unless asked for; then by a bridge whose T1 is shorter. Nothing played is no success."""
        status, out, _ = self.run_it("--only", "ack-never")
        self.assertEqual(status, 1)
        self.assertTrue(lines_with(out, "ack-never", "skipped: slow"), out)
        status, out, _ = self.run_it("--only", "ack-never", "--slow", "--seed", "7")
        self.assertEqual(status, 0, out)

    def test_a_running_bridge(self) -> None:
        """The rules of its configuration say where bob is; what cannot be played there is skipped, and why."""
        file = self.configuration()
        bridge = subprocess.Popen(
            [*TWISTD, "b2bua", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=ROOT
        )
        self.addCleanup(bridge.wait)
        self.addCleanup(bridge.send_signal, signal.SIGTERM)
        assert bridge.stdout is not None
        self.addCleanup(bridge.stdout.close)
        for line in bridge.stdout:
            if b"listening: inside" in line:
                break
        status, out, errors = self.run_it(str(file), *QUICK, "--only", "lost-to", "--only", "2.2-")
        self.assertEqual((status, errors), (0, ""), out)
        self.assertTrue(lines_with(out, "rfc3665-3.1-answered", " ok"), out)
        self.assertTrue(lines_with(out, "ack-lost-to-the-callee", "skipped: bob is not called by UDP"), out)
        self.assertTrue(lines_with(out, "6xx", "skipped: no route"), out)
        self.assertTrue(lines_with(out, "rfc5359-2.2", "skipped: carol cannot be at 192.0.2.1:5060 (tcp)"), out)

    def configuration(self) -> Path:
        """A configuration on free ports."""
        ports = {
            "outside": free_port("udp", "127.0.0.1"),
            "inside": free_port("tcp", "127.0.0.2"),
            "bob": free_port("tcp", "127.0.0.9"),
            "alice": free_port("udp", "127.0.0.8"),
        }
        file = Path(self.mktemp()).resolve()
        file.write_text(RUNNING.format(**ports))
        return file

    def test_what_cannot_be_tested(self) -> None:
        """No route to bob, no such listener or scenario, a file with mistakes: said, status 1."""
        file = str(self.configuration())
        for arguments, why in (
            ((file, "--dial", "bob=sip:nobody@127.0.0.1"), "leads nowhere: no route"),
            ((file, "--dial", "bob=sip:selftest-carol@127.0.0.1"), "bob cannot be at 192.0.2.1:5060"),
            ((file, "--dial", "eve=sip:x@127.0.0.1"), "--dial wants one of alice, bob, carol"),
            ((file, "--listener", "elsewhere"), "no listener elsewhere"),
            (("--only", "nonsense"), "no scenario is called nonsense"),
            (("--listener", "outside"), "they need its CONFIG"),
            (("--dial", "bob=sip:bob@127.0.0.1"), "they need its CONFIG"),
        ):
            status, _, errors = self.run_it(*arguments)
            self.assertEqual(status, 1)
            self.assertIn(why, errors)
        status, out, _ = self.run_it("/nonexistent.toml")
        self.assertEqual(status, 1)
        self.assertIn("no such file", out)

    def test_nobody_there(self) -> None:
        """A bridge that does not run is told of by the first scenario, and not by every one."""
        file = self.configuration()
        file.write_text(file.read_text() + "[timers]\nt1 = 0.01\n")
        status, out, errors = self.run_it(str(file), "--only", "3.1-answered")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(errors, r"nobody answers at 127\.0\.0\.1:[0-9]+: does the bridge run")

    def test_list(self) -> None:
        """Every scenario with its title."""
        status, out, _ = self.run_it("--list")
        self.assertEqual(status, 0)
        for scenario in scenarios():
            self.assertTrue(lines_with(out, scenario.name, scenario.title), scenario.name)


class Printed(SynchronousTestCase):
    """What a failure looks like."""

    def test_a_ladder(self) -> None:
        """What passed, with what was lost, who of several it was, and how the media is."""
        text = "# a\nlose 180 INVITE to alice\nalice -> INVITE bob\nbob <- INVITE\nbob -> 180 INVITE\n"
        text += "alice <- 200 INVITE\n"
        outcome, stage = perform(Reader("here", text).scenario())
        self.assertIn("line 6, alice <- 200 INVITE: nothing came", outcome.wrong)
        picture = drawn(stage, Look())
        self.assertTrue(lines_with(picture, "180 INVITE, lost", "<-"), picture)
        self.assertTrue(lines_with(picture, "alice", "bridge", "bob"), picture)
        text = "# a\nalice calls bob\nbob calls carol [2]\nbob -> INVITE\n  sdp sendonly\nalice <- INVITE\n"
        picture = drawn(perform(Reader("here", text).scenario())[1], Look())
        self.assertTrue(lines_with(picture, "INVITE (carol)"), picture)
        self.assertTrue(lines_with(picture, "INVITE (sendonly) (bob)"), picture)
