"""quickstart.sh as a process, with ports of its own and its data in a folder of the test."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.ports import own_port

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 600  # in a checkout where nothing was built yet it installs and compiles first


class Quickstart(NamedTuple):
    """A running one: the page's address, when [monotonic s] it said that all runs, its data and what it printed."""

    address: str
    since: float
    data: Path
    log: Path


@contextmanager
def quickstart(folder: Path) -> Iterator[Quickstart]:
    """It runs, with its data in `folder`/istat-data. At the end it is interrupted as by Ctrl-C, and has to end
    cleanly."""
    data, log = folder / "istat-data", folder / "log"
    ports = {"ISTAT_STAT_PORT": str(own_port()), "ISTAT_HTTP_PORT": str(own_port())}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ISTAT_")}
    with log.open("wb") as output:
        process = subprocess.Popen(["sh", "quickstart.sh"], cwd=ROOT, env={**clean, **ports, "ISTAT_DATA": str(data)},
                                   stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   start_new_session=True)
    try:
        end = time.monotonic() + BUILD_SECONDS
        while "istatd runs" not in log.read_text():
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield Quickstart(f"http://127.0.0.1:{ports['ISTAT_HTTP_PORT']}/", time.monotonic(), data, log)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all three
        assert process.wait(30) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
