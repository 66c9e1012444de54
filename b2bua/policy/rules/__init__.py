"""What a [[route]] can match on. Each module here has some kinds and names them in `KINDS`; adding a module adds them.

`KINDS` of this package: the key in [[route]], and the class that reads its value.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from b2bua.policy.match import Match

KINDS: dict[str, type[Match]] = {}


def register(known: dict[str, type[Match]], kinds: Iterable[type[Match]]) -> None:
    """Add kinds by their keys. Raises ImportError where two read the same key."""
    for kind in kinds:
        if kind.key in known:
            raise ImportError(f"{kind.__name__} and {known[kind.key].__name__} both read the key {kind.key}")
        known[kind.key] = kind


for _module in iter_modules(__path__):
    register(KINDS, import_module(f"{__name__}.{_module.name}").KINDS)
