"""Binding TCP and UDP sockets: which addresses a setting means, ports that are free, what to say when it fails.

Knows nothing of what comes in by them; sockets that the service manager hands over are used as they are.
"""
from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address

from istat.daemon.handover import Handover
from istat.errors import IstatError

# Bound when an address says nothing: this machine only.
LOOPBACK = ("127.0.0.1", "::1")
HERE = "localhost"
# Bound for "*": everyone.
EVERYWHERE = ("0.0.0.0", "::")
# What settings call every address -> one of this machine among them.
ONE_OF = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
# A free port of the first socket may be taken on another address: how often to try again.
FREE_PORT_ATTEMPTS = 16
# The service manager closes its copies of sockets that it is to forget when it has read the message: how often to look
# whether it has, and how long to wait in between [s].
LET_GO_ATTEMPTS, LET_GO_SECONDS = 500, 0.01


class PortInUse(IstatError):
    """Another process listens on the port."""

    exit_code = 87


class CannotListen(IstatError):
    """The address is not this machine's, or the port needs a privilege."""

    exit_code = 88


def addresses(listen_address: str, setting: str = "listen-address") -> list[tuple[socket.AddressFamily, str]]:
    """(family, numeric address) of each address to bind. CannotListen when the name has none.

    "" is loopback, "*" every address; both mean IPv4, and IPv6 where the machine has it.
    """
    wanted = {"": LOOPBACK, "*": EVERYWHERE}.get(listen_address, (listen_address,))
    found: list[tuple[socket.AddressFamily, str]] = []
    for host in wanted:
        try:
            answers = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise CannotListen(f"{setting} {host!r} is not an address: {error.strerror}") from error
        except UnicodeError as error:       # an empty or too long part of a name, as in "a..b"
            raise CannotListen(f"{setting} {host!r} is not an address: no host can have that name") from error
        found += [(family, str(where[0])) for family, _, _, _, where in answers]
    if listen_address in ("", "*"):
        found = [(family, host) for family, host in found if family == socket.AF_INET or _has_ipv6(host)]
    return list(dict.fromkeys(found))


def loopback(address: str) -> bool:
    """Whether who listens on this address (a setting) is heard by this machine only."""
    name = address.strip("[]").lower()
    if name in ("", HERE):
        return True
    return is_address(name) and ip_address(name).is_loopback


def is_address(name: str) -> bool:
    """Whether a host is named by its number."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def open_listeners(where: Sequence[tuple[int, str]], port: int, backlog: int,
                   handover: Handover) -> list[socket.socket]:
    """Sockets that listen for TCP on `port` (0: one that is free) of all these addresses; `backlog` connections may
    wait to be accepted. PortInUse, CannotListen."""
    for attempt in range(FREE_PORT_ATTEMPTS):
        with contextlib.ExitStack() as opened:
            found: list[socket.socket] = []
            try:
                for family, host in where:
                    taken = port or (found[0].getsockname()[1] if found else 0)
                    found.append(opened.enter_context(bind_port(handover, family, socket.SOCK_STREAM, host, taken)))
                    found[-1].listen(backlog)
            except PortInUse:
                if port or attempt + 1 == FREE_PORT_ATTEMPTS:
                    raise
                continue
            opened.pop_all()
            for sock in found if port else ():
                handover.keep(sock)
            return found
    raise AssertionError("the last attempt raises or returns")


def listen_error(error: OSError, host: str, port: int) -> IstatError:
    """The sentence for an OSError of bind(2)."""
    where = f"port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"{where} is in use by another process; choose another, or 0 for a free one")
    if error.errno == errno.EACCES:
        return CannotListen(f"no permission for {where}; choose a port from 1024 up")
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(f"{host} is not an address of this machine: choose another to listen on")
    return CannotListen(f"cannot listen on {where}: {error.strerror}")


def bind_port(handover: Handover, family: int, kind: int, host: str, port: int) -> socket.socket:
    """A socket bound to this address: handed over, or made now."""
    sock = handover.take(family, kind, host, port) or _bind_freed(handover, family, kind, host, port)
    sock.setblocking(False)
    return sock


def _bind_freed(handover: Handover, family: int, kind: int, host: str, port: int) -> socket.socket:
    """_bind, though the port is held on another address by a socket that was handed over: from 127.0.0.1 to all."""
    try:
        return _bind(family, kind, host, port)
    except PortInUse:
        if not handover.let_go(family, kind, port):
            raise
    for _ in range(LET_GO_ATTEMPTS):
        try:
            return _bind(family, kind, host, port)
        except PortInUse:
            time.sleep(LET_GO_SECONDS)
    return _bind(family, kind, host, port)


def _bind(family: int, kind: int, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            # A restarted server takes its port though old connections linger in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise listen_error(error, host, port) from error
    return sock


def _has_ipv6(host: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
