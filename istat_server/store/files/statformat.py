"""The format of StatFiles: header, index entries, footer and their bytes; docs/formats/statfile.md draws it.

Knows bytes, no files. `statfile` writes and reads files of this format.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

VERSION = 1
SUFFIX = ".statfile"
MAGIC = b"istat.sf"
END_MAGIC = b"sf.istat"
KINDS = ("fine", "direct", "derived", "settled")
#: What a row is made of, in the order in which the kernels have it. A level may carry more one day.
COLUMNS = ("time:int64", "count:int64", "sum:double", "m2:double24", "min:double", "max:double")

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


@dataclass(frozen=True)
class Header:
    """What a StatFile is. Times are Unix seconds, start <= t < end; sequences as in the store's manifest."""

    store: str
    policy: str
    level: int
    kind: str  # fine, direct, derived or settled
    interval: int
    start: int
    end: int
    seq_lo: int
    seq_hi: int
    part: int = 0  # a number that no other file of the store has
    ids: int = -1  # id >> blocks.ID_BITS of all ids in it; -1: a file from before they were split by that
    replaces: tuple[str, ...] = ()
    columns: tuple[str, ...] = COLUMNS

    @property
    def name(self) -> str:
        """The file's name: unique as long as sequences are."""
        ids = f".{self.ids}" if self.ids > 0 else ""
        return f"{self.start}-{self.end}-{self.seq_lo}-{self.seq_hi}-{self.kind}-{self.part}{ids}{SUFFIX}"

    def encode(self) -> bytes:
        """The header's bytes, checksum included."""
        fields = asdict(self)
        if self.ids < 0:
            del fields["ids"]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        head = PREFIX.pack(MAGIC, VERSION, 0, len(text)) + text
        return head + CRC.pack(zlib.crc32(head))

    @staticmethod
    def decode(data: bytes) -> Header:
        """From the JSON text; keys that a later version added are passed over. ValueError if it is none."""
        fields = json.loads(data)
        known = Header.__dataclass_fields__
        if not isinstance(fields, dict) or fields.get("kind") not in KINDS:
            raise ValueError("no StatFile header")
        kept: dict[str, Any] = {key: value for key, value in fields.items() if key in known}
        for key in ("replaces", "columns"):
            kept[key] = tuple(kept.get(key, ()))
        try:
            return Header(**kept)
        except TypeError as error:
            raise ValueError(str(error)) from error


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


@dataclass(frozen=True)
class StatFileInfo:
    """A file that was finished."""

    path: str
    header: Header
    size: int
    rows: int
    blocks: int
    first_time: int  # of the first and of the last bucket
    last_time: int


def span_of(entries: Iterable[BlockEntry | Page]) -> tuple[int, int]:
    """First and last time of all."""
    kept = list(entries)
    return min((e.first_time for e in kept), default=0), max((e.last_time for e in kept), default=0)
