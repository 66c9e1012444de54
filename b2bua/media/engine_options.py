"""A route's own words for rtpengine: which there may be, and how they are said in ng.

A word is a flag ("asymmetric", "codec-mask-all", "codec-transcode-PCMU", "inject-DTMF"), or a key with its value
("ptime=20"). rtpengine only warns of words it does not know, in its own log; so they are checked here. What would let
one side see the other (ICE candidates passed on, addresses of choice) or name us is not among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

FLAGS = frozenset("""
    asymmetric unidirectional strict-source media-handover port-latching no-port-latching pierce-NAT NAT-wait
    inject-DTMF detect-DTMF generate-RTCP mirror-RTCP no-RTCP-attribute full-rtcp-attribute
    single-codec reorder-codecs symmetric-codecs asymmetric-codecs always-transcode allow-transcoding
    no-codec-renegotiation no-passthrough no-jitter-buffer original-sendrecv generate-mid strip-extmap pad-crypto
    record-call SIP-source-address trust-address
""".split())

_NUMBER, _YES = "a number", "on or off"
KEYS = {  # what a value looks like, and how that is said to people
    "ptime": (re.compile(r"[1-9]\d{0,2}"), _NUMBER),
    "ptime-reverse": (re.compile(r"[1-9]\d{0,2}"), _NUMBER),
    "TOS": (re.compile(r"\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5]"), "a number up to 255"),
    "delay-buffer": (re.compile(r"\d{1,4}"), _NUMBER),
    "record-call": (re.compile(r"on|off"), _YES),
    "DTLS": (re.compile(r"active|passive|off"), "active, passive or off"),
    "DTLS-fingerprint": (re.compile(r"sha-(1|224|256|384|512)"), "sha-256 or the like"),
    "DTMF-security": (re.compile(r"drop|silence|tone|random|zero|DTMF"), "drop, silence, tone, random, zero or DTMF"),
    "ICE": (re.compile(r"force|remove"), "force or remove"),
    "ICE-lite": (re.compile(r"off|forward|backward|both"), "off, forward, backward or both"),
    "rtcp-mux": (re.compile(r"offer|require|demux|accept|reject"), "offer, require, demux, accept or reject"),
    "transport-protocol": (
        re.compile(r"RTP/S?AVPF?|UDP/TLS/RTP/SAVPF?"),
        "RTP/AVP, RTP/AVPF, RTP/SAVP, RTP/SAVPF, UDP/TLS/RTP/SAVP or UDP/TLS/RTP/SAVPF",
    ),
}
_LISTS = frozenset({"rtcp-mux"})  # whose value is a list in ng
_VERBS = "strip|offer|mask|transcode|set|accept|consume|except"
_FAMILIES = re.compile(
    rf"codec-({_VERBS})-[A-Za-z0-9._+-]+(/[A-Za-z0-9=;:._+-]*)*"
    r"|SDES-(off|no-[A-Z0-9_a-z]+)|OSRTP-(offer|accept)|T\.38-(decode|force|stop|no-[A-Za-z0-9.]+)"
)


def wrong(option: str) -> str:
    """What is wrong with a word, as one reads after it; empty where it may be said."""
    key, equals, value = option.partition("=")
    if equals and not option.startswith("codec-"):
        if key not in KEYS:
            return f"is no key that rtpengine may be given: {', '.join(sorted(KEYS))}"
        shape, meaning = KEYS[key]
        return "" if shape.fullmatch(value) else f"is not {meaning}"
    if option in FLAGS or _FAMILIES.fullmatch(option):
        return ""
    return (
        f"is no flag that rtpengine may be given: {', '.join(sorted(FLAGS))}; codec-VERB-NAME with one of "
        f"{_VERBS.replace('|', ', ')}; SDES-, OSRTP- or T.38- and what belongs there; or KEY=VALUE"
    )


def said(options: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """The flags and the keys of words that are not wrong. A key takes the place of what a profile says."""
    flags, keys = list[str](), dict[str, Any]()
    for option in options:
        key, equals, value = option.partition("=")
        if equals and key in KEYS:
            keys[key] = [value] if key in _LISTS else int(value) if value.isdigit() else value
        else:
            flags.append(option)
    return flags, keys
