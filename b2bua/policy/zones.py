"""A zone: a named side of the border. Hiding is between zones."""

from __future__ import annotations

from dataclasses import dataclass

from b2bua.policy.admission import UNLIMITED, Quota
from b2bua.policy.guard import Mode
from b2bua.policy.media import Profile

MASKED = frozenset({"From", "To", "Request-URI"})  # where a host is replaced by the leg's own, unless the zone keeps it


@dataclass(frozen=True, slots=True)
class Zone:
    """One side of the border.

    `trusted`: it belongs to the trust domain of RFC 3325. `keep_hosts`: which of "From", "To" and "Request-URI"
    show the far side's hosts towards this zone; ValueError for anything else. `quota`: what may come in from it.
    `leaks`: what becomes of a message to it that names another zone's hosts or ids all the same (S42).
    `authenticate`: the methods that need a password, outside dialogs; "calls" is every one but REGISTER.
    `media_profile`: what its parties speak; empty: whatever the other side of a call does.
    """

    name: str
    trusted: bool = False
    keep_hosts: frozenset[str] = frozenset()
    quota: Quota = UNLIMITED
    leaks: Mode = "log"
    authenticate: frozenset[str] = frozenset()
    media_profile: Profile = ""

    def __post_init__(self) -> None:
        unknown = self.keep_hosts - MASKED
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: hosts can be kept in {', '.join(sorted(MASKED))}")
