"""Small programs of istatd's for scripts: istatd_netcat, istatd_sleep, random_numbers."""

from __future__ import annotations

import math
import random
import select
import socket
import sys
import time
from typing import Any

from istat.cli.istatd.alias import Alias, Flag, Given, Misread
from istat.clock import Clock
from istat.errors import ServerUnreachable

PIECE = 1 << 16         # [bytes] relayed at once
CONNECT_SECONDS = 10.0
MOST_SECONDS = 1e8      # [s] that one may sleep or wait
MOST_NUMBERS = 10_000_000
SPREAD = 100            # how far random numbers go from their centre


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST_SECONDS:
        raise Misread(f"Command line error near {word}: it wants seconds")
    return seconds


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise Misread(f"Command line error near {word}: it wants a whole number") from None


def _netcat(given: Given, clock: Clock) -> int:
    host, number = given.words
    port = _whole(number)
    if not 0 < port < 65536:
        raise Misread(f"Command line error near {number}: that is no port")
    quiet = _seconds(given["q"])
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as peer:
            peer.setblocking(False)
            _relay(peer, quiet, clock)
    except OSError as error:
        raise ServerUnreachable(f"{host}:{port}: {error.strerror or error}") from error
    return 0


def _relay(peer: socket.socket, wait: float, clock: Clock) -> None:
    """Both ways, until the peer hangs up, or `wait` seconds after standard input has ended. A peer that takes nothing
    until its own answer is taken is waited for by neither way alone."""
    source: Any = sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer
    waiting, more, end = b"", True, math.inf
    while clock.monotonic() < end:
        reads = [peer, source] if more and not waiting else [peer]
        timeout = None if end == math.inf else max(0.0, end - clock.monotonic())
        ready, takes, _ = select.select(reads, [peer] if waiting else [], [], timeout)
        if peer in ready:
            data = peer.recv(PIECE)
            if not data:
                return
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        if peer in takes:
            waiting = waiting[peer.send(waiting):]
        if source in ready:
            waiting = source.read(PIECE)
            more = bool(waiting)
            if not more:
                peer.shutdown(socket.SHUT_WR)
                end = clock.monotonic() + wait


def _sleep(given: Given, clock: Clock) -> int:
    time.sleep(_seconds(given.words[0]))
    return 0


def _random(given: Given, clock: Clock) -> int:
    count, centre = map(_whole, [*given.words, *("1000", "100")[len(given.words):]])
    if not 0 <= count <= MOST_NUMBERS:
        raise Misread(f"Command line error near {count}: 0 to {MOST_NUMBERS}")
    at = int(clock.now())
    for _ in range(count):
        at += random.randint(1, 10)
        value = centre + random.randint(-SPREAD, SPREAD)
        print(f"{at} {value}" if given["t"] else value)
    return 0


NETCAT = Alias("istatd_netcat", "Send standard input to a TCP port and print what comes back", _netcat,
               (Flag("-q", "how long to wait for more after standard input has ended", "SECONDS", "0"),), "HOST PORT",
               2, 2, examples=(("echo stats | istatd_netcat -q 1 localhost 8112", "Ask an admin port"),),
               statuses={ServerUnreachable: 2})
SLEEP = Alias("istatd_sleep", "Wait for seconds and parts of them", _sleep, (), "SECONDS", 1, 1,
              examples=(("istatd_sleep 0.2", "A fifth of a second"),))
RANDOM = Alias("random_numbers", "Print random whole numbers around a centre", _random,
               (Flag("-t", "a time before each, later from line to line"),), "[COUNT [CENTRE]]", 0, 2,
               examples=(("random_numbers -t 100 50 | istatd_nums2file --stat-file data/10s --time-in-file",
                          "A ring file to try tools with"),))
