"""Who is connected by HTTP: so many places, a share of them for each client, and who makes room for whom.

A connection is *fresh* until it was looked at once, in the hub's next turn: what it sent at once counts. From then on
it is *idle* until a request has come whole, with its body, and again after the answer: who sends a byte now and then
makes room like who sends none. Who has made room is *leaving* until its connection has ended. Knows no sockets: a place
is told how to end its connection.
"""

from __future__ import annotations

from collections.abc import Callable

MOST_CONNECTIONS = 1000  # open at once
# A client's share of them: a proxy with all its users has enough, and it takes four clients to fill the places.
SHARE = 0.25


class Place:
    """The place of one connection."""

    __slots__ = ("client", "address", "end", "fresh", "leaving")

    def __init__(self, client: str, address: str, end: Callable[[], None]) -> None:
        """end: lets an idle connection end."""
        self.client = client
        self.address = address
        self.end = end
        self.fresh = True           # nobody has looked yet whether it has sent something
        self.leaving = False        # it has made room already


class Connections:
    """The places that are taken."""

    def __init__(self, most: int = MOST_CONNECTIONS, share: float = SHARE) -> None:
        self.most = most
        self.share = max(1, int(most * share))
        self.count = 0
        self.fresh = 0
        self.leaving = 0
        self.made_room = 0
        self.on_room: Callable[[], None] = lambda: None      # told when there may be room again after `full`
        self.waits = False          # somebody does, for `on_room`
        self._idle: dict[Place, None] = {}      # longest idle first
        self._clients: dict[str, int] = {}

    def full(self) -> bool:
        """Whether all places are taken and nobody is idle: then a new connection waits, and `on_room` is told."""
        self.waits = self.count >= self.most and not self._idle
        return self.waits

    def may_enter(self, client: str) -> bool:
        """Whether one more of this client has a place; when there is none left, who is idle longest makes room. Where
        nobody does and some are fresh, they may be idle soon."""
        if self._clients.get(client, 0) >= self.share:
            return self._give_up(next((place for place in self._idle if place.client == client), None))
        return self.count < self.most or self.make_room()

    def make_room(self) -> bool:
        """Let the connection end that is idle longest; False when none is."""
        return self._give_up(next(iter(self._idle), None))

    def enter(self, place: Place) -> None:
        """The place is taken; `idles` says when it was looked at."""
        self.count += 1
        self.fresh += 1
        self._clients[place.client] = self._clients.get(place.client, 0) + 1

    def leave(self, place: Place) -> None:
        """The connection has ended."""
        self._idle.pop(place, None)
        if place.leaving:
            self.leaving -= 1
        else:
            self._free(place)

    def idles(self, place: Place) -> None:
        """Its connection was looked at for the first time, or its request is answered."""
        if place.fresh:
            place.fresh = False
            self.fresh -= 1
        if not place.leaving:
            self._idle[place] = None
            if self.waits:
                self._tell()

    def works(self, place: Place) -> None:
        """A request has come whole: the connection makes no room any more."""
        self._idle.pop(place, None)

    def end_idle(self) -> None:
        """Let all idle ones end."""
        for place in list(self._idle):
            place.end()

    def _give_up(self, place: Place | None) -> bool:
        if place is None:
            return False
        self.made_room += 1
        self.leaving += 1
        del self._idle[place]
        place.leaving = True
        self._free(place)
        place.end()
        return True

    def _free(self, place: Place) -> None:
        self.count -= 1
        self._clients[place.client] -= 1
        if not self._clients[place.client]:
            del self._clients[place.client]
        if self.waits:
            self._tell()

    def _tell(self) -> None:
        self.waits = False
        self.on_room()
