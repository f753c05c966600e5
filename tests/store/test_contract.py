"""What any store must do (store/interface.py): the suite of istat_server/testing, run on the model and on ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from istat.buckets import Bucket
from istat.clock import FakeClock
from istat_server.query.select import buckets, series
from istat_server.store.statstore import StatStore
from istat_server.testing import contract
from istat_server.testing.contract import NOW, RULES, Opened, T, close_to
from istat_server.testing.memory import MemoryStore


def open_memory(_folder: Path, clock: FakeClock) -> Iterator[Opened]:
    yield Opened(MemoryStore(RULES, clock), clock)


def open_statstore(folder: Path, clock: FakeClock) -> Iterator[Opened]:
    store = StatStore.open(folder, RULES, clock)

    def rest() -> None:
        store.flush()
        store.compact()

    yield Opened(store, clock, rest)
    store.close()


STORES = [pytest.param(open_memory, id="memory"), pytest.param(open_statstore, id="statstore")]


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Opened]:
    clock.set(NOW)
    yield from request.param(tmp_path / "store", clock)


on_each = pytest.mark.parametrize("opened", STORES, indirect=True)


@on_each
class TestNames(contract.Names):
    """Finding counters."""


@on_each
class TestLines(contract.Lines):
    """Samples come in."""


@on_each
class TestBuckets(contract.Buckets):
    """What they become."""


@on_each
class TestAnswers(contract.Answers):
    """What is answered."""


@on_each
class TestChanges(contract.Changes):
    """Deletes and renames."""


@on_each
class TestBatches(contract.Batches):
    """Pre-aggregated rows."""


@on_each
class TestMarkedLines(contract.MarkedLines):
    """Lines of batches with a mark."""


def test_all_of_the_suite_runs_here() -> None:
    run = [base for one in globals().values() if isinstance(one, type) for base in one.__bases__]
    assert set(contract.SUITE) <= set(run)


@on_each
def test_one_question_about_counters_of_several_ladders(opened: Opened) -> None:
    opened.feed("".join(f"{name} {T + k * 10} {k}\n" for k in range(12) for name in ("g", "db.g", "g.fast")))
    answer = series(opened.store, ["g", "g.fast", "db.g", "nope"], T, T + 120, 1000, T + 3600)
    assert (answer.grid.start, answer.grid.interval, answer.grid.points) == (T, 60, 2)
    assert [counter.name for counter in answer.found] == ["g", "g.fast", "db.g"]
    for rows in answer.rows:
        close_to(rows.rows(), [(T, Bucket.of(*range(6))), (T + 60, Bucket.of(*range(6, 12)))])
    single = series(opened.store, ["g.fast"], T, T + 120, 1000, T + 3600)
    assert (single.grid.interval, len(single.rows[0])) == (1, 12)
    each = buckets(opened.store, [*answer.found], T, T + 120, 0, T + 3600)
    assert [(one.start, one.end, one.interval, len(one.rows)) for one in each] == [
        (T, T + 120, 10, 12), (T, T + 120, 1, 12), (T, T + 120, 60, 2)]
