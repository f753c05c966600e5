"""Slots of threads: each thread has its own, sides are exchanged between two writes, and no write is lost."""
from __future__ import annotations

import gc
import threading
import time

import pytest


@pytest.fixture(params=["python", "native"])
def slots(request):
    return pytest.importorskip(f"istat.kernels.{request.param}.cubes.slots")


class Side:
    """Stands for an instance: what was added to it."""

    def __init__(self):
        self.sum = 0
        self.inside = lambda: None

    def add(self, n=1):
        before = self.sum
        self.inside()
        self.sum = before + n
        return True

    def get(self):
        return self.sum

    def fail(self, what):
        raise ValueError(what)


@pytest.fixture
def own(slots):
    """Slots over sides, the number of a call being its place here; what failed late is kept in `failures`."""
    failures = []

    def resolve(slot, number):
        return (slot.active.add, slot.active.get, slot.active.fail)[number]

    return slots.Slots(lambda: slots.Slot(Side(), Side()), resolve, failures.append), failures


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_write_goes_to_the_active_side_and_returns_what_it_returns(slots, own):
    add, get, _ = (slots.Write(own[0], number) for number in range(3))
    assert add(3) is True
    assert add() is True
    assert get() == 4
    slot, = own[0].all
    assert (slot.active.sum, slot.standby.sum) == (4, 0)
    assert slot is own[0].mine()


def test_sides_are_exchanged(slots, own):
    add, get, _ = (slots.Write(own[0], number) for number in range(3))
    add(1)
    slot = own[0].mine()
    first = slot.active
    assert slot.swap() is True
    assert slot.standby is first
    add(10)
    assert (slot.active.sum, first.sum, get()) == (10, 1, 10)
    slot.swap()
    add(100)
    assert (slot.active.sum, slot.standby.sum) == (101, 10)


def test_calls_are_looked_for_once_a_side_and_again_when_forgotten(slots):
    asked = []

    def resolve(slot, number):
        asked.append(slot.active)
        return slot.active.add

    own = slots.Slots(lambda: slots.Slot(Side(), Side()), resolve, print)
    write = slots.Write(own, 5)
    write()
    write()
    slot = own.mine()
    slot.swap()
    write()
    slot.swap()
    write()
    assert asked == [slot.active, slot.standby]
    slot.forget()
    write()
    slot.swap()
    write()
    assert asked[2:] == [slot.standby, slot.active]


def test_a_call_may_be_forgotten_while_it_is_looked_for(slots):
    def resolve(slot, number):
        slot.forget()
        return slot.active.add

    own = slots.Slots(lambda: slots.Slot(Side(), Side()), resolve, print)
    write = slots.Write(own, 3)
    write()
    write(n=5)
    assert own.mine().active.sum == 6


def test_each_thread_has_its_own_slot_which_ends_with_it(slots, own):
    add = slots.Write(own[0], 0)
    add(1)
    in_thread(lambda: add(2))
    gc.collect()
    assert [(slot.active.sum, slot.ended) for slot in own[0].all] == [(1, False), (2, True)]
    own[0].remove(own[0].all[1])
    add(5)
    assert [slot.active.sum for slot in own[0].all] == [6]


def test_a_write_in_the_midst_of_another_is_put_off(slots, own):
    add = slots.Write(own[0], 0)
    slot = own[0].mine()
    seen = []

    def nested():
        slot.active.inside = lambda: None
        seen.append(add(10))
        seen.append(slot.active.sum)

    slot.active.inside = nested
    assert add(1) is True
    assert seen == [True, 0], "the inner one had to wait"
    assert slot.active.sum == 11


def test_an_error_of_a_write_leaves_the_slot_free(slots, own):
    fail = slots.Write(own[0], 2)
    with pytest.raises(ValueError, match="bad value"):
        fail("bad value")
    assert own[0].mine().busy is False
    with pytest.raises(TypeError):
        fail()
    with pytest.raises(IndexError):
        slots.Write(own[0], 3)()
    assert own[0].mine().swap() is True


def test_what_a_late_write_raises_is_told_to_the_owner_not_to_the_one_it_waited_for(slots, own):
    add, _, fail = (slots.Write(own[0], number) for number in range(3))
    slot = own[0].mine()

    def nested():
        slot.active.inside = lambda: None
        fail("late")
        add(2)

    slot.active.inside = nested
    assert add(1) is True
    assert slot.active.sum == 3
    assert [str(error) for error in own[1]] == ["late"]


def test_a_slot_that_cannot_be_made_is_an_error_of_the_write(slots):
    def make():
        raise MemoryError("no more")

    own = slots.Slots(make, print, print)
    with pytest.raises(MemoryError):
        slots.Write(own, 0)()
    assert own.all == []


def test_renewed_slots_are_none(slots, own):
    add = slots.Write(own[0], 0)
    add(1)
    before = own[0].renew()
    assert [slot.active.sum for slot in before] == [1]
    add(2)
    assert [slot.active.sum for slot in own[0].all] == [2]


def test_nothing_is_lost_or_counted_twice_while_sides_are_exchanged(slots, own):
    """A collector swaps as fast as it can, and takes what the standby side has."""
    add = slots.Write(own[0], 0)
    threads = [threading.Thread(target=lambda: [add() for _ in range(3000)]) for _ in range(4)]
    taken = 0
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for slot in list(own[0].all):
            if slot.swap():     # in most rounds; in the others after the write that is under way
                taken += slot.standby.sum
                slot.standby.sum = 0
        time.sleep(0)
    assert taken + sum(slot.active.sum + slot.standby.sum for slot in own[0].all) == 12_000


def test_a_dying_thread_may_write_from_a_finalizer(slots, own):
    """After its own memory is gone, it gets a slot once more; either is collected."""
    add = slots.Write(own[0], 0)

    class Late:
        def __del__(self):
            add(100)

    memory = threading.local()

    def work():
        memory.late = Late()
        add(1)

    in_thread(work)
    gc.collect()
    assert sum(slot.active.sum for slot in own[0].all) == 101


def test_calls_are_numbered_from_0_on(slots, own):
    with pytest.raises(ValueError, match="from 0"):
        slots.Write(own[0], -1)


def test_in_the_midst_of_a_write_the_sides_are_exchanged_when_it_is_done(slots, own):
    """So that a thread that writes all the time is met as well."""
    add = slots.Write(own[0], 0)
    slot = own[0].mine()
    first = slot.active
    seen = []

    def ask():
        first.inside = lambda: None
        in_thread(lambda: seen.append((slot.swap(), slot.waiting, slot.swap(), slot.active is first)))

    first.inside = ask
    add(7)
    assert seen == [(False, True, False, True)]
    assert slot.active is not first
    assert slot.waiting is True
    add(1)
    assert slot.swap() is True, "which was made by the thread, and is not made twice"
    assert (slot.waiting, slot.standby is first) == (False, True)
    assert (slot.active.sum, slot.standby.sum) == (1, 7)
    assert slot.swap() is True
    assert slot.active is first


def test_an_exchange_is_also_made_after_a_write_that_failed(slots, own):
    _, _, fail = (slots.Write(own[0], number) for number in range(3))
    slot = own[0].mine()
    first = slot.active

    class Late(Side):
        def fail(self, what):
            in_thread(slot.swap)
            raise ValueError(what)

    first.__class__ = Late
    with pytest.raises(ValueError, match="bad"):
        fail("bad")
    assert slot.standby is first
    assert slot.swap() is True
