"""The pieces of the store's benchmarks that need no server."""
from __future__ import annotations

from bench import storage, store
from bench.figures import Mode
from bench.load.work import Work
from bench.report import row
from bench.steady import STAND_IN, slices, texts


def test_slices_are_whole_lines_in_order():
    text = b"".join(b"name.%d 1 2\n" % number for number in range(1000))
    for count in (1, 7, 200, 5000):
        pieces = [bytes(piece) for piece in slices(text, count)]
        assert b"".join(pieces) == text
        assert all(piece.endswith(b"\n") for piece in pieces)


def test_texts_repeat_after_the_table_or_never():
    endless = texts(Work(40), 2)
    three = [next(endless) for _ in range(3)]
    assert three[0] == three[2] != three[1]
    assert three[0].count(b" %d " % STAND_IN) == 40
    fresh = texts(Work(40), 0)
    assert len({next(fresh) for _ in range(5)}) == 5


def test_a_day_expires_at_once(tmp_path):
    (mode,) = storage.measure(["expiry"], tmp_path, 200)
    (run,) = mode.runs["istatd"]
    assert (run["rows_expired"], run["rows_left"], run["rewritten_bytes"]) == (200 * storage.EXPIRY_ROWS, 0, 0)


def test_every_goal_is_measured_by_a_row_and_judged():
    for goal in store.GOALS:
        mode = Mode(goal.mode, "", {"istatd": [{goal.key: goal.bound * 0.5}]})
        if goal.relative:
            mode.add("victoria-metrics", {goal.key: goal.bound})
        assert row(goal, [mode]).reached == "yes"
