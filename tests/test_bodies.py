"""S38: bodies that name hosts or dialogs, each kind by itself."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.bodies import KINDS, carry
from b2bua.policy.body import NEVER, NO_EXCEPTIONS, Exceptions, register, without_addresses
from b2bua.policy.document import PREFIXES
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Listener
from b2bua.sip.sdp import SDP
from b2bua.sip.xml import Element, read
from tests import hostile
from tests.crossing import Told

FOLDER = Path(__file__).parent / "data" / "bodies"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".xml", ".txt"))
DOCUMENTS = [path for path in FILES if path.suffix == ".xml"]
TYPES = {
    "conference-info": "application/conference-info+xml",
    "cpim": "message/cpim",
    "dialog-info": "application/dialog-info+xml",
    "imdn": "message/imdn+xml",
    "iscomposing": "application/im-iscomposing+xml",
    "pidf": "application/pidf+xml",
    "reginfo": "application/reginfo+xml",
    "resource-lists": "application/resource-lists+xml",
    "rlmi": "application/rlmi+xml",
    "simple-message-summary": "application/simple-message-summary",
    "sipfrag": "message/sipfrag",
    "watcherinfo": "application/watcherinfo+xml",
}
LOCATED = Exceptions(location=True)
PART = "bob.10.11.12.13@inside.example"  # of which rlmi.server.xml speaks

# What the far side must never learn: hosts in many spellings, and ids.
HOSTS = (
    "10.11.12.13", "[2001:db8:dead::1]", "2001:db8:dead:0:0:0:0:1", "pbx.inside.example", "call-7f3a@pbx.inside.example"
)  # fmt: skip
IDS = ("fromtag77", "totag88", "z9hG4bKsecret")
FORMS = ("{0}", "sip:u@{0}", "<sip:u@{0}>", "sip:u@x;maddr={0}", "http://{0}/", "tel:+1;phone-context={0}", "urn:x:{0}",
         "u@{0}", "pres:u@{0}", " {0} ", "sip:u@h?Replaces={0}", "true {0}", "im:{0}", "sip:{0}")  # fmt: skip
# What people read: an id cannot be told from a word there.
READ = frozenset(
    """
    display display-name name display-text subject free-text keywords note note-well country RD HNO LOC message-id
    """.split()
)


def typed(path: Path) -> str:
    """The media type of a sample, which its name begins with."""
    return TYPES[path.name.partition(".")[0]]


def across(body: bytes, content_type: str, exceptions: Exceptions = NO_EXCEPTIONS) -> bytes:
    """What is left of a body."""
    told = Told(exceptions)
    told.names[PART] = "part@10.0.0.1"
    return told.carry(body, content_type)[0]


def spelt(element: Element, draw: st.DrawFn) -> str:
    """An element as text, with prefixes of the test's, and with noise that says what must not be said."""
    secret = draw(st.sampled_from(HOSTS + IDS))
    noise = draw(
        st.sampled_from(
            [
                "",
                f"<!-- {secret} -->",
                f"<?x {secret}?>",
                f'<v:x v:y="{secret}">{secret}</v:x>',
                f"<x>{secret}</x>",
                f"<![CDATA[{escape(secret)}]]>",
            ]
        )
    )
    space, _, name = element.name[1:].partition("}")
    said = "".join(
        f" {_attribute(each)}={quoteattr(_planted(each, value, draw))}" for each, value in element.attributes.items()
    )
    more = draw(st.sampled_from(["", "", f' v:x="{secret}"', f' y="{secret}"']))
    inside = "".join(spelt(child, draw) for child in element.children)
    text = escape(_planted(name, element.text.strip(), draw))
    if draw(st.integers(0, 20)) == 0:
        inside += inside
    if "CDATA" in noise and name in READ:
        noise = ""
    return f'<{name} xmlns="{space}" xmlns:v="urn:x:{secret}"{said}{more}>{noise}{text}{inside}</{name}>{_tail(noise)}'


def _tail(noise: str) -> str:
    return "" if "CDATA" in noise else noise


def _attribute(name: str) -> str:
    space, _, local = name[1:].partition("}") if name[:1] == "{" else ("", "", name)
    return {"": "", "http://www.w3.org/XML/1998/namespace": "xml:"}.get(space, "v:") + local


def _planted(name: str, value: str, draw: st.DrawFn) -> str:
    """The value, or another one with a secret in it."""
    if draw(st.integers(0, 3)):
        return value
    secret = draw(st.sampled_from(HOSTS if name in READ else HOSTS + IDS))
    return draw(st.sampled_from(FORMS)).format(secret)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sample with secrets in any of its places, and its media type."""
    path = draw(st.sampled_from(DOCUMENTS))
    text = spelt(read(path.read_bytes()), draw)
    if draw(st.booleans()):
        text = f"<?xml version='1.0' encoding='utf-8'?><!-- pbx.inside.example -->{text}<!-- 10.11.12.13 -->"
    return typed(path), text.encode()


class TestSamples(SynchronousTestCase):
    """Bodies of phones and servers."""

    def test_what_is_left(self) -> None:
        """S38: each sample crosses as the file of its name in across/, where nothing of the far side is."""
        self.assertGreater(len(FILES), 12)
        for path in FILES:
            said = across(path.read_bytes(), typed(path), LOCATED if "location" in path.name else NO_EXCEPTIONS)
            self.assertEqual(said, (FOLDER / "across" / path.name).read_bytes(), path.name)
            self.check_hidden(said)

    def test_there_is_one_of_each(self) -> None:
        """Every kind that reads a body has a sample."""
        self.assertEqual({kind for kind, each in KINDS.items() if each.reads}, set(TYPES.values()))
        self.assertEqual({typed(path) for path in FILES}, set(TYPES.values()))

    def check_hidden(self, said: bytes) -> None:
        """Nothing of what must not be said is there."""
        for secret in (*HOSTS, *IDS, "inside.example"):
            self.assertNotIn(secret.lower().encode(), said.lower(), said)

    @given(documents())
    def test_planted(self, sample: tuple[str, bytes]) -> None:
        """S38: no attribute, element, comment, instruction or namespace brings a host or an id across."""
        kind, body = sample
        for exceptions in (NO_EXCEPTIONS, LOCATED):
            said = across(body, kind, exceptions)
            self.check_hidden(said)
            if said:
                self.assertEqual(read(said).name, read(body).name)

    def test_the_search_finds_something(self) -> None:
        """A type that the configuration keeps shows what it holds."""
        path = FOLDER / "pidf.asterisk.xml"
        kept = across(path.read_bytes(), typed(path), Exceptions(frozenset({typed(path)})))
        self.assertEqual(kept, path.read_bytes())
        self.assertRaises(self.failureException, self.check_hidden, kept)

    def test_again(self) -> None:
        """What crossed crosses again: two bridges in a row are no harm."""
        for path in FILES:
            once = (FOLDER / "across" / path.name).read_bytes()
            twice = across(once, typed(path), LOCATED)
            self.assertTrue(twice, path.name)
            self.assertEqual(len(twice.splitlines()), len(once.splitlines()), path.name)

    @given(
        st.sampled_from(sorted(KINDS)),
        st.binary(max_size=200) | hostile.LONG.map(lambda text: text.encode("utf-8", "surrogateescape")),
    )
    def test_any_bytes(self, kind: str, body: bytes) -> None:
        """Any bytes give a body or nothing, and never raise."""
        told = Told()
        said, said_type = told.carry(body, kind)
        self.assertEqual(bool(told.faults), not said_type)
        self.assertIsInstance(said, bytes)

    @given(st.sampled_from(FILES), st.data())
    def test_damaged(self, path: Path, data: st.DataObject) -> None:
        """Nor does a sample with a piece cut out or put in."""
        body = path.read_bytes()
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(
            st.sampled_from([b"", b"<", b"&", b"&x;", b"\x00", b"\xff", b">", b'"', b"\r\n\r\n", b"]]>", b"<a>"])
        )
        said = across(body[:at] + piece + body[at + data.draw(st.integers(0, 9)) :], typed(path))
        self.check_hidden(said) if b"Message-ID" not in body else None


class TestDialogInfo(SynchronousTestCase):
    """RFC 4235."""

    HEAD = b'<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" entity="sip:a@x.example">'
    KIND = "application/dialog-info+xml"

    def dialog(self, attributes: str, inside: str = "<state>confirmed</state>") -> str:
        """What is left of one dialog."""
        body = self.HEAD + f"<dialog {attributes}>{inside}</dialog></dialog-info>".encode()
        return across(body, self.KIND).decode().partition('entity="sip:a@10.0.0.1"')[2].partition("</dialog-info>")[0]

    def test_ids(self) -> None:
        """S37: Call-ID and tags are the other leg's; of a dialog that it does not know only the state is told."""
        known = 'call-id="call-7f3a@pbx.inside.example" local-tag="fromtag77"'
        self.assertIn(
            'call-id="theirs" local-tag="here" remote-tag="there"', self.dialog(f'id="1" {known} remote-tag="totag88"')
        )
        early = self.dialog(f'id="1" {known}')
        self.assertIn('call-id="theirs" local-tag="here">', early)
        for ids in ("", 'call-id="other"', 'local-tag="fromtag77" remote-tag="totag88"', f'{known} remote-tag="other"'):
            left = self.dialog(f'id="1" {ids}')
            self.assertIn("<state>confirmed</state>", left)
            self.assertNotIn("tag", left)
            self.assertNotIn("call-id", left)

    def test_the_id_is_the_same_each_time(self) -> None:
        """RFC 4235 3.1: a partial notification is about the dialog of the same id."""
        self.assertEqual(self.dialog('id="1"'), self.dialog('id="1"'))
        self.assertNotEqual(self.dialog('id="1"'), self.dialog('id="2"'))

    def test_without_what_it_needs(self) -> None:
        """A dialog without id or state stays behind, and so does a document without version, state or entity."""
        for attributes, inside in (("", "<state>early</state>"), ('id=""', "<state>early</state>"), ('id="1"', ""),
                                   ('id="1"', "<state>odd</state>")):  # fmt: skip
            self.assertEqual(self.dialog(attributes, inside), "/>\r\n")
        for gone in (b'version="1"', b'state="full"', b'entity="sip:a@x.example"'):
            told = Told()
            self.assertEqual(told.carry(self.HEAD.replace(gone, b"") + b"</dialog-info>", self.KIND), (b"", ""))
            self.assertEqual(len(told.faults), 1)

    def test_another_root(self) -> None:
        """A document of another kind, or of a namespace that is not its own, is none of these."""
        for body in (b"<dialog-info/>", b'<dialog-info xmlns="urn:x"/>', (FOLDER / "pidf.asterisk.xml").read_bytes()):
            told = Told()
            self.assertEqual(told.carry(body, self.KIND), (b"", ""))
            self.assertIn("no application/dialog-info+xml", told.faults[0].reason)


class TestXml(SynchronousTestCase):
    """XML that is there to harm."""

    def refused(self, body: bytes) -> str:
        """Why a document is not read."""
        fault: Malformed = self.assertRaises(Malformed, read, body)
        return fault.reason

    def test_entities(self) -> None:
        """Entities are never expanded: a document type is enough to be refused (XML 1.0 4.2)."""
        laughs = b'<!DOCTYPE a [<!ENTITY b "bb">' + b"".join(
            b'<!ENTITY b%d "&b%d;&b%d;">' % (number, number - 1, number - 1) for number in range(1, 20)
        )
        for body in (
            b"<!DOCTYPE a><a/>",
            b'<!DOCTYPE a SYSTEM "http://x.example/a.dtd"><a/>',
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
            b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://x.example/">%b;]><a/>',
            laughs + b"]><a>&b19;</a>",
        ):
            self.assertEqual(self.refused(body), "a document with a document type or entities")

    def test_not_xml(self) -> None:
        """What no parser takes."""
        for body in (b"", b"a", b"<a>", b"<a/><b/>", b"<a x='1' x='2'/>", b"<a>&b;</a>", b"<b:a/>", b"<a>\x00</a>",
                     b"<a>\xff</a>", b"<?xml version='1.0' encoding='x'?><a/>",
                     b"<?xml version='1.0' encoding='utf-7'?><a/>",
                     b"<?xml version='1.0' encoding='big5'?><a/>"):  # fmt: skip
            self.assertEqual(self.refused(body), "a document that is not XML", body)

    def test_limits(self) -> None:
        """Size, number of elements and depth are bounded."""
        self.assertEqual(read(b"<a>" * 24 + b"</a>" * 24).name, "a")
        self.assertEqual(len(read(b"<a>" + b"<b/>" * 4095 + b"</a>").children), 4095)
        for body in (b"<a>" * 25 + b"</a>" * 25, b"<a>" * 40000, b"<a>" + b"<b/>" * 4096 + b"</a>"):
            self.assertIn("too many elements, or too deep", self.refused(body))
        self.assertIn("131072 octets", self.refused(b"<a>" + b" " * 131072 + b"</a>"))

    def test_encodings(self) -> None:
        """What came in another encoding leaves in UTF-8, and characters that mean something are written safely."""
        note = "<note>\u00e4 &lt;b&gt; &amp; &quot;'</note>"
        text = f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:a@b.example">{note}</presence>'
        wide = f'<?xml version="1.0" encoding="utf-16"?>{text}'.encode("utf-16")
        said = across(wide, "application/pidf+xml")
        self.assertIn("<note>\u00e4 &lt;b&gt; &amp; \"'</note>".encode(), said)
        self.assertEqual(said, across(text.encode(), "application/pidf+xml"))

    @given(st.binary(max_size=120) | st.text("<>/a=\"' &;x:!-[]?", max_size=60).map(str.encode))
    def test_any_bytes(self, body: bytes) -> None:
        """Any bytes give a document or Malformed."""
        for whole in (body, b"<a>" + body + b"</a>"):
            try:
                self.assertIsInstance(read(whole), Element)
            except Malformed:
                pass


class TestOthers(SynchronousTestCase):
    """Kinds that are no XML."""

    def left(self, body: bytes, content_type: str) -> bytes:
        """What is left of a body."""
        return across(body, content_type)

    def test_sipfrag(self) -> None:
        """S38, RFC 3420: the status line alone, in the registered words; never a request or headers."""
        for body in (
            b"SIP/2.0 200 OK",
            b"SIP/2.0 200 at 10.11.12.13\r\nVia: x\r\n\r\n",
            b"SIP/2.0 200\r\nCall-ID: a\r\n",
            b"SIP/2.0 200 OK\n",  # as baresip says it
        ):
            self.assertEqual(
                Told().carry(body, "message/sipfrag"), (b"SIP/2.0 200 OK\r\n", "message/sipfrag;version=2.0")
            )
        for body in (b"INVITE sip:a@10.11.12.13 SIP/2.0\r\n", b"Call-ID: a\r\n", b"", b"SIP/2.0 2000 OK",
                     b"SIP/2.0 700 OK", b"SIP/2.0 200OK\r\n",
                     b"\r\nSIP/2.0 200 OK\r\n", b"SIP/2.0 200 OK\r"):  # fmt: skip
            told = Told()
            self.assertEqual(told.carry(body, "message/sipfrag"), (b"", ""), body)
            self.assertEqual(len(told.faults), 1)

    def test_summary(self) -> None:
        """RFC 3842 5.2: the lines that are known; LF alone is read too."""
        kind = "application/simple-message-summary"
        self.assertEqual(self.left(b"Messages-Waiting: YES\nVoice-Message:1/2\n", kind),
                         b"Messages-Waiting: yes\r\nVoice-Message: 1/2\r\n")  # fmt: skip
        self.assertEqual(self.left(b"messages-waiting: no\r\nMessage-Account: http://10.11.12.13\r\n", kind),
                         b"Messages-Waiting: no\r\n")  # fmt: skip
        for body in (b"", b"Voice-Message: 1/2\r\n", b"Messages-Waiting: perhaps\r\n"):
            self.assertEqual(self.left(body, kind), b"")

    def test_cpim(self) -> None:
        """RFC 3862: what is within crosses as any body would; headers that nobody knows stay behind."""
        self.assertEqual(self.left(b"From: a <sip:a@b.example>\r\n\r\n\r\nhi", "message/cpim"),
                         b"From: a <sip:a@10.0.0.1>\r\n\r\nContent-Type: text/plain\r\n\r\nhi")  # fmt: skip
        fragment = b"To: 10.11.12.13 <sip:a@b.example>\r\n\r\nContent-type: message/sipfrag\r\n\r\nSIP/2.0 200 OK"
        self.assertEqual(self.left(fragment, "message/cpim"),
                         b"To: <sip:a@10.0.0.1>\r\n\r\nContent-Type: message/sipfrag;version=2.0\r\n\r\n"
                         b"SIP/2.0 200 OK\r\n")  # fmt: skip
        for head in ("To: nobody", "To: <http://a>", "DateTime: 10.11.12.13", "X: y", "Subject: at pbx.inside.example"):
            self.assertEqual(self.left(f"{head}\r\n\r\nContent-Type: text/plain\r\n\r\nhi".encode(), "message/cpim"),
                             b"\r\nContent-Type: text/plain\r\n\r\nhi")  # fmt: skip
        for body in (b"", b"From: a <sip:a@b>\r\n", b"From\r\n\r\n\r\nhi",
                     b"From: <sip:a@b>\r\n\r\nContent-Type: text/plain",
                     b"A: b\r\n\r\nContent-Type: message/sip\r\n\r\nx",
                     b"A: b\r\n\r\nContent-Type: application/sdp\r\n\r\nx",
                     b"A: b\r\n\r\nContent-Type: message/sipfrag\r\nContent-Transfer-Encoding: base64\r\n\r\nU0lQ",
                     b"A: b\r\n\r\nContent-Type: message/cpim\r\n\r\n" * 4):  # fmt: skip
            self.assertEqual(self.left(body, "message/cpim"), b"", body)

    def test_session_within(self) -> None:
        """A session description in an instant message is the leg's own too (S44)."""
        body = b"A: b\r\n\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=x 1 1 IN IP4 10.11.12.13\r\ns=-\r\nt=0 0\r\n"
        self.assertIn(b"o=- 77 1 IN IP4 10.0.0.1\r\n", self.left(body, "message/cpim"))


class TestTypes(SynchronousTestCase):
    """Which types cross, and what the configuration can say to it."""

    def crosses(self, kind: str, exceptions: Exceptions = NO_EXCEPTIONS) -> bool:
        """Whether a body that nobody reads crosses."""
        told = Told(exceptions)
        said, content_type = told.carry(b"x", kind)
        self.assertEqual(told.faults, [])
        self.assertEqual(said, b"x" if content_type else b"")
        return bool(content_type)

    def test_by_default(self) -> None:
        """S38: ISUP and what tells of no host crosses; whole messages do not; what nobody knows does."""
        for kind in ("application/isup;version=itu-t92+", "application/QSIG", "text/plain", "application/vnd.x.y+xml",
                     "text/html", "image/png", "application/dtmf-relay"):  # fmt: skip
            self.assertTrue(self.crosses(kind), kind)
        for kind in (
            *NEVER,
            "message/sip",
            "message/external-body;access-type=URL",
            "Message / Http",
            "application/held+xml",
        ):
            self.assertFalse(self.crosses(kind), kind)
        told = Told()
        self.assertEqual(told.carry(b"x", "text"), (b"", ""))
        self.assertEqual(told.faults[0].reason, "a body of no media type")

    def test_configured(self) -> None:
        """The operator keeps and drops by type; a whole family is only what nobody knows."""
        strict = Exceptions(frozenset({"application/x", "message/sip"}), frozenset({"*/*", "application/isup"}))
        for kind, fate in (("application/x", True), ("message/sip", True), ("application/y", False),
                           ("text/html", False),
                           ("text/plain", True), ("application/isup", False), ("application/dtmf", True)):  # fmt: skip
            self.assertEqual(self.crosses(kind, strict), fate, kind)
        family = Exceptions(drop=frozenset({"image/*"}))
        self.assertFalse(self.crosses("image/png", family))
        self.assertTrue(self.crosses("application/y", family))

    def test_configuration_mistakes(self) -> None:
        """What no configuration can have is refused by name."""
        for keep, drop, said in (
            (
                {"text"},
                set(),
                "'text' is not a media type such as application/isup, in lower case",
            ),
            (
                set(),
                {"Text/Plain"},
                "'Text/Plain' is not a media type such as application/isup, in lower case",
            ),
            ({SDP}, set(), "application/sdp can be neither kept nor dropped"),
            (set(), {"multipart/mixed"}, "multipart/mixed can be neither kept nor dropped"),
            ({"image/*"}, set(), "image/* cannot be kept: only one type at a time can"),
            ({"a/b"}, {"a/b"}, "a/b is both kept and dropped"),
        ):
            error = self.assertRaises(ValueError, Exceptions, frozenset(keep), frozenset(drop))
            self.assertIn(said, str(error))

    def test_encoded(self) -> None:
        """RFC 3261 7.4.1: what is packed cannot be read; what is not read may be packed."""
        for kind, why in ((SDP, "session"), ("multipart/mixed;boundary=x", "session")):
            self.assertIn(why, self.assertRaises(Malformed, self.packed, kind).reason)
            self.assertEqual(self.assertRaises(Malformed, self.packed, kind).status, 415)
        self.assertEqual(self.packed("application/pidf+xml"), b"")
        self.assertEqual(self.packed("application/isup"), b"x")

    def packed(self, kind: str) -> bytes:
        """What is left of a body with a Content-Encoding."""
        return carry(b"x", kind, Told(), encoded=True)[0]

    def test_parameters(self) -> None:
        """A parameter of Content-Type that might name a host does not cross."""
        for came, left in (
            ("application/isup;version=itu-t92+;base=etsi121", "application/isup;version=itu-t92+;base=etsi121"),
            ("text/plain ; charset=utf-8", "text/plain ; charset=utf-8"),
            ("text/plain;charset=utf-8;x=pbx.inside.example;y", "text/plain;charset=utf-8;y"),
            ('image/png;name="10.11.12.13"', "image/png"),
            ("multipart/related;type=application/vnd.x.y+xml", "multipart/related;type=application/vnd.x.y+xml"),
        ):
            self.assertEqual(without_addresses(came), left)
        told = Told()
        self.assertEqual(told.carry(b"x", "text/plain;a=1;a=2"), (b"", ""))
        self.assertEqual(len(told.faults), 1)

    def test_one_kind_for_a_type(self) -> None:
        """Two kinds for one type are a mistake of ours."""
        self.assertRaises(ImportError, register, dict(KINDS), {"text/plain": KINDS["text/plain"]})
        self.assertEqual(set(KINDS) & set(NEVER), set())
        self.assertEqual(len(set(PREFIXES.values())), len(PREFIXES))


class TestUris(SynchronousTestCase):
    """URIs as the other side may read them."""

    def test_masked(self) -> None:
        """S35: the host is the leg's; what else a URI says stays behind."""
        told = Told()
        for came, left in (
            ("sip:bob@10.11.12.13:5070;transport=tcp;gr=x?a=b", "sip:bob@10.0.0.1"),
            ("SIPS:bob:pw@x.example", "sips:bob@10.0.0.1"), ("sip:x.example", "sip:10.0.0.1"),
            ("sip:+1555;phone-context=x.example@y.example;user=phone", "sip:+1555@10.0.0.1;user=phone"),
            ("tel:+1555;phone-context=x.example", "tel:+1555"), ("tel:x.example", ""), ("tel:7042", "tel:7042"),
            ("sip:anonymous@anonymous.invalid", "sip:anonymous@anonymous.invalid"), ("http://x.example/", ""),
            ("pres:bob@x.example", "pres:bob@10.0.0.1"), ("im:bob@[2001:db8::1]", "im:bob@10.0.0.1"),
            ("im:x.example", ""),
            ("urn:service:sos.fire", "urn:service:sos.fire"), ("urn:uuid:1", ""), ("", ""), ("bob", ""),
            ("sip:a b", ""),
        ):  # fmt: skip
            self.assertEqual(told.uri(came), left, came)
            self.assertEqual(told.identity(came), left, came)

    def test_hosts_that_may_be_seen(self) -> None:
        """A zone that sees the hosts in From and To sees them in addresses, but not where one is reached."""
        told = Told(target=Zone("open", keep_hosts=frozenset({"From", "To"})))
        self.assertEqual(told.identity("sip:bob@x.example:5070;a=b"), "sip:bob@x.example")
        self.assertEqual(told.identity("sip:bob@[2001:db8::1]"), "sip:bob@[2001:db8::1]")
        self.assertEqual(told.identity("pres:bob@x.example"), "pres:bob@x.example")
        self.assertEqual(told.uri("sip:bob@x.example"), "sip:bob@10.0.0.1")
        half = Told(target=Zone("half", keep_hosts=frozenset({"From"})))
        self.assertEqual(half.identity("sip:bob@x.example"), "sip:bob@10.0.0.1")

    def test_where_we_are(self) -> None:
        """S9: what is to be reached has our port, where that is not the usual one."""
        told = Told(listener=Listener("odd", "private", "udp", "10.0.0.1", 5070))
        self.assertEqual(told.uri("sip:bob@x.example"), "sip:bob@10.0.0.1:5070")
        self.assertEqual(told.identity("sip:bob@x.example"), "sip:bob@10.0.0.1")
        six = Told(listener=Listener("six", "private", "tls", "fd00::1", 5061))
        self.assertEqual(six.uri("sip:bob@x.example"), "sip:bob@[fd00::1]")
