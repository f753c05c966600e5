"""A ring file that is changed is, byte for byte, what istatd's own way of putting samples makes of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from istatd_writer import Ring as Theirs

from istat_server.foreign import ring, ringedit
from istat_server.foreign.ring import Bucket
from istat_server.foreign.ringedit import EMPTY, Mode

T = 1325395000
HEADER, SLOTS = slice(16, 120), slice(8192, None)       # the header but for magic, unit, path, and what versions add


def loaded(path: Path, theirs: Theirs) -> ringedit.Edit:
    path.write_bytes(theirs.encode())
    return ringedit.load(path)


samples = st.lists(st.tuples(st.integers(0, 1500), st.integers(-1000, 1000)), max_size=60)


@settings(max_examples=100)
@given(samples, samples, st.sampled_from([0, ring.EVENT, ring.COARSE]))
def test_samples_that_are_added_make_istatds_bytes(tmp_path_factory: pytest.TempPathFactory,
                                                   before: list[tuple[int, int]], after: list[tuple[int, int]],
                                                   flags: int) -> None:
    """Part 6.6, mode aggregate. Values are sixteenths, so that sums are exact in any order."""
    theirs = Theirs(10, 512, T, flags, fixed_count=30 if flags == ring.COARSE else 0)
    for number, value in before:
        theirs.sample(T + 10 * number, value / 16)
    edit = loaded(tmp_path_factory.mktemp("ring") / "10s", theirs)
    for number, value in after:
        taken = edit.put(Bucket(T + 10 * number, value / 16, value / 16, value / 16, 1, (value / 16) ** 2), Mode.MERGE)
        assert taken == theirs.sample(T + 10 * number, value / 16)
    made = ring.encode(edit.header) + edit.ring.slots
    assert made[HEADER] == theirs.encode()[HEADER]
    held = {bucket.time: bucket for bucket in edit.buckets(0, 1 << 40)}
    assert {time: [*bucket[1:]] for time, bucket in held.items()} == theirs.buckets()
    if not any(number > 511 for number, _ in before + after):       # where nothing was overwritten
        assert made[SLOTS] == theirs.encode()[SLOTS]


@pytest.mark.parametrize("version", [4, 5, 6, 7, 8])
def test_a_changed_file_stays_of_its_version_mode_and_size(tmp_path: Path, version: int) -> None:
    path = tmp_path / "10s"
    edit = loaded(path, Theirs(10, 512, T, version=version))
    path.chmod(0o604)
    before = path.read_bytes()
    assert edit.put(Bucket(T, 1.0, 1.0, 1.0, 1, 1.0), Mode.OVERWRITE)
    ringedit.save(path, edit)
    after = path.read_bytes()
    assert len(after) == len(before) and path.stat().st_mode & 0o777 == 0o604
    assert ring.read(path).header.size == {4: 440, 5: 440, 6: 456, 7: 456, 8: 464}[version]
    assert after[120:8192] == before[120:8192] and os.listdir(tmp_path) == ["10s"]


def test_the_modes() -> None:
    """Part 6.6: overwrite, fill-empty, only-if-empty."""
    for mode, total, count in ((Mode.OVERWRITE, 5.0, 1), (Mode.FILL, 8.0, 3), (Mode.IF_EMPTY, 3.0, 2)):
        header = ring.empty(Path("x"), 10, 5120, 0, 0, T)
        edit = ringedit.Edit(ring.Ring(header, bytes(8192 * header.page_count)))
        edit.put(Bucket(T, 3.0, 1.0, 2.0, 2, 5.0), mode)
        assert edit.put(Bucket(T + 7, 5.0, 5.0, 5.0, 1, 25.0), mode) == (mode is not Mode.IF_EMPTY)
        assert edit.at(T)[:2] == (T, total) and edit.at(T).samples == count
        assert edit.at(T + 10) == EMPTY


def test_a_late_bucket_that_istatd_put_one_slot_further_is_found_and_stays_there(tmp_path: Path) -> None:
    """Part 3.6."""
    theirs = Theirs(3600, 512, T - T % 3600)
    theirs.sample(theirs.created - 5, 4.0)
    edit = loaded(tmp_path / "1h", theirs)
    late = theirs.created - 3600
    assert edit.at(late).sum == 4.0 and not edit.put(Bucket(late, 1.0, 1.0, 1.0, 1, 1.0), Mode.IF_EMPTY)
    assert edit.put(Bucket(late, 1.0, 1.0, 1.0, 1, 1.0), Mode.MERGE)
    assert [(bucket.time, bucket.sum) for bucket in edit.buckets(0, 1 << 40)] == [(late, 5.0)]


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ring.RingError, match="no plain file"):
            ringedit.load(tmp_path / name)
        with pytest.raises(ring.RingError, match="no plain file"):
            ring.read(tmp_path / name)


def test_a_file_whose_count_can_grow_no_more_takes_buckets(tmp_path: Path) -> None:
    edit = loaded(tmp_path / "10s", Theirs(10, 512, T))
    edit.header = replace(edit.header, cumulative_count=(1 << 63) - 2)
    assert edit.put(Bucket(edit.header.created, 1.0, 1.0, 1.0, 5, 1.0), Mode.OVERWRITE)
    ringedit.save(tmp_path / "10s", edit)
    found = ringedit.load(tmp_path / "10s")
    assert (found.header.cumulative_count, found.at(found.header.created).samples) == ((1 << 63) - 1, 5)
