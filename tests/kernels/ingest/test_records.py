"""Journal records: what is written is read again, and the native engine writes the same bytes."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels.python.ingest import records
from istat.kernels.python.ingest.records import Change, Counter, Route, Sample

NUMBER = st.integers(0, 2**32 - 3)
NAME = st.binary(min_size=1, max_size=40)
VALUE = st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBER, st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**62 - 1),
       st.lists(VALUE, min_size=4, max_size=4))
def test_a_sample_takes_the_shortest_form_that_has_all_of_it(
    route: int, time: int, before: int, count: int, values: list[float]
) -> None:
    for fields in ((time, 1, values[0], 0.0, values[0], values[0]), (time, count, *values)):
        made = records.put_sample(route, fields, before)  # type: ignore[arg-type]
        found, end = records.read(made, 0, before)
        assert isinstance(found, Sample)
        assert (found.route, found.fields, end) == (route, fields, len(made))
        assert found.wide == (fields[1:] != (1, values[0], 0.0, values[0], values[0]))


@given(NUMBER, NUMBER, st.booleans(), NAME, st.lists(NUMBER, min_size=1, max_size=5).map(tuple))
def test_names_and_changes_come_back(id: int, number: int, event: bool, name: bytes, targets: tuple[int, ...]) -> None:
    run = min(number % records.MOST_RUN + 1, records.MOST_IDS - id)
    for made, wanted in (
        (records.put_counter(id, event, name), Counter(id, event, name)),
        (records.put_route(id, targets, name), Route(id, targets, name)),
        (records.put_change(records.DELETE, id, number), Change(records.DELETE, id, number)),
        (records.put_change(records.UNDELETE, id), Change(records.UNDELETE, id)),
        (records.put_change(records.RENAME, id, name=name), Change(records.RENAME, id, name=name)),
        (records.put_change(records.GONE, id, run), Change(records.GONE, id, run)),
        (records.put_change(records.TOMBSTONE, id, event, number, name=name),
         Change(records.TOMBSTONE, id, number, event, name)),
    ):
        assert records.read(b"\0" + made, 1, 0) == (wanted, 1 + len(made))
        with pytest.raises(ValueError, match="cut off|not known"):
            records.read(made[:-1], 0, 0)
