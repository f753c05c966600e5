"""A tree of ring files on one side of a transplant: which files there are, what they hold, what they lack.

A bucket that holds something is never changed. Knows files, no network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from istat.errors import UsageError
from istat_server.foreign import ringedit
from istat_server.foreign.ring import Bucket
from istat_server.foreign.ringedit import Edit, Mode
from istat_server.foreign.source import Problems, walk
from istat_server.store.files.manifest import NAME as MANIFEST
from istat_server.tools.ring.transplant.messages import AROUND, Message, slots

MOST_FILES = 5_000_000


class Tree:
    """The files below a folder, found once. `totals`: what became of buckets and files."""

    def __init__(self, root: Path) -> None:
        """UsageError when it is none, is a store of ours, or a process writes to one of its files."""
        if (root / MANIFEST).is_file():
            raise UsageError(f"{root} is a store of ours, which has no ring files: istat export --format istatd makes "
                             "some of it, and istat import takes them")
        if not root.is_dir():
            raise UsageError(f"there is no folder {root}")
        self.totals: Counter[str] = Counter()
        self._files: dict[bytes, Path] = {}
        largest = 0
        problems = Problems()
        for found in walk(root, problems):
            if ringedit.open_elsewhere(found.path):
                raise UsageError(f"{found.path} is open for writing in another process: end that daemon first")
            self._files[b"/".join(found.parts)] = found.path
            largest = max(largest, found.size)
            if len(self._files) > MOST_FILES:
                raise UsageError(f"{root} has more than {MOST_FILES:,} files: take a part of it")
        self.totals.update(unreadable=problems.counts["unreadable"])
        self.most_message = largest + AROUND    # [bytes] what the other side can have to say of any of them

    def __len__(self) -> int:
        """How many files."""
        return len(self._files)

    def paths(self) -> Iterator[bytes]:
        """The files by their paths below the root, those of a folder one after the other."""
        return iter(self._files)

    def file(self, path: bytes) -> Path | None:
        """The file that was found by this path; None when there was none."""
        return self._files.get(path.removeprefix(b"/"))


def held(edit: Edit, path: bytes, start: int, end: int) -> Message:
    """What a file has of a range, for the other side."""
    return Message(path, start, end, slots(edit.buckets(start, end)))


def lacking(edit: Edit, message: Message) -> Message:
    """What a file has where the other side has nothing: the answer to its message."""
    theirs = {bucket.time for bucket in message.buckets()}
    mine = (bucket for bucket in edit.buckets(message.start, message.end) if bucket.time not in theirs)
    return message._replace(slots=slots(mine))


def fill(edit: Edit, message: Message, now: float) -> Counter[str]:
    """Put what came into empty buckets; what became of it. Refused: of another time than said or than buckets begin
    at, of the future, or with numbers that no bucket has."""
    totals: Counter[str] = Counter()
    for bucket in sorted(message.buckets(), key=_time):
        if not (message.start <= bucket.time < message.end and bucket.time <= now and ringedit.sound(bucket)
                and bucket.time == edit.start(bucket.time)):
            totals["refused"] += 1
        elif not edit.holds(bucket.time):
            totals["too_old"] += 1
        else:
            totals["filled" if edit.put(bucket, Mode.IF_EMPTY) else "kept"] += 1
    return totals


def _time(bucket: Bucket) -> int:
    return bucket.time
