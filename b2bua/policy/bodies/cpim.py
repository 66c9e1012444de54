"""message/cpim (RFC 3862): an instant message with headers of its own, which name who sends and who is to get it."""

from __future__ import annotations

import re

from b2bua.policy.body import NOTHING, Crossing, Entity, Kind, Said, carry, speaks_of_hosts, without_addresses
from b2bua.sip.grammar import Malformed
from b2bua.sip.multipart import MAX_DEPTH, headers_of

_RULE = "RFC 3862 2"
_KIND = "message/cpim"
_HEADER = re.compile(r"([!-9;-~]+): (.*)")
_ADDRESS = re.compile(r"([^<>]*)<([^<>]+)>")
_NAMESPACE = re.compile(r"[A-Za-z0-9-]* ?<urn:ietf:params:(?:cpim-headers:|imdn)>")
_WORD = re.compile(r"[A-Za-z0-9+,;=: _-]{1,100}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_ADDRESSES = frozenset({"From", "To", "cc"})
_SHAPES = {"DateTime": _DATE, "NS": _NAMESPACE}
# What says nothing of hosts if it does not look like it. The name of a message has to stay for its receipts (RFC 5438).
_WORDS = {"Subject": re.compile(".{1,200}"), "imdn.Disposition-Notification": _WORD, "imdn.Message-ID": _WORD}


def _cpim(entity: Entity, crossing: Crossing) -> Said:
    """From, To and cc with the leg's host; the message within as any body. Headers that nobody knows stay behind."""
    if entity.depth > MAX_DEPTH:
        raise Malformed(f"bodies more than {MAX_DEPTH} deep within each other", "a limit of this server")
    head, blank, content = entity.body.partition(b"\r\n\r\n")
    if not blank:
        raise Malformed("a message without headers, or without an end to them", _RULE)
    lines = [
        said for line in head.decode("utf-8", "surrogateescape").split("\r\n") if (said := _header(line, crossing))
    ]
    inner, ended, body = (b"", blank, content[2:]) if content[:2] == b"\r\n" else content.partition(b"\r\n\r\n")
    if not ended:
        raise Malformed("a message without the headers of its content", _RULE)
    kept, values = headers_of(inner)
    encoding = values.get("content-transfer-encoding", "")
    packed = encoding.lower() not in ("", "7bit", "8bit", "binary") or "content-encoding" in values
    text, kind = carry(body, values.get("content-type", "text/plain"), crossing, entity.depth + 1, packed)
    if not kind:
        return NOTHING
    lines += ["", f"Content-Type: {kind}"]
    for name in ("Content-Transfer-Encoding", "Content-Encoding", "Content-Disposition", "Content-Language"):
        if name.lower() in kept:
            lines.append(f"{name}: {without_addresses(values[name.lower()])}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + text, _KIND


def _header(line: str, crossing: Crossing) -> str:
    found = _HEADER.fullmatch(line)
    if found is None:
        raise Malformed("a header that cannot be read", _RULE)
    name, value = found.groups()
    if name in _ADDRESSES:
        address = _ADDRESS.fullmatch(value.strip())
        uri = crossing.identity(address.group(2)) if address is not None else ""
        if address is None or not uri:
            return ""
        display = address.group(1).strip()
        return f"{name}: {display} <{uri}>" if display and not speaks_of_hosts(display) else f"{name}: <{uri}>"
    shape = _SHAPES.get(name)
    if shape is None:
        shape = _WORDS.get(name)
        if shape is None or speaks_of_hosts(value):
            return ""
    return line if shape.fullmatch(value) else ""


KINDS = {_KIND: Kind(_cpim, "the message within, and From and To with the leg's host (RFC 3862)")}
