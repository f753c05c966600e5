"""`istat fadvise run`: programs as they are, run with advice on all their files and without their own; which pages that
brings into memory."""
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftest.pagecache import pages
from istat.pagecache.readahead import readahead_kb
from istat.pagecache.residency import residency
from istat.pagecache.syscalls import PAGE
from tests.skips import need

ISTAT = (sys.executable, "-m", "istat.cli.command")
LARGE = 1 << 20         # [bytes] of a file of which no readahead takes in the end
TOUCH = """
import mmap, os, sys
path, page, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
    if how == "random":
        mapping.madvise(mmap.MADV_RANDOM)
    if how == "normal":
        mapping.madvise(mmap.MADV_NORMAL)
        mapping.madvise(mmap.MADV_SEQUENTIAL)
    mapping[page * mmap.PAGESIZE]
"""


def run(*words: object, mode: str | None = None) -> None:
    """A program, by itself or by `istat fadvise run`."""
    started = [*ISTAT, "fadvise", "run", f"--{mode}", "--"] if mode else []
    done = subprocess.run([*started, *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "istat:" not in done.stderr and "ld.so" not in done.stderr


def touched(path: Path, page: int, how: str, mode: str | None) -> tuple[tuple[int, int], ...]:
    """Ranges in memory after a program that maps the file and touches one page."""
    pages.evict(path)
    run(sys.executable, "-c", TOUCH, path, page, how, mode=mode)
    return residency(path, pages=True).ranges


def test_a_mapping_gets_the_advice_that_the_program_does_not_give(folder):
    path = pages.make(folder / "a", LARGE)
    alone = touched(path, 100, "none", None)
    window = readahead_kb(path) * 1024 // PAGE
    assert sum(last - first + 1 for first, last in alone) >= min(LARGE // PAGE // 2, window)
    assert touched(path, 100, "none", "random") == ((100, 100),)
    # and keeps it, whatever the program says of it
    assert touched(path, 100, "normal", "random") == ((100, 100),)


def test_the_programs_own_advice_is_withheld(folder):
    path = pages.make(folder / "a", LARGE)
    assert touched(path, 100, "random", None) == ((100, 100),)
    assert touched(path, 100, "random", "no-advice") == touched(path, 100, "none", None)


def test_dd_reads_no_page_ahead_through_a_descriptor(folder):
    path = pages.make(folder / "a", LARGE)
    program = ("dd", f"if={path}", "of=/dev/null", f"bs={PAGE}", "count=1")
    run(*program)
    assert residency(path).resident > 1
    for words in (program, ("sh", "-c", " ".join(program)), ("sh", "-c", f"head -c 1 <{path} >/dev/null")):
        pages.evict(path)
        run(*words, mode="random")
        # Page 0 may come with what is read at once: head and dd ask for one page or block.
        assert residency(path, pages=True).ranges[0][0] == 0
        assert residency(path).resident <= 2, words


@pytest.mark.peers
def test_an_update_of_rrdtools_brings_its_pages_or_without_its_advice_the_file(folder):
    """The paper's before and after. rrdtool gives madvise RANDOM itself, since 1.3."""
    rrdtool = shutil.which("rrdtool")
    need(rrdtool, "rrdtool")
    path = folder / "if.rrd"
    archives = [f"RRA:{kind}:0.5:{steps}:800" for kind in ("AVERAGE", "MAX") for steps in (1, 6, 24, 288)]
    sources = [f"DS:{name}:COUNTER:600:0:U" for name in ("in", "out")]
    run(rrdtool, "create", path, "--start", 1699920000, "--step", 300, *sources, *archives)
    assert path.stat().st_size == pages.MRTG
    resident = {}
    for number, mode in enumerate((None, "random", "no-advice"), 1):
        pages.evict(path)
        run(rrdtool, "update", path, f"{1699920000 + 300 * number}:{number}:{number}", mode=mode)
        resident[mode] = residency(path).resident
    assert resident[None] <= 4 and resident["random"] <= 4      # header, and a page for each archive that is due
    ahead = readahead_kb(path) * 1024 // PAGE
    assert resident["no-advice"] >= min(26, ahead)
