"""A week without a server, with 20 MB for 300 counters: when it is back, its store has of every hour of the week the
exact count, minimum and maximum of each counter."""
from __future__ import annotations

import random
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.retention import Ladder
from istat.spool.spool import Limits
from istat_server.store.interface import Mark
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from tests.spool.coarse import HOUR, finish, stood_for, take
from tests.spool.harness import GROUP, kill, lost, open_spool

DAY = 86_400
WEEK = 7 * DAY
BEGIN = 1325376000      # an hour begins
COUNTERS = 300
FINEST = 10             # [s] the interval of the store's finest level
LIMITS = Limits(bytes=20_000_000, age=WEEK, coarsen=True)
#: Of each counter in an hour: minima, maxima, sums; and how many samples of each.
Hour = tuple[list[int], list[int], list[int], int]


def name_of(number: int) -> bytes:
    """Some count events; each has a caret, as what an agent sends."""
    return b"%bsystem.disk.sda%d.reads^host.web1" % (b"*" if number % 10 == 0 else b"", number)


class Week:
    """What an agent collects in a week, and the spool that it is in."""

    def __init__(self, folder: Path, seconds: int) -> None:
        self.folder, self.seconds = folder, seconds
        self.clock = FakeClock(BEGIN)
        self.spool = open_spool(folder, self.clock, LIMITS)
        self.hours: dict[int, Hour] = {}
        self.largest = self.came = 0
        self._rng = random.Random(7)
        self._lines = b"".join(name_of(number) + b" %d %d\n" for number in range(COUNTERS))

    def pass_by(self) -> None:
        """All of it; the agent is killed each day."""
        for at in range(BEGIN, BEGIN + WEEK, self.seconds):
            self.collect(at)
            if (at - BEGIN) % DAY == DAY // 2:
                kill(self.spool)
                self.spool = open_spool(self.folder, self.clock, LIMITS)

    def collect(self, at: int) -> None:
        """One interval."""
        values = [self._rng.randrange(100_000) for _ in range(COUNTERS)]
        low, high, total, count = self.hours.get(at // HOUR, (values, values, [0] * COUNTERS, 0))
        self.hours[at // HOUR] = (list(map(min, low, values)), list(map(max, high, values)),
                                  [one + other for one, other in zip(total, values, strict=True)], count + 1)
        text = self._lines % tuple(number for value in values for number in (at, value))
        assert self.spool.append(text, at, COUNTERS)
        self.came += COUNTERS
        self.clock.advance(self.seconds)
        self.spool.tick()
        finish(self.spool)
        self.largest = max(self.largest, self.spool._shelf.size)


def arrive(week: Week, store: StatStore) -> None:
    """The server is back: all that waits is sent, in order, and nothing is refused."""
    frames = take(week.spool, week.spool.group(GROUP))
    assert stood_for(frames)[1] == week.came and lost(week.spool) == {}
    for frame in frames:
        for _ in store.prepare(frame.text, frame.clock, frame.interval):
            pass
        marked = store.accept_marked(memoryview(frame.text), 0, len(frame.text), frame.clock, frame.interval,
                                     Mark(week.spool.id, week.spool.epoch, frame.sequence))
        assert marked.refused == 0
        store.tick()


def check(week: Week, store: StatStore) -> None:
    """Of each counter each hour. Of events the totals."""
    for number in range(COUNTERS):
        counter = store.find(name_of(number).lstrip(b"*").replace(b"^", b"."))
        assert counter is not None
        (found,) = store.select([counter.id], 2, BEGIN, BEGIN + WEEK)
        rows = {row[0]: row for row in found.rows()}
        assert len(rows) == len(found.rows()) == WEEK // HOUR
        for hour, (low, high, total, count) in week.hours.items():
            _time, samples, told, _m2, least, most = rows[hour * HOUR]
            # Of events a level tells how many there were in a second, as sums of its finest buckets.
            assert told == pytest.approx(total[number] / (1 if number % 10 else FINEST), rel=1e-12)
            if number % 10:
                assert (samples, least, most) == (count, low[number], high[number])


# At 120 s it is 50 MB of lines, at 10 s, as an agent collects, 600 MB.
@pytest.mark.seconds(30)
@pytest.mark.parametrize("seconds", [120, pytest.param(10, marks=pytest.mark.slow)])
def test_a_weeks_outage_keeps_every_hour(tmp_path: Path, seconds: int) -> None:
    week = Week(tmp_path / "spool", seconds)
    week.pass_by()
    assert week.largest <= LIMITS.bytes and week.spool.coarsened > 0
    ladder = Ladder.parse()
    store = StatStore.open(tmp_path / "store", ladder, FakeClock(BEGIN + WEEK), options=Options(key=1))
    try:
        arrive(week, store)
        check(week, store)
    finally:
        store.close()
        week.spool.close()
