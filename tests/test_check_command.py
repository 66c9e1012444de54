"""`b2bua check`: everything that is wrong at once, or where each next hop leaves; and the watch that goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from b2bua.config import ConfigurationError
from b2bua.net.development import make_development_certificate
from b2bua.ops.check import check, read, say_mistakes
from b2bua.ops.next_hops import NextHopWatch
from b2bua.policy.interface import KernelRoute
from tests.world import TLS_TOO, TWO_SIDES, World

NO_RULES = TWO_SIDES.partition("[[route]]")[0]
AUTOMATIC = (
    NO_RULES
    + """
[[route]]
name = "pbx"
zone = "public"
to = ["sip:10.0.0.20;transport=tcp", "sip:pbx.example"]
[[route]]
name = "out"
to = "request-uri"
"""
)
ZONE = "pbx.example A 10.0.0.30"


class TestCheck(SynchronousTestCase):
    """What is said of a configuration that can be used."""

    def check(
        self, configuration: str, dns: str = "", kernel: Callable[[str], KernelRoute | None] | None = None
    ) -> str:
        """All that is said."""
        world = World(configuration, dns=dns, kernel=kernel)
        said: list[str] = []
        done: Deferred[None] = check(world.configuration, world.switchboard, kernel, said.append)
        self.successResultOf(done)
        self.assertEqual(world.story, [])
        return "\n".join(said)

    def test_next_hops(self) -> None:
        """S6: each next hop of each rule with the listener, source address, Via and Contact it would get, and why."""
        text = self.check(AUTOMATIC, ZONE)
        rule, _, rest = text.partition("Rule pbx: it comes from the zone public -> ")[2].partition("Rule out: ")
        first, _, second = rule.partition("\n  sip:pbx.example\n")
        for part, address, way in ((first, "10.0.0.20", "tcp"), (second, "10.0.0.30", "udp")):
            words = " ".join(part.split())
            self.assertIn(f"target {way}:{address}:5060", words)
            self.assertIn(f"listener private-{way} (zone private)", words)
            self.assertIn(f"why the kernel would send to {address} from 10.0.0.1", words)
            self.assertIn("source address 10.0.0.1", words)
            self.assertIn(f"Via SIP/2.0/{way.upper()} 10.0.0.1:5060;branch=z9hG4bK...;rport", words)
            self.assertIn(f"Contact <sip:...@10.0.0.1:5060;transport={way}>", words)
        self.assertIn("each request's own URI says where to; the kernel's route decides", rest)

    def test_listeners(self) -> None:
        """Every listener with what it is bound to and what it shows of itself."""
        text = self.check(TWO_SIDES.replace("port = 5060\n", 'port = 5060\nadvertise = "sbc.example:5070"\n', 1))
        self.assertRegex(text, r"public-udp +public +udp +192\.0\.2\.1:5060 +sbc\.example:5070")

    def test_no_way(self) -> None:
        """A next hop without a way out is a warning: the route may come later."""
        text = self.check(AUTOMATIC, kernel=lambda host: None)
        self.assertIn("nowhere  pbx.example: ", text)
        self.assertIn("route pbx: sip:10.0.0.20;transport=tcp has no way out now: the kernel has no route", text)
        self.assertIn("route pbx: sip:pbx.example has no way out now: pbx.example: ", text)

    def test_media(self) -> None:
        """S45: a route that crosses zones without a media relay is warned of."""
        text = self.check(AUTOMATIC, ZONE)
        warned = [line for line in text.splitlines() if line.startswith("warning: ")]
        self.assertTrue(any("route[1]" in line and "hiding is incomplete" in line for line in warned), text)
        self.assertTrue(text.splitlines()[-1].endswith(f"no mistakes, {len(warned)} warnings"), text)

    def test_who_carries_media(self) -> None:
        """Each pair of zones with its engine, the relay's ports, and every engine with its daemons."""
        text = self.check(AUTOMATIC, ZONE)
        self.assertRegex(text, r"(?m)^Media\nbetween +carried by\n[ -]+\npublic and public +nobody: it passes us by$")
        self.assertNotIn("Relay\n", text)
        text = self.check("[media]\nsilence = 20\n" + AUTOMATIC, ZONE)
        self.assertRegex(text, r"(?m)^public and private +relay$")
        self.assertIn("\nRelay\n  ports    UDP 30000 to 39999 on 192.0.2.1 and 10.0.0.1\n", text)
        self.assertIn("\n  silence  ends a call after 20 s\n", text)
        self.assertNotIn("hiding is incomplete", text)
        engine = '[[engine]]\nname = "rtp"\ninterfaces = {public = "out"}\npatience = 0.5\n'
        engine += 'daemons = [{address = "127.0.0.1:2223"}, {address = "[::1]:2223", weight = 2}]\n'
        text = " ".join(self.check('[media]\nauto = "rtp"\n' + engine + AUTOMATIC, ZONE).split())
        self.assertIn("public and private rtp", text)
        daemons = "daemons 127.0.0.1:2223 (weight 1), [::1]:2223 (weight 2)"
        self.assertIn(f"Engine rtp {daemons} interfaces public: out", text)
        self.assertIn("answered within 0.5 s; asked whether they are alive every 5 s", text)
        self.assertNotIn("Relay ports", text)

    def test_who_carries_media_by_a_route(self) -> None:
        """A route that says otherwise stands in the same table."""
        inwards = '[[route]]\nname = "in"\nzone = "public"\nto = "sip:10.0.0.20"\nsend_from = "private-udp"\n'
        again = inwards.replace('"in"', '"again"')
        text = self.check(NO_RULES + inwards + 'media = "relay"\n' + again + 'media = "auto"\n', ZONE)
        nobody = "nobody: it passes us by"
        self.assertRegex(text, rf"(?m)^public and public +{nobody}$")
        self.assertRegex(text, rf"(?m)^public and private +{nobody}; by routes in, again: relay$")
        text = self.check("[media]\n" + NO_RULES + inwards + 'media = "none"\n' + again + 'media = "auto"\n', ZONE)
        self.assertRegex(text, r"(?m)^public and private +relay; by route in: nobody$")

    def test_media_of_one_zone(self) -> None:
        """Where zones are the same, families may differ."""
        six = '[[listener]]\nname = "six"\nzone = "public"\ntransport = "udp"\naddress = "2001:db8::1"\n'
        text = self.check("[media]\n" + NO_RULES + six)
        self.assertRegex(text, r"(?m)^public and public +relay, between IPv4 and IPv6 only$")
        self.assertRegex(text, r"(?m)^private and private +nobody: it passes us by$")

    def test_script(self) -> None:
        """Where a script sends requests cannot be known before."""
        world = World('policy = "p.py"\n' + TWO_SIDES, {"p.py": "def route(request, listeners): return None\n"})
        said: list[str] = []
        self.successResultOf(check(world.configuration, world.switchboard, None, said.append))
        self.assertIn("p.py is asked before the rules", "\n".join(said))

    def test_certificates(self) -> None:
        """What a certificate's owner should know is said once, however many listeners show it."""
        folder = Path(self.mktemp()).absolute()
        make_development_certificate(folder / "tls")
        os.chmod(folder / "tls" / "key.pem", 0o644)
        (folder / "b2bua.toml").write_text(TWO_SIDES + TLS_TOO)
        world = World()
        said: list[str] = []
        configuration = read(str(folder / "b2bua.toml"))
        self.successResultOf(check(configuration, world.switchboard, None, said.append))
        text = "\n".join(said)
        self.assertEqual(text.count("this key can be read by every user of the machine"), 1, text)

    def test_manhole(self) -> None:
        """A manhole that nobody can enter, and one whose passwords can be overheard."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "users").write_text("")
        (folder / "b2bua.toml").write_text(TWO_SIDES + '[manhole]\naddress = "192.0.2.1"\nusers = "users"\n')
        world = World()
        said: list[str] = []
        self.successResultOf(check(read(str(folder / "b2bua.toml")), world.switchboard, None, said.append))
        text = "\n".join(said)
        self.assertIn("users: there is no user in it: nobody can log in", text)
        self.assertIn("telnet to 192.0.2.1 is not encrypted", text)


class TestMistakes(SynchronousTestCase):
    """What is said of one that cannot."""

    def mistakes(self, text: str, **files: str) -> list[str]:
        """Every mistake, a line each."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content)
        (folder / "b2bua.toml").write_text(text)
        said: list[str] = []
        say_mistakes(self.assertRaises(ConfigurationError, read, str(folder / "b2bua.toml")), said.append)
        return said

    def test_all_at_once(self) -> None:
        """Each with key, value and what would be right, and how many there are."""
        text = TWO_SIDES.replace('transport = "udp"', 'transport = "upd"', 1).replace('"private"', '"privat"', 1)
        said = self.mistakes(text + "colour = 1\n")
        self.assertTrue(all(line.startswith("error: ") for line in said[:-1]))
        self.assertIn('listener[1].transport = "upd": must be "udp", "tcp" or "tls"', said[0] + said[1] + said[2])
        self.assertEqual(said[-1], f"{len(said) - 1} mistakes")
        self.assertGreater(len(said), 4)

    def test_no_certificates_yet(self) -> None:
        """Where certificates are missing, how to make some is said once, at the end."""
        said = self.mistakes(TWO_SIDES + TLS_TOO.replace("tls/", "certs/"))
        self.assertEqual(said[-2], "4 mistakes")
        self.assertRegex(said[-1], "^To try things out: b2bua development-certificate /.*/certs$")

    def test_certificates(self) -> None:
        """A damaged certificate is a mistake of the key that names it."""
        said = self.mistakes(
            TWO_SIDES + TLS_TOO.replace("tls/", ""), **{"certificate.pem": "no certificate", "key.pem": "no key"}
        )
        self.assertTrue(
            any("listener[5].certificate" in line and "holds no certificate" in line for line in said), said
        )

    def test_manhole(self) -> None:
        """A users' file that nobody could log in by is found before the bridge starts."""
        manhole = '\n[manhole]\nusers = "users"\n'
        said = self.mistakes(TWO_SIDES + manhole, users="alice:secret\n")
        self.assertIn("manhole.users", said[0])
        self.assertIn("users:1: what follows the name is no hash of b2bua passwd", said[0])
        self.assertEqual(said[1:], ["1 mistake"])


class TestWatch(SynchronousTestCase):
    """S6: every configured next hop is looked at at start and again at every change; only what changed is said."""

    def setUp(self) -> None:
        """A world whose routes the test changes."""
        self.route: KernelRoute | None = KernelRoute("10.0.0.1", "eth1")
        self.world = World(AUTOMATIC, dns=ZONE, kernel=lambda host: self.route)
        self.watch = NextHopWatch(self.world.switchboard, self.world.configuration.rules, {})
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def look(self) -> list[tuple[LogLevel, str]]:
        """What is said of one look."""
        self.events.clear()
        self.watch.look()
        return [(event["log_level"], formatEvent(event)) for event in self.events]

    def test_nothing_to_say(self) -> None:
        """As long as all is well nothing is said, neither at start nor later."""
        self.assertEqual(self.look() + self.look(), [])

    def test_lost_and_found(self) -> None:
        """Once when a next hop loses its interface, once when it has one again."""
        self.look()
        self.route = None
        lost = self.look()
        self.assertEqual([level for level, _ in lost], [LogLevel.warn] * 2)
        self.assertIn("next hop sip:10.0.0.20;transport=tcp of rule pbx has no way out: the kernel has no", lost[0][1])
        self.assertEqual(self.look(), [])
        self.route = KernelRoute("10.0.0.1", "eth1")
        found = self.look()
        self.assertEqual([level for level, _ in found], [LogLevel.info] * 2)
        self.assertIn("sip:10.0.0.20;transport=tcp of rule pbx has a way out again, by private-tcp:", found[0][1])
        self.assertEqual(self.look(), [])

    def test_at_start(self) -> None:
        """What has no way out at start is said at once."""
        self.route = KernelRoute("203.0.113.1", "eth7")
        self.assertEqual([level for level, _ in self.look()], [LogLevel.warn] * 2)

    def test_another_listener(self) -> None:
        """A next hop that moves to another network is news."""
        self.look()
        self.route = KernelRoute("192.0.2.1", "eth0")
        moved = self.look()
        self.assertEqual([level for level, _ in moved], [LogLevel.info] * 2)
        self.assertIn("leaves from now on by public-tcp: the kernel would send to 10.0.0.20", moved[0][1])

    def test_names_take_their_time(self) -> None:
        """What is said of a name is said when the answer is there."""
        self.world.dns_delay = 0.5
        self.route = None
        self.assertEqual(len(self.look()), 1)
        self.world.wait(3)  # NAPTR, SRV and A, one after the other
        self.assertEqual(len(self.events), 2)
