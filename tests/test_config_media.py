"""[media], [[engine]] and what routes, zones and scripts say of media: what becomes of it, and each mistake."""

from __future__ import annotations

from b2bua.config.cautions import media_caution, media_misfit
from b2bua.config.walls import anchored_from
from b2bua.policy.media import Anchoring, Daemon, EngineSettings, MediaSettings, misfit
from b2bua.policy.options import Options
from b2bua.policy.routing import Go
from b2bua.sip.listener import Listener
from tests.test_config import BASE, PRIVATE, PUBLIC, ROUTE, ZONES, ConfigCase

ENGINE = """
[[engine]]
name = "rtp"
daemons = [{address = "127.0.0.1:2223"}]
"""
INTERFACES = 'interfaces = {public = "out", private = "in"}\n'
AUTO = "[media]\n"
CROSSING = ROUTE + 'zone = "public"\nsend_from = "private"\n'
OUTSIDE = Listener("o", "public", "udp", "192.0.2.1", 5060)
OUTSIDE6 = Listener("o6", "public", "udp", "2001:db8::1", 5060)
INSIDE = Listener("i", "private", "udp", "10.0.0.1", 5060)


class TestMedia(ConfigCase):
    """[media]."""

    def wrong(self, lines: str, rest: str = "") -> list[str]:
        """The mistakes of [media], without its key."""
        return [each.removeprefix("media.") for each in self.mistakes(f"{BASE}{rest}[media]\n{lines}\n")]

    def test_nothing_said(self) -> None:
        """Media passes us by without [media]; with an empty one it is anchored where the two legs differ."""
        self.assertEqual(self.load(BASE).media, MediaSettings())
        self.assertEqual(self.load(BASE).media.anchoring.default, "none")
        media = self.load(BASE + AUTO).media
        self.assertEqual((media.anchoring.default, media.anchoring.auto), ("auto", "relay"))
        self.assertEqual((media.ports, media.silence, media.engines), ((30000, 39999), 0, ()))

    def test_everything_said(self) -> None:
        """Every key."""
        media = self.load(
            BASE.replace('name = "private"', 'name = "private"\nmedia_profile = "srtp"')
            + '[media]\ndefault = "none"\nauto = "rtp"\nports = [20000, 20003]\nsilence = 30\n'
            + 'between = [{zones = ["public", "private"], media = "auto"},'
            + '{zones = ["public", "public"], media = "relay"}]'
            + ENGINE
        ).media
        between = {frozenset(("public", "private")): "auto", frozenset(("public",)): "relay"}
        anchoring = Anchoring("none", between, "rtp", {"private": "srtp"}, frozenset(("rtp",)))
        engines = (EngineSettings("rtp", (Daemon("127.0.0.1", 2223),)),)
        self.assertEqual(media, MediaSettings(anchoring, (20000, 20003), 30, engines, True))
        self.assertEqual(anchoring.engine(OUTSIDE, INSIDE), "rtp")
        self.assertEqual(anchoring.engine(OUTSIDE, OUTSIDE), "relay")
        self.assertEqual(anchoring.engine(INSIDE, INSIDE), "")
        self.assertEqual(anchoring.engine(OUTSIDE, INSIDE, "none"), "")

    def test_names(self) -> None:
        """An engine that is not there, and what may have been meant."""
        self.assertEqual(
            self.wrong('default = "rely"\nauto = "none"', ENGINE),
            [
                'default = "rely": no [[engine]] of that name; did you mean "relay"?',
                'auto = "none": no [[engine]] of that name; there are: relay, rtp',
            ],
        )
        self.assertEqual(
            self.wrong('default = ""\nautos = "x"'),
            [
                'autos = "x": no such key; did you mean "auto"?',
                'default = "": no [[engine]] of that name; there are: auto, none, relay',
            ],
        )

    def test_between(self) -> None:
        """Two zones that are there, each pair once, in whatever order."""
        said = (
            'between = [{zones = ["public", "dmz"], media = "rtpx"}, {zones = ["public"], media = "auto"}, {zone = 1}]'
        )
        self.assertEqual(
            self.wrong(said, ENGINE),
            [
                'between[1].media = "rtpx": no [[engine]] of that name; did you mean "rtp"?',
                'between[1].zones = "dmz": no zone of that name; there are: private, public',
                'between[2].zones = ["public"]: must be a list of two zones: ["public", "private"]',
                'between[3].zone = 1: no such key; did you mean "zones"?',
                'between[3].zones: missing: it must be a list of two zones: ["public", "private"]',
                "between[3].media: missing: it must be a text",
            ],
        )
        one, other = (
            '{zones = ["public", "private"], media = "auto"}',
            '{zones = ["private", "public"], media = "none"}',
        )
        self.assertEqual(
            self.wrong(f"between = [{one}, {other}]"),
            ['between[2].zones = ["private", "public"]: what is between these zones has been said already'],
        )

    def test_ports(self) -> None:
        """Enough of them, in order, and none that is a listener's own."""
        right = "must be the first and the last UDP port, from 1024 to 65535: [30000, 39999]"
        for ports in ("[30000]", "[1023, 2000]", "[60000, 65536]", '"30000-39999"', "[1, 2, 3]", "[true, 2000]"):
            (said,) = self.wrong(f"ports = {ports}")
            self.assertTrue(said.startswith("ports = ") and said.endswith(right), said)
        for ports in ("[2000, 2002]", "[3000, 2000]"):
            self.assertEqual(
                self.wrong(f"ports = {ports}"),
                [f"ports = {ports}: must be at least 4 ports, the first before the last"],
            )
        self.assertEqual(
            self.wrong("ports = [5000, 6000]"),
            ["ports = [5000, 6000]: the listener public-udp is on UDP port 5060 of 192.0.2.1: leave it out"],
        )
        self.load(ZONES + PRIVATE + "[media]\nports = [5060, 5063]\n")  # TCP has ports of its own
        self.load(BASE.replace('address = "192.0.2.1"', 'address = "192.0.2.1"\nport = 30000'))

    def test_silence(self) -> None:
        """Seconds."""
        self.assertEqual(self.wrong("silence = -1"), ["silence = -1: must be a number of seconds, from 0 to a year"])

    def test_profiles(self) -> None:
        """What a zone speaks; where the relay is to stand between what it cannot change, that is a mistake."""
        right = 'must be "plain", "srtp" or "webrtc", or empty for what the other side says'
        zones = ZONES.replace('"private"', '"private"\nmedia_profile = "{}"').replace(
            '"public"', '"public"\nmedia_profile = "{}"'
        )
        listeners = PUBLIC + PRIVATE
        self.assertEqual(
            self.mistakes(zones.format("dtls", "") + listeners), [f'zone[1].media_profile = "dtls": {right}']
        )
        for one, other, said, why in (
            ("webrtc", "plain", "relay", "the relay does not speak ICE (public: webrtc, private: plain)"),
            ("", "webrtc", "auto", "the relay does not speak ICE (private: webrtc)"),
            ("srtp", "plain", "relay", "the relay does not change keys (public: srtp, private: plain)"),
            ("srtp", "srtp", "relay", ""),
            ("srtp", "", "auto", ""),
            ("srtp", "plain", "none", ""),
        ):
            text = zones.format(one, other) + listeners + "[media]\n"
            text += f'between = [{{zones = ["public", "private"], media = "{said}"}}]\n'
            if why:
                hint = "; name an [[engine]] of rtpengines"
                self.assertEqual(self.mistakes(text), [f'media.between[1].media = "{said}": {why}{hint}'])
            else:
                self.load(text)


class TestEngines(ConfigCase):
    """[[engine]]."""

    def wrong(self, lines: str) -> list[str]:
        """The mistakes of one engine, without its key."""
        text = f'{BASE}[[engine]]\nname = "e"\n{lines}\n'
        return [each.removeprefix("engine[1].") for each in self.mistakes(text)]

    def test_an_engine(self) -> None:
        """Every key, and what it is where it is not given."""
        (engine,) = self.load(
            BASE
            + '[[engine]]\nname = "rtp"\npatience = 0.5\nping = 10\ninterfaces = {public = "out", private = "in/a"}\n'
            + 'daemons = [{address = "[::1]:2223", weight = 3}, {address = "127.0.0.1:2223"}]\n'
        ).media.engines
        daemons = Daemon("::1", 2223, 3), Daemon("127.0.0.1", 2223)
        self.assertEqual(engine, EngineSettings("rtp", daemons, {"public": "out", "private": "in/a"}, 0.5, 10))
        self.assertEqual(list(map(str, daemons)), ["[::1]:2223", "127.0.0.1:2223"])
        (engine,) = self.load(BASE + ENGINE).media.engines
        self.assertEqual(engine, EngineSettings("rtp", (Daemon("127.0.0.1", 2223),), {}, 1, 5))

    def test_names(self) -> None:
        """Each its own, and no word that means something else."""
        for word in ("none", "auto", "relay"):
            self.assertEqual(
                self.mistakes(BASE + ENGINE.replace('"rtp"', f'"{word}"')),
                [f'engine[1].name = "{word}": this word has a meaning of its own; choose another name'],
            )
        self.assertEqual(
            self.mistakes(BASE + ENGINE + ENGINE), ['engine[2].name = "rtp": another engine has this name already']
        )
        self.assertEqual(
            self.mistakes(BASE + "[[engine]]\n"),
            [
                "engine[1].name: missing: it must be a name of letters, digits and the signs - _ .",
                "engine[1].daemons: missing: it must be a list of tables: [{...}, {...}]",
            ],
        )

    def test_daemons(self) -> None:
        """Addresses and ports, each once; never a name."""
        right = 'must be an address and the port of its ng protocol: "127.0.0.1:2223", "[::1]:2223"'
        for address in ("127.0.0.1", "localhost:2223", "::1:2223", "127.0.0.1:0", "127.0.0.1:70000", ""):
            self.assertEqual(
                self.wrong(f'daemons = [{{address = "{address}"}}]'), [f'daemons[1].address = "{address}": {right}']
            )
        self.assertEqual(
            self.wrong('daemons = [{address = "[::1]:2223"}, {address = "[0::1]:2223"}]'),
            [
                'daemons[2].address = "[0::1]:2223": another daemon of the engine has this address: '
                "give that one more weight"
            ],
        )
        self.assertEqual(self.wrong("daemons = []"), ["daemons = []: an empty list: an engine has at least one daemon"])
        self.assertEqual(
            self.wrong('daemons = [{adress = "x", weight = 0}]'),
            [
                'daemons[1].adress = "x": no such key; did you mean "address"?',
                "daemons[1].address: missing: it must be a text",
                "daemons[1].weight = 0: must be a number from 1 to 65535",
            ],
        )

    def test_the_rest(self) -> None:
        """Zones of interfaces, and times within bounds."""
        daemons = 'daemons = [{address = "127.0.0.1:2223"}]\n'
        for line, message in (
            ("patience = 0", "patience = 0: must be seconds, from 0.1 to 10"),
            ("patience = 11", "patience = 11: must be seconds, from 0.1 to 10"),
            ("ping = 0", "ping = 0: must be seconds, from 1 to an hour"),
            ('interfaces = {dmz = "x"}', 'interfaces = "dmz": no zone of that name; there are: private, public'),
            (
                'interfaces = {public = ""}',
                'interfaces.public = "": must be a daemon\'s own name for an address, one word',
            ),
            ('interfaces = "x"', 'interfaces = "x": must be a table of zones: {public = "outside"}'),
        ):
            self.assertEqual(self.wrong(daemons + line), [message])


class TestRoutes(ConfigCase):
    """What a route says."""

    def test_said(self) -> None:
        """An engine's name or a word, and words for the engine."""
        (rule,) = self.load(BASE + ENGINE + ROUTE + 'media = "rtp"\nmedia_options = ["ptime=20", "asymmetric"]\n').rules
        assert isinstance(rule.answer, Go)
        self.assertEqual(rule.answer.options, Options(media="rtp", media_options=("ptime=20", "asymmetric")))
        self.assertIn("; media by rtp (ptime=20 asymmetric)", rule.describe())

    def test_described(self) -> None:
        """For who reads what a rule does."""
        for options, text in (
            (Options(), ""),
            (Options(media="none"), "media passes us by"),
            (Options(media="auto"), "media anchored where zones or families differ"),
            (Options(media="relay"), "media by relay"),
            (Options(media_options=("x",)), "media as usual (x)"),
        ):
            self.assertEqual(options.describe(), text)

    def test_mistakes(self) -> None:
        """Names of nobody, words that are none, and a route that sends nothing on."""
        self.assertEqual(
            self.wrong_route('to = "sip:10.0.0.5"\nmedia = "rtpengine"\nmedia_options = ["a b"]', BASE + ENGINE),
            [
                'media_options = ["a b"]: must be a list of words without blanks, as the engine knows them',
                'media = "rtpengine": no [[engine]] of that name; there are: auto, none, relay, rtp',
            ],
        )
        self.assertEqual(
            self.wrong_route('reject = 403\nmedia = "none"'),
            ['media = "none": reject is given too: a route sends on or rejects'],
        )

    def test_words(self) -> None:
        """What rtpengine may be told, and what it may not."""
        said = ("ptime=fast", "is not a number"), ("direction=x", "is no key that"), ("assymetric", "is no flag")
        for word, why in said:
            (mistake,) = self.wrong_route(f'to = "sip:10.0.0.5"\nmedia_options = ["{word}"]', BASE + ENGINE)
            self.assertTrue(mistake.startswith(f'media_options = "{word}": {why}'), mistake)

    def test_in_vain(self) -> None:
        """What has no effect."""
        inside = 'zone = "private"\nsend_from = "private"\n'
        none = "has no effect: only an [[engine]] reads it, and none is asked here"
        for lines, engine, said in (
            ('media_options = ["asymmetric"]', "", f'media_options = ["asymmetric"]: {none}'),
            ('media = "relay"\nmedia_options = ["asymmetric"]', ENGINE, f'media_options = ["asymmetric"]: {none}'),
            ('method = "MESSAGE"\nmedia = "relay"', "", 'media = "relay": has no effect: only calls have media'),
        ):
            self.assertIn(f"route[1].{said}", self.warnings(BASE + engine + ROUTE + inside + lines + "\n"))

    def test_script(self) -> None:
        """A script's words are checked when it says them."""
        anchoring = self.load(BASE + ENGINE).media.anchoring
        for name in ("", "none", "auto", "relay", "rtp"):
            anchoring.check(name)
        error = self.assertRaises(LookupError, anchoring.check, "x")
        self.assertEqual(str(error), "no media engine has the name x; there are: auto, none, relay, rtp")


class TestCautions(ConfigCase):
    """S45: what is lost is said only where media is not anchored."""

    BY_US = "media passes us by: the addresses in SDP cross, so hiding is incomplete"
    HERE = 'media = "auto" here anchors it'

    def test_anchored(self) -> None:
        """Nothing is lost, by default, between the zones or by the route."""
        for text in (
            AUTO + CROSSING,
            '[media]\ndefault = "relay"\n' + CROSSING,
            '[media]\ndefault = "none"\nbetween = [{zones = ["public", "private"], media = "relay"}]\n' + CROSSING,
            CROSSING + 'media = "auto"\n',
            ENGINE + INTERFACES + CROSSING + 'media = "rtp"\n',
            AUTO + '[[route]]\nto = "request-uri"\n',
        ):
            self.assertEqual(self.warnings(BASE + text), [])

    def test_not_anchored(self) -> None:
        """It stays for those pairs, and says what to do."""
        said = f"route[1]: from public to private {self.BY_US}; {self.HERE}"
        self.assertEqual(self.warnings(BASE + '[media]\ndefault = "none"\n' + CROSSING), [said])
        self.assertEqual(self.warnings(BASE + AUTO + CROSSING + 'media = "none"\n'), [said])
        third = '[[zone]]\nname = "dmz"\n' + PRIVATE.replace("private", "dmz").replace("10.0.0.1", "192.0.2.2")
        none = '[media]\nbetween = [{zones = ["dmz", "private"], media = "none"}]\n'
        self.assertEqual(
            self.warnings(BASE + third + none + '[[route]]\nto = "request-uri"\n'),
            [f"route[1]: from dmz to private and private to dmz (if it is sent so) {self.BY_US}; {self.HERE}"],
        )

    def test_families(self) -> None:
        """Within a zone too."""
        self.assertEqual(media_caution([OUTSIDE], [OUTSIDE6], anchoring=Anchoring("auto")), "")
        lost = "between IPv4 and IPv6 there is no audio without a media relay"
        self.assertEqual(media_caution([OUTSIDE], [OUTSIDE6]), lost)

    def test_script(self) -> None:
        """A script may send from anywhere to anywhere."""
        self.write("def route(request, listeners): pass\n", "policy.py")
        script = 'policy = "policy.py"\n' + BASE
        self.assertEqual(self.warnings(script + AUTO + ENGINE), [])
        third = '[[zone]]\nname = "dmz"\n' + PRIVATE.replace("private", "dmz").replace("10.0.0.1", "192.0.2.2")
        none = '[media]\nbetween = [{zones = ["private", "dmz"], media = "none"}]\n'
        (said,) = self.warnings(script + third + none)
        self.assertIn(f'"policy.py": where it sends a call between dmz and private, {self.BY_US}; [media] with', said)

    def test_profiles(self) -> None:
        """What cannot meet is said of each route; an engine makes it meet."""
        webrtc = BASE.replace('name = "public"', 'name = "public"\nmedia_profile = "webrtc"', 1)
        webrtc = webrtc.replace('name = "private"', 'name = "private"\nmedia_profile = "plain"', 1)
        lost = "from public (webrtc) to private (plain) there is no audio"
        does = "an [[engine]] of rtpengines does"
        self.assertEqual(
            self.warnings(webrtc + AUTO + CROSSING), [f"route[1]: {lost}: the relay does not speak ICE; {does}"]
        )
        self.assertIn(
            f"route[1]: {lost}: media passes us by, and nobody changes it; {does}", self.warnings(webrtc + CROSSING)
        )
        self.assertEqual(self.warnings(webrtc + ENGINE + INTERFACES + CROSSING + 'media = "rtp"\n'), [])
        self.assertEqual(self.warnings(webrtc + '[media]\nauto = "rtp"\n' + ENGINE + INTERFACES + CROSSING), [])
        self.write("def route(request, listeners): pass\n", "policy.py")
        (said,) = self.warnings('policy = "policy.py"\n' + webrtc + AUTO)
        self.assertIn(f"where it sends a call so: {lost}: the relay does not speak ICE; from private (plain)", said)
        srtp = Anchoring("relay", profiles={"public": "srtp"})
        self.assertEqual(media_misfit([OUTSIDE], [INSIDE], srtp), "")
        self.assertEqual(
            media_misfit([OUTSIDE], [INSIDE], Anchoring("relay", profiles={"public": "webrtc"})),
            "from public (webrtc) to private (whatever) there is no audio: the relay does not speak ICE",
        )
        self.assertEqual(misfit("rtp", "webrtc", "plain"), "")

    def test_shared_addresses(self) -> None:
        """An engine without interfaces tells both sides the same address; between such zones the guard asks nothing."""
        said = (
            "engine[1].interfaces: says nothing: between private and public both sides are told an address of a "
            "daemon's first interface, and the leak guard leaves addresses of media alone"
        )
        by_default = '[media]\nauto = "rtp"\n'
        for text, warned in (
            (ENGINE + CROSSING + 'media = "rtp"\n', [said]),
            (by_default + ENGINE + CROSSING, [said]),
            (by_default + ENGINE + CROSSING + 'media = "relay"\n' + ROUTE + 'zone = "public"\nsend_from = "public"\n'
             'media = "rtp"\n', []),
        ):  # fmt: skip
            self.assertEqual(self.warnings(BASE + text), warned)
        for interfaces, anchored in (
            ("", []),
            ('interfaces = {public = "out"}\n', []),
            (INTERFACES, ["private"]),
        ):
            configuration = self.load(BASE + by_default + ENGINE + interfaces + CROSSING)
            self.assertEqual(anchored_from(configuration, "public", ["public", "private"]), anchored)
        relayed = self.load(BASE + AUTO + CROSSING)
        self.assertEqual(anchored_from(relayed, "public", ["public", "private"]), ["private"])
        self.write("def route(request, listeners): pass\n", "policy.py")
        self.assertEqual(self.warnings('policy = "policy.py"\n' + BASE + by_default + ENGINE), [said])

    def test_names_for_media(self) -> None:
        """A listener that advertises a name, where the relay tells an address."""
        named = BASE.replace('address = "192.0.2.1"', 'address = "192.0.2.1"\nadvertise = "sbc.example:5070"', 1)
        message = "is a name: for media the relay tells the address it is bound to, 192.0.2.1, and not another one"
        said = f'listener[1].advertise = "sbc.example:5070": {message}'
        self.assertEqual(self.warnings(named + AUTO + CROSSING), [said])
        self.assertEqual(self.warnings(named + CROSSING + 'media = "relay"\n'), [said])
        self.assertEqual(self.warnings(named.replace("sbc.example", "198.51.100.1") + AUTO + CROSSING), [])
        self.assertEqual(self.warnings(named.replace("sbc.example", "192.0.2.1") + AUTO + CROSSING), [])
        self.assertEqual(self.warnings(named + ENGINE + INTERFACES + CROSSING + 'media = "rtp"\n'), [])

    def test_unused(self) -> None:
        """An engine that nobody names."""
        said = 'engine[1].name = "rtp": is named by no route and no pair of zones: nobody\'s media goes there'
        self.assertEqual(self.warnings(BASE + AUTO + ENGINE + CROSSING), [said])
        auto = 'media.auto = "rtp": has no effect: nobody says "auto"'
        none = '[media]\ndefault = "none"\nauto = "rtp"\n'
        self.assertEqual(self.warnings(BASE + none + ENGINE + CROSSING + 'media = "relay"\n'), [said, auto])
