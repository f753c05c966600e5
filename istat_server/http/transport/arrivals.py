"""Connections that were accepted and have no place yet: clients get places in turn.

To accept costs a fifth of what it costs to give a place and to look what is wanted; so all who wait in the kernel are
accepted first, and whoever came behind a thousand of somebody else's need not wait for those. Knows no sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from istat.daemon.turns import Round

T = TypeVar("T")


class Arrivals(Round[T]):
    """Who has arrived, by client."""

    def admit(self, admitted: Callable[[T], bool], in_time: Callable[[], bool]) -> None:
        """Take one of each client, again and again while there is time. Who is not `admitted` stays, with all others of
        that client, until the next call."""
        clients = deque(self._queues)
        while clients and in_time():
            client = clients.popleft()
            queue = self._queues[client]
            if not admitted(queue[0]):
                continue
            queue.popleft()
            self._size -= 1
            if queue:
                self._queues.move_to_end(client)
                clients.append(client)
            else:
                del self._queues[client]

    def clear(self) -> list[T]:
        """All of them, who are given up."""
        found = [one for queue in self._queues.values() for one in queue]
        self._queues.clear()
        self._size = 0
        return found
