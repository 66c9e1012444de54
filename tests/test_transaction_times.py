"""RFC 3261 17, RFC 6026 on wires and a clock: what is sent when, and what the core is told (S22, S23, S25, S26)."""

from __future__ import annotations

from b2bua.sip.check import check_request
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request
from b2bua.transaction.machine import State
from b2bua.transaction.timers import Timers
from tests.wires import PEER, TCP, UDP, Board, Switching, User, request, response, statuses


class TestInviteClient(Switching):
    """RFC 3261 17.1.1, RFC 6026 8.4."""

    def test_nobody_answers(self) -> None:
        """The INVITE at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5; at 32 s the core is told 408 (timers A and B)."""
        self.send()
        self.board.wait(31.9)
        sent = self.sent()
        self.left_at(sent, [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])
        self.assertEqual(len({each.data for each in sent}), 1)
        self.assertEqual(self.user.told, [])
        self.board.wait(0.2)
        self.assertEqual(self.user.told, [("unanswered", 408)])
        self.quiet()
        self.assertEqual(self.sent(), [])

    def test_timers_are_configured(self) -> None:
        """T1 0.2: sent at 0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6; given up at 12.8 s."""
        self.board = Board(timers=Timers(t1=0.2))
        self.switchboard = self.board.switchboard
        self.send()
        self.board.wait(12.9)
        self.left_at(self.sent(), [0.0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6])
        self.assertEqual(self.user.told, [("unanswered", 408)])
        self.quiet()

    def test_provisional(self) -> None:
        """After a 1xx it is not sent again, and nobody gives up: that is the core's business (timer C)."""
        self.send()
        (invite,) = self.sent()
        self.answer(invite, 180)
        self.answer(invite, 183)
        self.board.wait(100)
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.user.told, [("answered", 180), ("answered", 183)])
        self.answer(invite, 486)
        self.quiet()

    def test_failure(self) -> None:
        """S25: each failure is ACKed with branch, Request-URI and socket of the INVITE, but told once; D is 32 s."""
        self.send()
        (invite,) = self.sent()
        for after in (0, 10, 21):
            self.board.wait(after)
            self.answer(invite, 486)
        acks = self.sent()
        self.assertEqual(len(acks), 3)
        for each in acks:
            ack = each.message
            assert isinstance(ack, Request)
            check_request(ack)
            self.assertEqual((each.host, each.port, ack.method), (PEER, 5060, "ACK"))
            self.assertEqual(ack.headers["Via"], invite.message.headers["Via"])
            self.assertEqual(ack.to.tag, "b1")
        self.assertEqual(self.user.told, [("answered", 486)])
        self.board.wait(1.1)
        self.answer(invite, 486)
        self.assertEqual((self.sent(), self.switchboard.dropped), ([], 1))
        self.quiet()

    def test_success(self) -> None:
        """S23: every 2xx is told for 64*T1 after the first, of each fork; it is the core that ACKs (RFC 6026 8.4)."""
        self.send()
        (invite,) = self.sent()
        self.answer(invite, 200, "b1")
        self.board.wait(1)
        self.answer(invite, 200, "b1")
        self.answer(invite, 200, "b2")
        self.answer(invite, 180, "b3")
        self.answer(invite, 486, "b3")
        self.board.wait(30.9)
        self.answer(invite, 200, "b1")
        self.assertEqual([status for _, status in self.user.told], [200, 200, 200, 200])
        self.board.wait(0.3)
        self.answer(invite, 200, "b1")
        self.assertEqual(len(self.user.told), 4)
        self.assertEqual(self.sent(), [])
        self.quiet()

    def test_reliable(self) -> None:
        """Over TCP it is sent once, given up at 32 s, and a failure leaves nothing behind."""
        self.send(flow=Flow(TCP, PEER, 5060))
        _, conductor = self.board.connected()
        self.board.wait(31)
        self.assertEqual(conductor.take().count(b"INVITE sip:"), 1)
        self.board.wait(1.1)
        self.assertEqual(self.user.told, [("unanswered", 408)])
        self.quiet()

    def test_reliable_failure(self) -> None:
        """Over TCP a failure is told although the transaction ends at once (timer D is 0)."""
        self.send(flow=Flow(TCP, PEER, 5060))
        stream, conductor = self.board.connected()
        invite = conductor.take()
        stream.dataReceived(bytes(response(invite, 603)))
        self.assertEqual(self.user.told, [("answered", 603)])
        self.assertTrue(conductor.take().startswith(b"ACK "))
        self.assertEqual(list(self.switchboard.transactions), [])
        self.assertEqual(stream.clients, set())

    def test_no_user(self) -> None:
        """Nobody need be interested."""
        self.switchboard.send(request(), Flow(UDP, PEER, 5060), None)
        (invite,) = self.sent()
        self.answer(invite, 180)
        self.answer(invite, 200)
        self.quiet()
        self.switchboard.send(request(), Flow(UDP, PEER, 5060), None)
        self.quiet()


class TestClient(Switching):
    """RFC 3261 17.1.2."""

    def test_nobody_answers(self) -> None:
        """At 0, 0.5, 1.5, 3.5, then every 4 s (T2); at 32 s the core is told 408 (timers E and F)."""
        self.send("BYE")
        self.board.wait(31.9)
        self.left_at(self.sent(), [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
        self.board.wait(0.2)
        self.assertEqual(self.user.told, [("unanswered", 408)])
        self.quiet()

    def test_provisional(self) -> None:
        """RFC 3261 17.1.2.2: after a 1xx it is sent again every T2, and F still runs."""
        self.send("BYE")
        self.board.wait(0.6)
        sent = self.sent()
        self.answer(sent[0], 100)
        self.board.wait(31.5)
        self.left_at(self.sent(), [1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5])
        self.assertEqual(self.user.told, [("answered", 100), ("unanswered", 408)])
        self.quiet()

    def test_final(self) -> None:
        """Success or failure ends it; what comes again is absorbed for T4 (timer K)."""
        for status in (200, 404):
            self.setUp()
            self.send("OPTIONS")
            (sent,) = self.sent()
            self.answer(sent, status)
            self.board.wait(4.9)
            self.answer(sent, status)
            self.assertEqual(self.user.told, [("answered", status)])
            self.assertEqual(self.switchboard.dropped, 0)
            self.board.wait(0.2)
            self.answer(sent, status)
            self.assertEqual(self.switchboard.dropped, 1)
            self.assertEqual(self.sent(), [])
            self.quiet()

    def test_reliable(self) -> None:
        """Over TCP it is sent once; its answer is told although the transaction ends at once (timer K is 0)."""
        self.send("OPTIONS", Flow(TCP, PEER, 5060))
        stream, conductor = self.board.connected()
        self.board.wait(20)
        asked = conductor.take()
        self.assertEqual(asked.count(b"OPTIONS sip:"), 1)
        stream.dataReceived(bytes(response(asked, 200)))
        self.assertEqual(self.user.told, [("answered", 200)])
        self.assertEqual(list(self.switchboard.transactions), [])


class TestInviteServer(Switching):
    """RFC 3261 17.2.1, 13.3.1.4, RFC 6026 7.1."""

    def test_trying_at_once(self) -> None:
        """S22: 100 before the core has even seen the request."""
        self.core.then = lambda transaction: self.assertEqual(statuses(self.board.wire.sent), [100])
        self.come()
        self.assertEqual(len(self.core.requests), 1)
        (trying,) = self.sent()
        self.assertNotIn("tag", trying.message.to.params)

    def test_request_again(self) -> None:
        """The last provisional is sent again; the core hears nothing of it."""
        server = self.come()
        self.board.receive(request())
        self.switchboard.respond(server, response(server.request, 180))
        self.board.receive(request())
        self.assertEqual(statuses(self.sent()), [100, 100, 180, 180])
        self.assertEqual(len(self.core.requests), 1)

    def test_success_until_ack(self) -> None:
        """S23: the 2xx at 0, 0.5, 1.5, 3.5, then every 4 s, until its ACK; told once; the INVITE is absorbed."""
        server = self.come()
        self.sent()
        self.switchboard.respond(server, response(server.request, 200))
        self.board.wait(8.0)
        self.board.receive(request())
        self.left_at(self.sent(), [0.0, 0.5, 1.5, 3.5, 7.5])
        ack = request("ACK", "z9hG4bKack", to="<sip:bob@example.com>;tag=b1")
        self.board.receive(ack)
        self.assertEqual([each.method for each in self.core.acks], ["ACK"])
        self.switchboard.acknowledge(server, self.core.acks[0])
        self.assertEqual(self.told(server), ["acknowledged"])
        self.board.wait(20)
        self.board.receive(request())
        self.assertEqual(self.sent(), [])
        self.board.wait(5)
        self.quiet()

    def test_success_without_ack(self) -> None:
        """RFC 3261 13.3.1.4: after 64*T1 the core is told, over any transport (timer L)."""
        server = self.come()
        user = server.user
        assert isinstance(user, User)
        self.sent()
        self.switchboard.respond(server, response(server.request, 200))
        self.board.wait(31.9)
        self.left_at(self.sent(), [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
        self.assertEqual(user.told, [])
        self.board.wait(0.2)
        self.assertEqual(user.told, [("unacknowledged", None)])
        self.quiet()

    def test_success_over_tcp(self) -> None:
        """S23: the 2xx is repeated over reliable transports too."""
        stream, conductor = self.board.accept()
        stream.dataReceived(bytes(request()))
        self.switchboard.respond(self.core.requests[0], response(self.core.requests[0].request, 200))
        self.board.wait(4)
        self.assertEqual(conductor.take().count(b"SIP/2.0 200"), 4)
        self.quiet()

    def test_failure_until_ack(self) -> None:
        """G: the failure at 0, 0.5, 1.5, 3.5, then every 4 s, until its ACK; and for each INVITE that comes again."""
        server = self.come()
        self.sent()
        self.switchboard.respond(server, response(server.request, 486))
        self.board.wait(8.0)
        self.board.receive(request())
        self.left_at(self.sent(), [0.0, 0.5, 1.5, 3.5, 7.5, 8.0])
        self.board.receive(request("ACK", to="<sip:bob@example.com>;tag=b1"))
        self.assertIs(server.state, State.CONFIRMED)
        self.board.receive(request("ACK", to="<sip:bob@example.com>;tag=b1"))
        self.board.wait(4.9)
        self.board.receive(request())
        self.assertEqual((self.sent(), self.core.acks, self.told(server)), ([], [], []))
        self.board.wait(0.2)
        self.assertEqual(len(self.switchboard.transactions), 0)  # I is T4
        self.quiet()

    def test_failure_without_ack(self) -> None:
        """H: after 64*T1 it is forgotten."""
        server = self.come()
        self.switchboard.respond(server, response(server.request, 486))
        self.board.wait(31.9)
        self.assertEqual(len(self.switchboard.transactions), 1)
        self.board.wait(0.2)
        self.assertEqual(len(self.switchboard.transactions), 0)
        self.quiet()

    def test_failure_over_tcp(self) -> None:
        """Sent once; after the ACK nothing is left (timer I is 0)."""
        stream, conductor = self.board.accept()
        stream.dataReceived(bytes(request()))
        self.switchboard.respond(self.core.requests[0], response(self.core.requests[0].request, 486))
        self.board.wait(10)
        self.assertEqual(conductor.take().count(b"SIP/2.0 486"), 1)
        stream.dataReceived(bytes(request("ACK", to="<sip:bob@example.com>;tag=b1")))
        self.assertEqual(len(self.switchboard.transactions), 0)
        self.quiet()

    def test_second_answer(self) -> None:
        """A final response is the last one."""
        server = self.come()
        self.sent()
        self.switchboard.respond(server, response(server.request, 486))
        for status in (180, 200, 404):
            self.switchboard.respond(server, response(server.request, status))
        self.assertEqual(statuses(self.sent()), [486])

    def test_ack_for_nobody(self) -> None:
        """An ACK that belongs to no failure of ours is the core's; it gets no answer, and none for faults."""
        self.board.receive(request("ACK"))
        self.assertEqual(len(self.core.acks), 1)
        self.board.receive(request("ACK", call_id=""))
        self.assertEqual((len(self.core.acks), self.sent()), (1, []))
        self.switchboard.hall = None
        self.board.receive(request("ACK"))
        self.assertEqual(self.sent(), [])


class TestServer(Switching):
    """RFC 3261 17.2.2."""

    def test_request_again(self) -> None:
        """Before the answer it is absorbed; then the answer is sent again for 64*T1 (timer J)."""
        server = self.come(request("OPTIONS"))
        self.board.receive(request("OPTIONS"))
        self.assertEqual(self.sent(), [])
        self.switchboard.respond(server, response(server.request, 100))
        self.board.receive(request("OPTIONS"))
        self.assertEqual(statuses(self.sent()), [100, 100])
        self.switchboard.respond(server, response(server.request, 200))
        self.board.wait(31.8)
        self.board.receive(request("OPTIONS"))
        self.switchboard.respond(server, response(server.request, 404))
        self.assertEqual(statuses(self.sent()), [200, 200])
        self.assertEqual(len(self.core.requests), 1)
        self.board.wait(0.3)
        self.board.receive(request("OPTIONS"))
        self.assertEqual(len(self.core.requests), 2)

    def test_reliable(self) -> None:
        """Over TCP nothing is left once it is answered (timer J is 0)."""
        stream, conductor = self.board.accept()
        stream.dataReceived(bytes(request("OPTIONS")))
        self.switchboard.respond(self.core.requests[0], response(self.core.requests[0].request, 200))
        self.assertEqual(conductor.take().count(b"SIP/2.0 200"), 1)
        self.assertEqual(len(self.switchboard.transactions), 0)


class TestCancel(Switching):
    """S26, RFC 3261 9."""

    def test_held(self) -> None:
        """Before any 1xx the CANCEL is held; it goes with the first one, along the INVITE's way, with its Reason."""
        transaction = self.send()
        (invite,) = self.sent()
        self.switchboard.cancel(transaction, {"Reason": ["SIP;cause=487"]})
        self.board.wait(2.0)
        self.assertEqual([each.data for each in self.sent()], [invite.data] * 2)
        self.answer(invite, 100, "")
        (sent,) = self.sent()
        cancel = sent.message
        assert isinstance(cancel, Request)
        check_request(cancel)
        self.assertEqual((cancel.method, sent.host, sent.port), ("CANCEL", PEER, 5060))
        for name in ("Via", "From", "To", "Call-ID"):
            self.assertEqual(cancel.headers[name], invite.message.headers[name])
        self.assertEqual((cancel.cseq, cancel.headers["Reason"]), ((1, "CANCEL"), ["SIP;cause=487"]))
        self.answer(sent, 200)
        self.answer(invite, 487)
        self.assertEqual(self.user.told, [("answered", 100), ("answered", 487)])
        self.assertTrue(self.sent()[0].data.startswith(b"ACK "))
        self.quiet()

    def test_held_and_answered(self) -> None:
        """A final response comes first: there is nothing to cancel any more (S27)."""
        for status in (200, 486):
            self.setUp()
            transaction = self.send()
            (invite,) = self.sent()
            self.switchboard.cancel(transaction, {})
            self.answer(invite, status)
            self.switchboard.cancel(transaction, {})
            self.assertNotIn(b"CANCEL", b"".join(each.data for each in self.sent()))
            self.quiet()

    def test_at_once(self) -> None:
        """After a 1xx it goes at once, and again as any request does (timer E)."""
        transaction = self.send()
        (invite,) = self.sent()
        self.answer(invite, 180)
        self.switchboard.cancel(transaction, {})
        self.board.wait(2)
        self.assertEqual([each.data[:6] for each in self.sent()], [b"CANCEL"] * 3)

    def test_no_final(self) -> None:
        """RFC 3261 9.1: 64*T1 after the CANCEL the INVITE is given up (timer X)."""
        transaction = self.send()
        (invite,) = self.sent()
        self.answer(invite, 180)
        self.switchboard.cancel(transaction, {})
        self.answer(self.sent()[0], 200)
        self.board.wait(31.9)
        self.assertEqual(self.user.told, [("answered", 180)])
        self.board.wait(0.2)
        self.assertEqual(self.user.told, [("answered", 180), ("unanswered", 408)])
        self.quiet()

    def test_received(self) -> None:
        """A CANCEL is a transaction of its own: 200 at once, also when it comes again; the core is told once."""
        server = self.come()
        self.sent()
        cancel = request("CANCEL")
        self.board.receive(cancel)
        self.board.receive(cancel)
        self.assertEqual([each.message.cseq for each in self.sent()], [(1, "CANCEL")] * 2)
        self.assertEqual(self.told(server), ["cancelled"])

    def test_sent_by_changed(self) -> None:
        """S26: a NAT that rewrote sent-by; a CANCEL from somewhere else is for nothing of ours: 481."""
        server = self.come()
        self.sent()
        moved = "SIP/2.0/UDP 198.51.100.7:61234;branch=z9hG4bKtest1"
        self.board.receive(request("CANCEL", via=moved), "192.0.2.66")
        self.assertEqual(statuses(self.sent()), [481])
        self.board.wait(33)
        self.board.receive(request("CANCEL", via=moved))
        self.assertEqual(statuses(self.sent()), [200])
        self.assertEqual(self.told(server), ["cancelled"])

    def test_for_nothing(self) -> None:
        """481 where there is no INVITE; where the INVITE has no core yet, 200 and no harm."""
        self.board.receive(request("CANCEL"))
        self.assertEqual(statuses(self.sent()), [481])
        self.board.receive(request(branch="z9hG4bKother", call_id="other"))
        self.sent()
        self.board.receive(request("CANCEL", branch="z9hG4bKother", call_id="other"))
        self.assertEqual(statuses(self.sent()), [200])
