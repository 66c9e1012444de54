"""The daemons of an engine on a clock turned by hand: who lives, whose turn it is, what is still to be deleted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media import daemons
from b2bua.media.daemons import AT_ONCE, MAX_OWED, OWED, Peer, choose
from b2bua.media.engine_options import said, wrong
from b2bua.media.ng import Answer, Answered
from b2bua.policy.media import Daemon
from b2bua.sip.tokens import Tokens

PONG: Answer = {"result": "pong"}


class Wire:
    """What a peer asks, and answers at the test's will."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], Answered]] = []
        self.closed = False

    def ask(self, command: str, more: dict[str, Any], patience: float, then: Answered) -> None:
        self.asked.append((command, more, then))

    def close(self) -> None:
        self.closed = True

    def answer(self, command: str, answer: Answer | None) -> int:
        """Answer all questions of a kind; returns how many it were."""
        mine = [each for each in self.asked if each[0] == command]
        self.asked = [each for each in self.asked if each[0] != command]
        for _, _, then in mine:
            then(answer)
        return len(mine)


class TestPeer(SynchronousTestCase):
    """One daemon."""

    def setUp(self) -> None:
        self.clock, self.wire = Clock(), Wire()
        self.told: list[tuple[bool, str]] = []
        self.peer = Peer(Daemon("192.0.2.1", 2223), self.wire, self.clock, 1.0, 5.0, self.tell)

    def tell(self, daemon: Daemon, up: bool, why: str) -> None:
        self.told.append((up, why))

    def test_pings(self) -> None:
        """Every five seconds; every second while it is dead. What changes is told once."""
        self.peer.start()
        self.assertEqual(self.wire.answer("ping", PONG), 1)
        self.clock.advance(4.9)
        self.assertEqual(self.wire.asked, [])
        self.clock.advance(0.1)
        self.wire.answer("ping", None)
        self.assertFalse(self.peer.alive)
        for _ in range(3):
            self.clock.advance(1.0)
            self.assertEqual(self.wire.answer("ping", None), 1)
        self.clock.advance(1.0)
        self.wire.answer("ping", PONG)
        self.assertEqual(self.told, [(True, ""), (False, "it does not answer"), (True, "")])
        self.peer.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.wire.closed), ([], True))

    def test_a_question_finds_it_dead(self) -> None:
        """It is pinged at once then, and sooner from then on."""
        self.peer.start()
        self.wire.answer("ping", PONG)
        answers: list[Answer | None] = []
        self.peer.ask("offer", {}, 1.0, answers.append)
        self.wire.answer("offer", None)
        self.assertEqual((answers, self.peer.alive), ([None], True))
        self.assertEqual(self.wire.answer("ping", None), 1)
        self.assertFalse(self.peer.alive)
        self.clock.advance(1.0)
        self.assertEqual(self.wire.answer("ping", PONG), 1)
        self.assertTrue(self.peer.alive)

    def test_a_question_without_an_answer(self) -> None:
        """It lives all the same if it answers a ping; however many such questions there are, one ping is under way."""
        self.peer.start()
        self.wire.answer("ping", PONG)
        for command in ("offer", "query", "offer"):
            self.peer.ask(command, {}, 1.0, lambda answer: None)
        self.peer.forget("word")
        for command in ("offer", "query", "delete"):
            self.wire.answer(command, None)
        self.assertEqual(self.wire.answer("ping", PONG), 1)
        self.assertEqual((self.peer.alive, self.told), (True, [(True, "")]))
        self.assertEqual(self.wire.answer("delete", {"result": "ok"}), 1)
        self.clock.advance(4.9)
        self.assertEqual(self.wire.answer("ping", PONG), 0)
        self.clock.advance(0.1)
        self.assertEqual(self.wire.answer("ping", PONG), 1)
        self.peer.ask("offer", {}, 1.0, lambda answer: None)
        self.peer.stop()
        self.wire.answer("offer", None)
        self.assertEqual((self.clock.getDelayedCalls(), self.wire.asked), ([], []))

    def test_deletions_wait(self) -> None:
        """What a dead one is to forget it is told when it is back, a few at a time."""
        done: list[int] = []
        self.peer.forget("first", lambda: done.append(1))
        self.wire.answer("delete", None)
        self.wire.answer("ping", None)
        self.assertEqual((done, len(self.peer.owed)), ([1], 1))
        for number in range(50):
            self.peer.forget(f"call-{number}", lambda: done.append(2))
        self.assertEqual((len(done), self.wire.asked), (51, []))
        self.clock.advance(1.0)
        self.wire.answer("ping", PONG)
        deleted = []
        while self.wire.asked:
            self.assertLessEqual(len(self.wire.asked), AT_ONCE)
            command, more, then = self.wire.asked.pop(0)
            self.assertEqual((command, more["delete-delay"]), ("delete", 0))
            deleted.append(more["call-id"])
            then({"result": "ok", "warning": "Call-ID not found or tags didn't match"})
        self.assertEqual(deleted, ["first", *(f"call-{number}" for number in range(50))])
        self.assertEqual(self.peer.owed, {})

    def test_deletions_are_bounded(self) -> None:
        """In number, and in time."""
        self.peer.start()
        self.wire.answer("ping", None)
        for number in range(MAX_OWED + 3):
            self.peer.forget(str(number))
        self.assertEqual((len(self.peer.owed), next(iter(self.peer.owed))), (MAX_OWED, "3"))
        self.patch(daemons, "AT_ONCE", MAX_OWED)
        self.clock.advance(OWED + 1)
        self.wire.answer("ping", PONG)
        self.assertEqual((self.peer.owed, self.wire.asked), ({}, []))

    def test_twice(self) -> None:
        """Asked twice, deleted once."""
        done: list[int] = []
        self.peer.forget("word", lambda: done.append(1))
        self.peer.forget("word", lambda: done.append(2))
        self.assertEqual(self.wire.answer("delete", {"result": "ok"}), 1)
        self.assertEqual(done, [1, 2])


class TestChoice(SynchronousTestCase):
    """Whose turn it is."""

    def peer(self, weight: int) -> Peer:
        def tell(daemon: Daemon, up: bool, why: str) -> None: ...

        return Peer(Daemon("2001:db8::1", 2223, weight), Wire(), Clock(), 1.0, 5.0, tell)

    def test_by_weight(self) -> None:
        """Each its share; the dead and those tried have none."""
        one, three, dead, tried = peers = [self.peer(weight) for weight in (1, 3, 50, 50)]
        dead.alive = False
        below: Callable[[int], int] = Tokens(os.urandom).below
        found = Counter(choose(peers, {tried}, below) for _ in range(2000))
        self.assertEqual(set(found), {one, three})
        self.assertGreater(found[three], 2 * found[one])
        self.assertIsNone(choose(peers, {one, three, tried}, below))
        spare = self.peer(0)
        self.assertEqual({choose([spare, one], set(), below) for _ in range(100)}, {one})
        self.assertIs(choose([spare, one], {one}, below), spare)
        self.assertEqual(str(one.daemon), "[2001:db8::1]:2223")
        self.assertEqual(str(Daemon("192.0.2.1", 1)), "192.0.2.1:1")


class TestOptions(SynchronousTestCase):
    """A route's own words."""

    def test_right(self) -> None:
        """Flags as they are, keys as ng wants them."""
        right = (
            "asymmetric", "codec-mask-all", "codec-transcode-PCMU", "codec-transcode-opus/48000/2//useinbandfec=1",
            "inject-DTMF", "SDES-no-AES_CM_128_HMAC_SHA1_32", "OSRTP-offer", "T.38-decode", "ptime=20", "TOS=184",
            "rtcp-mux=offer", "DTLS=passive", "ICE=remove", "transport-protocol=RTP/AVPF", "record-call=on",
        )  # fmt: skip
        self.assertEqual([wrong(option) for option in right], [""] * len(right))
        flags, keys = said(right)
        self.assertEqual(flags, list(right[:8]))
        self.assertEqual(
            keys,
            {"ptime": 20, "TOS": 184, "rtcp-mux": ["offer"], "DTLS": "passive", "ICE": "remove",
             "transport-protocol": "RTP/AVPF", "record-call": "on"},
        )  # fmt: skip

    def test_wrong(self) -> None:
        """Each with what would be right."""
        for option, right in (
            ("asymetric", "asymmetric"),
            ("codec-mask-", "codec-VERB-NAME"),
            ("codec-eat-PCMU", "transcode"),
            ("loop-protect", "asymmetric"),
            ("", "asymmetric"),
            ("ptime=0", "a number"),
            ("TOS=256", "up to 255"),
            ("ICE=default", "force or remove"),
            ("media-address=192.0.2.1", "ptime-reverse"),
            ("call-id=x", "transport-protocol"),
        ):
            self.assertIn(right, wrong(option), option)
