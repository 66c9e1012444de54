"""The leak guard as a function of octets: what is foreign, where it stands, and what is left of it (S42)."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.guard import CREDENTIALS, Finding, Wall, is_name, literals, normal, redacted, sections, sixes
from b2bua.sip.foreign import NOTHING, Foreign, Known
from b2bua.sip.headers import TABLE
from b2bua.sip.listener import Listener
from b2bua.sip.message import parse

AT = Listener("outside", "public", "udp", "192.0.2.1", 5060)
AT6 = Listener("outside6", "public", "udp", "2001:db8::1", 5060)
WALL = Wall(
    "public",
    ["192.0.2.1", "[2001:db8::1]", "sbc.example.com", "10.1.2.3"],
    ["10.0.0.1", "fd00:b::1", "pbx.inside.example", "localhost", "192.0.2.1", "nobody.invalid"],
    [("172.16.0.0/12", "private"), ("172.20.1.0/24", "public"), ("198.18.0.0/15", "public"), ("fd12::/16", "private"),
     ("10.99.1.0/24", "private"), ("10.98.0.7/32", "private")],
)  # fmt: skip
NAMES = {
    b"far-call-id@pbx": "Call-ID", b"8f2d3c4b5a": "tag", b"z9hg4bkfaraway": "branch", b"0123456789abcdef0123": "user",
    b"10.0.0.20": "address", b"fd00:b::20": "address", b"phone.inside.example": "host",
}  # fmt: skip
VIA = "SIP/2.0/UDP 10.7.7.7;branch=z9hG4bK-via-branch-77;rport"
FOREIGN = Foreign(Known(NAMES), "private", [VIA], (b"10.7.7.7", b"via.inside.example"))

HEAD = (
    "INVITE sip:bob@192.0.2.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours\r\nMax-Forwards: 70\r\n"
    "From: <sip:alice@192.0.2.1>;tag=ours\r\nTo: <sip:bob@192.0.2.20>\r\nCall-ID: ours\r\nCSeq: 1 INVITE\r\n"
)
# What is planted, and what it is found to be.
PLANTED: dict[str, str] = {
    "10.0.0.1": "address", "10.0.0.20": "address", "010.000.000.020": "address", "10.00.0.1": "address",
    "10.7.7.7": "address", "172.16.0.9": "address", "172.31.255.1": "address", "10.99.1.200": "address",
    "10.98.0.7": "address", "fd00:b::1": "address", "FD00:B::20": "address", "fd00:000b:0:0:0:0:0:20": "address",
    "fd00:b:0000:0000:0000:0000:0000:0001": "address", "::ffff:10.0.0.20": "address", "::FFFF:0a00:0014": "address",
    "0:0:0:0:0:ffff:10.0.0.1": "address", "fd12:1::9": "address", "pbx.inside.example": "host",
    "PBX.Inside.Example": "host", "phone.inside.example": "host", "via.inside.example": "host",
    "far-call-id@pbx": "Call-ID", "8f2d3c4b5a": "tag", "z9hG4bKfaraway": "branch", "z9hG4bK-via-branch-77": "branch",
    "0123456789abcdef0123": "user", "pbx%2Einside.example": "host", "%31%30.0.0.20": "address",
}  # fmt: skip


def message(more: str = "", body: str = "", kind: str = "text/plain") -> bytes:
    """An INVITE with something in it."""
    head = f"{HEAD}{more}" + (f"Content-Type: {kind}\r\n" if body else "")
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class Guarding(SynchronousTestCase):
    """What is common."""

    def found(self, data: bytes, foreign: Foreign = FOREIGN, wall: Wall = WALL, **more: object) -> list[Finding]:
        """What the long look finds; the quick one must have suspected it."""
        findings = wall.findings(data, foreign, **more)  # type: ignore[arg-type]
        if findings:
            self.assertTrue(wall.suspects([data.lower()], foreign, [foreign.vias]), data)
        return findings


class Planting(Guarding):
    """S42: every kind of leak, in every place."""

    def test_in_every_header(self) -> None:
        """Each header of the table but those that are exempt, alone and among other text."""
        names = [row.name for row in TABLE if row.name.lower() not in CREDENTIALS and row.name != "Content-Length"]
        people = {"From", "To", "P-Asserted-Identity", "Reply-To", "Refer-To", "Referred-By", "History-Info"}
        for name in [*names, "X-Unknown"]:
            for secret, kind in PLANTED.items():
                for text in (secret, f'"a {secret}" <sip:x@y>;z={secret}', f"x={secret}>"):
                    found = self.found(message(f"{name}: {text}\r\n"))
                    if kind == "user" and name in people:
                        continue
                    kinds = {(each.header, each.kind) for each in found}
                    if not (kind == "user" and not kinds):
                        self.assertEqual(kinds, {(name, kind)}, (name, text))

    def test_in_the_start_line(self) -> None:
        """The Request-URI and the reason phrase."""
        for secret, kind in PLANTED.items():
            data = message().replace(b"bob@192.0.2.20 ", f"bob@192.0.2.20;x={secret} ".encode(), 1)
            expected = [("Request-URI", kind)] if kind != "user" else []
            self.assertEqual([each[:2] for each in self.found(data)], expected, secret)
            answer = data.replace(data.partition(b"\r\n")[0], f"SIP/2.0 486 Busy at {secret}".encode(), 1)
            self.assertEqual([each[:2] for each in self.found(answer)], [("reason phrase", kind)], secret)

    def test_in_bodies(self) -> None:
        """SDP, XML, a message fragment: in every line, wherever in it."""
        for secret, kind in PLANTED.items():
            for body, media in (
                (f"v=0\r\na=x:{secret}\r\n", "application/sdp"),
                (f"<?xml?>\n<d call-id='{secret}'>{secret}</d>\n", "application/dialog-info+xml"),
                (f"SIP/2.0 200 at {secret}", "message/sipfrag"),
            ):
                found = self.found(message(body=body, kind=media))
                self.assertEqual({each[:2] for each in found}, {("body", kind)}, body)

    def test_where_it_stands(self) -> None:
        """A finding names the octets themselves."""
        for secret in PLANTED:
            data = message(f"Subject: this is {secret}, it is\r\n")
            for each in self.found(data):
                self.assertEqual(data[each.at : each.end].decode(), each.text)
                self.assertIn(each.text, secret)

    def test_an_id_of_another_call(self) -> None:
        """A word that the book knows: whole, and as part of what has a host in it."""
        for text in ("abcdef", "<sip:x@y?Replaces=abcdef%3Bto-tag%3D1>", "abcdef@host.example"):
            found = self.found(message(f"Refer-To: {text}\r\n"), NOTHING, elsewhere=lambda word: word == "abcdef")
            self.assertEqual([each[:2] for each in found], [("Refer-To", "id of another call")], text)


class Innocent(Guarding):
    """What is no leak."""

    def clean(self, data: bytes, **more: object) -> None:
        """Nothing is found."""
        self.assertEqual(self.found(data, **more), [], data)  # type: ignore[arg-type]

    def test_what_is_alike(self) -> None:
        """Longer numbers, other names, words of one label, fingerprints and times of day."""
        for text in (
            "10.0.0.200", "110.0.0.20", "10.0.0.10", "10.1.2.3", "172.20.1.7", "172.15.0.1", "198.18.0.1", "10.97.0.7",
            "localhost", "inside.example", "xpbx.inside.examples", "999.0.0.1", "12:34:56", "Mon, 01 Jan 2026 10:20:30",
            "AB:CD:EF:01:23:45:67:89:AB:CD", "fd00:b:", "::1", "::", "nobody.invalid", "8f2d3c4b5", "%zz", "100%",
        ):  # fmt: skip
            self.clean(message(f"Subject: {text}\r\n"))

    def test_media(self) -> None:
        """S45: where media goes must cross while it goes past us; elsewhere in the description it must not."""
        for line in ("c=IN IP4 10.0.0.20", "a=candidate:1 1 UDP 1 10.0.0.20 5 typ host", "a=rtcp:5 IN IP6 fd00:b::20"):
            body = f"v=0\r\nm=audio 1 RTP/AVP 0\r\n{line}\r\n"
            self.clean(message(body=body, kind="application/sdp"))
            self.clean(message(body=f"--x\r\n\r\n{body}", kind="multipart/mixed;boundary=x"))
            self.assertEqual(len(self.found(message(body=f"{body}a=ssrc:1 cname:a@10.0.0.20\r\n"))), 2)

    def test_media_that_is_anchored(self) -> None:
        """It goes by us: who says where it is on the other side gives that away."""
        wall = Wall("public", ["192.0.2.1"], ["10.0.0.1"], (), ["private"])
        for line in ("c=IN IP4 10.0.0.20", "a=candidate:1 1 UDP 1 10.0.0.20 5 typ host", "a=rtcp:5 IN IP6 fd00:b::20"):
            data = message(body=f"v=0\r\nm=audio 1 RTP/AVP 0\r\n{line}\r\n", kind="application/sdp")
            self.assertTrue(wall.suspects([data.lower()], FOREIGN, [FOREIGN.vias]), line)
            self.assertEqual([each.header for each in wall.findings(data, FOREIGN)], ["body"], line)
            elsewhere = Foreign(FOREIGN.names, "third", FOREIGN.vias, FOREIGN.path)
            self.assertEqual(wall.findings(data, elsewhere), [], line)

    def test_credentials(self) -> None:
        """A realm is for the other end; one octet changed, and the digest is worth nothing."""
        for name in ("WWW-Authenticate", "Proxy-Authorization"):
            self.clean(message(f'{name}: Digest realm="pbx.inside.example"\r\n'))

    def test_exempt_headers(self) -> None:
        """What crosses by the operator's word."""
        self.clean(message("X-Account: 10.0.0.20\r\n"), exempt=frozenset({"x-account"}))

    def test_what_the_peer_said(self) -> None:
        """What it told us is no secret to it."""
        self.clean(message("To: <sip:bob@10.0.0.1>\r\n"), said=b"invite sip:bob@10.0.0.1 sip/2.0")
        self.assertEqual(len(self.found(message("To: <sip:bob@10.0.0.1>\r\n"), said=b"10.0.0.11")), 1)

    def test_a_users_name(self) -> None:
        """A Contact's user is a name where people are named."""
        self.clean(message("P-Asserted-Identity: <sip:0123456789abcdef0123@192.0.2.1>\r\n"))

    def test_nothing_to_find(self) -> None:
        """No other zone's names known: nothing is suspected."""
        wall = Wall("a", ["192.0.2.1"], [])
        self.assertFalse(wall.suspects([message("Subject: 10.0.0.20 fd00:b::1\r\n").lower()], NOTHING, []))

    def test_many_addresses(self) -> None:
        """What was judged is remembered, but not for ever."""
        for number in range(3000):
            WALL.foreign(f"203.0.{number >> 8}.{number & 255}".encode())
        self.assertFalse(WALL.foreign(b"203.0.113.1"))
        self.assertTrue(WALL.foreign(b"10.0.0.1"))


class Redaction(Guarding):
    """What is left is SIP, of the right length, and says nothing."""

    def test_everything(self) -> None:
        """Redacted, a message parses, and nothing is found in it any more."""
        for listener in (AT, AT6):
            for secret, kind in PLANTED.items():
                data = message(
                    f'Subject: {secret}\r\nReason: SIP;cause=200;text="at {secret}"\r\nAlert-Info: <http://{secret}>\r\n',
                    f"v=0\r\na=x:{secret}\r\na=y:{secret} z\r\n",
                    "application/sdp",
                )
                left = redacted(data, self.found(data), listener)
                self.assertEqual(self.found(left), [], left)
                read = parse(left)
                self.assertIsNone(read.fault, left)
                self.assertEqual(re.findall(rb"Content-Length: (\d+)", left), [b"%d" % len(read.body)])
                self.assertEqual(len(read.headers), 10)
                if kind not in ("address", "host"):
                    self.assertEqual(len(left), len(data))

    def test_addresses_of_both_families(self) -> None:
        """The listener's own, or the unspecified one of that family: an IPv6 address never stands without brackets."""
        data = message("Subject: 10.0.0.20 [fd00:b::20]:5060\r\n")
        self.assertIn(b"Subject: 192.0.2.1 [::]:5060\r\n", redacted(data, self.found(data), AT))
        self.assertIn(b"Subject: 0.0.0.0 [2001:db8::1]:5060\r\n", redacted(data, self.found(data), AT6))

    def test_overlapping(self) -> None:
        """An id with an address in it goes as a whole."""
        foreign = Foreign(Known({b"1234567@10.0.0.20": "Call-ID", b"10.0.0.20": "address"}), "private")
        data = message("Subject: 1234567@10.0.0.20 and 10.0.0.20\r\n")
        found = self.found(data, foreign)
        self.assertEqual([each.kind for each in found], ["Call-ID", "address"])
        self.assertIn(b"Subject: xxxxxxxxxxxxxxxxx and 192.0.2.1\r\n", redacted(data, found, AT))


class Pieces(SynchronousTestCase):
    """The small ones."""

    def test_sections(self) -> None:
        """Names and places; a message that ends early and a line that is none do no harm."""
        data = b"SIP/2.0 200 OK\r\nTo: x\r\nbroken"
        named = [(each.name, data[each.at : each.end]) for each in sections(data)]
        self.assertEqual(named, [("reason phrase", b"OK"), ("To", b" x"), ("", b"broken")])

    def test_spellings(self) -> None:
        """One for each address."""
        for text, wanted in (
            (b"010.0.0.01", b"10.0.0.1"),
            (b"::ffff:10.0.0.1", b"10.0.0.1"),
            (b"FD00::0:1", b"fd00::1"),
            (b"256.0.0.1", b""),
            (b"1:2", b""),
            (b"fd00::\xff", b""),
        ):
            self.assertEqual(normal(text), wanted)

    def test_names(self) -> None:
        """One label tells nothing, and .invalid is nobody's."""
        self.assertEqual([is_name(each) for each in ("a.b", "a", "a.", "x.invalid")], [True, False, False, False])


class TestTogether(SynchronousTestCase):
    """Messages of one leg, looked at in one."""

    OTHER = "SIP/2.0/UDP 10.8.8.8;branch=z9hG4bK-second-77"

    def suspects(self, *messages: bytes) -> bool:
        """The quick look at them; with each another Via has crossed."""
        vias = [[VIA], *([self.OTHER] for _ in messages[1:])]
        return WALL.suspects([each.lower() for each in messages], FOREIGN, vias)

    def test_nothing_in_any(self) -> None:
        """S42: a branch in the only Via of each is as it should be."""
        self.assertFalse(self.suspects(message(), message(), message("Subject: 192.0.2.1 fd00:b:\r\n")))

    def test_whatever_is_in_one(self) -> None:
        """S42: what stands in one of them is seen, whichever it is."""
        for planted in PLANTED:
            leaking = message(f"Subject: {planted}\r\n")
            for messages in ((leaking, message()), (message(), leaking, message())):
                self.assertTrue(self.suspects(*messages), planted)

    def test_a_branch_of_each(self) -> None:
        """S42: the branch of what crossed with any of them, beside its own and in another header than Via."""
        for via in (VIA, self.OTHER):
            for name in ("Via", "Subject"):
                self.assertTrue(self.suspects(message(), message(f"{name}: {via}\r\n")), via)


PIECES = st.sampled_from([*"0123456789abcdef", ":", "::", ".", "x", "[", "]", "10.0.0.1", "2001:db8::1", "::ffff:"])


class TestSixes(SynchronousTestCase):
    """IPv6 addresses, found by their colons."""

    @given(st.lists(PIECES, max_size=30))
    @example(list("abcde:1:2::3"))
    @example(["1.2.3.4", ":", "5", "::", "6"])
    @example(["100.100.100.100", ":", "5", "::", "6"])
    @example(["x", ":", "2001:db8::1"])
    def test_the_same_as_by_their_beginning(self, pieces: list[str]) -> None:
        """S42: the quick look sees each address that the long one sees."""
        text = "".join(pieces).encode()
        self.assertEqual(list(sixes(text)), [each for each in literals(text) if b":" in text[each[0] : each[1]]])
