"""The file in which a server keeps what is declared of metrics, as bytes. Format: docs/formats/declared.md.

Knows no files and no bounds but the file's.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

HEADER = b"# istatd declared metrics 1"
MOST_BYTES = 16 << 20       # what is longer was written by nobody of ours: 10,000 lines have 6 MB at most
_LINE = re.compile(rb"([0-9a-f]{8}) (\S+) (\S.*)")
_END = re.compile(rb"# end (\d{1,9})")


class Kept(NamedTuple):
    """A declaration: who has told it, a word, and `NAME JSON`."""

    by: str
    text: bytes


@dataclass
class Page:
    """What a file has, and what is wrong with it, in sentences."""

    kept: list[Kept] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def word(by: str) -> str:
    """Who has told a declaration, without blanks."""
    return "_".join(by.split()) or "-"


def encode(kept: Iterable[Kept]) -> bytes:
    """The whole file."""
    lines = [HEADER]
    for by, text in kept:
        words = b"%s %s" % (word(by).encode(), text)
        lines.append(b"%08x %s" % (zlib.crc32(words), words))
    lines.append(b"# end %d" % (len(lines) - 1))
    return b"\n".join(lines) + b"\n"


def decode(data: bytes) -> Page:
    """What a file has. What is damaged is left out, and the rest is read."""
    page = Page()
    lines = data.split(b"\n")
    if lines[0] != HEADER:
        page.problems.append(f"its first line is not {HEADER.decode()!r}: it is not read")
        return page
    damaged, ended = 0, False
    for line in lines[1:-1]:
        end, found = _END.fullmatch(line), _LINE.fullmatch(line)
        if end is not None:
            ended = int(end[1]) == len(page.kept) + damaged
        elif found is None or int(found[1], 16) != zlib.crc32(line[9:]):
            damaged += 1
        else:
            page.kept.append(Kept(found[2].decode("utf-8", "replace"), found[3]))
    if damaged:
        page.problems.append(f"{damaged:,} damaged lines, which are left out")
    elif not ended:
        page.problems.append("its end is missing")
    return page
