"""Which keys of a cube have a cell: made, refused, evicted for others, merged. Knows what sampling/ asks and is told,
but not how it decides.

This module is the specification; the native build has it in `native/cubes/core.pyx`, and the same tests run on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from istat.kernels.python.cubes.cells import LATE, REFUSED, TOUCHED, CoreBase, Guard
from istat.kernels.python.cubes.hashing import xxh64
from istat.kernels.python.cubes.hll import HyperLogLog
from istat.kernels.python.cubes.keys import encoded
from istat.kernels.python.cubes.metrics import Metric
from istat.kernels.python.cubes.sampling.heavykeeper import TopK
from istat.kernels.python.cubes.sampling.spread import PRECISION, TopCardinality
from istat.kernels.python.cubes.sketched import HistogramMetric, HllMetric

COMPREHENSIVE, TOPK, TOP_CARDINALITY = MODES = ("comprehensive", "topk", "top_cardinality")
DEFAULT_CELLS = 1_000_000   # that a cube may have before it is told otherwise
REFUSED_PRECISION = 10      # of the sketch that tells how many keys were refused: within 3 %

#: Metrics of a cube, each with the one of another cube that is added to it.
Pairs = Sequence[tuple[Metric[Any], Metric[Any]]]


class Admission(CoreBase):
    """The cells of one cube, and what its updates ask: which slot is theirs."""

    def __init__(self, names: Sequence[str], guard: Guard) -> None:
        super().__init__(names, guard)
        self.metrics: list[Metric[Any]] = []    # in the order of registration
        self.mode, self.options = COMPREHENSIVE, dict[str, Any]()
        self.cells.most = DEFAULT_CELLS
        self.overflow_cell = False
        self.admitted_late = 0
        self.refused_keys = HyperLogLog(REFUSED_PRECISION)      # of comprehensive mode only

    def slot_of(self, key: bytes) -> int:
        slot = self.cells.find(key)
        if slot < 0:
            slot = self.made(key)
            if slot >= 0 and self.sampler is not None:
                self._begin(slot, self.sampler.taken(self.cells.hashes[slot]))
        if slot < 0:
            return self._refuse(key)
        self.cells.marks[slot] |= TOUCHED
        return slot

    def rank_up(self, key: bytes, amount: int, item: int) -> int:
        slot = self.cells.find(key)
        if slot >= 0:
            self.sampler.rose(slot, *self.primary.raise_by(slot, amount, item))
        elif not self.cells.full:
            slot = self.made(key)
            if slot >= 0:
                self._begin(slot, self.sampler.taken(self.cells.hashes[slot]), amount, item)
        else:
            hash = xxh64(key)
            slot = REFUSED
            if self.cells.takes(hash) and self.sampler.offer(hash, amount, item):
                slot = self._evict(key, hash)
                self._begin(slot, self.sampler.estimate, amount, item)
        if slot < 0:
            return self._refuse(key)
        self.cells.marks[slot] |= TOUCHED
        return slot

    def made(self, key: bytes) -> int:
        """A new cell's slot, or REFUSED."""
        slot = self.cells.add(key)
        if slot >= 0:
            self._reserve(slot + 1)
        return slot

    def _reserve(self, room: int) -> None:
        for metric in self.metrics:
            metric.reserve(room)

    def _begin(self, slot: int, begun: int, amount: int = 0, item: int = 0) -> None:
        """A new cell gets what the sketch held for its key, as a part of its counter or as its floor; and its first
        update, if that is one of the primary metric (an amount of 0: it is none)."""
        if self.mode == TOPK:
            amount += begun
        if amount:
            self.primary.raise_by(slot, amount, item)
        self.sampler.entered(slot, begun)

    def _evict(self, key: bytes, hash: int) -> int:
        """The slot of the lowest cell, which goes for a new one."""
        slot: int = self.sampler.lowest()
        self.sampler.write_back(slot)
        self._to_overflow(self._itself(), slot)
        for metric in self.metrics:
            metric.clear_cell(slot)
        self.cells.replace(slot, key, hash)
        self.cells.marks[slot] = LATE
        self.evicted += 1
        self.admitted_late += 1
        return slot

    def _refuse(self, key: bytes) -> int:
        self.refused += 1
        if self.sampler is None:
            self.refused_keys.add_hash(xxh64(key))
        return REFUSED

    def _to_overflow(self, pairs: Pairs, of: int) -> None:
        """A cell of the pairs' second metrics goes: what the overflow cell keeps of it is added there."""
        if self.cells.overflow >= 0:
            for mine, theirs in pairs:
                if keeps_overflow(mine):
                    mine.merge_cell(self.cells.overflow, theirs, of)

    def _itself(self) -> Pairs:
        return list(zip(self.metrics, self.metrics))

    # Another mode, or number of cells.

    def sample(self, mode: str, max_cells: int, primary: Metric[Any] | None = None, overflow_cell: bool = False,
               **options: Any) -> None:
        """What becomes of keys for which there is no room, from now on. Cells that fit stay: the oldest, or where a
        metric ranks cells, those with the most of it. A sketch begins empty, unless all stays as it was but the
        overflow cell. ValueError for what is no mode or no value of an option, TypeError for what is no option."""
        primary = None if mode == COMPREHENSIVE else primary
        same = (mode, max_cells, options) == (self.mode, self.cells.most, self.options) and primary is self.primary
        sampler = self.sampler if same else sampler_of(mode, max_cells, primary, options)
        slots = self.cells.in_order() if primary is None else self.ranked(by=primary, untouched=True)
        begun = {self.cells.keys[slot]: self.begun_with(slot) for slot in slots if primary is self.primary}
        self.add_overflow(overflow_cell)
        for slot in slots[max_cells:]:
            self._to_overflow(self._itself(), slot)
        self.evicted += len(slots[max_cells:])
        self._keep(sorted([*slots[:max_cells], *([self.cells.overflow] if overflow_cell else [])]))
        self.mode, self.options, self.primary, self.sampler = mode, options, primary, sampler
        self.cells.most = max_cells
        self.enter_all(begun)

    def ranked(self, n: int | None = None, by: Metric[Any] | None = None, untouched: bool = False) -> list[int]:
        """The cells with the most of a metric, as `Core` has it."""
        raise NotImplementedError

    def begun_with(self, slot: int) -> int:
        """What a cell had from the sketch when it was admitted: a part of its counter, or its floor."""
        return 0 if self.sampler is None else self.sampler.inherited(slot)

    def _keep(self, slots: list[int]) -> None:
        """Keep these slots, ascending ones: they become 0, 1, ..."""
        for metric in self.metrics:
            for to, of in enumerate(slots):
                if to != of:
                    metric.move_cell(to, of)
            for slot in range(len(slots), len(self.cells.keys)):
                metric.clear_cell(slot)
        self.cells.keep(slots)

    def add_overflow(self, wanted: bool) -> None:
        """The overflow cell, if it is wanted and not there."""
        self.overflow_cell = wanted
        if wanted and self.cells.overflow < 0:
            self._reserve(self.cells.add_overflow(encoded((None,) * self.dimensions)) + 1)

    def enter_all(self, begun: Mapping[bytes, int]) -> None:
        """Tell the sampler of the cells that there are, and what each had from the sketch."""
        if self.sampler is not None:
            self.sampler.watch(self.cells, self.primary)
            self.sampler.forget_residents()
            for slot in self.cells.in_order():
                self.sampler.entered(slot, begun.get(self.cells.keys[slot], 0))

    # Cells of another cube.

    def merge_cells(self, other: Admission, pairs: Pairs) -> None:
        """Add another cube's cells, by insertion as far as there is room."""
        for of in other.slots():
            slot = self.cells.find(key := other.cells.keys[of])
            slot = self.made(key) if slot < 0 else slot
            if slot >= 0:
                self._merge_cell(slot, other, of, pairs)
            else:
                self._refuse(key)
                self._to_overflow(pairs, of)

    def slots(self, untouched: bool = False) -> list[int]:
        """The cells by insertion, as `Core` has it."""
        raise NotImplementedError

    def _merge_cell(self, slot: int, other: Admission, of: int, pairs: Pairs) -> None:
        for mine, theirs in pairs:
            mine.merge_cell(slot, theirs, of)
        self.cells.marks[slot] |= other.cells.marks[of]

    def merge_ranked(self, other: Admission, pairs: Pairs) -> None:
        """Add another cube's cells and sketch, where a metric ranks cells: see sampling/residents for the order."""
        sampler, hashes = self.sampler, self.cells.hashes
        sampler.meet(other.sampler)
        theirs = {other.cells.keys[of]: of for of in other.slots()}
        begun = {}
        for slot, key in [(slot, self.cells.keys[slot]) for slot in self.cells.in_order()]:
            of = theirs.pop(key, None)
            if of is not None:
                self._merge_cell(slot, other, of, pairs)
                begun[key] = self._joined(self.begun_with(slot), other.begun_with(of))
            else:
                known = sampler.known_there(hashes[slot])
                begun[key] = self._joined(self.begun_with(slot), known)
                if known and self.mode == TOPK:
                    self.primary.raise_by(slot, known, 0)
        self.enter_all(begun)
        known_here = {of: sampler.taken(other.cells.hashes[of]) for of in theirs.values()}
        sampler.combine()
        ranks = {of: self._joined(other.sampler.rank(of), known_here[of]) for of in known_here}
        for of in sorted(ranks, key=lambda of: (-ranks[of], other.cells.keys[of])):
            self._merge_stranger(other, of, ranks[of], known_here[of], pairs)
        sampler.part()

    def _joined(self, one: int, other: int) -> int:
        """What two sides know of a key together: counts add up, of two floors the larger one stays."""
        return one + other if self.mode == TOPK else max(one, other)

    def _merge_stranger(self, other: Admission, of: int, rank: int, known: int, pairs: Pairs) -> None:
        """A cell that the other cube alone has: it gets one here where there is room or a lower one, or else goes into
        the sketch."""
        key, hash = other.cells.keys[of], other.cells.hashes[of]
        slot = self.made(key) if not self.cells.full else REFUSED
        if slot < 0 and self.cells.full and self.cells.takes(hash) and rank > self.sampler.rank(self.sampler.lowest()):
            slot = self._evict(key, hash)
        if slot >= 0:
            self._merge_cell(slot, other, of, pairs)
            if self.mode == TOPK and known:
                self.primary.raise_by(slot, known, 0)
            self.sampler.entered(slot, self._joined(other.begun_with(of), known))
            return
        self.evicted += 1
        self._to_overflow(pairs, of)
        self.sampler.put_in(hash, rank if self.mode == TOPK else other.primary.value(of))


def keeps_overflow(metric: Metric[Any]) -> bool:
    """Whether the overflow cell has values of a metric. Counters are derived there, gauges have no place."""
    return isinstance(metric, (HistogramMetric, HllMetric))


def sampler_of(mode: str, max_cells: int, primary: Any, options: Mapping[str, Any]) -> Any:
    """What a full cube of that mode asks; None in comprehensive mode."""
    if mode not in MODES:
        raise ValueError(f"a sampling mode is one of {', '.join(MODES)}, not {mode!r}")
    if mode == TOPK:
        return TopK(max_cells, **options)
    if mode == TOP_CARDINALITY:
        if primary.precision < PRECISION:
            raise ValueError(f"cells are ranked by an HLL of precision {PRECISION} or more, not {primary.precision}")
        return TopCardinality(max_cells, coupons=primary.hash == "datasketches", **options)
    if options:
        raise TypeError(f"{mode} mode has no options, such as {', '.join(options)}")
    return None
