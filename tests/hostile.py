"""Texts and octets that nobody would send who means well, and a way to see that reading them takes linear time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# One profile for every property test: the machine's speed is none of them, and each run is the same run.
settings.register_profile(
    "b2bua",
    deadline=None,
    derandomize=True,
    max_examples=int(os.environ.get("EXAMPLES", "200")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    database=None,
)
settings.load_profile("b2bua")

# What a message's text may hold once it is decoded: any Unicode, and the octets that were not UTF-8.
CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.integers(0xDC80, 0xDCFF).map(chr)
TEXTS = st.text(CHARACTERS, max_size=60)
TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=20)

# Pieces of SIP, put together by somebody who has no idea.
_PIECES = st.sampled_from(
    [
        "sip:", "sips:", "tel:", "<", ">", '"', '\\"', "\\", ";", ",", ":", "=", "@", "?", "&", "%41", "%", "[", "]",
        "::1",
        "192.0.2.1", "example.com", "alice", "5060", "99999", ";tag=", ";lr", ";transport=UDP", ";branch=z9hG4bK",
        "SIP/2.0",
        "SIP / 2.0 / UDP ", "SIP/2.0/TCP ", "INVITE", " ", "\t", "\r", "\n", "\r\n", "\r\n ", "\x00", "\x7f", "\u00a0",
        "\u212a", "\u017f", "\u0661", "ä", "\udcff", "*", "0", "-1", "received=", ";rport", "q=0.5", "{", "}", "/", "#",
    ]
)  # fmt: skip
LONG = st.lists(_PIECES | TEXTS, max_size=25).map("".join)

SMALL, LARGE = 2_000, 64_000  # octets; the larger is what one datagram can hold


def steps(test: Any, work: Callable[[int], Any]) -> None:
    """Fail if `work(size)` takes much more than in proportion: 32 times the size may take 32 times as long, not 1024.

    Compares two measurements on the same machine, and only where the longer one lasts long enough to mean something.
    """
    small = min(_lasts(work, SMALL) for _ in range(3))
    large = min(_lasts(work, LARGE) for _ in range(2))
    if large > 0.25:
        test.assertLess(large, 250 * max(small, 1e-5), f"{small:.6f} s for {SMALL}, {large:.3f} s for {LARGE} octets")


def repeating(read: Callable[[str], Any], before: str, text: str, after: str) -> Callable[[int], Any]:
    """The work of reading `text` again and again, to a given size in all."""
    return lambda size: read(before + text * (size // len(text)) + after)


def _lasts(work: Callable[[int], Any], size: int) -> float:
    started = time.process_time()
    work(size)
    return time.process_time() - started
