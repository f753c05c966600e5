"""Our agent: by UDP, and by acknowledged batches with a spool to a server of ours."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.agents.subject import Sink, Subject, of_lines
from bench.servers.process import BenchError
from bench.servers.systems import Istatd
from istat.client import QueryClient
from istat.errors import IstatError

AGENT = (sys.executable, "-m", "istat_agent.main")
FILL = '''"""As many more counters as make it {most}: lines of /proc/vmstat."""
from istat.plugin import collector

@collector(name="fill")
def collect(emit):
    with open("/proc/vmstat") as file:
        values = [line.split() for line in file]
    for n in range({most}):
        name, value = values[n % len(values)]
        emit.gauge(f"fill.{{name}}_{{n}}", int(value))
'''


def folder_of_drop_ins(folder: Path, counters: int) -> Path:
    """One with a collector that brings what the built-in ones have less than `counters`."""
    drop_ins = folder / "plugins.d"
    drop_ins.mkdir(mode=0o755)
    told = subprocess.run([*AGENT, "--once", "--plugin-dir", ""], capture_output=True, check=True, timeout=60).stdout
    missing = counters - len(of_lines(told))
    if missing < 0:
        raise BenchError(f"the built-in collectors alone have {counters - missing} counters")
    (drop_ins / "fill.py").write_text(FILL.format(most=missing))
    return drop_ins


class ByUdp(Subject):
    """To this machine's server: what `server = "127.0.0.1:8111"` means."""

    label = "istatd, UDP"

    def __init__(self, folder: Path, interval: int, counters: int, sink: Sink) -> None:
        super().__init__(folder, interval)
        self._sink, self._drop_ins = sink, folder_of_drop_ins(folder, counters)

    def command(self) -> Sequence[str]:
        """See Subject.command."""
        return [*AGENT, *self.way(), "--interval", str(self.interval), "--plugin-dir", str(self._drop_ins),
                "--control-path", str(self.folder / "control")]

    def way(self) -> Sequence[str]:
        """How it sends."""
        return ["--server", f"127.0.0.1:{self._sink.port}"]

    def seen(self) -> bool:
        """See Subject.seen."""
        return bool(self._sink.found)

    def counters(self) -> int:
        """See Subject.counters."""
        return len(self._sink.found)


class ByBatches(ByUdp):
    """To a server elsewhere: acknowledged batches, and a spool for when it is away. Here it answers all the time."""

    label = "istatd, acknowledged batches"

    def __init__(self, folder: Path, interval: int, counters: int, sink: Sink) -> None:
        super().__init__(folder, interval, counters, sink)
        self._server = Istatd(folder / "server")
        self._server.start()
        self._client = QueryClient(f"http://127.0.0.1:{self._server.http_port}")

    def way(self) -> Sequence[str]:
        """See ByUdp.way."""
        return ["--forward", f"127.0.0.1:{self._server.stat_port}", "--spool", str(self.folder / "spool")]

    def seen(self) -> bool:
        """See Subject.seen."""
        return self.counters() > 0

    def counters(self) -> int:
        """See Subject.counters."""
        try:
            return sum(".host." in name["name"] for name in self._client.names(limit=10_000)["names"])
        except IstatError:
            return 0

    def stop(self) -> None:
        """See Subject.stop."""
        super().stop()
        self._server.stop()
