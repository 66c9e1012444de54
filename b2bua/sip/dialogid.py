"""Names of dialogs as headers write them: Replaces (RFC 3891), Join (RFC 3911), Target-Dialog (RFC 4538).

Each is a Call-ID and the tags of both parties; a dialog is named as the party sees it that is to recognise it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from b2bua.sip.grammar import BLANKS, Malformed, parse_params

# Which parameter has the tag of the party that is named, and which that of its peer (RFC 3891 3, RFC 3911 4, RFC 4538).
TAGS: dict[str, tuple[str, str]] = {
    "Join": ("to-tag", "from-tag"),
    "Replaces": ("to-tag", "from-tag"),
    "Target-Dialog": ("local-tag", "remote-tag"),
}
LONGEST = 255  # characters of a Call-ID or a tag: what is longer names no dialog worth remembering

_CALL_ID = re.compile(r"[!-+\--:<-~]+")  # of one word: no blank, comma or semicolon
_TAG = re.compile(r"[!#-+\--:<>-~]+")


class DialogId(NamedTuple):
    """A dialog as one of its parties sees it: `local_tag` is that party's own."""

    call_id: str
    local_tag: str
    remote_tag: str


class Reference(NamedTuple):
    """One value of a header that names a dialog. `early_only` is RFC 3891's."""

    dialog: DialogId
    early_only: bool = False

    def written(self, name: str) -> str:
        """The value, for the header `name`."""
        local, remote = TAGS[name]
        text = f"{self.dialog.call_id};{local}={self.dialog.local_tag};{remote}={self.dialog.remote_tag}"
        return f"{text};early-only" if self.early_only else text


def parse_reference(value: str, name: str) -> Reference:
    """What a value of Replaces, Join or Target-Dialog names; Malformed where it names nothing."""
    rule = f"the grammar of {name}"
    call_id, semicolon, rest = value.partition(";")
    call_id = call_id.strip(BLANKS)
    params = parse_params(semicolon + rest, rule)
    local, remote = (params.get(tag) or "" for tag in TAGS[name])
    sound = _CALL_ID.fullmatch(call_id) and _TAG.fullmatch(local) and _TAG.fullmatch(remote)
    if not sound or max(len(call_id), len(local), len(remote)) > LONGEST:
        raise Malformed(f"{name} is not a Call-ID and two tags", rule)
    return Reference(DialogId(call_id, local, remote), name == "Replaces" and "early-only" in params)
