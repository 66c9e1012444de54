"""S38: bodies that name dialogs and addresses, from one phone through the bridge to the other."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.message import Headers, Request
from b2bua.sip.multipart import read
from tests.test_bodies import FOLDER
from tests.test_call_leaks import UDP_ONLY, addresses
from tests.test_multipart import BINARY, multipart, part
from tests.world import World

URI = "sip:bob@biloxi.example"
INSIDE = (ip_address("10.11.12.13"), ip_address("2001:db8:dead::1"))
HIDDEN = ("inside.example", "call-7f3a", "fromtag77", "totag88", "z9hG4bKsecret")
SDP = (
    b"v=0\r\no=x 1 1 IN IP4 10.11.12.13\r\ns=inside.example\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n"
)
KEEPS = '\n[[hiding]]\nfrom = "public"\nto = "private"\n'


def sample(name: str) -> bytes:
    """One of the samples of phones and servers."""
    return (FOLDER / name).read_bytes()


def of(kind: str, **more: str) -> Headers:
    """Content-Type, and other headers."""
    return {"Content-Type": [kind], **{name.replace("_", "-"): [value] for name, value in more.items()}}


class Bodies(SynchronousTestCase):
    """What reaches the other phone."""

    def hidden(self, message: Request) -> bytes:
        """The body of a message in which nothing of the other side is."""
        data = bytes(message)
        for word in HIDDEN:
            self.assertNotIn(word.encode(), data)
        self.assertEqual(addresses(data) & set(INSIDE), set())
        return message.body

    def test_notify_in_a_call(self) -> None:
        """S38: dialog-info and sipfrag in NOTIFY inside a call, in both directions."""
        world = World()
        near, far = world.call()
        for asking, answerer, host in ((near, world.bob, "10.0.0.1"), (far, world.alice, "192.0.2.1")):
            headers = of("application/dialog-info+xml", Event="dialog", Subscription_State="active")
            asking.ask("NOTIFY", sample("dialog-info.asterisk.xml"), headers)
            request = answerer.says(200)
            body = self.hidden(request).decode()
            self.assertIn(f'entity="sip:2001@{host}"', body)
            self.assertIn("<state>early</state>", body)
            self.assertEqual(request.headers["Content-Type"], ["application/dialog-info+xml"])
            headers = of("message/sipfrag", Event="refer", Subscription_State="terminated;reason=noresource")
            asking.ask("NOTIFY", sample("sipfrag.transfer.txt"), headers)
            request = answerer.says(200)
            self.assertEqual(self.hidden(request), b"SIP/2.0 603 Decline\r\n")
            self.assertEqual(request.headers["Content-Type"], ["message/sipfrag;version=2.0"])
        near.bye()
        world.bob.says(200)
        world.quiet()

    def test_a_body_that_cannot_be_read(self) -> None:
        """S38: it is left out and said in one line; the message leaves without it and without what speaks of it."""
        world = World()
        headers = of("application/pidf+xml", Event="presence", Content_Disposition="render", Content_Language="en")
        sent = world.alice.ask("PUBLISH", URI, None, b"<!DOCTYPE a><presence/>", headers)
        request = world.bob.says(200)
        world.settle()
        self.assertEqual((request.body, sent.status), (b"", 200))
        self.assertEqual([name for name in request.headers if name.startswith("Content-")], [])
        self.assertEqual(request.headers["Event"], ["presence"])
        said = [line for line in world.journal.lines if "fault" in line]
        self.assertEqual(
            said, ["fault of 192.0.2.20 in a body: a document with a document type or entities; it is left out"]
        )

    def test_message_with_cpim(self) -> None:
        """S38: an instant message's own From and To have the leg's host."""
        world = World()
        world.alice.ask("MESSAGE", URI, None, sample("cpim.phone.txt"), of("message/cpim"))
        body = self.hidden(world.bob.says(200))
        self.assertTrue(body.startswith(b"From: MR BOB <im:bob@10.0.0.1>\r\nTo: <im:alice@10.0.0.1>\r\n"))
        self.assertTrue(body.endswith(b"\r\n\r\nHere is the text of my message."))

    def test_invite_with_isup(self) -> None:
        """S38, S44: SDP becomes the leg's own and ISUP crosses octet by octet, in the INVITE and in its answer."""
        world = World()
        isup = part(b"application/isup;version=itu-t92+", BINARY)
        body = multipart(part(b"application/sdp", SDP), isup)
        kind = of("multipart/mixed;boundary=abc")
        talk = world.alice.invite(URI, body=body, headers=kind)
        world.settle()
        asked = world.bob.talk.invitation
        assert asked is not None
        offer, octets = read(self.hidden(asked), asked.headers["Content-Type"][0]).parts
        self.assertRegex(offer.body, rb"\r\no=- [0-9]+ 1 IN IP4 10\.0\.0\.1\r\ns=-\r\nc=IN IP4 203\.0\.113\.9\r\n")
        self.assertEqual(octets.body, BINARY)
        world.bob.says(200, body, kind)
        world.settle()
        answer = next(each for each in talk.heard if each.start_line.startswith("SIP/2.0 200"))
        self.assertRegex(answer.body, rb"\r\no=- [0-9]+ 1 IN IP4 192\.0\.2\.1\r\ns=-\r\n")
        self.assertIn(BINARY, answer.body)
        talk.bye()
        world.bob.says(200)
        world.quiet()

    def located(self, configuration: str) -> Request:
        """An INVITE with SDP and a location, as bob gets it."""
        world = World(configuration)
        location = b"Content-ID: <target123@pbx.inside.example>\r\n" + part(
            b"application/pidf+xml", sample("pidf.location.xml")
        )
        body = multipart(part(b"application/sdp", SDP), location)
        headers = of("multipart/mixed;boundary=abc", Geolocation="<cid:target123@pbx.inside.example>")
        world.alice.invite(URI, body=body, headers=headers)
        world.settle()
        asked = world.bob.talk.invitation
        assert asked is not None
        return asked

    def test_invite_with_location(self) -> None:
        """S38, RFC 6442: where the caller is crosses only where the configuration lets it, without the rest."""
        sdp, presence = read((asked := self.located(UDP_ONLY)).body, asked.headers["Content-Type"][0]).parts
        self.hidden(asked)
        self.assertIn(b"10.0.0.1\r\ns=-", sdp.body)
        self.assertNotIn(b"42.5463", presence.body)
        self.assertNotIn("Geolocation", asked.headers)
        asked = self.located(UDP_ONLY + KEEPS + "keep_location = true\n")
        self.assertIn(b"42.5463 -73.2512", self.hidden(asked))
        self.assertIn(b"pres:alice@10.0.0.1", asked.body)

    def test_location_and_the_header_that_names_it(self) -> None:
        """S38, RFC 2392: `cid:` in a header that the operator keeps still finds its part."""
        asked = self.located(UDP_ONLY + KEEPS + 'keep_location = true\nkeep = ["Geolocation"]\n')
        self.assertEqual(asked.headers["Geolocation"], ["<cid:target123@pbx.inside.example>"])
        self.assertIn(b"Content-ID: <target123@pbx.inside.example>\r\n", asked.body)

    def test_configured_types(self) -> None:
        """The operator drops and keeps types from one zone to another, in that direction."""
        lines = 'keep_bodies = ["Application/PIDF+xml"]\ndrop_bodies = ["*/*", "application/isup"]\n'
        world = World(UDP_ONLY + KEEPS + lines)
        whole = sample("pidf.location.xml")
        for kind, body, left in (("application/pidf+xml", whole, whole), ("application/isup", b"\x01", b""),
                                 ("application/x", b"x", b""), ("text/plain", b"x", b"x")):  # fmt: skip
            sent = world.alice.ask("MESSAGE", URI, None, body, of(kind))
            request = world.bob.says(200, b"x", of("application/x"))
            self.assertEqual(request.body, left)
            self.assertEqual("Content-Type" in request.headers, bool(left))
            world.settle()
            self.assertEqual(sent.responses[-1].body, b"x")

    def test_packed(self) -> None:
        """RFC 3261 7.4.1: a packed body that would have to be read is left out; packed SDP is refused with 415."""
        world = World()
        world.alice.ask("MESSAGE", URI, None, b"\x1f\x8b", of("message/sipfrag", Content_Encoding="gzip"))
        request = world.bob.says(200)
        self.assertEqual((request.body, "Content-Encoding" in request.headers), (b"", False))
        world.alice.ask("MESSAGE", URI, None, b"\x1f\x8b", of("application/x", Content_Encoding="gzip"))
        request = world.bob.says(200)
        self.assertEqual((request.body, request.headers["Content-Encoding"]), (b"\x1f\x8b", ["gzip"]))
        for kind, status in (
            ("multipart/mixed;boundary=x", 415),
            ("application/sdp;a=b", 415),
            ("application/sdp", 400),
        ):
            sent = world.alice.ask("MESSAGE", URI, None, b"\x1f\x8b", of(kind, Content_Encoding="gzip"))
            world.settle()
            self.assertEqual(sent.status, status, kind)
