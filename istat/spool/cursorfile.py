"""The file of a cursor: how far a group is and what of it is in doubt, as bytes. Format: docs/formats/spool.md."""
from __future__ import annotations

import logging
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

try:        # the same without OpenSSL, which hashlib brings: 3 MB of the agent's memory
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

from istat.spool.losses import REASONS, Tally
from istat.spool.slots import Slots

log = logging.getLogger(__name__)

MAGIC = b"ISTATCUR"
SUFFIX = ".cursor"
ROOM = 24 << 10         # [bytes] of a slot, in which all these have room:
MOST_ENTRIES = 384      # frames in doubt and refused ones, of all members of a group
MOST_AGAIN = 128        # frames that were given up and stand at the end once more
MOST_MEMBERS = 16       # at which something is in doubt at a time
MOST_NAME = 1024        # [bytes] of a group's name
MOST_MEMBER = 255       # [bytes] of a member's

_STATE = struct.Struct("<QQQQQ")    # next; frames and lines before it; first sequence of its segment, and where in it
_REST = struct.Struct(f"<Q{2 * len(REASONS)}Q")   # trusted; what was lost
_SIZE = struct.Struct("<H")
_ENTRY = struct.Struct("<QIqQ")     # sequence, lines, clock, where in its segment (NOWHERE: not known)
_MERGED = struct.Struct("<QQ")      # sequence, frames of which it was made
_MOST_LINES = (1 << 32) - 1
NOWHERE = (1 << 64) - 1


class Entry(NamedTuple):
    """A frame that is in doubt, or was refused. `at`: where in its segment, negative: not known. `frames` and
    `holds`: for how many frames and lines it stands, where it was merged."""

    sequence: int
    holds: int      # lines
    clock: int
    at: int
    frames: int = 1


@dataclass
class State:
    """How far a group is. What is at the member "" was refused, and is sent again. `again`: frames for this group
    alone, which are still to come; all others of that kind were left by a kill and are not sent, but for those up to
    the sequence `trusted`, which are when it is not known what `again` was."""

    next: int = 1
    frames: int = 0
    lines: int = 0
    segment: int = 0
    at: int = 0
    members: dict[str, list[Entry]] = field(default_factory=dict)
    again: list[Entry] = field(default_factory=list)
    trusted: int = 0
    lost: Tally = field(default_factory=Tally)


def group_key(name: str) -> int:
    """A group as a number, which heads of frames and names of files carry; never 0."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") or 1


def encode(name: str, state: State) -> bytes:
    """A cursor as bytes."""
    parts = [_text(name), _STATE.pack(state.next, state.frames, state.lines, state.segment, state.at),
             _SIZE.pack(sum(map(bool, state.members.values())))]
    for member, entries in state.members.items():
        if entries:
            parts += [_text(member), _packed(entries)]
    merged = [entry for entries in (*state.members.values(), state.again) for entry in entries if entry.frames != 1]
    if merged:
        merged_part = _SIZE.pack(len(merged)) + b"".join(_MERGED.pack(one.sequence, one.frames) for one in merged)
    else:
        merged_part = b""
    return b"".join([*parts, _packed(state.again), _REST.pack(state.trusted, *state.lost.numbers), merged_part])


def _packed(entries: list[Entry]) -> bytes:
    return _SIZE.pack(len(entries)) + b"".join(
        _ENTRY.pack(one.sequence, min(one.holds, _MOST_LINES), one.clock, NOWHERE if one.at < 0 else one.at)
        for one in entries)


def _text(text: str) -> bytes:
    data = text.encode()
    return _SIZE.pack(len(data)) + data


def decode(data: bytes) -> tuple[str, State]:
    """(name, state). ValueError when these are no such bytes."""
    try:
        name, at = _text_in(data, 0)
        state = State(*_STATE.unpack_from(data, at))
        (members,) = _SIZE.unpack_from(data, at + _STATE.size)
        at += _STATE.size + _SIZE.size
        for _ in range(members):
            member, at = _text_in(data, at)
            state.members[member], at = _entries_in(data, at)
        state.again, at = _entries_in(data, at)
        state.trusted, *lost = _REST.unpack_from(data, at)
        state.lost = Tally(lost)
        _set_merged(state, data, at + _REST.size)
    except struct.error as error:
        raise ValueError(f"no cursor: {error}") from error
    return name, state


def _set_merged(state: State, data: bytes, at: int) -> None:
    """Have entries know for how many frames they stand, which is told at the end where that is not one each."""
    if at >= len(data):
        return
    (count,) = _SIZE.unpack_from(data, at)
    at += _SIZE.size
    frames: dict[int, int] = dict(_MERGED.unpack_from(data, at + place * _MERGED.size) for place in range(count))
    for entries in (*state.members.values(), state.again):
        entries[:] = [entry._replace(frames=frames.get(entry.sequence, 1)) for entry in entries]


def _entries_in(data: bytes, at: int) -> tuple[list[Entry], int]:
    (count,) = _SIZE.unpack_from(data, at)
    at += _SIZE.size
    found = [_ENTRY.unpack_from(data, at + place * _ENTRY.size) for place in range(count)]
    return [Entry(sequence, holds, clock, -1 if place == NOWHERE else place)
            for sequence, holds, clock, place in found], at + count * _ENTRY.size


def _text_in(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _SIZE.unpack_from(data, at)
    end = at + _SIZE.size + length
    return data[at + _SIZE.size:end].decode(), end


class CursorFile:
    """Where a cursor is kept. While the disk has no room for a new file it is kept in memory only; `problem` tells."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.path = name, folder / f"{group_key(name):016x}{SUFFIX}"
        self.problem = ""
        self._slots: Slots | None = None

    def read(self) -> State | None:
        """What is kept; None: nothing that can be read. SpoolError when a newer istatd wrote it, OSError."""
        if not self.path.exists():
            return None
        self._slots = Slots(self.path, MAGIC, ROOM)
        value = self._slots.read()
        try:
            name, state = decode(value) if value is not None else ("", None)
        except ValueError:
            return None
        return state if name == self.name else None

    def write(self, state: State) -> None:
        """Keep a cursor, at once and so that it outlives the process."""
        try:
            if self._slots is None:
                self._slots = Slots(self.path, MAGIC, ROOM)
            self._slots.write(encode(self.name, state))
            self.problem = ""
        except OSError as error:
            if not self.problem:
                log.warning("%s cannot be written: what is under way could be sent twice after a kill: %s", self.path,
                            error.strerror)
            self.problem = f"{self.path} cannot be written: {error.strerror}"

    def duplicate(self) -> int | None:
        """A descriptor of its own, for a thread that syncs."""
        return None if self._slots is None else os.dup(self._slots.handle)

    def close(self) -> None:
        """Let go of the file."""
        if self._slots is not None:
            self._slots.close()
            self._slots = None

    def remove(self) -> None:
        """Forget the cursor. OSError."""
        self.close()
        self.path.unlink(missing_ok=True)


def cursors_in(folder: Path) -> tuple[list[tuple[CursorFile, State]], set[Path]]:
    """The cursors in a folder, and the files of those that cannot be read. SpoolError when a newer istatd wrote one,
    OSError."""
    found, unread = [], set()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = name_in(path)
        file = CursorFile(folder, name or "")
        state = file.read() if name else None
        if state is None or file.path != path:
            unread.add(path)
        else:
            found.append((file, state))
    return found, unread


def name_in(path: Path) -> str | None:
    """Whose cursor a file is; None: it cannot be told. SpoolError when a newer istatd wrote it, OSError."""
    slots = Slots(path, MAGIC, ROOM)
    try:
        value = slots.read()
        return None if value is None else decode(value)[0]
    except ValueError:
        return None
    finally:
        slots.close()
