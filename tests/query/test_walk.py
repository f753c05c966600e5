"""A walk through all rows of many counters gives each row once, however it is cut and wherever it is gone on with."""

from __future__ import annotations

import pytest

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat.retention import Ladder, Rule, Rules
from istat_server.query import walk
from istat_server.query.walk import Mark, Walk
from istat_server.store.interface import NamePattern, Question, Syntax
from istat_server.testing.memory import MemoryStore

T = 1325394000
LADDER = Ladder.parse("10s:40m,1m:2h,5m:4h")
OTHER = Ladder.parse("10s:40m,5m:3h")
BEGIN = Mark()
Rows = dict[tuple[str, int], list[tuple[float, ...]]]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(Rules(LADDER, (Rule("other.*", OTHER),)), FakeClock(T + 1800))
    for number in range(7):
        for second in range(0, 60 * number, 10):
            store.add(f"a{number}", T + second, number)
            store.add(f"*other.e{number}", T + second, 1)
    return store


def whole(store: MemoryStore, start: int, end: int) -> Rows:
    """The same, one counter and level after the other."""
    found: Rows = {}
    for counter in store.match(NamePattern(Syntax.GLOB, b"*"), 1000).items:
        for number, _level in enumerate(store.ladder_of(counter.id).levels):
            answer = store.read(Question([counter.id], start, end, number, exact=True))[0]
            if len(answer.rows):
                found[counter.name, number] = answer.rows.rows()
    return found


def walked(steps: list[walk.Step]) -> Rows:
    found: Rows = {}
    for parts, _mark in steps:
        for part in parts:
            for number, rows in enumerate(part.levels):
                if len(rows):
                    found.setdefault((part.counter.name, number), []).extend(rows.rows())
    return found


def steps(store: MemoryStore, mark: Mark = BEGIN, span: tuple[int, int] = (T, T + 1801)) -> list[walk.Step]:
    return list(Walk(store, NamePattern(Syntax.GLOB, b"*"), *span, T + 1800).parts(mark))


@pytest.mark.parametrize(("at_once", "part"), [(500_000, 100_000), (100, 100), (1000, 40), (1, 15)])
@pytest.mark.parametrize("span", [(0, T + 1801), (T, T + 1801), (T + 60, T + 130)])
def test_each_row_comes_once_and_a_walk_goes_on_from_every_mark(
        store: MemoryStore, monkeypatch: pytest.MonkeyPatch, at_once: int, part: int, span: tuple[int, int]) -> None:
    monkeypatch.setattr(walk, "ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(walk, "PART_ROWS", part)
    expected = whole(store, *span)
    assert len(expected) > 10
    made = steps(store, span=span)
    assert walked(made) == expected
    assert made[-1] == ([], Mark())
    for place in range(0, len(made) - 1, 1 + len(made) // 12):
        mark = made[place][1]
        again = steps(store, Mark.read(mark.text()), span)
        assert walked([*made[:place + 1], *again]) == expected


def test_only_counters_with_rows_are_given(store: MemoryStore) -> None:
    store.create(b"nothing", event=False)
    assert {part.counter.name for parts, _ in steps(store) for part in parts} == {
        *(f"a{number}" for number in range(1, 7)), *(f"other.e{number}" for number in range(1, 7))}


def test_what_was_deleted_meanwhile_costs_no_other(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "PART_ROWS", 1)
    made = steps(store)
    at = next(place for place, (parts, mark) in enumerate(made) if mark.begun == "a3")
    counter = store.find(b"a3")
    assert counter is not None
    store.delete([counter.id])
    names = {name for name, _level in walked([*made[:at], *steps(store, made[at][1])])}
    assert names >= {"a1", "a2", "a4", "a5", "a6"}


@pytest.mark.parametrize("text", ["x", "[]", "{}", '["",[],"",0]', '["",[1],"",0,0]', '["",[],"",true,0]',
                                  '[1,[],"",0,0]', '["",[],"",-1,0]', "[" * 100_000])
def test_what_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(BadQuery, match="no walk like this one"):
        Mark.read(text)
