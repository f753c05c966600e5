"""Names and texts of META and SCHEMA as bytes, and back. Knows not what they name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from istat.kernels.python.reading import Reader
from istat.kernels.python.varints import put_varint

MOST_BYTES = 255  # of a name or a text as UTF-8
MOST_PAIRS = 64
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# What a Python object of a name or a pair takes besides its bytes: planned before it is made.
NAME_COST = 256


def put_text(text: str) -> bytes:
    """A text with its length in front."""
    encoded = text.encode()
    return put_varint(len(encoded)) + encoded


def get_text(reader: Reader, least: int = 0) -> str:
    """A text of `least` bytes or more."""
    start = reader.at
    size = reader.varint(MOST_BYTES)
    if size < least:
        reader.refuse("an empty name", start)
    reader.plan(NAME_COST + size, start)
    try:
        text = reader.take(size).decode()
    except UnicodeDecodeError:
        reader.refuse("a text that is no UTF-8", start)
    if CONTROL.search(text):
        reader.refuse("a text with control characters", start)
    return text


def get_name(reader: Reader) -> str:
    """A text that is not empty."""
    return get_text(reader, 1)


def put_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Pairs of name and text, by the order of the names' bytes."""
    ordered = sorted(pairs, key=lambda pair: pair[0].encode())
    return put_varint(len(ordered)) + b"".join(put_text(name) + put_text(text) for name, text in ordered)


def get_pairs(reader: Reader) -> dict[str, str]:
    """Pairs of name and text; names ascend, so that none is there twice."""
    pairs: dict[str, str] = {}
    before = b""
    for _ in range(reader.varint(MOST_PAIRS)):
        start = reader.at
        name = get_name(reader)
        if name.encode() <= before:
            reader.refuse("names that do not ascend", start)
        before = name.encode()
        pairs[name] = get_text(reader)
    return pairs
