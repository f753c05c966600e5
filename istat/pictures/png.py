"""PNG files of palette colours (W3C PNG specification, colour type 3): what zlib and struct are enough for. Knows bytes
of pixels, no picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

from istat.errors import IstatError

Colour = tuple[int, int, int]       # red, green, blue: 0..255

MAGIC = b"\x89PNG\r\n\x1a\n"
DEPTH = 8                           # bits of a pixel
PALETTE = 3                         # the colour type
COLOURS = 256                       # a palette has at most
# More than any screen; a mistyped size shall not fill the memory (a pixel is a byte, and compressed as it comes).
LARGEST_SIDE = 32_768               # [pixels]
MOST_PIXELS = 64 * 1024 * 1024


def check_size(width: int, height: int) -> None:
    """IstatError when a picture of so many pixels would be nothing, or too large for anyone to look at."""
    if width < 1 or height < 1:
        raise IstatError(f"a picture of {width} x {height} pixels shows nothing")
    if max(width, height) > LARGEST_SIDE or width * height > MOST_PIXELS:
        raise IstatError(f"a picture of {width:,} x {height:,} pixels is too large (at most {LARGEST_SIDE:,} a side "
                         f"and {MOST_PIXELS:,} in all): smaller or fewer cells")


def encode(width: int, rows: Sequence[bytes], palette: Sequence[Colour], clear: int | None = None) -> bytes:
    """A PNG file. `rows`: a byte a pixel, its place in the palette; `clear`: the place that is transparent.

    IstatError as of `check_size`; ValueError when a row is not as wide, or the palette too long.
    """
    check_size(width, len(rows))
    if not 0 < len(palette) <= COLOURS or any(len(row) != width for row in rows):
        raise ValueError("rows of another width, or a palette that PNG has no room for")
    parts = [MAGIC, _chunk(b"IHDR", struct.pack(">2I5B", width, len(rows), DEPTH, PALETTE, 0, 0, 0)),
             _chunk(b"PLTE", b"".join(map(bytes, palette)))]
    if clear is not None:
        parts.append(_chunk(b"tRNS", bytes(255 * (place != clear) for place in range(clear + 1))))
    parts += [_chunk(b"IDAT", _compressed(rows)), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _compressed(rows: Iterable[bytes]) -> bytes:
    """The scan lines, each after the number of its filter (0: none, the best for palettes)."""
    packer = zlib.compressobj(9)
    pieces = [packer.compress(b"\0" + row) for row in rows]
    return b"".join((*pieces, packer.flush()))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
