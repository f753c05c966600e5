"""Somebody is told: who was refused, with an example; what fails at an agent; whether a sample was taken."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ROOT, START_SECONDS, ServerProcess

pytestmark = pytest.mark.seconds(30)


def istat(server: ServerProcess, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "istat.cli.command", *map(str, words), "--server", server.url]
    return subprocess.run(command, text=True, env=server.environment, cwd=ROOT, capture_output=True,
                          timeout=START_SECONDS, check=False)


def test_refusals_are_told_by_sender_with_an_example(tmp_path: Path) -> None:
    now = int(time.time())
    with ServerProcess(tmp_path) as server:
        server.send_tcp(b"#agent web1\na 1\n" + b"shop.orders 17 %d\n" % now * 100)
        server.send_udp(b"late %d123 5\n" % now)
        server.wait_until(lambda: len(server.get("/api/v1/status")["refused_by"]) == 2, "both are told")
        said = " ".join(istat(server, "status").stdout.split())
        assert "100 from_past: samples older than what is kept" in said
        assert "web1 (tcp, 127.0.0.1:" in said and f"ago: shop.orders 17 {now} the time stands behind" in said
        assert f"write: shop.orders {now} 17" in said and f"write: late {now} 5" in said
        assert f"(the time stands behind the value, as Graphite has it; write: shop.orders {now} 17)" in server.log()


def test_what_was_sent_is_asked_for(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, max_counters=500) as server:
        to = ("--to", f"127.0.0.1:{server.stat_port}")
        assert (taken := istat(server, "send", "a.b", "-1e3", *to)).returncode == 0, taken.stderr
        assert (taken.stdout, taken.stderr) == ("", "")
        old = istat(server, "send", "a.b", 5, "--time", 17, *to)
        assert old.returncode == 81 and "was not taken: from_past: samples older than what is kept" in old.stderr
        many = b"".join(b"n%d 1\n" % number for number in range(1000))
        server.send_tcp(many)
        server.wait_until(lambda: server.refused().get("name_refused"), "it is full")
        full = istat(server, "send", "one.more", 1, *to)
        assert full.returncode == 81 and "raise max-counters" in full.stderr
        unknown = istat(server, "send", "a.b", 5, *to, "--unasked")
        assert (unknown.returncode, unknown.stderr) == (0, "")


def test_a_collector_that_fails_is_shown_until_it_works(tmp_path: Path) -> None:
    scripts = tmp_path / "d"
    scripts.mkdir(mode=0o700)
    script = scripts / "check_x"
    script.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    script.chmod(0o755)
    with ServerProcess(tmp_path) as server:
        command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{server.stat_port}",
                   "--host", "plugtest", "--interval", "1", "--plugin-dir", str(scripts), "--enable", "exec"]
        with (tmp_path / "agent.log").open("wb") as log:
            agent = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            server.wait_until(lambda: server.get("/api/v1/status")["failing"], "it is told", START_SECONDS)
            (row,) = server.get("/api/v1/status")["failing"]
            assert (row["agent"], row["collector"]) == ("plugtest", "exec:check_x")
            said = " ".join(istat(server, "status").stdout.split())
            assert "- plugtest: exec:check_x fails:" in said and "it is broken" in said
            script.write_text("#!/bin/sh\necho works 1\n")
            server.wait_until(lambda: not server.get("/api/v1/status")["failing"], "it works again", START_SECONDS)
        finally:
            agent.terminate()
            assert agent.wait(START_SECONDS) == 0
