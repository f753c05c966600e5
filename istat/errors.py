"""Every error that istatd raises on purpose, each with the exit code of a command that ends by it.

Two kinds of fault are kept apart: a sender's (`BadName`, `BadLine`, `BadQuery`: counted and answered, never
a traceback) and the operator's or the machine's (settings, store, plugins: told in one sentence).
"""

from __future__ import annotations

from collections.abc import Iterable

#: What a server's refusal of an address begins with where there is no such thing at all; not that of a counter.
NO_PATH = "no such path"
# That for a namespace that is not there, which is istatd's.
NO_SETTINGS = "no such settings"


class IstatError(Exception):
    """It cannot be done for a reason that has no status of its own; a sentence says which.

    Base of all of them. `exit_code` is distinct per class, so that scripts can branch on it.
    """

    exit_code = 1


class UsageError(IstatError):
    """The command line asks for something that does not exist."""

    exit_code = 2  # what shells and getopt use for it


class UnknownResidency(IstatError):
    """Of at least one file it is unknown what of it is in memory: only its owner and who may write it are told."""

    exit_code = 3


class SettingsError(IstatError):
    """Settings that cannot be used; each problem is named. `problems` has a sentence for each of them."""

    exit_code = 78  # EX_CONFIG of sysexits.h: a service manager can be told not to restart on it

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class BadName(IstatError):
    """A counter name that cannot be used."""

    exit_code = 80


class BadLine(IstatError):
    """A line of a sender that is no sample. `kind` is the name under which it is counted."""

    exit_code = 81

    def __init__(self, kind: str, message: str = "") -> None:
        self.kind = kind
        super().__init__(message or kind)


class BadRetention(IstatError):
    """A retention rule that cannot be read or cannot be kept."""

    exit_code = 82


class BadQuery(IstatError):
    """A question that cannot be answered as asked. `status` is the HTTP status for it."""

    exit_code = 83
    default_status = 400

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = self.default_status if status is None else status
        super().__init__(message)


class UnknownCounter(BadQuery):
    """There is no counter of that name."""

    exit_code = 84
    default_status = 404


class UnknownNamespace(BadQuery):
    """There is no namespace of that name (istatd: settings)."""

    exit_code = 98
    default_status = 404


class ServerUnreachable(IstatError):
    """The server did not answer, or not as an istat-server would. `answered`: it did, in its own words, as one
    whose store is not open yet."""

    exit_code = 85

    def __init__(self, sentence: str = "", answered: bool = False) -> None:
        super().__init__(sentence)
        self.answered = answered


class PluginError(IstatError):
    """A plugin that cannot be loaded or does not fit its specification."""

    exit_code = 86


class BadBatch(IstatError):
    """Frames of acknowledged batches that cannot be read: damaged, or of a newer istatd."""

    exit_code = 119


class StoreError(IstatError):
    """The store cannot be opened, read or written: no permission, no folder, a newer format."""

    exit_code = 91


class StoreCorrupt(StoreError):
    """Bytes of the store are not what was written."""

    exit_code = 90


class StoreLocked(StoreError):
    """Another process has the store open."""

    exit_code = 92


class StoreFull(StoreError):
    """The disk is full, or there are as many counters as there may be."""

    exit_code = 93


class CubeError(IstatError):
    """A cube of istat.cube cannot do what it was asked for."""

    exit_code = 100


class KeyTooLong(CubeError):
    """The values of a cell's dimensions take more bytes than a key may have."""

    exit_code = 101


class DuplicateName(CubeError):
    """There is a cube, dimension, tag or metric of that name already."""

    exit_code = 102


class SchemaMismatch(CubeError):
    """Two cubes of one name cannot be merged: each conflict is named."""

    exit_code = 103


class FormatError(CubeError):
    """Bytes that are no frame of cubes, or a damaged one. `offset` is where in them, `reason` what is wrong there."""

    exit_code = 104

    def __init__(self, offset: int, reason: str) -> None:
        self.offset, self.reason = offset, reason
        super().__init__(f"at byte {offset}: {reason}")

    def __reduce__(self) -> tuple[type[FormatError], tuple[int, str]]:
        return FormatError, (self.offset, self.reason)


class ConcurrentUse(CubeError):
    """A second thread entered an instance while another one was at work in it; `Easy` is for many threads."""

    exit_code = 105


class LayoutError(IstatError):
    """A file's layout that cannot be read, or a description of one that is none."""

    exit_code = 110


class PageLogError(IstatError):
    """A page log that cannot be read: not of this format, damaged, or too large."""

    exit_code = 111


class SnapshotError(IstatError):
    """A snapshot of what is in memory that cannot be read: not of this format, cut off, or of another page size."""

    exit_code = 112


class SpoolError(IstatError):
    """A spool cannot be opened: no permission, no folder, a newer format."""

    exit_code = 113


class SpoolLocked(SpoolError):
    """Another process has the spool open."""

    exit_code = 114


class NotStarted(IstatError):
    """The program that was to be run could not be started."""

    exit_code = 125  # what env, nohup and timeout use for failures of their own
