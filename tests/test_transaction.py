"""A transaction: its step through its table, and the ACK and CANCEL that are derived from its request."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.check import check_request
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request
from b2bua.transaction.machine import CLIENT, INVITE_CLIENT, INVITE_SERVER, SERVER, Do, Event, Input, State
from b2bua.transaction.timers import Timer
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction, ack_for_failure, cancel_for
from tests.wires import TCP, TLS, UDP, User, request, response

FLOW = Flow(UDP, "198.51.100.7", 5060)


def client(method: str = "INVITE", flow: Flow = FLOW) -> ClientTransaction:
    """A request of ours."""
    return ClientTransaction(request(method), ("z9hG4bKx", method), flow, User())


class TestBeginnings(SynchronousTestCase):
    """Which machine, where it begins, and with which timers."""

    def test_client(self) -> None:
        """RFC 3261 17.1.1.2, 17.1.2.2."""
        invite, other = client(), client("BYE")
        self.assertIs(invite.table, INVITE_CLIENT)
        self.assertIs(other.table, CLIENT)
        self.assertEqual((invite.state, other.state), (State.CALLING, State.TRYING))
        self.assertEqual(invite.first_timers, (Timer.A, Timer.B))
        self.assertEqual(other.first_timers, (Timer.E, Timer.F))
        self.assertEqual((invite.method, other.method), ("INVITE", "BYE"))

    def test_server(self) -> None:
        """RFC 3261 17.2.1, 17.2.2."""
        invite = ServerTransaction(request(), ("a",), FLOW)
        other = ServerTransaction(request("OPTIONS"), ("b",), FLOW)
        self.assertIs(invite.table, INVITE_SERVER)
        self.assertIs(other.table, SERVER)
        self.assertEqual((invite.state, other.state), (State.PROCEEDING, State.TRYING))
        self.assertEqual((invite.key, invite.flow, invite.user), (("a",), FLOW, None))

    def test_reliable(self) -> None:
        """TCP and TLS do not lose messages."""
        self.assertEqual([client(flow=Flow(each, "a", 1)).reliable for each in (UDP, TCP, TLS)], [False, True, True])


class TestSteps(SynchronousTestCase):
    """Through the table."""

    def test_invite(self) -> None:
        """An INVITE that rings and is refused."""
        transaction = client()
        self.assertEqual(transaction.step(Input.PROVISIONAL), (Do.PASS,))
        self.assertEqual(transaction.step(Input.FAILURE), (Do.SEND_ACK, Timer.D, Do.PASS))
        self.assertFalse(transaction.over)
        self.assertEqual(transaction.step(Timer.D), (Do.FORGET,))
        self.assertTrue(transaction.over)

    def test_late_timers(self) -> None:
        """A timer that comes too late, or belongs to another machine, finds nothing to do."""
        transaction = client()
        late: tuple[Event, ...] = (Timer.K, Timer.G, Input.REQUEST, Input.ACK)
        for event in late:
            self.assertEqual(transaction.step(event), ())
            self.assertIs(transaction.state, State.CALLING)

    def test_answered(self) -> None:
        """A server transaction is answered by a final response."""
        for status, answered in ((Input.PROVISIONAL, False), (Input.SUCCESS, True), (Input.FAILURE, True)):
            for method in ("INVITE", "OPTIONS"):
                transaction = ServerTransaction(request(method), ("a",), FLOW)
                self.assertFalse(transaction.answered)
                transaction.step(status)
                self.assertEqual(transaction.answered, answered)


class TestDerived(SynchronousTestCase):
    """S25, S26: ACK for a failure, and CANCEL."""

    invite = request(
        more={"Route": ["<sip:192.0.2.9;lr>", "<sip:192.0.2.10;lr>"], "Subject": ["x"], "Require": ["timer"]},
        body=b"v=0\r\n",
    )

    def belongs(self, derived: Request, method: str) -> None:
        """Via, Request-URI, Route, From, Call-ID and the CSeq number are the INVITE's; nothing else is taken over."""
        check_request(derived)
        of, headers = self.invite.headers, derived.headers
        self.assertEqual((derived.method, derived.uri_text, derived.body), (method, self.invite.uri_text, b""))
        for name in ("Via", "Route", "From", "Call-ID"):
            self.assertEqual(headers[name], of[name])
        self.assertEqual(headers["CSeq"], [f"1 {method}"])
        self.assertEqual(headers["Max-Forwards"], ["70"])

    def test_ack(self) -> None:
        """RFC 3261 17.1.1.3: To is the response's."""
        ack = ack_for_failure(self.invite, response(self.invite, 486))
        self.belongs(ack, "ACK")
        self.assertEqual(ack.headers["To"], ["<sip:bob@example.com>;tag=b1"])
        self.assertEqual(ack.headers.keys(), {"Via", "Route", "From", "To", "Call-ID", "CSeq", "Max-Forwards"})

    def test_ack_in_a_dialog(self) -> None:
        """The tag is there already."""
        invite = request(to="<sip:bob@example.com>;tag=b1")
        ack = ack_for_failure(invite, response(invite, 488))
        self.assertEqual(ack.headers["To"], ["<sip:bob@example.com>;tag=b1"])
        self.assertNotIn("Route", ack.headers)

    def test_ack_for_a_response_with_an_odd_to(self) -> None:
        """Of To only the tag is taken from the response: what is wrong with the rest is not sent back."""
        odd = response(self.invite, 486, more={"To": ["<whatever else>;tag=b1"]})
        self.assertEqual(ack_for_failure(self.invite, odd).headers["To"], ["<sip:bob@example.com>;tag=b1"])
        without = response(self.invite, 486, tag="")
        self.assertEqual(ack_for_failure(self.invite, without).headers["To"], ["<sip:bob@example.com>"])

    def test_cancel(self) -> None:
        """RFC 3261 9.1: To is the request's, without a tag; a Reason may come along (RFC 3326)."""
        cancel = cancel_for(self.invite, {"Reason": ["SIP;cause=200"]})
        self.belongs(cancel, "CANCEL")
        self.assertEqual(cancel.headers["To"], self.invite.headers["To"])
        self.assertEqual(cancel.headers["Reason"], ["SIP;cause=200"])
        self.assertEqual(self.invite.headers["CSeq"], ["1 INVITE"])
        self.assertNotIn("Require", cancel_for(self.invite, {}).headers)
