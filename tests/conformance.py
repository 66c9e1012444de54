"""Which test proves what: `python -m tests.conformance > docs/conformance.md`.

Read from the tests themselves: the docstring of each test and the comments in it, and the title and notes of each
scenario. What a class or a file says of itself counts for each of its tests that names nothing. "S" and a number is an
item of the checklist that the code's own comments name; RFC 3261 13.2.2.4 is that section.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from b2bua.ops.selftest.library import FOLDER, scenarios

TESTS = Path(__file__).resolve().parent
HEAD = """\
# Conformance

Which test names which section of which RFC, and which item (S) of the checklist of behaviour that the comments in the
code refer to. Made by `make docs` from the docstrings and comments of the tests and from the scenarios; not to be
edited. Scenarios are played in `make test` and, over real sockets, by `b2bua selftest`.
"""
MOST = 12  # tests named in one row; the others are counted

Reference = tuple[int, tuple[int, ...]]  # RFC (0: the checklist), section

_SECTION = r"(?:[1-9][0-9]{0,2}|[A-Z])(?:\.[0-9]{1,2})*(?![0-9*]|\.[0-9])"
_RFC = re.compile(rf"\bRFC ([0-9]{{3,4}})((?: (?:section )?{_SECTION}(?:(?:,| and| to) {_SECTION})*)?)")
_ITEM = re.compile(r"\bS([0-9]{1,2})(?: to S([0-9]{1,2}))?\b")


def references(text: str) -> set[tuple[str, str]]:
    """What a text names: ("3261", "13.2.2.4"), ("3428", "") for an RFC as a whole, ("S", "28")."""
    text = " ".join(text.split())
    found: set[tuple[str, str]] = set()
    for rfc, sections in _RFC.findall(text):
        named = re.findall(_SECTION, sections)
        found |= {(rfc, section) for section in named} or {(rfc, "")}
    for first, last in _ITEM.findall(text):
        found |= {("S", str(number)) for number in range(int(first), int(last or first) + 1)}
    return found


def _tests(path: Path) -> Iterator[tuple[str, set[tuple[str, str]]]]:
    """Each test of a file, by name, and what it names."""
    source = path.read_text()
    tree = ast.parse(source)
    comments = _comments(source)
    of_file = references(ast.get_docstring(tree) or "")
    for each in tree.body:
        if isinstance(each, ast.ClassDef):
            of_class = references(ast.get_docstring(each) or "")
            for test in each.body:
                if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef) and test.name.startswith("test_"):
                    said = [ast.get_docstring(test) or ""]
                    said += [text for line, text in comments if test.lineno <= line <= (test.end_lineno or 0)]
                    named = references("\n".join(said)) or of_class or of_file
                    yield f"{path.stem}.{each.name}.{test.name}", named


def _comments(source: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(each.start[0], each.string) for each in tokens if each.type == tokenize.COMMENT]


def proofs() -> dict[tuple[str, str], list[str]]:
    """What is named, and the tests and scenarios that name it, sorted."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for name, named in _tests(path):
            for reference in named:
                found.setdefault(reference, set()).add(name)
    for scenario in scenarios():
        for reference in references(f"{scenario.title}\n{scenario.notes}"):
            found.setdefault(reference, set()).add(f"{scenario.name}{FOLDER.joinpath('x.ladder').suffix}")
    return {reference: sorted(names) for reference, names in found.items()}


def _order(section: str) -> tuple[tuple[int, int | str], ...]:
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in section.split(".") if part)


def page() -> str:
    """The whole page."""
    found = proofs()
    parts = [
        HEAD,
        "## The checklist\n",
        *_table("item", ((f"S{number}", found["S", number]) for number in _items(found))),
    ]
    for rfc in sorted({rfc for rfc, _ in found} - {"S"}, key=int):
        sections = sorted((section for other, section in found if other == rfc), key=_order)
        rows = ((section or "as a whole", found[rfc, section]) for section in sections)
        parts += [f"\n## RFC {rfc}\n", *_table("section", rows)]
    return "\n".join(parts) + "\n"


def _items(found: Iterable[tuple[str, str]]) -> list[str]:
    return sorted((number for kind, number in found if kind == "S"), key=int)


def _table(head: str, rows: Iterable[tuple[str, list[str]]]) -> list[str]:
    lines = [f"| {head} | tests |", "|---|---|"]
    for name, tests in rows:
        more = f" and {len(tests) - MOST} more" if len(tests) > MOST else ""
        lines.append(f"| {name} | {', '.join(f'`{test}`' for test in tests[:MOST])}{more} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write(page())
