"""Calendar days of a time zone as cells of a grid. They are 23, 24 or 25 hours long, and now and then begin at one.

Plain arithmetic over the zones that this machine knows; knows no store and no HTTP. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo

from istat.errors import BadQuery
from istat.retention import DAY
from istat_server.query.reduce import Grid

# The day that cells of several days are counted from, as those of UTC are: 1970-01-01.
FIRST_DAY = date(1970, 1, 1).toordinal()
EARLIEST_DAY = 2    # the calendar has none before the first, and zones want a day more
LONGEST = 100       # signs of a zone's name; it is part of a file's


def zone(name: str) -> ZoneInfo:
    """A zone by its name, such as Europe/Berlin. BadQuery for one that is not known here."""
    try:
        if len(name) > LONGEST:
            raise ValueError(name)
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:     # names of folders and other files, too
        raise BadQuery(f"no time zone {name[:LONGEST]!r} is known here; write one such as Europe/Berlin or UTC (of the "
                       "package tzdata)") from error


@dataclass(frozen=True)
class Days(Grid):
    """Cells of one or several whole days: [bounds[k], bounds[k + 1]). `interval` is what most of them have."""

    bounds: Sequence[int] = ()

    @property
    def end(self) -> int:
        """See Grid.end."""
        return self.bounds[-1]

    @property
    def times(self) -> Sequence[int]:
        """See Grid.times."""
        return self.bounds

    @cached_property
    def stretches(self) -> Sequence[Grid]:
        """See Grid.stretches."""
        found: list[Grid] = []
        for start, end in pairwise(self.bounds):
            if found and found[-1].interval == end - start:
                found[-1] = Grid(found[-1].start, end - start, found[-1].points + 1)
            else:
                found.append(Grid(start, end - start, 1))
        return found

    def divided_by(self, interval: int) -> bool:
        """See Grid.divided_by."""
        return all(bound % interval == 0 for bound in self.bounds)


def days(where: ZoneInfo, start: int, end: int, own: int, points: int) -> Days:
    """Cells that cover [start, end): at most `points`, one more where the range is not aligned, each of as many days as
    needed for that; of levels whose interval is `own`, if that is more than a day."""
    first, last = _day(where, start), _day(where, end - 1)
    step = max(1, own // DAY)
    every = -(-max(1, -(-(last - first) // points)) // step) * step
    first = max(EARLIEST_DAY, first - (first - FIRST_DAY) % every)
    # A zone may leave out a day, when it crosses the date line.
    bounds = sorted({_midnight(where, day) for day in range(first, last + every + 1, every)})
    return Days(bounds[0], every * DAY, len(bounds) - 1, tuple(bounds))


def _day(where: ZoneInfo, time: int) -> int:
    return datetime.fromtimestamp(time, where).toordinal()


def _midnight(where: ZoneInfo, day: int) -> int:
    """When a day begins: its first moment, whether the clock says midnight then or, as it is put forward, one."""
    midnight = datetime.fromordinal(day).replace(tzinfo=where)
    return int(midnight.astimezone(UTC).timestamp())
