"""Snapshots of residency, as docs/formats/residency-snapshot.md has them."""
from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import SnapshotError
from istat.pagecache import ranges
from istat.pagecache.fleets import snapshots
from istat.pagecache.fleets.snapshots import Entry
from istat.pagecache.syscalls import PAGE

PAGE_OF_THE_FORMAT = Path(__file__).parents[4] / "docs/formats/residency-snapshot.md"
ENTRIES = (Entry("/srv/mrtg/r000001.rrd", 105312, ((0, 0), (3, 3), (14, 16))),
           Entry("/srv/mrtg/\udcff.rrd", 105312, ()))
NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name and b"/" not in name)
SETS = st.sets(st.integers(0, 50))


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_a_snapshot_comes_from_a_pipe(tmp_path, name):
    snapshots.save(tmp_path / name, ENTRIES, 1699920300.25)
    source, sink = os.pipe()
    try:
        os.write(sink, (tmp_path / name).read_bytes())
        os.close(sink)
        assert tuple(snapshots.load(f"/dev/fd/{source}").entries()) == ENTRIES
    finally:
        os.close(source)


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_what_is_saved_is_read_again(tmp_path, name):
    assert snapshots.save(tmp_path / name, ENTRIES, 1699920300.25) == (2, 5)
    found = snapshots.load(tmp_path / name)
    assert (found.time, list(found.entries())) == (1699920300.25, list(ENTRIES))
    assert found.of(ENTRIES[0].path) == ENTRIES[0]
    assert found.of("/srv/mrtg/other") is None
    assert os.listdir(tmp_path) == [name]
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == (name == "a.gz")


@given(st.dictionaries(NAMES, SETS, max_size=5))
def test_names_of_any_bytes_and_any_pages_come_back(tmp_path_factory, files):
    entries = [Entry("/x/" + os.fsdecode(name), 7, ranges.of_pages(pages)) for name, pages in files.items()
               if name not in (b".", b"..")]
    place = tmp_path_factory.getbasetemp() / "any.gz"
    snapshots.save(place, entries, 1.0)
    assert list(snapshots.load(place).entries()) == entries


@pytest.mark.skipif(PAGE != 4096, reason="the example is of a machine with pages of 4096 bytes")
def test_the_example_of_the_format_is_what_is_written(tmp_path):
    example = re.search(r"```\n(.*?)```", PAGE_OF_THE_FORMAT.read_text(), re.DOTALL)[1]
    snapshots.save(tmp_path / "a", ENTRIES, 1699920300.25)
    assert (tmp_path / "a").read_text() == example
    (tmp_path / "b").write_text(example)
    assert list(snapshots.load(tmp_path / "b").entries()) == list(ENTRIES)


def lines(*more, **head):
    first = {"format": "residency-snapshot", "version": 1, "page_size": PAGE, "time": 1, **head}
    return b"".join(json.dumps(line).encode() + b"\n" for line in (first, *more))


END = {"end": True, "files": 0, "pages": 0}
FILE = {"path": "/a", "size": 1, "ranges": "0"}


@pytest.mark.parametrize("data, words", [
    (b"", "no snapshot"), (b"[]\n", "no object"), (b"\xff\n", "no object"), (b"{}\n", "no snapshot"),
    (b"[" * 100_000 + b"\n", "no object"),
    (lines(END, version=2), "version 2"), (lines(END, page_size=65536), "65536"), (lines(END, time="x"), "time"),
    (lines(), "cut off"), (lines(FILE), "cut off"), (lines(FILE)[:-1], "only part"),
    (lines(FILE, END), "ends with 0 files"), (lines({**END, "files": 1}), "ends with 1 files"),
    (lines({**FILE, "ranges": "3-1"}), "3-1"), (lines({**FILE, "ranges": 3}), "'/a'"),
    (lines({**FILE, "path": ""}), "without a name"), (lines({**FILE, "path": 3}), "without a name"),
    (lines({**FILE, "path": "a\0"}), "without a name"), (lines({**FILE, "path_base64": "!"}), "without a name"),
    (lines({**FILE, "path_base64": "AA=="}), "without a name"), (lines({**FILE, "path": "\ud800"}), "without a name"),
    (lines({**FILE, "size": -1}), "size"), (lines({**FILE, "size": True}), "size"),
    (gzip.compress(lines(END))[:-9], "cut off"), (lines(END, FILE), "behind its last"),
    (b"\x1f\x8bxxx", "damaged"),
])
def test_what_is_no_whole_snapshot_is_refused_in_words(tmp_path, data, words):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(SnapshotError, match=words):
        snapshots.load(tmp_path / "a")


@given(st.binary(max_size=200), st.integers(0, 300), st.booleans())
def test_damage_never_raises_anything_else(tmp_path_factory, junk, at, packed):
    place = tmp_path_factory.getbasetemp() / "junk"
    data = lines(FILE, {"end": True, "files": 1, "pages": 1})
    data = gzip.compress(data) if packed else data
    place.write_bytes(data[:at] + junk + data[at + len(junk):])
    try:
        snapshots.load(place)
    except SnapshotError:
        pass


def test_a_line_without_end_fills_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "MOST_BYTES", 300)
    (tmp_path / "a").write_bytes(lines({**FILE, "path": "/" + "x" * 400}))
    with pytest.raises(SnapshotError, match="more than 300 bytes"):
        snapshots.load(tmp_path / "a")


def test_many_lines_fill_no_memory_either(tmp_path, monkeypatch):
    snapshots.save(tmp_path / "a.gz", [Entry(f"/{one}", 1, ()) for one in range(10)], 0)
    assert len(snapshots.load(tmp_path / "a.gz")) == 10
    monkeypatch.setattr(snapshots, "MOST_TEXT", 10 * snapshots.ENTRY_BYTES)
    with pytest.raises(SnapshotError, match="save fewer files"):
        snapshots.load(tmp_path / "a.gz")


def test_what_has_become_something_else_is_not_opened(tmp_path):
    path = tmp_path / "a"
    for become in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")):
        become(path)
        with pytest.raises(OSError, match="no plain file any more"):
            snapshots.restore(Entry(str(path), PAGE, ((0, 0),)))
        path.rmdir() if path.is_dir() else path.unlink()


def test_what_was_there_stays_when_writing_fails(tmp_path):
    (tmp_path / "a").write_text("before")

    def failing():
        yield ENTRIES[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        snapshots.save(tmp_path / "a", failing(), 1.0)
    assert [(tmp_path / name).read_text() for name in os.listdir(tmp_path)] == ["before"]


def test_nothing_special_is_replaced():
    with pytest.raises(SnapshotError, match="no plain file"):
        snapshots.save("/dev/null", ENTRIES, 1.0)


@given(SETS, SETS)
def test_a_change_is_what_came_and_went(before, after):
    found = snapshots.change("a", ranges.of_pages(before), ranges.of_pages(after))
    assert set(ranges.pages(found.came)) == after - before
    assert set(ranges.pages(found.went)) == before - after
    assert found.stayed == len(before & after)
    both = len(before | after)
    assert found.churn == (pytest.approx(1 - len(before & after) / both) if both else 0.0)
