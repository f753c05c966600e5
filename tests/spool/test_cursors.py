"""What is in doubt at whom, what was refused, and what is given up."""
from __future__ import annotations

from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import SpoolError
from istat.spool.cursorfile import MOST_AGAIN, MOST_ENTRIES, ROOM, Entry, State, decode, encode
from tests.spool.harness import GROUP, NOW, drain, kill, lost, number_of, open_spool, put


def test_what_was_sent_is_in_doubt_until_it_is_acknowledged(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, *range(1, 7))
    cursor = spool.group(GROUP)
    for sequence in (1, 2, 3):
        assert cursor.read(9) is not None
        cursor.sending("a", sequence)
    assert cursor.doubts("a") == [(1, 3)] and cursor.members() == ["a"] and cursor.doubts("b") == []
    cursor.done("a", 2)
    assert cursor.doubts("a") == [(3, 3)]
    assert cursor.behind == (4, 4, 0.0)
    spool.close()


def test_doubt_outlives_a_kill_and_what_is_in_doubt_can_be_sent_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, *range(1, 7))
    cursor = spool.group(GROUP)
    for member, sequence in (("a", 1), ("a", 2), ("b", 3), ("a", 4)):
        cursor.sending(member, sequence)
    kill(spool)
    again = open_spool(tmp_path)
    cursor = again.group(GROUP)
    assert (cursor.doubts("a"), cursor.doubts("b"), cursor.next) == ([(1, 2), (4, 4)], [(3, 3)], 5)
    assert [number_of(frame.text) for frame in cursor.again(2, 3)] == [2, 3]
    cursor.done("a", 9)
    cursor.done("b", 9)
    assert drain(again, cursor) == [5, 6]
    again.close()


def test_what_was_refused_comes_first_and_in_order(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, *range(1, 6))
    cursor = spool.group(GROUP)
    for sequence in (1, 2, 3):
        cursor.sending("a", sequence)
    cursor.done("a", 1)
    for sequence in (3, 2):
        cursor.refused("a", sequence)
    assert cursor.doubts("a") == [] and cursor.behind[:2] == (4, 4)
    spool.tick()
    kill(spool)
    again = open_spool(tmp_path)
    assert drain(again, again.group(GROUP), "b") == [2, 3, 4, 5]
    again.close()


def test_what_is_given_up_goes_to_that_group_alone_under_new_sequences(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, groups=("a | b", "c"))
    put(spool, *range(1, 4), lines=2)
    cursor = spool.group("a | b")
    cursor.sending("a", 1)
    cursor.sending("a", 2)
    assert cursor.give_up("a") == (2, 4)
    assert (cursor.doubts("a"), cursor.behind[:2], spool.last) == ([], (3, 6), 5)
    kill(spool)
    again = open_spool(tmp_path, groups=("a | b", "c"))
    assert drain(again, again.group("a | b"), "b") == [3, 1, 2]
    assert drain(again, again.group("c"), "c") == [1, 2, 3]
    assert again.group("c").behind == again.group("a | b").behind == (0, 0, 0.0)
    assert lost(again) == {}
    again.close()


def test_how_far_it_is_behind(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    spool = open_spool(tmp_path, clock)
    cursor = spool.group(GROUP)
    assert cursor.behind == (0, 0, 0.0)
    put(spool, 1, 2, lines=3)
    clock.advance(50)
    assert cursor.behind == (2, 6, 50.0)
    cursor.sending("a", 1)
    assert cursor.behind == (2, 6, 50.0)
    spool.append(b"a 3\n", int(clock.now()), 1)
    cursor.sending("a", 2)
    cursor.done("a", 2)
    assert cursor.behind == (1, 1, 0.0)
    spool.close()


def test_only_what_is_next_can_be_sent(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1, 2)
    cursor = spool.group(GROUP)
    for member, sequence in (("a", 2), ("a", 0), ("", 1), ("x" * 256, 1)):
        with pytest.raises(ValueError):
            cursor.sending(member, sequence)
    assert drain(spool, cursor) == [1, 2]
    spool.close()


def test_doubt_is_bounded_and_told(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, *range(1, MOST_ENTRIES + 2))
    cursor = spool.group(GROUP)
    for sequence in range(1, MOST_ENTRIES + 1):
        cursor.sending("m" * (sequence % 15 + 1) * 16, sequence)
    with pytest.raises(SpoolError, match="in doubt at the targets of"):
        cursor.sending("a", MOST_ENTRIES + 1)
    kill(spool)
    again = open_spool(tmp_path)
    assert len(again.group(GROUP).members()) == 15
    again.close()


def test_many_members_with_long_names_have_room(tmp_path: Path) -> None:
    name = "g" * 1024
    spool = open_spool(tmp_path, groups=(name,))
    put(spool, *range(1, MOST_ENTRIES + 1))
    cursor = spool.group(name)
    for sequence in range(1, MOST_ENTRIES + 1):
        cursor.sending(f"{sequence % 15:0255d}", sequence)
    with pytest.raises(SpoolError):
        cursor.sending("a", MOST_ENTRIES + 1)
    kill(spool)
    assert [len(path.read_bytes()) for path in tmp_path.glob("*.cursor")] == [2 * ROOM]
    again = open_spool(tmp_path, groups=(name,))
    assert len(again.group(name).members()) == 15
    again.close()


def test_many_merged_frames_have_room(tmp_path: Path) -> None:
    """Each takes more of the file than another one."""
    name = "g" * 1024
    spool = open_spool(tmp_path, groups=(name,))
    cursor = spool.group(name)
    cursor._state.again = [Entry(1000 + number, 4096, NOW, -1, 9) for number in range(MOST_AGAIN)]
    put(spool, *range(1, MOST_ENTRIES + 1))
    taken = 0
    with pytest.raises(SpoolError):
        for sequence in range(1, MOST_ENTRIES + 1):
            cursor.sending(f"{sequence % 15:0255d}", sequence)
            taken += 1
            for entries in cursor._state.members.values():
                entries[:] = [entry._replace(frames=60) for entry in entries]
    assert taken >= MOST_ENTRIES // 2
    cursor._dirty = True
    spool.close()
    again = open_spool(tmp_path, groups=(name,))
    assert again.group(name)._state == cursor._state
    again.close()


def test_a_cursor_that_cannot_be_read_begins_with_the_oldest_frame(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1, 2, 3)
    drain(spool, spool.group(GROUP), most=2)
    spool.close()
    (path,) = tmp_path.glob("*.cursor")
    path.write_bytes(bytes(len(path.read_bytes())))
    again = open_spool(tmp_path)
    assert drain(again, again.group(GROUP)) == [1, 2, 3]
    again.close()


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_a_cursor_that_is_cut_is_none(length: int) -> None:
    data = encode("a", State(members={"a": []}))
    whole = encode("name", State(7, 6, 5, 4, 3, {}))
    assert decode(whole) == ("name", State(7, 6, 5, 4, 3, {})) and decode(data)[1].members == {}
    with pytest.raises(ValueError):
        decode(whole[:length])


def test_a_kill_while_something_is_given_up_leaves_it_in_one_place(tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path)
    put(spool, 1, 2, 3)
    cursor = spool.group(GROUP)
    cursor.sending("a", 1)
    cursor.sending("a", 2)
    monkeypatch.setattr(cursor, "_write", lambda: None)     # killed before the cursor is written
    assert cursor.give_up("a") == (2, 2)
    kill(spool)
    again = open_spool(tmp_path)
    cursor = again.group(GROUP)
    assert cursor.doubts("a") == [(1, 2)]
    assert cursor.give_up("a") == (2, 2)
    assert drain(again, cursor, "b") == [3, 1, 2] and lost(again) == {}
    assert cursor.behind == (0, 0, 0.0)
    again.close()


def test_what_is_given_up_and_damaged_is_lost_for_its_group_alone(tmp_path: Path) -> None:
    groups = ("a | b", "c")
    spool = open_spool(tmp_path, groups=groups)
    put(spool, 1, lines=3)
    cursor = spool.group("a | b")
    cursor.sending("a", 1)
    assert cursor.give_up("a") == (1, 3)
    kill(spool)
    (path,) = tmp_path.glob("*.spool")
    data = bytearray(path.read_bytes())
    data[-80] ^= 1
    path.write_bytes(data)
    again = open_spool(tmp_path, groups=groups)
    assert drain(again, again.group("a | b")) == [] and drain(again, again.group("c")) == [1]
    assert again.group("a | b").lost.lines == 3 and again.group("c").lost.lines == 0
    again.close()
