"""A sink that fails loses nothing: frames wait in order, unchanged, and few of them."""
from __future__ import annotations

import logging
import threading

import pytest

from istat.cube.easy.delivery import Delivery


class Sink:
    """Takes frames, unless it is broken."""

    def __init__(self):
        self.taken, self.broken = [], False

    def __call__(self, frame):
        if self.broken:
            raise ConnectionError("no route")
        self.taken.append(frame)


@pytest.fixture
def sink():
    return Sink()


def test_frames_go_in_order(sink):
    delivery = Delivery(sink)
    for frame in "abc":
        delivery.put(frame)
    assert delivery.run() is True
    assert (sink.taken, delivery.delivered, delivery.waiting) == (["a", "b", "c"], 3, 0)


def test_a_frame_that_the_sink_did_not_take_is_tried_again_before_the_next(sink, caplog):
    delivery = Delivery(sink)
    sink.broken = True
    with caplog.at_level(logging.INFO):
        for frame in "abc":
            delivery.put(frame)
            assert delivery.run() is False
        assert [record.levelname for record in caplog.records] == ["WARNING"], "told once"
        assert "no route" in caplog.text
        assert (delivery.failures, delivery.waiting, delivery.full, str(delivery.error)) == (3, 3, False, "no route")
        sink.broken = False
        assert delivery.run() is True
    assert "works again after 3 failures" in caplog.text
    assert (sink.taken, delivery.error) == (["a", "b", "c"], None)


def test_the_backlog_is_bounded_and_its_owner_told(sink):
    delivery = Delivery(sink, backlog=2)
    sink.broken = True
    delivery.put("a")
    assert not delivery.full
    delivery.put("b")
    assert delivery.full
    sink.broken = False
    delivery.run()
    assert not delivery.full
    with pytest.raises(ValueError, match="room"):
        Delivery(sink, backlog=0)


def test_of_frames_that_stand_for_all_before_them_only_the_newest_waits(sink):
    delivery = Delivery(sink, newest_only=True)
    sink.broken = True
    for frame in "abc":
        delivery.put(frame)
        delivery.run()
        assert (delivery.waiting, delivery.full) == (1, False)
    sink.broken = False
    delivery.run()
    assert sink.taken == ["c"]


def test_a_sink_that_hangs_keeps_nobody_longer_than_his_patience(caplog):
    begun, go_on = threading.Event(), threading.Event()

    def sink(frame):
        begun.set()
        go_on.wait(10)

    delivery = Delivery(sink)
    delivery.put("a")
    thread = threading.Thread(target=delivery.run)
    thread.start()
    begun.wait(10)
    assert delivery.run(patience=0.01) is False
    assert "has been at work" in caplog.text
    go_on.set()
    thread.join()
    assert (delivery.delivered, delivery.run()) == (1, True)


def test_a_sink_that_asks_for_more_does_not_wait_for_itself():
    taken = []

    def sink(frame):
        taken.append((frame, delivery.run()))

    delivery = Delivery(sink)
    delivery.put("a")
    delivery.put("b")
    assert delivery.run() is True
    assert taken == [("a", False), ("b", False)]


def test_without_a_sink_frames_are_done_with():
    delivery = Delivery(None)
    delivery.put("a")
    assert delivery.run() is True
