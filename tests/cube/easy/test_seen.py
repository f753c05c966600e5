"""Each frame counts once, however often and in whichever order it comes."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.cube.easy.seen import Seen, Verdict


def take(seen, source, sequence, now=0.0):
    verdict = seen.look(source, sequence, now)
    if verdict is Verdict.NEW:
        seen.mark(source, sequence, now)
    return verdict


def test_a_frame_that_comes_twice_is_a_duplicate():
    seen = Seen()
    assert [take(seen, b"a", n) for n in (0, 1, 1, 0, 2)] == [
        Verdict.NEW, Verdict.NEW, Verdict.DUPLICATE, Verdict.DUPLICATE, Verdict.NEW]
    assert take(seen, b"b", 1) is Verdict.NEW, "of another sender"


def test_a_late_frame_is_new_once():
    seen = Seen()
    assert [take(seen, b"a", n) for n in (5, 3, 4, 3)] == [
        Verdict.NEW, Verdict.NEW, Verdict.NEW, Verdict.DUPLICATE]


def test_below_the_window_nobody_knows():
    seen = Seen()
    take(seen, b"a", 0)
    take(seen, b"a", 4095)
    assert take(seen, b"a", 0) is Verdict.DUPLICATE
    take(seen, b"a", 4096)
    assert take(seen, b"a", 0) is Verdict.TOO_OLD
    assert take(seen, b"a", 1) is Verdict.NEW


def test_a_number_that_jumps_takes_no_memory():
    seen = Seen()
    take(seen, b"a", 7)
    assert take(seen, b"a", 2**63) is Verdict.NEW
    assert take(seen, b"a", 2**63) is Verdict.DUPLICATE
    assert take(seen, b"a", 7) is Verdict.TOO_OLD
    assert take(seen, b"a", 2**63 - 4095) is Verdict.NEW


def test_a_sender_that_has_been_silent_makes_room_for_a_new_one():
    seen = Seen(most_sources=2, silence=60)
    take(seen, b"a", 0, now=0)
    take(seen, b"b", 0, now=30)
    assert seen.look(b"c", 0, now=59) is Verdict.TOO_MANY
    assert seen.look(b"c", 0, now=60) is Verdict.NEW
    assert seen.mark(b"c", 0, now=60) == b"a"
    assert (b"a" in seen, b"b" in seen, len(seen)) == (False, True, 2)
    take(seen, b"b", 1, now=80)
    assert take(seen, b"d", 0, now=110) is Verdict.TOO_MANY, "both were heard within the last minute"
    assert seen.mark(b"d", 0, now=120) == b"c"


def test_room_for_nobody_is_a_mistake():
    with pytest.raises(ValueError):
        Seen(most_sources=0)
    with pytest.raises(ValueError):
        Seen(window=0)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 40))))
def test_as_a_set_would_do_it_within_the_window(frames):
    seen, model, newest = Seen(window=8), set(), {}
    for source, sequence in frames:
        verdict = take(seen, source, sequence)
        if sequence <= newest.get(source, -1) - 8:
            assert verdict is Verdict.TOO_OLD
        elif (source, sequence) in model:
            assert verdict is Verdict.DUPLICATE
        else:
            assert verdict is Verdict.NEW
            newest[source] = max(newest.get(source, -1), sequence)
        model.add((source, sequence))
