"""The messages to the byte, and what no message is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat_server.foreign.ring import Bucket
from istat_server.tools.ring.transplant import messages
from istat_server.tools.ring.transplant.messages import Message, TransplantError, decode, encode, slots, string, varint

paths = st.binary(max_size=300).map(lambda text: text.replace(b"\0", b"x"))
numbers = st.integers(0, (1 << 63) - 1)


def test_the_examples() -> None:
    """Part 15.14 of istatd's behaviour, and docs/formats/transplant.md."""
    assert string(b"a") == b"\x01\x61"
    assert [varint(n) for n in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\x01", b"\xac\x02"]
    assert encode(Message(b"a", 0, 300)) == bytes.fromhex("00000006 0161 00 ac02 00")
    assert string("ä".encode()) == b"\x02\xc3\x01\xa4\x01"


def test_buckets_are_those_of_a_ring_file() -> None:
    bucket = Bucket(1325395000, 1.0, 1.0, 1.0, 1, 1.0)
    made = encode(Message(b"a", 0, 300, slots([bucket])))
    assert made.endswith(bytes.fromhex("38ecff4e00000000 000000000000f03f 0000803f 0000803f 01000000 0000803f"))
    assert list(decode(made[4:]).buckets()) == [bucket]


@given(paths, numbers, numbers, st.integers(0, 5))
def test_what_is_encoded_is_decoded(path: bytes, start: int, end: int, count: int) -> None:
    message = Message(path, start, end, bytes(32 * count))
    made = encode(message)
    assert int.from_bytes(made[:4], "big") == len(made) - 4
    assert decode(made[4:]) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    try:
        assert len(decode(body).path) <= messages.MOST_PATH
    except TransplantError:
        pass        # as it says


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x02\x61", b"\x80" * 12, b"\xff" * 12 + b"\1",
                                  varint(4097) + b"a" * 4097 + bytes(3), b"\x01\x00\0\0\0", b"\x01\x80\x02\0\0\0",
                                  b"\x01a\0\0\x01", b"\x01a\0\0\x00x", b"\x01a\0\0\x01" + bytes(31)])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(TransplantError):
        decode(body)


def test_what_does_not_fit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for message in (Message(b"a\0b", 0, 0), Message(b"a" * 4097, 0, 0), Message(b"a", -1, 0),
                    Message(b"a", 0, 1 << 63)):
        with pytest.raises(ValueError):
            encode(message)
    monkeypatch.setattr(messages, "MOST_MESSAGE", 100)
    with pytest.raises(ValueError):
        encode(Message(b"a", 0, 1, bytes(128)))
