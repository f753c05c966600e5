"""Namespaces: keys and values for people and pages, bounded, durable, with the earlier versions of each key.

A change is answered when it is on the disk: first the `.set` file is replaced, then its versions are appended to the
`.versions` file. Files that others edit are picked up by themselves. Knows files and threads; no HTTP.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gevent.lock import BoundedSemaphore

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.errors import NO_SETTINGS, BadQuery, StoreError, UnknownNamespace
from istat.patterns.globs import glob
from istat_server.keyvalue import contents, syntax
from istat_server.keyvalue.bounds import SHOWN, Bounds, check_file, check_folder, check_name, checked
from istat_server.keyvalue.contents import Changes, Past, Present
from istat_server.keyvalue.folder import VALUES, VERSIONS, Folder
from istat_server.keyvalue.held import Held
from istat_server.keyvalue.history import Version
from istat_server.store.pool import InlinePool, Pool

log = logging.getLogger(__name__)

BOUNDS = Bounds()
TRIES = 3       # on files that others change meanwhile
LINE = 40       # what a version has in its file besides key and value, about [bytes]


@dataclass(frozen=True)
class Written:
    """What a change did. `versions`: the new number of each key that changed; `skipped`: keys that cannot be."""

    versions: Mapping[str, int]
    skipped: tuple[str, ...] = ()


@dataclass
class _Lock:
    """Who changes a namespace, or wants to."""

    semaphore: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(1))
    users: int = 0


class Namespaces:
    """All namespaces of a folder. Its calls wait without stopping the hub, where `pool` is gevent's."""

    def __init__(self, path: Path, clock: Clock, pool: Pool | None = None, bounds: Bounds = BOUNDS) -> None:
        """Tells of files that are too large, and serves the others. StoreError for a folder that cannot be trusted."""
        self.bounds = bounds
        self._folder, self._clock = Folder(path), clock
        self._pool = InlinePool() if pool is None else pool
        self._held = Held(bounds.memory)
        self._locks: dict[str, _Lock] = {}
        self._waiting = 0
        self._coming = [0, 0]       # namespaces that are being made, and bytes that files grow by just now
        self.read_only: Callable[[], str] = str         # why nothing is to be changed but by `replace`, or ""
        self._counts = dict.fromkeys(("get", "match", "set", "save", "refused", "skipped"), 0)
        self._log = LimitedLog(log, clock)
        self._folder.check()
        self._folder.clear()
        for name, size in self._folder.sizes().items():
            if size > bounds.file:
                self._log.warning("oversized", "%s: it has %d bytes, and %d is the most: it is not served; others are",
                                  self._folder.place(name), size, bounds.file)

    def totals(self) -> dict[str, float]:
        """How many questions, keys set, files written, changes refused and keys skipped there were, by metric."""
        return {f"settings.{what}": count for what, count in self._counts.items()}

    def names(self) -> list[str]:
        """All namespaces there are, in order."""
        return list(self.sizes())

    def sizes(self) -> dict[str, int]:
        """The same, with the size of each one's file [bytes]."""
        return dict(sorted(self._pool.apply(self._folder.sizes).items()))

    def get(self, name: str, pattern: str = "*") -> dict[str, str]:
        """The values of the keys that fit a pattern (`*` any run of signs, `?` any without dots), in order of keys.

        BadQuery for a name that cannot be, UnknownNamespace, StoreCorrupt when its file cannot be read.
        """
        self._counts["get" if pattern == "*" else "match"] += 1
        values = self._there(name).values
        if pattern == "*":
            return dict(sorted(values.items()))
        wanted = glob(pattern.encode())
        return {key: values[key] for key in sorted(values) if wanted.fits(key.encode())}

    def numbers(self, name: str) -> dict[str, int]:
        """The number of the present version of each key. Errors as of `get`."""
        with self._alone(name):
            present = self._there(name)
            past = self._past(name)
            unknown = past.unknown(present)
            return {key: past.newest(key, unknown) for key in present.values}

    def versions(self, name: str, key: str) -> list[Version]:
        """What a key was, the newest first; empty where nothing is known of it. BadQuery, StoreError."""
        with self._alone(name):
            past = self._past(name)
            unknown = past.unknown(self._present(name))
            most = self.bounds.versions
            found = self._pool.apply(contents.read_versions, (self._folder, name, past, key, most))
        return [*([unknown[key]] if key in unknown else []), *found][:most]

    def set(self, name: str, changes: Mapping[str, str], expected: Mapping[str, int] | None = None,
            skip: bool = False) -> Written:
        """Change keys, all of them or none, and return when that is on the disk; an empty value deletes a key. The
        namespace is made where there is none.

        `expected`: the version that keys have (0: there is none), or nothing is done (BadQuery 409). `skip`: leave out
        keys that cannot be, as istatd does. BadQuery for what cannot be or is too much, StoreError when it cannot be
        written.
        """
        if why := self.read_only():
            raise BadQuery(why, 409)
        try:
            with self._alone(name):
                done = self._set_anew(name, changes, expected or {}, skip)
        except BadQuery:
            self._counts["refused"] += 1
            raise
        if done.skipped:
            self._counts["skipped"] += len(done.skipped)
            self._log.warning("skipped", "settings %r: %d keys cannot be, such as %r, and were left out", name,
                              len(done.skipped), done.skipped[0][:SHOWN])
        return done

    def restore(self, name: str, key: str, number: int) -> Written:
        """Make an earlier version of a key its present one. BadQuery 404 when it is not kept."""
        version = next((one for one in self.versions(name, key) if one.number == number), None)
        if version is None:
            raise BadQuery(f"no version {number} of {key[:SHOWN]!r} is kept in the settings {name!r}", 404)
        return self.set(name, {key: version.value or ""})

    def stamps(self) -> dict[str, str]:
        """The namespaces there are, each with a text that changes when one of its files does."""
        found: dict[str, str] = self._pool.apply(lambda: {name: self._stamp(name) for name in self._folder.sizes()})
        return found

    def _stamp(self, name: str) -> str:
        stamps = (self._folder.stamp(name, kind) for kind in (VALUES, VERSIONS))
        return " ".join(f"{one.inode}.{one.changed}.{one.size}" if one else "-" for one in stamps)

    def raw(self, name: str) -> tuple[str, bytes, bytes] | None:
        """(stamp, values, versions) of a namespace, as its files have them; None when there is none. BadQuery for a
        name that cannot be, StoreError."""
        check_name(name)

        def read() -> tuple[str, bytes, bytes] | None:
            stamp = self._stamp(name)       # before the files: what changes meanwhile is seen by the next look
            values = self._folder.read(name, self.bounds.file)
            versions = self._folder.read(name, contents.MOST_HISTORY, VERSIONS)
            return (stamp, values[0], versions[0] if versions else b"") if values else None

        found: tuple[str, bytes, bytes] | None = self._pool.apply(read)
        return found

    def replace(self, name: str, values: bytes | None, versions: bytes = b"") -> None:
        """Have a namespace be what another server's files say; None: there is none. BadQuery for a name that cannot be
        or files that are too large, StoreError when it cannot be written."""
        with self._alone(name):
            if values is not None and len(values) > self.bounds.file:
                raise BadQuery(f"the settings {name!r} have {len(values)} bytes, and {self.bounds.file} is the most",
                               413)
            self._pool.apply(self._replace, (name, values, versions))
            self._held.forget(name)

    def _replace(self, name: str, values: bytes | None, versions: bytes) -> None:
        """In a thread. Versions first: values whose versions are not known get these by themselves."""
        if values is None:
            self._folder.remove(name)
            return
        self._folder.write(name, versions, VERSIONS)
        self._folder.write(name, values)

    def flush(self, name: str | None = None) -> None:
        """Write what is in no file yet (only versions, of changes that were made by hand), and forget what is in
        memory: of one namespace, or of all. BadQuery, StoreError: of the first one that failed, when all are done."""
        failed: list[StoreError | BadQuery] = []
        for one in self._held.names() if name is None else [name]:
            try:
                with self._alone(one):
                    self._flush(one)
            except (StoreError, BadQuery) as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _flush(self, name: str) -> None:
        try:
            if self._held.present(name) is not None:
                past = self._past(name)
                self._save(name, past, past.unknown(self._present(name)))
        finally:
            self._held.forget(name)

    def load(self, name: str) -> None:
        """Read a namespace's file again now. Errors as of `get`."""
        with self._alone(name):
            self._held.forget(name)
            self._there(name)

    def close(self) -> None:
        """Write what is in no file yet. What cannot be is told in the log."""
        for name in self._held.names():
            try:
                self.flush(name)
            except (StoreError, BadQuery) as error:
                log.warning("versions of the settings %r are not kept: %s", name, error)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """While inside: nobody else changes this namespace. BadQuery for a name that cannot be, or where too many
        wait."""
        check_name(name)
        if self._waiting >= self.bounds.waiting:
            raise BadQuery("too many changes of settings wait for each other; try again", 503)
        lock = self._locks.setdefault(name, _Lock())
        lock.users += 1
        try:
            self._waiting += 1
            try:
                lock.semaphore.acquire()
            finally:
                self._waiting -= 1
            try:
                yield
            finally:
                lock.semaphore.release()
        finally:
            lock.users -= 1
            if not lock.users:
                self._locks.pop(name, None)

    def _present(self, name: str) -> Present:
        """A namespace as its file is now."""
        present = self._held.present(name) or Present({}, None)
        if present.stamp != self._folder.stamp(name):
            present = self._pool.apply(contents.read_present, (self._folder, name, self.bounds.file))
            self._held.keep_present(name, present)
        return present

    def _there(self, name: str) -> Present:
        present = self._present(check_name(name))
        if present.stamp is None:
            raise UnknownNamespace(NO_SETTINGS)
        return present

    def _past(self, name: str) -> Past:
        """The versions of a namespace, as their file is now. Only for who is alone with it."""
        past = self._held.past(name)
        if past is None or past.stamp != self._folder.stamp(name, VERSIONS):
            past = self._pool.apply(contents.read_past, (self._folder, name))
            self._held.keep_past(name, past)
            if past.index.damaged:
                self._log.warning("damaged", "%s: %d damaged lines are left out", self._folder.place(name, VERSIONS),
                                  past.index.damaged)
        return past

    def _set_anew(self, name: str, changes: Mapping[str, str], expected: Mapping[str, int], skip: bool) -> Written:
        """The same as `_set`, on what others wrote meanwhile where they did."""
        for _ in range(TRIES):
            try:
                return self._set(name, changes, expected, skip)
            except contents.ChangedMeanwhile:
                continue
        return self._set(name, changes, expected, skip)

    def _set(self, name: str, changes: Mapping[str, str], expected: Mapping[str, int], skip: bool) -> Written:
        present, past = self._present(name), self._past(name)
        wanted, skipped = checked(changes, present.values, self.bounds, skip)
        unknown = past.unknown(present)
        for key, number in expected.items():
            newest = past.newest(key, unknown)
            if newest != number:
                raise BadQuery(f"{key[:SHOWN]!a} has version {newest} by now, not {number}: somebody else has changed "
                               "it; look again", 409)
        changed = {key: value for key, value in wanted.items() if value != present.values.get(key, "")}
        if not changed and present.stamp is not None:
            return Written({}, skipped)
        self._save(name, past, unknown)
        after = {key: value for key, value in {**present.values, **changed}.items() if value}
        data: bytes = self._pool.apply(syntax.encode, (after,))
        size = present.stamp.size if present.stamp else 0
        check_file(len(after), len(data), (len(present.values), size), self.bounds)
        growth = len(data) - size + sum(len(key) + len(value) + LINE for key, value in changed.items())
        with self._room(present.stamp is None, growth):
            stamp = self._pool.apply(contents.write_present, (self._folder, name, data, present))
            self._counts["save"] += 1
            self._counts["set"] += len(changed)
            self._held.keep_present(name, Present(after, stamp))
            fresh = self._versioned(name, past)
        return Written({key: version.number for key, version in fresh.items() if key in changed}, skipped)

    def _versioned(self, name: str, past: Past) -> Changes:
        """Write the versions of what the file has now, and tell them."""
        fresh = past.unknown(self._present(name), int(self._clock.now()))
        try:
            self._save(name, past, fresh)
        except StoreError as error:     # nothing is lost: they are found again, as those are that others made
            self._log.warning("versions", "%s; it is tried again with the next change", error)
        return fresh

    @contextmanager
    def _room(self, is_new: bool, growth: int) -> Iterator[None]:
        """While inside: there is room for so many bytes more, whatever others write meanwhile. BadQuery."""
        names, used = self._pool.apply(self._usage)
        check_folder(is_new, growth, names + self._coming[0], used + self._coming[1], self.bounds)
        taken = int(is_new), max(0, growth)
        self._coming = [self._coming[0] + taken[0], self._coming[1] + taken[1]]
        try:
            yield
        finally:
            self._coming = [self._coming[0] - taken[0], self._coming[1] - taken[1]]

    def _usage(self) -> tuple[int, int]:
        """How many namespaces there are, and the bytes of all files."""
        sizes = self._folder.sizes()
        return len(sizes), sum(sizes.values()) + sum(self._folder.sizes(VERSIONS).values())

    def _save(self, name: str, past: Past, changes: Changes) -> None:
        keep = self.bounds.versions, self.bounds.history
        if not changes:
            return
        try:
            self._pool.apply(contents.write_versions, (self._folder, name, past, changes, keep))
        except StoreError:
            self._held.forget_past(name)
            raise
        self._held.keep_past(name, past)
