"""Cells as flat JSON: what a reader of it sees, and that both builds write the same bytes."""
from __future__ import annotations

import base64
import importlib
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels.python.varints import get_varint
from tests.kernels.cubes.cores import ROOMS, filled

HEAD = b'{"name":"http","tags":{"dc":"ams",'
QUANTILES = (("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9))
VALUES = st.one_of(st.none(), st.integers(-2**63, 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=20),
                   st.binary(max_size=20), st.text('"\\\x00\n\x1f/\x7f\u2028é', max_size=20))


def text_of(room, core, head=HEAD, separator=b",", **options):
    """All of it."""
    flat = importlib.import_module(f"istat.kernels.{room.build}.cubes.text").FlatText(core, head, **options)
    return separator.join(iter(lambda: flat.read(separator), b""))


def cells_of(room, core, **options):
    """What two parsers make of it, which is the same."""
    text = b"[%b]" % text_of(room, core, **options)
    assert orjson.loads(text) == json.loads(text)
    return json.loads(text)


@pytest.fixture(params=ROOMS, ids=lambda room: room.build)
def room(request):
    return request.param


def test_a_cell_has_its_tags_and_fields_in_a_fixed_order(room):
    core = filled(room)
    n, g, h, u = core.metrics
    n.incrby(("GET", 200), 18342)
    g.set(("GET", 200), 17)
    for value in (211, 1567, 4127):
        h.record(("GET", 200), value)
    for item in ("a", "b", "a"):
        u.add(("GET", 200), item)
    median, high = h.value(0).percentiles([50, 99.9])
    assert text_of(room, core, quantiles=(("p50", 50.0), ("p99.9", 99.9))).decode() == (
        '{"name":"http","tags":{"dc":"ams","method":"GET","status":200},"fields":{"n":18342,"g":17,'
        f'"h":{{"count":3,"sum":5905,"min":211,"max":4127,"p50":{median},"p99.9":{high}}},"u":2}}}}')


def test_what_has_no_value_is_left_out_but_counters_and_distinct_items_are_zero(room):
    core = filled(room)
    core.metrics[0].incrby(("GET", None), 1)
    assert cells_of(room, core) == [{"name": "http", "tags": {"dc": "ams", "method": "GET", "status": None},
                                     "fields": {"n": 1, "u": 0}}]


def test_without_constant_tags_there_is_no_comma_before_the_first(room):
    core = filled(room)
    core.metrics[0].incrby(("GET", 1), 1)
    assert text_of(room, core, head=b'{"tags":{') == b'{"tags":{"method":"GET","status":1},"fields":{"n":1,"u":0}}'
    assert text_of(room, filled(room)) == b""


def test_integers_are_exact_and_floats_come_back(room):
    core = room.Core(("d",), room.Guard())
    whole, real = core.add_counter("whole"), core.add_counter("real", True)
    for at, (a, b) in enumerate([(2**63 - 1, 0.1), (-2**63, 1e300), (0, -2.5), (10**18, 3.0)]):
        whole.incrby((at,), a)
        real.incrby((at,), b)
    fields = [cell["fields"] for cell in cells_of(room, core)]
    assert fields == [{"whole": 2**63 - 1, "real": 0.1}, {"whole": -2**63, "real": 1e300}, {"whole": 0, "real": -2.5},
                      {"whole": 10**18, "real": 3}]


@pytest.mark.parametrize("value", [0, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 10**7, 10**8, 12345678901234567, -1])
def test_integers_of_each_length(room, value):
    core = room.Core(("d",), room.Guard())
    core.add_counter("n").incrby((value,), value)
    assert text_of(room, core, head=b'{"tags":{').decode() == f'{{"tags":{{"d":{value}}},"fields":{{"n":{value}}}}}'


def test_what_is_not_finite_is_null(room):
    core = room.Core(("d",), room.Guard())
    core.add_gauge("g").set((float("inf"),), float("-inf"))
    assert cells_of(room, core)[0] == {"name": "http", "tags": {"dc": "ams", "d": None}, "fields": {"g": None}}


def test_dimensions_are_told_apart_by_their_type(room):
    core = room.Core(("d",), room.Guard())
    for value in (1, 1.0, "1", b"1", True, -0.0, 1e300):
        core.add_counter("n").incrby((value,)) if not core.metrics else core.metrics[0].incrby((value,))
    tags = text_of(room, core, head=b"{").decode()
    assert [cell.partition("}")[0] for cell in tags.split("{")[1::2]] == [
        '"d":1', '"d":1.0', '"d":"1"', '"d":"base64:MQ=="', '"d":0.0', '"d":1.0000000000000001e+300']


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_any_value_comes_back_and_both_builds_write_the_same(keys, name):
    texts = []
    for room in ROOMS:
        core = room.Core((name, "ü\"\\\n"), room.Guard())
        counter = core.add_counter('"n"\t')
        for key in keys:
            counter.incrby(key, 1)
        texts.append(text_of(room, core, head=b'{"tags":{'))
        cells = json.loads(b"[%b]" % texts[-1])
        assert cells == orjson.loads(b"[%b]" % texts[-1])
        assert [list(cell["tags"].values()) for cell in cells if len(cell["tags"]) == 2] == [
            [shown(value) for value in core.key(slot)] for slot in core.slots() if name != "ü\"\\\n"]
    assert len(set(texts)) == 1


def shown(value):
    if isinstance(value, bytes):
        return f"base64:{base64.b64encode(value).decode()}"
    return None if value in (float("inf"), float("-inf")) else value


NUMBERS = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 200_000), st.integers(1, 2**40),
                             st.floats(-1e9, 1e9)), max_size=30)


@given(NUMBERS, st.sampled_from(["summary", "buckets", "encoded"]), st.sampled_from(["estimate", "encoded"]),
       st.sampled_from(["comprehensive", "topk", "top_cardinality"]), st.booleans(), st.sampled_from([None, 0, 1, 5]))
def test_both_builds_write_the_same(updates, histogram, hll, mode, overflow, limit):
    texts = []
    for room in ROOMS:
        core = filled(room, mode, 3, overflow)
        n, g, h, u = core.metrics
        scaled = core.add_histogram("scaled", room.Shape(1, 10**9, precision=3, scale=1000.0))
        real = core.add_counter("real", True)
        for key, value, count, number in updates:
            n.incrby((key, 1), count)
            g.set((key, 1), number)
            h.record((key, 1), value, count)
            scaled.record((key, 1), abs(number) / 1000)
            u.add((key, 1), value)
            real.incrby((key, 1), number)
        texts.append(text_of(room, core, histogram=histogram, hll=hll, quantiles=QUANTILES, meta=True, limit=limit))
        json.loads(b"[%b]" % texts[-1])
    assert len(set(texts)) == 1


def test_buckets_have_all_values_and_the_slots_bounds(room):
    core = filled(room)
    histogram = core.metrics[2]
    values = [0, 1, 1, 63, 64, 1000, 99_999, 5_000_000]
    for value in values:
        histogram.record(("GET", 1), value)
    told = cells_of(room, core, histogram="buckets")[0]["fields"]["h"]
    assert (told["count"], told["sum"], told["min"], told["max"]) == (8, sum(values), 0, 5_000_000)
    shape = histogram.shape
    assert told["buckets"] == [[*shape.bounds(shape.slot(value)), count] for value, count in
                               [(0, 1), (1, 2), (63, 1), (64, 1), (1000, 1), (99_999, 1), (100_000, 1)]
                               if shape.slot(value) != shape.slot(100_000) or value == 100_000] or (
        sum(count for _, _, count in told["buckets"]) == 8)


def test_a_histogram_with_a_scale_is_told_in_the_users_unit(room):
    core = room.Core(("d",), room.Guard())
    seconds = core.add_histogram("s", room.Shape(1, 60_000_000, precision=7, scale=1e6))
    for value in (0.001, 0.25, 1.5):
        seconds.record(("x",), value)
    told = cells_of(room, core, quantiles=(("p0", 0.0), ("p100", 100.0)))[0]["fields"]["s"]
    assert told == {"count": 3, "sum": 1.751, "min": 0.001, "max": 1.5, "p0": 0.001, "p100": 1.5}


def test_encoded_slots_and_registers_are_those_of_the_sketches(room):
    core = filled(room)
    _, _, h, u = core.metrics
    for value in (3, 3, 700, 100_000):
        h.record(("GET", 1), value)
    for item in range(500):
        u.add(("GET", 1), item)
    fields = cells_of(room, core, histogram="encoded", hll="encoded")[0]["fields"]
    told = fields["h"]
    counts: list[int] = []
    data, at = base64.b64decode(told["slots"]), 0
    while at < len(data):
        number, at = get_varint(data, at)
        counts += [0] * ((number + 1) // 2) if number & 1 else [number // 2]
    shape = room.Shape(told["lowest"], told["highest"], precision=told["precision"], scale=told["scale"])
    assert {slot: count for slot, count in enumerate(counts) if count} == {
        shape.slot(3): 2, shape.slot(700): 1, shape.slot(100_000): 1}
    assert fields["u"] == {"precision": 8, "hash": "xxh64",
                           "registers": base64.b64encode(u.value(0).packed()).decode()}


def test_cells_are_told_by_rank_with_how_they_got_in(room):
    core = filled(room, "topk", 2, overflow_cell=True)
    counter = core.metrics[0]
    for key, count in (("a", 5), ("b", 50), ("c", 1)):
        counter.incrby((key, 1), count)
    cells = cells_of(room, core, meta=True)
    assert [(cell["tags"]["method"], cell["fields"]["n"]) for cell in cells[:2]] == [("b", 50), ("a", 5)]
    assert cells[0]["meta"] == {"mode": "topk", "rank": 1, "late": False, "inherited": 0}
    assert cells[2]["tags"] == {"dc": "ams", "method": None, "status": None, "overflow": True}
    assert (cells[2]["fields"]["n"], cells[2]["meta"]) == (1, {"mode": "topk"})
    assert [cell["tags"]["method"] for cell in cells_of(room, core, limit=1)] == ["b", None]


def test_kept_cells_without_updates_are_left_out(room):
    core = filled(room)
    for key in ("a", "b"):
        core.metrics[0].incrby((key, 1))
    core.reset(True)
    assert text_of(room, core) == b""
    core.metrics[0].incrby(("b", 1))
    assert [cell["tags"]["method"] for cell in cells_of(room, core, limit=1)] == ["b"]


def test_a_long_text_comes_in_pieces_and_cells_that_went_are_not_in_it(room):
    core = room.Core(("path",), room.Guard())
    counter = core.add_counter("n")
    for at in range(2000):
        counter.incrby((f"/a/path/of/some/length/{at:08d}",), at)
    cells = cells_of(room, core)
    assert [cell["fields"]["n"] for cell in cells] == list(range(2000))
    module = importlib.import_module(f"istat.kernels.{room.build}.cubes.text")
    flat = module.FlatText(core, HEAD)
    first = flat.read(b"\n")
    assert 64 * 1024 <= len(first) < 65 * 1024
    core.reset()
    counter.incrby(("only",), 1)
    assert flat.read(b"\n") == b""


def test_metrics_and_sampling_may_change_between_two_pieces():
    texts = []
    for room in ROOMS:
        core = filled(room, "topk", 3000)
        n, g, h, u = core.metrics
        for at in range(2000):
            n.incrby((f"/a/path/of/some/length/{at:08d}", at), at + 1)
            h.record((f"/a/path/of/some/length/{at:08d}", at), at)
        flat = importlib.import_module(f"istat.kernels.{room.build}.cubes.text").FlatText(core, HEAD, meta=True)
        pieces = [flat.read(b",")]
        core.sample("comprehensive", 10_000)
        core.drop(h)
        core.drop(g)
        core.add_counter("later")
        for at in range(5000):
            n.incrby((f"later {at}", at))
        while piece := flat.read(b","):
            pieces.append(piece)
        cells = json.loads(b"[%b]" % b",".join(pieces))
        assert len(cells) == 2000 and "h" in cells[0]["fields"] and list(cells[-1]["fields"]) == ["n", "u"]
        assert cells[-1]["meta"] == {"mode": "topk", "rank": 2000, "late": False, "inherited": 0}
        texts.append(b"".join(pieces))
    assert len(set(texts)) == 1


def test_a_whole_key_of_what_must_be_escaped_has_room(room):
    core = room.Core(("a", "b"), room.Guard())
    core.add_counter("n").incrby(("\x01" * 4000, b"\xff" * 60), 1)
    assert cells_of(room, core)[0]["tags"]["a"] == "\x01" * 4000


def test_words_that_are_none_are_refused(room):
    with pytest.raises(ValueError, match="encoded"):
        text_of(room, filled(room), histogram="all")
    with pytest.raises(ValueError, match="estimate"):
        text_of(room, filled(room), hll="summary")
