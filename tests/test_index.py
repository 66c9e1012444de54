"""RFC 3261 17.1.3, 17.2.3: which transaction a message belongs to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.listener import Flow
from b2bua.sip.message import Request
from b2bua.transaction.index import Transactions, client_key, server_key
from b2bua.transaction.transaction import ClientTransaction, ServerTransaction
from tests.wires import UDP, request, response

SOURCE = "198.51.100.7"
OLD = "no-cookie"  # an RFC 2543 client's branch, if it sent one at all


def via(branch: str = "z9hG4bKtest1", sent_by: str = "198.51.100.7:5060") -> str:
    """A Via."""
    return f"SIP/2.0/UDP {sent_by}" + (f";branch={branch}" if branch else "")


class Index(SynchronousTestCase):
    """What is common."""

    def setUp(self) -> None:
        """An empty index."""
        self.transactions = Transactions()

    def enter(self, message: Request) -> ServerTransaction:
        """A request that came."""
        transaction = ServerTransaction(message, server_key(message, message.method), Flow(UDP, SOURCE, 5060))
        self.transactions.add_server(transaction)
        return transaction


class TestClients(Index):
    """RFC 3261 17.1.3: branch of the top Via and method of CSeq."""

    def enter_client(self, message: Request) -> ClientTransaction:
        """A request that we sent."""
        transaction = ClientTransaction(
            message, client_key(message.via.branch, message.method), Flow(UDP, "a", 1), None
        )
        self.transactions.add_client(transaction)
        return transaction

    def test_match(self) -> None:
        """An INVITE and the CANCEL for it have the same branch: CSeq's method tells their responses apart."""
        invite = self.enter_client(request())
        cancel = self.enter_client(request("CANCEL"))
        self.assertIs(self.transactions.client(response(request(), 200)), invite)
        self.assertIs(self.transactions.client(response(request("CANCEL"), 200)), cancel)
        for other in (request(branch="z9hG4bKother"), request("BYE"), request(branch="")):
            self.assertIsNone(self.transactions.client(response(other, 200)))

    def test_forget(self) -> None:
        """Forgotten once; again does no harm."""
        invite = self.enter_client(request())
        self.assertEqual((len(self.transactions), list(self.transactions)), (1, [invite]))
        self.transactions.forget(invite)
        self.transactions.forget(invite)
        self.assertEqual(len(self.transactions), 0)
        self.assertIsNone(self.transactions.client(response(request(), 200)))

    def test_waiting_for_an_address(self) -> None:
        """RFC 3261 8.1.3.1: those that wait for an answer from an address and port, until they are over."""
        first, second = self.enter_client(request()), self.enter_client(request(branch="z9hG4bKtest2"))
        host, port = first.flow.host, first.flow.port
        self.assertEqual(set(self.transactions.waiting_for(host, port)), {first, second})
        self.assertEqual(self.transactions.waiting_for(host, port + 1), [])
        self.transactions.forget(first)
        self.assertEqual(self.transactions.waiting_for(host, port), [second])
        self.transactions.forget(second)
        self.transactions.forget(second)
        self.assertEqual(self.transactions.waiting_for(host, port), [])


class TestServers(Index):
    """RFC 3261 17.2.3: branch, sent-by and method; an ACK's is its INVITE's."""

    def test_match(self) -> None:
        """The request again, from the same sent-by in any case of letters, with or without parameters."""
        known = self.enter(request(via=via(sent_by="A.example:5060")))
        self.assertIs(self.transactions.server(request(via=via(sent_by="a.EXAMPLE:5060") + ";rport")), known)
        self.assertIs(self.transactions.server(request("ACK", via=via(sent_by="a.example:5060"))), known)
        self.assertIs(self.transactions.server(request(via=via(sent_by="a.example:5060"), uri="sip:other@b")), known)
        self.assertEqual(list(self.transactions), [known])

    def test_no_match(self) -> None:
        """Another branch, sent-by host, port or method is another transaction; a port that is not named is none."""
        self.enter(request())
        for other in (
            request(via=via("z9hG4bKother")),
            request(via=via(sent_by="198.51.100.8:5060")),
            request(via=via(sent_by="198.51.100.7:5061")),
            request(via=via(sent_by="198.51.100.7")),
            request("OPTIONS"),
        ):
            self.assertIsNone(self.transactions.server(other))

    def test_forget(self) -> None:
        """Nothing is left, in any of the indexes."""
        known = self.enter(request())
        self.transactions.forget(known)
        self.transactions.forget(known)
        self.assertEqual(len(self.transactions), 0)
        self.assertIsNone(self.transactions.server(request()))
        self.assertIsNone(self.transactions.to_cancel(request("CANCEL"), SOURCE))
        self.assertFalse(self.transactions.merged(request()))


class TestOldClients(Index):
    """RFC 3261 17.2.3: without the magic cookie more of the request must be the same (RFC 4475 3.2.1, 3.4.1)."""

    def test_match(self) -> None:
        """Request-URI, To without tag, From tag, Call-ID, CSeq number and top Via."""
        for branch in ("", OLD, "z9hG4bK"):
            known = self.enter(request(via=via(branch), call_id=f"old{branch}"))
            self.assertIs(self.transactions.server(request(via=via(branch), call_id=f"old{branch}")), known)
            ack = request("ACK", via=via(branch), call_id=f"old{branch}", to="<sip:bob@example.com>;tag=b1")
            self.assertIs(self.transactions.server(ack), known)

    def test_no_match(self) -> None:
        """Each of them alone makes another transaction."""
        self.enter(request(via=via("")))
        for other in (
            request(via=via(""), uri="sip:bob@192.0.2.2"),
            request(via=via(""), call_id="two"),
            request(via=via(""), cseq="2 INVITE"),
            request(via=via(""), **{"from": "<sip:alice@example.com>;tag=a2"}),
            request(via=via("", "198.51.100.8")),
            request(via=via(OLD)),
        ):
            self.assertIsNone(self.transactions.server(other))


class TestCancel(Index):
    """S26, RFC 3261 9.2."""

    def test_match(self) -> None:
        """By the key of the INVITE: branch and sent-by, wherever it comes from."""
        known = self.enter(request())
        self.assertIs(self.transactions.to_cancel(request("CANCEL"), SOURCE), known)
        self.assertIs(self.transactions.to_cancel(request("CANCEL"), "203.0.113.99"), known)

    def test_sent_by_changed(self) -> None:
        """A NAT that rewrote sent-by: branch, Call-ID, CSeq and source still agree; where one does not, no match."""
        known = self.enter(request())
        other = via(sent_by="198.51.100.7:61234")
        self.assertIs(self.transactions.to_cancel(request("CANCEL", via=other), SOURCE), known)
        self.assertIsNone(self.transactions.to_cancel(request("CANCEL", via=other), "203.0.113.99"))
        self.assertIsNone(self.transactions.to_cancel(request("CANCEL", via=other, call_id="two"), SOURCE))
        self.assertIsNone(self.transactions.to_cancel(request("CANCEL", via=other, cseq="2 CANCEL"), SOURCE))
        self.assertIsNone(self.transactions.to_cancel(request("CANCEL", via=via("z9hG4bKother", "x")), SOURCE))

    def test_old_clients(self) -> None:
        """An RFC 2543 client's CANCEL."""
        known = self.enter(request(via=via("")))
        self.assertIs(self.transactions.to_cancel(request("CANCEL", via=via("")), SOURCE), known)

    def test_only_invites(self) -> None:
        """There is nothing to cancel in other requests."""
        self.enter(request("OPTIONS"))
        self.assertIsNone(self.transactions.to_cancel(request("CANCEL"), SOURCE))


class TestMerged(Index):
    """S21, RFC 3261 8.2.2.2: the same request by another way."""

    def test_merged(self) -> None:
        """From tag, Call-ID and CSeq are the same, the branch is another."""
        self.enter(request())
        self.assertTrue(self.transactions.merged(request(branch="z9hG4bKother")))
        self.assertTrue(self.transactions.merged(request(via=via("z9hG4bKother", "a.example"), uri="sip:x@y")))

    def test_not_merged(self) -> None:
        """Another of them makes another request; in a dialog nothing is merged; nor is a challenge answered (S34)."""
        self.enter(request())
        for other in (
            request(branch="z9hG4bKother", call_id="two"),
            request(branch="z9hG4bKother", cseq="2 INVITE"),
            request("OPTIONS", branch="z9hG4bKother"),
            request(branch="z9hG4bKother", **{"from": "<sip:alice@example.com>;tag=a2"}),
            request(branch="z9hG4bKother", to="<sip:bob@example.com>;tag=b1"),
        ):
            self.assertFalse(self.transactions.merged(other))

    def test_in_a_dialog(self) -> None:
        """A request in a dialog is not what another one is compared with."""
        self.enter(request(to="<sip:bob@example.com>;tag=b1"))
        self.assertFalse(self.transactions.merged(request(branch="z9hG4bKother")))

    def test_the_later_one_stays(self) -> None:
        """When the first of two with the same ids is forgotten, the second is still there to compare with."""
        first = self.enter(request())
        second = self.enter(request(branch="z9hG4bKother"))
        self.transactions.forget(first)
        self.assertTrue(self.transactions.merged(request(branch="z9hG4bKthird")))
        self.transactions.forget(second)
        self.assertFalse(self.transactions.merged(request(branch="z9hG4bKthird")))
