"""Challenges of trunks, answered with our credentials (S33, S34; RFC 3261 22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.ops.phone import Dialog
from b2bua.sip.digest import Challenge, Credentials, expected, ha1, parse_credentials
from b2bua.sip.message import Headers, Request
from tests.world import TWO_SIDES, Party, World

REALM, USER, PASSWORD = "carrier.example", "4420", 'swor"dfish'
TRUNK = """
[[credentials]]
realm = "carrier.example"
user = "4420"
password = 'swor"dfish'
to = ["sip:10.0.0.20;transport=udp"]
"""
WITH_TRUNK = TWO_SIDES + TRUNK


def challenge(
    status: int = 401,
    nonce: str = "n1",
    realm: str = REALM,
    algorithm: str = "MD5",
    qop: tuple[str, ...] = ("auth",),
    stale: bool = False,
) -> Headers:
    """The header that asks."""
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return {name: [str(Challenge(realm, nonce, algorithm, qop, "opq", stale))]}


def proofs(request: Request, name: str = "Authorization") -> list[Credentials]:
    """The credentials that a request brings."""
    return [found for text in request.headers.get(name, ()) if (found := parse_credentials(text)) is not None]


def right(request: Request, given: Credentials, password: str = PASSWORD) -> bool:
    """Whether they prove the user, for this very request."""
    secret = ha1(given.algorithm, given.username, given.realm, password)
    return (given.uri, given.opaque) == (request.uri_text, "opq") and given.response == expected(
        given.algorithm,
        secret,
        request.method,
        given.uri,
        given.nonce,
        given.nc,
        given.cnonce,
        given.qop,
        request.body,
    )


class Trunked(SynchronousTestCase):
    """A world in which bob is the trunk."""

    configuration = WITH_TRUNK

    def setUp(self) -> None:
        """Alice calls by us."""
        self.world = World(self.configuration)
        self.alice, self.bob = self.world.alice, self.world.bob

    def call(self) -> Dialog:
        """Alice has called."""
        talk = self.alice.invite("sip:bob@biloxi.example")
        self.world.settle()
        return talk

    def asks(self, status: int = 401, nonce: str = "n1", stale: bool = False, to: str = "") -> Request:
        """Bob asks who we are; returns what he asked that of."""
        return self.bob.says(status, b"", challenge(status, nonce, stale=stale), to=to)

    def proved(self, request: Request, nonce: str = "n1", uses: int = 1, name: str = "Authorization") -> None:
        """The request brings one proof, and that is right."""
        (given,) = proofs(request, name)
        self.assertEqual((given.realm, given.username, given.nonce, given.uses), (REALM, USER, nonce, uses))
        self.assertTrue(right(request, given))

    def wait_for(self, method: str, *phones: Party) -> None:
        """Let time pass until each of them is asked."""
        for _ in range(4000):
            if all(any(request.method == method for _, request in phone.open) for phone in phones):
                return
            self.world.wait(1)
        raise AssertionError(f"nobody asks for {method}: {self.world.journal.lines} {self.bob.open}")

    def no_proof(self, *phones: Party) -> None:
        """Nobody of these got credentials."""
        for phone in phones:
            for data in phone.bytes_in:
                self.assertNotIn(b"Authorization:", data)


class TestInvite(Trunked):
    """S34: the same Call-ID and From tag, CSeq + 1, another branch; the caller sees nothing of it."""

    def test_401(self) -> None:
        """Retried once; the ACK duplicates the credentials (RFC 3261 22.1), the BYE has its own, nc counted."""
        talk = self.call()
        first = self.asks()
        self.world.ladder(
            "alice> INVITE, alice< 100 INVITE, bob< INVITE, bob> 401 INVITE, bob< ACK, bob< INVITE",
        )
        second = self.bob.says(200)
        self.world.settle()
        self.assertEqual(
            (first.call_id, first.from_tag, first.cseq[0] + 1), (second.call_id, second.from_tag, second.cseq[0])
        )
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertEqual(first.body, second.body)
        self.assertEqual(proofs(first), [])
        self.proved(second)
        ack = self.bob.talk.heard[-1]
        assert isinstance(ack, Request)
        self.assertEqual((ack.method, ack.cseq[0], proofs(ack)), ("ACK", second.cseq[0], proofs(second)))
        self.assertEqual(talk.times("200 INVITE"), 1)
        self.assertEqual(talk.times("401 INVITE"), 0)
        talk.bye()
        bye = self.bob.says(200)
        self.assertEqual(bye.cseq[0], second.cseq[0] + 1)
        self.proved(bye, uses=2)
        self.world.quiet()

    def test_ladder(self) -> None:
        """Both messages stand in the call's own ladder, and a trunk's challenge is no second call."""
        self.call()
        self.asks(407)
        self.proved(self.bob.says(180), name="Proxy-Authorization")
        self.world.settle()
        (call,) = self.world.hall.book
        steps = [(step.near, step.outward, step.label) for step in call.history]
        self.assertEqual(
            steps,
            [
                (True, False, "INVITE"),
                (False, True, "INVITE"),
                (False, False, "407 INVITE"),
                (False, True, "INVITE"),
                (False, False, "180 INVITE"),
                (True, True, "180 INVITE"),
            ],
        )
        call.hang_up("enough")
        self.world.quiet()

    def test_stale(self) -> None:
        """stale=true: once more with the new nonce, and not a third time."""
        talk = self.call()
        self.asks()
        self.asks(nonce="n2", stale=True)
        self.proved(self.asks(nonce="n3", stale=True), "n2")
        self.world.settle()
        self.assertEqual(len(self.bob.open), 0)
        self.assertEqual((talk.times("500 INVITE"), talk.times("401 INVITE")), (1, 0))
        self.world.quiet()

    def test_wrong_password(self) -> None:
        """It ends: the caller, who could do nothing with the challenge, hears of a trunk that is out of order."""
        talk = self.call()
        self.asks()
        self.asks(nonce="n2")
        self.world.settle()
        self.assertEqual(len(self.bob.open), 0)
        self.assertEqual((talk.times("500 INVITE"), talk.times("401 INVITE")), (1, 0))
        said = self.alice.bytes_in[-1]
        for word in (b"Authenticate", REALM.encode(), b"n2"):
            self.assertNotIn(word, said)
        self.assertIn(f"credentials of 4420 in {REALM} for 10.0.0.20: it does not take them", self.world.journal.lines)
        self.assertNotIn(PASSWORD, "\n".join(self.world.journal.lines))
        self.world.quiet()

    def test_later_calls(self) -> None:
        """They bring the credentials at once; a nonce that is not known any more is worth one more try."""
        for uses in (1, 2):
            talk = self.call()
            if uses == 1:
                self.asks()
            self.proved(self.bob.says(486), uses=uses)
            self.world.settle()
            self.assertEqual(talk.times("486 INVITE"), 1)
        talk = self.call()
        self.proved(self.asks(nonce="n2"), uses=3)
        self.proved(self.bob.says(486), "n2")
        self.world.settle()
        self.assertEqual(talk.times("486 INVITE"), 1)
        self.world.quiet()

    def test_after_ringing(self) -> None:
        """Somebody rang, and then comes the challenge: that early dialog is over, the next one makes the call."""
        talk = self.call()
        self.bob.says(180)
        self.asks()
        self.proved(self.bob.says(180))
        self.world.settle()
        (call,) = self.world.hall.book
        self.assertEqual(len(call.pairs), 1)
        self.bob.says(200)
        self.world.settle()
        self.assertEqual(talk.times("200 INVITE"), 1)
        call.hang_up("enough")
        self.alice.says(200)
        self.bob.says(200)
        self.world.quiet()

    def test_cancel(self) -> None:
        """The caller has gone when the challenge comes: nothing is tried again."""
        talk = self.call()
        self.bob.says(180)
        self.world.settle()
        self.world.wires.rules = []
        talk.cancel()
        self.asks(to="INVITE")
        self.world.settle()
        self.assertEqual(talk.times("487 INVITE"), 1)
        self.assertEqual(self.bob.talk.times("INVITE"), 1)
        self.world.quiet()


class TestChallenges(Trunked):
    """What is asked, and how it is answered."""

    def answer(self, headers: Headers, status: int = 401) -> Request:
        """What the retried INVITE says to a challenge."""
        self.talk = self.call()
        self.bob.says(status, b"", headers)
        self.world.settle()
        request = self.bob.says(486)
        self.world.quiet()
        return request

    def test_without_qop(self) -> None:
        """RFC 2069's, as some old carriers have it."""
        request = self.answer(challenge(qop=()))
        (given,) = proofs(request)
        self.assertEqual((given.qop, given.nc, given.cnonce), ("", "", ""))
        self.assertTrue(right(request, given))

    def test_auth_int(self) -> None:
        """The body counts, where nothing else is offered."""
        request = self.answer(challenge(qop=("auth-int",)))
        (given,) = proofs(request)
        self.assertEqual(given.qop, "auth-int")
        self.assertTrue(request.body)
        self.assertTrue(right(request, given))
        (given,) = proofs(self.answer(challenge(nonce="n2", qop=("auth-int", "auth"))))
        self.assertEqual(given.qop, "auth")

    def test_session_algorithm(self) -> None:
        """MD5-sess: HA1 holds the nonces (RFC 7616 3.4.2)."""
        request = self.answer(challenge(algorithm="MD5-sess"))
        self.assertTrue(right(request, proofs(request)[0]))

    def test_strongest(self) -> None:
        """RFC 8760: SHA-256 before MD5, in whichever order they come; what nobody knows is passed over."""
        both = [challenge(algorithm=each)["WWW-Authenticate"][0] for each in ("AKAv1-MD5", "MD5", "SHA-256")]
        request = self.answer({"WWW-Authenticate": both})
        (given,) = proofs(request)
        self.assertEqual(given.algorithm, "SHA-256")
        self.assertTrue(right(request, given))

    def test_the_next_nonce(self) -> None:
        """RFC 7616 3.5: it counts from now on; the end of our exchange is nothing for the caller."""
        for nonce, info in (("n1", 'rspauth="00", NextNonce = "n2"'), ("n2", 'nextnonce="", qop=auth'), ("n2", "x")):
            sent = self.alice.ask("MESSAGE", "sip:bob@biloxi.example")
            if nonce == "n1":
                self.asks()
            self.world.settle()
            (given,) = proofs(self.bob.says(200, b"", {"Authentication-Info": [info]}))
            self.world.settle()
            self.assertEqual((given.nonce, sent.status), (nonce, 200))
            self.assertNotIn("Authentication-Info", sent.responses[-1].headers)
        self.world.quiet()

    def test_the_callers_own_end(self) -> None:
        """Where the caller has credentials of its own on the request, it may be theirs: it crosses."""
        theirs = str(Credentials("alice", "other.example", "x", "sip:bob@10.0.0.20", "00"))
        sent = self.alice.ask("MESSAGE", "sip:bob@biloxi.example", headers={"Authorization": [theirs]})
        self.asks()
        self.world.settle()
        self.bob.says(200, b"", {"Authentication-Info": ['rspauth="00"']})
        self.world.settle()
        self.assertEqual(sent.responses[-1].first("Authentication-Info"), 'rspauth="00"')
        self.world.quiet()

    def test_several(self) -> None:
        """Two realms of ours at once, of the proxy and of the server behind it (RFC 3261 22.3)."""
        other = TRUNK.replace("carrier.example", "inner.example")
        self.configuration = WITH_TRUNK + other
        self.setUp()
        request = self.answer(challenge() | challenge(407, "m1", "inner.example"))
        self.proved(request)
        (given,) = proofs(request, "Proxy-Authorization")
        self.assertEqual((given.realm, given.nonce), ("inner.example", "m1"))
        self.assertTrue(right(request, given))

    def test_one_after_the_other(self) -> None:
        """The second brings both."""
        self.configuration = WITH_TRUNK + TRUNK.replace("carrier.example", "inner.example")
        self.setUp()
        self.call()
        self.asks(407)
        self.bob.says(401, b"", challenge(401, "m1", "inner.example"))
        request = self.bob.says(486)
        self.proved(request, uses=2, name="Proxy-Authorization")
        self.assertEqual([each.realm for each in proofs(request)], ["inner.example"])
        self.world.quiet()

    def test_nothing_that_we_know(self) -> None:
        """An algorithm, or a quality of protection, of another age."""
        for number, what in enumerate((challenge(algorithm="SHA-1"), challenge(qop=("auth-conf",))), 1):
            talk = self.call()
            self.bob.says(401, b"", what)
            self.world.settle()
            self.assertEqual((talk.times("500 INVITE"), talk.times("401 INVITE")), (1, 0))
            self.assertEqual(sum("an algorithm or a quality" in each for each in self.world.journal.lines), number)
            self.world.wait(61)
        self.no_proof(self.bob)
        self.world.quiet()

    def test_another_realm(self) -> None:
        """As without credentials: the challenge crosses, and what the caller says to it."""
        talk = self.call()
        self.bob.says(401, b"", challenge(realm="other.example"))
        self.world.settle()
        self.assertEqual(talk.times("401 INVITE"), 1)
        self.assertIn(b'realm="other.example"', self.alice.bytes_in[-1])
        self.no_proof(self.bob)
        self.world.quiet()

    def test_what_cannot_be_read(self) -> None:
        """Nor is it answered: it is the far side's affair."""
        talk = self.call()
        self.bob.says(401, b"", {"WWW-Authenticate": ['Digest realm="carrier.example', "Basic realm=x"]})
        self.world.settle()
        self.assertEqual(talk.times("401 INVITE"), 1)
        self.no_proof(self.bob)
        self.world.quiet()

    def test_beside_the_callers(self) -> None:
        """The caller's credentials for another realm stay, beside ours."""
        theirs = str(Credentials("alice", "other.example", "x", "sip:bob@10.0.0.20", "00"))
        spoofed = str(Credentials("alice", REALM, "x", "sip:bob@10.0.0.20", "00"))
        self.alice.headers["Authorization"] = [theirs, spoofed, "Basic xyz", "Digest realm"]
        request = self.answer(challenge())
        self.assertEqual(request.headers["Authorization"][:3], [theirs, "Basic xyz", "Digest realm"])
        self.assertEqual(len(request.headers["Authorization"]), 4)

    def test_ours_and_anothers(self) -> None:
        """Ours does not do, the other one is for the caller: only that crosses."""
        talk = self.call()
        self.asks()
        both = [*challenge(nonce="n2")["WWW-Authenticate"], *challenge(realm="other.example")["WWW-Authenticate"]]
        self.bob.says(401, b"", {"WWW-Authenticate": [*both, "Basic realm=x", "Digest realm"]})
        self.world.settle()
        self.assertEqual(talk.times("401 INVITE"), 1)
        self.assertIn(b'realm="other.example"', self.alice.bytes_in[-1])
        self.assertNotIn(b"carrier.example", self.alice.bytes_in[-1])
        self.world.quiet()
