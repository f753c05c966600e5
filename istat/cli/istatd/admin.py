"""What is asked of an admin port: `istat stat`, `istat ring flush`, `istat ring purge`, and istatd's programs for it.

The programs end with 1 for a command line that is wrong, 2 when the port cannot be reached, 3 when it refuses.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable

from istat.cli.istatd.adminport import PORT, AdminPort, Refused
from istat.cli.istatd.alias import Alias, Flag, Given, Misread
from istat.cli.istatd.places import place
from istat.cli.report import printable
from istat.cli.tokens import ADMIN_VARIABLE
from istat.clock import Clock
from istat.errors import IstatError, ServerUnreachable
from istat.subcommands import Action, SubCommand

DEFAULT = f"localhost:{PORT}"
STATUSES: dict[type[IstatError], int] = {ServerUnreachable: 2, Refused: 3}
TALK = (Flag("-v", "tell what goes out and comes in"), Flag("-q", "print nothing"))
ADMIN = "It talks to the server's admin-port, which is off unless it is set."


def _port(given: Given) -> AdminPort:
    """The connection that an alias' words `host port` mean."""
    host, port = given.words[:2]
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise Misread(f"Command line error near {port}: that is no port")
    return AdminPort(host, int(port), _talk if given["v"] else None)


def _talk(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _timed(given: Given, clock: Clock, what: str, command: str) -> int:
    began = clock.monotonic()
    with _port(given) as port:
        port.ask(command)
    if not given["q"]:
        print(f"{what} took {round(clock.monotonic() - began)} seconds")
    return 0


def _flush_alias(given: Given, clock: Clock) -> int:
    return _timed(given, clock, "flush", "flush")


def _purge_alias(given: Given, clock: Clock) -> int:
    ages = [*given.words[2:], "0", "0"][:2]
    for age in ages:
        if not (age.isascii() and age.isdigit()):
            raise Misread(f"Command line error near {age}: it wants a number")
    return _timed(given, clock, "purge", f"purge {','.join(ages)}")


def _stat_alias(given: Given, clock: Clock) -> int:
    with _port(given) as port:
        for line in port.ask("stats"):
            print(printable(line))
    return 0


def _delete_alias(given: Given, clock: Clock) -> int:
    for pattern in given.words:
        if any(sign in pattern for sign in ", \r\n"):
            raise Misread(f"Command line error near {pattern!r}: a pattern has no blanks and no commas; name several "
                          "one after the other")
    host, number = place(given["admin"], "--admin", PORT)
    token = os.environ.get(ADMIN_VARIABLE, "")
    with AdminPort(host, number) as port:
        if token:
            port.ask(f"auth {token}")
        for pattern in given.words:
            for name in port.ask(f"delete.pattern {pattern}"):
                print(printable(name))
    return 0


FLUSH = Alias("istatd_flush", "Have a server write what it holds, and wait until it has", _flush_alias, TALK,
              "HOST PORT", 2, 2, ADMIN, (("istatd_flush localhost 8112", "Before a copy is made"),), STATUSES)
PURGE = Alias("istatd_purge", "Have a server forget senders that are gone", _purge_alias, TALK,
              "HOST PORT [MAXOLD [MAXAGE]]", 2, 4,
              "MAXOLD of them stay however long they are gone, and those that were here in the last MAXAGE seconds "
              f"(both 0 unless given). {ADMIN}",
              (("istatd_purge localhost 8112 0 3600", "Gone for an hour"),), STATUSES)
STAT = Alias("istatd_stat", "Print the state of a server", _stat_alias, TALK[:1], "HOST PORT", 2, 2, ADMIN,
             (("istatd_stat localhost 8112", "Ports, connections and replication"),), STATUSES)
DELETE = Alias("istatd_delete_counters", "Delete counters by patterns", _delete_alias,
               (Flag("--admin", "where the server's admin-port is", "HOST:PORT", DEFAULT),), "PATTERN...", 1, 1000,
               f"Each name that goes is printed. The admin-token is taken from {ADMIN_VARIABLE}. {ADMIN}",
               (("istatd_delete_counters 'test.*' 'old.host.*'", "All counters below test and old.host"),), STATUSES)


def _admin_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--admin", default=DEFAULT, metavar="HOST:PORT",
                        help=f"where the server's admin-port is (default {DEFAULT})")


def _asked(arguments: argparse.Namespace, command: str) -> list[str]:
    with AdminPort(*place(arguments.admin, "--admin", PORT)) as port:
        return port.ask(command)


def _timed_action(what: str, command: Callable[[argparse.Namespace], str]) -> Action:
    def action(arguments: argparse.Namespace, clock: Clock) -> None:
        began = clock.monotonic()
        _asked(arguments, command(arguments))
        seconds = round(clock.monotonic() - began, 3)
        print(json.dumps({what: seconds}) if arguments.json else f"{what} took {seconds:g} s")

    return action


def _purge_arguments(parser: argparse.ArgumentParser) -> None:
    _admin_argument(parser)
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="so many stay however long they are gone "
                        "(default 0)")
    parser.add_argument("--age", type=int, default=60, metavar="SECONDS", help="those that were here so lately stay "
                        "(default 60)")


def _stat(arguments: argparse.Namespace, clock: Clock) -> None:
    lines = _asked(arguments, "stats")
    if arguments.json:
        print(json.dumps(dict(line.partition("=")[::2] for line in lines)))
        return
    for line in lines:
        print(printable(line))


STAT_COMMAND = SubCommand("Print what a server's admin port tells of its state.", _admin_argument, _stat,
                          f"{ADMIN} `istat status` asks over HTTP, and tells more.",
                          (("istat stat", "Ports, connections and replication"),))
FLUSH_COMMAND = SubCommand("Have a server write what it holds, and wait until it has.", _admin_argument,
                           _timed_action("flush", lambda _arguments: "flush"), ADMIN,
                           (("istat ring flush", "Before a copy is made"),))
PURGE_COMMAND = SubCommand("Have a server forget senders that are gone.", _purge_arguments,
                           _timed_action("purge", lambda given: f"purge {given.keep},{given.age}"), ADMIN,
                           (("istat ring purge --age 3600", "Those that were not heard of for an hour"),))
