"""Texts to look for, as rules write them: plain, `exact:`, `prefix:` or `regex:`, one or a list of which any may fit.

Regular expressions are RE2's and match the whole text: linear time whatever a peer sends (security.md asks for it of
operators' rules too).
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

import re2

from b2bua.policy.mistakes import shown

KINDS = ("exact", "prefix", "regex")
RIGHT = 'must be a text or a list of texts, each plain (an exact text), "prefix:..." or "regex:..."'

# (key below the pattern's own, value, what is wrong with it)
Complain = Callable[[str, object, str], None]


class Patterns:
    """Texts any of which may fit: `fits` asks whether one does with a text, `describe` says which they are.

    `fold` is for what is compared without regard to case.
    """

    __slots__ = ("fits", "_words")

    def __init__(self, exact: list[str], prefixes: list[str], regexes: list[str], fold: bool = False) -> None:
        self.fits = _question(exact, prefixes, regexes, fold)
        self._words = tuple(
            f"{how} {shown(text)}"
            for how, texts in (("is", exact), ("starts with", prefixes), ("matches", regexes))
            for text in texts
        )

    def describe(self) -> str:
        """`is "bob" or starts with "*33"`."""
        return " or ".join(self._words)


def _question(exact: list[str], prefixes: list[str], regexes: list[str], fold: bool) -> Callable[[str], bool]:
    """One function for all of them, with nothing in it that they do not need: it is asked for every call."""
    known = frozenset(text.lower() if fold else text for text in exact)
    starts = tuple(text.lower() if fold else text for text in prefixes)
    match = _one_machine(regexes, fold).Match if regexes else None

    def question(text: str) -> bool:
        if text in known or text.startswith(starts):
            return True
        # What was no UTF-8 on the wire is read as question marks.
        return match is not None and match(text.encode("utf-8", "replace")) is not None

    return (lambda text: question(text.lower())) if fold else question


def read_patterns(
    value: object, complain: Complain, fold: bool = False, normal: Callable[[str], str] = str
) -> Patterns | None:
    """The patterns that a rule's value means; None, after complaining, when it means none.

    `normal` brings an exact text into the form in which it will be asked for.
    """
    texts = listed(value)
    if texts is None:
        complain("", value, RIGHT)
        return None
    sorted_out: dict[str, list[str]] = {kind: [] for kind in KINDS}
    fine = True
    for text in texts:
        kind, rest = _split(text)
        fault = _fault(kind, rest, text)
        if fault:
            complain("", text, fault)
            fine = False
        else:
            sorted_out[kind].append(normal(rest) if kind == "exact" else rest)
    return Patterns(sorted_out["exact"], sorted_out["prefix"], sorted_out["regex"], fold) if fine else None


def listed(value: object) -> list[str] | None:
    """One text, or a list of them, as a list; None for anything else and for an empty list."""
    given = value if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str)]
    return texts if texts and len(texts) == len(given) else None


def _split(text: str) -> tuple[str, str]:
    kind, colon, rest = text.partition(":")
    return (kind, rest) if colon and kind in KINDS else ("exact", text)


def _fault(kind: str, rest: str, text: str) -> str:
    """What is wrong with one pattern, or an empty string."""
    if kind == "regex":
        return _regex_fault(rest)
    if kind == "prefix":
        return "" if rest else "every text starts with nothing: leave the key out to match all"
    word, colon, _ = text.partition(":")
    meant = get_close_matches(word.lower(), KINDS, 1, 0.7) if colon and rest == text else []
    return f'did you mean "{meant[0]}:"? A text that really begins so is written "exact:{text}"' if meant else ""


def _regex_fault(text: str) -> str:
    if not text:
        return "a regular expression is missing after regex:"
    try:
        re2.compile(text, _options(False))
    except re2.error as error:
        said = error.args[0]
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return f"not a regular expression that RE2 knows: {reason}"
    return ""


def _options(fold: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # we say it ourselves, with the key
    options.case_sensitive = not fold
    return options


def _one_machine(regexes: list[str], fold: bool) -> re2.Set:
    """All the expressions as one automaton: a text is read once, however many they are."""
    machine = re2.Set.FullMatchSet(_options(fold))
    for regex in regexes:
        machine.Add(regex)
    machine.Compile()
    return machine
