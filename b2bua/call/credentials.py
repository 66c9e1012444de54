"""The trunk asks who we are, and is told (RFC 3261 22, S34): the one place where our credentials are put on a request.

`Bearer` stands between the hall and its wire, where there are accounts. What goes to an address that a next hop of an
account's has led to, by the listener's zone it was reached by, brings what proves us there; a 401 or 407 from there is
answered by the same request under the next CSeq number. From anywhere else a challenge is the far side's own affair and
crosses: who only calls us, or stands in a Contact, learns nothing that could be tried against a password.

Where credentials are not taken, the caller could do nothing with the challenge: it hears what it hears of any trunk
that is out of order, a hunt goes on elsewhere, and the address rests, so that no account is locked by our trying.
"""

from __future__ import annotations

from collections.abc import Sequence

from b2bua.call.wire import Journal, Wire
from b2bua.dialog.leg import Leg
from b2bua.policy.accounts import (
    CHALLENGES,
    Account,
    Asked,
    Hop,
    Proof,
    asked_by,
    hop_of,
    next_nonce,
    others,
    put,
    strongest,
    without,
)
from b2bua.sip.digest import ANSWERS
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.status import reason_of
from b2bua.sip.tokens import LoopKey
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ClientTransaction, ClientUser

INFO = "Authentication-Info"
TRIES = 3  # of one request once it is challenged, by all realms together
PLACES = 1024  # addresses that are remembered for the accounts, at most
LIFE = 86_400.0  # seconds until an address is forgotten to which the next hop leads no more: it may be another's by now

Place = tuple[str, str, int, bool]  # zone, address, port, and whether it proved its name (TLS)


class Bearer:
    """A wire whose requests bring our credentials; everything else it leaves to the real one."""

    def __init__(self, wire: Wire, journal: Journal, accounts: Sequence[Account]) -> None:
        self._wire = wire
        self._journal = journal
        self._by_hop: dict[Hop, list[Account]] = {}
        for account in accounts:
            for hop in account.hops:
                self._by_hop.setdefault(hop, []).append(account)
        self._accounts: dict[Place, list[Account]] = {}
        self._until: dict[Place, float] = {}
        self._proofs: dict[tuple[Place, str, str], Proof] = {}  # by place, realm and user: the last one
        self.timers, self.tokens, self.listeners = wire.timers, wire.tokens, wire.listeners
        self.now, self.after, self.run = wire.now, wire.after, wire.run
        self.transmit, self.cancel = wire.transmit, wire.cancel
        self.respond, self.serve, self.acknowledge = wire.respond, wire.serve, wire.acknowledge
        self.locate, self.choose, self.failed = wire.locate, wire.choose, wire.failed

    def leads(self, uri: Uri, flow: Flow) -> None:
        """A next hop is at this address: what is sent there is for the accounts of the next hop."""
        accounts = self._by_hop.get(hop_of(uri))
        if accounts is None:
            return
        place = _place(flow)
        known = self._accounts.setdefault(place, [])
        known += [each for each in accounts if each not in known and each.leads(uri, flow.listener.zone)]
        self._until[place] = self.now() + LIFE
        if len(self._accounts) > PLACES:
            self._forget(next(iter(self._accounts)))

    def _forget(self, place: Place) -> None:
        del self._accounts[place], self._until[place]
        self._proofs = {key: proof for key, proof in self._proofs.items() if key[0] != place}

    def send(
        self, request: Request, flow: Flow, user: ClientUser, loop_key: LoopKey | None = None, name: str = ""
    ) -> ClientTransaction:
        """Send a request, with what is known to prove us; `name` is whom, where there are several in one realm."""
        place = _place(flow)
        if place in self._accounts and self._until[place] <= self.now():
            self._forget(place)
        if not self._accounts.get(place):
            return self._wire.send(request, flow, user, loop_key)
        self.bring(request, place, name)
        return self._wire.send(request, flow, Challenged(self, user, place, loop_key, name), loop_key)

    def again(self, request: Request, flow: Flow, user: Challenged, loop_key: LoopKey | None) -> ClientTransaction:
        """Send it once more."""
        return self._wire.send(request, flow, user, loop_key)

    def bring(self, request: Request, place: Place, name: str) -> None:
        """Put our credentials on a request: those that were asked for there before."""
        for realm in {each.realm for each in self._accounts.get(place, ())}:
            account = self.account(place, realm, request, name)
            proof = None if account is None else self._proofs.get((place, realm, account.user))
            if proof is not None:
                put(request.headers, proof.header, proof.credentials(request.method, request.uri_text, request.body))

    def account(self, place: Place, realm: str, request: Request, name: str) -> Account | None:
        """Who we are to `realm` at a place: as `name` or, of several, as the user in From; else as the first."""
        accounts = [each for each in self._accounts.get(place, ()) if each.realm == realm]
        name = name or (request.from_.uri.user if len(accounts) > 1 else "")
        return next((each for each in accounts if each.user == name), accounts[0] if accounts else None)

    def prove(self, place: Place, account: Account, asked: Asked) -> None:
        """Answer this challenge from now on."""
        self._proofs[place, account.realm, account.user] = Proof(account, asked, self.tokens.word())

    def heard(self, place: Place, request: Request, response: Response) -> Response:
        """A 2xx with the end of a digest exchange (RFC 7616 3.5), less that where the exchange was ours."""
        for (there, realm, _), proof in self._proofs.items():
            said = request.headers.get(proof.header, ())
            if there == place and proof.header == "Authorization" and len(said) == 1 and not others(said, realm):
                if nonce := next_nonce(response.first(INFO)):
                    self.prove(place, proof.account, Asked(proof.header, proof.challenge._replace(nonce=nonce)))
                headers = {name: values for name, values in response.headers.items() if name != INFO}
                return Response(response.status, response.reason, headers, response.body)
        return response

    def refused(self, place: Place, account: Account, flow: Flow, why: str) -> None:
        """The operator is told, and what was not taken is not brought again."""
        self._proofs.pop((place, account.realm, account.user), None)
        self._journal.unproved(flow, account.realm, account.user, why)


class Challenged:
    """Who sent a request, behind whom a challenge is answered."""

    __slots__ = ("_bearer", "_user", "_place", "_key", "_name", "_left", "_answered")

    def __init__(self, bearer: Bearer, user: ClientUser, place: Place, key: LoopKey | None, name: str) -> None:
        self._bearer = bearer
        self._user = user
        self._place = place
        self._key = key
        self._name = name
        self._left = TRIES
        self._answered: dict[str, int] = {}  # challenges, by realm

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """A response: the sender's, unless it asks for what is ours."""
        if response.status not in CHALLENGES:
            if INFO in response.headers and response.status < 300:
                response = self._bearer.heard(self._place, transaction.request, response)
            self._user.answered(transaction, response)
            return
        ours = self._ours(transaction.request, asked_by(response))
        proved = [self._prove(transaction.flow, account, asked) for account, asked in ours]
        if not ours:
            self._user.answered(transaction, response)
        elif not all(proved):
            # Another realm's challenge is still for the other side.
            left = without(response, frozenset(account.realm for account, _ in ours))
            self._user.answered(transaction, left or _instead(response, 503))
        elif not self._user.challenged(response, lambda: self._again(transaction)):
            self._user.answered(transaction, _instead(response, 487))  # taken back meanwhile

    def _ours(self, request: Request, asked: list[Asked]) -> list[tuple[Account, list[Asked]]]:
        """The challenges that are for us, by account."""
        found = []
        for realm in dict.fromkeys(each.challenge.realm for each in asked):
            account = self._bearer.account(self._place, realm, request, self._name)
            if account is not None:
                found.append((account, [each for each in asked if each.challenge.realm == realm]))
        return found

    def _prove(self, flow: Flow, account: Account, asked: list[Asked]) -> bool:
        """Whether there is an answer to a realm's challenges, and it is not one that was not taken."""
        before = self._answered.get(account.realm, 0)
        self._answered[account.realm] = before + 1
        chosen = strongest(account, asked)
        if chosen is None:
            self._bearer.refused(self._place, account, flow, "it asks for an algorithm or a quality that we have not")
        elif before > 1 or (before and not chosen.challenge.stale) or not self._left:
            self._bearer.refused(self._place, account, flow, "it does not take them")
        else:
            self._bearer.prove(self._place, account, chosen)
            return True
        return False

    def _again(self, transaction: ClientTransaction) -> ClientTransaction:
        """The same Call-ID and From tag, CSeq + 1, another branch (RFC 3261 22.2, S34)."""
        self._left -= 1
        request = transaction.request
        leg = request.speaker
        assert isinstance(leg, Leg), "a leg builds every request of ours"
        again = leg.again(request)
        self._bearer.bring(again, self._place, self._name)
        return self._bearer.again(again, transaction.flow, self, self._key)

    def unanswered(self, transaction: ClientTransaction, status: int, reason: str) -> None:
        """No final response will come."""
        self._user.unanswered(transaction, status, reason)

    def challenged(self, response: Response, again: object) -> bool:
        """Never: we are asked behind nobody."""
        return False


def brought(request: Request) -> Headers:
    """The credentials that a request has: an ACK to a 2xx says its INVITE's again (RFC 3261 13.2.2.4, 22.1)."""
    return {name: request.headers[name] for name in ANSWERS.values() if name in request.headers}


def _instead(response: Response, status: int) -> Response:
    """A response without a challenge, for one that is not to be seen."""
    headers = {name: response.headers[name] for name in ("Via", "From", "To", "Call-ID", "CSeq")}
    return Response(status, reason_of(status), headers)


def _place(flow: Flow) -> Place:
    return flow.listener.zone, flow.host, flow.port, flow.listener.transport == "tls"
