"""`istat fadvise run`: programs as they are, run with advice on all their files and without their own; which pages that
brings into memory."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftest.pagecache import pages
from istat.pagecache.preload import running
from istat.pagecache.preload.running import Mode
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


# Reads the first byte of a file in the way that is asked for.
WAYS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static int byte(int fd) { char one; return fd < 0 || pread(fd, &one, 1, 0) != 1; }
static int stream(FILE *file) { return file == NULL || getc(file) == EOF; }
static int mapping(int fd, void *at) { return fd < 0 || at == MAP_FAILED || *(volatile char *)at == 1; }
static const char *path;
static volatile int reading = O_RDONLY;   /* not known to the compiler: with _FORTIFY_SOURCE __open_2 and so on */
static void *thread(void *nothing) { return byte(open(path, O_RDONLY)) ? (void *)&path : nothing; }
int main(int count, char **words)
{
    const char *way = words[1];
    path = words[2];
    if (!strcmp(way, "open")) return byte(open(path, reading));
    if (!strcmp(way, "open64")) return byte(open64(path, reading));
    if (!strcmp(way, "openat")) return byte(openat(AT_FDCWD, path, reading));
    if (!strcmp(way, "openat64")) return byte(openat64(AT_FDCWD, path, reading));
    if (!strcmp(way, "created")) return byte(open(path, O_RDWR | O_CREAT, 0644));
    if (!strcmp(way, "fopen")) return stream(fopen(path, "r"));
    if (!strcmp(way, "fopen64")) return stream(fopen64(path, "r"));
    if (!strcmp(way, "freopen")) return stream(freopen(path, "r", stdin));
    if (!strcmp(way, "freopen64")) return stream(freopen64(path, "r", stdin));
    if (!strcmp(way, "dup")) return byte(dup(open(path, O_RDONLY)));
    if (!strcmp(way, "mmap")) {
        int fd = open(path, O_RDONLY);
        return mapping(fd, mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, fd, 0));
    }
    if (!strcmp(way, "mmap64")) {
        int fd = open64(path, O_RDONLY);
        return mapping(fd, mmap64(NULL, 1 << 20, PROT_READ, MAP_PRIVATE, fd, 0));
    }
    if (!strcmp(way, "thread")) {
        pthread_t one;
        void *failed = NULL;
        return pthread_create(&one, NULL, thread, NULL) || pthread_join(one, &failed) || failed != NULL;
    }
    if (!strcmp(way, "exec"))
        return execl(words[0], words[0], "open", path, NULL);
    int status = 0;
    pid_t child = strcmp(way, "vfork") ? fork() : vfork();
    if (child == 0) {
        if (!strcmp(way, "fork"))
            _exit(byte(open(path, O_RDONLY)));
        execl(words[0], words[0], "open", path, NULL);
        _exit(1);
    }
    return waitpid(child, &status, 0) != child || status != 0;
}
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Programs that read the first byte: as it is, as distributions compile it, with offsets of 64 bits."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    need(compiler, "a C compiler")
    folder = tmp_path_factory.mktemp("reader")
    (folder / "reader.c").write_text(WAYS)
    made = {}
    for name, flags in {"plain": (), "fortified": ("-O2", "-D_FORTIFY_SOURCE=2"),
                        "large": ("-D_FILE_OFFSET_BITS=64",)}.items():
        made[name] = folder / name
        run(compiler, *flags, "-pthread", "-o", made[name], folder / "reader.c")
    return made


@pytest.mark.parametrize("way", ["open", "open64", "openat", "openat64", "created", "fopen", "fopen64", "freopen",
                                 "freopen64", "dup", "mmap", "mmap64", "thread", "exec", "fork", "vfork"])
def test_each_way_of_opening_gets_the_advice(folder, reader, way):
    path = pages.make(folder / "a", LARGE)
    for program in reader.values():
        pages.evict(path)
        subprocess.run([program, way, path], check=True)
        assert residency(path).resident > 1
        pages.evict(path)
        subprocess.run([program, way, path], check=True, env=running.environment(Mode.RANDOM, os.environ))
        assert residency(path, pages=True).ranges == ((0, 0),), program


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
