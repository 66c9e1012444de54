"""What an operator installs: the wheel, in an environment that holds no checkout."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "b2bua", "twisted", "etc", "man")


class Installed:
    """A clean environment with the wheel in it, made once for all tests of this file."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="b2bua-package-"))
        self.wheel = self._build()
        self.bin = self._install() / "bin"

    def run(self, *command: str) -> str:
        """What a command of the environment prints; its failure is the test's."""
        return self._run(str(self.bin / command[0]), *command[1:])

    def _run(self, *command: str) -> str:
        # Away from the checkout and without its PYTHONPATH, which trial sets for those that work for it.
        ended = subprocess.run(
            command,
            cwd=self.directory,
            env={name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}")
        return ended.stdout

    def _pip(self, *arguments: str) -> None:
        self._run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--no-deps", "--no-index")

    def _build(self) -> Path:
        # From a copy: a build leaves its traces where it runs, and what an old build left would be shipped.
        source = self.directory / "source"
        source.mkdir()
        traces = shutil.ignore_patterns("__pycache__", "tls", "*.cache")
        for name in SHIPPED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / name, ignore=traces)
            else:
                shutil.copy(ROOT / name, source)
        self._pip("wheel", "--no-build-isolation", "--wheel-dir", str(self.directory), str(source))
        shutil.rmtree(source)
        (wheel,) = self.directory.glob("*.whl")
        return wheel

    def _install(self) -> Path:
        environment = self.directory / "environment"
        self._run(sys.executable, "-m", "venv", "--without-pip", str(environment))
        python = environment / "bin" / "python"
        self._pip("--python", str(python), "install", str(self.wheel))
        # The libraries are those of this environment; only afterwards, or pip would find the bridge itself among them.
        # A path named in a .pth file is searched for modules, but the .pth files in it (the checkout's) are not read.
        (packages,) = environment.glob("lib/python*/site-packages")
        libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (packages / "libraries.pth").write_text("\n".join(libraries) + "\n")
        return environment


@functools.cache
def installed() -> Installed:
    """The one clean environment of this process: trial has nothing that runs once for a class."""
    made = Installed()
    atexit.register(shutil.rmtree, made.directory, ignore_errors=True)
    return made


class TestWheel(SynchronousTestCase):
    """A wheel, installed where nothing else is."""

    def setUp(self) -> None:
        """Build and install, the first time."""
        self.installed = installed()

    def test_nothing_of_the_checkout_is_seen(self) -> None:
        """The package that is imported is the installed one."""
        place = self.installed.run("python", "-c", "import b2bua; print(b2bua.__file__)").strip()
        self.assertTrue(place.startswith(str(self.installed.directory)), place)

    def test_twistd_lists_the_bridge(self) -> None:
        """``twistd --help`` names b2bua among what it can run."""
        printed = self.installed.run("python", "-c", "from twisted.scripts.twistd import run; run()", "--help")
        self.assertRegex(printed, r"(?m)^ +b2bua +\S")

    def test_twistd_knows_its_options(self) -> None:
        """``twistd b2bua --help`` loads the service and prints how to call it."""
        printed = self.installed.run("python", "-c", "from twisted.scripts.twistd import run; run()", "b2bua", "--help")
        self.assertIn("b2bua", printed)

    def test_the_command_runs(self) -> None:
        """The command ``b2bua`` is there and prints its help."""
        self.assertIn("explain", self.installed.run("b2bua", "--help"))

    def test_the_manual_is_where_man_looks(self) -> None:
        """Man pages and samples stand under the prefix."""
        share = self.installed.bin.parent / "share"
        self.assertTrue((share / "man" / "man8" / "b2bua.8").exists())
        self.assertTrue((share / "doc" / "b2bua" / "etc" / "examples" / "media-servers.toml").exists())

    def test_what_is_in_it(self) -> None:
        """Every module, the plugin, the manual, the samples, the unit and the licence; nothing of Twisted's."""
        with zipfile.ZipFile(self.installed.wheel) as wheel:
            names = wheel.namelist()
        for path in (ROOT / "b2bua").rglob("*.py"):
            self.assertIn(str(path.relative_to(ROOT)), names)
        self.assertIn("b2bua/py.typed", names)
        for path in (ROOT / "b2bua").rglob("*.ladder"):
            self.assertIn(str(path.relative_to(ROOT)), names)
        self.assertEqual([name for name in names if name.startswith("twisted")], ["twisted/plugins/b2bua_plugin.py"])
        for data in (
            "share/man/man8/b2bua.8",
            "share/man/man5/b2bua.toml.5",
            "share/man/man7/b2bua-selftest.7",
            "share/man/man5/b2bua-policy.5",
            "share/man/man5/b2bua-hiding.5",
            "share/doc/b2bua/etc/b2bua.toml",
            "share/doc/b2bua/etc/examples/media-servers.toml",
            "share/doc/b2bua/etc/examples/ipv4-ipv6.toml",
            "share/doc/b2bua/etc/examples/webrtc-gateway.toml",
            "share/doc/b2bua/etc/examples/policy.py",
            "lib/systemd/system/b2bua.service",
        ):
            self.assertTrue(any(name.endswith(".data/data/" + data) for name in names), data)
        self.assertTrue(any(name.endswith("/LICENSE") for name in names))
        self.assertFalse([name for name in names if name.endswith((".pem", ".key", ".passwd", ".pyc", ".cache"))])
