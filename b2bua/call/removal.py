"""Taking a phone's registration away inside, when the phone is gone and cannot do it itself (S54)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from b2bua.call.addresses import Addresses, Attempt, Hop
from b2bua.call.passages import Passage, contact
from b2bua.dialog.leg import HOPS
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import parse_uri
from b2bua.transaction.transaction import ClientTransaction

if TYPE_CHECKING:
    from b2bua.call.mid_registrar import MidRegistrar


class Removal:
    """One REGISTER of our own, with 0 seconds for the alias.

    It has the credentials that the phone sent last, and the Request-URI that they are for: most registrars take them
    for as long as their nonce lasts. Where the inside does not, its calls to the alias are answered 480 until its own
    time for it is over.
    """

    __slots__ = ("_registrar", "_passage", "_request", "_addresses")

    def __init__(self, registrar: MidRegistrar, passage: Passage) -> None:
        self._registrar = registrar
        self._passage = passage
        hop = Hop(parse_uri(passage.hop))
        headers = {"From": [passage.local], "To": [passage.remote]}
        self._request = Request("REGISTER", passage.uri or passage.hop, headers)
        hall = registrar.hall
        self._addresses = Addresses(hall.wire, hall.journal, self._request, hop, passage.send_from, self)

    def start(self) -> None:
        """Send it to the first address."""
        self._addresses.next()

    def attempt(self, attempt: Attempt) -> None:
        """To this address."""
        passage, hall = self._passage, self._registrar.hall
        listener = attempt.flow.listener
        leg = hall.leg_to(self._request, attempt.uri, listener)
        leg.call_id, leg.local_cseq = passage.call_id, self._registrar.next_cseq() - 1
        leg.local, leg.remote = passage.local, passage.remote
        headers = {"Contact": [contact(listener, passage.alias, 0)], **passage.credentials}
        hall.bare.send(leg.request("REGISTER", HOPS, headers), attempt.flow, self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Whatever it says, there is nothing more to do."""
        if response.status >= 300:
            why = f"the registrar inside still has {self._passage.aor} ({response.status} to our REGISTER)"
            self._registrar.hall.journal.no_way(self._request, why)

    def challenged(self, response: Response, again: Callable[[], ClientTransaction]) -> bool:
        """It is the phone that knows the password; what it said last has been said already."""
        return False

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """Nobody there: the next address."""
        self._registrar.hall.wire.failed(transaction.flow)
        self._addresses.next(status, reason)

    def exhausted(self, status: int, reason: str) -> None:
        """There is no other address; it is in the journal."""

    def hopeless(self, status: int, reason: str) -> None:
        """It cannot be sent anywhere."""
