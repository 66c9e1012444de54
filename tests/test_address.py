"""RFC 3261 20.10: name-addr and addr-spec with their parameters."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.address import Address, parse_address, parse_addresses, shared_address, tag_of
from b2bua.sip.grammar import Malformed, quote, without_controls
from tests.hostile import LONG, TEXTS, TOKENS, repeating, steps
from tests.test_uri import uris

RULE = "RFC 3261 20.20"
DISPLAYS = (
    st.just("")
    | st.lists(TOKENS, min_size=1, max_size=3).map(" ".join)
    | TEXTS.map(lambda text: f'"{without_controls(quote(text)[1:-1])}"')
)
TAGS = st.dictionaries(st.sampled_from(["tag", "expires", "q", "lr"]), st.none() | TOKENS, max_size=3)


class TestParse(SynchronousTestCase):
    """Reading."""

    def check(self, text: str, display: str, uri: str, params: dict[str, str | None] | None = None) -> Address:
        """The parts of what is read."""
        address = parse_address(text)
        self.assertEqual((address.display, str(address.uri), address.params), (display, uri, params or {}), text)
        return address

    def test_name_addr(self) -> None:
        """With angle brackets: what is in them is the URI's, what follows is the header's (RFC 4475 3.3.13)."""
        self.check("<sip:a@b>", "", "sip:a@b")
        self.check("Alice <sip:a@b>;tag=1", "Alice", "sip:a@b", {"tag": "1"})
        self.check("Alice<sip:a@b>", "Alice", "sip:a@b")
        self.check("token1~` token2'+_ token3*%!.- <sip:a@b>", "token1~` token2'+_ token3*%!.-", "sip:a@b")
        self.check('"A. B." <sip:a@b;lr> ; tag = 1', '"A. B."', "sip:a@b;lr", {"tag": "1"})
        self.check('"" <sip:a@b>', '""', "sip:a@b")
        self.check('"caller"<sip:a@b>', '"caller"', "sip:a@b")  # RFC 4475 3.1.1.6
        self.check("  <sip:a@b>  ", "", "sip:a@b")
        self.check("<sip:a@b;unknownparam>", "", "sip:a@b;unknownparam")
        self.check("<sip:a@b?Route=%3Csip:c%3E>", "", "sip:a@b?Route=%3Csip:c%3E")  # RFC 4475 3.3.14
        self.check(r'"Q \"\\" <sip:a@b>', r'"Q \"\\"', "sip:a@b")
        self.check('"<sip:x@y>" <sip:a@b>', '"<sip:x@y>"', "sip:a@b")
        self.check("<tel:+1;phone-context=x>", "", "tel:+1;phone-context=x")

    def test_addr_spec(self) -> None:
        """Without brackets every parameter is the header's (RFC 3261 20, RFC 4475 3.3.12)."""
        self.check("sip:a@b", "", "sip:a@b")
        self.check("sip:a@b;tag=1", "", "sip:a@b", {"tag": "1"})
        self.check("  sip:a@b ;   tag    = 1918181833n", "", "sip:a@b", {"tag": "1918181833n"})
        self.check("isbn:2983792873", "", "isbn:2983792873")

    def test_slips(self) -> None:
        """A name that needs quotes gets them, so that it is whole on the far side (RFC 4475 3.1.2.15)."""
        self.check("Bell, Alexander <sip:a@b>", '"Bell, Alexander"', "sip:a@b")
        self.check("J\u00fcrgen <sip:a@b>", '"J\u00fcrgen"', "sip:a@b")
        self.check("a\u00a0b <sip:a@b>", '"a\u00a0b"', "sip:a@b")
        self.check("a\\b <sip:a@b>", '"a\\\\b"', "sip:a@b")
        self.check("a\tb <sip:a@b>", "a\tb", "sip:a@b")

    def test_controls(self) -> None:
        """Control characters do not get across, quoted or not, nor octets that are not UTF-8 (RFC 4475 3.1.1.2)."""
        self.check('"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:a@b>', '"BEL: NUL: DEL:"', "sip:a@b")
        self.check('"\\\x7f" <sip:a@b>', '""', "sip:a@b")
        self.check('"a\\\\\x07" <sip:a@b>', '"a\\\\"', "sip:a@b")
        self.check('"J\udcfcrgen" <sip:a@b>', '"Jrgen"', "sip:a@b")
        self.check("J\udcfcrgen\\\x07 <sip:a@b>", '"Jrgen\\\\"', "sip:a@b")

    def test_refused(self) -> None:
        """What two readers would take for different things, or one for nothing."""
        for text in (
            "", " ", "*", "<>", "<sip:a@b", "sip:a@b>", "< sip:a@b >", "<sip:a@b> x", "<sip:a@b>x;tag=1",
            '"a <sip:a@b>',
            '"a" sip:a@b', '"a"', 'a "b" <sip:a@b>', '"Mr. J. User <sip:j.user@example.com>', "sip:a@b?c=d",
            "sip:a@b,c",
            "<sip:a@b>;tag=1;tag=2", "sip:a@b;tag=1;TAG=2", "<sip:a@b>;", '<sip:a@b>;x="', "<<sip:a@b>>", "a@b",
            "sip:a b@c",
            "\u00a0<sip:a@b>\u00a0", "sip:a@b\u00a0;tag=1",
        ):  # fmt: skip
            self.assertRaises(Malformed, parse_address, text)

    def test_rule(self) -> None:
        """The rule that is named is the header's."""
        with self.assertRaises(Malformed) as caught:
            parse_address("<sip:a@b", RULE)
        self.assertEqual(caught.exception.rule, RULE)

    def test_tag(self) -> None:
        """The tag, or an empty string."""
        self.assertEqual(parse_address("<sip:a@b>;tag=x").tag, "x")
        self.assertEqual(parse_address("<sip:a@b>").tag, "")
        self.assertEqual(parse_address("<sip:a@b>;tag").tag, "")
        self.assertEqual(Address("", parse_address("<sip:a@b>").uri).params, {})

    def test_written(self) -> None:
        """Always with angle brackets."""
        self.assertEqual(str(parse_address("sip:a@b;tag=1")), "<sip:a@b>;tag=1")
        self.assertEqual(str(parse_address('"A"<sip:a@b>')), '"A" <sip:a@b>')
        self.assertEqual(repr(parse_address("<sip:a@b>")), "Address('<sip:a@b>')")

    def test_shared(self) -> None:
        """The same text gives the same object, for whoever only looks; a long one is not kept."""
        text = "Alice <sip:a@b>;tag=1"
        self.assertIs(shared_address(text, RULE), shared_address(text, RULE))
        self.assertEqual(str(shared_address(text, RULE)), str(parse_address(text)))
        long = f"<sip:{'a' * 500}@b>"
        self.assertIsNot(shared_address(long, RULE), shared_address(long, RULE))
        self.assertRaises(Malformed, shared_address, "<sip:a", RULE)

    def test_lists(self) -> None:
        """Several in one value and in several values; commas in URIs and names do not part."""
        values = ["<sip:a@b>, <sip:c,d@e>", '"x,y" <sip:f@g>']
        self.assertEqual([address.uri.user for address in parse_addresses(values, RULE)], ["a", "c,d", "f"])
        self.assertRaises(Malformed, parse_addresses, ["<sip:a@b>,"], RULE)
        self.assertRaises(Malformed, parse_addresses, ["<sip:a@b>, <sip:c@d"], RULE)

    @given(st.builds(Address, DISPLAYS, uris(), TAGS))
    def test_round_trip(self, address: Address) -> None:
        """What is written is read again."""
        again = parse_address(str(address))
        self.assertEqual((again.display, again.params), (address.display, address.params))
        self.assertEqual((again.uri, str(again.uri)), (address.uri, str(address.uri)))

    @given(LONG | LONG.map(lambda text: f"{text}<sip:a@b>") | LONG.map(lambda text: f"<sip:a@b>;tag={text}"))
    def test_any_text(self, text: str) -> None:
        """Any text is an address or Malformed; name and URI are clean and read the same again."""
        try:
            address = parse_address(text)
        except Malformed:
            return
        clean = Address(address.display, address.uri)
        self.assertFalse(re.search("[\x00-\x08\x0a-\x1f\x7f]", str(clean)), str(clean))
        str(clean).encode("utf-8")
        again = parse_address(str(clean))
        self.assertEqual((again.display, again.uri), (address.display, address.uri))

    def test_linear(self) -> None:
        """Time grows as the text does."""

        def parse(text: str) -> None:
            for read in (parse_address, lambda text: tag_of(text, RULE)):
                try:
                    read(text)
                except Malformed:
                    pass

        for before, text, after in (
            ("", "<", ""), ("", '"', ""), ('"', '\\"', ""), ("", "a ", "<"), ("", "a ", ""), ("<sip:a@b>", ";a", ""),
            ("", " ", "<"),
            ("<sip:a@b>", " ", "x"), ('"', "a", '"'), ("", '""', "<sip:a@b>"), ("<", "sip:", ">"),
            ("<sip:a@b>;tag=", "a", '"'),
        ):  # fmt: skip
            steps(self, repeating(parse, before, text, after))


class TestTagOf(SynchronousTestCase):
    """The tag without the rest."""

    def test_same_as_parsed(self) -> None:
        """The usual spelling is not read whole, any other is; the tag is the same."""
        for text, tag in (
            ("<sip:a@b>;tag=x", "x"),
            ("Alice <sip:a@b>;tag=x-1.2", "x-1.2"),
            ('"A, <B>" <sip:a@b>;tag=x', "x"),
            ('"A \\" B" <sip:a@b>;tag=x', "x"),
            ("<sip:a@b>;x=y;tag=z", "z"),
            ("<sip:a@b> ;Tag = z", "z"),
            ("sip:a@b;tag=z", "z"),
            ("<sip:a@b>", ""),
        ):
            self.assertEqual(tag_of(text, RULE), tag)
        self.assertRaises(Malformed, tag_of, "<sip:a@b>;tag=x;tag=y", RULE)
        self.assertRaises(Malformed, tag_of, '"<sip:a@b>;tag=x', RULE)

    @given(LONG | st.tuples(LONG, LONG).map("<sip:a@b>".join) | LONG.map(lambda text: f"{text}<sip:a@b>;tag=x"))
    def test_any_text(self, text: str) -> None:
        """Whatever can be read has the same tag either way."""
        try:
            address = parse_address(text)
        except Malformed:
            return
        self.assertEqual(tag_of(text, RULE), address.tag)
