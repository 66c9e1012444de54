"""The manual's page on hiding, made from the tables that do the hiding.

`python -m b2bua.ops.manual > man/b2bua-hiding.5` writes it; a test fails while the page is not what the tables say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from b2bua.policy.bodies import KINDS
from b2bua.policy.body import NEVER
from b2bua.policy.crossing import METHODS, OPTION_TAGS
from b2bua.policy.hiding import OF_THE_BODY
from b2bua.sip.headers import TABLE, Verdict

_DATE = "November 23, 2026"  # of the last change to the words below; the tables change with the code

_MEANINGS: dict[Verdict, str] = {
    Verdict.OURS: "each leg writes its own, or none",
    Verdict.KEEP: "crosses as it is; numbers, dates and ids only if they are what they should be",
    Verdict.DROP: "does not cross",
    Verdict.MASK: "crosses without what tells of the far side; the leg's own stands in its place",
    Verdict.MAP: "names a dialog or an address of the other leg, and crosses only where it can be translated",
    Verdict.INTERSECT: "of what the peer offers, what the bridge can carry",
    Verdict.TRUSTED: "crosses from a trusted zone to a trusted zone and not otherwise (RFC 3325)",
}

_HEAD = f"""\
.\\" Made by python -m b2bua.ops.manual from the tables in the code. Change those, not this.
.Dd {_DATE}
.Dt B2BUA-HIDING 5
.Os
.Sh NAME
.Nm b2bua-hiding
.Nd what crosses the bridge from one zone to another
.Sh DESCRIPTION
.Xr b2bua 8
builds every message that it sends itself.
Of what the far side sent, a header is granted only by the table below.
A header that is not in the table does not cross unless the configuration names it.
.Pp
The configuration overrides the table for a pair of zones, in that direction:
.Bd -literal -offset indent
[[hiding]]
from = "public"
to = "private"
keep = ["X-Account", "Organization"]
drop = ["Subject"]
.Ed
.Pp
A header that is kept crosses as it came.
Headers that each leg writes, and those that say what the bridge can carry, cannot be kept.
.Pp
The hosts in From, To and the Request-URI become those of the leg that sends them, except where
.Ic keep_hosts
of the zone it sends to names that header.
.Pp
A value that holds a control character, or is not UTF-8, never crosses."""

_PRIVACY = """\
.Ss Privacy
Towards a zone that is not trusted, what a caller asks for in Privacy (RFC 3323, RFC 3325, RFC 7044) is done, also to
headers that the configuration keeps:
.Bl -tag -width history -compact
.It Cm user
From becomes anonymous, and what else the caller said of itself is taken away.
.It Cm id
P-Asserted-Identity is taken away.
.It Cm history
History-Info is taken away.
.El
.Pp
A call that is to have
.Cm session
privacy or not to be
.Pq Cm critical
is answered 500 where its media is not anchored."""

_BODIES = """\
.Ss Session descriptions
Each leg has an origin
.Pq Li o=
and a name
.Pq Li s=
of its own; the lines
.Li i= , u= , e=
and
.Li p=
do not cross, neither alone nor in a part of a multipart body.
Where media is anchored
.Pq see Ic [media] in Xr b2bua.toml 5
every address in it is the engine's, and lines that name others do not cross; elsewhere every other line crosses as it
is, with the addresses of the media.
.Ss Other bodies
A body of a type in this table is written anew, and only what its kind knows is in it: an element, an attribute or a
line that nobody thought of is not there.
The hosts of URIs become that of the leg, except in addresses-of-record towards a zone whose
.Ic keep_hosts
names From and To.
Call-IDs and tags become those of the same dialog on the other side, or are left out.
A text that people read crosses unless it might name a host.
.Pp
XML with a document type or entities is not read, nor is what is too long or too deep.
A body that cannot be read is left out, with one line in the log, and the message leaves without it."""

_PARTS = """\
.Ss Bodies of several parts
Each part crosses as it would alone, and one that does not cross leaves the others.
Of a part's headers only those that say what it is cross.
Boundaries are the leg's own, and what stands before the first and after the last is dropped.
Content-ID gets the leg's host too, and what refers to it in the same body with it; it stays as it is where a header
that the configuration keeps, or a part that is not read, speaks of it.
No more than 16 parts, and bodies within each other no deeper than 3, are carried: a request with more is refused.
.Ss Types that nobody knows
A body of any other type crosses as it is, without those parameters of Content-Type that might name a host.
The configuration has the last word, by type, for a pair of zones in that direction:
.Bd -literal -offset indent
[[hiding]]
from = "private"
to = "public"
drop_bodies = ["*/*", "application/isup"]
keep_bodies = ["application/vnd.example.call+xml"]
keep_location = true
.Ed
.Pp
A type in
.Ic keep_bodies
crosses as it came, whatever is in it.
In
.Ic drop_bodies
a type by its name does not cross;
.Ql */*
and
.Ql application/*
stand for all types that are neither in the tables here nor kept.
.Ic keep_location
lets pass where somebody is (RFC 4119): coordinates and civic addresses.
Session descriptions and bodies of several parts are always carried as described above."""


def page() -> str:
    """The whole page, as mdoc(7)."""
    verdicts = [(verdict.value, meaning) for verdict, meaning in _MEANINGS.items()]
    body = ", ".join(sorted(OF_THE_BODY))
    parts = [
        _HEAD,
        f".Pp\nThese cross only together with a body:\n{_text(body)}.",
        ".Ss Verdicts\n" + table(verdicts, ("intersect", "")),
        ".Ss Headers\nAll that are registered, with their compact forms.\n" + header_table(),
        ".Ss Methods\nAllow crosses with those of these that it names:\n" + _text(", ".join(sorted(METHODS))) + ".",
        ".Ss Option tags\nSupported, Require, Proxy-Require and Unsupported cross with those of these that they name.\n"
        "A request that requires another one is answered 420.\n" + table(OPTION_TAGS.items(), ("record-aware", "")),
        _PRIVACY,
        _BODIES,
        table(body_rows(), (max(KINDS, key=len), "")),
        _PARTS,
        ".Pp\nThese do not cross unless they are kept, as they carry what cannot be translated:\n"
        + table(NEVER.items(), (max(NEVER, key=len), "")),
        ".Sh SEE ALSO\n.Xr b2bua-policy 5 ,\n.Xr b2bua.toml 5 ,\n.Xr b2bua 8",
    ]
    return "\n".join(parts) + "\n"


def body_rows() -> list[tuple[str, str]]:
    """The media types that have a kind, and what becomes of them."""
    return [(name, kind.why) for name, kind in sorted(KINDS.items())]


def header_table() -> str:
    """The hiding table as an mdoc(7) column list."""
    rows = [(f"{row.name}, {row.compact}" if row.compact else row.name, row.verdict.value, row.why) for row in TABLE]
    return table(rows, (max((row.name for row in TABLE), key=len), "intersect", ""), ("Header", "Verdict", "Why"))


def table(rows: Iterable[Sequence[str]], widest: Sequence[str], heads: Sequence[str] = ()) -> str:
    """An mdoc(7) column list; `widest` holds the widest text of each column."""
    lines = [".Bl -column " + " ".join(f'"{text}"' for text in widest) + " -compact"]
    if heads:
        lines.append(".It " + " Ta ".join(f"Sy {_text(head)}" for head in heads))
    lines += [".It " + " Ta ".join(map(_text, row)) for row in rows]
    return "\n".join([*lines, ".El"])


def _text(text: str) -> str:
    """Plain text where mdoc(7) would look for macros, which are words like Em and It."""
    words = text.replace("\\", "\\e").split(" ")
    return " ".join(rf"\&{word}" if re.match(r"[.']|[%A-Z][A-Za-z0-9]{1,2}\b", word) else word for word in words)


if __name__ == "__main__":
    print(page(), end="")
