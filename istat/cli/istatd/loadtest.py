"""`istat loadtest` and `istatd_loadtest`: samples of made-up counters, as fast as asked, over one TCP connection.

The values go up and down by chance; the same seed makes the same ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import ssl
import time
from collections.abc import Iterator
from typing import NamedTuple

from istat.cli.asking import context_of, secures
from istat.cli.istatd.alias import Alias, Flag, Given
from istat.cli.istatd.places import place
from istat.client import DEFAULT_STAT_PORT, StatClient
from istat.clock import Clock
from istat.errors import ServerUnreachable, UsageError
from istat.subcommands import SubCommand

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = 4               # of a name: one for each digit of the most counters there may be
MOST_NUMBER, MOST_INTERVAL, MOST_COUNTERS = 10_000_000, 100_000, 10_000
DEFAULT = f"localhost:{DEFAULT_STAT_PORT}"


class Load(NamedTuple):
    """What to send: so many samples, one each `interval` ms, of so many counters, one after the other."""

    number: int
    interval: int
    counters: int
    seed: int


def samples(load: Load) -> Iterator[tuple[str, float]]:
    """Names such as three.one.seven.four, and values."""
    draw = random.Random(load.seed)
    names = [".".join(DIGITS[int(digit)] for digit in f"{number:0{PARTS}d}")
             for number in draw.sample(range(10 ** PARTS), load.counters)]
    values = [draw.uniform(0.0, 100.0) for _ in names]
    for number in range(load.number):
        at = number % load.counters
        values[at] += draw.uniform(-1.0, 1.0)
        yield names[at], round(values[at], 3)


def send(load: Load, host: str, port: int, clock: Clock, tls: ssl.SSLContext | None = None) -> float:
    """Send them; the seconds that it took. ServerUnreachable when some could not be sent."""
    began = clock.monotonic()
    with StatClient(host, port, transport="tcp", clock=clock, tls=tls) as client:
        for sent, (name, value) in enumerate(samples(load), 1):
            client.gauge(name, value)
            client.flush()
            if client.sent < sent:
                why = f": {client.error.strerror or client.error}" if client.error is not None else ""
                raise ServerUnreachable(f"after {client.sent:,} samples {host}:{port} takes none{why}")
            ahead = began + sent * load.interval / 1000 - clock.monotonic()
            if ahead > 0 and sent < load.number:
                time.sleep(ahead)
    return clock.monotonic() - began


def _alias(given: Given, clock: Clock) -> int:
    load = Load(given["num"], given["interval"], given["counters"], given["seed"] or os.getpid())
    seconds = send(load, *place(given["host"], "--host", DEFAULT_STAT_PORT), clock)
    print(f"Sent {load.number} metrics in {seconds:g} seconds.")
    return 0


ALIAS = Alias(
    "istatd_loadtest", "Send samples of made-up counters", _alias,
    (Flag("--num", "samples in all", "N", 1000, least=1, most=MOST_NUMBER),
     Flag("--interval", "milliseconds from one to the next", "MS", 10, least=1, most=MOST_INTERVAL),
     Flag("--counters", "how many counters there are", "N", 10, least=1, most=MOST_COUNTERS),
     Flag("--seed", "the same one makes the same samples; 0 is another one each time", "N", 0),
     Flag("--host", "the server's stat-port", "HOST:PORT", DEFAULT)),
    examples=(("istatd_loadtest --num 100000 --interval 1 --host localhost:8111", "A thousand a second"),),
    statuses={ServerUnreachable: 2})


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", default=DEFAULT, metavar="HOST:PORT",
                        help=f"the server's stat-port (default {DEFAULT})")
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="in all (default 1000)")
    parser.add_argument("--interval", type=int, default=10, metavar="MS",
                        help="milliseconds from one to the next (default 10)")
    parser.add_argument("--counters", type=int, default=10, metavar="N",
                        help="how many counters there are (default 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same one makes the same samples")
    secures(parser)


def _action(arguments: argparse.Namespace, clock: Clock) -> None:
    for option, most in (("samples", MOST_NUMBER), ("interval", MOST_INTERVAL), ("counters", MOST_COUNTERS)):
        if not 1 <= getattr(arguments, option) <= most:
            raise UsageError(f"--{option} wants a number of 1 to {most}")
    load = Load(arguments.samples, arguments.interval, arguments.counters, arguments.seed or os.getpid())
    seconds = send(load, *place(arguments.to, "--to", DEFAULT_STAT_PORT), clock, context_of(arguments))
    print(json.dumps({"sent": load.number, "seconds": round(seconds, 3)}) if arguments.json
          else f"sent {load.number:,} samples in {seconds:.3g} s")


COMMAND = SubCommand("Send samples of made-up counters over one TCP connection.", _arguments, _action,
                     "For tests: the counters have names such as three.one.seven.four, and stay until deleted.",
                     (("istat loadtest --samples 100000 --interval 1", "A thousand a second"),))
