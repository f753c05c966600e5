"""cpu, on two readings of a fake /proc/stat."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from istat.plugin import Config, Definition, Emit

from .collector import Cpu, percents

FIXTURES = Path(__file__).parent / "fixtures"


def read(cpu: object, monotonic: float = 0.0) -> Emit:
    emit = Emit(1000, monotonic)
    cpu.collect(emit)  # type: ignore[attr-defined]
    return emit


def test_shares_of_all_cpus_since_the_last_reading(
    fake_proc: Callable[[Path], None],
    documented: Callable[[Definition, Emit], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    cpu = Cpu()
    fake_proc(FIXTURES / "first")
    assert read(cpu).gauges() == {"cpu.count": 2}  # nothing to compare with yet
    fake_proc(FIXTURES / "second")
    emit = read(cpu)
    gauges = emit.gauges()
    documented(Cpu, emit)
    # 500 + 200 + 1100 + 50 + 100 hundredths passed; iowait ran backwards and counts as none.
    assert gauges["cpu.user"] == pytest.approx(100 * 500 / 1950)
    assert gauges["cpu.system"] == pytest.approx(100 * 200 / 1950)
    assert gauges["cpu.idle"] == pytest.approx(100 * 1100 / 1950)
    assert gauges["cpu.steal"] == pytest.approx(100 * 100 / 1950)
    assert gauges["cpu.iowait"] == 0
    assert gauges["cpu.busy"] == pytest.approx(100 * 850 / 1950)
    states = [v for name, v in gauges.items() if name not in ("cpu.busy", "cpu.count")]
    assert sum(states) == pytest.approx(100)


def test_each_cpu_when_asked_for(
    fake_proc: Callable[[Path], None], documented: Callable[[Definition, Emit], None]
) -> None:
    cpu = Cpu()
    cpu.setup(Config({"per-core": True}))
    fake_proc(FIXTURES / "first")
    read(cpu)
    fake_proc(FIXTURES / "second")
    emit = read(cpu)
    documented(Cpu, emit)
    assert emit.gauges()["cpu.core0.user"] == pytest.approx(100 * 400 / 1050)
    assert emit.gauges()["cpu.core1.user"] == pytest.approx(100 * 100 / 900)


def test_no_time_passed_gives_nothing() -> None:
    assert percents({"user": 1.0, "idle": 2.0}, {"user": 1.0, "idle": 2.0}) == {}
    assert percents({}, {"user": 1.0}) == {}
