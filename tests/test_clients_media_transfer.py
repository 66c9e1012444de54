"""Transfer with sound: alice puts bob and carol through, and then those two hear each other; all three are baresip.

alice is on IPv4, the others on IPv6. Each flow by the relay, and by the real rtpengine.
"""

from __future__ import annotations

import re
from pathlib import Path
from signal import SIGINT, SIGTERM
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from b2bua.ops.phonelines import free_port
from b2bua.sip.grammar import bracketed
from tests.children import Child, start_bridge
from tests.rtpengines import ask, client, start
from tests.test_clients import NAMES, Clients, Control
from tests.test_clients_media import ALICE, BOB, ENGINE, RECORDS, RELAY, TONES, heard, melody

clock: Any = reactor

PUBLIC, PRIVATE = "127.0.0.1", "::1"
NO_BUFFER = "jitter_buffer_delay 0-0\n"  # its buffer drops who comes after another with lower sequence numbers
PLACES = {"alice": ALICE, "bob": BOB, "carol": BOB}
MELODIES = {**TONES, "carol": (600, 1200)}

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
port = {public}
[[listener]]
name = "private-udp"
zone = "private"
transport = "udp"
address = "::1"
port = {private}
"""
ROUTE = """
[[route]]
name = "{name}"
user = "exact:{name}"
to = "sip:{name}@{host}:{port};transport=udp"
send_from = "{zone}"
refer = "{refer}"
"""

Phones = dict[str, tuple[Control, Child]]


class TestByTheRelay(Clients):
    """The relay, as it comes."""

    timeout = 120

    async def media(self) -> str:
        """[media]."""
        return RELAY

    async def left(self) -> list[object]:
        """The calls that are left at whoever carries media, where one can ask."""
        return []

    async def begin(self, refer: str) -> tuple[Child, Phones]:
        """The bridge, and the three."""
        records = TemporaryDirectory()  # of a short name: baresip cuts long ones off
        self.addCleanup(records.cleanup)
        self.records = Path(records.name)
        ports = {name: free_port("udp", place) for name, place in PLACES.items()}
        self.sides = {"public": (PUBLIC, free_port("udp", PUBLIC)), "private": (PRIVATE, free_port("udp", PRIVATE))}
        text = BRIDGE.format(**{zone: port for zone, (_, port) in self.sides.items()}) + "".join(
            ROUTE.format(name=name, host=bracketed(place), port=ports[name], zone=zone_of(name), refer=refer)
            for name, place in PLACES.items()
        )
        bridge = await start_bridge(self, text + await self.media(), self.folder)
        phones: Phones = {}
        for name, place in PLACES.items():
            melody(self.folder / f"{name}.wav", MELODIES[name])
            (self.records / name).mkdir()
            host, port = self.sides[zone_of(name)]
            answer = "" if name == "alice" else ";answermode=auto"
            account = f'<sip:{name}@{bracketed(place)}>;regint=0;outbound="sip:{bracketed(host)}:{port}"{answer}'
            more = RECORDS.format(folder=self.records / name) + NO_BUFFER
            phones[name] = await self.baresip(name, place, ports[name], account, more, f"{name}.wav")
        return bridge, phones

    async def over(self, bridge: Child, phones: Phones) -> None:
        """Those who are left talk a while, then bob hangs up; they have heard each other, and nothing is left."""
        await deferLater(clock, 3)
        phones["bob"][0].tell("hangup")
        await phones["carol"][0].event("CALL_CLOSED")
        await bridge.says("ended: the c")
        for name, secrets in (("alice", (BOB,)), ("bob", (PUBLIC,)), ("carol", (PUBLIC,))):
            lines = [line.strip() for line in phones[name][1].output.splitlines()]
            told = [line for line in lines if line.startswith(("o=", "c=", "a=rtcp:", "Contact:", "Via:", "From:"))]
            self.assertEqual([line for line in told if any(map(line.__contains__, secrets))], [])
        for _, program in phones.values():
            await program.end(SIGTERM)
        self.hears("bob", "carol")
        self.hears("carol", "bob")
        self.assertEqual(await self.left(), [])
        self.assertEqual(await bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)
        self.assertNotIn("leak to", bridge.output)

    def hears(self, name: str, other: str) -> None:
        """In the last two seconds of the last call of one there is the other's melody, and nothing else."""
        last = max((self.records / name).glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime)
        tones = heard(last, MELODIES[other])[-20:]
        self.assertEqual(set(tones) - {0}, set(MELODIES[other]), (name, tones))
        self.assertGreater(sum(map(bool, tones)), 12, (name, tones))

    async def test_blind(self) -> None:
        """bob is told to call carol, and does (RFC 5589 6.1)."""
        bridge, phones = await self.begin("pass")
        alice, its = phones["alice"]
        alice.tell("dial", f"sip:bob@{PUBLIC}:{self.sides['public'][1]}")
        await phones["bob"][0].event("CALL_ESTABLISHED")
        await its.says("incoming rtp for 'audio' established")
        alice.tell("transfer", f"sip:carol@{PUBLIC}:{self.sides['public'][1]}")
        await phones["carol"][0].event("CALL_ESTABLISHED")
        await phones["carol"][1].says("incoming rtp for 'audio' established")
        await alice.event("CALL_CLOSED")
        await self.over(bridge, phones)

    async def test_attended(self) -> None:
        """alice has called carol, then bob, and puts them through; the bridge does it (S37)."""
        bridge, phones = await self.begin("local")
        alice, its = phones["alice"]
        proxy = f"{PUBLIC}:{self.sides['public'][1]}"
        alice.tell("dial", f"sip:carol@{proxy}")
        await phones["carol"][0].event("CALL_ESTABLISHED")
        await its.says("SIP/2.0 200 ")
        await its.says("incoming rtp for 'audio' established")
        answer = its.output[its.output.index("SIP/2.0 200 ") :]
        call_id, ours, theirs = (re.findall(f"{name}([^\\s;]+)", answer)[0] for name in NAMES)
        alice.tell("dial", f"sip:bob@{proxy}")
        await its.says("ACK sip:", 2)
        replaces = f"Replaces={call_id}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}"
        alice.tell("transfer", f"<sip:carol@{proxy}?{replaces}>")
        await bridge.says("transferred")
        await self.over(bridge, phones)


class TestByRtpengine(TestByTheRelay):
    """The real rtpengine."""

    async def media(self) -> str:
        """One daemon."""
        self.ng = free_port("udp", "127.0.0.1")
        await start(self, self.ng)
        return ENGINE.format(daemons=f'{{address = "127.0.0.1:{self.ng}"}}')

    async def left(self) -> list[object]:
        """`list`."""
        listed = await ask(client(self, self.ng), "list")
        assert listed is not None
        calls: list[object] = listed["calls"]
        return calls


def zone_of(name: str) -> str:
    """Where somebody is."""
    return "public" if name == "alice" else "private"
