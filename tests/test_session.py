"""Session descriptions that can be read and changed (RFC 8866)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.grammar import Malformed
from b2bua.sip.session import MAX_LINES, MAX_MEDIA, Connection, parse_session

BROWSER = b"""\
v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic: WMS
m=audio 54400 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 203.0.113.7
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 192.168.1.4 54400 typ host
a=ice-ufrag:F7gI
a=rtcp-mux
a=sendrecv
m=video 0 UDP/TLS/RTP/SAVPF 96
a=bundle-only
a=mid:1
""".replace(b"\n", b"\r\n")
FAX = b"v=0\no=a 1 1 IN IP6 2001:db8::1\ns=x\nc=IN IP6 2001:db8::1\nt=0 0\n"
FAX += b"m=image 4444/2 udptl t38\na=T38FaxVersion:0\n"


class TestReading(SynchronousTestCase):
    """What it says."""

    def test_browser(self) -> None:
        """Each medium, its own address, what is bundled, where reports go."""
        session = parse_session(BROWSER)
        audio, video = session.media
        self.assertEqual((audio.kind, audio.port, audio.protocol), (b"audio", 54400, b"UDP/TLS/RTP/SAVPF"))
        self.assertEqual(audio.formats, [b"111", b"0"])
        self.assertEqual(session.connection_of(audio), Connection(4, "203.0.113.7"))
        self.assertIsNone(session.connection_of(video))
        self.assertEqual(audio.rtcp, (9, Connection(4, "0.0.0.0")))
        self.assertEqual(video.rtcp, (0, None))
        self.assertEqual(session.attributes(b"group"), [b"BUNDLE 0 1"])
        self.assertEqual((audio.has(b"rtcp-mux"), audio.has(b"rtcp-mu")), (True, False))
        self.assertEqual((audio.refused, video.refused, audio.rtp, audio.datagrams), (False, False, True, True))

    def test_fax(self) -> None:
        """Not RTP; the session's address; two ports."""
        session = parse_session(FAX)
        (fax,) = session.media
        self.assertEqual((fax.port, fax.ports, fax.rtp, fax.datagrams), (4444, b"/2", False, True))
        self.assertEqual(session.connection_of(fax), Connection(6, "2001:db8::1"))
        self.assertEqual(fax.rtcp, (4445, None))

    def test_streams(self) -> None:
        """RFC 4145, RFC 4975: not over UDP."""
        for protocol in (b"TCP/MSRP", b"TCP/TLS/MSRP", b"TCP/TLS/BFCP", b"TCP"):
            (media,) = parse_session(b"v=0\r\nm=message 9 %b *\r\n" % protocol).media
            self.assertFalse(media.datagrams)

    def test_multicast(self) -> None:
        """RFC 8866 5.7: a time to live stays where it is."""
        session = parse_session(b"v=0\r\nc=IN IP4 224.2.36.42/127\r\n")
        self.assertEqual(bytes(session.connection or b""), b"IN IP4 224.2.36.42/127")

    def test_hold(self) -> None:
        """RFC 3264 8.4: by direction of the medium, or else of the session; and by the address of RFC 2543."""
        for session_says, media_says, address, held in (
            (b"", b"", b"10.0.0.1", False), (b"", b"sendonly", b"10.0.0.1", True),
            (b"inactive", b"", b"10.0.0.1", True), (b"sendonly", b"recvonly", b"10.0.0.1", False),
            (b"", b"", b"0.0.0.0", True),
        ):  # fmt: skip
            text = b"v=0\r\nc=IN IP4 %b\r\n" % address + (b"a=%b\r\n" % session_says if session_says else b"")
            text += b"m=audio 1 RTP/AVP 0\r\n" + (b"a=%b\r\n" % media_says if media_says else b"")
            session = parse_session(text)
            self.assertEqual(session.held(session.media[0]), held, text)

    def test_refused(self) -> None:
        """What is none, and what is too much."""
        for text in (
            b"", b"\r\n", b"v=1\r\n", b"o=x\r\nv=0\r\n", b"v=0\r\nno line\r\n", b"v=0\r\na=\x00\r\n",
            b"v=0\r\n\r\na=x\r\n",
            b"v=0\r\nm=audio\r\n", b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n", b"v=0\ra=x\r\n",
            b"v=0\r\n" + b"a=x\r\n" * MAX_LINES, b"v=0\r\n" + b"m=audio 1 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
        ):  # fmt: skip
            self.assertRaises(Malformed, parse_session, text)

    def test_lines_that_cannot_be_read(self) -> None:
        """Said when they are asked for."""
        session = parse_session(b"v=0\r\nc=nowhere\r\nm=audio 1 RTP/AVP 0\r\na=rtcp:x\r\na=x\r\n")
        self.assertRaises(Malformed, session.connection_of, session.media[0])
        self.assertRaises(Malformed, lambda: session.media[0].rtcp)
        session.media[0].silence([b"rtcp"])
        session.media[0].say(b"rtcp", b"65536")
        self.assertRaises(Malformed, lambda: session.media[0].rtcp)


class TestChanging(SynchronousTestCase):
    """What it says then."""

    def test_elsewhere(self) -> None:
        """Another address and port; all the rest octet for octet."""
        session = parse_session(BROWSER)
        audio, _ = session.media
        audio.at(30000)
        audio.put(b"c", bytes(Connection(6, "2001:db8::9")))
        audio.silence([b"candidate", b"ice-ufrag", b"rtcp"])
        audio.say(b"rtcp", b"30001")
        gone = (b"a=rtcp:9", b"a=candidate:", b"a=ice-ufrag:")
        wanted = b"".join([line for line in BROWSER.splitlines(True) if not line.startswith(gone)])
        wanted = wanted.replace(b"audio 54400", b"audio 30000")
        wanted = wanted.replace(b"IP4 203.0.113.7", b"IP6 2001:db8::9")
        wanted = wanted.replace(b"a=sendrecv\r\n", b"a=sendrecv\r\na=rtcp:30001\r\n")
        self.assertEqual(bytes(session), wanted)

    def test_where_a_line_belongs(self) -> None:
        """RFC 8866 5: c= before b= and t= in the session, after the m= line in a medium; o= and s= after v=."""
        session = parse_session(b"v=0\r\nt=0 0\r\na=x\r\nm=audio 1 RTP/AVP 0\r\na=y\r\n")
        session.put(b"s", b"-")
        session.put(b"o", b"- 1 1 IN IP4 192.0.2.1")
        session.put(b"c", b"IN IP4 192.0.2.1")
        session.media[0].put(b"c", b"IN IP4 192.0.2.2")
        self.assertEqual(
            bytes(session),
            b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=x\r\n"
            b"m=audio 1 RTP/AVP 0\r\nc=IN IP4 192.0.2.2\r\na=y\r\n",
        )

    def test_ports(self) -> None:
        """RFC 8866 5.14: several ports, or one again."""
        (fax,) = parse_session(FAX).media
        fax.at(6000)
        self.assertTrue(bytes(fax).startswith(b"m=image 6000 udptl t38\n"))
        fax.at(0, b"/3")
        self.assertTrue(bytes(fax).startswith(b"m=image 0/3 udptl t38\n"))

    def test_ends(self) -> None:
        """A description whose lines end with LF stays so; a last line without an end gets one when another follows."""
        session = parse_session(FAX[:-1])
        self.assertEqual(bytes(session), FAX[:-1])
        session.media[0].say(b"sendonly")
        self.assertEqual(bytes(session), FAX + b"a=sendonly\n")
        session = parse_session(b"v=0")
        session.put(b"s", b"-")
        self.assertEqual(bytes(session), b"v=0\r\ns=-\r\n")

    def test_empty_lines_at_the_end(self) -> None:
        """They are left out."""
        self.assertEqual(bytes(parse_session(BROWSER + b"\r\n\r\n")), BROWSER)


TEXT = st.binary(max_size=20).map(lambda text: bytes(each for each in text if each not in b"\r\n\x00"))
LINES = st.tuples(st.sampled_from([bytes([each]) for each in b"vosiuepcbtrzka"]), TEXT)
MEDIUM = st.tuples(st.integers(0, 65535), st.sampled_from([b"", b"/2"]), st.lists(LINES, max_size=6))


class TestProperties(SynchronousTestCase):
    """Any octets."""

    @given(st.lists(LINES, max_size=8), st.lists(MEDIUM, max_size=4), st.sampled_from([b"\r\n", b"\n"]))
    def test_octet_for_octet(self, lines: list[tuple[bytes, bytes]], media: list, end: bytes) -> None:  # type: ignore[type-arg]
        """S44: what nobody changed leaves as it came."""
        text = [(b"v", b"0"), *lines]
        for port, ports, more in media:
            text += [(b"m", b"audio %d%b  RTP/AVP 0 8 " % (port, ports)), *more]
        body = b"".join([b"%b=%b%b" % (letter, value, end) for letter, value in text])
        session = parse_session(body)
        self.assertEqual(bytes(session), body)
        self.assertEqual([each.port for each in session.media], [port for port, _, _ in media])

    @settings(max_examples=300)
    @given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda more: BROWSER + more)))
    def test_anything(self, body: bytes) -> None:
        """Any octets: a description, or a clear refusal."""
        try:
            session = parse_session(body)
        except Malformed:
            return
        self.assertTrue(body.startswith(bytes(session)))
        self.assertFalse(body[len(bytes(session)) :].strip(b"\r\n"))
