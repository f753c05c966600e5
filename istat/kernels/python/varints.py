"""Numbers as bytes, as journal records and the directories of blocks have them: the specification.

Seven bits a byte, lowest first; the bit above them tells that another byte follows. Signed numbers of 64 bits are
zigzagged: 0, -1, 1, -2, ... are 0, 1, 2, 3, ... A number may be written longer than need be (zeros on top): that
is read as well, but none of our encoders does it. Knows bytes, not what they mean.
"""

from __future__ import annotations

BITS = 64
ALL_BITS = (1 << BITS) - 1


def put_varint(value: int) -> bytes:
    """A number from 0 to 2**64 - 1."""
    made = bytearray()
    while value >= 128:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def get_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it. ValueError when it is cut off or has more than 64 bits."""
    value = shift = 0
    while at < len(data) and shift < BITS:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            if value > ALL_BITS:
                break
            return value, at
        shift += 7
    raise ValueError("a number that is cut off or too large")


def wrap(value: int) -> int:
    """To a signed number of 64 bits, by wrapping around."""
    value &= ALL_BITS
    return value - (1 << BITS) if value >> BITS - 1 else value


def zigzag(value: int) -> int:
    """0, -1, 1, -2, ... to 0, 1, 2, 3, ...; value is taken as a signed number of 64 bits."""
    value = wrap(value)
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """The other way."""
    return (value >> 1) ^ -(value & 1)
