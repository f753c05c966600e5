"""What senders tell of themselves, kept so that targets can be told of it: by origin, the last value of each key.

Knows no targets. Bounded: the origin that has told nothing new for longest is forgotten.
"""
from __future__ import annotations

from collections import OrderedDict

# As many as a server's roster has.
MOST_ORIGINS = 10_000
# What one may tell: keys, and bytes of a line (those of the roster, with room for both of its texts).
MOST_KEYS = 32
MOST_LINE = 600
# What all may tell together [bytes of memory]: 10,000 agents of ten lines each need 24 MB, forged ones all they may.
MOST_BYTES = 32 << 20
LINE_BYTES = 200        # what a line costs besides its own bytes
MOST_NAME = 256         # [bytes] of an origin's name


class Origins:
    """The metadata of all origins."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, dict[bytes, bytes]] = OrderedDict()    # longest unchanged first
        self._bytes = 0

    def names(self) -> list[str]:
        """All origins."""
        return list(self._told)

    def text(self, origin: str) -> bytes:
        """What this one has told, as lines `#key value`; b"" when it was forgotten."""
        return b"".join(self._told.get(origin, {}).values())

    def take(self, origin: str, text: bytes) -> bytes:
        """Remember lines `#key value`; those of them that are new or say something else."""
        if len(origin.encode()) > MOST_NAME:
            return b""
        known = self._told.get(origin, {})
        news: list[bytes] = []
        for line in text.splitlines():
            key, blank, _ = line.partition(b" ")
            whole = line + b"\n"
            if not blank or not key.startswith(b"#") or len(whole) > MOST_LINE or known.get(key) == whole:
                continue
            if key in known or len(known) < MOST_KEYS:
                self._bytes += _cost(whole) - (_cost(known[key]) if key in known else 0)
                known[key] = whole
                news.append(whole)
        if news:
            self._told[origin] = known
            self._told.move_to_end(origin)
            while len(self._told) > MOST_ORIGINS or self._bytes > MOST_BYTES:
                _origin, gone = self._told.popitem(last=False)
                self._bytes -= sum(map(_cost, gone.values()))
        return b"".join(news)


def _cost(line: bytes) -> int:
    return len(line) + LINE_BYTES
