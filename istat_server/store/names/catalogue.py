"""The counters' names: learning new ones, finding old ones. A readable skin over the engine's name tables.

Knows no samples and no files. Belongs to the hub, as the engine does.
"""
from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from istat import names
from istat.clock import Clock
from istat.errors import BadQuery
from istat_server.store.files.manifest import PLAIN, Lineage
from istat_server.store.interface import TOKEN_ROOM, Child, Counter, Kind, NamePattern, Page
from istat_server.store.names.lineage import fed, listed
from istat_server.store.names.nameindex import NameIndex
from istat_server.store.pool import Pool

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine


# What tokens begin with: of which question they are.
MATCH, SEARCH, CHILDREN = "m", "s", "c"
_NUMBER = re.compile(rb"[0-9]{1,10}")
_NAME = re.compile(rb"[!-~]*")


class Meaning(NamedTuple):
    """What a wire name that has no route means: its counters, with ids of -1 for those that do not exist."""

    event: bool
    names: Sequence[bytes]
    ids: list[int]

    def narrowed(self, wanted: Sequence[bool]) -> Meaning:
        """Those of its counters that are wanted."""
        return Meaning(self.event, list(compress(self.names, wanted)), list(compress(self.ids, wanted)))

    @property
    def wire(self) -> bytes:
        """A wire name that means just these."""
        return (b"*^" if self.event else b"^") + b"^".join(self.names)


class Learned(enum.Enum):
    """What became of a wire name."""

    KNOWN = "known"             # it has a route now
    NOTHING = "nothing"         # it means no counter at all, such as a lone `*`
    FULL = "name_refused"       # the store has as many counters as it may have
    TOO_LONG = "name_too_long"


def _told(kind: str, token: str) -> bytes | None:
    """Where a page begins; None: at the beginning. BadQuery when no page of this kind gave this token."""
    if not token:
        return None
    text = token[1:].encode("utf-8", "replace")
    form = _NUMBER if kind == MATCH else _NAME
    if token[0] != kind or len(token) > TOKEN_ROOM or not form.fullmatch(text):
        raise BadQuery("this token is of no list like this one; ask for the first page without any")
    return text


class Catalogue:
    """Names of one store's counters. Ids are the engine's."""

    def __init__(self, engine: Engine, max_counters: int, clock: Clock, pool: Pool, indexing: Pool,
                 policy_for: Callable[[bytes], int | None] = lambda _name: None,
                 lineage: Lineage = PLAIN) -> None:
        """pool: for long searches; indexing: for what makes them short; policy_for: of a new counter (None: the
        default); lineage: which ancestors counters have."""
        self._policy_for, self._lineage = policy_for, lineage
        self.folded = 0         # wire names that were new and meant counters known already
        self.lone = 0           # wire names whose ancestors had no room
        self._engine = engine
        self._index = NameIndex(engine.counters, clock, pool, indexing)
        self._max = max_counters

    def count(self) -> int:
        """How many counters there are."""
        return self._engine.counters.count()

    def learn(self, wire: bytes) -> Learned:
        """Give a new wire name its route, and make the counters it feeds that do not exist yet."""
        meaning = self.meaning(wire)
        return meaning if isinstance(meaning, Learned) else self.add(wire, meaning)

    def meaning(self, wire: bytes) -> Meaning | Learned:
        """What a wire name means that has no route; else what became of it."""
        if len(wire) > names.WIRE_NAME_ROOM or wire.count(b"^") > names.CARETS_ROOM:
            return Learned.TOO_LONG
        if self._engine.routes.find(wire) >= 0:
            return Learned.KNOWN
        event, found = names.expand(wire)
        if not found:
            return Learned.NOTHING
        find = self._engine.counters.find
        return Meaning(event, found, [find(name) for name in found])

    def targets(self, meaning: Meaning) -> list[tuple[bool, int | None]]:
        """Of the counters that are meant: whether each counts events, and the number of its policy."""
        engine = self._engine
        return [(engine.is_event(id), engine.policy(id)) if id >= 0 else (meaning.event, self._policy_for(name))
                for id, name in zip(meaning.ids, meaning.names, strict=True)]

    def add(self, wire: bytes, meaning: Meaning) -> Learned:
        """Give a wire name its route, and make those of its counters and their ancestors that do not exist.

        Where there is no room for new ancestors of counters that exist, these are fed without them."""
        engine, (event, found, ids) = self._engine, meaning
        above = fed(self._lineage, found)
        family = dict.fromkeys([*above, *listed(self._lineage, found)])
        new = [name for name in family if name not in found and engine.counters.find(name) < 0]
        if not self._has_room(ids.count(-1) + len(new)):
            if -1 in ids or not self._has_room(0):
                return Learned.FULL
            self.lone += 1
            above, new = [name for name in above if name not in new], []
        if -1 not in ids:
            self.folded += 1
        for at, name in enumerate(found):
            if ids[at] < 0:
                ids[at] = engine.add_counter(name, event, self._policy_for(name))
        for name in new:
            engine.add_counter(name, event, self._policy_for(name))
        engine.add_route(wire, [*ids, *map(engine.counters.find, above)])
        return Learned.KNOWN

    def _has_room(self, counters: int) -> bool:
        """Whether there may be so many more, and one more route."""
        return self.count() + counters <= self._max and self._engine.routes.count() < 2 * self._max

    def has_below(self, name: bytes) -> bool:
        """Whether there are counters below a stored name."""
        return bool(self._index.children(name, 1))

    def create(self, name: bytes, event: bool) -> int | Learned:
        """The id of a stored name, made when it is new; it gets no route. KNOWN when it is of the other kind."""
        if not name:
            return Learned.NOTHING
        if len(name) > names.WIRE_NAME_ROOM:
            return Learned.TOO_LONG
        id = self._engine.counters.find(name)
        if id >= 0:
            return id if self._engine.is_event(id) == event else Learned.KNOWN
        if self._engine.counters.count() >= self._max:
            return Learned.FULL
        made: int = self._engine.add_counter(name, event, self._policy_for(name))
        return made

    def find(self, name: bytes) -> Counter | None:
        """The counter of a name in any spelling."""
        id = self._engine.counters.find(names.stored(name))
        return self.counter(id) if id >= 0 else None

    def counter(self, id: int) -> Counter:
        """The counter of an id. IndexError when there is none."""
        kind = Kind.EVENT if self._engine.is_event(id) else Kind.GAUGE
        return Counter(id, names.written(self._engine.counters.name(id)).decode("ascii"), kind)

    def match(self, pattern: NamePattern, limit: int, token: str = "") -> Page[Counter]:
        """See Store.match: by id, which is what a token holds."""
        after = int(_told(MATCH, token) or b"-1")
        ids = self._index.match(pattern.compiled(), limit + 1, after)
        return Page(self._counters(ids[:limit]), f"{MATCH}{ids[limit - 1]}" if len(ids) > limit else "")

    def search(self, words: Sequence[bytes], limit: int, token: str = "") -> Page[Counter]:
        """See Store.search: a token holds the last name."""
        ids = self._index.words([names.munge(word) for word in words], limit + 1, _told(SEARCH, token))
        last = self._engine.counters.name(ids[limit - 1]).decode("ascii") if len(ids) > limit else ""
        return Page(self._counters(ids[:limit]), SEARCH + last if last else "")

    def _counters(self, ids: list[int]) -> list[Counter]:
        """The counters of these ids, but for those deleted while they were looked for."""
        has = self._engine.counters.has
        return [self.counter(id) for id in ids if has(id)]

    def children(self, prefix: bytes, limit: int, token: str = "") -> Page[Child]:
        """See Store.children: a token holds the last label, as it is stored."""
        stem = names.written(prefix) + b"." if prefix else b""
        rows = self._index.children(prefix, limit + 1, _told(CHILDREN, token))
        told = [(label if stem else names.written(label)).decode("ascii") for label, _id, _below in rows[:limit]]
        found = [Child(label, stem.decode("ascii") + label, self.counter(id) if id >= 0 else None, below)
                 for label, (_label, id, below) in zip(told, rows, strict=False)]
        return Page(found, CHILDREN + rows[limit - 1][0].decode("ascii") if len(rows) > limit else "")

    def keep_up(self) -> None:
        """Have the search keep up with new names. To be called now and then; costs little."""
        self._index.keep_up()

    def status(self) -> dict[str, int]:
        """What became of wire names that were new."""
        return {"names_folded": self.folded, "routes_without_ancestors": self.lone}

    def memory(self) -> int:
        """Bytes held by the search; the names are the engine's."""
        return self._index.memory()
