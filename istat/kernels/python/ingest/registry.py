"""Counters and routes, and what happens to them: new ones, policies, deletes, renames, the days they were heard.

All of it goes to the journal as records, and to a log of names. A counter is live, deleted (a tombstone names it, and
it may come back) or gone (no row of it is anywhere, and its id is never used again). Knows no lines, and of samples
only which heads those of a counter go to. This module is the specification; the native build of the same name does
the same, and there `give_back` has something to give.
"""
from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence, Set

from istat.kernels.python.ingest.ladders import Ladder, Ladders
from istat.kernels.python.ingest.records import (
    DELETE,
    GONE,
    MOST_RUN,
    POLICY,
    RENAME,
    UNDELETE,
    put_change,
    put_counter,
    put_route,
)
from istat.kernels.python.ingest.routes import Routes
from istat.kernels.python.names import NAME_ROOM, NameTable


class Registry(Ladders):
    """Counters and routes of one store."""

    def __init__(self, intervals: Sequence[int], key: int = 0, policy: int = 0) -> None:
        super().__init__(intervals, key, policy)
        self.counters = NameTable(key)
        self.routes = Routes(key, self.counters)
        self.deleted: dict[int, int] = {}       # id -> number of its delete; until it is gone
        self._events: list[bool] = []           # of a counter: whether it counts events,
        self._slot_of: list[int] = []           # the slot of its policy,
        self._heard: list[int] = []             # and the day it was last heard, since 1970
        self._gone: set[int] = set()
        self._moved: set[int] = set()           # renamed since the last `unlearn_moved`
        self._names_log = bytearray()           # records of names and changes since the last take_names
        self._journal = bytearray()             # records since the last take_journal

    # -- counters

    def is_event(self, id: int) -> bool:
        """Whether a counter is an event counter."""
        return self._events[id]

    def add_counter(self, name: bytes, event: bool, policy: int | None = None) -> int:
        """The id of a new counter; the journal gets its record. ValueError when it exists, or is too long, KeyError
        when there is no such policy."""
        slot = 0 if policy is None else self._slots[policy]
        id = self._make_counter(name, event, slot)
        self._put(put_counter(id, event, name))
        if slot:
            self._put(put_change(POLICY, id, self.policy(id)))
        return id

    def _make_counter(self, name: bytes, event: bool, slot: int = 0) -> int:
        if self.counters.find(name) >= 0:
            raise ValueError(f"counter {name!r} exists")
        id = self.counters.add(name)
        self._note_new(event, slot)
        return id

    def _make_unlisted(self, name: bytes, event: bool) -> None:
        """The next id, of a counter that is deleted from the start."""
        self.counters.add_unlisted(name)
        self._note_new(event, 0)

    def _note_new(self, event: bool, slot: int) -> None:
        self._events.append(bool(event))
        self._slot_of.append(slot)
        self._heard.append(self._today)

    def policy(self, id: int) -> int:
        """The number of a counter's policy. IndexError when there is no such counter."""
        if not 0 <= id < len(self._slot_of):
            raise IndexError(f"no counter has the id {id}")
        return self._ladder_of(id).policy

    def _ladder_of(self, id: int) -> Ladder:
        return self._ladders[self._slot_of[id]]

    def set_policy(self, id: int, number: int) -> None:
        """Give a counter another policy; the journal gets its record. What its old policy's heads hold of it
        stays there. IndexError or KeyError when there is no such counter or policy."""
        self.policy(id)
        self._slot_of[id] = self._slots[number]
        self._put(put_change(POLICY, id, number))

    # -- routes

    def add_route(self, wire: bytes, ids: Iterable[int]) -> int:
        """Lead a wire name to the counters it feeds; the journal gets its record. ValueError when it exists."""
        targets = tuple(ids)
        if not targets or max(targets) >= len(self.counters) or min(targets) < 0:
            raise ValueError(f"a route leads to one known counter or more, not {targets!r}")
        route = self.routes.place(wire, targets)
        self._put(put_route(route, targets, wire))
        return route

    def route(self, wire: bytes) -> tuple[int, ...] | None:
        """The counter ids a wire name leads to, or None."""
        route = self.routes.find(wire)
        return None if route < 0 else self.routes.targets(route)

    def unlearn_moved(self) -> int:
        """Forget the routes that led to counters renamed since the last call; how many."""
        moved, self._moved = self._moved, set()
        return self._unlearn(range(len(self.routes)), moved)

    def sweep_routes(self, first: int, count: int) -> int:
        """Forget those of these routes that lead to a counter which is gone; how many."""
        return self._unlearn(range(first, min(first + count, len(self.routes))), self._gone)

    def _unlearn(self, routes: Iterable[int], ids: Set[int]) -> int:
        found = [route for route in routes if not ids.isdisjoint(self.routes.targets(route))]
        for route in found:
            self.routes.unlearn(route)
        return len(found)

    # -- deletes and renames

    def delete(self, id: int, number: int) -> None:
        """Delete a live counter; the journal gets the record. `number` orders deletes. ValueError when it is not
        live."""
        self._mark_deleted(id, number)
        self._put(put_change(DELETE, id, number))

    def _mark_deleted(self, id: int, number: int) -> None:
        self.counters.unlist(id)
        self.deleted[id] = number

    def undelete(self, id: int) -> None:
        """Make a deleted counter live again. ValueError when it is not deleted, or gone, or its name is another's
        now."""
        if id not in self.deleted:
            raise ValueError(f"the counter {id} is not deleted, or gone")
        self._mark_undeleted(id)
        self._put(put_change(UNDELETE, id))

    def _mark_undeleted(self, id: int) -> None:
        self.counters.relist(id, self.counters.name(id))
        del self.deleted[id]

    def rename(self, id: int, name: bytes) -> None:
        """Give a counter another name; `unlearn_moved` is to follow. ValueError when the name is taken, or the counter
        not live."""
        self._move(id, name)
        self._put(put_change(RENAME, id, name=name))

    def _move(self, id: int, name: bytes) -> None:
        if not 0 < len(name) <= NAME_ROOM or self.counters.find(name) >= 0:
            raise ValueError(f"the counter {id} cannot be called {name!r}")
        self.counters.unlist(id)
        self.counters.relist(id, name)
        self._moved.add(id)

    def gone(self, first: int, count: int) -> None:
        """No data of these counters (at most 65536) is anywhere any more: forget them. ValueError for others."""
        if not 0 < count <= MOST_RUN or first + count > len(self.counters):
            raise ValueError(f"there are no {count} counters from the id {first} on")
        self._forget(first, count)
        self._put(put_change(GONE, first, count))

    def _forget(self, first: int, count: int) -> None:
        for id in range(first, first + count):
            if self.counters.has(id):
                self.counters.unlist(id)
            self.deleted.pop(id, None)
            self.counters.set_gone(id)
            self._gone.add(id)

    def is_gone(self, id: int) -> bool:
        """Whether a counter is gone."""
        return id in self._gone

    def give_back(self) -> int:
        """Give the memory of counters and routes that are gone back to the system; bytes given back so far.

        To be called when no route leads to a counter that is gone: `sweep_routes`.
        """
        return 0

    # -- when counters were last heard

    def heard(self, first: int, count: int) -> bytes:
        """The days (since 1970) on which these counters were last heard, 2 bytes each, little-endian."""
        days = self._heard[first:first + count]
        return struct.pack(f"<{len(days)}H", *days)

    def set_heard(self, first: int, days: bytes) -> None:
        """Say so. ValueError when there are not so many counters."""
        if len(days) & 1 or first + len(days) // 2 > len(self._heard):
            raise ValueError(f"there are not so many counters from the id {first} on")
        self._heard[first:first + len(days) // 2] = struct.unpack(f"<{len(days) // 2}H", days)

    def touch(self, id: int) -> None:
        """A counter got data otherwise than by samples. IndexError when there is none."""
        self.policy(id)
        self._note_heard(id)

    def _note_heard(self, id: int) -> None:
        self._heard[id] = max(self._heard[id], self._today)

    def idle(self, policy: int, before: int, first: int, count: int) -> list[int]:
        """The ids of a policy's live counters that were last heard before a day, of the `count` ids from `first` on."""
        slot = self._slots[policy]
        return [id for id in range(first, min(first + count, len(self.counters)))
                if self._heard[id] < before and self._slot_of[id] == slot and self.counters.has(id)]

    # -- records

    def _put(self, record: bytes) -> None:
        self._journal += record
        self._names_log += record

    def take_names(self) -> bytes:
        """The records of the counters and routes that came since the last call, and of changes."""
        records = bytes(self._names_log)
        self._names_log.clear()
        return records

    def memory(self) -> int:
        """Bytes held by names, routes and rows."""
        return super().memory() + self.counters.memory() + self.routes.memory()
