"""Turns: one at a time, each address in its order, and nobody is forgotten whatever happens to those who wait."""

from __future__ import annotations

import gevent
import pytest

from istat.daemon.turns import Turns


def have(turns: Turns, address: str, order: list[str]) -> None:
    with turns.of(address):
        order.append(address)
        gevent.sleep(0)


def test_one_of_another_address_waits_for_one_turn_only() -> None:
    turns, order = Turns(), []
    greenlets = [gevent.spawn(have, turns, address, order) for address in ["many"] * 5 + ["other", "many", "third"]]
    gevent.joinall(greenlets, timeout=5, raise_error=True)
    assert order == ["many", "many", "other", "third", "many", "many", "many", "many"]


def test_there_is_one_at_a_time() -> None:
    turns, inside = Turns(), 0

    def check() -> None:
        nonlocal inside
        with turns.of("a"):
            inside += 1
            gevent.sleep(0)
            assert inside == 1
            inside -= 1

    gevent.joinall([gevent.spawn(check) for _ in range(20)], timeout=5, raise_error=True)


def test_who_gives_up_waiting_holds_up_nobody() -> None:
    turns, order = Turns(), []
    with turns.of("first"):
        gone = [gevent.spawn(have, turns, address, order) for address in ("gone", "late")]
        kept = [gevent.spawn(have, turns, address, order) for address in ("gone", "kept")]
        gevent.sleep(0)
        gone[0].kill()
    gone[1].kill()
    gevent.joinall(kept, timeout=5, raise_error=True)
    assert sorted(order) == ["gone", "kept"]
    with turns.of("again"):
        pass


def test_a_turn_that_came_together_with_the_end_of_patience_is_passed_on() -> None:
    turns, order = Turns(), []
    with turns.of("first"):
        dying, next_one = (gevent.spawn(have, turns, address, order) for address in ("dying", "next"))
        gevent.sleep(0)
        dying.kill(block=False)     # reaches it when its turn has come
    gevent.joinall([next_one], timeout=5, raise_error=True)
    assert order == ["next"]


def test_a_mistake_within_a_turn_ends_it() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="mine"), turns.of("a"):
        raise ValueError("mine")
    with turns.of("b"):
        pass
