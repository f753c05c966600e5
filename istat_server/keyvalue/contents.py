"""What is in the two files of a namespace: its present values, and its versions. All calls block.

The `.set` file is what counts, since people edit it; where it differs from the newest versions, somebody else has
changed it, or the power failed between the two files, and what is in it becomes a version. Knows no threads, and
bounds only where it is told them.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from istat.errors import StoreCorrupt, StoreError
from istat_server.keyvalue import history, syntax
from istat_server.keyvalue.folder import VERSIONS, Folder, Stamp
from istat_server.keyvalue.history import History, Version

# What is read of a `.versions` file at most [bytes]: it may have been written under other bounds.
MOST_HISTORY = 64 << 20
Changes = Mapping[str, Version]        # one of a key


@dataclass(frozen=True)
class Present:
    """The values of a `.set` file. `stamp`: None where there is no file."""

    values: Mapping[str, str]
    stamp: Stamp | None


@dataclass
class Past:
    """The versions of a namespace, and the values that its keys had after the last of them. `stamp`: None where there
    is no file."""

    index: History
    values: dict[str, str]
    stamp: Stamp | None = None

    def unknown(self, present: Present, time: int | None = None) -> Changes:
        """What became of the file since, as versions that are in no file yet, of a time [Unix seconds] or of when it
        was changed."""
        if time is None:
            time = present.stamp.seconds if present.stamp else 0
        now, before = present.values, self.values
        if now == before:
            return {}
        changed = [key for key in {**before, **now} if now.get(key) != before.get(key)]
        return {key: Version(number, time, now.get(key)) for number, key in enumerate(sorted(changed),
                                                                                      self.index.last + 1)}

    def newest(self, key: str, more: Changes) -> int:
        """The number of a key's present version, by the file and what is in none; 0 where there is no such key."""
        version = more.get(key)
        if version is None:
            return self.index.newest(key)
        return version.number if version.value is not None else 0


def read_present(folder: Folder, name: str, most: int) -> Present:
    """The values of a namespace. StoreCorrupt for a file that cannot be read, or has more than `most` bytes."""
    found = folder.read(name, most)
    if found is None:
        return Present({}, None)
    data, stamp = found
    try:
        return Present(syntax.decode(data), stamp)
    except StoreCorrupt as error:
        raise StoreCorrupt(f"{folder.place(name)}: {error}; put it right, or move it away") from None


class ChangedMeanwhile(StoreError):
    """Somebody else has changed the file since it was read."""


def write_present(folder: Folder, name: str, data: bytes, before: Present) -> Stamp:
    """Replace the values that were read. StoreError: ChangedMeanwhile, and nothing is lost of what others wrote."""
    if folder.stamp(name) != before.stamp:
        raise ChangedMeanwhile(f"{folder.place(name)}: somebody else changes it all the time; try again")
    return folder.write(name, data)


def read_past(folder: Folder, name: str) -> Past:
    """The versions of a namespace. StoreCorrupt for a file that is none, or a newer istatd's."""
    found = folder.read(name, MOST_HISTORY, VERSIONS)
    if found is None:
        return Past(History(), {})
    data, stamp = found
    try:
        index = history.read(data)
    except StoreCorrupt as error:
        raise StoreCorrupt(f"{folder.place(name, VERSIONS)}: {error}; move it away, and versions begin anew") from None
    newest = {key: history.version_at(data, records[-1]) for key, records in index.records.items()}
    values = {key: version.value for key, version in newest.items() if version and version.value is not None}
    return Past(index, values, stamp)


def read_versions(folder: Folder, name: str, past: Past, key: str, most: int) -> list[Version]:
    """The newest versions of a key that are in the file, the last one first."""
    records = past.index.records.get(key, [])[-most:]
    found = folder.read(name, MOST_HISTORY, VERSIONS) if records else None
    if found is None:
        return []
    versions = [history.version_at(found[0], record) for record in reversed(records)]
    return [version for version in versions if version is not None]


def write_versions(folder: Folder, name: str, past: Past, changes: Changes, keep: tuple[int, int]) -> None:
    """Append versions, and know them. `keep`: how many of a key, and how many bytes, where the file gets too large: it
    is written anew then. StoreError; nothing is known of what is in the file then, and it is to be read again."""
    lines = {key: history.line_of(key, version) for key, version in changes.items()}
    if not past.index.whole:
        folder.write(name, history.HEADER, VERSIONS)
        past.index.whole = len(history.HEADER)
    past.stamp = folder.append(name, past.index.whole, b"".join(lines.values()))
    for key, version in changes.items():
        past.index.add(key, version.number, version.value is not None, len(lines[key]))
        if version.value is None:
            past.values.pop(key, None)
        else:
            past.values[key] = version.value
    _shorten(folder, name, past, keep)


def _shorten(folder: Folder, name: str, past: Past, keep: tuple[int, int]) -> None:
    """Write the versions anew without the oldest, where a key has twice as many as are kept, or the file is too
    large: to half of that, so that it is not done at every change."""
    each, most = keep
    if past.index.whole <= most and all(len(records) <= 2 * each for records in past.index.records.values()):
        return
    found = folder.read(name, MOST_HISTORY, VERSIONS)
    if found is None:
        return
    half = most // 2 if past.index.whole > most else most
    data = history.rewritten(found[0], history.kept(past.index, each, half))
    past.stamp = folder.write(name, data, VERSIONS)
    past.index = history.read(data)
