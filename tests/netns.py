"""Network namespaces with real devices, addresses and routes, for tests of what the kernel does.

A test makes as many machines as it needs, and wires between them::

    bridge, phones = Namespace(self, "bridge"), Namespace(self, "phones")
    bridge.wire("eth0", ["192.0.2.1/24", "2001:db8::1/64"], phones, "eth0", ["192.0.2.2/24", "2001:db8::2/64"])
    bridge.ip("route add 198.51.100.0/24 via 192.0.2.2")
    phones.start("sipp", "-sn", "uas", "-i", "192.0.2.2")          # a process in there, ended with the test
    bridge.start(sys.executable, "-m", "twisted", ..., stdout=PIPE)

`ip()` returns when the kernel has made the change and has told of it, so there is nothing to wait for. Addresses are
usable at once, IPv6 ones too: duplicate address detection is off. Nothing is forwarded, nothing filtered by its source.

A namespace and its processes go with the test that made it (`addCleanup`), or at the latest with the Python process.
Names are made of this process's id: `ip netns list` shows `b2bua-PID-NUMBER-NAME` where a killed test left one behind.

Needs iproute2 and root, or rather CAP_NET_ADMIN and CAP_SYS_ADMIN. Without, the test is skipped; with `CI=true` in the
environment it fails.
"""

from __future__ import annotations

import atexit
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.programs import need

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30  # seconds for a command that takes milliseconds

_numbers = itertools.count(1)

# IPv6 on, addresses usable at once (in "default" before there are devices), answers by another device not dropped.
_SETTINGS = """
set -- /proc/sys/net/ipv4/conf/all/rp_filter /proc/sys/net/ipv4/conf/default/rp_filter
for file in "$@" /proc/sys/net/ipv6/conf/*/accept_dad /proc/sys/net/ipv6/conf/*/disable_ipv6; do
    [ ! -e "$file" ] || echo 0 >"$file"
done
"""


class Namespace:
    """One machine of the test's own: at first it has a loopback device and nothing else."""

    def __init__(self, test: SynchronousTestCase, name: str = "net") -> None:
        self._ip = need("ip")
        self.name = f"b2bua-{os.getpid()}-{next(_numbers)}-{name}"
        self._processes: list[subprocess.Popen[Any]] = []
        made = subprocess.run([self._ip, "netns", "add", self.name], capture_output=True, text=True, timeout=PATIENCE)
        if made.returncode != 0:
            # It may have come half way, to a name without a namespace.
            subprocess.run([self._ip, "netns", "delete", self.name], capture_output=True, timeout=PATIENCE)
            _not_allowed(made.stderr.strip())
        self._there = True
        test.addCleanup(self.remove)
        atexit.register(self.remove)
        self.run("sh", "-c", _SETTINGS)
        self.ip("link set lo up")

    def ip(self, words: str) -> str:
        """What `ip WORDS` prints in here. Words are separated by blanks; a mistake fails the test."""
        return _run([self._ip, "-n", self.name, *words.split()])

    def wire(
        self, device: str, addresses: Sequence[str], far: Namespace, far_device: str, far_addresses: Sequence[str]
    ) -> None:
        """A cable from a new device in here to a new device in another namespace (or in this one), both up.

        Addresses have their prefix length: "192.0.2.1/24". When one end is set down, the other has no carrier.
        """
        _run(
            [self._ip, "link", "add", "name", device, "netns", self.name, "type", "veth"]
            + ["peer", "name", far_device, "netns", far.name]
        )
        for there, name, its in ((self, device, addresses), (far, far_device, far_addresses)):
            for address in its:
                there.ip(f"address add {address} dev {name}")
            there.ip(f"link set dev {name} up")

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` in here, for whoever starts processes in a way of his own."""
        return [self._ip, "netns", "exec", self.name, *words]

    def run(self, *words: str) -> str:
        """Runs a command in here to its end; what it prints. A status other than 0 fails the test."""
        return _run(self.command(*words))

    def start(self, *words: str, **how: Any) -> subprocess.Popen[Any]:
        """Starts a process in here, in the root of the checkout; `how` as for `subprocess.Popen`.

        It is killed when the namespace is removed, if it has not ended before.
        """
        how.setdefault("cwd", ROOT)
        process = subprocess.Popen(self.command(*words), **how)
        self._processes.append(process)
        return process

    def python(self, *words: str, **how: Any) -> subprocess.Popen[Any]:
        """Starts this Python with `words`, such as "-m", "tests.test_kernel_netns"."""
        return self.start(sys.executable, *words, **how)

    def remove(self) -> None:
        """Ends the processes that were started in here and takes the namespace away; once is enough."""
        if not self._there:
            return
        self._there = False
        atexit.unregister(self.remove)
        for process in self._processes:
            process.kill()  # `ip netns exec` has become the command: there is no process in between
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        _run([self._ip, "netns", "delete", self.name])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _not_allowed(said: str) -> None:
    reason = f"needs leave to make network namespaces (root): {said}"
    if os.environ.get("CI") == "true":
        raise AssertionError(reason)
    raise SkipTest(f"SKIPPED: {reason}")
