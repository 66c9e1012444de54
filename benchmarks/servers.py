"""The servers that are compared, and how each is started for a variant."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.interpreter import environment, interpreter
from benchmarks.packages import program
from benchmarks.processes import (
    CannotMeasure,
    Command,
    Process,
    Socket,
    memory_bytes,
    processor_seconds,
    refuse_used,
)
from benchmarks.variants import Variant

HERE = Path(__file__).resolve().parent
CERTIFICATE, KEY = "certificate.pem", "key.pem"
NG = Socket("udp", "127.0.0.1", 2223)               # where rtpengine is asked
_PORTS = 20000, 59999                               # of media


@dataclass(frozen=True, slots=True)
class Server:
    """A kind of server: its name, and the programs that make it up for a variant, in the order of their start."""

    name: str
    commands: Callable[[Variant, Path], Sequence[Command]]


class Running:
    """A server that runs on one core, with a folder of its own. Use it with `with`: it ends what it has started."""

    def __init__(self, server: Server, variant: Variant, folder: Path, core: int, nice: int) -> None:
        self.server, self.variant, self.folder = server, variant, folder
        self._core, self._nice = core, nice
        self._started: list[Process] = []
        self._ends = ExitStack()

    def __enter__(self) -> Running:
        refuse_used(self.variant.server_sockets())
        self.folder.mkdir(parents=True)
        if self.variant.front:
            _make_certificate(self.folder)
        with ExitStack() as ends:                       # whatever goes wrong half-way, the rest is ended
            for command in self.server.commands(self.variant, self.folder):
                started = ends.enter_context(Process(command, self._core, self._nice))
                started.wait_ready()
                self._started.append(started)
            time.sleep(0.3)                             # bound is not yet at work: workers are forked after it
            self._ends = ends.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ends.close()

    def check(self) -> None:
        """CannotMeasure if one of its programs has ended."""
        for started in self._started:
            if not started.running:
                raise CannotMeasure(f"{started.command.name} ended during the measurement, {started.last_words()}")

    def processor(self) -> dict[str, float]:
        """Seconds used so far, by program."""
        return {started.command.name: processor_seconds(started.pids()) for started in self._started}

    def memory(self) -> dict[str, int]:
        """Bytes held now, by program."""
        return {started.command.name: memory_bytes(started.pids()) for started in self._started}


def _b2bua(variant: Variant, folder: Path, media: str = "") -> list[Command]:
    config = folder / f"{variant.letter}.toml"
    text = (HERE / "configs" / config.name).read_text()         # file names in it are relative to it
    config.write_text(f"{text}\n{media}")
    twistd = [interpreter()[0], "-c", "from twisted.scripts.twistd import run; run()"]
    return [Command("b2bua", [*twistd, "-n", "--pidfile=", "b2bua", str(config)], folder,
                    ready=variant.server_sockets(), working_directory=HERE.parent, environment=environment())]


def _relayed(variant: Variant, folder: Path) -> list[Command]:
    return _b2bua(variant, folder, f'[media]\ndefault = "relay"\nports = {list(_PORTS)}\n')


def _engined(variant: Variant, folder: Path) -> list[Command]:
    refuse_used([NG])
    first, last = _PORTS
    rtpengine = [program("rtpengine"), "--config-file=none", "--foreground", "--log-stderr", "--log-level=4",
                 f"--interface=out/{variant.outside.address}", f"--interface=in/{variant.inside.address}", "--table=-1",
                 f"--listen-ng={NG.address}:{NG.port}", f"--port-min={first}", f"--port-max={last}"]
    media = (f'[media]\ndefault = "rtp"\n[[engine]]\nname = "rtp"\ndaemons = [{{address = "{NG.address}:{NG.port}"}}]\n'
             'interfaces = {public = "out", private = "in"}\n')
    return [Command("rtpengine", rtpengine, folder, ready=[NG]), *_b2bua(variant, folder, media)]


def _topos(variant: Variant, folder: Path) -> list[Command]:
    socket = folder / "redis.sock"
    redis = [program("redis-server"), "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no",
             "--daemonize", "no", "--loglevel", "warning"]
    defines = [f"OUT_{variant.transport.upper()}", f'REDIS="name=topos;unix={socket};db=0"',
               f'CERTIFICATE="{folder / CERTIFICATE}"', f'KEY="{folder / KEY}"']
    if ":" in variant.outside.address:
        defines.append("IN_IPV6")
    # -x, -X fm: the allocator for production; the one that Debian builds in by default makes a call four times as dear
    kamailio = [program("kamailio"), "-f", str(HERE / "configs" / "kamailio.cfg"), "-DD", "-E", "-x", "fm", "-X", "fm",
                "-m", "1024", "-M", "32", "-w", str(folder), "-Y", str(folder), "-P", str(folder / "kamailio.pid")]
    for define in defines:
        kamailio += ["-A", define]
    return [Command("redis", redis, folder, ready=[socket]),
            Command("kamailio", kamailio, folder, ready=variant.server_sockets())]


def _make_certificate(folder: Path) -> None:
    """A throw-away certificate and key in this folder, for the servers and the TLS front of the callee."""
    made = subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "30", "-subj", "/CN=benchmark.invalid", "-addext", "subjectAltName=IP:127.0.0.2,IP:127.0.0.12",
         "-keyout", str(folder / KEY), "-out", str(folder / CERTIFICATE)],
        capture_output=True, text=True, timeout=30, check=False)
    if made.returncode:
        raise CannotMeasure(f"openssl made no certificate: {made.stderr.strip()}")


B2BUA = Server("b2bua", _b2bua)
TOPOS = Server("topos", _topos)
RELAYED, ENGINED = Server("relay", _relayed), Server("rtpengine", _engined)     # b2bua, with media anchored there
