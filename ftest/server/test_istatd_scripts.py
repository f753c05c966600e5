"""The scripts of a site that runs istatd, with its programs' names and options, against a server of ours: samples go
in, are flushed, asked for, dumped and deleted. And two trees of ring files become one, by two processes."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ROOT, ServerProcess
from istat_server.tools import ALIASES

sys.path.insert(0, str(ROOT / "tests/foreign"))
from istatd_writer import Counter  # noqa: E402 - the tests' own writer of istatd's layout

TOKEN = "a-token-of-the-test"
LADDER = "10s:2h,5m:4d"


def command(name: str, *words: object) -> list[str]:
    """A program as its script runs it."""
    module, attribute = ALIASES[name].split(":")
    return [sys.executable, "-c", f"import sys; from {module} import {attribute}; sys.exit({attribute}.main())",
            *map(str, words)]


def run(name: str, *words: object, stdin: str = "", **environment: str) -> tuple[int, str]:
    """Its exit status, and what it printed; what it told on standard error must be no traceback."""
    done = subprocess.run(command(name, *words), cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    sys.stderr.write(done.stderr)       # for whoever reads why a test failed
    return done.returncode, done.stdout


def admin_port(server: ServerProcess) -> int:
    found = re.search(r"admin-port=(\d+)", server.ready_line)
    assert found, server.ready_line
    return int(found[1])


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path, admin_port=0, admin_token=TOKEN, retention=LADDER)


def loaded(server: ServerProcess) -> int:
    """How many counters there are but the server's own."""
    return sum(not row["name"].startswith("istatd.") for row in server.get("/api/v1/names", limit=1000)["names"])


def test_samples_are_sent_flushed_asked_for_dumped_and_deleted(server: ServerProcess, tmp_path: Path) -> None:
    with server:
        admin, now = admin_port(server), int(time.time())
        then = now - now % 10 - 30
        lines = f"foo.bar {then} 5\nfoo.bar {then} 7.25\n*hits {then} 30\n"
        assert run("istatd_netcat", "-q", 0.2, "127.0.0.1", server.stat_port, stdin=lines) == (0, "")
        server.wait_until(lambda: server.get("/api/v1/names", match="hits")["names"], "the samples are there")
        status, out = run("istatd_flush", "127.0.0.1", admin)
        assert status == 0 and re.fullmatch(r"flush took \d+ seconds\n", out)
        assert run("istatd_flush", "-q", "127.0.0.1", admin) == (0, "")

        # Each reader finds the same buckets.
        status, out = run("istatd_query", "-H", f"127.0.0.1:{server.http_port}", "-s", then, "-e", then + 10, "foo.bar")
        assert status == 0 and out.splitlines()[-1].split() == [
            str(then), "6.12", "5.00", "7.25", "2", "12.25", "77.56"]
        status, out = run("istatd_query", "-H", f"127.0.0.1:{server.http_port}", "-s", then, "-e", then + 10, "foo.bar",
                          "none")
        assert status == 0 and "error: none: Not found.\n" in out and f"{then}         6.12" in out
        path = server.store / "foo/bar/10s"
        status, out = run("istatd_filedump", path, ISTAT_URL=server.url)
        date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
        assert (status, out) == (0, "DATE,SUM,SUMSQ,MIN,MAX,COUNT,AVG,SDEV\n"
                                    f'"{date}",12.25,77.5625,5,7.25,2,6.125,1.59099\n')
        status, out = run("istatd_fileinfo", server.store / "hits/10s", server.store / "hits/5m", ISTAT_URL=server.url)
        assert status == 0 and re.findall(r"flags= (\S+)", out) == ["0x1", "0x4"]
        assert run("istatd_filedump", path, ISTAT_URL="http://127.0.0.1:1") == (1, "")     # it says how
        assert run("istatd_import", "--stat-file", path, stdin="1 1 1 1 1 1\n")[0] == 1
        status, out = run("istatd_lint", server.store)
        assert (status, out) == (0, "")

        # What changes wants the token.
        where = ("--admin", f"127.0.0.1:{admin}")
        assert run("istatd_delete_counters", *where, "foo.*")[0] == 3
        assert run("istatd_delete_counters", *where, "foo.*", ISTAT_ADMIN_TOKEN="wrong")[0] == 3
        assert run("istatd_delete_counters", *where, "foo.*", "no.such.*", ISTAT_ADMIN_TOKEN=TOKEN) == (0, "foo.bar\n")
        assert not server.get("/api/v1/names", match="foo.*")["names"]
    # The store is not in use: it is read where it lies.
    status, out = run("istatd_filedump", server.store / "hits/10s", ISTAT_URL="http://127.0.0.1:1")
    assert status == 0 and f'"{date}",3,9,3,3,1,3,0\n' in out


def test_the_admin_programs_and_a_load(server: ServerProcess) -> None:
    with server:
        admin = admin_port(server)
        status, out = run("istatd_stat", "127.0.0.1", admin)
        told = dict(line.split("=") for line in out.splitlines())
        assert status == 0 and told["http.port"] == str(server.http_port) and told["http.current"].isdigit()
        assert "ok" not in out.splitlines()
        for words in ((), (0,), (5, 3600)):
            status, out = run("istatd_purge", "127.0.0.1", admin, *words)
            assert status == 0 and re.fullmatch(r"purge took \d+ seconds\n", out)
        status, out = run("istatd_netcat", "-q", 5, "127.0.0.1", admin, stdin="stats\r\nquit\r\n")
        assert status == 0 and out.startswith("http.port=") and out.endswith("\nok\n")
        status, out = run("istatd_loadtest", "--num", 300, "--interval", 1, "--counters", 20, "--host",
                          f"127.0.0.1:{server.stat_port}")
        assert status == 0 and re.fullmatch(r"Sent 300 metrics in [0-9.]+ seconds\.\n", out)
        server.wait_until(lambda: loaded(server) == 20, "the load has come")
    assert run("istatd_flush", "127.0.0.1", admin)[0] == 2
    assert run("istatd_flush")[0] == 1


def test_what_istatds_plugins_of_collectd_send_is_taken(server: ServerProcess) -> None:
    """Part 15.17 of its behaviour: a datagram for each list of values, without times."""
    with server:
        server.send_udp(b"cpu.0.idle^class^host.h1 97.000000\n")
        server.send_udp(b"#hostname h1\n")
        server.send_udp(b"*interface.eth0.if_octets.rx^class^host.h1 12345\n"
                        b"*interface.eth0.if_octets.tx^class^host.h1 54321\n")
        wanted = {f"{name}.{suffix}" for name in ("cpu.0.idle", "interface.eth0.if_octets.rx",
                                                  "interface.eth0.if_octets.tx") for suffix in ("class", "host.h1")}
        server.wait_until(lambda: {row["name"] for row in server.get("/api/v1/names", limit=100)["names"]} >= wanted,
                          "all six counters are there")
        kinds = {row["name"]: row["kind"] for row in server.get("/api/v1/names", limit=100)["names"]}
        assert kinds["cpu.0.idle.host.h1"] == "gauge" and kinds["interface.eth0.if_octets.rx.class"] == "event"
        assert any(row.get("metadata", {}).get("hostname") == "h1" for row in server.get("/api/v1/agents")["agents"])


def test_two_trees_become_one_by_two_processes(tmp_path: Path) -> None:
    now = int(time.time())
    for root, odd in (("ours", 0), ("theirs", 1)):
        for name, event in (("cpu/idle", False), ("cpu/idle/host/h1", False), ("hits", True)):
            made = Counter(now - 3000 - now % 10, event, levels=(("10s", 10, 360), ("5m", 300, 1024)))
            for number in range(odd, 200, 2):
                made.add(now - 3000 - now % 10 + 10 * number, float(number))
            made.write(tmp_path / root / name)
    waiting = subprocess.Popen(command("istatd_transplant", "--listen", 0, "--store", tmp_path / "theirs", "--pidfile",
                                       tmp_path / "pid"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert waiting.stdout is not None
        line = waiting.stdout.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+), 6 files\n", line)
        assert found and (tmp_path / "pid").read_text() == f"{waiting.pid}\n"
        status, out = run("istatd_transplant", "--connect", f"127.0.0.1:{found[1]}", "--store", tmp_path / "ours",
                          "--fromtime", now - 4000, "--totime", now)
        assert status == 0 and re.match(r"6 files, \d+ filled, ", out)
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(30) == 0 and not (tmp_path / "pid").exists()
        assert " filled, " in waiting.stdout.read()
    finally:
        if waiting.poll() is None:
            waiting.kill()
            waiting.wait()
        if waiting.stdout is not None:
            waiting.stdout.close()
    for file in ("cpu/idle/10s", "cpu/idle/host/h1/10s", "hits/10s", "cpu/idle/5m"):
        ours, theirs = (run("istatd_filedump", tmp_path / root / file)[1].splitlines() for root in ("ours", "theirs"))
        if file.endswith("10s"):
            assert ours == theirs and len(ours) == 201, file
        else:
            assert [row.split(",")[0] for row in ours] == [row.split(",")[0] for row in theirs]
