"""Rows of whole instances: copied, merged, reset, calibrated."""

from __future__ import annotations

from collections.abc import Callable

from bench.cubes.instances import counted, empty_cubes, sketched
from bench.cubes.rows import OURS, Goal, Row, Sample, Side, Size, timed
from istat.cube import Instance, Sampling

Made = Callable[[Size], Instance]


def copied(made: Made) -> Side:
    """Each cell of an instance into one that has none."""

    def side(size: Size) -> Sample:
        source = made(size)

        def fresh() -> Callable[[], None]:
            targets = [source.fork() for _ in range(size.turns)]

            def copies() -> None:
                for target in targets:
                    target.merge(source)

            return copies

        return timed(size.cells * size.turns, fresh)

    return side


def merged(made: Made, other: Made | None = None) -> Side:
    """Each cell into one that has it; `other` makes the target, where its cells are not the same."""

    def side(size: Size) -> Sample:
        source, target = made(size), (other or made)(size)

        def merges() -> None:
            for _ in range(size.turns):
                target.merge(source)

        return timed(size.cells * size.turns, lambda: merges)

    return side


def merged_once(made: Made, other: Made) -> Side:
    """Each cell into an instance that has others; it is made anew each time, as it changes."""

    def side(size: Size) -> Sample:
        source = made(size)

        def fresh() -> Callable[[], None]:
            targets = [other(size) for _ in range(size.turns)]

            def merges() -> None:
                for target in targets:
                    target.merge(source)

            return merges

        return timed(size.cells * size.turns, fresh)

    return side


def merged_empty(mode: Sampling) -> Side:
    """Of one schema, as instances of a program's threads are."""

    def side(size: Size) -> Sample:
        source = empty_cubes(size.cubes, mode)
        target = source.fork()

        def merges() -> None:
            for _ in range(size.turns):
                target.merge(source)

        return timed(size.cubes * size.turns, lambda: merges)

    return side


def reset_empty(mode: Sampling) -> Side:
    def side(size: Size) -> Sample:
        inst = empty_cubes(size.cubes, mode)

        def resets() -> None:
            for _ in range(size.turns):
                inst.reset()

        return timed(size.cubes * size.turns, lambda: resets)

    return side


def reset_cells(size: Size) -> Sample:
    def fresh() -> Callable[[], None]:
        instances = [counted(size.cells) for _ in range(size.turns)]

        def resets() -> None:
            for inst in instances:
                inst.reset()

        return resets

    return timed(size.cells * size.turns, fresh)


def calibrated(size: Size) -> Sample:
    """Per instance: nothing changed in its master."""
    master = empty_cubes(size.cubes, Sampling.COMPREHENSIVE)
    inst = master.fork()

    def calibrations() -> None:
        for _ in range(size.calls):
            inst.calibrate(master)

    return timed(size.calls, lambda: calibrations)


def top(salt: int = 0) -> Made:
    return lambda size: counted(size.cells, mode=Sampling.TOPK, salt=salt)


def hlls(precision: int) -> Made:
    return lambda size: sketched("hll", size.cells, precision)


def histograms(precision: int) -> Made:
    return lambda size: sketched("histogram", size.cells, precision)


def single(size: Size) -> Instance:
    return counted(size.cells)


ROWS = (
    Row("copy", "copy a cell, counter", {OURS: copied(single)}, (Goal(80),)),
    Row("copy-hll", "copy a cell, HLL p=6", {OURS: copied(hlls(6))}, (Goal(150),)),
    Row("copy-histogram", "copy a cell, histogram 1..100000 of precision 4", {OURS: copied(histograms(4))},
        (Goal(300),)),
    Row("copy-topk", "copy a cell, top-K counter", {OURS: copied(top())}, (Goal(150),)),
    Row("merge", "merge a cell, counter", {OURS: merged(single)}, (Goal(60),)),
    Row("merge-hll", "merge a cell, HLL p=6", {OURS: merged(hlls(6))}, (Goal(100),)),
    Row("merge-hll-12", "merge a cell, HLL p=12 of 100 items", {OURS: merged(hlls(12))}),
    Row("merge-histogram", "merge a cell, histogram of precision 4", {OURS: merged(histograms(4))}, (Goal(250),)),
    Row("merge-histogram-1", "merge a cell, histogram of precision 1", {OURS: merged(histograms(1))}, (Goal(250),)),
    Row("merge-topk", "merge a cell, top-K counter, the same cells", {OURS: merged(top())}, (Goal(250),)),
    Row("merge-topk-others", "merge a cell, top-K counter, other cells", {OURS: merged_once(top(), top(1))},
        (Goal(250),)),
    Row("merge-empty", "merge one of 1,000 empty cubes, comprehensive",
        {OURS: merged_empty(Sampling.COMPREHENSIVE)}, (Goal(40),)),
    Row("merge-empty-topk", "merge one of 1,000 empty cubes, top-K", {OURS: merged_empty(Sampling.TOPK)}, (Goal(40),)),
    Row("reset-empty", "reset one of 1,000 empty cubes, comprehensive",
        {OURS: reset_empty(Sampling.COMPREHENSIVE)}, (Goal(40),)),
    Row("reset-empty-topk", "reset one of 1,000 empty cubes, top-K", {OURS: reset_empty(Sampling.TOPK)}, (Goal(40),)),
    Row("reset", "reset a counter cell", {OURS: reset_cells}, (Goal(10),)),
    Row("calibrate", "calibrate an instance of 1,000 cubes, nothing changed", {OURS: calibrated}, (Goal(1_000),)),
)  # fmt: skip
