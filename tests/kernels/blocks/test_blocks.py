"""Run codec and blocks: what goes in comes out, in both builds, as the same bytes; damage is a ValueError."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from istat import kernels

Row = tuple[int, int, float, float, float, float]
FOR_EVER = 1 << 62


def _builds() -> list[kernels.Implementation]:
    found = [kernels.implementation("python")]
    try:
        native = kernels.implementation("native")
        native.blocks  # noqa: B018  (an ImportError says that it is not built)
        return [*found, native]
    except ImportError:
        return found


BUILDS = _builds()
each_build = pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)


def bits(rows: list[Row]) -> bytes:
    """The rows as bytes: equality that tells -0.0 from 0.0."""
    return b"".join(struct.pack("<qqdddd", *row) for row in rows)


def short(value: float) -> float:
    """A double rounded to 24 bits of mantissa, by arithmetic that the codec does not use."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2.0**24), exponent - 24)


def single(time: int, value: float) -> Row:
    return (time, 1, value, 0.0, value, value)


def write(
    build: Any, runs: list[tuple[int, bool, list[Row]]], interval: int = 10, max_values: int = 16000
) -> Any:
    writer = build.blocks.BlockWriter(max_values, interval)
    for id, event, rows in runs:
        writer.add_run(id, event, build.columns.Columns.from_rows(rows))
    return writer.finish()


def read(build: Any, blocks: Any, interval: int = 10) -> list[tuple[int, bool, list[Row]]]:
    found: dict[int, tuple[bool, Any]] = {}
    for block in blocks:
        reader = build.blocks.BlockReader(block.data, interval)
        kinds = {id: event for id, event, _ in reader.runs()}
        for id, event in kinds.items():
            columns = found.setdefault(id, (event, build.columns.Columns()))[1]
            reader.read(id, 0, FOR_EVER, columns)
    return [(id, event, columns.rows()) for id, (event, columns) in found.items()]


# --- round trips --------------------------------------------------------------------------------------

ODD = [-0.0, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -1e300, 2.0**51, 2.0**53 + 2, 1e15 + 0.3]
COLUMNS: dict[str, Any] = {
    "noise": lambda draw: round(draw.gauss(50, 9), 2),
    "integers": lambda draw: float(draw.randrange(10)),
    "counter": lambda draw: float(draw.randrange(10**6) * 10**9),
    "doubles": lambda draw: draw.random(),
    "any size": lambda draw: draw.gauss(0, 1) * 10.0 ** draw.randrange(-300, 300),
    "rare odd ones": lambda draw: draw.choice(ODD) if draw.random() < 0.05 else draw.randrange(1000) / 10,
    "odd ones": lambda draw: draw.choice(ODD),
    "mostly nothing": lambda draw: float(draw.random() < 0.02),
    "one value": lambda draw: 1 / 3,
}


@each_build
@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("length", [1, 2, 3, 12, 128, 129, 300])
def test_single_samples_come_back_bit_for_bit(build: Any, kind: str, length: int) -> None:
    draw = random.Random(length)
    rows = [single(10 * i, COLUMNS[kind](draw)) for i in range(length)]
    [(id, event, found)] = read(build, write(build, [(7, True, rows)]))
    assert (id, event, bits(found)) == (7, True, bits(rows))


@each_build
def test_bits_of_a_nan_and_of_infinity_survive(build: Any) -> None:
    rows = [single(10 * i, value) for i, value in enumerate([1.0, math.inf, -math.inf, math.nan])]
    [(_, _, found)] = read(build, write(build, [(1, False, rows)]))
    assert bits(found) == bits(rows)


doubles = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.integers(-(10**6), 10**6).map(lambda i: i / 100)


@st.composite
def some_rows(draw: st.DrawFn) -> list[Row]:
    values = draw(st.sampled_from([doubles, decimals, st.integers(-3, 3).map(float)]))
    alone = draw(st.booleans())
    gaps = st.just(1) if draw(st.booleans()) else st.integers(1, 50) | st.integers(1, 10**9)
    slot = draw(st.integers(0, 10**10))
    rows = []
    for _ in range(draw(st.integers(1, 20))):
        value = draw(values)
        if alone:
            rows.append(single(slot * 10, value))
        else:
            count = draw(st.integers(1, 30) | st.integers(1, 2**63 - 1))
            m2 = short(abs(draw(decimals)))
            rows.append((slot * 10, count, value, m2, draw(values), draw(values)))
        slot += draw(gaps)
    return rows


@st.composite
def some_runs(draw: st.DrawFn) -> list[tuple[int, bool, list[Row]]]:
    ids = sorted(draw(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 20), min_size=1, max_size=5)))
    return [(id, draw(st.booleans()), draw(some_rows())) for id in ids]


@settings(max_examples=150)
@given(some_runs(), st.sampled_from([5, 17, 16000]), st.sampled_from([1, 2, 10]))
def test_both_builds_write_the_same_bytes_and_read_the_rows_again(
    runs: Any, size: int, interval: int
) -> None:
    written = [write(build, runs, interval, size) for build in BUILDS]
    assert all(tuple(map(tuple, blocks)) == tuple(map(tuple, written[0])) for blocks in written)
    for build in BUILDS:
        found = read(build, written[0])
        assert [(id, event, bits(rows)) for id, event, rows in found] == [
            (id, event, bits(rows)) for id, event, rows in runs
        ]


@pytest.mark.skipif(len(BUILDS) < 2, reason="native kernels are not built")
@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("length", [1, 2, 13, 129, 700])
def test_both_builds_choose_alike(kind: str, length: int) -> None:
    draw = random.Random(length)
    make = COLUMNS[kind]
    rows = [single(10 * i, make(draw)) for i in range(length)]
    multi = [
        (10 * i, draw.randrange(1, 9), make(draw), abs(make(draw)), make(draw), make(draw))
        for i in range(length)
    ]
    runs = [(1, False, rows), (2, False, multi), (3, False, rows[::3])]
    assert write(BUILDS[0], runs) == write(BUILDS[1], runs)


@each_build
def test_m2_keeps_24_bits_of_mantissa_and_all_else_every_bit(build: Any) -> None:
    m2 = [1 / 3, 2e9 / 7, 1e-300 / 3, 1.7976931348623157e308, 0.0]
    rows = [(10 * i, 3, 0.1 * i, value, -0.1, 0.3) for i, value in enumerate(m2)]
    [(_, _, found)] = read(build, write(build, [(1, False, rows)]))
    assert [row[3] for row in found][:3] == [short(value) for value in m2[:3]]
    assert math.isfinite(found[3][3])
    assert [row[:3] + row[4:] for row in found] == [row[:3] + row[4:] for row in rows]


@each_build
def test_the_mix_takes_about_what_its_entropy_is(build: Any) -> None:
    """Noise of 8.4 bits, coded singly: 1.05 bytes; 12 rows of it still under 2.5."""
    draw = random.Random(3)
    rows = [single(10 * i, round(draw.gauss(5000, 80)) / 100) for i in range(2000)]
    size = sum(len(block.data) for block in write(build, [(1, False, rows)]))
    assert size / len(rows) < 1.1
    assert sum(len(block.data) for block in write(build, [(1, False, rows[:12])])) / 12 < 2.5


# --- blocks -------------------------------------------------------------------------------------------


@each_build
def test_blocks_hold_at_most_max_values_and_long_runs_are_split(build: Any) -> None:
    runs = [(id, False, [single(10 * i, float(i * id)) for i in range(30)]) for id in range(5)]
    runs.append((9, False, [(10 * i, 2, 2.0, 0.5, 0.5, 1.5) for i in range(100)]))
    blocks = write(build, runs, max_values=70)
    assert [(b.first_id, b.last_id, b.rows) for b in blocks][:3] == [(0, 1, 60), (2, 3, 60), (4, 4, 30)]
    assert [(b.rows, b.first_time, b.last_time) for b in blocks][3:5] == [(14, 0, 130), (14, 140, 270)]
    assert read(build, blocks) == runs


@each_build
def test_a_read_gives_the_rows_of_one_counter_in_a_range(build: Any) -> None:
    [block] = write(build, [(3, False, [single(10 * i, i) for i in range(9)]), (5, True, [single(40, 1.0)])])
    reader = build.blocks.BlockReader(block.data, 10)
    into = build.columns.Columns()
    assert reader.read(3, 20, 40, into) == 2
    assert reader.read(4, 0, 99, into) == 0
    assert into.rows() == [single(20, 2.0), single(30, 3.0)]
    assert reader.runs() == [(3, False, 9), (5, True, 1)]


@each_build
def test_what_a_writer_cannot_take_is_a_value_error(build: Any) -> None:
    writer = build.blocks.BlockWriter(interval=10)
    columns = build.columns.Columns.from_rows
    for rows in ([single(5, 1.0)], [single(-10, 1.0)], [single(10, 1.0)] * 2, [(10, 0, 1.0, 0.0, 1.0, 1.0)]):
        with pytest.raises(ValueError):
            writer.add_run(1, False, columns(rows))
    writer.add_run(2, False, columns([single(10, 1.0)]))
    with pytest.raises(ValueError):
        writer.add_run(1, False, columns([single(10, 1.0)]))
    assert len(writer.finish()) == 1


@each_build
def test_any_damage_is_a_value_error_or_reads_as_something(build: Any) -> None:
    draw = random.Random(11)
    rows = [
        (10 * i * i + 10 * i, 2, draw.random(), draw.random(), -1.5, draw.randrange(9) / 10)
        for i in range(20)
    ]
    [block] = write(build, [(1, False, rows), (2, True, [single(10 * i, draw.random()) for i in range(40)])])
    for trial in range(3000 if build.name == "native" else 300):
        data = bytearray(block.data)
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        if trial % 3 == 0:
            del data[draw.randrange(len(data)) :]
        try:
            reader = build.blocks.BlockReader(bytes(data), 10)
            for id, _, count in reader.runs():
                columns = build.columns.Columns()
                assert reader.read(id, -FOR_EVER, FOR_EVER, columns) <= max(count * 3, 200)
        except ValueError:
            continue


@each_build
def test_a_small_block_cannot_claim_a_huge_run(build: Any) -> None:
    claim = bytes([1, 10, 0, 1, 1]) + b"\xfe\xff\xff\xff\x0f" + bytes([0, 2, 0, 0])
    with pytest.raises(ValueError):
        build.blocks.BlockReader(claim, 10)


# --- merging ------------------------------------------------------------------------------------------


def fold(build: Any, parts: list[list[Row]], event: bool) -> list[Row]:
    columns = build.columns.Columns()
    for part in parts:
        columns.extend(build.columns.Columns.from_rows(part))
    columns.fold(event)
    return columns.rows()  # type: ignore[no-any-return]


@each_build
@pytest.mark.parametrize("max_values", [40, 16000])
def test_merging_partials_is_folding_them_in_file_order(build: Any, max_values: int) -> None:
    draw = random.Random(5)
    files: list[dict[int, list[Row]]] = [{} for _ in range(4)]
    for file in files:
        for id in draw.sample(range(12), 8):
            slots = sorted(draw.sample(range(60), draw.randrange(1, 30)))
            file[id] = [single(10 * slot, draw.randrange(1000) / 8) for slot in slots]
    inputs = [
        [
            build.blocks.BlockReader(block.data, 10)
            for block in write(build, [(id, id % 2 == 1, file[id]) for id in sorted(file)], 10, max_values)
        ]
        for file in files
    ]
    windows = [(0, 300), (300, 600)]
    writers = [build.blocks.BlockWriter(max_values, 10) for _ in windows]
    build.blocks.merge_runs(inputs, 1, 10, [(*w, writer) for w, writer in zip(windows, writers)], {4})
    for (start, end), writer in zip(windows, writers):
        found = {id: rows for id, _, rows in read(build, writer.finish())}
        expected = {}
        for id in range(1, 11):
            whole = fold(build, [file.get(id, []) for file in files], id % 2 == 1)
            rows = [row[:3] + (short(row[3]),) + row[4:] for row in whole if start <= row[0] < end]
            if rows and id != 4:
                expected[id] = rows
        assert found == expected


@each_build
def test_derived_levels_hold_buckets_of_gauges_and_rates_of_events(build: Any) -> None:
    """istatd's own examples: 4.4 and 4.5 of its behaviour."""
    gauge = [single(0, 5.0), single(30, 1000.0)]
    events = [single(0, 20.0), single(60, 100.0), single(120, 100.0), single(180, 100.0)]
    late = [(1, False, [single(0, 7.25)]), (2, True, [single(0, 10.0)])]
    inputs = [write(build, [(1, False, gauge), (2, True, events)]), write(build, late)]
    readers = [[build.blocks.BlockReader(block.data, 10) for block in blocks] for blocks in inputs]
    five, hour = build.blocks.BlockWriter(interval=300), build.blocks.BlockWriter(interval=3600)
    build.blocks.derive_runs(readers, 0, 9, 0, 3600, 10, [(300, five), (3600, hour)])
    [(_, _, [g]), (_, event, [e])] = read(build, five.finish(), 300)
    assert g[:3] + g[4:] == (0, 3, 1012.25, 5.0, 1000.0)
    assert math.sqrt(g[3] / 2) == pytest.approx(573.815, abs=1e-3)
    assert event and e[:3] + e[4:] == (0, 30, 33.0, 0.0, 10.0)
    assert math.sqrt(e[3] / 29) == pytest.approx(3.0665, abs=1e-4)
    assert [rows[0][:3] for _, _, rows in read(build, hour.finish(), 3600)] == [
        (0, 3, 1012.25),
        (0, 360, 33.0),
    ]


@each_build
def test_settled_rows_of_events_add_as_rates_and_gauges_merge(build: Any) -> None:
    rates, more = (300, 30, 33.0, 4.0, 0.0, 10.0), (300, 30, 60.0, 0.5, 2.0, 2.0)
    gauge, other = (300, 2, 12.0, 2.0, 5.0, 7.0), (300, 1, 9.0, 0.0, 9.0, 9.0)
    inputs = [
        [build.blocks.BlockReader(b.data, 300) for b in write(build, [(1, True, [e]), (2, False, [g])], 300)]
        for e, g in ((rates, gauge), (more, other))
    ]
    out = build.blocks.BlockWriter(interval=300)
    build.blocks.merge_runs(inputs, 0, 9, [(0, 900, out)], rates=True)
    [(_, event, events), (_, _, gauges)] = read(build, out.finish(), 300)
    assert event and events == [(300, 30, 93.0, 4.5, 2.0, 12.0)]
    assert gauges == [(300, 3, 21.0, 8.0, 5.0, 9.0)]


@each_build
def test_a_counter_of_two_kinds_is_not_merged(build: Any) -> None:
    readers = [
        [build.blocks.BlockReader(block.data, 10) for block in write(build, [(1, event, [single(0, 1.0)])])]
        for event in (False, True)
    ]
    with pytest.raises(ValueError, match="counter 1"):
        build.blocks.merge_runs(readers, 0, 9, [(0, 10, build.blocks.BlockWriter(interval=10))])


def test_both_builds_merge_and_derive_to_the_same_bytes() -> None:
    draw = random.Random(8)
    files = []
    for _ in range(3):
        runs = []
        for id in range(6):
            slots = sorted(draw.sample(range(90), 40))
            runs.append((id, id % 2 == 1, [single(10 * slot, draw.gauss(5, 2)) for slot in slots]))
        files.append(runs)
    results = []
    for build in BUILDS:
        inputs = [[build.blocks.BlockReader(b.data, 10) for b in write(build, runs)] for runs in files]
        merged, derived = build.blocks.BlockWriter(interval=10), build.blocks.BlockWriter(interval=300)
        settled = build.blocks.BlockWriter(interval=10)
        build.blocks.merge_runs(inputs, 0, 5, [(0, 900, merged)])
        build.blocks.derive_runs(inputs, 0, 5, 0, 900, 10, [(300, derived)])
        build.blocks.merge_runs(inputs, 0, 5, [(0, 900, settled)], rates=True)
        results.append([tuple(block) for block in merged.finish() + derived.finish() + settled.finish()])
    assert all(result == results[0] for result in results)
