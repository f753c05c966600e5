"""StatFiles: containers of rows; docs/formats/statfile.md draws them.

Knows one file and how rows stand in its blocks. Does not know which files are live, nor what levels or counters mean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import zstandard

from istat.errors import StoreCorrupt, StoreError
from istat.kernels import blocks, columns
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store.files.blockcache import BlockCache
from istat_server.store.files.container import ROWS, BlockEntry, Container, unpack
from istat_server.store.files.containerwriter import ContainerWriter
from istat_server.store.files.statformat import Header, StatFileInfo


class StatFileWriter(ContainerWriter):
    """Writes one StatFile; finish() makes it appear."""

    def __init__(self, folder: str | os.PathLike[str], header: Header) -> None:
        self.header = header
        super().__init__(folder, header.name, header.encode())

    def finish(self) -> StatFileInfo:
        """Write index and footer, sync, give the file its name, sync the folder."""
        end = self.end()
        return StatFileInfo(self.path, self.header, end.size, end.rows, end.blocks, end.first_time, end.last_time)


class StatFile(Container):
    """One finished file of rows, open for reading; many threads may read at once.

    StoreCorrupt and NewerFormat as of any container; NewerFormat also for columns and kinds of rows that are not known.
    """

    payloads = (ROWS,)

    def __init__(self, path: str, fd: int, cache: BlockCache | None = None) -> None:
        super().__init__(path, fd)
        self._cache = cache

    def take_header(self, fields: Mapping[str, Any]) -> None:
        self.header = Header.of(fields, self.path)

    @staticmethod
    def open(path: str | os.PathLike[str], cache: BlockCache | None = None) -> StatFile:
        """Open and check header, footer and top index. `cache` keeps blocks that `read` unpacks."""
        return StatFile(os.fspath(path), ownfiles.descriptor(path, os.O_RDONLY, Use.PARTS), cache)

    def reader(self, entry: BlockEntry, once: bool = False) -> blocks.BlockReader:
        """Read, check and unpack one block; once: it is not wanted again soon (a merge)."""
        part = f"block at {entry.offset}"
        data = self._checked(entry.offset, entry.length, entry.crc, part, once)
        try:
            return blocks.BlockReader(unpack(data, entry), self.header.interval)
        except (ValueError, zstandard.ZstdError) as error:
            raise self._damage(part) from error

    def _cached(self, entry: BlockEntry) -> blocks.BlockReader:
        if self._cache is None:
            return self.reader(entry)
        key = (self.path, entry.offset)
        found = self._cache.get(key)
        if found is None:
            found = self.reader(entry)
            self._cache.put(key, found, entry.raw_length)
        return found

    def read(self, id: int, start: int, end: int, into: columns.Columns) -> int:
        """Append the rows of one id with start <= time < end, in time order; give how many.

        StoreCorrupt comes only after the rows of all sound blocks were appended.
        """
        added = 0
        damage: StoreCorrupt | None = None
        wanted: list[BlockEntry] = []
        try:
            for entry in self.entries(id, id):
                if entry.first_time < end and entry.last_time >= start:
                    wanted.append(entry)     # those before a damaged index page are wanted, too
        except StoreCorrupt as error:
            damage = error
        if len(wanted) > 1 and sum(entry.length for entry in wanted) > ownfiles.LONG:
            self.read_ahead(entry for entry in wanted if (self.path, entry.offset) not in (self._cache or ()))
        for entry in wanted:
            try:
                added += self._cached(entry).read(id, start, end, into)
            except StoreCorrupt as error:
                damage = error
            except ValueError:
                damage = self._damage(f"block at {entry.offset}")
        if damage is not None:
            raise damage
        return added

    def _verify_block(self, entry: BlockEntry, at: int) -> list[str]:
        try:
            reader = self.reader(entry, once=True)
            found = reader.runs()
            for id in sorted({id for id, _, _ in found}):
                reader.read(id, -(1 << 62), (1 << 62) + 1, columns.Columns())
        except (StoreError, ValueError):
            return [str(self._damage(f"block at {entry.offset}"))]
        rows = sum(rows for _, _, rows in found)
        if entry.offset != at or (rows, found[0][0], found[-1][0]) != (entry.rows, entry.first_id, entry.last_id):
            return [self._misplaced(entry)]
        return []
