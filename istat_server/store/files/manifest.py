"""The MANIFEST: what is live in a store. One small text file, replaced whole: docs/formats/manifest.md.

Knows file names, spans and numbers; opens no StatFile and decides nothing.
"""
from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from istat.errors import StoreCorrupt
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.retention import Ladder, Level
from istat_server.store.files.journal import segment_path
from istat_server.store.ondisk import private, sync_folder
from istat_server.store.positions import Deposed, Follows, Known, Position
from istat_server.store.versions import NewerFormat

log = logging.getLogger(__name__)

# 2 adds settled files, imports, several ladders, and what a file entry says of deletes; 3 the epoch, and pins.
VERSION = 3
READABLE = (1, 2, 3)
NAME, PREVIOUS = "MANIFEST", "MANIFEST.previous"
ALL_IDS = -1    # in place of a range of ids: the file is from before files were split by them
FINE, DIRECT, DERIVED, SETTLED = "fine", "direct", "derived", "settled"


@dataclass(frozen=True)
class FileEntry:
    """One live StatFile. `path` is relative to the store; times in Unix seconds, `start` <= rows < `end`."""

    path: str
    level: int
    kind: str                   # FINE, DIRECT, DERIVED or SETTLED
    start: int
    end: int
    seq_lo: int                 # the cuts (or derivations) that are in it
    seq_hi: int
    rows: int
    size: int                   # [bytes]
    whole: bool                 # lies inside one window of its level; False: as a cut left it
    made: int                   # Unix seconds
    policy: int = 0             # the ladder whose group of files it belongs to
    cleaned: int = 0            # deletes up to this one have no rows in it
    ids: int = ALL_IDS          # id >> blocks.ID_BITS of all ids in it


@dataclass(frozen=True)
class Import:
    """How far a source was imported: written by the very commit that makes its rows live."""

    key: str                    # what was imported: format, place and range
    digest: str                 # of the source, so that another one of the same key is noticed
    mark: str                   # up to where its rows are in the store; the importer's own words
    finished: bool
    saved: int                  # Unix seconds
    totals: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pin:
    """What somebody still needs: segments from a position on, and the files that were live when the pin was made."""

    name: str
    position: Position
    until: int                  # Unix seconds: then it goes by itself
    files: tuple[str, ...] = ()         # relative to the store


@dataclass(frozen=True)
class Policy:
    """A retention rule's ladder, with a group of files of its own. Numbers are never given twice."""

    number: int
    pattern: str                # of the rule; "" is the default
    retention: str              # the ladder, as Ladder.parse takes it
    derived: frozenset[int] = frozenset()       # starts of spans with complete coarse levels
    leaving: bool = False       # no counter has it any more
    heir: int | None = None     # the policy that took over its counters, and takes over its files
    moved: int = 0              # of what is older than this [Unix s] the heir has it all
    origins: tuple[tuple[int, int], ...] = ()   # (policy, end): its counters may have rows older than end there
    full_from: tuple[int, ...] = ()     # per level: what is older than this [Unix s] may be in coarser levels only

    @property
    def ladder(self) -> Ladder:
        """Its levels."""
        return Ladder.parse(self.retention)


def folder_of(policy: int, level: Level) -> str:
    """The folder, inside the store's, of new files of a policy's level."""
    return f"{policy}-{level.name}" if policy else level.name


@dataclass(frozen=True)
class Lineage:
    """What the store's routes were made with: so many ancestors of each counter are fed too (-1: not all are so), and
    whether all others are made, without samples."""

    rollup: int = 0
    parents: bool = False


PLAIN, UNSETTLED = Lineage(), Lineage(-1)
# Keys of a MANIFEST that are written only where they are not this.
LEFT_OUT: dict[str, object] = {"lineage": PLAIN, "revision": 0, "term": 0, "follows": None, "fenced": "",
                               "deposed": None, "replicas": ()}


@dataclass(frozen=True)
class FileGroup:
    """The files of one policy at one moment."""

    policy: Policy
    files: tuple[FileEntry, ...]

    def status(self) -> dict[str, object]:
        """What the policy is, and what its files take."""
        policy = self.policy
        return {"number": policy.number, "rule": policy.pattern, "retention": policy.retention,
                "leaving": policy.leaving, "files": len(self.files),
                "file_bytes": sum(entry.size for entry in self.files)}

    @property
    def ladder(self) -> Ladder:
        """The policy's levels."""
        return self.policy.ladder

    @property
    def span(self) -> int:
        """Seconds that are derived at once."""
        return self.ladder.window(0)

    @property
    def derived(self) -> frozenset[int]:
        """Starts of spans with complete coarse levels."""
        return self.policy.derived

    @property
    def fine_spans(self) -> frozenset[int]:
        """Starts of the spans in which files may have rows of the finest level."""
        span = self.span
        return frozenset(start for entry in self.files if entry.kind == FINE
                         for start in range(entry.start - entry.start % span, entry.end, span))

    @property
    def bare_spans(self) -> frozenset[int]:
        """Starts of the spans that have coarse levels but no rows of the finest one any more."""
        return self.derived - self.fine_spans

    @property
    def bare_until(self) -> int:
        """The end of the newest bare span [Unix s]; 0: none.

        Nothing older may go to the finest level: the span would be derived anew from what is left of it.
        """
        return max((start + self.span for start in self.bare_spans), default=0)


@dataclass(frozen=True)
class Manifest:
    """What is live. Immutable: a change makes a new one."""

    uuid: str
    policies: tuple[Policy, ...]        # the default, rules in the order in which they are tried, leaving ones
    next_seq: int = 1
    replay_from: int = 1        # first journal segment that is not wholly in StatFiles
    names: tuple[int, ...] = ()         # numbers of the names files, in order
    next_names: int = 1
    names_gone: int = 0         # counters that were gone for good when all names files were last written anew
    files: tuple[FileEntry, ...] = ()   # by policy, level, seq_lo
    saved: int = 0              # Unix seconds
    imports: tuple[Import, ...] = ()    # one of a key
    dropped: int = 0            # deletes up to this one may have lost rows: they cannot be undone
    reassign: bool = False      # rules came or went: counters must be looked through for those with another one now
    epoch: int = 0              # raised by each start
    pins: tuple[Pin, ...] = ()          # one of a name
    lineage: Lineage = PLAIN
    revision: int = 0           # raised by each change that the journal does not tell
    term: int = 0               # raised by each promotion
    follows: Follows | None = None      # None: it is no replica's
    fenced: str = ""            # the address of who has taken this store's place; "": nobody
    deposed: Deposed | None = None
    replicas: tuple[Known, ...] = ()    # one of a name

    @property
    def pinned(self) -> frozenset[str]:
        """Files that pins hold, live or not; relative to the store."""
        return frozenset(path for pin in self.pins for path in pin.files)

    @property
    def held_from(self) -> int:
        """The first journal segment that replay or a pin needs."""
        return min([self.replay_from, *(pin.position.segment for pin in self.pins)])

    @property
    def default(self) -> Policy:
        """The policy of counters that no rule is for."""
        return next(policy for policy in self.policies if policy.pattern == "" and not policy.leaving)

    def policy(self, number: int) -> Policy:
        """A policy by its number. KeyError when there is none."""
        for policy in self.policies:
            if policy.number == number:
                return policy
        raise KeyError(number)

    def group(self, number: int) -> FileGroup:
        """A policy with its files. KeyError when there is none."""
        return FileGroup(self.policy(number), tuple(entry for entry in self.files if entry.policy == number))

    def groups(self) -> list[FileGroup]:
        """All policies that have counters or files, with their files."""
        found = [self.group(policy.number) for policy in self.policies]
        return [group for group in found if group.files or not group.policy.leaving]

    def with_policy(self, policy: Policy) -> Manifest:
        """This manifest with another policy of the same number."""
        return replace(self, policies=tuple(policy if one.number == policy.number else one for one in self.policies))

    def with_derived(self, number: int, derived: Iterable[int]) -> Manifest:
        """This manifest with other derived spans of a policy."""
        return self.with_policy(replace(self.policy(number), derived=frozenset(derived)))

    def with_files(self, add: Iterable[FileEntry] = (), drop: Iterable[str] = (), **changes: Any) -> Manifest:
        """This manifest with files added and dropped (by path)."""
        gone = set(drop)
        files = [entry for entry in self.files if entry.path not in gone] + list(add)
        files.sort(key=lambda entry: (entry.policy, entry.level, entry.seq_lo, entry.start))
        return replace(self, files=tuple(files), **changes)


def references(state: Manifest) -> set[str]:
    """The files, but for the journal's, that a MANIFEST needs; relative to the store."""
    return live_paths(state) | state.pinned


def live_paths(state: Manifest) -> set[str]:
    """Those of them that questions and counters need, whatever pins hold."""
    return {entry.path for entry in state.files} | {str(names_path(Path(), number)) for number in state.names}


def names_path(folder: Path, number: int) -> Path:
    """Where a names file of the store in `folder` lies."""
    return segment_path(folder / "names", number, "names")


def encode(manifest: Manifest) -> bytes:
    """The bytes of a MANIFEST: a line `istat-manifest VERSION CRC32 LENGTH`, then JSON of that length."""
    fields = asdict(manifest)
    for policy in fields["policies"]:
        policy["derived"] = sorted(policy["derived"])
    for key, plain in LEFT_OUT.items():     # so that an istatd that does not know it can go on with the store
        if getattr(manifest, key) == plain:
            del fields[key]
    for pin in fields["pins"]:
        del pin["position"]["salt"]         # what it holds is there, and its own
    body = json.dumps(fields, indent=1).encode() + b"\n"
    return b"istat-manifest %d %08x %d\n" % (VERSION, zlib.crc32(body), len(body)) + body


def decode(data: bytes, where: str) -> Manifest:
    """The manifest that bytes describe. StoreCorrupt when they do not, NewerFormat when a newer istatd wrote them: then
    the one before must not be used either."""
    head, _, body = data.partition(b"\n")
    words = head.split()
    if len(words) != 4 or words[0] != b"istat-manifest" or not all(word.isalnum() for word in words[1:]):
        raise StoreCorrupt(f"{where}: this is no MANIFEST")
    if words[1] not in [b"%d" % version for version in READABLE]:
        if not words[1].isdigit():
            raise StoreCorrupt(f"{where}: this is no MANIFEST")
        raise NewerFormat(where, int(words[1]), VERSION)
    if words[3] != b"%d" % len(body) or words[2] != b"%08x" % zlib.crc32(body):
        raise StoreCorrupt(f"{where}: the checksum is wrong")
    try:
        return _decoded(json.loads(body), where)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt(f"{where}: it does not say what a MANIFEST says: {error!r}") from error


def _decoded(fields: dict[str, Any], where: str) -> Manifest:
    if "policies" not in fields:            # written when there was one ladder only
        fields["policies"] = [{"number": 0, "pattern": "", "retention": fields.pop("retention"),
                               "derived": fields.pop("derived")}]
    unknown = _unknown(fields)
    if unknown:         # whole by its checksum: to go on without them would lose them with the next one that is written
        raise NewerFormat(where, f"{VERSION} with {', '.join(unknown)}", VERSION)
    fields["files"] = tuple(FileEntry(**entry) for entry in fields["files"])
    fields["names"] = tuple(fields["names"])
    fields["policies"] = tuple(_policy(one) for one in fields["policies"])
    fields["imports"] = tuple(Import(**entry) for entry in fields.get("imports", ()))
    fields["pins"] = tuple(Pin(**{**one, "position": Position(**one["position"]), "files": tuple(one["files"])})
                           for one in fields.get("pins", ()))
    fields["lineage"] = Lineage(**fields.get("lineage", {}))
    fields["replicas"] = tuple(Known(**one) for one in fields.get("replicas", ()))
    if "follows" in fields:
        fields["follows"] = Follows(Position(**fields["follows"]["position"]), fields["follows"]["revision"])
    if "deposed" in fields:
        fields["deposed"] = Deposed(**fields["deposed"])
    return Manifest(**fields)


def _unknown(fields: dict[str, Any]) -> list[str]:
    """Keys that we do not know, whatever they are in."""
    pins, follows = fields.get("pins", ()), [fields["follows"]] if "follows" in fields else []
    parts: list[tuple[type[Any], Iterable[dict[str, Any]]]] = [
        (Manifest, [fields]), (FileEntry, fields["files"]), (Policy, fields["policies"]),
        (Import, fields.get("imports", ())), (Pin, pins), (Position, [one["position"] for one in (*pins, *follows)]),
        (Lineage, [fields.get("lineage", {})]), (Follows, follows),
        (Deposed, [fields["deposed"]] if "deposed" in fields else []), (Known, fields.get("replicas", ()))]
    return sorted({key for kind, ones in parts for known in [{one.name for one in fields_of(kind)}]
                   for one in ones for key in one.keys() - known})


def _policy(fields: dict[str, Any]) -> Policy:
    origins = tuple((number, end) for number, end in fields.get("origins", ()))
    full_from = tuple(fields.get("full_from", ()))
    return Policy(**{**fields, "derived": frozenset(fields["derived"]), "origins": origins, "full_from": full_from})


def save(folder: Path, manifest: Manifest) -> None:
    """Replace the MANIFEST; the one before stays as MANIFEST.previous. OSError: all is as it was before."""
    aside = folder / (NAME + ".tmp")
    with ownfiles.writing(aside, private, Use.SMALL) as file:
        file.write(encode(manifest))
        file.flush()
        os.fdatasync(file.fileno())
    if (folder / NAME).exists():
        keep = folder / (PREVIOUS + ".tmp")
        keep.unlink(missing_ok=True)
        os.link(folder / NAME, keep)
        os.rename(keep, folder / PREVIOUS)
    os.rename(aside, folder / NAME)
    try:
        sync_folder(folder)
    except OSError as error:    # it counts from here on; the next one brings it to the disk with it
        log.error("%s cannot be synced: %s", folder, error)


def load(folder: Path) -> tuple[Manifest | None, str]:
    """(manifest, what went wrong with it): the MANIFEST, else the previous one, else None for a new store.

    StoreCorrupt when there are manifests but none can be read, or none but other files of a store.
    """
    problem = ""
    for name in (NAME, PREVIOUS):
        path = folder / name
        try:
            return decode(ownfiles.content(path, Use.SMALL), str(path)), problem
        except FileNotFoundError:
            problem = problem or f"{path}: is missing"
        except StoreCorrupt as error:
            problem = str(error)
    if any((folder / name).exists() for name in (NAME, PREVIOUS)):
        raise StoreCorrupt(f"{problem}; there is no older MANIFEST that can be read either")
    if any(path.suffix in (".statfile", ".names", ".journal") for path in folder.glob("*/*")):
        raise StoreCorrupt(f"{folder / NAME}: is missing, and so is the one before it, but there are files of a store; "
                           f"put it back, or make the store anew from a backup (istat restore)")
    return None, ""


def load_previous(folder: Path) -> Manifest | None:
    """The MANIFEST before the one in use, or None when there is none that can be read."""
    try:
        return decode(ownfiles.content(folder / PREVIOUS, Use.SMALL), PREVIOUS)
    except (FileNotFoundError, StoreCorrupt):
        return None
