"""A real server: it starts, takes samples, answers, bears bad company, and ends without losing anything."""
from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ftest.harness.serverprocess import ROOT, ServerProcess, now_bucket

pytestmark = pytest.mark.seconds(25)
POUR_SECONDS = 2.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server


def test_samples_by_tcp_and_udp_are_answered_at_once(server: ServerProcess) -> None:
    start = now_bucket()
    server.send_tcp(f"Basic.Gauge {start} 2\nbasic.gauge {start} 4\n*basic.event {start} 30\n".encode())
    server.send_udp(f"basic.udp^host.a {start} 7\n".encode())
    server.wait_for_samples(4)
    assert server.values("basic.gauge", start, start + 10, "avg") == [3.0]
    assert server.values("basic.gauge", start, start + 10, "max") == [4.0]
    assert server.values("basic.event", start, start + 10, "avg") == [3.0]
    assert server.values("basic.udp.host.a", start, start + 10, "avg") == [7.0]
    assert [row["name"] for row in server.get("/api/v1/names", match="basic.*")["names"]]


@pytest.mark.parametrize("kill", [False, True])
def test_nothing_is_lost_over_a_restart(server: ServerProcess, kill: bool) -> None:
    start = now_bucket()
    server.send_tcp(b"".join(b"kept.%d %d %d\n" % (i, start, i) for i in range(500)))
    server.wait_for_samples(500)
    if kill:
        time.sleep(0.1)     # by then what was read is in the journal
    server.restart(kill=kill)
    for i in (0, 7, 499):
        assert server.values(f"kept.{i}", start, start + 10, "avg") == [float(i)]
        assert server.values(f"kept.{i}", start, start + 10, "count") == [1]


def test_sigterm_takes_what_has_arrived(server: ServerProcess) -> None:
    start = now_bucket()
    with server.connect() as sock:
        sock.sendall(b"".join(b"late.%d %d 1\n" % (i, start) for i in range(2000)))
        assert server.terminate() == 0
    server.start()
    assert server.values("late.1999", start, start + 10, "avg") == [1.0]


def test_a_second_server_is_told_in_a_sentence(server: ServerProcess, tmp_path: Path) -> None:
    other = ServerProcess(tmp_path / "b", **{"stat-port": server.stat_port})
    code, said = other.start_expecting_failure()
    assert (code, said.count("\n")) == (87, 1)
    assert f"port {server.stat_port} of 127.0.0.1 is in use" in said
    other = ServerProcess(tmp_path / "c", **{"http-port": server.http_port})
    code, said = other.start_expecting_failure()
    assert code == 87
    assert f"port {server.http_port} of 127.0.0.1 is in use" in said
    other = ServerProcess(tmp_path / "d", store=server.store)
    code, said = other.start_expecting_failure()
    assert code == 92
    assert "in use by another" in said


@pytest.mark.parametrize(("options", "code", "says"), [
    ({"stat-port": "eighty"}, 78, "--stat-port wants a port from 1 to 65535"),
    ({"stat-prot": 8111}, 78, "did you mean 'stat-port'?"),
    ({"config": "/nonexistent/server.toml"}, 78, "cannot read the settings file /nonexistent/server.toml"),
    ({"retention": "10s"}, 78, "--retention wants a retention rule"),
    ({"listen-address": "192.0.2.1"}, 88, "192.0.2.1 is not an address of this machine"),
    ({"http-listen-address": "192.0.2.1"}, 88, "192.0.2.1 is not an address of this machine"),
    ({"store": "/proc/no/such"}, 91, "the folder /proc/no/such of the store cannot be made"),
    ({"store": "/dev/null"}, 91, "the store /dev/null is no folder"),
    ({"user": "nobody-of-that-name"}, 1, "there is no user called 'nobody-of-that-name'"),
    ({"log-file": "/proc/no.log"}, 89, "cannot write the log file /proc/no.log"),
])
def test_mistakes_of_the_operator_are_one_sentence(tmp_path: Path, options: dict[str, object], code: int,
                                                   says: str) -> None:
    got, said = ServerProcess(tmp_path, **options).start_expecting_failure()
    assert got == code, said
    assert says in said
    assert "Traceback" not in said
    assert all(line.startswith("istat-server: ") for line in said.splitlines())


def test_another_retention_keeps_what_there_is(tmp_path: Path) -> None:
    """At once, and when the files have moved to other levels, of which one can hold what there is."""
    at = now_bucket() - 600
    question = {"name": "kept", "from": at, "to": at + 60, "points": 1, "columns": "sum"}
    with ServerProcess(tmp_path, retention="10s:1h,1m:1d") as server:
        server.send_tcp(f"kept {at} 5\n".encode())
        server.wait_until(lambda: server.get("/api/v1/series", **question)["series"], "the sample is there")
    for retention, rules in (("1s:1h,1m:1d", ""), ("1m:1d,1h:10d", "k* = 10s:1d,1m:2d"), ("10s:1h,1m:1d", "")):
        with ServerProcess(tmp_path, retention=retention, retention_rules=rules) as server:
            def total() -> float:
                return sum(value or 0 for value in server.get("/api/v1/series", **question)["series"][0]["sum"])

            assert total() == 5
            assert server.get("/api/v1/status")["store"]["retention"] == retention
            if retention != "10s:1h,1m:1d":     # files that have all its levels stay as they are for long
                server.wait_until(lambda: len(policies(server)) == 1, "the file has moved")
            assert total() == 5


def policies(server: ServerProcess) -> set[str]:
    """The levels of the policies that have files, or whose files are on their way."""
    found = server.get("/api/v1/status")["store"]["policies"]
    return {one["retention"] for one in found if one["files"] or one["leaving"]}


def test_garbage_does_no_harm_and_is_counted(server: ServerProcess) -> None:
    start = now_bucket()
    server.send_tcp(os.urandom(200_000) + b"\n")
    server.send_tcp(b"x" * 300_000)
    server.send_tcp(b"no number\na b c d e f g h i j\n@reserved\n# bad metadata\n\n\r\n\x00\n^^ 1\n")
    for data in (b"", b"no line feed 1", b"\n", b"\xff\xfe 1\n", os.urandom(1000)):
        server.send_udp(data)
    server.send_tcp(f"after.garbage {start} 1\n".encode())
    server.wait_until(lambda: requests.get(server.url + "/after.garbage", timeout=5).status_code == 200,
                      "the sample after the garbage is there")
    server.wait_until(lambda: server.refused().get("unterminated", 0) >= 2, "datagrams are counted")
    refused = server.refused()
    assert refused["long_line"] >= 1
    assert refused["bad_number"] >= 1
    assert refused["reserved"] >= 1
    assert server.get("/api/v1/status")["store"]["refusing"] == ""
    server.assert_no_traceback()


def test_slow_and_idle_clients_stop_nobody(server: ServerProcess) -> None:
    start = now_bucket()
    line = f"slow.one {start} 5\n".encode()
    with server.connect() as idle, server.connect() as slow:
        idle.sendall(b"unfinished")
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in line:
            slow.sendall(bytes([byte]))
            time.sleep(0.005)
        server.send_tcp(f"quick.one {start} 6\n".encode())
        server.wait_for_samples(2)
        assert server.ingest()["connected"] >= 2
    assert server.values("slow.one", start, start + 10, "avg") == [5.0]


def test_a_thousand_connections(server: ServerProcess) -> None:
    start = now_bucket()
    before = server.resident_bytes()
    sockets = [server.connect() for _ in range(1000)]
    try:
        for number, sock in enumerate(sockets):
            sock.sendall(b"many.c%d %d 1\n" % (number, start))
        server.wait_for_samples(1000)
        assert server.ingest()["connected"] == 1000
        assert server.resident_bytes() - before < 20_000_000
        assert len(server.get("/api/v1/names", match="many.*", limit=2000)["names"]) >= 1000
    finally:
        for sock in sockets:
            sock.close()
    server.wait_until(lambda: server.ingest()["connected"] == 0, "all connections are closed")


def test_queries_stay_quick_while_samples_pour_in(server: ServerProcess) -> None:
    start = now_bucket()
    block = b"".join(b"pour.%d %d 1\n" % (i % 100, start) for i in range(20_000))
    server.send_tcp(block)
    server.wait_for_samples(20_000)
    waits = []
    pid = os.fork()
    if pid == 0:
        try:
            end = time.monotonic() + POUR_SECONDS
            with server.connect() as sock:
                while time.monotonic() < end:
                    sock.sendall(block)
        finally:
            os._exit(0)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        begun = time.monotonic()
        server.values("pour.1", start, start + 10)
        waits.append(time.monotonic() - begun)
    print(f"{server.ingest()['samples'] / POUR_SECONDS:.0f} samples/s, queries: {sorted(waits)}")
    assert len(waits) > 10
    assert sorted(waits)[len(waits) // 2] < 0.1     # the machine may be busy with other things
    assert server.ingest()["samples"] > 200_000


def test_the_agents_list_shows_what_senders_say(server: ServerProcess) -> None:
    with server.connect() as sock:
        sock.sendall(b"#hostname db1\n#version 1.2\n#agent db1-agent\nagents.x 1\n")
        server.wait_until(lambda: server.get("/api/v1/agents")["agents"], "the agent is listed")
        row, = server.get("/api/v1/agents")["agents"]
        assert (row["name"], row["version"], row["transport"]) == ("db1-agent", "1.2", "tcp")
        assert row["online"] is True
        assert abs(row["last_seen"] - time.time()) < 60
        listed = server.get("/", a="*")
        assert listed["count"] == 1
        assert listed["agents"][0]["hostname"] == "db1"
        assert listed["agents"][0]["_online"] is True


def test_head_and_unknown_paths(server: ServerProcess) -> None:
    answer = requests.head(server.url + "/health", timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")
    assert requests.get(server.url + "/no.such.counter", timeout=5).status_code == 404
    assert requests.get(server.url + "/api/v1/nothing", timeout=5).status_code == 404


def test_metrics_are_told_to_prometheus(server: ServerProcess) -> None:
    server.send_tcp(b"some.counter 1\nbad\n")
    server.wait_for_samples(1)
    answer = requests.get(server.url + "/metrics", timeout=5)
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert float(found["istatd_counter_dequeue_total"]) >= 1
    assert float(found["istatd_statserver_connects_total"]) == 1
    assert float(found['istatd_refused_total{kind="bad_fields"}']) == 1
    assert float(found["istatd_app_memory_vmrss"]) > 1e6
    assert float(found["istatd_hub_lag"]) < 5


def test_sighup_opens_the_log_anew_and_takes_over_settings(tmp_path: Path) -> None:
    settings = tmp_path / "server.toml"
    settings.write_text('log-level = "warning"\n')
    log = tmp_path / "own.log"
    with ServerProcess(tmp_path, config=settings, log_file=log) as server:
        log.rename(tmp_path / "own.log.1")
        settings.write_text('log-level = "info"\nmax-line = 1024\n')
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: log.exists() and "reloaded" in log.read_text(), "it has reloaded")
        assert "change with a restart only: max-line" in log.read_text()
        assert "changed: log-level" in log.read_text()
        settings.write_text("max-line = nonsense\n")
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: "not reloaded" in log.read_text(), "it refuses a bad file")
        assert server.healthy()
    assert "ended" in log.read_text()


def test_a_pid_file_lives_as_long_as_the_server(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with ServerProcess(tmp_path, pid_file=pid_file) as server:
        assert server.process is not None
        assert int(pid_file.read_text()) == server.process.pid
        code, said = ServerProcess(tmp_path / "b", pid_file=pid_file).start_expecting_failure()
        assert (code, "already running as process" in said) == (1, True)
    assert not pid_file.exists()


def test_fake_time_stops_the_clock(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, fake_time=1_325_395_000) as server:
        server.send_tcp(b"fake.now 5\nfake.future 1325395061 5\n")
        server.wait_for_samples(1)
        assert server.values("fake.now", 1_325_395_000, 1_325_395_010, "avg") == [5.0]
        server.wait_until(lambda: server.refused().get("from_future") == 1, "it is refused")


def test_figures_that_the_page_on_sizing_names_are_in_the_status(server: ServerProcess) -> None:
    section = (ROOT / "docs/sizing.md").read_text().split("## What a server says of itself")[1].split("## ")[0]
    named = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
    assert len(named) > 5
    status = server.get("/api/v1/status")
    for name in named:
        group, _, figure = name.partition(".")
        assert isinstance(status[group][figure] if figure else status[group], (int, float)), name
