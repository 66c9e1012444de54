"""The bridge on a machine of the test's own, with real routes that come, change and go while calls run (S3 to S5).

The bridge has three networks: callers are on the public one, and one callee can be reached by either of the two private
ones, which way the routes say. The phones are in this process; their sockets are where they belong (`within`). The
configurations in etc/examples run here as they are: on a machine of its own their ports are free.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from b2bua.ops.phone import Dialog, Phone, Sent
from b2bua.ops.phonelines import Lines
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response
from tests.children import ROOT, start_bridge
from tests.netns import Namespace

CONFIGURATION = """
[[zone]]
name = "public"
[[zone]]
name = "private"
[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "192.0.2.1"
port = 5060
"""
LISTENER = """
[[listener]]
name = "{name}"
zone = "private"
transport = "{transport}"
address = "{address}"
port = 5060
"""
ROUTE = """
[[route]]
name = "to {user}"
user = "exact:{user}"
to = "{to}"
send_from = "auto"
"""
NETWORK = 0x40000000  # CLONE_NEWNET

libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def within(net: Namespace) -> Iterator[None]:
    """The sockets that are made here are on that machine, and stay there."""

    def enter(path: str) -> None:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(file, NETWORK) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {path}")
        finally:
            os.close(file)

    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(f"/run/netns/{net.name}")
        try:
            yield
        finally:
            enter(f"/proc/self/fd/{ours}")
    finally:
        os.close(ours)


class OnMachines(TestCase):
    """What both cases share: a bridge on a machine of its own, and phones around it."""

    timeout = 90

    def setUp(self) -> None:
        self.lines = Lines(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.lines.close()))

    async def start(self, net: Namespace, configuration: str, folder: Path | None = None) -> None:
        """The bridge, on that machine; its configuration goes into `folder`."""
        self.bridge = await start_bridge(self, configuration, folder, net.command())

    def phone(self, net: Namespace, user: str, address: str, transport: str = "udp", port: int = 0) -> Phone:
        """A phone on a machine."""
        with within(net):
            return self.lines.phone(user, transport, address, port)

    def until(self, condition: Callable[[], bool], what: str) -> Deferred[None]:
        """Waits for what must come."""
        return self.lines.until(condition, what, 20.0)

    async def call(
        self, caller: Phone, callee: Phone, uri: str, proxy: tuple[str, int] | None = None
    ) -> tuple[Dialog, Dialog]:
        """A call that is answered; both ends of it. It goes to `proxy`, or to where the URI says."""
        before = len(callee.dialogs)
        near = caller.invite(uri, Flow(caller.at, *proxy) if proxy else None)
        await self.until(lambda: near.up or near.over, "the answer")
        self.assertTrue(near.up, f"{near.heard[-1]!r}\n{self.bridge.output}")
        await self.until(lambda: len(callee.dialogs) > before and bool(callee.dialogs[-1].acked), "the ACK")
        return near, callee.dialogs[-1]

    async def refused(self, caller: Phone, uri: str) -> Response:
        """A call that is refused; how."""
        near = caller.invite(uri)
        await self.until(lambda: near.up or near.over, "the refusal")
        answer = near.heard[-1]
        assert isinstance(answer, Response), "a call ends with a response"
        return answer

    async def succeeds(self, sent: Sent) -> None:
        """A request that must be answered 200."""
        await self.until(lambda: bool(sent.status), f"the answer to {sent.request.method}")
        self.assertEqual(sent.status, 200, sent.request.method)

    async def hang_up(self, dialog: Dialog, other: Dialog) -> None:
        """BYE, which must reach the other side."""
        await self.succeeds(dialog.bye())
        await self.until(lambda: other.over, "BYE on the other side")

    async def stop(self) -> None:
        """Ctrl-C, and a log without tracebacks."""
        self.assertEqual(await self.bridge.end(SIGINT), 0, self.bridge.output)
        self.assertNotIn("Traceback", self.bridge.output)


class TestRoutes(OnMachines):
    """`send_from = "auto"`: the kernel's route says which way, at once, whatever the transport."""

    def networks(self) -> tuple[Namespace, Namespace, Namespace]:
        """The bridge between a public network and two private ones, "east" and "west", and nowhere "stray"."""
        bridge, public, far = (Namespace(self, name) for name in ("bridge", "public", "far"))
        bridge.wire("out", ["192.0.2.1/24"], public, "eth0", ["192.0.2.2/24"])
        bridge.wire("east", ["10.1.0.1/24", "2001:db8:1::1/64"], far, "east", ["10.1.0.2/24", "2001:db8:1::2/64"])
        bridge.wire("west", ["10.2.0.1/24", "2001:db8:2::1/64"], far, "west", ["10.2.0.2/24", "2001:db8:2::2/64"])
        bridge.wire("stray", ["10.3.0.1/24", "2001:db8:3::1/64"], far, "stray", ["10.3.0.2/24", "2001:db8:3::2/64"])
        for address in ("198.51.100.5/32", "2001:db8:f::5/128"):
            far.ip(f"address add {address} dev lo")
        return bridge, public, far

    def configuration(self, transport: str, east: str, west: str, bob: str) -> str:
        """Listeners in the east and in the west, and bob, whose address says nothing of either."""
        parts = [
            CONFIGURATION,
            LISTENER.format(name="east", transport=transport, address=east),
            LISTENER.format(name="west", transport=transport, address=west),
            ROUTE.format(user="bob", to=bob),
        ]
        return "".join(parts)

    async def ip(self, net: Namespace, words: str, phone: Phone) -> None:
        """`ip WORDS` on the bridge's machine. It hears of it before it answers OPTIONS, or in the same turn."""
        net.ip(words)
        await self.succeeds(phone.ask("OPTIONS", "sip:192.0.2.1:5060"))

    async def moves(self, transport: str, prefix: str, ways: tuple[str, str], bob_at: str) -> None:
        """A route is added, another put before it, changed and withdrawn: each next call follows, the others stay."""
        net, public, far = self.networks()
        east, west = ways[0].format(1), ways[1].format(1)
        host = f"[{bob_at}]" if ":" in bob_at else bob_at
        await self.start(net, self.configuration(transport, east, west, f"sip:{host}:5060;transport={transport}"))
        alice = self.phone(public, "alice", "192.0.2.2")
        bob = self.phone(far, "bob", bob_at, transport, 5060)
        uri = "sip:bob@192.0.2.1:5060"
        by_east, by_west = f"via {ways[0].format(2)} dev east", f"via {ways[1].format(2)} dev west"

        # No route: refused, and the log says why.
        self.assertEqual((await self.refused(alice, uri)).status, 503)
        await self.bridge.says(f"no route to {bob_at}")
        self.assertEqual(bob.bytes_in, [])

        # Added.
        await self.ip(net, f"route add {prefix} {by_east} metric 100", alice)
        first = await self.call(alice, bob, uri)
        self.assert_by(first[1], east)

        # A better one, while the first call runs: the next call goes there, the first one stays.
        await self.ip(net, f"route add {prefix} {by_west} metric 50", alice)
        second = await self.call(alice, bob, uri)
        self.assert_by(second[1], west)
        await self.succeeds(first[0].reinvite("sendonly"))
        self.assert_by(first[1], east)

        # Changed.
        await self.ip(net, f"route del {prefix} metric 100", alice)
        await self.ip(net, f"route replace {prefix} {by_east} metric 50", alice)
        third = await self.call(alice, bob, uri)
        self.assert_by(third[1], east)
        await self.succeeds(second[0].reinvite("sendonly"))
        self.assert_by(second[1], west)

        # Withdrawn: refused again; nothing goes by another network.
        await self.ip(net, f"route del {prefix} metric 50", alice)
        self.assertEqual((await self.refused(alice, uri)).status, 503)
        self.assertEqual(len(bob.dialogs), 3)

        # The calls are as they were.
        await self.ip(net, f"route add {prefix} {by_west}", alice)
        for near, callee in (first, second, third):
            await self.hang_up(near, callee)
        await self.stop()

    def assert_by(self, callee: Dialog, address: str) -> None:
        """The last INVITE of this call came by the listener with this address, and says so everywhere."""
        invite = callee.last("INVITE")
        assert isinstance(invite, Request) and invite.contact is not None, "an INVITE has a Contact"
        self.assertEqual((invite.via.host, invite.contact.uri.host), (address, address))
        self.assertEqual(invite.from_.uri.host, address)
        self.assertIn(f" {address}\r\n".encode(), invite.body.partition(b"\r\ns=")[0] + b"\r\n")

    async def test_udp_over_ipv4(self) -> None:
        """S3, S4: UDP over IPv4."""
        await self.moves("udp", "198.51.100.0/24", ("10.1.0.{}", "10.2.0.{}"), "198.51.100.5")

    async def test_tcp_over_ipv6(self) -> None:
        """S3, S4: TCP over IPv6, new connections by the new way and the old calls on their own."""
        await self.moves("tcp", "2001:db8:f::/64", ("2001:db8:1::{}", "2001:db8:2::{}"), "2001:db8:f::5")

    async def test_callee_stays_too(self) -> None:
        """S3: what the callee asks crosses by the listener of its leg, whatever the routes say now."""
        net, public, far = self.networks()
        await self.start(net, self.configuration("udp", "10.1.0.1", "10.2.0.1", "sip:198.51.100.5:5060"))
        alice = self.phone(public, "alice", "192.0.2.2")
        bob = self.phone(far, "bob", "198.51.100.5", port=5060)
        await self.ip(net, "route add 198.51.100.0/24 via 10.1.0.2", alice)
        near, callee = await self.call(alice, bob, "sip:bob@192.0.2.1:5060")
        await self.ip(net, "route replace 198.51.100.0/24 via 10.2.0.2", alice)
        await self.succeeds(callee.reinvite("sendonly"))
        answer = callee.last("200 INVITE")
        assert answer.contact is not None, "a 200 has a Contact"
        self.assertEqual(answer.contact.uri.host, "10.1.0.1")
        await self.hang_up(callee, near)
        await self.stop()

    async def test_no_listener_there(self) -> None:
        """S5: the kernel would send from an address that is no listener's: 503 and the reason, not another network."""
        net, public, far = self.networks()
        await self.start(net, self.configuration("udp", "10.1.0.1", "10.2.0.1", "sip:198.51.100.5:5060"))
        alice = self.phone(public, "alice", "192.0.2.2")
        bob = self.phone(far, "bob", "198.51.100.5", port=5060)
        await self.ip(net, "route add 198.51.100.0/24 via 10.3.0.2", alice)
        self.assertEqual((await self.refused(alice, "sip:bob@192.0.2.1:5060")).status, 503)
        await self.bridge.says("from 10.3.0.1 by stray")
        await self.bridge.says("no listener's address or device")
        self.assertEqual(bob.bytes_in, [])
        await self.stop()


class TestExamples(OnMachines):
    """The configurations in etc/examples, as they are."""

    def media_server(self, net: Namespace, number: int) -> Phone:
        """One of the two media servers."""
        return self.phone(net, f"media{number}", f"127.0.0.2{number}", port=5060)

    async def example(self, name: str) -> Namespace:
        """A machine with the bridge on it; all networks of the examples are its loopback addresses."""
        net, folder = Namespace(self, "example"), Path(self.mktemp()).absolute()
        shutil.copytree(ROOT / "etc" / "examples", folder)
        await self.start(net, (folder / name).read_text(), folder)
        return net

    async def end_points_and_media_servers(self, name: str) -> None:
        """*33 and a number goes to the private side, from the private side calls come back, and nothing else goes."""
        net = await self.example(name)
        first, second = self.media_server(net, 1), self.media_server(net, 2)
        phone = self.phone(net, "alice", "127.0.0.11")
        near, far = await self.call(phone, first, "sip:*33100@127.0.0.1:5060")
        invite = far.last("INVITE")
        assert isinstance(invite, Request), "it is a request"
        self.assertEqual((invite.uri.user, invite.via.host, invite.via.transport), ("*33100", "127.0.0.2", "UDP"))
        self.assertNotIn(b"127.0.0.11", b"".join(first.bytes_in).replace(b"c=IN IP4 127.0.0.11", b""))
        await self.hang_up(far, near)

        # Out of the private side again, to where the Request-URI says.
        at = f"sip:alice@127.0.0.11:{phone.at.port}"
        back, answered = await self.call(second, phone, at, ("127.0.0.2", 5060))
        self.assertNotIn(b"127.0.0.2", b"".join(phone.bytes_in).replace(b"c=IN IP4 127.0.0.2", b""))
        await self.hang_up(back, answered)

        refusal = await self.refused(phone, "sip:bob@127.0.0.1:5060")
        self.assertEqual((refusal.status, refusal.reason), (403, "Dial *33 and a number"))
        await self.stop()

    async def test_media_servers(self) -> None:
        """media-servers.toml: rules."""
        await self.end_points_and_media_servers("media-servers.toml")

    async def test_policy_script(self) -> None:
        """policy.toml and policy.py: the same by a script."""
        await self.end_points_and_media_servers("policy.toml")

    async def test_forced_send_socket(self) -> None:
        """media-servers.toml: in by TCP, out by UDP all the same."""
        net = await self.example("media-servers.toml")
        media = self.media_server(net, 1)
        phone = self.phone(net, "alice", "127.0.0.11", "tcp")
        with within(net):  # where its connection belongs
            calling = Deferred.fromCoroutine(self.call(phone, media, "sip:*33100@127.0.0.1:5060"))
        near, far = await calling
        self.assertEqual(far.last("INVITE").via.transport, "UDP")
        await self.hang_up(near, far)
        await self.stop()

    async def test_next_media_server(self) -> None:
        """media-servers.toml: where nobody listens, or 503 is answered, the second one is tried (S52)."""
        net = await self.example("media-servers.toml")
        second = self.media_server(net, 2)
        phone = self.phone(net, "alice", "127.0.0.11")
        near, far = await self.call(phone, second, "sip:*33100@127.0.0.1:5060")
        await self.hang_up(near, far)
        first = self.media_server(net, 1)
        first.asked = lambda dialog, request: dialog.refuse(503)
        near, far = await self.call(phone, second, "sip:*33200@127.0.0.1:5060")
        self.assertEqual([dialog.over for dialog in first.dialogs], [True])
        await self.hang_up(near, far)
        await self.stop()
