"""The real programs that tests call, and what happens where one is missing."""

from __future__ import annotations

import os
import shutil
from unittest import SkipTest

# The Debian package that holds each program, where the names differ.
PACKAGES = {
    "baresip": "baresip-core",
    "ip": "iproute2",
    "nft": "nftables",
    "rtpengine": "rtpengine-daemon",
    "sipp": "sip-tester",
    "ssh": "openssh-client",
    "telnet": "inetutils-telnet",
}


def need(program: str) -> str:
    """The path of `program`.

    Where it is missing the calling test is skipped, and the reason says which package would help.
    With ``CI=true`` in the environment the test fails instead: there nothing may be missing unnoticed.
    """
    path = shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin")
    if path is not None:
        return path
    reason = f"needs {program} (Debian {PACKAGES.get(program, program)})"
    if os.environ.get("CI") == "true":
        raise AssertionError(reason)
    raise SkipTest(f"SKIPPED: {reason}")
