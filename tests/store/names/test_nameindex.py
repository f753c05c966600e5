"""The index of names finds what the plain tables find, whenever its segments come and whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat.kernels import names as names_kernel
from istat.patterns.globs import glob
from istat.patterns.regex import regex
from istat_server.store.names import nameindex
from istat_server.store.names.nameindex import NameIndex
from istat_server.store.pool import InlinePool
from tests import plain_names


class LaterPool(InlinePool):
    """A pool whose call is made when the test says so, as a thread's may be at any moment."""

    def __init__(self) -> None:
        self._call: Callable[[], Any] | None = None
        self._result: Any = None

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        self._call, self._result = lambda: function(*args), None
        return self

    def finish(self) -> None:
        if self._call is not None and self._result is None:
            self._result = self._call()

    def ready(self) -> bool:
        return self._result is not None

    def get(self) -> Any:
        return self._result


WORDS = [b"cpu", b"user", b"host", b"w1", b"w22", b"x", b"disk-0"]
NAME = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(b".".join)
STEP = st.one_of(
    st.tuples(st.just("add"), st.lists(NAME, max_size=12)), st.tuples(st.just("unlist"), st.integers(0, 60)),
    st.tuples(st.just("rename"), st.integers(0, 60), NAME), st.just(("keep_up",)), st.just(("finish",)),
    st.tuples(st.just("wait"), st.integers(1, 30)), st.tuples(st.just("ask"), NAME, st.integers(1, 9)),
)  # fmt: skip


@given(st.lists(STEP, max_size=60), st.sampled_from([1, 5, 20]))
def test_answers_are_those_of_a_plain_look(steps: list[tuple[Any, ...]], tail: int) -> None:
    table, clock, threads = names_kernel.NameTable(3), FakeClock(0), LaterPool()
    index = NameIndex(table, clock, InlinePool(), threads)
    # hypothesis runs this many times in one go: a fixture would be set once.
    before = nameindex.TAIL_NAMES, nameindex.TAIL_LEAST, nameindex.MOST_SEGMENTS, nameindex.NAMES_AT_ONCE
    nameindex.TAIL_NAMES, nameindex.TAIL_LEAST, nameindex.MOST_SEGMENTS, nameindex.NAMES_AT_ONCE = tail, 1, 3, 7
    try:
        for what, *rest in [*steps, ("ask", b"cpu.user", 5)]:
            if what == "add":
                for name in rest[0]:
                    table.add(name)
            elif what == "unlist" and table.has(rest[0]):
                table.unlist(rest[0])
            elif what == "rename" and table.has(rest[0]) and table.find(rest[1]) < 0:
                table.unlist(rest[0])
                table.relist(*rest)
            elif what == "keep_up":
                index.keep_up()
            elif what == "finish":
                threads.finish()
            elif what == "wait":
                clock.advance(rest[0])
            elif what == "ask":
                compare(index, table, *rest)
    finally:
        nameindex.TAIL_NAMES, nameindex.TAIL_LEAST, nameindex.MOST_SEGMENTS, nameindex.NAMES_AT_ONCE = before


def compare(index: NameIndex, table: Any, name: bytes, limit: int) -> None:
    names = plain_names.listed(table)
    for pattern in (name, name + b"*", b"*" + name + b"?", b"?." + name.partition(b".")[0] + b".*"):
        fitting = [id for id, known in names.items() if plain_names.fits(pattern, known)]
        assert index.match(glob(pattern), limit, -1) == fitting[:limit]
        assert index.match(glob(pattern), limit, 10) == [id for id in fitting if id > 10][:limit]
    first = name.partition(b".")[0]
    expression = b"^(x|" + first.replace(b".", b"\\.") + b")[.]?[a-w]*"
    wanted = [id for id, known in names.items() if regex(expression).fits(known)]
    assert index.match(regex(expression), limit, -1) == wanted[:limit]
    words = [name[:3], name[-2:]]
    ranked = sorted((len(known), known, id) for id, known in names.items() if all(word in known for word in words))
    assert index.words(words, limit) == [id for _, _, id in ranked][:limit]
    for prefix in (b"", first, name):
        assert index.children(prefix, 1000) == plain_names.children(names, prefix)


def test_segments_stay_few_and_each_name_is_sorted_few_times() -> None:
    table, clock, threads = names_kernel.NameTable(3), FakeClock(0), InlinePool()
    sorted_names = []

    class Counting(InlinePool):
        def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
            sorted_names.append(args[2] - args[1])
            return super().spawn(function, *args)

    index = NameIndex(table, clock, threads, Counting())
    for number in range(200_000):
        table.add(b"name.%d" % number)
        if number % 100 == 0:
            index.keep_up()
    assert sum(sorted_names) < 4 * 200_000
    index.keep_up()
    assert index.memory() < 25 * 200_000
    assert index.match(glob(b"name.123456"), 9, -1) == [123456]


def test_few_names_are_sorted_when_some_time_has_gone_by() -> None:
    table, clock = names_kernel.NameTable(3), FakeClock(0)
    index = NameIndex(table, clock, InlinePool(), InlinePool())
    for number in range(3000):
        table.add(b"name.%d" % number)
    index.keep_up()
    assert index.memory() == 0
    clock.advance(60)
    index.keep_up()
    index.keep_up()
    assert index.memory() > 0


def test_a_segment_that_could_not_be_made_is_made_anew(monkeypatch):
    class FailingPool(InlinePool):
        left = 1

        def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
            failed = super().spawn(lambda: None)
            if self.left:
                self.left -= 1
                monkeypatch.setattr(failed, "get", lambda: exec("raise MemoryError"))
                return failed
            return super().spawn(function, *args)

    table = names_kernel.NameTable()
    for number in range(nameindex.TAIL_NAMES):
        table.add(b"a.%d" % number)
    index = NameIndex(table, FakeClock(0.0), InlinePool(), FailingPool())
    index.keep_up()
    with pytest.raises(MemoryError):
        index.keep_up()
    index.keep_up()
    index.keep_up()
    assert index.memory() > 0
    assert index.match(glob(b"a.17"), 9, -1) == [17]
