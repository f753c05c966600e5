"""What HTTP holds for its clients: bodies that came in and answers that go out, in one total.

A *cargo* is what one connection holds; it is taken aboard before it is made, as far as that can be known, and unloaded
when nobody needs it. When there is no room, answers that stand still make some; else the request is refused. Knows no
sockets and no HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable

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

    def moves(self, cargo: Cargo, size: int = 0) -> None:
        """So many bytes of it have gone out."""
        now = self._monotonic()
        cargo.moved = min(now, cargo.moved + size / ANSWER_SPEED) if cargo.moved else now

    def unload(self, cargo: Cargo) -> None:
        """Nothing is held any more."""
        cargo.moved = 0.0
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
        before = self._monotonic() - STILL_SECONDS
        still = [one for one in self._aboard if 0 < one.moved < before]
        for one in sorted(still, key=lambda one: one.moved):
            if self._fits(cargo, size):
                return
            self.unload(one)
            one.cut()
