"""The spool as a whole: what comes in reaches each group once, over ends and kills, and goes when all have had it."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import SpoolError, SpoolLocked
from istat.spool.frames import MOST_TEXT, Mark
from istat.spool.losses import REASONS, WHY, Loss, Losses
from istat.spool.opening import RESERVED
from istat.spool.spool import Limits, Spool
from tests.spool.harness import GROUP, NOW, drain, kill, lost, open_spool, put

BIG = b"a 1\n" * (MOST_TEXT // 4)


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.spool"))


def test_what_comes_in_reaches_each_group_once(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, groups=("a", "b"))
    assert put(spool, 1, 2, 3) == [1, 2, 3] and spool.written == spool.last == 3
    assert drain(spool, spool.group("a")) == [1, 2, 3]
    assert put(spool, 4) == [4]
    assert drain(spool, spool.group("b")) == [1, 2, 3, 4]
    assert (spool.group("a").behind, spool.group("b").behind) == ((1, 1, 0.0), (0, 0, 0.0))
    spool.close()


def test_nothing_above_the_limit_is_sent(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1, 2, 3)
    cursor = spool.group(GROUP)
    assert [cursor.read(0), cursor.next] == [None, 1]
    frame = cursor.read(1)
    assert frame is not None and (frame.sequence, frame.clock, frame.count, frame.text) == (1, NOW, 1, b"a 1\n")
    assert cursor.read(3) == frame
    cursor.sending("a", 1)
    assert cursor.read(1) is None
    spool.close()


def test_a_clean_end_goes_on_where_it_was(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    id, epoch = spool.id, spool.epoch
    put(spool, *range(10))
    assert drain(spool, spool.group(GROUP), most=4) == [0, 1, 2, 3]
    spool.close()
    again = open_spool(tmp_path)
    assert (again.id, again.epoch, again.last) == (id, epoch, 10)
    assert put(again, 10) == [11]
    assert drain(again, again.group(GROUP)) == [4, 5, 6, 7, 8, 9, 10]
    again.close()


def test_a_kill_loses_nothing_and_no_sequence_is_given_twice(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, *range(10))
    drain(spool, spool.group(GROUP), most=4)
    kill(spool)
    again = open_spool(tmp_path)
    assert again.group(GROUP).doubts("a") == [(4, 4)]   # it was acknowledged: WELCOME will say so
    again.group(GROUP).done("a", 4)
    assert again.group(GROUP).behind[:2] == (6, 6)
    assert put(again, 10)[0] > 10 + RESERVED // 2
    assert drain(again, again.group(GROUP)) == [4, 5, 6, 7, 8, 9, 10]
    assert lost(again) == {}
    again.close()


def test_a_torn_tail_is_passed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, 0, 1, 2)
    kill(spool)
    (path,) = tmp_path.glob("*.spool")
    data = path.read_bytes()
    path.write_bytes(data + data[-70:-2])
    again = open_spool(tmp_path)
    put(again, 3)
    assert drain(again, again.group(GROUP)) == [0, 1, 2, 3]
    assert lost(again) == {}            # it was never told to be written
    again.close()


@pytest.mark.parametrize("clean", [True, False])
def test_what_is_missing_at_the_end_is_counted_and_named(tmp_path: Path, clean: bool) -> None:
    spool = open_spool(tmp_path)
    last = put(spool, *range(6), lines=2)[-1]
    drain(spool, spool.group(GROUP), most=1)
    spool.close() if clean else kill(spool)
    (path,) = tmp_path.glob("*.spool")
    frame = (path.stat().st_size - 80) // 6
    data = bytearray(path.read_bytes())
    for head in (4, 5):     # the last two: nothing tells that they were frames
        data[80 + head * frame] ^= 1
    path.write_bytes(data)
    for _ in range(2):      # a kill does not have it counted again
        again = open_spool(tmp_path)
        again.group(GROUP).done("a", 1)
        assert drain(again, again.group(GROUP)) in ([1, 2, 3], [])
        assert again.lost()["damaged"] == {"frames": 2, "lines": 4}
        again.tick()
        kill(again)
    again = open_spool(tmp_path)
    assert drain(again, again.group(GROUP)) == [] and again.losses() == []
    assert again.lost()["damaged"] == {"frames": 2, "lines": 4}
    again.close()
    assert last == 6


def test_what_is_missing_at_the_end_is_named(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, *range(6), lines=2)
    kill(spool)
    (path,) = tmp_path.glob("*.spool")
    os.truncate(path, path.stat().st_size - 2)
    again = open_spool(tmp_path)
    drain(again, again.group(GROUP))
    (loss,) = again.losses()
    assert (loss.group, loss.reason, loss.first, loss.last, loss.frames, loss.lines) == (GROUP, "damaged", 6, 6, 1, 2)
    again.close()


def test_a_segment_whose_header_is_damaged_is_not_too_old(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1)
    kill(spool)
    (path,) = tmp_path.glob("*.spool")
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    again = open_spool(tmp_path)
    put(again, 2)
    again.tick()
    assert drain(again, again.group(GROUP)) == [1, 2] and lost(again) == {}
    again.close()


def test_two_processes_do_not_share_one(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with pytest.raises(SpoolLocked, match="another process has the spool"):
        open_spool(tmp_path)
    spool.close()
    open_spool(tmp_path).close()


def test_a_folder_that_cannot_be_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SpoolError, match="the spool .*file/spool cannot be opened: .*name another place"):
        Spool.open(tmp_path / "file/spool", Limits(), FakeClock(NOW))


def test_segments_go_when_all_groups_have_had_them(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limits=Limits(bytes=4 << 20), groups=("a", "b"))
    for _ in range(20):
        spool.append(BIG, NOW, 16384)
    assert len(segments(tmp_path)) == 3
    drain(spool, spool.group("a"))
    spool.tick()
    assert len(segments(tmp_path)) == 3
    drain(spool, spool.group("b"))
    spool.tick()
    assert len(segments(tmp_path)) == 1
    spool.close()


def test_more_than_the_bound_is_counted_for_each_group(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limits=Limits(bytes=4 << 20), groups=("a", "b"))
    drained = 0
    for number in range(200):
        spool.append(b"a %d\n" % number + BIG[:60_000], NOW, 15001)
        if number % 2:
            spool.tick()
        if number < 40:
            drained += len(drain(spool, spool.group("b")))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) <= 4 << 20
    rest = [drain(spool, spool.group(name)) for name in ("a", "b")]
    assert rest[0] == rest[1] == list(range(200 - len(rest[0]), 200))
    assert len(rest[0]) > 50 and drained == 40
    assert lost(spool) == {"bytes": 15001 * (200 - len(rest[0]) + 160 - len(rest[1]))}
    loss = next(loss for loss in spool.losses() if loss.group == "a")
    assert (loss.reason, loss.first, loss.begin) == ("bytes", 1, NOW)
    spool.close()


def test_what_waits_too_long_goes_and_is_counted(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = open_spool(tmp_path, clock, Limits(age=8000))
    for number in range(20):
        put(spool, number)
        clock.advance(1000)
        spool.tick()
    got = drain(spool, spool.group(GROUP))
    assert got == list(range(20 - len(got), 20)) and 7 <= len(got) <= 10
    assert lost(spool) == {"age": 20 - len(got)}
    put(spool, 99)
    for _ in range(10):
        clock.advance(1000)
        spool.tick()
    assert spool.group(GROUP).behind == (0, 0, 0.0)     # also where nothing more comes in
    assert lost(spool) == {"age": 21 - len(got)}
    spool.close()


@pytest.mark.parametrize("jump", [30 * 86400, -30 * 86400])
def test_a_clock_in_doubt_removes_nothing(tmp_path: Path, jump: int) -> None:
    clock = FakeClock(NOW)
    spool = open_spool(tmp_path, clock, Limits(age=8000))
    put(spool, *range(5))
    clock.set(NOW + jump)
    spool.tick()
    assert "the clock went" in str(spool.status()["spool_clock"])
    assert "confirm" not in str(spool.status()["spool_clock"])
    spool.append(b"a 5\n", int(clock.now()), 1)
    spool.close()
    again = open_spool(tmp_path, clock, Limits(age=8000))
    again.tick()
    assert drain(again, again.group(GROUP)) == [0, 1, 2, 3, 4, 5]
    assert lost(again) == {}
    again.close()


def test_a_servers_spool_ends_where_its_store_does(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, known=lambda mark: True)
    for number in range(1, 9):
        put(spool, number, mark=(b"me", 1, number))
        put(spool, 100 + number)
    drain(spool, spool.group(GROUP), most=6)
    kill(spool)
    asked: list[Mark] = []

    def known(mark: Mark) -> bool:
        asked.append(mark)
        return mark[2] <= 5

    again = open_spool(tmp_path, known=known)
    assert set(asked) == {(b"me", 1, number) for number in range(1, 9)}
    put(again, 7)
    assert drain(again, again.group(GROUP)) == [4, 104, 5, 105, 7]
    # The batches 6 to 8 are sent again by their sender; the lines that came beside them by nobody.
    assert lost(again) == {"unknown": 3} and again.marks() == {}
    kill(again)
    again = open_spool(tmp_path, known=known)
    assert drain(again, again.group(GROUP)) == []
    assert again.lost()["unknown"] == {"frames": 3, "lines": 3}
    again.close()


def test_a_sender_that_the_store_forgot_cuts_nothing_that_the_journal_had(tmp_path: Path) -> None:
    def forgotten(mark: Mark) -> bool:
        return mark[0] != b"long ago"

    spool = open_spool(tmp_path, known=lambda mark: True)
    put(spool, 1, mark=(b"long ago", 1, 1))
    put(spool, 2, mark=(b"me", 1, 1))
    kill(spool)
    again = open_spool(tmp_path, known=forgotten)
    put(again, 3, mark=(b"long ago", 1, 2))
    again.release(again.last)
    put(again, 4, mark=(b"long ago", 1, 3))
    kill(again)
    again = open_spool(tmp_path, known=forgotten)
    assert drain(again, again.group(GROUP)) == [1, 2, 3]
    assert lost(again) == {}        # 4 was not acknowledged: its sender sends it again
    again.close()


def test_another_store_after_a_kill_costs_only_what_the_old_one_had_not_yet(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, known=lambda mark: True)
    put(spool, 1, 2, mark=(b"me", 1, 2))
    spool.release(2)
    put(spool, 3, mark=(b"me", 1, 3))
    put(spool, 4, 5, lines=2)
    kill(spool)
    again = open_spool(tmp_path, known=lambda mark: False)
    assert drain(again, again.group(GROUP)) == [1, 2]
    assert again.lost()["unknown"] == {"frames": 2, "lines": 4}
    assert [(loss.reason, loss.first, loss.last) for loss in again.losses()] == [("unknown", 3, 5)]
    again.close()


def test_what_is_cut_without_an_identity_counts_as_lost(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, known=lambda mark: True)
    put(spool, 1, mark=(b"me", 1, 1))
    put(spool, 2, lines=2)
    kill(spool)
    (tmp_path / "identity").unlink()
    again = open_spool(tmp_path, known=lambda mark: False)
    assert drain(again, again.group(GROUP)) == []
    assert again.lost()["unknown"] == {"frames": 2, "lines": 3}
    again.close()


def test_a_spool_that_was_closed_is_kept_whatever_the_store_knows(tmp_path: Path) -> None:
    """As when the store was moved away, or put back from a backup, and the spool was not."""
    for whole, left in ((False, []), (True, [1, 2])):
        spool = open_spool(tmp_path / str(whole), known=lambda mark: True)
        for number in (1, 2):
            put(spool, number, mark=(b"me", 1, number))
        spool.close(whole)
        again = open_spool(tmp_path / str(whole), known=lambda mark: False)
        assert drain(again, again.group(GROUP)) == left
        again.close()


def test_a_cut_goes_back_over_segments(tmp_path: Path) -> None:
    limits = Limits(bytes=4 << 20)
    spool = open_spool(tmp_path, limits=limits, known=lambda mark: True)
    for number in range(30):
        spool.append(b"a %d\n" % number + BIG[:60_000], NOW, 15001, mark=(b"me", 1, number))
    kill(spool)
    assert len(segments(tmp_path)) == 4
    again = open_spool(tmp_path, limits=limits, known=lambda mark: mark[2] < 11)
    assert len(segments(tmp_path)) == 2
    assert drain(again, again.group(GROUP)) == list(range(11))
    again.close()


def test_batches_are_known_again_after_any_end(tmp_path: Path) -> None:
    limits = Limits(bytes=4 << 20)
    spool = open_spool(tmp_path, limits=limits)
    spool.append(b"a 1\n", NOW, 1, mark=(b"first", 7, 3))
    for number in range(30):
        spool.append(BIG, NOW, 16384, mark=(b"me", 1, number + 1))
        drain(spool, spool.group(GROUP))
        spool.tick()
    assert len(segments(tmp_path)) == 1
    kill(spool)
    for _ in range(2):
        spool = open_spool(tmp_path, limits=limits)
        assert spool.marks() == {(b"first", 7): 3, (b"me", 1): 30}
        assert spool.knows((b"me", 1, 30)) and spool.knows((b"first", 7, 1))
        assert not spool.knows((b"me", 1, 31)) and not spool.knows((b"me", 2, 1))
        spool.close()


def test_a_new_group_begins_with_what_others_have_not_had(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, groups=("a",))
    put(spool, *range(5))
    drain(spool, spool.group("a"), most=2)
    spool.close()
    again = open_spool(tmp_path, groups=("a | b",))
    assert drain(again, again.group("a | b")) == [2, 3, 4]
    again.close()
    assert len(list(tmp_path.glob("*.cursor"))) == 1


def test_no_group_is_too_long_to_name(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with pytest.raises(SpoolError, match="a group of targets has a name"):
        spool.group("x" * 1025)
    spool.close()


def test_the_groups_of_a_new_spool_are_no_news_and_a_later_one_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "istat.spool")
    spool = open_spool(tmp_path)
    spool.group("a"), spool.group("b")
    assert caplog.text == ""
    put(spool, 1)
    spool.group("c")
    assert "c is new among those that are forwarded to" in caplog.text
    spool.close()


def test_what_is_lost_is_logged_with_why_and_the_bound_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    losses = Losses()
    losses.note(Loss("a:8111", "bytes", 1, 3, 30, 0, 0))
    losses.note(Loss("a:8111", "bytes", 4, 4, 10, 0, 0))
    assert ("lines are lost for a:8111: the spool is full (spool-bytes): the oldest go: 30 lines, 1 frames, "
            "sequences 1 to 3; what more is lost of the same is counted as forward.lost.bytes") in caplog.text
    assert set(WHY) == set(REASONS)
    spool = open_spool(tmp_path)
    assert spool.status()["spool_most_bytes"] == spool.limits.bytes
    spool.close()
