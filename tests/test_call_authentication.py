"""Passwords at the border: who is asked, who is let in, and what whoever tries to cheat is told (RFC 3261 22)."""

from __future__ import annotations

import re
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.hall import Hall
from b2bua.ops.phone import Dialog, Sent, answer_all
from b2bua.policy import authentication
from b2bua.policy.nonces import ROOM
from b2bua.sip.message import Headers, Request, Response
from b2bua.transaction.transaction import ServerTransaction
from tests.credentials import challenges, credentials, line
from tests.hostile import LONG
from tests.world import TWO_SIDES, Party, World

REALM = "biloxi.example"
BOB, HOME = "sip:bob@biloxi.example", "sip:biloxi.example"
PASSWORD = "correct horse"
USERS = line("alice", PASSWORD, REALM, "SHA-256", "MD5") + line("carol", "battery staple", REALM, "SHA-256", "MD5")
SECTION = f'\n[authentication]\nrealm = "{REALM}"\nusers = "users"\n'


def asking(*methods: str) -> str:
    """Two sides, of which the public one asks for passwords."""
    listed = ", ".join(f'"{each}"' for each in methods)
    return TWO_SIDES.replace('name = "public"\n', f'name = "public"\nauthenticate = [{listed}]\n', 1) + SECTION


class Asked(SynchronousTestCase):
    """A world whose public zone asks for passwords."""

    def begin(self, text: str = asking("REGISTER", "calls"), users: str = USERS, **files: str) -> World:
        """The world; what REGISTER comes to once it is let in is noted, with who was proved."""
        self.world = World(text, {"users": users, **{name.replace("_", "."): said for name, said in files.items()}})
        self.world.bob.asked = answer_all
        self.let_in: list[tuple[str, str]] = []
        return self.world

    def setUp(self) -> None:
        """Whoever gets past the proof is noted."""
        outside = Hall._outside

        def noted(hall: Hall, transaction: ServerTransaction) -> None:
            self.let_in.append((transaction.method, transaction.proved))
            outside(hall, transaction)

        patched = patch.object(Hall, "_outside", noted)
        patched.start()
        self.addCleanup(patched.stop)

    def dialog(self, uri: str = BOB, phone: Party | None = None) -> Dialog:
        """A dialog of alice's in which nothing was said yet."""
        phone = phone or self.world.alice
        dialog = phone._dialog(uri, phone.by_proxy())
        phone.dialogs.append(dialog)
        return dialog

    def ask(
        self, dialog: Dialog, method: str, *values: str, headers: Headers | None = None, body: bytes = b""
    ) -> Response:
        """One request and its final response; `values` are credentials, where they belong for the method."""
        name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
        more = {name: list(values)} if values else {}
        if method == "INVITE" and not body:
            body, more = dialog.sdp(), {**more, "Content-Type": ["application/sdp"]}
        sent: Sent = dialog.ask(method, body, {**more, **(headers or {})})
        self.world.settle()
        answer = [each for each in dialog.heard if isinstance(each, Response) and each.cseq == sent.request.cseq][-1]
        self.assertGreaterEqual(answer.status, 200)
        return answer

    def challenged(self, dialog: Dialog, method: str, *values: str, stale: bool = False) -> dict[str, dict[str, str]]:
        """Ask and be asked: the challenges by their algorithms."""
        answer = self.ask(dialog, method, *values)
        self.assertEqual(answer.status, 401 if method == "REGISTER" else 407)
        found = challenges(answer)
        self.assertEqual({each.get("stale", "false") for each in found}, {"true" if stale else "false"})
        return {each["algorithm"]: each for each in found}

    def tell(
        self, challenge: dict[str, str], method: str = "INVITE", at: str = BOB, count: int = 1, /, **changed: str
    ) -> str:
        """Alice's right answer."""
        return credentials(challenge, "alice", PASSWORD, method, at, count, **changed)


class TestAsked(Asked):
    """Who is asked, and how."""

    def test_invite(self) -> None:
        """RFC 3261 22.3: 407 for what is carried on; with credentials it goes on without them, as the same call."""
        for algorithm in ("SHA-256", "MD5"):
            world = self.begin()
            dialog = self.dialog()
            challenge = self.challenged(dialog, "INVITE")[algorithm]
            self.assertEqual((challenge["realm"], challenge["qop"]), (REALM, "auth"))
            self.assertEqual(world.bob.dialogs, [])
            self.assertEqual(self.ask(dialog, "INVITE", self.tell(challenge)).status, 200)
            self.assertEqual(self.let_in, [("INVITE", "alice")])
            (request,) = [each for each in world.bob.talk.heard if each.start_line.startswith("INVITE")]
            self.assertNotIn("Proxy-Authorization", request.headers)
            self.assertEqual([each for each in world.journal.lines if "refused" in each], [])
            dialog.bye()
            world.settle()
            world.quiet()

    def test_register(self) -> None:
        """RFC 3261 22.2: 401 for what we end; the algorithms in order (RFC 8760 2.3); who is proved is told on."""
        world = self.begin()
        dialog = self.dialog(HOME)
        dialog.remote = "<sip:alice@biloxi.example>"
        self.assertEqual(list(self.challenged(dialog, "REGISTER")), ["SHA-256", "MD5"])
        for challenge in self.challenged(dialog, "REGISTER").values():
            count = 2 if challenge["algorithm"] == "MD5" else 1  # one nonce for both
            self.ask(dialog, "REGISTER", self.tell(challenge, "REGISTER", HOME, count))
        self.assertEqual(self.let_in, [("REGISTER", "alice")] * 2)
        world.quiet()

    def test_one_small_answer(self) -> None:
        """A stranger's datagram gets one answer that is not much longer, and leaves nothing."""
        world = self.begin()
        for _ in range(50):
            self.challenged(self.dialog(HOME), "REGISTER")
        size_in, size_out = len(world.alice.bytes_out[-1]), len(world.alice.bytes_in[-1])
        self.assertLess(size_out, size_in + 600)
        self.assertEqual(len(self.nonces), 0)
        world.quiet()

    @property
    def nonces(self) -> authentication.Nonces:
        """What is remembered of nonces."""
        proving = self.world.hall._proving
        assert proving is not None
        return proving._authentication._nonces

    def test_others(self) -> None:
        """Every method that begins something is asked; what belongs to a dialog, or asks after us, is not."""
        world = self.begin()
        for method in ("MESSAGE", "PUBLISH", "INFO", "OPTIONS", "X-NEW", "NOTIFY"):
            self.challenged(self.dialog(), method)
        self.assertEqual(self.ask(self.dialog(), "SUBSCRIBE", headers={"Event": ["presence"]}).status, 407)
        self.assertEqual(self.ask(self.dialog(), "REFER", headers={"Refer-To": [BOB]}).status, 407)
        for method in ("BYE", "UPDATE", "PRACK"):
            self.assertEqual(self.ask(self.dialog(), method).status, 481)
        self.assertEqual(self.ask(self.dialog("sip:192.0.2.1"), "OPTIONS").status, 200)
        world.hall.draining = True
        self.assertEqual(self.ask(self.dialog(), "MESSAGE").status, 503)
        world.quiet()

    def test_draining(self) -> None:
        """Who may register while no new calls are taken has to prove it as ever (RFC 3261 10.3, 3)."""
        world = self.begin(asking("REGISTER", "calls") + '\n[registrar]\nstore = "memory:"\n')
        registrar = world.hall.registrar
        assert registrar is not None
        world.hall.draining = True
        at, dialog = "sip:192.0.2.1", self.dialog("sip:192.0.2.1")
        dialog.remote = dialog.local = "<sip:alice@192.0.2.1>"
        challenge = self.challenged(dialog, "REGISTER")["SHA-256"]
        self.assertEqual((self.let_in, len(registrar.bindings)), ([], 0))
        self.assertEqual(self.ask(dialog, "REGISTER", self.tell(challenge, "REGISTER", at)).status, 200)
        self.assertEqual(self.let_in, [("REGISTER", "alice")])
        world.quiet()

    def test_only_what_the_zone_says(self) -> None:
        """Other methods, and other zones, are not asked."""
        world = self.begin(asking("REGISTER", "MESSAGE"))
        self.challenged(self.dialog(HOME), "REGISTER")
        self.challenged(self.dialog(), "MESSAGE")
        self.assertEqual(self.ask(self.dialog(), "INVITE").status, 200)
        world.alice.asked = answer_all
        self.assertEqual(self.ask(self.dialog("sip:alice@atlanta.example", world.bob), "MESSAGE").status, 200)

    def test_in_the_call(self) -> None:
        """In a dialog nobody is asked again; credentials that come all the same stay here, also broken ones."""
        world = self.begin()
        dialog = self.dialog()
        challenge = self.challenged(dialog, "INVITE")["SHA-256"]
        other = 'Digest username="a", realm="elsewhere", nonce="n", uri="u", response="0"'
        sent = [self.tell(challenge, "INVITE"), other]
        self.assertEqual(self.ask(dialog, "INVITE", *sent, headers={"Authorization": ["Digest broken"]}).status, 200)
        for method, body in (("INVITE", dialog.sdp()), ("INFO", b"")):
            more = {"Content-Type": ["application/sdp"]} if body else {}
            self.assertEqual(self.ask(dialog, method, *sent, "Basic abc", body=body, headers=more).status, 200)
        heard = [each for each in world.bob.talk.heard if "Proxy-Authorization" in each.headers]
        self.assertEqual(
            [label.split()[0] for label in (each.start_line for each in heard)],
            ["INVITE", "ACK", "INVITE", "ACK", "INFO"],
        )
        self.assertEqual(heard[0].headers["Proxy-Authorization"], [other])
        self.assertEqual(heard[-1].headers["Proxy-Authorization"], [other, "Basic abc"])
        self.assertEqual([each for each in heard if "Authorization" in each.headers], [])
        # The other side is asked for nothing, and its credentials are its own.
        world.alice.asked = answer_all
        said = world.bob.talk.ask("INFO", b"", {"Proxy-Authorization": sent})
        world.settle()
        self.assertEqual(said.status, 200)
        self.assertEqual(dialog.heard[-1].headers["Proxy-Authorization"], sent)


    def test_register_of_others(self) -> None:
        """A REGISTER that goes on, as nobody here asks for its password, keeps what it says to whom it goes to."""
        for methods, left in ((("calls",), 1), (("REGISTER", "calls"), 0), ((), 1)):
            world = self.begin(asking(*methods))
            proving = world.hall._proving
            assert proving is not None
            challenge = {"algorithm": "MD5", "realm": REALM, "nonce": "n"}
            for method in ("REGISTER", "MESSAGE"):
                granted: Headers = {"Authorization": [self.tell(challenge, method)]}
                proving.strip(world.configuration.zones["public"], Request(method, HOME, {}), granted)
                self.assertEqual(len(granted), left if method == "REGISTER" else int(not methods), (methods, method))


class TestCheated(Asked):
    """Who tries to come in with what does not prove anything."""

    def test_replay(self) -> None:
        """RFC 7616 5.4: the same credentials in a new request are asked for anew, and the operator hears of it."""
        world = self.begin()
        challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        value = self.tell(challenge)
        self.assertEqual(self.ask(self.dialog(), "INVITE", value).status, 200)
        again = self.challenged(self.dialog(), "INVITE", value, stale=True)["SHA-256"]
        self.assertNotEqual(again["nonce"], challenge["nonce"])
        self.assertIn("refused INVITE with 407: a nonce used as often already: a replay", world.journal.lines)
        self.assertEqual(self.ask(self.dialog(), "INVITE", self.tell(challenge, "INVITE", BOB, 2)).status, 200)
        self.assertEqual(self.ask(self.dialog(), "INVITE", self.tell(again)).status, 200)
        self.assertEqual(len(self.let_in), 3)

    def test_elsewhere(self) -> None:
        """A nonce that somebody else was given, on another host, is good for nothing."""
        world = self.begin()
        challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        thief = world.phone("alice", "192.0.2.66")
        self.challenged(self.dialog(BOB, thief), "INVITE", self.tell(challenge), stale=True)
        self.assertEqual(self.let_in, [])

    def test_old_and_forged(self) -> None:
        """Old: stale, for whoever knows the password, without a line. Forged: not ours. From the future: too."""
        world = self.begin()
        challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        forged = challenge | {"nonce": "0" * len(challenge["nonce"])}
        self.challenged(self.dialog(), "INVITE", self.tell(forged), stale=True)
        world.wait(301)
        self.challenged(self.dialog(), "INVITE", self.tell(challenge), stale=True)
        self.assertEqual([each for each in world.journal.lines if "refused" in each], [])
        wrong = credentials(challenge, "alice", "wrong", "INVITE", BOB)
        self.challenged(self.dialog(), "INVITE", wrong)  # not stale: it is no news for who does not know the password
        future = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        with patch.object(world.switchboard, "now", lambda: world.clock.seconds() - 100):
            self.challenged(self.dialog(), "INVITE", self.tell(future), stale=True)
        self.assertEqual(self.let_in, [])
        world.quiet()

    def test_unknown_and_wrong_are_the_same(self) -> None:
        """Nobody learns who is there: the same answer but for what is random, and as many hashes (never fewer)."""
        self.begin(
            users=USERS + line("dave", PASSWORD, REALM, "MD5") + line("erin", PASSWORD, "other.example", "SHA-256")
        )
        answers, computed = set(), set()
        for user, password in (
            ("alice", "wrong"),
            ("nobody", "wrong"),
            ("", "wrong"),
            ("dave", PASSWORD),
            ("erin", PASSWORD),
        ):
            dialog = self.dialog(HOME)
            challenge = self.challenged(dialog, "REGISTER")["SHA-256"]
            value = credentials(challenge, user, password, "REGISTER", HOME)
            with patch("b2bua.sip.digest._digest", wraps=authentication.expected.__globals__["_digest"]) as hashed:
                answer = self.ask(dialog, "REGISTER", value)
            computed.add(hashed.call_count)
            said = bytes(answer).decode()
            for word in (
                dialog.call_id,
                dialog.local_tag,
                answer.to_tag,
                answer.via.branch,
                challenges(answer)[0]["nonce"],
                f"CSeq: {answer.cseq[0]}",
            ):
                said = said.replace(word, "-")
            answers.add(said)
        self.assertEqual(len(answers), 1, answers)
        self.assertEqual(computed, {2})
        self.assertEqual(self.let_in, [])
        self.assertIn('refused REGISTER with 401: no user "alice" with this password', self.world.journal.lines)
        self.assertIn('refused REGISTER with 401: no user "nobody" with this password', self.world.journal.lines)

    def test_broken(self) -> None:
        """400 with the reason, and a line, for what is missing, not offered or for somebody else; never a 500."""
        world = self.begin()
        for changed, reason in (
            ({"qop": "auth-int"}, "qop auth-int was not offered, only auth"),
            ({"qop": "", "nc": "", "cnonce": ""}, "qop auth is missing from the credentials"),
            ({"qop": "other"}, "qop auth is missing from the credentials"),
            ({"nc": "00000000"}, "nc is zero"),
            ({"nc": "1"}, "nc is not eight hexadecimal digits"),
            ({"nc": ""}, "qop without nc or without cnonce"),
            ({"cnonce": ""}, "qop without nc or without cnonce"),
            ({"username": ""}, "username is missing"),
            ({"nonce": ""}, "nonce is missing"),
            ({"uri": ""}, "uri is missing"),
            ({"response": ""}, "response is missing"),
            ({"realm": ""}, "realm is missing"),
            ({"response": '"sesame"'}, "response is not hexadecimal"),
            ({"username": '"alice'}, "not a list of name=value, or a quoted string that does not end"),
            ({"username": '"al\u0085ice"'}, "the user name is not readable text in UTF-8"),
            ({"uri": '"sip:+900@biloxi.example"'}, "the credentials are for another Request-URI"),
            ({"uri": '"sip:bob@"'}, "a SIP URI with a character that must be escaped, or without a host"),
        ):
            challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
            answer = self.ask(self.dialog(), "INVITE", self.tell(challenge, **changed))
            self.assertEqual((answer.status, answer.reason), (400, f"Bad Request - {reason}"), changed)
            self.assertEqual(world.journal.lines[-1], f"fault of 192.0.2.20 in the credentials of INVITE: {reason}")
        self.assertEqual(self.let_in, [])
        world.quiet()

    def test_octets(self) -> None:
        """What is not UTF-8 in the user's name is refused, in the nonce it is no nonce of ours."""
        self.begin()
        challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        self.assertEqual(self.ask(self.dialog(), "INVITE", self.tell(challenge, username='"\udcff"')).status, 400)
        self.challenged(self.dialog(), "INVITE", self.tell(challenge, nonce='"\udcff"'), stale=True)

    def test_as_none(self) -> None:
        """Another realm's, another scheme's, an algorithm that was not offered: as if there were none."""
        self.begin()
        challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        for value in (
            self.tell(challenge, realm='"BILOXI.example"'),
            self.tell(challenge, algorithm="SHA-256-sess"),
            self.tell(challenge, algorithm="SHA-512-256"),
            self.tell(challenge, algorithm="AKAv1-MD5"),
            "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==",
        ):
            self.challenged(self.dialog(), "INVITE", value)
        # In the other header they are not for us; of several the first that is for us counts.
        self.assertEqual(
            self.ask(self.dialog(), "INVITE", headers={"Authorization": [self.tell(challenge)]}).status, 407
        )
        wrong = credentials(challenge, "alice", "wrong", "INVITE", BOB)
        self.challenged(self.dialog(), "INVITE", wrong, self.tell(challenge))
        right = self.tell(challenge)
        self.assertEqual(self.ask(self.dialog(), "INVITE", self.tell(challenge, realm='"x"'), right, wrong).status, 200)

    def test_oddities(self) -> None:
        """Quoted tokens, capital letters, blanks, escapes, a proxy's URI: real phones write them."""
        self.begin()
        for changed in (
            {"qop": '"auth"', "algorithm": '"sha-256"', "nc": '"00000001"'},
            {"username": '"al\\ice"'},
            {"nonce": " \t"},
        ):
            challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
            changed = {
                name: value.strip() and value or f'  "{challenge["nonce"]}"\t' for name, value in changed.items()
            }
            self.assertEqual(self.ask(self.dialog(), "INVITE", self.tell(challenge, **changed)).status, 200, changed)
        challenge = self.challenged(self.dialog(), "INVITE")["MD5"]
        upper = (
            self.tell(challenge, algorithm="").replace("Digest", "DIGEST").replace("username", "UserName")
        )  # MD5: RFC 7616 3.3
        self.assertEqual(self.ask(self.dialog(), "INVITE", upper).status, 200)
        for uri in ("sip:192.0.2.1:5060", "sip:bob@biloxi.example:5060;transport=udp"):
            challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
            value = credentials(challenge, "alice", PASSWORD, "INVITE", uri)
            self.assertEqual(self.ask(self.dialog(), "INVITE", value).status, 200)
        challenge = self.challenged(self.dialog(HOME), "REGISTER")["SHA-256"]
        dialog = self.dialog(HOME)
        dialog.remote = "<sip:alice@biloxi.example>"
        self.ask(dialog, "REGISTER", credentials(challenge, "alice", PASSWORD, "REGISTER", "sip:alice@biloxi.example"))
        self.assertEqual(self.let_in[-1], ("REGISTER", "alice"))

    def test_anything(self) -> None:
        """Whatever stands in the header gets one clear answer, and nothing of it is our fault."""
        world = self.begin()

        @given(st.sampled_from(["", "Digest ", f'Digest realm="{REALM}", username="alice", ']), LONG)
        def anything(before: str, text: str) -> None:
            value = re.sub("[\x00-\x08\x0a-\x1f\x7f]", "", before + text)
            self.assertIn(self.ask(self.dialog(HOME), "REGISTER", value).status, (400, 401))
            world.alice.dialogs.clear()

        anything()
        self.assertEqual([each for each in world.journal.lines if "crashed" in each], [])
        self.assertEqual(self.let_in, [])
        world.quiet()

    def test_flood(self) -> None:
        """A user's own flood of nonces is remembered up to the bound, and calls go on."""
        self.assertLessEqual(ROOM, 100_000)
        world = self.begin()
        assert world.hall._proving is not None
        nonces = world.hall._proving._authentication._nonces
        nonces._room = 5
        for _ in range(40):
            dialog = self.dialog()
            self.assertEqual(
                self.ask(dialog, "MESSAGE", self.tell(self.challenged(dialog, "MESSAGE")["MD5"], "MESSAGE")).status, 200
            )
            self.assertLessEqual(len(nonces), 10)
        world.quiet()


class TestIdentities(Asked):
    """As whom one shows."""

    def test_own(self) -> None:
        """Who is alice registers alice and calls as alice, or withholds who he is (RFC 3323)."""
        world = self.begin()
        for shown, status in (
            ("<sip:alice@192.0.2.20>", 200), ("<sip:%61lice@biloxi.example>", 200), ("<sip:carol@biloxi.example>", 403),
            ('"Anonymous" <sip:anonymous@anonymous.invalid>', 200), ("<sip:biloxi.example>", 403),
            ("<tel:+15551234>", 403),
        ):  # fmt: skip
            dialog = self.dialog()
            dialog.local = shown
            challenge = self.challenged(dialog, "INVITE")["SHA-256"]
            self.assertEqual(self.ask(dialog, "INVITE", self.tell(challenge)).status, status, shown)
        self.assertIn('refused INVITE with 403: "alice" shows as "sip:carol@biloxi.example"', world.journal.lines)
        self.let_in.clear()
        for shown in ("<sip:carol@biloxi.example>", "<sip:anonymous@anonymous.invalid>"):
            dialog = self.dialog(HOME)
            dialog.remote = shown
            challenge = self.challenged(dialog, "REGISTER")["SHA-256"]
            self.assertEqual(self.ask(dialog, "REGISTER", self.tell(challenge, "REGISTER", HOME)).status, 403)
        self.assertEqual(self.let_in, [])

    def test_with_domain(self) -> None:
        """Where user names are written with their domain, so is who one is."""
        self.begin(users=line("alice@biloxi.example", PASSWORD, REALM, "SHA-256", "MD5"))
        for shown, status in (("<sip:alice@biloxi.example>", 200), ("<sip:alice@other.example>", 403)):
            dialog = self.dialog()
            dialog.local = shown
            challenge = self.challenged(dialog, "INVITE")["SHA-256"]
            value = credentials(challenge, "alice@biloxi.example", PASSWORD, "INVITE", BOB)
            self.assertEqual(self.ask(dialog, "INVITE", value).status, status)

    def test_any(self) -> None:
        """`identities = "any"`: a trunk shows as whoever calls by it."""
        self.begin(asking("calls") + 'identities = "any"\n')
        dialog = self.dialog()
        dialog.local = "<sip:carol@biloxi.example>"
        challenge = self.challenged(dialog, "INVITE")["SHA-256"]
        self.assertEqual(self.ask(dialog, "INVITE", self.tell(challenge)).status, 200)
        self.assertEqual(self.let_in, [("INVITE", "alice")])


class TestRegistering(Asked):
    """Whose address of record somebody may register who has proved who he is (RFC 3261 10.3, 3 and 4)."""

    def register(self, to: str, more: str = "", user: str = "alice") -> int:
        """Register an address of record as a user; what it comes to."""
        registrar = f'\n[registrar]\ndomains = ["{REALM}", "sip.{REALM}"]\nstore = "memory:"\n'
        self.begin(asking("REGISTER") + more + registrar, users=line(user, PASSWORD, REALM, "SHA-256", "MD5"))
        dialog = self.dialog(HOME)
        dialog.local = dialog.remote = f"<{to}>"
        proof = credentials(self.challenged(dialog, "REGISTER")["SHA-256"], user, PASSWORD, "REGISTER", HOME)
        answer = self.ask(dialog, "REGISTER", proof, headers={"Contact": ["<sip:alice@192.0.2.20>"]})
        bindings = self.world.hall.registrar and self.world.hall.registrar.bindings
        self.assertEqual(len(bindings or ()), int(answer.status == 200))
        return answer.status

    def test_own(self) -> None:
        """His own at the realm, a domain of the registrar, or a listener of ours; nobody else's, and not elsewhere."""
        for to, status in (
            ("sip:alice@biloxi.example", 200), ("sip:alice@SIP.Biloxi.example", 200), ("sip:alice@192.0.2.1", 200),
            ("sip:%61lice@biloxi.example", 200),
            ("sip:carol@biloxi.example", 403), ("sip:alice@other.example", 403), ("sip:biloxi.example", 403),
        ):  # fmt: skip
            self.assertEqual(self.register(to), status, to)
        self.register("sip:alice@other.example")
        said = 'refused REGISTER with 403: "alice" shows as "sip:alice@other.example", which is not of our domains'
        self.assertIn(said, self.world.journal.lines)

    def test_with_domain(self) -> None:
        """Where the user's name has a domain it is that one's."""
        for to, status in (
            ("sip:alice@biloxi.example", 200), ("sip:alice@sip.biloxi.example", 403), ("sip:alice@192.0.2.1", 403),
        ):  # fmt: skip
            self.assertEqual(self.register(to, user="alice@biloxi.example"), status, to)

    def test_any(self) -> None:
        """`identities = "any"`: whoever has a password registers whom he likes."""
        self.assertEqual(self.register("sip:pbx100@biloxi.example", 'identities = "any"\n'), 200)
        self.assertEqual(self.register("sip:pbx100@other.example", 'identities = "any"\n'), 404)


SCRIPTED = asking("calls").replace('users = "users"\n', "").replace("[[zone]]", 'policy = "policy.py"\n[[zone]]', 1)
SCRIPT = "def route(request, listeners):\n    return None\n"
SECRET = USERS.splitlines()[0].rpartition(":")[2]
KNOWS = f"SECRETS = {{('alice', '{REALM}', 'SHA-256'): '{SECRET}'}}\n"
LATER = """
from twisted.internet.defer import Deferred
WAITING = []
async def ha1(user, realm, algorithm):
    WAITING.append(Deferred())
    return await WAITING[-1]
"""


class TestScript(Asked):
    """Users that the policy script knows."""

    def call(self) -> Dialog:
        """Alice calls with her right credentials; the dialog."""
        dialog = self.dialog()
        challenge = self.challenged(dialog, "INVITE")["SHA-256"]
        dialog.ask(
            "INVITE", dialog.sdp(), {"Content-Type": ["application/sdp"], "Proxy-Authorization": [self.tell(challenge)]}
        )
        self.world.settle()
        return dialog

    def last(self, dialog: Dialog) -> int:
        """What it came to."""
        return [each.status for each in dialog.heard if isinstance(each, Response)][-1]

    def test_function(self) -> None:
        """`ha1(user, realm, algorithm)`; in capital letters too."""
        self.begin(
            SCRIPTED, policy_py=SCRIPT + KNOWS + "def ha1(*asked):\n    return SECRETS.get(asked, '').upper() or None\n"
        )
        self.assertEqual(self.last(self.call()), 200)
        challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        self.challenged(self.dialog(), "INVITE", credentials(challenge, "nobody", PASSWORD, "INVITE", BOB))

    def test_who_it_is(self) -> None:
        """Whoever has proved who he is is named to the policy."""
        route = "from b2bua.policy.routing import Reject\ndef route(request, listeners):\n"
        route += "    return Reject(486) if request.proved == 'alice' else Reject(403)\n"
        self.begin(SCRIPTED, policy_py=route + KNOWS + "def ha1(*asked):\n    return SECRETS.get(asked)\n")
        self.assertEqual(self.last(self.call()), 486)

    def test_wrong(self) -> None:
        """What raises, or gives what is no HA1, is a 500 and a line for the operator."""
        for code, said in (
            ("def ha1(u, r, a):\n    raise LookupError(u)\n", "the users cannot be asked"),
            (
                "def ha1(u, r, a):\n    return 'sesame'\n",
                "the users cannot be asked: what was given is no HA1 for SHA-256: 64 hexadecimal digits",
            ),
            (
                "def ha1(u, r, a):\n    return 7\n",
                "the users cannot be asked: what was given is no HA1 for SHA-256: 64 hexadecimal digits",
            ),
        ):
            world = self.begin(SCRIPTED, policy_py=SCRIPT + code)
            self.assertEqual(self.last(self.call()), 500)
            self.assertEqual(world.journal.lines[-1], f"refused INVITE with 500: {said}")

    def waiting(self) -> tuple[Dialog, list]:  # type: ignore[type-arg]
        """A call that waits for the script, and what it waits for."""
        world = self.begin(SCRIPTED, policy_py=SCRIPT + KNOWS + LATER)
        dialog = self.call()
        assert world.configuration.script is not None and world.configuration.script.ha1 is not None
        self.assertEqual(self.last(dialog), 100)
        return dialog, world.configuration.script.ha1.__globals__["WAITING"]  # type: ignore[attr-defined]

    def test_later(self) -> None:
        """A coroutine takes its time; the request waits and goes on, or is asked again."""
        dialog, waiting = self.waiting()
        waiting[0].callback(SECRET)
        self.world.settle()
        self.assertEqual(self.last(dialog), 200)
        self.assertEqual(self.let_in, [("INVITE", "alice")])
        dialog, waiting = self.waiting()
        waiting[0].callback(None)
        self.world.settle()
        self.assertEqual(self.last(dialog), 407)

    def test_later_fails(self) -> None:
        """A failure is a 500; so is a coroutine that never comes to its end, and what it says then comes too late."""
        dialog, waiting = self.waiting()
        waiting[0].errback(LookupError("no"))
        self.world.settle()
        self.assertEqual(self.last(dialog), 500)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        dialog, waiting = self.waiting()
        self.world.wait(33)
        self.assertEqual(self.last(dialog), 500)
        waiting[0].callback(None)
        self.world.quiet()

    def test_forged(self) -> None:
        """A nonce that is not ours is not asked about: the same answer for everybody, and the source hears nothing."""
        world = self.begin(SCRIPTED, policy_py=SCRIPT + KNOWS + LATER)
        challenge = self.challenged(self.dialog(), "INVITE")["SHA-256"]
        other = challenge | {"nonce": f"{'0' * 24}{challenge['nonce'][24:]}"}
        for user, password in (("alice", PASSWORD), ("alice", "wrong"), ("nobody", "wrong")):
            value = credentials(other, user, password, "INVITE", BOB)
            self.challenged(self.dialog(), "INVITE", value, stale=True)
        assert world.configuration.script is not None and world.configuration.script.ha1 is not None
        self.assertEqual(world.configuration.script.ha1.__globals__["WAITING"], [])  # type: ignore[attr-defined]
        self.assertEqual([line for line in world.journal.lines if "refused" in line], [])
        world.quiet()

    def test_wrong_after_all(self) -> None:
        """Who is let in late with what nobody can carry out hears of it, as whoever did not wait (RFC 3261 21.4.1)."""
        scripted = SCRIPTED.replace('"calls"', '"REGISTER"') + '\n[registrar]\nstore = "memory:"\n'
        world = self.begin(scripted, policy_py=SCRIPT + KNOWS + LATER)
        at, dialog = "sip:192.0.2.1", self.dialog("sip:192.0.2.1")
        dialog.local = dialog.remote = "<sip:alice@192.0.2.1>"
        challenge = self.challenged(dialog, "REGISTER")["SHA-256"]
        proof = self.tell(challenge, "REGISTER", at)
        dialog.ask("REGISTER", b"", {"Authorization": [proof], "Contact": ["<mailto:alice@example.com>"]})
        world.settle()
        assert world.configuration.script is not None and world.configuration.script.ha1 is not None
        world.configuration.script.ha1.__globals__["WAITING"][0].callback(SECRET)  # type: ignore[attr-defined]
        world.settle()
        self.assertEqual((self.let_in, self.last(dialog)), ([("REGISTER", "alice")], 400))
        self.assertIn("fault of 192.0.2.20 in REGISTER", world.journal.lines[-1])
        world.quiet()

    def test_cancelled_meanwhile(self) -> None:
        """RFC 3261 9.2: 487 at once, and what the script says then makes no call."""
        dialog, waiting = self.waiting()
        dialog.cancel()
        self.world.settle()
        self.assertEqual(self.last(dialog), 487)
        waiting[0].callback(SECRET)
        self.assertEqual((self.let_in, self.world.bob.dialogs), ([], []))
        self.world.quiet()
