"""The small pieces of RFC 3261 25.1: one reading of each, linear time, and nothing but Malformed for what is wrong."""

from __future__ import annotations

import re
import string

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import (
    MAX_DIGITS,
    MAX_PARAMS,
    Malformed,
    bracketed,
    digits,
    format_params,
    ipv6,
    is_address,
    is_ipv4,
    is_number,
    is_token,
    parse_host,
    parse_host_port,
    parse_params,
    parse_port,
    quote,
    split_list,
    split_quoted,
    without_controls,
)
from tests.hostile import LONG, TEXTS, TOKENS, steps

RULE = "RFC 3261 25.1"


class TestMalformed(SynchronousTestCase):
    """The peer's fault is a type of its own, and says what to answer."""

    def test_parts(self) -> None:
        """Reason, rule and status; 400 unless said."""
        fault = Malformed("no colon", "RFC 3261 7.3.1")
        self.assertEqual((fault.reason, fault.rule, fault.status), ("no colon", "RFC 3261 7.3.1", 400))
        self.assertEqual(str(fault), "no colon (RFC 3261 7.3.1)")
        self.assertEqual(Malformed("a", "b", 416).status, 416)


class TestDigits(SynchronousTestCase):
    """Numbers are ASCII digits and nothing else, and have a limit."""

    def test_numbers(self) -> None:
        """Leading zeros do not matter (RFC 4475 3.1.1.1 sends 0009), up to a length that is no number any more."""
        self.assertEqual(digits("0", 0, "n", RULE), 0)
        self.assertEqual(digits("0009", 9, "n", RULE), 9)
        self.assertEqual(digits("4294967295", 2**32 - 1, "n", RULE), 2**32 - 1)
        self.assertEqual(digits("1".rjust(MAX_DIGITS, "0"), 1, "n", RULE), 1)

    def test_what_int_would_take(self) -> None:
        """Signs, underscores, blanks and other scripts' digits are no digits."""
        for text in (
            "",
            "+5",
            "-5",
            "1_0",
            " 5",
            "5 ",
            "5\n",
            "\t5",
            "٣",
            "１",
            "²",
            "5.0",
            "1e3",
            "0x10",
            "5\x00",
            "Ⅷ",
        ):
            with self.assertRaises(Malformed) as caught:
                digits(text, 10**10, "Content-Length", RULE)
            self.assertEqual(caught.exception.reason, "Content-Length is not a number", text)
            self.assertFalse(is_number(text), text)
        self.assertTrue(is_number("0123456789"))

    def test_out_of_range(self) -> None:
        """2^31, 2^32, 10^100 and ten thousand digits, at which int() itself would raise."""
        for text in (
            "2147483648",
            "4294967296",
            "1" + "0" * 100,
            "9" * 10000,
            "0" * 10000 + "1",
            "0" * MAX_DIGITS + "1",
        ):
            with self.assertRaises(Malformed) as caught:
                digits(text, 2**31 - 1, "CSeq", "RFC 3261 8.1.1.5")
            self.assertEqual(caught.exception.reason, "CSeq is out of range (at most 2147483647)")
            self.assertEqual(caught.exception.rule, "RFC 3261 8.1.1.5")

    @given(st.text() | st.integers(-(10**25), 10**25).map(str))
    def test_any_text(self, text: str) -> None:
        """Any text is a number within the limit, spelled in digits, or Malformed."""
        try:
            number = digits(text, 10**9, "n", RULE)
        except Malformed:
            return
        self.assertTrue(0 <= number <= 10**9)
        self.assertTrue(re.fullmatch("[0-9]+", text))


class TestTokens(SynchronousTestCase):
    """RFC 3261 25.1: token."""

    def test_tokens(self) -> None:
        """Letters, digits and ten marks; not empty, no blanks, ASCII only."""
        self.assertTrue(is_token("!interesting-Method0123456789_*+`.%indeed'~"))
        for text in ("", "a b", "a:b", 'a"', "ä", "\u212a", "a\n", "a@b", "a/b"):
            self.assertFalse(is_token(text), text)


class TestLists(SynchronousTestCase):
    """RFC 3261 7.3.1: comma-separated values."""

    def test_split(self) -> None:
        """Blanks around elements do not count; commas in quotes and angle brackets are no separators."""
        for text, parts in (
            ("", [""]),
            (" a ", ["a"]),
            ("a,b", ["a", "b"]),
            ("a ,\t b", ["a", "b"]),
            (",a,", ["", "a", ""]),
            ('"a,b" <sip:a>, c', ['"a,b" <sip:a>', "c"]),
            ("<sip:a,b>,<sip:c>", ["<sip:a,b>", "<sip:c>"]),
            (r'"a\",b", "\\",c', [r'"a\",b"', r'"\\"', "c"]),
            ("a>,b", ["a>", "b"]),
        ):
            self.assertEqual(split_list(text), parts, text)

    def test_what_does_not_end(self) -> None:
        """A quoted string or a bracket that does not end takes the rest; who reads that element refuses it."""
        self.assertEqual(split_list('a, "b, c'), ["a", '"b, c'])
        self.assertEqual(split_list("a, <b, c"), ["a", "<b, c"])
        self.assertEqual(split_list('a,"\\'), ["a", '"\\'])

    def test_only_blanks_are_taken_away(self) -> None:
        """What only Unicode calls white space belongs to the value."""
        self.assertEqual(split_list("\u00a0a\u2003,\x85b"), ["\u00a0a\u2003", "\x85b"])

    @given(st.lists(TOKENS | TEXTS.map(quote), min_size=1))
    def test_round_trip(self, parts: list[str]) -> None:
        """What is joined with commas comes apart again."""
        self.assertEqual(split_list(", ".join(parts)), parts)

    def test_linear(self) -> None:
        """Time grows as the text does, whatever is in it."""
        for text in ('"', '"\\"', "<", ",", ",<", ',"', '"",', "<>,", "\\", '\\"', '"<', '<"', 'a"b,'):
            steps(self, lambda size, text=text: split_list("," + text * (size // len(text))))


class TestParams(SynchronousTestCase):
    """RFC 3261 7.3.1: parameters."""

    def test_parse(self) -> None:
        """Names do not heed case; a flag has no value; blanks around ; and = do not count (RFC 4475 3.1.1.1)."""
        for text, params in (
            ("", {}),
            ("  ", {}),
            (";lr", {"lr": None}),
            (" ; TAG = 9 \t", {"tag": "9"}),
            (";a=;b", {"a": "", "b": None}),
            (";a=b=c", {"a": "b=c"}),
            (';a="x;y" ; b = "\\";"', {"a": '"x;y"', "b": '"\\";"'}),
        ):
            self.assertEqual(parse_params(text, RULE), params, text)

    def test_refused(self) -> None:
        """Given twice, without a name, something before the first, a quote that does not end, far too many."""
        for text in (
            ";tag=1;tag=2",
            ";Tag=1;tAG",
            ";",
            ";;a",
            ";=a",
            ";  ;a",
            "x;a",
            '"x";a',
            ';a="x',
            ';a="x\\"',
            "".join(f";p{number}" for number in range(MAX_PARAMS + 1)),
        ):
            with self.assertRaises(Malformed) as caught:
                parse_params(text, RULE)
            self.assertEqual(caught.exception.rule, RULE)
            self.assertTrue(caught.exception.reason.isascii())

    def test_reasons_show_nothing_of_the_text(self) -> None:
        """The reason goes into a response: nothing of what the peer wrote may get in there."""
        with self.assertRaises(Malformed) as caught:
            parse_params(";\\\r\nX;\\\r\nX", RULE)
        self.assertTrue(caught.exception.reason.isprintable())

    @given(st.dictionaries(TOKENS.map(str.lower), st.none() | TOKENS | TEXTS.map(quote), max_size=MAX_PARAMS - 1))
    def test_round_trip(self, params: dict[str, str | None]) -> None:
        """What is written is read again."""
        self.assertEqual(parse_params(format_params(params), RULE), params)

    @given(LONG)
    def test_any_text(self, text: str) -> None:
        """Any text is parameters or Malformed, and parameters are written as they were read."""
        try:
            params = parse_params(text, RULE)
        except Malformed:
            return
        self.assertEqual(parse_params(format_params(params), RULE), params)

    def test_linear(self) -> None:
        """Time grows as the text does."""

        def parse(text: str) -> None:
            try:
                parse_params(text, RULE)
            except Malformed:
                pass

        for text in (";", ";a", ';"', ';"\\"', ';""', "=", " "):
            steps(self, lambda size, text=text: parse(text * (size // len(text))))


class TestQuoted(SynchronousTestCase):
    """RFC 3261 25.1: quoted-string."""

    def test_split(self) -> None:
        """The inside stays escaped."""
        self.assertEqual(split_quoted('"a" b', RULE), ("a", " b"))
        self.assertEqual(split_quoted(r'"a\"b\\" <c>', RULE), (r"a\"b\\", " <c>"))
        self.assertEqual(split_quoted('""', RULE), ("", ""))
        for text in ('"', '"a', '"a\\"', "a", ""):
            self.assertRaises(Malformed, split_quoted, text, RULE)

    def test_quote(self) -> None:
        """Quotes and backslashes are escaped."""
        self.assertEqual(quote('a"b\\'), r'"a\"b\\"')

    def test_without_controls(self) -> None:
        """Control characters go, escaped or not (RFC 4475 3.1.1.2), and octets that are not UTF-8; pairs stay pairs."""
        self.assertEqual(without_controls("BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f"), "BEL: NUL: DEL:")
        self.assertEqual(without_controls("a\\\\\x07"), "a\\\\")
        self.assertEqual(without_controls("\\\udcff\udc80ä\\ä"), "ä\\ä")
        self.assertEqual(without_controls('\\"\r\n\\\r'), '\\"')

    @given(TEXTS)
    def test_what_is_written_can_be_read(self, text: str) -> None:
        """Whatever the text: once quoted and less its controls it is one quoted string of UTF-8 without controls."""
        inside = without_controls(quote(text)[1:-1])
        self.assertEqual(split_quoted(f'"{inside}"', RULE), (inside, ""))
        self.assertFalse(re.search("[\x00-\x1f\x7f]", inside))
        inside.encode("utf-8")

    @given(TEXTS)
    def test_nothing_else_is_lost(self, text: str) -> None:
        """A text with nothing harmful in it is the same after quoting, scrubbing and unquoting."""
        harmless = re.sub("[\x00-\x1f\x7f\ud800-\udfff]", "", text)
        inside = without_controls(quote(harmless)[1:-1])
        self.assertEqual(re.sub(r"\\(.)", r"\1", inside), harmless)


class TestHosts(SynchronousTestCase):
    """Names and addresses."""

    def test_hosts(self) -> None:
        """Names, IPv4, and IPv6 in brackets, which are taken away; one spelling of each IPv6 address (S12)."""
        for text, host in (
            ("example.com", "example.com"),
            ("Example.COM.", "Example.COM."),
            ("a", "a"),
            ("my_host", "my_host"),
            ("1.example", "1.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.a1", "192.0.2.a1"),
            ("[2001:DB8:0:0::1]", "2001:db8::1"),
            ("[::ffff:192.0.2.10]", "::ffff:192.0.2.10"),
            ("[2001:db8::10:5070]", "2001:db8::10:5070"),
        ):
            self.assertEqual(parse_host(text, RULE), host)

    def test_three_colons(self) -> None:
        """RFC 5118 4.10: three colons are read as two."""
        self.assertEqual(parse_host("[2001:db8:::192.0.2.1]", RULE), "2001:db8::c000:201")

    def test_refused(self) -> None:
        """What is no host, or could be taken for another one by someone else."""
        for text in (
            "", "-a", "a-", "a b", "a\n", "ä.example", "a@b", "2001:db8::1", "[]", "[::1", "::1]", "[::1]x",
            "[1.2.3.4]",
            "[fe80::1%eth0]", "[::g]", "[::1\x00]", "[:::::1]", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1", "01.2.3.4",
            "1.2.3.4\u0661", "²", "host\u212a", ".a",
        ):  # fmt: skip
            self.assertRaises(Malformed, parse_host, text, RULE)

    def test_host_port(self) -> None:
        """RFC 5118 4.3, 4.4: without brackets nobody knows where an address ends."""
        for text, pair in (
            ("a.example", ("a.example", None)),
            ("a.example:5070", ("a.example", 5070)),
            ("[2001:db8::10]:5070", ("2001:db8::10", 5070)),
            ("[2001:db8::10:5070]", ("2001:db8::10:5070", None)),
        ):
            self.assertEqual(parse_host_port(text, RULE), pair)
        for text in ("a:", "a:0", "a:65536", "a:5 ", "a:+5", "[::1]5060", "[::1]:", "2001:db8::10", "[::1", ""):
            self.assertRaises(Malformed, parse_host_port, text, RULE)

    def test_ports(self) -> None:
        """A port that can be sent to: a send to port 99999 raises, to port 0 goes nowhere."""
        self.assertEqual(parse_port("1", RULE), 1)
        self.assertEqual(parse_port("65535", RULE), 65535)
        self.assertEqual(parse_port("0000005060", RULE), 5060)
        for text in ("0", "00", "65536", "99999", "", "5060 ", "-1"):
            self.assertRaises(Malformed, parse_port, text, RULE)

    def test_addresses(self) -> None:
        """Which is which."""
        self.assertTrue(is_ipv4("192.0.2.1"))
        for text in ("192.0.2", "::1", "a", "", "1.2.3.4\x00", "\udcff"):
            self.assertFalse(is_ipv4(text))
        self.assertTrue(is_address("::1") and is_address("192.0.2.1"))
        self.assertFalse(is_address("example.com"))
        self.assertEqual((bracketed("::1"), bracketed("a"), bracketed("192.0.2.1")), ("[::1]", "a", "192.0.2.1"))

    @given(st.ip_addresses(v=6))
    def test_one_spelling(self, address: object) -> None:
        """S12: addresses are compared parsed: every spelling is the same one."""
        spelled = ipv6(str(address))
        self.assertEqual(ipv6(getattr(address, "exploded").upper()), spelled)  # noqa: B009 - not in object
        self.assertEqual(parse_host(bracketed(spelled), RULE), spelled)

    @given(LONG | st.text(string.hexdigits + ":.[]%-_", max_size=40))
    def test_any_text(self, text: str) -> None:
        """Any text is a host that reads the same again, or Malformed."""
        for parse in (lambda: (parse_host(text, RULE), None), lambda: parse_host_port(text, RULE)):
            try:
                host, port = parse()
            except Malformed:
                continue
            self.assertEqual(parse_host(bracketed(host), RULE), host)
            self.assertTrue(host.isascii() and host)
            self.assertTrue(port is None or 0 < port < 65536)

    def test_linear(self) -> None:
        """Time grows as the text does."""
        for text in ("a", "-", ".", "a-", "[", "1", "1.", ":"):
            steps(self, lambda size, text=text: self.assertRaises(Malformed, parse_host, text * size + "!", RULE))
