"""The manhole, by a real telnet client at a real terminal, and by a real ssh client; calls are made by real phones."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import socket
import struct
import sys
import termios
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.application.service import Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from b2bua.config import Configuration, load
from b2bua.ops import manhole, passwords
from b2bua.ops.check import read
from b2bua.ops.manhole import ManholeService, mistakes
from b2bua.ops.passwords import set_password
from b2bua.ops.phone import Dialog
from b2bua.ops.phonelines import Lines, free_port
from b2bua.ops.ssh import host_key
from b2bua.service import Border
from tests.programs import need

PATIENCE = 30.0  # seconds
PASSWORD = "correct horse"
PROMPT = "b2bua> "
CONFIGURATION = """
[[zone]]
name = "public"
[[zone]]
name = "private"
[[listener]]
name = "outside"
zone = "public"
transport = "udp"
address = "127.0.0.1"
port = {outside}
[[listener]]
name = "inside"
zone = "private"
transport = "tcp"
address = "127.0.0.2"
port = {inside}
[[route]]
name = "to bob"
zone = "public"
user = "bob"
to = "sip:127.0.0.3:{bob};transport=tcp"
send_from = "inside"
[manhole]
port = {telnet}
"""
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\x1b[A-Za-z]|\x07")

clock: Any = reactor


class Client(ProcessProtocol):
    """A program at a terminal of its own, 120 columns wide; `screen` is what it shows, without colours."""

    transport: Any

    def __init__(self, test: TestCase, *command: str) -> None:
        self.raw = ""
        self.gone: Deferred[None] = Deferred()
        self._waiting: list[tuple[re.Pattern[str], int, Deferred[str]]] = []
        self._mark = 0
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {**os.environ, "TERM": "xterm"}
        clock.spawnProcess(self, command[0], command, environment, usePTY=(master, slave, os.ttyname(slave)))
        test.addCleanup(self.end)

    @property
    def screen(self) -> str:
        """All that was shown."""
        return _ESCAPES.sub("", self.raw).replace("\r", "")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.raw += data.decode("utf-8", "replace")
        for waiting in list(self._waiting):
            pattern, mark, wanted = waiting
            if found := pattern.search(self.screen, mark):
                self._waiting.remove(waiting)
                self._mark = found.end()
                wanted.callback(found.group(found.re.groups))

    def processEnded(self, reason: Failure) -> None:
        self.gone.callback(None)

    def end(self) -> Deferred[None]:
        """Kill it, if it is still there."""
        gone: Deferred[None] = Deferred()
        self.gone.addCallback(lambda _: gone.callback(None))
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass
        return gone

    def type(self, text: str) -> None:
        """Keys."""
        self.transport.write(text.encode())

    def sees(self, pattern: str) -> Deferred[str]:
        """What the last group of `pattern` (or all of it) matches of what is shown after what was seen last."""
        compiled, wanted, mark = re.compile(pattern, re.S), Deferred[str](), self._mark
        if found := compiled.search(self.screen, mark):
            self._mark = found.end()
            return succeed(found.group(compiled.groups))
        self._waiting.append((compiled, mark, wanted))

        def too_late(result: object, seconds: float) -> str:
            raise AssertionError(f"{pattern!r} was not seen in {seconds:g} s, but:\n{self.screen[mark:]}")

        return wanted.addTimeout(PATIENCE, clock, too_late)

    def ask(self, command: str) -> Deferred[str]:
        """Type a command; what it prints."""
        self.type(f"{command}\r")
        return self.sees(rf"\n(|.*\n){PROMPT}$")


class Running(TestCase):
    """A bridge with its manhole, and two phones."""

    users = ""
    more = ""
    timeout = 120

    def setUp(self) -> None:
        """Everything on loopback addresses and free ports."""
        self.lines = Lines(clock)
        self.alice = self.lines.phone("alice", "udp", "127.0.0.4")
        self.bob = self.lines.phone("bob", "tcp", "127.0.0.3")
        self.port = free_port("tcp", "127.0.0.1")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        text = CONFIGURATION.format(
            outside=free_port("udp", "127.0.0.1"),
            inside=free_port("tcp", "127.0.0.2"),
            bob=self.bob.at.port,
            telnet=self.port,
        )
        if self.users:
            text += 'users = "users"\n'
            self.patch(passwords.Hash, "of", classmethod(_cheap))
            set_password(str(self.folder / "users"), self.users, PASSWORD)
        (self.folder / "b2bua.toml").write_text(text + self.more)
        self.configuration = read(str(self.folder / "b2bua.toml"))
        self.border = Border(self.configuration, clock)
        self.stopped: list[bool] = []
        self.patch(self.border, "stop", lambda: self.stopped.append(True))
        assert self.configuration.manhole is not None
        self.manhole = ManholeService(self.border, self.configuration.manhole, clock)
        for service in (self.border, self.manhole):
            self.start(service)
        self.addCleanup(self.leave)

    def start(self, service: Service) -> None:
        """Start it, and stop it with the test."""
        service.startService()
        self.addCleanup(lambda: succeed(None).addCallback(lambda _: service.stopService()))

    async def leave(self) -> None:
        """The phones go first."""
        self.border.hall.hang_up_all("the test is over")
        self.border._hurried = True
        await deferLater(clock, 0.05)
        await self.lines.close()

    def telnet(self) -> Client:
        """A client that connects."""
        return Client(self, need("telnet"), "127.0.0.1", str(self.port))

    async def call(self) -> Dialog:
        """A call that is up."""
        outside = self.configuration.listeners[0]
        talk = self.alice.invite(f"sip:bob@{outside.sent_by}")
        await self.lines.until(
            lambda: talk.up and bool(self.bob.dialogs) and bool(self.bob.dialogs[-1].acked), "a call"
        )
        return talk


class TestTelnet(Running):
    """Every command, without a login: on a loopback address none is needed."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial waits for it
        """One session."""
        super().setUp()
        self.client = self.telnet()
        self.greeting = await self.client.sees(rf"b2bua manhole: .*{PROMPT}")

    async def test_greeting(self) -> None:
        """Who comes in is told what there is to say."""
        self.assertIn("b2bua manhole: no calls, up ", self.greeting)
        for command in ("calls()", "show(id)", "ladder(id)", "hangup(id)", "explain(uri)", "stats()", "help()"):
            self.assertIn(command, self.greeting)
        self.assertNotIn("\x1bc", self.client.raw, "the operator's screen was cleared")

    async def test_help(self) -> None:
        """help() lists every command with what it does; help(show) tells of one; a bare name says how it is called."""
        printed = await self.client.ask("help()")
        for line in (
            r"calls\(\[match, limit\]\) +The calls there are",
            r"show\(call_id\) +One call",
            r"hangup\(call_id\) +End one call",
            r"explain\(uri\[, \.\.\.\]\) +What would become of a request",
            r"drain\(\[then_stop\]\)",
        ):
            self.assertRegex(printed, line)
        self.assertIn("show(call_id): One call: both legs side by side", await self.client.ask("help(show)"))
        self.assertIn("stats(): Numbers", await self.client.ask("stats"))

    async def test_a_call(self) -> None:
        """calls(), show(), ladder() and hangup() of a call that is up."""
        client = self.client
        self.assertIn("no calls", await client.ask("calls()"))
        talk = await self.call()
        (call,) = self.border.hall.book
        printed = await client.ask("calls()")
        self.assertRegex(printed, rf"{call.id} +answered +\d+ s +<sip:alice@127.0.0.4> .* outside +inside\n1 call\n")
        self.assertIn("no calls", await client.ask("calls('carol')"))
        self.show(await client.ask(f"show('{call.id[:6]}')"), talk)
        drawn = await client.ask(f"ladder('{call.id}')")
        steps = re.findall(r"INVITE|ACK|\d\d\d (?=INVITE)", drawn)
        self.assertEqual(steps[:2], ["INVITE", "INVITE"], drawn)
        self.assertIn("200 INVITE", drawn)
        self.assertIn("caller", drawn)
        self.assertIn(f"call {call.id} is hung up", await client.ask(f"hangup('{call.id}')"))
        await self.lines.until(lambda: talk.over and self.bob.dialogs[-1].over, "BYE on both sides")
        self.assertEqual((talk.times("BYE"), self.bob.dialogs[-1].times("BYE")), (1, 1))
        self.assertIn("has ended already: hung up from the manhole", await client.ask(f"hangup('{call.id}')"))

    def show(self, printed: str, talk: Dialog) -> None:
        """Both legs are there, side by side."""
        far = self.bob.dialogs[-1]
        for label, near, other in (
            ("listener", "outside", "inside"),
            ("dialog", "confirmed", "confirmed"),
            ("Call-ID", talk.call_id, far.call_id),
            ("our tag", talk.remote_tag, far.remote_tag),
            ("peer's tag", talk.local_tag, far.local_tag),
            ("peer is", "<sip:alice@127.0.0.4>", "<sip:bob@127.0.0.3>"),
            ("our CSeq", "0", "1"),
            ("route set", "none", "none"),
            ("flow", f"udp:127.0.0.4:{self.alice.at.port}", f"tcp:127.0.0.3:{self.bob.at.port}"),
        ):
            self.assertRegex(printed, rf"{label} +{re.escape(near)} +{re.escape(other)}")
        self.assertRegex(printed, r"rule +to bob")
        self.assertRegex(printed, r"why +send_from names the listener inside")
        self.assertRegex(printed, r"phase +answered")

    async def test_unknown_call(self) -> None:
        """An id that no call has is said to be so, without a traceback."""
        for command in ("show", "ladder", "hangup", "trace"):
            printed = await self.client.ask(f"{command}('nobody')")
            self.assertEqual(printed, "no call has the id nobody, or more than one begins so; calls() lists them\n")

    async def test_tables(self) -> None:
        """transactions(), listeners() and stats() are tables for reading."""
        self.assertEqual(await self.client.ask("transactions()"), "no transactions\n")
        talk = await self.call()
        printed = await self.client.ask("transactions()")
        self.assertRegex(printed, rf"server +INVITE +\w+ +outside +udp:127.0.0.4:\d+ +{talk.call_id} ")
        self.assertRegex(printed, r"client +INVITE +accepted +inside +tcp:127.0.0.3:\d+")
        self.assertIn("1 transaction", await self.client.ask("transactions('client')"))
        printed = await self.client.ask("listeners()")
        self.assertRegex(printed, r"outside +public +udp +127\.0\.0\.1:\d+ +127\.0\.0\.1:\d+ +\S+ +1\n")
        printed = await self.client.ask("stats()")
        for line in (
            r"calls +0 calling, 0 ringing, 1 answered, 0 ended",
            r"transactions +1 client, 1 server",
            r"streams +1",
            r"memory +[\d.]+ MB resident",
            r"uptime +\d+ s",
        ):
            self.assertRegex(printed, line)
        self.assertNotIn("<b2bua", printed)

    async def test_explain(self) -> None:
        """explain(uri) says what a call would do; options as on the command line; mistakes in one line."""
        printed = await self.client.ask("explain('sip:bob@example.com', zone='public')")
        self.assertRegex(printed, r"fits +to bob: it comes from the zone public")
        self.assertRegex(printed, r"listener +inside \(zone private\)")
        self.assertRegex(printed, r"Contact +<sip:\.\.\.@127\.0\.0\.2:\d+;transport=tcp>")
        printed = await self.client.ask("explain('sip:bob@x', listener='moon')")
        self.assertEqual(printed, "no listener moon; there are: outside, inside\n")
        self.assertIn("404", await self.client.ask("explain('sip:carol@x', headers='X-A: 1')"))

    async def test_explain_a_name(self) -> None:
        """While a name is looked up the session can be used; the answer is put above what is being typed."""
        later: Deferred[Any] = Deferred()
        with patch("b2bua.ops.commands.explain", lambda *_: later):
            self.assertEqual(await self.client.ask("explain('sip:bob@x')"), "looking up names ...\n")
        self.client.type("sta")
        await self.client.sees("sta")
        later.errback(Failure(LookupError("nobody knows")))
        await self.client.sees(rf"it cannot be explained: nobody knows\n{PROMPT}sta$")
        self.assertIn("uptime", await self.client.ask("ts()"))

    async def test_drain(self) -> None:
        """drain() refuses new calls with 503 and tells when the last one has ended; undrain() takes them again."""
        talk = await self.call()
        self.assertIn("no new calls; 1 call to wait for", await self.client.ask("drain()"))
        outside = self.configuration.listeners[0]
        refused = self.alice.invite(f"sip:bob@{outside.sent_by}")
        await self.lines.until(lambda: refused.over, "503")
        self.assertEqual(refused.times("503 INVITE"), 1)
        self.assertRegex(await self.client.ask("stats()"), r"draining +yes")
        self.assertIn("The bridge is draining", await self.client.ask("explain('sip:bob@x')"))
        talk.bye()
        await self.client.sees(rf"drained: no call is left\n{PROMPT}$")
        self.assertEqual(self.stopped, [])
        self.assertEqual(await self.client.ask("undrain()"), "new calls are taken\n")
        await self.call()

    async def test_drain_and_stop(self) -> None:
        """drain(True) ends the bridge with the last call."""
        self.assertIn("then the bridge ends", await self.client.ask("drain(True)"))
        await self.client.sees("drained: no call is left")
        self.assertEqual(self.stopped, [True])

    async def test_trace(self) -> None:
        """trace(id): every message of that call from now on, on this terminal; nothing of other calls."""
        talk, other = await self.call(), await self.call()
        (call,) = [each for each in self.border.hall.book if each.near.call_id == talk.call_id]
        self.assertIsNone(self.border.switchboard.trace)
        self.assertIn("is traced", await self.client.ask(f"trace('{call.id}')"))
        other.info("7")
        talk.info("5")
        for way, line in (
            ("outside <- udp:127.0.0.4", "INFO sip:"),
            ("inside -> tcp:127.0.0.3", "INFO sip:"),
            ("inside <- tcp:127.0.0.3", "SIP/2.0 200 OK"),
            ("outside -> udp:127.0.0.4", "SIP/2.0 200 OK"),
        ):
            await self.client.sees(rf"\d\d:\d\d:\d\d\.\d\d\d {call.id} {way}:\d+, \d+ octets\n  {line}")
        await self.client.sees(rf"\n{PROMPT}$")
        self.assertNotIn("Signal=7", self.client.screen)
        self.assertEqual(await self.client.ask("trace()"), f"traced: {call.id}\n")
        self.assertIn("trace  on", await self.client.ask(f"show('{call.id}')"))
        self.assertEqual(await self.client.ask("untrace()"), f"no longer traced: {call.id}\n")
        self.assertIsNone(self.border.switchboard.trace)
        self.assertEqual(await self.client.ask("trace()"), "no call is traced\n")

    async def test_completion(self) -> None:
        """TAB completes names of commands, and ids of calls between the quotes; the line can be run as it stands."""
        await self.call()
        await self.call()
        book = self.border.hall.book
        for call, start in zip(book, "xy", strict=True):  # random ids may begin alike: these may not
            del book._calls[call.id]
            call.id = start + call.id
            book.open(call)
        first, second = (call.id for call in book)
        self.client.type("st\t")
        await self.client.sees(rf"{PROMPT}stats\(\)$")
        self.assertIn("uptime", await self.client.ask(""))
        self.client.type("\t")
        await self.client.sees(rf"border  calls\(  drain\(  .*  untrace\(\n{PROMPT}$")
        self.client.type(f"show('{first[0]}\t")
        await self.client.sees(rf"show\('{first}'$")
        self.assertRegex(await self.client.ask(")"), rf"call +{first}")
        self.client.type("hangup('\t")
        await self.client.sees(rf"'{min(first, second)}'  '{max(first, second)}'\n{PROMPT}hangup\('$")
        self.assertIn("is hung up", await self.client.ask(f"{second}')"))

    async def test_editing(self) -> None:
        """The line can be edited, taken back and found again; unknown keys mean nothing."""
        self.assertEqual(await self.client.ask("2 + 39\x7f\x7f40"), "42\n")
        self.assertEqual(await self.client.ask("\x1b[A"), "42\n")
        self.assertEqual(await self.client.ask("1\x01\xe9\x1b[15~4"), "41\n")
        self.client.type("show(\x03")
        await self.client.sees(rf"KeyboardInterrupt\n{PROMPT}$")
        self.client.type("for x in 'ab':\r")
        await self.client.sees(r"\.\.\.> $")
        self.client.type("\tprint(x * 3)\r\r")
        await self.client.sees(rf"\naaa\nbbb\n{PROMPT}$")

    async def test_mistakes(self) -> None:
        """Whatever goes wrong in what is typed is shown there, and the bridge takes the next call."""
        self.assertIn("ZeroDivisionError", await self.client.ask("1/0"))
        self.assertIn("SyntaxError", await self.client.ask("calls((" + "\r)x"))
        self.assertIn("match is a text in quotes, not 1", await self.client.ask("calls(1, 2, 3)"))
        self.assertIn("KeyboardInterrupt", await self.client.ask("raise KeyboardInterrupt"))
        self.assertRegex(await self.client.ask("(" * 300 + ")" * 300), "Error")
        await self.call()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_the_end(self) -> None:
        """quit(), exit() and Ctrl-D end the session, and leave the terminal and the bridge as they were."""
        for keys in ("quit()\r", "exit()\r", "raise SystemExit(3)\r", "\x04"):
            client = self.telnet()
            await client.sees(rf"{PROMPT}$")
            client.type(keys)
            await client.gone
            self.assertIn("\x1b[4l", client.raw)
            self.assertNotIn("\x1bc", client.raw)
        await self.call()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.manhole.sessions), 1)

    async def test_an_operator_who_leaves(self) -> None:
        """A terminal that goes away in the middle takes its trace with it, and nothing else."""
        talk = await self.call()
        (call,) = self.border.hall.book
        await self.client.ask(f"trace('{call.id}')")
        self.client.transport.signalProcess("KILL")
        await self.client.gone
        while self.manhole.sessions:
            await deferLater(clock, 0.01)
        info = talk.info("5")
        await self.lines.until(lambda: bool(info.status), "the answer")
        self.assertEqual(info.status, 200)
        self.assertEqual(self.flushLoggedErrors(), [])


class TestLogin(Running):
    """With a users' file there is a login."""

    users = "alice"

    async def test_right(self) -> None:
        """The password is asked for and not shown; the log says who came."""
        client = self.telnet()
        await client.sees("Username: $")
        client.type("alice\r")
        await client.sees("Password: $")
        client.type(f"{PASSWORD}\r")
        await client.sees(rf"b2bua manhole: .*{PROMPT}$")
        self.assertNotIn("horse", client.screen)
        self.assertEqual(await client.ask("6 * 7"), "42\n")

    async def test_wrong(self) -> None:
        """A wrong password and an unknown user get the same answer; after three the connection is closed."""
        client = self.telnet()
        for user, password in (("alice", "wrong one"), ("bob", PASSWORD), ("", "")):
            await client.sees("Username: $")
            client.type(f"{user}\r")
            await client.sees("Password: $")
            client.type(f"{password}\r")
            await client.sees("No such user, or another password")
        await client.gone
        self.assertNotIn(PROMPT, client.screen)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_second_try(self) -> None:
        """Who mistypes may try again."""
        client = self.telnet()
        for password in ("wrong one", PASSWORD):
            await client.sees("Username: $")
            client.type("alice\r")
            await client.sees("Password: $")
            client.type(f"{password}\r")
        await client.sees(rf"{PROMPT}$")

    async def test_nothing_before_the_login(self) -> None:
        """What is sent instead of a name and a password runs nothing, and who says nothing is sent away."""
        self.patch(manhole, "LOGIN_TIME", 0.3)
        with socket.create_connection(("127.0.0.1", self.port)) as peer:
            peer.setblocking(False)
            peer.sendall(b"border.hall.hang_up_all('x')\r\nquit()\r\n" + b"\xff\xfb\x03" * 20)
            await deferLater(clock, 0.6)
            said = peer.recv(65536)
        self.assertIn(b"Username: ", said)
        self.assertNotIn(PROMPT.encode(), said)
        self.assertEqual(self.flushLoggedErrors(), [])


class TestStrangers(Running):
    """Who does not speak telnet, or comes too often."""

    async def test_noise(self) -> None:
        """Noise ends its own connection with one line in the log."""
        for noise in (b"\xff\x01\x02", b"\xff\xfa" + b"x" * 9000, b"GET / HTTP/1.0\r\n\r\n", bytes(range(256)) * 4):
            with socket.create_connection(("127.0.0.1", self.port)) as peer:
                peer.setblocking(False)
                await deferLater(clock, 0.02)
                peer.sendall(noise)
                await deferLater(clock, 0.05)
        self.assertEqual(self.flushLoggedErrors(), [])
        while self.manhole.sessions:
            await deferLater(clock, 0.01)
        await self.call()

    async def test_browser(self) -> None:
        """A web page's request runs nothing, whatever is in it; nor does what comes before an answer to IAC."""
        code = b"border.ran = True\r\n"
        answer = b"\xff\xfd\x01\xff\xfd\x03"
        for attack in (b"POST / HTTP/1.1\r\n\r\n" + answer + code, code, code + answer + code, b"x" + answer + code):
            with socket.create_connection(("127.0.0.1", self.port)) as peer:
                peer.setblocking(False)
                await deferLater(clock, 0.02)
                peer.sendall(attack)
                await deferLater(clock, 0.05)
                self.assertFalse(self.manhole._connections, attack)
        self.assertFalse(hasattr(self.border, "ran"))
        with socket.create_connection(("127.0.0.1", self.port)) as peer:
            peer.setblocking(False)
            await deferLater(clock, 0.02)
            self.assertNotIn(PROMPT.encode(), peer.recv(65536))
            peer.sendall(answer)
            await deferLater(clock, 0.05)
            self.assertIn(PROMPT.encode(), peer.recv(65536))
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_silence(self) -> None:
        """Who answers nothing is sent away."""
        self.patch(manhole, "LOGIN_TIME", 0.1)
        with socket.create_connection(("127.0.0.1", self.port)):
            await deferLater(clock, 0.05)
            self.assertEqual(len(self.manhole._connections), 1)
            await deferLater(clock, 0.2)
            self.assertFalse(self.manhole._connections)

    def test_said(self) -> None:
        """That there is no password is warned of."""
        (said,) = manhole.warnings(self.configuration)
        self.assertIn("whoever can connect runs code as the bridge", said)

    async def test_too_many(self) -> None:
        """There is room for so many sessions and no more."""
        self.patch(manhole, "SESSIONS", 2)
        peers = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(3)]
        await deferLater(clock, 0.1)
        said = [peer.recv(65536) for peer in peers]
        self.assertEqual([b"too many sessions" in each for each in said], [False, False, True])
        for peer in peers:
            peer.close()
        await deferLater(clock, 0.05)
        client = self.telnet()
        await client.sees(rf"{PROMPT}$")


class TestSsh(Running):
    """The same by SSH."""

    users = "alice"

    def setUp(self) -> None:
        """With a port for it."""
        self.ssh_port = free_port("tcp", "127.0.0.1")
        self.more = f"ssh_port = {self.ssh_port}\n"
        super().setUp()

    async def login(self) -> Client:
        """A real client, which would remember the host's key if it could."""
        client = Client(
            self, need("ssh"), "-p", str(self.ssh_port), "-o", "StrictHostKeyChecking=no", "-o",
            f"UserKnownHostsFile={self.folder}/known", "-o", "PubkeyAuthentication=no", "alice@127.0.0.1",
        )  # fmt: skip
        await client.sees("assword: ?$")
        client.type(f"{PASSWORD}\r")
        await client.sees(rf"b2bua manhole: .*{PROMPT}$")
        return client

    async def test_session(self) -> None:
        """It is the same session, and the host's key is made once and kept."""
        client = await self.login()
        self.assertIn("no calls", await client.ask("calls()"))
        client.type("\x04")
        await client.gone
        key = (self.folder / "ssh_host_key").read_bytes()
        self.assertEqual(os.stat(self.folder / "ssh_host_key").st_mode & 0o777, 0o600)
        await self.manhole.stopService()
        self.manhole.startService()
        self.assertEqual((self.folder / "ssh_host_key").read_bytes(), key)
        client = await self.login()
        self.assertEqual(await client.ask("6 * 7"), "42\n")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_nothing_before_the_login(self) -> None:
        """Who does not log in is sent away."""
        self.patch(manhole, "LOGIN_TIME", 0.3)
        with socket.create_connection(("127.0.0.1", self.ssh_port)) as peer:
            peer.setblocking(False)
            await deferLater(clock, 0.6)
            self.assertTrue(peer.recv(65536).startswith(b"SSH-2.0-"))
            self.assertRaises(ConnectionResetError, peer.recv, 65536)

    async def test_wrong(self) -> None:
        """A wrong password does not let anybody in."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PubkeyAuthentication=no"
        client = Client(self, need("ssh"), "-p", str(self.ssh_port), *options.split(), "alice@127.0.0.1")
        await client.sees("assword: ?$")
        client.type("wrong one\r")
        await client.sees("ermission denied")
        self.assertNotIn(PROMPT, client.screen)


class TestHostKey(SynchronousTestCase):
    """The key by which SSH clients know us."""

    def test_damaged(self) -> None:
        """One that cannot be read is left alone, and another used for this time."""
        path = Path(self.mktemp())
        path.write_text("no key")
        self.assertNotEqual(host_key(path).public(), host_key(path).public())
        self.assertEqual(path.read_text(), "no key")

    def test_nowhere(self) -> None:
        """Where it cannot be kept, each start has another."""
        path = Path(self.mktemp()) / "there" / "ssh_host_key"
        self.assertNotEqual(host_key(path).public(), host_key(path).public())

    def test_kept(self) -> None:
        """Made once."""
        path = Path(self.mktemp())
        self.assertEqual(host_key(path).public(), host_key(path).public())


class TestMistakes(SynchronousTestCase):
    """What is found before anything is bound."""

    def configuration(self, more: str) -> Configuration:
        """A configuration with this in [manhole]."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "users").write_text("")
        text = CONFIGURATION.format(outside=5060, inside=5060, bob=5060, telnet=5023)
        (folder / "b2bua.toml").write_text(text + more)
        return load(str(folder / "b2bua.toml"))

    def test_without_the_extra(self) -> None:
        """SSH without its library is a mistake that says what to install."""
        with patch.dict(sys.modules, {"b2bua.ops.ssh": None}):
            (mistake,) = mistakes(self.configuration('users = "users"\nssh_port = 5022\n'))
        self.assertIn("manhole.ssh_port = 5022: SSH needs the extra: pip install 'b2bua[conch]'", str(mistake))

    def test_fine(self) -> None:
        """With it, and with a file of users, there is nothing to say."""
        self.assertEqual(mistakes(self.configuration('users = "users"\nssh_port = 5022\n')), [])


class TestBinding(SynchronousTestCase):
    """The manhole's ports are bound with the listeners."""

    def test_taken(self) -> None:
        """A port that somebody has ends the start, with a line that says which."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            folder = Path(self.mktemp()).absolute()
            folder.mkdir()
            text = CONFIGURATION.format(outside=5060, inside=5060, bob=5060, telnet=taken.getsockname()[1])
            (folder / "b2bua.toml").write_text(text)
            configuration = load(str(folder / "b2bua.toml"))
            assert configuration.manhole is not None
            border = Border(configuration, clock)
            service = ManholeService(border, configuration.manhole, clock)
            with patch("sys.stderr") as errors:
                self.assertRaises(SystemExit, service.privilegedStartService)
            said = "".join(each.args[0] for each in errors.write.call_args_list)
            self.assertIn("b2bua: manhole: cannot listen on 127.0.0.1:", said)
            self.assertIn("Address already in use", said)
            border._close()


def _cheap(made: type[passwords.Hash], password: bytes, salt: bytes, ln: int = 4) -> passwords.Hash:
    return made(ln, 8, 1, salt, passwords._scrypt(password, salt, ln, 8, 1, 32))
