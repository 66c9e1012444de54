"""Who is registered where (RFC 3261 10, S53): each binding with the way by which its REGISTER came.

A call to an address of record goes to its bindings, and each branch leaves by its binding's own listener, connection
and far address. No rule says so: the binding knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import NamedTuple, TypeVar

import msgspec

from b2bua.sip.listener import Connection, Flow, Listener
from b2bua.sip.uri import Uri, shared_uri
from b2bua.store import Store

KIND = "binding"  # of the rows in the store
SECRET = "secret"
_NOBODY: tuple[Binding, ...] = ()
_Ordered = dict["Binding", None]  # a set in order: behind one connection there may be thousands
_Key = TypeVar("_Key")


class Way(NamedTuple):
    """How a phone's registration was once to be reached: by this flow, through these proxies."""

    aor: str
    key: str
    flow: Flow
    path: tuple[str, ...]


class Binding:
    """One Contact of an address of record, and the way to it.

    `contact` is the URI as it was registered; `flow` the listener and the source of the last REGISTER. `expires`,
    `since` and `heard` are seconds on the clock of `Wire.now`, `q` is in thousandths. `path` are the Path values
    (RFC 3327), `instance` the value of `+sip.instance` with its quotes, `reg_id` 0 where there is none (RFC 5626),
    `gruu` what its temporary GRUUs say of it, 0 for none (RFC 5627). `direct`: it is reached at its Contact and not at
    the REGISTER's source. `user` is whose password the last REGISTER proved, empty where none was asked for.
    """

    __slots__ = (
        "aor", "contact", "q", "expires", "call_id", "cseq", "flow", "path", "instance", "reg_id", "gruu",
        "features", "user_agent", "since", "heard", "direct", "user", "due",
    )  # fmt: skip

    def __init__(self, aor: str, contact: str, flow: Flow) -> None:
        self.aor = aor
        self.contact = contact
        self.flow = flow
        self.q = 1000
        self.expires = 0.0
        self.call_id = ""
        self.cseq = 0
        self.path: tuple[str, ...] = ()
        self.instance = ""
        self.reg_id = 0
        self.gruu = 0
        self.features = ""  # the Contact's other parameters, as they came
        self.user_agent = ""
        self.since = 0.0  # of its first REGISTER
        self.heard = 0.0  # of its last
        self.direct = False
        self.user = ""
        self.due = -1  # the second at which it is looked at again: whether it has expired

    @property
    def uri(self) -> Uri:
        """The Contact's URI, to be looked at only."""
        return shared_uri(self.contact)

    @property
    def key(self) -> str:
        """What tells it from the others of its address of record: instance and reg-id, or the Contact."""
        return f"{self.instance};{self.reg_id}" if self.reg_id else self.contact

    @property
    def way(self) -> Way:
        """How it is reached now. It changes as its phone registers anew."""
        return Way(self.aor, self.key, self.flow.unconnected() if self.direct else self.flow, self.path)

    def is_by(self, way: Way) -> bool:
        """Whether it is reached so still."""
        mine = self.way
        return (mine.aor, mine.key, mine.path) == (way.aor, way.key, way.path) and mine.flow.same_way(way.flow)

    @property
    def flow_alive(self) -> bool:
        """Whether the way by which it registered is there. A stream's is gone with its connection."""
        connection = self.flow.connection
        return self.flow.listener.transport == "udp" or (connection is not None and connection.alive)

    @property
    def reachable(self) -> bool:
        """Whether there is a way to it now; where its flow is gone, only a Path's or one of its own leads to it."""
        return self.direct or bool(self.path) or self.flow_alive

    def __repr__(self) -> str:
        return f"<binding of {self.aor}: {self.contact} by {self.flow}>"


class _Row(NamedTuple):
    """A binding as the store has it. From `q` on the fields are the binding's own."""

    aor: str
    contact: str
    listener: str
    host: str
    port: int
    q: int
    expires: float
    call_id: str
    cseq: int
    path: tuple[str, ...]
    instance: str
    reg_id: int
    gruu: int
    features: str
    user_agent: str
    since: float
    heard: float
    direct: bool
    user: str = ""  # rows of before have none


_OWN = _Row._fields[_Row._fields.index("q") :]
_own = attrgetter(*_OWN)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode

Gone = Callable[[Binding, str], None]


class Bindings:
    """Every binding, by address of record, GRUU, connection and user. Written through a store.

    `gone` are told of each binding that is no more, and why: "expired", "unregistered", "its connection is gone".
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._by_aor: dict[str, list[Binding]] = {}
        self._by_connection: dict[Connection, _Ordered] = {}
        self._by_gruu: dict[int, _Ordered] = {}
        self._by_user: dict[str, _Ordered] = {}
        self._due: dict[int, _Ordered] = {}  # by the second at which to look whether they have expired
        self._seconds: list[int] = []  # these, as a heap
        self._count = 0
        self.gone: list[Gone] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Binding]:
        return iter([binding for bindings in self._by_aor.values() for binding in bindings])

    @property
    def aors(self) -> int:
        """How many addresses of record have a binding."""
        return len(self._by_aor)

    # Looking

    def of(self, aor: str) -> Sequence[Binding]:
        """The bindings of an address of record, the oldest first, also those that cannot be reached now."""
        return self._by_aor.get(aor, _NOBODY)

    def current(self, aor: str, now: float) -> list[Binding]:
        """The same less those whose time is over, which are struck out now and not within a second."""
        known = list(self.of(aor))
        for binding in known:
            if binding.expires <= now:
                self.remove(binding, "expired")
        return [each for each in known if each.expires > now]

    def lookup(self, aor: str, now: float) -> list[Binding]:
        """To whom a call to an address of record goes, by q, of the same q the newest first.

        Of several flows of one instance the newest only: the phone is to ring once (RFC 5626 7). `alternates` has the
        others.
        """
        known = self._by_aor.get(aor)
        if known is None:
            return []
        found = [each for each in known if each.expires > now and each.reachable]
        if len(found) > 1:
            found.sort(key=_wish)
            found = _one_of_each(found)
        return found

    def has(self, binding: Binding, now: float) -> bool:
        """Whether a binding is still one."""
        return binding.expires > now and binding in self.of(binding.aor)

    def alternates(self, binding: Binding, tried: Collection[Way], now: float) -> list[Binding]:
        """The ways to the same phone that were not tried, the newest first: for when one has failed (RFC 5626 5.3).

        They are the other flows of its instance, and its own where it has registered anew meanwhile.
        """
        same = [
            each
            for each in self.of(binding.aor)
            if each.key == binding.key or (binding.reg_id and each.reg_id and each.instance == binding.instance)
        ]
        fresh = [each for each in same if not any(map(each.is_by, tried))]
        return sorted([each for each in fresh if each.expires > now and each.reachable], key=_wish)

    def on(self, connection: Connection) -> Collection[Binding]:
        """The bindings that were registered by a connection, the oldest first."""
        return self._by_connection.get(connection, _NOBODY)

    def of_gruu(self, number: int) -> Sequence[Binding]:
        """The bindings whose temporary GRUUs have this number in them."""
        return list(self._by_gruu.get(number, _NOBODY))

    def by_user(self, user: str) -> Collection[Binding]:
        """The bindings that were registered with a user's password, of whatever address of record."""
        return self._by_user.get(user, _NOBODY)

    # Changing

    def add(self, binding: Binding) -> None:
        """A binding that is new."""
        self._save(binding)  # first: what cannot be kept is not entered
        self._enter(binding)

    def refresh(
        self, binding: Binding, contact: str, flow: Flow, gruu: int | None = None, user: str | None = None
    ) -> None:
        """A binding's fields were written anew, but for these and its instance, which stays."""
        if gruu is not None and gruu != binding.gruu:
            _leave(self._by_gruu, binding.gruu, binding)
            binding.gruu = gruu
            if gruu:
                _join(self._by_gruu, gruu, binding)
        if user is not None and user != binding.user:
            _leave(self._by_user, binding.user, binding)
            binding.user = user
            if user:
                _join(self._by_user, user, binding)
        if contact != binding.contact:
            if not binding.reg_id:
                self.store.drop(KIND, f"{binding.aor} {binding.key}")  # the same by RFC 3261 19.1.4, spelled otherwise
            binding.contact = contact
        if flow.connection is not binding.flow.connection:
            self._leave_connection(binding)
            binding.flow = flow
            self._join_connection(binding)
        else:
            binding.flow = flow
        if binding.expires + 1 < binding.due:
            self._watch(binding)
        self._save(binding)

    def remove(self, binding: Binding, why: str) -> None:
        """A binding is no more."""
        others = self._by_aor.get(binding.aor)
        if others is None or binding not in others:
            return
        others.remove(binding)
        if not others:
            del self._by_aor[binding.aor]
        self._count -= 1
        self._unwatch(binding)
        _leave(self._by_gruu, binding.gruu, binding)
        _leave(self._by_user, binding.user, binding)
        self._leave_connection(binding)
        self.store.drop(KIND, f"{binding.aor} {binding.key}")
        for told in self.gone:
            told(binding, why)

    def expire(self, now: float) -> None:
        """Strike out what has expired. To be called about once a second, while there are any."""
        while self._seconds and self._seconds[0] <= now:
            second = heappop(self._seconds)
            for binding in self._due.pop(second):
                if binding.due != second:
                    continue  # gone with one before it
                if binding.expires <= now:
                    self.remove(binding, "expired")
                else:
                    self._watch(binding)

    def closed(self, connection: Connection, why: str = "its connection is gone") -> None:
        """A connection is gone, and what is reached by it alone: a Path (RFC 3327 5.3) or a Contact may lead there."""
        for binding in list(self.on(connection)):
            if binding.path or binding.direct:
                self._leave_connection(binding)
                binding.flow = binding.flow.unconnected()
            else:
                self.remove(binding, why)

    # What lasts

    def secret(self, name: str, fresh: bytes) -> bytes:
        """Octets that stay the same from one start to the next: `fresh` ones the first time."""
        for key, value in self.store.load(SECRET):
            if key == name and len(value) == len(fresh):
                return value
        self.store.put(SECRET, name, fresh)
        return fresh

    def load(self, listeners: Sequence[Listener], now: float) -> int:
        """Enter what the store has and what has not expired; returns how many.

        A binding of UDP is reached at once, one of a stream once its phone has connected again. What was registered by
        a listener that is there no more is dropped.
        """
        by_name = {listener.name: listener for listener in listeners}
        for key, value in list(self.store.load(KIND)):
            binding = _restored(value, by_name)
            if binding is None or binding.expires <= now:
                self.store.drop(KIND, key)
            else:
                self._enter(binding)
        return self._count

    def _save(self, binding: Binding) -> None:
        flow = binding.flow
        row = (binding.aor, binding.contact, flow.listener.name, flow.host, flow.port, *_own(binding))
        self.store.put(KIND, f"{binding.aor} {binding.key}", _encode(row))

    # The indexes

    def _enter(self, binding: Binding) -> None:
        self._by_aor.setdefault(binding.aor, []).append(binding)
        self._count += 1
        if binding.gruu:
            _join(self._by_gruu, binding.gruu, binding)
        if binding.user:
            _join(self._by_user, binding.user, binding)
        self._join_connection(binding)
        self._watch(binding)

    def _join_connection(self, binding: Binding) -> None:
        connection = binding.flow.connection
        if connection is not None:
            _join(self._by_connection, connection, binding)

    def _leave_connection(self, binding: Binding) -> None:
        connection = binding.flow.connection
        if connection is not None:
            _leave(self._by_connection, connection, binding)

    def _watch(self, binding: Binding) -> None:
        """Look at it when it may have expired. A refresh only writes a later time: it is watched again then."""
        self._unwatch(binding)
        due = binding.due = int(binding.expires) + 1
        if due not in self._due:
            self._due[due] = {}
            heappush(self._seconds, due)
        self._due[due][binding] = None

    def _unwatch(self, binding: Binding) -> None:
        """Its second stays, for it is in the heap too."""
        watched = self._due.get(binding.due)
        if watched is not None:
            watched.pop(binding, None)
        binding.due = -1


def _join(index: dict[_Key, _Ordered], key: _Key, binding: Binding) -> None:
    index.setdefault(key, {})[binding] = None


def _leave(index: dict[_Key, _Ordered], key: _Key, binding: Binding) -> None:
    found = index.get(key)
    if found is not None:
        del found[binding]
        if not found:
            del index[key]


def _one_of_each(bindings: Sequence[Binding]) -> list[Binding]:
    """The first of each instance; what has no reg-id stands for itself."""
    found: list[Binding] = []
    seen: set[str] = set()
    for binding in bindings:
        if binding.reg_id:
            if binding.instance in seen:
                continue
            seen.add(binding.instance)
        found.append(binding)
    return found


def _wish(binding: Binding) -> tuple[int, float]:
    """What comes first: the most wished for, then what was heard of last."""
    return -binding.q, -binding.heard


def _restored(value: bytes, listeners: Mapping[str, Listener]) -> Binding | None:
    """A binding as the store has it; None for one that cannot be used any more."""
    try:
        row = _decode(value)
    except msgspec.DecodeError:
        return None  # of another version
    listener = listeners.get(row.listener)
    if listener is None:
        return None
    binding = Binding(row.aor, row.contact, Flow(listener, row.host, row.port))
    for name, each in zip(_OWN, _own(row), strict=True):
        setattr(binding, name, each)
    return binding
