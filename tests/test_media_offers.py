"""What belongs to whom in the relay: forks, later offers, refused ones, ports, and what cannot be had."""

from __future__ import annotations

import os
import resource
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.call.media import End, Said
from b2bua.media import pool
from b2bua.media.description import LARGEST
from b2bua.media.ports import REST
from b2bua.media.relay import MAX_CARRIED, Relay
from b2bua.sip.grammar import Malformed
from b2bua.sip.session import MAX_MEDIA
from tests.media import ANYBODY, FAR, NEAR, Peer, RelayCase, clock, place, places

OTHER = FAR._replace(word="far 2")


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


class TestForks(RelayCase):
    """Several answer one offer."""

    async def test_each_has_a_stream(self) -> None:
        """Who answers is met at the port that the branch's offer announced; the caller has one port for each."""
        carol = Peer(self, "::1")
        there = place(self.offer(NEAR, ANYBODY, self.alice.sdp()))
        by_bob = place(self.answer(FAR, NEAR, self.bob.sdp()))
        by_carol = place(self.answer(OTHER, NEAR, carol.sdp()))
        self.assertNotEqual(by_bob, by_carol)
        self.bob.send(there, b"\x80bob")
        carol.send(there, b"\x80carol")
        await self.pause()
        self.assertEqual({(data, port) for data, _, port in self.alice.heard()},
                         {(b"\x80bob", by_bob[1]), (b"\x80carol", by_carol[1])})  # fmt: skip
        self.alice.send(by_carol)
        await self.pause()
        self.assertEqual((len(self.bob.heard()), len(carol.heard())), (0, 1))

    def test_one_after_the_other(self) -> None:
        """A hunt: each branch has ports of its own, the caller is told one pair; a challenged INVITE has the same."""
        first = place(self.offer(NEAR, ANYBODY, self.alice.sdp()))
        self.assertEqual(place(self.offer(NEAR, ANYBODY, self.alice.sdp())), first)
        self.assertNotEqual(place(self.offer(NEAR, OTHER, self.alice.sdp(), branch="c")), first)
        self.assertEqual(self.relay.used, 3)
        self.answer(OTHER, NEAR, self.bob.sdp(), branch="c")
        self.assertEqual(self.relay.used, 3)

    async def test_late_offers(self) -> None:
        """RFC 3264 4: the offers are in the answers to an INVITE without one, from two forks."""
        carol = Peer(self, "::1")
        by_bob = place(self.offer(FAR, NEAR, self.bob.sdp()))
        by_carol = place(self.offer(OTHER, NEAR, carol.sdp()))
        to_bob = place(self.answer(NEAR, FAR, self.alice.sdp()))
        self.assertNotEqual(by_bob, by_carol)
        self.bob.send(to_bob)
        self.alice.send(by_bob)
        await self.pause()
        self.assertEqual((len(self.alice.heard()), len(self.bob.heard())), (1, 1))

    def test_an_answer_to_nothing(self) -> None:
        """No offer is known: nothing is bound."""
        self.assertEqual(self.refused("answer", FAR, NEAR, self.bob.sdp()), 503)
        self.assertEqual(self.relay.used, 0)

    def test_an_answer_to_anothers_offer(self) -> None:
        """Who has answered is not taken to answer what another fork offers: his answer is said once more."""
        video = "m=video 5000 RTP/AVP 31\n"
        self.offer(FAR, NEAR, self.bob.sdp())
        self.answer(NEAR, FAR, self.alice.sdp())
        there = self.offer(OTHER, NEAR, self.bob.sdp(video))
        again = self.answer(NEAR, FAR, self.alice.sdp(video))
        self.assertEqual([port > 0 for _, port in places(again)], [True, False])
        here = self.answer(NEAR, OTHER, self.alice.sdp(video))
        self.assertEqual([port > 0 for _, port in places(here) + places(there)], [True] * 4)

    def test_an_answer_before_its_offer(self) -> None:
        """Nobody answers an offer that was made to somebody else."""
        self.offer(OTHER, NEAR, self.bob.sdp())
        self.assertEqual(self.refused("answer", NEAR, FAR, self.alice.sdp()), 503)
        self.answer(NEAR, OTHER, self.alice.sdp())

    def test_an_offer_of_one_fork_alone(self) -> None:
        """RFC 3311: a caller offers one fork another medium; the other fork answers once more, and as it did before."""
        fax = "image {} udptl t38"
        self.offer(NEAR, ANYBODY, self.alice.sdp())
        self.answer(FAR, NEAR, self.bob.sdp())
        gone = self.alice.sdp(f"m={fax.format(4004)}\n").replace(b"m=audio %d" % self.alice.port, b"m=audio 0")
        self.offer(NEAR, OTHER, gone)
        again = self.answer(FAR, NEAR, self.bob.sdp(f"m={fax.format(5004)}\n"))
        self.assertEqual([port > 0 for _, port in places(again)], [True, False])

    def test_an_answer_while_an_offer_waits(self) -> None:
        """Who offers says his last answer once more: the ports that the offer told stay for who answers it."""
        video = "m=video 5000 RTP/AVP 31\n"
        self.up()
        there = self.offer(FAR, NEAR, self.bob.sdp(video))
        self.answer(FAR, NEAR, self.bob.sdp())
        here = self.answer(NEAR, FAR, self.alice.sdp(video))
        self.assertEqual([port > 0 for _, port in places(here) + places(there)], [True] * 4)
        self.assertEqual(len(self.report()), 4)


class TestLater(RelayCase):
    """Offers within a call."""

    async def test_another_port(self) -> None:
        """A re-INVITE with another port of the peer's: our ports stay, and what goes there goes to the new one."""
        alice_to, bob_to = self.up()
        self.alice.send(alice_to)
        await self.pause()
        moved = Peer(self, "127.0.0.11")
        self.assertEqual(place(self.offer(NEAR, FAR, moved.sdp())), bob_to)
        self.assertEqual(place(self.answer(FAR, NEAR, self.bob.sdp())), alice_to)
        self.alice.send(alice_to)  # was on its way still
        self.bob.send(bob_to)
        moved.send(alice_to)
        await self.pause()
        self.assertEqual((len(moved.heard()), len(self.alice.heard()), len(self.bob.heard())), (1, 0, 2))

    async def test_refused(self) -> None:
        """A refused offer has changed nothing; saying the last offer and answer once more does not either."""
        offer, answer = self.alice.sdp(address="192.168.7.7"), self.bob.sdp()
        alice_to, bob_to = self.up(offer, answer)
        self.alice.send(alice_to)
        await self.pause()
        moved = Peer(self, "::1")
        self.offer(FAR, NEAR, moved.sdp())
        for again in (False, True):
            if again:
                self.assertEqual(place(self.offer(NEAR, FAR, offer)), bob_to)
                self.assertEqual(place(self.answer(FAR, NEAR, answer)), alice_to)
            self.bob.send(bob_to)
            self.alice.send(alice_to)
            await self.pause()
            self.assertEqual((len(self.alice.heard()), len(moved.heard())), (1, 0))
        self.assertEqual(len(self.bob.heard()), 3)

    async def test_hold(self) -> None:
        """c=0.0.0.0: nothing is sent there, the other side is told so in its own family, and it is heard again."""
        alice_to, bob_to = self.up()
        self.assertEqual(place(self.offer(NEAR, FAR, self.alice.sdp(address="0.0.0.0"))), ("::", bob_to[1]))
        self.answer(FAR, NEAR, self.bob.sdp())
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual(self.alice.heard(), [])
        self.assertEqual(place(self.offer(NEAR, FAR, self.alice.sdp())), bob_to)
        self.answer(FAR, NEAR, self.bob.sdp())
        self.bob.send(bob_to)
        await self.pause()
        self.assertEqual(len(self.alice.heard()), 1)

    def test_media_come_and_go(self) -> None:
        """RFC 3264 8: a medium that is added has ports, one that is removed has none."""
        self.up()
        video = "m=video 5000 RTP/AVP 31\n"
        self.offer(NEAR, FAR, self.alice.sdp(video))
        self.answer(FAR, NEAR, self.bob.sdp(video))
        self.assertEqual(self.relay.used, 4)
        gone = "m=video 0 RTP/AVP 31\n"
        self.assertEqual([port > 0 for _, port in places(self.offer(NEAR, FAR, self.alice.sdp(gone)))], [True, False])
        self.assertEqual([port > 0 for _, port in places(self.answer(FAR, NEAR, self.bob.sdp(gone)))], [True, False])
        self.assertEqual(self.relay.used, 2)
        self.offer(FAR, NEAR, self.bob.sdp(video))
        self.assertEqual([port > 0 for _, port in places(self.answer(NEAR, FAR, self.alice.sdp(video)))], [True] * 2)
        self.assertEqual(self.relay.used, 4)
        self.end()
        self.assertEqual(self.relay.used, 0)

    def test_refused_medium(self) -> None:
        """RFC 3264 6: port 0 in the answer crosses as that, and so does a medium that nobody offered."""
        self.offer(NEAR, ANYBODY, self.alice.sdp("m=video 5000 RTP/AVP 31\n"))
        said = self.answer(FAR, NEAR, self.bob.sdp("m=video 0 RTP/AVP 31\nm=video 5002 RTP/AVP 31\n"))
        self.assertEqual([port > 0 for _, port in places(said)], [True, False, False])

    async def test_fax(self) -> None:
        """The same medium becomes another one: T.38 packets do not look like RTP."""
        alice_to, bob_to = self.up()
        self.bob.send(bob_to)
        await self.pause()
        fax = "image {} udptl t38"
        self.offer(NEAR, FAR, self.alice.sdp(media=fax))
        self.answer(FAR, NEAR, self.bob.sdp(media=fax))
        self.alice.send(alice_to, b"\x00\x01\x00\x00")
        await self.pause()
        self.assertEqual(len(self.bob.heard()), 1)
        self.assertEqual({stream.kind for stream in self.report()}, {"image"})


class TestLimits(RelayCase):
    """What cannot be had, and what is left behind."""

    def test_an_offer_in_place_of_another(self) -> None:
        """A medium that only the offer before it had: its ports are not kept."""
        self.up()
        self.offer(NEAR, FAR, self.alice.sdp("m=video 5000 RTP/AVP 31\n"))
        self.assertEqual(self.relay.used, 4)
        self.offer(NEAR, FAR, self.alice.sdp())
        self.answer(FAR, NEAR, self.bob.sdp())
        self.assertEqual(self.relay.used, 2)

    def test_ends(self) -> None:
        """Every way it can end leaves no socket, no reader and no port; before it rested it is not used again."""
        files = descriptors()
        ports = {self.up()[0][1]}
        self.assertEqual(self.relay.used, 2)
        self.end()
        self.end()
        self.assertEqual((self.relay.used, descriptors()), (0, files))
        self.offer(NEAR, ANYBODY, self.alice.sdp(), session="never answered")
        ports.add(self.up()[0][1])
        self.assertEqual(len(ports), 2)
        self.relay.close()
        self.assertEqual((self.relay.used, descriptors()), (0, files))
        self.assertGreaterEqual(REST, 30)

    def test_malformed(self) -> None:
        """Nothing is bound for what cannot be read."""
        for sdp in (b"v=0\r\nm=audio\r\n", b"", b"\0", self.alice.sdp("c=nonsense\n"), self.alice.sdp("a=rtcp:x\n")):
            self.assertEqual(self.refused("offer", NEAR, ANYBODY, sdp), 400)
        self.assertEqual(self.relay.used, 0)

    def test_taken_by_another(self) -> None:
        """A port that another program has, the second of a pair: the next pair."""
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", self.first + 1))
        files = descriptors()
        self.assertNotEqual(self.up()[0][1], self.first)
        self.end()
        self.assertEqual((self.relay.used, descriptors()), (0, files))

    def test_no_ports(self) -> None:
        """More media than ports: 503, and nothing is held; a call that is there goes on."""
        offer = self.alice.sdp("m=audio 5000 RTP/AVP 0\n" * (MAX_CARRIED - 1))
        self.up()
        for session in ("2", "3"):
            self.offer(NEAR, ANYBODY, offer, session=session)
        used = self.relay.used
        self.assertEqual(self.refused("offer", NEAR, ANYBODY, offer, session="4"), 503)
        self.assertEqual(self.refused("offer", NEAR, FAR, offer), 503)
        self.assertEqual(self.relay.used, used)
        self.offer(NEAR, FAR, self.alice.sdp())

    def test_too_many_media(self) -> None:
        """RFC 3261 21.4.26: nobody has many ports for one message; media that are refused need none."""
        many = self.alice.sdp("m=audio 5000 RTP/AVP 0\n" * MAX_CARRIED)
        self.assertEqual(self.refused("offer", NEAR, ANYBODY, many), 488)
        self.assertEqual((self.relay.used, self.relay.sessions), (0, 0))
        few = self.alice.sdp("m=audio 0 RTP/AVP 0\n" * (MAX_MEDIA - MAX_CARRIED) + "m=audio 5000 RTP/AVP 0\n" * 7)
        self.offer(NEAR, ANYBODY, few)
        self.assertEqual(self.refused("answer", FAR, NEAR, many), 488)
        self.answer(FAR, NEAR, few)

    def test_too_long(self) -> None:
        """A description that takes long to read is refused, however few media it has."""
        room = LARGEST - len(self.alice.sdp("a=\n"))
        self.assertEqual(self.refused("offer", NEAR, ANYBODY, self.alice.sdp("a=" + "x" * (room + 1) + "\n")), 488)
        self.assertEqual(self.relay.used, 0)
        self.offer(NEAR, ANYBODY, self.alice.sdp("a=" + "x" * room + "\n"))

    def test_no_ports_for_a_fork(self) -> None:
        """The one who has no port left is told so; the others keep theirs."""
        self.relay = Relay(clock, 41100, 41101, lambda limit: 0)
        self.addCleanup(self.relay.close)
        self.up()
        self.assertEqual(self.refused("answer", OTHER, NEAR, self.bob.sdp()), 503)
        self.assertEqual(self.relay.used, 2)

    def test_no_such_address(self) -> None:
        """An address that is not the machine's: 503, no exception, no port lost."""
        nowhere = End("far", "inside", "192.0.2.1", "192.0.2.1", "192.0.2.9")
        self.assertEqual(self.refused("offer", NEAR, nowhere, self.alice.sdp()), 503)
        self.assertEqual(self.relay.used, 0)

    def test_no_files(self) -> None:
        """Some descriptors are left for signalling; where they end it is 503, and it is good again later."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        files = descriptors()
        for limit in (files + pool.RESERVE + 1, files):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            self.assertEqual(self.refused("offer", NEAR, ANYBODY, self.alice.sdp()), 503)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertEqual((self.relay.used, descriptors()), (0, files))
        self.up()

    def test_profiles(self) -> None:
        """RFC 3261 21.4.26: what the relay cannot make of a description is 488."""
        crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\n"
        plain, either = self.alice.sdp(), self.alice.sdp(crypto)
        keys = self.alice.sdp(crypto, "audio {} RTP/SAVP 0")
        for profile, sdp, fits in (
            ("", plain, True), ("", keys, True), ("plain", plain, True), ("plain", keys, False), ("srtp", plain, False),
            ("srtp", keys, True), ("srtp", either, True), ("plain", either, True), ("webrtc", plain, False),
            ("webrtc", keys, False),
        ):  # fmt: skip
            near, far = NEAR._replace(profile=profile), ANYBODY._replace(profile=profile)
            for source, target in ((near, ANYBODY), (NEAR, far)):
                if fits:
                    self.offer(source, target, sdp)
                else:
                    self.assertEqual(self.refused("offer", source, target, sdp), 488)


WORDS = [NEAR, NEAR._replace(word="near 1"), ANYBODY, FAR, OTHER]
STEPS = st.tuples(
    st.sampled_from(["offer", "answer", "end"]), st.sampled_from(WORDS), st.sampled_from(WORDS),
    st.sampled_from(["1", "2"]), st.sampled_from(["b", "c"]), st.lists(st.sampled_from([0, 4000]), max_size=3),
)  # fmt: skip
# The same of one branch, where one answer is more often taken for another.
CLOSE = st.tuples(
    st.sampled_from(["offer", "answer"]), st.sampled_from([NEAR, FAR, OTHER]), st.sampled_from([NEAR, FAR, OTHER]),
    st.just("1"), st.just("b"), st.lists(st.sampled_from([0, 4000]), min_size=1, max_size=2),
)  # fmt: skip


class TestAnyOrder(RelayCase):
    """Offers and answers as nobody should make them."""

    ROOM = 30

    @settings(deadline=None)
    @given(st.lists(STEPS, max_size=15) | st.lists(CLOSE, max_size=8))
    def test_nothing_is_left(self, steps: list[tuple[str, End, End, str, str, list[int]]]) -> None:
        """Each is answered, no port is told for two media or two parties of a session, and none is left at the end."""
        relay = Relay(clock, self.first, self.last, lambda limit: limit - 1)
        files = descriptors()
        try:
            for step in steps:
                self.step(relay, *step)
        finally:
            relay.close()
        self.assertEqual((relay.used, descriptors()), (0, files))

    def step(
        self, relay: Relay, verb: str, source: End, target: End, session: str, branch: str, ports: list[int]
    ) -> None:
        """One of them."""
        if verb == "end":
            relay.end(session, lambda report: None)
        elif source.bound != target.bound:
            host = f"IN IP{source.family} {source.signalling}"
            sdp = f"v=0\r\nc={host}\r\n" + "".join(f"m=audio {port} RTP/AVP 0\r\n" for port in ports)
            heard: list[bytes | Malformed] = []
            ask = relay.offer if verb == "offer" else relay.answer
            ask(Said(session, branch, source, target, sdp.encode()), heard.append)
            if isinstance(heard[0], bytes):
                told = [port for _, port in places(heard[0]) if port]
                self.assertEqual(len(set(told)), len(told))
                self.assertLessEqual(len(told), sum(port > 0 for port in ports))
            else:
                self.assertEqual(heard[0].status, 503)
