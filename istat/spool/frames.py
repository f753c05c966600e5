"""What is in a spool, as values and as bytes. Format: docs/formats/spool.md. Knows no files."""
from __future__ import annotations

from dataclasses import dataclass

#: Sender (1 to 255 bytes), epoch and sequence of a batch: as the store's journal has it.
Mark = tuple[bytes, int, int]

MOST_TEXT = 64 << 10        # [bytes] of lines in a frame: what one batch carries


@dataclass(frozen=True, slots=True)
class Frame:
    """Lines that came at once. `sequence` from 1 on, growing, with gaps; `clock` [Unix s]: the time of lines without
    one; `interval` [s]: what 7-token lines cover, 0: they are samples; `count`: how many lines `text` is."""

    sequence: int
    clock: int
    interval: int
    count: int
    text: bytes
    mark: Mark | None = None
