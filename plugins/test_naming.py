"""Values by istatd's names: every collector that has some, on one machine's fake files; units as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from istat.plugin import Config, Definition, Emit

from .cpu.collector import Cpu
from .disk.collector import Disk
from .load.collector import Load
from .memory.collector import Memory
from .naming import NAMING
from .network.collector import FIELDS, Network
from .processes.collector import Processes

HERE = Path(__file__).parent
COLLECTORS = (Cpu, Disk, Load, Memory, Network, Processes)


def readings(instance: Any, definition: Definition, *moments: Callable[[], object]) -> dict[str, float]:
    """What the last of several readings, 5 s apart, tells."""
    instance.setup(Config(definition.configure({"naming": "istatd"})))
    for number, arrange in enumerate(moments):
        arrange()
        emit = Emit(1000 + 5 * number, 100.0 + 5 * number)
        instance.collect(emit)
    for reading in emit.readings:
        assert any(metric.matches(reading.name) for metric in definition.metrics), reading.name
    return emit.gauges()


@pytest.mark.parametrize("definition", COLLECTORS, ids=lambda one: one.name)
def test_our_own_names_are_the_default_and_nothing_else_is_taken(definition: Definition) -> None:
    assert NAMING.name in [setting.name for setting in definition.settings]
    assert definition.configure({})["naming"] == "ours"
    with pytest.raises(ValueError, match="naming"):
        definition.configure({"naming": "theirs"})


def test_cpu(fake_proc: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    found = readings(Cpu(), Cpu, lambda: fake_proc(HERE / "cpu/fixtures/first"),
                     lambda: fake_proc(HERE / "cpu/fixtures/second"))
    assert found["localstat.cpu.user"] == pytest.approx(100 * 500 / 1950)
    assert found["localstat.cpu.kernel"] == pytest.approx(100 * 200 / 1950)
    assert found["localstat.cpu.idle"] == pytest.approx(100 * 1100 / 1950)
    assert {"cpu.steal", "cpu.busy", "cpu.count"} <= set(found), "what istatd did not tell keeps our name"
    assert not {"cpu.user", "cpu.system", "cpu.idle"} & set(found)
    theirs = {metric.name for metric in Cpu.metrics if metric.name.startswith("localstat.")}
    assert theirs == {f"localstat.cpu.{state}" for state in ("user", "nice", "kernel", "idle", "iowait")}, "no swap"
    assert {name for name in found if name.startswith("localstat.")} == theirs - {"localstat.cpu.iowait"}, (
        "iowait went back between the readings")


def test_load(tmp_path: Path) -> None:
    (tmp_path / "loadavg").write_text("0.50 1.25 2.00 3/456 789\n")
    (tmp_path / "uptime").write_text("1000.5 900\n")
    assert readings(Load(str(tmp_path)), Load, lambda: None) == {
        "localstat.load.min1": 0.5, "localstat.load.min5": 1.25, "localstat.load.min15": 2,
        "load.uptime_seconds": 1000.5}


def test_memory() -> None:
    source = SimpleNamespace(
        virtual_memory=lambda: SimpleNamespace(total=1000, available=700, used=300, free=200, buffers=50, cached=450),
        swap_memory=lambda: SimpleNamespace(total=100, used=40, free=60, sin=0, sout=0))
    found = readings(Memory(source), Memory, lambda: None)
    assert {name: value for name, value in found.items() if name.startswith("localstat")} == {
        "localstat.mem.total": 1000, "localstat.mem.free": 200, "localstat.mem.used": 800, "localstat.mem.cache": 450,
        "localstat.swap.total": 100, "localstat.swap.used": 40, "localstat.swap.free": 60}
    assert (found["memory.used_bytes"], found["memory.available_bytes"]) == (300, 700)


def test_each_disk_has_its_own_numbers_as_bytes_since_the_last_reading() -> None:
    totals = iter([{"sda": 1000, "sdb": 7}, {"sda": 1512, "sdb": 8}])

    def counters(**_: object) -> dict[str, object]:
        return {device: SimpleNamespace(read_bytes=total, write_bytes=2 * total, read_count=total)
                for device, total in next(totals).items()}

    found = readings(Disk(SimpleNamespace(disk_io_counters=counters), "/nowhere"), Disk, *[lambda: None] * 2)
    assert found == {"localstat.disk.sda.read": 512, "localstat.disk.sda.write": 1024, "disk.sda.reads": 512 / 5,
                     "localstat.disk.sdb.read": 1, "localstat.disk.sdb.write": 2, "disk.sdb.reads": 1 / 5}


def test_each_interface_has_its_own_numbers_with_collisions(tmp_path: Path) -> None:
    totals = iter([{"lo": 1000, "eth0": 7}, {"lo": 1512, "eth0": 11}])
    collisions = iter([3, 10])
    place = tmp_path / "eth0/statistics"
    place.mkdir(parents=True)
    source = SimpleNamespace(net_io_counters=lambda pernic, nowrap: {
        interface: SimpleNamespace(**dict.fromkeys(FIELDS, total)) for interface, total in next(totals).items()})
    found = readings(Network(source, str(tmp_path)), Network,
                     *[lambda: place.joinpath("collisions").write_text(f"{next(collisions)}\n")] * 2)
    words = ("rx", "tx", "ipackets", "opackets", "ierrors", "oerrors")
    assert {name: value for name, value in found.items() if name.startswith("localstat")} == {
        **{f"localstat.net.lo.{word}": 512 for word in words}, **{f"localstat.net.eth0.{word}": 4 for word in words},
        "localstat.net.eth0.collisions": 7}
    assert found["network.lo.rx_drops"] == 512 / 5


def test_processes(tmp_path: Path) -> None:
    (tmp_path / "loadavg").write_text("0.50 1.25 2.00 3/456 789\n")
    (tmp_path / "stat").write_text("cpu 0\nprocesses 100\n")
    for pid, state in enumerate("RSSDTZI", 1):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (x) {state} 1\n")
    found = readings(Processes(str(tmp_path)), Processes, lambda: None)
    assert found == {"localstat.process.total": 7, "localstat.process.running": 1, "localstat.process.sleeping": 2,
                     "localstat.process.stopped": 1, "localstat.process.zombie": 1, "processes.blocked": 1,
                     "processes.idle": 1, "processes.threads": 456}
