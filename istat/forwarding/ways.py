"""A connection to a target, open: what the two kinds of it have in common, how one is opened, and how it may end.

Waits as a greenlet does; names are looked up in gevent's threads. `session` and `plain` are the two kinds.
"""
from __future__ import annotations

import errno
import fcntl
import functools
import socket
import sys
import termios
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import gevent
import gevent.socket
from gevent.event import Event
from gevent.threadpool import ThreadPool

from istat.errors import BadBatch
from istat.forwarding.targets import Target
from istat.spool.frames import Frame
from istat.wire.strangers import in_words

if TYPE_CHECKING:
    import ssl  # 5 MB of memory, which only who forwards by TLS needs

CONNECT = 10.0      # [s] for looking a name up, for a connection to each of its addresses, and for the handshake
LOOKUPS = 2         # names that are looked up at once
STUCK = 10.0        # [s] after which a target that reads nothing counts as away
KEEPALIVE_IDLE = 60     # [s] after which a target's machine that is silent is asked for


def unacknowledged(sock: Any) -> int | None:
    """How many bytes of what was given to a TCP connection the other machine has not acknowledged; with TLS these are
    some more than we sent. None where the connection has ended."""
    try:
        told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))     # SIOCOUTQ of tcp(7)
    except OSError:
        return None
    return int.from_bytes(told, sys.byteorder)


class Refused(Exception):
    """The target does not let us in, and says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(in_words(sentence))


class NotTaken(Exception):
    """The target takes nothing now, and says why: neither the batch of this sequence, nor any behind it on this
    connection."""

    def __init__(self, sequence: int, sentence: str) -> None:
        self.sequence = sequence
        super().__init__(in_words(sentence))


class Sent(NamedTuple):
    """Frames of the spool on their way, as one batch whose sequence is that of the last, and when they were sent
    (monotonic)."""

    sequences: Sequence[int]
    lines: int
    bytes: int
    at: float

    @property
    def sequence(self) -> int:
        """The batch's."""
        return self.sequences[-1]


class Way(Protocol):
    """An open connection to a target. Whatever ends it is raised by the next call: OSError, Refused, NotTaken,
    BadBatch."""

    under_way: deque[Sent]      # sent, and not known to have been taken

    def greet(self) -> int:
        """Say who we are. The last sequence of ours that the target has; 0 where it does not say."""

    @property
    def room(self) -> bool:
        """Whether one more frame may be sent now."""

    def send(self, frame: Frame, sequences: Sequence[int]) -> None:
        """Send a frame, which is made of frames of these sequences."""

    def meta(self, origin: str, text: bytes) -> None:
        """Tell what a sender tells of itself."""

    def wait(self, changed: Event, seconds: float) -> None:
        """Wait until something has changed (which is cleared then), at most so long."""

    def close(self) -> None:
        """End it."""


def dial(target: Target, context: ssl.SSLContext | None) -> Any:
    """A connected socket of gevent's, after its handshake where there is a context. OSError."""
    with gevent.Timeout(CONNECT, TimeoutError(errno.ETIMEDOUT, "its name is not found out within 10 s")):
        found = _lookups().apply(_addresses, (target.host, target.port))
    if isinstance(found, OSError):
        raise found
    sock = _connected(found)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)      # what is sent is whole
        if context is None:
            return sock
        with gevent.Timeout(CONNECT, TimeoutError(errno.ETIMEDOUT, "the TLS handshake takes too long")):
            return context.wrap_socket(sock, server_hostname=target.host)
    except BaseException:
        sock.close()
        raise


@functools.cache
def _lookups() -> ThreadPool:
    """Threads that look names up: of their own, as a name server that does not answer must not hold up what others have
    done in threads. Made when they are needed: a thread does not outlive a fork."""
    return ThreadPool(LOOKUPS)


def _addresses(host: str, port: int) -> Sequence[Any] | OSError:
    """What getaddrinfo says, in a thread; also its error, as gevent tells the hub of what a thread raises."""
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:
        return OSError(errno.EINVAL, f"no name that can be looked up: {error}")


def _connected(found: Sequence[Any]) -> Any:
    """A socket to the first of these addresses that takes one. OSError of the last."""
    last: OSError = OSError(errno.EADDRNOTAVAIL, "its name has no address")
    for family, kind, protocol, _name, address in found:
        sock = gevent.socket.socket(family, kind, protocol)
        try:
            sock.settimeout(CONNECT)
            sock.connect(address)
            sock.settimeout(None)
            return sock
        except OSError as error:
            last = error
            sock.close()
    raise last


def send_all(sock: Any, data: bytes) -> None:
    """Send it all. TimeoutError when the other side does not read."""
    with gevent.Timeout(STUCK, TimeoutError(errno.ETIMEDOUT, "it reads nothing")):
        sock.sendall(data)


def advice(target: Target, error: Exception, greeted: bool = False) -> str:
    """What to look at, as the end of a sentence and a question; "" where the error says it. `greeted`: it was reached,
    and ended later, so that the settings fit."""
    if isinstance(error, (Refused, NotTaken)):
        return ""
    if greeted and isinstance(error, OSError):
        return ". Does it still run, and is the network up?"
    if isinstance(error, BadBatch):
        return ". Is that its stat-port, and is it an istatd that is no older than ours? An original is written " \
               "istatd:HOST:PORT."
    if isinstance(error, socket.gaierror):
        return ". Is its name in the setting forward right, or in server?"
    tls = sys.modules.get("ssl")        # there are no errors of it before somebody needs it
    if tls is not None and isinstance(error, tls.SSLCertVerificationError):
        return ". Is its certificate signed by one of those in our forward-ca (tls-ca beside server), and for the " \
               "name that stands in our settings?"
    if tls is not None and isinstance(error, tls.SSLError):
        return ". Does it speak TLS there (its tls-cert), and does it want a certificate of ours (its tls-client-ca)?"
    number = getattr(error, "errno", None)
    if number == errno.ECONNREFUSED:
        return ". Does a server run there, is that its stat-port, and does its listen-address let this machine in?"
    if number == errno.ECONNRESET and not target.original:
        return ". Does it want TLS (its samples-tls, our forward-tls or tls)? An original istatd is written " \
               "istatd:HOST:PORT."
    return ". Is the network up, and the setting forward or server right?"
