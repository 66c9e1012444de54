"""Our credentials on what is no first INVITE, and those who do not get them (S33, S34)."""

from __future__ import annotations

from b2bua.call.probing import Probing
from b2bua.ops.phone import Dialog
from b2bua.policy.groups import State
from b2bua.sip.message import Request
from tests.test_call_credentials import REALM, TRUNK, WITH_TRUNK, Trunked, challenge, proofs
from tests.test_call_prack import SUPPORTED
from tests.transfers import Four, refer, routes
from tests.world import TWO_SIDES, Party, World

SDP = {"Content-Type": ["application/sdp"]}


class Up(Trunked):
    """A call from alice to the trunk is up; nobody has been asked for anything yet."""

    def setUp(self) -> None:
        super().setUp()
        self.near, self.far = self.world.call()

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])

    def twice(self, method: str, status: int = 200, nonce: str = "n1") -> tuple[Request, Request]:
        """Bob asks who we are, and then answers: one request of ours after the other in his dialog's numbers."""
        first = self.asks(nonce=nonce, to=method)
        self.world.settle()
        second = self.bob.says(status, to=method)
        self.world.settle()
        self.assertEqual((first.method, second.method), (method, method))
        self.assertEqual((first.call_id, first.from_tag, first.cseq[0] + 1), (
            second.call_id, second.from_tag, second.cseq[0]))  # fmt: skip
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertEqual(proofs(first), [])
        self.proved(second, nonce)
        return first, second

    def steps(self) -> list[str]:
        """The ladder of the call."""
        (call,) = self.world.hall.book
        return [f"{'>' if step.outward else '<'} {step.label}" for step in call.history if not step.near]

    def hang_up(self) -> None:
        """And nothing is left."""
        self.near.bye()
        self.bob.says(200, to="BYE")
        self.world.quiet()


class TestInTheDialog(Up):
    """Whatever is sent in it."""

    def test_reinvite(self) -> None:
        """Hold: the ACK duplicates the credentials, the next request brings them at once."""
        sent = self.near.reinvite("sendonly")
        _, second = self.twice("INVITE")
        self.assertEqual(sent.status, 200)
        ack = self.far.last("ACK")
        assert isinstance(ack, Request)
        self.assertEqual((ack.cseq[0], proofs(ack)), (second.cseq[0], proofs(second)))
        self.assertEqual(self.steps()[-5:], ["> INVITE", "< 401 INVITE", "> INVITE", "< 200 INVITE", "> ACK"])
        self.near.info("5")
        self.proved(self.bob.says(200), uses=2)
        self.hang_up()

    def test_update(self) -> None:
        """RFC 3311."""
        sent = self.near.update()
        self.twice("UPDATE")
        self.assertEqual(sent.status, 200)
        self.assertEqual(self.steps()[-4:], ["> UPDATE", "< 401 UPDATE", "> UPDATE", "< 200 UPDATE"])
        self.hang_up()

    def test_cancelled_reinvite(self) -> None:
        """Taken back before the challenge comes: not tried again."""
        sent = self.near.reinvite("sendonly")
        self.world.settle()
        self.near.cancel()
        self.world.settle()
        self.asks(to="INVITE")
        self.world.settle()
        self.assertEqual(sent.status, 487)
        self.assertEqual(self.far.times("INVITE"), 2)
        self.hang_up()

    def test_bye(self) -> None:
        """S33: one that crosses, and one of our own."""
        sent = self.near.bye()
        self.twice("BYE")
        self.assertEqual(sent.status, 200)
        self.world.quiet()

    def test_bye_of_ours(self) -> None:
        """Whoever ends it."""
        (call,) = self.world.hall.book
        call.hang_up("enough")
        self.alice.says(200, to="BYE")
        self.twice("BYE")
        self.assertEqual(self.steps()[-4:], ["> BYE", "< 401 BYE", "> BYE", "< 200 BYE"])
        self.world.quiet()

    def test_subscribe_refer_notify(self) -> None:
        """What may make a usage: the REFER's number names its NOTIFYs (RFC 3515 2.4.6)."""
        sent = self.near.ask("REFER", headers={"Refer-To": ["<sip:carol@biloxi.example>"]})
        _, second = self.twice("REFER", 202)
        self.assertEqual(sent.status, 202)
        told = self.far.notify(f"refer;id={second.cseq[0]}", "terminated;reason=noresource", b"SIP/2.0 200 OK\r\n",
                               {"Content-Type": ["message/sipfrag"]})  # fmt: skip
        notify = self.alice.says(200, to="NOTIFY")
        self.world.settle()
        self.assertEqual((told.status, notify.first("Event")), (200, f"refer;id={sent.request.cseq[0]}"))
        subscribed = self.near.subscribe("presence")
        self.proved(self.bob.says(200, to="SUBSCRIBE"), uses=2)
        self.world.settle()
        self.assertEqual(subscribed.status, 200)
        self.far.notify("presence", "terminated")
        self.alice.says(200, to="NOTIFY")
        self.hang_up()

    def test_wrong_password(self) -> None:
        """A request in the dialog is refused; the call stays, and so does its dialog."""
        sent = self.near.info("5")
        self.asks()
        self.asks(nonce="n2")
        self.world.settle()
        self.assertEqual(sent.status, 500)
        self.hang_up()

    def test_probe(self) -> None:
        """OPTIONS in the dialog; whoever asks is there, also where we have nothing to say to it."""
        self.wait_for("OPTIONS", self.alice, self.bob)
        self.alice.says(200, to="OPTIONS")
        self.twice("OPTIONS")
        self.wait_for("OPTIONS", self.alice, self.bob)
        self.alice.says(200, to="OPTIONS")
        self.asks(nonce="n2", to="OPTIONS")
        self.asks(nonce="n3", to="OPTIONS")
        self.world.settle()
        self.hang_up()


class TestRefreshes(Trunked):
    """Session timers of our own (RFC 4028)."""

    configuration = WITH_TRUNK + "[call]\nsession_expires = 1800\nprobe = 0\n"

    def refreshed(self, allow: str) -> Dialog:
        """The call is up, and is refreshed by us; bob asks who we are."""
        self.alice.headers["Supported"] = ["replaces"]
        timed = {"Session-Expires": ["1800;refresher=uac"], "Require": ["timer"], "Allow": [allow]}
        near = self.call()
        self.bob.says(200, headers=timed)
        self.world.settle()
        far = self.bob.talk
        method = "UPDATE" if "UPDATE" in allow else "INVITE"
        self.wait_for(method, self.bob)
        self.asks(to=method)
        self.proved(self.bob.says(200, None if method == "INVITE" else b"", timed, to=method))
        self.world.settle()
        self.wait_for(method, self.bob)
        self.proved(self.bob.says(200, None if method == "INVITE" else b"", timed, to=method), uses=2)
        self.world.settle()
        for call in self.world.hall.book:
            call.hang_up("enough")
        for phone in (self.alice, self.bob):
            phone.says(200, to="BYE")
        self.assertEqual(near.times("BYE"), 1)
        self.world.quiet()
        return far

    def test_update(self) -> None:
        """By UPDATE."""
        self.refreshed("INVITE, UPDATE")

    def test_invite(self) -> None:
        """By INVITE, whose ACK has the credentials too."""
        far = self.refreshed("INVITE")
        ack = far.last("ACK")
        assert isinstance(ack, Request)
        self.proved_ack(ack)

    def proved_ack(self, ack: Request) -> None:
        """It has those of the INVITE."""
        (given,) = proofs(ack)
        self.assertEqual((given.realm, given.uses), (REALM, 2))


class TestOutside(Trunked):
    """What is no call."""

    def test_message(self) -> None:
        """One answer, the trunk's."""
        sent = self.alice.ask("MESSAGE", "sip:bob@biloxi.example", body=b"hi", headers={"Content-Type": ["text/plain"]})
        self.asks()
        self.proved(self.bob.says(200))
        self.world.settle()
        self.assertEqual((sent.status, len(sent.responses)), (200, 1))
        self.world.quiet()

    def test_message_too_late(self) -> None:
        """Its sender has given up."""
        self.alice.ask("MESSAGE", "sip:bob@biloxi.example")
        self.world.settle()
        dialog, request = self.bob.open.pop()
        self.world.wait(33)
        before = len(self.bob.bytes_in)
        dialog.respond(request, 401, b"", challenge())
        self.world.settle()
        self.assertEqual(len(self.bob.bytes_in), before)
        self.world.quiet()

    def test_subscribe(self) -> None:
        """The dialog is that of the second SUBSCRIBE; the refresh brings the credentials at once."""
        near = self.alice.subscribe("sip:bob@biloxi.example", "presence", 60)
        self.asks(407)
        self.proved(self.bob.says(200, headers={"Expires": ["60"]}), name="Proxy-Authorization")
        self.world.settle()
        far = self.bob.talk
        far.notify("presence", "active;expires=60")
        self.alice.says(200)
        near.subscribe("presence", 0)
        self.proved(self.bob.says(200, headers={"Expires": ["0"]}), uses=2, name="Proxy-Authorization")
        far.notify("presence", "terminated")
        self.alice.says(200)
        self.world.quiet()

    def test_refer(self) -> None:
        """Its NOTIFYs name the second number."""
        near = self.alice.refer("sip:bob@biloxi.example", "<sip:carol@biloxi.example>")
        self.asks()
        second = self.bob.says(202)
        self.proved(second)
        self.world.settle()
        told = self.bob.talk.notify(f"refer;id={second.cseq[0]}", "terminated", b"SIP/2.0 200 OK\r\n",
                                    {"Content-Type": ["message/sipfrag"]})  # fmt: skip
        self.alice.says(200)
        self.world.settle()
        self.assertEqual((told.status, near.times("NOTIFY")), (200, 1))
        self.world.quiet()

    def test_prack(self) -> None:
        """RFC 3262: it has a number of its own, and RAck names that of the INVITE that was proved."""
        talk = self.alice.invite("sip:bob@biloxi.example", headers=SUPPORTED)
        self.asks()
        self.world.settle()
        far = self.bob.talk
        invite = far.invitation
        assert invite is not None
        far.respond(invite, 183, b"", {"Require": ["100rel"], "RSeq": ["77"]})
        self.world.settle()
        response = talk.last("183 INVITE")
        sent = talk.ask("PRACK", headers={"RAck": [f"{response.first('RSeq')} {response.cseq[0]} INVITE"]})
        prack = self.bob.says(200, to="PRACK")
        self.world.settle()
        self.assertEqual((sent.status, prack.first("RAck")), (200, f"77 {invite.cseq[0]} INVITE"))
        self.proved(prack, uses=2)
        self.bob.says(200, to="INVITE")
        self.world.settle()
        talk.bye()
        self.bob.says(200, to="BYE")
        self.world.quiet()


class TestTransfers(Trunked):
    """INVITEs and NOTIFYs of our own, where we carry transfers out."""

    def setUp(self) -> None:
        """Bob and carol are trunks."""
        hops = '["sip:10.0.0.20;transport=udp", "sip:10.0.0.30"]'
        text = TRUNK.replace('["sip:10.0.0.20;transport=udp"]', hops)
        self.world = self.four = Four(configuration=routes('refer = "local"') + text)
        self.alice, self.bob, self.carol = self.four.alice, self.four.bob, self.four.carol
        self.near, self.far = self.four.talk(self.alice, self.bob)

    def asked_twice(self, phone: Party, method: str) -> Request:
        """A phone asks who we are, and is told."""
        self.assertEqual(proofs(phone.says(401, b"", challenge(nonce=phone.user), to=method)), [])
        self.world.settle()
        request = next(each for _, each in reversed(phone.open) if each.method == method)
        self.proved(request, phone.user)
        return request

    def over(self) -> None:
        """Nothing is left."""
        self.world.hall.hang_up_all("enough")
        for _ in range(2):
            for phone in (self.bob, self.carol, self.alice):
                if any(request.method == "BYE" for _, request in phone.open):
                    phone.says(200, to="BYE")
        self.world.wait(70)  # for what nobody answers
        self.world.quiet()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_invites(self) -> None:
        """The new call to one trunk, and the INVITE in the old one to the other; both ACKs bring the same."""
        refer(self.near, "sip:carol@192.0.2.1")
        self.asked_twice(self.carol, "INVITE")
        self.carol.says(200)
        self.asked_twice(self.bob, "INVITE")
        self.bob.says(200)
        self.world.settle()
        for phone in (self.bob, self.carol):
            ack = phone.talk.last("ACK")
            assert isinstance(ack, Request)
            self.assertEqual([each.nonce for each in proofs(ack)], [phone.user])
        self.over()

    def test_taken_back(self) -> None:
        """The party has hung up while the other one was called: nothing is tried again."""
        refer(self.near, "sip:carol@192.0.2.1")
        self.world.settle()
        dialog, request = next(each for each in self.carol.open if each[1].method == "INVITE")
        self.far.bye()
        self.world.settle()
        dialog.respond(request, 401, b"", challenge())
        self.world.settle()
        self.assertEqual(dialog.times("INVITE"), 1)
        self.alice.open.clear()
        self.carol.open.clear()
        self.over()

    def test_notify(self) -> None:
        """Who asked for the transfer asks who tells him."""
        refer(self.far, "sip:dave@10.0.0.1")
        self.asked_twice(self.bob, "NOTIFY")
        self.bob.says(200, to="NOTIFY")
        self.world.settle()
        self.four.dave.says(486)
        self.world.settle()
        self.bob.says(200, to="NOTIFY")
        self.over()


class TestProbes(Trunked):
    """OPTIONS to the members of a group (S7)."""

    configuration = """
[[group]]
name = "carriers"
probe = 30
send_from = "private"
alive = [200]
members = [{uri = "sip:10.0.0.20;transport=udp"}]
""" + WITH_TRUNK.replace('to = ["sip:10.0.0.20;transport=udp"]', 'to = "group:carriers"')

    def test_options(self) -> None:
        """A member that asks who we are is alive only when it has taken it."""
        probing = Probing(self.world.hall, self.world.hall.groups)
        probing.start()
        self.world.wait(31)
        self.asks()
        self.proved(self.bob.says(200))
        self.world.settle()
        (health,) = self.world.hall.groups.healths
        now = self.world.switchboard.now
        self.assertIs(health.state(now())[0], State.UP)
        self.world.wait(31)
        self.asks(nonce="n2")
        self.asks(nonce="n3")
        self.world.settle()
        self.assertIs(health.state(now())[0], State.RESTING)
        self.assertEqual(health.last, "503 OPTIONS")
        probing.stop()
        self.world.quiet()


class TestWhoGetsNothing(Trunked):
    """Only who is at an address of the next hop, in its zone, is told who we are."""

    def learn(self) -> None:
        """The trunk has been called."""
        talk = self.call()
        self.bob.says(486)
        self.world.settle()
        self.assertEqual(talk.times("486 INVITE"), 1)

    def hung_up(self, phone: Party) -> Dialog:
        """A phone has called alice, and her BYE has been challenged."""
        phone.invite("sip:alice@atlanta.example")
        self.alice.says(200)
        self.world.settle()
        near = self.alice.talk
        near.bye()
        phone.says(401, b"", challenge(), to="BYE")
        self.world.settle()
        return near

    def test_a_caller(self) -> None:
        """The known hole of others: call, wait for the BYE, ask who is there, and take the digest home."""
        self.learn()
        mallory = self.world.phone("mallory", "10.0.0.66")
        near = self.hung_up(mallory)
        self.no_proof(mallory)
        self.assertEqual(near.times("401 BYE"), 1)
        self.world.quiet()

    def test_who_stands_in_a_contact(self) -> None:
        """Nor somebody to whom the trunk's own dialog leads."""
        mallory = self.bob.also("10.0.0.66")
        talk = self.call()
        self.bob.contact = mallory.contact
        self.bob.says(200)
        self.world.settle()
        talk.bye()
        self.bob.says(401, b"", challenge(), to="BYE")
        self.world.settle()
        self.assertTrue(mallory.bytes_in)
        self.no_proof(mallory, self.bob)
        self.assertEqual(talk.times("401 BYE"), 1)
        self.world.quiet()

    def test_the_trunk_as_a_caller(self) -> None:
        """A call of the trunk's, from its address: that is the same place."""
        self.learn()
        near = self.hung_up(self.bob)
        self.proved(self.bob.says(200, to="BYE"))
        self.world.settle()
        self.assertEqual(near.times("200 BYE"), 1)
        self.world.quiet()

    def test_a_redirection(self) -> None:
        """Whom the trunk redirects to is not the trunk."""
        self.configuration = WITH_TRUNK.replace('send_from = "private"', 'send_from = "private"\nredirect = "follow"')
        self.setUp()
        mallory = self.world.phone("mallory", "10.0.0.66")
        talk = self.call()
        self.bob.says(302, headers={"Contact": ["<sip:x@10.0.0.66>"]})
        mallory.says(401, b"", challenge())
        self.world.settle()
        self.no_proof(mallory)
        self.assertEqual(talk.times("401 INVITE"), 1)
        self.world.quiet()

    def test_another_zone(self) -> None:
        """The same next hop, by a zone that the account is not for."""
        self.configuration = WITH_TRUNK + 'zones = ["public"]\n'
        self.setUp()
        talk = self.call()
        self.asks()
        self.world.settle()
        self.no_proof(self.bob)
        self.assertEqual(talk.times("401 INVITE"), 1)
        self.world.quiet()

    def test_nobody_has_any(self) -> None:
        """Without [[credentials]] nothing stands between the hall and its wire."""
        world = World(TWO_SIDES)
        self.assertIs(world.hall.wire, world.switchboard)


class TestBounds(Trunked):
    """Nothing grows with what others do."""

    def test_places(self) -> None:
        """A next hop whose addresses change for ever: the oldest go, with what was asked there."""
        from b2bua.call import credentials
        from b2bua.sip.listener import Flow
        from b2bua.sip.uri import parse_uri

        self.patch(credentials, "PLACES", 2)
        talk = self.call()
        self.asks()
        self.bob.says(486)
        self.world.settle()
        self.assertEqual(talk.times("486 INVITE"), 1)
        bearer = self.world.hall.bearer
        assert bearer is not None
        self.assertEqual((len(bearer._accounts), len(bearer._proofs)), (1, 1))
        listener = self.world.switchboard.listeners[2]
        for number in range(5):
            bearer.leads(parse_uri("sip:10.0.0.20"), Flow(listener, f"10.0.0.{30 + number}", 5060))
        self.assertEqual((len(bearer._accounts), len(bearer._proofs)), (2, 0))
        self.world.quiet()

    def test_an_old_address(self) -> None:
        """It may be another's by now: forgotten after a day without a call there."""
        self.bob.invite("sip:alice@atlanta.example")
        self.call()
        self.bob.says(486, to="INVITE")
        self.alice.says(200, to="INVITE")
        self.world.settle()
        for call in self.world.hall.book:
            call._heard = 1e9  # no probes
            call._deadline = 0.0
        self.world.wait(86_401)
        self.alice.talk.bye()
        self.bob.says(401, b"", challenge(), to="BYE")
        self.world.settle()
        self.no_proof(self.bob)
        self.world.quiet()

    def test_never_asked_itself(self) -> None:
        """A challenge is answered once, not behind the answer."""
        from b2bua.call.credentials import Challenged

        bearer = self.world.hall.bearer
        assert bearer is not None
        nobody = Challenged(bearer, None, ("", "", 0, False), None, "")  # type: ignore[arg-type]
        self.assertFalse(nobody.challenged(None, None))  # type: ignore[arg-type]

    def test_several_users(self) -> None:
        """One realm, two accounts: the one of the caller, else the first."""
        more = WITH_TRUNK[WITH_TRUNK.index("[[credentials]]") :].replace('user = "4420"', 'user = "alice"')
        self.configuration = WITH_TRUNK + more
        self.setUp()
        for user in ("alice", "4420"):
            self.call()
            self.asks(nonce=user)
            (given,) = proofs(self.bob.says(486))
            self.assertEqual(given.username, user)
            self.world.settle()
            self.alice.address = "<sip:zoe@192.0.2.20>"
        self.world.quiet()
