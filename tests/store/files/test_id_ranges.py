"""More counters than one file holds: files are split by ranges of ids, and everything works across them."""
from __future__ import annotations

from istat.clock import FakeClock
from istat.kernels import blocks
from tests.store.harness import NOW, open_store, rows

RANGE = 1 << blocks.ID_BITS
FIRST, LAST = "c0", f"c{RANGE}"         # ids of two ranges


def fill(store, time, value):
    text = memoryview(b"".join(b"%s %d %r\n" % (name.encode(), time, value) for name in (FIRST, LAST)))
    assert store.engine.feed(text, 0, len(text)) == len(text)
    assert not store.engine.take_leftovers()


def test_files_hold_one_range_of_ids_each_through_their_whole_life(tmp_path):
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    for number in range(RANGE + 1):
        store.engine.add_counter(b"c%d" % number, False)
    for name in (FIRST, LAST):
        store.engine.add_route(name.encode(), [store.find(name.encode()).id])
    for step in range(3):
        fill(store, NOW - 3_400 + 10 * step, step + 1)
        fill(store, NOW - 1_500 + 10 * step, 10 * (step + 1))
        store.flush()
    assert sorted({entry.ids for entry in store.files.manifest.files}) == [0, 1]
    before = {name: rows(store, name, 0) for name in (FIRST, LAST)}
    assert len(before[FIRST]) == 6 and before[FIRST] == before[LAST]
    clock.advance(60)
    store.compact()
    assert {(entry.kind, entry.ids) for entry in store.files.manifest.files if entry.level == 1} == {
        ("derived", 0), ("derived", 1)}
    store.close()
    store = open_store(tmp_path, clock)
    for level in range(3):
        assert rows(store, FIRST, level) == rows(store, LAST, level) != []
    assert {name: rows(store, name, 0) for name in (FIRST, LAST)} == before
    fill(store, NOW - 3_400, 5)        # late: both spans are derived anew
    store.compact()
    for level in range(3):
        assert rows(store, FIRST, level) == rows(store, LAST, level) != []
        assert sum(row[1] for row in rows(store, LAST, level)) == 7
    store.close()
