"""Pins: what is kept of a store because somebody else still needs it, such as a replica that lags behind.

A pin holds the journal's segments from a position on and the files that were live when it was made, over restarts. It
goes when it is taken away or its time is over, by a clock that can be believed. Belongs to the hub, but for what
commits call in a thread. Knows neither who needs what, nor what is in it.
"""
from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace

from istat.clock import Clock, ClockWatch
from istat.errors import StoreError
from istat_server.store.files import journal, manifest
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import Manifest, Pin
from istat_server.store.pool import Pool, Work
from istat_server.store.positions import Known, Position

log = logging.getLogger(__name__)

MOST_PINS = 16          # each holds files, and stands in every MANIFEST with their names
NAME_ROOM = 100         # characters
LOOK_SECONDS = 1.0      # between two looks for those whose time is over


def replay_position(state: Manifest) -> Position:
    """From where on the journal has what is in no file of a MANIFEST."""
    return Position(state.uuid, state.epoch, state.replay_from, 0)


class Pinning:
    """The pins of one store."""

    def __init__(self, files: LiveFiles, clock: Clock, watch: ClockWatch, pool: Pool, background: Pool) -> None:
        self._files, self._clock, self._watch = files, clock, watch
        self._pool, self._background = pool, background
        self._look_at = clock.monotonic()
        self._work: Work | None = None

    def pin(self, name: str, position: Position | None, until: int) -> Pin:
        """Hold what is needed from a position on until a time [Unix s]. Blocks the greenlet until it is written.

        None is where the journal begins that the live files need, so that what is held is a whole state of the store.
        A pin of this name that there is ends; one of the same position only gets the new time. StoreError when the
        position is not this store's, what is there is gone, or there are too many pins.
        """
        if not 0 < len(name) <= NAME_ROOM:
            raise StoreError(f"a pin's name has 1 to {NAME_ROOM} characters")
        if until <= self._clock.now():
            raise StoreError(f"the pin {name} would be over before it begins")
        made: list[Pin] = []

        def change(state: Manifest) -> Manifest:        # under the lock of commits: no segment goes meanwhile
            others = tuple(one for one in state.pins if one.name != name)
            if len(others) == MOST_PINS:
                raise StoreError(f"there are {MOST_PINS} pins already: {', '.join(one.name for one in others)}")
            at = replay_position(state) if position is None else position
            same = next((one for one in state.pins if (one.name, one.position) == (name, at)), None)
            self._check(state, at)
            live = tuple(sorted(manifest.live_paths(state)))
            made.append(replace(same, until=until) if same else Pin(name, at, until, live))
            return replace(state, pins=(*others, made[-1]))

        self._commit(change)
        return made[-1]

    def lease(self, known: Known, until: int) -> tuple[Pin, Manifest]:
        """Hold a whole state of the store for a replica, and remember this; the pin, and the MANIFEST of that state.
        Blocks the greenlet until it is written. StoreError as of `pin`."""
        made: list[tuple[Pin, Manifest]] = []

        def change(state: Manifest) -> Manifest:
            others = tuple(one for one in state.pins if one.name != known.name)
            if len(others) == MOST_PINS:
                raise StoreError(f"there are {MOST_PINS} pins already: {', '.join(one.name for one in others)}")
            at = replay_position(state)
            self._check(state, at)
            made.append((Pin(known.name, at, until, tuple(sorted(manifest.live_paths(state)))), state))
            before = [one for one in state.replicas if one.name != known.name]
            return replace(state, pins=(*others, made[-1][0]), replicas=(*before[1 - MOST_PINS:], known))

        self._commit(change)
        return made[-1]

    def renew(self, name: str, until: int, position: Position | None) -> None:
        """Let a pin end later, and with a position hold nothing any more but the journal from there on. Nothing when
        there is none of this name. Blocks the greenlet until it is written."""
        def change(state: Manifest) -> Manifest:
            return replace(state, pins=tuple(one if one.name != name else replace(one, until=until) if position is None
                                             else Pin(name, position, until) for one in state.pins))

        self._commit(change)

    def _check(self, state: Manifest, position: Position) -> None:
        """StoreError when there is no such place in the journal any more, or not yet."""
        if position.store != state.uuid:
            raise StoreError(f"the position is one of the store {position.store}, and this is {state.uuid}")
        if position.epoch > state.epoch:
            raise StoreError(f"the position is of epoch {position.epoch}, and this store is in its {state.epoch}")
        path = journal.segment_path(self._files.folder / "journal", position.segment)
        if not path.exists() or path.stat().st_size < position.offset:
            raise StoreError(f"the journal has no byte {position.offset} of segment {position.segment} (any more)")

    def unpin(self, name: str) -> bool:
        """End a pin; whether there was one. Blocks the greenlet until it is written."""
        if all(pin.name != name for pin in self._files.manifest.pins):
            return False
        self._commit(lambda state: replace(state, pins=tuple(one for one in state.pins if one.name != name)))
        return True

    def _commit(self, change: Callable[[Manifest], Manifest]) -> None:
        try:
            self._pool.apply(self._files.commit, (change, ()))
        except OSError as error:
            raise StoreError(f"{self._files.folder}: the pins cannot be written: {error}") from error

    def tick(self, full: bool = False) -> None:
        """End pins whose time is over, in the background; where the disk is full, all that hold something: the store's
        own samples come first."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        if self._work is not None:
            if not self._work.ready():
                return
            work, self._work = self._work, None
            work.get()
        pins = self._files.manifest.pins
        if full and pins and self._files.pinned_bytes:
            self._work = self._background.spawn(self._let_go, {pin.name for pin in pins}, math.inf,
                                                "the disk is full, so what was held for these is let go")
        elif pins and self._over() and not self._watch.doubt():
            self._work = self._background.spawn(self._let_go, self._over(), self._clock.now(), "these pins are over")

    def _over(self) -> set[str]:
        now = self._clock.now()
        return {pin.name for pin in self._files.manifest.pins if pin.until <= now}

    def _let_go(self, names: set[str], until: float, why: str) -> None:
        """End pins, but for those that last longer by now. In a thread."""
        def change(state: Manifest) -> Manifest:        # one that was given a new time meanwhile stays
            return replace(state, pins=tuple(one for one in state.pins if one.name not in names or one.until > until))

        try:
            self._files.reserve.use(lambda: self._files.commit(change, ()))
        except OSError as error:
            log.error("pins that are over cannot be ended, to be tried again: %s", error)
            return
        log.info("%s: %s", why, ", ".join(sorted(names)))

    def finish(self) -> None:
        """Wait for what is under way."""
        work, self._work = self._work, None
        if work is not None:
            work.get()

    def status(self) -> list[dict[str, object]]:
        """The pins there are."""
        return [{"name": pin.name, "segment": pin.position.segment, "until": pin.until, "files": len(pin.files)}
                for pin in self._files.manifest.pins]
