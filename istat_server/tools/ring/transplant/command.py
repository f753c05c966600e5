"""`istat ring transplant` and `istatd_transplant`: one side listens, the other one connects."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

from istat.cli.istatd.alias import Alias, Flag, Given, Misread
from istat.cli.istatd.places import place
from istat.cli.tokens import token_of
from istat.clock import Clock
from istat.daemon import background
from istat.daemon.listening.binding import loopback
from istat.errors import ServerUnreachable, UsageError
from istat.subcommands import SubCommand
from istat_server.tools.ring.transplant import trying
from istat_server.tools.ring.transplant.asking import Wish, exchange
from istat_server.tools.ring.transplant.serving import Server
from istat_server.tools.ring.transplant.trees import Tree

TOKEN_VARIABLE = "ISTAT_TRANSPLANT_TOKEN"
LATEST = 1 << 40        # [s]


class Asked(NamedTuple):
    """What a command line asks for."""

    listen: str
    connect: str
    store: str
    wish: Wish
    pidfile: str
    as_json: bool = False


def moment(text: str, option: str) -> int:
    """Unix seconds of a time such as 1325394000 or 2012-01-01T05:00:00+01:00, in UTC unless it says; 0 for one before
    1970. UsageError."""
    try:
        if text.isascii() and text.isdigit():
            return min(int(text), LATEST)
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} wants Unix seconds or YYYY-MM-DDTHH:MM:SS, not {text!r}") from None
    return max(0, int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()))


def run(asked: Asked, clock: Clock) -> None:
    """Listen until a signal ends it, or connect. Prints what became of it."""
    if bool(asked.listen) == bool(asked.connect):
        raise UsageError("one side listens, the other one connects: say --listen or --connect")
    if not asked.store:
        raise UsageError("--store must be given")
    with background.hold(Path(asked.pidfile) if asked.pidfile else None):
        tree = Tree(Path(asked.store))
        if asked.listen:
            _serve(tree, asked, clock)
        else:
            host, port = place(asked.connect, "--connect")
            exchange(tree, host, port, asked.wish, clock)
    _tell(tree.totals, asked.as_json)


def _serve(tree: Tree, asked: Asked, clock: Clock) -> None:
    host, port = place(asked.listen, "--listen")
    if not (host and loopback(host)) and not asked.wish.token:
        raise UsageError(f"{host or 'every address'} is reached from other machines: that wants a token, in "
                         f"{TOKEN_VARIABLE} or --token-file FILE, on both sides")
    with Server(tree, host, port, asked.wish.token, clock, asked.wish.verbose) as server:
        print(f"listening on {host}:{server.server_address[1]}, {len(tree)} files", flush=True)
        try:
            with _terminable():
                server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass        # how it ends


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, where that can be set."""
    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(totals: Counter[str], as_json: bool) -> None:
    told = {name: number for name, number in sorted(totals.items()) if number}
    print(json.dumps(told) if as_json else ", ".join(f"{number} {name}" for name, number in told.items()) or "nothing")


def _alias(given: Given, clock: Clock) -> int:
    if given["test"]:
        trying.run(clock)
        print("ok")
        return 0
    try:
        rate, progress = float(given["limitrate"]), int(given["progress"])
        wish = Wish(moment(given["fromtime"] or "0", "--fromtime"), moment(given["totime"] or str(LATEST), "--totime"),
                    _token(given["token-file"]), rate, progress, given["verbose"] or given["debug"])
    except (ValueError, UsageError) as error:
        raise Misread(f"Command line error near {error}") from None
    run(Asked(given["listen"], given["connect"], given["store"], wish, given["pidfile"]), clock)
    return 0


def _token(file: str | Path | None) -> str:
    if not file:
        return os.environ.get(TOKEN_VARIABLE, "")
    return token_of(argparse.Namespace(token_file=Path(file), changes=True, json=False))


_MORE = ("One side has --listen, the other one --connect. Of each file that both have, each side takes the buckets "
         "that it lacks from the other; what a bucket holds is never changed. It listens on this machine only unless a "
         f"host is named; then a token is wanted on both sides, in {TOKEN_VARIABLE} or a file. Nothing is encrypted: "
         "over a network that is not yours, go through ssh -L. Daemons of both trees must be ended before.")
ALIAS = Alias(
    "istatd_transplant", "Fill gaps of two trees of ring files from each other", _alias,
    (Flag("--listen", "wait there for the other side", "[HOST:]PORT", ""),
     Flag("--connect", "where the other side waits", "HOST:PORT", ""),
     Flag("--store", "the folder with ring files", "DIR", "", files=True),
     Flag("--fromtime", "buckets from then on, Unix seconds or 2012-01-01T05:00:00+01:00", "TIME", ""),
     Flag("--totime", "buckets before then", "TIME", ""),
     Flag("--limitrate", "files a second at most; 0 is as fast as can be", "N", "0"),
     Flag("--progress", "tell after each so many files", "N", "0"), Flag("--verbose", "tell of each file"),
     Flag("--debug", "as --verbose"), Flag("--pidfile", "where to write the process id", "FILE", "", files=True),
     Flag("--token-file", f"a file whose first line is the token; else it is that in {TOKEN_VARIABLE}", "FILE", "",
          files=True),
     Flag("--test", "try it in folders of its own, and end")),
    more=_MORE, statuses={ServerUnreachable: 2},
    examples=(("istatd_transplant --listen 8099 --store /srv/b", "The side that waits"),
              ("istatd_transplant --connect localhost:8099 --store /srv/a --fromtime 2026-01-01T00:00:00 "
               "--totime 2026-02-01T00:00:00", "The other one, for a month")))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="DIR", required=True, help="the folder with ring files")
    parser.add_argument("--listen", default="", metavar="[HOST:]PORT", help="wait there for the other side")
    parser.add_argument("--connect", default="", metavar="HOST:PORT", help="where the other side waits")
    parser.add_argument("--from", dest="start", default="0", metavar="TIME",
                        help="buckets from then on, Unix seconds or 2012-01-01T05:00:00+01:00 (default all)")
    parser.add_argument("--to", dest="end", default=str(LATEST), metavar="TIME",
                        help="buckets before then (default all)")
    parser.add_argument("--rate", type=float, default=0.0, metavar="N",
                        help="files a second at most (default no limit)")
    parser.add_argument("--verbose", action="store_true", help="tell of each file")
    parser.add_argument("--token-file", type=Path, metavar="FILE",
                        help=f"a file whose first line is the token; else it is that in {TOKEN_VARIABLE}")


def _action(given: argparse.Namespace, clock: Clock) -> None:
    wish = Wish(moment(given.start, "--from"), moment(given.end, "--to"), _token(given.token_file), given.rate, 0,
                given.verbose)
    if sys.stdout.isatty() and given.connect:
        wish = wish._replace(progress=1000)
    run(Asked(given.listen, given.connect, given.store, wish, "", given.json), clock)


COMMAND = SubCommand("Fill gaps of two trees of ring files from each other.", _arguments, _action, _MORE,
                     (("istat ring transplant --listen 8099 --store /srv/b", "The side that waits"),
                      ("istat ring transplant --connect localhost:8099 --store /srv/a", "The other one")))
