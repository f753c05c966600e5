"""disk and space, on two readings of a fake /proc/diskstats and on made-up file systems."""

import os
import threading
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


def test_devices_whose_names_look_alike_have_a_name_each(tmp_path: Path) -> None:
    for device in ("cciss!c0d0", "cciss_c0d0"):
        (tmp_path / device).mkdir()
    source = SimpleNamespace(disk_io_counters=lambda perdisk, nowrap: {
        "cciss/c0d0": SimpleNamespace(reads=0, read_bytes=next(slow)),
        "cciss_c0d0": SimpleNamespace(reads=0, read_bytes=next(fast))})
    slow, fast = iter([100, 200]), iter([7000, 9000])
    disk = Disk(source, str(tmp_path))
    for monotonic in (10.0, 20.0):
        emit = Emit(1000, monotonic)
        disk.collect(emit)
    assert emit.gauges() == {"disk.cciss_c0d0.read_bytes": 10, "disk.cciss~5fc0d0.read_bytes": 200}


def test_no_disks_at_all() -> None:
    emit = Emit()
    Disk(SimpleNamespace(disk_io_counters=lambda **_: None)).collect(emit)
    assert emit.gauges() == {}


def partition(device: str, mountpoint: str, fstype: str = "ext4", opts: str = "rw") -> SimpleNamespace:
    return SimpleNamespace(device=device, mountpoint=mountpoint, fstype=fstype, opts=opts)


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
    collector.setup(Config({"skip": "^/x", "skip-types": [], "extra": []}))
    emit = Emit()
    collector.collect(emit)
    assert emit.gauges()["disk.space.root.used_bytes"] > 0


@pytest.mark.parametrize(
    ("path", "expected"), [("/", "root"), ("/var/lib", "var_lib"), ("/mnt/My Disk.1", "mnt_my_disk_1")]
)
def test_mounts_as_labels(path: str, expected: str) -> None:
    assert label(path) == expected


def used(partitions: list[SimpleNamespace], sizes: dict[str, int], config: Config | None = None) -> dict[str, float]:
    """Mount -> bytes used, as they are reported where each file system has so many blocks in use."""
    collector = Space(SimpleNamespace(disk_partitions=lambda all: partitions),
                      lambda path: space(2 * sizes[path], sizes[path], 1, 0, 0))  # type: ignore[arg-type,return-value]
    if config is not None:
        collector.setup(config)
    emit = Emit()
    collector.collect(emit)
    assert len(emit.readings) == len(emit.gauges()), "two file systems in one counter"
    return {name.split(".")[2]: value / 4096 for name, value in emit.gauges().items() if name.endswith("used_bytes")}


def test_mounts_whose_names_look_alike_have_a_counter_each() -> None:
    sizes = {"/": 1, "/root": 2, "/var/lib": 3, "/var_lib": 4, "/data": 5, "/Data": 6, "/mnt/My Disk.1": 7}
    assert used([partition(f"/dev/vd{size}", mount) for mount, size in sizes.items()], sizes) == {
        "root": 1, "~root": 2, "var_lib": 3, "var~5flib": 4, "data": 5, "~44ata": 6, "mnt_my_disk_1": 7}


def test_images_and_files_of_containers_are_left_out(tmp_path: Path) -> None:
    hosts, volume = tmp_path / "h", tmp_path / "volume"
    hosts.touch()
    volume.mkdir()
    partitions = [
        partition("/dev/vda1", "/"),
        partition("/dev/vda2", str(hosts)),  # shorter than the folder from the same device
        partition("/dev/vda2", str(volume)),
        partition("/dev/vda3", str(hosts)),  # which hides the one before
        *(partition(f"/dev/loop{n}", f"/image{n}", kind, "ro")
          for n, kind in enumerate(("squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf"))),
        partition("/dev/sdb1", "/stick", "udf"),
    ]
    sizes = {"/": 1, str(volume): 2, "/stick": 3, **{f"/image{n}": 4 for n in range(6)}}
    assert used(partitions, sizes) == {"root": 1, label(str(volume)): 2, "stick": 3}
    config = Config({"skip": "^/x", "skip-types": ["ext4"], "extra": ["/image0/"]})
    assert used([partition("/dev/vda2", "/data"), partition("/dev/loop0", "/image0", "squashfs")], sizes, config) == {
        "root": 1, "image0": 4}


def test_where_nothing_is_mounted_is_not_the_space_of_what_lies_above(tmp_path: Path) -> None:
    config = Config({"skip": "^/x", "skip-types": [], "extra": [str(tmp_path), f"{tmp_path}/none", "/proc"]})
    collector = Space(SimpleNamespace(disk_partitions=lambda all: []), lambda path: space(2, 1, 1, 0, 0))
    collector.setup(config)
    emit = Emit()
    collector.collect(emit)
    mounted = {name for name in emit.gauges() if name.endswith("used_bytes")}
    assert mounted == {"disk.space.root.used_bytes", "disk.space.proc.used_bytes"}
    assert sorted(emit.problems) == [
        f"{place} of the setting extra cannot be looked at: is something mounted there?"
        for place in (tmp_path, tmp_path / "none")]


def test_a_root_that_is_an_image_is_left_out() -> None:
    assert used([partition("/dev/loop0", "/", "squashfs", "ro")], {"/": 1}) == {}


def test_a_mount_that_does_not_answer_holds_up_no_other(documented: Callable[[Definition, Emit], None]) -> None:
    answers, asked = threading.Event(), []

    def statvfs(path: str) -> os.statvfs_result:
        asked.append(path)
        if path == "/mnt/gone":
            answers.wait()
        return space(2, 1, 1, 0, 0)  # type: ignore[return-value]

    partitions = [partition("/dev/vda1", "/"), partition("/dev/vda2", "/mnt/gone"), partition("/dev/vda3", "/mnt/here")]
    collector = Space(SimpleNamespace(disk_partitions=lambda all: partitions), statvfs, patience=1.0)
    for _ in range(2):
        emit = Emit()
        collector.collect(emit)
        documented(Space, emit)
        assert {name for name in emit.gauges() if name.endswith("used_bytes")} == {
            "disk.space.root.used_bytes", "disk.space.mnt_here.used_bytes"}
        assert emit.events() == {"disk.space.mnt_gone.silent": 1}
        assert emit.problems == [
            "/mnt/gone does not answer: is its server away, or its disk broken? (umount -f -l /mnt/gone)"]
    assert asked.count("/mnt/gone") == 1, "nobody is sent after one who waits"
    (waiting,) = collector._asking._waiting.values()
    answers.set()
    waiting.join()
    emit = Emit()
    collector.collect(emit)
    assert "disk.space.mnt_gone.used_bytes" in emit.gauges()
    assert emit.problems == []
