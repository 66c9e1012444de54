"""The configuration file: what it becomes, and each mistake in its exact words."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.limits import Limits
from b2bua.config import Configuration, ConfigurationError, Log, Manhole, Override, TlsOutwards, load
from b2bua.config.cautions import media_caution
from b2bua.net.certificates import KeyPair, ServerFiles
from b2bua.net.development import make_development_certificate
from b2bua.net.devices import Devices
from b2bua.policy.body import Exceptions
from b2bua.policy.routing import Go, Reject, decide
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed, parse_host_port
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Request
from b2bua.sip.uri import parse_uri
from b2bua.transaction.timers import Timers
from tests.pki import issue, make_ca

ETC = Path(__file__).resolve().parent.parent / "etc"
MACHINE: Devices = {
    "lo": {4: ["127.0.0.1"], 6: ["::1"]},
    "eth0": {4: ["192.0.2.1", "192.0.2.2"], 6: ["2001:db8::1"]},
    "eth1": {4: ["10.0.0.1"], 6: []},
}
HAS = "eth0 (192.0.2.1, 192.0.2.2, 2001:db8::1), eth1 (10.0.0.1), lo (127.0.0.1, ::1)"

ZONES = """
[[zone]]
name = "public"
[[zone]]
name = "private"
"""
PUBLIC = """
[[listener]]
name = "public-udp"
zone = "public"
transport = "udp"
address = "192.0.2.1"
"""
PRIVATE = """
[[listener]]
name = "private-tcp"
zone = "private"
transport = "tcp"
address = "10.0.0.1"
"""
BASE = ZONES + PUBLIC + PRIVATE
ROUTE = '[[route]]\nto = "sip:10.0.0.5"\n'
ADDRESS = 'must be an address without port or brackets: "192.0.2.1" or "2001:db8::1"'
NAMES = "there are: private-tcp, public-udp; of zones there are: private, public"

CA = make_ca()
PAIR = issue(CA, uris=["sip:example.com"])
OTHER = issue(CA, dns=["other.example"])


class ConfigCase(SynchronousTestCase):
    """Writes files and loads them."""

    def setUp(self) -> None:
        """A directory for the files of one test."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.path = str(self.folder / "b2bua.toml")

    def write(self, text: str | bytes, name: str = "b2bua.toml") -> str:
        """The path of a file beside the configuration, which has this name by default."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def load(self, text: str | bytes, machine: Devices = MACHINE) -> Configuration:
        """What this text means."""
        return load(self.write(text), machine)

    def mistakes(self, text: str | bytes, machine: Devices = MACHINE) -> list[str]:
        """What is said of this text, less the file's name."""
        path = self.write(text)
        error = self.assertRaises(ConfigurationError, load, path, machine)
        for mistake in error.mistakes:
            self.assertTrue(str(mistake).startswith(mistake.file))
        return [str(mistake).removeprefix(f"{path}: ") for mistake in error.mistakes]

    def warnings(self, text: str, machine: Devices = MACHINE) -> list[str]:
        """What is warned of in this text, less the file's name."""
        return [str(warning).removeprefix(f"{self.path}: ") for warning in self.load(text, machine).warnings]

    def listener(self, lines: str, machine: Devices = MACHINE) -> Listener:
        """The one listener that these lines make."""
        (made,) = self.load(ZONES + "[[listener]]\n" + lines, machine).listeners
        return made

    def wrong_listener(self, lines: str, machine: Devices = MACHINE) -> list[str]:
        """What is said of a listener with these lines, less where it stands."""
        head = '[[listener]]\nname = "a"\nzone = "public"\n'
        return [each.removeprefix("listener[1].") for each in self.mistakes(ZONES + head + lines, machine)]

    def wrong_route(self, lines: str, base: str = BASE) -> list[str]:
        """What is said of a route with these lines, less where it stands."""
        return [each.removeprefix("route[1].") for each in self.mistakes(f"{base}[[route]]\n{lines}\n")]


class TestFile(ConfigCase):
    """The file itself."""

    def test_not_there(self) -> None:
        """No file, or no file that can be read."""
        error = self.assertRaises(ConfigurationError, load, self.path)
        self.assertEqual(str(error), f"{self.path}: no such file")
        error = self.assertRaises(ConfigurationError, load, str(self.folder))
        self.assertEqual(str(error), f"{self.folder}: cannot be read: Is a directory")

    def test_not_toml(self) -> None:
        """What TOML itself refuses, with line and column."""
        (said,) = self.mistakes("a = 1\nb = \n")
        self.assertEqual(said, "not TOML: Invalid value (at line 2, column 5)")
        self.assertEqual(self.mistakes(b'a = "\xff"'), ["not UTF-8 at octet 5"])

    def test_empty(self) -> None:
        """Something to listen on is needed."""
        self.assertEqual(self.mistakes(""), ["listener: missing: at least one [[listener]] is needed"])

    def test_every_mistake_at_once(self) -> None:
        """Not only the first of a file, of a table, or of a list."""
        said = self.mistakes(
            """
            polici = "policy.py"
            [[zone]]
            name = "public"
            trusted = 1
            [[listener]]
            name = "a"
            zone = "publik"
            transport = "sctp"
            address = "example.com"
            port = 0
            [[listener]]
            name = "a"
            zone = "public"
            adress = "192.0.2.1"
            [[route]]
            zone = ["x", "y"]
            user = "regex:("
            to = ["10.0.0.1", "sip:10.0.0.1"]
            send_from = "b"
            [timers]
            t1 = -1
            t2 = "x"
            [log]
            level = "all"
            """
        )
        self.assertEqual(
            [each.partition(":")[0].partition(" =")[0] for each in said],
            [
                "polici",
                "zone[1].trusted",
                "listener[1].transport",
                "listener[1].port",
                "listener[1].zone",
                "listener[1].address",
                "listener[2].adress",
                "listener[2].transport",
                "listener[2].name",
                "listener[2].address",
                "route[1].zone",
                "route[1].zone",
                "route[1].user",
                "route[1].to",
                "route[1].send_from",
                "timers.t1",
                "timers.t2",
                "log.level",
            ],
        )

    def test_anything(self) -> None:
        """Whatever stands where, it is a configuration or mistakes, never another exception."""
        keys = {
            "": "policy user_agent zone listener route hiding timers call tls networks dns manhole log",
            "[[zone]]": "name trusted keep_hosts",
            "[[listener]]": "name zone transport address device family index port advertise aliases force_rport "
            "certificate key client_certificate client_ca certificates",
            "[[route]]": "name to send_from reject reason method user domain zone listener network header",
            "[[hiding]]": "from to keep drop keep_bodies drop_bodies keep_location",
            "[timers]": "t1 t2 t4",
            "[call]": "max_duration ring_timeout probe session_expires min_se",
            "[tls]": "ca verify",
            "[networks]": '"10.0.0.0/8" "" "%" "::/0"',
            "[dns]": "servers",
            "[manhole]": "address port users ssh_port",
            "[log]": "format level",
        }
        values = (
            '"" "a" "\\u0000" "\\r\\n" "\u00e9\u2028" "." "/" "auto" "tls" "0.0.0.0" "::" "regex:[" "sip:" '
            '0 -1 1.5 nan inf 9999999999999999999 true 2026-01-01 10:00:00 [] [[]] [""] ["a",1] [{}] {} {""=1} {a="b"}'
        ).split(" ")
        rest = {"[[zone]]": ZONES, "[[listener]]": PUBLIC, "[[route]]": ROUTE}
        for section, names in keys.items():
            for name in names.split(" "):
                for value in values:
                    others = "" if not section else "".join(rest.values())
                    lines = [f"{name} = {value}", section, f"{name} = {value}", others]
                    path = self.write("\n".join(lines[1:] if section else [lines[0], *rest.values()]))
                    try:
                        load(path, MACHINE)
                    except ConfigurationError as error:
                        self.assertTrue(all(str(mistake).isprintable() for mistake in error.mistakes), str(error))

    def test_unknown_keys(self) -> None:
        """With the key that was meant, or those there are."""
        self.assertEqual(
            self.mistakes(f"{BASE}trasport = 1\n[manhole]\nprot = 5\n[tls]\nx = [1, 2]\n[lgo]\n"),
            [
                'lgo = {}: no such key; did you mean "log"?',
                'listener[2].trasport = 1: no such key; did you mean "transport"?',
                "tls.x = [1, 2]: no such key; the keys here are: ca, verify",
                'manhole.prot = 5: no such key; did you mean "port"?',
            ],
        )

    def test_shapes(self) -> None:
        """A table where there should be a list of them, and the other way round."""
        self.assertEqual(
            self.mistakes("zone = 5\nlistener = [1]\n[route]\n[[timers]]\n[[networks]]\n[[hiding]]\n"),
            [
                "zone = 5: must be a list of tables: [[zone]]",
                "listener = [1]: must be a list of tables: [[listener]]",
                "route = {}: must be a list of tables: [[route]]",
                'networks = [{}]: must be a table: [networks] with lines such as "10.0.0.0/8" = "private"',
                "hiding[1].from: missing: it must be a text",
                "hiding[1].to: missing: it must be a text",
                "timers = [{}]: must be a table: [timers]",
            ],
        )

    def test_top(self) -> None:
        """`user_agent` and `policy`."""
        self.assertEqual(self.load('user_agent = "Border 1"\n' + BASE).user_agent, "Border 1")
        self.assertEqual(self.load(BASE).user_agent, "")
        self.assertEqual(
            self.mistakes('user_agent = "a\\r\\nb"\npolicy = 5\n' + BASE),
            ["policy = 5: must be the path of a file", r'user_agent = "a\r\nb": must be one line of text'],
        )

    def test_defaults(self) -> None:
        """What is not said."""
        configuration = self.load(BASE + ROUTE)
        self.assertEqual(configuration.path, self.path)
        self.assertEqual(configuration.timers, Timers())
        self.assertEqual(configuration.call, Limits())
        self.assertEqual(configuration.tls, TlsOutwards("system", True))
        self.assertEqual(configuration.log, Log("text", "info"))
        self.assertEqual(configuration.dns, ())
        self.assertEqual(configuration.networks, {})
        self.assertEqual(configuration.hiding, ())
        self.assertEqual(configuration.tls_files, {})
        self.assertEqual((configuration.policy, configuration.script), ("", None))
        self.assertIsNone(configuration.manhole)
        self.assertIsNone(configuration.authentication)
        self.assertRaises(AttributeError, setattr, configuration, "path", "x")

    def test_this_machine(self) -> None:
        """Without being told, it asks the machine."""
        configuration = load(self.write(ZONES + PUBLIC.replace("192.0.2.1", "127.0.0.1")))
        self.assertEqual(configuration.listeners[0].address, "127.0.0.1")
        self.assertNotEqual(configuration.listeners[0].device, "")


class TestZones(ConfigCase):
    """[[zone]]."""

    def test_zones(self) -> None:
        """By name."""
        zones = self.load('[[zone]]\nname = "x"\ntrusted = true\nkeep_hosts = ["From", "To"]\n' + BASE).zones
        self.assertEqual(list(zones), ["x", "public", "private"])
        self.assertEqual(zones["x"], Zone("x", True, frozenset({"From", "To"})))
        self.assertEqual(zones["public"], Zone("public"))

    def test_mistakes(self) -> None:
        """Names and hosts."""
        name = "must be a name of letters, digits and the signs - _ ."
        taken = "this word has a meaning of its own in rules; choose another name"
        self.assertEqual(
            self.mistakes(
                '[[zone]]\ntrusted = "yes"\n[[zone]]\nname = "a b"\nkeep_hosts = ["Via"]\n'
                '[[zone]]\nname = "public"\n[[zone]]\nname = "auto"\n' + BASE
            ),
            [
                f"zone[1].name: missing: it {name}",
                'zone[1].trusted = "yes": must be true or false',
                f'zone[2].name = "a b": {name}',
                'zone[2].keep_hosts = ["Via"]: must be a list of "From", "To" and "Request-URI"',
                f'zone[4].name = "auto": {taken}',
                'zone[5].name = "public": another zone has this name already',
            ],
        )


class TestListeners(ConfigCase):
    """[[listener]]."""

    def test_whole(self) -> None:
        """Every key that is not about TLS."""
        made = self.listener(
            'name = "a"\nzone = "public"\ntransport = "udp"\naddress = "192.0.2.2"\nport = 5070\n'
            'advertise = "SBC.example.com:5090"\naliases = ["Example.com", "[2001:DB8::9]"]\nforce_rport = true\n'
        )
        self.assertEqual(
            made,
            Listener(
                "a",
                "public",
                "udp",
                "192.0.2.2",
                5070,
                "SBC.example.com",
                5090,
                ("example.com", "2001:db8::9"),
                "eth0",
                True,
            ),
        )

    def test_defaults(self) -> None:
        """Ports by transport; the advertised port is optional (S9)."""
        head = 'name = "a"\nzone = "public"\naddress = "2001:DB8:0::1"\nadvertise = "[2001:db8::5]"\n'
        made = self.listener(head + 'transport = "tcp"')
        self.assertEqual((made.address, made.port, made.device), ("2001:db8::1", 5060, "eth0"))
        self.assertEqual(made.sent_by, "[2001:db8::5]:5060")
        self.assertEqual(
            self.listener(head.partition("advertise")[0] + 'transport = "udp"').sent_by, "[2001:db8::1]:5060"
        )

    def test_device(self) -> None:
        """A device, its family, and which of its addresses."""
        head = 'name = "a"\nzone = "public"\ntransport = "udp"\n'
        made = self.listener(head + 'device = "eth0"')
        self.assertEqual((made.address, made.device), ("192.0.2.1", "eth0"))
        self.assertEqual(self.listener(head + 'device = "eth0"\nindex = 1').address, "192.0.2.2")
        self.assertEqual(self.listener(head + 'device = "eth0"\nfamily = 6').address, "2001:db8::1")

    def test_device_mistakes(self) -> None:
        """What the machine has is listed."""
        head = 'transport = "udp"\n'
        self.assertEqual(
            self.wrong_listener(head + 'device = "eth9"'),
            [f'device = "eth9": no device of that name; this machine has: {HAS}'],
        )
        self.assertEqual(
            self.wrong_listener(head + 'device = "eth1"\nfamily = 6'),
            [f'device = "eth1": eth1 has no IPv6 address that can be used; this machine has: {HAS}'],
        )
        self.assertEqual(
            self.wrong_listener(head + 'device = "eth0"\nindex = 2'),
            ['device = "eth0": eth0 has 2 IPv4 addresses: 0 is 192.0.2.1, 1 is 192.0.2.2'],
        )
        self.assertEqual(
            self.wrong_listener(head + 'device = "eth0"\nfamily = 5\nindex = -1'),
            ["family = 5: must be 4 or 6", "index = -1: must be a number: 0 is the device's first address"],
        )
        self.assertEqual(self.wrong_listener(head + "device = 5"), ["device = 5: must be a text"])

    def test_address_or_device(self) -> None:
        """One of them."""
        head = 'transport = "udp"\n'
        self.assertEqual(self.wrong_listener(head), ["address: missing: give an address or a device"])
        self.assertEqual(
            self.wrong_listener(head + 'device = "eth0"\naddress = "192.0.2.1"'),
            ['device = "eth0": give address or device, not both'],
        )
        self.assertEqual(
            self.wrong_listener(head + 'address = "192.0.2.1"\nfamily = 4\nindex = 0'),
            [
                "family = 4: belongs to device, which is not given",
                "index = 0: belongs to device, which is not given",
            ],
        )

    def test_addresses(self) -> None:
        """Addresses of one machine, which mean the same everywhere (S12)."""
        link = "a link-local address means nothing beyond its link, and no message may carry it: use another"
        for address, message in (
            ("", ADDRESS),
            ("localhost", ADDRESS),
            ("192.0.2.1:5060", ADDRESS),
            ("192.0.2.256", ADDRESS),
            ("[2001:db8::1]", ADDRESS),
            ("fe80::1", link),
            ("fe80::1%eth0", link),
            ("2001:db8::1%eth0", link),
            ("224.0.1.75", "must be an address of one machine, not of a group"),
            ("ff02::1", "must be an address of one machine, not of a group"),
            ("255.255.255.255", "must be an address of one machine, not of a group"),
            ("::ffff:192.0.2.1", 'an IPv4 address in disguise: write "192.0.2.1"'),
        ):
            said = self.wrong_listener(f'transport = "udp"\naddress = "{address}"')
            self.assertEqual(said, [f'address = "{address}": {message}'])
        self.assertEqual(self.wrong_listener('transport = "udp"\naddress = 5'), ["address = 5: must be a text"])

    def test_ports(self) -> None:
        """1 to 65535, and nothing that only looks like it."""
        for port in ("0", "65536", "-1", '"5060"', "5060.0", "true"):
            said = self.wrong_listener(f'transport = "udp"\naddress = "192.0.2.1"\nport = {port}')
            self.assertEqual(said, [f"port = {port}: must be a port, 1 to 65535"])

    def test_names(self) -> None:
        """Zone, transport, name."""
        self.assertEqual(
            self.mistakes(
                ZONES
                + '[[listener]]\nname = "request-uri"\nzone = "publik"\ntransport = "UDP"\naddress = "192.0.2.1"\n'
                '[[listener]]\nname = "a@b"\nzone = ""\ntransport = "ws"\naddress = "192.0.2.1"\n'
                "[[listener]]\n" + PUBLIC + PUBLIC.replace("192.0.2.1", "192.0.2.2")
            ),
            [
                'listener[1].transport = "UDP": must be "udp", "tcp" or "tls"',
                'listener[1].name = "request-uri": this word has a meaning of its own in rules; choose another name',
                'listener[1].zone = "publik": no zone of that name; there are: private, public',
                'listener[2].name = "a@b": must be a name of letters, digits and the signs - _ .',
                'listener[2].transport = "ws": must be "udp", "tcp" or "tls"',
                'listener[2].zone = "": no zone of that name; there are: private, public',
                "listener[3].name: missing: it must be a name of letters, digits and the signs - _ .",
                "listener[3].zone: missing: it must be a text",
                'listener[3].transport: missing: it must be "udp", "tcp" or "tls"',
                "listener[3].address: missing: give an address or a device",
                'listener[5].name = "public-udp": another listener has this name already',
            ],
        )
        self.assertEqual(self.mistakes(PUBLIC), ['listener[1].zone = "public": no zone of that name; there are none'])

    def test_name_of_a_zone(self) -> None:
        """A listener that is called like a zone: allowed, but doubtful."""
        self.assertIn(
            'listener[1].name = "public": a zone has this name too: send_from will mean the listener',
            self.warnings(ZONES + PUBLIC.replace("public-udp", "public")),
        )

    def test_same_socket(self) -> None:
        """Two listeners cannot have one socket; TCP and TLS are the same there, UDP is not."""
        self.folder.joinpath("x").mkdir()
        PAIR.write(self.folder)
        twin = PRIVATE.replace("private-tcp", "twin")
        self.assertEqual(
            self.mistakes(BASE + twin),
            ["listener[3].port = 5060: twin (tcp) and private-tcp (tcp) are both on 10.0.0.1 port 5060"],
        )
        secure = twin.replace('"tcp"', '"tls"') + 'port = 5060\ncertificate = "test.pem"\nkey = "test.key"\n'
        self.assertEqual(
            self.mistakes(BASE + secure),
            ["listener[3].port = 5060: twin (tls) and private-tcp (tcp) are both on 10.0.0.1 port 5060"],
        )
        self.assertEqual(len(self.load(BASE + twin.replace('"tcp"', '"udp"')).listeners), 3)
        self.assertEqual(len(self.load(BASE + twin + "port = 5070\n").listeners), 3)

    def test_advertise(self) -> None:
        """A host, with a port if it is another."""
        right = (
            'must be a host, with a port if it is another: "sbc.example.com", "192.0.2.1:5070" or "[2001:db8::1]:5060"'
        )
        head = 'transport = "udp"\naddress = "192.0.2.1"\n'
        for text in ("a b", "2001:db8::1", "example.com:0", "[fe80::1%eth0]"):
            why = self.assertRaises(Malformed, parse_host_port, text, "").reason
            self.assertEqual(
                self.wrong_listener(f'{head}advertise = "{text}"'), [f'advertise = "{text}": {why}; {right}']
            )

    def test_aliases(self) -> None:
        """Hosts, each told that is none."""
        right = "must be a host without a port, IPv6 in brackets"
        self.assertEqual(
            self.wrong_listener('transport = "udp"\naddress = "192.0.2.1"\naliases = ["a:5060", "b", "2001:db8::1"]'),
            [
                f'aliases = "a:5060": not a host name or address; {right}',
                f'aliases = "2001:db8::1": not a host name or address; {right}',
            ],
        )
        self.assertEqual(
            self.wrong_listener('transport = "udp"\naddress = "192.0.2.1"\naliases = "a"'),
            ['aliases = "a": must be a list of texts: ["...", "..."]'],
        )

    def test_not_here(self) -> None:
        """An address that the machine does not have now may come later: only a warning."""
        said = "this machine does not have the address now; its IPv4 addresses are: "
        said += "127.0.0.1, 192.0.2.1, 192.0.2.2, 10.0.0.1"
        text = ZONES + PUBLIC.replace("192.0.2.1", "192.0.2.9") + ROUTE
        self.assertEqual(self.warnings(text), [f'listener[1].address = "192.0.2.9": {said}'])
        self.assertEqual(self.load(text).listeners[0].device, "")
        none = "this machine does not have the address now; its IPv6 addresses are: none"
        text = ZONES + PUBLIC.replace("192.0.2.1", "2001:db8::1") + "[[route]]\nreject = 403\n"
        self.assertEqual(self.warnings(text, {}), [f'listener[1].address = "2001:db8::1": {none}'])
        self.assertEqual(self.warnings(ZONES + PUBLIC.replace("192.0.2.1", "127.0.0.2") + ROUTE), [])


class TestWildcards(ConfigCase):
    """0.0.0.0 and :: are one listener for each address of the machine (S8)."""

    EVERY = ZONES + PUBLIC.replace("192.0.2.1", "0.0.0.0")

    def test_expanded(self) -> None:
        """Each with its own name and device; the rest they share."""
        listeners = self.load(self.EVERY + 'port = 5070\naliases = ["x"]\n').listeners
        self.assertEqual(
            [(each.name, each.address, each.device) for each in listeners],
            [
                ("public-udp@127.0.0.1", "127.0.0.1", "lo"),
                ("public-udp@192.0.2.1", "192.0.2.1", "eth0"),
                ("public-udp@192.0.2.2", "192.0.2.2", "eth0"),
                ("public-udp@10.0.0.1", "10.0.0.1", "eth1"),
            ],
        )
        self.assertEqual({(each.port, each.aliases, each.zone) for each in listeners}, {(5070, ("x",), "public")})
        six = self.load(ZONES + PUBLIC.replace("192.0.2.1", "0::0")).listeners
        self.assertEqual([each.name for each in six], ["public-udp@::1", "public-udp@2001:db8::1"])

    def test_no_address(self) -> None:
        """A machine without that family."""
        self.assertEqual(
            self.wrong_listener('transport = "udp"\naddress = "::"', {"eth1": MACHINE["eth1"]}),
            ['address = "::": this machine has no IPv6 address; it has: eth1 (10.0.0.1)'],
        )

    def test_files(self) -> None:
        """Each has the TLS files."""
        PAIR.write(self.folder)
        text = self.EVERY.replace('"udp"', '"tls"') + 'certificate = "test.pem"\nkey = "test.key"\n'
        configuration = self.load(text)
        self.assertEqual(list(configuration.tls_files), [each.name for each in configuration.listeners])
        self.assertEqual(configuration.listeners[0].port, 5061)

    def test_in_rules(self) -> None:
        """A condition on it means every one; to send from, one has to be named."""
        text = self.EVERY + PRIVATE.replace("10.0.0.1", "127.0.0.2")
        (rule,) = self.load(f'{text}{ROUTE}listener = "public-udp"\nsend_from = "public-udp@10.0.0.1"\n').rules
        self.assertTrue(rule.may_come_by(self.load(text).listeners[2]))
        self.assertEqual(
            self.wrong_route('to = "sip:10.0.0.5"\nsend_from = "public-udp"', text),
            [
                'send_from = "public-udp": a wildcard address is a listener for each address: name one of '
                "public-udp@127.0.0.1, public-udp@192.0.2.1, public-udp@192.0.2.2, public-udp@10.0.0.1, or a zone"
            ],
        )

    def test_beside_others(self) -> None:
        """What is on one of the addresses already."""
        self.assertEqual(
            self.mistakes(self.EVERY + PUBLIC.replace("public-udp", "b")),
            ["listener[2].port = 5060: b (udp) and public-udp@192.0.2.1 (udp) are both on 192.0.2.1 port 5060"],
        )


class TestTls(ConfigCase):
    """TLS files of listeners, and [tls] (S50, S51)."""

    HEAD = 'transport = "tls"\naddress = "192.0.2.1"\n'
    FILES = 'certificate = "test.pem"\nkey = "test.key"\n'

    def setUp(self) -> None:
        """Certificates beside the file."""
        super().setUp()
        PAIR.write(self.folder)
        OTHER.write(self.folder, "other")
        CA.write(self.folder, "ca")

    def file(self, name: str) -> str:
        """The path of a file beside the configuration."""
        return str(self.folder / name)

    def test_files(self) -> None:
        """Paths are relative to the configuration file."""
        lines = (
            'name = "a"\nzone = "public"\n'
            + self.HEAD
            + self.FILES
            + f'client_certificate = "required"\nclient_ca = "{self.file("ca.pem")}"\n'
            + 'certificates = [{ name = "other.example", certificate = "other.pem", key = "other.key" }]\n'
        )
        configuration = self.load(ZONES + "[[listener]]\n" + lines)
        self.assertEqual(configuration.listeners[0].port, 5061)
        self.assertEqual(
            configuration.tls_files,
            {
                "a": ServerFiles(
                    KeyPair(self.file("test.pem"), self.file("test.key")),
                    (KeyPair(self.file("other.pem"), self.file("other.key"), "other.example"),),
                    "required",
                    self.file("ca.pem"),
                )
            },
        )

    def test_missing(self) -> None:
        """A certificate and its key are needed, and the files must be there."""
        needed = "missing: a TLS listener needs a certificate and its key"
        self.assertEqual(self.wrong_listener(self.HEAD), [f"certificate: {needed}", f"key: {needed}"])
        self.assertEqual(
            self.wrong_listener(self.HEAD + 'certificate = "x.pem"\nkey = "tls/x.key"'),
            [
                f'certificate = "x.pem": no such file: {self.file("x.pem")}',
                f'key = "tls/x.key": no such file: {self.file("tls/x.key")}',
            ],
        )
        self.assertEqual(
            self.wrong_listener(self.HEAD + 'certificate = 5\nkey = "."'),
            [
                "certificate = 5: must be the path of a file",
                f'key = ".": cannot be read: {self.folder}: Is a directory',
            ],
        )

    def test_unusable(self) -> None:
        """Files that are there but cannot be used, each by its key."""
        self.assertEqual(
            self.wrong_listener(self.HEAD + 'certificate = "test.key"\nkey = "test.key"'),
            ['certificate = "test.key": holds no certificate in PEM (-----BEGIN CERTIFICATE-----), or a damaged one'],
        )
        self.assertEqual(
            self.wrong_listener(self.HEAD + 'certificate = "test.pem"\nkey = "other.key"'),
            [f'key = "other.key": does not belong to the certificate {self.file("test.pem")}'],
        )

    def test_not_tls(self) -> None:
        """TLS keys on another transport."""
        lines = self.FILES + 'client_certificate = "none"\nclient_ca = "ca.pem"\ncertificates = []\n'
        self.assertEqual(
            self.wrong_listener('transport = "tcp"\naddress = "192.0.2.1"\n' + lines),
            [
                'certificate = "test.pem": belongs to TLS; this listener is tcp',
                'key = "test.key": belongs to TLS; this listener is tcp',
                'client_certificate = "none": belongs to TLS; this listener is tcp',
                'client_ca = "ca.pem": belongs to TLS; this listener is tcp',
                "certificates = []: belongs to TLS; this listener is tcp",
            ],
        )

    def test_clients(self) -> None:
        """Who may sign clients' certificates goes with asking for them."""
        self.assertEqual(
            self.wrong_listener(self.HEAD + self.FILES + 'client_certificate = "optional"'),
            ['client_ca: missing: client_certificate = "optional" needs it'],
        )
        self.assertEqual(
            self.wrong_listener(self.HEAD + self.FILES + 'client_ca = "ca.pem"'),
            ['client_ca = "ca.pem": needs client_certificate = "optional" or "required"'],
        )
        self.assertEqual(
            self.wrong_listener(self.HEAD + self.FILES + 'client_certificate = "yes"\nclient_ca = "none.pem"'),
            [
                'client_certificate = "yes": must be "none", "optional" or "required"',
                'client_ca = "none.pem": needs client_certificate = "optional" or "required"',
                f'client_ca = "none.pem": no such file: {self.file("none.pem")}',
            ],
        )

    def test_by_name(self) -> None:
        """Further certificates by SNI: every one whole, with a name of its own."""
        self.assertEqual(
            self.wrong_listener(
                self.HEAD + self.FILES + 'certificates = [{ certificate = "x.pem", kee = "other.key" }]'
            ),
            [
                'certificates[1].kee = "other.key": no such key; did you mean "key"?',
                "certificates[1].name: missing: it must be a text",
                "certificates[1].key: missing: it must be the path of a file",
                f'certificates[1].certificate = "x.pem": no such file: {self.file("x.pem")}',
            ],
        )
        one = '{ name = "other.example", certificate = "other.pem", key = "other.key" }'
        two = '{ name = "Other.Example", certificate = "test.pem", key = "test.key" }'
        self.assertEqual(
            self.wrong_listener(self.HEAD + self.FILES + f"certificates = [{one}, {two}]"),
            ['certificates[1].certificate = "other.pem": other.example has more than one certificate'],
        )
        self.assertEqual(
            self.wrong_listener(self.HEAD + self.FILES + 'certificates = ["other.pem"]'),
            ['certificates = ["other.pem"]: must be a list of tables: [{...}, {...}]'],
        )

    def test_outwards(self) -> None:
        """[tls]."""
        self.assertEqual(
            self.load(BASE + '[tls]\nca = "ca.pem"\nverify = false\n').tls, TlsOutwards(self.file("ca.pem"), False)
        )
        self.assertEqual(
            self.mistakes(BASE + '[tls]\nca = "x.pem"\nverify = "no"\n'),
            [
                'tls.verify = "no": must be true or false',
                f'tls.ca = "x.pem": {self.file("x.pem")}: no such file; must be "system" or a PEM file of issuers',
            ],
        )


class TestRoutes(ConfigCase):
    """[[route]]."""

    def test_rules(self) -> None:
        """In order, with their names; without one, by their place."""
        rules = self.load(
            BASE
            + '[[route]]\nname = "media servers"\nuser = "prefix:*33"\nzone = "public"\n'
            + 'to = ["sip:10.0.0.5", "sip:10.0.0.6"]\nsend_from = "private"\n'
            + '[[route]]\nreject = 403\nreason = "No"\n'
        ).rules
        self.assertEqual([rule.name for rule in rules], ["media servers", "route[2]"])
        hops = parse_uri("sip:10.0.0.5"), parse_uri("sip:10.0.0.6")
        self.assertEqual(rules[0].answer, Go(hops, "private", "media servers"))
        self.assertEqual(rules[1].answer, Reject(403, "No", "route[2]"))
        self.assertEqual([match.key for match in rules[0].matches], ["zone", "user"])

    def test_request_uri(self) -> None:
        """Where the request itself says."""
        (rule,) = self.load(BASE + '[[route]]\nto = "request-uri"\n').rules
        self.assertEqual(rule.answer, Go((), "auto", "route[1]"))

    def test_conditions(self) -> None:
        """Their mistakes stand with their keys."""
        self.assertEqual(
            self.wrong_route(
                'method = "invite"\nuser = "regex:("\ndomain = []\nzone = "dmz"\nlistener = "x"\nnetwork = "x"\n'
                'header = { "X-Account" = "prefix:" }\nto = "sip:10.0.0.5"'
            ),
            [
                'header.X-Account = "prefix:": every text starts with nothing: leave the key out to match all',
                'method = "invite": methods are written in capitals: "INVITE"',
                'network = "x": must be a network such as "192.0.2.0/24" or "2001:db8::/32", or a list of networks',
                'zone = "dmz": no zone of that name; there are: private, public',
                'listener = "x": no listener of that name; there are: private-tcp, public-udp',
                'user = "regex:(": not a regular expression that RE2 knows: missing ): (',
                'domain = []: must be a text or a list of texts, each plain (an exact text), "prefix:..." or '
                '"regex:..."',
            ],
        )

    def test_what_it_does(self) -> None:
        """Send on or reject: one of them."""
        missing = 'to: missing: say where to ("sip:...", a list, or "request-uri"), or reject'
        self.assertEqual(self.wrong_route(""), [missing])
        self.assertEqual(
            self.wrong_route('to = "sip:10.0.0.5"\nsend_from = "private"\nreject = 403'),
            [
                'to = "sip:10.0.0.5": reject is given too: a route sends on or rejects',
                'send_from = "private": reject is given too: a route sends on or rejects',
            ],
        )
        self.assertEqual(
            self.wrong_route('reason = "No"\nto = "sip:10.0.0.5"'),
            ['reason = "No": belongs to reject, which is not given'],
        )

    def test_reject(self) -> None:
        """300 to 699, and one line."""
        for status in ("299", "700", "0", '"403"', "true"):
            self.assertEqual(
                self.wrong_route(f"reject = {status}"), [f"reject = {status}: must be a status from 300 to 699"]
            )
        self.assertEqual(
            self.wrong_route('reject = 403\nreason = "a\\nb"'), [r'reason = "a\nb": must be one line of text']
        )
        self.assertEqual(self.wrong_route("reject = 403\nreason = 5"), ["reason = 5: must be a text"])

    def test_names(self) -> None:
        """Each its own."""
        self.assertEqual(
            self.mistakes(BASE + (ROUTE + 'user = "a"\nname = "one"\n') * 2),
            ['route[2].name = "one": another route has this name already'],
        )
        self.assertEqual(self.wrong_route('name = ""\nreject = 403'), ['name = "": must be one line of text'])

    def test_next_hops(self) -> None:
        """URIs that can be sent to; for what is none, what may have been meant."""
        example, rule = 'must be a SIP URI such as "sip:192.0.2.1:5060;transport=tcp"', "(RFC 3261 19.1.1)"
        for text, message in (
            ("10.0.0.5:5060", 'a URI without a scheme (RFC 3261 19.1.1); did you mean "sip:10.0.0.5:5060"?'),
            ("", f"a URI without a scheme (RFC 3261 19.1.1); {example}"),
            ("sip:10.0.0.256", f"not an IPv4 address (RFC 3261 19.1.1); {example}"),
            ("tel:110", f"tel:110 is not a sip: or sips: URI; {example}"),
            ("grup:carriers", 'grup:carriers is not a sip: or sips: URI; did you mean "group:carriers"?'),
            (
                "group:",
                f'a URI with a character that must be escaped {rule}; must be "group:" and the name of a [[group]]',
            ),
            ("gateway", 'a URI without a scheme (RFC 3261 19.1.1); did you mean "sip:gateway"?'),
            ("a.b:5070", 'a.b:5070 is not a sip: or sips: URI; did you mean "sip:a.b:5070"?'),
            (
                "sip:10.0.0.5?Subject=x",
                f"sip:10.0.0.5?Subject=x has headers (?Subject=x), which a next hop cannot have; {example}",
            ),
            ("sip:10.0.0.5;transport=ws", "transport=ws is none that a listener can have: udp, tcp or tls"),
            ("sips:10.0.0.5;transport=udp", "sips: asks for TLS and transport=udp for UDP: leave one out"),
        ):
            self.assertEqual(self.wrong_route(f'to = "{text}"'), [f'to = "{text}": {message}'])
        self.assertEqual(
            self.wrong_route('to = ["sip:10.0.0.5", "request-uri", "sip:a b"]'),
            [
                f'to = "request-uri": a URI without a scheme {rule}; "request-uri" stands alone, not in a list',
                f'to = "sip:a b": a SIP URI with a character that must be escaped, or without a host {rule}; {example}',
            ],
        )
        right = 'must be a SIP URI, "group:NAME", "lookup", a list of them, or "request-uri"'
        self.assertEqual(self.wrong_route("to = []"), [f"to = []: an empty list; {right}"])
        self.assertEqual(self.wrong_route("to = 5"), [f"to = 5: {right}"])

    def test_send_from(self) -> None:
        """A listener or a zone that there is."""
        self.assertEqual(
            self.wrong_route('to = "request-uri"\nsend_from = "x"'),
            [f'send_from = "x": no listener or zone of that name; {NAMES}'],
        )
        self.assertEqual(self.wrong_route('to = "request-uri"\nsend_from = 5'), ["send_from = 5: must be a text"])
        self.assertEqual(
            self.wrong_route('to = "request-uri"\nsend_from = "dmz"', '[[zone]]\nname = "dmz"\n' + BASE),
            ['send_from = "dmz": no listener is in this zone'],
        )

    def test_send_from_and_transport(self) -> None:
        """What the URI asks for, the listener must be."""
        for lines, message in (
            (
                'to = "sip:10.0.0.5;transport=udp"\nsend_from = "private-tcp"',
                'this listener is TCP over IPv4, but "sip:10.0.0.5;transport=udp" asks for UDP over IPv4',
            ),
            (
                'to = "sip:example.com;transport=UDP"\nsend_from = "private-tcp"',
                'this listener is TCP over IPv4, but "sip:example.com;transport=UDP" asks for UDP',
            ),
            (
                'to = "sip:[2001:db8::5]"\nsend_from = "private-tcp"',
                'this listener is TCP over IPv4, but "sip:[2001:db8::5]" asks for IPv6',
            ),
            (
                'to = "sips:example.com"\nsend_from = "private-tcp"',
                'this listener is TCP over IPv4, but "sips:example.com" asks for TLS (sips)',
            ),
            (
                'to = "sips:10.0.0.5"\nsend_from = "private"',
                'no listener of this zone can reach "sips:10.0.0.5": it asks for TLS (sips) over IPv4',
            ),
        ):
            send_from = lines.rpartition("send_from = ")[2]
            self.assertEqual(self.wrong_route(lines), [f"send_from = {send_from}: {message}"])
        self.assertEqual(
            self.wrong_route('to = ["sip:10.0.0.5", "sip:10.0.0.6;transport=tls"]'),
            ['to = "sip:10.0.0.6;transport=tls": no listener can reach it: it asks for TLS over IPv4'],
        )

    def test_change_of_transport(self) -> None:
        """TCP in, UDP out on the same address is one line: a forced send socket."""
        both = PRIVATE.replace("private-tcp", "private-udp").replace('"tcp"', '"udp"')
        (rule,) = self.load(BASE + both + ROUTE + 'listener = "private-tcp"\nsend_from = "private-udp"\n').rules
        self.assertEqual(rule.answer, Go("sip:10.0.0.5", "private-udp", "route[1]"))

    def test_one_mistake_is_one(self) -> None:
        """A listener with a mistake is still a name, and nothing is said of what it could have sent."""
        broken = PRIVATE.replace("10.0.0.1", "nowhere")
        only = [f'listener[2].address = "nowhere": {ADDRESS}']
        for lines in (
            'to = "sip:10.0.0.5;transport=tcp"\nsend_from = "private-tcp"\nlistener = "private-tcp"',
            'to = "sip:10.0.0.5;transport=tcp"\nsend_from = "private"',
            'to = "sip:10.0.0.5;transport=tcp"',
            'to = "request-uri"\nsend_from = "private"',
        ):
            self.assertEqual(self.wrong_route(lines, ZONES + PUBLIC + broken), only)
        self.assertEqual(
            self.wrong_route('to = "request-uri"\nsend_from = "x"', ZONES + PUBLIC + broken)[1:],
            [f'send_from = "x": no listener or zone of that name; {NAMES}'],
        )


class TestRest(ConfigCase):
    """The smaller parts."""

    def test_values(self) -> None:
        """All that can be set."""
        configuration = self.load(
            BASE
            + "[timers]\nt1 = 0.25\nt2 = 2\nt4 = 3\n[call]\nmax_duration = 60\nring_timeout = 0\nprobe = 1.5\n"
            + "session_expires = 1800\nmin_se = 120\n"
            + '[dns]\nservers = ["127.0.0.1:5353", "::1", "[2001:db8::1]:53"]\n'
            + '[log]\nformat = "json"\nlevel = "debug"\n'
            + '[networks]\n"10.0.0.0/8" = "private"\n"2001:DB8::/32" = "public-udp"\n'
        )
        self.assertEqual(configuration.timers, Timers(0.25, 2.0, 3.0))
        self.assertEqual(configuration.call, Limits(60.0, 0.0, 1.5, 1800, 120))
        self.assertEqual(configuration.dns, (("127.0.0.1", 5353), ("::1", 53), ("2001:db8::1", 53)))
        self.assertEqual(configuration.log, Log("json", "debug"))
        self.assertEqual(configuration.networks, {"10.0.0.0/8": "private", "2001:db8::/32": "public-udp"})

    def test_session_intervals(self) -> None:
        """RFC 4028 4: no interval is shorter than 90 seconds, and none that we ask for than those we take."""
        self.assertEqual(
            self.mistakes(BASE + "[call]\nsession_expires = 99\nmin_se = 100\n"),
            ["call.session_expires = 99: must be 0, for none, or not shorter than min_se, which is 100"],
        )
        self.assertEqual(
            self.mistakes(BASE + "[call]\nsession_expires = -1\nmin_se = 89\n"),
            [
                "call.session_expires = -1: must be whole seconds, up to a day; 0 for none",
                "call.min_se = 89: must be whole seconds, from 90 to a day",
            ],
        )

    def test_times(self) -> None:
        """Neither negative nor endless, and T2 no shorter than T1."""
        interval = "must be a number of seconds, more than 0"
        seconds = "must be a number of seconds, from 0 to a year"
        self.assertEqual(
            self.mistakes(
                BASE
                + "[timers]\nt1 = -0.5\nt2 = nan\nt4 = 0\n[call]\nmax_duration = inf\nring_timeout = -1\nprobe = true\n"
            ),
            [
                f"call.max_duration = Infinity: {seconds}",
                f"call.ring_timeout = -1: {seconds}",
                f"call.probe = true: {seconds}",
                f"timers.t1 = -0.5: {interval}",
                f"timers.t2 = NaN: {interval}",
                f"timers.t4 = 0: {interval}",
            ],
        )
        self.assertEqual(
            self.mistakes(BASE + "[timers]\nt1 = 5\n"),
            ["timers.t2 = 4.0: must not be shorter than t1, which is 5"],
        )

    def test_dns(self) -> None:
        """Addresses, not names."""
        right = 'must be an address, with a port if it is not 53: "192.0.2.1", "[2001:db8::1]:5353"'
        self.assertEqual(
            self.mistakes(BASE + '[dns]\nservers = ["dns.example", "192.0.2.1", "192.0.2.1:0"]\n'),
            [f'dns.servers = "dns.example": {right}', f'dns.servers = "192.0.2.1:0": {right}'],
        )
        self.assertEqual(
            self.mistakes(BASE + '[dns]\nservers = "192.0.2.1"\n'),
            ['dns.servers = "192.0.2.1": must be a list of texts: ["...", "..."]'],
        )

    def test_log(self) -> None:
        """Words that there are."""
        self.assertEqual(
            self.mistakes(BASE + '[log]\nformat = "xml"\nlevel = "warning"\n'),
            [
                'log.format = "xml": must be "text" or "json"',
                'log.level = "warning": must be "debug", "info", "warn", "error" or "critical"',
            ],
        )

    def test_networks(self) -> None:
        """Networks, and names that there are (S5)."""
        self.assertEqual(
            self.mistakes(BASE + '[networks]\n"10.0.0.1/8" = "private"\n"x" = "dmz"\n"192.0.2.0/24" = 5\n'),
            [
                'networks."10.0.0.1/8" = "10.0.0.1/8": the network around this address is "10.0.0.0/8"',
                'networks."x" = "x": must be a network such as "192.0.2.0/24" or "2001:db8::/32", or a list of '
                "networks",
                f'networks."x" = "dmz": no listener or zone of that name; {NAMES}',
                'networks."192.0.2.0/24" = 5: must be the name of a listener or a zone',
            ],
        )

    def test_hiding(self) -> None:
        """What crosses between two zones whatever the table says."""
        configuration = self.load(
            BASE + '[[hiding]]\nfrom = "public"\nto = "private"\nkeep = ["X-Account"]\ndrop = ["Subject"]\n'
        )
        override = Override("public", "private", frozenset({"X-Account"}), frozenset({"Subject"}))
        self.assertEqual(configuration.hiding, (override,))
        tables = configuration.hiding_tables()
        self.assertEqual(len(tables), 4)
        self.assertEqual(tables["public", "private"].explain("x-account"), (True, "the configuration keeps it"))
        self.assertEqual(tables["public", "private"].explain("Subject"), (False, "the configuration drops it"))
        self.assertFalse(tables["private", "public"].explain("x-account")[0])
        self.assertTrue(tables["private", "private"].explain("Subject")[0])

    def test_hiding_of_bodies(self) -> None:
        """Which bodies cross between two zones, whatever is in them; their types in any case (RFC 2045 5.1)."""
        text = '[[hiding]]\nfrom = "public"\nto = "private"\nkeep_bodies = ["Application/X"]\n'
        text += 'drop_bodies = ["*/*", "application/isup"]\nkeep_location = true\n'
        tables = self.load(BASE + text).hiding_tables()
        told = Exceptions(frozenset({"application/x"}), frozenset({"*/*", "application/isup"}), True)
        self.assertEqual(tables["public", "private"].bodies, told)
        self.assertEqual(tables["private", "public"].bodies, Exceptions())
        session = "can be neither kept nor dropped: each leg says its own session in it"
        text = '[[hiding]]\nfrom = "public"\nto = "private"\nkeep_bodies = ["x", "Application/SDP", "a/b", "image/*"]\n'
        text += 'drop_bodies = ["multipart/mixed", "a/b", 1]\nkeep_location = 1\n'
        twice = '[[hiding]]\nfrom = "public"\nto = "private"\nkeep_bodies = ["A/b"]\ndrop_bodies = ["a/B"]\n'
        self.assertEqual(self.mistakes(BASE + twice), ['hiding[1].drop_bodies = "a/B": a/b is both kept and dropped'])
        self.assertCountEqual(
            self.mistakes(BASE + text + text.replace('", 1]', '"]').replace('to = "private"', 'to = "public"')),
            [
                'hiding[1].drop_bodies = ["multipart/mixed", "a/b", 1]: must be a list of media types: '
                '["application/isup"]',
                'hiding[1].keep_bodies = "Application/SDP": application/sdp ' + session,
                'hiding[1].keep_bodies = "image/*": image/* cannot be kept: only one type at a time can',
                "hiding[1].keep_bodies = \"x\": 'x' is not a media type such as application/isup, in lower case",
                "hiding[1].keep_location = 1: must be true or false",
                'hiding[2].drop_bodies = "a/b": a/b is both kept and dropped',
                'hiding[2].drop_bodies = "multipart/mixed": multipart/mixed ' + session,
                'hiding[2].keep_bodies = "Application/SDP": application/sdp ' + session,
                'hiding[2].keep_bodies = "image/*": image/* cannot be kept: only one type at a time can',
                "hiding[2].keep_bodies = \"x\": 'x' is not a media type such as application/isup, in lower case",
                "hiding[2].keep_location = 1: must be true or false",
            ],
        )

    def test_hiding_mistakes(self) -> None:
        """Zones, headers that the legs write themselves, and contradictions."""
        pair = 'from = "public"\nto = "private"\n'
        self.assertEqual(
            self.mistakes(
                f'{BASE}[[hiding]]\nfrom = "publik"\nto = "dmz"\n'
                'keep = ["Via", "v", "Supported", "X Y"]\ndrop = "Via"\n'
                f'[[hiding]]\n{pair}keep = ["Subject"]\ndrop = ["Call-ID", "Subject"]\n[[hiding]]\n{pair}'
            ),
            [
                'hiding[1].drop = "Via": must be a list of header names: ["X-Account"]',
                'hiding[1].from = "publik": no zone of that name; there are: private, public',
                'hiding[1].to = "dmz": no zone of that name; there are: private, public',
                'hiding[1].keep = "Supported": Supported cannot be kept: only what is bridged',
                'hiding[1].keep = "Via": Via cannot be kept: shows the path; each leg has its own transactions',
                "hiding[1].keep = \"X Y\": 'X Y' is not a header's name",
                'hiding[1].keep = "v": Via cannot be kept: shows the path; each leg has its own transactions',
                'hiding[2].drop = "Call-ID": Call-ID cannot be dropped: each leg writes its own, or none',
                'hiding[2].drop = "Subject": Subject is both kept and dropped',
                "hiding[3]: another [[hiding]] is from public to private: make them one",
            ],
        )


class TestManhole(ConfigCase):
    """[manhole]."""

    def test_loopback(self) -> None:
        """By default on a loopback address, where it may be open."""
        self.assertEqual(self.load(BASE + "[manhole]\n").manhole, Manhole("127.0.0.1", 5023, "", 0))
        self.assertEqual(self.load(BASE + '[manhole]\naddress = "0::1"\nport = 0\n').manhole, Manhole("::1", 0, "", 0))

    def test_users(self) -> None:
        """With a file of users it may be anywhere."""
        users = self.write("", "users.passwd")
        self.assertEqual(
            self.load(BASE + '[manhole]\naddress = "0.0.0.0"\nusers = "users.passwd"\nssh_port = 5022\n').manhole,
            Manhole("0.0.0.0", 5023, users, 5022),
        )

    def test_open_to_the_world(self) -> None:
        """Refused: an open manhole that others can reach."""
        for address in ("192.0.2.1", "0.0.0.0", "::", "2001:db8::1"):
            said = f"manhole.users: missing: {address} can be reached from outside; make the file with b2bua passwd"
            self.assertEqual(self.mistakes(f'{BASE}[manhole]\naddress = "{address}"\n'), [said])

    def test_mistakes(self) -> None:
        """Address, ports, file."""
        self.assertEqual(
            self.mistakes(BASE + '[manhole]\naddress = "localhost"\nport = 70000\nssh_port = "x"\nusers = "none"\n'),
            [
                "manhole.port = 70000: must be a port, or 0 for none",
                'manhole.ssh_port = "x": must be a port, or 0 for none',
                f'manhole.users = "none": no such file: {self.folder / "none"}',
                'manhole.address = "localhost": must be an address: "127.0.0.1", "::1"',
            ],
        )
        self.assertEqual(
            self.mistakes(BASE + "[manhole]\nssh_port = 5023\n"),
            [
                "manhole.users: missing: SSH asks for a user; make the file with b2bua passwd",
                "manhole.ssh_port = 5023: is the port of telnet too: give each its own",
            ],
        )
        self.assertEqual(self.mistakes("manhole = 5\n" + BASE), ["manhole = 5: must be a table: [manhole]"])

    def test_taken(self) -> None:
        """A listener's port is taken; UDP is another matter."""
        text = BASE.replace("10.0.0.1", "127.0.0.1").replace("192.0.2.1", "127.0.0.1")
        self.assertEqual(
            self.mistakes(text + "[manhole]\nport = 5060\n"),
            ["manhole.port = 5060: the listener private-tcp is there already"],
        )
        self.assertIsNotNone(self.load(ZONES + PUBLIC.replace("192.0.2.1", "127.0.0.1") + "[manhole]\nport = 5060\n"))


class TestPolicy(ConfigCase):
    """`policy`."""

    def test_loaded(self) -> None:
        """The script comes with the configuration."""
        path = self.write("def route(request, listeners): pass\n", "policy.py")
        configuration = self.load('policy = "policy.py"\n' + BASE)
        self.assertEqual(configuration.policy, path)
        assert configuration.script is not None
        self.assertEqual(configuration.script.path, path)

    def test_missing(self) -> None:
        """By its own name."""
        path = self.folder / "policy.py"
        self.assertEqual(self.mistakes('policy = "policy.py"\n' + BASE), [f"{path}: no such file"])

    def test_mistakes(self) -> None:
        """By its line, beside all the others."""
        path = self.write("\nroute = 1 / 0\n", "policy.py")
        self.assertEqual(
            self.mistakes('policy = "policy.py"\n' + BASE + "[log]\nlevel = 5\n"),
            [
                'log.level = 5: must be "debug", "info", "warn", "error" or "critical"',
                f"{path}:2: ZeroDivisionError: division by zero",
            ],
        )


class TestWarnings(ConfigCase):
    """What works, but not as one might think."""

    BY_US = "media passes us by: the addresses in SDP cross, so hiding is incomplete"
    NO_AUDIO = "between IPv4 and IPv6 there is no audio without a media relay"
    ANCHORED = '[media] with default = "auto" anchors it'
    PUBLIC6 = PUBLIC.replace("public-udp", "public-udp6").replace("192.0.2.1", "2001:db8::1")

    def test_no_route(self) -> None:
        """Nothing can be called."""
        said = "route: there is no [[route]] and no policy: every call will be answered 404"
        self.assertEqual(self.warnings(BASE), [said])

    def test_policy(self) -> None:
        """Where a script decides, nobody can say before it does."""
        self.write("def route(request, listeners): pass\n", "policy.py")
        said = f'policy = "policy.py": where it sends a call to another zone, {self.BY_US}; {self.ANCHORED}'
        self.assertEqual(self.warnings('policy = "policy.py"\n' + BASE), [said])
        self.assertEqual(self.warnings('policy = "policy.py"\n' + ZONES + PUBLIC), [])

    def test_choices_that_have_no_effect(self) -> None:
        """Parallel hunting of one target, and a 6xx that is to go on."""
        parallel = 'zone = "private"\nsend_from = "private-tcp"\nhunt = "parallel"\n'
        said = 'route[1].hunt = "parallel": has no effect: the route has one target only'
        self.assertEqual(self.warnings(BASE + ROUTE + parallel), [said])
        self.assertEqual(self.warnings(BASE + ROUTE + parallel + 'redirect = "follow"\n'), [])
        said = "route[1].go_on = [486, 603]: a 6xx ends the search, whatever is said here (RFC 3261 16.7)"
        going = 'zone = "private"\nsend_from = "private-tcp"\ngo_on = [486, 603]\n'
        two = '[[route]]\nto = ["sip:10.0.0.5", "sip:10.0.0.6"]\n'
        self.assertEqual(self.warnings(BASE + two + going), [said])
        said = "route[1].go_on = [486, 603]: has no effect: the route has one target only"
        self.assertEqual(self.warnings(BASE + ROUTE + going), [said])
        self.assertEqual(self.warnings(BASE + ROUTE + going + 'redirect = "follow"\n')[1:], [])

    def test_media(self) -> None:
        """A route between zones while media goes past us (S45)."""
        crossing = ROUTE + 'zone = "public"\nsend_from = "private"\n'
        said = f"route[1]: from public to private {self.BY_US}; {self.ANCHORED}"
        self.assertEqual(self.warnings(BASE + crossing), [said])
        self.assertEqual(self.warnings(BASE + ROUTE + 'zone = "private"\nsend_from = "private-tcp"\n'), [])
        self.assertEqual(
            self.warnings(BASE + self.PUBLIC6 + crossing),
            [f"route[1]: from public to private {self.BY_US}; {self.NO_AUDIO}; {self.ANCHORED}"],
        )

    def test_media_of_one_zone(self) -> None:
        """IPv4 to IPv6 has no audio, also within a zone (S45)."""
        text = ZONES + PUBLIC + self.PUBLIC6 + '[[route]]\nto = "sip:[2001:db8::5]"\n'
        self.assertEqual(self.warnings(text), [f"route[1]: {self.NO_AUDIO}; {self.ANCHORED}"])

    def test_media_by_the_kernel(self) -> None:
        """With "auto" it may come to that."""
        self.assertEqual(
            self.warnings(BASE + ROUTE + 'listener = "public-udp"\n'),
            [f"route[1]: from public to private (if it is sent so) {self.BY_US}; {self.ANCHORED}"],
        )
        self.assertEqual(
            self.warnings(BASE + '[[route]]\nto = "request-uri"\n'),
            [
                f"route[1]: from private to public and public to private (if it is sent so) {self.BY_US}; "
                f"{self.ANCHORED}"
            ],
        )

    def test_media_caution(self) -> None:
        """The same question for a request whose listeners are known."""
        inside = Listener("a", "private", "udp", "10.0.0.1", 5060)
        outside = Listener("b", "public", "udp", "2001:db8::1", 5060)
        self.assertEqual(media_caution([outside], [inside]), f"from public to private {self.BY_US}; {self.NO_AUDIO}")
        self.assertEqual(media_caution([inside], [inside]), "")

    def test_unreachable(self) -> None:
        """A rule after one that takes everything."""
        said = "is never reached: route[1] has no condition, every request fits it"
        text = ZONES + PUBLIC + ROUTE + "[[route]]\nreject = 403\n" + ROUTE + 'user = "bob"\n'
        self.assertEqual(self.warnings(text), [f"route[2]: {said}", f"route[3]: {said}"])

    def test_nobody_fits(self) -> None:
        """Conditions that no listener fulfils together."""
        said = "no request can fit: no listener has what its conditions ask for together"
        self.assertEqual(
            self.warnings(BASE + '[[route]]\nreject = 403\nzone = "private"\nlistener = "public-udp"\n'),
            [f"route[1]: {said}"],
        )

    def test_methods_of_dialogs(self) -> None:
        """A rule for what is never routed by itself (RFC 3261 12.2)."""
        said = "goes with its call or subscription: no rule is asked where to"
        self.assertEqual(
            self.warnings(BASE + '[[route]]\nreject = 403\nmethod = ["BYE", "INVITE", "PRACK"]\n'),
            [f'route[1].method = "BYE": {said}', f'route[1].method = "PRACK": {said}'],
        )

    def test_to_ourselves(self) -> None:
        """A next hop that is one of our own sockets (S10)."""
        text = ZONES + PUBLIC + '[[route]]\nto = "sip:bob@192.0.2.1;transport=udp"\n'
        said = "is our own listener public-udp: the call would come back"
        self.assertEqual(self.warnings(text), [f'route[1].to = "sip:bob@192.0.2.1;transport=udp": {said}'])


class TestSamples(ConfigCase):
    """The configurations that come with the bridge."""

    def setUp(self) -> None:
        """A copy of them, with a certificate."""
        super().setUp()
        self.etc = self.folder / "etc"
        shutil.copytree(ETC, self.etc, ignore=shutil.ignore_patterns("tls"))
        make_development_certificate(self.etc / "tls")

    def decided(self, configuration: Configuration, uri: str, listener: str) -> Go | Reject | None:
        """What the rules say of an INVITE that came in on a listener."""
        (incoming,) = (each for each in configuration.listeners if each.name == listener)
        return decide(configuration.rules, Request("INVITE", uri, {}), Flow(incoming, "127.0.0.1", 5099))

    def test_b2bua(self) -> None:
        """Two zones, each with three transports over both families, on loopback; bob and alice reach each other."""
        configuration = load(str(self.etc / "b2bua.toml"))
        self.assertEqual(
            {(each.zone, each.transport, each.family) for each in configuration.listeners},
            {
                (zone, transport, family)
                for zone in ("public", "private")
                for transport in ("udp", "tcp", "tls")
                for family in (4, 6)
            },
        )
        self.assertEqual({each.address for each in configuration.listeners}, {"127.0.0.1", "127.0.0.2", "::1"})
        self.assertEqual(configuration.manhole, Manhole())
        self.assertEqual(configuration.tls, TlsOutwards(str(self.etc / "tls" / "ca.pem")))
        for files in configuration.tls_files.values():
            self.assertEqual(files.faults(), [])
        bob = self.decided(configuration, "sip:bob@127.0.0.1", "public-udp")
        self.assertEqual(bob, Go("sip:bob@127.0.0.1:5080;transport=udp", "private", "to bob"))
        alice = self.decided(configuration, "sip:alice@127.0.0.2", "private-udp")
        self.assertEqual(alice, Go("sip:alice@127.0.0.1:5090;transport=udp", "public", "to alice"))
        self.assertIsNone(self.decided(configuration, "sip:carol@127.0.0.1", "public-udp"))

    def test_media_servers(self) -> None:
        """The same case by rules and by a script."""
        configuration = load(str(self.etc / "examples" / "media-servers.toml"))
        servers = ["sip:127.0.0.21:5060;transport=udp", "sip:127.0.0.22:5060;transport=udp"]
        inward = self.decided(configuration, "sip:*3312@127.0.0.1", "public-tcp")
        self.assertEqual(inward, Go(servers, "private-udp", "to the media servers"))
        outward = self.decided(configuration, "sip:bob@127.0.0.9:5062", "private-udp")
        self.assertEqual(outward, Go("request-uri", "public", "to the end-points"))
        across = self.decided(configuration, "sip:bob@127.0.0.9:5062", "public-udp")
        self.assertEqual(across, Reject(403, "Dial *33 and a number", "nothing else"))

    def test_policy(self) -> None:
        """The script is found beside its configuration."""
        configuration = load(str(self.etc / "examples" / "policy.toml"))
        assert configuration.script is not None
        public, _, private = configuration.listeners
        request = Request("INVITE", "sip:*3312@127.0.0.1", {})
        self.assertIsInstance(configuration.script(request, Flow(public, "127.0.0.9", 5062), [public, private]), Go)

    def test_ipv4_ipv6(self) -> None:
        """Calls either way, and their media by the relay; nothing to be warned of."""
        configuration = load(str(self.etc / "examples" / "ipv4-ipv6.toml"))
        self.assertEqual(configuration.warnings, ())
        four, six = configuration.listeners
        self.assertEqual((four.family, six.family), (4, 6))
        self.assertEqual(configuration.media.anchoring.engine(four, six), "relay")
        there = self.decided(configuration, "sip:1@example.com", "ipv4")
        self.assertEqual(there, Go("sip:[::1]:5090;transport=tcp", "ipv6", "to the new network"))
        back = self.decided(configuration, "sip:1@example.com", "ipv6")
        self.assertEqual(back, Go("sip:127.0.0.21:5060;transport=udp", "ipv4", "to the old network"))

    def test_webrtc_gateway(self) -> None:
        """Browsers speak as browsers do, telephones as telephones, and an engine stands between them."""
        configuration = load(str(self.etc / "examples" / "webrtc-gateway.toml"))
        outside, inside = configuration.listeners
        anchoring = configuration.media.anchoring
        self.assertEqual(anchoring.engine(outside, inside), "rtp")
        self.assertEqual(anchoring.engine(outside, outside), "")
        self.assertEqual(dict(anchoring.profiles), {"browsers": "webrtc", "phones": "plain"})
        (engine,) = configuration.media.engines
        self.assertEqual(engine.interfaces, {"browsers": "outside", "phones": "inside"})
        self.assertFalse([each for each in configuration.warnings if "media" in each.message])

    def test_every_line_has_its_comment(self) -> None:
        """These examples explain themselves."""
        for name in ("media-servers", "ipv4-ipv6", "webrtc-gateway"):
            for line in (self.etc / "examples" / f"{name}.toml").read_text().splitlines():
                self.assertFalse(line.startswith("[") and "#" not in line, line)
