"""A program that sends acknowledged batches and resends what was not: what it had acknowledged must be counted, once.

    with Generator("a", lambda: server.stat_port, seed=1) as load:
        ...                     # kill the server, cut the network
        load.drain()            # nothing new; all that was sent is acknowledged
    load.truth.check(server)

A thread over one blocking connection. It connects anew whenever anything fails, sends again what has no answer, and now
and then sends what was acknowledged already, which must change nothing. Its samples have whole numbers.
"""
from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import TracebackType

from ftest.harness.truth import Sample, Truth
from istat.errors import IstatError
from istat.wire import batches

UNDER_WAY = 8               # batches without an answer at once
ANSWER_SECONDS = 2.0        # without an answer for so long the connection counts as dead
RETRY_SECONDS = 0.05
AGAIN = 0.02                # how often an acknowledged batch is sent once more
LATE_SECONDS = 40           # how old samples with a time may be
DRAIN_SECONDS = 90.0
GAUGES = ("load.one^host.{host}^", "load.two^host.{host}^class.all", "load.plain")
EVENTS = ("*hits^host.{host}^", "*sent")


class Generator:
    """Sends batches of `lines` samples, `rate` batches a second at most, to the port that `port()` gives."""

    def __init__(self, host: str, port: Callable[[], int], *, seed: int = 0, rate: float = 40.0, lines: int = 25,
                 token: str = "", truth: Truth | None = None, gauges: Sequence[str] = GAUGES,
                 events: Sequence[str] = EVENTS, most_parts: int = 5) -> None:
        """`truth`: one that several generators share; what is acknowledged is added to it. `gauges`, `events`: wire
        names, in which {host} stands for the host; `most_parts`: values that one line has at most."""
        self._gauges, self._events, self._most_parts = gauges, events, most_parts
        self.truth = truth or Truth()
        self.host, self._port, self._token = host, port, token
        self._random = random.Random(f"{host} {seed}")
        self._id = hashlib.sha256(f"{host} {seed} {time.time_ns()}".encode()).digest()[:16]
        self._epoch = 1
        self._rate, self._lines = rate, lines
        self._waiting: OrderedDict[int, tuple[batches.Lines, list[Sample]]] = OrderedDict()     # not acknowledged
        self._last: batches.Lines | None = None     # acknowledged
        self._next = 1
        self._socket: socket.socket | None = None
        self._framing = batches.BatchFraming()
        self._buffer = bytearray(1 << 18)
        self.acknowledged = self.connects = self.later = self.repeated = self.refused = 0
        self.problems: list[str] = []       # what must never be
        self.said = ""                      # why the last batch was not taken, in a sentence
        self._making, self._ended = True, False
        self._idle = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    # -- what a test says

    def drain(self, seconds: float = DRAIN_SECONDS, may_refuse: bool = False) -> None:
        """Make nothing new, and wait until all is acknowledged. `may_refuse`: lines may have been refused."""
        self._making = False
        assert self._idle.wait(seconds), f"{self.host}: {len(self._waiting)} batches without an answer: {self.problems}"
        assert not self.problems, self.problems
        assert may_refuse or not self.refused, f"{self.refused} lines were refused"

    def wait_for(self, count: int, seconds: float = DRAIN_SECONDS) -> None:
        """Until so many batches more have been acknowledged."""
        wanted, end = self.acknowledged + count, time.monotonic() + seconds
        while self.acknowledged < wanted:
            assert time.monotonic() < end, f"{self.host}: {self.acknowledged} of {wanted} acknowledged: {self.problems}"
            time.sleep(0.01)

    def __enter__(self) -> Generator:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended = True
        self._thread.join(ANSWER_SECONDS * 10)

    # -- inside: the thread's

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended:
            try:
                if self._socket is None:
                    self._connect()
                now = time.monotonic()
                if self._making and len(self._waiting) < UNDER_WAY and now >= due:
                    due = max(due + 1 / self._rate, now - 1)
                    self._send_new()
                elif self._waiting:
                    self._read(min(ANSWER_SECONDS, max(0.001, due - now)) if self._may_send() else ANSWER_SECONDS)
                else:
                    if not self._making:
                        self._idle.set()
                    time.sleep(min(0.01, max(0.0, due - now)) if self._making else 0.01)
            except (OSError, EOFError):
                self._disconnect()
                time.sleep(RETRY_SECONDS)
            except (AssertionError, IstatError) as error:     # never: told by drain()
                self.problems.append(f"{type(error).__name__}: {error}")
                self._disconnect()
                time.sleep(1.0)
        self._disconnect()

    def _may_send(self) -> bool:
        return self._making and len(self._waiting) < UNDER_WAY

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port()), timeout=ANSWER_SECONDS)
        self._framing = batches.BatchFraming()
        self._asked = time.monotonic()
        self.connects += 1
        hello = batches.Hello(self._id, self._epoch, self.host, self._token)
        self._socket.sendall(batches.MAGIC + batches.encode(hello))
        welcome: list[int] = []
        while not welcome:
            for message in self._messages(ANSWER_SECONDS):
                if isinstance(message, batches.Welcome):
                    welcome.append(message.last)
                else:
                    self._take(message)
        for sequence in [one for one in self._waiting if one <= welcome[0]]:
            self._acknowledge(sequence)
        for lines, _ in list(self._waiting.values()):
            self._socket.sendall(batches.encode(lines))

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _send_new(self) -> None:
        assert self._socket is not None
        clock = int(time.time())
        samples = [self._sample(clock) for _ in range(self._lines)]
        text = b"".join(sample.line for sample in samples)
        lines = batches.Lines(self._next, clock, 0, len(samples), text)
        self._waiting[self._next] = (lines, samples)
        self._next += 1
        if self._last is not None and self._random.random() < AGAIN:
            self.repeated += 1
            self._socket.sendall(batches.encode(self._last))
        self._socket.sendall(batches.encode(lines))

    def _sample(self, clock: int) -> Sample:
        rng = self._random
        event = bool(self._events) and rng.random() < 0.4
        wire = rng.choice(self._events if event else self._gauges).format(host=self.host)
        stamp = None if rng.random() < 0.3 else clock - rng.choice((0, 0, 1, rng.randint(0, LATE_SECONDS)))
        count = 1 if event or stamp is None or rng.random() < 0.8 else rng.randint(1, self._most_parts)
        low = 1 if event else -1000
        return Sample(wire, stamp, tuple(rng.randint(low, 1000) for _ in range(count)))

    def _read(self, seconds: float) -> None:
        taken = False
        for message in self._messages(seconds):
            self._take(message)
            taken = True
        if taken:
            self._asked = time.monotonic()
        elif time.monotonic() - self._asked > ANSWER_SECONDS:
            raise TimeoutError("no answer")

    def _messages(self, seconds: float) -> list[batches.Message]:
        """Read once; [] when nothing came in time."""
        assert self._socket is not None
        self._socket.settimeout(max(seconds, 0.001))
        held = self._framing.held
        try:
            count = self._socket.recv_into(memoryview(self._buffer)[held:held + 65536])
        except TimeoutError:
            if seconds >= ANSWER_SECONDS:
                raise
            return []
        finally:
            self._socket.settimeout(ANSWER_SECONDS)
        if not count:
            raise EOFError("the connection has ended")
        runs, lost = self._framing.take(self._buffer, held + count)
        assert not lost, lost
        return [message for start, end in runs for message in _messages_of(bytes(self._buffer[start:end]))]

    def _take(self, message: batches.Message) -> None:
        if isinstance(message, batches.Ack):
            if message.refused:
                self.refused += message.refused
            self._acknowledge(message.sequence)
        elif isinstance(message, batches.Later):
            self.later += 1
            self.said = message.sentence
            raise OSError(message.sentence)
        elif isinstance(message, batches.Refusal):
            if message.code != "elsewhere":     # else one of before, which the network held back, came after this one
                self.problems.append(f"{message.code}: {message.sentence!r}")
            raise OSError("refused")
        elif isinstance(message, batches.Ping):
            assert self._socket is not None
            self._socket.sendall(batches.encode(batches.Pong()))

    def _acknowledge(self, sequence: int) -> None:
        found = self._waiting.pop(sequence, None)
        if found is None:
            return
        lines, samples = found
        self._last = lines
        self.acknowledged += 1
        for sample in samples:
            self.truth.add(sample, lines.clock)


def _messages_of(frames: bytes) -> list[batches.Message]:
    found, at = [], 0
    while at < len(frames):
        size = batches.frame_size(memoryview(frames), at)
        found.append(batches.decode(frames[at:at + size]))
        at += size
    return found
