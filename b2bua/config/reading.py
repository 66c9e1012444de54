"""Tables of the file as values, key by key, so that every mistake is found and not only the first.

What a key may hold stands in its type: `Annotated[int, Meta(ge=1, le=65535, description="...")]`. msgspec judges the
value, and the description says what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields

from b2bua.policy.mistakes import NOTHING, Mistake

Table = dict[str, Any]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of one table. Each key has a default; those that must be given are in `required`."""

    required: ClassVar[tuple[str, ...]] = ()


S = TypeVar("S", bound=Section)

Text = Annotated[str, Meta(description="must be a text")]
Line = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z", description="must be one line of text")]
Name = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_.-]+\Z", description="must be a name of letters, digits and the signs - _ .")
]
File = Annotated[str, Meta(pattern=r"\A[^\x00]+\Z", description="must be the path of a file")]
Texts = Annotated[list[str], Meta(description='must be a list of texts: ["...", "..."]')]
Tables = Annotated[list[Table], Meta(description="must be a list of tables: [{...}, {...}]")]
Flag = Annotated[bool, Meta(description="must be true or false")]
Port = Annotated[int, Meta(ge=1, le=65535, description="must be a port, 1 to 65535")]
Seconds = Annotated[float, Meta(ge=0, le=31_536_000, description="must be a number of seconds, from 0 to a year")]

Count = Annotated[int, Meta(ge=0, le=1_000_000, description="must be a whole number, 0 for any number")]
Rate = Annotated[float, Meta(ge=0, le=1_000_000, description="must be a number a second, 0 for any number")]


@dataclass(frozen=True, slots=True)
class Entry(Generic[S]):
    """One table of the file: the key that leads to it, what stands there, and its values.

    Where a key is not given, or wrongly, `value` has the default. `fine` are the keys that are given and right.
    """

    key: str
    raw: Table
    value: S
    fine: frozenset[str]

    def has(self, key: str) -> bool:
        """Whether the key is given, rightly or wrongly."""
        return key in self.raw


class Reading:
    """One file being read: its tables, and what was found wrong with it so far."""

    __slots__ = ("file", "directory", "raw", "mistakes", "warnings")

    def __init__(self, file: str, raw: Table) -> None:
        self.file = file
        self.directory = Path(file).resolve().parent
        self.raw = raw
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []

    def wrong(self, key: str, value: object, message: str) -> None:
        """A mistake: the configuration cannot be used."""
        self.mistakes.append(Mistake(self.file, key, value, message))

    def warn(self, key: str, value: object, message: str) -> None:
        """Something doubtful that the operator should know of."""
        self.warnings.append(Mistake(self.file, key, value, message))

    def complain(self, key: str) -> Callable[[str, object, str], None]:
        """`wrong` for what is below `key`."""

        def below(rest: str, value: object, message: str) -> None:
            self.wrong(_below(key, rest), value, message)

        return below

    def unknown_keys(self, raw: Table, key: str, known: Collection[str]) -> None:
        """Every key of a table that means nothing, with the one that may have been meant."""
        for name in raw:
            if name not in known:
                meant = get_close_matches(name, known, 1, 0.6)
                hint = f'did you mean "{meant[0]}"?' if meant else f"the keys here are: {', '.join(sorted(known))}"
                self.wrong(_below(key, name), raw[name], f"no such key; {hint}")

    def section(self, kind: type[S], name: str) -> Entry[S]:
        """The table [name]; one of defaults where there is none."""
        raw = self.raw.get(name, {})
        if not isinstance(raw, dict):
            self.wrong(name, raw, f"must be a table: [{name}]")
            raw = {}
        return self.entry(kind, name, raw)

    def sections(self, kind: type[S], name: str, also: Collection[str] = ()) -> Iterator[Entry[S]]:
        """The tables [[name]] one after the other, counted from 1; `also` are keys that somebody else reads."""
        raw = self.raw.get(name, [])
        if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
            self.wrong(name, raw, f"must be a list of tables: [[{name}]]")
            return
        for number, each in enumerate(raw, 1):
            yield self.entry(kind, f"{name}[{number}]", each, also)

    def entry(self, kind: type[S], key: str, raw: Table, also: Collection[str] = ()) -> Entry[S]:
        """One table, each of its keys judged by itself."""
        known = _fields(kind)
        self.unknown_keys(raw, key, (*known, *also))
        values: Table = {}
        fine = []
        for name, field in known.items():
            if name not in raw:
                if name in kind.required:
                    self.wrong(_below(key, name), NOTHING, f"missing: it {_right(field.type)}")
                continue
            try:
                values[field.name] = msgspec.convert(raw[name], field.type)
            except msgspec.ValidationError:
                self.wrong(_below(key, name), raw[name], _right(field.type))
            else:
                fine.append(name)
        return Entry(key, raw, kind(**values), frozenset(fine))

    def path(self, key: str, value: str) -> str:
        """An absolute path for a file that is named after `key`; a mistake when it cannot be read."""
        path = self.absolute(value)
        try:
            with open(path, "rb"):
                pass
        except FileNotFoundError:
            self.wrong(key, value, f"no such file: {path}")
        except OSError as error:
            self.wrong(key, value, f"cannot be read: {path}: {error.strerror}")
        return path

    def absolute(self, value: str) -> str:
        """A path as seen from the configuration file."""
        return str(self.directory / value)


@cache
def _fields(kind: type[Section]) -> dict[str, FieldInfo]:
    return {field.encode_name: field for field in fields(kind)}


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key and name else key or name


def _right(kind: Any) -> str:
    """What a key's type says would be right."""
    return next(each.description or "" for each in kind.__metadata__ if isinstance(each, Meta))
