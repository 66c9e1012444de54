"""Who is registered where: the indexes, the order of a lookup, expiry, and what the store gives back."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.bindings import KIND, Binding, Bindings
from b2bua.sip.listener import Connection, Flow, Listener

UDP = Listener("public-udp", "public", "udp", "192.0.2.1", 5060)
TLS = Listener("public-tls", "public", "tls", "192.0.2.1", 5061)


class Wire(Connection):
    """A connection that lives until it is told."""

    def __init__(self) -> None:
        self.standing = True

    def write(self, data: bytes) -> None:
        """Nowhere."""

    @property
    def alive(self) -> bool:
        return self.standing


class Rows:
    """A store whose rows can be looked at."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}

    def load(self, kind: str) -> Iterable[tuple[str, bytes]]:
        """What is there."""
        return [(key, value) for (of, key), value in self.rows.items() if of == kind]

    def put(self, kind: str, key: str, value: bytes) -> None:
        """At once."""
        self.rows[kind, key] = value

    def drop(self, kind: str, key: str) -> None:
        """At once."""
        self.rows.pop((kind, key), None)

    def close(self) -> Deferred[None]:
        """At once."""
        return succeed(None)


class TestBindings(SynchronousTestCase):
    """One `Bindings` with a store."""

    def setUp(self) -> None:
        self.rows = Rows()
        self.bindings = Bindings(self.rows)
        self.told: list[tuple[str, str]] = []
        self.bindings.gone.append(lambda binding, why: self.told.append((binding.contact, why)))

    def bind(
        self, contact: str, q: int = 1000, flow: Flow | None = None, expires: float = 100.0, instance: str = "",
        reg_id: int = 0, heard: float = 0.0, aor: str = "alice@example.com", user: str = "",
    ) -> Binding:  # fmt: skip
        """A binding more."""
        binding = Binding(aor, contact, flow or Flow(UDP, "192.0.2.20", 5060))
        binding.q, binding.expires, binding.instance, binding.reg_id = q, expires, instance, reg_id
        binding.heard, binding.user = heard, user
        self.bindings.add(binding)
        return binding

    def looked_up(self, now: float = 0.0, aor: str = "alice@example.com") -> list[str]:
        """The Contacts to which a call goes."""
        return [each.contact for each in self.bindings.lookup(aor, now)]

    def test_order(self) -> None:
        """By q (RFC 3261 10.3, 16.6), then the newest."""
        for contact, q, heard in (("sip:a@h", 500, 1.0), ("sip:b@h", 1000, 1.0), ("sip:c@h", 500, 2.0)):
            self.bind(contact, q, heard=heard)
        self.assertEqual(self.looked_up(), ["sip:b@h", "sip:c@h", "sip:a@h"])
        self.assertEqual(self.looked_up(aor="bob@example.com"), [])
        self.assertEqual((len(self.bindings), self.bindings.aors), (3, 1))
        self.assertEqual([each.uri.user for each in self.bindings], ["a", "b", "c"])
        self.assertIn("sip:a@h", repr(self.bindings.of("alice@example.com")[0]))

    def test_one_flow_of_an_instance(self) -> None:
        """RFC 5626 7: a phone with two flows rings once, by the newest; the other is for when that fails."""
        first = self.bind("sip:a@h", instance='"<urn:x>"', reg_id=1, heard=1.0)
        second = self.bind("sip:a@h", instance='"<urn:x>"', reg_id=2, heard=2.0)
        plain = self.bind("sip:c@h", heard=0.0)
        self.assertEqual(self.bindings.lookup("alice@example.com", 0.0), [second, plain])
        self.assertEqual(self.bindings.alternates(second, [second.way], 0.0), [first])
        self.assertEqual(self.bindings.alternates(second, [second.way, first.way], 0.0), [])
        self.assertEqual(self.bindings.alternates(plain, [plain.way], 0.0), [])
        self.assertEqual(self.bindings.of("alice@example.com"), [first, second, plain])
        first.heard = 3.0
        self.bindings.refresh(first, first.contact, first.flow)
        self.assertEqual(self.bindings.lookup("alice@example.com", 0.0), [first, plain])
        self.assertEqual(self.bindings.alternates(first, [first.way], 0.0), [second])
        self.bindings.remove(second, "unregistered")
        self.assertEqual(self.bindings.alternates(first, [first.way], 0.0), [])
        self.bindings.remove(first, "unregistered")
        self.assertEqual(self.bindings.of("alice@example.com"), [plain])

    def test_expiry(self) -> None:
        """Nobody is called at a Contact that has expired; a refresh puts it off, also to an earlier time."""
        short, long = self.bind("sip:a@h", expires=10.0), self.bind("sip:b@h", expires=20.0)
        self.assertEqual(self.looked_up(10.0), ["sip:b@h"])
        short.expires = 30.0
        self.bindings.refresh(short, short.contact, short.flow)
        long.expires = 12.0
        self.bindings.refresh(long, long.contact, long.flow)
        self.bindings.expire(11.0)
        self.assertEqual(self.told, [])
        self.bindings.expire(13.0)
        self.assertEqual(self.told, [("sip:b@h", "expired")])
        self.bindings.expire(40.0)
        self.assertEqual(self.told[1:], [("sip:a@h", "expired")])
        self.bindings.expire(100.0)
        self.assertEqual((len(self.bindings), self.rows.rows), (0, {}))

    def test_nothing_is_left(self) -> None:
        """Of a phone that comes and goes: neither it nor its former times wait for anything."""
        for number in range(100):
            binding = self.bind(f"sip:{number}@h", expires=7200.0)
            binding.expires = 100.0
            self.bindings.refresh(binding, binding.contact, binding.flow)
            self.assertEqual(sum(map(len, self.bindings._due.values())), 1)
            self.bindings.remove(binding, "unregistered")
        self.assertEqual(sum(map(len, self.bindings._due.values())), 0)
        self.assertEqual(len(self.bindings._seconds), 2)
        self.bindings.expire(7300.0)
        self.assertEqual((self.bindings._due, self.bindings._seconds), ({}, []))

    def test_a_connection(self) -> None:
        """What came over a connection is reached by it, and gone with it; a refresh over another one moves it."""
        old, new = Wire(), Wire()
        binding = self.bind("sip:a@h", flow=Flow(TLS, "192.0.2.20", 40000, old))
        other = self.bind("sip:b@h", flow=Flow(TLS, "192.0.2.20", 40000, old))
        self.bindings.refresh(binding, binding.contact, Flow(TLS, "192.0.2.20", 40001, new))
        self.assertEqual([list(self.bindings.on(each)) for each in (old, new)], [[other], [binding]])
        new.standing = False
        self.assertEqual(self.looked_up(), ["sip:b@h"])
        self.bindings.closed(old)
        self.assertEqual(self.told, [("sip:b@h", "its connection is gone")])
        binding.direct = True
        self.assertEqual(self.looked_up(), ["sip:a@h"])
        self.bindings.remove(other, "again")
        self.assertEqual(len(self.told), 1)

    def test_a_user(self) -> None:
        """How many somebody has who proved who he is: also after a restart, and until another one has proved it."""

        def counts(bindings: Bindings) -> list[int]:
            return [len(bindings.by_user(user)) for user in ("alice", "bob", "")]

        first, second = self.bind("sip:a@h", user="alice"), self.bind("sip:b@h", user="alice", aor="b@example.com")
        nobody = self.bind("sip:c@h")
        self.assertEqual(counts(self.bindings), [2, 0, 0])
        self.bindings.refresh(first, first.contact, first.flow, user="bob")
        self.bindings.refresh(second, second.contact, second.flow)
        self.assertEqual((counts(self.bindings), first.user, second.user), ([1, 1, 0], "bob", "alice"))
        self.bindings.refresh(nobody, nobody.contact, nobody.flow, user="bob")
        again = Bindings(self.rows)
        again.load([UDP], 0.0)
        self.assertEqual([counts(each) for each in (self.bindings, again)], [[1, 2, 0]] * 2)
        self.bindings.refresh(nobody, nobody.contact, nobody.flow, user="")
        self.bindings.remove(first, "unregistered")
        self.bindings.expire(101.0)
        self.assertEqual(self.bindings._by_user, {})

    def test_rows_without_a_user(self) -> None:
        """What was written before there were any is nobody's."""
        self.bind("sip:a@h", user="alice")
        ((key, value),) = self.rows.rows.items()
        self.rows.rows[key] = msgspec.msgpack.encode(msgspec.msgpack.decode(value)[:-1])
        again = Bindings(self.rows)
        self.assertEqual(again.load([UDP], 0.0), 1)
        self.assertEqual([each.user for each in again], [""])

    def test_what_cannot_be_kept(self) -> None:
        """All or nothing: a binding that the store could not have is not there either."""
        self.assertRaises(UnicodeEncodeError, self.bind, "sip:\udcfc@h")
        self.assertEqual((len(self.bindings), self.rows.rows), (0, {}))

    def test_restart(self) -> None:
        """What the store has is there again: over UDP at once, over a stream when the phone has connected again."""
        full = self.bind("sip:a@h", 700, instance='"<urn:x>"', reg_id=1, heard=3.0)
        full.path, full.gruu, full.features, full.user_agent = ("<sip:p;lr>",), 7, ";audio", "Phone/1"
        full.call_id, full.cseq, full.since, full.user = "x@y", 4, 2.0, "alice"
        self.bindings.refresh(full, "sip:other@h", full.flow)
        self.bind("sip:b@h", flow=Flow(TLS, "192.0.2.20", 40000, Wire()))
        self.bind("sip:c@h", expires=5.0)
        self.bind("sip:d@h", flow=Flow(Listener("gone", "", "udp", "192.0.2.9", 5060), "192.0.2.20", 5060))
        self.rows.put(KIND, "of another version", b"?")
        again = Bindings(self.rows)
        self.assertEqual(again.load([UDP, TLS], 6.0), 2)
        self.assertEqual(len(self.rows.rows), 2)
        found, stream = again.of("alice@example.com")
        for name in Binding.__slots__:
            if name not in ("flow", "due"):
                self.assertEqual(getattr(found, name), getattr(full, name), name)
        self.assertEqual((found.flow.listener, found.flow.host, found.flow.port), (UDP, "192.0.2.20", 5060))
        self.assertFalse(stream.reachable)
        self.assertEqual(again.lookup("alice@example.com", 6.0), [found])

    def test_another_spelling(self) -> None:
        """A Contact that is the same by RFC 3261 19.1.4 takes the place of the other, in the store too."""
        binding = self.bind("sip:a@h")
        self.bindings.refresh(binding, "sip:a@H", binding.flow)
        self.assertEqual(list(self.rows.rows), [(KIND, "alice@example.com sip:a@H")])
