"""Every bucket that `istat import` takes of whisper and RRD is the one that their own readers serve, and all that these
serve is taken: files made by the other systems' own programs, with odd but legal settings.

A reader is asked in two ways. `served`: what it gives of one archive, which an exported bucket must be. `wanted`: what
it gives at the time of the import without being told which archive to take, all of which must be there, as such or,
where an archive begins in the middle of a coarser one's bucket, as a part of that or in parts.
"""
from __future__ import annotations

import csv
import ctypes
import ctypes.util
import importlib.util
import itertools
import math
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from test_importing import NOW, imported, run

from tests.skips import need

pytestmark = pytest.mark.peers
DEBIAN = Path("/usr/lib/python3/dist-packages/whisper.py")
Buckets = dict[tuple[int, int], Any]        # interval, start -> what is there


def taken(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path, steps: tuple[int, ...],
          ) -> tuple[dict[str, Buckets], dict[str, int]]:
    """Import a folder into a store of these intervals and export it: name -> buckets; the totals."""
    store, out = tmp_path / f"{folder.name}.store", tmp_path / f"{folder.name}.csv"
    retention = ",".join(f"{step}s:{4000 + at}d" for at, step in enumerate(steps))
    [told] = imported(capsys, folder, "--store", store, "--retention", retention)
    assert run("export", "--store", store, "--output", out) == 0
    capsys.readouterr()
    found: dict[str, Buckets] = {}
    with open(out) as file:
        for row in csv.DictReader(file):
            found.setdefault(row["name"], {})[int(row["interval"]), int(row["time"])] = (
                int(row["count"]), float(row["sum"]), float(row["min"]), float(row["max"]))
    return found, told["totals"]


def untold(wanted: Buckets, ours: Buckets) -> list[tuple[int, int]]:
    """Buckets that are not there, neither whole nor in parts nor as a part of a coarser one."""
    finer = {(step, start - start % step) for own, start in ours for step, _ in wanted if own <= step}
    coarser = {step for step, _ in ours}
    return [(step, start) for step, start in wanted if (step, start) not in finer
            and not any((its, start - start % its) in ours for its in coarser if its > step)]


# -- whisper

SHAPES = (((10, 360), (60, 180), (300, 600)), ((60, 1440),), ((1, 60), (7, 100), (49, 60)), ((30, 2), (60, 10)),
          ((3600, 48), (86400, 400)), ((5, 12), (60, 60), (3600, 24), (86400, 30)))
METHODS = ("average", "sum", "last", "max", "min", "avg_zero", "absmax", "absmin")
SHARES = (0.0, 0.5, 1.0, 0.1, 0.3)


@pytest.fixture(scope="module")
def whisper() -> ModuleType:
    found = importlib.util.find_spec("whisper")
    place = found.origin if found and found.origin else str(DEBIAN)
    need(Path(place).exists(), "whisper (apt install python3-whisper)")
    spec = importlib.util.spec_from_file_location("whisper_peer", place)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Feed:
    """How a file comes to be: each method is one way."""

    def __init__(self, whisper: ModuleType, path: Path, shape: tuple[tuple[int, int], ...], seed: str) -> None:
        self._whisper, self._path, self._shape, self._draw = whisper, str(path), shape, random.Random(seed)
        self._step, self._span = shape[0][0], max(step * slots for step, slots in shape)

    def live(self, until: int = NOW, share: float = 0.9) -> None:
        """Points as they came, with gaps, in batches."""
        count = min(self._span // self._step, 1500)
        times = [until - self._step * age for age in range(count, -1, -1) if self._draw.random() < share]
        for batch in range(0, len(times), 50):
            self._put(times[batch : batch + 50], times[batch : batch + 50][-1])

    def sparse(self) -> None:
        self.live(share=0.05)

    def future(self) -> None:
        self.live()
        self._put([NOW + 86400, NOW + 7 * self._step], NOW + 86400)

    def filled(self) -> None:
        """All at once, long afterwards: what is older than a fine archive is in the coarser ones alone."""
        ages = range(self._span - self._step, self._shape[0][0] * self._shape[0][1], -self._shape[-1][0])
        self._put([NOW - age for age in ages] or [NOW - self._step], NOW)

    def filled_then_live(self) -> None:
        self.filled()
        self._put([NOW - age * self._step for age in (3, 1)], NOW)

    def stopped(self) -> None:
        """Long silent, and then a few points: the slots between hold what is of an older lap."""
        step, slots = self._shape[0]
        self.live(NOW - step * slots * 2 - 3 * step, 1.0)
        self._put([NOW - 2 * step, NOW], NOW)

    def odd(self) -> None:
        """Values at the ends of what there is."""
        self.live(NOW - 8 * self._step)
        for at, value in enumerate((math.inf, 1e300, -1e-310, 0.0, math.nan, 2**53 + 2.0, -math.inf)):
            time = NOW - (7 - at) * self._step
            self._whisper.update(self._path, value, time, now=time)

    def _put(self, times: list[int], now: int) -> None:
        points = [(time, self._draw.randrange(-8000, 8000) / 8) for time in times]
        self._whisper.update_many(self._path, points, now=now)


FEEDS = (Feed.live, Feed.sparse, Feed.future, Feed.filled, Feed.filled_then_live, Feed.stopped, Feed.odd)


def fetched(whisper: ModuleType, path: Path, span: tuple[int, int], now: int = NOW, step: int | None = None) -> Buckets:
    """What whisper serves of a time, of the archive that it takes itself unless told."""
    (begin, end, own), values = whisper.fetch(str(path), *span, now=now, archiveToSelect=step)
    return {(own, time): value for time, value in zip(range(begin, end, own), values)
            if value is not None and time <= NOW}


def everything(whisper: ModuleType, path: Path, shape: tuple[tuple[int, int], ...], now: int) -> Buckets:
    """What whisper serves of each archive. Of more than an archive's length at once it gives next to nothing."""
    found: Buckets = {}
    for step, slots in shape:
        length = step * max(1, slots - 1)
        for start in range(now - max(step * slots for step, slots in shape), now, length):
            found.update(fetched(whisper, path, (start, min(now, start + length)), now, step))
    return found


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_all_that_whisper_serves_and_nothing_else(
        number: int, whisper: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape, folder = SHAPES[number], tmp_path / "whisper"
    folder.mkdir()
    for at, feed in enumerate(FEEDS):
        path, share = folder / f"{feed.__name__}.wsp", SHARES[(at + number) % len(SHARES)]
        whisper.create(str(path), list(shape), share, aggregationMethod=METHODS[(at + number) % len(METHODS)])
        feed(Feed(whisper, path, shape, f"{number} {at}"))
    ours, totals = taken(tmp_path, capsys, folder, tuple(step for step, _ in shape))
    assert totals["from_future"] and totals["not_finite"]
    for feed in FEEDS:
        name, path = feed.__name__, folder / f"{feed.__name__}.wsp"
        wanted = {key: value for step, slots in shape
                  for key, value in fetched(whisper, path, (NOW - step * slots, NOW)).items()}
        newest = max(time for _, time in everything(whisper, path, shape, NOW))
        served = everything(whisper, path, shape, newest)
        assert {key: row[1] for key, row in ours[name].items()} == {key: served.get(key) for key in ours[name]}, name
        finite = {key: value for key, value in wanted.items() if math.isfinite(value)}
        assert finite and untold(finite, ours[name]) == [], name


def test_a_second_pass_takes_what_whisper_got_meanwhile_and_nothing_twice(
        whisper: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape, folder = SHAPES[0], tmp_path / "whisper"
    folder.mkdir()
    path = folder / "a.wsp"
    whisper.create(str(path), list(shape), 0.0)
    feed = Feed(whisper, path, shape, "a second pass")
    feed.live(NOW - 900)
    first, _ = taken(tmp_path, capsys, folder, tuple(step for step, _ in shape))
    feed.live(NOW, 0.5)             # other values where there are some, too: those that were taken stay
    second, _ = taken(tmp_path, capsys, folder, tuple(step for step, _ in shape))
    ours, before, served = second["a"], first["a"], everything(whisper, path, shape, NOW)
    fine = [key for key in ours if key[0] == 10]
    assert all(ours[key][0] == 1 and ours[key] == before.get(key, (1, *[served.get(key)] * 3)) for key in fine)
    assert {key for key in served if key[0] == 10 and key[1] > NOW - 900} <= set(fine)
    assert set(before) <= set(ours)


# -- RRD

class Made(NamedTuple):
    """An RRD file: seconds of a step, data sources and archives as rrdtool's create takes them."""

    step: int
    sources: tuple[str, ...]
    archives: tuple[str, ...]

    @property
    def last(self) -> int:
        """The time of its last update, in the middle of a step."""
        return NOW - self.step + (self.step // 2 or 1)


GAUGE, RATES = ("v:GAUGE:{2}:U:U",), ("in:COUNTER:{2}:0:U", "out:DERIVE:{2}:U:U", "sum:ABSOLUTE:{2}:0:U")
LEVELS = (1, 6, 60)         # the levels of the stores, in steps
RRDS = tuple(Made(step, sources, archives) for (step, sources), archives in itertools.product(
    ((10, GAUGE), (7, RATES), (1, ("a:GAUGE:{2}:-100:100", "d:DCOUNTER:{9}:0:U", "e:DDERIVE:{9}:U:U")),
     (300, ("v:GAUGE:{2}:U:U", "twice:COMPUTE:v,2,*"))),
    (("AVERAGE:0.5:1:100", "AVERAGE:0.5:6:100", "MIN:0.5:6:100", "MAX:0.5:6:100"),
     ("MAX:0.5:1:200", "AVERAGE:0.5:6:100", "MIN:0.1:6:50", "MAX:0.9:6:90"),
     ("AVERAGE:0.9:6:80", "MIN:0:6:80", "MAX:0.99:6:90", "AVERAGE:0:60:10", "LAST:0:60:12"),
     ("LAST:0.5:1:30", "LAST:0.5:6:60"),
     ("AVERAGE:0.5:60:9", "AVERAGE:0.5:1:1", "AVERAGE:0.5:6:200", "AVERAGE:0.5:1:40"),
     ("MIN:0.5:1:20", "MAX:0.5:1:60", "AVERAGE:0.5:1:40", "MAX:0.2:60:5", "AVERAGE:0.2:60:5"),
     ("HWPREDICT:60:0.1:0.0035:12", "AVERAGE:0.5:1:50", "AVERAGE:0.3:6:50", "MIN:0.3:6:50"),
     ("AVERAGE:0.5:6:30", "AVERAGE:0.9:6:60", "MIN:0.5:60:4", "AVERAGE:0.1:60:7"))))


@pytest.fixture(scope="module")
def tool() -> str:
    found = shutil.which("rrdtool")
    need(found, "rrdtool (apt install rrdtool)")
    return str(found)


class Reader:
    """rrdtool's own library: its fetch, with all digits, where the program prints eleven."""

    def __init__(self) -> None:
        found = ctypes.util.find_library("rrd")
        need(found, "librrd, which comes with rrdtool")
        self._library = ctypes.CDLL(str(found))

    def fetch(self, path: Path, function: str, step: int, start: int, end: int,
              ) -> tuple[int, list[str], list[list[float]]]:
        """Seconds of a row; data sources; a row per step. No rows where the file has no such function."""
        first, last, own = ctypes.c_long(start), ctypes.c_long(end), ctypes.c_ulong(step)
        count, names, data = ctypes.c_ulong(), ctypes.POINTER(ctypes.c_char_p)(), ctypes.POINTER(ctypes.c_double)()
        if self._library.rrd_fetch_r(str(path).encode(), function.encode(), *map(ctypes.byref, (
                first, last, own, count, names, data))):
            self._library.rrd_clear_error()
            return step, [], []
        rows = (last.value - first.value) // own.value
        assert own.value != step or first.value == start
        return own.value, [names[at].decode() for at in range(count.value)], [
            [data[at * count.value + source] for source in range(count.value)] for at in range(rows)]


@pytest.fixture(scope="module")
def reader(tool: str) -> Reader:
    return Reader()


def make(tool: str, path: Path, made: Made, draw: random.Random) -> None:
    """A file with gaps, unknown values and, of gauges, an infinite one; the last update is in the middle of a step."""
    step, rows = made.step, 700
    beats = [source.format(*(at * made.step for at in range(10))) for source in made.sources]
    start = NOW - rows * step
    subprocess.run([tool, "create", path, "--start", str(start), "--step", str(step), *(f"DS:{one}" for one in beats),
                    *(f"RRA:{one}" for one in made.archives)], check=True)
    fed = [source.split(":")[1] for source in made.sources if ":COMPUTE:" not in source]
    totals, updates = [0.0] * len(fed), []
    for at in range(1, rows):
        values = []
        for number, type in enumerate(fed):
            totals[number] += draw.randrange(1, 100000) / (1 if type in ("COUNTER", "DERIVE", "ABSOLUTE") else 7)
            value = {"GAUGE": repr(draw.gauss(0, 50)), "ABSOLUTE": str(draw.randrange(1000))}.get(type)
            whole = type in ("COUNTER", "DERIVE")
            values.append("U" if draw.random() < 0.03 else value or (str(int(totals[number])) if whole
                                                                     else repr(totals[number])))
            if type == "GAUGE" and at == rows - 20:
                values[-1] = "inf"
        if draw.random() < 0.95 and not 300 < at < 330:
            updates.append(f"{start + at * step}:{':'.join(values)}")
    updates.append(f"{made.last}:{':'.join('U' for _ in fed)}")
    for first in range(0, len(updates), 300):
        subprocess.run([tool, "update", path, *updates[first : first + 300]], check=True)


def told(reader: Reader, path: Path, function: str, step: int, rows: int, last: int) -> dict[str, Buckets]:
    """What rrdtool serves of one resolution, by data source; nothing where it takes another one. `last`: the update."""
    end = last - last % step
    own, names, found = reader.fetch(path, function, step, end - step * rows, end)
    return {name: {(step, end - step * rows + at * step): row[number] for at, row in enumerate(found)
                   if own == step and not math.isnan(row[number])} for number, name in enumerate(names)}


@pytest.mark.parametrize("number", range(0, len(RRDS), 8), ids=lambda number: f"{RRDS[number].step}s")
def test_all_that_rrdtool_serves_and_nothing_else(
        number: int, tool: str, reader: Reader, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, files = tmp_path / "rrd", RRDS[number : number + 8]
    folder.mkdir()
    for at, made in enumerate(files):
        make(tool, folder / f"f{at}.rrd", made, random.Random(f"{number} {at}"))
    steps = tuple(files[0].step * parts for parts in LEVELS)
    ours, totals = taken(tmp_path, capsys, folder, steps)
    assert totals["no_average"] and totals["forecasts"]
    for at, made in enumerate(files):
        for name, buckets in of_file(ours, f"f{at}", made):
            compare(reader, folder / f"f{at}.rrd", made, name, buckets)


def of_file(ours: dict[str, Buckets], stem: str, made: Made) -> Iterator[tuple[str, Buckets]]:
    """Each data source of a file and its buckets."""
    names = [source.split(":")[0] for source in made.sources]
    for name in names:
        yield name, ours[stem if len(names) == 1 else f"{stem}.{name}"]


def compare(reader: Reader, path: Path, made: Made, source: str, ours: Buckets) -> None:
    plain = "AVERAGE" if any(one.startswith("AVERAGE") for one in made.archives) else "LAST"
    seen = 0
    for parts in LEVELS:
        step = made.step * parts
        # Each length that an archive has is asked for: rrdtool takes the one that reaches back to the beginning.
        lengths = sorted({int(one.split(":")[3]) for one in made.archives if one.split(":")[2] == str(parts)})
        served, lows, highs = ({
            key: value for rows in lengths
            for key, value in told(reader, path, function, step, rows, made.last).get(source, {}).items()
        } for function in (plain, "MIN", "MAX"))
        finite = {key: value for key, value in served.items() if math.isfinite(value)}
        assert untold(finite, ours) == [], (path, source, step)
        for key, (count, total, low, high) in ours.items():
            if key[0] == step:
                value = finite[key]
                wanted = (parts, value, min(value, lows.get(key, value)), max(value, highs.get(key, value)))
                told_of = (path, source, key)
                assert (count, total / count, low, high) == pytest.approx(wanted, rel=1e-15, abs=0), told_of
                seen += 1
    assert seen > 0 or not ours
