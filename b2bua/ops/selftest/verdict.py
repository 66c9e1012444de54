"""What must be true of every scenario, whatever its ladder says: grammar, ACKs, and nothing that leaks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from b2bua.ops.selftest.stage import Passed, Stage
from b2bua.sip.check import check_request, check_response
from b2bua.sip.grammar import Malformed
from b2bua.sip.message import Request, Response, parse

_IDS = re.compile(rb"(?:;tag=|;branch=|\nCall-ID: ?|\ni: ?)([^;,\s>]+)", re.I)
_FINAL = re.compile(rb"SIP/2\.0 [2-6]")
_SHORTEST = 6  # octets; a shorter id could be in anything


def verdict(stage: Stage) -> list[str]:
    """What was wrong in a play, one sentence each."""
    found = [f"{actor.user} got no SIP: {broken}" for actor in stage.actors.values() for broken in actor.broken]
    return found + problems(stage.passed, stage.zones, stage.hosts)


def problems(passed: Sequence[Passed], zones: Mapping[str, str], hosts: Mapping[str, frozenset[str]]) -> list[str]:
    """What was wrong in what passed. `zones` says where each phone is, `hosts` what belongs to one zone alone."""
    return [*_ungrammatical(passed), *_unacknowledged(passed), *_leaked(passed, zones, hosts)]


def _ungrammatical(passed: Iterable[Passed]) -> list[str]:
    return [
        f"{each.label} to {each.phone} is wrong: {fault}"
        for each in passed
        if each.inward and (fault := grammar(each.data))
    ]


def grammar(data: bytes) -> str:
    """Which rule a message breaks; empty when none."""
    try:
        message = parse(data)
        if isinstance(message, Request):
            check_request(message)
        else:
            check_response(message)
    except Malformed as fault:
        return f"{fault.reason} ({fault.rule})"
    return ""


def _unacknowledged(passed: Iterable[Passed]) -> list[str]:
    """RFC 3261 13.2.2.4: every 2xx that reached the bridge has its ACK, whoever still wanted it (S23, S27).

    Where the same INVITE was refused too, the refusal may have come first, and then a 2xx is nothing any more
    (RFC 3261 17.1.1.2).
    """
    accepted: dict[tuple[str, str, int], tuple[str, str]] = {}
    acknowledged, refused = set(), set()
    for each in passed:
        if each.inward and each.data.startswith(b"ACK "):
            ack = parse(each.data)
            acknowledged.add((ack.call_id, ack.to_tag, ack.cseq[0]))
        elif not each.inward and not each.lost and _FINAL.match(each.data) and not grammar(each.data):
            response = parse(each.data)
            assert isinstance(response, Response), "it has a status"
            if response.cseq[1] != "INVITE":
                continue
            if response.status >= 300:
                refused.add(response.branch)
            else:
                accepted[response.call_id, response.to_tag, response.cseq[0]] = each.phone, response.branch
    return [
        f"{phone}'s 2xx to INVITE never had an ACK"
        for key, (phone, branch) in accepted.items()
        if key not in acknowledged and branch not in refused
    ]


def _leaked(passed: Sequence[Passed], zones: Mapping[str, str], hosts: Mapping[str, frozenset[str]]) -> list[str]:
    """S35, S42: no id and no host of one side is in anything that another side got."""
    secrets = _secrets(passed, zones, hosts)
    found = []
    for each in passed if len(secrets) > 1 else ():
        zone = zones[each.phone]
        for other in sorted(set(secrets) - {zone}) if each.inward else ():
            found += [
                f"{each.label} to {each.phone} shows {text.decode('utf-8', 'replace')} of the {other} side"
                for text in sorted(secrets[other])
                if _shows(each.data, text)
            ]
    return list(dict.fromkeys(found))


def _secrets(
    passed: Iterable[Passed], zones: Mapping[str, str], hosts: Mapping[str, frozenset[str]]
) -> dict[str, set[bytes]]:
    """What each side calls its dialogs and hosts. An id belongs to the side where it was seen first."""
    secrets = {zone: {host.encode() for host in hosts.get(zone, ())} for zone in set(zones.values())}
    seen: set[bytes] = set()
    for each in passed:
        names = {name for name in _IDS.findall(each.data) if len(name) >= _SHORTEST}
        secrets[zones[each.phone]] |= names - seen
        seen |= names
    return secrets


def _shows(data: bytes, text: bytes) -> bool:
    return text in data and re.search(rb"(?<![\w.])" + re.escape(text) + rb"(?![\w.]*\w)", data) is not None
