"""Page logs: what is written is read, and what is no log is refused with a sentence."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import PageLogError
from istat.pagecache.replay import pagelog
from istat.pagecache.replay.pagelog import Header, Record

HEAD = '{"format": "pagelog", "version": 1, "page_size": 4096}\n'
SAMPLE = Path(__file__).parents[4] / "docs/formats/page-log.md"
FIXTURE = Path(__file__).parents[3] / "fixtures/pagelog/v1.jsonl"

page_lists = st.sets(st.integers(0, pagelog.MOST_PAGE), max_size=20).map(sorted)
record_lists = st.lists(st.builds(
    lambda time, file, meta, pages, run, written, updates: Record(
        time, file, pages := tuple(sorted({*meta, *pages, *range(run[0], run[0] + run[1])})),
        (tuple(page for page in pages if page >= 0), pages[-1:], ())[written], updates),
    st.integers(0, 1 << 40), st.text(min_size=1), st.sampled_from([(), (-2,), (-2, -1)]), page_lists,
    st.tuples(st.integers(0, 1000), st.integers(1, 40)), st.integers(0, 2), st.integers(1, 1000)))


def read(text: str | bytes) -> list[Record]:
    return list(pagelog.read(io.BytesIO(text.encode() if isinstance(text, str) else text)).records)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["-", "fd"])
def test_a_log_comes_from_a_pipe(name: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    log = (HEAD + '{"t": 1, "f": "a", "p": "0,3"}\n{"end": true, "records": 1}\n').encode()
    source, sink = os.pipe()
    try:
        monkeypatch.setattr(pagelog, "STDIN", source)
        os.write(sink, gzip.compress(log) if packed else log)
        os.close(sink)
        with pagelog.opened("-" if name == "-" else f"/dev/fd/{source}") as found:
            assert list(found.records) == [Record(1, "a", (0, 3))]
    finally:
        os.close(source)


@pytest.mark.parametrize(("pages", "words"), [
    ((), ""), ((0,), "0"), ((-2, -1, 0, 13), "-2,-1,0,13"), ((-1, 0, 1, 2), "-1,0-2"), ((3, 4, 6, 7, 8), "3-4,6-8")])
def test_pages_as_text(pages: tuple[int, ...], words: str) -> None:
    assert pagelog.text(pages) == words
    assert pagelog.parse(words) == pages


@given(page_lists)
def test_any_pages_as_text(pages: list[int]) -> None:
    assert pagelog.parse(pagelog.text(pages)) == tuple(pages)


@pytest.mark.parametrize("words", ["x", "-3", "1,1", "2,1", "5-3", "-2-0", "0-", "1 ,2", "2147483648", "0-2147483647",
                                   "0-1048576", "0,,1", "١"])
def test_what_is_no_list_of_pages_is_refused(words: str) -> None:
    with pytest.raises(PageLogError):
        pagelog.parse(words)


@given(record_lists)
def test_records_come_back(records: list[Record]) -> None:
    records.sort(key=lambda record: record.time)
    file = io.BytesIO()
    header = Header(4096, 300, (1, 6, 24), {"seed": 1})
    pagelog.write(file, header, records)
    file.seek(0)
    log = pagelog.read(file)
    assert log.header == header
    assert list(log.records) == records


def test_the_sample_of_the_format_page_is_a_log() -> None:
    block = SAMPLE.read_text().split("```\n")[1]
    found = read(block)
    assert found == [
        Record(1699920300, "r000001", (-2, -1, 0, 13), (0, 13)),
        Record(1699920600, "r000001", (-2, -1, *range(16)), (0, 13)),
        Record(1699923600, "r000001", (0, 3, 13, 16), (0, 3, 13, 16), 10)]


def test_a_log_of_the_first_release_is_read() -> None:
    with pagelog.opened(FIXTURE) as log:
        assert log.header == Header(4096, 300, (1, 6, 24, 288), {"layout": ["rrd"], "readahead": "linux-2.6.9"})
        found = list(log.records)
    assert found[5] == Record(1699921800, "r000001", (-2, -1, *range(24)), (0, 3, 13, 16))
    assert len(found) == 24


@pytest.mark.parametrize("name", ["a.log", "a.log.gz"])
def test_files_packed_or_not(tmp_path: Path, name: str) -> None:
    records = [Record(300, "r1", (0, 13), (0, 13)), Record(600, "r1", (0, 13), (0, 13))]
    assert pagelog.save(tmp_path / name, Header(4096), records) == 2
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    with pagelog.opened(tmp_path / name) as log:
        assert list(log.records) == records
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_log_that_fails_while_it_is_written_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    pagelog.save(path, Header(4096), [])
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        pagelog.save(path, Header(4096), (Record(1 // zero, "r", ()) for zero in [0]))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_of_another_program_may_lack_the_last_line() -> None:
    assert read(HEAD + '{"t": 1, "f": "a", "p": "0-1", "m": "w", "later": true}\n') == [Record(1, "a", (0, 1), (0, 1))]


@pytest.mark.parametrize(("lines", "what"), [
    ("", "no page log"), ("{}\n", "no page log"), ("[1]\n", "line 1"), ("\xff\n", "line 1"),
    (HEAD.replace("1,", "2,"), "version 2"), (HEAD.replace("4096", "0"), "page_size"),
    (HEAD.replace("}", ', "levels": [6, 1]}'), "levels"), (HEAD.replace("}", ', "interval": true}'), "interval"),
    (HEAD + "{\n", "line 2"), (HEAD + '{"t": 1, "f": "a", "p": "0"}', "line 2"),
    (HEAD + '{"t": 1, "f": "", "p": "0"}\n', "no file"), (HEAD + '{"t": 1, "f": "a", "p": 0}\n', "its p"),
    (HEAD + '{"t": "1", "f": "a", "p": "0"}\n', "its t"), (HEAD + '{"t": 1, "f": "a", "p": "0", "m": "x"}\n', "mode"),
    (HEAD + '{"t": 1, "f": "a", "p": "0", "n": 0}\n', "its n"),
    (HEAD + '{"t": 2, "f": "a", "p": "0"}\n{"t": 1, "f": "a", "p": "0"}\n', "earlier"),
    (HEAD + '{"end": true, "records": 1}\n', "records"), (HEAD + '{"end": true, "records": 0}\n{}\n', "behind"),
])
def test_what_is_no_log_is_refused(lines: str, what: str) -> None:
    with pytest.raises(PageLogError, match=what):
        read(lines.encode("latin-1"))


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["t", "f", "p", "m", "w", "n", "end", "records"]), inner)).map(
        lambda value: json.dumps(value).encode() + b"\n"))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    try:
        read(HEAD.encode() + line)
    except PageLogError as error:
        assert str(error)


def test_a_packed_log_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(HEAD.encode())[:-4])
    with pytest.raises(PageLogError, match="cut off"), pagelog.opened(path) as log:
        list(log.records)


def test_a_place_that_is_no_plain_file_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(PageLogError, match="no plain file"):
        pagelog.save(tmp_path, Header(4096), [])


def test_the_last_of_two_times_of_a_line_counts_however_often_it_comes() -> None:
    line = '{"t": 1, "f": "a", "p": "0", "t": 5}\n{"t": 2, "f": "b", "p": "0", "\\u0074": 6}\n'
    assert [record.time for record in read(HEAD + line + line.replace('"t": 5', '"t": 7').replace("6}", "8}")
                                           .replace('"t": 1', '"t": 3'))] == [5, 6, 7, 8]
