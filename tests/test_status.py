"""RFC 3261 21: status codes and their words."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.status import REASONS, reason_of


class TestReasons(SynchronousTestCase):
    """The words of a status."""

    def test_registered(self) -> None:
        """Each has its own words, which can stand in a status line."""
        for status, reason in REASONS.items():
            self.assertTrue(100 <= status < 700)
            self.assertEqual(reason_of(status), reason)
            self.assertTrue(reason.isascii() and reason.isprintable())
        self.assertEqual(list(REASONS), sorted(REASONS))

    def test_not_registered(self) -> None:
        """The words of the class, for every status that there can be."""
        for status in range(100, 700):
            self.assertTrue(reason_of(status))
        self.assertEqual((reason_of(199 - 1), reason_of(299), reason_of(499)), ("Progress", "OK", "Client Error"))
        self.assertEqual(
            (reason_of(399), reason_of(599), reason_of(699)), ("Redirection", "Server Error", "Global Failure")
        )
