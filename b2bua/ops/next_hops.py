"""The next hops that rules and groups name, looked at before a call needs them: at start and at every change (S6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.logger import Logger

from b2bua.call.wire import Wire
from b2bua.ops.ways import NextHop, configured, follow
from b2bua.policy.enrolling import Enrolling
from b2bua.policy.groups import Group
from b2bua.policy.routing import Rule

Key = tuple[str, str]  # who names it, and the next hop's URI


class NextHopWatch:
    """Says in the log when a next hop can be reached no more, when again, and when by another listener than before.

    `look` is to be called once at start and then at every change (`KernelRoutes.on_change`). What is as it was is not
    said again.
    """

    log = Logger()

    def __init__(
        self,
        wire: Wire,
        rules: Iterable[Rule],
        groups: Mapping[str, Group],
        registrations: Iterable[Enrolling] = (),
    ) -> None:
        self._wire = wire
        self._rules = tuple(rules)
        self._groups = groups
        self._registrations = tuple(registrations)
        self._known: dict[Key, tuple[str, str]] = {}  # the listener that is used, or why there is none

    def look(self) -> None:
        """Look at every next hop. For a name, what is found is said when the name servers have answered."""
        for hop in configured(self._rules, self._groups, self._registrations):
            follow(self._wire, hop, self._found)

    def _found(self, hop: NextHop) -> None:
        key, best = (hop.whose, str(hop.uri)), hop.best
        listener, why = ("", hop.fault) if best is None or best.choice is None else (best.choice.listener.name, "")
        before = self._known.get(key)
        self._known[key] = listener, why
        if before == (listener, why):
            return
        fields = {
            "rule": hop.rule,
            "group": hop.group,
            "whose": hop.whose,
            "next_hop": str(hop.uri),
            "listener": listener,
            "why": why,
        }
        if not listener:
            self.log.warn("next hop {next_hop} of {whose} has no way out: {why}", **fields)
        elif before is not None and best is not None and best.choice is not None:
            fields["why"] = best.choice.why
            text = "has a way out again, by" if not before[0] else "leaves from now on by"
            self.log.info(f"next hop {{next_hop}} of {{whose}} {text} {{listener}}: {{why}}", **fields)
