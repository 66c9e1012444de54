"""S35, S36, S39, S40: what crosses from one zone to another, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.crossing import METHODS, OPTION_TAGS, WARNINGS
from b2bua.policy.hiding import CROSSINGS, NAMING, OF_THE_BODY, SIGNED, Hiding, anonymous, beyond_us, unsupported
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed
from b2bua.sip.headers import BY_NAME, TABLE, Verdict, verdict_of
from b2bua.sip.message import Headers, Request, Response, parse

PUBLIC = Zone("public")
PRIVATE = Zone("private")
CORE = Zone("core", trusted=True)
CARRIER = Zone("carrier", trusted=True)
OPEN = Zone("open", keep_hosts=frozenset({"From", "To"}))
HOST = "192.0.2.1:5060"

# What the far side must never learn, in many spellings of one side's identity.
SECRETS = (
    "10.11.12.13", "[2001:db8:dead::1]", "2001:db8:dead::1", "pbx.inside.example", "call-7f3a@pbx.inside.example",
    "fromtag77", "totag88", "z9hG4bKsecret",
)  # fmt: skip
# Every shape that a value might have, with a secret in each place where one fits.
SHAPES = (
    "{0}", "<{0}>", "x;y={0}", 'x;y="{0}"', "x;{0}", "x ({0})", "<sip:{0}>", "<sip:u@{0}>",
    '"{0}" <sip:u@{0};p={0}>;tag={0}',
    "sip:u@{0}", "<sip:u@x.example;maddr={0}>", "<sip:u@x.example;transport={0}>", "<sip:u@x.example?Replaces={0}>",
    "<tel:+1;phone-context={0}>", "<http://{0}/a.wav>", "<urn:service:{0}>", "<urn:alert:service:normal>;a={0}",
    "<urn:alert:service:{0}>", "<urn:alert:{0}:normal>", "<urn:emergency:uid:callid:a:{0}>", "<cid:a@{0}>",
    "SIP;cause=200;text=\"{0}\"", "SIP ;cause={0}", "{0};cause=1", "Q.850;cause=16;location={0}", "399 {0} \"{0}\"",
    "399 {0}:5060 \"a\", 301 {0} \"b\"", "{0} 399 x", "120 ({0});duration=60", "120 (a);x={0}", "120;duration={0}",
    "1800;refresher={0}", "1800;refresher=uac;x={0}", "1800 {0}", "dialog;call-id={0}", "dialog;from-tag={0};id=1",
    "dialog;id=1;to-tag={0}", "INVITE, {0}, BYE", "timer, {0}", "{0}, timer", "id;{0}", "true;x={0}", "70 {0}",
    "a.b.c;info=<https://{0}/c>", "Sat, 15 Oct 2005 04:44:56 {0}", "0123456789abcdef0123456789abcdef;remote={0}",
    "0123456789abcdef0123456789abcdef;x={0}", "1.0 {0}", "*;audio;x=\"<{0}>\"", "yes;a={0}",
    "active;reason={0}", "active;expires={0};x={0}", "{0};expires=60",
)  # fmt: skip
# Headers that cross whole because they are one end's words to the other: whatever stands in them crosses.
WHOLE = {
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Allow-Events", "Answer-Mode",
    "Authentication-Info", "Authorization", "Content-Disposition", "Content-Encoding", "Content-Language",
    "Content-Type", "Info-Package", "Priority", "Proxy-Authorization",
    "Reject-Contact", "Request-Disposition", "SIP-ETag", "SIP-If-Match", "Subject", "Suppress-If-Match",
    "User-to-User",
}  # fmt: skip
# Event crosses with the package's own parameters, which may say anything, but not with a dialog's ids; Recv-Info
# but for one package; a challenge with all that is hashed, or that another scheme says, but not with its domain.
NEARLY_WHOLE = WHOLE | {"Event", "Proxy-Authenticate", "Recv-Info", "WWW-Authenticate"}


def request(headers: Headers, body: bytes = b"x", method: str = "INVITE") -> Request:
    """A request that has only these headers."""
    return Request(method, "sip:bob@example.net", headers, body)


def crossed(name: str, value: str, hiding: Hiding | None = None) -> str:
    """What is left of one value, an empty string for nothing."""
    granted = (hiding or Hiding(PUBLIC, PRIVATE)).grant(request({name: [value]}), HOST)
    return granted.get(name, [""])[0]


class TestTable(SynchronousTestCase):
    """The table and what the code does say the same."""

    def test_verdicts_are_carried_out(self) -> None:
        """S35: MASK and INTERSECT rows have a crossing; OURS, DROP and TRUSTED rows have none."""
        for row in TABLE:
            if row.verdict in (Verdict.MASK, Verdict.INTERSECT):
                self.assertIn(row.name, CROSSINGS)
            elif row.verdict in (Verdict.OURS, Verdict.DROP, Verdict.TRUSTED):
                self.assertNotIn(row.name, CROSSINGS)
        self.assertLessEqual(CROSSINGS.keys() | OF_THE_BODY | SIGNED, BY_NAME.keys())

    def test_what_crosses_whole(self) -> None:
        """The headers whose words are free are these, and a new one is a decision."""
        found = {row.name for row in TABLE if row.verdict is Verdict.KEEP and row.name not in CROSSINGS}
        self.assertEqual(found, WHOLE)

    def test_trickled_candidates(self) -> None:
        """RFC 8840: nobody is told that candidates may come in INFO, as they do not cross."""
        self.assertEqual(crossed("Recv-Info", "infoDtmf;a=1, Trickle-ICE;x=y"), "infoDtmf;a=1")
        self.assertEqual(crossed("Recv-Info", "trickle-ice"), "")
        self.assertEqual(crossed("Supported", "ice, trickle-ice, timer"), "ice, timer")
        self.assertEqual(unsupported(request({"Require": ["trickle-ice"]})), ["trickle-ice"])

    def test_names_of_dialogs(self) -> None:
        """S37: what names a dialog crosses only as it is translated, unless the configuration keeps or drops it."""
        message = request({name: ["said"] for name in NAMING})

        def translate(name: str, value: str) -> str:
            if name == "Join":
                raise Malformed("no name", "RFC 3911")
            return "" if name == "Target-Dialog" else f"{name} {value}"

        for hiding in (Hiding(PUBLIC, PRIVATE), Hiding(CORE, CARRIER)):
            self.assertEqual(hiding.grant(message, HOST), {})
            said = {name: [f"{name} said"] for name in ("In-Reply-To", "Refer-To", "Replaces")}
            self.assertEqual(hiding.grant(message, HOST, translate), said)
        odd = Hiding(PUBLIC, PRIVATE, frozenset({"Replaces", "Join"}), frozenset({"Refer-To", "In-Reply-To"}))
        self.assertEqual(odd.grant(message, HOST, translate), {"Replaces": ["said"], "Join": ["said"]})

    def test_ours_never_cross(self) -> None:
        """S36: what the leg writes is never granted, nor can the configuration have it so."""
        ours = [row.name for row in TABLE if row.verdict is Verdict.OURS]
        self.assertLessEqual(
            {"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Route", "Record-Route", "Max-Forwards",
             "Content-Length", "User-Agent", "Server"},
            set(ours),
        )  # fmt: skip
        message = request({name: ["1"] for name in ours})
        for hiding in (Hiding(PUBLIC, PRIVATE), Hiding(CORE, CARRIER), Hiding(PUBLIC, OPEN)):
            self.assertEqual(hiding.grant(message, HOST), {})
        for name in ours:
            self.assertRaises(ValueError, Hiding, CORE, CARRIER, frozenset({name.lower()}))
            self.assertRaises(ValueError, Hiding, CORE, CARRIER, frozenset(), frozenset({name.lower()}))


class TestLeaks(SynchronousTestCase):
    """Hostile values in every header."""

    def test_nothing_of_the_source_crosses(self) -> None:
        """S35, S36: no address, host, Call-ID or tag gets through, in any shape, but in words meant for the far end."""
        hiding = Hiding(PUBLIC, PRIVATE)
        for name, value in self.hostile():
            for message in (request({name: [value]}), Response(183, "", {name: [value]}, b"x")):
                granted = hiding.grant(message, HOST)
                for secret in SECRETS:
                    self.assertNotIn(secret, str(granted), f"{name}: {value}")

    def test_all_at_once(self) -> None:
        """S35: also in one message with every header, several values each, and unknown headers."""
        headers: Headers = {}
        for name, value in self.hostile():
            headers.setdefault(name, []).append(value)
        headers["x-inside"] = list(SECRETS)
        granted = str(Hiding(PUBLIC, PRIVATE).grant(request(headers), HOST))
        for secret in SECRETS:
            self.assertNotIn(secret, granted)

    def hostile(self) -> Iterator[tuple[str, str]]:
        """Header and value, for every header that does not cross whole."""
        for row in TABLE:
            if row.name not in NEARLY_WHOLE:
                for shape in SHAPES:
                    for secret in SECRETS:
                        yield row.name, shape.format(secret)

    def test_unknown_headers(self) -> None:
        """S35: a header that nobody thought of is not there."""
        names = b"X-Secret: 1\r\nP-Asserted-Identiti: 2\r\nRAc\xe2\x84\xaa: 3\r\nSubject: s\r\n\r\n"
        data = b"MESSAGE sip:b@c SIP/2.0\r\n" + names
        self.assertEqual(Hiding(CORE, CARRIER).grant(parse(data), HOST), {"Subject": ["s"]})

    def test_control_characters(self) -> None:
        """Values with control characters, quoted or not, or not in UTF-8, stay behind; tabs become blanks."""
        for text in (
            "a\\\x00b",
            "a\x7f",
            "a\r\nVia: x",
            "a\n",
            "\x1b[2J",
            "a\x85",
            "a\u2028b",
            b"\xff".decode("utf-8", "surrogateescape"),
        ):
            self.assertEqual(crossed("Subject", text), "", repr(text))
            self.assertEqual(crossed("Reason", f'SIP;cause=200;text="{text}"'), "", repr(text))
        self.assertEqual(crossed("Subject", "a\tb"), "a b")
        self.assertEqual(
            crossed("Subject", "\u00e9t\u00e9\u3000\U0001f600\u200d"), "\u00e9t\u00e9\u3000\U0001f600\u200d"
        )
        both = Hiding(PUBLIC, PRIVATE).grant(request({"Accept": ["a\x00", "b"]}), HOST)
        self.assertEqual(both, {"Accept": ["b"]})

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from([row.name for row in TABLE]), st.binary(max_size=60), st.sampled_from((PUBLIC, OPEN, CORE)))
    def test_any_bytes(self, name: str, data: bytes, target: Zone) -> None:
        """Any bytes come out as clean values or not at all, and nothing is raised."""
        value = data.decode("utf-8", "surrogateescape").strip()
        granted = Hiding(CORE, target, frozenset({"Replaces"})).grant(request({name: [value, value]}), HOST)
        for values in granted.values():
            for kept in values:
                kept.encode("utf-8")
                self.assertNotRegex(kept, "[\x00-\x1f\x7f-\x9f]")

    @settings(deadline=None, max_examples=500)
    @given(st.sampled_from(sorted(CROSSINGS)), st.text('abiSTQ.850;,="<>():@ 19-*%?&\\[]', max_size=50))
    def test_any_grammar(self, name: str, value: str) -> None:
        """What looks nearly right comes out as one value or not at all."""
        try:
            self.assertIsInstance(CROSSINGS[name](value, HOST), str)
        except Malformed:
            pass

    def test_linear(self) -> None:
        """No value makes any crossing slow: 60 kB of what could make one look back."""
        for piece in (
            "a;",
            '"',
            "<",
            "(",
            ")",
            ";x=(",
            "0",
            "urn:alert:",
            "<urn:alert:source",
            "a-",
            ":a",
            "\\",
            ", ",
            "SIP;cause=1,",
            ";info=<",
            ".a",
            "id;",
        ):
            for start in ("", "1 (", "1;", "<urn:alert:delay", "a.b.c;info=<a>;", "id;", "<sip:", '"'):
                value = (start + piece * (60000 // len(piece)))[:60000]
                began = time.process_time()
                for change in CROSSINGS.values():
                    try:
                        change(value, HOST)
                    except Malformed:
                        pass
                # Far above what linear costs, far below what anything else would.
                self.assertLess(time.process_time() - began, 5.0, f"{start}{piece}")


class TestGrant(SynchronousTestCase):
    """Order, bodies, zones."""

    def test_order_and_newness(self) -> None:
        """Headers come in the order in which they came, and what is granted is not the message's own."""
        message = request({"Accept": ["a", "b"], "Via": ["v"], "Subject": [""], "Priority": ["urgent"]})
        granted = Hiding(PUBLIC, PRIVATE).grant(message, HOST)
        self.assertEqual(list(granted.items()), [("Accept", ["a", "b"]), ("Subject", [""]), ("Priority", ["urgent"])])
        for values in granted.values():
            values.append("x")
        self.assertEqual(message.headers["Priority"], ["urgent"])
        self.assertEqual(message.headers["Accept"], ["a", "b"])

    def test_given_twice(self) -> None:
        """RFC 3261 7.3.1: of a header that may be given once, one value crosses: the first."""
        values = ["application/sdp", "text/plain"]
        headers: Headers = {"Content-Type": values, "Expires": ["1", "2"], "Accept": values, "WWW-Authenticate": values}
        granted = Hiding(PUBLIC, PRIVATE).grant(request(headers), HOST)
        self.assertEqual(granted["Content-Type"], ["application/sdp"])
        self.assertEqual(granted["Expires"], ["1"])
        self.assertEqual(granted["Accept"], values)
        self.assertEqual(granted["WWW-Authenticate"], values)

    def test_of_the_body(self) -> None:
        """Content-* without a body would announce what does not come."""
        headers: Headers = {
            "Content-Type": ["text/plain"],
            "Content-Language": ["en"],
            "MIME-Version": ["1.0"],
            "Subject": ["s"],
        }
        hiding = Hiding(PUBLIC, PRIVATE)
        self.assertEqual(hiding.grant(request(headers, b"hi"), HOST), headers)
        self.assertEqual(hiding.grant(request(headers, b""), HOST), {"Subject": ["s"]})

    def test_trusted(self) -> None:
        """RFC 3325 5: an asserted identity crosses within the trust domain; not out of it, and not into it."""
        message = request({"P-Asserted-Identity": ["<sip:a@b>"], "Privacy": ["id"]})
        self.assertEqual(Hiding(CORE, CARRIER).grant(message, HOST), message.headers)
        for source, target in ((PUBLIC, CORE), (CORE, PUBLIC), (PUBLIC, PRIVATE)):
            self.assertEqual(Hiding(source, target).grant(message, HOST), {"Privacy": ["id"]})

    def test_configuration(self) -> None:
        """The operator keeps and drops per zone pair, in the operator's spelling; unknown names included."""
        message = request({"x-account": ["7"], "Organization": ["o"], "Subject": ["s"], "Allow": ["INVITE"]})
        hiding = Hiding(PUBLIC, PRIVATE, frozenset({"X-Account", "ORGANIZATION"}), frozenset({"s", "Allow"}))
        self.assertEqual(hiding.grant(message, HOST), {"X-Account": ["7"], "Organization": ["o"]})
        self.assertEqual(hiding.explain("x-ACCOUNT"), (True, "the configuration keeps it"))
        self.assertEqual(hiding.explain("Subject"), (False, "the configuration drops it"))
        with_control = request({"x-account": ["7\x07"]})
        self.assertEqual(hiding.grant(with_control, HOST), {})

    def test_configuration_mistakes(self) -> None:
        """What no configuration can have is refused by name."""
        for keep, drop, said in (
            ({"Supported"}, set(), "Supported cannot be kept: only what is bridged"),
            ({"via"}, set(), "Via cannot be kept: shows the path"),
            ({"X-A", "Subject"}, {"x-a"}, "x-a is both kept and dropped"),
            ({"X A"}, set(), "'X A' is not a header's name"),
            ({"X-A\r\nVia"}, set(), "is not a header's name"),
            ({""}, set(), "is not a header's name"),
            (set(), {"Contact"}, "Contact cannot be dropped"),
        ):
            error = self.assertRaises(ValueError, Hiding, PUBLIC, PRIVATE, frozenset(keep), frozenset(drop))
            self.assertIn(said, str(error))

    def test_explain(self) -> None:
        """One header's fate and its reason; what is said is what is done."""
        open_pair = Hiding(PUBLIC, OPEN)
        self.assertEqual(Hiding(PUBLIC, PRIVATE).explain("X-Odd"), (False, "not in the table"))
        self.assertEqual(open_pair.explain("y")[0], True)
        self.assertEqual(Hiding(PUBLIC, PRIVATE).explain("Identity")[0], False)
        self.assertIn("zone public is not trusted", Hiding(PUBLIC, CORE).explain("P-Asserted-Identity")[1])
        self.assertIn("zone public is not trusted", Hiding(CORE, PUBLIC).explain("P-Asserted-Identity")[1])
        self.assertIn("both zones are trusted", Hiding(CORE, CARRIER).explain("P-Asserted-Identity")[1])
        self.assertEqual(verdict_of("s").verdict, Verdict.KEEP)
        values = [
            "1",
            "sip:a@b",
            "norefersub",
            "INVITE",
            "<urn:alert:service:a>",
            "SIP;cause=1",
            "399 a b",
            "id",
            "true",
            "1.0",
            "a" * 32,
            "active",
        ]
        for hiding in (Hiding(PUBLIC, PRIVATE), Hiding(CORE, CARRIER)):
            for row in TABLE:
                granted = any(
                    hiding.grant(request({row.name: [value]}), HOST, lambda name, said: said) for value in values
                )
                self.assertEqual(granted, hiding.explain(row.name)[0], row.name)


class TestCrossings(SynchronousTestCase):
    """S39, S40: headers that cross changed."""

    def check(self, name: str, pairs: dict[str, str]) -> None:
        """Each value comes out as given."""
        for value, expected in pairs.items():
            self.assertEqual(crossed(name, value), expected, f"{name}: {value}")

    def test_reason(self) -> None:
        """S39: protocol and cause, no text (RFC 3326)."""
        self.check("Reason", {
            'SIP ;cause=200 ;text="Call completed elsewhere"': "SIP;cause=200",
            'q.850;cause=16;text="a, b";location=LN, SIP;cause=487': "Q.850;cause=16, SIP;cause=487",
            "SIP": "", "SIP;text=a": "", "SIP;cause=99999": "", "SIP;cause=1;cause=2": "", "other;cause=1": "", "": "",
        })  # fmt: skip

    def test_warning(self) -> None:
        """S39: code, our agent, the code's own text (RFC 3261 20.43)."""
        self.check("Warning", {
            '307 isi.edu "Session parameter \'foo\' not understood"':
                f'307 {HOST} "Session description parameter not understood"',
            '301 isi.edu "a, b", 399 10.0.0.1 "c"':
                f'301 {HOST} "Incompatible network address formats", 399 {HOST} "Miscellaneous warning"',
            "200 a b": "", "399": "", "\u0663\u0669\u0669 a b": "", "": "",
        })  # fmt: skip
        self.assertEqual(len(WARNINGS), 13)

    def test_retry_after(self) -> None:
        """S39: no comment (RFC 3261 20.33)."""
        self.check("Retry-After", {
            "18000;duration=3600": "18000;duration=3600", "120 (I'm in a meeting)": "120", "5": "5",
            "5 (a (b);duration=1) ;duration=60": "5;duration=60", "5;duration=x": "5", "5;x=y": "5",
            "5 (a": "", "x": "", "": "", "99999999999": "", "5;;": "",
        })  # fmt: skip

    def test_alert_info(self) -> None:
        """RFC 7462: a sound by its name crosses; what can be fetched or holds a host does not."""
        self.check("Alert-Info", {
            "<urn:alert:service:call-waiting>": "<urn:alert:service:call-waiting>",
            "<http://a.example/b.wav>, <urn:alert:source:internal>;x=y": "<urn:alert:source:internal>",
            "<urn:alert:service:x@a.example>": "", "<urn:alert:service:2001:db8::1>": "", "<urn:x:a>": "",
            "<sip:a@b>": "", "urn:alert:service:normal": "", "": "",
        })  # fmt: skip
        for name in ("Call-Info", "Error-Info"):
            self.check(name, {"<urn:emergency:uid:callid:a:pbx.example>": "", "<urn:alert:service:normal>": ""})

    def test_lists(self) -> None:
        """S40: what both the peer and the bridge can do."""
        self.check(
            "Allow", {"INVITE, ACK,BYE , FROB": "INVITE, ACK, BYE", "FROB": "", "REGISTER": "", "invite": "", "": ""}
        )
        for name in ("Supported", "Require", "Proxy-Require", "Unsupported"):
            self.check(name, {"precondition, ICE ,replaces": "ice, replaces", "norefersub": "norefersub", "gruu": ""})
        for name in ("Supported", "Unsupported"):
            self.check(name, {"100rel, Timer ,replaces": "100rel, timer, replaces"})
        for name in ("Require", "Proxy-Require"):  # S31, RFC 4028: each leg fulfils them by itself
            self.check(name, {"100rel, Timer ,ice": "ice", "100rel": ""})
        long = ", ".join(["BYE"] * 200)
        self.check("Allow", {long: long})
        self.assertIn("UPDATE", METHODS)
        self.assertIn("timer", OPTION_TAGS)
        self.assertNotIn("precondition", OPTION_TAGS)

    def test_challenge(self) -> None:
        """A challenge less its domain, which says hosts and is not hashed (RFC 7616 3.3): the rest as it stood."""
        for value, left in (
            ('Digest realm="a.example", nonce="n", opaque="o"', 'Digest realm="a.example", nonce="n", opaque="o"'),
            ('Digest realm="r",domain="sip:10.0.0.1", nonce="n"', 'Digest realm="r", nonce="n"'),
            ('DIGEST Domain = "sip:10.0.0.1 sip:10.0.0.2"  ,realm="r"', 'DIGEST realm="r"'),
            ('Digest realm="r", domain=10.0.0.1', 'Digest realm="r"'),
            (r'Digest realm="\"domain=", x=Y, domain="a\"b, c"', r'Digest realm="\"domain=", x=Y'),
            ('Digest realm="domain=\\"x"', r'Digest realm="domain=\"x"'),
            ('Digest realm="r, domain="sip:10.0.0.1"', ""),
            ("Digest domain=", ""),
            ('Basic realm="the domain"', 'Basic realm="the domain"'),
        ):
            for name in ("WWW-Authenticate", "Proxy-Authenticate"):
                self.assertEqual(crossed(name, value), left, value)

    def test_refer(self) -> None:
        """S37 as far as no dialog is named: host and parameters are ours, and embedded headers stay behind."""
        for name in ("Refer-To", "Reply-To", "Referred-By"):
            self.check(name, {
                '"C" <sips:carol:pw@pbx.inside.example:5070;transport=tcp;maddr=10.0.0.1>;x=y': f"<sips:carol@{HOST}>",
                "sip:+12@a;user=phone": f"<sip:+12@{HOST}>",
                "<sip:+12@a;user=phone;method=INVITE>": f"<sip:+12@{HOST};user=phone;method=INVITE>",
                "<sip:a@b;method=frob>": "",
                "<sip:a@b?Replaces=x%3Bto-tag%3Dy>": f"<sip:a@{HOST}>" if name == "Refer-To" else "", "<sip:b>": "",
                "<tel:+1-201(5)>": "<tel:+1-201(5)>", "<tel:5;phone-context=a.example>": "",
                "<http://a/b>": "", "x": "", "": "",
            })  # fmt: skip

    def test_event(self) -> None:
        """RFC 4235 3.2: an event package crosses; ids of a dialog do not."""
        self.check("Event", {
            "dialog": "dialog", "refer;id=93809824": "refer;id=93809824",
            "presence ; ID=a;adaptive-min-rate": "presence;id=a;adaptive-min-rate",
            'dialog;call-id="a";from-tag=b': "", "dialog;To-Tag=b": "", "a b": "", "": "", "a;;": "",
        })  # fmt: skip

    def test_subscription_state(self) -> None:
        """RFC 6665 8.2.3: the state, seconds, and the reasons that are registered."""
        self.check("Subscription-State", {
            "active": "active", "Active ; expires=60": "active;expires=60", "pending;expires=x": "pending",
            "terminated;reason=timeout;retry-after=5": "terminated;reason=timeout;retry-after=5",
            "terminated;reason=NoResource": "terminated;reason=NoResource",
            "terminated;reason=biloxi;x=y": "terminated", "terminated;reason": "terminated",
            "waiting": "", "active;expires=1;expires=2": "", "": "",
        })  # fmt: skip

    def test_shapes(self) -> None:
        """Numbers are digits, and what has one shape has it."""
        for name in ("Expires", "Min-Expires", "Max-Breadth"):
            self.check(
                name, {"0": "0", "4294967295": "4294967295", "1" * 500: "", "-1": "", "1_0": "", "\u0661": "", "": ""}
            )
        half = "0123456789abcdef"
        self.check(
            "Session-ID",
            {
                half * 2: half * 2,
                f"{half * 2};remote={half * 2}": f"{half * 2};remote={half * 2}",
                half: "",
                f"{half * 2};x": "",
            },
        )
        self.check(
            "Privacy",
            {
                "id": "id",
                "header; user ;critical": "header; user ;critical",
                "none": "none",
                "id;x": "",
                ";": "",
                "id;": "",
            },
        )
        self.check("Refer-Sub", {"false": "false", "True": "True", "no": ""})
        self.check("MIME-Version", {"1.0": "1.0", "1.0 (a)": ""})


class TestIdentity(SynchronousTestCase):
    """S39: a signature crosses with what it covers, byte for byte, or not at all (RFC 8224)."""

    DATE = "Sat, 15 Oct 2005 04:44:56 GMT"
    SIGNATURE = 'eyJh.eyJi.rq3p-_;info=<https://biloxi.example.org/biloxi.cer>;alg=ES256;ppt="shaken"'

    def test_both_or_none(self) -> None:
        """Identity and Date cross together, where From and To keep their hosts."""
        both: Headers = {"Date": [self.DATE], "Identity": [self.SIGNATURE]}
        self.assertEqual(Hiding(PUBLIC, OPEN).grant(request(both), HOST), both)
        for hosts in (set(), {"From"}, {"To"}, {"Request-URI"}):
            self.assertEqual(Hiding(PUBLIC, Zone("z", True, frozenset(hosts))).grant(request(both), HOST), {})

    def test_date_alone(self) -> None:
        """Date without a signature that crosses does not cross, unless the operator keeps it."""
        for identity in ([], ["a.b.c"], ["kjOP4YVZXmF0X3=="], ["a.b.c;info=<x y>"]):
            headers: Headers = {"Identity": identity, "Date": [self.DATE]}
            self.assertEqual(Hiding(PUBLIC, OPEN).grant(request(headers), HOST), {})
        kept = Hiding(PUBLIC, PRIVATE, frozenset({"Date"})).grant(request({"Date": ["x"]}), HOST)
        self.assertEqual(kept, {"Date": ["x"]})
        kept = Hiding(PUBLIC, OPEN, frozenset({"Date"})).grant(request({"Date": ["x"]}), HOST)
        self.assertEqual(kept, {"Date": ["x"]})

    def test_date_of_another_shape(self) -> None:
        """A broken Date is left out; Identity stays, for the far side to judge."""
        headers: Headers = {"Identity": [self.SIGNATURE], "Date": ["Fri, 01 Jan 2010 16:00:00 EST"]}
        self.assertEqual(list(Hiding(PUBLIC, OPEN).grant(request(headers), HOST)), ["Identity"])


class TestPrivacy(SynchronousTestCase):
    """RFC 3323, RFC 3325, RFC 7044 at a trust edge."""

    def test_user(self) -> None:
        """RFC 3323 4.1: towards a zone that is not trusted, what the caller said of itself goes; else it stays."""
        headers: Headers = {
            "Subject": ["s"],
            "Organization": ["o"],
            "Privacy": ["header; USER"],
            "Priority": ["normal"],
        }
        message = request(headers)
        self.assertEqual(
            list(Hiding(CORE, PUBLIC, frozenset({"Organization"})).grant(message, HOST)), ["Privacy", "Priority"]
        )
        self.assertEqual(list(Hiding(PUBLIC, CORE).grant(message, HOST)), ["Subject", "Privacy", "Priority"])

    def test_honoured_though_dropped(self) -> None:
        """The wish counts also where the header itself does not cross."""
        message = request({"Subject": ["s"], "Privacy": ["user"]})
        self.assertEqual(Hiding(PUBLIC, PRIVATE, drop=frozenset({"Privacy"})).grant(message, HOST), {})

    def test_id_and_history(self) -> None:
        """RFC 3325 9.3: id goes before what the configuration keeps; other wishes take nothing away."""
        hiding = Hiding(CORE, PUBLIC, frozenset({"P-Asserted-Identity", "History-Info"}))
        for wish, left in (
            ("id", ["History-Info"]),
            ("history", ["P-Asserted-Identity"]),
            ("none", ["P-Asserted-Identity", "History-Info"]),
        ):
            message = request(
                {"P-Asserted-Identity": ["<sip:a@b>"], "History-Info": ["<sip:a@b>;index=1"], "Privacy": [wish]}
            )
            self.assertEqual(list(hiding.grant(message, HOST)), [*left, "Privacy"])

    def test_anonymous(self) -> None:
        """Whether From is to be made anonymous: user privacy, towards a zone that is not trusted."""
        for value, expected in (
            ("user", True),
            ("id;user;critical", True),
            ("header", False),
            ("id", False),
            ("none", False),
        ):
            message = request({"Privacy": [value]})
            self.assertEqual(anonymous(message, PUBLIC), expected)
            self.assertFalse(anonymous(message, CORE))
        self.assertFalse(anonymous(request({}), PUBLIC))

    def test_beyond_us(self) -> None:
        """RFC 3323 5: session privacy that is critical cannot be had without a media relay."""
        self.assertTrue(beyond_us(request({"Privacy": ["session;critical"]})))
        for headers in ({}, {"Privacy": ["session"]}, {"Privacy": ["user;critical"]}):
            self.assertFalse(beyond_us(request(headers)))


class TestUnsupported(SynchronousTestCase):
    """S40: what has to be refused with 420 (RFC 3261 8.2.2.3)."""

    def test_tags(self) -> None:
        """What the bridge cannot carry comes back as it was written, each once."""
        message = request({"Require": ["gruu, Timer", "100rel, frob"], "Proxy-Require": ["frob, , privacy, FooBar"]})
        self.assertEqual(unsupported(message), ["gruu", "frob", "FooBar"])
        self.assertEqual(unsupported(request({"Require": ["timer"]})), [])
        self.assertEqual(unsupported(request({"Proxy-Require": ["gruu"]})), ["gruu"])
        self.assertEqual(unsupported(request({})), [])

    def test_bext01(self) -> None:
        """RFC 4475 3.3.5: all four tags are named."""
        data = (
            b"OPTIONS sip:user@example.com SIP/2.0\r\nRequire: nothingSupportsThis, nothingSupportsThisEither\r\n"
            b"Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis\r\n\r\n"
        )
        message = parse(data)
        assert isinstance(message, Request)
        self.assertEqual(len(unsupported(message)), 4)

    def test_never_of_ack_and_cancel(self) -> None:
        """Require in ACK and CANCEL is no reason to refuse them."""
        for method in ("ACK", "CANCEL"):
            self.assertEqual(unsupported(request({"Require": ["frob"]}, method=method)), [])

    def test_no_tokens(self) -> None:
        """What is no option tag is not echoed into a response."""
        error = self.assertRaises(Malformed, unsupported, request({"Require": ['a"b']}))
        self.assertEqual(error.status, 400)


class TestZone(SynchronousTestCase):
    """A zone's value."""

    def test_hosts_to_keep(self) -> None:
        """Only hosts that are masked can be kept."""
        self.assertEqual(Zone("a").keep_hosts, frozenset())
        self.assertFalse(Zone("a").trusted)
        error = self.assertRaises(ValueError, Zone, "a", False, frozenset({"Contact", "From"}))
        self.assertEqual(str(error), "Contact: hosts can be kept in From, Request-URI, To")
