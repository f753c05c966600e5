"""A file of lines that may be compressed by gzip: whole records, and offsets to come back to.

Knows quotes and line ends, nothing of what the lines say.
"""
from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from istat.pagecache import ownfiles

MOST_LINE = 1 << 16             # [bytes]
GZIP = b"\x1f\x8b"
# What a compressed file that is cut off or damaged raises.
DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile)


class Text:
    """`with Text(path) as text`. Offsets are those of what is in the file, uncompressed.

    A compressed file ends where it is damaged; `damage` says how.
    """

    def __init__(self, path: Path) -> None:
        self.damage = ""
        self._raw = ownfiles.reading(path)
        zipped = self._raw.peek(len(GZIP))[: len(GZIP)] == GZIP
        self._file = cast(IO[bytes], gzip.GzipFile(fileobj=self._raw)) if zipped else cast(IO[bytes], self._raw)

    def __enter__(self) -> Text:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._raw.close()

    def read(self, most: int) -> bytes:
        """The next bytes; b"" at the end."""
        try:
            return self._file.read(most)
        except DAMAGES as error:
            self.damage = str(error)
            return b""

    def readline(self, most: int) -> bytes:
        """The next line, or the next part of one that is longer; b"" at the end."""
        try:
            return self._file.readline(most)
        except DAMAGES as error:
            self.damage = str(error)
            return b""

    def seek(self, offset: int) -> None:
        """Go to an offset, or to where a damaged file ends before it."""
        try:
            self._file.seek(offset)
        except DAMAGES as error:
            self.damage = str(error)

    def tell(self) -> int:
        """The offset."""
        return self._file.tell()

    def read_so_far(self) -> int:
        """How much of the file, as it lies on the disk, was read [bytes]."""
        return self._raw.raw.tell()

    def record(self) -> tuple[bytes, bool]:
        """The next line, b"" at the end; and whether it is several, as a quoted field has line breaks in it.

        A quote that is never closed, or is no whole field's, is part of its own line only.
        """
        line = self.readline(MOST_LINE)
        if b'"' not in line or not _open_quote(line):
            return line, False
        after, whole = self.tell(), line
        while len(whole) < MOST_LINE and (more := self.readline(MOST_LINE - len(whole))):
            whole += more
            if b'"' in more and not _open_quote(whole):
                if not _is_record(whole):
                    break
                return whole, True
        self.seek(after)
        return line, False


def _rows(text: bytes) -> int:
    return len(list(csv.reader(io.StringIO(text.decode("latin-1"), newline="\n"), strict=True)))


def _open_quote(text: bytes) -> bool:
    """Whether a text ends within a quoted field."""
    try:
        _rows(text)
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _is_record(text: bytes) -> bool:
    try:
        return _rows(text) == 1
    except csv.Error:
        return False
