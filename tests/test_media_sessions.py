"""Session descriptions as devices make them, through the relay: nothing of one side's in what the other reads."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.call.media import End, Said
from b2bua.media.description import crossed
from b2bua.media.places import read_address
from b2bua.media.relay import Relay
from b2bua.sip.grammar import Malformed
from b2bua.sip.sdp import own
from b2bua.sip.session import Session, parse_session
from tests.media import RelayCase, clock

SESSIONS = sorted((Path(__file__).parent / "data" / "sessions").glob("*.sdp"))
FOUR = End("four", "outside", "127.0.0.1", "127.0.0.1", "127.0.0.11")
SIX = End("six", "inside", "::1", "::1", "::1")
OTHER_FOUR = End("other four", "inside", "127.0.0.2", "127.0.0.2", "127.0.0.12")
OTHER_SIX = End("other six", "outside", "::1", "::1", "::1")
CROSSINGS = [(FOUR, SIX), (SIX, FOUR), (FOUR, OTHER_FOUR), (SIX, OTHER_SIX)]

# What may not be there any more, besides lines that show a host; and what may say something else.
GONE = re.compile(
    rb"a=(candidate|remote-candidates|end-of-candidates|ice-|group:BUNDLE|bundle-only|rtcp:|zoned|alt:|path:|source-fil)"
)
CHANGED = re.compile(rb"(c=|m=|o=|s=|a=rtcp:|a=ssrc:\d+ cname:)")
NAMES = re.compile(rb"(?i)[\w-]+\.local|pbx\.example\.com|alicepc")
NOWHERE = {"0.0.0.0", "::"}


def addresses(text: bytes) -> set[str]:
    """Every address in a text, found in another way than the relay does."""
    found = set()
    for word in re.split(r"[^0-9A-Za-z:.]+", text.decode("latin-1")):
        for part in (word, word.rpartition(":")[0], word.partition(":")[2]):
            try:
                found.add(str(ipaddress.ip_address(part)))
            except ValueError:
                continue
    return found - NOWHERE


def lines(sdp: bytes) -> list[bytes]:
    """Without their ends."""
    return sdp.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")


class TestCorpus(RelayCase):
    """Each file of tests/data/sessions, in all directions."""

    ROOM = 200

    def each(self, path: Path, source: End, target: End) -> list[bytes]:
        """A description as offer and as answer."""
        sdp = path.read_bytes()
        offered = self.offer(source, target, sdp)
        self.end()
        self.offer(target, source, sdp)
        answered = self.answer(source, target, sdp)
        ports = {stream.ours for stream in self.report()}
        self.assertEqual(len(ports), len(self.report()), "our ports are all distinct")
        return [offered, answered]

    def test_what_crosses(self) -> None:
        """S44: no host of the other side's, media in their order, the rest byte for byte, ports of ours."""
        self.assertGreaterEqual(len(SESSIONS), 30)
        for path in SESSIONS:
            for source, target in CROSSINGS:
                self.relay = Relay(clock, self.first, self.last, lambda limit: limit - 1)
                for said in self.each(path, source, target):
                    with self.subTest(path.name, source=source.word):
                        self.check(path.read_bytes(), said, target)
                self.relay.close()

    def check(self, sdp: bytes, said: bytes, target: End) -> None:
        """One description, before and after."""
        before, after = parse_session(sdp), parse_session(said)
        whole = own(said, "1", 1, target.address)
        self.assertLessEqual(addresses(whole), {target.address})
        self.assertIsNone(NAMES.search(whole))
        self.assertEqual(
            [(media.kind, media.protocol, media.formats) for media in before.media],
            [(media.kind, media.protocol, media.formats) for media in after.media],
        )
        self.check_lines(lines(sdp), lines(said))
        self.check_ports(before, after, target)
        self.assertEqual(sdp.endswith(b"\n") and b"\r" not in sdp, b"\r" not in said and said.endswith(b"\n"))

    def check_lines(self, before: list[bytes], after: list[bytes]) -> None:
        """Every line is as it was and where it was, or is one that may change; only what should is not there."""
        kept = iter(line for line in before if not CHANGED.match(line))
        for line in after:
            if not CHANGED.match(line):
                self.assertIn(line, kept)
        lost = [line for line in before if line not in after and not CHANGED.match(line) and not GONE.match(line)]
        self.assertEqual([line for line in lost if not (addresses(line) or NAMES.search(line))], [])

    def check_ports(self, before: Session, after: Session, target: End) -> None:
        """Ports of ours, each for one medium, also for reports; hold is still hold."""
        ports = [media.port for media in after.media if media.port]
        self.assertEqual(len(set(ports)), len(ports))
        for old, new in zip(before.media, after.media, strict=True):
            where, asked = after.connection_of(new), before.connection_of(old)
            self.assertTrue(new.port == 0 or self.first <= new.port < self.last and new.port % 2 == 0)
            self.assertIn(new.rtcp, ((0, None), (new.port + 1, None)))
            self.assertEqual(new.ports, b"")
            if new.port:
                assert where is not None and asked is not None
                self.assertEqual(where.host in NOWHERE, asked.host in NOWHERE)
                self.assertEqual(where.family, target.family)
                self.assertEqual(before.direction_of(old), after.direction_of(new))

    def test_carried(self) -> None:
        """Which media pass: not those for many, not those over TCP, not those that are wanted only in a bundle."""
        for name, ports in {
            "multicast": [False, True, False], "msrp-and-audio": [True, False, False, False],
            "chrome-bundle-only": [True, False], "chrome-video-bundle": [True] * 3, "refused-video": [True, False],
            "polycom-group-video": [True] * 5, "odd-but-legal": [True] * 3,
        }.items():  # fmt: skip
            sdp = next(path for path in SESSIONS if path.stem == name).read_bytes()
            said = parse_session(self.offer(FOUR, SIX, sdp, session=name))
            self.assertEqual([media.port > 0 for media in said.media], ports, name)

    def test_names_of_sources(self) -> None:
        """RFC 5576 6.1: a cname that shows a host is another one, the same for the same, which nobody can guess."""
        sdp = next(path for path in SESSIONS if path.stem == "baresip").read_bytes()
        other = Relay(clock, self.first, self.last, lambda limit: 1)
        self.addCleanup(other.close)
        heard: list[bytes | Malformed] = []
        other.offer(Said("call", "b", FOUR, SIX, sdp), heard.append)
        assert isinstance(heard[0], bytes)
        names = [re.findall(rb"cname:(.*)\r", said) for said in (self.offer(FOUR, SIX, sdp), heard[0])]
        self.assertEqual([len(set(each)) for each in names], [1, 1])
        self.assertNotEqual(names[0], names[1])
        chrome = next(path for path in SESSIONS if path.stem == "chrome-audio").read_bytes()
        self.assertIn(b"cname:Wq3bQ0vFz1pJ2h8L\r", self.offer(FOUR, SIX, chrome, session="2"))


LINES = st.lists(
    st.sampled_from(sorted({line for path in SESSIONS for line in lines(path.read_bytes())}))
    | st.binary(max_size=40).map(lambda text: b"a=" + text),
    max_size=30,
)


class TestAnything(RelayCase):
    """Bytes from outside."""

    ROOM = 400

    @settings(deadline=None)
    @given(LINES | st.binary(max_size=200))
    def test_answers(self, text: list[bytes] | bytes) -> None:
        """A description without a host of the other side's, or a clear refusal; nothing is left behind."""
        sdp = text if isinstance(text, bytes) else b"\r\n".join([b"v=0", *text])
        relay = Relay(clock, self.first, self.last, lambda limit: limit - 1)
        heard: list[bytes | Malformed] = []
        relay.offer(Said("call", "b", FOUR, SIX, sdp), heard.append)
        if isinstance(heard[0], bytes):
            shown = [line for line in lines(heard[0]) if line[:2] not in (b"o=", b"s=", b"i=", b"u=", b"e=", b"p=")]
            self.assertLessEqual(addresses(b"\n".join(shown)), {"::1"})  # those lines are the leg's
        relay.close()
        self.assertEqual(relay.used, 0)

    @given(st.text("019.:af x", max_size=20) | st.ip_addresses().map(str), st.text("0.: x", max_size=2))
    def test_shown(self, text: str, around: str) -> None:
        """A line crosses only if none of its words is the address of a host."""
        line = b"a=x:%b" % (around + text + around).encode()
        said = crossed(parse_session(b"v=0\r\n" + line + b"\r\n"), SIX, [], b"secret")
        words = re.findall(r"(?<![0-9a-z.:])[0-9a-f.:]+(?![0-9a-z.:])", line.decode()[4:])
        shows = any(len(word) < 48 and read_address(word.strip(".")) is not None for word in words)
        if shows:
            self.assertNotIn(line, said)

    def test_long_lines(self) -> None:
        """No line takes more than its length: each of these is of 64 kB, and would take hours."""
        for piece in (b"a:", b".", b":", b"1.", b"1.1.1.1", b"::", b"f", b"pbx.example.com.", b"a@"):
            text = b"v=0\r\no=x 1 1 IN IP4 pbx.example.com\r\na=x:" + piece * (60000 // len(piece)) + b"z\r\n"
            crossed(parse_session(text), SIX, [], b"secret")
