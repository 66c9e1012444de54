"""The Debian programs that a run needs: which are missing, and an attempt to install them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

PHONES = ("sip-tester", "stunnel4", "openssl")
RTPENGINE = ("rtpengine-daemon",)
KAMAILIO = ("kamailio", "kamailio-tls-modules", "kamailio-redis-modules", "redis-server")


def program(name: str) -> str:
    """Where it is, /usr/sbin included; the bare name if it is not there."""
    return _find(name) or name


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those of the packages that are not here, after installing them if we are root on a Debian system."""
    absent = [package for package in packages if not _PRESENT[package]()]
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {' '.join(absent)} (Debian)", flush=True)
        # RUNLEVEL=1: the packages' own services are not started, they would take our ports
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", *absent]):
            subprocess.run(["apt-get", "-qq", *words], env=quiet, timeout=300, check=False,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        absent = [package for package in absent if not _PRESENT[package]()]
    return absent


def _find(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


def _program(name: str) -> Callable[[], bool]:
    return lambda: _find(name) is not None


def _module(name: str) -> Callable[[], bool]:
    return lambda: any(Path("/usr/lib").glob(f"*/kamailio/modules/{name}"))


_PRESENT: dict[str, Callable[[], bool]] = {
    "sip-tester": _program("sipp"),
    "stunnel4": _program("stunnel4"),
    "openssl": _program("openssl"),
    "kamailio": _program("kamailio"),
    "kamailio-tls-modules": _module("tls.so"),
    "kamailio-redis-modules": _module("topos_redis.so"),
    "redis-server": _program("redis-server"),
    "rtpengine-daemon": _program("rtpengine"),
}
