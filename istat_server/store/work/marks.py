"""The marks of batches: up to which one a sender's are in the store, so that one sent again is not counted again.

A mark is journalled in the frame of its batch's rows, and all of them again at each cut, since the segments before it
go. There is room for so many senders: the one that was not heard for longest is forgotten, and counted. Knows no rows.
"""
from __future__ import annotations

from collections.abc import Iterable

from istat.kernels.python.ingest.records import put_mark

MOST_MARKS = 16_384     # some 40 bytes each in the journal at each cut


class Marks:
    """The last sequence of each sender and epoch."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._last: dict[tuple[bytes, int], tuple[int, bytes]] = {}     # and its record; the newest are behind

    def __len__(self) -> int:
        return len(self._last)

    def taken(self, sender: bytes, epoch: int, sequence: int) -> bool:
        """Whether this batch, or a later one, is in the store."""
        last = self._last.get((sender, epoch))
        return last is not None and sequence <= last[0]

    def knows(self, mark: tuple[bytes, int, int]) -> bool:
        """See Store.knows."""
        return self.taken(*mark)

    def last(self, sender: bytes, epoch: int) -> int:
        """See Store.last_sequence."""
        found = self._last.get((sender, epoch))
        return 0 if found is None else found[0]

    def note(self, marks: Iterable[tuple[bytes, int, int]]) -> None:
        """These batches are in the store."""
        for mark in marks:
            self.note_one(mark, put_mark(*mark))

    def note_one(self, mark: tuple[bytes, int, int], record: bytes) -> None:
        """The same of one, whose record is made."""
        sender, epoch, sequence = mark
        if not self.taken(sender, epoch, sequence):
            self._last.pop((sender, epoch), None)
            self._last[sender, epoch] = sequence, record
        if len(self._last) > MOST_MARKS:
            del self._last[next(iter(self._last))]
            self.forgotten += 1

    def records(self) -> bytes:
        """All of them, as records of the journal."""
        return b"".join([record for _sequence, record in self._last.values()])
