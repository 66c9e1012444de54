"""The command `b2bua`: check a configuration, explain a route, make users and certificates, watch and test calls."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

DESCRIPTION = """\
b2bua carries SIP calls between networks and hides each network from the other.

The bridge itself is run by twistd:
  twistd --nodaemon b2bua CONFIG

The commands here are for preparing it and for asking it what it would do."""

EPILOG = """\
"b2bua COMMAND --help" says more of each. The manual: b2bua(8), b2bua.toml(5), b2bua-policy(5), b2bua-hiding(5)."""

CHECK = """\
Reads a configuration as the bridge would, binds nothing and sends no call.

Prints every mistake in it at once, each with the key, the value and what would be right. Of a configuration without
mistakes it prints the listeners; for each rule its next hops with the listener, source address, Via and Contact that a
call would get, and why; and what works but not as one might think. Names in next hops are looked up in the DNS.

The exit status is 1 if there is a mistake, and 0 otherwise."""

EXPLAIN = """\
Says what would become of a request: which rule fits and why the earlier ones do not, which transport, listener, source
address and kernel route it would take and why, and the Via and Contact that it would have. The policy script is asked
too, if there is one. Nothing is sent.

Without --from-listener and --from-zone the request comes in on the first listener.

  b2bua explain b2bua.toml 'sip:*33123@example.com' --from-zone public
  b2bua explain b2bua.toml sip:bob@192.0.2.9 --source 10.0.0.7 --header 'X-Account: 12'"""

PASSWD = """\
Sets a user's password in a file for the manhole (users in [manhole]), or with --sip in one for phones (users in
[authentication]). The file is made if it is not there.

The password is asked for twice at a terminal; otherwise it is one line of standard input. For the manhole it is stored
as a hash (scrypt). For phones it is stored as digest authentication needs it, for each algorithm: not the password, but
who reads it can call as this user, so keep the file to yourself. A running bridge takes either at once.

  b2bua passwd /etc/b2bua/operators carol
  b2bua passwd --sip /etc/b2bua/phones alice example.com"""

CERTIFICATE = """\
Makes ca.pem, certificate.pem and key.pem in a directory, for trying things out on this machine: for localhost and
loopback addresses only. What is there already is never overwritten."""

DEMO = """\
Starts the bridge on loopback addresses and lets two small phones call each other through it: by UDP over IPv4 in, by
TLS over IPv6 out; hold, DTMF by INFO, BYE. Draws the call, and the INVITE as it came and as it left. It needs nothing
else."""

SELFTEST = """\
Plays a library of calls through the bridge over real sockets, from phones whose wires lose, delay, double and reorder:
the flows of RFC 3665 and RFC 5359, the races of RFC 5407, and what else has to go right. Prints a line for each, and
the ladder of every one that goes otherwise.

Without CONFIG it starts a bridge of its own on loopback addresses. With CONFIG it calls the one that runs with this
configuration, which must have a route that leads to a phone here; b2bua(8) says which.

The exit status is 0 if all that was played went as drawn, and 1 otherwise."""

LEAKS = """\
Reads a capture of the bridge's own network, pcap or pcapng, and says which messages told a zone what is another's:
addresses in any spelling, host names, Call-IDs, tags, branches, users in Contact; in which header or body.

CONFIG tells which of the addresses are ours, and in which zone; what is foreign is learnt from the capture. Where media
goes must cross and is not counted, nor are credentials and what the configuration lets cross. TLS cannot be read.

The exit status is 0 if nothing leaks, 1 if something does, and 2 if a file cannot be read."""

Arguments = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    run: Callable[[Arguments], int] | None = getattr(given, "run", None)
    if run is None:
        parser.print_help()
        return 2
    try:
        return run(given)
    except BrokenPipeError:  # b2bua check ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("b2bua", description=DESCRIPTION, epilog=EPILOG, formatter_class=plain)
    parser.add_argument("--version", action="version", version=f"b2bua {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Callable[[Arguments], int], short: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=short, description=text, formatter_class=plain)
        made.set_defaults(run=run)
        return made

    check = command("check", _check, "find every mistake in a configuration, and where each next hop leaves", CHECK)
    check.add_argument("config", metavar="CONFIG", help="a configuration as in b2bua.toml(5)")
    explain = command("explain", _explain, "say which way one request would go, and why", EXPLAIN)
    explain.add_argument("config", metavar="CONFIG", help="a configuration as in b2bua.toml(5)")
    explain.add_argument("uri", metavar="REQUEST-URI", help="what is called: sip:*33123@example.com")
    explain.add_argument("--from-zone", metavar="ZONE", default="", help="it comes from this zone")
    explain.add_argument("--from-listener", metavar="NAME", default="", help="it comes in on this listener")
    explain.add_argument("--method", default="INVITE", help="the request's method (default: %(default)s)")
    explain.add_argument("--source", metavar="ADDRESS", default="", help="the address that it comes from")
    explain.add_argument(
        "--header", metavar="'NAME: VALUE'", action="append", default=[], help="a header that it has; may be repeated"
    )
    passwd = command("passwd", _passwd, "set the password of one who may use the manhole, or call", PASSWD)
    passwd.add_argument("--sip", action="store_true", help="of one who registers and calls")
    passwd.add_argument("file", metavar="FILE", help="the file of users")
    passwd.add_argument("user", metavar="USER", help="the user's name")
    passwd.add_argument("realm", metavar="REALM", nargs="?", help="with --sip: the realm of [authentication]")
    certificate = command(
        "development-certificate", _certificate, "make a certificate for trying things out", CERTIFICATE
    )
    certificate.add_argument("directory", metavar="DIRECTORY", help="where to; made if it is not there")
    command("demo", _demo, "one call through the bridge, drawn as a ladder", DEMO)
    leaks = command("leaks", _leaks, "say what the messages in a capture tell one zone of another", LEAKS)
    leaks.add_argument("capture", metavar="CAPTURE", help="a file that tcpdump or Wireshark wrote")
    leaks.add_argument("config", metavar="CONFIG", help="the configuration of the bridge, as in b2bua.toml(5)")
    leaks.add_argument("--json", action="store_true", help="one JSON object for each leak, and nothing else")
    selftest = command("selftest", _selftest, "play races and call flows through the bridge", SELFTEST)
    selftest.add_argument("config", metavar="CONFIG", nargs="?", help="the configuration of a bridge that runs")
    selftest.add_argument("--list", action="store_true", help="name the scenarios, and play none")
    selftest.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="those with this in their name; may be repeated"
    )
    selftest.add_argument("--slow", action="store_true", help="also those that wait for 64*T1")
    selftest.add_argument(
        "--seed", metavar="NUMBER", type=int, default=1, help="of what is lost by chance (default: %(default)s)"
    )
    selftest.add_argument(
        "--listener", metavar="NAME", default="", help="alice calls this listener of CONFIG (default: the first)"
    )
    selftest.add_argument(
        "--dial", metavar="PHONE=URI", action="append", default=[], help="what alice dials for bob; may be repeated"
    )
    return parser


def _version() -> str:
    try:
        return version("b2bua")
    except PackageNotFoundError:
        return "(not installed)"


def _check(given: Arguments) -> int:
    from b2bua.config import ConfigurationError
    from b2bua.ops.check import check, read, say_mistakes

    try:
        configuration = read(given.config)
    except ConfigurationError as error:
        say_mistakes(error, print)
        return 1
    return _with_rooms(configuration, lambda board, kernel: check(configuration, board, kernel, print))


def _explain(given: Arguments) -> int:
    from b2bua.config import ConfigurationError, load
    from b2bua.ops.check import say_mistakes
    from b2bua.ops.explain import CannotAsk, Question, explain

    try:
        configuration = load(given.config)
    except ConfigurationError as error:
        say_mistakes(error, print)
        return 1
    question = Question(
        given.uri, given.method, given.from_zone, given.from_listener, given.source, tuple(given.header)
    )

    def ask(board: Any, kernel: Any) -> Any:
        return explain(configuration, board, question, kernel).addCallback(lambda found: print(found.text()))

    try:
        return _with_rooms(configuration, ask)
    except CannotAsk as error:
        print(f"b2bua explain: {error}", file=sys.stderr)
        return 2


def _with_rooms(configuration: Any, ask: Callable[[Any, Any], Any]) -> int:
    """Put the rooms together without a socket, ask them, and wait for the answer if it does not come at once."""
    from twisted.internet import reactor as installed

    from b2bua.net.kernel import KernelRoutes
    from b2bua.net.names import Names
    from b2bua.net.nameservers import Nameservers
    from b2bua.net.resolver import Resolver
    from b2bua.ops.log import CallLog
    from b2bua.service import assemble

    reactor: Any = installed
    try:
        routes: KernelRoutes | None = KernelRoutes()
    except OSError as error:
        routes = None
        print(f"warning: the kernel's routes cannot be read: {error}", file=sys.stderr)
    kernel = routes.lookup if routes is not None else None
    names = Names(Nameservers(reactor, configuration.dns).ask, reactor)
    board, _ = assemble(configuration, reactor, os.urandom, kernel, Resolver(names, reactor), CallLog())
    failures: list[Any] = []
    waited = ask(board, kernel).addErrback(failures.append)
    if not waited.called:
        waited.addBoth(lambda _: reactor.stop())
        reactor.run()
    names.stop()
    if routes is not None:
        routes.close()
    for failure in failures:
        failure.raiseException()
    return 0


def _passwd(given: Arguments) -> int:
    from b2bua.ops.passwords import UsersError, set_password, set_sip_password

    if given.sip != (given.realm is not None):
        print(f"b2bua passwd: {'--sip needs a REALM' if given.sip else 'a REALM needs --sip'}", file=sys.stderr)
        return 2
    if sys.stdin.isatty():
        password = getpass.getpass(f"New password for {given.user}: ")
        if getpass.getpass("The same again: ") != password:
            print("b2bua passwd: the two are not the same", file=sys.stderr)
            return 1
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        if given.sip:
            new = set_sip_password(given.file, given.user, given.realm, password)
        else:
            new = set_password(given.file, given.user, password)
    except UsersError as error:
        print(f"b2bua passwd: {error}", file=sys.stderr)
        return 1
    print(f"{given.file}: {given.user} {'added' if new else 'has another password now'}")
    return 0


def _certificate(given: Arguments) -> int:
    from b2bua.net.certificates import CertificateError
    from b2bua.net.development import make_development_certificate

    try:
        made = make_development_certificate(given.directory)
    except CertificateError as error:
        print(f"b2bua development-certificate: {error}", file=sys.stderr)
        return 1
    if made:
        print(f"Made a certificate for this machine only: {given.directory}/certificate.pem, key.pem, ca.pem")
    return 0


def _demo(given: Arguments) -> int:
    from b2bua.ops import demo

    return demo.main()


def _leaks(given: Arguments) -> int:
    from b2bua.config import ConfigurationError, load
    from b2bua.ops.check import say_mistakes
    from b2bua.ops.leaks import CANNOT, leaks

    try:
        configuration = load(given.config)
    except ConfigurationError as error:
        say_mistakes(error, print)
        return CANNOT
    return leaks(given.capture, configuration, print, given.json)


def _selftest(given: Arguments) -> int:
    from b2bua.config import ConfigurationError, load
    from b2bua.ops.check import say_mistakes
    from b2bua.ops.selftest.run import Wish, main

    try:
        configuration = load(given.config) if given.config is not None else None
    except ConfigurationError as error:
        say_mistakes(error, print)
        return 1
    wish = Wish(configuration, given.only, given.slow, given.seed, given.listener, given.dial, given.list)
    return main(wish)


if __name__ == "__main__":
    sys.exit(main())
