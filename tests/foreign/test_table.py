"""CSV of samples and of buckets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from istat.errors import StoreError, UsageError
from istat_server.foreign import table
from istat_server.foreign.source import Naming
from istat_server.foreign.table import Table
from istat_server.store.files.manifest import Import

T = 1325404800


def read(path: Path, text: str, **options: Any) -> tuple[Table, list[tuple[Any, ...]]]:
    path.write_text(text)
    source = Table(path, 10, **options)
    return source, [(series.name, series.event, series.archives[0].interval, series.archives[0].rows.rows())
                    for series in source.series("")]


def test_samples_are_rows_of_a_second(tmp_path: Path) -> None:
    source, found = read(tmp_path / "a.csv", f"time,value,name\n{T},5,a\n2012-01-01T08:00:00Z,7,a\n"
                                             f"{T}.9,3,*b\n2012-01-01 08:00:01,1e3,\"c,d\"\n\n")
    assert found == [(b"a", False, 1, [(T, 2, 12.0, 2.0, 5.0, 7.0)]), (b"b", True, 1, [(T, 1, 3.0, 0.0, 3.0, 3.0)]),
                     (b"c,d", False, 1, [(T + 1, 1, 1000.0, 0.0, 1000.0, 1000.0)])]
    assert not source.problems.counts


def test_buckets_carry_their_statistics(tmp_path: Path) -> None:
    text = f"name,kind,time,count,sum,min,max,sumsq,interval\na,gauge,{T},2,12.25,5,7.25,77.5625,60\n" \
           f"e,event,{T},30,33,0,10,309,300\na,gauge,{T},1,1,1,1,1,10\n"
    _, found = read(tmp_path / "a.csv", text, naming=Naming("x."))
    assert found[0] == (b"x.a", False, 10, [(T, 1, 1.0, 0.0, 1.0, 1.0)])
    assert found[1][2:] == (60, [(T, 2, 12.25, pytest.approx(1.59099**2, rel=1e-5), 5.0, 7.25)])
    assert found[2][:3] == (b"x.e", True, 300) and found[2][3][0][:3] == (T, 30, 33.0)


def test_lines_that_cannot_be_are_counted_and_told_by_place(tmp_path: Path) -> None:
    lines = ["a,1", "a,now,1,1,1,1", f"a,{T},0,1,1,1", f"a,{T},1,nan,1,1", f"a,{T},1,1,2,1", f"a,{T},x,1,1,1", "\0" * 9,
             f"a,{T},1," + "9" * 70000 + ",1,1", f"a,{T},1,1,1,1"]
    source, found = read(tmp_path / "a.csv", "name,time,count,sum,min,max\n" + "\n".join(lines) + "\n")
    assert [row[3] for row in found] == [[(T, 1, 1.0, 0.0, 1.0, 1.0)]]
    assert source.problems.counts["bad_line"] >= 8
    texts = [text.removeprefix(f"{tmp_path}/a.csv, ") for text in source.problems.texts]
    assert texts[:2] == ["line 2: 2 columns, 6 expected", "line 3: the time 'now' is neither Unix seconds nor ISO 8601"]
    assert texts[5] == "line 7: invalid literal for int() with base 10: 'x'"
    assert all(text.startswith("line 9: ") for text in texts[7:])       # a line that is too long comes in parts


def bad(tmp_path: Path, header: str, *lines: str) -> list[str]:
    """What is said of the lines that are bad; the last line is good."""
    source, found = read(tmp_path / "a.csv", "\n".join([header, *lines, ""]))
    assert len(found) == 1 and source.problems.counts["bad_line"] == len(source.problems.texts)
    return [text.removeprefix(f"{tmp_path}/a.csv, ") for text in source.problems.texts]


def test_an_average_beyond_min_or_max_is_a_bad_line_but_not_one_that_is_rounded(tmp_path: Path) -> None:
    assert bad(tmp_path, "name,time,count,sum,min,max,sumsq", f"a,{T},3,60,1,3,14", f"a,{T},2,-4,-1,3,9",
               f"a,{T},3,370.36799999999997,123.456,123.456,1", f"a,{T},2,1.7976931348623157e308,1e308,1e308,1") == [
        "line 2: the average 20 is not between 1 and 3", "line 3: the average -2 is not between -1 and 3"]


def test_a_record_with_a_quoted_line_break_is_one_bad_line(tmp_path: Path) -> None:
    assert bad(tmp_path, "name,time,value", f'"two\nlines",{T},1', f'"more\n""than\ntwo",{T},1', f'"torn,{T},1',
               f"a\tb,{T},1", f'"a",{T},1') == [
        "line 2: a quoted line break", "line 4: a quoted line break", "line 7: unexpected end of data",
        "line 8: a name with a line break or another control character"]


def test_names_with_carets_and_times_in_milliseconds_are_bad_lines(tmp_path: Path) -> None:
    said = bad(tmp_path, "name,time,value", f"a^b,{T},1", f"a,{T}000,1", f"a,{T}123456,1", f"a,{T},1")
    assert said[0] == "line 2: the name 'a^b' has a caret, which no counter's name can hold"
    assert said[1:] == [f"line {line}: the time '{T}{more}' is in milliseconds or finer: Unix seconds are wanted, such "
                        f"as {T}" for line, more in ((3, "000"), (4, "123456"))]


def test_many_bad_lines_in_a_row_do_not_end_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LINES_AT_ONCE", 3)
    source, found = read(tmp_path / "a.csv", f"name,time,value\n{'bad' + chr(10):s}" + "bad\n" * 6 + f"a,{T},1\nbad\n")
    assert [row[0] for row in found] == [b"a"]
    assert source.problems.counts == {"bad_line": 8}
    assert source.last_mark("") == str((tmp_path / "a.csv").stat().st_size)


@pytest.mark.parametrize("header", ["", "name,time", "name,time,value,colour", "name,name,time,value", "a,1,2"])
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(UsageError, match="the first line of a CSV file names its columns"):
        read(tmp_path / "a.csv", header + "\n")


def test_portions_have_a_mark_at_their_end_and_reading_goes_on_there(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LINES_AT_ONCE", 3)
    path = tmp_path / "a.csv"
    path.write_text("name,time,value\n" + "".join(f"{name},{T + i},{i}\n" for i in range(4) for name in "ab"))
    source = Table(path, 10)
    whole = [(series.name, series.archives[0].rows.rows(), series.mark) for series in source.series("")]
    assert [bool(mark) for _, _, mark in whole] == [False, True, False, True, False, True]
    mark = whole[3][2]
    assert [(series.name, series.archives[0].rows.rows()) for series in source.series(mark)] == [
        entry[:2] for entry in whole[4:]]
    note = Import(source.key, source.digest(mark), mark, False, 0)
    assert Table(path, 10).more(note)
    end = replace(note, mark=str(path.stat().st_size), digest=source.digest(whole[-1][2]), finished=True)
    assert not Table(path, 10).more(end)
    with open(path, "a") as file:
        file.write(f"a,{T + 99},5\n")
    assert Table(path, 10).more(end) and [s.name for s in Table(path, 10).series(end.mark)] == [b"a"]
    path.write_text(path.read_text().replace(f"a,{T},0", f"a,{T},1"))
    with pytest.raises(StoreError, match="has changed since"):
        Table(path, 10).more(note)
    path.write_text("short")
    with pytest.raises(StoreError, match="has changed since"):
        Table(path, 10).more(note)
