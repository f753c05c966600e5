"""The pieces of the command line's benchmark that need no server."""
from __future__ import annotations

from bench import commands


def test_every_counter_has_each_step_once():
    lines = b"".join(commands.counter_lines(20, 1, 1_000_005)).splitlines()
    assert len(lines) == 20 * 6 and sum(line.startswith(b"*") for line in lines) == 2 * 6
    times = sorted({int(line.split()[1]) for line in lines})
    assert times == list(range(999_950, 1_000_001, 10))
    assert len({(line.split()[0], line.split()[1]) for line in lines}) == 120


def test_every_name_comes_once():
    lines = b"".join(commands.name_lines(12_345)).splitlines()
    assert len(set(lines)) == 12_345 and all(line.startswith(b"host.web") for line in lines)
