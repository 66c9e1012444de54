"""What TAB makes of what is typed in the manhole: names, attributes, and call ids between quotes."""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from b2bua.ops.commands import Command

_IN_QUOTES = re.compile(r"(?<![\w.])(\w+)\(\s*(?:call_id\s*=\s*)?(?:(['\"])([^'\"]*))?$")
_NAME = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:[A-Za-z_]\w*)?$")


class Completion(NamedTuple):
    """What the last `typed` characters before the cursor may become."""

    typed: int
    candidates: Sequence[str]


def complete(
    before: str, names: Mapping[str, object], call_ids: Collection[str], of_a_call: Collection[str]
) -> Completion:
    """What may stand in place of the end of `before`; no candidates where nothing fits.

    `names` is the session's namespace; the commands `of_a_call` take a call's id first.
    """
    found = _IN_QUOTES.search(before)
    if found is not None and found.group(1) in of_a_call:
        quote, typed = found.group(2), found.group(3) or ""
        ids = sorted(call_id for call_id in call_ids if call_id.startswith(typed))
        if quote is None:
            return Completion(0, [f"'{call_id}'" for call_id in ids])
        return Completion(len(typed) + 1, [f"{quote}{call_id}{quote}" for call_id in ids])
    if before.count("'") % 2 or before.count('"') % 2:
        return Completion(0, [])
    path = _NAME.search(before)
    assert path is not None, "it fits nothing at all, too"
    owner, dot, start = path.group().rpartition(".")
    if not dot:
        return Completion(len(start), _named(names, start))
    return Completion(len(start), _attributes(names, owner, start))


def _named(names: Mapping[str, object], start: str) -> list[str]:
    """Names of the session; Python's own only where something is typed already."""
    found = [_shown(name, names[name]) for name in sorted(names) if name.startswith(start) and _public(name, start)]
    if start and not found:
        own = vars(builtins)
        found = [_shown(name, own[name]) for name in sorted(own) if name.startswith(start) and _public(name, start)]
    return found


def _attributes(names: Mapping[str, object], owner: str, start: str) -> list[str]:
    """Attributes of what a dotted name means; it is looked up, but nothing is called."""
    first, *rest = owner.split(".")
    value = names.get(first)
    for name in rest:
        value = getattr(value, name, None)
    if value is None:
        return []
    return [name for name in dir(value) if name.startswith(start) and _public(name, start)]


def _public(name: str, start: str) -> bool:
    return start.startswith("_") or not name.startswith("_")


def _shown(name: str, value: object) -> str:
    if isinstance(value, Command):
        return f"{name}()" if value.bare else f"{name}("
    return f"{name}(" if callable(value) and not isinstance(value, type) else name
