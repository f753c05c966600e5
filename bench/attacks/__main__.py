"""Attack a server that runs on this machine: python -m bench.attacks NAME ... --stat-port P --http-port P

For a server that one has started for it: it may well suffer. Prints lines of JSON: that an attack begins, and what the
attackers saw. With --prepare it does only what an attack wants to find in the server. python -m bench.attack starts a
server itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal

import gevent

from bench.attacks.crowd import Target
from bench.attacks.table import ATTACKS


def tell(name: str, target: Target) -> None:
    """What the attackers have seen so far."""
    print(json.dumps({"attack": name, "seen": dict(sorted(target.seen.items()))}), flush=True)


def end(name: str, target: Target) -> None:
    """It was enough."""
    tell(name, target)
    os._exit(0)  # the kernel closes whatever is open


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(ATTACKS), metavar="NAME", help=f"of {', '.join(ATTACKS)}")
    parser.add_argument("--stat-port", type=int, default=8111)
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack (default 8)")
    parser.add_argument("--prepare", action="store_true")
    chosen = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in chosen.names:
        target = Target(chosen.stat_port, chosen.http_port, chosen.seconds)
        print(json.dumps({"attack": name, "begins": True}), flush=True)
        target.begin()
        gevent.signal_handler(signal.SIGTERM, end, name, target)
        act = ATTACKS[name].before if chosen.prepare else ATTACKS[name].act
        if act is not None:
            act(target)
        tell(name, target)


if __name__ == "__main__":
    main()
