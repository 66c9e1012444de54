"""Sound through the bridge: what baresip hears is what the other baresip plays, from IPv4 over UDP to IPv6 over TLS."""

from __future__ import annotations

import math
import re
import wave
from array import array
from pathlib import Path
from signal import SIGINT, SIGTERM
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from b2bua.ops.phonelines import free_port
from tests.children import Child, start_bridge
from tests.rtpengines import ask, client, start
from tests.test_clients import PUBLIC, Clients, Control

clock: Any = reactor

ALICE, BOB = "127.0.0.1", "::1"  # baresip speaks from the first address of the machine, whichever it announces
RATE = 8000  # samples a second
PACKET = 160  # samples of a packet
WINDOW = 800  # samples in which a pitch is counted
TONES = {"alice": (500, 1000), "bob": (700, 1400)}  # Hz, half a second each, in turn
RECORDS = "module sndfile.so\nsnd_path {folder}\n"

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
address = "{public}"
port = {public_port}
[[listener]]
name = "private-tls"
zone = "private"
transport = "tls"
address = "::1"
port = {tls_port}
certificate = "test.pem"
key = "test.key"
[tls]
ca = "ca.pem"
[[route]]
to = "sip:bob@[::1]:{bob_port};transport=tls"
send_from = "private"
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


def melody(path: Path, tones: tuple[int, int], seconds: int = 60) -> None:
    """A file that plays these in turn."""
    loud = [
        int(8000 * math.sin(2 * math.pi * tones[at * 2 // RATE % 2] * at / RATE)) for at in range(RATE)
    ] * seconds  # fmt: skip
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(array("h", loud).tobytes())


def pitches(path: Path) -> list[int]:
    """What is heard, window by window, in Hz; 0 where it is silent."""
    with wave.open(str(path), "rb") as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
        samples = array("h", sound.readframes(sound.getnframes()))
    found = []
    for at in range(0, len(samples) - WINDOW, WINDOW):
        part = samples[at : at + WINDOW]
        crossings = sum(one < 0 <= other for one, other in zip(part, part[1:], strict=False))
        found.append(crossings * RATE // WINDOW if max(map(abs, part)) > 1000 else 0)
    return found


def heard(path: Path, tones: tuple[int, int]) -> list[int]:
    """Which of the tones is heard, window by window; 0 for anything else. Where it is silent there is no window."""
    found = [each for each in pitches(path) if each]
    return [next((tone for tone in tones if abs(tone - each) <= tone * 0.05), 0) for each in found]


class Sound(Clients):
    """alice on IPv4 and UDP, bob on IPv6 and TLS."""

    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        records = TemporaryDirectory()  # of a short name: baresip cuts long ones off
        self.addCleanup(records.cleanup)
        self.records = Path(records.name)
        for name, tones in TONES.items():
            melody(self.folder / f"{name}.wav", tones)

    async def begin(self, media: str) -> tuple[Child, dict[str, tuple[Control, Child]]]:
        """The bridge and the two of them."""
        bob_port = free_port("tcp", BOB)
        text = BRIDGE.format(
            public=PUBLIC, public_port=self.public_port, tls_port=free_port("tls", BOB), bob_port=bob_port + 1
        )
        bridge = await start_bridge(self, text + media, self.folder)
        phones = {}
        for name, address, port, account in (
            ("alice", ALICE, free_port("udp", ALICE), f';outbound="sip:{PUBLIC}:{self.public_port};transport=udp"'),
            ("bob", BOB, bob_port, ";answermode=auto"),
        ):
            host = f"[{address}]" if ":" in address else address
            transport = ";transport=tls" if name == "bob" else ""
            (self.records / name).mkdir()
            records = RECORDS.format(folder=self.records / name)
            phones[name] = await self.baresip(
                name, address, port, f"<sip:{name}@{host}{transport}>;regint=0{account}", records, f"{name}.wav"
            )
        return bridge, phones

    async def talk(self, phones: dict[str, tuple[Control, Child]]) -> None:
        """alice calls bob, and both hear something."""
        phones["alice"][0].tell("dial", f"sip:bob@{PUBLIC}:{self.public_port}")
        for control, program in phones.values():
            await control.event("CALL_ESTABLISHED")
            await program.says("incoming rtp for 'audio' established")

    async def over(self, bridge: Child, phones: dict[str, tuple[Control, Child]]) -> None:
        """alice hangs up; then both have heard the other, and only the other, and nothing of where that is."""
        phones["alice"][0].tell("hangup")
        for control, _ in phones.values():
            await control.event("CALL_CLOSED")
        await bridge.says("ended: the caller hung up")
        for _, program in phones.values():
            await program.end(SIGTERM)
        for name, other, secrets in (("alice", "bob", (BOB,)), ("bob", "alice", (ALICE, PUBLIC))):
            self.hears(name, TONES[other])
            output = phones[name][1].output
            said = [line.strip() for line in output.splitlines() if line.strip().startswith(("c=", "o=", "a=rtcp:"))]
            self.assertEqual([line for line in said if name != "alice" and any(map(line.__contains__, secrets))], [])
        self.assertEqual(await bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)
        self.assertNotIn("leak to", bridge.output)

    def hears(self, name: str, tones: tuple[int, int]) -> None:
        """What somebody has recorded: the tones of the other, both of them, nearly all the time."""
        found = heard(self.record(name), tones)
        self.assertGreater(len(found), 20, found)
        self.assertEqual(set(found) - {0}, set(tones))
        # Where one tone follows another there are windows with some of both.
        self.assertGreater(sum(map(bool, found)), len(found) * 0.6, found)

    def record(self, name: str) -> Path:
        """What somebody has heard in the one call that there was, up to the first hold: there baresip's record ends."""
        (path,) = (self.records / name).glob("dump-*-dec.wav")
        return path

    def spoke_after(self, bridge: Child) -> None:
        """Both have sent more than what is in the records, a second or so more: after the hold too."""
        counted = re.findall(r"media by \w+: ([0-9]+) packets of the caller, ([0-9]+) of the callee", bridge.output)
        self.assertEqual(len(counted), 1, bridge.output)
        for packets, listener in zip(counted[0], ("bob", "alice"), strict=True):
            recorded = self.record(listener).stat().st_size // (2 * PACKET)
            self.assertGreater(int(packets), recorded + 25, (listener, counted))

    async def hold_and_resume(self, phones: dict[str, tuple[Control, Child]]) -> None:
        """alice holds bob, and comes back."""
        bob = phones["bob"][1]
        phones["alice"][0].tell("hold")
        await bob.says("a=sendonly")
        phones["alice"][0].tell("resume")
        await bob.says("a=sendrecv", 3)

    async def test_by_rtpengine(self) -> None:
        """IPv4 to IPv6, UDP to TLS, by the real rtpengine: sound, hold and resume; nothing is left in it."""
        port = free_port("udp", "127.0.0.1")
        await start(self, port)
        bridge, phones = await self.begin(ENGINE.format(daemons=f'{{address = "127.0.0.1:{port}"}}'))
        await self.talk(phones)
        await deferLater(clock, 3)
        await self.hold_and_resume(phones)
        await deferLater(clock, 2)
        await self.over(bridge, phones)
        listed = await ask(client(self, port), "list")
        assert listed is not None
        self.assertEqual(listed["calls"], [])
        self.spoke_after(bridge)

    async def test_by_the_relay(self) -> None:
        """The same by the relay, as it comes."""
        bridge, phones = await self.begin(RELAY)
        await self.talk(phones)
        await deferLater(clock, 3)
        await self.hold_and_resume(phones)
        await deferLater(clock, 2)
        await self.over(bridge, phones)
        self.spoke_after(bridge)
