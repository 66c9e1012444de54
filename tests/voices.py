"""Phones that speak: SIP and RTP by real sockets, through the bridge as its operator starts it.

alice is at 127.0.0.11 and speaks UDP, bob is at ::1 and speaks TCP: nothing of one side is ever to be at the other.
"""

from __future__ import annotations

from signal import SIGINT
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from b2bua.ops.phone import Dialog, Phone
from b2bua.ops.phonedialog import of_type
from b2bua.ops.phonelines import Lines, free_port
from b2bua.sip.listener import Flow
from b2bua.sip.message import Message
from tests.children import Child, start_bridge
from tests.media import Peer, claim_ports, place, rtp
from tests.rtpengines import ask, client, start

clock: Any = reactor
ALICE, BOB, PUBLIC, PRIVATE = "127.0.0.11", "::1", "127.0.0.1", "::1"
SDP = of_type("application/sdp")
PACKETS = 10  # that are sent to see whether somebody is heard

BRIDGE = """
[[zone]]
name = "public"
leaks = "refuse"
[[zone]]
name = "private"
leaks = "refuse"
[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "127.0.0.1"
port = {port}
[[listener]]
name = "private-tcp"
zone = "private"
transport = "tcp"
address = "::1"
port = {tcp}
[[route]]
to = "sip:bob@[::1]:{bob};transport=tcp"
send_from = "private"
{route}
"""
RELAY = '[media]\ndefault = "relay"\nports = [20000, 20099]\n'
ENGINE = """
[media]
default = "rtp"
ports = [20000, 20099]
[[engine]]
name = "rtp"
daemons = [{daemons}]
interfaces = {{public = "out", private = "in"}}
ping = 1
"""


def sound(message: Message) -> tuple[str, int]:
    """Where its description wants the sound."""
    return place(message.body)


def voice(test: TestCase, phone: Phone) -> Peer:
    """A new socket, at which the phone's next descriptions say that it is to be heard."""
    peer = Peer(test, phone.at.address)
    phone.media_port = peer.port
    return peer


class Voices(TestCase):
    """The bridge, alice and bob. Whoever carries the media is a subclass's."""

    timeout = 60

    def setUp(self) -> None:
        self.lines = Lines(clock)
        self.addCleanup(self.lines.close)
        self.alice = self.lines.phone("alice", "udp", ALICE)
        self.bob = self.lines.phone("bob", "tcp", BOB)
        self.hers, self.his = voice(self, self.alice), voice(self, self.bob)
        self.ports: list[int] = []  # of the daemons
        self.media_ports: list[tuple[int, int]] = []
        self.daemons: list[Child] = []
        self.number = 0

    async def daemon(self) -> None:
        """One more rtpengine."""
        self.ports.append(free_port("udp", "127.0.0.1"))
        self.media_ports.append(claim_ports(self))
        self.daemons.append(await self.started(len(self.ports) - 1))

    async def started(self, at: int) -> Child:
        """The daemon of that number, started or started again."""
        return await start(self, self.ports[at], self.media_ports[at])

    async def begin(self, route: str = "", weights: tuple[int, ...] = (1,)) -> None:
        """The bridge, with the relay unless there are daemons; `route` is lines of its route."""
        self.port = free_port("udp", PUBLIC)
        daemons = zip(self.ports, weights, strict=False)
        told = ", ".join(f'{{address = "127.0.0.1:{port}", weight = {weight}}}' for port, weight in daemons)
        text = BRIDGE.format(port=self.port, tcp=free_port("tcp", PRIVATE), bob=self.bob.at.port, route=route)
        self.bridge = await start_bridge(self, text + (ENGINE.format(daemons=told) if self.ports else RELAY))

    def dial(self, body: bytes | None = None) -> Dialog:
        """alice calls bob."""
        way = Flow(self.alice.at, PUBLIC, self.port, None, PUBLIC)
        return self.alice.invite(f"sip:bob@{PUBLIC}:{self.port}", way, body)

    async def talk(self, body: bytes | None = None) -> tuple[Dialog, Dialog]:
        """A call that bob answers: her dialog and his, when his has the ACK."""
        talk = self.dial(body)
        await self.lines.until(lambda: talk.up or talk.over, "the answer")
        self.assertTrue(talk.up, talk.heard[-1:])
        far = self.bob.dialogs[-1]
        await self.lines.until(lambda: bool(far.acked), "the ACK")
        return talk, far

    async def asks(self, dialog: Dialog, other: Dialog, body: bytes) -> tuple[Message, Message]:
        """A re-INVITE: as it was read in the other dialog, and its answer."""
        before = other.times("INVITE")
        sent = dialog.ask("INVITE", body, SDP)
        await self.lines.until(lambda: bool(sent.status), "the answer to a re-INVITE")
        self.assertEqual((sent.status, other.times("INVITE")), (200, before + 1))
        return other.last("INVITE"), sent.responses[-1]

    def packets(self) -> list[bytes]:
        """Packets of which there are no others."""
        self.number += PACKETS
        return [rtp(at, 1 + self.number) + bytes([at % 256]) for at in range(self.number, self.number + PACKETS)]

    async def heard(self, speaker: Peer, to: tuple[str, int], listener: Peer, *by: tuple[str, int]) -> None:
        """What is sent to our place `to` arrives, octet by octet, from our place `by`, or from one of them."""
        sent, found = self.packets(), list[tuple[bytes, str, int]]()
        listener.heard()
        for packet in sent:
            speaker.send(to, packet)
            await deferLater(clock, 0.01, lambda: None)
        for _ in range(100):
            found += listener.heard()
            if len(found) >= len(sent):
                break
            await deferLater(clock, 0.02, lambda: None)
        self.assertEqual([data for data, _, _ in found], sent)
        places = {(host, port) for _, host, port in found}
        self.assertEqual((len(places), places - set(by)), (1, set()), (to, by))

    async def both_heard(self, here: tuple[str, int], there: tuple[str, int]) -> None:
        """alice and bob hear each other; `here` is where she was told to send to, `there` where he was."""
        self.assertEqual((here[0], there[0]), (PUBLIC, PRIVATE))
        await self.heard(self.hers, here, self.his, there)
        await self.heard(self.his, there, self.hers, here)

    async def silent(self, speaker: Peer, to: tuple[str, int], *listeners: Peer) -> None:
        """What is sent there reaches none of them."""
        for listener in listeners:
            listener.heard()
        for packet in self.packets():
            speaker.send(to, packet)
        await deferLater(clock, 0.1, lambda: None)
        self.assertEqual([listener.heard() for listener in listeners], [[] for _ in listeners])

    async def hang_up(self, talk: Dialog) -> None:
        """The call is over, on all sides."""
        calls = self.bridge.output.count(" ended: ")
        talk.bye()
        await self.bridge.says(" ended: ", calls + 1)

    async def over(self) -> None:
        """Nothing is left, and nobody has read of the other side."""
        for phone, secrets in ((self.alice, (BOB, "127.0.0.2:", "bob's")), (self.bob, ("127.0.0", "alice's"))):
            text = b"\n".join(phone.bytes_in).decode()
            self.assertEqual([line for line in text.splitlines() if any(map(line.__contains__, secrets))], [])
        self.assertEqual(await self.left(), [[] for _ in self.ports])
        self.assertEqual(await self.bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", self.bridge.output)
        self.assertNotIn("leak to", self.bridge.output)

    async def left(self) -> list[object]:
        """The calls that each daemon has."""
        found = []
        for port in self.ports:
            listed = await ask(client(self, port), "list")
            assert listed is not None
            found.append(listed["calls"])
        return found
