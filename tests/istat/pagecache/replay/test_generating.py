"""Logs from layouts, rules of readahead, lists of accesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from istat.errors import PageLogError
from istat.pagecache import layouts
from istat.pagecache.replay import accesses, fetching, pagelog
from istat.pagecache.replay.generating import Plan, with_meta
from istat.pagecache.replay.pagelog import Record
from istat.pagecache.replay.recording import Recipe

MRTG = layouts.parse("mrtg")


def test_the_first_records_of_the_papers_file() -> None:
    records = list(Plan(MRTG, 1, 1, synchronised=True).records())
    assert [records[k - 1].pages for k in (1, 6, 24, 288)] == [
        (0, 13), (0, 3, 13, 16), (0, 3, 6, 13, 16, 19), (0, 1, 4, 7, 10, 14, 16, 19, 22)]
    assert [records[0].time, records[-1].time % 86400, len(records)] == [1699920300, 0, 288]


@pytest.mark.parametrize(("rule", "meta", "references", "pages"), [
    ("random", False, 28737, 19), ("random", True, 46017, 21), ("linux-2.6.9", True, 172664, 28)])
def test_references_of_30_days_are_exact(rule: str, meta: bool, references: int, pages: int) -> None:
    records = list(Plan(MRTG, 1, 30, readahead=rule, meta=meta, synchronised=True).records())
    assert sum(len(record.pages) for record in records) == references
    assert len({page for record in records for page in record.pages}) == pages


def test_what_comes_in_for_touched_pages() -> None:
    assert fetching.random([0, 13], 26, 32) == {0, 13}
    assert fetching.linux_2_6_9([0, 3, 13, 16, 24], 26, 32) == {*range(24), 24, 25}
    assert fetching.linux_2_6_9([0, 16, 24, 30], 40, 32) == {*range(28), 30, 31}
    assert fetching.mmap_now([0, 13], 26, 32) == set(range(26))
    assert fetching.mmap_now([200], 400, 32) == set(range(184, 216))
    assert fetching.mmap_now([5], 26, 1) == {5}
    assert fetching.read_now([0], 100, 32) == {0, 1, 2, 3}
    assert fetching.read_now([0, 50], 100, 32) == {0, 1, 2, 3, 50}
    assert fetching.read_now([0, 1], 100, 32) == set(range(12))         # the marker brings the next 8
    assert fetching.read_now([0, 1, 4], 100, 32) == set(range(28))      # and its first page the next 16


def test_a_fleet_has_its_row_pointers_file_by_file() -> None:
    plan = Plan(MRTG, 60, 1 / 288)
    names = [record.file for record in plan.records()]
    assert (names[0], names[-1], len(names)) == ("r000001", "r000060", 60)


def test_an_hour_at_once() -> None:
    records = list(Plan(MRTG, 1, 1, flush=3600, synchronised=True).records())
    assert len(records) == 24
    assert records[0].updates == 12
    assert records[0].pages == (0, 3, 13, 16)
    assert records[0].time == 1699920000 + 3600


def test_a_counter_of_ring_files_has_one_for_each_level() -> None:
    plan = Plan(layouts.parse("statfile:10s:10d,5m:2y,1h:6y"), 1, 1 / 24, synchronised=True)
    records = list(plan.records())
    assert [record.file for record in records].count("r000001/10s") == 12
    assert [record.file for record in records].count("r000001/5m") == 12
    assert [record.file for record in records].count("r000001/1h") == 1
    assert records[0] == Record(1699920300, "r000001/10s", (0, 2), (0, 2))
    assert plan.header.interval == 300


def test_pages_dirtied_by_a_ring_file_each_five_minutes() -> None:
    """At most 4.3 for a counter's 10 s and 5 m files: check 23's number, by the layout."""
    records = list(Plan(layouts.parse("statfile:10s:10d,5m:1y9d"), 20, 1).records())
    assert 4.0 < sum(len(record.written) for record in records) / (20 * 288) < 4.3


def test_what_cannot_be_generated_is_refused() -> None:
    for wrong in ({"targets": 0}, {"days": 0}, {"days": float("nan")}, {"readahead": "x"}, {"flush": 450}):
        with pytest.raises(PageLogError):
            list(Plan(MRTG, **{"targets": 1, "days": 1, **wrong}).records())    # type: ignore[arg-type]


def test_meta_pages_come_first() -> None:
    assert with_meta([0, 11]) == (-2, 0, 11)
    assert with_meta([0, 12]) == (-2, -1, 0, 12)
    assert with_meta([-2, 0, 12]) == (-2, 0, 12)


def test_any_list_of_accesses_is_a_log() -> None:
    lines = ["time,file,offset,length,mode\n", "5,b,0,1\n", '5,"a,b",4095,2,w\n', "\n", "5,b,8192,4096,rw\n",
             "6,b,0,1\n"]
    assert list(accesses.records(lines, 4096)) == [
        Record(5, "a,b", (0, 1), (0, 1)), Record(5, "b", (0, 2), (2,)), Record(6, "b", (0,))]
    assert list(accesses.records(["5,b,65535,2"], 65536)) == [Record(5, "b", (0, 1))]


@pytest.mark.parametrize("line", ["1,a,0", "1,a,0,0", "1,,0,1", "1,a,-1,1", "1,a,0,1,x", "x,a,0,1", "1e999,a,0,1",
                                  f"1,a,{1 << 60},1", f"1,a,0,{1 << 40}", "0,a,0,1", "1e16,a,0,1"])
def test_what_is_no_access_is_refused_by_its_line(line: str) -> None:
    with pytest.raises(PageLogError, match="line 2"):
        list(accesses.records(["1,a,0,1", line], 4096))


def test_the_command_of_an_update_has_the_file_and_the_values() -> None:
    recipe = Recipe.of("rrdtool update {f} {v} '{n} {t}'", 1000, 300, 2, 2)
    assert recipe.command("a {v}.rrd", 2) == ["rrdtool", "update", "a {v}.rrd", "1600:2000:2001", "2 1600"]
    for wrong in ("rrdtool update", "", "rrdtool '{f}"):
        with pytest.raises(PageLogError):
            Recipe.of(wrong, 1000, 300, 2, 2)


def test_the_fixture_is_what_is_generated() -> None:
    """Its maker: 2 hours of the paper's file on Linux 2.6.9."""
    plan = Plan(MRTG, 1, 1 / 12, readahead="linux-2.6.9", meta=True, synchronised=True)
    with pagelog.opened(Path(__file__).parents[3] / "fixtures/pagelog/v1.jsonl") as log:
        assert list(log.records) == list(plan.records())
