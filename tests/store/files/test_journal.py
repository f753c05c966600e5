"""Journal: the format page's very bytes, damage of every kind, and what the writing threads promise."""
from __future__ import annotations

import errno
import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import StoreCorrupt
from istat_server.store.files import journal
from istat_server.store.files.journal import Damage, read_segment
from istat_server.store.versions import NewerFormat
from istat_server.store.work import journaling
from istat_server.store.work.journaling import Journal
from tests.store.harness import FIXTURES, ROOT

FIXTURE = FIXTURES / "v1/00000001.journal"
UUID = bytes(range(16))


def frames(path):
    damage = Damage()
    return list(read_segment(path, damage)), damage


def segment(path, payloads, salt=0x01020304):
    path.write_bytes(journal.header_bytes(0, salt, 1, UUID)
                     + b"".join(journal.frame_header(salt, 5, p) + p for p in payloads))
    return path


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "did not happen within 10 s"
        os.sched_yield()


def test_the_format_page_shows_the_fixture():
    page = (ROOT / "docs/formats/journal.md").read_text()
    dump = re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} )+)", page, re.MULTILINE)
    assert bytes.fromhex("".join(dump)) == FIXTURE.read_bytes()


def test_the_fixture_reads_as_the_page_says(kernels):
    ((clock, payload),), damage = frames(FIXTURE)
    engine = kernels.engine.Engine([10, 300, 3600], 1)
    engine.set_limits(clock, clock + 60, clock + 10, [0, 0, 0])
    assert engine.replay(payload) == 8
    gauge, event = engine.collect([0, 1], 0, 0, 1 << 40)
    assert gauge.rows()[0][:3] == (1325394000, 5, 22.25)
    assert event.rows() == [(1325394000, 1, 3.0, 0.0, 3.0, 3.0)]
    assert (engine.counters.name(0), engine.is_event(1), damage.notes) == (b"foo.bar", True, [])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.integers(0, 400), st.integers(1, 255))
def test_a_flipped_byte_costs_at_most_its_frame(tmp_path_factory, payloads, at, flip):
    path = segment(tmp_path_factory.mktemp("j") / "1.journal", payloads)
    data = bytearray(path.read_bytes())
    at = journal.HEADER_BYTES + at % (len(data) - journal.HEADER_BYTES)
    data[at] ^= flip
    path.write_bytes(data)
    found, damage = frames(path)
    whole = [(5, payload) for payload in payloads]
    assert len(found) >= len(whole) - 1
    assert [frame for frame in whole if frame in found] or len(whole) == 1
    assert damage.torn_bytes + damage.skipped_bytes > 0


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5), st.integers(1, 60))
def test_a_torn_tail_is_left_out(tmp_path_factory, payloads, cut):
    path = segment(tmp_path_factory.mktemp("j") / "1.journal", payloads)
    size = journal.FRAME_BYTES + len(payloads[-1])
    path.write_bytes(path.read_bytes()[:-min(cut, size)])
    found, damage = frames(path)
    assert found == [(5, payload) for payload in payloads[:-1]]
    assert damage.torn_bytes == size - min(cut, size)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.journal"
    for data, words in [(b"", "damaged"), (b"x" * 100, "damaged")]:
        path.write_bytes(data)
        with pytest.raises(StoreCorrupt, match=words):
            frames(path)
    head = journal._HEADER.pack(journal.MAGIC, 3, 0, 1, 1, UUID)
    path.write_bytes(head + journal._CRC.pack(__import__("zlib").crc32(head)))
    with pytest.raises(NewerFormat, match="newer istatd"):
        frames(path)


def test_appended_frames_are_in_the_file_and_segments_follow_each_other(tmp_path):
    writer = Journal(tmp_path, 3, UUID, sync_seconds=0.01)
    writer.append(100, b"first")
    assert writer.drain(10)
    assert frames(tmp_path / "00000003.journal")[0] == [(100, b"first")]
    assert writer.cut() == 4
    writer.append(101, b"second")
    writer.close()
    assert frames(tmp_path / "00000003.journal")[0] == [(100, b"first")]
    assert frames(tmp_path / "00000004.journal")[0] == [(101, b"second")]
    assert writer.synced == writer.written > 0


def test_a_full_disk_stops_it_and_it_goes_on_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(journaling, "RETRY_SECONDS", 0.01)
    real, full = os.writev, [True]

    def writev(handle, parts):
        if full[0]:
            os.write(handle, bytes(parts[0])[:7])       # a part of it still fitted
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, parts)

    monkeypatch.setattr(journaling.os, "writev", writev)
    writer = Journal(tmp_path, 1, UUID)
    writer.append(1, b"one")
    writer.append(2, b"two")
    wait_for(lambda: writer.error is not None)
    assert writer.pending == 6
    full[0] = False
    wait_for(lambda: writer.error is None and writer.pending == 0)
    writer.close()
    found, damage = frames(tmp_path / "00000001.journal")
    assert (found, damage.notes) == ([(1, b"one"), (2, b"two")], [])


def test_a_failed_sync_asks_for_a_new_segment(tmp_path, monkeypatch):
    def fdatasync(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journaling.os, "fdatasync", fdatasync)
    writer = Journal(tmp_path, 1, UUID, sync_seconds=0.01)
    writer.append(1, b"one")
    wait_for(lambda: writer.needs_cut)
    monkeypatch.undo()
    assert writer.cut() == 2
    assert not writer.needs_cut
    writer.close()


def test_what_waits_behind_a_failing_disk_can_be_left_out_for_a_new_segment(tmp_path, monkeypatch):
    broken = []
    writev = journaling.os.writev

    def fail(handle, parts):
        if handle in broken:
            raise OSError(errno.EIO, "Input/output error")
        return writev(handle, parts)

    monkeypatch.setattr(journaling.os, "writev", fail)
    writer = Journal(tmp_path, 1, UUID)
    broken.append(writer._file)
    writer.append(1, b"one")
    wait_for(lambda: writer.error is not None)
    writer.append(2, b"two")
    writer.append(3, b"three")
    writer.skip_to(2)                                   # no such segment begins: nothing happens
    assert writer.pending == 11
    number = writer.cut()
    writer.append(4, b"four")
    writer.skip_to(number)
    wait_for(lambda: writer.error is None and writer.pending == 0)
    writer.close()
    assert frames(tmp_path / "00000002.journal")[0] == [(4, b"four")]


def test_after_a_full_disk_it_goes_on_when_there_is_room(tmp_path, monkeypatch):
    room, failed = [], []
    writev = journaling.os.writev

    def fail(handle, parts):
        if not failed:
            failed.append(1)
            raise OSError(errno.ENOSPC, "No space left on device")
        return writev(handle, parts)

    monkeypatch.setattr(journaling, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(journaling.os, "writev", fail)
    asked = []
    writer = Journal(tmp_path, 1, UUID, room=lambda: asked.append(1) or bool(room))
    writer.append(1, b"one")
    wait_for(lambda: len(asked) > 3)
    assert writer.pending == 3
    room.append(1)
    wait_for(lambda: writer.pending == 0 and writer.error is None)
    writer.close()


def test_names_files_are_the_same_format(tmp_path):
    journal.write_names(tmp_path / "00000001.names", 1, UUID, b"records")
    assert frames(tmp_path / "00000001.names")[0] == [(0, b"records")]
    assert [path.name for path in tmp_path.iterdir()] == ["00000001.names"]


def test_a_segment_that_cannot_be_begun_on_a_full_disk_is_begun_later(tmp_path, monkeypatch):
    monkeypatch.setattr(journaling, "RETRY_SECONDS", 0.01)
    written = Journal(tmp_path, 1, UUID, 0.02)
    keep = os.write

    def full(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    written.cut()
    written.append(5, b"after")
    wait_for(lambda: written.error is not None)
    monkeypatch.setattr(os, "write", keep)
    wait_for(lambda: written.error is None and not written.pending)
    written.close()
    assert frames(tmp_path / "00000002.journal")[0] == [(5, b"after")]
