"""What stands in the place of an original istatd: a port that takes lines and never answers.

It reads as that one does: lines by line feed, metadata by `#`, samples of 2, 3 or 7 tokens; an unfinished last line
is thrown away with its connection. It keeps all lines, in the order of their coming. Plain Python, nothing of ours.
"""
from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from ftest.harness.truth import INTERVAL, Cell, Truth, counters_of

LOOK_SECONDS = 0.05


class Original:
    """Takes any number of connections. `connections` has the lines of each, without their ends."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(16)
        self.port: int = self._listener.getsockname()[1]
        self.stat_port = self.port
        self.connections: list[list[bytes]] = []
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def lines(self) -> list[bytes]:
        """Of all connections."""
        return [line for lines in list(self.connections) for line in list(lines)]

    def metadata(self) -> dict[str, str]:
        """What the last connection told, key -> value."""
        told = [line[1:].decode().rstrip("\r").partition(" ") for line in self.connections[-1] if line[:1] == b"#"]
        return {key: value.strip() for key, _, value in told}

    def count(self, *beginnings: bytes) -> int:
        """How many lines begin so."""
        return sum(line.startswith(beginnings) for line in self.lines)

    def truth(self, clock: int, wanted: Callable[[bytes], bool] = lambda line: True) -> Truth:
        """What its counters hold by the samples that are wanted; a line without a time is of `clock`. ValueError for
        lines that it would not take."""
        made = Truth()
        for line in self.lines:
            if line[:1] != b"#" and line.strip() and wanted(line):
                _take(made, line, clock)
        return made

    def wait_until(self, condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Poll until the condition holds; AssertionError when it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}; the last lines: {self.lines[-5:]}"
            time.sleep(0.02)

    def __enter__(self) -> Original:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended = True
        self._thread.join(10)

    def _run(self) -> None:
        open_: dict[socket.socket, tuple[list[bytes], bytearray]] = {}
        while not self._ended:
            for ready in select.select([self._listener, *open_], [], [], LOOK_SECONDS)[0]:
                if ready is self._listener:
                    self.connections.append([])
                    open_[self._listener.accept()[0]] = (self.connections[-1], bytearray())
                    continue
                try:
                    data = ready.recv(16384)
                except ConnectionError:
                    data = b""
                if not data:
                    del open_[ready]
                    ready.close()
                    continue
                lines, tail = open_[ready]
                tail += data
                *whole, rest = tail.split(b"\n")
                lines += [bytes(line) for line in whole]
                tail[:] = rest
        for sock in [self._listener, *open_]:
            sock.close()


def _take(made: Truth, line: bytes, clock: int) -> None:
    """Add what a sample line means."""
    tokens = line.decode().split()
    if len(tokens) not in (2, 3, 7):
        raise ValueError(f"an original would count this as bad: {line!r}")
    wire, numbers = tokens[0], tokens[1:]
    at = clock if len(numbers) == 1 else int(numbers[0])
    values = [float(word) for word in numbers[0 if len(numbers) == 1 else 1:]]
    total = values[0]
    least, most, count = (values[2], values[3], int(values[4])) if len(values) == 5 else (total, total, 1)
    if not all(value.is_integer() for value in (total, least, most)):
        raise ValueError(f"whole numbers were sent, and this came: {line!r}")
    kind = made.events if wire.startswith("*") else made.gauges
    made.samples += 1
    for name in counters_of(wire):
        cell = kind.setdefault(name, {}).setdefault(at // INTERVAL * INTERVAL, Cell())
        cell.add(count, int(total), int(least), int(most))
