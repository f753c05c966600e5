"""A replica's store: one whose inner one is exchanged when a new copy of the master's has come.

Asks are handed on. While copies change places, for seconds at most, who asks waits. The inner store refuses samples
and changes by itself for as long as it follows another. Knows no master; what is told of one is handed in.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from gevent.event import Event

from istat.errors import IstatError, StoreError
from istat.retention import Ladder
from istat_server.store.interface import (
    Accepted,
    Answer,
    Batch,
    Capability,
    Child,
    Counter,
    Deleted,
    Description,
    Function,
    Mark,
    Marked,
    NamePattern,
    Page,
    Question,
    Totals,
)
from istat_server.store.statstore import StatStore
from istat_server.store.work.copying import Copying

EXCHANGED = "the replica's store is being exchanged for a new copy; ask again in a moment"
PATIENCE = 60.0         # that somebody waits while copies change places, before he is refused [s]


class ReplicaStore:
    """Keeps `store.interface.Store`. `inner` is what it is now."""

    capabilities = frozenset(Capability)

    def __init__(self, inner: StatStore, reopen: Callable[[], StatStore], master: str) -> None:
        """`reopen`: opens the folder anew; `master`: where the one that is followed is asked."""
        self._inner: StatStore | None = inner
        self._reopen, self.master = reopen, master
        self._there = Event()       # it is, or it could not be opened
        self._there.set()
        self._problem = ""          # why it could not
        # How following goes, for the status; and what makes a master of it, which tells what it did. BadQuery.
        self.told: Callable[[], Mapping[str, object]] = dict
        self.promote: Callable[[], Mapping[str, object]] = dict
        self._name_master(inner)

    def _name_master(self, inner: StatStore) -> None:
        inner.following.master = self.master

    @property
    def inner(self) -> StatStore:
        """The store, once it is there. StoreError when that takes too long, or it could not be opened anew."""
        if self._inner is None:
            self._there.wait(PATIENCE)
        if self._inner is None:
            raise StoreError(self._problem or EXCHANGED)
        return self._inner

    @property
    def follows(self) -> bool:
        """Whether it is a replica's yet, which nobody waits for."""
        return self._inner is None or self._inner.following.active

    def exchange(self, swap: Callable[[], None]) -> None:
        """Close the store, let `swap` put another one into its folder, and open that. Whatever fails, what is in the
        folder then is opened. Blocks the greenlet."""
        inner = self.inner
        self._there.clear()
        self._inner = None
        try:
            inner.close()
            swap()
        finally:
            self.open_again()

    def open_again(self) -> None:
        """Open what is in the folder, where nothing is open. StoreError."""
        if self._inner is None:
            try:
                opened = self._reopen()
            except (IstatError, OSError) as error:
                self._problem = f"the replica's store cannot be opened: {error}"
                self._there.set()       # nobody need wait for what may not come
                raise
            self._name_master(opened)
            self._inner, self._problem = opened, ""
            self._there.set()

    # -- the store's interface

    @property
    def copying(self) -> Copying:
        """What those are given that follow this replica."""
        return self.inner.copying

    @property
    def ladder(self) -> Ladder:
        """See Store."""
        return self.inner.ladder

    @property
    def refusing(self) -> str:
        """See Store."""
        return self.inner.refusing

    @property
    def read_only(self) -> str:
        """See Store."""
        return self.inner.read_only

    @property
    def ticket(self) -> int:
        """See Store."""
        return self.inner.ticket

    @property
    def written(self) -> int:
        """See Store. It is asked from the event loop itself, which cannot wait for a store that is exchanged."""
        return 0 if self._inner is None else self._inner.written

    def hurry(self) -> None:
        """See Store, and `written`."""
        if self._inner is not None:
            self._inner.hurry()

    def ladder_of(self, id: int) -> Ladder:
        """See Store."""
        return self.inner.ladder_of(id)

    def find(self, name: bytes) -> Counter | None:
        """See Store."""
        return self.inner.find(name)

    def counter(self, id: int) -> Counter:
        """See Store."""
        return self.inner.counter(id)

    def count(self) -> int:
        """See Store."""
        return self.inner.count()

    def describe(self, ids: Sequence[int]) -> list[Description]:
        """See Store."""
        return self.inner.describe(ids)

    def match(self, pattern: NamePattern, limit: int, token: str = "") -> Page[Counter]:
        """See Store."""
        return self.inner.match(pattern, limit, token)

    def search(self, words: Sequence[bytes], limit: int, token: str = "") -> Page[Counter]:
        """See Store."""
        return self.inner.search(words, limit, token)

    def children(self, prefix: bytes, limit: int, token: str = "") -> Page[Child]:
        """See Store."""
        return self.inner.children(prefix, limit, token)

    def read(self, question: Question) -> list[Answer]:
        """See Store."""
        return self.inner.read(question)

    def combine(self, question: Question, groups: Sequence[Sequence[int]], function: Function) -> list[Answer]:
        """See Store."""
        return self.inner.combine(question, groups, function)

    def accept(self, view: memoryview, start: int, end: int) -> Accepted:
        """See Store."""
        return self.inner.accept(view, start, end)

    def accept_batch(self, batch: Batch) -> Accepted:
        """See Store."""
        return self.inner.accept_batch(batch)

    def prepare(self, text: bytes, clock: int, interval: int) -> Iterator[None]:
        """See Store."""
        return self.inner.prepare(text, clock, interval)

    def accept_marked(self, view: memoryview, start: int, end: int, clock: int, interval: int, mark: Mark) -> Marked:
        """See Store."""
        return self.inner.accept_marked(view, start, end, clock, interval, mark)

    def knows(self, mark: tuple[bytes, int, int]) -> bool:
        """See Store."""
        return self.inner.knows(mark)

    def last_sequence(self, sender: bytes, epoch: int) -> int:
        """See Store."""
        return self.inner.last_sequence(sender, epoch)

    def totals(self) -> Totals:
        """See Store."""
        return self.inner.totals()

    def delete(self, ids: Sequence[int]) -> int:
        """See Store."""
        return self.inner.delete(ids)

    def undelete(self, ids: Sequence[int]) -> list[Deleted]:
        """See Store."""
        return self.inner.undelete(ids)

    def deleted(self, pattern: NamePattern, limit: int, behind: tuple[int, int] | None = None) -> list[Deleted]:
        """See Store."""
        return self.inner.deleted(pattern, limit, behind)

    def deleted_called(self, names: Collection[bytes]) -> list[Deleted]:
        """See Store."""
        return self.inner.deleted_called(names)

    def rename(self, pairs: Sequence[tuple[int, bytes]]) -> None:
        """See Store."""
        self.inner.rename(pairs)

    def rename_problems(self, pairs: Sequence[tuple[int, bytes]]) -> Iterator[str]:
        """See Store."""
        return self.inner.rename_problems(pairs)

    def confirm_clock(self) -> str:
        """See Store."""
        return self.inner.confirm_clock()

    def status(self) -> Mapping[str, object]:
        """See Store; with how following goes."""
        return {**self.inner.status(), "replica": self.told()}

    def tick(self) -> None:
        """See Store. While copies change places there is nothing to be done."""
        if self._inner is not None:
            self._inner.tick()

    def flush(self) -> None:
        """See Store."""
        self.inner.flush()

    def close(self) -> None:
        """See Store."""
        if self._inner is not None:
            self._inner.close()
