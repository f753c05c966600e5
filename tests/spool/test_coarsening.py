"""A spool that is its program's journal becomes coarser where others lose: each counter keeps count, minimum, maximum
and sum of each hour, over kills, and what groups have begun with stays."""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from istat.spool.coarsening.rewriting import Rewriting
from istat.spool.frames import Mark
from istat.spool.segments import Found, Segment, read_header
from istat.spool.spool import Limits
from tests.spool.coarse import BUDGET, LIMITS, Source, finish, ledger_of, stood_for, take
from tests.spool.harness import GROUP, kill, lost, open_spool


def steps_of(source: Source) -> list[int]:
    """Of each segment the seconds of its buckets, oldest first."""
    return [segment.coarse for segment in source.spool._shelf.segments]


def test_an_outage_costs_detail_and_no_sample(tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.come(2000)       # 9 MB of lines for 2 MB
    assert steps_of(source) == sorted(steps_of(source), reverse=True)
    assert set(steps_of(source)) == {3600, 300, 60, 0}
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) <= BUDGET
    frames = take(source.spool, source.spool.group(GROUP))
    assert ledger_of(frames).hours == source.ledger.hours
    assert stood_for(frames) == (source.frames, source.lines)
    assert {frame.interval for frame in frames} == {0, 60, 300, 3600}
    assert source.spool.group(GROUP).behind == (0, 0, 0.0) and lost(source.spool) == {}
    assert source.spool.coarsened == source.lines - sum(frame.count for frame in frames)
    source.spool.close()


def test_the_newest_are_as_they_came(tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.come(1100)
    frames = take(source.spool, source.spool.group(GROUP))
    assert all(frame.stands is None and frame.interval == 0 for frame in frames[-80:])
    source.spool.close()


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    source = Source(tmp_path)
    for _ in range(6):
        source.come(250)
        before = steps_of(source)
        source.spool.close() if source.rng.random() < 0.5 else kill(source.spool)
        source.spool = source.open()
        assert steps_of(source) == before
    frames = take(source.spool, source.spool.group(GROUP))
    assert ledger_of(frames).hours == source.ledger.hours
    assert stood_for(frames) == (source.frames, source.lines)
    source.spool.close()


class Snapshots:
    """Copies of a folder as a kill would leave it, before each change of its files."""

    def __init__(self, folder: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Path] = []
        self._folder, self._into = folder, into
        for name in ("rename", "unlink", "pwrite"):
            monkeypatch.setattr(os, name, self._before(getattr(os, name), often=name != "pwrite"))
        self._writes = 0

    def _before(self, do: Callable[..., Any], often: bool) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            self._writes += 1
            if often or self._writes % 40 == 0:
                self.take()
            return do(*arguments, **options)
        return changed

    def take(self) -> None:
        """As it is now."""
        place = self._into / str(len(self.made))
        shutil.copytree(self._folder, place)
        self.made.append(place)


def test_a_kill_at_any_moment_neither_loses_nor_doubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(tmp_path / "spool", counters=60, limits=Limits(bytes=BUDGET, age=3600, coarsen=True))
    source.come(900, whole=False)
    source.spool.tick()
    source.clock.advance(1)
    with monkeypatch.context() as patched:
        snapshots = Snapshots(source.folder, tmp_path / "killed", patched)
        for _ in range(4):
            source.spool.tick()
            finish(source.spool)
        snapshots.take()
    kill(source.spool)
    swallowing = 0
    for place in snapshots.made:
        swallowing += len(list(place.glob("*.spool"))) != len(list(source.folder.glob("*.spool")))
        spool = open_spool(place, source.clock, source.limits)
        frames = take(spool, spool.group(GROUP))
        assert ledger_of(frames).hours == source.ledger.hours
        assert stood_for(frames) == (source.frames, source.lines) and lost(spool) == {}
        spool.tick()        # only the segment that is written to is left
        assert len(list(place.glob("*.spool"))) <= 1 and not list(place.glob("*.new"))
        spool.close()
    assert swallowing > 3 and any(list(place.glob("*.spool")) for place in snapshots.made)


def test_what_a_group_has_begun_with_stays(tmp_path: Path) -> None:
    source = Source(tmp_path, groups=("a | b", "c"))
    source.come(60)
    cursor, done = source.spool.group("a | b"), source.spool.group("c")
    got = []
    for member in ("a", "b") * 8:       # in doubt here and there, and all between them done
        frame = cursor.read(source.spool.last)
        assert frame is not None
        cursor.sending(member, frame.sequence)
        got.append(frame)
    cursor.done("b", got[9].sequence)
    doubts = [frame for frame in got if any(first <= frame.sequence <= last for member in ("a", "b")
                                            for first, last in cursor.doubts(member))]
    assert len(doubts) == 11
    source.come(100)
    early = take(source.spool, done)        # it goes on in the middle of what is merged for the other
    source.come(1200)
    again = [frame for member in ("a", "b") for first, last in cursor.doubts(member)
             for frame in cursor.again(first, last)]
    assert sorted(again, key=lambda frame: frame.sequence) == doubts
    rest = take(source.spool, cursor, "b", last=got[-1].sequence)
    assert ledger_of(got + rest).hours == source.ledger.hours
    assert stood_for(got + rest) == (source.frames, source.lines)
    late = take(source.spool, done, last=early[-1].sequence)
    assert ledger_of(early + late).hours == source.ledger.hours
    assert lost(source.spool) == {}
    source.spool.close()


def test_what_is_in_doubt_is_found_where_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a search for each."""
    source = Source(tmp_path, limits=Limits(bytes=16 << 20, age=3600, coarsen=True), groups=("a | b",))
    source.come(100)
    cursor = source.spool.group("a | b")
    for number in range(60):
        frame = cursor.read(source.spool.last)
        assert frame is not None
        cursor.sending("b" if number % 3 else "a", frame.sequence)
        cursor.done("b", frame.sequence)
    doubts = cursor.doubts("a")
    source.come(800)
    assert steps_of(source)[0] == 3600 and cursor.doubts("a") == doubts
    monkeypatch.setattr(Segment, "scan", lambda self, sequence: pytest.fail(f"{sequence} is looked for"))
    again = [frame.sequence for first, last in doubts for frame in cursor.again(first, last)]
    assert len(again) > 10 and doubts == [(sequence, sequence) for sequence in again]
    source.spool.close()


def test_a_group_that_goes_on_meanwhile_gets_all(tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.come(1000)
    cursor = source.spool.group(GROUP)
    got = []
    while (frame := cursor.read(source.spool.last)) is not None:
        cursor.sending("a", frame.sequence)
        got.append(frame)
        cursor.done("a", frame.sequence)
        if source.frames < 2000:
            source.come(2, whole=len(got) % 5 == 0)
            source.spool.coarsen()
    assert ledger_of(got).hours == source.ledger.hours
    assert stood_for(got) == (source.frames, source.lines) and lost(source.spool) == {}
    source.spool.close()


def test_merged_frames_in_doubt_are_given_up_and_counted_whole(tmp_path: Path) -> None:
    source = Source(tmp_path, groups=("a | b",))
    source.come(1200)
    cursor = source.spool.group("a | b")
    frame = cursor.read(source.spool.last)
    assert frame is not None and frame.stands is not None
    cursor.sending("a", frame.sequence)
    assert cursor.behind[:2] == (source.frames, source.lines)
    kill(source.spool)
    source.spool = source.open()
    cursor = source.spool.group("a | b")
    assert cursor.give_up("a") == frame.stands
    assert cursor.behind[:2] == (source.frames, source.lines)
    frames = take(source.spool, cursor, "b", last=frame.sequence)
    assert ledger_of(frames).hours == source.ledger.hours
    assert frames[-1].text == frame.text
    source.spool.close()


def test_damage_in_what_was_merged_is_counted_as_what_it_was_made_of(tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.come(1100)
    source.spool.close()
    oldest = min(tmp_path.glob("*.spool"))
    data = bytearray(oldest.read_bytes())
    for at in (3000, len(data) // 2):
        data[at] ^= 255
    oldest.write_bytes(data)
    source.spool = source.open()
    cursor = source.spool.group(GROUP)
    frames, lines = stood_for(take(source.spool, cursor))
    assert cursor.lost.frames > 1
    assert (frames + cursor.lost.frames, lines + cursor.lost.lines) == (source.frames, source.lines)
    source.spool.close()


def test_damage_before_it_is_merged_is_counted_too(tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.come(120)
    for path in tmp_path.glob("*.spool"):
        data = bytearray(path.read_bytes())
        for at in range(9_000, len(data) - 9_000, 70_000):
            data[at] ^= 255
        path.write_bytes(data)
    kill(source.spool)      # what is in memory is not looked for on the disk
    source.spool = source.open()
    source.come(1100)
    cursor = source.spool.group(GROUP)
    frames, lines = stood_for(take(source.spool, cursor))
    assert cursor.lost.frames > 2
    assert (frames + cursor.lost.frames, lines + cursor.lost.lines) == (source.frames, source.lines)
    assert set(lost(source.spool)) == {"damaged"}
    source.spool.close()


def test_marks_of_senders_outlive_it(tmp_path: Path) -> None:
    source = Source(tmp_path)
    marks: list[Mark] = [(b"web%d" % number, 7, number + 1) for number in range(20)]
    for mark in marks:
        source.come(4)
        source.spool.append(b"a 1\n", int(source.clock.now()), 1, mark=mark)
    source.come(1100)
    assert steps_of(source)[0] >= 300
    headers = [read_header(path)[0] for path in sorted(tmp_path.glob("*.spool"))]
    expected = {(sender, epoch): last for sender, epoch, last in marks}
    assert [dict(header.marks) for header in headers if header is not None and header.coarse] == [
        expected for header in headers if header is not None and header.coarse]
    kill(source.spool)
    source.spool = source.open()
    assert source.spool.marks() == expected
    source.spool.close()


def test_distinct_names_go_when_nothing_more_can_be_merged(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limits=LIMITS)
    came = 0
    for number in range(300):
        text = b"".join(b"name%d.of.a.request %d %d\n" % (number * 1000 + place, 1325395000 + number, place)
                        for place in range(1000))
        assert spool.append(text, 1325395000 + number, 1000)
        came += 1000
        spool.tick()
        finish(spool)
    cursor = spool.group(GROUP)
    frames = take(spool, cursor)
    assert lost(spool)["bytes"] > 0 and set(lost(spool)) == {"bytes"}
    assert stood_for(frames)[1] + cursor.lost.lines == came
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) <= BUDGET + (128 << 10)
    spool.close()


def test_what_is_too_old_is_merged_into_hours(tmp_path: Path) -> None:
    source = Source(tmp_path, counters=100, limits=Limits(bytes=64 << 20, age=7200, coarsen=True))
    source.come(1200)
    assert steps_of(source)[0] == 3600 and steps_of(source)[-1] == 0
    frames = take(source.spool, source.spool.group(GROUP))
    assert ledger_of(frames).hours == source.ledger.hours
    assert max(frame.clock for frame in frames if frame.interval) > source.clock.now() - 3 * 7200
    source.spool.close()


def test_a_spool_of_a_server_becomes_no_coarser(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limits=Limits(bytes=BUDGET), known=lambda _mark: True)
    for number in range(100, 160):
        assert spool.append(b"a %d\n" % number * 10_000, 1325395000, 10_000)
        spool.tick()
    assert spool.group(GROUP).read(spool.last) is not None
    assert not spool.coarsens and spool.coarsened == 0 and lost(spool)["bytes"] > 0
    spool.close()


def test_a_full_disk_delays_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               caplog: pytest.LogCaptureFixture) -> None:
    source = Source(tmp_path)
    source.come(250)
    pwrite = os.pwrite

    def full(handle: int, data: bytes, at: int) -> int:
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".new"):
            raise OSError(28, "No space left on device")
        return pwrite(handle, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        source.come(250)
        assert source.spool.coarsened == 0 and not list(tmp_path.glob("*.new"))
    assert caplog.text.count("cannot be merged: No space left on device") == 1
    source.come(100)
    assert source.spool.coarsened > 0
    source.spool.close()


def test_a_fault_of_ours_never_makes_half_of_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(tmp_path)
    source.come(250)

    def wrong(*_arguments: Any) -> None:
        raise ValueError("a fault")

    with monkeypatch.context() as patched:
        patched.setattr(Rewriting, "_write_merged", wrong)
        with pytest.raises(ValueError, match="a fault"):
            source.come(250)
        for _ in range(100):
            source.spool.coarsen()
    assert source.spool.coarsened == 0 and not list(tmp_path.glob("*.new"))
    frames = take(source.spool, source.spool.group(GROUP))
    assert ledger_of(frames).hours == source.ledger.hours and stood_for(frames) == (source.frames, source.lines)
    source.spool.close()


def test_less_room_than_before_costs_detail_only(tmp_path: Path) -> None:
    source = Source(tmp_path, limits=Limits(bytes=4 * BUDGET, age=30 * 86_400, coarsen=True))
    source.come(700)
    source.spool.close()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) > 3 << 20
    source.limits = LIMITS
    source.spool = source.open()
    for _ in range(20):
        source.clock.advance(1)
        source.spool.tick()
        finish(source.spool)
    assert source.spool._shelf.size <= BUDGET
    frames = take(source.spool, source.spool.group(GROUP))
    assert ledger_of(frames).hours == source.ledger.hours and lost(source.spool) == {}
    source.spool.close()


def test_less_room_costs_nothing_while_more_comes(tmp_path: Path) -> None:
    """Before the first look, between two runs, and while a group goes on among what is merged."""
    source = Source(tmp_path, limits=Limits(bytes=4 * BUDGET, age=30 * 86_400, coarsen=True))
    source.come(1100)
    kill(source.spool)
    source.limits = LIMITS
    source.spool = source.open()
    source.spool.append(b"first 1\n", int(source.clock.now()), 1)
    cursor, got = source.spool.group(GROUP), []
    for number in range(4000):
        if number % 50 == 0:
            frame = cursor.read(source.spool.last)
            assert frame is not None
            cursor.sending("a", frame.sequence)
            got.append(frame)
            cursor.done("a", frame.sequence)
            source.come(1, whole=False)
        source.clock.advance(1)
        source.spool.tick()
        source.spool.coarsen()
        if number % 40 == 30:
            finish(source.spool)
        if source.spool._shelf.size <= BUDGET:
            break
    finish(source.spool)
    assert source.spool._shelf.size <= BUDGET and lost(source.spool) == {}
    got += take(source.spool, cursor, last=got[-1].sequence)
    assert stood_for(got) == (source.frames + 1, source.lines + 1) and lost(source.spool) == {}
    source.spool.close()


def test_only_what_does_not_fit_as_hours_goes(tmp_path: Path) -> None:
    """Three weeks, a sample each ten minutes."""
    source = Source(tmp_path, counters=60)
    source.come(2900, seconds=600)
    assert sum(one.size for one in source.spool._shelf.segments if one.coarse == 3600) > 3 * BUDGET // 4
    frames = take(source.spool, source.spool.group(GROUP))
    assert ledger_of(frames).hours == source.ledger.hours and lost(source.spool) == {}
    source.spool.close()


def test_what_was_begun_for_nothing_leaves_no_file(tmp_path: Path) -> None:
    source = Source(tmp_path, counters=60)
    source.come(900, whole=False)
    coarsening = source.spool._coarsening
    assert coarsening is not None
    while coarsening._coarsener is None or coarsening._coarsener._ticket is None:
        source.clock.advance(1)
        source.spool.tick()
        source.spool.coarsen()
    assert list(tmp_path.glob("*.new"))
    cursor = source.spool.group(GROUP)
    frame = cursor.read(source.spool.last)
    assert frame is not None
    cursor.sending("a", frame.sequence)     # what is merged is in doubt by now
    finish(source.spool)
    assert source.spool.coarsened == 0 and not list(tmp_path.glob("*.new"))
    source.spool.close()


@pytest.mark.parametrize("interval", [0, 7200])
def test_frames_of_a_line_are_merged_in_small_steps_too(tmp_path: Path, interval: int) -> None:
    """As those of batches that have one each; and those that cannot be merged."""
    spool = open_spool(tmp_path, limits=LIMITS)
    frames = 0
    while len(spool._shelf.segments) < 9:
        frames += 1
        spool.append(b"a %d\n" % frames, 1325395000 + frames // 10, 1, interval)
    spool.tick()
    coarsening = spool._coarsening
    assert coarsening is not None and coarsening._coarsener is not None and coarsening.busy
    run = coarsening._coarsener._rewriting.run      # type: ignore[union-attr]
    there = sum(1 for segment in run for _ in frames_of(segment))
    steps = 0
    while coarsening._coarsener._ticket is None and coarsening.busy:
        spool.coarsen()
        steps += 1
    assert there > 2000 and steps > there * 8 // 2048
    finish(spool)
    spool.close()


def frames_of(segment: Segment) -> Iterator[Found]:
    """All of them."""
    found = segment.find(segment.begin)
    while found is not None:
        yield found
        found = segment.find(found.next)


def test_small_segments_are_joined(tmp_path: Path) -> None:
    source = Source(tmp_path, counters=5, limits=Limits(bytes=BUDGET, age=60, coarsen=True))
    source.come(300, seconds=60)        # each is soon old, and alone in its segment
    assert len(list(tmp_path.glob("*.spool"))) < 50
    frames = take(source.spool, source.spool.group(GROUP))
    assert ledger_of(frames).hours == source.ledger.hours
    assert stood_for(frames) == (source.frames, source.lines)
    source.spool.close()
