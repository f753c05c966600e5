"""Lines and rows to buckets: what senders' samples do to heads and journal. Knows no sockets, files or clock.

A wire name found among the routes leads straight to the counters it feeds. What cannot be handled here (new names,
metadata) is left over as (code, line); so are bad lines, and those whose sample a counter refused.

This module is the specification; the native build of the same name does the same, and goes by the order in which
senders repeat their names, which only saves time.
"""
from __future__ import annotations

import math
import re
from collections.abc import Sequence

from istat.kernels.python.columns import Columns
from istat.kernels.python.ingest.ladders import Ladder
from istat.kernels.python.ingest.lines import (
    BAD_FIELDS,
    BAD_NUMBER,
    CODES,
    EMPTY,
    FROM_FUTURE,
    FROM_PAST,
    META,
    NOT_FINITE,
    REJECTED,
    RESERVED,
    SAMPLE,
    TOO_COARSE,
    UNKNOWN,
    parse,
)
from istat.kernels.python.ingest.records import (
    MOST_COUNT,
    MOST_INTERVAL,
    Fields,
    put_interval,
    put_mark,
    put_position,
    put_sample,
)
from istat.kernels.python.ingest.registry import Registry

TALLY = ("samples", "lines", "bad_fields", "bad_number", "not_finite", "reserved", "metadata", "unknown",
         "from_future", "from_past", "rejected", "journalled", "too_coarse")
BAD_KEPT = 32           # bad lines kept with their text between two calls of take_leftovers; the rest is counted
BAD_ROOM = 200          # [bytes] of a bad line kept
SLACK = 0.0001          # how far a pre-aggregated mean may leave [min, max], as a share (spec: gauge validity)
_TALLY_OF = {BAD_FIELDS: "bad_fields", BAD_NUMBER: "bad_number", NOT_FINITE: "not_finite",
             RESERVED: "reserved", META: "metadata", UNKNOWN: "unknown"}
# Counted once for each counter that refuses, not for each line.
_REFUSALS = (FROM_FUTURE, FROM_PAST, REJECTED, TOO_COARSE)
# What `new_among` draws lines by (Knuth's MMIX), and what a line's name is.
DRAW_TIMES, DRAW_PLUS = 6364136223846793005, 1442695040888963407
_NAME = re.compile(rb"[^ \t\n\x0b\x0c\r]+")


class Feed(Registry):
    """The registry of a store that lines are fed to."""

    def __init__(self, intervals: Sequence[int], key: int = 0, policy: int = 0) -> None:
        super().__init__(intervals, key, policy)
        self._journal_time = 0          # of the last sample in the journal buffer,
        self._journal_interval = 0      # and of what interval it was
        self._row_interval = 0          # of the rows that are being taken [s]; 0: they are samples
        self._marks: list[tuple[bytes, int, int]] = []      # that were replayed
        self._position: tuple[bytes, int, int, int, int] | None = None      # the last one that was
        self.refuse_nan = False         # istatd's spellings of NaN are not finite, instead of 0
        self._tally = dict.fromkeys(TALLY, 0)
        self._leftovers: list[tuple[int, bytes]] = []
        self._bad_kept = 0
        self._untold: dict[int, int] = {}       # bad lines that were not kept, by code
        self._refusal = SAMPLE                  # why a counter refused the sample at hand

    def tally(self) -> dict[str, int]:
        """Totals since the start by kind."""
        return dict(self._tally)

    def journal_size(self) -> int:
        """Bytes of journal records not taken yet."""
        return len(self._journal)

    def take_journal(self) -> bytes:
        """The records since the last call, as one frame's payload; times in it start from 0 again."""
        payload = bytes(self._journal)
        self._journal.clear()
        self._journal_time = self._journal_interval = 0
        return payload

    # -- samples

    def foresee(self, fields: tuple[int | None, int, float, float, float], interval: int,
                targets: Sequence[tuple[bool, int | None]]) -> list[str]:
        """What a sample would be refused as ("" where it would be taken) by counters that may not exist: of each
        whether it counts events, and the number of its policy (None: the default). Nothing is done or counted.

        `fields`: time (None: now), count, sum, min and max; of `interval` seconds, 0: a sample.
        """
        time, count, total, low, high = fields
        whole = (self._now if time is None else time, count, total, 0.0, low, high)
        ladders = [self._ladders[0 if policy is None else self._slots[policy]] for _event, policy in targets]
        return [self._place(event, ladder, interval, whole)[1]
                for (event, _policy), ladder in zip(targets, ladders, strict=True)]

    def _place(self, event: bool, ladder: Ladder, interval: int, fields: Fields) -> tuple[int, str]:
        """The level of a ladder that takes a sample, and what it is refused as, "" where it is not."""
        time, count, total, _m2, low, high = fields
        if time > (ladder.newest_event if event else self._newest_gauge):
            return 0, "from_future"
        fitting = [k for k, head in enumerate(ladder.heads) if head.interval >= interval]
        if not fitting:
            return 0, "too_coarse"
        level = next((k for k in fitting if time >= ladder.oldest[k]), None)
        if level is None:
            return 0, "from_past"
        return level, "" if event or _valid(count, total, low, high) else "rejected"

    def _apply_one(self, id: int, fields: Fields) -> bool:
        time, count, total, m2, low, high = fields
        event, ladder = self._events[id], self._ladder_of(id)
        level, refused = self._place(event, ladder, self._row_interval, fields)
        if refused:
            self._tally[refused] += 1
            self._refusal = CODES[refused.upper()]
            return False
        if event:
            count, m2, low, high = 1, 0.0, total, total
        if not ladder.heads[level].has(id):      # once between two cuts is enough
            self._note_heard(id)
        ladder.heads[level].add(id, event, time, count, total, m2, low, high)
        self._tally["samples"] += 1
        return True

    def _apply(self, route: int, fields: Fields) -> int | None:
        """One sample to all counters of a route: how many took it. None: nothing was done, since the route leads
        nowhere, or to a counter that is deleted or gone."""
        targets = self.routes.targets(route)
        if not targets or not all(map(self.counters.has, targets)):
            return None
        return sum([self._apply_one(id, fields) for id in targets])

    def _take_sample(self, route: int, fields: Fields) -> bool:
        """Apply and, if any counter took it, journal. False: the route is unlearnt, nothing was done."""
        taken = self._apply(route, fields)
        if taken is None:
            self.routes.unlearn(route)
            return False
        if taken:
            self._put_sample(route, fields)
        return True

    def _put_sample(self, route: int, fields: Fields) -> None:
        if self._journal_interval != self._row_interval:
            self._put_interval(self._row_interval)
        self._journal += put_sample(route, fields, self._journal_time)
        self._journal_time = fields[0]
        self._tally["journalled"] += 1

    def _put_interval(self, seconds: int) -> None:
        self._journal += put_interval(seconds)
        self._journal_interval = seconds

    # -- rows

    def feed_rows(self, names: Sequence[bytes], rows: Columns, interval: int = 0,
                  wanted: Sequence[int] | None = None) -> list[tuple[int, int]]:
        """Take rows, each of the wire name at the same place of `names`; `wanted` are the places of those to take
        (None: all). They are of `interval` seconds, and go to the finest level that is no finer, 0: they are samples.

        [(code, place)] of what was left: names that are not known, and the first bad ones, as many as of lines.
        All else that was refused is in the tally. ValueError when the sizes differ, or the interval cannot be.
        """
        if len(names) != len(rows) or not 0 <= interval < MOST_INTERVAL:
            raise ValueError(f"{len(names)} names of {len(rows)} rows of {interval} s")
        left: list[tuple[int, int]] = []
        bad = 0
        self._row_interval = interval
        for place in range(len(rows)) if wanted is None else wanted:
            code = self._row(names[place], rows.row(place))
            if code == UNKNOWN or (code != SAMPLE and bad < BAD_KEPT):
                bad += code != UNKNOWN
                left.append((code, place))
            if code != SAMPLE:
                self._tally[_TALLY_OF[code]] += 1
        self._end_rows()
        return left

    def _row(self, name: bytes, fields: Fields) -> int:
        time, count, total, m2, low, high = fields
        if not all(map(math.isfinite, (total, m2, low, high))):
            return NOT_FINITE
        if not 0 <= count < MOST_COUNT:
            return BAD_NUMBER
        route = self.routes.find(name)
        if route < 0:
            return UNKNOWN
        if m2 < 0.0 or low == high:
            m2 = 0.0
        return SAMPLE if self._take_sample(route, (time, count, total, m2, low, high)) else UNKNOWN

    def _end_rows(self) -> None:
        """What comes next are samples again, in the journal too."""
        self._row_interval = 0
        if self._journal_interval:
            self._put_interval(0)

    def put_mark(self, sender: bytes, epoch: int, sequence: int) -> None:
        """Journal the mark of a batch, in the frame of its rows. ValueError when it cannot be one."""
        self._journal += put_mark(sender, epoch, sequence)

    def put_position(self, store: bytes, epoch: int, segment: int, offset: int, salt: int) -> None:
        """Journal up to where another store's journal is in this one, in the frame that takes it there. ValueError when
        it cannot be one."""
        self._journal += put_position(store, epoch, segment, offset, salt)

    def take_position(self) -> tuple[bytes, int, int, int, int] | None:
        """The last position (store, epoch, segment, offset, salt) that was replayed since the last call, if any."""
        position, self._position = self._position, None
        return position

    def take_marks(self) -> list[tuple[bytes, int, int]]:
        """The marks (sender, epoch, sequence) that were replayed since the last call, in order."""
        marks, self._marks = self._marks, []
        return marks

    # -- lines

    def _line(self, line: bytes, interval: int) -> int:
        parsed = parse(line, self.refuse_nan)
        if parsed[0] != SAMPLE:
            return parsed[0]
        _, name, fields, time, total, sumsq, low, high, count = parsed  # type: ignore[misc]
        m2 = 0.0
        if fields == 7 and count > 1:
            m2 = sumsq - total * total / count
            if m2 < 0.0 or low == high:
                m2 = 0.0
            if not math.isfinite(m2):
                return NOT_FINITE
        route = self.routes.find(name)
        if route < 0:
            return UNKNOWN
        self._row_interval = interval if fields == 7 else 0
        if not self._take_sample(route, (self._now if time is None else time, count, total, m2, low, high)):
            return UNKNOWN
        self._tally["lines"] += 1
        return SAMPLE

    def feed(self, data: bytes | bytearray | memoryview, start: int, end: int, interval: int = 0) -> int:
        """Take the whole lines of data[start:end]; returns how many bytes they are (up to the last LF).

        Lines of seven words are rows of `interval` seconds (see feed_rows), 0: they are samples, as all others.
        ValueError when that cannot be.
        """
        if not 0 <= start <= end <= len(data):
            raise ValueError(f"{start}..{end} is not inside {len(data)} bytes")
        if not 0 <= interval < MOST_INTERVAL:
            raise ValueError(f"lines of {interval} s")
        text = bytes(data[start:end])
        used = text.rfind(b"\n") + 1
        for line in text[:used].split(b"\n")[:-1]:
            self._refusal = SAMPLE
            code = self._line(line, interval)
            if code == SAMPLE:
                code = self._refusal
            if code not in (SAMPLE, EMPTY):
                self._leave_over(code, line)
        self._end_rows()
        return used

    def _leave_over(self, code: int, line: bytes) -> None:
        if code in (UNKNOWN, META):
            self._leftovers.append((code, line))
        elif self._bad_kept < BAD_KEPT:
            self._bad_kept += 1
            self._leftovers.append((code, line[:BAD_ROOM]))
        else:
            self._untold[code] = self._untold.get(code, 0) + 1
        if code not in _REFUSALS:
            self._tally[_TALLY_OF[code]] += 1

    def new_among(self, data: bytes | bytearray | memoryview, looks: int, seed: int) -> int:
        """How many of so many lines, from anywhere in data, begin with a name that has no route. Which lines is up to
        the seed (64 bits); long ones, or those behind them, come more often. Nothing is counted or taken."""
        text, found = bytes(data), 0
        for _ in range(looks if text else 0):
            seed = (seed * DRAW_TIMES + DRAW_PLUS) % (1 << 64)
            at = text.rfind(b"\n", 0, (seed >> 33) % len(text)) + 1
            name = _NAME.match(text, at)
            found += name is not None and self.routes.find(name[0]) < 0
        return found

    def take_leftovers(self) -> Sequence[tuple[int, bytes]]:
        """[(code, line)] that Python has to handle, in order, since the last call; at most 32 of them bad or refused
        lines, which are cut at 200 bytes."""
        left, self._leftovers, self._bad_kept = self._leftovers, [], 0
        return left

    def take_untold(self) -> dict[int, int]:
        """Code -> how many more bad or refused lines there were since the last call, which were not left over."""
        untold, self._untold = self._untold, {}
        return untold


def _valid(count: int, total: float, low: float, high: float) -> bool:
    """The gauge validity check of the behaviour specification (3.3)."""
    if count == 0:
        return False
    if count == 1 and low == total == high:
        return True
    mean = total / count
    top = high + abs(high) * SLACK
    return not (low > top or mean + abs(mean) * SLACK < low or mean > top)
