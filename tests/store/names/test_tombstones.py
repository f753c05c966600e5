"""Deleted counters in order: what is given agrees with a plain dictionary, whatever came and went."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from istat_server.store.names.tombstones import Tombstones


@given(st.lists(st.one_of(st.sets(st.integers(0, 40)), st.integers(0, 40), st.tuples(st.integers(0, 40))), max_size=30),
       st.integers(1, 9), st.integers(0, 30))
def test_it_holds_what_a_dictionary_does(steps, portion, limit):
    deleted: dict[int, int] = {}
    tombstones = Tombstones({})
    for number, step in enumerate(steps, 1):
        if isinstance(step, set):           # a delete
            new = step - deleted.keys()
            tombstones.add(number, sorted(new))
            deleted.update(dict.fromkeys(new, number))
        elif isinstance(step, tuple):       # some come back
            back = {id: deleted[id] for id in deleted if id % 7 == step[0] % 7}
            tombstones.remove(back)
            deleted = {id: one for id, one in deleted.items() if id not in back}
        else:                               # the first ones go
            first = tombstones.ids[:step]
            tombstones.drop_first(step)
            deleted = {id: one for id, one in deleted.items() if id not in first}
        assert len(tombstones) == len(deleted)
    ordered = sorted(deleted.items(), key=lambda pair: (-pair[1], pair[0]))
    assert [id for some in tombstones.newest_first(portion) for id in some] == [id for id, _number in ordered]
    assert tombstones.up_to(limit) == sum(number <= limit for number in deleted.values())
    first = tombstones.ids[:tombstones.up_to(limit)]
    assert sorted(first) == sorted(id for id, number in deleted.items() if number <= limit)
    again = Tombstones(deleted)
    assert again.numbers == tombstones.numbers
    assert sorted(again.ids) == sorted(tombstones.ids)


def test_what_goes_between_two_portions_is_given_once_at_most():
    tombstones = Tombstones({id: id // 2 for id in range(20)})
    seen = []
    for some in tombstones.newest_first(4):
        seen += some
        tombstones.drop_first(2)
        tombstones.add(99, [99])
    assert len(set(seen)) == len(seen)
    assert set(seen) >= set(range(10, 20))
    assert 99 not in seen
