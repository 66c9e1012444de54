"""Judging credentials without a world: every way that a claim can go, and that nothing of ours crosses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.policy.authentication import Authentication, Realm, Verdict, asked_of
from b2bua.policy.nonces import Nonces
from b2bua.policy.users import ScriptUsers
from b2bua.policy.zones import Zone
from b2bua.sip.digest import Credentials, parse_credentials
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Request
from tests.credentials import credentials, digest
from tests.hostile import LONG, TEXTS

REALM = "biloxi.example"
FLOW = Flow(Listener("l", "public", "udp", "192.0.2.1", 5060), "192.0.2.20", 5060)
BOB = "sip:bob@biloxi.example"


class Counter:
    """Words that never repeat."""

    def __init__(self) -> None:
        self.count = 0

    def word(self) -> str:
        """The next one."""
        self.count += 1
        return f"{self.count:020x}"


def authentication(*algorithms: str, own: bool = True) -> Authentication:
    """One that asks for these algorithms."""
    realm = Realm(REALM, ScriptUsers(lambda *asked: None), algorithms or ("SHA-256", "MD5"), 300.0, own)
    return Authentication(realm, Nonces(b"k" * 32, Counter().word, 300.0))


def request(method: str = "INVITE", value: str = "", uri: str = BOB) -> Request:
    """A request of alice's with this value of the credentials' header."""
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    headers: Headers = {"From": ["<sip:alice@biloxi.example>;tag=1"], "To": ["<sip:alice@biloxi.example>"]}
    return Request(method, uri, headers | ({name: [value]} if value else {}))


class TestChallenge(SynchronousTestCase):
    """What is asked."""

    def test_order(self) -> None:
        """RFC 8760 2.3: as many headers as algorithms, in the order of preference, with qop always (RFC 8760 2.6)."""
        for method, status, name in (("REGISTER", 401, "WWW-Authenticate"), ("INVITE", 407, "Proxy-Authenticate")):
            verdict = authentication("SHA-512-256", "SHA-256", "MD5").challenge(request(method), FLOW, 5.0)
            assert verdict.more is not None
            self.assertEqual((verdict.status, verdict.why, list(verdict.more)), (status, "", [name]))
            said = [value.partition("algorithm=")[2] for value in verdict.more[name]]
            self.assertEqual(said, [f'{each}, qop="auth"' for each in ("SHA-512-256", "SHA-256", "MD5")])

    def test_asked_of(self) -> None:
        """By method, or for all but REGISTER."""
        for names, asked, free in (
            ({"REGISTER"}, ["REGISTER"], ["INVITE", "MESSAGE"]),
            ({"calls"}, ["INVITE", "MESSAGE", "X"], ["REGISTER"]),
            ({"INVITE", "REGISTER"}, ["INVITE", "REGISTER"], ["MESSAGE"]),
            (set(), [], ["INVITE", "REGISTER"]),
        ):
            zone = Zone("z", authenticate=frozenset(names))
            self.assertTrue(all(asked_of(zone, request(method)) for method in asked))
            self.assertFalse(any(asked_of(zone, request(method)) for method in free))


class TestJudge(SynchronousTestCase):
    """What it comes to."""

    def claim(self, judge: Authentication, algorithm: str, user: str = "alice") -> tuple[Request, Credentials]:
        """A request with right credentials, and these as they are read."""
        nonce = judge._nonces.new(5.0, judge._bound(FLOW))
        asked = {"algorithm": algorithm, "realm": REALM, "nonce": nonce}
        made = request("INVITE", credentials(asked, user, "secret", "INVITE", BOB))
        claim = judge.claim(made)
        assert claim is not None
        return made, claim

    def test_every_algorithm(self) -> None:
        """Right and wrong with each."""
        for algorithm in ("SHA-512-256", "SHA-256", "MD5"):
            judge = authentication(algorithm)
            made, claim = self.claim(judge, algorithm)
            secret = digest(algorithm, "alice", REALM, "secret")
            wrong = digest(algorithm, "alice", REALM, "other")
            why = 'no user "alice" with this password'
            for each in (None, wrong):
                verdict = judge.judge(made, FLOW, claim, each, 6.0)
                self.assertEqual((verdict.status, verdict.why), (407, why))
            self.assertEqual(judge.judge(made, FLOW, claim, secret, 6.0), Verdict())
            self.assertEqual(judge.judge(made, FLOW, claim, secret, 6.0).status, 407)

    def test_nobody_has_no_password(self) -> None:
        """What is compared with where there is no such user lets nobody in, even who knows it."""
        judge = authentication("MD5")
        made, claim = self.claim(judge, "MD5")
        said = digest("MD5", "0" * 32, claim.nonce, claim.nc, claim.cnonce, "auth", digest("MD5", "INVITE", BOB))
        claim = claim._replace(response=said)
        self.assertEqual(judge.judge(made, FLOW, claim, "0" * 32, 6.0), Verdict())  # it would fit
        self.assertEqual(judge.judge(made, FLOW, claim, None, 6.0).status, 407)

    @given(st.sampled_from(["", "Digest ", f'Digest realm="{REALM}", username="alice", uri="{BOB}", ']), LONG, TEXTS)
    def test_any_text(self, before: str, text: str, secret: str) -> None:
        """Any text is no claim, a claim that is judged, or Malformed with a status."""
        judge = authentication()
        made = request("INVITE", before + text)
        try:
            claim = judge.claim(made)
        except Malformed as fault:
            self.assertEqual(fault.status, 400)
        else:
            if claim is not None:
                self.assertEqual(judge.judge(made, FLOW, claim, secret, 5.0).status, 407)


class TestStrip(SynchronousTestCase):
    """What is for us does not cross."""

    @given(st.lists(st.sampled_from([
        f'Digest username="a", realm="{REALM}", nonce="n", uri="u", response="0"',
        'DIGEST username="a",realm="biloxi\\.example", nonce="n", uri="u", response="0"',
        'Digest username="a", realm="other", nonce="n", uri="u", response="0"', "Basic x", "Digest", "", "\udcff",
    ]) | LONG, max_size=4))  # fmt: skip
    def test_any(self, values: list[str]) -> None:
        """Nothing is left that anybody could read as credentials for our realm; what is others' is as it was."""
        headers: Headers = {"Authorization": list(values), "Proxy-Authorization": list(values), "X": ["x"]}
        authentication().strip(headers)
        self.assertEqual(headers.pop("X"), ["x"])
        self.assertNotIn([], headers.values())
        for left in headers.values():
            self.assertEqual(left, [value for value in values if value in left])
            for value in left:
                found = parse_credentials(value)
                self.assertTrue(found is None or found.realm != REALM)
