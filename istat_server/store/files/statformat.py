"""The row format's half of a StatFile's header: what its rows are, and which; docs/formats/statfile.md says more.

Knows no bytes and no files. `container` writes and reads headers, `statfile` files of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from istat_server.store.files.container import ROWS, VERSION, header_bytes
from istat_server.store.versions import NewerFormat

SUFFIX = ".statfile"
KINDS = ("fine", "direct", "derived", "settled")
#: What a row is made of, in the order in which the kernels have it. A level may carry more one day.
COLUMNS = ("time:int64", "count:int64", "sum:double", "m2:double24", "min:double", "max:double")


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
    payload: str = ROWS

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
        return header_bytes(fields)

    @staticmethod
    def of(fields: Mapping[str, Any], path: str) -> Header:
        """From what a container's header says; keys that a later version added are passed over. ValueError if it is
        none of rows, NewerFormat when rows of that kind, or what they are made of, are not known: to go on without a
        column would lose it with the next merge."""
        kept: dict[str, Any] = {key: value for key, value in fields.items() if key in Header.__dataclass_fields__}
        for key in ("replaces", "columns"):
            kept[key] = tuple(kept.get(key, ()))
        try:
            header = Header(**kept)
        except TypeError as error:
            raise ValueError(str(error)) from error
        if header.kind not in KINDS:
            raise NewerFormat(path, f"{VERSION} with the kind {header.kind}", VERSION)
        if not header.columns:
            raise ValueError("rows without columns")
        if header.columns != COLUMNS:
            unknown = [column for column in header.columns if column not in COLUMNS] or header.columns
            raise NewerFormat(path, f"{VERSION} with the columns {', '.join(map(str, unknown))}", VERSION)
        return header


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
