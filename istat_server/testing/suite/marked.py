"""Lines of a batch with a mark: of when they are, what they cover, and that a batch is known and written."""

from __future__ import annotations

import pytest

from istat.buckets import Bucket
from istat_server.store.interface import METADATA, Capability, Mark, Marked
from istat_server.testing.suite.opened import NOW, Opened, T, close_to

SENDER = bytes(range(16))


class MarkedLines:
    """What the lines of a batch become."""

    def test_lines_without_a_time_are_of_the_batches_clock(self, opened: Opened) -> None:
        opened.wants(Capability.BATCH_MARKS)
        marked = _take(opened, f"g 5\n*e 10\nx^a^b 1\ng {T + 20} 7\n", Mark(SENDER, 1, 1), clock=T)
        assert (marked.refused, list(marked.left)) == (0, [])
        opened.feed(f"g {T} 9\n")
        for _ in range(2):
            close_to(opened.one("g", 0, T, T + 10), [(T, Bucket.of(5, 9))])
            close_to(opened.one("g", 0, T + 20, T + 30), [(T + 20, Bucket.of(7))])
            close_to(opened.one("e", 0, T, T + 10), [(T, Bucket.of(1))])
            close_to(opened.one("x.b", 0, T, T + 10), [(T, Bucket.of(1))])
            opened.rest()
        opened.feed("now 1\n")
        close_to(opened.one("now", 0, NOW - NOW % 10, NOW - NOW % 10 + 10), [(NOW - NOW % 10, Bucket.of(1))])

    def test_lines_of_seven_words_cover_the_batches_interval(self, opened: Opened) -> None:
        opened.wants(Capability.BATCH_MARKS)
        text = f"g {T + 20} 4 10 1 3 2\nfine {T + 20} 8\n*e {T + 20} 3600 0 0 0 1\n"
        _take(opened, text * 2, Mark(SENDER, 1, 1), interval=300)
        opened.feed(f"g {T + 20} 4 10 1 3 2\n")
        for _ in range(2):
            close_to(opened.one("fine", 0, T + 20, T + 30), [(T + 20, Bucket.of(8, 8))])
            close_to(opened.one("g", 0, T, T + 300), [(T + 20, Bucket.of(1, 3))])
            close_to(opened.one("g", 1, T, T + 300), [(T, Bucket.of(1, 1, 1, 3, 3, 3))])
            assert opened.one("e", 0, T, T + 300) == []
            assert opened.one("e", 1, T, T + 300)[0][2] == pytest.approx(7200 / 10)
            opened.rest()

    def test_what_is_refused_is_counted_and_told_and_makes_no_counters(self, opened: Opened) -> None:
        opened.wants(Capability.BATCH_MARKS)
        text = f"good 1\nold 5 1\nsoon {NOW + 61} 1\nbad\n#key value\n* 1\n"
        marked = _take(opened, text, Mark(SENDER, 1, 1))
        assert marked.refused == 4
        assert sorted(left.kind for left in marked.left) == ["bad_fields", "from_future", "from_past", METADATA,
                                                             "no_name"]
        marked = _take(opened, "late 1\nwide 5 4 10 1 3 2\n", Mark(SENDER, 1, 2), clock=5, interval=3601)
        assert sorted(left.kind for left in marked.left) == ["from_past", "too_coarse"]
        assert opened.matching("*") == {"good"}
        assert _take(opened, "bad\n" * 100, Mark(SENDER, 1, 3)).refused == 100

    def test_a_batch_is_known_by_its_mark_and_counts_once(self, opened: Opened) -> None:
        opened.wants(Capability.BATCH_MARKS)
        store = opened.store
        assert not store.knows(Mark(SENDER, 1, 5)) and store.last_sequence(SENDER, 1) == 0
        for sequence, known in ((5, 5), (5, 5), (4, 5), (9, 9)):
            _take(opened, f"g {T} 1\n", Mark(SENDER, 1, sequence))
            assert store.last_sequence(SENDER, 1) == known
            assert store.knows((SENDER, 1, known)) and not store.knows((SENDER, 1, known + 1))
            opened.rest()
        assert store.last_sequence(SENDER, 2) == store.last_sequence(b"other", 1) == 0
        close_to(opened.one("g", 0, T, T + 10), [(T, Bucket.of(1, 1))])

    def test_what_was_taken_is_written_soon(self, opened: Opened) -> None:
        opened.wants(Capability.BATCH_MARKS)
        tickets = [_take(opened, f"g {T} 1\n", Mark(SENDER, 1, sequence)).ticket for sequence in range(1, 4)]
        assert tickets == sorted(tickets)
        assert opened.store.ticket >= tickets[-1]
        opened.store.flush()
        assert opened.store.written >= tickets[-1]

    @pytest.mark.parametrize(("sender", "sequence"), [(b"", 1), (b"x" * 256, 1), (SENDER, -1)])
    def test_a_mark_that_cannot_be_is_refused_before_anything_is_taken(self, opened: Opened, sender: bytes,
                                                                       sequence: int) -> None:
        opened.wants(Capability.BATCH_MARKS)
        with pytest.raises(ValueError):
            _take(opened, "g 1\n", Mark(sender, 1, sequence))
        assert opened.store.count() == 0


def _take(opened: Opened, text: str, mark: Mark, clock: int = T, interval: int = 0) -> Marked:
    """Lines of a batch, all of them whole."""
    data = text.encode()
    opened.store.tick()
    return opened.store.accept_marked(memoryview(data), 0, len(data), clock, interval, mark)
