"""`StatClient`, which sends samples to a server or agent. Knows no HTTP."""

from __future__ import annotations

import math
import socket
import ssl
from types import TracebackType

from istat.client.places import DEFAULT_STAT_PORT, samples_address
from istat.clock import Clock, SystemClock
from istat.declared.lines import declared_line
from istat.errors import BadName
from istat.metrics import Metric
from istat.settings.types import HostPort
from istat.wire.lines import sample_line

# Bytes of samples in one datagram: below the Ethernet MTU less IP and UDP headers, so never fragmented.
BATCH_BYTES = 1400
CAPACITY_BYTES = 1 << 20  # what a TCP client holds while the server is away
RETRY_SECONDS = 1.0  # between two attempts to connect
SEND_TIMEOUT = 5.0  # [s]; a server that does not read for so long counts as away
METRICS_SECONDS = 3600.0  # between two times that metrics are declared: a datagram may get lost
LINGER_SECONDS = 1.0  # a batch is sent at the latest by the first sample after this


class StatClient:
    """Sends samples in batches over UDP or TCP. Not for use by several threads at once.

    A batch goes out when it is full, LINGER_SECONDS old at the next sample, or at flush(). `sent` and
    `dropped` count lines; a TCP connection that breaks drops the batches in flight.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        transport: str = "udp",
        clock: Clock | None = None,
        batch_bytes: int = BATCH_BYTES,
        capacity: int = CAPACITY_BYTES,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """host: None is the one that the environment names (`samples_address`), with its port unless `port` is given;
        UsageError for one that is no address. port: that of a given host is 8111 unless told otherwise.

        tls: for TCP, such as `ssl.create_default_context(cafile="ca.pem")`: the server must then show a certificate
        for `host` that this context believes. One that it does not counts as away."""
        if tls is not None and transport != "tcp":
            raise ValueError("TLS is for tcp only")
        if transport not in ("udp", "tcp"):
            raise ValueError(f"a transport is udp or tcp, not {transport!r}")
        self.sent = self.dropped = 0
        told = samples_address() if host is None else HostPort(host, DEFAULT_STAT_PORT)
        self._address = (told.host, told.port if port is None else port)
        self._transport, self._tls = transport, tls
        self._clock = clock or SystemClock()
        self._batch_bytes, self._capacity = batch_bytes, capacity
        self._lines: list[bytes] = []
        self._size = 0
        self.error: OSError | None = None       # what kept it from sending the last time
        self._here = 0                          # lines sent over this connection
        self._opened_at = self._next_try = -math.inf
        self._socket: socket.socket | None = None
        self._metrics: dict[str, bytes] = {}    # by name the line that declares it
        self._declare_at = math.inf             # when they are to be declared (again)

    def describe(self, name: str, unit: str = "", help: str = "", event: bool = False, link: str = "") -> None:
        """Declare what a counter is: its unit, a sentence about it, a page with more (http:// or https://). `<word>` in
        the name stands for what varies. It goes with the next samples, once over each connection and each hour; say it
        once. BadLine for what cannot be."""
        line = declared_line(Metric(name, unit, help, event, link))
        if self._metrics.get(name) != line:
            self._metrics[name] = line
            self._declare_at = -math.inf

    def gauge(self, name: str, value: float, time: float | None = None) -> None:
        """A value that is what it is, such as a temperature. BadName, BadLine for what cannot be sent."""
        if name.startswith("*"):
            raise BadName(f"{name!r} is the name of an event counter: use event()")
        self.send(sample_line(name, value, time))

    def event(self, name: str, value: float = 1, time: float | None = None) -> None:
        """Something that happened `value` times; the server keeps the rate per second."""
        self.send(sample_line("*" + name.removeprefix("*"), value, time))

    def send(self, line: bytes) -> None:
        """Add a line that is complete with its newline."""
        if self._lines and self._size + len(line) > self._batch_bytes:
            self.flush()
        if self._size + len(line) > self._capacity:
            self.dropped += 1
            return
        now = self._clock.monotonic()
        if not self._lines:
            self._opened_at = now
        self._lines.append(line)
        self._size += len(line)
        if now - self._opened_at >= LINGER_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is there. Over TCP, lines stay (up to the capacity) while the server is away."""
        now = self._clock.monotonic()
        declares = now >= self._declare_at
        if not (self._lines or declares) or not self._connect():
            return
        lines, all_lines = len(self._lines), [*(self._metrics.values() if declares else ()), *self._lines]
        assert self._socket is not None
        try:
            if self._transport == "tcp":
                self._socket.sendall(b"".join(all_lines))
            else:
                self._send_datagrams(all_lines)
            if declares:
                self._declare_at = now + METRICS_SECONDS
            self.sent += lines
            self._here += lines
        except OSError as error:
            self.error = error
            # How much of it arrived is unknown: sending it again could count it twice.
            self.dropped += lines
            self._disconnect()
        self._lines, self._size = [], 0

    def _send_datagrams(self, lines: list[bytes]) -> None:
        """Whole lines in datagrams of at most the batch size (lines that waited may be more than one)."""
        assert self._socket is not None
        batch: list[bytes] = []
        size = 0
        for line in lines:
            if batch and size + len(line) > self._batch_bytes:
                self._socket.send(b"".join(batch))
                batch, size = [], 0
            batch.append(line)
            size += len(line)
        self._socket.send(b"".join(batch))

    def _connect(self) -> bool:
        """Have a socket; False while the server is away (tried again after RETRY_SECONDS)."""
        if self._socket is not None:
            return True
        if self._clock.monotonic() < self._next_try:
            return False
        self._next_try = self._clock.monotonic() + RETRY_SECONDS
        try:
            if self._transport == "tcp":
                self._socket = socket.create_connection(self._address, timeout=SEND_TIMEOUT)
                if self._tls is not None:
                    self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._address[0])
            else:
                found = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
                self._socket = socket.socket(*found[:3])
                self._socket.connect(found[4])
        except OSError as error:
            self.error = error
            self._disconnect()
            return False
        return True

    def ended(self) -> bool:
        """Whether the other side has closed the connection, or answers, which no server that takes samples does."""
        if self._socket is None:
            return True
        waited = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
            return True
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except ssl.SSLError as error:
            self._refused(error)
            return True
        except OSError:
            return True
        finally:
            if self._socket is not None:
                self._socket.settimeout(waited)

    def _hear_last_words(self) -> None:
        """A server says what it does not like of a client's certificate only when the client has begun to send (TLS
        1.3): then nothing of what was sent has been taken."""
        if not isinstance(self._socket, ssl.SSLSocket):
            return
        try:
            # Not the TLS socket's own, which forgets its session.
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            self._socket.recv(1)
        except TimeoutError:
            pass        # it is slow, and has said nothing against it
        except OSError as error:
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        """TLS does not want us: nothing of what was sent has been taken."""
        self.error = error
        self.dropped, self.sent = self.dropped + self._here, self.sent - self._here
        self._disconnect()

    def _disconnect(self) -> None:
        self._here = 0
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        if self._metrics:
            self._declare_at = -math.inf

    def close(self) -> None:
        """Send what is there and close; what cannot be sent now is dropped and counted."""
        self.flush()
        self.dropped += len(self._lines)
        self._lines, self._size = [], 0
        self._hear_last_words()
        self._disconnect()

    def __enter__(self) -> StatClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
