"""Foreign files as they are kept for ever: each is read as on the day that its reader was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from istat_server.foreign.ringtree import RingTree
from istat_server.foreign.rrd.tree import RrdTree
from istat_server.foreign.source import Naming
from istat_server.foreign.table import Table
from istat_server.foreign.whisper import WhisperTree

FIXTURES = Path(__file__).parents[1] / "fixtures/foreign"
NOW = 1325404800


def read(source: Any) -> list[tuple[Any, ...]]:
    return [(series.name, series.event, [(archive.interval, [row[:3] + row[4:] for row in archive.rows.rows()])
                                         for archive in series.archives]) for series in source.series("")]


def test_a_ring_file() -> None:
    """The worked example of docs/formats/ring-file.md."""
    [(_, event, [(interval, rows)])] = read(RingTree(FIXTURES / "10s", Naming(), now=NOW))
    assert event and interval == 10
    assert rows == [(1325394960, 1, 0.5, 0.5, 0.5), (1325395000, 1, 1.0, 1.0, 1.0), (1325395090, 1, 2.5, 2.5, 2.5)]


def test_a_whisper_file() -> None:
    [(name, event, [(ten, fine), (sixty, coarse)])] = read(WhisperTree(FIXTURES / "a.wsp", Naming("x.")))
    assert (name, event, ten, sixty) == (b"x.a", False, 10, 60)
    assert fine == [(NOW - age, 1, age, age, age) for age in range(120, 0, -10)]
    assert coarse == [(NOW - age, 1, mean, mean, mean) for age, mean in (
        (420, 385.0), (360, 335.0), (300, 275.0), (240, 215.0), (180, 155.0))]


def test_a_dump_of_rrdtool() -> None:
    [(name, event, [(ten, fine), (sixty, coarse)])] = read(RrdTree(FIXTURES / "a.xml", Naming()))
    assert (name, event, ten, sixty) == (b"a", False, 10, 60)
    assert [row[1:] for row in fine] == [(1, value, value, value) for value in (17.0, 18.0, 19.0, 20.0)]
    assert fine[-1][0] == NOW - 210 and [row[1] for row in coarse] == [6] * len(coarse)
    assert all(row[2] / 6 <= row[4] for row in coarse) and len(coarse) == 3


def test_a_table() -> None:
    assert read(Table(FIXTURES / "a.csv", 10)) == [
        (b"g.one", False, [(10, [(NOW - 100, 2, 12.25, 5.0, 7.25)])]),
        (b"hits", True, [(300, [(NOW - 300, 30, 33.0, 0.0, 10.0)])])]
