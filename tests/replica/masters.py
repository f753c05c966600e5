"""A master for tests of a replica: it answers from a store that is open here, as docs/protocols/replication.md says."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree
from uuid import uuid4

from istat.clock import FakeClock
from istat.errors import ServerUnreachable
from istat_server.replica.master.answers import Piece, State
from istat_server.replica.refusals import CopyNeeded
from istat_server.store.files import journal, manifest
from istat_server.store.levels.policies import rules_of
from istat_server.store.options import Options
from istat_server.store.positions import Follows, Position
from istat_server.store.statstore import StatStore

FAR = 10 ** 10          # Unix seconds


class FakeMaster:
    """What `source.Master` offers, over a StatStore."""

    url, name, term = "http://master:8000", "replica", 0

    def __init__(self, store: StatStore, clock: FakeClock, most: int = 1 << 20) -> None:
        """`most`: bytes of the journal in one answer."""
        self.store, self.clock, self.most = store, clock, most
        self.away = ""
        self.kept: int | None = None
        self.fenced: list[tuple[str, int, str]] = []
        self.released = 0
        self.spoil = lambda data: data

    def _ask(self) -> None:
        if self.away:
            raise ServerUnreachable(self.away)

    def state(self) -> State:
        """See Master."""
        self._ask()
        state, final = self.store.files.manifest, self.store.copying.final_deletes()
        return State("1", state.uuid, state.epoch, state.revision, state.term, "", None, self._end(), self.clock.now(),
                     (), final)

    def _end(self) -> Position:
        self.store._written()
        return self.store.position()

    def release(self) -> bool:
        self.released += 1
        return True

    def lease(self) -> Position:
        """Hold what a copy needs; from where on its journal is."""
        return self.store.pinning.pin(self.name, None, FAR).position

    def journal(self, position: Position, revision: int, wait: float = 0.0, most: int = 0, *, keep: int | None = None,
                applied: int | None = None) -> Piece:
        """See Master."""
        self._ask()
        end = self._end()
        self.kept = keep
        path = journal.segment_path(self.store.folder / "journal", position.segment)
        if position.store != self.store.files.manifest.uuid or not path.exists():
            raise CopyNeeded(f"there is no segment {position.segment}")
        data = path.read_bytes()[position.offset:][:self.most]
        salt = int.from_bytes(path.read_bytes()[12:16], "little")
        following = replace(position, offset=position.offset + len(data), salt=salt, epoch=end.epoch)
        if following.offset == path.stat().st_size and position.segment < end.segment:
            following = replace(following, segment=position.segment + 1, offset=0, salt=0)
        left = 0 if following >= end else 1
        return Piece(position, self.spoil(data), following, left, self.clock.now(), self.term, revision)

    def fence(self, store: str, term: int, by: str) -> None:
        """See Master."""
        self._ask()
        self.fenced.append((store, term, by))

    def close(self) -> None:
        """See Master."""


def copy_store(master: FakeMaster, folder: Path) -> None:
    """What a base copy gives."""
    store = master.store
    at = master.lease()
    rmtree(folder, ignore_errors=True)
    copytree(store.folder, folder, ignore=ignore_patterns("journal", "LOCK", "*.tmp"))
    (folder / "journal").mkdir()
    state = store.files.manifest
    manifest.save(folder, replace(state, uuid=uuid4().hex, replay_from=1, epoch=0, pins=(),
                                  follows=Follows(at, state.revision)))


def open_replica(folder: Path, clock: FakeClock) -> StatStore:
    """A replica's store."""
    state, _problem = manifest.load(folder)
    return StatStore.open(folder, rules_of(state.policies), clock, options=Options(key=2, replica=True))
