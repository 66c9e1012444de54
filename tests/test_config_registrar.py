"""[registrar] and `to = "lookup"`: what they become, and each mistake in its exact words."""

from __future__ import annotations

import os
import re
from pathlib import Path

from b2bua.call.registrar import Terms
from b2bua.config.registrar import unusable
from b2bua.policy.routing import REGISTERED, Go, next_hop
from tests.test_config import BASE, ROUTE, ConfigCase

REGISTRAR = '[registrar]\nstore = "memory:"\n'
LOOKUP = '[[route]]\nto = "lookup"\n'


class TestRegistrar(ConfigCase):
    """[registrar]."""

    def wrong(self, keys: str) -> list[str]:
        """The mistakes, without the table's name."""
        found = self.mistakes(BASE + "[registrar]\n" + keys + "\n" + LOOKUP)
        return [each.removeprefix("registrar.") for each in found]

    def test_none(self) -> None:
        """Without the table there is no registrar, and nobody to look up."""
        self.assertIsNone(self.load(BASE + ROUTE).registrar)
        self.assertEqual(
            self.mistakes(BASE + LOOKUP), ['route[1].to = "lookup": nobody registers here: there is no [registrar]']
        )

    def test_every_key(self) -> None:
        """What it is where it is not given, and what is."""
        configuration = self.load(BASE + REGISTRAR + LOOKUP)
        self.assertEqual((configuration.registrar, configuration.store), (Terms(), "memory:"))
        keys = (
            'domains = ["example.com", "2001:db8::1"]\nzones = ["public"]\nmin_expires = 30\ndefault_expires = 40\n'
            "max_expires = 50\nmax_bindings = 3\nmax_users = 4\nmax_per_user = 5\nforeign_contacts = true\n"
        )
        configuration = self.load(BASE + REGISTRAR + keys + LOOKUP)
        self.assertEqual(
            configuration.registrar,
            Terms(("example.com", "2001:db8::1"), frozenset({"public"}), 30, 40, 50, 3, 4, 5, True),
        )

    def test_store(self) -> None:
        """A file beside the configuration, unless another is named; one that can be written."""
        store = self.load(BASE + "[registrar]\n" + LOOKUP).store
        self.assertTrue(store.startswith("sqlite:////") and store.endswith("/registrations.sqlite"), store)
        self.assertEqual(
            self.wrong('store = "redis://x"'),
            ['store = "redis://x": must be "memory:" or "sqlite:///" and the path of a file'],
        )
        (fault,) = self.wrong('store = "sqlite:////nowhere/at/all/x"')
        self.assertIn("no such directory: /nowhere/at/all", fault)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.assertIn("is a directory: name a file in it", unusable(str(folder)))
        self.patch(os, "access", lambda path, mode: False)
        self.assertEqual(unusable(f"{folder}/x"), f"cannot be written: {folder}/x")

    def test_mistakes(self) -> None:
        """Each in its words."""
        for keys, mistake in (
            ('domains = ["a:5060"]', 'domains = "a:5060": must be a host without a port: "example.com", "192.0.2.1"'),
            ('zones = ["x"]', 'zones = "x": no zone of that name; there are: private, public'),
            ("max_expires = 30", "max_expires = 30: must not be shorter than min_expires, which is 60"),
            (
                "default_expires = 9000",
                "default_expires = 9000: must be between min_expires and max_expires, 60 and 7200",
            ),
            ("max_bindings = 0", "max_bindings = 0: must be a whole number, from 1 to 1000"),
            ("max_users = -1", "max_users = -1: must be a whole number, from 1 to 10,000,000"),
            ("max_per_user = 0", "max_per_user = 0: must be a whole number, from 1 to 10,000,000"),
            ("min_expires = 0.5", "min_expires = 0.5: must be whole seconds, from 1 to a year"),
        ):
            self.assertEqual(self.wrong(keys), [mistake])


class TestLookup(ConfigCase):
    """`to = "lookup"`."""

    def test_in_a_list(self) -> None:
        """Alone or among others."""
        text = BASE + REGISTRAR + '[[route]]\nto = ["lookup", "sip:10.0.0.5"]\n'
        (rule,) = self.load(text).rules
        assert isinstance(rule.answer, Go)
        self.assertEqual([str(uri) for uri in rule.answer.to], ["lookup:lookup", "sip:10.0.0.5"])
        self.assertIn("to whoever is registered, then sip:10.0.0.5 by", rule.describe())
        self.assertIs(next_hop(REGISTERED), REGISTERED)

    def test_words(self) -> None:
        """How it is told of."""
        for hunt, words in (("serial", ""), ("parallel", " at once")):
            (rule,) = self.load(BASE + REGISTRAR + LOOKUP + f'hunt = "{hunt}"\n').rules
            self.assertIn(f"to whoever is registered{words}, each as it registered", rule.describe())

    def test_guessed(self) -> None:
        """What is nearly it."""
        (mistake,) = self.mistakes(BASE + REGISTRAR + '[[route]]\nto = "lokup"\n')
        self.assertIn('did you mean "lookup"?', mistake)

    def test_cautions(self) -> None:
        """A registrar without a route to its phones, and a send_from that nobody asks."""
        found = [str(each) for each in self.load(BASE + REGISTRAR + ROUTE).warnings]
        self.assertTrue(any("phones register, and nobody is sent to them" in each for each in found), found)
        text = BASE + REGISTRAR + LOOKUP
        found = [str(each) for each in self.load(text + 'send_from = "public"\nhunt = "parallel"\n').warnings]
        self.assertTrue(any("each phone is reached as it registered" in each for each in found), found)
        self.assertFalse(any("one target only" in each for each in found), found)
        found = [str(each) for each in self.load(text).warnings]
        self.assertTrue(any("media passes us by" in each for each in found), found)
        kept = text.replace('memory:"', 'memory:"\nzones = ["public"]').replace(
            "[[route]]", '[[route]]\nzone = "public"'
        )
        found = [str(each) for each in self.load(kept).warnings]
        self.assertFalse(any("media passes us by" in each for each in found), found)

    def test_open(self) -> None:
        """Each zone where phones register with us without a password is named; not where they register inside."""

        def zones(text: str) -> list[str]:
            found = [str(each) for each in self.load(text).warnings if each.key == "registrar"]
            said = (
                r"registrar: in zone (\w+) whoever says that he is alice is registered as alice and gets her calls: "
                r'give the zone authenticate = \["REGISTER"\], or the registrar zones without it'
            )
            open_ones = [re.search(f"{said}$", each) for each in found]
            return [each[1] for each in open_ones if each]

        self.assertEqual(zones(BASE + REGISTRAR + LOOKUP), ["public", "private"])
        self.assertEqual(zones(BASE + REGISTRAR + 'zones = ["public"]\n' + LOOKUP), ["public"])
        self.write("", "phones")
        asking = BASE.replace('name = "public"\n', 'name = "public"\nauthenticate = ["{}"]\n', 1)
        asking += REGISTRAR + LOOKUP + '[authentication]\nrealm = "r"\nusers = "phones"\n'
        self.assertEqual(zones(asking.replace("{}", "REGISTER")), ["private"])
        self.assertEqual(zones(asking.replace("{}", "calls")), ["public", "private"])
        inwards = '[[route]]\nmethod = "REGISTER"\nto = "sip:10.0.0.20"\nsend_from = "private"\n'
        self.assertEqual(zones(BASE + REGISTRAR + inwards), [])
        self.assertEqual(zones(BASE + REGISTRAR + inwards + 'zone = "public"\n'), ["private"])
        self.assertEqual(zones(BASE + REGISTRAR + inwards + 'domain = "example.com"\n'), ["public", "private"])
        self.assertEqual(zones(BASE + ROUTE), [])
