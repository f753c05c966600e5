"""Hashes of bytes and of a sketch's items: the specification of the native ones.

XXH64 with seed 0 is the hash of everything here: sketches can be merged only if all who fill them hash alike. The other
one, MurmurHash3 with the seed of DataSketches, is for sketches that are to be merged with those of that library.
Knows no sketches and no keys.

An item is a str or bytes (its bytes), or an int (its eight bytes, the lowest first).
"""

from __future__ import annotations

import operator
from typing import Any

XXH64 = 1  # the numbers of the hashes, as files have them
DATASKETCHES = 2
HASHES = {"xxh64": XXH64, "datasketches": DATASKETCHES}

MASK = 2**64 - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9  # XXH64's primes
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
C1, C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F  # MurmurHash3's multipliers
SEED = 9001  # of DataSketches, in all of its sketches
INDEX_BITS = 26  # of a coupon
MOST_ZEROS = 62  # a coupon tells of no more leading zeros: rank 63 is what six bits hold


def rotated(word: int, bits: int) -> int:
    """A word of 64 bits, turned to the left."""
    return (word << bits | word >> 64 - bits) & MASK


def xxh64(data: bytes) -> int:
    """XXH64 of bytes, with seed 0."""
    at, end = 0, len(data)
    state = P5
    if end >= 32:
        state, at = _stripes(data)
    state = (state + end) & MASK
    while at + 8 <= end:
        state ^= _round(0, _word(data, at, 8))
        state = (rotated(state, 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= end:
        state ^= _word(data, at, 4) * P1 & MASK
        state = (rotated(state, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        state = rotated(state ^ byte * P5 & MASK, 11) * P1 & MASK
    state = (state ^ state >> 33) * P2 & MASK
    state = (state ^ state >> 29) * P3 & MASK
    return state ^ state >> 32


def _stripes(data: bytes) -> tuple[int, int]:
    """The state after all whole stripes of 32 bytes, and where they end."""
    lanes = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
    at = 0
    while at + 32 <= len(data):
        lanes = [_round(lane, _word(data, at + 8 * i, 8)) for i, lane in enumerate(lanes)]
        at += 32
    state = sum(rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & MASK
    for lane in lanes:
        state = ((state ^ _round(0, lane)) * P1 + P4) & MASK
    return state, at


def _round(lane: int, word: int) -> int:
    return rotated((lane + word * P2) & MASK, 31) * P1 & MASK


def _word(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def murmur3(data: bytes, seed: int = SEED) -> tuple[int, int]:
    """MurmurHash3 x64-128 of bytes: its two words."""
    a = b = seed
    whole = len(data) // 16 * 16
    for at in range(0, whole, 16):
        a ^= _mixed(_word(data, at, 8), C1, 31, C2)
        a = ((rotated(a, 27) + b) * 5 + 0x52DCE729) & MASK
        b ^= _mixed(_word(data, at + 8, 8), C2, 33, C1)
        b = ((rotated(b, 31) + a) * 5 + 0x38495AB5) & MASK
    rest = data[whole:]
    b ^= _mixed(_word(rest, 8, 8), C2, 33, C1)
    a ^= _mixed(_word(rest, 0, 8), C1, 31, C2)
    a, b = a ^ len(data), b ^ len(data)
    a = (a + b) & MASK
    b = (b + a) & MASK
    a, b = _finished(a), _finished(b)
    a = (a + b) & MASK
    return a, (b + a) & MASK


def _mixed(word: int, first: int, bits: int, second: int) -> int:
    return rotated(word * first & MASK, bits) * second & MASK


def _finished(word: int) -> int:
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD & MASK
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return word ^ word >> 33


def coupon(data: bytes) -> int:
    """What DataSketches makes of an item: rank << 26 | index. 0 of no bytes, which it takes for no item."""
    if not data:
        return 0
    index, word = murmur3(data)
    rank = min(64 - word.bit_length(), MOST_ZEROS) + 1
    return rank << INDEX_BITS | index & (1 << INDEX_BITS) - 1


def item_bytes(item: Any) -> bytes:
    """The bytes of an item. TypeError when it is no str, bytes or int, OverflowError when the int has no 64 bits."""
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes):
        return item
    try:
        number = operator.index(item)
    except TypeError:
        raise TypeError(f"an item is a str, bytes or int, not {type(item).__name__}") from None
    if not -(2**63) <= number < 2**64:
        raise OverflowError("an int as an item is from -2**63 to 2**64 - 1")
    return (number & MASK).to_bytes(8, "little")


def hash_item(item: Any) -> int:
    """XXH64 of an item. TypeError, OverflowError."""
    return xxh64(item_bytes(item))


def hash_id(name: str) -> int:
    """The number of a hash. ValueError when none is called that."""
    if name not in HASHES:
        raise ValueError(f"a hash is one of {', '.join(HASHES)}, not {name!r}")
    return HASHES[name]


def hashed(item: Any, hash: int) -> int:
    """XXH64 of an item, or its coupon, by the number of the hash. TypeError, OverflowError."""
    data = item_bytes(item)
    return coupon(data) if hash == DATASKETCHES else xxh64(data)


def hashes_of(items: Any, hash: int) -> list[int]:
    """The hashes of a batch: a buffer of whole numbers or of fixed-width bytes (without the zeros at their ends), or a
    sequence of str, bytes and int. TypeError, OverflowError."""
    return [hashed(item, hash) for item in items_of(items)]


def items_of(items: Any) -> list[Any]:
    """The items of a batch, as a list. TypeError."""
    if isinstance(items, (str, bytes)):
        raise TypeError(f"a batch of items is a sequence or a buffer, not one {type(items).__name__}")
    try:
        view = memoryview(items)
    except TypeError:
        if isinstance(items, (list, tuple, range)):
            return list(items)
        raise TypeError(f"a batch of items is a list, a tuple or a buffer, not {type(items).__name__}") from None
    if view.ndim != 1:
        raise TypeError(f"a batch of items has one dimension, not {view.ndim}")
    code = view.format.lstrip("@=<")
    if code in ("i", "l", "q", "I", "L", "Q"):
        kind: Any = {4: "i", 8: "q"}[view.itemsize]
        return list(memoryview(view.tobytes()).cast(kind if code.islower() else kind.upper()))
    if code.endswith("s"):
        raw, size = view.tobytes(), view.itemsize
        return [raw[at : at + size].rstrip(b"\0") for at in range(0, len(raw), size)]
    if code == "O" or code.endswith("w"):  # numpy's arrays of objects and of str
        return list(items.tolist())
    raise TypeError(f"a buffer of items holds int32, int64, uint32, uint64 or S<n>, not {view.format!r}")
