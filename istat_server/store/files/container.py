"""A container: an immutable file of blocks keyed by ids, indexed and checksummed; docs/formats/statfile.md draws it.

Knows one file: its parts and their bytes, how it is read and checked, and what that does to the page cache;
`containerwriter` writes it. Does not know what blocks hold, nor what the header's text says but for `payload`, which
names that: `statfile` is the container of rows.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import zstandard

from istat.errors import StoreCorrupt, StoreError
from istat.pagecache import ownfiles
from istat_server.store.versions import NewerFormat

VERSION = 2  # of the header; 2 says what the payload is
READABLE = (1, 2)
MAGIC = b"istat.sf"
END_MAGIC = b"sf.istat"
ROWS = "rows"  # the payload of files of version 1, which do not say

PLAIN, ZSTD = 0, 1
MOST_HEADER = 1 << 20  # [bytes] a header is some hundred bytes and the names of replaced files
MOST_ID = (1 << 32) - 1  # of a counter
MOST_BLOCK = 1 << 28  # [bytes] bounds what a damaged index can make a reader allocate

PREFIX = struct.Struct("<8sHHI")  # magic, version, 0, bytes of JSON
ENTRY = struct.Struct("<IIQIIIIqqB3x")  # as BlockEntry
PAGE = struct.Struct("<IIQIIqq")  # as Page
FOOTER = struct.Struct("<QIIIIQQQqq")  # as Footer
END = struct.Struct("<I8s")  # CRC of the footer, end magic
CRC = struct.Struct("<I")
FOOTER_SIZE = FOOTER.size + END.size

CACHED_PAGES = 32  # index pages kept for each open file, 14 KB each


class BlockEntry(NamedTuple):
    """Where one block is and what it holds."""

    first_id: int
    last_id: int
    offset: int
    length: int
    raw_length: int
    rows: int
    crc: int
    first_time: int
    last_time: int
    codec: int


class Page(NamedTuple):
    first_id: int
    last_id: int
    offset: int
    length: int
    crc: int
    first_time: int
    last_time: int


class Footer(NamedTuple):
    top_offset: int
    top_length: int
    top_crc: int
    header_length: int
    header_crc: int
    rows: int
    blocks: int
    size: int
    first_time: int
    last_time: int


def span_of(entries: Iterable[BlockEntry | Page]) -> tuple[int, int]:
    """First and last time of all."""
    kept = list(entries)
    return min((e.first_time for e in kept), default=0), max((e.last_time for e in kept), default=0)


def header_bytes(fields: Mapping[str, object]) -> bytes:
    """A header's bytes, checksum included. `fields` is what JSON can hold, and has `payload`."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    head = PREFIX.pack(MAGIC, VERSION, 0, len(text)) + text
    return head + CRC.pack(zlib.crc32(head))


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


class Container:
    """One finished file, open for reading; many threads may read at once.

    StoreCorrupt: what was read is not what was written; the message names the file and the part. NewerFormat: what is
    in it is not known here.
    """

    #: Payloads that whoever opens the file can read.
    payloads: tuple[str, ...] = ()

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._lock = threading.Lock()
        self._readers = 0
        self._closed = False
        self._pages: OrderedDict[int, IndexPage] = OrderedDict()
        self.size = os.fstat(fd).st_size
        footer = self._read_footer()
        self.rows, self.block_count = footer.rows, footer.blocks
        self.first_time, self.last_time = footer.first_time, footer.last_time
        fields = self._read_header(footer)
        try:
            self.take_header(fields)
        except ValueError as error:
            raise self._damage("header") from error
        top = self._checked(footer.top_offset, footer.top_length, footer.top_crc, "top index")
        self._top = [Page(*fields) for fields in PAGE.iter_unpack(top)]
        self._last_ids = array("L", (page.last_id for page in self._top))

    def take_header(self, fields: Mapping[str, Any]) -> None:
        """What the header says, for whoever knows the payload. ValueError when it cannot be of it."""

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

    def _read_header(self, footer: Footer) -> dict[str, Any]:
        """What the header's text says. It has a payload that is known."""
        if not PREFIX.size + CRC.size <= footer.header_length <= min(MOST_HEADER, self.size):
            raise self._damage("header")
        data = self._checked(0, footer.header_length, footer.header_crc, "header")
        magic, version, _, length = PREFIX.unpack_from(data)
        if magic != MAGIC or PREFIX.size + length + CRC.size != len(data):
            raise self._damage("header")
        if version not in READABLE:
            raise NewerFormat(self.path, version, VERSION)
        if CRC.unpack_from(data, len(data) - CRC.size)[0] != zlib.crc32(data[: -CRC.size]):
            raise self._damage("header")
        try:
            fields = json.loads(data[PREFIX.size : -CRC.size])
        except ValueError as error:
            raise self._damage("header") from error
        if not isinstance(fields, dict):
            raise self._damage("header")
        if version == 1:
            fields.setdefault("payload", ROWS)
        if fields.get("payload") not in self.payloads:
            raise NewerFormat(self.path, f"{version} with the payload {fields.get('payload')}", VERSION)
        return fields

    def _damage(self, part: str) -> StoreCorrupt:
        return StoreCorrupt(f"{self.path}: {part} is damaged")

    def _begin_use(self) -> int:
        """The descriptor, which is not closed before `_end_use`. No context manager: those take a third as long as the
        read itself."""
        with self._lock:
            if self._closed:
                raise StoreError(f"{self.path}: is closed")
            self._readers += 1
            return self._fd

    def _end_use(self) -> None:
        with self._lock:
            self._readers -= 1
            self._close_if_unused()

    def read_ahead(self, entries: Iterable[BlockEntry]) -> None:
        """These blocks are about to be read: where they are much, the disk may begin."""
        fd = self._begin_use()
        try:
            ownfiles.read_ahead(fd, [(entry.offset, entry.length) for entry in entries])
        finally:
            self._end_use()

    def _pread(self, offset: int, length: int, part: str, once: bool = False) -> bytes:
        """Read exactly that, and, if once, without leaving it in the page cache."""
        fd = self._begin_use()
        try:
            data = ownfiles.read_once(fd, offset, length) if once else os.pread(fd, length, offset)
        except OSError as error:
            raise StoreCorrupt(f"{self.path}: {part} cannot be read: {error.strerror}") from error
        finally:
            self._end_use()
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

    def _page(self, number: int, once: bool = False) -> IndexPage:
        with self._lock:
            if number in self._pages:
                self._pages.move_to_end(number)
                return self._pages[number]
        page = self._top[number]
        data = self._checked(page.offset, page.length, page.crc, f"index page {number}", once)
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
            return unpack(data, entry)
        except (ValueError, zstandard.ZstdError) as error:
            raise self._damage(part) from error

    def blocks_for(self, first_id: int, last_id: int) -> list[BlockEntry]:
        """Entries of the blocks that may hold ids first_id..last_id, in the order of the file."""
        return list(self.entries(first_id, last_id))

    def verify(self, decoded: bool = True) -> list[str]:
        """Read every byte and decode every block; give what is wrong, nothing when all is sound. Not `decoded`: only
        whether all bytes are those that were written, by their checksums."""
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
                entries = self._page(number, once=True).from_id(0)
            except StoreError as error:
                return [*problems, str(error)]
            for entry in entries:
                problems += self._verify_block(entry, at) if decoded else self._verify_bytes(entry, at)
                at += entry.length
        for number, page in enumerate(self._top):
            if page.offset != at:
                problems.append(f"{self.path}: index page {number} does not stand where the one before ends")
            at += page.length
        return problems

    def _verify_block(self, entry: BlockEntry, at: int) -> list[str]:
        """What is wrong with a block that should stand at `at`. Whoever knows the payload decodes it, too."""
        try:
            self.block_bytes(entry)
        except StoreError as error:
            return [str(error)]
        return [] if entry.offset == at else [self._misplaced(entry)]

    def _verify_bytes(self, entry: BlockEntry, at: int) -> list[str]:
        try:
            self._checked(entry.offset, entry.length, entry.crc, f"block at {entry.offset}", once=True)
        except StoreError as error:
            return [str(error)]
        return [] if entry.offset == at else [self._misplaced(entry)]

    def _misplaced(self, entry: BlockEntry) -> str:
        return f"{self.path}: block at {entry.offset} is not what the index says"

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def unpack(data: bytes, entry: BlockEntry) -> bytes:
    """The block as it was coded. ValueError or ZstdError if it cannot be."""
    if entry.codec == PLAIN:
        return data
    if entry.codec != ZSTD or entry.raw_length > MOST_BLOCK:
        raise ValueError("unknown codec")
    if zstandard.frame_content_size(data) != entry.raw_length:
        raise ValueError("length differs")
    return zstandard.ZstdDecompressor().decompress(data)
