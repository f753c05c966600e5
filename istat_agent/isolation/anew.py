"""What an agent hands on to itself when the watchdog executes it anew in its own process: descriptors, by name.

Root may have been given up since the start, so what could be opened only before that must go on: what it listens on,
and its pid-file with the lock. The names and numbers stand in a variable of the environment that only such a start has.
"""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

VARIABLE = "ISTAT_AGENT_ANEW"
AT_ONCE = 3  # executions in a row that are followed by a start without a wait
LONGEST = 10.0  # seconds of a wait: half of what a service manager lets pass without a sign of life, and less


class Handed:
    """What came with this start, if it is one anew."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Takes the variable from the environment, so that nobody else gets it."""
        text = environ.pop(VARIABLE, None)
        self.anew = text is not None
        self._known: list[tuple[str, int]] = []
        for word in (text or "").split(","):
            name, _, number = word.partition("=")
            if number.isdigit() and _is_open(int(number)):
                os.set_inheritable(int(number), False)
                self._known.append((name, int(number)))

    def take(self, name: str) -> int | None:
        """A descriptor that was handed on under this name; it belongs to the caller now. None: there is none."""
        for at, (known, number) in enumerate(self._known):
            if known == name:
                del self._known[at]
                return number
        return None

    def take_all(self, name: str) -> list[int]:
        """All of this name."""
        found = []
        while (number := self.take(name)) is not None:
            found.append(number)
        return found


def told(descriptors: list[tuple[str, int]]) -> str:
    """The variable's value for these."""
    return ",".join(f"{name}={number}" for name, number in descriptors)


def pause(times: int) -> float:
    """How long to wait when it was executed anew so many times in a row [s]."""
    return 0.0 if times <= AT_ONCE else min(LONGEST, 2.0 ** (times - AT_ONCE - 1))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
