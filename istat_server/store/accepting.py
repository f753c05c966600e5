"""Samples come in: lines to the engine, new names to the catalogue, and the lines that had to wait for them once more.

What is refused is counted: kinds that the engine knows in its tally, those of new names here. Knows no files and no
journal; belongs to the hub.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from istat.kernels import lines
from istat_server.store.interface import METADATA, Accepted, Left, Totals
from istat_server.store.names.catalogue import Catalogue, Learned

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

UNKNOWN = lines.CODES["UNKNOWN"]
KIND_OF = {code: name.lower() for name, code in lines.CODES.items()} | {lines.CODES["META"]: METADATA}
# What the engine's tally counts of refusals, by the same names.
TALLIED = ("bad_fields", "bad_number", "not_finite", "reserved", "from_future", "from_past", "rejected",
           "too_coarse")
UNNAMED = {Learned.NOTHING: "no_name", Learned.FULL: "name_refused", Learned.TOO_LONG: "name_too_long"}


class Accepting:
    """The way of samples into one store's memory."""

    def __init__(self, engine: Engine, catalogue: Catalogue) -> None:
        self._engine, self._catalogue = engine, catalogue
        self._refused = dict.fromkeys((*TALLIED, *UNNAMED.values()), 0)

    def lines(self, view: memoryview, start: int, end: int) -> Accepted:
        """Take the whole lines of view[start:end]."""
        used = self._engine.feed(view, start, end)
        left = self._engine.take_leftovers()
        return Accepted(used, self._leftovers(left) if left else ())

    def _leftovers(self, left: Sequence[tuple[int, bytes]]) -> Sequence[Left]:
        again: list[bytes] = []
        told: list[Left] = []
        for code, line in left:
            if code != UNKNOWN:
                told.append(Left(KIND_OF[code], line))
                continue
            kind = self.learn(line.split(None, 1)[0])
            if kind:
                told.append(Left(kind, line))
            else:
                again.append(line)
        if again:
            again.append(b"")
            text = b"\n".join(again)
            self._engine.feed(text, 0, len(text))
            self._engine.take_leftovers()       # all their names are known and all of them were good lines
        return told

    def learn(self, wire: bytes) -> str:
        """Have the catalogue learn a name; the kind of mistake, counted, when it refuses."""
        learned = self._catalogue.learn(wire)
        if learned is Learned.KNOWN:
            return ""
        return self.refuse(UNNAMED[learned])

    def refuse(self, kind: str) -> str:
        """Count a mistake that the engine does not meet; its kind."""
        self._refused[kind] += 1
        return kind

    def totals(self) -> Totals:
        """See Store.totals."""
        tally = self._engine.tally()
        return Totals(tally["samples"], tally["lines"],
                      {kind: count + tally.get(kind, 0) for kind, count in self._refused.items()})
