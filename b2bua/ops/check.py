"""`b2bua check CONFIG`: every mistake at once, what to be careful of, and where each next hop leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from twisted.internet.defer import Deferred

from b2bua.call.wire import Wire
from b2bua.config import Configuration, ConfigurationError, load
from b2bua.net.certificates import CertificateError, ClientContexts, ServerCertificates
from b2bua.ops.anchored import of_configuration
from b2bua.ops.tables import counted, details, table
from b2bua.ops.ways import NextHop, configured, follow, rows
from b2bua.policy.groups import Group
from b2bua.policy.interface import Kernel
from b2bua.policy.routing import AUTO, REGISTERED, Go, Rule
from b2bua.sip.grammar import bracketed

Say = Callable[[str], None]


def read(path: str) -> Configuration:
    """The configuration, with the files that only the manhole reads. Raises ConfigurationError with every mistake."""
    configuration = load(path)
    if configuration.manhole is not None:
        from b2bua.ops.manhole import mistakes  # costs a tenth of a second, and not everybody has one

        if found := mistakes(configuration):
            raise ConfigurationError(found)
    return configuration


def say_mistakes(error: ConfigurationError, say: Say) -> None:
    """Every mistake, a line each, how many there are, and how to come by certificates where there are none yet."""
    for mistake in error.mistakes:
        say(f"error: {mistake}")
    say(counted(len(error.mistakes), "mistake"))
    for mistake in error.mistakes:
        if mistake.key.endswith((".certificate", ".key")) and mistake.message.startswith("no such file"):
            directory = os.path.dirname(os.path.join(os.path.dirname(mistake.file), str(mistake.value)))
            say(f"To try things out: b2bua development-certificate {directory or '.'}")
            break


def check(configuration: Configuration, wire: Wire, kernel: Kernel | None, say: Say) -> Deferred[None]:
    """Say all that there is to say of a configuration that can be used. Waits for the names in next hops."""
    say(f"Listeners\n{_listeners(configuration)}\n")
    hops = configured(configuration.rules, configuration.groups, configuration.registrations)
    done: Deferred[None] = Deferred()
    waited = len(hops)

    def found(hop: NextHop) -> None:
        nonlocal waited
        waited -= 1
        if waited == 0:
            _say_all(configuration, wire, hops, kernel, say)
            done.callback(None)

    for hop in hops:
        follow(wire, hop, found)
    if not hops:
        _say_all(configuration, wire, hops, kernel, say)
        done.callback(None)
    return done


def _say_all(configuration: Configuration, wire: Wire, hops: list[NextHop], kernel: Kernel | None, say: Say) -> None:
    for text in _rules(configuration.rules, hops, wire, kernel):
        say(text)
    for text in _groups(configuration.groups.values(), hops, wire, kernel):
        say(text)
    for text in _registrations(hops, wire, kernel):
        say(text)
    say(of_configuration(configuration))
    if configuration.policy:
        say(f"{configuration.policy} is asked before the rules. Where it sends a request is seen with b2bua explain.\n")
    warnings = [str(warning) for warning in configuration.warnings]
    warnings += [f"{configuration.path}: {text}" for text in _certificates(configuration) + _manhole(configuration)]
    for hop in hops:
        if hop.fault:
            whose = f"route {hop.rule}" if hop.rule and not hop.group else hop.whose
            warnings.append(f"{configuration.path}: {whose}: {hop.uri} has no way out now: {hop.fault}")
    for text in warnings:
        say(f"warning: {text}")
    say(f"{configuration.path}: no mistakes, {counted(len(warnings), 'warning')}")


def _listeners(configuration: Configuration) -> str:
    return table(
        ("name", "zone", "transport", "bound to", "shown as"),
        [
            (each.name, each.zone, each.transport, f"{bracketed(each.address)}:{each.port}", each.sent_by)
            for each in configuration.listeners
        ],
    )


def _rules(rules: Iterable[Rule], hops: list[NextHop], wire: Wire, kernel: Kernel | None) -> Iterator[str]:
    """Each rule with its next hops."""
    for rule in rules:
        lines = [f"Rule {rule.describe()}"]
        if isinstance(rule.answer, Go) and not rule.answer.to:
            send_from = rule.answer.send_from
            sends = "the kernel's route decides" if send_from == AUTO else f"send_from {send_from}"
            lines.append(f"  each request's own URI says where to; {sends}")
        if isinstance(rule.answer, Go) and REGISTERED in rule.answer.to:
            lines.append("  to whoever is registered, by the listener and the connection by which each registered")
        for hop in hops:
            if hop.rule == rule.name:
                lines += [f"  {hop.uri}{f' of group {hop.group}' if hop.group else ''}", *_ways(hop, wire, kernel)]
        yield "\n".join(lines) + "\n"


def _groups(groups: Iterable[Group], hops: list[NextHop], wire: Wire, kernel: Kernel | None) -> Iterator[str]:
    """Each group with its members."""
    for group in groups:
        lines = [f"Group {group.describe()}"]
        members = {str(member.uri): member for member in group.members}
        for hop in hops:
            if hop.group == group.name and not hop.rule:
                lines += [f"  {members[str(hop.uri)].describe()}", *_ways(hop, wire, kernel)]
        yield "\n".join(lines) + "\n"


def _registrations(hops: list[NextHop], wire: Wire, kernel: Kernel | None) -> Iterator[str]:
    """Each registrar that is of no group."""
    for hop in hops:
        if hop.aor:
            yield "\n".join([f"Registration of {hop.aor}", f"  {hop.uri}", *_ways(hop, wire, kernel)]) + "\n"


def _ways(hop: NextHop, wire: Wire, kernel: Kernel | None) -> Iterator[str]:
    if hop.lost:
        yield details([("nowhere", hop.lost)], "    ")
    for number, way in enumerate(hop.ways):
        if number:
            yield ""
        yield details(rows(hop, way, wire.listeners, kernel), "    ")


def _manhole(configuration: Configuration) -> list[str]:
    if configuration.manhole is None:
        return []
    from b2bua.ops.manhole import warnings

    return warnings(configuration)


def _certificates(configuration: Configuration) -> list[str]:
    """What an operator should know of certificates that can be used; each once, however many listeners show it."""
    found: dict[str, None] = {}
    tls = configuration.tls
    for files in configuration.tls_files.values():
        try:
            held = ServerCertificates(files), ClientContexts(tls.ca, tls.verify, files.default)
        except CertificateError as error:  # changed since the configuration was read
            found[str(error)] = None
            continue
        found |= dict.fromkeys(warning for each in held for warning in each.warnings)
    return list(found)
