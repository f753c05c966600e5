"""Snapshots: which pages of which files were in memory, kept in a file (docs/formats/residency-snapshot.md), compared
with what is there now, and brought back. Knows no command line."""

from __future__ import annotations

import base64
import binascii
import errno
import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from istat.access.replacing import replacing
from istat.errors import SnapshotError
from istat.pagecache import ranges as page_ranges
from istat.pagecache import syscalls
from istat.pagecache.advising import check_memory, piece_of
from istat.pagecache.ranges import Ranges
from istat.pagecache.residency import opened
from istat.pagecache.syscalls import PAGE

FORMAT, VERSION = "residency-snapshot", 1
GZIP_MAGIC = b"\x1f\x8b"
# Of a line, and of all names and pages: a hostile file shall not fill the memory. 300,000 files have some 60 MB.
MOST_BYTES, MOST_TEXT = 1 << 24, 1 << 30
MOST_NAME = 8192            # bytes of a file's name: Linux opens 4096 (PATH_MAX) from a folder whose name has as many
ENTRY_BYTES = 300           # of memory that a file takes beside its name and its pages


class Entry(NamedTuple):
    """A file: its absolute name (as os.fsdecode gives it), its size [bytes], its resident pages."""

    path: str
    size: int
    ranges: Ranges


@dataclass(frozen=True)
class Snapshot:
    """What was read. `time`: Unix seconds. The files' pages are kept as text, which needs a fraction of the memory."""

    time: float
    texts: dict[str, tuple[int, str]]

    def __len__(self) -> int:
        return len(self.texts)

    def entries(self) -> Iterator[Entry]:
        """All files, in the order of the snapshot."""
        for path, (size, text) in self.texts.items():
            yield Entry(path, size, page_ranges.parse(text))

    def of(self, path: str) -> Entry | None:
        """A file by its name; None when it was not there."""
        found = self.texts.get(os.path.abspath(path))
        return None if found is None else Entry(path, found[0], page_ranges.parse(found[1]))


class Change(NamedTuple):
    """Of one file: the pages that came into memory, those that went, and how many stayed."""

    path: str
    came: Ranges
    went: Ranges
    stayed: int

    @property
    def churn(self) -> float:
        """The share of pages that are not in memory both times, of those that are in at least one of them: 0..1."""
        moved = page_ranges.count(self.came) + page_ranges.count(self.went)
        return moved / (moved + self.stayed) if moved else 0.0


def change(path: str, before: Ranges, after: Ranges) -> Change:
    """What happened to a file between two times."""
    came, went = page_ranges.without(after, before), page_ranges.without(before, after)
    return Change(path, came, went, page_ranges.count(before) - page_ranges.count(went))


def save(path: str | os.PathLike[str], entries: Iterable[Entry], now: float) -> tuple[int, int]:
    """Write a snapshot; `now`: Unix seconds. Returns (files, pages). OSError, and SnapshotError where there is no plain
    file; what was there before stays then."""
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise SnapshotError(f"{path} is no plain file, and would be replaced: name another place")
    with replacing(path, "snapshot") as file:
        if place.suffix == ".gz":
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                counts = _written(packed, entries, now)
        else:
            counts = _written(file, entries, now)
    _sync_folder(place.parent)
    return counts


def load(path: str | os.PathLike[str]) -> Snapshot:
    """Read a snapshot. SnapshotError when it is none, is cut off, or is of a machine with other pages; OSError."""
    try:
        with open(path, "rb") as file:
            if not file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):       # a pipe cannot be wound back
                return _read(file)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SnapshotError(f"{path}: it is packed, and damaged or cut off ({error})") from error
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error}") from None


def restore(entry: Entry) -> int:
    """Ask the kernel to read the pages of a file that were in memory; those that are, stay. Returns how many pages were
    asked for: fewer where the file has become shorter. They come while the caller goes on. OSError."""
    if not stat.S_ISREG(os.stat(entry.path).st_mode):       # opening a device may already do something
        raise OSError(errno.EINVAL, "it is no plain file any more")
    handle = opened(entry.path)
    try:
        last = -(-os.fstat(handle).st_size // PAGE) - 1
        wanted = page_ranges.clipped(entry.ranges, 0, last)
        check_memory(page_ranges.count(wanted))
        # In pieces: of more than the device reads ahead the kernel reads only the beginning.
        step = piece_of(handle) // PAGE
        for first, end in wanted:
            for page in range(first, end + 1, step):
                many = min(step, end + 1 - page)
                syscalls.fadvise(handle, page * PAGE, many * PAGE, os.POSIX_FADV_WILLNEED)
        return page_ranges.count(wanted)
    finally:
        os.close(handle)


def named(path: str) -> dict[str, str]:
    """A file's name in JSON: `path`, and its bytes as `path_base64` where they are no UTF-8."""
    data = os.fsencode(path)
    try:
        return {"path": data.decode()}
    except UnicodeDecodeError:
        return {"path": data.decode(errors="replace"), "path_base64": base64.b64encode(data).decode()}


def _written(file: IO[bytes] | gzip.GzipFile, entries: Iterable[Entry], now: float) -> tuple[int, int]:
    files = pages = 0

    def put(line: dict[str, Any]) -> None:
        file.write(json.dumps(line).encode() + b"\n")

    put({"format": FORMAT, "version": VERSION, "page_size": PAGE, "time": now})
    for one in entries:
        put({**named(os.path.abspath(one.path)), "size": one.size, "ranges": page_ranges.text(one.ranges)})
        files, pages = files + 1, pages + page_ranges.count(one.ranges)
    put({"end": True, "files": files, "pages": pages})
    return files, pages


def _read(file: IO[bytes] | gzip.GzipFile) -> Snapshot:
    head = _line(file)
    if head is None or head.get("format") != FORMAT:
        raise SnapshotError("it is no snapshot of fincore --save")
    if head.get("version") != VERSION:
        raise SnapshotError(f"it has version {head.get('version')!r}; this program reads {VERSION}")
    if head.get("page_size") != PAGE:
        raise SnapshotError(f"it was made on a machine with pages of {head.get('page_size')!r} bytes; here they have "
                            f"{PAGE}")
    time = _number(head, "time")
    texts: dict[str, tuple[int, str]] = {}
    files = pages = length = 0
    while (line := _line(file)) is not None:
        if "end" in line:
            if (line.get("files"), line.get("pages")) != (files, pages):
                raise SnapshotError(f"it ends with {line.get('files')!r} files and {line.get('pages')!r} pages, and "
                                    f"has {files} and {pages}")
            if file.read(1):        # which also asks gzip whether its checksum is right
                raise SnapshotError("something stands behind its last line")
            return Snapshot(time, texts)
        path, text, many = _file(line)
        files, pages = files + 1, pages + many
        length += len(path) + len(text) + ENTRY_BYTES
        if length > MOST_TEXT:
            raise SnapshotError(f"its names and pages are more than {MOST_TEXT} bytes: save fewer files in each")
        texts[path] = (int(_number(line, "size")), text)
    raise SnapshotError("it is cut off: its last line is missing")


def _file(line: dict[str, Any]) -> tuple[str, str, int]:
    """(path, ranges, how many pages these are) of a line."""
    path, text = _path(line), line.get("ranges")
    try:
        return path, str(text), page_ranges.count(page_ranges.parse(text if isinstance(text, str) else "?"))
    except ValueError as error:
        raise SnapshotError(f"the file {path!r} in it: {error}") from None


def _line(file: IO[bytes] | gzip.GzipFile) -> dict[str, Any] | None:
    """The next line; None at the end."""
    data = file.readline(MOST_BYTES + 1)
    if not data:
        return None
    if len(data) > MOST_BYTES:
        raise SnapshotError(f"it has a line of more than {MOST_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not data.endswith(b"\n"):
        raise SnapshotError("it has a line that is no object of JSON, or only part of one")
    return found


def _number(line: dict[str, Any], key: str) -> float:
    value = line.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 63:
        raise SnapshotError(f"its {key} is {value!r}")
    return value


def _path(line: dict[str, Any]) -> str:
    try:
        coded = line.get("path_base64")
        data = os.fsencode(line.get("path", "")) if coded is None else base64.b64decode(coded, validate=True)
        if not data.startswith(b"/") or b"\0" in data or len(data) > MOST_NAME:
            raise ValueError
        return os.fsdecode(data)
    except (ValueError, TypeError, binascii.Error):
        raise SnapshotError("it has a file without a name that a file could have") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
