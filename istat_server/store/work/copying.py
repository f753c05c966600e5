"""What a store gives to those that copy it: leases of its files, synced bytes of its journal; and who may stand in its
place (docs/protocols/replication.md).

A lease is a pin: it holds a state of the store, files and journal, until its holder reads the journal only, and then
the segments that it may ask for. A store whose place another one has taken is fenced, for good. Belongs to the hub;
what reads files blocks the greenlet. Knows no requests, and not how long a lease lasts.
"""
from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from istat.errors import StoreError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store import ondisk
from istat_server.store.files import journal, manifest
from istat_server.store.files.journal import HEADER_BYTES, segment_path
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import Manifest, Pin
from istat_server.store.pool import Pool
from istat_server.store.positions import Known, Position
from istat_server.store.work.journaling import Journal
from istat_server.store.work.pinning import Pinning, replay_position


class Gone(StoreError):
    """What is asked for is not there (any more). `reason`: `lease`, `position`, `revision` or `file`."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


class NotInPlace(StoreError):
    """Another store is meant, or one that is further. `reason`: `term`, `store` or `fenced`."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


@dataclass(frozen=True)
class Leased:
    """A state of a store: its MANIFEST, the files that it names with their sizes [bytes], and from where on the journal
    has the rest."""

    pin: Pin
    state: Manifest
    files: tuple[tuple[str, int], ...]
    position: Position


@dataclass(frozen=True)
class Stretch:
    """Synced bytes of one segment; `next` is the position behind them, `left` how many bytes come after that."""

    data: bytes
    next: Position
    left: int


class Copying:
    """What one store gives away."""

    def __init__(self, files: LiveFiles, pinning: Pinning, pool: Pool, journal: Callable[[], Journal],
                 final_deletes: Callable[[], int]) -> None:
        """`journal` is asked for when it is there; `final_deletes`: deletes up to this one cannot be undone
        any more, and those that were are synced; 0: not known now."""
        self._files, self._pinning, self._pool, self._journal = files, pinning, pool, journal
        self.final_deletes = final_deletes

    def _safe_end(self) -> tuple[int, int]:
        return self._journal().safe_end

    @property
    def state(self) -> Manifest:
        """What the MANIFEST says."""
        return self._files.manifest

    @property
    def read_only(self) -> str:
        """Why nothing may be changed here, for good, or ""."""
        by = self._files.manifest.fenced
        return f"this server is fenced: {by} has taken its place; send and change there" if by else ""

    def status(self) -> dict[str, object]:
        """Whose place it has, and who has taken it; and whom it has deposed that does not know it yet."""
        state = self.state
        return {"term": state.term, "fenced": state.fenced,
                "deposed": state.deposed.url if state.deposed is not None else ""}

    def fence(self, store: str, term: int, by: str) -> None:
        """Take nothing from now on, as `by` has taken this store's place. NotInPlace when this is another store, or
        its term is not lower. Blocks the greenlet until it is written."""
        state = self._files.manifest
        if store != state.uuid:
            raise NotInPlace("store", f"this is the store {state.uuid}, not {store}")
        if (state.term, state.fenced) == (term, by):
            return
        if term <= state.term:
            raise NotInPlace("term", f"this server has the term {state.term}, so that one of {term} cannot take its "
                                     f"place{f': {state.fenced} has' if state.fenced else ''}")
        self._commit(lambda now: replace(now, term=term, fenced=by) if term > now.term else now)

    def _commit(self, change: Callable[[Manifest], Manifest]) -> None:
        try:
            self._pool.apply(self._files.commit, (change, ()))
        except OSError as error:
            raise StoreError(f"{self._files.folder}: it cannot be written: {error}") from error

    # -- leases

    def position(self) -> Position:
        """Where the journal ends: what is written of it. The live files and it from `replay_position` on are all."""
        return Position(self.state.uuid, self.state.epoch, *self._journal().end)

    def replay_position(self) -> Position:
        """From where on the journal has what is in no file."""
        return replay_position(self.state)

    def end(self) -> Position:
        """Up to where the journal is synced. The salt is not told."""
        return Position(self.state.uuid, self.state.epoch, *self._safe_end())

    def lease(self, known: Known, until: int) -> Leased:
        """Hold the live files and the journal from where they end, until a time [Unix s]. StoreError."""
        pin, state = self._pinning.lease(known, until)
        return self._pool.apply(self._leased, (pin, state))     # type: ignore[no-any-return]

    def _leased(self, pin: Pin, state: Manifest) -> Leased:
        """In a thread."""
        sizes = {entry.path: entry.size for entry in state.files}
        try:
            files = tuple((path, sizes[path] if path in sizes else (self._files.folder / path).stat().st_size)
                          for path in sorted(manifest.live_paths(state)))
        except OSError as error:
            raise StoreError(f"a file cannot be looked at: {error}") from error
        with self._segment(pin.position.segment) as handle:
            salt = _salt(handle, pin.position.segment)
        return Leased(pin, replace(state, pins=(), replicas=()), files, replace(pin.position, salt=salt))

    def leased(self, name: str) -> Pin:
        """The lease of this name. Gone when there is none."""
        for pin in self.state.pins:
            if pin.name == name:
                return pin
        raise Gone("lease", f"there is no lease of {name} (any more): make a new copy")

    def renew(self, name: str, until: int) -> None:
        """Let a lease end later. Gone when there is none."""
        self.leased(name)
        self._pinning.renew(name, until, None)

    def hold(self, name: str, segment: int, until: int) -> None:
        """Let a lease hold nothing but the journal from a segment on. Gone when there is none."""
        pin = self.leased(name)
        segment = max(segment, pin.position.segment)        # what was let go is not to be had again
        self._pinning.renew(name, until, Position(self.state.uuid, self.state.epoch, segment, 0))

    def release(self, name: str) -> bool:
        """End a lease; whether there was one. Blocks the greenlet until it is written."""
        return self._pinning.unpin(name)

    def file(self, name: str, path: str) -> tuple[int, int]:
        """(descriptor, bytes) of a file of a lease, for the caller to close. Gone when it holds no such file. To be
        called in a thread."""
        if path not in self.leased(name).files:
            raise Gone("file", f"the lease of {name} holds no file of this name (any more); has another replica the "
                               "same replica-name?")
        try:
            handle = ownfiles.descriptor(self._files.folder / path, os.O_RDONLY, Use.WHOLE, ondisk.plain)
        except OSError as error:
            raise Gone("file", f"{path} cannot be read: {error.strerror}") from error
        return handle, os.fstat(handle).st_size

    # -- the journal

    def check(self, position: Position, revision: int) -> None:
        """Gone or NotInPlace when it cannot be gone on from there, as far as that shows without a look at files."""
        state = self.state
        if position.store != state.uuid:
            raise Gone("position", f"the position is one of the store {position.store}, and this is {state.uuid}")
        if position.epoch > state.epoch:
            raise Gone("position", f"the position is of epoch {position.epoch}, and this store is in its "
                                   f"{state.epoch}: it was put back")
        if revision != state.revision:
            raise Gone("revision", f"the store is at revision {state.revision} by now: make a new copy")

    def waits(self, position: Position) -> bool:
        """Whether nothing is synced behind a position."""
        return (position.segment, max(position.offset, HEADER_BYTES)) >= self._safe_end()

    def read(self, position: Position, most: int) -> Stretch:
        """Synced bytes from a position on, of its segment. Gone when there is no such place. Blocks the greenlet."""
        return self._pool.apply(self._read, (position, most, self._safe_end()))     # type: ignore[no-any-return]

    def _read(self, position: Position, most: int, end: tuple[int, int]) -> Stretch:
        """In a thread."""
        with self._segment(position.segment) as handle:
            salt = _salt(handle, position.segment)
            if position.salt != salt and (position.salt or position.offset):
                raise Gone("position", f"segment {position.segment} is another one than the one that was read")
            ended, begun = position.segment < end[0], position.segment > end[0]
            # One that has begun has nothing synced yet: what a lease of just now, or who waits at the end, asks for.
            limit = 0 if begun else os.fstat(handle).st_size if ended else end[1]
            if position.offset > max(limit, HEADER_BYTES if not ended else 0):
                raise Gone("position", f"the journal has no byte {position.offset} of segment {position.segment}")
            data = ownfiles.read_once(handle, position.offset, max(0, min(most, limit - position.offset)))
        at = position.offset + len(data)
        following = Position(self.state.uuid, self.state.epoch, position.segment, at, salt)
        if ended and at >= limit:
            following = self._beginning(position.segment)
        return Stretch(data, following, self._left(following, end))

    def _beginning(self, after: int) -> Position:
        """Where the segment after one begins."""
        try:
            number = min(one for one in journal.segment_numbers(self._files.folder / "journal") if one > after)
        except (OSError, ValueError) as error:
            raise Gone("position", f"the segment after {after} is gone") from error
        with self._segment(number) as handle:
            return Position(self.state.uuid, self.state.epoch, number, 0, _salt(handle, number))

    def _left(self, position: Position, end: tuple[int, int]) -> int:
        """Synced bytes behind a position."""
        if position.segment >= end[0]:
            return max(0, end[1] - position.offset) if position.segment == end[0] else 0
        place = self._files.folder / "journal"
        sizes = [_size(segment_path(place, number)) for number in range(position.segment, end[0])]
        return max(0, sum(sizes) + end[1] - position.offset)

    @contextmanager
    def _segment(self, number: int) -> Iterator[int]:
        path = segment_path(self._files.folder / "journal", number)
        try:
            handle = ownfiles.descriptor(path, os.O_RDONLY, Use.WHOLE, ondisk.plain)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise StoreError(f"{path} cannot be read: {error.strerror}") from error
            raise Gone("position", f"segment {number} of the journal is gone") from error
        try:
            yield handle
        finally:
            os.close(handle)


def _salt(handle: int, number: int) -> int:
    """Of the segment with this descriptor."""
    try:
        return journal.salt_of(os.pread(handle, HEADER_BYTES, 0), f"segment {number}")
    except OSError as error:
        raise StoreError(f"segment {number} cannot be read: {error.strerror}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:     # a number that was never used, or one that goes just now
        return 0

