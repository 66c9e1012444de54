"""Captures read, and what in them leaks: `b2bua leaks` (S42)."""

from __future__ import annotations

import io
import json
import struct
from contextlib import redirect_stdout
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops import captures
from b2bua.ops.captures import Captured, Reader, Unreadable, frames
from b2bua.ops.cli import main
from b2bua.ops.leaks import CANNOT, CLEAN, LEAKS, leaks
from tests import pcaps
from tests.pcaps import COOKED, COOKED2, ETHERNET, LOOPBACK, RAW, framed, pcap, pcapng, tcp, udp
from tests.test_call_leaks import SIX, UDP_ONLY
from tests.world import TWO_SIDES, World

A, B = ("192.0.2.20", 5060), ("192.0.2.1", 5060)
A6, B6 = ("2001:db8::20", 5060), ("2001:db8::1", 5060)
OPTIONS = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n"


def read(file: bytes) -> list[Captured]:
    """Every message of a file."""
    return list(Reader().messages(frames(file)))


class Files(SynchronousTestCase):
    """Formats, links, addresses."""

    def test_pcap(self) -> None:
        """Both byte orders, both clocks, every link; VLANs in each other."""
        for order in "<>":
            for nano in (False, True):
                for link in (ETHERNET, LOOPBACK, RAW, COOKED, COOKED2):
                    for source, target in ((A, B), (A6, B6)):
                        file = pcap([framed(udp(source, target, OPTIONS), link, 2)], link, order, nano)
                        self.assertEqual(read(file), [Captured(1_000_000_000.5, "udp", source, target, OPTIONS)])

    def test_pcapng(self) -> None:
        """Both byte orders, a clock of its own, and two interfaces of different kinds."""
        packet = udp(A, B, OPTIONS)
        for order in "<>":
            for nano in (False, True):
                file = pcapng([(0, framed(packet, ETHERNET)), (1, framed(packet, COOKED2)), (7, b"")],
                              [ETHERNET, COOKED2], order, nano)  # fmt: skip
                self.assertEqual([(each.at, each.data) for each in read(file)],
                                 [(1_000_000_000.5, OPTIONS), (1_000_000_001.5, OPTIONS)])  # fmt: skip
        simple = pcapng([], [RAW]) + pcaps.block(3, struct.pack("<I", len(packet)) + packet, "<")
        self.assertEqual([each.data for each in read(simple)], [OPTIONS])

    def test_no_capture(self) -> None:
        """What is none is said to be none; one that is broken, where."""
        for file, why in (
            (b"", "neither"),
            (b"hello, world", "neither"),
            (b"\xd4\xc3\xb2\xa1", "neither"),
            (pcapng([], []) + struct.pack("<II", 6, 5) + b"\0\0\0\0", "broken block at octet 48"),
        ):
            self.assertRaisesRegex(Unreadable, why, lambda file=file: list(frames(file)))

    def test_what_is_cut_off(self) -> None:
        """The end of a file, and of a frame, and frames of what is not SIP over IP."""
        whole = pcap([framed(udp(A, B, OPTIONS), ETHERNET)])
        for length in range(24, len(whole)):
            self.assertEqual(read(whole[:length]), [])
        arp = framed(udp(A, B, OPTIONS), ETHERNET).replace(b"\x08\x00", b"\x08\x06", 1)
        icmp = pcaps.ip(1, A[0], B[0], b"\0" * 8)
        others = [arp, framed(icmp, ETHERNET), b"", framed(b"\x10" + icmp, ETHERNET)]
        self.assertEqual(read(pcap(others)), [])
        self.assertEqual(read(pcap([udp(A, B, OPTIONS)], 147)), [])
        self.assertEqual(read(pcap([b"\x08\x06" + b"\0" * 30], COOKED2)), [])

    def test_fragments(self) -> None:
        """In any order; what never becomes whole is given up."""
        long = OPTIONS.replace(b"\r\n", b"\r\nSubject: " + b"x" * 2000 + b"\r\n", 1)
        for source, target in ((A, B), (A6, B6)):
            pieces = pcaps.fragments(udp(source, target, long))
            self.assertGreater(len(pieces), 4)
            self.assertEqual([each.data for each in read(pcap([framed(each, ETHERNET) for each in pieces]))], [long])
            self.assertEqual(read(pcap([framed(each, ETHERNET) for each in pieces[:-1]])), [])
        lost = [framed(pcaps.ip(17, f"10.0.{n >> 8}.{n & 255}", "10.0.0.1", b"", 7, 0x2000), RAW) for n in range(600)]
        reader = Reader()
        self.assertEqual(list(reader.messages(frames(pcap(lost, RAW)))), [])
        self.assertLessEqual(len(reader._fragments), captures.FRAGMENTED)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=120), st.sampled_from([ETHERNET, LOOPBACK, RAW, COOKED, COOKED2]))
    def test_any_octets(self, data: bytes, link: int) -> None:
        """Nothing but Unreadable comes out of it."""
        read(pcap([data, framed(udp(A, B, OPTIONS), link)[:60] + data], link))
        for start in (b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b""):
            try:
                read(start + data)
            except Unreadable:
                pass


class Streams(SynchronousTestCase):
    """TCP put in order."""

    def segments(self, *parts: tuple[int, bytes], syn: bool = True) -> list[bytes]:
        """What is whole of segments (their place, their octets)."""
        start = 0xFFFFFFF0  # the numbers go round
        packets = [tcp(A, B, start - 1, flags=2)] if syn else []
        packets += [tcp(A, B, start + at, data) for at, data in parts]
        packets.append(tcp(A, B, start, b""))
        return [each.data for each in read(pcap([framed(each, ETHERNET) for each in packets]))]

    def test_order(self) -> None:
        """In order, out of order, twice, and overlapping; keep-alives are no messages."""
        one, two = OPTIONS[:20], OPTIONS[20:]
        self.assertEqual(self.segments((0, OPTIONS + OPTIONS)), [OPTIONS, OPTIONS])
        self.assertEqual(self.segments((20, two), (0, one)), [OPTIONS])
        self.assertEqual(self.segments((0, one), (0, one), (20, two), (20, two)), [OPTIONS])
        self.assertEqual(self.segments((0, one), (10, OPTIONS[10:]), (len(OPTIONS), OPTIONS)), [OPTIONS, OPTIONS])
        self.assertEqual(self.segments((0, b"\r\n\r\n" + OPTIONS)), [OPTIONS])

    def test_begun_late(self) -> None:
        """A capture that begins in the middle: from the next message on."""
        rest = b"garbage\r\n\r\n"
        self.assertEqual(self.segments((0, rest), (len(rest), OPTIONS), syn=False), [OPTIONS])
        self.assertEqual(self.segments((0, OPTIONS), syn=False), [OPTIONS])

    def test_a_gap(self) -> None:
        """A segment that was not captured: what comes behind it is read all the same."""
        size = len(OPTIONS)
        parts = [(0, OPTIONS[:9]), *((size * (number + 1), OPTIONS) for number in range(captures.AHEAD + 3))]
        self.assertEqual(len(self.segments(*parts)), captures.AHEAD + 3)

    def test_many(self) -> None:
        """Connections without end."""
        reader = Reader()
        packets = [tcp((f"10.{n >> 8}.{n & 255}.1", 1), B, 1, OPTIONS[:5]) for n in range(captures.STREAMS + 10)]
        list(reader.messages(frames(pcap(packets, RAW))))
        self.assertEqual(len(reader._streams), captures.STREAMS)


class Leaks(SynchronousTestCase):
    """The command."""

    def captured(self, world: World) -> list[bytes]:
        """What passed between the bridge and the phones, as packets."""
        packets: list[bytes] = []
        carry = world.wires.carry

        def seen(packet: object) -> None:
            assert packet is not None
            phone, host, port = packet.phone, packet.host, packet.port  # type: ignore[attr-defined]
            inward, data = packet.inward, packet.data  # type: ignore[attr-defined]
            if packet.pipe is None and phone is not None:  # type: ignore[attr-defined]
                theirs = phone.at.address, phone.at.port
                listener = packet.listener  # type: ignore[attr-defined]
                ours = (listener.address, listener.port) if inward else (host, port)
                packets.append(udp(ours, theirs, data) if inward else udp(theirs, ours, data))
            carry(packet)  # type: ignore[arg-type]

        world.wires.carry = seen  # type: ignore[method-assign, assignment]
        return packets

    def judged(self, packets: list[bytes], world: World, as_json: bool = False) -> tuple[int, str]:
        """What is said of some packets."""
        file, lines = Path(self.mktemp()), list[str]()
        file.write_bytes(pcap([framed(each, ETHERNET) for each in packets]))
        return leaks(str(file), world.configuration, lines.append, as_json), "\n".join(lines)

    def test_a_clean_call(self) -> None:
        """Over IPv4 and IPv6: nothing leaks, though media's addresses cross."""
        for text, hosts in ((UDP_ONLY, ()), (SIX, ("2001:db8:a::20", "fd00:b::20"))):
            world = World(text)
            packets = self.captured(world)
            alice, bob = world.alice, world.bob
            if hosts:
                world.phones.clear()
                alice, bob = world.phone("alice", hosts[0]), world.phone("bob", hosts[1])
            near, _ = world.call(alice, bob)
            near.bye()
            bob.says(200)
            world.settle()
            status, said = self.judged(packets, world)
            self.assertEqual(
                (status, said), (CLEAN, "13 messages of ours read, 3 to private, 4 to public: no leaks in 0 of them")
            )

    def test_every_kind(self) -> None:
        """Each kind is named, with the header and both ends."""
        world = World(UDP_ONLY.replace('"refuse"', '"count"'))
        packets = self.captured(world)
        near, far = world.call()
        theirs = parse_contact(world.alice.bytes_in)
        for word in (near.call_id, near.local_tag, near.remote_tag, theirs, "192.0.2.20", "::ffff:c000:0201"):
            near.ask("INFO", headers={"Subject": [f"it is {word}"]})
            world.bob.says(200)
            world.settle()
        status, said = self.judged(packets, world)
        self.assertEqual(status, LEAKS, said)
        rows = [line.split() for line in said.splitlines()[2:8]]
        self.assertEqual([row[6] for row in rows], ["Call-ID", "tag", "tag", "user", "address", "address"])
        self.assertEqual({tuple(row[2:6]) for row in rows},
                         {("udp:10.0.0.1:5060", "udp:10.0.0.20:5060", "INFO", "Subject")})  # fmt: skip
        self.assertTrue(said.endswith("6 leaks in 6 of them"), said)
        status, said = self.judged(packets, world, as_json=True)
        self.assertEqual([json.loads(line)["what"] for line in said.splitlines()], [row[6] for row in rows])

    def test_streams_and_tls(self) -> None:
        """TCP by the listener's port or by one of our own; TLS is counted, what is no SIP passed over."""
        world = World(TWO_SIDES)
        leak = OPTIONS.replace(b"\r\n", b"\r\nSubject: 192.0.2.1\r\n", 1)
        ours, phone = ("10.0.0.1", 40001), ("10.0.0.20", 5060)
        packets = [
            tcp(ours, phone, 1, leak),
            tcp(("10.0.0.1", 5060), phone, 1, leak),
            tcp(ours, phone, 1 + len(leak), TLS),
            udp(("10.0.0.1", 5060), phone, b"\0" * 9),
            udp(("10.9.9.9", 1), phone, leak),
        ]
        status, said = self.judged(packets, world)
        self.assertEqual(status, LEAKS)
        self.assertIn(
            "2 messages of ours read, 2 to private: 2 leaks in 2 of them\n1 message over TLS cannot be read", said
        )

    def test_files_that_cannot_be_read(self) -> None:
        """No file, no capture, a configuration with mistakes, and one zone only."""
        world, lines = World(), list[str]()
        self.assertEqual(leaks("/nowhere", world.configuration, lines.append), CANNOT)
        config = Path(self.mktemp())
        config.write_text(TWO_SIDES)
        self.assertEqual(leaks(str(config), world.configuration, lines.append), CANNOT)
        self.assertEqual(lines[0], "/nowhere: cannot be read: No such file or directory")
        self.assertEqual(lines[1], f"{config}: neither a pcap nor a pcapng file")
        wrong = Path(self.mktemp())
        wrong.write_text("[[zone]]\n")
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(main(["leaks", str(config), str(wrong)]), CANNOT)
            self.assertEqual(main(["leaks", str(config), str(config), "--json"]), CANNOT)
        self.assertIn("missing", out.getvalue())


TLS = b"\x17\x03\x03\x00\x10" + b"\xaa" * 16


def parse_contact(messages: list[bytes]) -> str:
    """The user of our Contact in the last message that has one."""
    last = next(each for each in reversed(messages) if b"\r\nContact:" in each)
    return last.partition(b"\r\nContact: <sip:")[2].partition(b"@")[0].decode()
