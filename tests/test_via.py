"""RFC 3261 20.42: Via."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import Malformed, Params, bracketed, split_list
from b2bua.sip.via import MAGIC_COOKIE, Sender, Via, branch_of, mended_via, parse_via
from tests.hostile import LONG, TOKENS, repeating, steps
from tests.test_uri import HOSTS


def made(transport: str, host: str, port: int | None, params: Params, version: str) -> Via:
    """A Via that nobody read."""
    name = bracketed(host.lower())
    return Via(Sender(version, transport, host, port, name if port is None else f"{name}:{port}"), params)


VIAS = st.builds(
    made,
    st.sampled_from(["UDP", "TCP", "TLS", "SCTP", "WSS", "UNKNOWN"]),
    HOSTS,
    st.none() | st.integers(1, 65535),
    st.dictionaries(st.sampled_from(["branch", "rport", "received", "ttl", "x"]), st.none() | TOKENS, max_size=4).map(
        lambda params: {name: value for name, value in params.items() if name != "received"}
    ),
    st.sampled_from(["2.0", "7.0"]),
)


def parts(via: Via) -> tuple[object, ...]:
    """Everything there is in a Via."""
    return via.transport, via.host, via.port, via.params, via.version, via.sent_by


class TestParse(SynchronousTestCase):
    """Reading."""

    def check(self, text: str, transport: str, host: str, port: int | None, params: Params) -> Via:
        """The parts of what is read."""
        via = parse_via(text)
        sent_by = f"{bracketed(host.lower())}{'' if port is None else f':{port}'}"
        self.assertEqual(parts(via), (transport, host, port, params, "2.0", sent_by))
        return via

    def test_parts(self) -> None:
        """With and without port and parameters; transports that we do not know (RFC 4475 3.1.1.10)."""
        self.check("SIP/2.0/UDP a.example", "UDP", "a.example", None, {})
        both: Params = {"branch": "z9hG4bKx", "rport": None}
        self.check("SIP/2.0/TCP 192.0.2.1:5070;branch=z9hG4bKx;rport", "TCP", "192.0.2.1", 5070, both)
        self.check("sip/2.0/sctp t2.example.com;branch=x", "SCTP", "t2.example.com", None, {"branch": "x"})
        self.check("SIP/2.0/WSS x.invalid;branch=x", "WSS", "x.invalid", None, {"branch": "x"})  # S13

    def test_white_space(self) -> None:
        """RFC 4475 3.1.1.1: blanks wherever they may be."""
        self.check(
            "SIP  /   2.0 /UDP     192.0.2.2;branch=390skdjuw", "UDP", "192.0.2.2", None, {"branch": "390skdjuw"}
        )
        text = "SIP / 2.0\t/ TCP  spindle.example.com   ;  branch  =   z9hG4bK9ikj8"
        self.check(text, "TCP", "spindle.example.com", None, {"branch": "z9hG4bK9ikj8"})
        self.check("SIP/2.0/UDP a : 5070 ;x", "UDP", "a", 5070, {"x": None})

    def test_ipv6(self) -> None:
        """S12: brackets in sent-by, one spelling; received with and without them (RFC 5118 4.5)."""
        via = self.check("SIP/2.0/UDP [2001:DB8::9:1]:6050;branch=x", "UDP", "2001:db8::9:1", 6050, {"branch": "x"})
        self.assertEqual(str(via), "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=x")
        for received in ("2001:db8::9:255", "[2001:db8::9:255]"):
            self.assertEqual(parse_via(f"SIP/2.0/UDP [::1];received={received}").received, "2001:db8::9:255")
        self.assertEqual(parse_via("SIP/2.0/TCP [::1];received=192.0.2.200").received, "192.0.2.200")
        self.check("SIP/2.0/UDP [::ffff:192.0.2.10]:19823", "UDP", "::ffff:192.0.2.10", 19823, {})

    def test_properties(self) -> None:
        """Branch, received and sent-by, which is for matching and so in lower case (RFC 3261 17.2.3)."""
        via = parse_via("SIP/2.0/UDP A.Example:5060;branch=z9hG4bKX")
        self.assertEqual((via.branch, via.received, via.sent_by), (MAGIC_COOKIE + "X", "", "a.example:5060"))
        self.assertEqual(parse_via("SIP/2.0/UDP [::1];branch").branch, "")
        self.assertEqual(parse_via("SIP/2.0/UDP [::1]").sent_by, "[::1]")

    def test_other_versions(self) -> None:
        """RFC 4475 3.1.2.16: the version is kept, so that the 505 shows the Via as it was."""
        via = parse_via("SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw")
        self.assertEqual(str(via), "SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw")

    def test_refused(self) -> None:
        """What is no Via."""
        for text in (
            "", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 a", "SIP/2.0/UDPa", "SIP/2/UDP a", "SIP/2.0/UDP a b",
            "SIP/2.0/UDP a:0",
            "SIP/2.0/UDP a:99999", "SIP/2.0/UDP a:", "SIP/2.0/UDP :5060", "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP [fe80::1%eth0]", "SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP a;branch=1;branch=2",
            "SIP/2.0/UDP a;",
            "SIP/2.0/UDP a;received=", "SIP/2.0/UDP a;received", "SIP/2.0/UDP a;received=a b", 'SIP/2.0/UDP a;x="',
            "SIP/2.0/UDP\u00a0a",
            "\u017fIP/2.0/UDP a", "SIP/2.\u0661/UDP a", "SIP/2.0/UDP \u212a", "SIP/2.0/UDP a\r\nX: y",
            "SIP/2.0/UDP a;x=\ny",
        ):  # fmt: skip
            self.assertRaises(Malformed, parse_via, text)

    @given(VIAS)
    def test_round_trip(self, via: Via) -> None:
        """What is written is read again."""
        self.assertEqual(parts(parse_via(str(via))), parts(via))
        self.assertEqual(parts(mended_via(str(via))), parts(via))

    @given(LONG | LONG.map("SIP/2.0/UDP ".__add__) | LONG.map("SIP/2.0/UDP example.com;branch=".__add__))
    def test_any_text(self, text: str) -> None:
        """Any text is a Via or Malformed; what can be mended is clean and then a sound Via."""
        for read in (parse_via, mended_via):
            try:
                via = read(text)
            except Malformed:
                continue
            self.assertTrue(re.fullmatch(r"[A-Z0-9\-.!%*_+`'~]+", via.transport))
            if read is mended_via:
                self.assertTrue(re.fullmatch("[ -~]+", str(via)))
                self.assertEqual(parts(parse_via(str(via))), parts(via))

    def test_linear(self) -> None:
        """Time grows as the text does."""

        def parse(text: str) -> None:
            for read in (parse_via, mended_via):
                try:
                    read(text)
                except Malformed:
                    pass

        start = "SIP/2.0/UDP a"
        for before, text, after in (
            (start, ";", ""), (start, ";a", ""), (start, " ", "x"), ("SIP", " ", "x"), ("SIP/2.0/", "A", "/"),
            (start + ";x=", '"', ""), (start, "a-", "!"), (start, ".", "!"), (start + ":", "9", ""),
            (start + ";", "a=", ""),
            ("SIP/", "2", "."), (start + ";", " ", "a"), (start + ":5", " ", "x"), (start + ";a", " ", "x"),
        ):  # fmt: skip
            steps(self, repeating(parse, before, text, after))


class TestBranchOf(SynchronousTestCase):
    """The branch without the rest."""

    def test_same_as_parsed(self) -> None:
        """What we write ourselves is not read whole, any other Via is; the branch is the same."""
        for text, branch in (
            ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport", "z9hG4bKx"),
            ("SIP/2.0/UDP 192.0.2.1:5060;rport=5060;branch=z9hG4bKx", "z9hG4bKx"),
            ("SIP/2.0/UDP a;branch=z9hG4bKx, SIP/2.0/UDP b;branch=z9hG4bKy", "z9hG4bKx"),
            ("SIP/2.0/UDP a, SIP/2.0/UDP b;branch=z9hG4bKy", ""),
            ("SIP/2.0/UDP a;BRANCH = z9hG4bKx ;rport", "z9hG4bKx"),
            ('SIP/2.0/UDP a;x=";branch=no";branch=z9hG4bKx', "z9hG4bKx"),
            ("SIP/2.0/UDP a", ""),
        ):
            self.assertEqual(branch_of(text), branch)
        for text in ("", "nonsense", 'SIP/2.0/UDP a;x=";branch=z'):
            self.assertRaises(Malformed, branch_of, text)

    @given(VIAS.map(str) | LONG.map("SIP/2.0/UDP a;branch=z9hG4bK".__add__) | LONG.map("SIP/2.0/UDP a;".__add__))
    def test_any_text(self, text: str) -> None:
        """Whatever can be read has the same branch either way."""
        try:
            via = parse_via(split_list(text)[0])
        except Malformed:
            return
        self.assertEqual(branch_of(text), via.branch)

    def test_linear(self) -> None:
        """Time grows as the text does."""

        def read(text: str) -> None:
            try:
                branch_of(text)
            except Malformed:
                pass

        for text, after in ((";branch=a@", ""), (";branch=", "@"), ("a", ""), (";", ""), (";branch=a ", "")):
            steps(self, repeating(read, "", text, after))


class TestMended(SynchronousTestCase):
    """The way back for the answer to a broken request."""

    def test_what_can_be_read(self) -> None:
        """RFC 4475 3.1.2.1: sender and sound parameters stay, each once; what cannot be read goes."""
        for text, mended in (
            ("SIP/2.0/UDP 192.0.2.15;;", "SIP/2.0/UDP 192.0.2.15"),
            ("SIP/2.0/UDP 192.0.2.15:5070 ;;branch=z9;;rport;x y;=z", "SIP/2.0/UDP 192.0.2.15:5070;branch=z9;rport"),
            ("SIP/2.0/UDP a;branch=1;branch=2;BRANCH=3", "SIP/2.0/UDP a;branch=1"),
            ('SIP/2.0/UDP a;x="b";y="c', "SIP/2.0/UDP a"),
            ("SIP/2.0/UDP a;branch=z9\r\nX;rport", "SIP/2.0/UDP a"),
            ("SIP/2.0/UDP a;branch=\x07;rport", "SIP/2.0/UDP a;rport"),
            ("SIP/2.0/UDP a b", "SIP/2.0/UDP a"),
        ):
            self.assertEqual(str(mended_via(text)), mended)
            parse_via(mended)

    def test_no_way_back(self) -> None:
        """Without a sender there is none."""
        for text in ("", "SIP/2.0/UDP", "SIP/2.0/UDP [::g];branch=x", "SIP/2.0/UDP a:99999", "UDP a"):
            self.assertRaises(Malformed, mended_via, text)
