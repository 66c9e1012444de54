"""A transfer that we carry out ourselves (`refer = "local"`): nobody but who asks for it ever sees a REFER.

Who refers hands its place in the call to the target. The target is called without an offer, its offer goes to the
party that remains by re-INVITE, and that one's answer is in the ACK to the target (RFC 3725 4): one exchange, between
the two that are to talk, however the old session stood; and until the target has answered nothing has changed.

Refer-To with a Replaces that names a dialog of ours: there is nobody to call. The party at its other end is asked for
the offer instead, and both who refer are out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.book import Side
from b2bua.call.ids import Named
from b2bua.call.naming import embedded_replaces
from b2bua.call.news import News
from b2bua.call.own_invite import OwnCall, OwnInvite
from b2bua.dialog.leg import OVER, Leg, Standing
from b2bua.policy.hiding import OF_THE_BODY
from b2bua.sip.address import Address, parse_address
from b2bua.sip.dialogid import DialogId, Reference
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.sdp import describes
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.call import Call

Crossed = Callable[[Headers, bytes], None]  # the headers of a body, and the body, as another leg says them
AGAIN = 4  # times that an INVITE is tried which meets another one (RFC 3261 14.1)


class LocalTransfer:
    """One REFER carried out: from its 202 to the last NOTIFY.

    `_target` is whoever is to come in: a new leg of `call`, or a leg of `_other`, the call that is replaced.
    """

    __slots__ = (
        "call", "joining", "deadline", "_server", "_leg", "_remaining", "_news", "_target", "_offer", "_other",
        "_other_leg", "_outside", "_over", "_tries", "_quiet", "_offered", "_refusal",
    )  # fmt: skip

    def __init__(self, call: Call, side: Side, server: ServerTransaction) -> None:
        self.call = call
        self.joining = False  # a new session is being agreed: no other INVITE may be
        self.deadline = call.hall.wire.now() + call.hall.limits.longest_ring
        self._server = server
        self._leg = side.leg  # of who refers
        self._remaining = side.peer
        number = server.request.cseq[0]
        self._quiet = server.request.first("Refer-Sub").partition(";")[0].strip().lower() == "false"
        self._news = News(call, side.leg, f"refer;id={number}", self._quiet)
        self._target: OwnInvite | None = None
        self._offer: OwnInvite | None = None  # to the party that remains
        self._other: Call | None = None
        self._other_leg: Leg | None = None  # of who refers, in the other call
        self._outside: Named | None = None  # a dialog to be replaced that is not ours
        self._over = False
        self._tries = 0
        self._offered: Response | None = None  # the target's 2xx, which has its offer
        self._refusal = 0  # of the party that remains, while the target's own peer answers the offer

    def start(self) -> None:
        """Answer the REFER, and begin."""
        call = self.call
        try:
            to = _refer_to(self._server.request)
            replaces = embedded_replaces(to.uri)
        except Malformed as fault:
            self._answer(fault.status)
            return
        call.transfer = self
        self._answer(202, {"Refer-Sub": ["false"]} if self._quiet else None)
        self._news.tell(100)
        if replaces is None:
            self._call_target(to)
            return
        zone = self._leg.listener.zone
        named = call.hall.ids.resolve(zone, replaces.dialog) or Named(zone, replaces.dialog, None)
        if named.leg is None:
            self._outside = named
            self._call_target(to, replaces)
        else:
            self._take_over(named.leg, named.dialog)

    def _answer(self, status: int, more: Headers | None = None) -> None:
        self.call.refuse(Side(self.call, self._leg, self._remaining), self._server, status, more)

    # Whom it is for

    def _call_target(self, to: Address, replaces: Reference | None = None) -> None:
        """As if who refers had called it; but it is to read who remains in From."""
        hall, request = self.call.hall, self._server.request
        uri = to.uri
        params = {name: value for name, value in uri.params.items() if name != "method"}
        text = str(Uri(uri.scheme, uri.user, uri.host, uri.port, params, opaque=uri.opaque))
        headers: Headers = {
            "Via": request.headers["Via"],  # how often it has come to us
            "Max-Forwards": [str(hall.hops_left(request))],
            "From": [f"{self._leg.remote};tag={self._leg.remote_tag}"],
            "To": [f"<{text}>"],
            "Call-ID": [hall.wire.tokens.word()],
            "CSeq": ["1 INVITE"],
        }
        if "Referred-By" in request.headers:
            headers["Referred-By"] = request.headers["Referred-By"]
        shown = Request("INVITE", text, {**headers, "From": [f"{self._remaining.remote};tag=1"]})
        asked = ServerTransaction(Request("INVITE", text, headers), (), self._server.flow)

        def grant(leg: Leg) -> Headers:
            return self._granted(leg, shown, replaces)

        self._target = OwnCall(self.call, self._remaining, self, asked, shown, grant)
        hall.ask(self._target)

    def _granted(self, leg: Leg, shown: Request, replaces: Reference | None) -> Headers:
        hall = self.call.hall
        granted = hall.across(self._leg, leg, shown)[0]
        granted["Allow"] = [hall.ALLOW]
        if self._outside is not None and replaces is not None:
            if leg.listener.zone != self._outside.zone:
                raise Malformed("Replaces names a dialog of another zone", "RFC 3891 3", 481)
            granted["Replaces"] = [Reference(self._outside.dialog, replaces.early_only).written("Replaces")]
        return granted

    def _take_over(self, leg: Leg, dialog: DialogId) -> None:
        """The party at the end of `leg` talks to the one that remains here: their two calls become one."""
        side = self.call.hall.book.side(dialog.call_id, dialog.remote_tag, dialog.local_tag)
        other = self.call.hall.book.call_of(side) if side is not None else None
        if side is None or other is None or other is self.call or other.transfer is not None:
            self._fail(481)
            return
        if not other.answered_at or other.ended_at:
            self._fail(481)  # RFC 3891 3
            return
        self._other, self._other_leg = other, side.peer
        other.transfer = self
        self._target = OwnInvite(other, leg, self)
        self._invite(self._target)

    # An INVITE on a leg that is up may meet another one

    def _invite(self, invite: OwnInvite) -> None:
        self._tries = 0
        self.joining = True
        self._try(invite)

    def _try(self, invite: OwnInvite) -> None:
        if self._over:
            return
        if invite.call.busy(invite.leg):
            self._later(invite)
        else:
            invite.send()

    def _later(self, invite: OwnInvite) -> None:
        self._tries += 1
        if self._tries > AGAIN:
            self._fail(491)
            return
        # RFC 3261 14.1: between 2.1 and 4 seconds, as for who owns the Call-ID: a peer that does not comes before us.
        wait = 2.1 + self.call.hall.wire.tokens.below(190) / 100
        self.call.hall.wire.after(wait, lambda: self._try(invite))

    # What the parties say

    def ringing(self, invite: OwnInvite, status: int) -> None:
        """The target rings."""
        if invite is self._target:
            self._news.tell(status)

    def accepted(self, invite: OwnInvite, response: Response) -> None:
        """The target, with an offer; then the party that remains, with the answer."""
        target = self._target
        assert target is not None, "it was invited first"
        if invite is target:
            self._offered = response
            self._offer_to(self.call, self._remaining)
            return
        self._across(False, invite.leg, target.leg, response, partial(self._agree, target, invite))

    def _across(self, offers: bool, source: Leg, to: Leg, response: Response, then: Crossed) -> None:
        """Have the session description of a 2xx said by another leg; without one there is no transfer."""
        hall = self.call.hall

        def go() -> None:
            if not self._over:
                then(*self._session(response, source, to))

        def lost(status: int, reason: str) -> None:
            fault = Malformed(reason, "RFC 3261 13.2.1")
            hall.journal.fault(source.flow or self._server.flow, fault, "a 2xx")
            self._fail(502)

        if hall.media is None:
            try:
                go()
            except Malformed as fault:
                lost(fault.status, fault.reason)
        else:
            hall.media.open(self.call, to, source, self._server.request)
            hall.media.show(offers, source, to, response, self._server.request, go, lost)

    def _agree(self, target: OwnInvite, invite: OwnInvite, granted: Headers, body: bytes) -> None:
        """Both have a session: the target hears the answer to its offer."""
        target.acknowledge(granted, body)
        invite.acknowledge()
        if self._refusal:
            self._fail(self._refusal)
        else:
            self._done()

    def _session(self, response: Response, source: Leg, to: Leg) -> tuple[Headers, bytes]:
        """The session description of a 2xx as another leg says it, and the headers that speak of it."""
        if not response.body or not describes(response.first("Content-Type")):
            raise Malformed("no session description where one is due", "RFC 3261 13.2.1")
        granted, body = self.call.hall.across(source, to, response)
        return {name: values for name, values in granted.items() if name in OF_THE_BODY}, body

    def _offer_to(self, call: Call, leg: Leg) -> None:
        """The target's offer goes to a party whose answer the target is then told."""
        assert self._target is not None and self._offered is not None, "the target has made it"
        self._across(True, self._target.leg, leg, self._offered, partial(self._invite_to, call, leg))

    def _invite_to(self, call: Call, leg: Leg, granted: Headers, body: bytes) -> None:
        self._offer = OwnInvite(call, leg, self, granted, body)
        self._invite(self._offer)

    def refused(self, invite: OwnInvite, status: int) -> None:
        """The target is not to be had; or the party that remains does not take its offer."""
        of_a_call = not isinstance(invite, OwnCall)
        if status == 491 and of_a_call:
            self._later(invite)
            return
        if invite is self._offer and self._goes_back(status):
            return
        self._fail(self._refusal or status)
        if status in (408, 481) and of_a_call:
            invite.call.gone(invite.leg, f"the peer answers {status} to an INVITE")

    def _goes_back(self, status: int) -> bool:
        """Whether the target's offer goes to the party that it talks to: it waits for an answer, not for silence."""
        if self._refusal or self._other is None or self._other_leg is None or self._other_leg.standing in OVER:
            return False
        if status in (408, 481):
            return False  # nobody remains: its call ends, and the other goes on as after any failure
        self._refusal = status
        self._offer_to(self._other, self._other_leg)
        return True

    def overdue(self) -> None:
        """It rang for as long as a call may."""
        self._fail(408)

    # The end

    def hung_up(self, side: Side, transaction: ServerTransaction) -> bool:
        """A BYE: whether there is nobody to tell it to. Who refers may leave at once (RFC 5589 6.1)."""
        leaves = side.leg is self._leg or side.leg is self._other_leg
        if not leaves and side.peer.standing not in OVER:
            return False
        side.leg.standing = Standing.ENDED
        side.call.refuse(side, transaction, 200)
        if not leaves:
            call = self.call if side.leg is self._remaining else self._other
            assert call is not None, "it is in one of the two"
            call.end("hung up while it was transferred")
        return True

    def _done(self) -> None:
        """The two who are to talk do."""
        self._over, self.joining = True, False
        call, other, target = self.call, self._other, self._target
        assert target is not None, "it was invited"
        leg = target.leg
        if other is not None and self._other_leg is not None:
            other.dissolve("transferred")
            Left(call, self._other_leg).hang_up()
        call.regroup(self._remaining, leg)
        left = Left(call, self._leg)
        self._news.end(200, left.hang_up)

    def _fail(self, status: int) -> None:
        """The calls stay as they were; where the referrer has left one already, nobody is left to talk to."""
        if self._over:
            return
        self._stop(status)
        for call, leg in ((self.call, self._leg), (self._other, self._other_leg)):
            if call is not None and leg is not None and leg.standing in OVER:
                call.hang_up("the transfer failed, and who asked for it has left")

    def abandon(self) -> None:
        """A call ends under it."""
        self._fail(487)

    def _stop(self, status: int) -> None:
        self._over, self.joining = True, False
        self.call.transfer = None
        if self.call.hall.media is not None and self.call.far is not None:
            self.call.hall.media.only(self.call, self.call.near, self.call.far)
        if self._other is not None:
            self._other.transfer = None
        for invite in (self._offer, self._target):
            if invite is not None:
                invite.give_up()
        self._news.end(_told(status), lambda: None)


class Left:
    """Who has left a call: its leg stays for 64·T1, so that late messages find it (S33)."""

    __slots__ = ("_call", "_leg")

    def __init__(self, call: Call, leg: Leg) -> None:
        self._call = call
        self._leg = leg
        call.hall.book.pair(self, leg, leg)

    def hang_up(self) -> None:
        """BYE, unless it has sent one."""
        self._call.send_bye(self._leg)
        self._call.hall.wire.after(self._call.hall.wire.timers.patience, self._close)

    def _close(self) -> None:
        self._call.hall.book.part([(self._leg, self._leg)])

    def request(self, side: Side, transaction: ServerTransaction) -> None:
        """BYE is right, anything else too late."""
        bye = transaction.method == "BYE"
        if bye:
            self._leg.standing = Standing.ENDED
        self.refuse(side, transaction, 200 if bye else 481)

    def ack(self, side: Side, ack: Request) -> None:
        """The ACK for a 2xx of ours, for which the BYE may have waited."""
        self._call.ack(side, ack)

    def refuse(self, side: Side, transaction: ServerTransaction, status: int, more: Headers | None = None) -> None:
        """Answer it ourselves."""
        self._call.refuse(side, transaction, status, more)


def _refer_to(request: Request) -> Address:
    """Whom to call; Malformed with the status for what is none, or asks for another method (RFC 3515 2.4.2)."""
    to = parse_address(request.first("Refer-To"), "RFC 3515 2.1")
    if not to.uri.is_sip and to.uri.scheme != "tel":
        raise Malformed("a Refer-To that cannot be called", "RFC 3515 2.4.2", 416)
    if (to.uri.params.get("method") or "INVITE").upper() != "INVITE":
        raise Malformed("a Refer-To for another method than INVITE", "RFC 3515 2.4.2", 603)
    return to


def _told(status: int) -> int:
    """A status as the referrer may read it: as a caller would (S29)."""
    if 300 <= status < 400:
        return 480
    return 500 if status == 503 else status
