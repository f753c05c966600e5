"""Batches come in: rows to the engine, new names to the catalogue first (as `accepting` does it for lines), and a mark
into the frame of the rows.

A batch that was taken before, by its mark, is answered as taken. What is refused is counted: kinds that the engine
knows in its tally, those of names by `accepting`. Knows no files; belongs to the hub.
"""
from __future__ import annotations

import math
import random
import re
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from istat.kernels import columns, lines
from istat.kernels.python.ingest.records import MOST_COUNT, MOST_INTERVAL, put_mark
from istat_server.store.accepting import Accepting, Learnt
from istat_server.store.interface import METADATA, Accepted, Batch, Left, Mark
from istat_server.store.work.marks import Marks

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns
    from istat.kernels.python.ingest.engine import Engine

UNKNOWN = lines.CODES["UNKNOWN"]
KIND_OF = {code: name.lower() for name, code in lines.CODES.items()}
MOST_ROWS = 20_000          # of a batch: it is taken at once, in some 20 ms
LEARNT_AT_ONCE = 500        # new names before others have their turn: some 5 ms
LOOKS = 6                   # lines of a batch that are looked at for new names
LEFT_KEPT = 32              # refused names that are told; the rest is counted
# What a line's grammar takes for a name: one word, whose first byte is not reserved.
_NAME = re.compile(rb"[^\s#@$%&;:]\S*")
_RESERVED = re.compile(rb"[#@$%&;:]\S*")

Row = tuple[int, int, float, float, float, float]


class Batching:
    """The way of batches into one store's memory and journal."""

    def __init__(self, engine: Engine, accepting: Accepting, marks: Marks, pause: Callable[[], object]) -> None:
        """pause: lets others have their turn."""
        self._engine, self._accepting, self._marks, self._pause = engine, accepting, marks, pause
        self._turns: dict[tuple[bytes, int], deque[object]] = {}    # by sender and epoch: batches that are being taken

    def take(self, batch: Batch) -> Accepted:
        """Take a batch's rows. ValueError when it is too long, or its columns have not one length or type."""
        rows = _rows(batch)
        mark = _mark(batch)
        if mark is None:
            names, refused = self._learn_all(batch, rows)
            return Accepted(len(names), self._feed(names, rows, batch.interval, refused))
        with self._turn(mark[:2]):
            if self._marks.taken(*mark):
                return Accepted(len(batch.names))
            names, refused = self._learn_all(batch, rows)
            # From here on nobody else has a turn: rows and mark come into one frame.
            left = self._feed(names, rows, batch.interval, refused)
            self._note(mark, put_mark(*mark))
            return Accepted(len(batch.names), left)

    def prepare(self, text: bytes, clock: int, interval: int) -> Iterator[None]:
        """See Store.prepare."""
        # Looking at all lines would cost a batch without new names a quarter more. One that has 2,000 of 4,096 passes
        # once in 60 times, and takes 25 ms then.
        if lines.count_lines(text) <= LEARNT_AT_ONCE or not self._engine.new_among(text, LOOKS,
                                                                                   random.getrandbits(64)):
            return
        find, new = self._engine.routes.find, 0
        for line in text.split(b"\n"):
            words = line.split(None, 1)
            if not words or find(words[0]) >= 0:
                continue
            self._accepting.learn_ahead(line, clock, interval)
            new += 1
            if new % LEARNT_AT_ONCE == 0:
                yield

    def lines(self, text: memoryview, clock: int, interval: int, mark: Mark) -> tuple[Accepted, int]:
        """Take the whole lines of a batch that was not taken before, and its mark; and how many lines were refused.
        Nobody else has a turn: rows and mark come into one frame. ValueError when interval or mark cannot be."""
        record = put_mark(*mark)
        if self._marks.knows(mark):
            return Accepted(len(text)), 0
        now = self._engine.set_now(clock)
        try:
            accepted = self._accepting.lines(text, 0, len(text), clock, interval)
        finally:
            self._engine.set_now(now)
        self._note(mark, record)
        refused = sum([left.times for left in accepted.left if left.kind != METADATA]) if accepted.left else 0
        return accepted, refused

    def _note(self, mark: tuple[bytes, int, int], record: bytes) -> None:
        """Its rows are taken."""
        self._engine.put_mark(*mark)
        self._marks.note_one(mark, record)

    @contextmanager
    def _turn(self, sender: tuple[bytes, int]) -> Iterator[None]:
        """A sender's batches are taken one after the other, as they came: one that overtook another that still learns
        its names would have that one answered as taken."""
        mine, turns = object(), self._turns.setdefault(sender, deque())
        turns.append(mine)
        try:
            while turns[0] is not mine:
                self._pause()
            yield
        finally:
            turns.remove(mine)
            if not turns:
                del self._turns[sender]

    def _learn_all(self, batch: Batch, rows: Columns) -> tuple[list[bytes], dict[int, Left]]:
        """Have new names learnt for their rows: the names to feed the rows by; and by their places the rows that are
        refused, which are counted."""
        find, names, refused = self._engine.routes.find, list(batch.names), dict[int, Left]()
        new = 0
        for place, name in enumerate(batch.names):
            if find(name) >= 0:
                continue
            new += 1
            if new % LEARNT_AT_ONCE == 0:
                self._pause()
            kind, wire, _partly = self._learn(name, rows.row(place), batch.interval)
            if kind:
                refused[place] = Left(kind, name)
            else:
                names[place] = wire
        return names, refused

    def _learn(self, name: bytes, row: Row, interval: int) -> Learnt:
        """Have a name learnt for a row; what that is refused as, counted, where it is."""
        if not _NAME.fullmatch(name):
            return self._accepting.refuse("reserved" if _RESERVED.fullmatch(name) else "bad_fields"), b"", ""
        time, count, total, m2, low, high = row
        if not all(map(math.isfinite, (total, m2, low, high))):
            return self._accepting.refuse("not_finite"), b"", ""
        if not 0 <= count < MOST_COUNT:
            return self._accepting.refuse("bad_number"), b"", ""
        return self._accepting.learn(name, ((time, count, total, low, high), interval))

    def _feed(self, names: list[bytes], rows: Columns, interval: int, refused: dict[int, Left]) -> tuple[Left, ...]:
        told = list({left.text: left for left in refused.values()}.values())
        wanted = [place for place in range(len(rows)) if place not in refused] if refused else None
        left = self._engine.feed_rows(names, rows, interval, wanted)
        again: list[int] = []
        for code, place in left:
            if code != UNKNOWN:
                told.append(Left(KIND_OF[code], names[place]))
                continue
            kind, wire, _partly = self._learn(names[place], rows.row(place), interval)
            if kind:
                told.append(Left(kind, names[place]))
            else:           # its route had led to counters that were deleted since
                names[place] = wire
                again.append(place)
        if again:
            self._engine.feed_rows(names, rows, interval, again)
        return tuple(told[:LEFT_KEPT])


def _mark(batch: Batch) -> Mark | None:
    """A batch's mark. ValueError when it cannot be one."""
    if batch.mark is not None:
        put_mark(*batch.mark)
    return batch.mark


def _rows(batch: Batch) -> Columns:
    """The rows of a batch as the kernels have them. ValueError when they cannot be."""
    count = len(batch.names)
    if count > MOST_ROWS:
        raise ValueError(f"a batch has at most {MOST_ROWS} rows, not {count}")
    if not 0 <= batch.interval < MOST_INTERVAL:
        raise ValueError(f"a batch's interval is 0 or so many seconds, less than {MOST_INTERVAL}, not {batch.interval}")
    counts, *doubles = batch.fields
    if any(len(column) != count for column in (batch.times, counts, *doubles)):
        raise ValueError("the columns of a batch have not one length")
    try:
        whole = [array("q", column) for column in (batch.times, counts)]
        real = [array("d", column) for column in doubles]
    except (TypeError, OverflowError) as error:
        raise ValueError(f"times and counts of a batch are whole numbers of 64 bits, the others are doubles: "
                         f"{error}") from error
    made: Columns = columns.Columns.from_rows(zip(*whole, *real, strict=True))
    return made
