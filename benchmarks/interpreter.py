"""The Python that b2bua is measured with: the distribution's, where there is one that can run it.

Kamailio is the distribution's too. Debian builds both for speed (Python with profile and link-time optimisation); a
Python that somebody built for himself without these makes a call 5 to 8 % dearer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from functools import lru_cache

DISTRIBUTION = "/usr/bin/python3"
_ASK = "import platform, OpenSSL, re2, twisted; print(platform.python_version())"


def environment() -> Mapping[str, str]:
    """What another interpreter needs, to find the libraries of this one's virtual environment."""
    return {"PYTHONPATH": os.pathsep.join([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])}


@lru_cache
def interpreter() -> tuple[str, str]:
    """Its path and its version."""
    if os.path.exists(DISTRIBUTION):
        asked = subprocess.run([DISTRIBUTION, "-c", _ASK], env={**os.environ, **environment()}, capture_output=True,
                               text=True, check=False)
        if asked.returncode == 0:
            return DISTRIBUTION, asked.stdout.strip()
    return sys.executable, ".".join(map(str, sys.version_info[:3]))
