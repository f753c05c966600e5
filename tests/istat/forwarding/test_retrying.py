"""Pauses between the tries for a target."""
from __future__ import annotations

import pytest

from istat.forwarding.retrying import Pauses


def test_pauses_grow_to_a_minute_and_begin_anew() -> None:
    pauses = Pauses(lambda: 0.0)
    assert [pauses.next() for _ in range(4)] == [1.0, 1.5, 2.25, 3.375]
    assert max(pauses.next() for _ in range(20)) == 60.0
    pauses.forget()
    assert pauses.next() == 1.0


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 1.0), (0.5, 1.25), (1.0, 1.5)])
def test_chance_adds_up_to_a_half(chance: float, pause: float) -> None:
    assert Pauses(lambda: chance).next() == pause
