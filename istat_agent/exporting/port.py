"""prometheus-port: lines that are shipped are fed to an exporter as well, and it answers whoever scrapes.

It outlives reloads of the agent. Knows sockets, and no collectors.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import gevent

from istat.clock import Clock
from istat.daemon.handover import Handover
from istat.daemon.listening.binding import addresses, loopback, open_listeners
from istat.daemon.listening.serving import Connection, Serving
from istat.daemon.turns import turn_of_the_hub
from istat.exporter.series import Exporter
from istat.settings.types import OFF
from istat_agent.exporting import requests
from istat_agent.exporting.requests import Refused

log = logging.getLogger(__name__)

# Connections at once; each may hold an answer.
PLACES = 8
BACKLOG = 16
# A request has to come, and its answer has to be taken, within these times [s].
REQUEST_SECONDS, ANSWER_SECONDS = 5.0, 30.0
# How often what is too old is let go [s], or as often as it gets old.
CLEANING_SECONDS = 30.0
ADDRESS = "prometheus-listen-address"


def open_listener(settings: Mapping[str, Any], handover: Handover | None = None) -> socket.socket | None:
    """What prometheus-port listens on, handed over or new; None when it is off. PortInUse, CannotListen."""
    if settings["prometheus-port"] == OFF:
        return None
    where = addresses(settings[ADDRESS], ADDRESS)
    first = next((one for one in where if one[0] == socket.AF_INET), where[0])
    return open_listeners([first], settings["prometheus-port"], BACKLOG, handover or Handover())[0]


class ExporterPort:
    """The exporter and its listener."""

    def __init__(self, exporter: Exporter, listener: socket.socket, clock: Clock, settings: Mapping[str, Any]) -> None:
        """The listener is its own from now on."""
        self.port: int = listener.getsockname()[1]
        self._exporter, self._clock = exporter, clock
        self._at_home = loopback(settings[ADDRESS])
        self._every = min(CLEANING_SECONDS, settings["metrics-cleanup-period"])
        self._serving = Serving([listener], PLACES, self._serve, lambda peer: log.debug("%s makes room", peer), _failed)
        self._cleaning: gevent.Greenlet | None = None

    def feed(self, lines: Sequence[bytes]) -> None:
        """Take lines that are shipped."""
        self._exporter.feed(b"".join(lines), int(self._clock.now()))

    def start(self) -> None:
        """Answer from now on."""
        self._serving.start()
        self._cleaning = gevent.spawn(self._clean)

    def stop(self) -> None:
        """Answer no more."""
        if self._cleaning is not None:
            self._cleaning.kill()
        self._serving.stop()

    def _clean(self) -> None:
        while True:
            gevent.sleep(self._every)
            self._exporter.expire(int(self._clock.now()), turn_of_the_hub)

    def _serve(self, connection: Connection) -> None:
        """Answer one request."""
        try:
            with gevent.Timeout(REQUEST_SECONDS, TimeoutError("its request did not come in time")):
                head = _read_head(connection.socket)
            if head is None:
                return
            self._serving.works(connection, True)
            request = requests.parse(head)
            requests.check(request, self._at_home)
            told = self._told(request)
        except Refused as error:
            told = requests.refusal(error)
        self._serving.send(connection, told, ANSWER_SECONDS)
        connection.socket.shutdown(socket.SHUT_WR)

    def _told(self, request: requests.Request) -> bytes:
        packer = requests.Packer(request.takes_gzip)
        for part in self._exporter.text(int(self._clock.now())):
            packer.add(part)
            turn_of_the_hub()
        headers = ("Vary: Accept-Encoding", *(("Content-Encoding: gzip",) if request.takes_gzip else ()))
        return requests.answer(200, packer.body(), self._exporter.content_type, headers, request.method == "HEAD")


def _read_head(sock: Any) -> bytes | None:
    """A request's head; None when the client has gone before it was whole. Refused."""
    data = b""
    while True:
        more = sock.recv(requests.MOST_HEAD)
        if not more:
            return None
        data += more
        head = requests.head_of(data)
        if head is not None:
            return head


def _failed(error: BaseException) -> None:
    log.error("prometheus-port: a fault of our own", exc_info=error)
