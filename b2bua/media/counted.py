"""What rtpengine counted, of its answers to "query"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from b2bua.call.media import Stream
from b2bua.media.ng import Answer


def streams(answer: Answer, word_of: Callable[[str], str], age: float) -> list[Stream]:
    """Each medium of each end whose tag has a word. `age` is how many seconds ago the call was made there.

    rtpengine's times are of its own machine's clock, so they are taken only as distances.
    """
    born = _number(answer, "created") + _number(answer, "created_us") / 1e6
    tags = _mapping(answer, "tags")
    found = []
    for tag, told in tags.items():
        word = word_of(tag)
        for medium in _dicts(told, "medias") if word else ():
            rtp = next(_dicts(medium, "streams"), None)
            if rtp is not None:
                lost = _lost(answer, told, medium.get("index"))
                found.append(_stream(word, str(medium.get("type", "")), rtp, lost, age + born))
    return found


def _stream(word: str, kind: str, rtp: Mapping[str, Any], lost: int | None, now: float) -> Stream:
    stats = _mapping(rtp, "stats")
    packets = int(_number(stats, "packets"))
    return Stream(
        word,
        kind,
        _place(str(rtp.get("local address", "")), rtp.get("local port")),
        _place(str(_mapping(rtp, "endpoint").get("address", "")), _mapping(rtp, "endpoint").get("port")),
        packets,
        int(_number(stats, "bytes")),
        lost,
        max(0.0, now - _number(rtp, "last packet")) if packets else None,
    )


def _lost(answer: Answer, told: Mapping[str, Any], index: object) -> int | None:
    """How many packets of an end its listener says are lost (RFC 3550 6.4.1), on the whole way to it.

    rtpengine keeps that under the SSRC of who reports, once it has reports of both.
    """
    said = _mapping(answer, "SSRC")
    for listener in _dicts(told, "subscribers"):
        for medium in _dicts(_mapping(answer, "tags").get(str(listener.get("tag"))), "medias"):
            rtp = next(_dicts(medium, "streams"), None)
            report = said.get(str(rtp.get("SSRC"))) if rtp is not None and medium.get("index") == index else None
            if isinstance(report, dict) and "cumulative loss" in report:
                return int(_number(report, "cumulative loss"))
    return None


def _place(host: str, port: object) -> str:
    if not host or not port:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _number(said: Mapping[str, Any], key: str) -> float:
    value = said.get(key)
    return value if isinstance(value, (int, float)) else 0


def _mapping(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = said.get(key)
    return value if isinstance(value, dict) else {}


def _dicts(said: object, key: str) -> Iterator[Mapping[str, Any]]:
    value = said.get(key) if isinstance(said, dict) else None
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
