"""The registrar (RFC 3261 10.3): what becomes of a REGISTER, all of it or nothing.

Why was this REGISTER refused? `Registrar._judged` follows the RFC's steps. Where does a binding's way come from? From
the REGISTER itself: listener, source address and connection (S53). Who is called there? `lookup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from b2bua.call.bindings import Binding, Bindings
from b2bua.call.lookup import Lookup
from b2bua.dialog.reply import reply
from b2bua.policy.admission import LATER
from b2bua.sip.grammar import Malformed, is_token
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Request
from b2bua.sip.registration import Asked, behind_nat, contacts, preference
from b2bua.transaction.transaction import ServerTransaction

if TYPE_CHECKING:
    from b2bua.call.hall import Hall

OPTIONS = frozenset({"path", "outbound", "gruu"})
FLOW_TIMER = 120  # seconds within which a phone on a stream should let hear of itself (RFC 5626 4.4.1)
LATE = 30  # more, after which it is gone
MAX_AGENT = 100  # characters of User-Agent that are kept
MAX_PATH = 8  # proxies between a phone and us
MAX_WORD = 500  # characters of a Call-ID, of a user, of one of these proxies
TICK = 1.0  # seconds from one look at what has expired to the next


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may register what, and for how long (seconds).

    `domains` are what the registrar is called besides our listeners' own names; the first one is what it calls itself.
    `zones`: where phones may register, all where it is empty. `max_bindings`: of one address of record; `max_users`:
    addresses of record that may have bindings; `max_per_user`: bindings that one user's password is good for, of
    whatever address of record. `foreign_contacts`: a Contact with a public address that is not the
    source's is taken, and called there; else it is refused. `nat_ping`: how often phones behind a NAT are asked whether
    they are there, 0 for never.

    Of phones that register with somebody inside: `throttle` is how seldom the inside hears of each, 0 for whenever the
    phone registers; `phone_expires` for how long they are registered with us, however long they ask for.
    """

    domains: tuple[str, ...] = ()
    zones: frozenset[str] = frozenset()
    min_expires: int = 60
    default_expires: int = 3600
    max_expires: int = 7200
    max_bindings: int = 10
    max_users: int = 100_000
    max_per_user: int = 1000
    foreign_contacts: bool = False
    nat_ping: float = 30.0
    throttle: int = 600
    phone_expires: int = 60


class Refused(Exception):
    """A REGISTER that changes nothing: its status, the reason for both sides to read, and headers."""

    def __init__(self, status: int, reason: str, more: Headers | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.more = more


class Plan(NamedTuple):
    """What becomes of one Contact: a binding that is there already, or None; 0 seconds take it away."""

    known: Binding | None
    asked: Asked
    seconds: int


class Registrar(Lookup):
    """Answers REGISTER. `options` are the extensions that a phone may insist on."""

    options = OPTIONS

    def __init__(self, hall: Hall, bindings: Bindings, terms: Terms) -> None:
        super().__init__(hall, bindings, terms.domains)
        self.terms = terms
        self.refused = 0
        self._ticking = False
        bindings.gone.append(self._gone)

    def begin(self) -> None:
        """Enter what the store has kept."""
        self.bindings.load(self.hall.wire.listeners, self.hall.wire.now())
        self._tick_on()

    # REGISTER

    def request(self, transaction: ServerTransaction) -> None:
        """Answer a REGISTER. Malformed says what is wrong with it."""
        try:
            headers = self._judged(transaction)
        except Refused as no:
            self._refuse(transaction, no)
        else:
            answer = reply(transaction.request, 200, self.hall.wire.tokens.word(), more=headers)
            self.hall.wire.respond(transaction, answer)

    def _refuse(self, transaction: ServerTransaction, no: Refused) -> None:
        self.refused += 1
        self.hall.journal.refused(transaction.request, transaction.flow, no.status, no.reason)
        answer = reply(transaction.request, no.status, self.hall.wire.tokens.word(), no.reason, no.more)
        self.hall.wire.respond(transaction, answer)

    def _judged(self, transaction: ServerTransaction) -> Headers:
        """The steps of RFC 3261 10.3; the headers of the 200."""
        request, terms = transaction.request, self.terms
        aor = self._aor_of(transaction)
        asked = contacts(request, terms.max_bindings)
        path = self._path(request) if asked else ()
        now = self.hall.wire.now()
        if plans := self._plans(transaction, aor, asked):
            self._register(transaction, aor, plans, path, now)
        return self._answer(request, aor, bool(asked), path, now)

    def _aor_of(self, transaction: ServerTransaction) -> str:
        """The address of record that somebody may register."""
        request, terms = transaction.request, self.terms
        if terms.zones and transaction.flow.listener.zone not in terms.zones:
            raise Refused(403, "Nobody registers from here")
        to = request.to.uri
        if not self.is_ours(request.uri) or not self.is_ours(to):
            raise Refused(404, "Not a domain of this registrar")  # 1 and 5
        self._check_options(request)  # 2
        aor = self.aor(to)
        if not to.user or not aor.isprintable() or len(aor) > MAX_WORD:
            raise Refused(404, "No user")
        if len(request.call_id) > MAX_WORD:
            raise Malformed(f"a Call-ID of more than {MAX_WORD} characters", "a limit of this server")
        return aor  # 3 and 4 came first: `policy.authentication`

    def _check_options(self, request: Request) -> None:
        if "Require" in request.headers:
            wanted = request.values("Require")
            if not all(map(is_token, wanted)):
                raise Malformed("an option tag that is not a token", "RFC 3261 20.32")
            if lacking := [option for option in wanted if option.lower() not in self.options]:
                raise Refused(420, "Bad Extension", {"Unsupported": [", ".join(lacking)]})

    def _path(self, request: Request) -> tuple[str, ...]:
        """Path (RFC 3327 5.3): only where the phone knows that it is in use; each a loose router."""
        if "Path" not in request.headers:
            return ()
        path = request.addresses("Path")
        if "path" not in request.tokens("Supported"):
            raise Refused(420, "A Path, and the phone does not know of it", {"Unsupported": ["path"]})
        kept = tuple(map(str, path))
        sound = all(each.uri.is_sip and each.uri.loose and str(each).isprintable() for each in path)
        if not sound or len(path) > MAX_PATH or any(len(each) > MAX_WORD for each in kept):
            raise Malformed("a Path that is not of loose routers, or too long", "RFC 3327 4")
        return kept

    # What is to become of each Contact (RFC 3261 10.3, 7)

    def _plans(self, transaction: ServerTransaction, aor: str, asked: list[Asked] | None) -> list[Plan]:
        """None, which is `*`, takes every binding away."""
        if asked is not None:
            return self._planned(transaction, aor, asked)
        known = self.bindings.current(aor, self.hall.wire.now())
        for binding in known:
            self._check_order(transaction.request, binding)
        return [Plan(each, _of_binding(each), 0) for each in known]

    def _planned(self, transaction: ServerTransaction, aor: str, asked: Sequence[Asked]) -> list[Plan]:
        request = transaction.request
        known = self.bindings.current(aor, self.hall.wire.now())
        outbound = "outbound" in request.tokens("Supported") if any(each.reg_id for each in asked) else False
        default = _expires(request)
        plans: list[Plan] = []
        for each in asked:
            if each.reg_id and not outbound:
                each = each._replace(reg_id=0)
            binding = _same(known, each)
            if binding is not None:
                self._check_order(request, binding)
                if any(plan.known is binding for plan in plans):
                    raise Malformed("the same Contact twice", "RFC 3261 10.3")
            elif any(plan.asked.uri == each.uri for plan in plans):
                raise Malformed("the same Contact twice", "RFC 3261 10.3")
            plans.append(Plan(binding, each, self._granted(default if each.expires is None else each.expires)))
        if outbound:
            self._check_first_hop(request)
        self._check_room(transaction.proved, plans, len(known))
        return plans

    def _granted(self, seconds: int | None) -> int:
        """For how long, of what the phone asks; None where it does not say."""
        terms = self.terms
        if seconds is None:
            return terms.default_expires
        if 0 < seconds < terms.min_expires:
            raise Refused(423, "Interval Too Brief", {"Min-Expires": [str(terms.min_expires)]})
        return min(seconds, terms.max_expires)

    def _check_order(self, request: Request, binding: Binding) -> None:
        """A request that was overtaken changes nothing (RFC 3261 10.3, 7)."""
        if binding.call_id == request.call_id and request.cseq[0] <= binding.cseq:
            raise Refused(500, "Out of order: a later REGISTER came before")

    def _check_first_hop(self, request: Request) -> None:
        """RFC 5626 6: whoever stands between the phone and us must keep its flow too."""
        if len(request.values("Via")) > 1:
            path = request.addresses("Path")
            if not path or "ob" not in path[-1].uri.params:
                raise Refused(439, "First Hop Lacks Outbound Support")

    def _check_room(self, user: str, plans: Sequence[Plan], there: int) -> None:
        terms = self.terms
        more = sum(1 if plan.seconds else 0 for plan in plans if plan.known is None)
        less = sum(1 for plan in plans if plan.known is not None and not plan.seconds)
        if more and there + more - less > terms.max_bindings:
            raise Refused(403, f"Too many Contacts: {terms.max_bindings} may be registered")
        if user:
            self._check_share(user, plans)
        if more and not there and self.bindings.aors >= terms.max_users:
            later = {"Retry-After": [str(1 + self.hall.wire.tokens.below(LATER))]}
            raise Refused(503, "Too many users are registered", later)

    def _check_share(self, user: str, plans: Sequence[Plan]) -> None:
        """One password may be good for many addresses of record. A binding that was another user's is one more too."""
        most = self.terms.max_per_user
        more = sum(1 for plan in plans if plan.seconds and (plan.known is None or plan.known.user != user))
        less = sum(1 for plan in plans if not plan.seconds and plan.known is not None and plan.known.user == user)
        if more and len(self.bindings.by_user(user)) + more - less > most:
            raise Refused(403, f"Too many Contacts with one password: {most} may be registered (max_per_user)")

    # Changing

    def _register(
        self, transaction: ServerTransaction, aor: str, plans: Sequence[Plan], path: tuple[str, ...], now: float
    ) -> None:
        """Once there is a way to each, nothing is refused any more."""
        request = transaction.request
        ways = [self._way(request, transaction.flow, plan, path) for plan in plans]
        for plan, (flow, direct) in zip(plans, ways, strict=True):
            binding, asked = plan.known, plan.asked
            if not plan.seconds:
                if binding is not None:
                    self.bindings.remove(binding, "unregistered")
                continue
            if binding is not None and binding.instance != asked.instance:
                self.bindings.remove(binding, "another phone has its place")
                binding = None
            fresh = binding is None
            if binding is None:
                binding = Binding(aor, asked.contact, flow)
                binding.since, binding.instance, binding.reg_id = now, asked.instance, asked.reg_id
            gruu = self.gruus.number(request, binding)
            binding.q, binding.expires, binding.heard = asked.q, now + plan.seconds, now
            binding.call_id, binding.cseq = request.call_id, request.cseq[0]
            binding.path, binding.features, binding.direct = path, asked.features, direct
            binding.user_agent = _agent(request)
            if fresh:
                binding.gruu, binding.user = gruu, transaction.proved
                self.bindings.add(binding)
                self.hall.journal.binding(binding, "registered")
            else:
                self.bindings.refresh(binding, asked.contact, flow, gruu, transaction.proved)
        connection = transaction.flow.connection
        if connection is not None and not connection.alive:
            self.bindings.closed(connection)  # while somebody else was asked, and we shall not be told again
        self._tick_on()

    def _way(self, request: Request, source: Flow, plan: Plan, path: Sequence[str]) -> tuple[Flow, bool]:
        """The way to a Contact, and whether it is that of the Contact itself and not of its REGISTER."""
        uri, direct = plan.asked.uri, False
        if plan.seconds:
            if uri.secure and source.listener.transport != "tls":
                raise Refused(403, "A sips Contact is registered over TLS")  # S14
            host = uri.params.get("maddr") or uri.host
            if not path and host != source.host and not behind_nat(host, source.host):
                if not self.terms.foreign_contacts or self.hall.is_me(uri):
                    raise Refused(403, "A Contact at an address that is not yours")
                direct = True
        return source.back(), direct

    # The answer

    def _answer(self, request: Request, aor: str, changed: bool, path: Sequence[str], now: float) -> Headers:
        """10.3, 8: every binding, and how many seconds are left of each."""
        known = self.bindings.current(aor, now)
        headers: Headers = {"Date": [_date(int(now))]}
        if known:
            named = "Supported" in request.headers and "gruu" in self.options and "gruu" in request.tokens("Supported")
            headers["Contact"] = [self._written(request, binding, now, named) for binding in known]
        if path:
            headers["Path"] = list(path)
        for binding in known if changed else ():
            if binding.reg_id and binding.call_id == request.call_id:
                headers["Require"] = ["outbound"]  # RFC 5626 6
                if binding.flow.connection is not None and not path:  # else it is the proxy's to keep (4.4.1)
                    headers["Flow-Timer"] = [str(FLOW_TIMER)]
                    binding.flow.connection.expect(FLOW_TIMER + LATE)
        return headers

    def _written(self, request: Request, binding: Binding, now: float, named: bool) -> str:
        seconds = max(0, round(binding.expires - now))
        text = f"<{binding.contact}>;expires={seconds}{preference(binding.q)}{binding.features}"
        if binding.instance:
            text += f";+sip.instance={binding.instance}"
            if binding.reg_id:
                text += f";reg-id={binding.reg_id}"
            if named:
                text += self.gruus.names(request.to.uri, self.name, binding)
        return text

    # Time

    def _tick_on(self) -> None:
        if not self._ticking and len(self.bindings):
            self._ticking = True
            self.hall.wire.after(TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        self.bindings.expire(self.hall.wire.now())
        self._tick_on()

    def _gone(self, binding: Binding, why: str) -> None:
        self.hall.journal.binding(binding, why)


@lru_cache(2)
def _date(now: int) -> str:
    return formatdate(now, usegmt=True)


def _expires(request: Request) -> int | None:
    """The header's seconds; `check_request` has seen that they are a number."""
    values = request.headers.get("Expires")
    return int(values[0]) if values else None


def _of_binding(binding: Binding) -> Asked:
    """What a phone would ask for this binding."""
    return Asked(binding.uri, binding.contact, 0, binding.q, binding.instance, binding.reg_id, "")


def _same(known: Sequence[Binding], asked: Asked) -> Binding | None:
    """The binding that a Contact is: by instance and reg-id (RFC 5626 6), or by its URI (RFC 3261 10.3, 7)."""
    if asked.reg_id:
        for binding in known:
            if binding.reg_id == asked.reg_id and binding.instance == asked.instance:
                return binding
        return None
    for binding in known:
        if not binding.reg_id and (binding.contact == asked.contact or binding.uri == asked.uri):
            return binding
    return None


def _agent(request: Request) -> str:
    values = request.headers.get("User-Agent")
    text = values[0][:MAX_AGENT] if values else ""
    return text if text.isprintable() else "".join([each if each.isprintable() else "\ufffd" for each in text])
