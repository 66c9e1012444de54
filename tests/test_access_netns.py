"""An access border element on machines of the test's own: phones behind a NAT, the bridge, and a real registrar inside.

The NAT is the kernel's (nftables), the registrar Debian's kamailio: its usrloc, registrar and auth_db as many run them.
"""

from __future__ import annotations

import re
from pathlib import Path
from signal import SIGTERM

from b2bua.ops.phone import Phone, Sent
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from tests.children import ROOT, Child
from tests.netns import Namespace
from tests.programs import need
from tests.registering import Registration, granted
from tests.test_bridge_netns import OnMachines, within

INSIDE, BRIDGE_INSIDE = "10.0.0.20", "10.0.0.1"
BRIDGE = "203.0.113.1"
ROUTER, ROUTER_LATER = "203.0.113.9", "203.0.113.10"  # what the phones are seen as
PHONES = "192.168.7.2"
NAT = """
add table ip nat
add chain ip nat out { type nat hook postrouting priority 100; }
add rule ip nat out oifname "wan" masquerade
"""
ADDRESSES = {"127.0.0.1": BRIDGE, "127.0.0.21": INSIDE, "127.0.0.22": "10.0.0.22", "127.0.0.2": BRIDGE_INSIDE}
USERS = {
    "version": "table_name(string) table_version(int)\nsubscriber:7\n",
    "subscriber": "username(string) domain(string) password(string) ha1(string,null) ha1b(string,null)\n"
    "alice:example.com:secret::\nbob:example.com:geheim::\n",
}


class TestAccess(OnMachines):
    """etc/examples/access.toml with addresses of these networks."""

    async def networks(self, nat_ping: int = 30) -> None:
        """Phones behind a router that hides them, the bridge, and the registrar."""
        need("nft"), need("kamailio")
        self.far, self.router, self.net, self.inside = (
            Namespace(self, name) for name in ("phones", "router", "bridge", "inside")
        )
        self.far.wire("eth0", [f"{PHONES}/24"], self.router, "lan", ["192.168.7.1/24"])
        self.router.wire("wan", [f"{ROUTER}/24"], self.net, "out", [f"{BRIDGE}/24"])
        self.net.wire("in", [f"{BRIDGE_INSIDE}/24"], self.inside, "eth0", [f"{INSIDE}/24"])
        self.far.ip("route add default via 192.168.7.1")
        self.router.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.router.run(need("nft"), "; ".join(NAT.split("\n")[1:-1]))
        await self.registrar()
        text = (ROOT / "etc/examples/access.toml").read_text().replace("nat_ping = 30", f"nat_ping = {nat_ping}")
        await self.start(self.net, re.sub(r"127\.0\.0\.\d+", lambda found: ADDRESSES[found[0]], text))

    async def registrar(self) -> None:
        """Kamailio, on the machine inside."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for name, text in USERS.items():
            (folder / name).write_text(text)
        command = [need("kamailio"), "-f", str(ROOT / "tests/data/kamailio.cfg"), "-DD", "-E", "-m", "32", "-M", "8"]
        command += ["-A", f"ADDRESS={INSIDE}", "-A", f'TABLES="text://{folder}"']
        command += ["-w", str(folder), "-Y", str(folder), "-P", str(folder / "pid")]
        self.kamailio = Child(self, *self.inside.command(*command), folder=folder)
        self.addCleanup(lambda: self.kamailio.end(SIGTERM))  # it ends its own children
        await self.kamailio.says("Listening on")

    def line(self, user: str, password: str, transport: str, port: int, params: str = "") -> Registration:
        """A phone behind the NAT."""
        phone = self.phone(self.far, user, PHONES, transport, port)
        phone.address = f"<sip:{user}@example.com>"
        line = Registration(phone, Flow(phone.at, BRIDGE, 5060), password=password, params=params)
        line.headers = {"Supported": ["outbound, path"]}
        return line

    async def answered(self, sent: Sent) -> Response:
        """Its final response."""
        await self.until(lambda: bool(sent.status), f"the answer to {sent.request.method}")
        return next(each for each in sent.responses if each.status >= 200)

    async def register(self, line: Registration, seconds: int = 3600) -> Response:
        """Register, with the password that the registrar asks for."""
        with within(self.far):  # where a connection begins
            sent = line.register(seconds)
        answer = await self.answered(sent)
        if answer.status == 401:
            line.challenged(sent)
            answer = await self.answered(line.register(seconds))
        self.assertEqual(answer.status, 200, f"{self.bridge.output}\n{self.kamailio.output}")
        return answer

    async def both(self, transport: str, port: int) -> tuple[Registration, Registration]:
        """Alice, on UDP, and bob, registered."""
        alice, bob = self.line("alice", "secret", "udp", 5060), self.line("bob", "geheim", transport, port)
        await self.register(alice)
        await self.register(bob)
        return alice, bob

    @property
    def saved(self) -> list[str]:
        """What the registrar wrote of each REGISTER that it took."""
        return re.findall(r"REGISTER (\w+ contact .*)", self.kamailio.output)

    def proxy(self) -> tuple[str, int]:
        """Where phones send what they want."""
        return BRIDGE, 5060

    async def test_calls_both_ways(self) -> None:
        """Two phones behind the NAT, on UDP and TCP, call each other by the registrar; nothing inside shows."""
        await self.networks()
        alice = self.line("alice", "secret", "udp", 5060)
        bob = self.line("bob", "geheim", "tcp", 5060, ';+sip.instance="<urn:uuid:b>";reg-id=1')
        refused = self.line("alice", "wrong", "udp", 5070)
        for line in (alice, bob):
            answer = await self.register(line)
            self.assertEqual(granted(answer, line.phone.user), 60)
            self.assertNotIn(b"10.0.0.", bytes(answer))
        refused.challenged(sent := refused.register())
        await self.answered(sent)
        refused.challenged(sent)
        self.assertEqual((await self.answered(refused.register())).status, 401)
        self.assertEqual(len(self.saved), 2)
        for text in self.saved:
            self.assertRegex(text, r"contact <sip:[0-9a-f]{20}@10\.0\.0\.1:5060;transport=udp>;expires=1200")
        for caller, callee in ((alice, bob), (bob, alice)):
            near, far = await self.call(
                caller.phone, callee.phone, f"sip:{callee.phone.user}@example.com", self.proxy()
            )
            asked = next(each for each in far.heard if isinstance(each, Request))
            self.assertNotIn(b"10.0.0.", bytes(asked).partition(b"\r\n\r\n")[0])
            await self.hang_up(near, far)
            near, far = await self.call(
                caller.phone, callee.phone, f"sip:{callee.phone.user}@example.com", self.proxy()
            )
            await self.hang_up(far, near)
        # Throttled: a refresh is not for the registrar.
        await self.register(alice)
        self.assertEqual(len(self.saved), 2)
        self.assertNotIn("leak to zone", self.bridge.output)
        await self.stop()

    async def test_dead_flow(self) -> None:
        """The connection of a phone closes: the registrar is told, and calls to it find nobody."""
        await self.networks()
        alice, bob = await self.both("tcp", 5060)
        near, far = await self.call(alice.phone, bob.phone, "sip:bob@example.com", self.proxy())
        connection = bob.dialog.flow.connection
        assert connection is not None
        connection.close()  # type: ignore[attr-defined]
        gone = re.compile(r"REGISTER bob contact \S+;expires=0 ")
        await self.kamailio.until(lambda output: gone.search(output) is not None, "word that the phone is gone")
        answer = await self.refused_by(alice.phone, "sip:bob@example.com")
        self.assertEqual(answer.status, 404)
        # It is back, and its call is where it is.
        bob.dialog.flow.connection = None
        await self.register(bob)
        self.assertEqual((await self.answered(near.reinvite("sendonly"))).status, 200)
        await self.hang_up(near, far)
        await self.stop()

    async def test_mapping_change(self) -> None:
        """The NAT forgets, and the phones have another address: a STUN request tells, and a REGISTER puts it right."""
        await self.networks()
        alice, bob = await self.both("udp", 5070)
        near, far = await self.call(alice.phone, bob.phone, "sip:bob@example.com", self.proxy())
        before = await self.seen(alice.phone)
        self.router.ip(f"address add {ROUTER_LATER}/24 dev wan")
        self.router.ip(f"address del {ROUTER}/24 dev wan")
        if ROUTER_LATER not in self.router.ip("-4 address show dev wan"):
            self.router.ip(f"address add {ROUTER_LATER}/24 dev wan")  # it went with the first
        after = await self.seen(alice.phone)
        self.assertEqual((before, after), (ROUTER, ROUTER_LATER))
        await self.register(bob)
        await self.register(alice)
        self.assertEqual((await self.answered(near.reinvite("sendonly"))).status, 200)
        await self.hang_up(far, near)
        near, far = await self.call(alice.phone, bob.phone, "sip:bob@example.com", self.proxy())
        await self.hang_up(far, near)
        await self.stop()

    async def test_kept_alive(self) -> None:
        """A NAT that forgets after three seconds of silence: OPTIONS keep the way to a phone open (S54)."""
        await self.networks(nat_ping=1)
        for name in ("", "_stream"):
            self.router.run("sh", "-c", f"echo 3 >/proc/sys/net/netfilter/nf_conntrack_udp_timeout{name}")
        alice, bob = await self.both("udp", 5070)
        pinged = [line.phone.bytes_in for line in (alice, bob)]
        await self.until(lambda: all(b"".join(each).count(b"OPTIONS sip:") > 6 for each in pinged), "pings")
        near, far = await self.call(alice.phone, bob.phone, "sip:bob@example.com", self.proxy())
        await self.hang_up(far, near)
        await self.stop()

    async def seen(self, phone: Phone) -> str:
        """As what the bridge sees the phone: STUN on the SIP port."""
        found: list[str] = []
        receive = phone.receive

        def take(data: bytes, flow: Flow) -> None:
            if data[:2] == b"\x01\x01":
                found.append(".".join(str(a ^ b) for a, b in zip(data[28:32], data[4:8], strict=True)))
                phone.noticed()
            else:
                receive(data, flow)

        phone.receive = take  # type: ignore[method-assign]
        request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
        phone._send(request, Flow(phone.at, BRIDGE, 5060))
        await self.until(lambda: bool(found), "the answer to STUN")
        phone.receive = receive  # type: ignore[method-assign]
        return found[0]

    async def refused_by(self, caller: Phone, uri: str) -> Response:
        """A call that is refused; how."""
        near = caller.invite(uri, Flow(caller.at, BRIDGE, 5060))
        await self.until(lambda: near.up or near.over, "the refusal")
        answer = near.heard[-1]
        assert isinstance(answer, Response), "a call ends with a response"
        return answer
