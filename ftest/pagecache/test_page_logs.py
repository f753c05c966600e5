"""Check 14: the layout rule is what the real rrdtool does, page by page; and logs recorded of real programs."""
from __future__ import annotations

import json
import mmap
import shutil
import subprocess
import sys

import pytest

from ftest.pagecache import pages
from istat.cli import command
from istat.cli.pagecache import cachesim
from istat.errors import PageLogError
from istat.pagecache.layouts import rrd
from istat.pagecache.replay import pagelog
from istat.pagecache.replay.recording import Recipe, record

BEGIN = 1_699_920_000       # a midnight, so that all archives have their turn within a day
UPDATES = 300               # more than the 288 of a day
CREATE = ["DS:in:COUNTER:600:0:U", "DS:out:COUNTER:600:0:U",
          *(f"RRA:{function}:0.5:{steps}:800" for function, steps, _ in rrd.MRTG_ARCHIVES)]
WRITER = ("import os, sys; f = os.open(sys.argv[1], os.O_RDWR); os.posix_fadvise(f, 0, 0, os.POSIX_FADV_RANDOM); "
          "os.pread(f, 1, 0); os.pwrite(f, b'x' * 4096, 4096 * int(sys.argv[2]))")


@pytest.mark.peers
def test_the_layout_rule_is_what_rrdtool_does(folder):
    if shutil.which("rrdtool") is None:
        pytest.skip("rrdtool is not installed")
    path = str(folder / "if.rrd")
    subprocess.run(["rrdtool", "create", path, "--start", str(BEGIN), "--step", "300", *CREATE], check=True)
    found = rrd.read((folder / "if.rrd").read_bytes())
    assert (found.layout, found.last_update) == (rrd.mrtg(), BEGIN)
    assert found.layout.size == (folder / "if.rrd").stat().st_size
    recipe = Recipe.of("rrdtool update {f} {v}", BEGIN, 300, UPDATES, 2)
    seen = list(record([path], recipe))
    assert [one.time for one in seen] == [BEGIN + 300 * number for number in range(1, UPDATES + 1)]
    assert [list(one.pages) for one in seen] == [
        found.layout.touched(one.time // 300, found.starts) for one in seen]
    assert all(one.written == one.pages for one in seen)
    after = rrd.read((folder / "if.rrd").read_bytes())
    assert after.starts == found.starts


@pytest.mark.peers
def test_record_and_cachesim_from_the_command_line(folder, capsys):
    if shutil.which("rrdtool") is None:
        pytest.skip("rrdtool is not installed")
    path, log = str(folder / "if.rrd"), str(folder / "if.log.gz")
    subprocess.run(["rrdtool", "create", path, "--start", str(BEGIN), "--step", "300", *CREATE], check=True)
    assert command.main(["pagetrace", "record", log, path, "--updates", "12", "--begin", str(BEGIN),
                         "--levels", "1,6,24,288", "--cmd", "rrdtool update {f} {v}"]) == 0
    assert capsys.readouterr().out.endswith("12 records\n")
    assert command.main(["cachesim", log, "--frames-per-file", "26", "--json"], None,
                        {"cachesim": lambda: cachesim.COMMAND}) == 0
    result = json.loads(capsys.readouterr().out)["results"][0]
    assert (result["updates"], result["misses"]) == (12, result["cold"])


def test_a_program_s_reads_and_writes_are_recorded(folder):
    path = str(pages.make(folder / "a"))
    recipe = Recipe([sys.executable, "-S", "-c", WRITER, "{f}", "{n}"], BEGIN, 300, 3)
    seen = list(record([path], recipe))
    assert [(one.pages, one.written) for one in seen] == [((0, n), (n,)) for n in (1, 2, 3)]
    pagelog.save(folder / "a.log", pagelog.Header(4096, 300), seen)
    with pagelog.opened(folder / "a.log") as log:
        assert list(log.records) == seen


def test_a_program_that_fails_ends_the_record_with_its_words(folder):
    path = str(pages.make(folder / "a"))
    for words, said in (([sys.executable, "-S", "-c", "raise SystemExit('no such counter')"], "no such counter"),
                        (["/no/such/program"], "cannot be run")):
        with pytest.raises(PageLogError, match=said):
            list(record([path], Recipe(words, BEGIN)))


def test_files_that_cannot_be_evicted_are_told(folder):
    path = pages.make(folder / "a", cached=True)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        assert mapping[0] is not None
        with pytest.raises(PageLogError, match="stay in memory"):
            list(record([str(path)], Recipe(["true"], BEGIN)))
