"""RFC 3261 19.1: URIs."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import LONG, Malformed, Params
from b2bua.sip.uri import Uri, parse_uri, shared_uri, unescape
from tests import hostile
from tests.hostile import repeating, steps

USERS = st.text("abcXYZ09-_.!~*'()&=+$,;?/#", min_size=1, max_size=12) | st.sampled_from(["%41", "a%40b", "*33612"])
HOSTS = st.sampled_from(["example.com", "192.0.2.1", "2001:db8::1", "a_b.example.", "x"])
NAMES = st.sampled_from(["transport", "lr", "maddr", "user", "x-y", "ttl", "%6c"])
VALUES = st.none() | st.sampled_from(["tcp", "UDP", "192.0.2.9", "phone", "%41", "[::1]", "a+b&c/d:e"])


@st.composite
def uris(draw: st.DrawFn) -> Uri:
    """Any sound SIP URI."""
    user = draw(st.just("") | USERS)
    return Uri(
        draw(st.sampled_from(["sip", "sips"])),
        user,
        draw(HOSTS),
        draw(st.none() | st.integers(1, 65535)),
        draw(st.dictionaries(NAMES, VALUES, max_size=4)),
        draw(st.sampled_from(["", "Subject=a%20b", "a=1&b=2"])),
        draw(st.sampled_from([None, "", "pw"])) if user else None,
    )


def parts(uri: Uri) -> tuple[object, ...]:
    """Everything there is in a URI."""
    return (uri.scheme, uri.user, uri.password, uri.host, uri.port, uri.params, uri.headers, uri.opaque)


class TestParse(SynchronousTestCase):
    """What a URI is made of."""

    def check(
        self,
        text: str,
        user: str = "",
        host: str = "",
        port: int | None = None,
        params: Params | None = None,
        headers: str = "",
        password: str | None = None,
        scheme: str = "sip",
    ) -> None:
        """Its parts, and that it is written as it was read."""
        uri = parse_uri(text)
        self.assertEqual(parts(uri), (scheme, user, password, host, port, params or {}, headers, ""))
        self.assertEqual(str(uri), text)
        self.assertEqual(str(uri), text)  # and again

    def test_parts(self) -> None:
        """RFC 3261 19.1.3: the examples, and what phones send."""
        self.check("sip:alice@atlanta.com", "alice", "atlanta.com")
        self.check("sip:atlanta.com", host="atlanta.com")
        self.check("sip:alice:secretword@atlanta.com", "alice", "atlanta.com", password="secretword")
        self.check("sip:alice:@atlanta.com", "alice", "atlanta.com", password="")
        self.check(
            "sip:alice:secretword@atlanta.com;transport=tcp",
            "alice", "atlanta.com", params={"transport": "tcp"}, password="secretword",
        )  # fmt: skip
        self.check(
            "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
            "alice", "atlanta.com", headers="subject=project%20x&priority=urgent", scheme="sips",
        )  # fmt: skip
        self.check(
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            "+1-212-555-1212", "gateway.com", params={"user": "phone"}, password="1234",
        )  # fmt: skip
        self.check("sips:1212@gateway.com", "1212", "gateway.com", scheme="sips")
        self.check("sip:alice@192.0.2.4", "alice", "192.0.2.4")
        self.check("sip:alice;day=tuesday@atlanta.com", "alice;day=tuesday", "atlanta.com")
        self.check(
            "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
            host="atlanta.com", params={"method": "REGISTER"}, headers="to=alice%40atlanta.com",
        )  # fmt: skip
        self.check("sip:*33612345678@10.0.0.1:5070", "*33612345678", "10.0.0.1", 5070)
        self.check("sip:*31#0612@10.0.0.1", "*31#0612", "10.0.0.1")
        self.check("sip:a@[2001:db8::10]:5070;lr", "a", "2001:db8::10", 5070, {"lr": None})
        self.check("sip:[2001:db8::10:5070]", host="2001:db8::10:5070")
        self.check("sip:a@b;maddr=[::1];x=", "a", "b", params={"maddr": "[::1]", "x": ""})

    def test_torture(self) -> None:
        """RFC 4475 3.1.1.2, 3.1.1.3, 3.1.1.9: what is escaped stays escaped, and ; ? before the @ are the user's."""
        self.check("sip:sips%3Auser%40example.com@example.net", "sips%3Auser%40example.com", "example.net")
        self.check("sip:user;par=u%40example.net@example.com", "user;par=u%40example.net", "example.com")
        user, password = (
            "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*",
            "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)",
        )
        self.check(f"sip:{user}:{password}@example.com", user, "example.com", password=password)
        self.check("sip:null-%00-null@example.com", "null-%00-null", "example.com")

    def test_case(self) -> None:
        """Scheme and parameter names in lower case, all else as it came; transport compares without case (S13)."""
        uri = parse_uri("SIP:Alice@Example.COM;Transport=UDP")
        self.assertEqual(str(uri), "sip:Alice@Example.COM;transport=UDP")
        self.assertEqual(uri.transport, "udp")
        self.assertEqual(parse_uri("sip:a@b;transport=tls").transport, "tls")
        self.assertEqual(parse_uri("sip:a@b;transport").transport, "")

    def test_one_spelling_of_ipv6(self) -> None:
        """S12, RFC 5118 4.10: an IPv6 address is written in one way only, without a third colon."""
        self.assertEqual(str(parse_uri("sip:a@[2001:DB8:0:0::1]")), "sip:a@[2001:db8::1]")
        self.assertEqual(str(parse_uri("sip:a@[2001:db8:::192.0.2.1]")), "sip:a@[2001:db8::c000:201]")

    def test_properties(self) -> None:
        """What one asks a URI."""
        self.assertTrue(parse_uri("sips:a@b").secure and parse_uri("sips:a@b").is_sip)
        self.assertFalse(parse_uri("sip:a@b").secure)
        self.assertTrue(parse_uri("sip:b;lr").loose and parse_uri("sip:b;lr=on").loose)
        self.assertFalse(parse_uri("sip:b").loose)
        self.assertEqual(repr(parse_uri("sip:a@b")), "Uri('sip:a@b')")

    def test_other_schemes(self) -> None:
        """Other schemes are kept whole."""
        for text, scheme in (
            ("tel:+1-201-555-0123;phone-context=example.com", "tel"),
            ("http://www.example.com", "http"),
            ("soap.beep://192.0.2.103:3002", "soap.beep"),
            ("isbn:2983792873", "isbn"),
            ("urn:service:sos", "urn"),
        ):
            uri = parse_uri(text)
            self.assertEqual((uri.scheme, str(uri), uri.is_sip, uri.host), (scheme, text, False, ""))
        self.assertEqual(str(parse_uri("TEL:+1")), "tel:+1")

    def test_refused(self) -> None:
        """What is none, or what two readers would take for different ones."""
        for text in (
            "", "*", "alice", "alice@example.com", ":a", "1x:a", "sip:", "sips:", "sip:@b", "sip::pw@b", "sip:a@",
            "sip:a@b@c",
            "sip:a@b:", "sip:a@b:0", "sip:a@b:99999", "sip:a@b:+5", "sip:a@b:5 ", "sip:a b@c", "sip: a@b", "sip:a@b ",
            "sip:a@b;", "sip:a@b;;lr", "sip:a@b;=x", "sip:a@b;lr;lr", "sip:a@b?", "sip:a@b;x=<", "<sip:a@b>",
            "sip:a%4@b",
            "sip:a%zz@b", "sip:2001:db8::10", "sip:[::1", "sip:a@[fe80::1%25eth0]", "sip:a@[::g]", "sip:a@256.1.1.1",
            "sip:ä@b",
            "sip:a@b\r\nX: y", "sip:a\x00@b", "sip:a@b#c", 'sip:"a"@b', "sip:a@-b", "sip:\u212a@b", "\u017fip:a@b",
            "sip:a@\u212a", "sip:a@b;\u212a", "http:", "http:a b", "tel:<1>", "x:\x7f", "tel:\u0661", "\u212ax:a",
            "sip:a@b;" + ";".join(f"p{number}" for number in range(64)),
        ):  # fmt: skip
            with self.assertRaises(Malformed, msg=text) as caught:
                parse_uri(text)
            self.assertTrue(caught.exception.reason.isprintable())

    def test_rule(self) -> None:
        """The rule is the header's, where the URI is in one."""
        with self.assertRaises(Malformed) as caught:
            parse_uri("x", "RFC 3261 20.10")
        self.assertEqual(caught.exception.rule, "RFC 3261 20.10")

    @given(uris())
    def test_round_trip(self, uri: Uri) -> None:
        """What is written is read again."""
        again = parse_uri(str(uri))
        self.assertEqual(parts(again), parts(uri))
        self.assertEqual(again, uri)
        self.assertEqual(hash(again), hash(uri))

    @given(hostile.LONG | hostile.LONG.map("sip:".__add__) | hostile.LONG.map("tel:".__add__))
    def test_any_text(self, text: str) -> None:
        """Any text is a URI of printable ASCII without blanks or brackets, or Malformed; and reads the same again."""
        try:
            uri = parse_uri(text)
        except Malformed:
            return
        self.assertTrue(re.fullmatch("[!-;=?-~]+", str(uri)), str(uri))
        self.assertEqual(parts(parse_uri(str(uri))), parts(uri))

    def test_linear(self) -> None:
        """Time grows as the text does."""

        def parse(text: str) -> None:
            try:
                parse_uri(text)
            except Malformed:
                pass

        for before, text, after in (
            ("sip:", "a", ""), ("sip:", "a", "!"), ("sip:", ";a", ""), ("sip:", "%41", "@"), ("sip:a:", "a", ""),
            ("sip:a@", "a.", "!"),
            ("sip:a@", "a-", "!"), ("sip:a@b;", "a;", ""), ("sip:a@b;", "a=", "!"), ("sip:a@b?", "a&", "!"),
            ("", "a", ":"),
            ("a:", "a", " "), ("sip:[", ":", "]"), ("sip:", "a@", ""), ("sip:a@b:", "9", ""),
        ):  # fmt: skip
            steps(self, repeating(parse, before, text, after))


class TestShared(SynchronousTestCase):
    """What neighbours send again and again is read once."""

    def test_same(self) -> None:
        """The same text gives the same object, equal to what is read anew; a long one is not kept."""
        text = "sip:alice@example.com;transport=tcp"
        self.assertIs(shared_uri(text), shared_uri(text))
        self.assertEqual(parts(shared_uri(text)), parts(parse_uri(text)))
        self.assertEqual(str(shared_uri(text)), text)
        long = f"sip:{'a' * LONG}@b"
        self.assertIsNot(shared_uri(long), shared_uri(long))
        self.assertEqual(shared_uri(long), parse_uri(long))

    def test_malformed(self) -> None:
        """Each time, with the rule of whoever asks."""
        for rule in ("RFC 3261 20.10", "RFC 3261 20.20", "RFC 3261 20.10"):
            with self.assertRaises(Malformed) as caught:
                shared_uri("sip:", rule)
            self.assertEqual(caught.exception.rule, rule)


class TestEquality(SynchronousTestCase):
    """RFC 3261 19.1.4."""

    def same(self, *texts: str) -> None:
        """All of them are equal, and have the same hash."""
        for one in texts:
            for other in texts:
                self.assertEqual(parse_uri(one), parse_uri(other))
                self.assertEqual(hash(parse_uri(one)), hash(parse_uri(other)))

    def different(self, one: str, other: str) -> None:
        """They are not."""
        self.assertNotEqual(parse_uri(one), parse_uri(other))
        self.assertNotEqual(parse_uri(other), parse_uri(one))

    def test_equal(self) -> None:
        """The RFC's examples of what is equivalent."""
        self.same("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp")
        self.same(
            "sip:carol@chicago.com",
            "sip:carol@chicago.com;newparam=5",
            "sip:carol@chicago.com;security=on",
        )
        self.same(
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        )
        self.same(
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        )
        self.same("sip:alice:p%61ss@a", "sip:alice:pass@a")

    def test_not_equal(self) -> None:
        """The RFC's examples of what is not."""
        self.different("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP")
        self.different("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060")
        self.different("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp")
        self.different("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp")
        self.different("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting")
        self.different("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4")
        self.different("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off")

    def test_more(self) -> None:
        """Scheme, password, other schemes; an escaped & is no separator; and nothing else is a URI."""
        self.different("sip:a@b", "sips:a@b")
        self.different("sip:a:b@c", "sip:a:d@c")
        self.different("tel:1", "tel:2")
        self.different("sip:a@b?x=1%26y=2", "sip:a@b?x=1&y=2")
        for name in ("user", "ttl", "method", "maddr"):
            self.different("sip:a@b", f"sip:a@b;{name}=x")
        self.assertNotEqual(parse_uri("tel:1"), "tel:1")


class TestUnescape(SynchronousTestCase):
    """RFC 4475 3.1.1.3: once."""

    def test_once(self) -> None:
        """An escaped percent sign stays one; what is no escape stays."""
        self.assertEqual(unescape("%25%34%31"), "%41")
        self.assertEqual(unescape("a%4z%%41"), "a%4z%A")
        self.assertEqual(unescape("plain"), "plain")
