"""docs/conformance.md says what the tests say."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import conformance

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conformance.md"


class Page(SynchronousTestCase):
    """The table of what proves what."""

    def test_it_is_current(self) -> None:
        """The page is what the tests say today."""
        self.assertEqual(PAGE.read_text(), conformance.page(), "run: make docs")

    def test_it_is_sorted(self) -> None:
        """Items, RFCs, and the sections of each, by number."""
        page = conformance.page()
        parts = re.split(r"^## ", page, flags=re.M)[1:]
        heads = [part.split("\n")[0] for part in parts]
        rfcs = [int(head.split()[1]) for head in heads[1:]]
        self.assertEqual((heads[0], rfcs), ("The checklist", sorted(set(rfcs))))
        items = [int(found) for found in re.findall(r"^\| S([0-9]+) ", parts[0], re.M)]
        self.assertEqual(items, sorted(set(items)))
        for part in parts[1:]:
            sections = re.findall(r"^\| ([0-9A-Z][0-9.]*) ", part, re.M)
            self.assertEqual(sections, sorted(set(sections), key=conformance._order), part[:9])

    def test_tests_and_scenarios(self) -> None:
        """Both stand there, by name."""
        found = conformance.proofs()
        self.assertIn("rfc3665-3.1-answered.ladder", found["3665", "3.1"])
        self.assertIn("test_call_forks.Forks.test_both_answer", found["S", "28"])

    def test_references(self) -> None:
        """How sections and items are named in sentences."""
        for text, wanted in (
            ("S28: two (S26, S27).", {("S", "26"), ("S", "27"), ("S", "28")}),
            ("S26 to S28 hold", {("S", "26"), ("S", "27"), ("S", "28")}),
            ("RFC 3261 13.2.2.4 asks", {("3261", "13.2.2.4")}),
            ("RFC 3261 9.1, 9.2: 481", {("3261", "9.1"), ("3261", "9.2")}),
            ("(RFC 3261 8.1.1.5) and RFC 6026", {("3261", "8.1.1.5"), ("6026", "")}),
            ("RFC 3261 16.6.8 and 16.7", {("3261", "16.6.8"), ("3261", "16.7")}),
            ("RFC 3261's 20 headers, RFC 4475", {("3261", ""), ("4475", "")}),
            ("64*S1x no RFC", set()),
        ):
            self.assertEqual(conformance.references(text), wanted, text)
