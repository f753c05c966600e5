"""How small and how fast the run codec is, beside zlib and zstd of the raw doubles.

    python -m bench.codec [--series 400] [--rows 2160]
    python -m bench.codec --retention [--series 40]

Prints, for each mix of series: bytes a value, and nanoseconds a value to code and to decode. The whole
mix is the generated work of every other benchmark (bench/work.py); "5 m" rows hold 30 samples each.
--retention prints the bytes of one counter kept through the whole default retention.
"""

from __future__ import annotations

import argparse
import itertools
import random
import struct
import time
import zlib
from collections.abc import Callable

import zstandard

from bench.load.work import Work
from istat import kernels
from istat.kernels import blocks, columns
from istat.retention import Ladder

STEP = 10  # [s]
START = 1_700_000_000 // STEP * STEP
HOURS = 1000  # of samples that --retention makes; blocks of longer runs save nothing more
KINDS = {"gauges": range(10), "counters": range(10, 16), "integers": range(16, 19), "constants": range(19, 20)}


def mixes(series: int, rows: int) -> dict[str, list[list[float]]]:
    """Series of values by the name of their mix."""
    texts = list(zip(*Work(series).steps(rows), strict=True))
    whole = [[float(text) for text in each] for each in texts]
    draw = random.Random(7)
    return {
        "work, all": whole,
        "work, gauges": [v for i, v in enumerate(whole) if i % 20 < 10],
        "work, counters": [v for i, v in enumerate(whole) if 10 <= i % 20 < 16],
        "work, integers": [v for i, v in enumerate(whole) if 16 <= i % 20 < 19],
        "constants": [v for i, v in enumerate(whole) if i % 20 == 19],
        "mostly 0": [[float(draw.random() < 0.02) for _ in range(rows)] for _ in range(series // 10)],
        "float sums": [
            [sum(round(draw.gauss(50, 3), 2) for _ in range(6)) for _ in range(rows)] for _ in range(20)
        ],
        "random doubles": [[draw.random() for _ in range(rows)] for _ in range(series // 10)],
    }


def clock(call: Callable[[], object], values: int) -> tuple[float, object]:
    """Best of three, in CPU nanoseconds a value, and the answer."""
    best, answer = float("inf"), None
    for _ in range(3):
        begin = time.process_time_ns()
        answer = call()
        best = min(best, (time.process_time_ns() - begin) / values)
    return best, answer


def code(runs: list[object]) -> list[blocks.Block]:
    """The blocks of all runs."""
    writer = blocks.BlockWriter(interval=STEP)
    for id, run in enumerate(runs):
        writer.add_run(id, False, run)
    return writer.finish()


def decode(coded: list[blocks.Block]) -> None:
    """Decode every run of the blocks."""
    for block in coded:
        reader = blocks.BlockReader(block.data, STEP)
        for id, _, _ in reader.runs():
            reader.read(id, 0, 1 << 62, columns.Columns())


def measure(name: str, runs: list[object], raw: bytes, values: int) -> None:
    """Print one line of figures."""
    encode_ns, coded = clock(lambda: code(runs), values)
    decode_ns, _ = clock(lambda: decode(coded), values)  # type: ignore[arg-type]
    size = sum(len(block.data) for block in coded)  # type: ignore[attr-defined]
    packer = zstandard.ZstdCompressor(level=1)
    again = sum(len(packer.compress(block.data)) for block in coded)  # type: ignore[attr-defined]
    print(
        f"{name:18} {size / values:7.3f} {again / values:10.3f} {encode_ns:8.1f} {decode_ns:8.1f}"
        f" {len(zlib.compress(raw, 1)) / values:8.3f} {len(packer.compress(raw)) / values:8.3f}"
    )


def retention_sizes(series: int) -> list[list[float]]:
    """Bytes of each series through the whole default retention, per level.

    Each level's bytes a row, measured on HOURS hours of samples, times the rows that the level keeps.
    """
    levels = Ladder.parse().levels
    start = START // levels[-1].interval * levels[-1].interval
    fine = [columns.Columns() for _ in range(series)]
    steps = Work(series).steps(HOURS * 3600 // STEP)
    for time_, texts in zip(itertools.count(start, STEP), steps, strict=False):
        for each, text in zip(fine, texts, strict=True):
            value = float(text)
            each.append(time_, 1, value, 0.0, value, value)
    return [[level_bytes(each, start, level.interval, level.samples) for level in levels] for each in fine]


def retention(series: int) -> None:
    """Print the bytes of one counter through the whole default retention, by kind and level."""
    levels = Ladder.parse().levels
    sizes = retention_sizes(series)
    print(f"{Ladder.parse().text}: bytes of one counter (a bucket), from {series} series of {HOURS} h")
    print(f"{'kind':10} " + " ".join(f"{level.name:>16}" for level in levels) + f" {'all':>9}")
    everything = {"mean": range(20), **KINDS}
    for name, metrics in everything.items():
        some = [size for i, size in enumerate(sizes) if i % 20 in metrics]
        means = [sum(column) / len(some) for column in zip(*some, strict=True)]
        shown = [f"{size:8.0f} ({size / level.samples:5.3f})" for size, level in zip(means, levels, strict=True)]
        print(f"{name:10} " + " ".join(shown) + f" {sum(means):9.0f}")


def level_bytes(fine: columns.Columns, start: int, interval: int, rows: int) -> float:
    """Bytes that so many rows of a level take if they are like those measured."""
    level = fine.reduce(start, interval) if interval > STEP else fine
    writer = blocks.BlockWriter(interval=interval)
    writer.add_run(0, False, level)
    return sum(len(block.data) for block in writer.finish()) * rows / len(level)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int)
    parser.add_argument("--rows", type=int, default=2160)
    parser.add_argument("--retention", action="store_true")
    options = parser.parse_args()
    if options.retention:
        retention(options.series or 40)
        return
    options.series = options.series or 400
    print(f"kernels: {kernels.IMPLEMENTATION}; {options.series} series x {options.rows} rows; bytes a value")
    print(
        f"{'mix':18} {'codec':>7} {'and zstd-1':>10} {'code ns':>8} {'read ns':>8} {'zlib':>8} {'zstd':>8}"
    )
    for name, series in mixes(options.series, options.rows).items():
        values = sum(map(len, series))
        raw = b"".join(struct.pack(f"<{len(v)}d", *v) for v in series)
        made = [
            columns.Columns.from_rows((START + STEP * i, 1, v, 0.0, v, v) for i, v in enumerate(each))
            for each in series
        ]
        measure(name, made, raw, values)
        if name == "work, all":
            short = [each.slice(START, START + 12 * STEP) for each in made]
            measure("the same, 12 rows", short, raw[: 96 * len(series)], 12 * len(series))
            multi = [each.reduce(START, 300) for each in made]
            raw_multi = b"".join(struct.pack("<q4d", *row[1:]) for each in multi for row in each.rows())
            measure("the same, 5 m", multi, raw_multi, sum(map(len, multi)))


if __name__ == "__main__":
    main()
