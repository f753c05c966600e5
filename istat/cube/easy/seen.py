"""Which frames have been taken already, by who sent them and the how many-th it was. Knows nothing of what is in one.

A sender numbers its frames. Of each sender the newest number is kept, and a bitmap of those below it: so a frame that
comes twice is told from one that comes late, in 512 bytes a sender, however many frames there were.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

WINDOW = 4096           # frames below a sender's newest of which it is known whether they came: 11 hours at 10 s
MOST_SOURCES = 10_000   # senders remembered: 6 MB
SILENCE = 3600.0        # [s] a sender that has been silent for so long may be forgotten, if there are too many


class Verdict(Enum):
    """What a frame is."""

    NEW = "new"
    DUPLICATE = "duplicate"
    TOO_OLD = "too old"             # below the window: nobody knows any more whether it came
    TOO_MANY = "too many sources"   # its sender is not known, and none may be forgotten for it


class Source:
    """What is known of one sender."""

    __slots__ = ("bits", "heard", "newest")

    def __init__(self, sequence: int, heard: float) -> None:
        self.newest, self.bits, self.heard = sequence, 1, heard     # bit k: frame `newest - k` came


class Seen:
    """A sliding bitmap for each sender."""

    def __init__(self, most_sources: int = MOST_SOURCES, silence: float = SILENCE, window: int = WINDOW) -> None:
        """ValueError when there is no room for one sender, or no window."""
        if most_sources < 1 or window < 1:
            raise ValueError("at least one source, and one frame of it, must be remembered")
        self._most, self._silence, self._mask = most_sources, silence, (1 << window) - 1
        self._sources: OrderedDict[bytes, Source] = OrderedDict()   # who was heard last comes last

    def __len__(self) -> int:
        return len(self._sources)

    def __contains__(self, source: object) -> bool:
        return source in self._sources

    def newest(self, source: bytes) -> int | None:
        """The largest number of a sender's frames; None when it is not known."""
        known = self._sources.get(source)
        return None if known is None else known.newest

    def look(self, source: bytes, sequence: int, now: float) -> Verdict:
        """What a frame would be, at a time that does not jump; nothing changes."""
        known = self._sources.get(source)
        if known is None:
            return Verdict.NEW if len(self._sources) < self._most or self.oldest(now) is not None else Verdict.TOO_MANY
        below = known.newest - sequence
        if below < 0:
            return Verdict.NEW
        if below >= self._mask.bit_length():
            return Verdict.TOO_OLD
        return Verdict.DUPLICATE if known.bits >> below & 1 else Verdict.NEW

    def oldest(self, now: float) -> bytes | None:
        """Whom a new sender would push out: the one silent for longest, if it has been for long enough."""
        source, known = next(iter(self._sources.items()))
        return source if now - known.heard >= self._silence else None

    def mark(self, source: bytes, sequence: int, now: float) -> bytes | None:
        """A frame that `look` called new has been taken. The sender that was forgotten for it, if one was."""
        known = self._sources.get(source)
        if known is None:
            gone = self.oldest(now) if len(self._sources) >= self._most else None
            if gone is not None:
                del self._sources[gone]
            self._sources[source] = Source(sequence, now)
            return gone
        above = sequence - known.newest
        if above > 0:
            # Not shifted further than the window, however far the number jumps: that would take memory.
            known.bits = known.bits << above & self._mask if above <= self._mask.bit_length() else 0
            known.newest, above = sequence, 0
        known.bits |= 1 << -above
        known.heard = now
        self._sources.move_to_end(source)
        return None
