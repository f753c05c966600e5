"""What this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from istat.clock import FakeClock, SystemClock
from istat.errors import IstatError
from istat.pagecache.model import machine


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 100 MiB, 80 of them available, in no control group."""
    (tmp_path / "meminfo").write_text("MemTotal: 102400 kB\nMemFree: 10000 kB\nMemAvailable: 81920 kB\nHugePages: 0\n")
    (tmp_path / "own").write_text("")
    (tmp_path / "cgroup").mkdir()
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    return tmp_path


def test_what_is_available_less_a_reserve(box: Path) -> None:
    assert machine.cache_bytes() == 75 << 20


@pytest.mark.parametrize(("own", "limit"), [("0::/a/b\n", "a/memory.max"),
                                            ("4:memory:/a\n", "memory/a/memory.limit_in_bytes")])
def test_a_control_group_has_its_cache_charged(box: Path, own: str, limit: str) -> None:
    """Also by one above it, and in both kinds of groups."""
    (box / "own").write_text(own)
    (box / "cgroup" / limit).parent.mkdir(parents=True)
    (box / "cgroup" / limit).write_text(f"{7 << 20}\n")
    assert machine.cache_bytes() == 7 << 20
    (box / "cgroup" / limit).write_text("max\n")
    assert machine.cache_bytes() == 75 << 20


def test_a_machine_that_does_not_tell_is_asked_for(box: Path) -> None:
    (box / "meminfo").write_text("MemTotal: lots\n")
    with pytest.raises(IstatError, match="--memory"):
        machine.cache_bytes()


def test_this_machine_has_some() -> None:
    assert machine.cache_bytes() > 0


def test_reads_are_counted_and_the_file_goes(tmp_path: Path) -> None:
    try:
        found = machine.reads_a_second(str(tmp_path), SystemClock(), seconds=0.01)
    except IstatError as error:
        assert "past the cache" in str(error)       # such as tmpfs of before Linux 6.6
    else:
        assert found > 0
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_stands_still_ends_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_READS", 3)
    try:
        assert machine.reads_a_second(str(tmp_path), FakeClock()) == 3
    except IstatError as error:
        assert "past the cache" in str(error)
