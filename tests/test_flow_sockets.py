"""Flows over real sockets: STUN, connections that die, and phones that come back by another one, over TCP and TLS."""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from b2bua.net.certificates import KeyPair, ServerFiles
from b2bua.ops.phone import Phone
from b2bua.ops.phonelines import Lines, free_port
from b2bua.sip.listener import Flow
from tests.children import start_bridge
from tests.pki import issue, make_ca
from tests.registering import Registration

HOST = "127.0.21.1"  # the bridge's
ZONE = '[[zone]]\nname = "all"\n[registrar]\ndomains = ["example.com"]\nstore = "memory:"\n'
LISTENER = """
[[listener]]
name = "{0}"
zone = "all"
transport = "{0}"
address = "127.0.21.1"
port = {1}
{2}
"""
ROUTE = '[[route]]\nto = "lookup"\nhunt = "serial"\ngo_on = [408, 503]\n'


class TestSockets(TestCase):
    """A registrar, and phones whose connections die."""

    timeout = 90

    async def begin(self) -> None:
        """The bridge, with a listener of each kind."""
        folder = Path(self.mktemp()).absolute()
        ca = make_ca()
        certificate, key = issue(ca, ips=[HOST]).write(folder)
        issuer, _ = ca.write(folder, "ca")
        self.lines = Lines(reactor, ServerFiles(KeyPair(certificate, key)), issuer)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.lines.close()))
        self.ports = {each: free_port(each, HOST) for each in ("udp", "tcp", "tls")}
        files = 'certificate = "test.pem"\nkey = "test.key"'
        listeners = [LISTENER.format(name, port, files if name == "tls" else "") for name, port in self.ports.items()]
        self.bridge = await start_bridge(self, ZONE + "".join(listeners) + ROUTE, folder)
        self.caller = self.lines.phone("carol", "udp", "127.0.21.9")

    def line(self, transport: str, number: int, params: str = "") -> Registration:
        """A phone of alice's."""
        phone = self.lines.phone("alice", transport, f"127.0.21.{number}")
        flow = Flow(phone.at, HOST, self.ports[transport], None, HOST)
        line = Registration(phone, flow, params=f';+sip.instance="<urn:uuid:{number}>"{params}')
        line.headers = {"Supported": ["outbound, path"]}
        return line

    async def register(self, line: Registration) -> None:
        """Register."""
        sent = line.register()
        await self.lines.until(lambda: bool(sent.status), "the answer to REGISTER", 20.0)
        self.assertEqual(sent.status, 200, self.bridge.output)

    async def drop(self, line: Registration, times: int = 1) -> None:
        """The phone's connection dies."""
        connection: Any = line.dialog.flow.connection
        connection.abort("the test wants it")
        await self.bridge.says("its connection is gone", times)
        line.dialog.flow.connection = None

    def proxy(self, phone: Phone) -> Flow:
        """The way of calls."""
        return Flow(phone.at, HOST, self.ports[phone.at.transport], None, HOST)

    async def stop(self) -> None:
        """A log without tracebacks."""
        self.assertEqual(await self.bridge.end(SIGINT), 0, self.bridge.output)
        self.assertNotIn("Traceback", self.bridge.output)

    async def test_reconnect(self) -> None:
        """re-INVITE and BYE of a running call reach the phone on its new connection."""
        await self.begin()
        dropped = 0
        for transport, number in (("tcp", 31), ("tls", 32)):
            line = self.line(transport, number)
            await self.register(line)
            near = self.caller.invite("sip:alice@example.com", self.proxy(self.caller))
            await self.lines.until(lambda near=near: near.up, "the answer", 20.0)
            dropped += 1
            await self.drop(line, dropped)
            await self.register(line)
            for ask in (near.reinvite, near.bye):
                sent = ask()
                await self.lines.until(lambda sent=sent: bool(sent.status), "the answer inside the call", 20.0)
                self.assertEqual(sent.status, 200)
            self.assertTrue(line.phone.dialogs[-1].over)
            dropped += 1
            await self.drop(line, dropped)
        await self.stop()

    async def test_dead(self) -> None:
        """A call that rings where the connection dies goes on to the next phone at once; at the end it is 430."""
        await self.begin()
        one, two = self.line("tls", 31), self.line("tcp", 32)
        for line in (one, two):
            line.phone.asked = lambda dialog, request: dialog.ring()
            await self.register(line)
        near = self.caller.invite("sip:alice@example.com", self.proxy(self.caller))
        await self.lines.until(lambda: len(two.phone.dialogs) == 1, "the first to ring", 20.0)
        await self.drop(two, 1)
        await self.lines.until(lambda: len(one.phone.dialogs) == 1, "the second to ring", 20.0)
        await self.drop(one, 2)
        await self.lines.until(lambda: near.over, "the end", 20.0)
        self.assertEqual(near.times("430 INVITE"), 1)
        await self.stop()
