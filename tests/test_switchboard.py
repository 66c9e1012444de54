"""The switchboard: matching, the way back, what is broken, what the transports say (S11, S21, S46, S49)."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.python.failure import Failure

from b2bua.net.resolver import NoTarget
from b2bua.policy.interface import NoInterface
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Flow, Listener, Target
from b2bua.sip.message import Headers, Request, Response, parse
from b2bua.sip.tokens import LoopKey
from b2bua.sip.uri import parse_uri
from b2bua.sip.via import parse_via
from b2bua.transaction.machine import State
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction
from tests.wires import FORCING, PEER, SIX, TCP, TLS, UDP, Switching, User, request, response, statuses


class TestMatching(Switching):
    """RFC 3261 17.1.3, 17.2.3, 8.2.2.2, 18.1.2."""

    def test_merged(self) -> None:
        """S21: the same request by another way: 482, and no transaction for it."""
        self.come()
        self.sent()
        self.board.receive(request(branch="z9hG4bKother"))
        (sent,) = self.sent()
        self.assertEqual((statuses([sent]), len(self.core.requests)), ([482], 1))
        self.assertTrue(sent.message.to.tag)
        self.assertEqual(len(self.switchboard.transactions), 1)

    def test_old_client(self) -> None:
        """RFC 2543: no branch at all; the request again is the same one, and its ACK finds it (RFC 4475 3.4.1)."""
        via = "SIP/2.0/UDP 198.51.100.7"
        server = self.come(request(via=via))
        self.board.receive(request(via=via))
        self.assertEqual(len(self.core.requests), 1)
        self.switchboard.respond(server, response(server.request, 486))
        self.board.receive(request("ACK", via=via, to="<sip:bob@example.com>;tag=b1"))
        self.assertIs(server.state, State.CONFIRMED)

    def test_only_the_listener_it_left_by(self) -> None:
        """A response that comes in elsewhere is not believed."""
        self.send()
        (invite,) = self.sent()
        self.answer(invite, 200, listener=FORCING)
        self.answer(invite, 200, listener=TCP)
        self.assertEqual((self.user.told, self.switchboard.dropped), ([], 2))
        self.answer(invite, 200)
        self.assertEqual(self.user.told, [("answered", 200)])

    def test_stray_responses(self) -> None:
        """What answers nothing of ours is dropped and counted, without a word (RFC 4475 3.1.1.12)."""
        self.board.receive(response(request(), 200))
        self.board.receive(response(request("OPTIONS"), 404))
        self.assertEqual((self.switchboard.dropped, self.sent()), (2, []))

    def test_broken_responses(self) -> None:
        """A response to our request that is broken, or that would go on to others, is not one."""
        self.send()
        (invite,) = self.sent()
        answer = response(invite.data, 200)
        self.board.receive(bytes(answer).replace(b"Content-Length: 0", b"Content-Length: 5"), PEER)
        self.board.receive(bytes(answer).replace(b";rport", b";rport, SIP/2.0/UDP 255.255.255.255"), PEER)
        ringing = bytes(response(invite.data, 180))
        self.board.receive(ringing.replace(b"<sip:bob@203.0.113.5:5060>", b"<sip:bob@203.0.113.5:99999>"), PEER)
        self.assertEqual(self.user.told, [])
        self.assertEqual([what for what, _ in self.board.journal.faults], ["a 200 response"] * 2 + ["a 180 response"])

    def test_garbage(self) -> None:
        """What is no message is told to the journal; what is no longer than a keep-alive is not even looked at."""
        for data in (b"", b"\r\n\r\n", b"\x00" * 4, b"jaK\x00"):
            self.board.receive(data)
        self.assertEqual(self.board.journal.faults, [])
        self.board.receive(b"\x10" * 100)
        self.assertEqual([what for what, _ in self.board.journal.faults], ["a message"])
        self.assertEqual(self.sent(), [])


class TestWayBack(Switching):
    """S11, RFC 3261 18.2.1, 18.2.2, RFC 3581."""

    def check(self, via: str, shown: str, port: int, listener: Listener = UDP, host: str = "198.51.100.7") -> None:
        """The top Via of the answer, and the port that it goes to. It came from port 40000."""
        self.setUp()
        self.board.receive(request("OPTIONS", via=via), host, 40000, listener)
        transaction = self.core.requests[0]
        self.switchboard.respond(transaction, response(transaction.request, 200))
        (sent,) = self.board.wires[listener.name].take()
        self.assertEqual(sent.message.headers["Via"], [shown])
        self.assertEqual((sent.host, sent.port), (host, port))

    def test_sent_by_is_the_source(self) -> None:
        """Nothing is added; to the port of sent-by, 5060 if it has none."""
        self.check("SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx", "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx", 5060)
        self.check(
            "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKx", "SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKx", 5070
        )

    def test_received(self) -> None:
        """received where the source is another address, or sent-by is a name; still to the port of sent-by."""
        self.check(
            "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx",
            "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx;received=198.51.100.7",
            5070,
        )
        self.check(
            "SIP/2.0/UDP a.example;branch=z9hG4bKx", "SIP/2.0/UDP a.example;branch=z9hG4bKx;received=198.51.100.7", 5060
        )

    def test_forged_received(self) -> None:
        """What the peer writes there is not believed."""
        self.check(
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx;received=192.0.2.66;rport=1",
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx;received=198.51.100.7;rport=40000",
            40000,
        )

    def test_maddr(self) -> None:
        """A maddr in Via sends no answer to a third party."""
        self.check(
            "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx;maddr=255.255.255.255",
            "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx;maddr=255.255.255.255",
            5060,
        )

    def test_rport(self) -> None:
        """RFC 3581 4: rport is filled, received always added, and the answer goes where the request came from."""
        self.check(
            "SIP/2.0/UDP 198.51.100.7;rport;branch=z9hG4bKx",
            "SIP/2.0/UDP 198.51.100.7;rport=40000;branch=z9hG4bKx;received=198.51.100.7",
            40000,
        )

    def test_forced_rport(self) -> None:
        """S11: a listener can do so for clients that do not ask for it."""
        self.check(
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx",
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx;rport=40000;received=198.51.100.7",
            40000,
            FORCING,
        )

    def test_ipv6(self) -> None:
        """S12: addresses are compared parsed; received has no brackets (RFC 5118 4.5)."""
        self.check(
            "SIP/2.0/UDP [2001:DB8:0::9];branch=z9hG4bKx",
            "SIP/2.0/UDP [2001:DB8:0::9];branch=z9hG4bKx",
            5060,
            SIX,
            "2001:db8::9",
        )
        self.check(
            "SIP/2.0/UDP [2001:db8::1:1];branch=z9hG4bKx",
            "SIP/2.0/UDP [2001:db8::1:1];branch=z9hG4bKx;received=2001:db8::9",
            5060,
            SIX,
            "2001:db8::9",
        )

    def test_vias_below(self) -> None:
        """They stay as they were, in the same value or in others; a comma in quotes parts nothing."""
        below = "SIP / 2.0 / TCP  b.example ; branch = x"
        self.board.receive(
            request("OPTIONS", more={"Via": [f'SIP/2.0/UDP a;x="1,2";branch=z9hG4bKx, {below}', "SIP/2.0/UDP c"]})
        )
        transaction = self.core.requests[0]
        self.switchboard.respond(transaction, response(transaction.request, 200))
        (sent,) = self.sent()
        top = 'SIP/2.0/UDP a;x="1,2";branch=z9hG4bKx;received=198.51.100.7'
        self.assertEqual(sent.message.headers["Via"], [top, below, "SIP/2.0/UDP c"])

    def test_stream(self) -> None:
        """S49: over the same connection, whatever Via says."""
        stream, conductor = self.board.accept()
        stream.dataReceived(bytes(request("OPTIONS", via="SIP/2.0/TCP a.example:5099;branch=z9hG4bKx")))
        transaction = self.core.requests[0]
        self.switchboard.respond(transaction, response(transaction.request, 200))
        self.assertIn(b"Via: SIP/2.0/TCP a.example:5099;branch=z9hG4bKx;received=198.51.100.7\r\n", conductor.take())

    def test_connection_gone(self) -> None:
        """S49: to the port of sent-by when the connection is gone, over a new one; 5060 if it names none."""
        for sent_by, port in (("a.example:5099", 5099), ("a.example", 5060)):
            self.setUp()
            stream, _ = self.board.accept()
            stream.dataReceived(bytes(request(via=f"SIP/2.0/TCP {sent_by};branch=z9hG4bKx")))
            stream.connectionLost(Failure(ConnectionDone()))
            transaction = self.core.requests[0]
            self.switchboard.respond(transaction, response(transaction.request, 180))
            self.switchboard.respond(transaction, response(transaction.request, 486))
            self.assertEqual([each[:2] for each in self.board.clock.tcpClients], [("198.51.100.7", port)])
            _, conductor = self.board.connected()
            self.assertEqual(conductor.take().count(b"SIP/2.0 "), 2)

    def test_alias(self) -> None:
        """RFC 5923: over TLS, for a client that proved who it is, requests of ours go by its connection."""
        stream, conductor = self.board.accept(TLS)
        stream.names = ("peer.example",)
        stream.dataReceived(bytes(request("OPTIONS", via="SIP/2.0/TLS a.example:5071;branch=z9hG4bKx;alias")))
        self.send("OPTIONS", Flow(TLS, "198.51.100.7", 5071, None, "peer.example"))
        self.assertIn(b"OPTIONS ", conductor.take())
        self.assertEqual(self.board.clock.tcpClients, [])


class TestBrokenRequests(Switching):
    """What is refused before it is anybody's."""

    def refused(self, message: Request | bytes, host: str = "198.51.100.7") -> Response:
        """The one answer."""
        self.board.receive(message, host, 40000)
        (sent,) = self.sent()
        answer = sent.message
        assert isinstance(answer, Response)
        self.assertEqual(self.core.requests, [])
        self.assertEqual(len(self.switchboard.transactions), 0)
        return answer

    def test_answer(self) -> None:
        """The status that the fault deserves, with what of the request could be read, and a tag of ours."""
        answer = self.refused(request(contact="<sip:a@b:99999>"))
        self.assertEqual((answer.status, answer.reason), (400, "Bad Request - port is out of range (at most 65535)"))
        self.assertEqual(answer.headers.keys(), {"Via", "From", "To", "Call-ID", "CSeq"})
        self.assertTrue(answer.to.tag)
        self.assertEqual(self.refused(request(uri="urn:service:sos")).status, 416)
        self.assertEqual(self.board.journal.faults[0][0], "INVITE")

    def test_way_back(self) -> None:
        """RFC 3581 holds for it too."""
        via = "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx;rport"
        self.board.receive(request(max_forwards="x", via=via), port=40000)
        (sent,) = self.sent()
        self.assertEqual(sent.port, 40000)
        self.assertEqual(sent.message.headers["Via"], [
            "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx;rport=40000;received=198.51.100.7"
        ])  # fmt: skip

    def test_only_what_can_be_read(self) -> None:
        """Nothing that is broken is sent back: no CR or LF inside a value, no header twice, no Via but a sound one."""
        data = (
            b'INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx;;x="\r\nVia: nonsense\r\n'
            b'From: "x\nInjected: y" <sip:a@b>;tag=1\r\nTo: <sip:a@b>\rInjected: z\r\nTo: <sip:c@d>\r\n'
            b"Call-ID: \x07\r\nCSeq: 1 INVITE\r\n\r\n"
        )
        self.board.receive(data)
        (sent,) = self.sent()
        self.assertEqual(
            sent.data,
            b"SIP/2.0 400 Bad Request - a bare CR or LF in the headers\r\n"
            b"Via: SIP/2.0/UDP a;branch=z9hG4bKx;received=198.51.100.7\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        )

    def test_no_answer(self) -> None:
        """An ACK gets none, nor does what names no sender."""
        self.board.receive(request("ACK", max_forwards="x"))
        self.board.receive(request(via="nonsense"))
        self.board.receive(request(via=""))
        self.assertEqual(self.sent(), [])

    def test_our_own_fault(self) -> None:
        """An exception of ours costs one request, which is answered 500, and never the process."""

        def fail(transaction: ServerTransaction) -> None:
            raise RuntimeError("a mistake")

        self.core.then = fail
        self.board.receive(request())
        self.assertEqual(statuses(self.sent()), [100, 500])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

        def answer_and_fail(transaction: ServerTransaction) -> None:
            self.switchboard.respond(transaction, response(transaction.request, 404))
            raise RuntimeError("a mistake")

        self.core.then = answer_and_fail
        self.board.receive(request("OPTIONS"))
        self.assertEqual(statuses(self.sent()), [404])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_fault_found_later(self) -> None:
        """What the core finds broken gets the status that it deserves."""

        def find(transaction: ServerTransaction) -> None:
            raise Malformed("an embedded fault", "RFC 3261", 415)

        self.core.then = find
        self.board.receive(request())
        self.assertEqual(statuses(self.sent()), [100, 415])

    def test_anything_else(self) -> None:
        """Whatever else goes wrong costs one message."""

        def fail(ack: Request) -> None:
            raise RuntimeError("a mistake")

        self.core.ack = fail  # type: ignore[method-assign]
        self.board.receive(request("ACK"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class TestTransportErrors(Switching):
    """RFC 3261 8.1.3.1, 18.4: what the transport says."""

    def test_send_fails(self) -> None:
        """The core is told 503, but not while it sends; a server's answer that cannot be sent is dropped with it."""
        self.board.wire.failure = "no route to host"
        self.send()
        self.send("OPTIONS")
        self.assertEqual(self.user.told, [])
        self.board.wait(0.1)
        self.assertEqual(self.user.told, [("unanswered", 503)] * 2)
        self.board.receive(request())
        self.switchboard.respond(self.core.requests[0], response(self.core.requests[0].request, 486))
        self.board.wait(0.1)
        self.assertEqual(len(self.switchboard.transactions), 0)
        self.quiet()

    def test_no_socket(self) -> None:
        """A listener that is not open, or not any more."""
        self.switchboard.sockets.clear()
        self.send()
        self.switchboard.connections = None
        self.send("OPTIONS", Flow(TCP, PEER, 5060))
        self.board.wait(0.1)
        self.assertEqual(self.user.told, [("unanswered", 503)] * 2)

    def test_icmp(self) -> None:
        """What waits for an answer from there fails at once; nothing else does."""
        self.send()
        other = User()
        self.switchboard.send(request(), Flow(UDP, PEER, 5061), other)
        self.switchboard.send(request(), Flow(FORCING, PEER, 5060), other)
        self.switchboard.send(request(), Flow(UDP, "203.0.113.6", 5060), other)
        self.come()
        self.switchboard.unreachable(UDP, PEER, 5060)
        self.board.wait(0.1)
        self.assertEqual((self.user.told, other.told), ([("unanswered", 503)], []))

    def test_icmp_after_an_answer(self) -> None:
        """Once there was a provisional or a success, an error of the transport changes nothing."""
        self.send()
        (invite,) = self.sent()
        self.answer(invite, 180)
        self.switchboard.unreachable(UDP, PEER, 5060)
        self.board.wait(1)
        self.answer(invite, 200)
        self.switchboard.unreachable(UDP, PEER, 5060)
        self.board.wait(1)
        self.assertEqual(self.user.told, [("answered", 180), ("answered", 200)])

    def test_connection_lost(self) -> None:
        """The requests on it that wait for an answer fail; the next one makes a connection of its own."""
        self.send("OPTIONS", Flow(TCP, PEER, 5060))
        stream, _ = self.board.connected()
        stream.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.user.told, [])
        self.board.wait(0.1)
        self.assertEqual(self.user.told, [("unanswered", 503)])
        self.send("OPTIONS", Flow(TCP, PEER, 5060))
        self.assertEqual(len(self.board.clock.tcpClients), 2)

    def test_connection_refused(self) -> None:
        """The same where there never was one, whatever the reactor has to say of it."""
        for error in (
            ConnectionRefusedError(111, "refused"),
            ConnectionRefusedError(),
            TimeoutError(),
            DNSLookupError("x"),
        ):
            self.setUp()
            self.send("OPTIONS", Flow(TCP, PEER, 5060))
            self.board.clock.tcpClients[0][2].clientConnectionFailed(None, Failure(error))
            self.board.wait(0.1)
            self.assertEqual(self.user.told, [("unanswered", 503)])

    def test_closed_without_connections(self) -> None:
        """A stream that outlives the sockets does no harm."""
        stream, _ = self.board.accept()
        self.switchboard.connections = None
        stream.connectionLost(Failure(ConnectionDone()))

    def test_stream_that_cannot_be_followed(self) -> None:
        """The journal hears of it; what came before is served."""
        stream, conductor = self.board.accept()
        stream.dataReceived(bytes(request("OPTIONS")) + b"OPTIONS sip:a SIP/2.0\r\n\r\n")
        self.assertEqual(len(self.core.requests), 1)
        self.assertEqual([what for what, _ in self.board.journal.faults], ["a stream"])
        self.assertFalse(conductor.connected)


class TestLongRequests(Switching):
    """S46, RFC 3261 18.1.1: over 1,300 octets by TCP."""

    body = b"x" * 1300

    def test_by_tcp(self) -> None:
        """With its Via changed; measured on what is sent; answers come over the connection."""
        transaction = self.send(body=self.body)
        self.assertEqual(self.sent(), [])
        stream, conductor = self.board.connected()
        data = conductor.take()
        self.assertEqual(parse_via(parse(data).first("Via")).transport, "TCP")
        stream.dataReceived(bytes(response(data, 200)))
        self.assertEqual(self.user.told, [("answered", 200)])
        self.assertIs(transaction.flow.listener, TCP)

    def test_refused(self) -> None:
        """By UDP after all, with the Via of UDP, and sent again as over UDP; given up when any request is."""
        for method in ("INVITE", "MESSAGE"):
            self.setUp()
            self.send(method, body=self.body)
            self.board.clock.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
            self.board.wait(31.9)
            sent = self.sent()
            self.left_at(sent[:4], [0.0, 0.5, 1.5, 3.5])
            self.assertEqual(sent[0].message.via.transport, "UDP")
            self.board.wait(0.3)
            self.assertEqual(self.user.told, [("unanswered", 408)])
            self.quiet()

    def test_refused_after_cancel(self) -> None:
        """A CANCEL that is held stays so."""
        transaction = self.send(body=self.body)
        self.switchboard.cancel(transaction, {})
        self.board.clock.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        (invite,) = self.sent()
        self.answer(invite, 100, "")
        self.assertTrue(self.sent()[0].data.startswith(b"CANCEL "))

    def test_lost_after_an_answer(self) -> None:
        """Once the far side has answered it is not sent anew."""
        self.send(body=self.body)
        stream, conductor = self.board.connected()
        stream.dataReceived(bytes(response(conductor.take(), 180)))
        stream.connectionLost(Failure(ConnectionDone()))
        self.board.wait(1)
        self.assertEqual((self.sent(), self.user.told), ([], [("answered", 180)]))

    def test_refused_lately(self) -> None:
        """Where TCP was refused the next long request goes by UDP at once, for five minutes."""
        self.send(body=self.body)
        self.board.clock.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.sent()
        self.send("MESSAGE", body=self.body)
        self.assertEqual((len(self.sent()), len(self.board.clock.tcpClients)), (1, 1))
        self.board.wait(300)
        self.sent()
        self.send("MESSAGE", body=self.body)
        self.assertEqual((len(self.sent()), len(self.board.clock.tcpClients)), (0, 2))

    def test_no_twin(self) -> None:
        """Where there is no TCP listener on the same address it goes by UDP as it is."""
        self.switchboard.send(request(body=self.body), Flow(FORCING, PEER, 5060), self.user)
        (sent,) = self.board.wires["forcing"].take()
        self.assertGreater(len(sent.data), 1300)


class TestOut(Switching):
    """What the hall asks for."""

    def test_timestamp(self) -> None:
        """RFC 3261 8.2.6.1: the 100 says Timestamp as the request did."""
        self.board.receive(request(more={"Timestamp": ["54"]}))
        (trying,) = self.sent()
        self.assertEqual(trying.message.headers["Timestamp"], ["54"])

    def test_branches(self) -> None:
        """S16, S21: every request has a branch of its own; with a loop key it carries the mark."""
        flow = Flow(UDP, PEER, 5060)
        first = self.switchboard.send(request(), flow, None, LoopKey("INVITE sip:a@b"))
        second = self.switchboard.send(request(), flow, None)
        branches = [each.request.via.branch for each in (first, second)]
        self.assertNotEqual(*branches)
        looped = self.switchboard.tokens.looped
        self.assertEqual([looped(branch, "INVITE sip:a@b") for branch in branches], [True, False])

    def test_transmit(self) -> None:
        """S24: an ACK for a 2xx has a branch of its own, the same each time it is sent again."""
        ack = request("ACK")
        ack.headers["Via"] = []
        for _ in range(2):
            self.switchboard.transmit(ack, Flow(UDP, PEER, 5060))
        first, second = self.sent()
        self.assertEqual(first.data, second.data)
        self.assertEqual(first.message.via.params["rport"], None)

    def test_product(self) -> None:
        """What we say we are goes on everything that we send, where the operator wants it said."""
        self.switchboard.product = "b2bua"
        ack = request("ACK")
        ack.headers["Via"] = []
        self.switchboard.transmit(ack, Flow(UDP, PEER, 5060))
        self.send()
        server = self.come()
        self.switchboard.respond(server, response(server.request, 486))
        self.board.receive(request("OPTIONS", max_forwards="x"))
        found = [(each.message.first("User-Agent"), each.message.first("Server")) for each in self.sent()]
        self.assertEqual(found, [("b2bua", "")] * 2 + [("", "b2bua")] * 3)

    def test_trace(self) -> None:
        """Every message is shown to who traces, both ways."""
        seen: list[tuple[bool, bytes]] = []

        class Watch:
            """Sees everything."""

            def message(self, flow: Flow, outward: bool, data: bytes) -> None:
                """One message."""
                seen.append((outward, data[:7]))

        self.switchboard.trace = Watch()
        self.come()
        self.send("OPTIONS")
        self.assertEqual(seen, [(False, b"INVITE "), (True, b"SIP/2.0"), (True, b"OPTIONS")])

    def test_after(self) -> None:
        """Later is later."""
        seen: list[float] = []
        self.switchboard.after(1.0, lambda: seen.append(self.switchboard.now()))
        self.board.wait(2)
        self.assertEqual([round(at, 1) for at in seen], [1.0])

    def test_locate(self) -> None:
        """An address in the URI is found at once; where none can be reached, why."""
        found: list[Target] = []
        lost: list[int] = []

        def look(text: str, send_from: str = "auto") -> None:
            self.switchboard.locate(
                parse_uri(text),
                send_from,
                lambda targets: found.extend(targets),
                lambda status, reason: lost.append(status),
            )

        look("sip:a@192.0.2.9:5070;transport=tcp")
        look("sip:a@192.0.2.9", "tcp")
        look("sip:a@192.0.2.9", "public")
        self.assertEqual(
            [str(each) for each in found], ["tcp:192.0.2.9:5070", "tcp:192.0.2.9:5060", "udp:192.0.2.9:5060"]
        )
        look("tel:+1")
        look("sip:a@[::1]", "udp")
        self.assertEqual(lost, [416, 503])

    def test_locate_a_name(self) -> None:
        """A name is asked for; the answer comes later, or never."""
        asked: list[Deferred[tuple[Target, ...]]] = []
        said: list[object] = []

        class Names:
            """A resolver that the test answers for."""

            def resolve(self, *arguments: object) -> Deferred[tuple[Target, ...]]:
                """Ask."""
                asked.append(Deferred())
                return asked[-1]

        self.switchboard.locating.resolver = Names()  # type: ignore[assignment]
        for _ in range(3):
            self.switchboard.locate(
                parse_uri("sip:a@b.example"), "auto", said.append, lambda status, reason: said.append((status, reason))
            )
        target = Target("udp", "192.0.2.9", 5060)
        asked[0].callback((target,))
        asked[1].errback(NoTarget("nothing there", 480))
        self.assertEqual(said, [(target,), (480, "nothing there")])
        asked[2].errback(RuntimeError("a mistake"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_choose(self) -> None:
        """S5: the listener for a target, or why there is none."""
        choice = self.switchboard.choose(Target("udp", "192.0.2.9", 5060), "forcing")
        self.assertIs(choice.listener, FORCING)
        self.assertRaises(NoInterface, self.switchboard.choose, Target("udp", "192.0.2.9", 5060), "tcp")

    def test_failed(self) -> None:
        """S52: the resolver lets an address rest."""
        self.switchboard.failed(Flow(TLS, PEER, 5061, None, "b.example"))
        self.assertEqual(self.board.names.rested, [Target("tls", PEER, 5061, "b.example")])

    def test_run(self) -> None:
        """An operator's coroutine: its answer, or a failure that is in the log."""
        said: list[object] = []

        async def good() -> None:
            return None

        async def bad() -> None:
            raise RuntimeError("a mistake")

        self.switchboard.run(good(), lambda answer: said.append(answer), lambda: said.append("failed"))
        self.switchboard.run(bad(), lambda answer: said.append(answer), lambda: said.append("failed"))
        self.assertEqual(said, [None, "failed"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class TestMemory(Switching):
    """Security: nothing is left 64*T1 + 5 s after the last message, however it went."""

    def test_everything_ends(self) -> None:
        """A thousand requests of every kind in every direction."""
        more: Headers = {}
        for number in range(250):
            ids = {"branch": f"z9hG4bK{number}", "call_id": f"call{number}"}
            server = self.come(request(more=more, **ids))
            answers = [[180, 200], [486], [180], []][number % 4]
            for status in answers:
                self.switchboard.respond(server, response(server.request, status))
            if not answers or answers == [180]:
                self.switchboard.respond(server, response(server.request, 480))
            other = self.come(request("MESSAGE", **ids))
            self.switchboard.respond(other, response(other.request, 200))
            self.send("MESSAGE")
            self.send()
            if number % 2:
                self.answer(self.sent()[-1], [200, 486, 180][number % 3])
        for client in list(self.switchboard.transactions):
            if isinstance(client, ClientTransaction):
                self.switchboard.cancel(client, {})
        self.board.wait(37)
        self.assertEqual(len(self.switchboard.transactions), 0)
        self.assertEqual(len(self.switchboard.wheel), 0)
        self.assertEqual(self.board.clock.getDelayedCalls(), [])
