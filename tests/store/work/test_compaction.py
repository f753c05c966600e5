"""Compaction: merged, regrouped and derived files answer as their inputs did together."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from istat.errors import StoreCorrupt
from istat.kernels import blocks, columns
from istat_server.store.files.statfile import StatFile, StatFileWriter
from istat_server.store.files.statformat import Header, StatFileInfo
from istat_server.store.work import compaction, rollup

FOR_EVER = 1 << 62
HEADER = Header("4f3a", "default", 0, "fine", 10, 0, 3600, 1, 1)
Row = tuple[int, int, float, float, float, float]
Content = dict[int, list[Row]]


def single(time: int, value: float) -> Row:
    return (time, 1, value, 0.0, value, value)


def is_event(id: int) -> bool:
    return id % 3 == 2


def write(folder: Path, header: Header, content: Content, max_values: int = 16000) -> StatFile:
    writer = blocks.BlockWriter(max_values, header.interval)
    for id in sorted(content):
        writer.add_run(id, is_event(id), columns.Columns.from_rows(content[id]))
    with StatFileWriter(folder, header) as file:
        file.add(writer.finish())
        return StatFile.open(file.finish().path)


def content_of(infos: Iterable[StatFileInfo], ids: Iterable[int] = range(100)) -> Content:
    found: Content = {}
    for info in infos:
        with StatFile.open(info.path) as file:
            assert file.verify() == []
            for id in ids:
                into = columns.Columns()
                if file.read(id, 0, FOR_EVER, into):
                    found.setdefault(id, []).extend(into.rows())
    return found


def folded(contents: list[Content], id: int) -> columns.Columns:
    rows = columns.Columns()
    for content in contents:
        rows.extend(columns.Columns.from_rows(content.get(id, [])))
    rows.fold(is_event(id))
    return rows


def exact(content: Content) -> dict[int, list[tuple[object, ...]]]:
    """Rows, M2 only as near as it is kept: 24 bits of mantissa."""
    return {
        id: [(*row[:3], pytest.approx(row[3], rel=2**-24), *row[4:]) for row in rows] for id, rows in content.items()
    }


def some_files(folder: Path, count: int, ids: int, max_values: int) -> tuple[list[StatFile], list[Content]]:
    draw = random.Random(ids * count)
    contents = []
    for _ in range(count):
        content = {}
        for id in draw.sample(range(ids), max(1, ids * 2 // 3)):
            slots = sorted(draw.sample(range(360), draw.randrange(1, 60)))
            content[id] = [single(10 * slot, draw.randrange(4000) / 4) for slot in slots]
        contents.append(content)
    headers = [replace(HEADER, seq_lo=n, seq_hi=n) for n in range(1, count + 1)]
    return [write(folder, h, c, max_values) for h, c in zip(headers, contents, strict=True)], contents


@pytest.mark.parametrize("max_values", [25, 300, 16000])
@pytest.mark.parametrize("work_bytes", [1, 500, 16 << 20])
def test_a_merge_holds_what_its_inputs_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_values: int, work_bytes: int
) -> None:
    monkeypatch.setattr(compaction, "WORK_BYTES", work_bytes)
    files, contents = some_files(tmp_path, 4, 30, max_values)
    pauses: list[None] = []
    infos = compaction.merge(
        files,
        [(0, 1800), (1800, 3600), (3600, 7200)],
        lambda window: replace(HEADER, start=window[0], end=window[1], seq_lo=1, seq_hi=4),
        tmp_path,
        drop_ids={7},
        pause=lambda: pauses.append(None),
    )
    assert [(info.header.start, info.header.end) for info in infos] == [(0, 1800), (1800, 3600)]
    assert all(info.first_time >= info.header.start and info.last_time < info.header.end for info in infos)
    expected = {id: folded(contents, id).rows() for id in range(30) if id != 7}
    assert content_of(infos) == exact({id: rows for id, rows in expected.items() if rows})
    assert pauses
    if work_bytes == 1 and max_values == 25:
        assert len(pauses) > 10


def test_many_windows_need_many_passes(tmp_path: Path) -> None:
    rows = [single(100 * i, float(i)) for i in range(150)]
    file = write(tmp_path, replace(HEADER, end=15000), {1: rows})
    windows = [(100 * i, 100 * i + 100) for i in range(150)]
    infos = compaction.merge([file], windows, lambda w: replace(HEADER, start=w[0], end=w[1], seq_hi=2), tmp_path)
    assert len(infos) == 150
    assert content_of(infos) == {1: rows}


def test_the_order_of_files_decides_the_bits(tmp_path: Path) -> None:
    """Sums of doubles depend on the order; it is that of the sequence, however often files merge."""
    values = [1e16, 1.0, -1e16, 1.0]
    files = [
        write(tmp_path, replace(HEADER, seq_lo=n, seq_hi=n), {1: [single(0, value)]}) for n, value in enumerate(values)
    ]

    def merged(some: list[StatFile], sequence: int) -> StatFile:
        header = replace(HEADER, seq_lo=0, seq_hi=sequence)
        [info] = compaction.merge(some, [(0, 3600)], lambda _: header, tmp_path)
        return StatFile.open(info.path)

    at_once = merged(files, 90)
    by_steps = merged([merged([merged(files[:2], 91), files[2]], 92), files[3]], 93)
    rows = []
    for file in (at_once, by_steps):
        into = columns.Columns()
        file.read(1, 0, FOR_EVER, into)
        rows.append([row[:3] + row[4:] for row in into.rows()])
    assert rows[0] == rows[1] == [(0, 4, 1.0, -1e16, 1e16)]


def test_derived_levels_are_the_reduced_fine_rows(tmp_path: Path) -> None:
    files, contents = some_files(tmp_path, 3, 20, 300)
    five = replace(HEADER, level=1, kind="derived", interval=300)
    hour = replace(HEADER, level=2, kind="derived", interval=3600)
    (tmp_path / "5m").mkdir()
    (tmp_path / "1h").mkdir()
    infos = rollup.roll_up(
        files, 0, 3600, 10, [(300, five, tmp_path / "5m"), (3600, hour, tmp_path / "1h")], drop_ids=[3]
    )
    assert [os.path.basename(os.path.dirname(info.path)) for info in infos] == ["5m", "1h"]
    for info, interval in zip(infos, (300, 3600), strict=True):
        expected = {}
        for id in range(20):
            fine = folded(contents, id)
            if is_event(id):
                fine.rates(10)
            rows = fine.reduce(0, interval, interval // 10 if is_event(id) else 0).rows()
            if rows and id != 3:
                expected[id] = rows
        assert content_of([info]) == exact(expected)


def test_a_derived_span_must_fit_its_intervals(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        rollup.roll_up([], 0, 450, 10, [(300, HEADER, tmp_path)])


def derived(folder: Path, sequence: int, start: int, end: int, content: Content) -> StatFile:
    header = replace(
        HEADER, level=1, kind="derived", interval=300, start=start, end=end, seq_lo=sequence, seq_hi=sequence
    )
    return write(folder, header, content)


def test_newer_derived_files_replace_older_ones_where_they_reach(tmp_path: Path) -> None:
    old = derived(tmp_path, 1, 0, 3600, {1: [single(300 * i, 1.0) for i in range(12)], 4: [single(900, 1.0)]})
    new = derived(tmp_path, 2, 600, 1200, {1: [single(900, 2.0)], 9: [single(600, 2.0)]})
    late = derived(tmp_path, 3, 3600, 7200, {9: [single(3600, 3.0)]})
    header = replace(old.header, end=7200, seq_hi=3)
    [info] = compaction.merge_derived([old, new, late], 0, 7200, header, tmp_path)
    assert content_of([info]) == {
        1: [single(0, 1.0), single(300, 1.0), single(900, 2.0)] + [single(300 * i, 1.0) for i in range(4, 12)],
        9: [single(600, 2.0), single(3600, 3.0)],
    }


def test_direct_rows_regrouped_just_add(tmp_path: Path) -> None:
    direct = replace(HEADER, level=1, kind="direct", interval=300)
    one = write(tmp_path, direct, {1: [single(300, 5.0), single(600, 7.25)], 2: [single(0, 10.0), single(300, 20.0)]})
    two = write(tmp_path, replace(direct, seq_lo=2), {1: [single(3300, 1000.0)]})
    header = replace(direct, level=2, interval=3600)
    [info] = compaction.reduce_direct([one, two], header, tmp_path)
    found = content_of([info])
    assert [(r[0], r[1], r[2], r[4], r[5]) for r in found[1]] == [(0, 3, 1012.25, 5.0, 1000.0)]
    assert found[2] == [single(0, 30.0)]


def test_nothing_in_gives_no_file(tmp_path: Path) -> None:
    empty = write(tmp_path, HEADER, {})
    assert compaction.merge([empty], [(0, 3600)], lambda _: replace(HEADER, seq_hi=5), tmp_path) == []
    assert os.listdir(tmp_path) == [HEADER.name]


def test_a_damaged_input_is_named_and_no_output_is_left(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, {1: [single(0, 1.0)]}).path
    data = bytearray(Path(path).read_bytes())
    with StatFile.open(path) as file:
        data[file.blocks_for(1, 1)[0].offset + 3] ^= 1
    Path(path).write_bytes(data)
    with StatFile.open(path) as file, pytest.raises(StoreCorrupt, match=os.path.basename(path)):
        compaction.merge([file], [(0, 3600)], lambda _: replace(HEADER, seq_hi=5), tmp_path)
    assert os.listdir(tmp_path) == [HEADER.name]


def test_a_caller_can_stop_a_merge(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    file = write(tmp_path, HEADER, {1: [single(0, 1.0)]})
    with pytest.raises(Stop):
        compaction.merge([file], [(0, 3600)], lambda _: replace(HEADER, seq_hi=5), tmp_path, pause=stop)
    assert os.listdir(tmp_path) == [HEADER.name]
