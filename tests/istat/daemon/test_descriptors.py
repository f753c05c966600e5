"""How many connections there may be so that the store's files find room."""

from __future__ import annotations

import pytest

from istat.clock import FakeClock
from istat.daemon.descriptors import SAME_SECONDS, Want, connections, first_reserved, limit


def test_where_many_files_may_be_open_all_get_what_they_want() -> None:
    assert connections(65536, 1000, 10_000) == (1000, 63_512)
    assert connections(-1, 1000, 10_000)[0] == 1000, "no limit at all"
    assert min(first_reserved(-1), connections(-1, 1000, 10_000)[1]) > 1 << 30


@pytest.mark.parametrize(("most", "granted"), [(4096, (1000, 2072)), (1024, (128, 128)), (64, (8, 8)), (8, (1, 1)),
                                               (1, (1, 1))])
def test_where_few_may_connections_do_without(most: int, granted: tuple[int, int]) -> None:
    assert connections(most, 1000, 10_000) == granted


def test_what_one_does_not_want_the_other_has() -> None:
    assert connections(64, 1000, 3) == (13, 3)
    assert connections(64, 3, 1000) == (3, 13)


def test_the_last_descriptors_are_no_connections() -> None:
    assert [first_reserved(most) for most in (64, 1024, 65536)] == [48, 992, 65504]


def test_the_limit_is_the_systems() -> None:
    assert limit() != 0


def test_want_is_new_when_there_was_none_for_a_while(clock: FakeClock) -> None:
    want = Want(clock.monotonic)
    assert [want.is_new(), want.is_new()] == [True, False]
    for _ in range(3):
        clock.advance(SAME_SECONDS - 1)
        assert not want.is_new()
    clock.advance(SAME_SECONDS)
    assert want.is_new()
