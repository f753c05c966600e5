"""Files, logs and numbers that are made to fill the memory or to take for ever: what they cost is bounded, and they are
refused in a sentence."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from pathlib import Path

import pytest

from istat.cli import command
from istat.cli.pagecache.cacheplan import COMMAND as CACHEPLAN
from istat.cli.pagecache.fadvise import COMMAND as FADVISE
from istat.cli.pagecache.fincore import COMMAND as FINCORE
from istat.errors import LayoutError, PageLogError, SnapshotError
from istat.pagecache import advising, layouts, syscalls
from istat.pagecache import residency as residency_of_one
from istat.pagecache.fleets import snapshots
from istat.pagecache.fleets.snapshots import Entry
from istat.pagecache.model import recency
from istat.pagecache.model.workload import of_layout
from istat.pagecache.replay import accesses, pagelog, recording
from istat.pagecache.syscalls import PAGE

BROUGHT = {"cacheplan": lambda: CACHEPLAN, "fadvise": lambda: FADVISE, "fincore": lambda: FINCORE}
TERABYTE = 1 << 40

Said = pytest.CaptureFixture[str]


def run(*words: object) -> int:
    return command.main([*map(str, words)], None, BROUGHT)


@pytest.fixture
def vast(tmp_path: Path) -> Path:
    """A file of 8 TiB with nothing in it: more than any machine's memory."""
    path = tmp_path / "vast"
    path.touch()
    os.truncate(path, 8 * TERABYTE)
    return path


def test_short_lines_of_many_pages_are_not_remembered() -> None:
    line = json.dumps({"t": 1, "f": "a", "p": "0-99999"})
    head = {"format": "pagelog", "version": 1, "page_size": 4096}
    # Alike up to the time, so that the second is that of the memory where there is one.
    log = pagelog.read(io.BytesIO("\n".join([json.dumps(head), line, line, ""]).encode()))
    first, second = (record.pages for record in log.records)
    assert first == second
    assert first is not second


def test_accesses_of_one_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesses, "MOST_HELD", 100)
    few = [f"{time},f{file},0,{PAGE}\n" for time in range(5) for file in range(11)]     # 11 * (FILE + 1) at each time
    assert len(list(accesses.records(few, PAGE))) == 55
    with pytest.raises(PageLogError, match="line 12: at one time more than"):
        list(accesses.records([f"1,f{file},0,{PAGE}\n" for file in range(99)], PAGE))
    with pytest.raises(PageLogError, match="line 2: at one time more than"):
        list(accesses.records([f"1,f,{part},{80 * PAGE}\n" for part in (0, 80 * PAGE)], PAGE))
    # The same pages again are no more pages.
    assert len(list(accesses.records([f"1,f,0,{80 * PAGE}\n"] * 9, PAGE))) == 1


def test_a_line_of_accesses_without_end_is_refused(tmp_path: Path, capsys: Said) -> None:
    log = tmp_path / "a.log"
    assert run("pagetrace", "convert", "/dev/zero", log) == PageLogError.exit_code
    assert "line 1: it is longer than" in capsys.readouterr().err
    assert not log.exists()


def test_a_program_that_talks_without_end_is_cut_short(tmp_path: Path) -> None:
    talk = f"import sys; sys.stderr.write('x' * {3 * recording.READ_AT_ONCE} + 'last words'); sys.exit(3)"
    with pytest.raises(PageLogError, match="ended with status 3: x*last words$") as refused:
        recording._run([sys.executable, "-c", talk])
    assert len(str(refused.value)) < recording.MOST_WORDS + 500


def test_a_file_of_more_pages_than_can_be_asked_one_by_one_is_refused(
        vast: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency_of_one, "MOST_LISTED", TERABYTE // PAGE)
    found = residency_of_one.residency(vast, backend="mincore")
    assert found.state == "error(it is too large for mincore, which is asked page by page; give a part with --range)"
    assert found.size == 8 * TERABYTE
    assert residency_of_one.residency(vast, backend="mincore", range=(7 * TERABYTE, PAGE)).resident == 0


def test_more_than_the_memory_is_not_read_in(vast: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(syscalls, "fadvise", lambda fd, offset, length, advice: asked.append(length))
    assert run("fadvise", "-a", "willneed", vast) == 1
    assert f"{vast}: that is more than this machine's memory" in capsys.readouterr().err
    with pytest.raises(OSError, match="more than this machine's memory") as refused:
        snapshots.restore(Entry(str(vast), 8 * TERABYTE, ((0, 8 * TERABYTE // PAGE - 1),)))
    assert refused.value.errno == errno.EFBIG
    assert not asked
    handle = os.open(vast, os.O_RDONLY)
    advising.advise(handle, advising.WILLNEED, 0, 10 * PAGE)        # a part of it may come
    os.close(handle)
    assert sum(asked) == 10 * PAGE


def test_the_last_page_of_the_longest_file_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    most = (1 << 63) - 1
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, offset, length, advice: asked.append((offset, length)))
    syscalls.fadvise(0, 0, most + 1, os.POSIX_FADV_DONTNEED)        # its pages, all whole
    syscalls.fadvise(0, most + 1 - PAGE, PAGE, os.POSIX_FADV_DONTNEED)
    syscalls.fadvise(0, PAGE, PAGE, os.POSIX_FADV_DONTNEED)
    assert asked == [(0, most), (most + 1 - PAGE, PAGE - 1), (PAGE, PAGE)]


def test_rings_that_would_take_lru_minutes_are_done_by_opt() -> None:
    work = of_layout(layouts.parse("rrd:1:" + ",".join(f"MAX/{99_000 + ring}/10" for ring in range(200)))[0])
    assert not recency.possible(work)
    with pytest.raises(LayoutError, match="use the model opt"):
        recency.faults(work, 5)
    assert recency.possible(of_layout(layouts.parse("rrd:1:MAX/1/10,MAX/99999/10")[0]))


def test_functions_of_archives_are_words() -> None:
    assert layouts.parse("rrd:1:AVERAGE/1/10,DEVSEASONAL/1/10")[0].rings[1].name == "rra[1] DEVSEASONAL/1"
    for function in ("", "\x1b[31mMAX", "MAX MAX", "A" * 30):
        with pytest.raises(LayoutError, match="is no layout"):
            layouts.parse(f"rrd:1:{function}/1/10")


@pytest.mark.parametrize("words", [
    ("--device-iops", "nan", "--budget", "5"), ("--device-iops", "-5", "--budget", "5"), ("--device-iops", "0"),
    ("--device-iops", "inf"), ("--budget", "inf"), ("--budget", "nan"), ("--budget", "0")])
def test_reads_a_second_are_numbers_above_0(words: tuple[str, ...], capsys: Said) -> None:
    assert run("cacheplan", *words) == 2
    assert "--budget and --device-iops are above 0" in capsys.readouterr().err


def test_a_name_of_several_lines_is_told_in_one(tmp_path: Path, capsys: Said) -> None:
    name = tmp_path / "gone\nistat: all is well\x1b[31m"
    assert run("fincore", name) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"istat: {tmp_path}/gone\\nistat: all is well\\x1b[31m: No such file or directory"
    assert run("fincore", "--diff", name) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_too_little_memory_is_told_in_a_sentence(tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: object) -> None:
        raise MemoryError

    monkeypatch.setattr(snapshots, "load", full)
    assert run("fincore", "--diff", tmp_path) == 1
    assert capsys.readouterr().err.startswith("istat: there is not enough memory")


def test_names_longer_than_any_file_s_are_in_no_snapshot(tmp_path: Path) -> None:
    saved = tmp_path / "a.snap"
    longest = "/" + "a/" * ((snapshots.MOST_NAME - 2) // 2) + "b"
    assert len(longest) == snapshots.MOST_NAME
    snapshots.save(saved, [Entry(longest, 1, ((0, 0),))], 0)
    assert [one.path for one in snapshots.load(saved).entries()] == [longest]
    snapshots.save(saved, [Entry(longest + "b", 1, ((0, 0),))], 0)
    with pytest.raises(SnapshotError, match="without a name that a file could have"):
        snapshots.load(saved)


def test_names_in_a_snapshot_begin_at_the_root(tmp_path: Path) -> None:
    saved = tmp_path / "a.snap"
    snapshots.save(saved, [Entry("/etc/fstab", 1, ((0, 0),))], 0)
    saved.write_bytes(saved.read_bytes().replace(b"/etc/fstab", b"../fstab"))
    with pytest.raises(SnapshotError, match="without a name that a file could have"):
        snapshots.load(saved)
