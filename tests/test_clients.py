"""Real clients through the bridge: baresip calls baresip, sipsak asks for OPTIONS."""

from __future__ import annotations

import json
import re
import socket
import wave
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.protocols.basic import NetstringReceiver
from twisted.trial.unittest import TestCase

from b2bua.ops.passwords import set_sip_password
from b2bua.ops.phonelines import free_port
from b2bua.sip.grammar import bracketed
from tests.children import Child, bound, start_bridge
from tests.pki import issue, make_ca
from tests.programs import need

ALICE, BOB, CAROL = "127.0.31.1", "127.0.32.1", "127.0.32.2"
PUBLIC, PRIVATE = "127.0.21.1", "127.0.22.1"
MODULES = "/usr/lib/baresip/modules"
SECONDS = 60  # of sound that each has to say; baresip hangs up when it has said it all

NAMES = ("Call-ID: ", "From: .*;tag=", "To: .*;tag=")

# Where a message tells of a side: its first line, these headers, and the SDP's origin.
TELLING = ("Via:", "Contact:", "From:", "To:", "Call-ID:", "Route:", "Record-Route:", "User-Agent:", "Server:", "o=")

CONFIGURATION = """
[[zone]]
name = "public"
[[zone]]
name = "private"
[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "{public}"
port = {public_port}
[[listener]]
name = "private-tcp"
zone = "private"
transport = "tcp"
address = "{private}"
port = {tcp_port}
[[listener]]
name = "private-tls"
zone = "private"
transport = "tls"
address = "{private}"
port = {tls_port}
certificate = "test.pem"
key = "test.key"
[tls]
ca = "ca.pem"
[[route]]
name = "by TCP"
zone = "public"
user = "exact:bob-by-tcp"
to = "sip:{bob}:{bob_port};transport=tcp"
send_from = "private"
[[route]]
name = "by TLS"
zone = "public"
user = "exact:bob-by-tls"
to = "sip:{bob}:{bob_tls_port};transport=tls"
send_from = "private"
"""

UDP_ONLY = """
[[zone]]
name = "public"
[[zone]]
name = "private"
[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "{public}"
port = {public_port}
[[listener]]
name = "private-udp"
zone = "private"
transport = "udp"
address = "{private}"
port = {private_port}
"""

BARESIP = """
sip_listen {host}:{port}
sip_certificate {folder}/both.pem
net_interface {address}
audio_source aufile,{sound}
module_path {modules}
module g711.so
module aufile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
{more}
"""


def short_port(address: str) -> int:
    """A UDP port of four digits that nobody has at this moment."""
    for port in range(5060, 10000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port of four digits is free")


class Control(NetstringReceiver):
    """What baresip says of itself, and the way to tell it what to do (its module ctrl_tcp)."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._waiting: list[tuple[str, Deferred[None]]] = []

    def stringReceived(self, string: bytes) -> None:
        said: dict[str, Any] = json.loads(string)
        self.events.append(said.get("type", ""))
        for waiting in list(self._waiting):
            if waiting[0] in self.events:
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    def tell(self, command: str, words: str = "") -> None:
        """A command as one types it."""
        self.sendString(json.dumps({"command": command, "params": words}).encode())

    def event(self, name: str) -> Deferred[None]:
        """Fires when this has happened."""
        happened: Deferred[None] = Deferred()
        if name in self.events:
            happened.callback(None)
        else:
            self._waiting.append((name, happened))

            def too_long(result: object, timeout: float) -> None:
                raise AssertionError(f"no {name} in {timeout:g} s, but {self.events}")

            happened.addTimeout(20, reactor, too_long)
        return happened


class Clients(TestCase):
    """Programs that others wrote, and what they need beside them."""

    timeout = 90

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        ca = make_ca()
        certificate = issue(ca, ips=[PUBLIC, PRIVATE, ALICE, BOB, "::1"])
        certificate.write(self.folder)
        ca.write(self.folder, "ca")
        (self.folder / "both.pem").write_bytes(certificate.pem + certificate.key_pem)
        with wave.open(str(self.folder / "in.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes((b"\x00\x20" * 10 + b"\x00\xe0" * 10) * 400 * SECONDS)  # 400 Hz
        self.public_port = free_port("udp", PUBLIC)
        self.bob_port = free_port("tcp", BOB)

    async def baresip(
        self, name: str, address: str, port: int, account: str, more: str = "", sound: str = "in.wav"
    ) -> tuple[Control, Child]:
        """baresip with a directory of its own; TLS is at the next port (it chooses that itself)."""
        own = self.folder / name
        own.mkdir(exist_ok=True)
        control = free_port("tcp", address)
        config = BARESIP.format(
            address=address, host=bracketed(address), port=port, folder=self.folder, modules=MODULES, control=control,
            more=more, sound=self.folder / sound,
        )  # fmt: skip
        (own / "config").write_text(config)
        (own / "accounts").write_text(account + "\n")
        (own / "contacts").write_text("")
        program = Child(self, need("baresip"), "-f", str(own), "-v", "-s")
        await bound("tcp", control)
        endpoint = HostnameEndpoint(reactor, address, control)
        protocol: Control = await connectProtocol(endpoint, Control())
        connection: Any = protocol.transport
        self.addCleanup(connection.abortConnection)
        return protocol, program


class TestClients(Clients):
    """They call through the bridge."""

    async def bridge(self) -> Child:
        """The bridge: UDP on the public side, TCP and TLS on the private one."""
        return await start_bridge(
            self,
            CONFIGURATION.format(
                public=PUBLIC, public_port=self.public_port, private=PRIVATE,
                tcp_port=free_port("tcp", PRIVATE), tls_port=free_port("tls", PRIVATE),
                bob=BOB, bob_port=self.bob_port, bob_tls_port=self.bob_port + 1,
            ),
            self.folder,
        )  # fmt: skip

    async def test_password(self) -> None:
        """baresip calls with its password once it is asked for it; bob sees nothing of that."""
        asks = 'algorithms = ["MD5"]'  # this baresip gives up at a challenge whose algorithm it does not know
        set_sip_password(str(self.folder / "phones"), "alice", "biloxi.example", "correct-horse")
        text = UDP_ONLY.format(
            public=PUBLIC, public_port=self.public_port, private=PRIVATE, private_port=free_port("udp", PRIVATE)
        ).replace('"public"\n', '"public"\nauthenticate = ["calls"]\n', 1)
        text += f'[authentication]\nrealm = "biloxi.example"\nusers = "phones"\n{asks}\n'
        text += f'[[route]]\nto = "sip:bob@{BOB}:{self.bob_port};transport=udp"\nsend_from = "private"\n'
        bridge = await start_bridge(self, text, self.folder)
        proxy = f'outbound="sip:{PUBLIC}:{self.public_port};transport=udp"'
        account = f"<sip:alice@{ALICE}>;regint=0;{proxy};auth_user=alice;auth_pass=correct-horse"
        alice, alice_program = await self.baresip("alice", ALICE, free_port("udp", ALICE), account)
        bob, bob_program = await self.baresip("bob", BOB, self.bob_port, f"<sip:bob@{BOB}>;regint=0;answermode=auto")
        alice.tell("dial", f"sip:bob@{PUBLIC}")
        for each in (alice, bob):
            await each.event("CALL_ESTABLISHED")
        alice.tell("hangup")
        await bridge.says("ended: the caller hung up")
        await bob.event("CALL_CLOSED")
        self.assertIn("Proxy-Authorization: Digest", alice_program.output)
        self.assertNotIn("Proxy-Authorization", bob_program.output)
        self.signalling_hides(bob_program.output, (ALICE, PUBLIC))
        for program in (alice_program, bob_program):
            await program.end(SIGTERM)
        self.assertEqual(await bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)

    async def call(self, by: str, caller_hangs_up: bool) -> None:
        """alice calls, by UDP, and bob answers at once; both talk; one hangs up."""
        bridge = await self.bridge()
        account = f'<sip:alice@{ALICE}>;regint=0;outbound="sip:{PUBLIC}:{self.public_port};transport=udp"'
        alice, alice_program = await self.baresip("alice", ALICE, free_port("udp", ALICE), account)
        account = f"<sip:bob-by-{by}@{BOB};transport={by}>;regint=0;answermode=auto"
        bob, bob_program = await self.baresip("bob", BOB, self.bob_port, account)
        alice.tell("dial", f"sip:bob-by-{by}@{PUBLIC}")
        for each in (alice, bob):
            await each.event("CALL_ESTABLISHED")
        for program in (alice_program, bob_program):
            await program.says("incoming rtp for 'audio' established")
        (alice if caller_hangs_up else bob).tell("hangup")
        for each in (alice, bob):
            await each.event("CALL_CLOSED")
        await bridge.says("ended: the caller hung up" if caller_hangs_up else "ended: the callee hung up")
        for program, secrets in ((alice_program, (BOB, PRIVATE)), (bob_program, (ALICE, PUBLIC))):
            self.signalling_hides(program.output, secrets)
            await program.end(SIGTERM)
        self.assertEqual(await bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)

    def signalling_hides(self, trace: str, secrets: tuple[str, ...]) -> None:
        """None of `secrets` is in what a program received or sent, but for SDP's media address."""
        lines = [line.strip() for line in trace.splitlines()]
        said = [line for line in lines if line.startswith(TELLING) or line.endswith(" SIP/2.0")]
        self.assertGreater(len(said), 20)
        self.assertEqual([line for line in said if any(secret in line for secret in secrets)], [])

    async def test_udp_to_tcp(self) -> None:
        """baresip calls baresip, UDP in and TCP out; the caller hangs up."""
        await self.call("tcp", caller_hangs_up=True)

    async def test_udp_to_tls(self) -> None:
        """baresip calls baresip, UDP in and TLS out; the callee hangs up."""
        await self.call("tls", caller_hangs_up=False)

    async def three(self, refer: str) -> tuple[Child, dict[str, tuple[Control, Child]]]:
        """The bridge, alice on its public side, bob and carol on the other; all by UDP."""
        port, places = free_port("udp", PRIVATE), {"alice": ALICE, "bob": BOB, "carol": CAROL}
        ports = {name: free_port("udp", place) for name, place in places.items()}
        routes = "".join(
            f'[[route]]\nname = "{name}"\nuser = "exact:{name}"\nto = "sip:{place}:{ports[name]};transport=udp"\n'
            f'send_from = "{"public" if name == "alice" else "private"}"\nrefer = "{refer}"\n'
            for name, place in places.items()
        )
        text = UDP_ONLY.format(public=PUBLIC, public_port=self.public_port, private=PRIVATE, private_port=port)
        bridge = await start_bridge(self, text + routes, self.folder)
        phones: dict[str, tuple[Control, Child]] = {}
        for name, place in places.items():
            proxy = f"{PUBLIC}:{self.public_port}" if name == "alice" else f"{PRIVATE}:{port}"
            answer = "" if name == "alice" else ";answermode=auto"
            account = f'<sip:{name}@{place}>;regint=0;outbound="sip:{proxy};transport=udp"{answer}'
            phones[name] = await self.baresip(name, place, ports[name], account)
        return bridge, phones

    async def over(self, bridge: Child, phones: dict[str, tuple[Control, Child]]) -> None:
        """The two who are left hang up; what each read shows nothing of the other side."""
        phones["bob"][0].tell("hangup")
        await phones["carol"][0].event("CALL_CLOSED")
        for name, secrets in (("alice", (BOB, CAROL, PRIVATE)), ("bob", (ALICE, PUBLIC)), ("carol", (ALICE, PUBLIC))):
            self.signalling_hides(phones[name][1].output, secrets)
        for _, program in phones.values():
            await program.end(SIGTERM)
        self.assertEqual(await bridge.end(SIGINT), 0)
        self.assertNotIn("Traceback", bridge.output)

    async def test_hold_and_transfer(self) -> None:
        """alice holds bob and resumes; then bob is told to call carol, and does (RFC 5589 6.1; S37)."""
        bridge, phones = await self.three("pass")
        alice, its = phones["alice"]
        bob, carol = phones["bob"][1], phones["carol"][1]
        alice.tell("dial", f"sip:bob@{PUBLIC}:{self.public_port}")
        await phones["bob"][0].event("CALL_ESTABLISHED")
        await its.says("incoming rtp for 'audio' established")
        alice.tell("hold")
        await bob.says("a=sendonly")
        alice.tell("resume")
        await bob.says("a=sendrecv", 3)
        alice.tell("transfer", f"sip:carol@{PUBLIC}:{self.public_port}")
        await phones["carol"][0].event("CALL_ESTABLISHED")
        await carol.says("incoming rtp for 'audio' established")
        await alice.event("CALL_CLOSED")
        self.assertIn("Refer-To: <sip:carol@", bob.output)
        await self.over(bridge, phones)

    async def test_attended_transfer(self) -> None:
        """alice has called carol, then bob, and puts them through to each other; the bridge does it (S37)."""
        bridge, phones = await self.three("local")
        alice, its = phones["alice"]
        alice.tell("dial", f"sip:carol@{PUBLIC}:{self.public_port}")
        await phones["carol"][0].event("CALL_ESTABLISHED")
        await its.says("SIP/2.0 200 ")
        await its.says("incoming rtp for 'audio' established")
        answer = its.output[its.output.index("SIP/2.0 200 ") :]
        call_id, ours, theirs = (re.findall(f"{name}([^\\s;]+)", answer)[0] for name in NAMES)
        alice.tell("dial", f"sip:bob@{PUBLIC}:{self.public_port}")
        await its.says("ACK sip:", 2)
        replaces = f"Replaces={call_id}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}"
        alice.tell("transfer", f"<sip:carol@{PUBLIC}:{self.public_port}?{replaces}>")
        await bridge.says("transferred")
        for name in ("bob", "carol"):
            self.assertNotIn("REFER sip:", phones[name][1].output)
        await self.over(bridge, phones)

    async def test_sipsak(self) -> None:
        """sipsak asks the bridge for OPTIONS, and bob through the bridge, and gets 200 from both."""
        sipsak = need("sipsak")
        self.public_port = short_port(PUBLIC)  # of a port with five digits sipsak forgets the last
        bridge = await self.bridge()
        _, bob = await self.baresip("bob", BOB, self.bob_port, f"<sip:bob-by-tcp@{BOB};transport=tcp>;regint=0")
        for user in ("", "bob-by-tcp@"):
            words = ["-vvv", "-H", ALICE, "-s", f"sip:{user}{PUBLIC}:{self.public_port}"]
            asked = Child(self, sipsak, *words, folder=self.folder)
            self.assertEqual(await asked.ended, 0, asked.output)
            self.assertIn("SIP/2.0 200", asked.output)
            self.assertNotIn(BOB, asked.output)
        self.assertIn("OPTIONS sip:bob-by-tcp@", bob.output)
        self.assertNotIn(ALICE, bob.output)
        self.assertEqual(await bridge.end(SIGINT), 0)
