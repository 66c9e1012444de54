"""S4 to S6 with real routes: a machine of the test's own (`tests.netns`) whose routes come, change and go.

In it runs this file as a program (`child`): the epoll reactor, the kernel's routes and three listeners. It answers
questions on its standard input and tells of each change that it heard.
"""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.net import kernel
from b2bua.net.kernel import KernelRoutes
from b2bua.policy.interface import AUTO, Interfaces, NoInterface
from b2bua.sip.listener import Listener, Target
from tests.netns import PATIENCE, ROOT, Namespace

LISTENERS = (
    Listener("public", "public", "udp", "192.0.2.1", 5060, device="out"),
    Listener("east", "private", "udp", "10.1.0.1", 5060, device="east"),
    Listener("west", "private", "tcp", "10.2.0.1", 5060, device="west"),
    Listener("west-udp", "private", "udp", "10.2.0.1", 5060),
    Listener("east6", "private", "udp", "2001:db8:1::1", 5060, device="east"),
    Listener("west6", "private", "udp", "2001:db8:2::1", 5060, device="west"),
)

Answer = dict[str, Any]


def child() -> None:
    """Answers one question a line, with one line of JSON: `look IP`, `choose TRANSPORT IP SEND-FROM`, `warm`."""
    from twisted.internet import epollreactor, error

    epollreactor.install()
    from twisted.internet import reactor as installed
    from twisted.internet import stdio
    from twisted.protocols.basic import LineOnlyReceiver

    reactor: Any = installed
    interfaces = Interfaces(LISTENERS)

    def say(answer: Answer) -> None:
        print(json.dumps(answer), flush=True)

    def answer(words: list[str]) -> Answer:
        if words[0] == "look":
            before = len(routes)
            route = routes.lookup(words[1])
            return {"route": [route.source, route.device, route.gateway] if route else None, "kept": before}
        if words[0] == "choose":
            try:
                made = interfaces.choose(Target(words[1], words[2], 5060), words[3], routes.lookup)
            except NoInterface as refused:
                return {"listener": None, "name": refused.name, "why": refused.reason}
            return {"listener": made.listener.name, "why": made.why}
        return {"warm": routes._settling is None}

    class Questions(LineOnlyReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            say(answer(line.decode().split()))

        def connectionLost(self, reason: Any = error.ConnectionDone) -> None:
            reactor.stop()

    routes = KernelRoutes(reactor, lambda: say({"changed": True}))
    stdio.StandardIO(Questions())
    say({"ready": True})
    reactor.run()


class Machine:
    """The child in its namespace, asked from outside."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.net = Namespace(test, "routes")
        self.net.wire("out", ["192.0.2.1/24"], self.net, "out-far", [])
        self.net.wire("east", ["10.1.0.1/24", "2001:db8:1::1/64"], self.net, "east-far", [])
        self.net.wire("west", ["10.2.0.1/24", "2001:db8:2::1/64"], self.net, "west-far", [])
        self.process = self.net.python(
            "-m", "tests.test_kernel_netns", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self._said: queue.Queue[Answer] = queue.Queue()
        self._listens = threading.Thread(target=self._listen, daemon=True)
        self._listens.start()
        test.addCleanup(self._ended)
        self._next("ready")
        self.settle()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put({"ended": True})

    def _ended(self) -> None:
        """Runs before the namespace goes: the child ends in order, and so writes down its coverage."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self._listens.join(PATIENCE)

    def _next(self, what: str) -> Answer:
        """The next line with `what`; a change that is told in between is not lost on anybody."""
        while True:
            said = self._said.get(timeout=PATIENCE)
            if what in said:
                return said
            if "changed" not in said:
                raise AssertionError(f"expected {what}, the child said {said}")

    def _ask(self, question: str, what: str) -> Answer:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self._next(what)

    def ip(self, words: str) -> None:
        """Changes something, and waits until the child has heard of it, and not of what was before."""
        self.settle()
        while not self._said.empty():
            self._said.get()
        self.net.ip(words)
        self._next("changed")

    def look(self, ip: str) -> list[str] | None:
        """Source, device and gateway, or None."""
        route: list[str] | None = self._ask(f"look {ip}", "route")["route"]
        return route

    def kept(self, ip: str) -> int:
        """How many answers were remembered before this was looked up."""
        kept: int = self._ask(f"look {ip}", "kept")["kept"]
        return kept

    def choose(self, ip: str, transport: str = "udp", send_from: str = AUTO) -> Answer:
        """The listener and why, or None, the name of the refusal and why."""
        return self._ask(f"choose {transport} {ip} {send_from}", "listener")

    def settle(self) -> None:
        """Waits until answers are remembered again."""
        while not self._ask("warm", "warm")["warm"]:
            time.sleep(0.01)


class TestRoutes(SynchronousTestCase):
    """S4: a route that comes, changes or goes counts for the next look-up."""

    def setUp(self) -> None:
        self.machine = Machine(self)

    def warm(self, ip: str, expected: list[str] | None) -> None:
        """The answer is `expected`, and is remembered."""
        self.machine.settle()
        self.assertEqual(self.machine.look(ip), expected)
        self.assertGreater(self.machine.kept(ip), 0)

    def test_added_changed_withdrawn(self) -> None:
        """IPv4: each change empties what is remembered, and the next answer is the new one."""
        machine = self.machine
        self.warm("10.9.0.5", None)
        machine.ip("route add 10.9.0.0/16 via 10.1.0.2")
        self.assertEqual(machine.kept("10.9.0.5"), 0)
        self.assertEqual(machine.look("10.9.0.5"), ["10.1.0.1", "east", "10.1.0.2"])
        self.warm("10.9.0.5", ["10.1.0.1", "east", "10.1.0.2"])
        machine.ip("route change 10.9.0.0/16 via 10.2.0.2")
        self.assertEqual(machine.kept("10.9.0.5"), 0)
        self.assertEqual(machine.look("10.9.0.5"), ["10.2.0.1", "west", "10.2.0.2"])
        self.warm("10.9.0.5", ["10.2.0.1", "west", "10.2.0.2"])
        machine.ip("route delete 10.9.0.0/16")
        self.assertEqual(machine.kept("10.9.0.5"), 0)
        self.assertIsNone(machine.look("10.9.0.5"))

    def test_added_changed_withdrawn_ipv6(self) -> None:
        """The same for IPv6."""
        machine = self.machine
        self.warm("2001:db8:9::5", None)
        machine.ip("-6 route add 2001:db8:9::/48 via 2001:db8:1::2")
        self.assertEqual(machine.look("2001:db8:9::5"), ["2001:db8:1::1", "east", "2001:db8:1::2"])
        self.warm("2001:db8:9::5", ["2001:db8:1::1", "east", "2001:db8:1::2"])
        machine.ip("-6 route replace 2001:db8:9::/48 via 2001:db8:2::2")
        self.assertEqual(machine.look("2001:db8:9::5"), ["2001:db8:2::1", "west", "2001:db8:2::2"])
        self.warm("2001:db8:9::5", ["2001:db8:2::1", "west", "2001:db8:2::2"])
        machine.ip("-6 route delete 2001:db8:9::/48")
        self.assertIsNone(machine.look("2001:db8:9::5"))

    def test_link_down(self) -> None:
        """The kernel tells that a link goes down, but not of the IPv4 routes that go with it."""
        machine = self.machine
        machine.ip("route add 10.9.0.0/16 via 10.1.0.2")
        self.warm("10.9.0.5", ["10.1.0.1", "east", "10.1.0.2"])
        machine.ip("link set east down")
        self.assertIsNone(machine.look("10.9.0.5"))
        self.warm("10.9.0.5", None)
        machine.ip("link set east up")
        self.assertEqual(machine.look("10.1.0.5"), ["10.1.0.1", "east", ""])

    def test_address(self) -> None:
        """An address that comes and goes takes its network with it."""
        machine = self.machine
        self.warm("10.1.0.5", ["10.1.0.1", "east", ""])
        machine.ip("address delete 10.1.0.1/24 dev east")
        self.assertIsNone(machine.look("10.1.0.5"))
        machine.ip("address add 10.1.0.77/24 dev east")
        self.assertEqual(machine.look("10.1.0.5"), ["10.1.0.77", "east", ""])

    def test_no_address_on_the_device(self) -> None:
        """A route by a device without an address: the kernel takes one of another device."""
        self.machine.ip("address flush dev east")
        self.machine.ip("route add 10.9.0.0/16 dev east")
        found = self.machine.look("10.9.0.5")
        assert found is not None
        self.assertIn(found[0], ("192.0.2.1", "10.2.0.1"))
        self.assertEqual(found[1:], ["east", ""])

    def test_rule(self) -> None:
        """A routing rule and its table."""
        machine = self.machine
        machine.ip("route add 10.9.0.0/16 via 10.1.0.2")
        machine.ip("route add 10.9.0.0/16 via 10.2.0.2 table 100")
        self.warm("10.9.0.5", ["10.1.0.1", "east", "10.1.0.2"])
        machine.ip("rule add to 10.9.0.0/24 lookup 100")
        self.assertEqual(machine.look("10.9.0.5"), ["10.2.0.1", "west", "10.2.0.2"])

    def test_next_hop_object(self) -> None:
        """A next hop object that is replaced under its route."""
        machine = self.machine
        machine.ip("nexthop add id 7 via 10.1.0.2 dev east")
        machine.ip("route add 10.9.0.0/16 nhid 7")
        self.warm("10.9.0.5", ["10.1.0.1", "east", "10.1.0.2"])
        machine.ip("nexthop replace id 7 via 10.2.0.2 dev west")
        self.assertEqual(machine.look("10.9.0.5"), ["10.2.0.1", "west", "10.2.0.2"])

    def test_gateway_of_the_other_family(self) -> None:
        """RFC 5549: an IPv4 network behind an IPv6 gateway."""
        self.machine.ip("route add 10.9.0.0/16 via inet6 2001:db8:1::2 dev east")
        self.assertEqual(self.machine.look("10.9.0.5"), ["10.1.0.1", "east", "2001:db8:1::2"])

    def test_refused(self) -> None:
        """Routes that refuse are no routes."""
        for kind in ("unreachable", "prohibit", "blackhole"):
            for network, ip in (("10.9.0.0/16", "10.9.0.5"), ("2001:db8:9::/48", "2001:db8:9::5")):
                self.machine.ip(f"route replace {kind} {network}")
                self.warm(ip, None)
                self.machine.ip(f"route delete {network}")

    def test_link_local(self) -> None:
        """The same link-local network is on each link: the zone id says which is meant."""
        for device in ("east", "west"):
            found = self.machine.look(f"fe80::5%{device}")
            assert found is not None
            self.assertEqual(found[1:], [device, ""])
            self.assertIn(found[0], self.machine.net.ip(f"-6 address show dev {device}"))

    def test_more_news_than_the_socket_holds(self) -> None:
        """ENOBUFS: while the child stands still, more is told than is kept for it."""
        machine = self.machine
        self.warm("10.9.0.5", None)
        machine.process.send_signal(signal.SIGSTOP)
        flood = "".join(f"route add 10.8.{number >> 8}.{number & 255}/32 via 10.1.0.2\n" for number in range(3000))
        words = machine.net.command("ip", "-batch", "-")
        subprocess.run(words, input=flood + "route add 10.9.0.0/16 via 10.2.0.2\n", text=True, check=True)
        self.assertGreater(self.dropped(), 0)
        machine.process.send_signal(signal.SIGCONT)
        machine._next("changed")
        self.assertEqual(machine.look("10.9.0.5"), ["10.2.0.1", "west", "10.2.0.2"])
        self.warm("10.9.0.5", ["10.2.0.1", "west", "10.2.0.2"])
        machine.ip("route delete 10.9.0.0/16")
        self.assertIsNone(machine.look("10.9.0.5"))

    def dropped(self) -> int:
        """How many messages the kernel could not give to the child's socket for news."""
        table = [line.split() for line in self.machine.net.run("cat", "/proc/net/netlink").splitlines()]
        groups, drops = table[0].index("Groups"), table[0].index("Drops")
        return sum(int(row[drops]) for row in table[1:] if row[groups] == f"{kernel._GROUPS:08x}")


class TestChoice(SynchronousTestCase):
    """S5: the kernel's answer, checked against the listeners."""

    def setUp(self) -> None:
        self.machine = Machine(self)

    def test_follows_the_route(self) -> None:
        """S4: the next choice after a change is another listener, for each transport and family."""
        machine = self.machine
        machine.ip("route add 10.9.0.0/16 via 10.1.0.2")
        self.assertEqual(machine.choose("10.9.0.5")["listener"], "east")
        machine.ip("route change 10.9.0.0/16 via 10.2.0.2")
        self.assertEqual(machine.choose("10.9.0.5")["listener"], "west-udp")
        self.assertEqual(machine.choose("10.9.0.5", "tcp")["listener"], "west")
        machine.ip("route delete 10.9.0.0/16")
        refused = machine.choose("10.9.0.5")
        self.assertEqual((refused["listener"], refused["name"]), (None, "no-route"))
        self.assertIn("the kernel has no route to 10.9.0.5", refused["why"])
        machine.ip("-6 route add 2001:db8:9::/48 via 2001:db8:2::2")
        self.assertEqual(machine.choose("2001:db8:9::5")["listener"], "west6")

    def test_no_listener_there(self) -> None:
        """The kernel would leave by an address and device that no TCP listener has: refused, not sent by the other."""
        machine = self.machine
        machine.ip("route add 10.9.0.0/16 via 10.1.0.2")
        refused = machine.choose("10.9.0.5", "tcp")
        self.assertEqual((refused["listener"], refused["name"]), (None, "not-a-listener"))
        self.assertIn("from 10.1.0.1 by east through 10.1.0.2: no listener's address or device", refused["why"])
        self.assertIn("the TCP over IPv4 listeners are west (10.2.0.1 port 5060 on west)", refused["why"])

    def test_address_that_is_no_listener(self) -> None:
        """A source address that is no listener's: the listener on that device, and where there is none, nobody."""
        machine = self.machine
        machine.ip("address add 10.1.0.99/24 dev east")
        machine.ip("route add 10.9.0.0/16 via 10.1.0.2 src 10.1.0.99")
        chosen = machine.choose("10.9.0.5")
        self.assertEqual(chosen["listener"], "east")
        self.assertIn("from 10.1.0.99 by east through 10.1.0.2, which is no listener's address, but", chosen["why"])
        machine.net.wire("north", ["10.3.0.1/24"], machine.net, "north-far", [])
        machine.ip("route change 10.9.0.0/16 via 10.3.0.2")
        refused = machine.choose("10.9.0.5")
        self.assertEqual((refused["listener"], refused["name"]), (None, "not-a-listener"))

    def test_zone(self) -> None:
        """`send_from` a zone: the kernel decides among its listeners, and cannot lead out of it."""
        machine = self.machine
        machine.ip("route add 10.9.0.0/16 via 10.1.0.2")
        self.assertEqual(machine.choose("10.9.0.5", "udp", "private")["listener"], "east")
        machine.ip("route change 10.9.0.0/16 via 192.0.2.2")
        self.assertEqual(machine.choose("10.9.0.5", "udp", "private")["name"], "not-a-listener")
        self.assertEqual(machine.choose("10.9.0.5", "udp", "public")["listener"], "public")


class TestNamespace(SynchronousTestCase):
    """The namespaces themselves."""

    def test_two_machines(self) -> None:
        """Packets go from one to the other over both families, at once; both are gone afterwards."""
        near, far = Namespace(self, "near"), Namespace(self, "far")
        near.wire("eth0", ["192.0.2.1/24", "2001:db8::1/64"], far, "eth0", ["192.0.2.2/24", "2001:db8::2/64"])
        program = (
            "import socket, sys; s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET,"
            "socket.SOCK_DGRAM); s.settimeout(20); s.bind((sys.argv[1], 5060)); print('bound', flush=True);"
            "data, source = s.recvfrom(99); s.sendto(data, source)"
        )
        for address, other, family in (
            ("192.0.2.1", "192.0.2.2", socket.AF_INET),
            ("2001:db8::1", "2001:db8::2", socket.AF_INET6),
        ):
            echo = far.python("-c", program, other, stdout=subprocess.PIPE, text=True)
            assert echo.stdout is not None
            self.assertEqual(echo.stdout.readline(), "bound\n")
            back = near.run(
                sys.executable,
                "-c",
                f"import socket; s = socket.socket({family:d}, socket.SOCK_DGRAM); s.settimeout(20);"
                f"s.bind(('{address}', 0)); s.sendto(b'hello', ('{other}', 5060)); print(s.recv(99))",
            )
            self.assertEqual(back, "b'hello'\n")
        self.assertIn(near.name, near.run("ip", "netns", "list"))
        near.remove()
        self.assertNotIn(near.name, far.run("ip", "netns", "list"))

    def test_a_mistake_fails(self) -> None:
        """A command that fails fails the test, with what it said."""
        net = Namespace(self)
        failed = self.assertRaises(AssertionError, net.ip, "link set nosuchdevice up")
        self.assertIn("nosuchdevice", str(failed))


if __name__ == "__main__":
    child()
