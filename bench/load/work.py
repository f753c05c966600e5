"""Deterministic generated work: names, values, and the bytes of both line formats.

One sample per series per step of 10 s. The same seed gives the same names and the same value text for every
system, so that a comparison never rests on luck. Knows no socket and no server.

Shares by series (20 metrics a host): 50 % noisy gauges with two decimals, 30 % monotone counters, 15 % small
integers, 5 % constants. The noise is drawn anew at each step, so nothing but the constants repeats from hour
to hour: a general compressor finds no earlier copy.
"""

from __future__ import annotations

import enum
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist

STEP = 10  # [s] between two samples of a series
DATAGRAM = 1400  # [bytes] the most that a datagram holds: below the usual MTU of 1500

GAUGES = (
    "cpu.user", "cpu.system", "cpu.idle", "cpu.iowait", "memory.used", "memory.cached",
    "load.one", "load.five", "disk.busy", "disk.wait",
)  # fmt: skip
COUNTERS = (
    "net.rx_bytes",
    "net.tx_bytes",
    "net.rx_packets",
    "disk.read_bytes",
    "disk.write_bytes",
    "cpu.switches",
)
INTEGERS = ("process.running", "process.blocked", "http.queue")
CONSTANTS = ("memory.total",)
METRICS = GAUGES + COUNTERS + INTEGERS + CONSTANTS

_DRAWS = 65536  # size of the noise tables: one draw is two random bytes
_GAUGE_NOISE = 80  # [hundredths] standard deviation of a gauge's step
_COUNTER_NOISE = 60  # standard deviation of a counter's increment


class Form(enum.Enum):
    """Which line format: istatd `name time value`, or Graphite's plaintext `name value time`."""

    ISTATD = "istatd"
    GRAPHITE = "graphite"


def _noise(deviation: float) -> list[int]:
    normal = NormalDist(0.0, deviation)
    return [round(normal.inv_cdf((draw + 0.5) / _DRAWS)) for draw in range(_DRAWS)]


def _small_integers() -> list[int]:
    """A Poisson-like table: mean 4, from 0 to about 14."""
    table: list[int] = []
    weight, value = math.exp(-4.0), 0
    while len(table) < _DRAWS:
        table.extend([value] * max(1, round(weight * _DRAWS)))
        value += 1
        weight *= 4.0 / value
    return table[:_DRAWS]


class _Metric:
    """All hosts' series of one metric; `step` gives their next values as text."""

    def __init__(self, index: int, hosts: int, rng: random.Random) -> None:
        self.kind = (
            "gauge" if index < 10 else "counter" if index < 16 else "integer" if index < 19 else "constant"
        )
        self.base = [rng.randrange(3000, 7000) for _ in range(hosts)]
        self.value = list(self.base)
        if self.kind == "counter":
            self.base = [rng.randrange(500, 50_000) for _ in range(hosts)]
            self.value = [rng.randrange(10**6, 10**9) for _ in range(hosts)]
        self.constant = [b"%d" % (rng.randrange(1, 512) << 20) for _ in range(hosts)]

    def step(self, draws: Sequence[int]) -> list[bytes]:
        if self.kind == "gauge":  # pulled back to its mean, so that it stays within 0 and 100
            self.value = [
                a - ((a - m) >> 3) + _Tables.gauge[r]
                for a, m, r in zip(self.value, self.base, draws, strict=True)
            ]
            return [_Tables.hundredths[a] for a in self.value]
        if self.kind == "counter":
            self.value = [
                a + rate + _Tables.counter[r] for a, rate, r in zip(self.value, self.base, draws, strict=True)
            ]
            return [b"%d" % a for a in self.value]
        if self.kind == "integer":
            return [_Tables.integer[r] for r in draws]
        return self.constant


class _Tables:
    gauge = _noise(_GAUGE_NOISE)
    counter = _noise(_COUNTER_NOISE)
    integer = [b"%d" % value for value in _small_integers()]
    hundredths = [b"%d.%02d" % divmod(value, 100) for value in range(10_000)]


class Work:
    """`series` names and an endless stream of their values, the same for the same arguments."""

    def __init__(self, series: int, seed: int = 1, group: str = "web") -> None:
        self.series = series
        self.names = [
            f"host.{group}{index // len(METRICS):04d}.{METRICS[index % len(METRICS)]}".encode()
            for index in range(series)
        ]
        self._rng = random.Random(seed)
        hosts = [len(range(index, series, len(METRICS))) for index in range(len(METRICS))]
        self._metrics = [_Metric(index, count, self._rng) for index, count in enumerate(hosts)]
        self._hosts = hosts

    def steps(self, count: int) -> Iterator[list[bytes]]:
        """The value texts of the next `count` steps, in the order of `names`. Each call goes on."""
        for _ in range(count):
            draws = memoryview(self._rng.randbytes(2 * self.series)).cast("H")
            values: list[bytes] = [b""] * self.series
            at = 0
            for index, metric in enumerate(self._metrics):
                values[index :: len(METRICS)] = metric.step(draws[at : at + self._hosts[index]].tolist())
                at += self._hosts[index]
            yield values


class Writer:
    """Turns one step's values into the bytes of one line format."""

    def __init__(self, names: Sequence[bytes], form: Form) -> None:
        self._form = form
        self._parts = [b""] * (3 * len(names)) + [b"\n"]
        self._parts[0:-1:3] = [b"\n" + name + b" " for name in names]
        self._parts[0] = names[0] + b" "

    def chunk(self, time: int, values: Sequence[bytes]) -> bytes:
        """All lines of one step at Unix second `time`."""
        if self._form is Form.ISTATD:
            self._parts[1:-1:3] = [b"%d " % time] * len(values)
            self._parts[2:-1:3] = values
        else:
            self._parts[1:-1:3] = values
            self._parts[2:-1:3] = [b" %d" % time] * len(values)
        return b"".join(self._parts)


def back_fill_times(steps: int, now: float) -> list[int]:
    """Ordered past times, one per step, the newest a step or two before `now`."""
    end = int(now) // STEP * STEP
    return [end - (steps - index) * STEP for index in range(steps)]


def datagrams(chunks: Iterable[bytes], size: int = DATAGRAM) -> list[memoryview]:
    """Cuts chunks at line ends into pieces of at most `size` bytes, without copying them."""
    pieces: list[memoryview] = []
    for chunk in chunks:
        view = memoryview(chunk)
        start = 0
        while start < len(chunk):
            end = len(chunk)
            if end - start > size:
                end = chunk.rindex(b"\n", start, start + size) + 1
            pieces.append(view[start:end])
            start = end
    return pieces


def difference_entropy(values: Sequence[bytes]) -> float:
    """Bytes per sample that an ideal coder of one series' first differences would need (pooled over time)."""
    scaled = [round(float(text) * 100) for text in values]
    differences = Counter(b - a for a, b in zip(scaled, scaled[1:], strict=False))
    total = sum(differences.values())
    bits = -sum(n / total * math.log2(n / total) for n in differences.values())
    return bits / 8
