"""Counters with ladders of their own."""
from __future__ import annotations

import pytest

from tests.kernels.ingest.engines import ALL, NOW, feed


def two_ladders(build):
    engine = build.engine.Engine([10, 300], 7)
    engine.add_policy(5, [1, 60, 3600])
    engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000, NOW - 32313600])
    engine.set_limits(NOW, NOW + 60, NOW + 1, [NOW - 100, NOW - 1000, NOW - 10000], 5)
    for name, policy in ((b"slow", None), (b"fast", 5), (b"ev", 5)):
        engine.add_route(name, (engine.add_counter(name, name == b"ev", policy),))
    return engine


def held(engine, id, policy, levels):
    return [engine.collect([id], level, *ALL, policy)[0].rows() for level in range(levels)]


def test_counters_have_the_levels_and_limits_of_their_policy(kernels):
    engine = two_ladders(kernels)
    for age in (0, 101, 1001, 10001):
        feed(engine, b"".join(b"%s %d 3\n" % (name, NOW - age) for name in (b"slow", b"fast", b"ev")))
    feed(engine, b"ev %d 3\nfast %d 3\n" % (NOW + 2, NOW + 2))
    seen = [[row[0] for row in rows] for rows in held(engine, 0, 0, 2)]
    assert seen == [[NOW, NOW - 110, NOW - 1010, NOW - 10010], []]
    times = [[NOW, NOW + 2], [(NOW - 101) // 60 * 60], [(NOW - 1001) // 3600 * 3600]]
    assert [[row[0] for row in rows] for rows in held(engine, 1, 5, 3)] == times
    assert [[row[0] for row in rows] for rows in held(engine, 2, 5, 3)] == [times[0][:1], *times[1:]]
    assert held(engine, 1, 0, 2) == [[], []]
    assert (engine.tally()["from_past"], engine.tally()["from_future"]) == (2, 1)
    assert [engine.policy(id) for id in range(3)] == [0, 5, 5]
    frozen = engine.freeze()
    assert {number: [head and len(head) for head in heads] for number, heads in frozen.items()} == {
        0: [4, None], 5: [3, 2, 2]}
    assert [len(head) for head in engine.heads] == [0] * 5


def test_a_policy_comes_back_from_the_journal_and_from_the_names(kernels):
    engine = two_ladders(kernels)
    engine.set_policy(0, 5)
    engine.set_policy(2, 0)
    for records in (engine.take_journal(), engine.take_names(), engine.dump_names()):
        again = kernels.engine.Engine([10, 300], 7)
        again.add_policy(5, [1, 60, 3600])
        again.replay(records)
        assert [again.policy(id) for id in range(3)] == [5, 5, 0]
        heir = kernels.engine.Engine([10], 7, 9)
        heir.add_policy(8, [60])
        heir.alias_policy(5, 8)
        heir.replay(records)
        assert [heir.policy(id) for id in range(3)] == [8, 8, 9]
        without = kernels.engine.Engine([10], 7, 0)
        without.replay(records)
        assert [without.policy(id) for id in range(3)] == [0, 0, 0]


def test_a_new_policy_takes_samples_at_once_and_leaves_what_was_there(kernels):
    engine = two_ladders(kernels)
    feed(engine, b"slow 1\n")
    engine.set_policy(0, 5)
    feed(engine, b"slow 2\n")
    assert [row[2] for rows in held(engine, 0, 0, 2) for row in rows] == [1]
    assert [row[2] for rows in held(engine, 0, 5, 3) for row in rows] == [2]


def test_what_an_engine_refuses_of_policies(kernels):
    engine = two_ladders(kernels)
    with pytest.raises(ValueError, match="1 to 16 levels"):
        engine.add_policy(6, [])
    with pytest.raises(ValueError, match="1 to 16 levels"):
        kernels.engine.Engine(range(1, 18))
    with pytest.raises(ValueError, match="no room"):
        engine.add_policy(5, [10])
    with pytest.raises(ValueError, match="there is a policy 5"):
        engine.alias_policy(5, 0)
    with pytest.raises(KeyError):
        engine.alias_policy(6, 7)
    for id, number, error in ((3, 5, IndexError), (0, 77, KeyError)):
        with pytest.raises(error):
            engine.set_policy(id, number)
    with pytest.raises(KeyError):
        engine.add_counter(b"x", False, 77)
    assert len(engine.counters) == 3
    for level in (-1, 3):
        with pytest.raises(IndexError):
            engine.collect([0], level, 0, 1, 5)
    for number in range(100, 162):
        engine.add_policy(number, [10])
    with pytest.raises(ValueError, match="no room"):
        engine.add_policy(99, [10])
