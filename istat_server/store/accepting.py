"""Samples come in: lines to the engine, new names to the catalogue, and the lines that had to wait for them once more.

A name is learnt only for a sample that is taken: what is refused leaves nothing behind. What is refused is counted:
kinds that the engine knows in its tally, those of new names here. Knows no files and no journal; belongs to the hub.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from istat.kernels import lines
from istat_server.store.interface import METADATA, Accepted, Left, Totals
from istat_server.store.names.catalogue import Catalogue, Learned

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

SAMPLE, UNKNOWN = lines.CODES["SAMPLE"], lines.CODES["UNKNOWN"]
KIND_OF = {code: name.lower() for name, code in lines.CODES.items()} | {lines.CODES["META"]: METADATA}
# What the engine's tally counts of refusals, by the same names.
TALLIED = ("bad_fields", "bad_number", "not_finite", "reserved", "from_future", "from_past", "rejected",
           "too_coarse")
# A sample of a name that is not known: time (None: now), count, sum, min and max, and its interval [s].
Sighted = tuple[tuple[int | None, int, float, float, float], int]
# What became of a name: the kind of mistake, or "" and the wire name that the sample is to be fed by; and what those of
# its counters refuse it as that are not in this.
Learnt = tuple[str, bytes, str]
UNNAMED = {Learned.NOTHING: "no_name", Learned.FULL: "name_refused", Learned.TOO_LONG: "name_too_long"}


class Accepting:
    """The way of samples into one store's memory."""

    def __init__(self, engine: Engine, catalogue: Catalogue) -> None:
        self._engine, self._catalogue = engine, catalogue
        self._refused = dict.fromkeys((*TALLIED, *UNNAMED.values()), 0)
        self._lines = 0         # that were refused before the engine had to take them

    def lines(self, view: memoryview, start: int, end: int, clock: int | None = None, interval: int = 0) -> Accepted:
        """Take the whole lines of view[start:end]. clock: the engine's `now`, where that is not the store's: a sample
        of it may be too old. interval: what lines of seven words cover [s], 0: they are samples."""
        used = self._engine.feed(view, start, end, interval)
        left = self._engine.take_leftovers()
        return Accepted(used, self._leftovers(left, clock, interval) if left else ())

    def _leftovers(self, left: Sequence[tuple[int, bytes]], clock: int | None, interval: int) -> Sequence[Left]:
        again: list[bytes] = []
        told: list[Left] = []
        for code, line in left:
            if code != UNKNOWN:
                told.append(Left(KIND_OF[code], line))
                continue
            words = line.split()
            kind, wire, partly = self.learn(words[0], _sighted(words, line, clock, interval))
            if kind:
                self._lines += kind in TALLIED
                told.append(Left(kind, line))
                continue
            if partly:
                told.append(Left(partly, line))
            again.append(line if wire == words[0] else b" ".join((wire, *words[1:])))
        if again:
            again.append(b"")
            text = b"\n".join(again)
            self._engine.feed(text, 0, len(text), interval)
            # All their names are known and all of them were good lines, but their counters may refuse the samples.
            told += (Left(KIND_OF[code], line) for code, line in self._engine.take_leftovers())
        told += (Left(KIND_OF[code], b"", count) for code, count in self._engine.take_untold().items())
        return told

    def learn_ahead(self, line: bytes, clock: int, interval: int) -> None:
        """Have the name of a line learnt, before the line is taken, if it is a sample that all of its counters will
        take. Nothing is counted or told here."""
        if lines.parse(line, self._engine.refuse_nan)[0] != SAMPLE:
            return
        words = line.split()
        meaning = self._catalogue.meaning(words[0])
        sample = _sighted(words, line, clock, interval)
        if isinstance(meaning, Learned) or sample is None:
            return
        if not any(self._engine.foresee(*sample, self._catalogue.targets(meaning))):
            self._catalogue.add(words[0], meaning)

    def learn(self, wire: bytes, sample: Sighted | None) -> Learnt:
        """Have the catalogue learn a name for a sample (None: one value of now, which no counter refuses); what it is
        refused as, counted, where it is.

        Where only some of its counters take the sample, and others do not exist, these are not made: it is fed by
        another wire name, of those that take it.
        """
        meaning = self._catalogue.learn(wire) if sample is None else self._catalogue.meaning(wire)
        if isinstance(meaning, Learned):
            return self._learnt(meaning, wire)
        assert sample is not None
        refusals = self._engine.foresee(*sample, self._catalogue.targets(meaning))
        if not any(refusals):
            return self._learnt(self._catalogue.add(wire, meaning), wire)
        if all(refusals):
            for kind in refusals:
                self.refuse(kind)
            return refusals[0], b"", ""
        if any(kind and id < 0 for kind, id in zip(refusals, meaning.ids, strict=True)):
            some = meaning.narrowed([not kind for kind in refusals])
            learned = self._catalogue.learn(some.wire)
            if learned is Learned.KNOWN:
                partly = [self.refuse(kind) for kind in filter(None, refusals)]
                return "", some.wire, partly[0]
        else:
            learned = self._catalogue.add(wire, meaning)
        return self._learnt(learned, wire)

    def _learnt(self, learned: Learned, wire: bytes) -> Learnt:
        return ("", wire, "") if learned is Learned.KNOWN else (self.refuse(UNNAMED[learned]), b"", "")

    def refuse(self, kind: str, times: int = 1) -> str:
        """Count a mistake that the engine does not meet; its kind."""
        self._refused[kind] += times
        return kind

    def totals(self) -> Totals:
        """See Store.totals."""
        tally = self._engine.tally()
        return Totals(tally["samples"], tally["lines"] + self._lines,
                      {kind: count + tally.get(kind, 0) for kind, count in self._refused.items()})


def _sighted(words: Sequence[bytes], line: bytes, clock: int | None, interval: int) -> Sighted | None:
    """The sample of a good line; of a single value only the time matters, unless that is the store's now."""
    if len(words) == 2:
        return None if clock is None else ((clock, 1, 0.0, 0.0, 0.0), 0)
    if len(words) == 3:
        return (int(words[1].partition(b".")[0]), 1, 0.0, 0.0, 0.0), 0
    _code, _name, _fields, time, total, _sumsq, low, high, count = lines.parse(line)     # type: ignore[misc]
    return (time, count, total, low, high), interval
