"""Frames of a journal that comes in pieces: each whole, once, with the place behind it; what cannot be is no frame."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat_server.replica.frames import Frames
from istat_server.replica.refusals import CopyNeeded
from istat_server.store.files.journal import FRAME_BYTES, HEADER_BYTES, KIND_JOURNAL, frame_header, header_bytes
from istat_server.store.positions import Position

STORE, SALT = "ab" * 16, 0x1234ABCD
BEGIN = Position(STORE, 5, 3, 0)


def segment(payloads: list[bytes], number: int = 3) -> bytes:
    head = header_bytes(KIND_JOURNAL, SALT, number, bytes.fromhex(STORE))
    return head + b"".join(frame_header(SALT, 100 + at, payload) + payload for at, payload in enumerate(payloads))


def at(offset: int, number: int = 3) -> Position:
    return Position(STORE, 5, number, offset, SALT)


def taken(frames: Frames, data: bytes, following: Position) -> list[tuple[int, bytes, Position]]:
    return [(clock, bytes(payload), position) for clock, payload, position in frames.take(data, following)]


@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(0, 400), max_size=10))
def test_however_it_is_cut_each_frame_comes_once(payloads, cuts):
    data = segment(payloads)
    frames, found, begin = Frames(BEGIN), [], 0
    for end in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        assert (frames.wanted.segment, frames.wanted.offset) == (3, begin)
        found += taken(frames, data[begin:end], at(end))
        begin = end
    offset, expected = HEADER_BYTES, []
    for number, payload in enumerate(payloads):
        offset += FRAME_BYTES + len(payload)
        expected.append((100 + number, payload, at(offset)))
    assert found == expected
    assert [position.salt for _clock, _payload, position in found] == [SALT] * len(payloads)


def test_it_begins_in_the_middle_and_goes_on_in_the_next_segment():
    data = segment([b"first", b"second"])
    begin = HEADER_BYTES + FRAME_BYTES + 5
    frames = Frames(at(begin))
    assert taken(frames, data[begin:] + b"torn", at(0, 4)) == [(101, b"second", at(len(data)))]
    assert frames.wanted == at(0, 4)
    other = segment([b"third"], 4)
    assert taken(frames, other, at(len(other), 4)) == [(100, b"third", at(len(other), 4))]


def test_a_segment_without_a_whole_header_has_no_frames():
    frames = Frames(BEGIN)
    assert taken(frames, b"ISTATJNL", at(0, 4)) == []
    other = segment([b"x"], 4)
    assert [payload for _clock, payload, _at in taken(frames, other, at(len(other), 4))] == [b"x"]


@pytest.mark.parametrize("place", [HEADER_BYTES, HEADER_BYTES + 7, HEADER_BYTES + 9, HEADER_BYTES + 17,
                                   HEADER_BYTES + FRAME_BYTES])
def test_damage_wants_a_copy_anew(place):
    """Salt, length, clock, CRC, payload."""
    data = bytearray(segment([b"first", b"second"]))
    data[place] ^= 0x40
    with pytest.raises(CopyNeeded, match=f"segment 3 behind byte {HEADER_BYTES}"):
        taken(Frames(BEGIN), bytes(data), at(len(data)))


@pytest.mark.parametrize("clock", [-1, -1 << 63, 1 << 40, (1 << 63) - 1])
def test_a_frame_of_an_impossible_time_is_none(clock):
    """Whatever a master says: the engine calculates with it."""
    head = header_bytes(KIND_JOURNAL, SALT, 3, bytes.fromhex(STORE))
    data = head + frame_header(SALT, clock, b"x") + b"x"
    with pytest.raises(CopyNeeded, match="damaged in segment 3"):
        taken(Frames(BEGIN), data, at(len(data)))
