"""What a power cut leaves of a folder: notes of what a program did to its files, and folders made after them.

`Shim` builds powercut.c, beside this, and gives the environment in which a program is noted, killed between two
operations, or spoiled. `Disk` replays the notes up to any moment and makes a folder of what a disk may then hold: what
fsync and fdatasync promised, and of the rest nothing, a beginning, or anything. It is stricter than most file systems:
a name is there only after an fsync of its folder, a rename that was not synced happened or not, a write that was not
synced is there, torn, or zeros.
"""
from __future__ import annotations

import bisect
import enum
import os
import random
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_RECORD = struct.Struct("<c7xQQqqII")
SOURCE = Path(__file__).parent / "powercut.c"
TORN = 512              # what a disk writes whole [bytes]


class Shim:
    """The library, its notes and its faults. `root` is the folder it looks at."""

    def __init__(self, folder: Path, root: Path) -> None:
        """Builds it in `folder`. FileNotFoundError where there is no C compiler."""
        folder.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise FileNotFoundError("no C compiler")
        self.notes = folder / "notes"
        self._said = 0
        self._library, self._control, self._root = folder / "powercut.so", folder / "control", root
        subprocess.run([compiler, "-O1", "-fPIC", "-shared", "-o", str(self._library), str(SOURCE), "-lpthread"],
                       check=True)
        self.say()

    @property
    def environment(self) -> dict[str, str]:
        """Of a program that is to be noted."""
        return {"LD_PRELOAD": str(self._library), "POWERCUT_ROOT": str(self._root),
                "POWERCUT_LOG": str(self.notes), "POWERCUT_CONTROL": str(self._control)}

    def say(self, *lines: str) -> None:
        """What is to happen from now on: `die N` and `fault CALL PART ERRNO COUNT`; nothing ends it."""
        aside = self._control.with_suffix(".new")
        aside.write_text("".join(f"{line}\n" for line in lines))
        # The program reads it again when its time is another one. Real times go in ticks of some ms: what is said
        # twice within one would not be heard.
        self._said += 1
        os.utime(aside, (self._said, self._said))
        os.rename(aside, self._control)

    def fault(self, call: str, part: str, error: int, count: int = -1) -> None:
        """From now on the next `count` calls (open, write, sync, rename, link, unlink, truncate, mkdir, read) on
        paths that contain `part` fail."""
        self.say(f"fault {call} {part} {error} {count}")


@dataclass(frozen=True)
class Note:
    """One operation. `op`: C create, W write, T truncate, R rename, L link, U unlink, D mkdir, S and E sync."""

    op: str
    time: float             # monotonic [s]
    inode: int
    a: int
    b: int
    first: bytes
    second: bytes


def read_notes(path: Path) -> list[Note]:
    """All notes."""
    data = path.read_bytes()
    notes, at = [], 0
    while at < len(data):
        op, when, inode, a, b, first, second = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        notes.append(Note(op.decode(), when / 1e9, inode, a, b, data[at:at + first],
                          data[at + first:at + first + second]))
        at += first + second
    return notes


class Fate(enum.Enum):
    """What becomes of what was not synced."""

    NOTHING = "nothing"         # is kept
    BEGINNING = "beginning"     # what happened up to some moment, and a part of the next write
    ANY = "any"                 # each write and each change of names by itself


@dataclass
class Inode:
    """A file: what is safe, and the changes that are not yet: (offset, data), or (size, None) for a truncation; `at`
    has the place of each among all that happened."""

    safe: bytearray = field(default_factory=bytearray)
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    folder: bool = False

    def apply(self, changes: list[tuple[int, bytes | None]], to: bytearray) -> None:
        """Carry out changes."""
        for offset, data in changes:
            end = offset + len(data or b"")
            if len(to) < end:
                to.extend(bytes(end - len(to)))
            if data is None:
                del to[offset:]
            else:
                to[offset:end] = data


@dataclass
class Change:
    """Of names in folders: all of it happens or nothing. A name without an inode is gone."""

    number: int
    folders: set[str]           # that are still to be synced
    names: list[tuple[str, Inode | None]]


class Disk:
    """Notes, replayed one after the other."""

    def __init__(self, root: Path) -> None:
        """The folder that was noted; it and what is above it are safe."""
        self._root = str(root)
        self._inodes: dict[int, Inode] = {}
        self._names: dict[str, Inode] = {}              # safe
        self._pending: list[Change] = []
        self._changes = 0
        self._begun: dict[tuple[int, str], list[int]] = {}      # syncs under way: how much they will cover

    def replay(self, note: Note) -> None:
        """The next operation."""
        path, target = note.first.decode(errors="replace"), note.second.decode(errors="replace")
        if note.op in "CD":
            self._inodes[note.inode] = Inode(folder=note.op == "D")
            self._change(note.inode, path)
        elif note.op == "W":
            self._write(note.inode, (note.a, note.first))
        elif note.op == "T":
            self._write(note.inode, (note.a, None))
        elif note.op == "R":
            self._change(note.inode, target, gone=path)
        elif note.op == "L":
            self._change(note.inode, target)
        elif note.op == "U":
            self._add([(path, None)])
        elif note.op == "S":
            inode = self._inodes.get(note.inode)
            covered = len(inode.changes) if inode and not inode.folder else self._changes
            self._begun.setdefault((note.inode, path), []).append(covered)
        elif note.op == "E":
            self._synced(note, path)

    def _write(self, inode: int, change: tuple[int, bytes | None]) -> None:
        self._changes += 1
        self._inodes[inode].changes.append(change)
        self._inodes[inode].at.append(self._changes)

    def _change(self, inode: int, path: str, gone: str = "") -> None:
        names: list[tuple[str, Inode | None]] = [(gone, None)] if gone else []
        names.append((path, self._inodes.setdefault(inode, Inode())))
        self._add(names)

    def _add(self, names: list[tuple[str, Inode | None]]) -> None:
        self._changes += 1
        self._pending.append(Change(self._changes, {os.path.dirname(name) for name, _ in names}, names))

    def _synced(self, note: Note, path: str) -> None:
        covered = self._begun[note.inode, path].pop(0)
        if note.b:
            return
        inode = self._inodes.get(note.inode)
        if inode is not None and not inode.folder:
            inode.apply(inode.changes[:covered], inode.safe)
            del inode.changes[:covered]
            del inode.at[:covered]
            self._begun = {key: [max(0, one - covered) if key[0] == note.inode else one for one in waiting]
                           for key, waiting in self._begun.items()}
            return
        kept = []
        for change in self._pending:
            if change.number <= covered:
                change.folders.discard(path)
            if change.folders:
                kept.append(change)
            else:
                self._happen(change, self._names)
        self._pending = kept

    @staticmethod
    def _happen(change: Change, names: dict[str, Inode]) -> None:
        for name, inode in change.names:
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode

    def write(self, where: Path, fate: Fate, rng: random.Random) -> None:
        """Make a folder `where` of what the disk may hold after a power cut now."""
        names = dict(self._names)
        waiting = [change.number for change in self._pending]
        waiting += [at for inode in self._inodes.values() for at in inode.at]
        until = rng.randint(min(waiting, default=0), self._changes)
        for change in self._pending:
            if fate is Fate.ANY and rng.random() < 0.5 or fate is Fate.BEGINNING and change.number < until:
                self._happen(change, names)
        where.mkdir(parents=True)
        for name in sorted(names):
            path = where / name[len(self._root):].lstrip("/")
            if names[name].folder:
                path.mkdir(exist_ok=True, parents=False) if path.parent.is_dir() else None
            elif path.parent.is_dir():
                path.write_bytes(_contents(names[name], fate, until, rng))


def _contents(inode: Inode, fate: Fate, until: int, rng: random.Random) -> bytes:
    """What a file may hold."""
    found = bytearray(inode.safe)
    changes = list(inode.changes)
    if fate is Fate.BEGINNING:
        kept = bisect.bisect_right(inode.at, until)
        changes = changes[:kept]
        if kept and inode.at[kept - 1] == until:
            offset, data = changes[-1]
            changes[-1] = (offset, data[:rng.randint(0, len(data))] if data is not None else None)
    elif fate is Fate.ANY:
        changes = [torn for change in changes for torn in _torn(*change, rng)]
    elif fate is Fate.NOTHING:
        changes = []
    inode.apply(changes, found)
    return bytes(found)


def _torn(offset: int, data: bytes | None, rng: random.Random) -> list[tuple[int, bytes | None]]:
    """Nothing of a write, all of it, or some sectors of it (and zeros, where its end was kept)."""
    chance = rng.random()
    if chance < 0.3:
        return []
    if data is None or chance < 0.6:
        return [(offset, data)]
    cuts = [0, *range(TORN - offset % TORN, len(data), TORN), len(data)]
    return [(offset + start, data[start:end]) for start, end in zip(cuts, cuts[1:]) if rng.random() < 0.6]

