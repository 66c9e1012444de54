"""What a registrar inside knows of the phones that register there through us (S54): an alias and a Call-ID for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2s
from operator import attrgetter
from typing import NamedTuple, Protocol

import msgspec

from b2bua.sip.address import parse_address
from b2bua.sip.listener import Listener
from b2bua.sip.message import Headers
from b2bua.sip.registration import preference
from b2bua.store import Store

KIND = "passage"  # of the rows in the store
SECRET = 32  # octets


class Told(Protocol):
    """What tells a phone from others: of a binding, or of what is asked for."""

    @property
    def contact(self) -> str:
        """The Contact's URI."""

    @property
    def instance(self) -> str:
        """`+sip.instance`, empty without one."""


class Words(NamedTuple):
    """By what the inside knows a phone."""

    alias: str
    call_id: str


class Passage:
    """One phone's registration inside.

    `hop` is the next hop that accepted it, by the listener `send_from` of zone `zone`; `local` and `remote` are what
    we said in From and To, `uri` in the Request-URI. Until `until` it lasts, until `fresh` the inside need not hear of
    it again (seconds, as `Wire.now` says). `credentials` are those that the phone sent last; they are not stored.
    """

    __slots__ = (
        "aor", "key", "alias", "call_id", "zone", "hop", "send_from", "local", "remote", "until", "fresh", "cseq",
        "service_route", "uri", "credentials",
    )  # fmt: skip

    def __init__(self, aor: str, key: str, alias: str, call_id: str) -> None:
        self.aor = aor
        self.key = key
        self.alias = alias
        self.call_id = call_id
        self.zone = self.hop = self.send_from = self.local = self.remote = ""
        self.until = self.fresh = 0.0
        self.cseq = 0
        self.service_route: tuple[str, ...] = ()
        self.uri = ""
        self.credentials: Headers = {}

    @property
    def user(self) -> str:
        """Whose it is, escaped as it came."""
        return parse_address(self.remote, "our own To").uri.user


class _Row(NamedTuple):
    """A passage as the store has it, under its alias: fields of its own."""

    aor: str
    key: str
    call_id: str
    zone: str
    hop: str
    send_from: str
    local: str
    remote: str
    until: float
    fresh: float
    cseq: int
    service_route: tuple[str, ...]
    uri: str = ""  # what has a default is not in rows of older versions


_row = attrgetter(*_Row._fields)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


class Passages:
    """Every passage, by its alias and by its phone. `key` is secret, and the same from one start to the next."""

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._secret = key
        self._by_alias: dict[str, Passage] = {}
        self._by_phone: dict[tuple[str, str], Passage] = {}
        self.highest_cseq = 0  # that was said inside before this start
        self.orphans: list[Passage] = []  # whose phones' bindings did not outlive the last stop
        self.routed = 0  # how many have a Service-Route

    def __len__(self) -> int:
        return len(self._by_alias)

    def __iter__(self) -> Iterator[Passage]:
        return iter(list(self._by_alias.values()))

    def words(self, aor: str, told: Told | None) -> Words:
        """By what the inside is to know a phone: always the same, and nothing of the phone can be read from it."""
        said = f"{aor} {key_of(told) if told is not None else ''}".encode("utf-8", "surrogateescape")
        return Words(self._word(said, b"alias"), self._word(said, b"call-id"))

    def _word(self, said: bytes, person: bytes) -> str:
        return blake2s(said, key=self._secret, digest_size=10, person=person).hexdigest()

    def of(self, aor: str, told: Told) -> Passage | None:
        """A phone's."""
        return self.of_key(aor, key_of(told))

    def of_key(self, aor: str, key: str) -> Passage | None:
        """The same, where the phone's key is known."""
        return self._by_phone.get((aor, key))

    def of_alias(self, alias: str) -> Passage | None:
        """The one that an alias names."""
        return self._by_alias.get(alias)

    def enter(self, passage: Passage) -> None:
        """A passage that is new, or in place of the phone's old one."""
        self._take_out(passage.aor, passage.key)
        self._put_in(passage)
        self._store.put(KIND, passage.alias, _encode(_row(passage)))

    def drop(self, aor: str, key: str) -> None:
        """The inside knows the phone no more."""
        passage = self._take_out(aor, key)
        if passage is not None:
            self._store.drop(KIND, passage.alias)

    def _put_in(self, passage: Passage) -> None:
        self._by_alias[passage.alias] = self._by_phone[passage.aor, passage.key] = passage
        self.routed += bool(passage.service_route)

    def _take_out(self, aor: str, key: str) -> Passage | None:
        passage = self._by_phone.pop((aor, key), None)
        if passage is not None:
            del self._by_alias[passage.alias]
            self.routed -= bool(passage.service_route)
        return passage

    # What lasts

    def load(self, bound: Sequence[tuple[str, Told]], now: float) -> None:
        """Enter what the store has; `bound` are the addresses of record and the phones whose bindings it has too."""
        phones = {(aor, key_of(told)) for aor, told in bound}
        for alias, value in list(self._store.load(KIND)):
            passage = _restored(alias, value)
            if passage is None or passage.until <= now:
                self._store.drop(KIND, alias)
                continue
            self.highest_cseq = max(self.highest_cseq, passage.cseq)
            self._put_in(passage)
            if (passage.aor, passage.key) not in phones:
                self.orphans.append(passage)

    def take_orphans(self) -> list[Passage]:
        """Those that nobody has renewed meanwhile; only once."""
        found, self.orphans = self.orphans, []
        return [each for each in found if self.of_key(each.aor, each.key) is each]


def contact(listener: Listener, alias: str, seconds: int, q: int = 1000) -> str:
    """An alias as the inside gets it."""
    return f"{listener.contact(alias)};expires={seconds}{preference(q)}"


def key_of(told: Told) -> str:
    """What tells a phone from others of its address of record: an instance, whatever its flows, else a Contact."""
    return told.instance or told.contact


def _restored(alias: str, value: bytes) -> Passage | None:
    """A passage as the store has it; None for one of another version."""
    try:
        row = _decode(value)
    except msgspec.DecodeError:
        return None
    passage = Passage(row.aor, row.key, alias, row.call_id)
    for name, each in zip(_Row._fields, row, strict=True):
        setattr(passage, name, each)
    return passage
