"""The built-in relay with real sockets: what one side sends the other hears, and a stranger nobody."""

from __future__ import annotations

from b2bua.call.media import End
from b2bua.media.relay import Relay
from tests.media import ANYBODY, FAR, NEAR, RTP, Peer, RelayCase, clock, place, rtp


class TestRelay(RelayCase):
    """One call."""

    async def test_both_ways(self) -> None:
        """IPv4 to IPv6 and back; each hears the other from where it was told that the other is."""
        alice_to, bob_to = self.up()
        self.assertEqual((alice_to[0], bob_to[0]), ("127.0.0.1", "::1"))
        self.alice.send(alice_to, RTP + b"from alice")
        self.bob.send(bob_to, RTP + b"from bob")
        await self.pause()
        self.assertEqual(self.bob.heard(), [(RTP + b"from alice", *bob_to)])
        self.assertEqual(self.alice.heard(), [(RTP + b"from bob", *alice_to)])

    async def test_many(self) -> None:
        """Packets that wait in one socket go on in their order, all of them, however long each is."""
        alice_to, _ = self.up()
        sent = [rtp(number) + bytes(40 * number) for number in range(40)]
        for data in sent:
            self.alice.send(alice_to, data)
        await self.pause()
        self.assertEqual([data for data, _, _ in self.bob.heard()], sent)

    async def test_reports(self) -> None:
        """RTCP goes to the next port, or where a=rtcp says (RFC 3605)."""
        reports = Peer(self, "127.0.0.11")
        alice_to, bob_to = self.up(self.alice.sdp(f"a=rtcp:{reports.port}\n"))
        self.bob.send((bob_to[0], bob_to[1] + 1), b"\x81\xc8" + bytes(10))
        await self.pause()
        self.assertEqual([(source, port) for _, source, port in reports.heard()], [(alice_to[0], alice_to[1] + 1)])

    async def test_muxed(self) -> None:
        """RFC 5761: reports on the port of the medium go on there."""
        alice_to, _ = self.up(self.alice.sdp("a=rtcp-mux\na=rtcp:9\n"), self.bob.sdp("a=rtcp-mux\n"))
        self.alice.send(alice_to, b"\x81\xc8" + bytes(26))
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)

    async def test_strangers(self) -> None:
        """RTP bleed, RTP inject: nothing of a stranger's passes, and nothing is sent to him, before and after."""
        alice_to, bob_to = self.up()
        self.mallory.send(alice_to)
        await self.pause()
        self.bob.send(bob_to)
        self.alice.send(alice_to)
        await self.pause()
        self.mallory.send(alice_to)
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)
        self.assertEqual(len(self.alice.heard()), 2)
        self.assertEqual(self.mallory.heard(), [])

    async def test_before_the_answer(self) -> None:
        """Nobody has said yet that he is the one: nothing passes."""
        bob_to = place(self.offer(NEAR, ANYBODY, self.alice.sdp()))
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual(self.alice.heard(), [])

    async def test_no_rtp(self) -> None:
        """RFC 7983: STUN and what else is not RTP, DTLS or ZRTP is not passed on; for other media anything is."""
        alice_to, _ = self.up()
        for data in (b"\x00\x01\x00\x00", b"", b"\xff\x00"):
            self.alice.send(alice_to, data)
        await self.pause()
        self.assertEqual(self.bob.heard(), [])
        self.alice.send(alice_to, b"\x16\xfe\xff" + bytes(20))
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)
        self.end()
        fax = "image {} udptl t38"
        alice_to, bob_to = self.up(self.alice.sdp(media=fax), self.bob.sdp(media=fax))
        self.bob.send(bob_to, b"\x00\x00\x00\x00")
        await self.pause()
        self.alice.send(alice_to, b"\x00\x01\x00\x00")
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)

    async def test_nobodys_messages(self) -> None:
        """What may be anything, a SIP message too, is sent only to who has spoken from there: as audio or as itself."""
        victim, message = Peer(self, "127.0.0.99"), b"INVITE sip:bob@example.com SIP/2.0"
        for media in ("application {} udp x", "image {} udptl t38", "application {} UDP/BFCP *"):
            _, bob_to = self.up(self.alice.sdp(media=media, address=victim.address, port=victim.port),
                                self.bob.sdp(media=media))  # fmt: skip
            self.bob.send(bob_to, message)
            await self.pause()
            self.assertEqual(victim.heard(), [], media)
            self.end()
        announced = self.alice.sdp(address=victim.address, port=victim.port)
        _, bob_to = self.up(announced)
        fax = announced.replace(b"audio", b"image").replace(b"RTP/AVP 0", b"udptl t38")
        self.offer(NEAR, FAR, fax)
        self.answer(FAR, NEAR, self.bob.sdp(media="image {} udptl t38"))
        self.bob.send(bob_to, message)
        await self.pause()
        self.assertEqual(victim.heard(), [])

    async def test_dtls(self) -> None:
        """RFC 8842: who waits for a handshake need not speak first, and nothing else than DTLS reaches him."""
        data = "application {} UDP/DTLS/SCTP webrtc-datachannel"
        alice_to, _ = self.up(self.alice.sdp(media=data), self.bob.sdp(media=data))
        for packet in (b"\x16\xfe\xff" + bytes(20), b"OPTIONS sip:bob@example.com SIP/2.0", RTP):
            self.alice.send(alice_to, packet)
        await self.pause()
        self.assertEqual([packet[:1] for packet, _, _ in self.bob.heard()], [b"\x16"])

    async def test_our_listener(self) -> None:
        """Nothing is sent to where we listen for signalling, though its messages come from there."""
        listener = Peer(self, "127.0.0.11")
        self.relay = Relay(clock, self.first, self.last, lambda limit: 0, {(listener.address, listener.port)})
        self.addCleanup(self.relay.close)
        for port in (listener.port, 9):
            alice_to, bob_to = self.up(self.alice.sdp(port=port))
            listener.send(alice_to)
            await self.pause()
            self.bob.send(bob_to)
            await self.pause()
            self.assertEqual((listener.heard(), self.bob.heard()), ([], []))
            self.end()

    async def test_keepalive_decides_nothing(self) -> None:
        """Who shares the peer's address cannot take its place with what is no RTP."""
        alice_to, _ = self.up()
        other = Peer(self, "127.0.0.11")
        other.send(alice_to, b"\x00\x01\x00\x00")
        await self.pause()
        self.alice.send(alice_to)
        other.send(alice_to)
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)

    async def test_behind_a_nat(self) -> None:
        """RFC 7362: Alice announces an address that is not hers; she is met where she speaks from."""
        alice_to, bob_to = self.up(self.alice.sdp(address="192.168.7.7"))
        self.alice.send(alice_to)
        await self.pause()
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual((len(self.alice.heard()), len(self.bob.heard())), (1, 1))

    async def test_not_sent_to(self) -> None:
        """Nobody is attacked by us: groups, broadcast, nobody's and our own addresses, names and the other family."""
        for address in ("255.255.255.255", "0.0.0.1", "240.1.1.1", "nowhere.example", "::1", "1.2.3.999"):
            alice_to, bob_to = self.up(self.alice.sdp(address=address, port=9))
            self.bob.send(bob_to)
            await self.pause()
            stream = next(stream for stream in self.report() if stream.word == NEAR.word)
            theirs = "127.0.0.11:9" if "example" in address else ""
            self.assertEqual(stream.theirs, theirs, address)
            self.end()

    async def test_a_ring(self) -> None:
        """A peer that announces our own port gets none of it back: no packet goes round for ever."""
        home = End("near", "outside", "127.0.0.1", "127.0.0.1", "127.0.0.1")
        target = home._replace(word="far")
        one = place(self.offer(home, target, Peer(self, "127.0.0.1").sdp()))
        two = place(self.offer(home, target, Peer(self, "127.0.0.1").sdp(), session="2"))
        peer = Peer(self, "127.0.0.1")
        here = place(self.answer(target, home, peer.sdp(address=one[0], port=one[1])))
        self.assertEqual([stream.theirs for stream in self.report() if stream.word == "far"], [""])
        there = place(self.answer(target, home, peer.sdp(address=here[0], port=here[1]), session="2"))
        self.answer(target, home, peer.sdp(address=there[0], port=there[1]))
        self.offer(home, target, peer.sdp(address=two[0], port=two[1]))
        self.answer(target, home, peer.sdp(address=there[0], port=there[1]))
        targets = [stream.theirs for session in ("call", "2") for stream in self.report(session)]
        self.assertIn("", targets)
        peer.send(here)
        peer.send(there)
        await self.pause()
        self.assertLess(sum(stream.packets for stream in self.report()), 10)

    async def test_twice_anchored(self) -> None:
        """A call that comes back to us by a proxy goes by two pairs on either side, and is heard."""
        home = NEAR._replace(address="127.0.0.1", bound="127.0.0.1")
        proxy = End("far", "inside", "127.0.0.2", "127.0.0.2", "127.0.0.33")
        back = proxy._replace(word="near")
        other = End("far", "outside", "127.0.0.1", "127.0.0.1", "127.0.0.12")
        carol = Peer(self, "127.0.0.12")
        out = self.offer(home, proxy, self.alice.sdp())
        carol_to = place(self.offer(back, other, out, session="2"))
        inward = self.answer(other, back, carol.sdp(), session="2")
        alice_to = place(self.answer(proxy, home, inward))
        self.alice.send(alice_to)
        carol.send(carol_to)
        await self.pause()
        self.assertEqual((len(self.alice.heard()), len(carol.heard())), (1, 1))

    async def test_report(self) -> None:
        """What came, what did not, and how long nothing has."""
        alice_to, bob_to = self.up()
        for number in (65533, 65534, 0, 2, 1, 5):  # 65535 is lost, and 3 and 4
            self.alice.send(alice_to, rtp(number))
        await self.pause()
        near, far = sorted(self.report(), key=lambda stream: stream.word, reverse=True)
        self.assertEqual((near.word, near.kind, near.packets, near.octets, near.lost), ("near", "audio", 6, 6 * 172, 3))
        self.assertEqual(near.ours, f"127.0.0.1:{alice_to[1]}")
        self.assertEqual(near.theirs, f"127.0.0.11:{self.alice.port}")
        self.assertEqual((far.ours, far.theirs), (f"[::1]:{bob_to[1]}", f"[::1]:{self.bob.port}"))
        self.assertEqual((far.packets, far.lost), (0, 0))
        assert near.idle is not None and far.idle is not None
        self.assertGreater(far.idle, near.idle)
        self.assertEqual(len(self.end() or ()), 2)
        self.assertIsNone(self.end())

    async def test_many_sources(self) -> None:
        """Two synchronization sources on one port: nobody can tell what was lost."""
        alice_to, _ = self.up()
        for number in range(20):
            self.alice.send(alice_to, rtp(number + 500 * (number % 2), number % 2))
        await self.pause()
        self.assertEqual([stream.lost for stream in self.report() if stream.word == "near"], [None])

    def test_silence_that_means_nothing(self) -> None:
        """Who is on hold, or was told to be silent, is not waited for."""
        self.up(self.alice.sdp("a=sendonly\n"), self.bob.sdp("a=recvonly\n"))
        idle = {stream.word: stream.idle for stream in self.report()}
        self.assertIsNone(idle[FAR.word])
        self.assertIsNotNone(idle[NEAR.word])
        self.end()
        self.up(self.alice.sdp(address="0.0.0.0"))
        self.assertIsNone({stream.word: stream.idle for stream in self.report()}[FAR.word])
