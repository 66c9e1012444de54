"""One question to real name servers on loopback, good, bad and silent (`b2bua.net.nameservers`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns
from twisted.names.server import DNSServerFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from b2bua.net.nameservers import Address, Nameservers, NoAnswer, WatchedFile, nameserver, read_resolv_conf
from tests.zone import Server, Zone

ZONE = "example.com A 192.0.2.1"
SHORT = (0.1, 0.3)  # seconds: enough on loopback


class CutShort(DNSServerFactory):
    """Over UDP only the beginning of each answer (RFC 1035 4.1.1, TC)."""

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        """Over TCP all of it."""
        if address is not None:
            message.answers, message.trunc = [], 1
        super().sendReply(protocol, message, address)


class CutShortAndHangUp(CutShort):
    """Over TCP nothing at all."""

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        """Over TCP hang up."""
        if address is None:
            protocol.transport.loseConnection()
        else:
            super().sendReply(protocol, message, address)


class CutShortAndSilent(CutShort):
    """Over TCP connections, but no answers."""

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        """Over TCP wait."""
        if address is not None:
            super().sendReply(protocol, message, address)


class Failing(DNSServerFactory):
    """SERVFAIL to everything."""

    def allowQuery(self, message: dns.Message, protocol: Any, address: Any) -> bool:
        """Refuse, with the code that `sendReply` replaces."""
        return False

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        """Say that the server failed."""
        message.answer, message.rCode = 1, dns.ESERVER
        super().sendReply(protocol, message, address)


class Scripted(DatagramProtocol):
    """Answers each question with the datagrams that `script` makes of it."""

    noisy = False

    def __init__(self, script: Callable[[dns.Message], list[bytes]]) -> None:
        self.script = script
        self.asked = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer."""
        self.asked += 1
        question = dns.Message()
        question.fromStr(datagram)
        for each in self.script(question):
            self.transport.write(each, addr)


def reply(question: dns.Message, address: str, **changes: Any) -> bytes:
    """An answer to `question` with one address; `changes` spoil it."""
    message = dns.Message(changes.get("id", question.id), answer=changes.get("answer", 1))
    name = changes.get("name", question.queries[0].name.name)
    message.addQuery(name, dns.A)
    message.answers = [dns.RRHeader(name, dns.A, dns.IN, 300, dns.Record_A(address))]
    return message.toStr()


class Asking(TestCase):
    """Real sockets, short patience."""

    def serve(self, text: str = ZONE, host: str = "127.0.0.1", factory: Any = DNSServerFactory) -> Address:
        """A server of a zone."""
        self.zone = Zone(text)
        server = Server(reactor, self.zone, host, factory)
        self.addCleanup(server.stop)
        return server.server

    def script(self, script: Callable[[dns.Message], list[bytes]]) -> Address:
        """A server that follows a script."""
        self.scripted = Scripted(script)
        port = reactor.listenUDP(0, self.scripted, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return "127.0.0.1", port.getHost().port

    def closed(self) -> Address:
        """A port where nothing listens."""
        port = reactor.listenUDP(0, DatagramProtocol(), interface="127.0.0.1")
        number = port.getHost().port
        self.addCleanup(lambda: None)
        return port.stopListening().addCallback(lambda _: ("127.0.0.1", number))

    def ask(self, *servers: Address, name: str = "example.com", patience: tuple[float, ...] = SHORT) -> Deferred[Any]:
        """The addresses that these servers give."""
        asked = Nameservers(reactor, servers, patience=patience).ask(name, dns.A)
        return asked.addCallback(lambda message: [each.payload.dottedQuad() for each in message.answers])

    async def test_udp(self) -> None:
        """A question and its answer over UDP."""
        self.assertEqual(await self.ask(self.serve()), ["192.0.2.1"])
        self.assertEqual(self.zone.asked, ["A example.com"])

    async def test_ipv6_server(self) -> None:
        """A name server with an IPv6 address."""
        try:
            server = self.serve(host="::1")
        except CannotListenError:
            self.skipTest("SKIPPED: no IPv6 on this machine")
        self.assertEqual(await self.ask(server), ["192.0.2.1"])

    async def test_long_answer_by_tcp(self) -> None:
        """RFC 7766 5: a truncated answer is asked for again over TCP, of the same server."""
        self.assertEqual(await self.ask(self.serve(factory=CutShort)), ["192.0.2.1"])
        self.assertEqual(self.zone.asked, ["A example.com", "A example.com"])

    async def test_long_answer_without_tcp(self) -> None:
        """A server that cuts short and then hangs up, stays silent or has no TCP: no answer, and why."""
        with self.assertRaisesRegex(NoAnswer, "connection closed before the answer"):
            await self.ask(self.serve(factory=CutShortAndHangUp))
        with self.assertRaisesRegex(NoAnswer, "timed out"):
            await self.ask(self.serve(factory=CutShortAndSilent))
        short = dns.Message(0, answer=1, trunc=1)
        short.addQuery(b"example.com", dns.A)

        def cut(question: dns.Message) -> list[bytes]:
            short.id = question.id
            return [short.toStr()]

        with self.assertRaisesRegex(NoAnswer, "no connection for a long answer"):
            await self.ask(self.script(cut))

    async def test_nxdomain_is_an_answer(self) -> None:
        """RFC 2308 2.1: NXDOMAIN is the domain's own word; no other server is asked."""
        first, second = self.serve("other.example A 192.0.2.1"), self.script(lambda question: [])
        self.assertEqual(await self.ask(first, second), [])
        self.assertEqual(self.scripted.asked, 0)

    async def test_next_server_after_failure(self) -> None:
        """A server that fails is not the last word: the next one is asked."""
        failing = self.serve(factory=Failing)
        self.assertEqual(await self.ask(failing, self.serve()), ["192.0.2.1"])
        with self.assertRaisesRegex(NoAnswer, r"server failure \(127.0.0.1 port [0-9]+\)"):
            await self.ask(failing)

    async def test_next_server_after_refusal(self) -> None:
        """Where nothing listens the next server is asked at once, without waiting."""
        closed = await self.closed()
        self.assertEqual(await self.ask(closed, self.serve(), patience=(60.0,)), ["192.0.2.1"])
        with self.assertRaisesRegex(NoAnswer, "nothing listens there"):
            await self.ask(closed, patience=(60.0,))

    async def test_next_server_after_silence(self) -> None:
        """A silent server costs its patience once: the one that answered is asked first from then on."""
        silent = self.script(lambda question: [])
        nameservers = Nameservers(reactor, [silent, self.serve()], patience=SHORT)
        await nameservers.ask("example.com", dns.A)
        await nameservers.ask("example.com", dns.A)
        self.assertEqual(self.scripted.asked, 1)

    async def test_silence(self) -> None:
        """Nobody answers: asked twice, then NoAnswer naming who was asked."""
        silent = self.script(lambda question: [])
        with self.assertRaisesRegex(NoAnswer, rf"timed out \(127.0.0.1 port {silent[1]}\)"):
            await self.ask(silent)
        self.assertEqual(self.scripted.asked, 2)

    async def test_lost_question(self) -> None:
        """A datagram that was lost is sent again."""

        def forgetful(question: dns.Message) -> list[bytes]:
            return [reply(question, "192.0.2.7")] if self.scripted.asked > 1 else []

        self.assertEqual(await self.ask(self.script(forgetful)), ["192.0.2.7"])

    async def test_forged_answers(self) -> None:
        """RFC 5452 9.1: another id, another question, a question instead of an answer, and noise are all dropped."""

        def forger(question: dns.Message) -> list[bytes]:
            return [
                b"",
                b"\xff" * 40,
                question.toStr()[:-3],
                question.toStr(),
                reply(question, "203.0.113.1", id=question.id ^ 1),
                reply(question, "203.0.113.2", name=b"example.org"),
                reply(question, "203.0.113.3", answer=0),
                reply(question, "192.0.2.1"),
                reply(question, "203.0.113.4"),
            ]

        self.assertEqual(await self.ask(self.script(forger)), ["192.0.2.1"])

    async def test_unreachable_server(self) -> None:
        """An address to which nothing can be sent is a reason, not an exception of the socket."""
        with self.assertRaisesRegex(NoAnswer, "not sent: "):
            await self.ask(("255.255.255.255", 53))

    async def test_no_socket(self) -> None:
        """Out of sockets: a reason, not an exception."""

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise CannotListenError("0.0.0.0", 0, OSError(24, "Too many open files"))

        with patch.object(reactor, "listenUDP", refuse):
            with self.assertRaisesRegex(NoAnswer, "no socket for the question: .*Too many open files"):
                await self.ask(("127.0.0.1", 53))

    async def test_resolv_conf(self) -> None:
        """Without servers of our own those of resolv.conf are asked, and a changed file counts at once."""
        path = self.mktemp()
        nameservers = Nameservers(reactor, resolv_conf=path, patience=SHORT)
        self.assertEqual(nameservers._servers(), [("127.0.0.1", 53)])
        with open(path, "w") as file:
            file.write("# by hand\nsearch example.net\nnameserver 192.0.2.53 # first\nnameserver 2001:db8:0::53\n")
        self.assertEqual(nameservers._servers(), [("192.0.2.53", 53), ("2001:db8::53", 53)])
        os.remove(path)
        self.assertEqual(nameservers._servers(), [("127.0.0.1", 53)])


class Writing(SynchronousTestCase):
    """What stands in configurations and files."""

    def test_nameserver(self) -> None:
        """Addresses with and without a port, IPv6 with and without brackets."""
        for text, expected in (
            ("192.0.2.1", ("192.0.2.1", 53)),
            ("127.0.0.1:5353", ("127.0.0.1", 5353)),
            ("2001:DB8::0:1", ("2001:db8::1", 53)),
            ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
            ("[::1]", ("::1", 53)),
        ):
            self.assertEqual(nameserver(text), expected)
        for text in ("", "ns.example.com", "192.0.2.1:0", "192.0.2.1:99999", "192.0.2.1:1²", "[::1]53", "[::1", "::g"):
            self.assertRaises(ValueError, nameserver, text)

    def test_resolv_conf_lines(self) -> None:
        """resolv.conf(5): three servers at most, what is no address is skipped, none at all means this machine."""
        lines = ["nameserver 192.0.2.1", "nameserver x", "nameserver", "options ndots:5", *["nameserver ::1"] * 4]
        self.assertEqual(read_resolv_conf(lines), [("192.0.2.1", 53), ("::1", 53), ("::1", 53)])
        self.assertEqual(read_resolv_conf(["nameservers 192.0.2.1"]), [("127.0.0.1", 53)])

    def test_watched_file(self) -> None:
        """A file is read when it changed and at no other time; comments are gone."""
        path, reads = self.mktemp(), []

        def read(lines: Any) -> list[str]:
            reads.append(list(lines))
            return reads[-1]

        file = WatchedFile(path, read)
        self.assertEqual(file.value, [])
        with open(path, "w") as out:
            out.write("one # two\n")
        reads.clear()
        self.assertEqual(file.value, ["one "])
        self.assertEqual(file.value, ["one "])
        self.assertEqual(len(reads), 1)
