"""application/simple-message-summary (RFC 3842): how many messages wait, and in which account."""

from __future__ import annotations

import re

from b2bua.policy.body import Crossing, Entity, Kind, Said
from b2bua.sip.grammar import Malformed

_KIND = "application/simple-message-summary"
_WAITING = re.compile(r"Messages-Waiting[ \t]*:[ \t]*(yes|no)[ \t]*", re.I | re.A)
_ACCOUNT = re.compile(r"Message-Account[ \t]*:[ \t]*(\S+)[ \t]*", re.I | re.A)
_COUNT = re.compile(
    r"((?:Voice|Fax|Pager|Multimedia|Text)-Message|None)[ \t]*:[ \t]*"
    r"([0-9]{1,9}[ \t]*/[ \t]*[0-9]{1,9}(?:[ \t]*\([ \t]*[0-9]{1,9}[ \t]*/[ \t]*[0-9]{1,9}[ \t]*\))?)[ \t]*",
    re.I | re.A,
)


def _summary(entity: Entity, crossing: Crossing) -> Said:
    """The lines of the summary. What follows an empty line are headers of the messages, and stays behind."""
    text = entity.body.decode("utf-8", "surrogateescape").lstrip("\r\n")
    lines = re.split(r"\r\n|\n", re.split(r"\r\n\r\n|\n\n", text, maxsplit=1)[0])
    waiting = _WAITING.fullmatch(lines[0])
    if waiting is None:
        raise Malformed("a summary that does not say whether messages wait", "RFC 3842 5.2")
    said = [f"Messages-Waiting: {waiting.group(1).lower()}"]
    for line in lines[1:]:
        if found := _ACCOUNT.fullmatch(line):
            if account := crossing.identity(found.group(1)):
                said.append(f"Message-Account: {account}")
        elif found := _COUNT.fullmatch(line):
            said.append(f"{found.group(1)}: {found.group(2)}")
    return ("\r\n".join(said) + "\r\n").encode("utf-8"), _KIND


KINDS = {_KIND: Kind(_summary, "the numbers, and the account with the leg's host (RFC 3842)")}
