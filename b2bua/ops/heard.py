"""What was heard of each side of a call, for its line in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from b2bua.call.media import Medium


def totals(media: Sequence[Medium]) -> dict[str, Any]:
    """What of it belongs into a call's record, by the name of the field; nothing where none was anchored."""
    if not media:
        return {}
    found: dict[str, Any] = {"media": " and ".join(dict.fromkeys(each.engine for each in media))}
    for side, callers in (("caller", True), ("callee", False)):
        streams = [each.stream for each in media if each.callers is callers]
        found[f"packets_of_{side}"] = sum(each.packets for each in streams)
        found[f"octets_of_{side}"] = sum(each.octets for each in streams)
        if lost := [each.lost for each in streams if each.lost is not None]:
            found[f"lost_of_{side}"] = sum(lost)
    return found


def heard_by(fields: Mapping[str, Any]) -> str:
    """The same for a line: `media by relay: 500 packets of the caller, 498 of the callee (2 lost)`."""
    said: list[str] = []
    for side in ("caller", "callee"):
        lost = fields.get(f"lost_of_{side}")
        packets = "" if said else " packets"
        said.append(f"{fields[f'packets_of_{side}']}{packets} of the {side}{f' ({lost} lost)' if lost else ''}")
    return f"media by {fields['media']}: {', '.join(said)}"
