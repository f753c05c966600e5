"""Frames of acknowledged batches: what is written is read, in whatever pieces it comes, and nothing else is."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadBatch
from istat.wire import batches
from istat.wire.batches import (
    HEADER,
    MAGIC,
    MOST_FRAME,
    MOST_LINES,
    MOST_META,
    MOST_META_LINES,
    MOST_TEXT,
    Ack,
    BatchFraming,
    Hello,
    Later,
    Lines,
    Message,
    Meta,
    Ping,
    Pong,
    Refusal,
    Welcome,
    decode,
    encode,
    frame_size,
)
from istat.wire.lines import Meta as OfLines
from istat.wire.lines import parse_line

SENDER = bytes(range(16))
NUMBER = st.integers(0, (1 << 63) - 1)
SEQUENCE = st.integers(1, (1 << 63) - 1)
WORDS = st.text(max_size=200)
TEXT = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"") + b"\n"), min_size=1,
                max_size=30).map(b"".join)
TOLD = st.lists(st.binary(max_size=40).map(lambda line: b"#" + line.replace(b"\n", b"") + b"\n"), min_size=1,
                max_size=MOST_META_LINES).map(b"".join)
MESSAGE: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, st.binary(min_size=16, max_size=16), NUMBER, WORDS, WORDS),
    st.builds(Welcome, NUMBER), st.builds(Refusal, WORDS, WORDS),
    st.builds(lambda sequence, clock, interval, text: Lines(sequence, clock, interval, text.count(b"\n"), text),
              SEQUENCE, NUMBER, st.integers(0, (1 << 31) - 1), TEXT),
    st.builds(Ack, SEQUENCE, st.integers(0, (1 << 32) - 1)), st.builds(Later, SEQUENCE, WORDS),
    st.builds(Meta, WORDS, TOLD), st.just(Ping()), st.just(Pong()))


def read(data: bytes, sizes: list[int]) -> list[Message]:
    """What a framing makes of bytes that come in pieces of these sizes, again and again."""
    framing, buffer = BatchFraming(), bytearray(MOST_FRAME + len(data))
    view, found, at, turn = memoryview(buffer), [], 0, 0
    while at < len(data):
        piece = data[at:at + sizes[turn % len(sizes)]]
        at, turn, held = at + len(piece), turn + 1, framing.held
        buffer[:held] = b"\xff" * held      # another stream has used it
        buffer[held:held + len(piece)] = piece
        runs, lost = framing.take(buffer, held + len(piece))
        assert not lost
        for start, end in runs:
            while start < end:
                size = frame_size(view, start)
                found.append(decode(view[start:start + size]))
                start += size
    assert framing.finish() == b""
    return found


@given(st.lists(MESSAGE, min_size=1, max_size=8), st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_what_is_written_is_read_in_whatever_pieces_it_comes(told: list[Message], sizes: list[int]) -> None:
    assert read(b"".join(map(encode, told)), sizes) == told


@given(MESSAGE, st.integers(0), st.integers(1, 255))
def test_no_changed_byte_is_taken_for_another_message(message: Message, place: int, change: int) -> None:
    frame = bytearray(encode(message))
    frame[place % len(frame)] ^= change
    framing, buffer = BatchFraming(), bytearray(frame)
    try:
        runs, _ = framing.take(buffer, len(buffer))
    except BadBatch:
        return
    assert not runs and framing.held == len(frame)       # it waits for the rest of a longer one


@given(st.integers(0, 255), st.binary(max_size=300))
def test_whatever_a_frame_holds_it_is_a_message_or_a_bad_batch(kind: int, body: bytes) -> None:
    crc = zlib.crc32(body, zlib.crc32(len(body).to_bytes(4, "little") + bytes([kind])))
    frame = HEADER.pack(len(body), kind, crc) + body
    try:
        message = decode(frame)
    except BadBatch:
        return
    assert encode(message) == frame


def test_the_first_line_is_metadata_to_an_original() -> None:
    assert parse_line(MAGIC) == OfLines(b"istat-batches", b"1")


def test_a_frame_has_the_bytes_that_its_page_tells() -> None:
    frame = encode(Lines(7, 1_700_000_000, 10, 1, b"a 1\n"))
    body = ((7).to_bytes(8, "little") + (1_700_000_000).to_bytes(8, "little") + (10).to_bytes(4, "little")
            + (1).to_bytes(4, "little") + b"a 1\n")
    head = len(body).to_bytes(4, "little") + b"\x04"
    assert frame == head + zlib.crc32(head + body).to_bytes(4, "little") + body
    assert MOST_FRAME == 69_641
    assert encode(Ping())[4] == 8 and encode(Meta("h", b"#a b\n"))[4] == 7 and encode(Later(1, ""))[4] == 6


def test_the_largest_batch_fits_and_a_larger_one_does_not() -> None:
    line = b"x" * 99 + b"\n"
    text = line * (MOST_TEXT // 100) + b"y" * (MOST_TEXT % 100 - 1) + b"\n"
    assert len(text) == MOST_TEXT
    whole = Lines(1, 0, 0, text.count(b"\n"), text)
    assert read(encode(whole), [10_000]) == [whole]
    many = b"a 1\n" * MOST_LINES
    assert decode(encode(Lines(1, 0, 0, MOST_LINES, many))) == Lines(1, 0, 0, MOST_LINES, many)
    for message in (Lines(1, 0, 0, text.count(b"\n"), b"z" + text), Lines(1, 0, 0, MOST_LINES + 1, many + b"a 1\n"),
                    Meta("", b"#k " + b"v" * MOST_META + b"\n")):
        with pytest.raises(ValueError, match="cannot be sent"):
            encode(message)


@pytest.mark.parametrize("message", [
    Hello(b"short", 1), Hello(SENDER, 1 << 63), Hello(SENDER, -1), Hello(SENDER, 1, "x" * 1001),
    Hello(SENDER, 1, "", "x" * 70_000), Welcome(-1), Welcome(1 << 63), Refusal("x" * 1001, ""),
    Lines(0, 1, 0, 1, b"\n"),
    Lines(1, 1 << 63, 0, 1, b"\n"), Lines(1, 1, 1 << 31, 1, b"\n"), Lines(1, 1, 0, 2, b"a 1\n"), Lines(1, 1, 0, 0, b""),
    Lines(1, 1, 0, 0, b"a 1"), Ack(0), Ack(1, -1), Ack(1, 1 << 32), Later(0, ""), Later(1, "ä" * 501), Meta("", b""),
    Meta("x" * 1001, b"#a b\n"), Meta("", b"\n"), Meta("", b"#a b\na 1\n"), Meta("", b"#a b\n" * (MOST_META_LINES + 1)),
], ids=repr)
def test_what_cannot_be_a_message_is_not_written(message: Message) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        encode(message)


def test_a_length_that_cannot_be_ends_the_stream_before_its_bytes_have_come() -> None:
    head = bytearray(HEADER.pack(MOST_FRAME, 4, 0))
    with pytest.raises(BadBatch, match="69641 are the most"):
        BatchFraming().take(head, len(head))


def test_what_is_held_is_bounded_by_one_frame() -> None:
    framing, buffer = BatchFraming(), bytearray(4 * MOST_FRAME)
    frame = encode(Lines(1, 0, 0, 1, b"x" * (MOST_TEXT - 1) + b"\n"))
    data = frame * 3 + frame[:-1]
    buffer[:len(data)] = data
    assert framing.take(buffer, len(data)) == ([(0, 3 * len(frame))], ())
    assert framing.held == len(frame) - 1 < MOST_FRAME
    assert framing.finish() == frame[:-1] and framing.held == 0


def test_a_kind_that_is_not_known_is_told_as_a_newer_ones() -> None:
    frame = HEADER.pack(0, 77, zlib.crc32(b"\0\0\0\0\x4d"))
    with pytest.raises(BadBatch, match="kind 77, which a newer istatd may know"):
        decode(frame)


def test_bounds_are_those_of_the_journals_marks() -> None:
    from istat.kernels.python.ingest import records

    assert (batches.MOST_NUMBER, batches.MOST_INTERVAL) == (records.MOST_MARK, records.MOST_INTERVAL)
    assert batches.SENDER_BYTES <= records.MOST_SENDER
