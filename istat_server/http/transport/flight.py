"""What HTTP holds for its clients: bodies that came in and answers that go out, in one total; and who takes an answer
too slowly for others to wait.

A *cargo* is what one connection holds; it is taken aboard before it is made, as far as that can be known, and unloaded
when nobody needs it. When there is no room, answers that stand still make some; else the request is refused. Knows no
sockets and no HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from istat.errors import BadQuery

# One client may have this part of the total; the rest is for others. Whoever is alone may have as much as one question
# needs.
CLIENTS_PART = 0.75
# An answer so far behind this speed [bytes a second] stands still: it makes room when there is none [s]. The speed
# is a slow line's; where there is room, an answer has the time that it takes.
STILL_SECONDS = 5.0
ANSWER_SPEED = 32 * 1024
RETRY_SECONDS = 1


class Busy(BadQuery):
    """There is no room for what this request needs: it may be asked again."""

    default_status = 503

    def __init__(self) -> None:
        super().__init__("too many bytes of bodies and answers are held already: ask again in a moment, ask less at "
                         "once, or raise http-memory")


class Cargo:
    """What one connection holds [bytes]."""

    __slots__ = ("client", "size", "moved", "_cut")

    def __init__(self, client: str, cut: Callable[[], None]) -> None:
        """cut: ends the connection, because its cargo stands still."""
        self.client = client
        self.size = 0
        self.moved = 0.0        # when it would be where it is now at ANSWER_SPEED [s]; 0: it is not on its way
        self._cut = cut

    def cut(self) -> None:
        """Give up the connection."""
        self._cut()


class Flight:
    """The total, and who has which part of it."""

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """most [bytes]: beyond it is refused."""
        self.most = most
        self.size = 0
        self._monotonic = monotonic
        self._aboard: dict[Cargo, None] = {}
        self._going: dict[Cargo, None] = {}     # what is on its way to a client, held or not
        self._clients: dict[str, int] = {}

    def load(self, cargo: Cargo, size: int) -> None:
        """So many bytes more. Busy when there is no room for them."""
        if not self._fits(cargo, size):
            self._make_room(cargo, size)
            if not self._fits(cargo, size):
                raise Busy
        self.add(cargo, size)

    def add(self, cargo: Cargo, size: int) -> None:
        """So many bytes more, of an answer that has begun: they have to be held, and the room is others'."""
        self._aboard[cargo] = None
        cargo.size += size
        self.size += size
        self._clients[cargo.client] = self._clients.get(cargo.client, 0) + size

    def starts(self, cargo: Cargo) -> None:
        """An answer is on its way from now on, until it `stops`."""
        cargo.moved = self._monotonic()
        self._going[cargo] = None

    def moves(self, cargo: Cargo, size: int) -> None:
        """So many bytes of it have gone out."""
        if cargo.moved:
            cargo.moved = min(self._monotonic(), cargo.moved + size / ANSWER_SPEED)

    def stops(self, cargo: Cargo) -> None:
        """All of it has gone out, or nothing more will."""
        cargo.moved = 0.0
        self._going.pop(cargo, None)

    def cut_still(self, most: int) -> int:
        """Others need the connections: cut so many answers that stand still, the longest first; how many there were.
        Small ones, which count in no total, hold a place as well as big ones do."""
        still = self._still(self._going)[:most]
        for one in still:
            self.unload(one)
            one.cut()
        return len(still)

    def unload(self, cargo: Cargo) -> None:
        """Nothing is held any more."""
        self.stops(cargo)
        if cargo not in self._aboard:
            return
        del self._aboard[cargo]
        self.size -= cargo.size
        self._clients[cargo.client] -= cargo.size
        cargo.size = 0
        if not self._clients[cargo.client]:
            del self._clients[cargo.client]

    def _fits(self, cargo: Cargo, size: int) -> bool:
        if self.size == cargo.size:     # nobody else holds anything
            return True
        own = self._clients.get(cargo.client, 0) + size
        return self.size + size <= self.most and own <= self.most * CLIENTS_PART

    def _make_room(self, cargo: Cargo, size: int) -> None:
        """Cut answers that stand still, the longest first."""
        for one in self._still(self._aboard):
            if self._fits(cargo, size):
                return
            self.unload(one)
            one.cut()

    def _still(self, among: Iterable[Cargo]) -> list[Cargo]:
        before = self._monotonic() - STILL_SECONDS
        return sorted((one for one in among if 0 < one.moved < before), key=lambda one: one.moved)
