"""`istat check`: reads every byte of a store and tells what is wrong. Changes nothing; a server may be at work.

Each finding names a file. What a crash leaves by design (a torn tail of the journal, files that no MANIFEST names) is
told as a note and is no error.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from istat.errors import StoreCorrupt, StoreError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store import ondisk, opening
from istat_server.store.files import journal, manifest, safeend
from istat_server.store.files.manifest import ALL_IDS, FINE, FileEntry, Manifest
from istat_server.store.files.statfile import StatFile
from istat_server.store.levels.policies import make_engine
from istat_server.store.names import namefiles
from istat_server.store.versions import NewerFormat

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

DAMAGED, MISSING, WRONG, NOTE = "damaged", "missing", "wrong", "note"
# Files of a store's folder that are neither the MANIFEST's nor the journal's.
OWN = {"LOCK", "FORMAT", "MANIFEST", "MANIFEST.previous", "MANIFEST.damaged", "reserve", "HEARD", "BACKUP",
       f"journal/{safeend.NAME}"}
DAMAGED_FOLDER = "damaged"
ELSEWHERE = (f"{DAMAGED_FOLDER}/", f"{ondisk.NAMESPACES}/")
LATEST = 1 << 62

Show = Callable[[int, int], None]       # bytes done, bytes in all


@dataclass(frozen=True)
class Finding:
    """One thing about one file; `kind` is DAMAGED, MISSING, WRONG or NOTE, and a NOTE is no error."""

    file: str
    kind: str
    text: str


@dataclass
class Report:
    """What was read and found."""

    files: int = 0
    bytes: int = 0
    counters: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """The findings that are no notes."""
        return [finding for finding in self.findings if finding.kind != NOTE]

    def add(self, file: str, kind: str, text: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(file, kind, text))

    def read(self, path: Path) -> None:
        """A file was read."""
        self.files += 1
        self.bytes += path.stat().st_size


def check(folder: Path, show: Show = lambda _done, _all: None) -> Report:
    """Read a whole store. StoreError when the folder holds none, NewerFormat when we cannot know; everything else is in
    the report."""
    report = Report()
    if not any((folder / name).exists() for name in ("FORMAT", manifest.NAME, manifest.PREVIOUS)):
        raise StoreError(f"{folder} holds no store")
    _format(folder, report)
    state = _manifests(folder, report)
    if state is None:
        report.findings = [_plain(folder, finding) for finding in report.findings]
        return report
    engine = scratch_engine(state)
    read_names(folder, state, engine, report)
    read_journal(folder, state, engine, report)
    report.counters = len(engine.counters)
    total = sum(entry.size for entry in state.files)
    done = 0
    for entry in state.files:
        for finding in check_file(folder, state, entry, report.counters):
            if _still_named(folder, entry):     # else a server merged it meanwhile
                report.findings.append(finding)
        if (folder / entry.path).exists():
            report.read(folder / entry.path)
        done += entry.size
        show(done, total)
    check_groups(state, report)
    _orphans(folder, report)
    report.findings = [_plain(folder, finding) for finding in report.findings]
    return report


def _plain(folder: Path, finding: Finding) -> Finding:
    """Without the file's name in front of the text: it is told beside it."""
    text = finding.text
    for name in (folder / finding.file, finding.file, Path(finding.file).name):
        text = text.removeprefix(f"{name}: ")
    return replace(finding, text=text)


def _format(folder: Path, report: Report) -> None:
    path = folder / "FORMAT"
    if not path.exists():
        report.add("FORMAT", NOTE, "is missing; the next start writes it")
    elif (found := ownfiles.content(path, Use.SMALL)) != opening.FORMAT_TEXT:
        opening.refuse_newer(folder, found)
        report.add("FORMAT", DAMAGED, "is not what this istatd writes")


def _manifests(folder: Path, report: Report) -> Manifest | None:
    """The MANIFEST in use, or the one before where that cannot be read."""
    states: list[Manifest] = []
    for name in (manifest.NAME, manifest.PREVIOUS):
        try:
            states.append(manifest.decode(ownfiles.content(folder / name, Use.SMALL), name))
            report.read(folder / name)
        except FileNotFoundError:
            if not states:              # a store or a backup that is new has no MANIFEST before
                report.add(name, MISSING, "is missing")
        except StoreCorrupt as error:
            report.add(name, DAMAGED, str(error))
    return states[0] if states else None


def refuse_newer(folder: Path, state: Manifest) -> None:
    """NewerFormat when any file that the MANIFEST names, or the journal, is a newer istatd's."""
    engine, report = scratch_engine(state), Report()
    read_names(folder, state, engine, report)
    read_journal(folder, state, engine, report)
    for entry in state.files:
        try:
            StatFile.open(folder / entry.path).close()
        except NewerFormat:
            raise
        except (StoreError, OSError) as error:
            report.add(entry.path, DAMAGED, str(error))


def scratch_engine(state: Manifest) -> Engine:
    """Something to replay names into. It keeps no sample."""
    engine = make_engine(state.policies, 0)
    for policy in state.policies:
        if policy.heir is None:
            engine.set_limits(0, 0, 0, [LATEST] * len(policy.ladder.levels), policy.number)
    return engine


def read_names(folder: Path, state: Manifest, engine: Engine, report: Report) -> None:
    """Replay the names files; what is wrong with them goes to the report."""
    for number in state.names:
        path = manifest.names_path(folder, number)
        where = str(path.relative_to(folder))
        try:
            namefiles.replay(engine, path, namefiles.read(path), True)
            report.read(path)
        except (StoreCorrupt, ValueError, OSError) as error:
            if path.exists() or manifest.load(folder)[0] == state:
                report.add(where, DAMAGED if path.exists() else MISSING, str(error))


def read_journal(folder: Path, state: Manifest, engine: Engine, report: Report) -> None:
    """Replay the names in the journal; what is wrong with it goes to the report."""
    place = folder / "journal"
    end = safeend.read(place, bytes.fromhex(state.uuid))        # first: segments only grow after it
    wanted = [number for number in journal.segment_numbers(place) if number >= state.replay_from]
    for number in opening.missing(state.replay_from, wanted, end):
        if number >= _replay_from(folder):      # else a server wrote it to files meanwhile
            report.add(f"journal/{number:08d}.journal", MISSING, "is missing; the server does not start without it")
    for number in wanted:
        _segment(folder, number, engine, report, end.bytes if end is not None and end.segment == number else 0)


def _replay_from(folder: Path) -> int:
    state, _problem = manifest.load(folder)
    return state.replay_from if state is not None else 0


def _segment(folder: Path, number: int, engine: Engine, report: Report, safe: int) -> None:
    """`safe`: so many bytes of it are known to have been on the disk."""
    path = journal.segment_path(folder / "journal", number)
    where = str(path.relative_to(folder))
    damage, lost = journal.Damage(), 0
    try:
        if path.stat().st_size:
            for _clock, payload in journal.read_segment(path, damage):
                namefiles.replay(engine, path, payload)
        report.read(path)
        lost = journal.note_lost(path, safe, damage.torn_bytes, damage)
    except FileNotFoundError:
        return                              # a server wrote it to files meanwhile
    except (StoreCorrupt, ValueError, OSError) as error:
        report.add(where, DAMAGED, str(error))
    for note in damage.notes:
        report.add(where, DAMAGED if damage.skipped_bytes or lost else NOTE, note)


def check_file(folder: Path, state: Manifest, entry: FileEntry, counters: int) -> Iterator[Finding]:
    """One StatFile, against the MANIFEST and by itself."""
    try:
        with StatFile.open(folder / entry.path) as file:
            for text in file.verify():
                yield Finding(entry.path, DAMAGED, text)
            header = file.header
            interval = state.policy(entry.policy).ladder.stored[entry.level].interval
            says = (header.store, header.interval, header.kind, header.start, header.end, header.seq_lo,
                    header.seq_hi, file.rows, file.size)
            wanted = (state.uuid, interval, entry.kind, entry.start, entry.end, entry.seq_lo,
                      entry.seq_hi, entry.rows, entry.size)
            if says != wanted:
                yield Finding(entry.path, WRONG, f"it says {says}, the MANIFEST says {wanted}")
            if not _inherited(state, header.policy, entry.policy):
                yield Finding(entry.path, WRONG, f"it is of policy {header.policy}, the MANIFEST says {entry.policy}")
            if file.rows and not header.start <= file.first_time <= file.last_time < header.end:
                yield Finding(entry.path, WRONG, f"rows from {file.first_time} to {file.last_time} in a file from "
                                                 f"{header.start} to {header.end}")
            last = max((block.last_id for block in file.blocks_for(counters, (1 << 32) - 1)), default=-1)
            if last >= counters:
                yield Finding(entry.path, WRONG, f"rows of counter {last}, but only {counters} have names")
    except FileNotFoundError:
        yield Finding(entry.path, MISSING, "is missing")
    except NewerFormat:
        raise
    except (StoreError, OSError) as error:
        yield Finding(entry.path, DAMAGED, str(error))


def _inherited(state: Manifest, made_for: str, policy: int) -> bool:
    """Whether a file made for one policy is another's now, by one change of retention after the other."""
    heirs = {str(one.number): str(one.heir) for one in state.policies}
    at: str | None = made_for
    while at is not None and at != str(policy):
        at = heirs.get(at)
    return at is not None


def _still_named(folder: Path, entry: FileEntry) -> bool:
    state, _problem = manifest.load(folder)
    return state is not None and any(one.path == entry.path for one in state.files)


def check_groups(state: Manifest, report: Report) -> None:
    """What files say of each other: no row of the finest level twice, whole derived spans."""
    for group in state.groups():
        for start in sorted(group.derived):
            if start % group.span:
                report.add(manifest.NAME, WRONG, f"span {start} of policy {group.policy.number} does not begin one")
        fine = sorted((entry for entry in group.files if entry.kind == FINE), key=lambda entry: entry.seq_lo)
        for at, entry in enumerate(fine):
            for other in fine[at + 1:]:
                if other.seq_lo > entry.seq_hi:
                    break
                if (other.start < entry.end and entry.start < other.end and other.seq_lo != entry.seq_lo
                        and (other.ids == entry.ids or ALL_IDS in (other.ids, entry.ids))):
                    report.add(other.path, WRONG, f"holds cuts that {entry.path} holds too")
    paths = [entry.path for entry in state.files]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        report.add(path, WRONG, "is in the MANIFEST twice")


def _orphans(folder: Path, report: Report) -> None:
    """Files that no MANIFEST names: the rest of a crash, or just being written."""
    states = [state for state in (manifest.load(folder)[0], manifest.load_previous(folder)) if state is not None]
    named = OWN.union(*(manifest.references(state) for state in states))
    oldest = min((state.held_from for state in states), default=0)
    for path in sorted(folder.rglob("*")):
        where = str(path.relative_to(folder))
        if not path.is_file() or where in named or where.startswith(ELSEWHERE):
            continue
        if path.suffix == ".journal" and path.stem.isdigit() and int(path.stem) >= oldest:
            continue
        report.add(where, NOTE, "no MANIFEST names it; the next start of a server removes what a crash left")
