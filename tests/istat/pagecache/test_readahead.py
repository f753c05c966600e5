"""read_ahead_kb, from a made-up /sys."""
from __future__ import annotations

import os

from istat.pagecache import readahead


def test_the_setting_of_the_backing_device_comes_first(tmp_path):
    (tmp_path / "class/bdi/8:1").mkdir(parents=True)
    (tmp_path / "class/bdi/8:1/read_ahead_kb").write_text("8192\n")
    assert readahead.of_device(8, 1, tmp_path) == 8192


def test_a_partition_has_the_setting_of_its_disk(tmp_path):
    disk = tmp_path / "devices/sda"
    (disk / "sda1").mkdir(parents=True)
    (disk / "queue").mkdir()
    (disk / "queue/read_ahead_kb").write_text("128\n")
    (tmp_path / "dev/block").mkdir(parents=True)
    os.symlink("../../devices/sda/sda1", tmp_path / "dev/block/8:1")
    os.symlink("../../devices/sda", tmp_path / "dev/block/8:0")
    assert readahead.of_device(8, 1, tmp_path) == readahead.of_device(8, 0, tmp_path) == 128


def test_a_file_system_without_a_device_has_none(tmp_path):
    assert readahead.of_device(0, 23, tmp_path) is None
    assert readahead.readahead_kb(tmp_path, tmp_path / "nothing") is None
