"""prometheus-port of a real server, and of a real agent that sends to it: both tell the same series, as Prometheus' own
parser reads them."""
from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from ftest.harness.serverprocess import ServerProcess

pytestmark = [pytest.mark.seconds(15)]
ROOT = Path(__file__).parents[2]
SOON = 20.0
TYPE = "text/plain; version=0.0.4; charset=utf-8"
COLLECTOR = """
from istat.plugin import collector

@collector()
def collect(emit):
    emit.gauge("queue.depth", 3)
    emit.event("jobs.done", 5)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    tags = tmp_path / "tags"
    tags.write_text("site\n")
    with ServerProcess(tmp_path, prometheus_port=0, tagnames_path=tags) as found:
        yield found


def port_of(server: ServerProcess) -> int:
    found = re.search(r" prometheus-port=(\d+)", server.ready_line)
    assert found, server.ready_line
    return int(found[1])


def series(port: int, content_type: str = TYPE) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each series and its value."""
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == content_type
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text) for sample in family.samples}


def until(port: int, *names: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What is told once there are such names."""
    end = time.monotonic() + SOON
    while True:
        found = series(port)
        if set(names) <= {name for name, _ in found}:
            return found
        assert time.monotonic() < end, f"{names} did not come: {found}"
        time.sleep(0.1)


def agent(folder: Path, *flags: str, **more: Any) -> subprocess.Popen[str]:
    """An agent with one collector of its own."""
    drop_ins = folder / "d"
    drop_ins.mkdir(exist_ok=True)
    (drop_ins / "queue.py").write_text(COLLECTOR)
    command = [sys.executable, "-m", "istat_agent.main", "--host", "Web1.lan", "--tags", "site.fra", "--interval", "1",
               "--plugin-dir", str(drop_ins), "--enable", "queue", *flags]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **more)


def test_agent_and_server_tell_the_same_series(server: ServerProcess, tmp_path: Path) -> None:
    process = agent(tmp_path, "--server", f"127.0.0.1:{server.stat_port}", "--prometheus-port", "0",
                    "--tagnames-path", str(tmp_path / "tags"))
    try:
        assert process.stdout is not None
        ready = re.fullmatch(r"istat-agent ready prometheus-port=(\d+)\n", process.stdout.readline())
        assert ready
        mine = int(ready[1])
        labels = (("host", "web1_lan"), ("site", "fra"))
        for port in (mine, port_of(server)):
            found = until(port, "queue_depth", "jobs_done_total")
            assert found["queue_depth", labels] == 3
            assert found["jobs_done_total", (("counter", "1"), *labels)] % 5 == 0
        done = ("jobs_done_total", (("counter", "1"), *labels))
        end = time.monotonic() + SOON
        while (before := series(mine)[done]) < 25:      # one that began anew would be below for some seconds
            assert time.monotonic() < end
            time.sleep(0.1)
        process.send_signal(signal.SIGHUP)              # sums go on over a reload
        end = time.monotonic() + SOON
        while (now := series(mine)[done]) < before + 10:
            assert now >= before and time.monotonic() < end
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 0
    finally:
        process.kill()
        process.communicate()


def test_an_agent_that_cannot_listen_or_read_its_file_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = agent(tmp_path, "--prometheus-port", str(port))
        _, said = process.communicate(timeout=SOON)
        assert process.returncode == 87 and f"port {port} of 127.0.0.1 is in use" in said
    process = agent(tmp_path, "--prometheus-port", "0", "--tagnames-path", str(tmp_path / "none"))
    _, said = process.communicate(timeout=SOON)
    assert process.returncode == 78 and "tagnames-path:" in said and "Traceback" not in said


def test_a_server_says_what_is_wrong_with_its_file_before_it_starts(tmp_path: Path) -> None:
    tags = tmp_path / "tags"
    tags.write_text("counter\n")
    server = ServerProcess(tmp_path, prometheus_port=0, tagnames_path=tags)
    code, said = server.start_expecting_failure()
    assert code == 78 and "which is the label of event counters" in said
    server.command.append("--check-config")
    assert server.start_expecting_failure()[0] == 78


def test_what_the_server_tells_of_itself_is_apart(server: ServerProcess) -> None:
    server.send_tcp(b"load.one^host.h1 0.5\n")
    found = until(port_of(server), "load_one")
    assert {name for name, _ in found} == {"load_one"}
    own = requests.get(server.url + "/metrics", timeout=10).text
    assert "istatd_exporter_series 1" in own and "load_one" not in own
    for path, status in (("/", 404), ("/load.one.host.h1", 404), ("/?q=*", 404)):
        assert requests.get(f"http://127.0.0.1:{port_of(server)}{path}", timeout=10).status_code == status


def test_names_as_they_are_and_few_series(tmp_path: Path) -> None:
    settings = {"ISTAT_SERVER_TRANSLATE_METRIC_NAMES": "no"}
    with ServerProcess(tmp_path, prometheus_port=0, max_metrics_count=2, environment=settings) as server:
        server.send_tcp(b"Test.Gauge.1^host.h 5\n*hits 1\nmore 1\nmore 2\n")
        utf8 = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
        server.wait_until(lambda: len(series(port_of(server), utf8)) == 3, "all came")
        found = series(port_of(server), utf8)
        assert found["test.gauge.1", (("host", "h"),)] == 5
        assert [value for (name, _), value in found.items() if name.startswith("istatd_agent_dropped_metrics")] == [2]
