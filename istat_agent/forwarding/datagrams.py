"""Datagrams of this machine's programs: whole lines, read by one greenlet for each socket."""

from __future__ import annotations

import socket
from typing import Any

import gevent
from gevent.socket import wait_read

from istat.daemon.peers import in_words
from istat.daemon.turns import turn_of_the_hub
from istat_agent.forwarding.intake import Intake

# Longest datagram [bytes]: more than UDP can carry.
LONGEST = 65536
# Datagrams between two turns of the hub: some 2 ms.
AT_ONCE = 64
# Those that are read at the end at most: a flood must not keep the agent from ending.
LAST = 10_000


class DatagramReader:
    """One bound socket, its own from now on."""

    def __init__(self, sock: socket.socket, intake: Intake) -> None:
        self._socket, self._intake = sock, intake
        self._buffer = bytearray(LONGEST)
        self._view = memoryview(self._buffer)
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Take datagrams from now on."""
        self._greenlet = gevent.spawn(self._forever)

    def stop(self) -> None:
        """Take those that have come, and no more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._some(LAST)
        self._socket.close()

    def _forever(self) -> None:
        while True:
            if self._some(AT_ONCE) < AT_ONCE:
                wait_read(self._socket.fileno())
            else:
                turn_of_the_hub()

    def _some(self, most: int) -> int:
        """Take what is there, `most` datagrams at most; how many."""
        for taken in range(most):
            try:
                size, address = self._socket.recvfrom_into(self._buffer)
            except OSError:     # none is there
                return taken
            self._take(size, address)
        return most

    def _take(self, size: int, address: Any) -> None:
        whole = self._buffer.rfind(b"\n", 0, size) + 1
        peer = self._intake.udp_peer(in_words(address))
        if whole < size or not size:
            self._intake.mistake("unterminated", bytes(self._view[whole:size]), peer.label)
        if whole:
            self._intake.feed(self._view, 0, whole, peer)
