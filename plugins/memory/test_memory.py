"""memory, on a fake /proc/meminfo and two readings of /proc/vmstat."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from istat.plugin import Config, Definition, Emit

from .collector import Memory

FIXTURES = Path(__file__).parent / "fixtures"
KB = 1024


def test_bytes_and_swap_traffic(
    fake_proc: Callable[[Path], None], documented: Callable[[Definition, Emit], None]
) -> None:
    fake_proc(FIXTURES / "first")
    memory = Memory()
    memory.setup(Config())
    first = Emit(1000, 100.0)
    memory.collect(first)
    gauges = first.gauges()
    documented(Memory, first)
    assert gauges["memory.total_bytes"] == 8_000_000 * KB
    assert gauges["memory.available_bytes"] == 5_000_000 * KB
    assert gauges["memory.used_percent"] == pytest.approx(37.5)
    assert gauges["memory.buffers_bytes"] == 200_000 * KB
    assert gauges["swap.total_bytes"] == 2_000_000 * KB
    assert gauges["swap.used_bytes"] == 500_000 * KB
    assert "swap.in_bytes" not in gauges  # the first reading has no rates

    fake_proc(FIXTURES / "second")
    second = Emit(1010, 110.0)
    memory.collect(second)
    documented(Memory, second)
    assert second.gauges()["swap.in_bytes"] == pytest.approx(
        100 * 4 * KB / 10
    )  # pages of 4 kB (psutil's figure)
    assert second.gauges()["swap.out_bytes"] == 0


def test_what_the_system_does_not_report_is_absent() -> None:
    source = SimpleNamespace(
        virtual_memory=lambda: SimpleNamespace(total=100, available=40, used=50, free=30),
        swap_memory=lambda: SimpleNamespace(total=0, used=0, free=0, sin=0, sout=0),
    )
    memory = Memory(source)
    for monotonic in (1.0, 2.0):
        emit = Emit(1000, monotonic)
        memory.collect(emit)
    assert "memory.slab_bytes" not in emit.gauges()
    assert emit.gauges()["memory.used_percent"] == 60


def test_unknown_swap_traffic_is_absent_not_zero(fake_proc: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text((FIXTURES / "first/meminfo").read_text())  # and no vmstat
    fake_proc(tmp_path)
    memory = Memory()
    memory.setup(Config())
    for monotonic in (1.0, 2.0):
        emit = Emit(1000, monotonic)
        with pytest.warns(RuntimeWarning):
            memory.collect(emit)
    assert not [name for name in emit.gauges() if name.startswith("swap.in")]
