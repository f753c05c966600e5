"""How a container is written: aside, so that it is there whole or not at all; docs/formats/statfile.md draws it.

Knows one file and coded blocks, not what is in them.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

import zstandard

from istat.errors import StoreError, StoreFull
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store.files.container import (
    END,
    END_MAGIC,
    ENTRY,
    FOOTER,
    FOOTER_SIZE,
    PAGE,
    PLAIN,
    ZSTD,
    BlockEntry,
    Footer,
    span_of,
)
from istat_server.store.ondisk import private, sync_folder

ZSTD_LEVEL = 1  # higher levels gain under 1 % on coded runs
WORTH_PACKING = 0.97  # a block is stored packed only when that saves more than 3 %
UNTRIED_BLOCKS = 7  # packing costs as much as coding; blocks of one file are much alike
PAGE_ENTRIES = 256  # blocks in an index page: 13 KB, one read


class Coded(Protocol):
    """A block as its payload's encoder made it. `rows` are whatever it counts, times Unix seconds."""

    @property
    def first_id(self) -> int: ...
    @property
    def last_id(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def first_time(self) -> int: ...
    @property
    def last_time(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class ContainerWriter:
    """Writes one file aside; it appears when it is ended. Leaving a `with` by an exception aborts it.

    StoreFull when the disk is full; ids must not descend from block to block.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str, head: bytes) -> None:
        """head: as header_bytes gives it."""
        self.path = os.path.join(folder, name)
        self._folder = os.fspath(folder)
        self._aside = os.path.join(folder, f".{name}.tmp")
        self._entries: list[BlockEntry] = []
        self._packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._offset = 0
        self._untried = 0
        self._fd = ownfiles.descriptor(self._aside, os.O_WRONLY, Use.WRITTEN, private)
        self._head = head
        try:
            self._write(self._head)
        except StoreError:
            self.abort()
            raise

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._offset

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as error:
            raise _full(error, self.path) from error
        self._offset += len(data)

    def add(self, finished: Iterable[Coded], compress: bool = False) -> None:
        """Append blocks; with compress, each is packed where that pays."""
        for block in finished:
            if self._entries and block.first_id < self._entries[-1].last_id:
                raise ValueError("blocks must come by ascending id")
            data, codec = self._packed(block.data) if compress else (block.data, PLAIN)
            self._entries.append(
                BlockEntry(
                    block.first_id, block.last_id, self._offset, len(data), len(block.data),
                    block.rows, zlib.crc32(data), block.first_time, block.last_time, codec,
                )
            )  # fmt: skip
            self._write(data)

    def _packed(self, data: bytes) -> tuple[bytes, int]:
        """Pack a block if that pays; after one where it did not, some blocks are not even tried."""
        if self._untried > 0:
            self._untried -= 1
            return data, PLAIN
        packed = self._packer.compress(data)
        if len(packed) < WORTH_PACKING * len(data):
            return packed, ZSTD
        self._untried = UNTRIED_BLOCKS
        return data, PLAIN

    def end(self) -> Footer:
        """Write index and footer, sync, give the file its name, sync the folder."""
        top = b"".join(self._write_page(at) for at in range(0, len(self._entries), PAGE_ENTRIES))
        rows = sum(entry.rows for entry in self._entries)
        first_time, last_time = span_of(self._entries)
        size = self._offset + len(top) + FOOTER_SIZE
        made = Footer(
            self._offset, len(top), zlib.crc32(top), len(self._head), zlib.crc32(self._head),
            rows, len(self._entries), size, first_time, last_time,
        )  # fmt: skip
        footer = FOOTER.pack(*made)
        self._write(top + footer + END.pack(zlib.crc32(footer), END_MAGIC))
        try:
            ownfiles.put_away(self._fd)
            self._close()
            os.rename(self._aside, self.path)
            sync_folder(self._folder)
        except OSError as error:
            raise _full(error, self.path) from error
        return made

    def _write_page(self, at: int) -> bytes:
        """Write one index page; give its entry of the top index."""
        entries = self._entries[at : at + PAGE_ENTRIES]
        page = b"".join(ENTRY.pack(*entry) for entry in entries)
        ids = entries[0].first_id, entries[-1].last_id
        made = PAGE.pack(*ids, self._offset, len(page), zlib.crc32(page), *span_of(entries))
        self._write(page)
        return made

    def abort(self) -> None:
        """Forget the file; does nothing after its end."""
        self._close()
        if os.path.exists(self._aside):
            os.unlink(self._aside)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _full(error: OSError, path: str) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{path}: the disk is full; free some space, the server goes on by itself")
    return StoreError(f"{path}: {error.strerror}")
