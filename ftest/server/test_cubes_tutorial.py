"""The program of the tutorial: real requests by its two servers, and what is told of them in the end."""
from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ROOT, ServerProcess
from istat.cube import Instance
from tests.ports import own_port

pytestmark = pytest.mark.seconds(20)
PROGRAM = ROOT / "docs" / "examples" / "countedweb.py"
PAGE = ROOT / "docs" / "cubes-tutorial.md"
CLIENTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
EACH = 20       # requests of a client for each path
BUCKET = 10     # [s] of the server's finest level


class Web:
    """The running program."""

    def __init__(self, kind: str, folder: Path, stats: str) -> None:
        self.port, self.folder = own_port(), folder
        options = ["--folder", folder, "--stats", stats, "--interval", "1"]
        self.process = subprocess.Popen([sys.executable, PROGRAM, kind, str(self.port), *options],
                                        stderr=subprocess.PIPE, cwd=ROOT)

    def ask(self, path: str, client: str = CLIENTS[0], method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(client, 0))
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                if condition():
                    return
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < end, what
            time.sleep(0.05)

    def end(self) -> str:
        """By SIGTERM: what it said."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, said
        return said.decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "server") as server:
        yield server


def metric(text: str, name: str, **labels: str) -> float:
    """A value of Prometheus' text."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    for found in re.finditer(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE):
        if wanted <= set(found[1].split(",")):
            return float(found[2])
    return 0.0


def browse(web: Web, client: str) -> None:
    for n in range(EACH):
        assert web.ask("/", client)[0] == 200
        assert web.ask(f"/item/{n % 4}", client)[0] == 200
        assert web.ask("/nowhere", client, "POST")[0] == 404


@pytest.mark.parametrize("kind", ["wsgiref", "gevent"])
def test_the_program_of_the_tutorial(kind: str, tmp_path: Path, server: ServerProcess) -> None:
    web = Web(kind, tmp_path / "frames", f"127.0.0.1:{server.stat_port}")
    web.wait(lambda: web.ask("/slow")[0] == 200, "it answers")
    clients = [threading.Thread(target=browse, args=(web, client)) for client in CLIENTS]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    root = {"method": "GET", "path": "/", "status": "200"}
    total = EACH * len(CLIENTS)
    web.wait(lambda: metric(web.ask("/metrics")[1], "http_requests_total", **root) == total, "all are counted")
    text = web.ask("/metrics")[1]
    assert metric(text, "http_requests_total", path="/nowhere", method="POST", status="404") == total
    assert metric(text, "http_requests_total", path="/item/1", status="200") == total / 4
    assert metric(text, "http_latency_us_count", **root) == total
    assert metric(text, "http_clients_distinct", **root) == len(CLIENTS)
    cells = {cell["tags"]["path"]: cell["fields"] for cell in json.loads(web.ask("/cells.json")[1])}
    assert cells["/"]["requests"] == total
    assert cells["/slow"]["latency_us"]["min"] >= 50_000
    assert web.end() == ""
    frames = [Instance.deserialize(path.read_bytes()) for path in sorted((tmp_path / "frames").iterdir())]
    everything = Instance("all")
    for frame in frames:
        everything.merge(frame)
    assert everything.cube("http").get(("GET", "/", 200))["requests"] == total
    the_command_shows_it(tmp_path / "frames", total)
    counted = everything.cube("http").totals["requests"]
    server.wait_until(lambda: in_server(server) == pytest.approx(counted), "the server has them all")


def in_server(server: ServerProcess) -> float:
    """Requests of the last minutes. Of what was counted a server keeps the rate per second."""
    now = int(time.time()) // BUCKET * BUCKET
    if not server.get("/api/v1/names", pattern="cubes.http.requests")["names"]:
        return 0
    rates = server.values("cubes.http.requests", now - 300, now + 2 * BUCKET, "sum")
    return sum(rate or 0 for rate in rates) * BUCKET


def the_command_shows_it(folder: Path, total: int) -> None:
    istat = "import sys; from istat.cli.console import main; sys.exit(main())"
    command = [sys.executable, "-c", istat, "cube", "top", folder, "--once", "--last", "1h"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if "/nowhere" in line)
    assert row[:5] == ["POST", "/nowhere", "404", str(total), str(total)]
    assert row[-1] == str(len(CLIENTS))


def test_what_the_tutorial_shows_is_in_the_program() -> None:
    program = PROGRAM.read_text()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        assert block in program, block
