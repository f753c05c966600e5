"""What is logged in detail, by istatd's names of switches, and how much is logged at all, by its numbers.

Each switch is the loggers of some parts of ours. What has no part here (replication, allocation) can be switched as
well, and is for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

# istatd's switch -> the loggers of ours that log what it logged.
NAMES: dict[str, tuple[str, ...]] = {
    "admin": ("istat_server.admin",),
    "allKeys": ("istat_server.store.names",),
    "audit": ("istat_server.store.names.deletes",),
    "http": ("istat_server.http",),
    "log_args": (),
    "loopback": (),
    "promExporter": (),
    "promServer": (),
    "record": ("istat_server.store",),
    "rejectedCounters": ("istat_server.mistakes",),
    "replica_of": (),
    "segv": (),
    "settings": ("istat_server.keyvalue",),
    "statTcp": ("istat_server.ingest.connections",),
    "statUdp": ("istat_server.ingest.datagrams",),
}
# istatd's levels from 0 on: error, warning, notice, debug, spam, and more of it.
LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logging.DEBUG, logging.DEBUG)
_on: set[str] = set()
_given = [2, 1]


def is_on(name: str) -> bool:
    """Whether a switch is on."""
    return name in _on


def turn(name: str, on: bool) -> None:
    """Turn a switch; nothing for one that is not known."""
    if name not in NAMES:
        return
    (_on.add if on else _on.discard)(name)
    wanted = {logger for one in _on for logger in NAMES[one]}
    for logger in NAMES[name]:
        logging.getLogger(logger).setLevel(logging.DEBUG if logger in wanted else logging.NOTSET)


def levels() -> tuple[int, int]:
    """The numbers of what is logged now. Our log goes to one place, the first; the second number, in istatd that of
    standard error, is told as it was given and changes nothing."""
    now = logging.getLogger().level
    if LEVELS[_given[0]] != now:        # it was set by the settings since
        _given[0] = next((number for number, one in enumerate(LEVELS) if one <= now), LEVELS.index(logging.DEBUG))
    return _given[0], _given[1]


def set_levels(numbers: Sequence[int]) -> None:
    """Log from this level (0 to 5) on, until the settings are read again."""
    _given[:len(numbers)] = numbers
    logging.getLogger().setLevel(LEVELS[_given[0]])
