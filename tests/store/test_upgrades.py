"""Stores of every version there was open, become ones of this version, and say what they said."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat_server.store.files import container, journal, manifest
from istat_server.store.files.statfile import StatFile
from istat_server.store.levels import policies
from istat_server.store.offline import checking
from istat_server.store.statstore import StatStore
from tests.store.harness import FIXTURES, NOW, put, rows

KEPT = [("v1/store", 1), ("v2/imported", 2), ("v2/policies", 2), ("v3/store", 3)]


def opened(folder: Path, now: float) -> StatStore:
    state = manifest.load(folder)[0]
    return StatStore.open(folder, policies.rules_of(state.policies), FakeClock(now))


def buckets(store: StatStore) -> dict[tuple[str, int, int], object]:
    """All that a store has, by name, level and time. M2 is rounded to 24 bits of mantissa at rest."""
    counters = [store.counter(id) for id in range(len(store.engine.counters)) if store.engine.counters.has(id)]
    return {(one.name, level, row[0]): (row[1], pytest.approx(row[2:], rel=1e-6, abs=1e-9)) for one in counters
            for level in range(len(store.ladder_of(one.id).levels)) for row in rows(store, one.name, level)}


@pytest.mark.parametrize(("name", "version"), KEPT)
def test_it_opens_is_upgraded_and_says_the_same(name: str, version: int, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(FIXTURES / name, folder)
    assert (folder / manifest.NAME).read_bytes().startswith(b"istat-manifest %d " % version)
    epoch = manifest.load(folder)[0].epoch
    store = opened(folder, NOW + 5)
    said = buckets(store)
    assert said
    assert (folder / manifest.NAME).read_bytes().startswith(b"istat-manifest 3 ")
    assert store.files.manifest.epoch > epoch
    put(store, f"one.more {NOW} 1")
    store.compact()
    store.close()
    again = opened(folder, NOW + 6)
    found = [(key, count, values) for key, (count, values) in buckets(again).items() if key[0] != "one.more"]
    assert [(key, count) for key, count, _values in found] == [(key, count) for key, (count, _values) in said.items()]
    assert [values.expected for _key, _count, values in found] == [values for _count, values in said.values()]
    new = [live.file.path for live in again.files.view.files if again.engine.counters.find(b"one.more") >= 0]
    assert any(Path(path).read_bytes()[8] == container.VERSION for path in new)
    again.close()
    assert checking.check(folder).errors == []


def test_a_store_of_version_3_has_its_marks_and_pins(tmp_path: Path) -> None:
    """Bytes kept for ever: batches with marks and intervals, a pin with all that it holds, a journal not flushed."""
    folder = tmp_path / "s"
    shutil.copytree(FIXTURES / "v3/store", folder)
    expected = json.loads((FIXTURES / "v3/store.json").read_text())
    assert checking.check(folder).findings == []
    store = opened(folder, NOW)
    for name, kept in expected.items():
        assert store.find(name.encode()).kind.value == kept["kind"]
        assert [[list(row) for row in rows(store, name, level)] for level in range(3)] == kept["levels"], name
    assert [store.marks.taken(b"web1", 1325390000, sequence) for sequence in (2, 3, 4)] == [True, True, False]
    (pin,) = store.files.manifest.pins
    assert (pin.name, pin.until, pin.position.store) == ("replica", 1 << 40, store.files.manifest.uuid)
    assert all((folder / path).exists() for path in pin.files)
    assert journal.segment_path(folder / "journal", pin.position.segment).exists()
    for path in (one for one in pin.files if one.endswith(".statfile")):
        with StatFile.open(folder / path) as file:
            assert file.verify() == []
    store.close()
