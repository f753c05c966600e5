"""How much a reader of frames believes: bounds that bytes from elsewhere are held to. Knows no format."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of one frame that is read, in bytes; what goes beyond is refused before it is allocated (FormatError).

    The defaults hold a million cells of a few metrics. For frames of a network they may be smaller.
    """

    max_bytes: int = 64 * MIB  # of a frame as it came
    max_raw: int = 256 * MIB  # of its body when unpacked
    max_memory: int = 512 * MIB  # of the instance that is made of it

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_raw", "max_memory"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} is a number of bytes, not {value!r}")
            if value < 0:
                raise ValueError(f"{name} is at least 0, not {value}")
