"""docs/formats/journal.md shows every record there is, and what it shows is what the code reads and writes."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from istat.kernels.python.ingest import records
from istat_server.tools import dumpjournal
from tests.store.harness import ROOT

PAGE = ROOT / "docs/formats/journal.md"
BEFORE = 1325394000
SAMPLE = (BEFORE, 1, 7.25, 0.0, 7.25, 7.25)


def samples() -> list[bytes]:
    """A record of each sort, in the order of the page."""
    return [
        records.put_sample(3, SAMPLE, BEFORE),
        records.put_sample(3, (BEFORE + 10, *SAMPLE[1:]), BEFORE),
        records.put_sample(3, (BEFORE, 3, 10.0, 0.5, 2.0, 5.0), BEFORE),
        records.put_counter(5, False, b"foo.bar"),
        records.put_route(5, (5, 7), b"foo^a^b"),
        records.put_change(records.DELETE, 5, 1325394000000),
        records.put_change(records.UNDELETE, 5),
        records.put_change(records.RENAME, 5, name=b"foo.baz"),
        records.put_change(records.POLICY, 5, 2),
        records.put_change(records.GONE, 5, 300),
        records.put_change(records.TOMBSTONE, 5, True, 9, name=b"hits"),
        records.put_change(records.UNLEARNT, 5, 1),
        records.put_interval(300),
        records.put_mark(b"web1", 1325394000, 7),
        records.put_position(bytes(range(16)), 1325394000, 12, 4711, 0x53414C54),
    ]


def table() -> list[str]:
    """The rows of the page's table."""
    made = []
    for data in samples():
        record, end = records.read(data, 0, BEFORE)
        assert end == len(data)
        told = json.dumps(dumpjournal.told(record), separators=(", ", ": "))
        made.append(f"| `{data.hex(' ')}` | `{told}` |")
    return made


def test_the_page_shows_them_all() -> None:
    shown = re.findall(r"^\| `[0-9a-f ]+` \| `\{.*\}` \|$", PAGE.read_text(), re.M)
    assert shown == table()


def test_there_are_no_others() -> None:
    """Every number that a record can begin with is shown, named on the page, or refused."""
    shown = {(records.read(data, 0, 0)[0].__class__, data[0] & 15 if data[0] & 3 == 3 else data[0] & 3,
              data[1] if data[0] & 15 == 15 else 0, data[2] if data[0] & 15 == 15 and data[1] == 8 else 0)
             for data in samples()}
    assert len(shown) == len(samples())
    for what in range(256):
        if what and what not in {data[1] for data in samples() if data[0] & 15 == 15}:
            with pytest.raises(records.UnknownRecord, match=f"change {what}"):
                records.read(bytes([15, what]), 0, 0)
    for kind in range(128):
        if kind not in {data[2] for data in samples() if data[:2] == bytes([15, 8])}:
            with pytest.raises(records.UnknownRecord, match=f"escape {kind}"):
                records.read(records.put_escape(kind, b"abc"), 0, 0)


def numbers() -> Iterator[tuple[str, int]]:
    """Names and numbers of changes and escapes in the code."""
    for name in ("DELETE", "UNDELETE", "RENAME", "POLICY", "GONE", "TOMBSTONE", "UNLEARNT", "ESCAPE"):
        yield name.lower(), getattr(records, name)
    yield "interval", records.INTERVAL
    yield "mark", records.MARK
    yield "position", records.POSITION


def test_the_tables_name_each_change_and_escape() -> None:
    text = PAGE.read_text()
    for name, number in numbers():
        assert re.search(rf"^\| {number} \| {name}\b", text, re.M), name


if __name__ == "__main__":
    print("\n".join(table()))
