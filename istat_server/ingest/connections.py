"""Samples by connections, TCP and Unix: they are accepted here, given a place, and ended when others need it.

What one of them does is `connection`'s business. Knows no protocol.
"""
from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent

from istat.daemon import descriptors, peers
from istat.daemon.ratelimit import LimitedLog, Words
from istat.daemon.tls import HANDSHAKE_SECONDS, Certificate
from istat.wire.batches import MOST_FRAME
from istat.wire.receiving import Receiving
from istat.wire.strangers import not_here
from istat_server.ingest.connection import READ_BYTES, Connection
from istat_server.ingest.endpoints import Endpoint, Transport
from istat_server.ingest.places import LOOPBACK, Places, address_of
from istat_server.ingest.pump import STRANGE, Surroundings
from istat_server.mistakes import BARRED
from istat_server.sockets import Bound

log = logging.getLogger(__name__)

# Connections accepted per wake-up.
ACCEPTS = 64
# How long accepting pauses when file descriptors have run out [s].
ACCEPT_PAUSE = 1.0
# How often handshakes are looked at that may take too long [s].
CLEARING = 1.0
# A host that has vanished without a word is noticed after about this time [s].
KEEPALIVE_IDLE = 600
# Those whose bytes wait to be read are not silent: so many of them are passed over, at most, when one must make room.
PASSED_OVER = 16
# struct ucred of unix(7): process, user, group.
CREDENTIALS = struct.Struct("3i")


class ConnectionInput:
    """All sockets that accept connections, and the connections accepted on them."""

    name = "connections"

    def __init__(self, bound: Sequence[Bound], around: Surroundings, max_line: int, places: Places[Connection],
                 certificate: Certificate | None = None, tls_only: bool = False,
                 monotonic: Callable[[], float] = time.monotonic, http_port: int = 0,
                 receiving: Receiving | None = None) -> None:
        """max_line: longest message [bytes] of endpoints that do not say; places: how many may be open at once.
        certificate: what TLS connections are shown, None refuses them; tls_only: TCP without TLS is refused.
        http_port: where whoever asks by HTTP is sent; 0: it is not known. receiving: the sessions of acknowledged
        batches, None takes none; with its token lines are taken of this machine only."""
        self.around = around
        self.not_here = not_here("samples", http_port)
        self.certificate = certificate
        self.tls_only = tls_only
        self.receiving = receiving
        self.shaken = 0
        self._shaking: dict[Connection, float] = {}     # -> until when its handshake must be over, soonest first
        self._clearing: Any = None
        self.monotonic = monotonic
        self.max_line = max_line
        longest = max((one.endpoint.longest for one in bound), default=0)
        # Shared: only one connection is read at a time.
        self.buffer = bytearray(max(longest, max_line, MOST_FRAME) + READ_BYTES)
        self.view = memoryview(self.buffer)
        self.connections = places
        self.connects = 0
        self.disconnects = 0
        self.received = dict.fromkeys((Transport.TCP, Transport.UNIX), 0)
        loop = gevent.get_hub().loop
        self._listening = [(sock, one.endpoint, loop.io(sock.fileno(), 1)) for one in bound for sock in one.sockets]
        self._pause: Any = None
        self._log = LimitedLog(log)
        self._reserved = descriptors.first_reserved(descriptors.limit())
        self._want = descriptors.Want(monotonic)

    def start(self) -> None:
        """Begin to accept."""
        for sock, endpoint, watcher in self._listening:
            watcher.start(self._accept, sock, endpoint)

    def stop(self) -> None:
        """Accept no more, take what has arrived, and close everything."""
        for timer in filter(None, (self._pause, self._clearing)):
            timer.stop()
        for sock, _, watcher in self._listening:
            watcher.stop()
            sock.close()
        for connection in list(self.connections):
            connection.finish()

    def reload(self, settings: Mapping[str, Any]) -> None:
        """Take over what may change while connections are open."""
        self.connections.most = settings["max-connections"]
        self.connections.share = settings["max-connections-per-address"]

    def totals(self) -> dict[str, int]:
        """Since the start: connections opened and ended, bytes by transport; and the connections open now."""
        return {"connects": self.connects, "drops": self.disconnects, "connected": len(self.connections),
                "tls.connects": self.shaken,
                **{f"{transport.value}.bytes": size for transport, size in self.received.items()}}

    def shaking(self, connection: Connection) -> None:
        """A handshake has begun."""
        self._shaking[connection] = self.monotonic() + HANDSHAKE_SECONDS
        if self._clearing is None:
            self._clearing = gevent.get_hub().loop.timer(CLEARING, CLEARING)
            self._clearing.start(self._clear)

    def shaken_hands(self, connection: Connection) -> None:
        """It is over, and good."""
        del self._shaking[connection]
        self.shaken += 1

    def _clear(self) -> None:
        """End the handshakes that take too long."""
        now = self.monotonic()
        for connection, until in list(self._shaking.items()):
            if until > now:
                break
            connection.refuse("tls_failed", b"the handshake takes too long")
        if not self._shaking:
            self._clearing.stop()
            self._clearing.close()
            self._clearing = None

    def ended(self, connection: Connection) -> None:
        """A connection has closed itself."""
        self._shaking.pop(connection, None)
        if self.connections.leave(connection):
            self.disconnects += 1
            self.around.roster.disconnected(connection.sender)

    def _accept(self, sock: socket.socket, endpoint: Endpoint) -> None:
        for _ in range(ACCEPTS):
            try:
                client, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in descriptors.OUT:
                    self._pause_accepting(error)
                    return
                continue        # that one connection was gone before it was accepted
            if endpoint.transport is Transport.UNIX:
                process, user = _peer(client)
                self._admit(client, endpoint, f"process {process} of user {user}", f"user {user}")
            else:
                self._admit(client, endpoint, peers.in_words(address), address_of(address))

    def _admit(self, client: socket.socket, endpoint: Endpoint, address: str, of: str) -> None:
        """Give a new connection a place, unless whoever it is `of` is on the blacklist, or has enough that have said
        something."""
        if endpoint.transport is Transport.TCP and self.around.roster.blacklist.bars(address.rpartition(":")[0]):
            client.close()
            barred = self.around.roster.connected(endpoint.transport.value, address)
            self.around.roster.disconnected(barred)
            self.around.mistakes.note(BARRED, b"its address is on the blacklist", barred)
            return
        if self.connections.has_share(of):
            mute = self.connections.mute_longest(of)
            text = f"{of} has max-connections-per-address already".encode()
            if mute is None:
                client.close()
                self.around.mistakes.note("too_many_of_address", text)
                return
            mute.refuse("too_many_of_address", text + b"; this one has said nothing, and makes room")
        if client.fileno() >= self._reserved and not self._make_room(descriptors.SHORT):
            client.close()
            self.around.mistakes.note("too_many_connections", f"{address}: {descriptors.SHORT}".encode())
            return
        if self.connections.full:
            few = self.connections.affordable < self.connections.most
            self._make_room(descriptors.SHORT if few else "max-connections are open")
        client.setblocking(False)
        if endpoint.transport is Transport.TCP:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        sender = self.around.roster.connected(endpoint.transport.value, address)
        try:
            connection = Connection(self, client, endpoint, sender, endpoint.transport is Transport.TCP
                                    and of != LOOPBACK)
        except STRANGE as error:    # a plugin's protocol makes a framing and a feeder here
            client.close()
            self.around.roster.disconnected(sender)
            self.around.pump.failed(f"a connection to {endpoint.name}", error)
            return
        self.connections.take(connection, of)
        self.connects += 1
        connection.watch()

    def _make_room(self, why: str) -> bool:
        """Close the connection that has been silent longest; whether there was one."""
        if not self.connections:
            return False
        for _ in range(PASSED_OVER):
            connection = self.connections.silent_longest()
            if not connection.waits():
                break
            self.connections.heard(connection)
        silent = self.around.roster.now() - connection.sender.last_seen
        connection.refuse("too_many_connections", f"silent for {silent:.0f} s, it makes room: {why}".encode())
        return True

    def _pause_accepting(self, error: OSError) -> None:
        if self._want.is_new():
            self._log.error("starved", "cannot accept connections: %s; trying again every %g s. Raise num-files, or "
                            "lower max-connections", Words(error.strerror), ACCEPT_PAUSE)
        for _, _, watcher in self._listening:
            watcher.stop()
        self._pause = gevent.get_hub().loop.timer(ACCEPT_PAUSE)
        self._pause.start(self.start)


def _peer(client: socket.socket) -> tuple[int, int]:
    """Who is behind a Unix socket: the process that connected, and its user, as the kernel knows them."""
    process, user, _ = CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return process, user
