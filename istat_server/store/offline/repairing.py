"""`istat check --repair`: puts a damaged store into a state that a server takes, and loses only what cannot be read.

Whole blocks and frames are copied into new files, one MANIFEST names these, and only then is what was damaged moved
aside into `damaged/`; an end at any point leaves the store as it was or repaired. Holds the store's lock.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from istat.errors import StoreCorrupt, StoreError
from istat.kernels import blocks
from istat.pagecache import ownfiles
from istat_server.store import ondisk, opening
from istat_server.store.files import journal, manifest, safeend
from istat_server.store.files.container import BlockEntry
from istat_server.store.files.manifest import DERIVED, FINE, FileEntry, Manifest
from istat_server.store.files.statfile import StatFile, StatFileWriter
from istat_server.store.levels.policies import make_engine
from istat_server.store.names import namefiles
from istat_server.store.offline import checking

LOST_COUNTER = b"istatd.lost.counter.%d"        # as replaying damaged names gives them


@dataclass
class Repair:
    """What was done, a sentence for each file, and what is lost for good."""

    done: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    lost_rows: int = 0


def repair(folder: Path) -> Repair:
    """Mend a store. StoreLocked when a server has it, StoreCorrupt when it has no MANIFEST that can be read."""
    lock = opening.Lock(folder)
    try:
        state, problem = manifest.load(folder)
        if state is None:
            raise StoreError(f"{folder} holds no store")
        opening.check_format(folder)
        checking.refuse_newer(folder, state)
        opening.mend_format(folder)
        return _Work(folder, state, problem).run()
    finally:
        lock.close()


class _Work:
    """One repair."""

    def __init__(self, folder: Path, state: Manifest, problem: str) -> None:
        self._folder, self._before, self._state, self._problem = folder, state, state, problem
        self._aside: list[str] = []
        self.result = Repair()

    def run(self) -> Repair:
        """All of it."""
        self._names()
        self._journal()
        counters = self._count()
        for entry in self._before.files:
            if any(checking.check_file(self._folder, self._state, entry, counters)):
                self._statfile(entry)
        self._fill(counters)
        if self._problem and (self._folder / manifest.NAME).exists():
            self._aside.append(manifest.NAME)
            self._move_aside()
        if self._state != self._before or self._problem:
            follows = self._state.follows       # a replica's: what it has of its master is not known any more
            manifest.save(self._folder, replace(
                self._state, revision=self._state.revision + 1,
                follows=None if follows is None else replace(follows, position=follows.position.lost())))
            if self._problem:
                self._say(f"{self._problem}; the one before it is in use")
        self._move_aside()
        return self.result

    def _say(self, text: str) -> None:
        self.result.done.append(text)

    def _move_aside(self) -> None:
        """Move what was replaced to damaged/, under names that tell where it was."""
        place = self._folder / checking.DAMAGED_FOLDER
        for where in self._aside:
            ondisk.make_folder(place)
            to = place / where.replace("/", "_")
            number = 0
            while to.exists():
                number += 1
                to = place / f"{where.replace('/', '_')}.{number}"
            os.rename(self._folder / where, to)
            ondisk.sync_folder((self._folder / where).parent)
            ondisk.sync_folder(place)
            self.result.moved.append(str(to.relative_to(self._folder)))
        self._aside = []

    # -- names and the journal

    def _names(self) -> None:
        for number in self._before.names:
            path = manifest.names_path(self._folder, number)
            try:
                self._replayable(bytes(namefiles.read(path)))
                continue
            except (StoreCorrupt, ValueError, OSError) as error:
                self._say(f"{error}; ids without a name are called istatd.lost.counter.N")
            records = b"".join(payload for _clock, payload in self._frames(path) if self._replayable(payload, False))
            new = self._state.next_names
            journal.write_names(manifest.names_path(self._folder, new), new, bytes.fromhex(self._state.uuid), records)
            names = tuple(new if one == number else one for one in self._state.names)
            self._state = replace(self._state, names=names, next_names=new + 1)
            if path.exists():
                self._aside.append(str(path.relative_to(self._folder)))

    def _frames(self, path: Path) -> list[tuple[int, bytes]]:
        """The whole frames of a segment or names file; none where it cannot be read at all."""
        try:
            return [(clock, bytes(payload)) for clock, payload in journal.read_segment(path, journal.Damage())]
        except (StoreCorrupt, OSError):
            return []

    def _replayable(self, records: bytes, must: bool = True) -> bool:
        """Whether records can be read. ValueError instead of False if they `must`."""
        try:
            make_engine(self._state.policies, 0).replay(records, True)
        except ValueError:
            if must:
                raise
            return False
        return True

    def _journal(self) -> None:
        """Segments with damage between their frames are written anew; one that is missing becomes an empty one. What is
        lost at the end is told, and then no more expected."""
        place = self._folder / "journal"
        wanted = [number for number in journal.segment_numbers(place) if number >= self._before.replay_from]
        end = safeend.read(place, bytes.fromhex(self._state.uuid))
        gaps = opening.missing(self._before.replay_from, wanted, end)
        if end is not None and (end.segment in gaps or self._short(end, wanted)):
            safeend.forget(place)
        for number in gaps:
            path = journal.segment_path(place, number)
            path.touch(0o640)
            ondisk.sync_folder(place)
            self._say(f"journal/{path.name} was missing: its samples are lost")
        for number in wanted:
            self._segment(journal.segment_path(place, number), number)

    def _short(self, end: safeend.End, wanted: list[int]) -> bool:
        """Whether the end of the last segment is lost."""
        path = journal.segment_path(self._folder / "journal", end.segment)
        if end.segment not in wanted:
            return False
        damage = journal.Damage()
        try:
            for _frame in journal.read_segment(path, damage):
                pass
        except StoreCorrupt:
            damage.torn_bytes = path.stat().st_size
        lost = journal.note_lost(path, end.bytes, damage.torn_bytes, damage)
        if lost:
            self._say(f"journal/{path.name}: {lost} bytes at its end are lost")
        return bool(lost)

    def _segment(self, path: Path, number: int) -> None:
        damage = journal.Damage()
        try:
            if not path.stat().st_size:
                return
            frames = [(clock, bytes(payload)) for clock, payload in journal.read_segment(path, damage)]
            whole = [frame for frame in frames if self._replayable(frame[1], False)]
            if not damage.skipped_bytes and len(whole) == len(frames):
                return
            lost = f"{damage.skipped_bytes} bytes and {len(frames) - len(whole)} frames"
        except (StoreCorrupt, OSError) as error:
            whole, lost = [], f"all ({error})"
        safeend.forget(path.parent)         # it may have been longer
        salt = int.from_bytes(os.urandom(4), "little")
        aside = path.with_suffix(".tmp")
        with ownfiles.writing(aside, ondisk.private) as file:
            file.write(journal.header_bytes(journal.KIND_JOURNAL, salt, number, bytes.fromhex(self._state.uuid)))
            for clock, payload in whole:
                file.write(journal.frame_header(salt, clock, payload) + payload)
            file.flush()
            ownfiles.put_away(file.fileno())
        kept = path.with_suffix(".damaged")
        os.link(path, kept)
        os.rename(aside, path)
        ondisk.sync_folder(path.parent)
        self._aside.append(str(kept.relative_to(self._folder)))
        self._say(f"journal/{path.name}: written anew without what is damaged: {lost}")

    def _count(self) -> int:
        """How many counters have names."""
        report = checking.Report()
        engine = checking.scratch_engine(self._state)
        checking.read_names(self._folder, self._state, engine, report)
        checking.read_journal(self._folder, self._state, engine, report)
        return len(engine.counters)

    def _fill(self, counters: int) -> None:
        """Ids with rows but without a name get one, so that no new counter is given them."""
        last = -1
        for entry in self._state.files:
            with StatFile.open(self._folder / entry.path) as file:
                last = max([last, *(block.last_id for block in file.blocks_for(counters, (1 << 32) - 1))])
        if last < counters:
            return
        engine = checking.scratch_engine(self._state)
        checking.read_names(self._folder, self._state, engine, checking.Report())
        engine.take_names()
        for id in range(len(engine.counters), last + 1):
            engine.add_counter(LOST_COUNTER % id, False)
        new = self._state.next_names
        path = manifest.names_path(self._folder, new)
        journal.write_names(path, new, bytes.fromhex(self._state.uuid), bytes(engine.take_names()))
        self._state = replace(self._state, names=(*self._state.names, new), next_names=new + 1)
        self._say(f"{last + 1 - counters} counters have rows but lost their names; they are istatd.lost.counter.N now")

    # -- StatFiles

    def _statfile(self, entry: FileEntry) -> None:
        """Copy the whole blocks of a damaged file into a new one."""
        path = self._folder / entry.path
        made = self._salvage(path, entry) if path.exists() else None
        self._state = self._state.with_files([made] if made else [], [entry.path], next_seq=self._state.next_seq + 1)
        lost = entry.rows - (made.rows if made else 0)
        self.result.lost_rows += max(0, lost)
        if path.exists():
            self._aside.append(entry.path)
        self._say(f"{entry.path}: " + (f"{made.rows} rows are whole and in {made.path}" if made else
                                       "nothing of it can be read" if path.exists() else "is missing")
                  + f"; {max(0, lost)} rows are lost")
        if entry.kind == DERIVED:
            self._derive_again(entry)

    def _derive_again(self, entry: FileEntry) -> None:
        """Where all rows of the finest level are still there, what a derived file lost is made anew."""
        group = self._state.group(entry.policy)
        fine = [one for one in group.files if one.kind == FINE]
        again = {start for start in group.derived if start < entry.end and start + group.span > entry.start
                 and any(one.start < start + group.span and one.end > start for one in fine)}
        if again:
            self._state = self._state.with_derived(entry.policy, group.derived - again)
            self._say(f"{len(again)} spans of it are derived anew from the finest level")

    def _salvage(self, path: Path, entry: FileEntry) -> FileEntry | None:
        try:
            with StatFile.open(path) as file:
                if file.header.store != self._state.uuid or file.header.kind != entry.kind:
                    return None
                header = replace(file.header, part=self._state.next_seq, start=entry.start, end=entry.end,
                                 seq_lo=entry.seq_lo, seq_hi=entry.seq_hi, level=entry.level, policy=str(entry.policy))
                with StatFileWriter(path.parent, header) as writer:
                    writer.add(_whole_blocks(file, entry), compress=True)
                    info = writer.finish()
        except (StoreError, OSError):
            return None             # its header, footer or index: without them blocks cannot be told apart
        made = replace(entry, path=os.path.relpath(info.path, self._folder), rows=info.rows, size=info.size)
        if not info.rows:
            os.unlink(info.path)
            return None
        return made


def _whole_blocks(file: StatFile, entry: FileEntry) -> Iterator[blocks.Block]:
    """The blocks that can be read, whose rows lie where they should."""
    for block in _entries(file):
        try:
            data = file.block_bytes(block)
            file.reader(block, once=True).runs()
        except (StoreError, ValueError, struct.error):
            continue
        if entry.start <= block.first_time <= block.last_time < entry.end:
            yield blocks.Block(block.first_id, block.last_id, block.rows, block.first_time, block.last_time, data)


def _entries(file: StatFile) -> Iterator[BlockEntry]:
    """The entries of all index pages that can be read."""
    for number in range(file.page_count):
        try:
            yield from file.page_entries(number)
        except StoreError:
            continue
