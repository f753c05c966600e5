"""Bytes of StatFiles that were written once are read for ever, and the docs show them truly.

`python -m tests.store.files.test_statfile_format FOLDER` writes the fixtures anew, for a new format version.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from pathlib import Path

import pytest

from istat.kernels import blocks, columns
from istat_server.store.files.statfile import StatFile, StatFileWriter
from istat_server.store.files.statformat import Header
from tests.store.harness import FIXTURES, ROOT

DOCS = ROOT / "docs/formats/statfile.md"
Row = tuple[int, int, float, float, float, float]
Content = dict[int, tuple[bool, list[Row]]]

START = 1_700_000_000
UUID = "0b8f5a1e-6c1d-4c62-9b5e-3d2f1a0c4e77"
FINE = Header(UUID, "default", 0, "fine", 10, START, START + 600, 7, 7)


def single(time: int, value: float) -> Row:
    return (time, 1, value, 0.0, value, value)


def tiny() -> Content:
    """What the docs show: a gauge in three buckets, an event in one."""
    return {
        1: (False, [single(START, 20.5), single(START + 10, 21.25), single(START + 20, 20.75)]),
        2: (True, [single(START + 10, 3.0)]),
    }


def full() -> Content:
    """Every way in which a column can be coded."""
    made: Content = {
        0: (False, [single(START + 10 * i, 5.0) for i in range(30)]),
        3: (False, [single(START + 10 * i, (i * 7919 % 1000) / 100) for i in range(300)]),
        4: (False, [single(START + 10 * i, 1e9 + 1234.0 * i + i * i % 11) for i in range(300)]),
        5: (False, [single(START + 10 * i, 3.0 * i * i) for i in range(200)]),
        6: (True, [single(START + 10 * i * i, float(i % 3)) for i in range(50)]),
        7: (False, [single(START + 10 * i, 1 / (i + 1)) for i in range(40)]),
        8: (False, [single(START + 10 * i, -0.0 if i == 9 else i / 10) for i in range(40)]),
        9: (False, [single(START, 1 / 3), single(START + 30, 1 / 3)]),
        4_000_000_000: (False, [single(START, -1.5)]),
    }
    multi: list[Row] = []
    for i in range(40):
        low, high = (i * 37 % 100) / 10, (i * 37 % 100) / 10 + i % 4
        multi.append((START + 10 * i, 2 + i % 3, (low + high) * 1.1, 0.5 * (i % 4) ** 2, low, high))
    made[10] = (False, multi)
    return dict(sorted(made.items()))


def derived() -> Content:
    return {
        1: (False, [(START // 300 * 300 + 300 * i, 30, 615.0 + i, 12.25, 20.5, 21.25) for i in range(3)]),
        2: (True, [(START // 300 * 300 + 300 * i, 30, 33.0, 272.75, 0.0, 10.0) for i in range(3)]),
    }


def coarse() -> Content:
    """Rows of many samples, coded jointly in each way that there is."""
    start, made, walk = START // 300 * 300, Content(), 10**9
    for id, rows in enumerate((20, 160, 160, 160, 100), 1):
        each: list[Row] = []
        for i in range(rows):
            step, noise = (i * 7919) % 1009, (i * 104729) % 613
            samples = {
                1: [7 * i, 7 * i + step],  # M2 by itself or from the range
                2: [4000 + step, 4500 + noise, 5000 + step - noise],  # M2 from the squares
                3: [walk + 1000 * k + noise * k * k % 97 for k in range(1, 31)],  # min after max
                4: [step % 7, noise % 5, 3],
                5: [step, step + 1, noise],
            }[id]
            walk += 30_000 + (noise * step) % 1013
            scale, total = (100.0 if id in (2, 5) else 1.0), sum(samples) / (100.0 if id in (2, 5) else 1.0)
            if id == 5 or (id == 2 and i % 50 == 7):
                total *= 1.0 + (i % 3) * 2.0**-52  # as a sum of rounded decimals may be: all, or few
            mean = sum(samples) / len(samples)
            m2 = sum((v - mean) ** 2 for v in samples) / scale / scale
            kept = struct.unpack("<f", struct.pack("<f", m2))[0]
            each.append((start + 300 * i, len(samples), total, kept, min(samples) / scale, max(samples) / scale))
        made[id] = (id == 4, each)
    return made


COARSE = Header(
    UUID, "default", 1, "derived", 300, START // 300 * 300, START // 300 * 300 + 900, 3, 9,
    part=1, replaces=("1699999800-1700000700-3-8-derived-1.statfile",),
)  # fmt: skip
LATER = Header(UUID, "default", 1, "derived", 300, START // 300 * 300, START // 300 * 300 + 48000, 3, 9)
FILES = {
    "v1/tiny.statfile": (FINE, tiny(), False),
    "v1/full.statfile": (FINE, full(), False),
    "v1/packed.statfile": (FINE, full(), True),
    "v1/derived.statfile": (COARSE, derived(), False),
    "v2/coarse.statfile": (LATER, coarse(), False),
    "v3/tiny.statfile": (FINE, tiny(), False),
    "v3/packed.statfile": (COARSE, derived(), True),
}


def write(folder: Path, header: Header, content: Content, pack: bool) -> Path:
    writer = blocks.BlockWriter(500, header.interval)
    for id, (event, rows) in content.items():
        writer.add_run(id, event, columns.Columns.from_rows(rows))
    with StatFileWriter(folder, header) as file:
        file.add(writer.finish(), pack)
        return Path(file.finish().path)


def bits(rows: list[Row]) -> list[bytes]:
    return [struct.pack("<qqdddd", *row) for row in rows]


@pytest.mark.parametrize("name", FILES)
def test_old_files_are_read(name: str) -> None:
    header, content, _ = FILES[name]
    with StatFile.open(FIXTURES / name) as file:
        assert file.header == header
        assert file.verify() == []
        for id, (event, rows) in content.items():
            into = columns.Columns()
            file.read(id, 0, 1 << 62, into)
            assert bits(into.rows()) == bits(rows)
            [entry, *_] = file.blocks_for(id, id)
            assert (id, event) in [(i, e) for i, e, _ in file.reader(entry).runs()]


@pytest.mark.parametrize("name", ["v3/tiny.statfile", "v3/packed.statfile"])
def test_the_same_rows_still_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    header, content, pack = FILES[name]
    assert write(tmp_path, header, content, pack).read_bytes() == (FIXTURES / name).read_bytes()


# full.statfile is from when a block could hold ids of two ranges (blocks.ID_BITS): it is only read.
@pytest.mark.parametrize("name", ["v1/tiny.statfile", "v1/derived.statfile", "v2/coarse.statfile"])
def test_their_blocks_are_what_they_were_in_every_version(tmp_path: Path, name: str) -> None:
    """Only the header has changed, by what it says of the payload."""
    now = write(tmp_path, *FILES[name]).read_bytes()
    then = (FIXTURES / name).read_bytes()
    assert len(now) - len(then) == len('"payload":"rows",')
    with StatFile.open(FIXTURES / name) as old, StatFile.open(next(tmp_path.glob("*.statfile"))) as new:
        blocks_of = [[file.block_bytes(entry) for entry in file.blocks_for(0, 1 << 32)] for file in (old, new)]
    assert blocks_of[0] == blocks_of[1]


def dump(data: bytes) -> list[str]:
    """The hex dump in the docs: 16 bytes a line."""
    lines = []
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:04x}  {part.hex(' '):47}  {text}")
    return lines


def test_the_hex_dump_in_the_docs_is_the_fixture() -> None:
    shown = re.findall(r"^[0-9a-f]{4}  [0-9a-f ]{47}  .*$", DOCS.read_text(), re.M)
    assert shown == dump((FIXTURES / "v3/tiny.statfile").read_bytes())


def test_the_numbers_that_the_docs_work_out() -> None:
    """Offsets, lengths and checksums of the worked example, read here by hand."""
    data = (FIXTURES / "v3/tiny.statfile").read_bytes()
    footer = struct.unpack("<QIIIIQQQqq", data[-76:-12])
    top_offset, top_length, top_crc, header_length, header_crc, rows, count, size, first, last = footer
    assert struct.unpack("<I8s", data[-12:]) == (zlib.crc32(data[-76:-12]), b"sf.istat")
    assert (rows, count, size, first, last) == (4, 1, len(data), START, START + 20)
    assert zlib.crc32(data[:header_length]) == header_crc
    assert zlib.crc32(data[top_offset : top_offset + top_length]) == top_crc
    page = struct.unpack("<IIQIIqq", data[top_offset : top_offset + 40])
    entry = struct.unpack("<IIQIIIIqqB3x", data[page[2] : page[2] + page[3]])
    block = data[entry[2] : entry[2] + entry[3]]
    text = DOCS.read_text()
    for name, value in {
        "header": header_length, "block": entry[2], "index page": page[2], "top index": top_offset,
        "footer": len(data) - 76,
    }.items():  # fmt: skip
        where = 0 if name == "header" else value
        assert re.search(rf"^\| `{where:04x}` \| {name} \|", text, re.M), name
    assert f"`{block.hex(' ')}`" in text


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for name, (header, content, pack) in FILES.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        write(target, header, content, pack).rename(target / name)
    print("\n".join(dump((target / "v3/tiny.statfile").read_bytes())))
