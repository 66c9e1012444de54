"""The bridge as its operator starts, signals and stops it: `twistd -n b2bua CONFIG`."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from b2bua.config import load
from b2bua.ops.phone import Dialog
from b2bua.ops.phonelines import Lines, free_port
from b2bua.service import FAREWELL, Border
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request
from b2bua.transaction.transaction import ClientTransaction
from tests.children import Child, start_bridge, twistd
from tests.netns import ROOT, Namespace
from tests.pki import issue, make_ca

clock: Any = reactor

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
transport = "udp"
address = "127.0.0.2"
port = {inside}
[[route]]
name = "to bob"
to = "sip:127.0.0.3:{bob}"
send_from = "inside"
"""
TLS = """
[[listener]]
name = "safe"
zone = "public"
transport = "tls"
address = "127.0.0.1"
port = {port}
certificate = "test.pem"
key = "test.key"
"""


class Started(TestCase):
    """A bridge in a process of its own, and two phones."""

    timeout = 120

    def setUp(self) -> None:
        """The phones."""
        self.lines = Lines(clock)
        self.alice = self.lines.phone("alice", "udp", "127.0.0.4")
        self.bob = self.lines.phone("bob", "udp", "127.0.0.3")
        self.outside = free_port("udp", "127.0.0.1")
        self.text = CONFIGURATION.format(
            outside=self.outside, inside=free_port("udp", "127.0.0.2"), bob=self.bob.at.port
        )
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.addCleanup(self.lines.close)

    async def start(self, more: str = "") -> Child:
        """The bridge, listening."""
        return await start_bridge(self, self.text + more, self.folder)

    async def call(self) -> Dialog:
        """A call that is up."""
        talk = self.alice.invite(f"sip:bob@127.0.0.1:{self.outside}")
        await self.lines.until(lambda: talk.up and bool(self.bob.dialogs[-1].acked), "a call")
        return talk

    async def fails(self, *more: str) -> str:
        """What it prints as it ends with status 1 without having listened."""
        config = self.folder / "b2bua.toml"
        child = Child(self, *twistd(config), *more, environment={"PYTHONPATH": str(ROOT)}, folder=self.folder)
        self.assertEqual(await child.ended, 1)
        self.assertNotIn("listening: ", child.output)
        self.assertNotIn("Traceback", child.output)
        return child.output


class TestStopping(Started):
    """However the bridge is stopped, no peer is left in a call that is no more."""

    async def test_byes(self) -> None:
        """SIGINT (Ctrl-C) and SIGTERM end every call on both sides; the status is 0, and nothing is said in anger."""
        for number in (signal.SIGINT, signal.SIGTERM):
            bridge = await self.start()
            talks = [await self.call(), await self.call()]
            ended = bridge.end(number)
            others = self.bob.dialogs[-2:]
            await self.lines.until(lambda: all(each.over for each in (*talks, *others)), "BYE on both sides")  # noqa: B023
            self.assertEqual(await ended, 0)
            self.assertEqual(bridge.output.count("ended: the bridge is stopping"), 2)
            self.assertNotIn("Traceback", bridge.output)

    async def test_ringing(self) -> None:
        """A call that rings is refused on one side and cancelled on the other."""
        self.bob.asked = lambda dialog, request: dialog.ring() if request.method == "INVITE" else None
        bridge = await self.start()
        talk = self.alice.invite(f"sip:bob@127.0.0.1:{self.outside}")
        await self.lines.until(lambda: bool(talk.times("180 INVITE")), "ringing")
        ended = bridge.end(signal.SIGINT)
        await self.lines.until(lambda: talk.over and bool(self.bob.dialogs[-1].times("CANCEL")), "the end")
        self.assertEqual(talk.times("480 INVITE"), 1)
        self.assertEqual(await ended, 0)

    async def test_twice(self) -> None:
        """A second Ctrl-C while nobody answers the BYEs ends the bridge without waiting, and without a traceback."""
        bridge = await self.start()
        await self.call()
        self.alice.asked = self.bob.asked = lambda dialog, request: None
        bridge.end(signal.SIGINT)
        await self.lines.until(lambda: bool(self.bob.dialogs[-1].times("BYE")), "BYE")
        self.assertEqual(await bridge.end(signal.SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)
        self.assertNotIn("ReactorNotRunning", bridge.output)

    async def test_how_long_it_waits(self) -> None:
        """It waits a little for the answers to its BYEs, or not at all when asked to stop again."""
        for hurried in (False, True):
            memory = MemoryReactorClock()
            border, waited = self.border(memory), Deferred[None]()
            border.switchboard.transactions.add_client(_unanswered(border))
            border._farewell(memory.seconds() + FAREWELL, waited)
            memory.advance(0.06)
            self.assertNoResult(waited)
            if hurried:
                memory.running = False
                self.patch(memory, "stop", _not_running)
                border.stop()
                memory.advance(0.06)
            else:
                memory.advance(FAREWELL)
            self.successResultOf(waited)
            border.names.stop()
            assert border.routes is not None
            border.routes.close()

    async def test_probes(self) -> None:
        """S7: members of groups are asked from the start, and not any more once it ends."""
        memory = MemoryReactorClock()
        border = self.border(memory, '[[group]]\nname = "g"\nmembers = [{uri = "sip:127.0.0.9"}]\n')
        self.patch(border, "privilegedStartService", lambda: None)
        border.startService()
        self.assertTrue(border.probing.running)
        memory.advance(30)
        (probe,) = border.switchboard.transactions
        self.assertEqual((probe.method, probe.flow.host), ("OPTIONS", "127.0.0.9"))
        memory.advance(33)  # 64*T1
        self.assertTrue(border.hall.groups.healths[0].until(memory.seconds()))
        border.stopService()
        self.assertFalse(border.probing.running)
        memory.advance(FAREWELL)

    def border(self, memory: MemoryReactorClock, more: str = "") -> Border:
        """One without sockets."""
        (self.folder / "b2bua.toml").write_text(self.text + more)
        return Border(load(str(self.folder / "b2bua.toml")), memory)


class TestStarting(Started):
    """What it says, and what keeps it from starting."""

    async def test_descriptors(self) -> None:
        """It may open as many files as the system lets it: a shell's 1024 are few connections, and fewer media."""
        few = "/bin/sh", "-c", 'ulimit -Sn 256; exec "$0" "$@"'
        bridge = await start_bridge(self, self.text, self.folder, few)
        limits = Path(f"/proc/{bridge.transport.pid}/limits").read_text().splitlines()
        soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
        self.assertEqual(soft, hard)
        self.assertNotEqual(soft, "256")

    async def test_what_it_says(self) -> None:
        """Every listener, how to reach the manhole, and what to be careful of."""
        port = free_port("tcp", "127.0.0.1")
        bridge = await self.start(f"[manhole]\nport = {port}\n")
        await bridge.says("manhole: telnet")
        self.assertIn(f"listening: outside (public) udp 127.0.0.1:{self.outside}\n", bridge.output)
        self.assertIn(f"manhole: telnet 127.0.0.1 {port}, without a password; then help()\n", bridge.output)
        self.assertIn("route[1]: from public to private media passes us by", bridge.output)
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.settimeout(30)
            peer.sendall(b"\xff\xfd\x01")  # as a telnet client answers; before that no terminal is opened
            self.assertIn(b"b2bua manhole", await deferToThread(_read_until, peer, b"help()"))

    async def test_mistakes(self) -> None:
        """Every mistake in the configuration is printed before anything is bound."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:  # it does not come as far as that
            taken.bind(("127.0.0.1", self.outside))
            text = self.text.replace('"udp"', '"upd"').replace("send_from", "sendfrom")
            (self.folder / "b2bua.toml").write_text(text + "[manhole]\nport = 0\nusers = 'users'\n")
            (self.folder / "users").write_text("alice:secret\n")
            printed = await self.fails()
        self.assertIn("mistakes in the configuration:", printed)
        self.assertIn('listener[1].transport = "upd": must be "udp", "tcp" or "tls"', printed)
        self.assertIn('listener[2].transport = "upd": must be "udp", "tcp" or "tls"', printed)
        self.assertIn('route[1].sendfrom = "inside": no such key; did you mean "send_from"?', printed)
        self.assertNotIn("cannot listen", printed)
        (self.folder / "b2bua.toml").write_text(self.text + "[manhole]\nport = 0\nusers = 'users'\n")
        self.assertIn("users:1: what follows the name is no hash of b2bua passwd", await self.fails())

    async def test_a_port_that_is_taken(self) -> None:
        """A listener that cannot be bound ends the start, with its name, its address and the reason."""
        for kind, transport in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
            with socket.socket(socket.AF_INET, kind) as taken:
                taken.bind(("127.0.0.1", 0))
                port = taken.getsockname()[1]
                if transport == "tcp":
                    taken.listen()
                text = self.text.replace('"udp"', f'"{transport}"').replace(f"port = {self.outside}", f"port = {port}")
                (self.folder / "b2bua.toml").write_text(text)
                printed = await self.fails()
                line = f"b2bua: listener outside: cannot listen on 127.0.0.1:{port}: Address already in use\n"
                self.assertIn(line, printed)

    async def test_an_address_that_is_not_ours(self) -> None:
        """An address that the machine does not have is told in the kernel's words."""
        (self.folder / "b2bua.toml").write_text(self.text.replace('"127.0.0.2"', '"192.0.2.77"'))
        printed = await self.fails()
        self.assertIn("b2bua: listener inside: cannot listen on 192.0.2.77:", printed)
        self.assertIn("Cannot assign requested address", printed)

    async def test_json(self) -> None:
        """With format = "json" every line is an object."""
        bridge = await self.start('[log]\nformat = "json"\n')
        talk = await self.call()
        talk.bye()
        await bridge.says('"why": "the caller hung up"')
        await bridge.end(signal.SIGINT)
        lines = [json.loads(line) for line in bridge.output.splitlines()]
        self.assertEqual(sum("call_id_in" in line for line in lines), 3)

    async def test_logfile(self) -> None:
        """--logfile of twistd holds what would be printed."""
        (self.folder / "b2bua.toml").write_text(self.text)
        command = twistd(self.folder / "b2bua.toml")
        place = command.index("-n")
        command[place:place] = ["--logfile=b2bua.log"]
        bridge = Child(self, *command, environment={"PYTHONPATH": str(ROOT)}, folder=self.folder)
        log = self.folder / "b2bua.log"
        while not log.exists() or "listening: inside" not in log.read_text():
            await deferLater(clock, 0.05)
        await self.call()
        self.assertEqual(await bridge.end(signal.SIGTERM), 0)
        self.assertEqual(bridge.output, "")
        self.assertEqual(log.read_text().count("ended: the bridge is stopping"), 1)


class TestReload(Started):
    """SIGHUP reads the certificates anew (S51)."""

    def setUp(self) -> None:
        """One TLS listener."""
        super().setUp()
        self.ca = make_ca()
        self.ca_file, _ = self.ca.write(self.folder, "ca")
        self.port = free_port("tls", "127.0.0.1")
        self.use("one.example")

    def use(self, name: str) -> None:
        """Another certificate in the same files."""
        issue(self.ca, dns=[name]).write(self.folder, "test")

    def shown(self) -> Deferred[str]:
        """The name in the certificate that a client is shown."""

        def ask() -> str:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.check_hostname = False
            with socket.create_connection(("127.0.0.1", self.port), 30) as plain, context.wrap_socket(plain) as safe:
                certificate: Any = safe.getpeercert()
                return str(certificate["subjectAltName"][0][1])

        return deferToThread(ask)

    async def test_reload(self) -> None:
        """New files are shown from then on; bad ones are told of, and the old ones stay in use."""
        bridge = await self.start(TLS.format(port=self.port) + f'[tls]\nca = "{self.ca_file}"\n')
        self.assertEqual(await self.shown(), "one.example")
        self.use("two.example")
        os.kill(bridge.transport.pid, signal.SIGHUP)
        await bridge.says("certificates read anew")
        self.assertEqual(await self.shown(), "two.example")
        (self.folder / "test.pem").write_text("nothing")
        os.kill(bridge.transport.pid, signal.SIGHUP)
        await bridge.says("certificates read anew", 2)
        self.assertIn("certificates of safe stay as they were: ", bridge.output)
        self.assertEqual(await self.shown(), "two.example")
        await self.call()


class TestRoutes(Started):
    """S6: every configured next hop is looked at again when the kernel's routes change."""

    async def test_lost_and_found(self) -> None:
        """A next hop that loses its interface is told of at once, and again when it has one."""
        net, far = Namespace(self), Namespace(self, "far")
        net.wire("eth0", ["192.0.2.1/24"], far, "eth0", ["192.0.2.2/24"])
        net.ip("route add 198.51.100.0/24 via 192.0.2.2")
        text = self.text.replace("127.0.0.2", "192.0.2.1").replace("sip:127.0.0.3", "sip:198.51.100.7")
        text = text.replace('send_from = "inside"', "")
        bridge = await start_bridge(self, text, self.folder, net.command())
        self.assertNotIn("next hop", bridge.output)
        net.ip("route del 198.51.100.0/24")
        await bridge.says("of rule to bob has no way out: the kernel has no route to 198.51.100.7")
        net.ip("route add 198.51.100.0/24 via 192.0.2.2")
        await bridge.says("of rule to bob has a way out again, by inside: the kernel would send to 198.51.100.7 from")


def _unanswered(border: Border) -> Any:
    """A request of ours that nobody answers."""
    listener = border.configuration.listeners[0]
    request = Request("BYE", "sip:bob@127.0.0.3", {"Via": [listener.via_with("z9hG4bK1")], "CSeq": ["1 BYE"]})
    return ClientTransaction(request, ("z9hG4bK1", "BYE"), Flow(listener, "127.0.0.3", 5060), None)


def _not_running() -> None:
    raise ReactorNotRunning


def _read_until(peer: socket.socket, end: bytes) -> bytes:
    said = b""
    while end not in said and (more := peer.recv(65536)):
        said += more
    return said
