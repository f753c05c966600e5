"""The container of a frame: header, sections, compression, checksum."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib

import pytest
import xxhash

from istat.cube.frames.container import Section, read, write
from istat.cube.limits import MIB, Limits
from istat.errors import FormatError

KNOWN = frozenset({1, 2, 3})
PARTS = [Section(1, 0, b"first"), Section(2, 0, b""), Section(3, 7, bytes(range(256)))]


def sealed(frame: bytes | bytearray) -> bytes:
    """With the checksum that these bytes should have."""
    return bytes(frame[:-8]) + xxhash.xxh64_intdigest(bytes(frame[:-8])).to_bytes(8, "little")


def content(frame: bytes, limits: Limits | None = None) -> list[tuple[int, int, bytes]]:
    _, sections = read(frame, KNOWN, limits or Limits())
    return [(one.type, one.cube, bytes(one.payload)) for one in sections]


def header(**changed: int) -> bytes:
    """A header with no body, of these fields."""
    fields = {"major": 1, "minor": 0, "flags": 0, "total": 40, "raw": 0, "sections": 0, "hash": 1, "zero": 0} | changed
    return sealed(struct.pack("<4sBBHQQIHH", b"\x89ICB", *fields.values()) + bytes(8))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("delta", [False, True])
def test_what_was_written_is_read(compress: bool, delta: bool) -> None:
    frame = write(PARTS, delta, compress)
    head, sections = read(frame, KNOWN, Limits())
    assert (head.delta, head.compressed, head.sections) == (delta, compress, 3)
    assert [(one.type, one.cube, bytes(one.payload)) for one in sections] == [
        (part.type, part.cube, part.payload) for part in PARTS]


def test_the_bytes_are_those_of_the_page() -> None:
    frame = write([Section(2, 5, b"ab")], True, False)
    assert frame[:-8].hex(" ") == (
        "89 49 43 42 01 00 02 00 3a 00 00 00 00 00 00 00 12 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 "
        "02 00 00 00 05 00 00 00 02 00 00 00 00 00 00 00 61 62")
    assert frame == sealed(frame)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_of_bytes_is_read(kind: type) -> None:
    assert len(content(kind(write(PARTS, False, False)))) == 3


@pytest.mark.parametrize("thing", ["text", None, 5, [1]])
def test_what_is_no_bytes_is_a_type_error(thing: object) -> None:
    with pytest.raises(TypeError):
        read(thing, KNOWN, Limits())  # type: ignore[arg-type]


@pytest.mark.parametrize("fields, offset", [
    ({"major": 2}, 4), ({"major": 0}, 4), ({"flags": 4}, 6), ({"flags": 1 << 15}, 6), ({"total": 41}, 8),
    ({"total": 1 << 63}, 8), ({"raw": 1}, 16), ({"raw": 1 << 63}, 16), ({"hash": 2}, 28), ({"zero": 1}, 30),
    ({"sections": 1}, 32), ({"flags": 1}, 32),
    ({"sections": (1 << 18) + 1}, 24), ({"sections": (1 << 32) - 1}, 24), ({"sections": 1 << 18}, 32),
])
def test_a_header_that_no_writer_makes_is_refused(fields: dict[str, int], offset: int) -> None:
    with pytest.raises(FormatError) as caught:
        content(header(**fields))
    assert caught.value.offset == offset


def test_a_frame_without_sections_is_one() -> None:
    assert content(header()) == []
    assert content(header(minor=9)) == [], "a higher minor version is read"


@pytest.mark.parametrize("compress", [False, True])
def test_every_changed_byte_and_every_cut_is_refused(compress: bool) -> None:
    frame = write(PARTS, False, compress)
    for at in range(len(frame)):
        with pytest.raises(FormatError):
            content(frame[:at])
        with pytest.raises(FormatError):
            content(frame[:at] + bytes([frame[at] ^ 1 << at % 8]) + frame[at + 1 :])
    with pytest.raises(FormatError):
        content(frame + b"\0")


def section(type: int, flags: int = 0, zero: int = 0, cube: int = 0, payload: bytes = b"", length: int = -1) -> bytes:
    return struct.pack("<BBHIQ", type, flags, zero, cube, len(payload) if length < 0 else length) + payload


def framed(body: bytes, sections: int, packed: bytes | None = None, raw: int | None = None) -> bytes:
    """A frame with this body, or with something else for its compressed form."""
    inside = body if packed is None else packed
    raw = len(body) if raw is None else raw
    head = struct.pack("<4sBBHQQIHH", b"\x89ICB", 1, 0, packed is not None, 40 + len(inside), raw, sections, 1, 0)
    return sealed(head + inside + bytes(8))


def test_optional_sections_that_are_not_known_are_passed_over_and_others_refused() -> None:
    body = section(1, payload=b"x") + section(200, flags=1, payload=b"new" * 100_000) + section(3, payload=b"y")
    for packed in (None, zlib.compress(body)):
        assert content(framed(body, 3, packed)) == [(1, 0, b"x"), (3, 0, b"y")]
    with pytest.raises(FormatError, match="newer version") as caught:
        content(framed(section(1) + section(200), 2))
    assert caught.value.offset == 48


@pytest.mark.parametrize("body, sections", [
    (section(1, flags=1), 1), (section(1, flags=2), 1), (section(9, flags=3), 1), (section(1, zero=1), 1),
    (section(1, length=1), 1), (section(1, length=(1 << 64) - 1), 1), (section(1)[:-1], 1), (section(1), 0),
    (section(1), 2), (section(9, flags=1, length=5), 1),
])
def test_sections_that_no_writer_makes_are_refused(body: bytes, sections: int) -> None:
    for packed in (None, zlib.compress(body)):
        with pytest.raises(FormatError):
            content(framed(body, sections, packed))


def test_compressed_data_ends_where_it_should() -> None:
    body = section(1, payload=bytes(1000))
    good = zlib.compress(body)
    for packed, raw in ((good + b"\0", None), (good[:-1], None), (good[:-4], None), (good, len(body) + 1),
                        (good, len(body) - 1), (b"", None), (good[:-4] + b"\0\0\0\0", None)):
        with pytest.raises(FormatError):
            content(framed(body, 1, packed, raw))
    assert content(framed(body, 1, good)) == [(1, 0, bytes(1000))]


def test_limits_are_kept() -> None:
    frame = write(PARTS, False, True)
    assert content(frame, Limits(max_bytes=len(frame)))
    with pytest.raises(FormatError, match="max_bytes"):
        content(frame, Limits(max_bytes=len(frame) - 1))
    raw = 3 * 16 + 5 + 256
    assert content(frame, Limits(max_raw=raw))
    with pytest.raises(FormatError, match="max_raw"):
        content(frame, Limits(max_raw=raw - 1))


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "64M", None])
def test_limits_are_numbers_of_bytes(wrong: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        Limits(max_raw=wrong)  # type: ignore[arg-type]


def test_little_that_unpacks_to_much_takes_no_memory() -> None:
    zeros = zlib.compress(bytes(40 * MIB), 9)
    nothing = section(200, flags=1, length=40 * MIB) + bytes(0)
    packer = zlib.compressobj(9)
    skipped = packer.compress(nothing) + b"".join(packer.compress(bytes(MIB)) for _ in range(40)) + packer.flush()
    bombs = [framed(b"", 1, zeros, 40 * MIB), framed(b"", 1, zeros, 256 * MIB), framed(b"", 1, zeros, 1000),
             framed(b"", 1, zeros, 257 * MIB), framed(b"", 2, skipped, 40 * MIB + 16)]
    tracemalloc.start()
    for bomb in bombs:
        with pytest.raises(FormatError):
            content(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


def test_bytes_at_random_are_refused() -> None:
    rng = random.Random(1)
    for size in range(300):
        with pytest.raises(FormatError):
            content(rng.randbytes(size))
        with pytest.raises(FormatError):
            content(sealed(b"\x89ICB\x01" + rng.randbytes(size + 43)))


def test_small_sections_before_much_that_is_packed_do_not_cost_it_again_and_again() -> None:
    """What is left of the packed bytes was copied for each section: hours, for a frame of 64 MiB."""
    many = [Section(1, number, b"") for number in range(40_000)]
    large = random.Random(1).randbytes(8 * MIB)
    parts = content(write([*many, Section(2, 0, large), Section(3, 1, b"end")], False, True))
    assert len(parts) == 40_002 and parts[-2:] == [(2, 0, large), (3, 1, b"end")]


def test_bytes_that_unpack_beyond_the_declared_length_are_refused() -> None:
    frame = bytearray(write([Section(1, 0, b"a" * 100)], False, True))
    for more in (b"b", b"b" * 200_000):
        packed = zlib.compress(zlib.decompress(frame[32:-8]) + more, 1)
        whole = frame[:32] + packed + bytes(8)
        whole[8:16] = len(whole).to_bytes(8, "little")
        with pytest.raises(FormatError, match="does not end where it should"):
            content(sealed(whole))


def test_bytes_behind_the_compressed_ones_are_refused() -> None:
    frame = write([Section(1, 0, b"a" * 100)], False, True)
    for more in (b"b", b"b" * 200_000):
        whole = bytearray(frame[:-8] + more + bytes(8))
        whole[8:16] = len(whole).to_bytes(8, "little")
        with pytest.raises(FormatError, match="does not end where it should"):
            content(sealed(whole))
