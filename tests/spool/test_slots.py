"""Small values written in place: the newer whole one counts, whatever a kill left of the other."""
from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import SpoolError
from istat.spool.slots import Slots

MAGIC = b"ISTATXXX"


def test_the_latest_value_is_read_again(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "a", MAGIC, 100)
    assert slots.fresh and slots.read() is None
    for number in range(5):
        slots.write(b"value %d" % number)
    slots.close()
    again = Slots(tmp_path / "a", MAGIC, 100)
    assert (again.fresh, again.read()) == (False, b"value 4")
    with pytest.raises(ValueError):
        again.write(b"x" * 80)
    again.close()


@given(st.integers(0, 199), st.integers(1, 255))
def test_one_damaged_byte_costs_at_most_the_last_value(tmp_path_factory: pytest.TempPathFactory, at: int,
                                                        flip: int) -> None:
    path = tmp_path_factory.mktemp("slots") / "a"
    slots = Slots(path, MAGIC, 100)
    slots.write(b"first")
    slots.write(b"second")
    slots.close()
    data = bytearray(path.read_bytes())
    data[at] ^= flip
    path.write_bytes(data)
    again = Slots(path, MAGIC, 100)
    assert again.read() in (b"first", b"second")
    again.write(b"third")
    assert again.read() == b"third"
    again.close()


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "a", MAGIC, 100)
    head = struct.pack("<8sHHIQ", MAGIC, 2, 0, 1, 1) + b"x"
    (tmp_path / "a").write_bytes(head + struct.pack("<I", zlib.crc32(head)) + bytes(200))
    with pytest.raises(SpoolError, match="has version 2 and this istatd reads 1"):
        slots.read()
    slots.close()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "a").symlink_to(tmp_path / "other")
    with pytest.raises(OSError):
        Slots(tmp_path / "a", MAGIC, 100)
    assert (tmp_path / "other").read_bytes() == b"theirs"
