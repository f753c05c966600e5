"""Frames and headers as bytes: what was written is read, what is damaged is told as such."""
from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import SpoolError
from istat.spool.frames import (
    HEAD_BYTES,
    MOST_TEXT,
    Frame,
    Header,
    encode,
    frame_in,
    head_in,
    header_bytes,
    header_in,
    header_length,
)

SALT = 0x12345678
NUMBERS = st.integers(0, (1 << 63) - 1)
MARKS = st.none() | st.tuples(st.binary(min_size=1, max_size=255), NUMBERS, NUMBERS)
FRAMES = st.builds(Frame, NUMBERS, st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, (1 << 31) - 1),
                   st.integers(0, (1 << 32) - 1), st.binary(max_size=300), MARKS, st.none())
MERGED = st.builds(Frame, NUMBERS, NUMBERS, st.integers(0, (1 << 31) - 1), st.integers(0, (1 << 32) - 1),
                   st.binary(max_size=300), st.none(), st.tuples(NUMBERS, NUMBERS))
HEADERS = st.builds(Header, st.integers(0, (1 << 32) - 1), st.binary(min_size=16, max_size=16), NUMBERS, NUMBERS,
                    NUMBERS, NUMBERS, st.integers(-(1 << 63), (1 << 63) - 1),
                    st.dictionaries(st.tuples(st.binary(min_size=1, max_size=255), NUMBERS), NUMBERS, max_size=5),
                    st.integers(0, (1 << 16) - 1), NUMBERS)


@given(FRAMES | MERGED, NUMBERS, NUMBERS, NUMBERS)
def test_a_frame_comes_back(frame: Frame, frames: int, lines: int, only: int) -> None:
    head, data = encode(SALT, frame, frames, lines, only)
    assert head_in(data[:HEAD_BYTES], SALT) == head
    assert (head.sequence, head.frames, head.lines, head.only, head.holds) == (
        frame.sequence, frames, lines, only, frame.count)
    assert frame_in(head, data[HEAD_BYTES:]) == frame
    assert head_in(data[:HEAD_BYTES], SALT + 1) is None


@given(FRAMES | MERGED, st.data())
def test_a_flipped_bit_is_noticed(frame: Frame, data: st.DataObject) -> None:
    _head, whole = encode(SALT, frame, 0, 0)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    head = head_in(bytes(damaged[:HEAD_BYTES]), SALT)
    assert head is None or frame_in(head, bytes(damaged[HEAD_BYTES:])) is None
    assert (head is None) == (bit < 8 * HEAD_BYTES)


@given(HEADERS, st.binary(max_size=9))
def test_a_header_comes_back(header: Header, behind: bytes) -> None:
    data = header_bytes(header)
    assert header_length(data + behind) == len(data)
    assert header_in(data) == header
    assert header_in(data[:-1]) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_answered(data: bytes) -> None:
    assert header_in(data) is None
    assert head_in(data, SALT) is None


@pytest.mark.parametrize("frame", [
    Frame(1, 0, 0, 1, b"x" * (MOST_TEXT + 1)), Frame(1 << 64, 0, 0, 1, b""), Frame(1, 1 << 63, 0, 1, b""),
    Frame(1, 0, 0, -1, b""), Frame(1, 0, 0, 1, b"", (b"", 1, 1)), Frame(1, 0, 0, 1, b"", (b"x" * 256, 1, 1)),
    Frame(1, 0, 0, 1, b"", (b"x", -1, 1)),
    Frame(1, 0, 0, 1, b"", None, (-1, 1))])
def test_what_does_not_fit_is_refused(frame: Frame) -> None:
    with pytest.raises(ValueError):
        encode(SALT, frame, 0, 0)


def test_a_newer_segment_is_told_as_such() -> None:
    data = bytearray(header_bytes(Header(SALT, bytes(16), 1, 1, 0, 0, 0, {}))[:-4])
    struct.pack_into("<H", data, 8, 3)
    with pytest.raises(SpoolError, match="version 3 and this istatd reads 2"):
        header_in(bytes(data) + struct.pack("<I", zlib.crc32(data)))
