"""The hall: every new request comes here, and is given to its call or begins another one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from b2bua.call import refresh
from b2bua.call.across import ONLY_SDP, Across, came_from
from b2bua.call.addresses import Attempt
from b2bua.call.anchoring import Anchors
from b2bua.call.bindings import Binding
from b2bua.call.book import Book
from b2bua.call.call import Call
from b2bua.call.circles import circle, loop_key
from b2bua.call.credentials import Bearer
from b2bua.call.enrolment import Enrolments
from b2bua.call.foreign import beware
from b2bua.call.homes import Home, at_home, heard
from b2bua.call.hunt import Entrant
from b2bua.call.ids import Ids
from b2bua.call.limits import Limits
from b2bua.call.lookup import Lookup
from b2bua.call.mid_registrar import MidRegistrar
from b2bua.call.naming import TAKING_PART, party, translated, way_to
from b2bua.call.own_invite import OwnCall
from b2bua.call.passing import Passing
from b2bua.call.proving import Proving
from b2bua.call.registrar import Registrar
from b2bua.call.setup import Setup
from b2bua.call.shown import callee, caller, request_uri
from b2bua.call.subscription import SUBSCRIBING, Subscription
from b2bua.call.transfer import not_for_transfer
from b2bua.call.wire import Journal, Wire
from b2bua.dialog.leg import Leg
from b2bua.dialog.reply import reply
from b2bua.dialog.session_timer import too_short
from b2bua.policy.accounts import Account
from b2bua.policy.admission import LATER, Admission, Limit
from b2bua.policy.authentication import Authentication
from b2bua.policy.crossing import METHODS, OPTION_TAGS
from b2bua.policy.enrolling import Enrolling
from b2bua.policy.groups import Groups
from b2bua.policy.hiding import NAMING, NEEDS_MEDIA, Hiding, beyond_us, unsupported
from b2bua.policy.routing import AUTO, REGISTERED, Answer, Go, Reject, Rule, decide
from b2bua.policy.zones import Zone
from b2bua.sip.grammar import Malformed
from b2bua.sip.listener import Connection, Flow, Listener
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.tokens import LoopKey
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ServerTransaction

# These belong into a dialog that we know, or (REGISTER) are not bridged, unless they are wanted.
_OTHER_DIALOGS = frozenset({"REGISTER", "NOTIFY", "PRACK", "BYE", "UPDATE"})

ALIAS = "a registered phone"  # what stands for the rule, where none was asked

Script = Callable[[Request, Flow, Sequence[Listener], str], "Answer | None | Coroutine[Any, Any, Answer | None]"]


class Hall:
    """Calls, and the decisions that begin them."""

    ALLOW = ", ".join(sorted(METHODS))
    IN_DIALOG_REFUSED = frozenset({"REGISTER"})

    def __init__(
        self,
        wire: Wire,
        journal: Journal,
        zones: Mapping[str, Zone],
        hidings: Mapping[tuple[str, str], Hiding],
        rules: Sequence[Rule],
        script: Script | None,
        limits: Limits,
        groups: Groups,
        accounts: Sequence[Account] = (),
        registrations: Sequence[Enrolling] = (),
    ) -> None:
        self.bearer = Bearer(wire, journal, accounts) if accounts else None
        self.bare = wire  # for a REGISTER passed through: who we are is no proof of who the phone is
        self.wire: Wire = wire if self.bearer is None else self.bearer
        self.journal = journal
        self.book = Book()
        self.ids = Ids(self.book, wire.tokens, wire.now)
        self.limits = limits
        self.groups = groups
        self._counts = bool(groups)
        limited = Admission(
            {zone.name: zone.quota for zone in zones.values()}, {rule.name: rule.quota for rule in rules}
        )
        self.admission = limited if limited else None
        self.registrar: Registrar | None = None  # who answers REGISTER
        self.lookup: Lookup | None = None  # who knows whom "lookup" means
        self.inside: MidRegistrar | None = None  # for phones that register with somebody inside
        self.media: Anchors | None = None  # where media is anchored
        self.enrolments = Enrolments(self, registrations) if registrations else None
        self.draining = False
        self._proving: Proving | None = None
        self._zones = zones
        self._hidings = hidings
        self._rules = rules
        self._script = script
        self._unsolicited = tuple(rule for rule in rules if rule.asks_for("NOTIFY"))
        self._inwards = tuple(rule for rule in rules if rule.asks_for("REGISTER"))

    def ask_for_credentials(self, authentication: Authentication) -> None:
        """From now on the zones that say so ask for a password."""
        self._proving = Proving(self, authentication, self._outside)

    # Requests

    def request(self, transaction: ServerTransaction) -> None:
        """A request that `check_request` passed and that no transaction knew."""
        request = transaction.request
        if request.to_tag:
            self._in_dialog(transaction)
        elif self._proving is None or self._proving.lets_in(transaction, self._zones[transaction.flow.listener.zone]):
            self._outside(transaction)

    def ack(self, ack: Request) -> None:
        """An ACK for a 2xx is a request of its own, in the dialog."""
        side = self.book.find(ack)
        if side is not None:
            side.call.ack(side, ack)

    def closed(self, connection: Connection) -> None:
        """A connection is gone: nobody is reached by it any more."""
        if self.lookup is not None:
            self.lookup.bindings.closed(connection)

    def keeps(self, connection: Connection) -> bool:
        """Whether somebody is registered by a connection."""
        return self.lookup is not None and bool(self.lookup.bindings.on(connection))

    def _in_dialog(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        side = self.book.find(request)
        if side is None:
            subscription = self.book.expects(request) if request.method == "NOTIFY" else None
            if subscription is None or not subscription.notify(transaction):
                self.refuse(transaction, 481, "no such dialog")
        elif side.leg.repeats(request):
            side.call.refuse(side, transaction, 500)  # RFC 3261 12.2.2: out of order
        else:
            side.leg.remote_cseq = request.cseq[0]
            heard(side.leg, transaction.flow, self.wire.now())
            side.call.request(side, transaction)

    def _outside(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        method = request.method
        stray = method in _OTHER_DIALOGS and not self._wanted(transaction)
        if stray and method == "REGISTER" and self.registrar is not None:
            self.registrar.request(transaction)
        elif self.draining and method != "REGISTER":
            self.refuse(transaction, 503, "no new calls: draining", {"Retry-After": [str(LATER)]})
        elif method == "OPTIONS" and not request.uri.user and self.is_me(request.uri):
            self._describe(transaction)
        elif stray:
            status = 405 if method == "REGISTER" else 481
            self.refuse(transaction, status, f"{method} outside a dialog", {"Allow": [self.ALLOW]})
        elif method == "SUBSCRIBE" and "Event" not in request.headers:
            self.refuse(transaction, 489, "a SUBSCRIBE without Event")  # RFC 6665 8.2.1
        elif lacking := unsupported(request, self.inside.options if self.inside and method == "REGISTER" else ()):
            self.refuse(transaction, 420, "a required extension", {"Unsupported": [", ".join(lacking)]})
        elif self.media is None and beyond_us(request):
            self.refuse(transaction, 500, NEEDS_MEDIA)
        elif self.hops_left(request) < 0:
            self.refuse(transaction, 483, "Max-Forwards is used up")
        elif too_short(request, self.limits.min_se):
            self.refuse(transaction, 422, "a session interval that is too short", {"Min-SE": [str(self.limits.min_se)]})
        elif why := circle(self.wire.tokens, request, self.limits.spirals):
            self.refuse(transaction, 482, why)
        elif self.admission is not None and (
            full := self._full(self.admission.zones.get(transaction.flow.listener.zone), request)
        ):
            self.refuse(transaction, 503, *full)
        else:
            self._begin(transaction)

    def _wanted(self, transaction: ServerTransaction) -> bool:
        """Whether a NOTIFY that nobody asked for, or a REGISTER, is let in: where a rule names the method.

        Else the NOTIFY is answered 481 (RFC 6665 4.1.3). Old PBXs and voice mail systems tell of waiting messages so,
        registrars also to the alias of a phone.
        """
        method, request, flow = transaction.method, transaction.request, transaction.flow
        if method == "NOTIFY":
            if self.inside is not None and self.inside.called(request, flow):
                return True
            return isinstance(decide(self._unsolicited, request, flow), Go)
        return method == "REGISTER" and self.inside is not None and isinstance(decide(self._inwards, request, flow), Go)

    def _begin(self, transaction: ServerTransaction) -> None:
        if transaction.method == "REGISTER" and self.inside is not None:
            self.inside.request(transaction)
            return
        near = self.near_leg(transaction)
        if transaction.method in SUBSCRIBING:
            self._subscribe(near, transaction)
            return
        if transaction.method != "INVITE":
            self._decide(Passing(self, near, transaction))
            return
        call = Call(self, near)
        call.setup = Setup(call, near, transaction)
        self.book.open(call)
        if self.admission is not None:
            self.admission.enter(self.admission.zones.get(near.listener.zone), call.id)
        call.note(near, False, "INVITE")
        self._decide(call.setup)

    def _subscribe(self, near: Leg, transaction: ServerTransaction) -> None:
        """A subscription stays as long as its peers like, without a word: there is only room for so many."""
        if 0 < self.limits.subscriptions <= len(self.book.subscriptions):
            self.refuse(transaction, 503, "too many subscriptions", {"Retry-After": [str(LATER)]})
            return
        subscription = Subscription(self, near, transaction)
        self.book.subscriptions[subscription.id] = subscription
        self._decide(subscription)

    # Policy

    def _decide(self, entrant: Entrant) -> None:
        """The script first, then the rules; but whoever calls a phone's alias is let through to it."""
        if self.inside is not None and self.inside.called(entrant.server.request, entrant.server.flow):
            self._go(entrant, Go((REGISTERED,), rule=ALIAS))
            return
        if self._script is None:
            self._decided(entrant, None)
            return
        request, flow = entrant.server.request, entrant.server.flow
        try:
            said = self._script(request, flow, self.wire.listeners, entrant.server.proved)
        except Exception:  # noqa: BLE001 - the operator's code may raise anything, and only its call is harmed
            self.journal.script_failed(request)
            self._refuse_new(entrant, 500, "the policy script failed")
            return
        if isinstance(said, Coroutine):
            failed = partial(self._refuse_new, entrant, 500, "the policy script failed")
            self.wire.run(said, partial(self._decided_late, entrant), failed)
            self.wire.after(self.wire.timers.patience, partial(self._overdue, entrant))
        else:
            self._decided(entrant, said)

    def ask(self, entrant: Entrant) -> None:
        """Have it decided where a request goes that we make ourselves, as if it had come in."""
        self._decide(entrant)

    def _overdue(self, entrant: Entrant) -> None:
        if not entrant.started:
            self._refuse_new(entrant, 500, "the policy script did not answer")

    def _decided_late(self, entrant: Entrant, answer: Answer | None) -> None:
        """The script took its time: nobody above us is left who would answer for a fault of ours."""
        try:
            self._decided(entrant, answer)
        except Exception:  # noqa: BLE001 - our own fault must cost one request, and leave none unanswered
            self.journal.crashed(entrant.server.request)
            if not entrant.server.answered:
                entrant.refuse(500, "a fault of ours")

    def _decided(self, entrant: Entrant, answer: Answer | None) -> None:
        server = entrant.server
        if server.answered:
            return  # taken back meanwhile
        if answer is None:
            answer = decide(self._rules, server.request, server.flow)
        if answer is None:
            self._refuse_new(entrant, 404, "no route")
        elif isinstance(answer, Reject):
            self._refuse_new(entrant, answer.status, answer.reason or f"rule {answer.rule}", answer.reason)
        elif self.admission is None or self._admitted(self.admission, entrant, answer):
            self._go(entrant, answer)

    def _go(self, entrant: Entrant, answer: Go) -> None:
        request, flow = entrant.server.request, entrant.server.flow
        try:
            if self.media is not None:
                self.media.policy.check(answer.options.media)
            answer = self._by_route(request, flow, self._to_party(request, flow, answer))
            if answer.grouped:
                answer = self.groups.spelled_out(answer, self.wire.now())
        except Malformed as fault:
            self._refuse_new(entrant, fault.status, fault.reason)
        except LookupError as error:  # of a script: the rules' groups and engines are checked
            self._refuse_new(entrant, 500, str(error))
        else:
            entrant.start(answer)

    def _to_party(self, request: Request, flow: Flow, answer: Go) -> Go:
        """Where an INVITE goes that takes part in a dialog: policy lets it in, the dialog says to whom (`naming`)."""
        if "Replaces" not in request.headers and "Join" not in request.headers:
            return answer
        leg = party(self.ids, flow.listener.zone, request).leg
        if leg is None:
            return answer
        uri, listener = way_to(leg)
        return Go((uri,), listener.name, answer.rule, answer.options)

    def _refuse_new(
        self, entrant: Entrant, status: int, why: str, reason: str = "", more: Headers | None = None
    ) -> None:
        if not entrant.server.answered:
            self.journal.refused(entrant.server.request, entrant.server.flow, status, why)
            entrant.refuse(status, why, reason, more)

    # Admission

    def _full(self, limit: Limit | None, request: Request) -> tuple[str, Headers] | None:
        """Why a limit lets no more in, and the headers that say when it may; None where there is room."""
        if limit is None:
            return None
        why, later = limit.admits(self.wire.now(), request.method == "INVITE")
        return (why, {"Retry-After": [str(later)]}) if why else None

    def _admitted(self, admission: Admission, entrant: Entrant, answer: Go) -> bool:
        """Whether a route takes one more; if not, that is the answer."""
        limit = admission.routes.get(answer.rule)
        if limit is not None and isinstance(entrant, OwnCall) and entrant.call.id in limit.live:
            return True  # a transfer: the call is there already, and one party comes for another
        full = self._full(limit, entrant.server.request)
        if full is not None:
            self._refuse_new(entrant, 503, full[0], more=full[1])
        elif isinstance(entrant, Setup):
            admission.enter(limit, entrant.call.id)
        return full is None

    def _by_route(self, request: Request, flow: Flow, answer: Go) -> Go:
        """A preloaded Route that names another listener of ours chooses it, where policy leaves the choice (S1)."""
        if answer.send_from != AUTO or "Route" not in request.headers:
            return answer
        for route in request.addresses("Route"):
            named = [listener for listener in self.wire.listeners if route.uri.is_sip and listener.is_me(route.uri)]
            if not named:
                break  # from here on they are for others
            if flow.listener not in named:
                return Go(answer.to, named[0].name, answer.rule, answer.options)
        return answer

    # What its parts ask

    def refuse(self, transaction: ServerTransaction, status: int, why: str, more: Headers | None = None) -> None:
        """Answer a request for which there is no call."""
        self.journal.refused(transaction.request, transaction.flow, status, why)
        self.wire.respond(transaction, reply(transaction.request, status, self.wire.tokens.word(), more=more))

    def hops_left(self, request: Request) -> int:
        """Max-Forwards for the other leg (RFC 7332); negative when it is used up."""
        hops = request.headers.get("Max-Forwards")
        return int(hops[0]) - 1 if hops else 69

    def loop_key(self, request: Request) -> LoopKey:
        """What decides where a request goes: the same again is a loop (RFC 3261 16.6.8); and which pass this is."""
        return loop_key(self.wire.tokens, request)

    def across(self, source: Leg, target: Leg, message: Request | Response) -> tuple[Headers, bytes]:
        """What of a message crosses: the headers that the table grants, and the body as the target leg says it.

        Malformed for a session description that cannot be read.
        """
        zone = target.listener.zone
        if source.listener.zone != zone:
            beware(target, source, message, self._zones[zone].keep_hosts)
        hiding = self._hidings[source.listener.zone, zone]
        granted, body = self._granted(hiding, source, target, message), message.body
        if not body:
            return granted, body
        try:
            if message.headers.get("Content-Type") == ONLY_SDP:
                if self.media is not None:
                    body = self.media.said(source, target, message, body)
                return granted, target.sdp.own(body)
            return Across(self, hiding, source, target, message, granted).carried()
        except Malformed as fault:
            self.journal.fault(came_from(source), fault, "a body")
            raise

    def strip(self, zone: str, message: Request | Response, headers: Headers) -> None:
        """Take out of what a message from a zone hands on the credentials that were for us."""
        if self._proving is not None:
            self._proving.strip(self._zones[zone], message, headers)

    def _granted(self, hiding: Hiding, source: Leg, target: Leg, message: Request | Response) -> Headers:
        """The headers that cross."""
        if NAMING.isdisjoint(message.headers) or not isinstance(message, Request):
            granted = hiding.grant(message, target.listener.host)
        else:
            granted = self._naming(hiding, source, target, message)
        self.strip(source.listener.zone, message, granted)
        if source.barred or target.barred:
            source.barred = target.barred = True
            not_for_transfer(granted)
        return granted

    def _naming(self, hiding: Hiding, source: Leg, target: Leg, request: Request) -> Headers:
        """The headers of a request that names a dialog. Malformed for an INVITE that names one of elsewhere."""
        granted = hiding.grant(request, target.listener.host, partial(translated, self.ids, source, target, request))
        for name in TAKING_PART:
            if name in request.headers and name not in granted and not request.to_tag and hiding.explain(name)[0]:
                raise Malformed(f"{name} names a dialog of another zone", "RFC 3891 3", 481)
        return granted

    def crossed(self, far: Leg, near: Leg, request: Request, response: Response) -> Response:
        """The far side's response as the near leg says it; 502 for a success that cannot be read (RFC 3261 21.5.3)."""
        status = _status_across(response.status)
        try:
            granted, body = self.across(far, near, response)
        except Malformed:
            if 200 <= status < 300:
                return near.response(request, 502)
            granted, body = self.across(far, near, Response(status, "", response.headers))
        return near.response(request, status, granted, body)

    def near_leg(self, transaction: ServerTransaction) -> Leg:
        """The leg of a peer that calls us; a phone that is registered is reached as it registered (S53)."""
        near = Leg.of_request(transaction.request, transaction.flow, self.wire.tokens)
        at_home(near, transaction, self.inside or self.lookup, self.wire.now())
        return near

    def far_leg(self, request: Request, attempt: Attempt, server: ServerTransaction) -> Leg:
        """A leg for a request that is sent on to a target; `server` is by which somebody asked for that."""
        if self._counts:
            self.groups.sent(attempt.uri)
        if self.bearer is not None:
            self.bearer.leads(attempt.uri, attempt.flow)
        if attempt.binding is not None:
            leg = self.leg_to(request, attempt.uri, attempt.flow.listener, attempt.binding)
            leg.bind(attempt.flow, attempt.binding.path)
            if self.lookup is not None:
                leg.home = Home(self.lookup.bindings, attempt.binding, self.wire.now())
            return leg
        leg = self.leg_to(request, attempt.uri, attempt.flow.listener)
        if self.inside is not None and (routes := self.inside.routes(server, leg.listener)):
            leg.bind(attempt.flow, routes)
        if self.enrolments is not None:
            self.enrolments.preload(leg, attempt.uri)
        return leg

    def leg_to(self, request: Request, hop: Uri, listener: Listener, binding: Binding | None = None) -> Leg:
        """A leg towards a target: its From, To and Request-URI show our own host, or what the zone may see."""
        zone = self._zones[listener.zone]
        shown = uri = request_uri(request, hop, zone) if binding is None else hop
        if binding is not None and self.lookup is not None and self.lookup.name:
            shown = Uri("sip", "", self.lookup.name)
        local, remote = caller(request, listener, zone), callee(request, shown, zone)
        if binding is not None and self.inside is not None:
            remote = self.inside.named(request, remote)
        leg = Leg.to_peer(listener, local, remote, uri, self.wire.tokens)
        if request.method == "INVITE" and (
            "Session-Expires" in request.headers or "Require" in request.headers or self.limits.session_expires
        ):
            refresh.begin(leg, request, self.limits)
        return leg

    def is_me(self, uri: Uri) -> bool:
        """Whether a URI names one of our listeners (S10)."""
        return uri.is_sip and any(listener.is_me(uri) for listener in self.wire.listeners)

    def _describe(self, transaction: ServerTransaction) -> None:
        """OPTIONS to ourselves (RFC 3261 11.2)."""
        more = {
            "Allow": [self.ALLOW],
            "Accept": ["application/sdp, */*"],
            "Supported": [", ".join(sorted(OPTION_TAGS))],
        }
        self.wire.respond(transaction, reply(transaction.request, 200, self.wire.tokens.word(), more=more))

    def hang_up_all(self, why: str) -> None:
        """End every call, on both sides of each, and at once: there may be no later."""
        for call in self.book:
            call.hang_up(why)
            for pair in call.pairs:
                for leg in pair:
                    call.release(leg)


def _status_across(status: int) -> int:
    """The status told to the other side: it cannot use a redirection's addresses; a 503 is not ours (S29).

    Nor is a connection that it is not an end of (430, RFC 5626 11.5).
    """
    if status in (422, 503):  # the session interval that was too short was ours
        return 500
    return 480 if 300 <= status < 400 or status == 430 else status
