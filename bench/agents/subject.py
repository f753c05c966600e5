"""What is measured: an agent that can be started and asked for its counters. And where UDP goes that agents send."""
from __future__ import annotations

import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from bench.servers.process import START_LIMIT, BenchError, Process

# Parts of collectd's packets that a value's name is made of, and the one with values (types of its network protocol).
NAMES, VALUES = {2: "plugin", 3: "instance", 4: "type", 5: "type instance"}, 6
HEAD = struct.Struct("!HH")


class Subject(ABC):
    """An agent in a process of its own, with all its files in `folder`."""

    label: str

    def __init__(self, folder: Path, interval: int) -> None:
        folder.mkdir(parents=True)
        self.folder, self.interval = folder, interval
        self.process: Process | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What starts it."""

    @abstractmethod
    def seen(self) -> bool:
        """Whether a first value has arrived, or can be had."""

    @abstractmethod
    def counters(self) -> int:
        """How many different counters it has told."""

    def start(self) -> float:
        """Seconds until the first value is there. BenchError."""
        self.process = Process(self.command(), self.folder / "log")
        self.process.wait_for(self.seen, f"{self.label}: a first value")
        return time.monotonic() - self.process.started

    def turn(self) -> None:  # noqa: B027 - most do nothing
        """What somebody does with it once every interval."""

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.stop()

    @property
    def pid(self) -> int:
        if self.process is None:
            raise BenchError(f"{self.label} is not running")
        return self.process.pid


class Sink:
    """A UDP port of loopback: which counters came there."""

    def __init__(self, names: Callable[[bytes], set[str]]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._names, self.found = names, set[str]()
        self._thread = threading.Thread(target=self._take, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(START_LIMIT)
        self._socket.close()

    def _take(self) -> None:
        while data := self._socket.recv(1 << 16):
            self.found |= self._names(data)


def of_lines(data: bytes) -> set[str]:
    """Counters in lines as we send them: a name with carets feeds several, and is one of them per machine."""
    return {line.split(None, 1)[0].decode() for line in data.splitlines() if line and not line.startswith(b"#")}


def of_packet(data: bytes) -> set[str]:
    """Counters in a packet of collectd's."""
    found: set[str] = set()
    names: dict[int, str] = {}
    at = 0
    while at + HEAD.size <= len(data):
        kind, length = HEAD.unpack_from(data, at)
        if length < HEAD.size:
            break
        body = data[at + HEAD.size:at + length]
        if kind in NAMES:
            names[kind] = body.rstrip(b"\0").decode(errors="replace")
        elif kind == VALUES:
            key = "/".join(names.get(part, "") for part in NAMES)
            found |= {f"{key}/{n}" for n in range(int.from_bytes(body[:2], "big"))}
        at += length
    return found


def scraped(url: str) -> int:
    """Series in Prometheus text; 0 while nobody answers."""
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return sum(1 for line in answer if line.strip() and not line.startswith(b"#"))
    except (URLError, OSError):
        return 0
