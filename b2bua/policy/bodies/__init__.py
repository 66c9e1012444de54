"""Bodies by media type. Each module here has some kinds and names them in `KINDS`; adding a module adds them."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from b2bua.policy.body import KINDS, carry, register

__all__ = ["KINDS", "carry"]

for _module in iter_modules(__path__):
    register(KINDS, import_module(f"{__name__}.{_module.name}").KINDS)
