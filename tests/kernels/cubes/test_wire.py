"""What a cube holds as bytes, and back: both builds write the same bytes, and say the same of bytes that are none."""
from __future__ import annotations

import importlib
import random
import struct

import pytest

from istat.errors import FormatError

BUDGET = 1 << 26
MODES = ("comprehensive", "topk", "top_cardinality")


def room(build):
    """A build's kernels, or None where they are not there."""
    try:
        found = importlib.import_module(f"istat.kernels.{build}.cubes")
        return found if hasattr(found, "wire") else None
    except ImportError:
        return None


ROOMS = [found for found in map(room, ("python", "native")) if found is not None]


@pytest.fixture(params=ROOMS, ids=lambda room: room.__name__.split(".")[2])
def one(request):
    return request.param


def empty(room, mode="comprehensive", max_cells=8):
    """A core with a metric of each kind, an overflow cell, and little room."""
    core = room.Core(("method", "status"), room.Guard(2**64 - 5, 1000))
    counter = core.add_counter("n")
    core.add_counter("r", True)
    core.add_gauge("g", "last")
    core.add_histogram("h", room.Shape(1, 10_000, precision=3))
    hll = core.add_hll("u", 8)
    core.add_hll("v", 4)
    primary = {"topk": counter, "top_cardinality": hll}.get(mode)
    options = {} if primary is None else {"width": 6, "depth": 2, "seed": 3}
    core.sample(mode, max_cells, primary, True, **options)
    return core


def filled(room, mode="comprehensive", seed=1, updates=60):
    """The same after some updates, of more keys than there is room for."""
    core, rng = empty(room, mode), random.Random(seed)
    counter, real, gauge, histogram, hll, small = core.metrics
    for number in range(updates):
        key = (rng.choice(["GET", b"PUT", None, 1.5]), rng.randrange(rng.choice([2, 9])))
        core.guard.tick += rng.choice([0, 0, 5, -7])
        counter.incrby(key, rng.choice([1, 5, 1000]))
        real.incrby(key, rng.random())
        if rng.random() < 0.3:
            gauge.set(key, rng.choice([0.5, -0.0, float("inf")]))
        histogram.record(key, rng.choice([-3, 0, 7, 500, 10_000, 10_001]), count=rng.choice([1, 1, 2**33]))
        for item in range(rng.randrange(9)):
            hll.add(key, item * number)
        small.add(key, number)
    return core


def payloads(room, core):
    """All of a core."""
    sketch = b"" if core.mode == "comprehensive" else room.wire.put_sketch(core)
    return room.wire.put_cells(core), sketch, room.wire.put_totals(core)


def read(room, mode, cells, sketch, totals, base=0, budget=BUDGET):
    """A core that has these payloads."""
    core = empty(room, mode)
    budget = room.wire.get_cells(core, cells, base, budget)
    if mode != "comprehensive":
        budget = room.wire.get_sketch(core, sketch, base, budget)
    room.wire.get_totals(core, totals, base, budget)
    return core


def answer(room, mode, *parts, budget=BUDGET):
    """What a build makes of payloads: where it refuses and why, or the payloads of what it read."""
    try:
        return payloads(room, read(room, mode, *parts, budget=budget))
    except FormatError as error:
        return error.offset, error.reason


def changed(rng, data):
    """The bytes with one thing changed."""
    out = bytearray(data)
    at = rng.randrange(len(out))
    what = rng.randrange(5)
    if what == 0:
        out[at] ^= 1 << rng.randrange(8)
    elif what == 1:
        out[at] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF])
    elif what == 2:
        del out[at:at + rng.randint(1, 9)]
    elif what == 3:
        out[at:at] = out[at:at + rng.randint(1, 9)]
    else:
        out[at:at] = rng.choice([b"\x80", b"\xff" * 9 + b"\x01", bytes(9)])
    return bytes(out)


@pytest.mark.parametrize("mode", MODES)
def test_what_was_written_is_read(one, mode):
    core = filled(one, mode)
    parts = payloads(one, core)
    again = read(one, mode, *parts)
    assert payloads(one, again) == parts
    assert again.stats() == core.stats()
    assert [again.key(slot) for slot in again.slots()] == [core.key(slot) for slot in core.slots()]
    for slot, other in zip(core.slots(), again.slots()):
        assert again.metrics[0].value(other) == core.metrics[0].value(slot)
        assert again.metrics[3].value(other).parts() == core.metrics[3].value(slot).parts()
        assert again.metrics[4].value(other).packed() == core.metrics[4].value(slot).packed()
        assert (again.inherited(other), again.floor(other)) == (core.inherited(slot), core.floor(slot))


@pytest.mark.parametrize("mode", MODES[1:])
def test_merges_in_which_sketches_did_not_agree_are_remembered(one, mode):
    core, other = filled(one, mode), empty(one, mode)
    other.sample(mode, 8, other.metrics[0 if mode == "topk" else 4], True, width=7, depth=2, seed=3)
    core.merge(other, list(zip(core.metrics, other.metrics)))
    parts = payloads(one, core)
    again = read(one, mode, *parts)
    assert again.sketch_merge_skipped == core.sketch_merge_skipped == 1
    assert payloads(one, again) == parts


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_core_is_written_and_read(one, mode):
    parts = payloads(one, empty(one, mode))
    assert payloads(one, read(one, mode, *parts)) == parts
    assert parts[0] == b"\0\0\0\0", "no cells; the overflow cell has an empty histogram and two empty sketches"


@pytest.mark.skipif(len(ROOMS) < 2, reason="one build is not there")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(4))
def test_both_builds_write_the_same_bytes(mode, seed):
    assert payloads(ROOMS[0], filled(ROOMS[0], mode, seed)) == payloads(ROOMS[1], filled(ROOMS[1], mode, seed))


@pytest.mark.skipif(len(ROOMS) < 2, reason="one build is not there")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("which", range(3))
def test_both_builds_say_the_same_of_bytes_that_were_changed(mode, which):
    parts = list(payloads(ROOMS[0], filled(ROOMS[0], mode, 5, 30)))
    if not parts[which]:
        return
    rng, refused = random.Random(which), 0
    for _ in range(200):
        broken = [*parts[:which], changed(rng, parts[which]), *parts[which + 1:]]
        twin, native = (answer(room, mode, *broken) for room in ROOMS)
        assert twin == native, broken[which].hex()
        refused += isinstance(twin[0], int)
    assert refused > 20, "of 200"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("which", range(3))
def test_every_cut_is_refused_and_what_is_behind_the_end_too(one, mode, which):
    parts = list(payloads(one, filled(one, mode, 2, 40)))
    for size in range(0, len(parts[which]), 9):
        cut = answer(one, mode, *parts[:which], parts[which][:size], *parts[which + 1:])
        ends_between_buckets = which == 1 and isinstance(cut[0], bytes)
        assert isinstance(cut[0], int) or ends_between_buckets
    if which != 1:
        assert answer(one, mode, *parts[:which], parts[which] + b"\0", *parts[which + 1:]) == (
            len(parts[which]), "bytes behind the end")


def test_offsets_are_those_of_the_frame(one):
    parts = payloads(one, filled(one))
    with pytest.raises(FormatError) as caught:
        read(one, "comprehensive", parts[0][:-1], *parts[1:], base=1000)
    assert 1000 < caught.value.offset <= 1000 + len(parts[0])


@pytest.mark.parametrize("mode", MODES)
def test_memory_is_planned_before_it_is_taken(one, mode):
    parts = payloads(one, filled(one, mode))
    needed = BUDGET - one.wire.get_cells(empty(one, mode), parts[0], 0, BUDGET)
    assert 8 * (48 + 6 * 24) < needed < 40_000
    assert one.wire.get_cells(empty(one, mode), parts[0], 0, needed) == 0
    with pytest.raises(FormatError, match="max_memory"):
        one.wire.get_cells(empty(one, mode), parts[0], 0, needed - 1)


@pytest.mark.skipif(len(ROOMS) < 2, reason="one build is not there")
def test_both_builds_plan_the_same():
    parts = payloads(ROOMS[0], filled(ROOMS[0]))
    left = [(room.wire.get_cells(empty(room), parts[0], 0, BUDGET),
             room.wire.get_totals(empty(room), parts[2], 0, BUDGET)) for room in ROOMS]
    assert left[0] == left[1]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_payloads_are_any_bytes(one, kind):
    parts = payloads(one, filled(one))
    assert payloads(one, read(one, "comprehensive", *map(kind, parts))) == parts


@pytest.mark.parametrize("rank", [31, 33, 59])
def test_a_floor_by_buckets_that_no_writer_has_filled_is_one_that_can_be_written(one, rank):
    core = _spread(one)
    register = (rank * 0x041041).to_bytes(3, "little")     # four of that rank
    bucket = b"\0" + bytes(9) + register * 16
    sketch = b"\0" + b"\x01\x04" + struct.pack("<BQ", 6, 0) + bytes(768) + bucket * 4
    one.wire.get_sketch(core, sketch, 0, BUDGET)
    (counted,) = core.metrics
    assert counted.add(("first",), 1) and counted.add(("second",), 2)
    floors = [core.floor(slot) for slot in core.slots()]
    assert floors == [pytest.approx(1 << 32, rel=2e-5)] and floors[0] < 1 << 32
    assert not counted.add(("third",), 3)
    again = _spread(one)
    one.wire.get_cells(again, one.wire.put_cells(core), 0, BUDGET)
    assert [again.floor(slot) for slot in again.slots()] == floors


def _spread(room):
    core = room.Core(("d",), room.Guard(0, 0))
    core.sample("top_cardinality", 1, core.add_hll("u", 8), width=4, depth=1)
    return core


def test_the_form_of_numbers(one):
    core = one.Core(("d",), one.Guard(0, 0))
    counter = core.add_counter("n")
    values = [0, -1, 1, 63, -64, 64, 2**62, -(2**63), 2**63 - 1]
    for number, value in enumerate(values):
        counter.incrby((number,), value)
    assert one.wire.put_cells(core).endswith(bytes.fromhex(
        "00 01 02 7e 7f 80 01 80 80 80 80 80 80 80 80 80 01"
        "ff ff ff ff ff ff ff ff ff 01 fe ff ff ff ff ff ff ff ff 01"))


def test_a_histogram_that_cannot_be_is_refused(one):
    core = one.Core(("d",), one.Guard(0, 0))
    histogram = core.add_histogram("h", one.Shape(1, 100, precision=2))
    for value in (-3, 5, 5, 100, 700):
        histogram.record(("k",), value)
    good = one.wire.put_cells(core)
    at = good.index(bytes([5, 1, 1, 5]))
    for figure, wrong in ((0, 4), (0, 6), (1, 0), (1, 2), (2, 0), (2, 3), (3, 4), (4, 0)):
        broken = bytearray(good)
        broken[at + figure] = wrong
        with pytest.raises(FormatError):
            one.wire.get_cells(_like(one), bytes(broken), 0, BUDGET)
    assert one.wire.get_cells(_like(one), good, 0, BUDGET) < BUDGET


def _like(room):
    core = room.Core(("d",), room.Guard(0, 0))
    core.add_histogram("h", room.Shape(1, 100, precision=2))
    return core
