"""Pass-through registration (S54): phones register with a registrar inside, and neither side sees the other.

The inside knows a phone by an alias of ours at the listener that it is sent from, always the same one for a phone. Its
calls to the alias find the phone by the binding, as every call to a registered phone does. Why did this REGISTER not go
inside? `MidRegistrar._fresh`. What does the inside know of a phone? `Passage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from b2bua.call.across import came_from
from b2bua.call.addresses import Hop
from b2bua.call.bindings import Binding, Bindings
from b2bua.call.credentials import brought
from b2bua.call.hunt import Outcome
from b2bua.call.inward import NOT_ACROSS, Inward, Wish
from b2bua.call.passages import SECRET, Passage, Passages, contact, key_of
from b2bua.call.registrar import OPTIONS, Plan, Refused, Registrar, Terms
from b2bua.call.removal import Removal
from b2bua.dialog.leg import Leg
from b2bua.dialog.reply import reply
from b2bua.policy.enrolling import MOST, longer
from b2bua.sip.address import parse_address
from b2bua.sip.grammar import Malformed, is_number
from b2bua.sip.listener import Flow, Listener
from b2bua.sip.message import Headers, Request, Response
from b2bua.sip.registration import aor_of, contacts
from b2bua.sip.uri import Uri
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

AHEAD = 2  # of a phone's refreshes there is time for so many, before what the inside granted is over
RESTORED = 2.0  # seconds after the start, when what was left behind is taken away inside


class MidRegistrar(Registrar):
    """Takes the REGISTERs that a route sends on, and knows whose an alias is."""

    # A GRUU of the inside's domain is not ours to make, and we do not take its own across (RFC 5627 5.1).
    options = OPTIONS - {"gruu"}

    def __init__(self, hall: Hall, bindings: Bindings, terms: Terms) -> None:
        short = min(terms.phone_expires, terms.max_expires)
        own = replace(terms, min_expires=min(terms.min_expires, short), default_expires=short, max_expires=short)
        super().__init__(hall, bindings, own)
        self.passages = Passages(bindings.store, bindings.secret("aliases", hall.wire.tokens.octets(SECRET)))
        self._least: dict[str, int] = {}  # seconds, by the next hop that asked for them (423)
        self._cseq = 0
        # By address of record and key: REGISTERs that the inside has not answered yet.
        self._under_way: Counter[tuple[str, str]] = Counter()

    def begin(self) -> None:
        """Enter what the store has kept, after the bindings."""
        self.passages.load([(each.aor, each) for each in self.bindings], self.hall.wire.now())
        self._cseq = self.passages.highest_cseq
        if self.passages.orphans:
            self.hall.wire.after(RESTORED, self._clear)

    def is_ours(self, uri: Uri) -> bool:
        """The registrar inside says which domains it has."""
        return uri.is_sip

    def aor(self, uri: Uri) -> str:
        """Where the domain is none of ours it counts: the registrar inside may have several."""
        return super().aor(uri) if super().is_ours(uri) else aor_of(uri, uri.host.lower())

    # REGISTER

    def request(self, transaction: ServerTransaction) -> None:
        """Answer a REGISTER, or have it sent inside. Malformed says what is wrong with it."""
        try:
            wish = self._wish(transaction)
            if self._fresh(wish):
                self._answered(wish, self._changed(wish))
                return
        except Refused as no:
            self._refuse(transaction, no)
            return
        inward = Inward(self, self.hall.near_leg(transaction), wish)
        self._under_way.update((wish.aor, key) for key in inward.keys)
        self.hall.ask(inward)

    def _wish(self, transaction: ServerTransaction) -> Wish:
        request = transaction.request
        aor = self._aor_of(transaction)
        asked = contacts(request, self.terms.max_bindings)
        path = self._path(request) if asked else ()
        plans = self._plans(transaction, aor, asked)
        for plan in plans:
            self._way(request, transaction.flow, plan, path)
        return Wish(transaction, aor, asked, plans, path)

    def _fresh(self, wish: Wish, due: bool = False) -> bool:
        """Whether the inside needs not hear of it: the same phone by the same way, and it was told not long ago.

        From another port or connection it may be somebody else: then the inside asks for the password. `due`: it should
        have heard of it by now, but what it granted still lasts.
        """
        if not wish.asked:
            return False
        request, flow, now = wish.transaction.request, wish.transaction.flow, self.hall.wire.now()
        for plan in wish.plans:
            known, passage = plan.known, self.passages.of(wish.aor, plan.asked)
            if known is None or not plan.seconds or passage is None or (passage.fresh <= now and not due):
                return False
            if known.contact != plan.asked.contact or known.call_id != request.call_id:
                return False
            if not known.flow.same_way(flow) or passage.until <= now + plan.seconds:
                return False
        return True

    def tides_over(self, wish: Wish) -> bool:
        """Nobody inside answers: a phone stays registered for as long as the inside has granted. Whether it did."""
        if not self._fresh(wish, True):
            return False
        self._answered(wish, self._changed(wish))
        return True

    def _changed(self, wish: Wish) -> Headers:
        """Do as the phone asks; the headers of its 200."""
        request, now = wish.transaction.request, self.hall.wire.now()
        if wish.plans:
            self._register(wish.transaction, wish.aor, wish.plans, wish.path, now)
        headers = self._answer(request, wish.aor, bool(wish.plans), wish.path, now)
        listener = wish.transaction.flow.listener
        routes = [passage for plan in wish.plans if (passage := self.passages.of(wish.aor, plan.asked)) is not None]
        if any(passage.service_route for passage in routes):
            headers["Service-Route"] = [_service_route(listener)]
        return headers

    def _answered(self, wish: Wish, headers: Headers) -> None:
        request = wish.transaction.request
        self.hall.wire.respond(wish.transaction, reply(request, 200, self.hall.wire.tokens.word(), more=headers))

    # Inside

    def dressed(self, far: Leg, wish: Wish, seconds: Sequence[int]) -> list[str]:
        """Make a leg the inside's for this phone, and say its aliases, as Contacts for so many seconds each."""
        first = self.passages.words(wish.aor, wish.plans[0].asked if wish.plans else None)
        far.call_id = first.call_id
        far.local_cseq = self.next_cseq() - 1
        listener = far.listener
        return [
            contact(listener, self.passages.words(wish.aor, plan.asked).alias, each, plan.asked.q)
            for plan, each in zip(wish.plans, seconds, strict=True)
        ]

    def next_cseq(self) -> int:
        """The next CSeq towards the inside: it goes up through restarts too, as the clock does (RFC 3261 10.2)."""
        self._cseq = max(self._cseq + 1, int(self.hall.wire.now())) & 0x7FFFFFFF
        return self._cseq

    def seconds(self, wish: Wish, hop: str) -> list[int]:
        """For how long each Contact is registered inside, if it is for us to say."""
        least = max(self._least.get(hop, 0), self.terms.throttle * 2)
        return [0 if self._leaves(wish, plan) else max(plan.seconds, least, 1) for plan in wish.plans]

    def _leaves(self, wish: Wish, plan: Plan) -> bool:
        """Whether a phone is gone with this Contact: it may have another flow (RFC 5626); inside they are one."""
        if plan.seconds:
            return False
        ending = [each.known for each in wish.plans if not each.seconds]
        key = key_of(plan.asked)
        return not any(key_of(each) == key and each not in ending for each in self.bindings.of(wish.aor))

    def too_brief(self, hop: str, response: Response) -> bool:
        """423 (RFC 3261 21.4.17): learn what the inside wants; whether that is news."""
        least = longer(response, self._least.get(hop, 0))
        if not least:
            return False
        if len(self._least) >= 1000:
            self._least.clear()
        self._least[hop] = least
        return True

    def accepted(self, inward: Inward, outcome: Outcome) -> None:
        """The inside has agreed: the phone is registered, as far as it lasts."""
        response, wish, hall = outcome.response, inward.wish, self.hall
        assert response is not None and outcome.far is not None, "it is an answer"
        request = wish.transaction.request
        # First what the inside has now: if anything here comes to nothing, `over` takes that away again.
        lasts = self._noted(wish, response, outcome.far, inward.hop)
        try:
            plans = self._plans(wish.transaction, wish.aor, wish.asked)
            told = [(plan, lasts[key]) for plan in plans if (key := key_of(plan.asked)) in lasts]  # "*" may be more now
            plans = [plan._replace(seconds=min(plan.seconds, seconds)) for plan, seconds in told]
            headers = self._changed(wish._replace(plans=plans))
        except Refused as no:
            self._refuse(wish.transaction, no)
            return
        crossed = hall.crossed(outcome.far, inward.near, request, response)
        for name in NOT_ACROSS:
            crossed.headers.pop(name, None)
        crossed.headers.update(headers)
        hall.wire.respond(wish.transaction, crossed)

    def _noted(self, wish: Wish, response: Response, far: Leg, hop: str) -> dict[str, int]:
        """Remember what the inside granted: for how many seconds at least 1, by the phones' keys."""
        now, granted = self.hall.wire.now(), _granted(response)
        routes, credentials = self._routes_in(response, far), brought(request := wish.transaction.request)
        self.hall.strip(wish.transaction.flow.listener.zone, request, credentials)
        found: dict[str, int] = {}
        for plan, asked in zip(wish.plans, self.seconds(wish, hop), strict=True):
            key, words = key_of(plan.asked), self.passages.words(wish.aor, plan.asked)
            lasts = granted.get(words.alias, granted.get("", asked))
            found[key] = max(lasts, 1)
            known = self.passages.of_key(wish.aor, key)
            if known is not None and known.cseq > far.local_cseq:
                continue  # the answer to a later REGISTER came before this one
            if not plan.seconds:
                if self._leaves(wish, plan):
                    self.passages.drop(wish.aor, key)  # the inside knows
                continue
            spare = max(0, lasts - AHEAD * min(plan.seconds, found[key]))
            passage = Passage(wish.aor, key, words.alias, words.call_id)
            passage.zone, passage.hop, passage.send_from = far.listener.zone, hop, far.listener.name
            passage.local, passage.remote, passage.uri = far.local, far.remote, str(far.remote_target)
            passage.until, passage.fresh = now + lasts, now + min(self.terms.throttle, spare)
            passage.cseq, passage.service_route, passage.credentials = far.local_cseq, routes, credentials
            self.passages.enter(passage)
        return found

    def _routes_in(self, response: Response, far: Leg) -> tuple[str, ...]:
        """Service-Route (RFC 3608 5), if all of it is of loose routers."""
        try:
            routes = response.addresses("Service-Route")
            if not all(each.uri.is_sip and each.uri.loose and str(each).isprintable() for each in routes):
                raise Malformed("a Service-Route that is not of loose routers", "RFC 3608 5")
        except Malformed as fault:
            self.hall.journal.fault(came_from(far), fault, f"a {response.status} response")
            return ()
        return tuple(map(str, routes))

    # The inside's calls

    def called(self, request: Request, flow: Flow) -> Passage | None:
        """Whose alias a request from the inside is for."""
        passage = self.passages.of_alias(request.uri.user)
        if passage is None or passage.zone != flow.listener.zone or not self.hall.is_me(request.uri):
            return None
        return passage

    def phones(self, passage: Passage) -> tuple[list[Hop], int, str]:
        """Where an alias leads to: the phone's newest way, and what to say where it has none."""
        now = self.hall.wire.now()
        found = [each for each in self.bindings.of(passage.aor) if key_of(each) == passage.key and each.expires > now]
        found.sort(key=lambda each: (each.reachable, each.heard), reverse=True)  # then `alternates`, where it fails
        return [Hop(each.uri, 0, each) for each in found[:1]], 480, "the phone is registered no more"

    def named(self, request: Request, remote: str) -> str:
        """Whom an alias in To stands for: what else is there is said as it is."""
        to = request.to.uri
        passage = self.passages.of_alias(to.user)
        return remote if passage is None else remote.replace(f":{to.user}@", f":{passage.user}@")

    def routes(self, server: ServerTransaction, listener: Listener) -> tuple[str, ...]:
        """The inside's Service-Route (RFC 3608) for what a phone sends that is registered there."""
        if not self.passages.routed or server.method == "REGISTER":
            return ()
        binding = self.binding_of(server)
        passage = None if binding is None else self.passages.of(binding.aor, binding)
        return passage.service_route if passage is not None and passage.zone == listener.zone else ()

    # When a phone is gone

    def _gone(self, binding: Binding, why: str) -> None:
        """A binding is no more."""
        self._take_away(binding.aor, key_of(binding))

    def over(self, inward: Inward) -> None:
        """A REGISTER has its answer: what the inside has of a phone that is not registered here it shall not keep."""
        aor, keys = inward.wish.aor, inward.keys
        inward.keys = frozenset()
        for key in keys:
            self._under_way[aor, key] -= 1
            if not self._under_way[aor, key]:
                del self._under_way[aor, key]
                self._take_away(aor, key)

    def _take_away(self, aor: str, key: str) -> None:
        """Tell the inside that a phone is gone, unless it knows or there is another binding by the same alias.

        While a REGISTER of the phone's is inside it waits: it would come after that, and undo it.
        """
        passage = self.passages.of_key(aor, key)
        if passage is None or (aor, key) in self._under_way:
            return
        if any(key_of(each) == key for each in self.bindings.of(aor)):
            return
        self.passages.drop(aor, key)
        if passage.until > self.hall.wire.now():
            Removal(self, passage).start()

    def _clear(self) -> None:
        for passage in self.passages.take_orphans():
            self._take_away(passage.aor, passage.key)


def _service_route(listener: Listener) -> str:
    """Ours: what a phone sends comes to us first (RFC 3608 6.2)."""
    transport = "" if listener.transport == "udp" else f";transport={listener.transport}"
    return f"<sip:{listener.sent_by}{transport};lr>"


def _granted(response: Response) -> dict[str, int]:
    """The seconds that the inside grants, by alias; under an empty one what it says for all of them."""
    found: dict[str, int] = {}
    for value in [*response.headers.get("Expires", ())[:1], *response.values("Contact")]:
        if is_number(value):
            found[""] = min(int(value[:10]), MOST)
            continue
        try:
            address = parse_address(value)
        except Malformed:
            continue  # another phone's, which says nothing of ours
        text = address.params.get("expires") or ""
        if is_number(text) and address.uri.user:
            found[address.uri.user] = min(int(text[:10]), MOST)
    return found
