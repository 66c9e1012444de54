"""[registrar] for phones that register with somebody inside: its keys, and what is said of routes for REGISTER."""

from __future__ import annotations

from dataclasses import replace

from b2bua.call.registrar import Terms
from tests.test_config import BASE, ROUTE, ConfigCase

REGISTRAR = '[registrar]\nstore = "memory:"\n'
INWARDS = '[[route]]\nmethod = "REGISTER"\nto = "sip:10.0.0.20"\nsend_from = "private"\n'


class TestInside(ConfigCase):
    """Pass-through registration (S54)."""

    def test_keys(self) -> None:
        """What they become."""
        keys = "nat_ping = 20\nthrottle = 300\nphone_expires = 45\n"
        configuration = self.load(BASE + REGISTRAR + keys + INWARDS)
        self.assertEqual(configuration.registrar, replace(Terms(), nat_ping=20.0, throttle=300, phone_expires=45))

    def test_mistakes(self) -> None:
        """Each in its words."""
        for key, right in (
            ("nat_ping = -1", "must be seconds, up to an hour; 0 for never"),
            ("throttle = 100000", "must be whole seconds, up to a day; 0 for none"),
            ("phone_expires = 0", "must be whole seconds, from 1 to a year"),
        ):
            found = self.mistakes(BASE + REGISTRAR + key + "\n" + INWARDS)
            self.assertEqual(found, [f"registrar.{key}: {right}"])

    def test_warnings(self) -> None:
        """A route for REGISTER is a use of the registrar; without the table it is none."""
        warnings = [str(each) for each in self.load(BASE + REGISTRAR + INWARDS).warnings]
        self.assertEqual([each for each in warnings if "registrar" in each], [])
        warnings = [str(each) for each in self.load(BASE + INWARDS).warnings]
        self.assertEqual(len([each for each in warnings if "405 all the same: there is no [registrar]" in each]), 1)
        warnings = [str(each) for each in self.load(BASE + REGISTRAR + ROUTE).warnings]
        self.assertEqual(len([each for each in warnings if "nobody is sent to them" in each]), 1)
