"""StatFiles: immutable files of coded blocks, indexed and checksummed; docs/formats/statfile.md draws them.

Knows one file: how it is written so that it is there whole or not at all, how it is read and checked, and
what its pages do to the page cache. Does not know which files are live, nor what levels or counters mean.
"""

from __future__ import annotations

import errno
import os
import threading
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from types import TracebackType

import zstandard

from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat.kernels import blocks, columns
from istat_server.store.files.blockcache import BlockCache
from istat_server.store.files.statformat import (
    COLUMNS,
    CRC,
    END,
    END_MAGIC,
    ENTRY,
    FOOTER,
    FOOTER_SIZE,
    MAGIC,
    MOST_BLOCK,
    MOST_HEADER,
    PAGE,
    PLAIN,
    PREFIX,
    SUFFIX,
    VERSION,
    ZSTD,
    BlockEntry,
    Footer,
    Header,
    Page,
    StatFileInfo,
    span_of,
)  # fmt: skip
from istat_server.store.files.versions import NewerFormat

__all__ = [
    "COLUMNS", "SUFFIX", "BlockEntry", "Header", "StatFile", "StatFileInfo", "StatFileWriter", "open_advised",
    "sync_folder",
]  # fmt: skip

ZSTD_LEVEL = 1  # higher levels gain under 1 % on coded runs
WORTH_PACKING = 0.97  # a block is stored packed only when that saves more than 3 %
UNTRIED_BLOCKS = 7  # packing costs as much as coding; blocks of one file are much alike
PAGE_ENTRIES = 256  # blocks in an index page: 13 KB, one read
CACHED_PAGES = 32  # index pages kept for each open file, 14 KB each
RWF_DONTCACHE = 0x80  # preadv2: leave nothing in the page cache (Linux 6.14; refused before)


def open_advised(path: str, writing: bool = False) -> int:
    """Open a StatFile; the one place where that is done, so that none is opened without its advice.

    For reading: no read-ahead, since a query reads one index page and one block. For writing: none while
    it grows; StatFileWriter.finish drops the pages once they are on disk.
    """
    if writing:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    return fd


class StatFileWriter:
    """Writes one StatFile aside; finish() makes it appear. Leaving a `with` by an exception aborts it.

    StoreFull when the disk is full; ids must not descend from block to block.
    """

    def __init__(self, folder: str | os.PathLike[str], header: Header) -> None:
        self.header = header
        self.path = os.path.join(folder, header.name)
        self._folder = os.fspath(folder)
        self._aside = os.path.join(folder, f".{header.name}.tmp")
        self._entries: list[BlockEntry] = []
        self._packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._offset = 0
        self._untried = 0
        self._fd = open_advised(self._aside, writing=True)
        self._head = header.encode()
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

    def add(self, finished: Iterable[blocks.Block], compress: bool = False) -> None:
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

    def finish(self) -> StatFileInfo:
        """Write index and footer, sync, give the file its name, sync the folder."""
        top = b"".join(self._write_page(at) for at in range(0, len(self._entries), PAGE_ENTRIES))
        rows = sum(entry.rows for entry in self._entries)
        first_time, last_time = span_of(self._entries)
        size = self._offset + len(top) + FOOTER_SIZE
        footer = FOOTER.pack(
            self._offset, len(top), zlib.crc32(top), len(self._head), zlib.crc32(self._head),
            rows, len(self._entries), size, first_time, last_time,
        )  # fmt: skip
        self._write(top + footer + END.pack(zlib.crc32(footer), END_MAGIC))
        try:
            os.fdatasync(self._fd)
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
            self._close()
            os.rename(self._aside, self.path)
            sync_folder(self._folder)
        except OSError as error:
            raise _full(error, self.path) from error
        return StatFileInfo(self.path, self.header, size, rows, len(self._entries), first_time, last_time)

    def _write_page(self, at: int) -> bytes:
        """Write one index page; give its entry of the top index."""
        entries = self._entries[at : at + PAGE_ENTRIES]
        page = b"".join(ENTRY.pack(*entry) for entry in entries)
        ids = entries[0].first_id, entries[-1].last_id
        made = PAGE.pack(*ids, self._offset, len(page), zlib.crc32(page), *span_of(entries))
        self._write(page)
        return made

    def abort(self) -> None:
        """Forget the file; does nothing after finish()."""
        self._close()
        if os.path.exists(self._aside):
            os.unlink(self._aside)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> StatFileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _full(error: OSError, path: str) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{path}: the disk is full; free some space, the server goes on by itself")
    return StoreError(f"{path}: {error.strerror}")


class IndexPage:
    """The entries of some hundred blocks, as they stand in the file; unpacked when asked for."""

    __slots__ = ("_data", "_last_ids")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._last_ids = array("L", (fields[1] for fields in ENTRY.iter_unpack(data)))

    def from_id(self, id: int) -> Iterator[BlockEntry]:
        """The entries from the first block on that may hold `id`."""
        for at in range(bisect_left(self._last_ids, id), len(self._last_ids)):
            yield BlockEntry(*ENTRY.unpack_from(self._data, at * ENTRY.size))


class StatFile:
    """One finished file, open for reading; many threads may read at once.

    StoreCorrupt: what was read is not what was written; the message names the file and the part.
    """

    def __init__(self, path: str, fd: int, cache: BlockCache | None = None) -> None:
        self.path = path
        self._fd = fd
        self._cache = cache
        self._lock = threading.Lock()
        self._readers = 0
        self._closed = False
        self._pages: OrderedDict[int, IndexPage] = OrderedDict()
        self.size = os.fstat(fd).st_size
        footer = self._read_footer()
        self.rows, self.block_count = footer.rows, footer.blocks
        self.first_time, self.last_time = footer.first_time, footer.last_time
        self.header = self._read_header(footer)
        top = self._checked(footer.top_offset, footer.top_length, footer.top_crc, "top index")
        self._top = [Page(*fields) for fields in PAGE.iter_unpack(top)]
        self._last_ids = array("L", (page.last_id for page in self._top))

    @staticmethod
    def open(path: str | os.PathLike[str], cache: BlockCache | None = None) -> StatFile:
        """Open and check header, footer and top index. `cache` keeps blocks that `read` unpacks."""
        return StatFile(os.fspath(path), open_advised(os.fspath(path)), cache)

    def _read_footer(self) -> Footer:
        if self.size < FOOTER_SIZE:
            raise self._damage("footer")
        data = self._pread(self.size - FOOTER_SIZE, FOOTER_SIZE, "footer")
        crc, magic = END.unpack_from(data, FOOTER.size)
        footer = Footer(*FOOTER.unpack_from(data))
        sound = magic == END_MAGIC and crc == zlib.crc32(data[: FOOTER.size])
        top_end = footer.top_offset + footer.top_length
        if not sound or footer.size != self.size or top_end + FOOTER_SIZE != self.size:
            raise self._damage("footer")
        if footer.top_length % PAGE.size:
            raise self._damage("footer")
        return footer

    def _read_header(self, footer: Footer) -> Header:
        if not PREFIX.size + CRC.size <= footer.header_length <= min(MOST_HEADER, self.size):
            raise self._damage("header")
        data = self._checked(0, footer.header_length, footer.header_crc, "header")
        magic, version, _, length = PREFIX.unpack_from(data)
        if magic != MAGIC or PREFIX.size + length + CRC.size != len(data):
            raise self._damage("header")
        if version != VERSION:
            raise NewerFormat(self.path, version, VERSION)
        if CRC.unpack_from(data, len(data) - CRC.size)[0] != zlib.crc32(data[: -CRC.size]):
            raise self._damage("header")
        try:
            return Header.decode(data[PREFIX.size : -CRC.size])
        except ValueError as error:
            raise self._damage("header") from error

    def _damage(self, part: str) -> StoreCorrupt:
        return StoreCorrupt(f"{self.path}: {part} is damaged")

    def _pread(self, offset: int, length: int, part: str, once: bool = False) -> bytes:
        """Read exactly that, and, if once, without leaving it in the page cache where the kernel can."""
        with self._lock:
            if self._closed:
                raise StoreError(f"{self.path}: is closed")
            self._readers += 1
        try:
            data = _read_once(self._fd, offset, length) if once else os.pread(self._fd, length, offset)
        except OSError as error:
            raise StoreCorrupt(f"{self.path}: {part} cannot be read: {error.strerror}") from error
        finally:
            with self._lock:
                self._readers -= 1
                self._close_if_unused()
        if len(data) != length:
            raise self._damage(part)
        return data

    def _checked(self, offset: int, length: int, crc: int, part: str, once: bool = False) -> bytes:
        if offset + length > self.size or length > MOST_BLOCK:
            raise self._damage(part)
        data = self._pread(offset, length, part, once)
        if zlib.crc32(data) != crc:
            raise self._damage(part)
        return data

    def _page(self, number: int) -> IndexPage:
        with self._lock:
            if number in self._pages:
                self._pages.move_to_end(number)
                return self._pages[number]
        page = self._top[number]
        data = self._checked(page.offset, page.length, page.crc, f"index page {number}")
        if page.length % ENTRY.size:
            raise self._damage(f"index page {number}")
        entries = IndexPage(data)
        with self._lock:
            self._pages[number] = entries
            while len(self._pages) > CACHED_PAGES:
                self._pages.popitem(last=False)
        return entries

    def entries(self, first_id: int, last_id: int) -> Iterator[BlockEntry]:
        """Walk the entries of blocks that may hold ids first_id..last_id, reading index pages as it goes."""
        for number in range(bisect_left(self._last_ids, first_id), len(self._top)):
            if self._top[number].first_id > last_id:
                return
            for entry in self._page(number).from_id(first_id):
                if entry.first_id > last_id:
                    return
                yield entry

    @property
    def page_count(self) -> int:
        """How many index pages there are."""
        return len(self._top)

    def page_entries(self, number: int) -> list[BlockEntry]:
        """The entries of one index page. StoreCorrupt when it is damaged; others may be whole."""
        return list(self._page(number).from_id(0))

    def block_bytes(self, entry: BlockEntry) -> bytes:
        """One block as it was coded, checked and unpacked. StoreCorrupt when it is damaged."""
        part = f"block at {entry.offset}"
        data = self._checked(entry.offset, entry.length, entry.crc, part, once=True)
        try:
            return _unpack(data, entry)
        except (ValueError, zstandard.ZstdError) as error:
            raise self._damage(part) from error

    def blocks_for(self, first_id: int, last_id: int) -> list[BlockEntry]:
        """Entries of the blocks that may hold ids first_id..last_id, in the order of the file."""
        return list(self.entries(first_id, last_id))

    def reader(self, entry: BlockEntry, once: bool = False) -> blocks.BlockReader:
        """Read, check and unpack one block; once: it is not wanted again soon (a merge)."""
        part = f"block at {entry.offset}"
        data = self._checked(entry.offset, entry.length, entry.crc, part, once)
        try:
            return blocks.BlockReader(_unpack(data, entry), self.header.interval)
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
        for entry in self.entries(id, id):
            if entry.first_time < end and entry.last_time >= start:
                try:
                    added += self._cached(entry).read(id, start, end, into)
                except StoreCorrupt as error:
                    damage = error
                except ValueError:
                    damage = self._damage(f"block at {entry.offset}")
        if damage is not None:
            raise damage
        return added

    def verify(self) -> list[str]:
        """Read every byte and decode every run; give what is wrong, nothing when all is sound."""
        problems: list[str] = []
        try:
            footer = self._read_footer()
            at = footer.header_length
            self._read_header(footer)
            self._checked(footer.top_offset, footer.top_length, footer.top_crc, "top index")
        except StoreError as error:
            return [str(error)]
        for number in range(len(self._top)):
            try:
                self._pages.pop(number, None)
                entries = self._page(number).from_id(0)
            except StoreError as error:
                return [*problems, str(error)]
            for entry in entries:
                problems += self._verify_block(entry, at)
                at += entry.length
        for number, page in enumerate(self._top):
            if page.offset != at:
                problems.append(f"{self.path}: index page {number} does not stand where the one before ends")
            at += page.length
        return problems

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
            return [f"{self.path}: block at {entry.offset} is not what the index says"]
        return []

    def __del__(self) -> None:
        # A file that left the MANIFEST closes when the last question that still uses it is answered.
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        """Close the file once no thread reads it; reading after that is a StoreError."""
        with self._lock:
            self._closed = True
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._closed and self._readers == 0 and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> StatFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_once(fd: int, offset: int, length: int) -> bytes:
    """Read without filling the page cache; older kernels refuse that, and read as ever."""
    buffer = bytearray(length)
    try:
        got = os.preadv(fd, [buffer], offset, RWF_DONTCACHE)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        return os.pread(fd, length, offset)
    return bytes(buffer[:got])


def _unpack(data: bytes, entry: BlockEntry) -> bytes:
    """The block as it was coded. ValueError or ZstdError if it cannot be."""
    if entry.codec == PLAIN:
        return data
    if entry.codec != ZSTD or entry.raw_length > MOST_BLOCK:
        raise ValueError("unknown codec")
    if zstandard.frame_content_size(data) != entry.raw_length:
        raise ValueError("length differs")
    return zstandard.ZstdDecompressor().decompress(data)
