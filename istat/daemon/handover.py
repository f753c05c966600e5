"""Listening sockets that outlive the process: kept by the service manager over a restart, a crash, an upgrade.

Whoever listens asks `take` before it binds, and gives what it listens on to `keep`. Sockets of a socket unit come in
by the same door. Knows sockets and systemd's file-descriptor store (sd_notify(3), sd_listen_fds(3)); not what is said
over them. Without a service manager nothing is handed over and nothing kept.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from urllib.parse import quote

from istat.daemon import service

log = logging.getLogger(__name__)

Key = tuple[int, int, str, int]     # family, type, numeric address or path, port or 0
LONGEST_NAME = 200      # [bytes]; the service manager takes 255


class Handover:
    """The sockets that were passed to this process and not taken yet."""

    def __init__(self, passed: Iterable[tuple[str, int]] = ()) -> None:
        """`passed`: (name, file descriptor), as service.listen_fds() gives them; they belong to this object now."""
        self._waiting: list[tuple[str, socket.socket]] = []
        self._taken: list[socket.socket] = []
        for name, descriptor in passed:
            try:
                self._waiting.append((name, socket.socket(fileno=descriptor)))
            except OSError as error:
                log.warning("what the service manager passed as %r is no socket: %s", name, error.strerror)

    def take(self, family: int, kind: int, host: str, port: int) -> socket.socket | None:
        """The socket of this kind that is bound to this address already, if it was passed. Port 0 has none.

        Of AF_UNIX `host` is the path and `port` 0; one whose file is gone reaches nobody, and is not taken.
        """
        lasting = os.path.exists(host) if family == socket.AF_UNIX else port
        for index, (name, sock) in enumerate(self._waiting):
            if lasting and _key(sock) == (family, kind, host, port):
                del self._waiting[index]
                self._taken.append(sock)
                log.info("socket %s was handed over", name)
                return sock
        return None

    def keep(self, sock: socket.socket) -> None:
        """Leave a socket with the service manager, unless it was handed over: then the manager has it already."""
        if not any(sock is taken for taken in self._taken):
            service.store_fd(_name(sock), sock.fileno())

    def close(self) -> None:
        """Let go of what nobody took: the settings name other addresses now."""
        self._drop(self._waiting)

    def let_go(self, family: int, kind: int, port: int) -> bool:
        """Let go of what holds this port on other addresses, which keeps it from being bound to a new one; whether
        there was any. The service manager closes its own copy a moment later."""
        holding = [(name, sock) for name, sock in self._waiting
                   if (key := _key(sock)) and key[:2] == (family, kind) and key[3] == port]
        self._drop(holding)
        return bool(holding)

    def _drop(self, sockets: list[tuple[str, socket.socket]]) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting not in sockets]
        for name, sock in sockets:
            log.warning("socket %s (%s) is not what the settings ask for, and is closed", name, _name(sock))
            service.forget_fd(name)
            sock.close()


def _key(sock: socket.socket) -> Key | None:
    """What a socket is bound to; None where that is neither an IP address nor a path."""
    if sock.family == socket.AF_UNIX:
        path = sock.getsockname()
        return (sock.family, sock.type, path, 0) if isinstance(path, str) and path else None
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    host, port = sock.getsockname()[:2]
    return sock.family, sock.type, host, port


def _name(sock: socket.socket) -> str:
    """A name that no other socket of ours has; the service manager takes printable ASCII without a colon."""
    key = _key(sock)
    if key is None:
        return "other"
    family, kind, host, port = key
    if family == socket.AF_UNIX:
        name = f"{'unix' if kind == socket.SOCK_STREAM else 'unix-datagram'}-{quote(host)}"
        return name if len(name) <= LONGEST_NAME else f"{name[:9]}-{_digest(name)}"
    transport = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}.get(socket.SocketKind(kind), "other")
    return f"{transport}-{host.replace(':', '_')}-{port}"


def _digest(name: str) -> str:
    import hashlib  # seldom needed; it brings OpenSSL, 3 MB of memory

    return hashlib.sha256(name.encode()).hexdigest()
