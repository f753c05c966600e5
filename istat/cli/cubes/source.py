"""What a program writes at every interval, to a file that it replaces or to a folder: the newest. Draws nothing."""

from __future__ import annotations

from pathlib import Path

from istat.cli.cubes import files
from istat.cube import Instance
from istat.cube.easy.sinks import SUFFIX
from istat.errors import CubeError, FormatError

Stamp = tuple[int, int, int]        # of a file: when it was written [ns], its inode, its size [bytes]


class Source:
    """Frames of a path. Of a folder the files `*.cube` whose data end last: those of several programs end at the same
    edge, and are merged. `last` [s]: those that end so much earlier belong to it, too."""

    def __init__(self, path: Path, last: float = 0.0) -> None:
        self._path, self._last = path, round(last * files.SECOND)
        self._seen: list[tuple[Path, Stamp]] | None = None
        self._known: dict[tuple[Path, Stamp], Instance] = {}
        #: Of the files that belong to it those that could not be read, such as one that is half written.
        self.problems: list[FormatError] = []

    def newest(self) -> Instance | None:
        """What is there now; None when nothing has changed since the last time, or there is nothing. OSError for a path
        that cannot be read, CubeError for frames that cannot be merged."""
        found = self._files()
        if found == self._seen:
            return None
        self._seen, self.problems = found, []
        frames: list[Instance] = []
        known: dict[tuple[Path, Stamp], Instance] = {}
        for one in found:
            instance = self._known.get(one) or self._read(one[0])
            if instance is None:
                continue
            known[one] = instance
            if frames and instance.t1 < max(frame.t1 for frame in frames) - self._last:
                break       # files are the newer, the later their data end: all others are older
            frames.append(instance)
        self._known = known
        return _merged(self._path, frames) if frames else None

    def _files(self) -> list[tuple[Path, Stamp]]:
        """The files that there are, the newest first."""
        if not self._path.is_dir():
            return [(self._path, _stamp(self._path))]
        found = []
        for path in self._path.glob(f"*{SUFFIX}"):
            try:
                if path.is_file():
                    found.append((path, _stamp(path)))
            except FileNotFoundError:       # it has just gone
                continue
        return sorted(found, key=lambda one: (one[1], one[0]), reverse=True)

    def _read(self, path: Path) -> Instance | None:
        try:
            return files.read(path)
        except FormatError as error:
            self.problems.append(error)
        except FileNotFoundError:
            pass                            # it went between the list and here; the next list will not have it
        except OSError as error:
            if path == self._path:
                raise
            self.problems.append(files.BadFrame(f"{path}: {error.strerror}"))    # of a folder the others are read
        return None


def _stamp(path: Path) -> Stamp:
    about = path.stat()
    return about.st_mtime_ns, about.st_ino, about.st_size


def _merged(path: Path, frames: list[Instance]) -> Instance:
    """One instance of all; of a writer whose frames are cumulative the last one."""
    chosen: list[Instance] = []
    for frame in frames:
        if frame.delta or all(frame.id != one.id for one in chosen):
            chosen.append(frame)
    if len(chosen) == 1:
        return chosen[0]
    total = Instance(files.named(path.name, "all"))
    for frame in chosen:
        try:
            total.merge(frame)
        except CubeError as error:
            raise CubeError(f"the frames of {path} cannot be merged: {error}") from error
    return total
