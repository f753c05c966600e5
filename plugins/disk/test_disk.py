"""disk and space, on two readings of a fake /proc/diskstats and on made-up file systems."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from istat.plugin import Config, Definition, Emit

from .collector import Disk, Space, label

FIXTURES = Path(__file__).parent / "fixtures"
SECTOR = 512


@pytest.fixture
def sys_block(tmp_path: Path) -> str:
    """A /sys/block with whole devices only."""
    for device in ("vda", "sda", "sdb", "loop0", "cciss!c0d0"):
        (tmp_path / device).mkdir()
    return str(tmp_path)


def test_rates_of_whole_devices(
    fake_proc: Callable[[Path], None], documented: Callable[[Definition, Emit], None], sys_block: str
) -> None:
    disk = Disk(sys_block=sys_block)
    first, second = Emit(1000, 50.0), Emit(1010, 60.0)
    fake_proc(FIXTURES / "first")
    disk.collect(first)
    assert first.gauges() == {}
    fake_proc(FIXTURES / "second")
    disk.collect(second)
    documented(Disk, second)
    assert second.gauges() == {  # vda1 is a partition, loop0 is skipped, sda fell back, sdb is new
        "disk.vda.read_bytes": 4000 * SECTOR / 10,
        "disk.vda.write_bytes": 800 * SECTOR / 10,
        "disk.vda.reads": 10,
        "disk.vda.writes": 5,
        "disk.vda.read_ms": 10,
        "disk.vda.write_ms": 5,
        "disk.vda.busy_ms": 250,
    }


def test_a_device_that_comes_back_starts_anew(sys_block: str) -> None:
    readings = [{"sdb": 100}, {}, {"sdb": 300}, {"sdb": 500}]
    source = SimpleNamespace(
        disk_io_counters=lambda perdisk, nowrap: {
            device: SimpleNamespace(read_bytes=total) for device, total in readings.pop(0).items()
        }
    )
    disk = Disk(source, sys_block)
    found = []
    for monotonic in (10.0, 20.0, 30.0, 40.0):
        emit = Emit(1000, monotonic)
        disk.collect(emit)
        found.append(emit.gauges())
    assert found == [{}, {}, {}, {"disk.sdb.read_bytes": 20}]


def test_no_disks_at_all() -> None:
    emit = Emit()
    Disk(SimpleNamespace(disk_io_counters=lambda **_: None)).collect(emit)
    assert emit.gauges() == {}


def partition(device: str, mountpoint: str) -> SimpleNamespace:
    return SimpleNamespace(device=device, mountpoint=mountpoint)


def space(blocks: int, free: int, available: int, files: int, files_free: int) -> SimpleNamespace:
    return SimpleNamespace(
        f_frsize=4096, f_blocks=blocks, f_bfree=free, f_bavail=available, f_files=files, f_ffree=files_free
    )


def test_space_once_per_device(documented: Callable[[Definition, Emit], None]) -> None:
    mounts = {"/": space(1000, 500, 400, 100, 90), "/home": space(2000, 2000, 2000, 0, 0)}
    partitions = [
        partition("/dev/vda1", "/var/lib/istat-agent"),  # a sandbox's bind mount of /
        partition("/dev/vda1", "/"),
        partition("/dev/vda2", "/home"),
        partition("/dev/vda3", "/snap/core/1"),
        partition("/dev/vda4", "/mnt/gone"),
    ]

    def statvfs(path: str) -> os.statvfs_result:
        if path not in mounts:
            raise FileNotFoundError(path)
        return mounts[path]  # type: ignore[return-value]

    collector = Space(SimpleNamespace(disk_partitions=lambda all: partitions), statvfs)
    emit = Emit()
    collector.collect(emit)
    documented(Space, emit)
    assert emit.gauges() == {
        "disk.space.root.used_bytes": 500 * 4096,
        "disk.space.root.free_bytes": 400 * 4096,
        "disk.space.root.used_percent": pytest.approx(100 * 500 / 900),
        "disk.space.root.inodes_used": 10,
        "disk.space.root.inodes_free": 90,
        "disk.space.home.used_bytes": 0,
        "disk.space.home.free_bytes": 2000 * 4096,
        "disk.space.home.used_percent": 0,
    }


def test_root_is_reported_even_where_it_is_on_no_device() -> None:
    collector = Space(SimpleNamespace(disk_partitions=lambda all: []))
    collector.setup(Config({"skip": "^/x", "extra": []}))
    emit = Emit()
    collector.collect(emit)
    assert emit.gauges()["disk.space.root.used_bytes"] > 0


@pytest.mark.parametrize(
    ("path", "expected"), [("/", "root"), ("/var/lib", "var_lib"), ("/mnt/My Disk.1", "mnt_my_disk_1")]
)
def test_mounts_as_labels(path: str, expected: str) -> None:
    assert label(path) == expected
