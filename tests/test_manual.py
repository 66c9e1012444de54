"""The manual's page on hiding is what the tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops import manual
from b2bua.policy.crossing import OPTION_TAGS
from b2bua.sip.headers import TABLE
from tests.programs import need

PAGE = Path(__file__).resolve().parent.parent / "man" / "b2bua-hiding.5"


class TestHidingPage(SynchronousTestCase):
    """man/b2bua-hiding.5."""

    def test_it_is_the_generated_one(self) -> None:
        """The page in man/ is what `python -m b2bua.ops.manual` prints."""
        printed = subprocess.run(
            [sys.executable, "-m", "b2bua.ops.manual"],
            cwd=PAGE.parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(PAGE.read_text(), printed.stdout, "run: python -m b2bua.ops.manual > man/b2bua-hiding.5")
        self.assertEqual(printed.stdout, manual.page())

    def test_every_header_is_on_it(self) -> None:
        """Each header stands there with its verdict and its reason, as mandoc prints them."""
        mandoc = need("mandoc")
        shown = subprocess.run(
            [mandoc, "-Tutf8", "-Owidth=240", str(PAGE)], capture_output=True, text=True, check=True
        ).stdout
        lines = [" ".join(line.split()) for line in _plain(shown).splitlines()]
        for row in TABLE:
            name = f"{row.name}, {row.compact}" if row.compact else row.name
            self.assertIn(f"{name} {row.verdict.value} {row.why}", lines)
        for tag, why in OPTION_TAGS.items():
            self.assertIn(f"{tag} {why}", lines)

    def test_words_that_look_like_macros(self) -> None:
        """mdoc(7) finds no macro in plain text."""
        self.assertEqual(manual.table([("Em", ".Sh %A it's"), ("a\\b", "Via")], ("x", "y")).splitlines()[1:-1], [
            r".It \&Em Ta \&.Sh \&%A it's",
            r".It a\eb Ta \&Via",
        ])  # fmt: skip


def _plain(text: str) -> str:
    """Without the overstrikes that stand for bold and underlined."""
    while "\b" in text:
        at = text.index("\b")
        text = text[: at - 1] + text[at + 1 :]
    return text
