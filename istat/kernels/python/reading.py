"""Numbers out of bytes of strangers: every read is bounded, every number has one form. The specification.

Knows neither cells nor columns. A `Reader` also keeps the budget: what the state that is being read may take in memory,
planned before it is allocated. Anything wrong raises FormatError with the place in the frame.

It stands outside the room of cubes, as native builds read the head of a frame with it and need not import all twins
for that. The fast build is `native/cubes/wire/reading.pyx`.
"""

from __future__ import annotations

import struct
from typing import NoReturn

from istat.errors import FormatError
from istat.kernels.python.varints import ALL_BITS, BITS, unzigzag

MOST_COUNT = (1 << 63) - 1  # counts are signed numbers of 64 bits in other programs and in JSON
CUT_OFF = "cut off"
TOO_LARGE = "a number above its limit"
OVERLONG = "a number of more bytes than it needs"
NO_BUDGET = "takes more memory than max_memory"
TRAILING = "bytes behind the end"
NO_NUMBER = "not a number"
NOT_FINITE = "a number that is not finite"
FILLED = "bits that fill up and are not 0"
SAME_ORIGIN = "an origin that is the one before"
OUT_OF_ORDER = "names or entries that do not ascend"
INCONSISTENT = "figures that contradict each other"
NO_SUCH_RUN = "slots that are none, or not as they are written"
NO_SUCH_SKETCH = "no HyperLogLog of this precision"
MALFORMED_KEY = "a key that is none of this cube"
TWICE = "a key that is there already"
NO_PLACE = "a key that finds no place among those that collide with it"
OTHER_SKETCH = "a sketch of other parameters than the schema's"
PAST_END = "a bucket behind the last one"
EMPTY_BUCKET = "a bucket that holds nothing"


class Reader:
    """Takes bytes from the front. `base` is the place of the first one in the frame, `budget` memory that may be taken.

    `at` is where the next read begins; a number that is refused is refused at its first byte.
    """

    def __init__(self, data: bytes | memoryview, base: int = 0, budget: int = ALL_BITS) -> None:
        self.data, self.base, self.budget = data, base, budget
        self.at = 0

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise FormatError: for this place, or the one that is read next."""
        raise FormatError(self.base + (self.at if at is None else at), reason)

    def plan(self, size: int, at: int | None = None) -> None:
        """So many bytes are going to be allocated; refuse where that is more than what is left."""
        if size > self.budget:
            self.refuse(NO_BUDGET, at)
        self.budget -= size

    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next bytes, so many."""
        if size > self.left():
            self.refuse(CUT_OFF)
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def u8(self, most: int = 255) -> int:
        """One byte, up to `most`."""
        if not self.left():
            self.refuse(CUT_OFF)
        value: int = self.data[self.at]
        if value > most:
            self.refuse(TOO_LARGE)
        self.at += 1
        return value

    def u64(self) -> int:
        """Eight bytes, unsigned."""
        return int.from_bytes(self.take(8), "little")

    def i64(self) -> int:
        """Eight bytes, signed."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def f64(self) -> float:
        """A double of any value."""
        value: float = struct.unpack("<d", self.take(8))[0]
        return value

    def varint(self, most: int = ALL_BITS) -> int:
        """A number in groups of seven bits, up to `most`."""
        start = self.at
        value = self.wide(BITS)
        if value > most:
            self.refuse(TOO_LARGE, start)
        return value

    def wide(self, bits: int) -> int:
        """The same with up to so many bits."""
        start = self.at
        value = shift = 0
        while True:
            if self.at >= len(self.data):
                self.refuse(CUT_OFF, start)
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if value >> bits:
                self.refuse(TOO_LARGE, start)
            if byte < 128:
                break
            shift += 7
            if shift >= bits:
                self.refuse(TOO_LARGE, start)
        if byte == 0 and shift:
            self.refuse(OVERLONG, start)
        return value

    def zigzag(self) -> int:
        """A signed number of 64 bits."""
        return unzigzag(self.varint())

    def end(self) -> None:
        """Refuse if anything is left."""
        if self.left():
            self.refuse(TRAILING)
