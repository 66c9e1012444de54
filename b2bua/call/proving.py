"""Credentials before anything else: a request that needs a password is asked for one before the hall looks at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from b2bua.dialog.reply import reply
from b2bua.policy.authentication import Authentication, Verdict, asked_of
from b2bua.policy.users import Secret, UsersFailed, checked
from b2bua.policy.zones import Zone
from b2bua.sip.digest import Credentials, algorithm_of
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Message, Request
from b2bua.sip.status import reason_of
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

# What belongs to a dialog is covered by what began it; of these the hall says itself that there is none.
_IN_DIALOGS = frozenset({"BYE", "UPDATE", "PRACK"})


class Proving:
    """Lets requests in that are proved; `enter` is where one goes whose proof took its time."""

    __slots__ = ("_hall", "_authentication", "_enter")

    def __init__(self, hall: Hall, authentication: Authentication, enter: Callable[[ServerTransaction], None]) -> None:
        self._hall = hall
        self._authentication = authentication
        self._enter = enter

    def lets_in(self, transaction: ServerTransaction, zone: Zone) -> bool:
        """Whether a request may come in now; if not it has its answer, or waits for the users' source."""
        hall, request = self._hall, transaction.request
        if not asked_of(zone, request) or request.method in _IN_DIALOGS:
            return True
        if hall.draining and request.method != "REGISTER":
            return True  # its answer is 503 in any case; a REGISTER is carried out all the same
        if request.method == "OPTIONS" and not request.uri.user and hall.is_me(request.uri):
            return True  # it asks whether we are there, as its answer to a stranger does
        try:
            claim = self._authentication.claim(request)
        except Malformed as fault:
            self._broken(transaction, fault)
            return False
        stale = claim is not None and self._authentication.foreign(transaction.flow, claim)
        if claim is None or stale:  # before the users are asked, who may be far away
            flow, now = transaction.flow, hall.wire.now()
            self._answer(transaction, self._authentication.challenge(request, flow, now, stale))
            return False
        return self._asked(transaction, claim)

    def strip(self, zone: Zone, message: Message, granted: Headers) -> None:
        """Take out of what crosses the credentials that were for us.

        A phone says them in its calls too, asked or not. A REGISTER that goes on unasked has those of whom it goes to,
        whose realm may have the same name.
        """
        if zone.authenticate:
            registers = isinstance(message, Request) and message.method == "REGISTER"
            if not registers or "REGISTER" in zone.authenticate:
                self._authentication.strip(granted)

    def _asked(self, transaction: ServerTransaction, claim: Credentials) -> bool:
        """Ask for the user's HA1. A source that takes its time calls back."""
        realm, algorithm = self._authentication.realm, algorithm_of(claim.algorithm)
        try:
            said = realm.users.ha1(claim.username, realm.name, algorithm)
            if not isinstance(said, Awaitable):
                return self._judged(transaction, claim, checked(said, algorithm))
        except UsersFailed as error:
            self._failed(transaction, str(error))
        except Exception:  # noqa: BLE001 - the operator's code may raise anything, and only this request is harmed
            self._hall.journal.script_failed(transaction.request)
            self._failed(transaction, "")
        else:
            Waiting(self, transaction, claim).begin(said, algorithm)
        return False

    def _known(self, claim: Credentials, secret: Secret, transaction: ServerTransaction) -> None:
        """The source has said at last whom it knows."""
        if self._judged(transaction, claim, secret):
            self._enter(transaction)

    def _judged(self, transaction: ServerTransaction, claim: Credentials, secret: Secret) -> bool:
        request, flow, now = transaction.request, transaction.flow, self._hall.wire.now()
        verdict = self._authentication.judge(request, flow, claim, secret, now)
        if verdict.status:
            self._answer(transaction, verdict)
            return False
        transaction.proved = claim.username
        return True

    def _broken(self, transaction: ServerTransaction, fault: Malformed) -> None:
        """Credentials that cannot be read or judged: the answer says why, for whoever looks for the fault."""
        hall, request = self._hall, transaction.request
        hall.journal.fault(transaction.flow, fault, f"the credentials of {request.method}", answered=True)
        reason = f"{reason_of(fault.status)} - {fault.reason}"
        hall.wire.respond(transaction, reply(request, fault.status, hall.wire.tokens.word(), reason))

    def _failed(self, transaction: ServerTransaction, why: str) -> None:
        """Nobody can be let in: the operator has to look after the users."""
        if not transaction.answered:
            self._hall.refuse(transaction, 500, f"the users cannot be asked{f': {why}' if why else ''}")

    def _answer(self, transaction: ServerTransaction, verdict: Verdict) -> None:
        """Say no, or not yet. That somebody begins without credentials is as it should be: not a line in the log."""
        hall, request = self._hall, transaction.request
        if verdict.why:
            hall.refuse(transaction, verdict.status, verdict.why, verdict.more)
        else:
            answer = reply(request, verdict.status, hall.wire.tokens.word(), more=verdict.more)
            hall.wire.respond(transaction, answer)


class Waiting:
    """A request that waits until the operator's users' source has an answer. It can be cancelled meanwhile."""

    __slots__ = ("_proving", "_transaction", "_claim")

    def __init__(self, proving: Proving, transaction: ServerTransaction, claim: Credentials) -> None:
        self._proving = proving
        self._transaction = transaction
        self._claim = claim
        transaction.user = self

    def begin(self, said: Awaitable[Secret], algorithm: str) -> None:
        """Wait, but not for ever."""
        wire = self._proving._hall.wire
        wire.run(self._later(said, algorithm), self._found, self._lost)
        wire.after(wire.timers.patience, self._lost)

    async def _later(self, said: Awaitable[Secret], algorithm: str) -> Secret:
        return checked(await said, algorithm)

    def _found(self, secret: Secret) -> None:
        if self._waits:
            self._transaction.user = None
            enter = partial(self._proving._known, self._claim, secret)
            self._proving._hall.wire.serve(self._transaction, enter)

    def _lost(self) -> None:
        if self._waits:
            transaction = self._transaction
            transaction.user = None
            self._proving._failed(transaction, "")

    @property
    def _waits(self) -> bool:
        """Whether nothing has become of the request yet."""
        return self._transaction.user is self and not self._transaction.answered

    def cancelled(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller wants it no more; another request than INVITE has its answer all the same (RFC 3261 9.2)."""
        if transaction.method == "INVITE" and self._waits:
            wire = self._proving._hall.wire
            wire.respond(transaction, reply(transaction.request, 487, wire.tokens.word()))

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Never: it has had no 2xx."""

    def unacknowledged(self, transaction: ServerTransaction) -> None:
        """Never."""
