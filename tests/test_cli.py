"""The command `b2bua`, as it is typed."""

from __future__ import annotations

import hashlib
import os
import pty
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.cli import main
from b2bua.ops.passwords import read_users
from b2bua.policy.users import read_secrets

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = str(ROOT / "etc" / "examples" / "media-servers.toml")
PATIENCE = 60  # seconds for what takes one
COMMAND = [sys.executable, "-c", "import sys; from b2bua.ops.cli import main; sys.exit(main())"]


def run(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of the command, run in this process."""
    out, errors = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
    return status, out.getvalue(), errors.getvalue()


def spawn(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, with `typed` on its standard input."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


class TestHelp(SynchronousTestCase):
    """What it says of itself."""

    def test_help(self) -> None:
        """Every command is listed, and has a help of its own that fits a terminal."""
        status, printed, _ = run("--help")
        self.assertEqual(status, 0)
        for command in ("check", "explain", "passwd", "development-certificate", "demo", "selftest", "leaks"):
            self.assertIn(f"\n    {command}", printed)
            status, own, _ = run(command, "--help")
            self.assertEqual(status, 0)
            self.assertGreater(len(own.splitlines()), 5)
            self.assertLess(max(map(len, own.splitlines())), 121)

    def test_version(self) -> None:
        """--version prints one."""
        status, printed, _ = run("--version")
        self.assertEqual((status, printed[:6]), (0, "b2bua "))

    def test_no_command(self) -> None:
        """Without a command there is nothing to do: the help, and a status that says so."""
        status, printed, _ = run()
        self.assertEqual(status, 2)
        self.assertIn("commands:", printed)


class TestCheck(SynchronousTestCase):
    """b2bua check CONFIG."""

    def test_fine(self) -> None:
        """Warnings alone end with 0."""
        status, printed, errors = run("check", EXAMPLE)
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("sip:127.0.0.22:5060;transport=udp", printed)
        self.assertIn("warning: ", printed)
        self.assertIn("media-servers.toml: no mistakes, ", printed.splitlines()[-1])

    def test_mistakes(self) -> None:
        """A mistake ends with 1."""
        path = self.mktemp()
        Path(path).write_text("[[zone]]\n[[listener]]\n")
        status, printed, _ = run("check", path)
        self.assertEqual(status, 1)
        self.assertRegex(printed, r"error: .*zone\[1\]\.name: missing")
        self.assertRegex(printed.splitlines()[-1], r"^\d+ mistakes$")
        self.assertEqual(run("check", "/no/such/file")[0], 1)

    def test_head(self) -> None:
        """Whoever reads only the first line does no harm."""
        command = f"{sys.executable} -c 'from b2bua.ops.cli import main; main()' check {EXAMPLE} | head -1"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT
        )
        self.assertEqual((done.stdout, done.stderr), ("Listeners\n", ""))


class TestExplain(SynchronousTestCase):
    """b2bua explain CONFIG REQUEST-URI."""

    def test_options(self) -> None:
        """Zone, listener, method, source and headers are asked with."""
        status, printed, errors = run(
            "explain", EXAMPLE, "sip:*3312@example.com", "--from-zone", "public", "--method", "MESSAGE",
            "--source", "127.0.0.9", "--header", "Subject: hello", "--header", "Priority: urgent",
        )  # fmt: skip
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("MESSAGE sip:*3312@example.com", printed)
        self.assertIn("from 127.0.0.9 on public-udp", printed)
        self.assertIn("SIP/2.0/UDP 127.0.0.2:5060;branch=", printed)
        _, printed, _ = run("explain", EXAMPLE, "sip:12@127.0.0.9", "--from-listener", "private-udp")
        self.assertIn("on private-udp", printed)

    def test_kernel(self) -> None:
        """The kernel's route is there."""
        _, printed, _ = run("explain", EXAMPLE, "sip:*3312@example.com")
        self.assertRegex(printed, r"kernel route +from 127\.0\.0\.\d+ by lo")

    def test_what_cannot_be_asked(self) -> None:
        """A wrong question ends with 2, a wrong configuration with 1."""
        status, printed, errors = run("explain", EXAMPLE, "sip:a@b", "--from-zone", "moon")
        self.assertEqual((status, printed), (2, ""))
        self.assertEqual(errors, "b2bua explain: no zone moon; there are: private, public\n")
        self.assertEqual(run("explain", "/no/such/file", "sip:a@b")[0], 1)

    def test_names(self) -> None:
        """A name is looked up, which needs the reactor: in a process of its own. Here nobody answers."""
        folder = Path(self.mktemp())
        folder.mkdir()
        config = folder / "b2bua.toml"
        text = Path(EXAMPLE).read_text() + '\n[dns]\nservers = ["127.0.0.1:9"]\n'
        config.write_text(text.replace('to = "request-uri"', 'to = "sip:pbx.example:5070"'))
        done = spawn("explain", str(config), "sip:a@b", "--from-zone", "private")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(done.stdout, r"nowhere +pbx\.example: A pbx\.example: ")
        done = spawn("check", str(config))
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn("has no way out now: pbx.example: A pbx.example: ", done.stdout)


class TestPasswd(SynchronousTestCase):
    """b2bua passwd FILE USER."""

    def test_one_line_of_input(self) -> None:
        """From a pipe the password is one line; it is never on the command line."""
        path = self.mktemp()
        done = spawn("passwd", path, "alice", typed="correct horse\nwhatever\n")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{path}: alice added\n", ""))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertTrue(read_users(path)["alice"].fits(b"correct horse"))
        self.assertNotIn("horse", Path(path).read_text())

    def test_refused(self) -> None:
        """What cannot be a password ends with 1 and changes nothing."""
        path = self.mktemp()
        done = spawn("passwd", path, "alice", typed="short\n")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("b2bua passwd: a password has at least 8 characters", done.stderr)
        self.assertFalse(os.path.exists(path))

    def test_sip(self) -> None:
        """--sip FILE USER REALM: an HA1 for each algorithm, and never the password; one without the other is told."""
        path = self.mktemp()
        done = spawn("passwd", "--sip", path, "alice", "example.com", typed="correct horse\n")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{path}: alice added\n", ""))
        done = spawn("passwd", "--sip", path, "alice", "example.com", typed="battery staple\n")
        self.assertEqual(done.stdout, f"{path}: alice has another password now\n")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        secrets = read_secrets(path)
        self.assertEqual({key[2] for key in secrets}, {"MD5", "SHA-256", "SHA-512-256"})
        self.assertEqual(
            secrets["alice", "example.com", "MD5"], hashlib.md5(b"alice:example.com:battery staple").hexdigest()
        )
        self.assertEqual(run("passwd", "--sip", path, "alice")[0], 2)
        self.assertEqual(run("passwd", path, "alice", "example.com")[0], 2)

    def test_twice_at_a_terminal(self) -> None:
        """At a terminal it is asked for twice, without being shown."""
        path = self.mktemp()
        for second, status in (("another one", 1), ("correct horse", 0)):
            with (
                patch("getpass.getpass", side_effect=["correct horse", second]) as asked,
                patch("sys.stdin.isatty", return_value=True),
            ):
                self.assertEqual(run("passwd", path, "alice")[0], status)
            self.assertEqual(asked.call_count, 2)
            self.assertEqual(os.path.exists(path), status == 0)

    def test_not_shown(self) -> None:
        """What is typed at a real terminal does not appear there."""
        path = self.mktemp()
        child, terminal = pty.fork()
        if child == 0:
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execv(COMMAND[0], [*COMMAND, "passwd", path, "alice"])
        shown = b""
        for prompt in (b"New password for alice: ", b"The same again: "):
            while prompt not in shown:
                shown += os.read(terminal, 1000)
            os.write(terminal, b"correct horse\n")
        while b"alice added" not in shown:
            shown += os.read(terminal, 1000)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        os.close(terminal)
        self.assertNotIn(b"horse", shown)


class TestCertificate(SynchronousTestCase):
    """b2bua development-certificate DIRECTORY."""

    def test_once(self) -> None:
        """Made once and never overwritten."""
        folder = self.mktemp()
        status, printed, _ = run("development-certificate", folder)
        self.assertEqual(status, 0)
        self.assertIn("Made a certificate", printed)
        made = {each.name: each.read_bytes() for each in Path(folder).iterdir()}
        self.assertEqual(sorted(made), ["ca.pem", "certificate.pem", "key.pem"])
        self.assertEqual(run("development-certificate", folder), (0, "", ""))
        self.assertEqual({each.name: each.read_bytes() for each in Path(folder).iterdir()}, made)

    def test_half(self) -> None:
        """Where only some of the files are, it says what to do."""
        folder = self.mktemp()
        run("development-certificate", folder)
        os.unlink(Path(folder) / "key.pem")
        status, _, errors = run("development-certificate", folder)
        self.assertEqual(status, 1)
        self.assertIn("key.pem is not", errors)


class TestDemo(SynchronousTestCase):
    """b2bua demo."""

    def test_it_is_the_demonstration(self) -> None:
        """The command runs it, and ends as it does."""
        with patch("b2bua.ops.demo.main", return_value=3) as demo:
            self.assertEqual(run("demo")[0], 3)
        demo.assert_called_once_with()
