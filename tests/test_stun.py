"""RFC 8489, RFC 5626 4.4.2: STUN Binding requests on the SIP port."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.stun import answer, fingerprint
from b2bua.sip.listener import Flow
from tests.carriage import Packet
from tests.world import World

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")  # of every message in RFC 5769 2
COOKIE = bytes.fromhex("2112a442")
# RFC 5769 2.1: SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY, FINGERPRINT
SAMPLE = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)


def request(attributes: bytes = b"") -> bytes:
    """A Binding request."""
    return b"\x00\x01" + len(attributes).to_bytes(2, "big") + COOKIE + TRANSACTION + attributes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


class TestAnswer(SynchronousTestCase):
    """What is answered, and how."""

    def test_ipv4(self) -> None:
        """RFC 5769 2.2: XOR-MAPPED-ADDRESS of 192.0.2.1 port 32853."""
        self.assertEqual(
            answer(request(), "192.0.2.1", 32853),
            bytes.fromhex("0101000c2112a442b7e7a701bc34d686fa87dfae002000080001a147e112a643"),
        )

    def test_ipv6(self) -> None:
        """RFC 5769 2.3: XOR-MAPPED-ADDRESS of 2001:db8:1234:5678:11:2233:4455:6677 port 32853."""
        self.assertEqual(
            answer(request(), "2001:db8:1234:5678:11:2233:4455:6677", 32853),
            bytes.fromhex("010100182112a442b7e7a701bc34d686fa87dfae002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"),
        )

    def test_a_scope_is_not_said(self) -> None:
        """S12: the kernel names the device of a link-local address, which means nothing to anybody else."""
        self.assertEqual(answer(request(), "fe80::1%eth0", 5060), answer(request(), "fe80::1", 5060))

    def test_the_sample_request(self) -> None:
        """RFC 5769 2.1, RFC 8489 6.3.1: its FINGERPRINT is right; PRIORITY, which is ICE's, must not be ignored."""
        self.assertEqual(
            answer(SAMPLE, "192.0.2.1", 32853),
            bytes.fromhex("011100242112a442b7e7a701bc34d686fa87dfae")
            + attribute(0x0009, b"\x00\x00\x04\x14Unknown Attribute")
            + attribute(0x000A, b"\x00\x24"),
        )

    def test_what_may_be_ignored(self) -> None:
        """RFC 8489 14: attributes from 0x8000 on, and those of an authentication that is not asked for."""
        said = attribute(0x8022, b"phone") + attribute(0x0006, b"alice") + attribute(0x0008, bytes(20))
        self.assertEqual(answer(request(said), "192.0.2.1", 1), answer(request(), "192.0.2.1", 1))

    def test_fingerprint(self) -> None:
        """RFC 8489 14.7: one that is wrong, or not the last attribute, and the message is dropped."""
        before = request(bytes(8))[:20]
        right = attribute(0x8028, fingerprint(before))
        self.assertEqual(answer(before + right, "192.0.2.1", 1), answer(request(), "192.0.2.1", 1))
        self.assertIsNone(answer(request(attribute(0x8028, b"abcd")), "192.0.2.1", 1))
        self.assertIsNone(answer(request(attribute(0x8028, b"")), "192.0.2.1", 1))
        self.assertIsNone(answer(request(right + attribute(0x8022, b"phone")), "192.0.2.1", 1))
        self.assertIsNone(answer(SAMPLE[:-1] + b"\x00", "192.0.2.1", 1))

    def test_an_error_is_short(self) -> None:
        """Nobody can make us send much more than was sent to us."""
        many = request(attribute(0x0001, b"") * 1000)
        said = answer(many, "192.0.2.1", 1)
        assert said is not None
        self.assertLess(len(said), 100)

    def test_dropped(self) -> None:
        """Responses, indications, other methods, another cookie, lengths that are not true."""
        for wrong in (
            b"\x00",
            request()[:19],
            request() + b"\x00",
            request(b"\x00\x20"),
            request(b"\x80\x22\x00\x09phone..."),
            b"\x01\x01" + request()[2:],
            b"\x00\x11" + request()[2:],
            b"\x00\x03" + request()[2:],
            request()[:4] + b"\x00\x00\x00\x00" + TRANSACTION,  # RFC 3489, long before SIP used it
        ):
            self.assertIsNone(answer(wrong, "192.0.2.1", 1), wrong)

    @given(st.binary(max_size=200), st.integers(0, 65535))
    def test_any_octets(self, octets: bytes, port: int) -> None:
        """Nothing raises, whether it looks like STUN or not."""
        answer(octets, "192.0.2.1", port)
        said = answer(request(octets), "2001:db8::1", port)
        self.assertTrue(said is None or said[4:20] == COOKIE + TRANSACTION)

    def test_read_back(self) -> None:
        """The address that a client takes from the answer."""
        said = answer(request(), "203.0.113.7", 40000)
        assert said is not None
        port, address = said[26:28], said[28:32]
        self.assertEqual(int.from_bytes(port, "big") ^ 0x2112, 40000)
        self.assertEqual(socket.inet_ntoa(bytes(a ^ b for a, b in zip(address, COOKIE, strict=True))), "203.0.113.7")


class TestPort(SynchronousTestCase):
    """On the SIP port."""

    def setUp(self) -> None:
        """What alice gets is kept."""
        self.world = World()
        self.got: list[bytes] = []
        self.world.wires.rules.append(self._keep)

    def _keep(self, packet: Packet) -> tuple[()] | None:
        if packet.inward and packet.data[0] < 2:
            self.got.append(packet.data)
            return ()
        return None

    def test_answered(self) -> None:
        """From the socket that it came to; calls are as before."""
        self.world.alice.say(request())
        self.world.forget()
        self.assertEqual(self.got, [answer(request(), "192.0.2.20", 5060)])
        self.world.call()

    def test_counted(self) -> None:
        """What only begins like it is dropped without a word, and counted."""
        self.world.alice.say(b"\x00\x01 and so on")
        self.world.alice.say(b"\x01\x00\x00\x00\x00")
        self.world.forget()
        self.assertEqual(self.got, [])
        self.assertEqual(self.world.switchboard.strange, 2)
        self.assertEqual(self.world.journal.lines, [])

    def test_not_on_a_stream(self) -> None:
        """There the keep-alive is CRLF (RFC 5626 4.4.1): this is a message that cannot be read."""
        listener = next(each for each in self.world.configuration.listeners if each.name == "public-tcp")
        stream = self.world.connections.accept(listener, "192.0.2.20", 41000)
        assert stream is not None
        self.world.switchboard.received(request(), Flow(listener, "192.0.2.20", 41000, stream))
        self.assertEqual(len(self.world.journal.lines), 1)
