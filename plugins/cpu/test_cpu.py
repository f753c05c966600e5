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
    # 500 + 200 + 1100 + 50 + 100 hundredths passed; iowait ran backwards.
    assert gauges["cpu.user"] == pytest.approx(100 * 500 / 1950)
    assert gauges["cpu.system"] == pytest.approx(100 * 200 / 1950)
    assert gauges["cpu.idle"] == pytest.approx(100 * 1100 / 1950)
    assert gauges["cpu.steal"] == pytest.approx(100 * 100 / 1950)
    assert "cpu.iowait" not in gauges
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


def stat(folder: Path, **cpus: tuple[int, int]) -> None:
    """A /proc/stat in which each CPU has these hundredths of seconds as a user's, and idle."""
    lines = [f"{name} {user} 0 0 {idle} 0 0 0 0 0 0\n" for name, (user, idle) in cpus.items()]
    total = [sum(column) for column in zip(*cpus.values())]
    (folder / "stat").write_text(f"cpu  {total[0]} 0 0 {total[1]} 0 0 0 0 0 0\n{''.join(lines)}intr 1 0\n")


def test_a_cpu_that_goes_offline_does_not_shift_the_others(
    fake_proc: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_proc(tmp_path)
    monkeypatch.setattr(psutil, "cpu_count", lambda: None)
    cpu = Cpu()
    cpu.setup(Config({"per-core": True}))

    def busy(**cpus: tuple[int, int]) -> dict[str, float]:
        stat(tmp_path, **cpus)
        return {name: value for name, value in read(cpu).gauges().items() if name.endswith("busy")}

    busy(cpu0=(1000, 9000), cpu1=(2000, 9000), cpu2=(3000, 7000), cpu10=(5000, 5000))
    # All are idle, cpu1 goes offline, and with it its part of the total.
    assert busy(cpu0=(1000, 9010), cpu2=(3000, 7010), cpu10=(5000, 5010)) == {
        "cpu.core0.busy": 0, "cpu.core2.busy": 0, "cpu.core10.busy": 0}
    assert busy(cpu0=(1000, 9020), cpu2=(3000, 7020), cpu10=(5010, 5010)) == {
        "cpu.busy": pytest.approx(100 * 10 / 30), "cpu.core0.busy": 0, "cpu.core2.busy": 0, "cpu.core10.busy": 100}
    # It comes back, and has a share from its second reading on.
    back = busy(cpu0=(1000, 9030), cpu1=(2000, 9000), cpu2=(3000, 7030), cpu10=(5010, 5020))
    assert "cpu.core1.busy" not in back
    assert busy(cpu0=(1000, 9040), cpu1=(2005, 9005), cpu2=(3000, 7040), cpu10=(5010, 5030))["cpu.core1.busy"] == 50


@pytest.mark.parametrize("state", ["user", "system", "idle", "steal"])
def test_a_total_that_runs_back_gives_no_value(state: str) -> None:
    before = dict.fromkeys(("user", "system", "idle", "iowait", "steal"), 1000.0)
    assert percents(before, {**{s: total + 10 for s, total in before.items()}, state: 995.0}) == {}


def test_iowait_that_runs_back_has_no_value_and_the_others_have() -> None:
    before = {"user": 10.0, "idle": 10.0, "iowait": 10.0}
    assert percents(before, {"user": 11.0, "idle": 13.0, "iowait": 9.0}) == {"user": 25, "idle": 75}


def test_no_time_passed_gives_nothing() -> None:
    assert percents({"user": 1.0, "idle": 2.0}, {"user": 1.0, "idle": 2.0}) == {}
    assert percents({}, {"user": 1.0}) == {}
