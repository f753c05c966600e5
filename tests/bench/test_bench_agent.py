"""What `bench.agent` reads of the agents that it runs, and a run of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import agent
from bench.agents import costs, peers
from bench.agents.subject import of_lines, of_packet
from bench.servers.process import BenchError


def part(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + (len(body) + 4).to_bytes(2, "big") + body


def test_counters_of_lines_and_of_collectds_packets() -> None:
    assert of_lines(b"#hostname web1\ncpu.user^host.web1 1000 5\n*hits 3\ncpu.user^host.web1 1010 6\n") == {
        "cpu.user^host.web1", "*hits"}
    packet = (part(2, b"load\0") + part(4, b"load\0") + part(6, (3).to_bytes(2, "big") + bytes(27))
              + part(2, b"cpu\0") + part(3, b"0\0") + part(4, b"cpu\0") + part(5, b"user\0")
              + part(6, (1).to_bytes(2, "big") + bytes(9)))
    assert of_packet(packet) == {"load//load//0", "load//load//1", "load//load//2", "cpu/0/cpu/user/0"}
    assert of_packet(packet[:-3] + b"\0\1\0\0") == of_packet(packet), "what is cut short is no fault"


def test_costs_are_those_of_a_process_and_its_children() -> None:
    work = "import subprocess, sys; sum(range(10**6)); subprocess.Popen(['sleep', '60']); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        family, found = costs.family(process.pid), costs.of(process.pid)
        for pid in family[1:]:
            os.kill(pid, 9)
        process.kill()
    assert len(family) == 2
    assert 0 < found.cpu < 60 and found.rss > found.pss > 1e6 and found.written == 0
    assert costs.of(process.pid) == (0.0, 0, 0, 0), "it has ended"


def test_the_table_has_a_row_for_each_and_the_goals_below() -> None:
    figures = dict.fromkeys(agent.COLUMNS, 1.0)
    lines = agent.table({"ours": figures, "another": figures}).splitlines()
    assert len(lines) == 5 and lines[2].startswith("| ours | 1 | 1.000 | 1.0 |")
    assert lines[-1] == "| goal for ours | - | < 0.15 | < 35 | - | - | < 1 | < 1 |"


def test_programs_of_a_folder_that_others_can_change_are_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "peers"
    folder.mkdir()
    (folder / "unpacked").touch()
    folder.chmod(0o777)
    with pytest.raises(BenchError, match="not a folder of yours alone"):
        peers.fetch(folder)
    folder.chmod(0o755)
    peers.fetch(folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(BenchError, match="--peers FOLDER"):
        peers.fetch(tmp_path / "link")
