"""The HTTP server: gevent's WSGI server, which accepts as many connections as there are places.

Knows sockets and places; a connection is `transport/handler.py`'s matter. A TLS handshake has a time, and the
connection's own greenlet waits for it, not the one that accepts.
"""

from __future__ import annotations

import functools
import logging
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.pywsgi import LoggingLogAdapter, WSGIServer
from gevent.socket import socket as green_socket

from istat.clock import SystemClock
from istat.daemon import descriptors, peers
from istat.daemon.ratelimit import LimitedLog, Words, Writer
from istat.daemon.tls import Certificate
from istat_server.http.limits import LIMITS
from istat_server.http.transport import handler
from istat_server.http.transport.arrivals import Arrivals
from istat_server.http.transport.connections import MOST_CONNECTIONS, Connections, Place
from istat_server.http.transport.desk import Desk
from istat_server.http.transport.flight import Flight
from istat_server.http.transport.handler import Handler
from istat_server.mistakes import Mistakes
from istat_server.roster import Sender

log = logging.getLogger(__name__)

ENDING_SECONDS = 2.0  # that requests in progress get when the server stops
# How long connections are accepted before others have their turn [s], some hundred: whoever comes waits for all those
# before him. And how long they are given places, which can wait.
ACCEPT_SECONDS, SEAT_SECONDS = 0.01, 0.003
# How long accepting pauses when file descriptors have run out [s]; when idle connections make room, until one of them
# has ended, or so long.
STARVED_SECONDS, ROOM_SECONDS = 1.0, 0.05
# While all connections work and others wait: how often it is looked whether answers stand still [s].
LOOK_SECONDS = 0.5
# Of the setting http-memory [bytes].
MEMORY = 64 << 20


class _Server(WSGIServer):  # type: ignore[misc]  # gevent has no types
    """gevent's server; connections have places, and do not wait to fill packets."""

    ending = False

    def __init__(self, *arguments: Any, connections: Connections, flight: Flight, mistakes: Mistakes,
                 certificate: Certificate | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connections = connections
        self.flight = flight
        self.desk = Desk()
        self.broken = 0             # requests that could not be read, and answers that could not be sent
        self.gone = 0               # questions given up because nobody waited for them any more
        self.certificate = certificate
        self._mistakes = mistakes
        self._want = descriptors.Want()
        self._log = LimitedLog(log)
        self._reserved = descriptors.first_reserved(descriptors.limit())
        self._arrivals: Arrivals[tuple[Any, Any, Place]] = Arrivals()
        self._seating: Any = None       # the timer, when it goes on in the next turn
        self._looking: Any = None       # the timer, while all places are taken
        self._resting = False
        connections.on_room = self._room

    def body_limit(self) -> int:
        """What the application takes at most [bytes]; it may know only later, when there is one."""
        return int(getattr(self.application, "body_limit", LIMITS.body))

    def end_idle(self) -> None:
        """Let the connections that wait for a request end."""
        self.ending = True
        for sock, _, _ in self._arrivals.clear():
            sock.close()
        self.connections.end_idle()

    def note(self, kind: str, place: Place, text: str) -> None:
        """Count what a client did wrong, and perhaps log it."""
        self._mistakes.note(kind, text.encode(), Sender("http", place.address, 0))

    # -- accepting

    def _do_read(self) -> None:
        """Accept those who wait in the kernel, for a while; then give them places."""
        until = time.monotonic() + ACCEPT_SECONDS
        while len(self._arrivals) < self.connections.most:
            try:
                found = self.do_read()
            except OSError as error:
                if error.errno in descriptors.OUT:
                    # accept(2) says so even when nobody waits: then nobody has to make room.
                    if self._somebody_waits():
                        self._starve(error)
                    break
                if self.is_fatal_error(error):
                    raise
                continue        # that one connection was gone before it was accepted
            if not found:
                break
            sock, address = found
            place = Place(peers.household(address), peers.in_words(address), functools.partial(_end, sock))
            self._arrivals.add(place.client, (sock, address, place))
            if sock.fileno() >= self._reserved:     # who has made room must end first: what is left is the store's
                self._rest(ROOM_SECONDS)
                break
            if time.monotonic() > until:
                break
        else:
            self.stop_accepting()
        self._seat()

    def _seat(self) -> None:
        """Give places to those who have arrived, for a while; again in the hub's next turn, or when there is room."""
        if self._seating is not None:
            self._seating.close()
            self._seating = None
        until = time.monotonic() + SEAT_SECONDS
        self._arrivals.admit(self._admit, lambda: time.monotonic() < until)
        if self._arrivals and not self.connections.waits:
            self._seating = self.loop.timer(0)
            self._seating.start(self._seat)
        if self._arrivals and self.connections.waits and self._looking is None:
            self._looking = self.loop.timer(LOOK_SECONDS)
            self._looking.start(self._look)
        if not self._resting and len(self._arrivals) < self.connections.most:
            self._start_accepting_if_started()

    def _look(self) -> None:
        """Answers that nobody takes make room for those who wait; where none does yet, it is looked again."""
        self._looking.close()
        self._looking = None
        if self.connections.waits:
            self.flight.cut_still(len(self._arrivals))
            self._seat()

    def _somebody_waits(self) -> bool:
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _starve(self, error: OSError) -> None:
        """Out of file descriptors: who is idle longest gives one, and the rest waits in the kernel."""
        if self._want.is_new():
            self._log.error("starved", "cannot accept HTTP connections: %s; idle ones are closed for new ones, else it "
                            "is tried again every %g s. Raise num-files, or lower max-connections",
                            Words(error.strerror), STARVED_SECONDS)
        self._rest(ROOM_SECONDS if self._make_room() else STARVED_SECONDS)

    def _make_room(self) -> bool:
        """Whether a descriptor will be free at once: who is leaving has one yet, else who is idle longest leaves, else
        who does not take his answer."""
        return self.connections.leaving > 0 or self.connections.make_room() or self.flight.cut_still(1) > 0

    def _rest(self, seconds: float) -> None:
        """Accept nothing for a while, or until who is leaving has ended."""
        self.stop_accepting()
        self._resting = True
        self._timer = self.loop.timer(seconds)
        self._timer.start(self._rest_is_over)

    def _rest_is_over(self) -> None:
        if self.connections.leaving:    # they take their time
            self.connections.make_room()
        self._go_on()

    def _go_on(self) -> None:
        self._resting = False
        self.stop_accepting()       # a timer may be left
        if self.started:
            self._seat()

    def _room(self) -> None:
        """There may be a place again, or a descriptor."""
        self.loop.run_callback(self._go_on)

    def _admit(self, arrival: tuple[Any, Any, Place]) -> bool:
        """Give a connection its place, or refuse it. False: nobody can say yet."""
        sock, address, place = arrival
        connections, why = self.connections, ""
        if connections.full():
            return False
        before = connections.made_room
        if not connections.may_enter(place.client):
            why = f"{connections.share} connections of it have requests in progress"
        elif sock.fileno() >= self._reserved and not self._make_room():
            why = f"all connections have requests in progress, and {descriptors.SHORT}"
        if why and connections.fresh:
            return False
        if why:
            self.note("http_too_many", place, why)
            sock.close()
            return True
        if connections.made_room != before:
            self.note("http_made_room", place, "another connection was closed for this one, idle for longest")
        connections.enter(place)
        self.pool.spawn(self._serve, sock, address, place)
        return True

    # -- one connection

    def _serve(self, sock: Any, address: Any, place: Place) -> None:
        """Serve one connection to its end."""
        self.connections.idles(place)
        try:
            sock.settimeout(handler.IDLE_SECONDS)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.certificate is not None:
                place.end = functools.partial(gevent.getcurrent().kill, block=False)
                sock = self.certificate.accept(sock)
            found = Handler(sock, address, self, place)
            place.end = found.end
            found.handle()
        except OSError as error:    # of the connection: gevent's handler bears some of them only, and TLS has its own
            log.debug("%s has gone: %s", address, error)
        finally:
            self.connections.leave(place)
            sock.close()
            if self._resting and place.leaving:
                self._room()


class HttpServer:
    """Serves a WSGI application on a listening socket, which is its own from now on."""

    def __init__(self, app: Any, listener: socket.socket, connections: int = MOST_CONNECTIONS,
                 certificate: Certificate | None = None, mistakes: Mistakes | None = None,
                 memory: int = MEMORY) -> None:
        """With a certificate it speaks TLS only. mistakes: where clients' are counted; memory: how much bodies and
        answers may hold at once [bytes]."""
        listener.setblocking(False)
        self._server = _Server(
            listener,
            app,
            spawn=Pool(),
            log=LoggingLogAdapter(log, logging.DEBUG) if log.isEnabledFor(logging.DEBUG) else None,
            error_log=Writer(LimitedLog(log), "gevent"),
            # Else gevent asks the name service for our name before it serves: slow or an error where there is none.
            environ={"SERVER_NAME": listener.getsockname()[0],
                     "wsgi.url_scheme": "http" if certificate is None else "https"},
            connections=Connections(connections),
            flight=Flight(memory),
            mistakes=mistakes or Mistakes(SystemClock()),
            certificate=certificate,
        )

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return int(self._server.server_port)

    def totals(self) -> Mapping[str, float]:
        """For the self-metrics."""
        return {"http.connected": self._server.connections.count, "http.held": self._server.flight.size,
                "http.gone": self._server.gone, "http.errors.server": self._server.broken}

    def start(self) -> None:
        """Serve from now on in greenlets."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening; requests in progress get ENDING_SECONDS."""
        self._server.end_idle()
        self._server.stop(timeout=ENDING_SECONDS)


def _end(sock: Any) -> None:
    """Let a connection end that nothing was read of."""
    try:
        green_socket.shutdown(sock, socket.SHUT_RD)
    except OSError as error:
        log.debug("a connection was gone before it was ended: %s", error)
