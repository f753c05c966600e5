"""The toy plugin of docs/extending.md, installed beside a real server and a real agent: every door at work."""
from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ftest.harness.manager import Manager
from ftest.harness.serverprocess import ROOT, ServerProcess
from tests.ports import own_port

pytestmark = pytest.mark.seconds(8)
TOY = ROOT / "tests" / "toyplugin"
TOKEN = "let-me-in"
BROKEN = "from istat_server.hookspecs import hookimpl\n@hookimpl\ndef istat_input(server): ...\n"


def install(folder: Path, package: Path, project: dict[str, object]) -> dict[str, str]:
    """As pip would: the distribution's entry points on the path of modules. The environment for a process."""
    info = folder / f"{project['name']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"]
    assert isinstance(groups, dict)
    (info / "entry_points.txt").write_text("".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in groups.items()))
    return {"PYTHONPATH": os.pathsep.join((str(ROOT), str(folder), str(package)))}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return install(tmp_path / "installed", TOY, tomllib.loads((TOY / "pyproject.toml").read_text())["project"])


@pytest.fixture
def server(tmp_path: Path, environment: dict[str, str]) -> Iterator[ServerProcess]:
    settings = tmp_path / "server.toml"
    settings.write_text('[plugins.toy]\nport = 0\n')
    with ServerProcess(tmp_path, config=settings, environment=environment, admin_token=TOKEN) as server:
        yield server


def metrics(server: ServerProcess) -> str:
    answer = requests.get(server.url + "/metrics", timeout=10)
    assert answer.status_code == 200
    return answer.text


def test_settings_metrics_and_a_reload(server: ServerProcess, tmp_path: Path) -> None:
    assert "# TYPE istatd_plugins_toy_lines_total counter\nistatd_plugins_toy_lines_total 0\n" in metrics(server)
    (tmp_path / "server.toml").write_text('[plugins.toy]\nport = 7\nprefix = "my."\n')
    server.signal(signal.SIGHUP)
    server.wait_until(lambda: "reloaded; changed: plugins.toy.prefix" in server.log(), "the settings are read again")
    assert "these settings change with a restart only: plugins.toy.port" in server.log()


def test_routes_with_rights(server: ServerProcess) -> None:
    assert server.get("/api/toy/lines") == {"lines": 0}
    forget = server.url + "/api/toy/forget"
    assert requests.post(forget, timeout=10).status_code == 401
    answer = requests.post(forget, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"lines": 0})


def test_a_way_in_that_is_no_endpoint(server: ServerProcess) -> None:
    server.wait_until(lambda: server.get("/api/v1/names", match="toy.pulse")["names"], "its sample has come")
    assert "pulse" in {agent["address"] for agent in server.get("/api/v1/agents")["agents"]}


def test_a_way_out_that_reads_the_store(tmp_path: Path, environment: dict[str, str]) -> None:
    settings, report = tmp_path / "server.toml", tmp_path / "report"
    settings.write_text(f'[plugins.toy]\nport = 0\npulse = "100ms"\nreport = "{report}"\n')
    wanted = re.compile(r"^toy\.pulse \d+0 [1-9]\d* \d+$", re.MULTILINE)
    with ServerProcess(tmp_path, config=settings, environment=environment) as server:
        server.wait_until(lambda: report.exists() and wanted.search(report.read_text()), "the report has its sample")


def test_a_protocol_of_its_own_on_ports_of_its_own(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "toy.sock"
    settings = tmp_path / "server.toml"
    settings.write_text(f'[plugins.toy]\nport = 0\npath = "{path}"\n')
    with ServerProcess(tmp_path, config=settings, environment=environment) as server:
        stat, http, port, told = server.ready_line.split()[2:]
        assert (told, port.partition("=")[0]) == (f"toy-path={path}", "toy-port")
        address = ("127.0.0.1", int(port.partition("=")[2]))
        with socket.create_connection(address) as by_tcp, socket.socket(socket.AF_UNIX) as by_path, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as by_udp:
            by_tcp.sendall(b"by.tcp=1\nnothing\n")
            by_udp.sendto(b"by.udp=2", address)
            by_path.connect(str(path))
            by_path.sendall(b"by.path=3\n")
            server.wait_until(lambda: len(server.get("/api/v1/names", match="toy.by.*")["names"]) == 3, "all have come")
        assert server.refused() == {"bad_message": 1}
        server.kill9()
        server.start()      # over the file of the socket that the killed one left


def test_its_sockets_are_handed_over_as_ours_are(tmp_path: Path, environment: dict[str, str]) -> None:
    """What comes between two lives of the server waits in the sockets that the service manager keeps."""
    settings, port, stat_port = tmp_path / "server.toml", own_port(), own_port()
    settings.write_text(f"[plugins.toy]\nport = {port}\n")
    manager = Manager(tmp_path)
    server = ServerProcess(tmp_path, config=settings, stat_port=stat_port,
                           environment={**environment, "NOTIFY_SOCKET": str(manager.path)})
    with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        manager.listen()
        wanted = {f"{kind}-127.0.0.1-{number}" for kind in ("tcp", "udp") for number in (port, stat_port)}
        assert wanted <= set(manager.kept), "and those of ::1, where there is IPv6"
        server.kill9()
        out.sendto(b"toy.between=1", ("127.0.0.1", port))
        out.sendto(b"between 1\n", ("127.0.0.1", stat_port))
        manager.pass_on(server)
        server.start()
        names = ("toy.toy.between", "between")
        server.wait_until(lambda: all(server.get("/api/v1/names", match=name)["names"] for name in names), "both came")
        assert server.log().count("was handed over") == len(manager.kept)
    manager.close()


def test_an_endpoint_on_a_port_of_ours_is_one_sentence(tmp_path: Path, environment: dict[str, str]) -> None:
    settings = tmp_path / "server.toml"
    port = own_port()
    settings.write_text(f"[plugins.toy]\nport = {port}\n")
    code, said = ServerProcess(tmp_path, config=settings, environment=environment,
                               stat_port=port).start_expecting_failure()
    assert code == 78
    assert said == ("istat-server: the setting stat-port and toy of toy would both listen on "
                    f"tcp port {port} of 127.0.0.1: give one of them another\n")


def test_its_collector_reports_from_an_agent(server: ServerProcess, environment: dict[str, str],
                                              tmp_path: Path) -> None:
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    (waiting / "letter").touch()
    settings = tmp_path / "agent.toml"
    settings.write_text(f'enable = ["toy"]\nplugin-dir = []\nhost = "web1"\n[plugins.toy]\nfolder = "{waiting}"\n')
    command = [sys.executable, "-m", "istat_agent.main", "--config", str(settings), "--interval", "1",
               "--server", f"127.0.0.1:{server.stat_port}"]
    listed = subprocess.run([*command, "--list-collectors"], env={**os.environ, **environment}, cwd=tmp_path,
                            capture_output=True, text=True, check=True).stdout
    assert "entry point toy (istat_toy.collector)" in listed
    agent = subprocess.Popen(command, env={**os.environ, **environment}, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        server.wait_until(lambda: server.get("/api/v1/names", match="toy.waiting.host.web1")["names"],
                          "the collector's counter is there")
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(20) == 0


def test_a_plugin_that_does_not_fit_is_one_sentence(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    entry_points = {"istat_server": {"broken": "broken"}}
    install(tmp_path / "installed", tmp_path, {"name": "broken", "version": "1", "entry-points": entry_points})
    path = os.pathsep.join((environment["PYTHONPATH"], str(tmp_path)))
    code, said = ServerProcess(tmp_path, environment={"PYTHONPATH": path}).start_expecting_failure()
    assert code == 86
    assert said.startswith("istat-server: the plugin broken (broken) does not fit: unknown hook 'istat_input'")
    assert len(said.splitlines()) == 1
