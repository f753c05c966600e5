"""The systems under test behind one face: start, ports, what is stored, compact, disk. Knows no measurement.

Our server is asked through its own HTTP API only; of its code, `compact_store` alone is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.load import wire
from bench.load.work import STEP, Form
from bench.servers.process import BenchError, Process, free_port, sizes

VICTORIA = "victoria-metrics"
TOY = Path(__file__).with_name("toy.py")
NAMES_PER_QUESTION = 1000  # our API's limit
MERGE_LIMIT = 600.0  # [s]


class System(ABC):
    """One server on loopback ports of its own, with a store in `folder`."""

    label: str
    form: Form

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = folder / "store"
        self.stat_port = 0
        self.http_port = 0
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        if self._process is None:
            raise BenchError(f"{self.label} is not running")
        return self._process

    @abstractmethod
    def start(self) -> None:
        """Starts the server on `folder`; returns when it takes samples and answers HTTP."""

    def stop(self) -> float:
        """Stops it cleanly; returns all CPU seconds of its life."""
        if self._process is None:
            return 0.0
        process, self._process = self._process, None
        return process.stop()

    def client(self) -> wire.Client:
        return wire.Client(self.http_port)

    @abstractmethod
    def stored(self, names: Sequence[bytes], start: int, end: int) -> int:
        """How many samples of these series with start <= time <= end a query finds."""

    @abstractmethod
    def compact(self) -> None:
        """Everything flushed and merged as far as the system ever would; it runs again afterwards."""

    @abstractmethod
    def disk(self) -> dict[str, int]:
        """Bytes on disk: `data` (samples with their index), `names`, `rest`, and parts of interest."""


class Istatd(System):
    """Our server, as a process of its own."""

    label = "istatd"
    form = Form.ISTATD
    command: tuple[str, ...] = (sys.executable, "-m", "istat_server.main")
    extra: tuple[str, ...] = ()  # further options
    environment: Mapping[str, str] = {}  # beside ours

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if "istat_server.main" in self.command and importlib.util.find_spec("istat_server") is None:
            raise BenchError(
                "istat_server cannot be imported: run from the repository's root, after building"
            )

    def start(self) -> None:
        options = [
            "--stat-port",
            str(free_port()),
            "--http-port",
            str(free_port()),
            "--store",
            str(self.store),
        ]
        argv = [*self.command, *options, "--listen-address", "127.0.0.1", *self.extra]
        self._process = Process(argv, self.folder / "server.log", dict(self.environment))
        line = self._process.line()
        found = re.match(r"istat-server ready stat-port=(\d+) http-port=(\d+)", line)
        if not found:
            self.stop()
            raise BenchError(f"istat-server's first line is not its ready line: {line!r}")
        self.stat_port, self.http_port = int(found[1]), int(found[2])

    def stored(self, names: Sequence[bytes], start: int, end: int) -> int:
        total = 0
        client = self.client()
        for at in range(0, len(names), NAMES_PER_QUESTION):
            question = {
                "names": [name.decode() for name in names[at : at + NAMES_PER_QUESTION]],
                "from": start - 7200,  # coarse buckets at the edges lie within
                "to": end + 7200,
                "points": 1000,
                "columns": ["count"],
            }
            answer = client.json(wire.post("/api/v1/series", question))
            total += sum(value or 0 for series in answer["series"] for value in series["count"])
        client.close()
        return round(total)

    def compact(self) -> None:
        self.stop()
        compact_store(self.store)
        self.start()

    def disk(self) -> dict[str, int]:
        figures = {"data": 0, "finest": 0, "names": 0, "journal": 0, "rest": 0}
        for path, size in sizes(self.store).items():
            parts = Path(path).parts
            if path.endswith(".statfile"):
                figures["data"] += size
                figures["finest"] += size if f"{STEP}s" in parts else 0
            elif "names" in parts:
                figures["names"] += size
            elif "journal" in parts:
                figures["journal"] += size
            else:
                figures["rest"] += size
        return figures


class Toy(Istatd):
    """A toy of our server in plain Python, so that the smoke test needs no build."""

    label = "toy"
    command = (sys.executable, str(TOY))

    def compact(self) -> None:
        """It has nothing to compact."""


class Victoria(System):
    """VictoriaMetrics of Debian, samples over its Graphite port."""

    label = "victoria-metrics"
    form = Form.GRAPHITE

    def start(self) -> None:
        self.stat_port, self.http_port = free_port(), free_port()
        argv = [
            VICTORIA,
            f"-graphiteListenAddr=127.0.0.1:{self.stat_port}",
            f"-httpListenAddr=127.0.0.1:{self.http_port}",
            f"-storageDataPath={self.store}",
            "-http.connTimeout=2h", "-retentionPeriod=2",  # months
            "-search.latencyOffset=0s",  # fresh samples are to be seen at once, as with us
            "-search.maxUniqueTimeseries=2000000",
            "-search.maxSeries=2000000",
            "-loggerLevel=WARN",
        ]
        self._process = Process(argv, self.folder / "server.log")
        self._process.wait_for(self._answers, "victoria-metrics ready")

    def _answers(self) -> bool:
        try:
            client = self.client()
        except ConnectionRefusedError:
            return False
        status, _ = client.fetch(wire.get("/health"))
        client.close()
        return status == 200

    def _get(self, path: str, **arguments: object) -> str:
        client = self.client()
        text = client.text(wire.get(path, **arguments))
        client.close()
        return text

    def metric(self, name: str) -> float:
        """The sum of one of its own metrics over all labels."""
        found = re.findall(
            rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", self._get("/metrics"), re.MULTILINE
        )
        return sum(float(value) for value in found)

    def stored(self, names: Sequence[bytes], start: int, end: int) -> int:
        self._get("/internal/force_flush")
        group = names[0].decode().rstrip("0123456789").split(".")[1].rstrip("0123456789")
        question = f'sum(count_over_time({{__name__=~"host\\\\.{group}.+"}}[{end - start + 7200}s]))'
        client = self.client()
        answer = client.json(wire.get("/api/v1/query", query=question, time=end + 60, nocache=1))
        client.close()
        result = answer["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    def compact(self) -> None:
        self._get("/internal/force_flush")
        self._get("/internal/force_merge")
        time.sleep(1.0)  # it answers before it begins
        end = time.monotonic() + MERGE_LIMIT
        while self.metric("vm_active_force_merges") or self.metric("vm_active_merges"):
            if time.monotonic() > end:
                raise BenchError("victoria-metrics still merges")
            time.sleep(0.5)
        self.process.quiet(MERGE_LIMIT)

    def disk(self) -> dict[str, int]:
        figures = {"data": 0, "names": 0, "journal": 0, "rest": 0}
        for path, size in sizes(self.store).items():
            top = Path(path).parts[0]
            figures[{"data": "data", "indexdb": "names"}.get(top, "rest")] += size
        return figures


def compact_store(folder: Path) -> None:
    """Compacts a store that no server holds; raises BenchError when our server lacks the means."""
    try:
        statstore = importlib.import_module("istat_server.store.statstore")
    except ImportError as error:
        raise BenchError(f"cannot compact: istat_server.store.statstore is missing ({error})") from error
    compact = getattr(statstore, "compact", None)
    if compact is None:
        raise BenchError("cannot compact: istat_server.store.statstore has no compact(folder)")
    compact(folder)


def need_victoria() -> None:
    """Installs the peer where apt can; raises BenchError with the command to run where it cannot."""
    if shutil.which(VICTORIA):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BenchError(
            f"{VICTORIA} is missing; as root: apt-get install {VICTORIA} (or run with --peer none)"
        )
    command = ["apt-get", "install", "-y", "--no-install-recommends", VICTORIA]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed: {done.stderr[-400:]}")


def systems(peer: str, ours: str) -> list[type[System]]:
    """The systems to compare, ours first. `peer`: victoria or none; `ours`: istatd, toy or none."""
    chosen: list[type[System]] = []
    if ours != "none":
        chosen.append({"istatd": Istatd, "toy": Toy}[ours])
    if peer == "victoria":
        need_victoria()
        chosen.append(Victoria)
    return chosen
