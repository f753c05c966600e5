"""What senders declare of metrics, and what the server declares of its own: bounded, and whose word holds.

The latest word on a name holds, whoever says it, but for the server's own names. Nobody pushes out what others still
tell: who comes when there is no room is refused and counted. The same word again costs a look into a dictionary. Knows
no files, no sockets and no store. Names are as counters have them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.declared.lines import BEGINS, read
from istat.declared.matching import MOST_SHAPES, Matching
from istat.declared.pages import Kept, word
from istat.errors import BadLine
from istat.metrics import Metric
from istat_server.mistakes import Mistakes
from istat_server.roster import FORGET_SECONDS, Sender

log = logging.getLogger(__name__)

MOST_NAMES = 10_000             # of all senders: some 10 MB of memory
MOST_BYTES = 4 << 20            # of `NAME JSON`, of all senders
MOST_OF_ONE = 2_000             # names of one sender's host: it may forward what a thousand machines declare
MOST_UDP = MOST_NAMES // 2      # names of all that came by UDP, whose addresses can be forged
MOST_SHAPES_OF_ONE = MOST_SHAPES // 4   # shapes of names that one sender's host brings, of all senders'
MOST_SHAPES_UDP = MOST_SHAPES // 2      # and all that came by UDP
UDP = "udp"
# How often a name may change its meaning: so many times at once, and then once in so many seconds. Two versions of a
# collector that are at work at the same time change it with each hour.
CHANGES, CHANGE_SECONDS = 5.0, 600.0
AT_ONCE = 200                   # declarations that are taken, or dropped: some 4 ms
SWEEP_SECONDS = 60.0            # between two looks for what nobody tells any more, when the last found it all
SWEPT_AT_ONCE = 1000            # some 4 ms
BAD = "bad_metadata"

T = TypeVar("T")


@dataclass
class Entry:
    """A declaration: as it was told, by whom, when last, and how often it may still change."""

    metric: Metric
    named: bytes        # NAME as the sender has it
    words: bytes        # JSON
    by: str
    told: float         # monotonic
    shape: bool         # whether it brought its name's shape
    changes: float = CHANGES
    changed: float = 0.0

    @property
    def text(self) -> bytes:
        """`NAME JSON`."""
        return self.named + b" " + self.words


class Declared:
    """All declarations. `news(line)` is told of each that is new or another one now, `gone(NAME)` of each that is no
    more."""

    def __init__(self, clock: Clock, mistakes: Mistakes, own: Iterable[Metric] = (), prefix: str = "") -> None:
        """own: the server's metrics, which nobody else declares; `prefix`: what their counters' names begin with, and
        nobody else's declarations."""
        self.news: Callable[[bytes], None] = lambda line: None
        self.gone: Callable[[bytes], None] = lambda named: None     # told of each NAME that nobody tells any more
        self.changed: Callable[[], None] = lambda: None     # something is to be kept
        self.read_only: Callable[[], str] = str     # why senders declare nothing here: a replica has its master's
        self.number = 0         # of changes so far
        self._clock, self._mistakes, self._prefix = clock, mistakes, prefix
        self._log = LimitedLog(log, clock)
        self._own: Matching[Metric] = Matching()
        self._own_metrics = list(own)
        for metric in self._own_metrics:
            self._own.put(metric.name, metric)
        self._names: Matching[Entry] = Matching()
        self._as_told: dict[bytes, Entry] = {}      # by NAME as it was told
        self._of: dict[str, int] = {}               # names, by who declared them first
        self._by_udp = 0                            # of these, those that came by UDP
        self._shapes_of: dict[str, int] = {}        # shapes, by who brought them
        self._shapes_by_udp = 0
        self._bytes = 0
        self._sweep_at = float("-inf")
        self._counts = {"changed": 0, "refused": 0}

    def totals(self) -> Mapping[str, float]:
        """Values of the metrics `declared.*`."""
        return {"declared.metrics": len(self._as_told), "declared.bytes": self._bytes,
                **{f"declared.{what}": count for what, count in self._counts.items()}}

    # -- what senders say

    def take(self, text: bytes, sender: Sender) -> None:
        """A sender says `NAME JSON`."""
        named, _, words = text.partition(b" ")
        known = self._as_told.get(named)
        if known is not None and known.words == words:
            known.told = self._clock.monotonic()
        elif not self.read_only():
            self._take_news(text.strip(), sender)

    def _take_news(self, text: bytes, sender: Sender) -> None:
        try:
            metric = read(text)
        except BadLine:
            self._counts["refused"] += 1
            self._mistakes.note(BAD, BEGINS + text, sender)
            return
        if self._prefix and metric.name.startswith(self._prefix):
            if self._own.get(metric.name) != metric:
                self._counts["refused"] += 1
            return
        if self._put(metric, text, who(sender)):
            self.news(BEGINS + text + b"\n")
            self.changed()

    def _put(self, metric: Metric, text: bytes, by: str) -> bool:
        """Whether this is news that is taken."""
        known = self._names.get(metric.name)
        now = self._clock.monotonic()
        if known is not None:
            known.told = now
            return known.metric != metric and self._change(known, metric, text, now)
        shape = not self._names.has_shape(metric.name)
        if not self._has_room(by, len(text), shape, now):
            return False
        named, _, words = text.partition(b" ")
        entry = Entry(metric, named, words, by, now, shape, changed=now)
        if not self._names.put(metric.name, entry):
            return self._refuse(by)
        self._as_told[named] = entry
        self._count(entry, 1)
        self._count_change()
        return True

    def _change(self, known: Entry, metric: Metric, text: bytes, now: float) -> bool:
        """Another word on a name that is known; whether it may change already."""
        allowed = min(CHANGES, known.changes + (now - known.changed) / CHANGE_SECONDS)
        more = len(text) - len(known.text)
        if allowed < 1 or (more > 0 and self._bytes + more > MOST_BYTES):
            self._counts["refused"] += 1
            return False
        named, _, words = text.partition(b" ")
        self._as_told.pop(known.named, None)
        if known.named != named:
            self.gone(known.named)
        self._names.drop(known.metric.name)     # another word may stand between < and >
        known.metric, known.named, known.words = metric, named, words
        known.changes, known.changed = allowed - 1, now
        self._as_told[named] = known
        self._names.put(metric.name, known)
        self._bytes += more
        self._count_change()
        return True

    def _count_change(self) -> None:
        self.number += 1
        self._counts["changed"] += 1

    # -- room

    def _has_room(self, by: str, size: int, shape: bool, now: float) -> bool:
        if self._fits(by, size, shape):
            return True
        if now - self._sweep_at >= SWEEP_SECONDS:
            old = [one for one in self._as_told.values() if now - one.told > FORGET_SECONDS]
            if len(old) <= SWEPT_AT_ONCE:
                self._sweep_at = now
            for entry in old[:SWEPT_AT_ONCE]:
                self._drop(entry)
            if old:
                self.number += 1
                self.changed()
        return self._fits(by, size, shape) or self._refuse(by)

    def _fits(self, by: str, size: int, shape: bool) -> bool:
        udp = by.startswith(UDP)
        return (self._of.get(by, 0) < MOST_OF_ONE and len(self._as_told) < MOST_NAMES
                and (self._by_udp < MOST_UDP or not udp) and self._bytes + size <= MOST_BYTES
                and not (shape and (self._shapes_of.get(by, 0) >= MOST_SHAPES_OF_ONE
                                    or (udp and self._shapes_by_udp >= MOST_SHAPES_UDP))))

    def _refuse(self, by: str) -> bool:
        self._counts["refused"] += 1
        self._log.warning("room", "there is no room for what %s declares of metrics: %d names of %d are kept, %d of "
                          "its own, of %d, with %d shapes of names, of %d; what nobody tells for a day makes room",
                          by.replace("_", " "), len(self._as_told), MOST_NAMES, self._of.get(by, 0), MOST_OF_ONE,
                          self._shapes_of.get(by, 0), MOST_SHAPES_OF_ONE)
        return False

    def _count(self, entry: Entry, sign: int) -> None:
        """That it is there (1), or no more (-1)."""
        udp = entry.by.startswith(UDP)
        self._bytes += sign * len(entry.text)
        self._by_udp += sign * udp
        _add(self._of, entry.by, sign)
        if entry.shape:
            self._shapes_by_udp += sign * udp
            _add(self._shapes_of, entry.by, sign)

    def _drop(self, entry: Entry) -> None:
        self._as_told.pop(entry.named, None)
        self._names.drop(entry.metric.name)
        self._count(entry, -1)
        self.gone(entry.named)

    # -- what is asked

    def find(self, counter: str) -> Metric | None:
        """What is declared of a counter, whose name is the stored one; None for nothing."""
        if self._prefix and counter.startswith(self._prefix):
            return self._own.find(counter)
        entry = self._names.find(counter)
        return entry.metric if entry is not None else None

    def all(self) -> list[Metric]:
        """All that is declared, by senders and by the server, in order of names."""
        told = [entry.metric for entry in self._as_told.values()]
        return sorted([*told, *self._own_metrics], key=lambda metric: metric.name)

    def lines(self) -> bytes:
        """What senders have declared, as lines `#metric NAME JSON`."""
        return b"".join(BEGINS + entry.text + b"\n" for entry in self._as_told.values())

    # -- what is kept, and what a replica has of its master

    def kept(self) -> list[Kept]:
        """All that is to be kept."""
        return [Kept(entry.by, entry.text) for entry in self._as_told.values()]

    def load(self, kept: Iterable[Kept]) -> int:
        """Take what was kept, within the bounds; how many cannot be."""
        return sum(not self._load(one) for one in kept)

    def _load(self, one: Kept) -> bool:
        try:
            return self._put(read(one.text), one.text, one.by)
        except BadLine:
            return False

    def replace(self, kept: Iterable[Kept], between: Callable[[], None] = lambda: None) -> None:
        """Have these in place of all there are. `between` is called between portions of some milliseconds' work."""
        wanted = {one.text: one for one in kept}
        gone = [entry for entry in self._as_told.values() if wanted.pop(entry.text, None) is None]
        self._in_portions(self._drop, gone, between)
        self.number += len(gone)
        self._in_portions(self._load, wanted.values(), between)
        self.changed()

    @staticmethod
    def _in_portions(act: Callable[[T], object], all_of_them: Iterable[T], between: Callable[[], None]) -> None:
        for count, one in enumerate(all_of_them, 1):
            act(one)
            if count % AT_ONCE == 0:
                between()


def who(sender: Sender) -> str:
    """Whose declarations are one sender's: its host's, by one transport. A word, as in the file that is kept."""
    return word(f"{sender.transport} {sender.who}")


def _add(counts: dict[str, int], key: str, more: int) -> None:
    counts[key] = counts.get(key, 0) + more
    if not counts[key]:
        del counts[key]
