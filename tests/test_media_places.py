"""Where a description wants its media, and whether the relay sends there."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.media import End
from b2bua.media.places import Wanted, wanted
from b2bua.sip.session import parse_session

PUBLIC = End("a", "outside", "198.51.100.1", "198.51.100.1", "203.0.113.9")
PRIVATE = End("b", "inside", "10.0.0.1", "10.0.0.1", "10.0.0.7")
SIX = End("c", "six", "2001:db8::1", "2001:db8::1", "2001:db8::7")


def places(end: End, host: str, more: str = "", port: int = 4000) -> tuple[Wanted, Wanted]:
    """What is made of a c= line with this host, and of the lines of its medium."""
    family = 6 if ":" in host else 4
    line = f"c=IN IP{family} {host}\n" if host else ""
    session = parse_session(f"v=0\n{line}m=audio {port} RTP/AVP 0\n{more}".encode())
    return wanted(session, session.media[0], end)


class TestPlaces(SynchronousTestCase):
    """One medium."""

    def test_as_announced(self) -> None:
        """Address and port, its reports one higher."""
        self.assertEqual(places(PUBLIC, "192.0.2.5"), (Wanted(("192.0.2.5", 4000)), Wanted(("192.0.2.5", 4001))))

    def test_one_spelling(self) -> None:
        """RFC 5952: as the socket will say it when a packet comes."""
        self.assertEqual(places(SIX, "2001:DB8:0:0::05")[0].place, ("2001:db8::5", 4000))

    def test_reports(self) -> None:
        """RFC 3605, RFC 5761: elsewhere, on the same port, or a word that means nothing."""
        for more, place in (
            ("a=rtcp:5000\n", ("192.0.2.5", 5000)),
            ("a=rtcp:5000 IN IP4 192.0.2.6\n", ("192.0.2.6", 5000)),
            ("a=rtcp:9 IN IP4 0.0.0.0\n", ("192.0.2.5", 4001)),
            ("a=rtcp:4000\na=rtcp-mux\n", ("192.0.2.5", 4001)),
            ("a=rtcp:0\n", None),
        ):
            self.assertEqual(places(PUBLIC, "192.0.2.5", more)[1].place, place)
        self.assertIsNone(places(PUBLIC, "192.0.2.5", port=65535)[1].place)

    def test_behind_a_nat(self) -> None:
        """RFC 7362: a private address from a public peer waits for the first packet, from a private one it does not."""
        for host in ("10.1.2.3", "172.31.0.9", "192.168.1.1", "100.64.3.4", "169.254.1.1"):
            self.assertEqual(places(PUBLIC, host)[0], Wanted((host, 4000), False))
            self.assertEqual(places(PRIVATE, host)[0], Wanted((host, 4000), True))
        self.assertFalse(places(SIX, "fd00::9")[0].reachable)
        self.assertTrue(places(PRIVATE, "192.0.2.5")[0].reachable)

    def test_names(self) -> None:
        """Nobody is asked for them: the signalling's address; the same where none is said."""
        self.assertEqual(places(PUBLIC, "phone.example.com")[0].place, ("203.0.113.9", 4000))
        self.assertEqual(places(PUBLIC, "")[0].place, ("203.0.113.9", 4000))

    def test_nowhere(self) -> None:
        """Holds, and what no single host of this family has, or only this machine."""
        for host in ("0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1", "239.1.1.1", "127.0.0.1", "2001:db8::9",
                     "1.2.3.4.5", "999.1.1.1", "01.2.3.4"):  # fmt: skip
            self.assertIsNone(places(PUBLIC, host)[0].place, host)
        for host in ("::", "::1", "ff02::1", "::ffff:192.0.2.1", "1:2:3", "fe80::1%eth0", "192.0.2.1", "a:b"):
            self.assertIsNone(places(SIX, host)[0].place, host)
