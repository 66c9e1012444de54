"""The table of headers: complete, without doubles, and read in every spelling."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.headers import BY_NAME, TABLE, Verdict, canonical, verdict_of

REGISTERED = Path(__file__).resolve().parent / "data" / "iana-headers.txt"


def registered() -> list[tuple[str, str]]:
    """(name, compact form) of each header that IANA has registered."""
    lines = [line.split() for line in REGISTERED.read_text().splitlines() if not line.startswith("#")]
    return [(words[0], words[1] if len(words) > 1 else "") for words in lines]


class TestTable(SynchronousTestCase):
    """S35: every known header has exactly one verdict."""

    def test_every_registered_header_has_one_row(self) -> None:
        """S35: the table holds the names of the registry, each once, with the registry's compact form."""
        self.assertEqual([(row.name, row.compact) for row in TABLE], registered())
        self.assertGreater(len(TABLE), 130)

    def test_no_doubles(self) -> None:
        """No name and no compact form is there twice, however it is written."""
        names = [row.name.lower() for row in TABLE]
        compact = [row.compact for row in TABLE if row.compact]
        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(len(set(compact)), len(compact))
        self.assertFalse(set(names) & set(compact))
        self.assertEqual(len(BY_NAME), len(TABLE))

    def test_in_alphabetical_order(self) -> None:
        """A row is found where one looks for it."""
        order = [row.name.lower().replace("-", " ") for row in TABLE]
        self.assertEqual(order, sorted(order))

    def test_every_row_says_why(self) -> None:
        """Each verdict comes with its reason in a few words, and every verdict is used."""
        for row in TABLE:
            self.assertTrue(5 < len(row.why) <= 72, row)
            self.assertFalse(row.why.endswith("."), row)
        self.assertEqual({row.verdict for row in TABLE}, set(Verdict))


class TestCanonical(SynchronousTestCase):
    """RFC 3261 7.3.1: names do not heed case; 7.3.3: compact forms."""

    def test_every_spelling(self) -> None:
        """The table's spelling comes back for any case and for the compact form."""
        for row in TABLE:
            for name in (row.name, row.name.lower(), row.name.upper(), row.name.swapcase(), row.name.title()):
                self.assertEqual(canonical(name), row.name)
                self.assertEqual(canonical(f"{name} \t"), row.name)
            if row.compact:
                self.assertEqual(canonical(row.compact), row.name)
                self.assertEqual(canonical(row.compact.upper()), row.name)

    def test_unknown_names(self) -> None:
        """A header without a row has one spelling too: lower case."""
        self.assertEqual(canonical("X-Account"), "x-account")
        self.assertEqual(canonical("x-ACCOUNT "), "x-account")

    def test_only_ascii_is_folded(self) -> None:
        """A name that looks like a header's only to Unicode is none: others would not know it either."""
        for name in ("RAc\u212a", "\u212a", "Via\u00a0", "\u2003Via", "Via\x85", "CONTACT\u017f"):
            self.assertNotIn(canonical(name), BY_NAME)

    def test_verdict_of(self) -> None:
        """The row in any spelling; a header that nobody has heard of is dropped."""
        self.assertIs(verdict_of("K"), BY_NAME["Supported"])
        self.assertIs(verdict_of("p-asserted-IDENTITY"), BY_NAME["P-Asserted-Identity"])
        row = verdict_of("X-Account")
        self.assertEqual((row.name, row.verdict, row.why), ("x-account", Verdict.DROP, "not in the table"))

    @settings(deadline=None)
    @given(st.text())
    def test_any_text(self, name: str) -> None:
        """Any text has one spelling, and that is its own."""
        once = canonical(name)
        self.assertEqual(canonical(once), once)
