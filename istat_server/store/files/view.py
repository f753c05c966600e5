"""What a store consists of at one moment, but for the live heads: what a question is answered from. Knows no rows."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istat_server.store.files.manifest import FileEntry, Policy
from istat_server.store.files.statfile import StatFile

if TYPE_CHECKING:
    from istat.kernels.python.ingest.head import Frozen

    FrozenHeads = Mapping[int, Sequence[Frozen | None]]     # heads that were cut: per policy and level


@dataclass(frozen=True)
class LiveFile:
    """A file of the manifest and the open StatFile behind it."""

    entry: FileEntry
    file: StatFile


@dataclass(frozen=True)
class GroupView:
    """What a store has of one policy at one moment, but for the live head.

    `files` are in sequence order per level; `frozen` is the head being written, per level; `derived` are the
    starts of the spans (`span` seconds each) whose coarse levels are complete.
    """

    policy: Policy
    intervals: tuple[int, ...]
    span: int
    files: tuple[LiveFile, ...]
    frozen: tuple[Frozen | None, ...]
    derived: frozenset[int]


@dataclass(frozen=True)
class View:
    """What a store consists of at one moment, but for the live heads: its policies by number."""

    groups: Mapping[int, GroupView]
    frozen: FrozenHeads

    @property
    def files(self) -> tuple[LiveFile, ...]:
        """All of them."""
        return tuple(live for group in self.groups.values() for live in group.files)
