"""What is asked to go, and why pages stay, where no kernel is needed to know it."""
from __future__ import annotations

import json
import mmap
import os
import struct

import pytest

from istat.cli import command
from istat.cli.pagecache.fadvise import COMMAND
from istat.pagecache import evicting, staying
from istat.pagecache.evicting import Evicted, Eviction, Evictor
from istat.pagecache.residency import Residency
from istat.pagecache.staying import ENTRY, PRESENT, Mappings
from istat.pagecache.syscalls import PAGE

SIZE = 10 * PAGE - 1


@pytest.mark.parametrize(("range", "whole", "asked"), [
    (None, False, ((0, 9),)), ((0, 0), False, ((0, 9),)), ((PAGE, 0), False, ((1, 9),)),
    ((PAGE, PAGE), False, ((1, 1),)), ((PAGE + 1, PAGE), False, ()), ((PAGE + 1, PAGE), True, ((1, 2),)),
    ((9 * PAGE, PAGE - 1), False, ((9, 9),)), ((9 * PAGE, PAGE - 2), False, ()), ((SIZE, 0), False, ()),
    ((0, 100 * PAGE), False, ((0, 9),)), ((100 * PAGE, 0), True, ())])
def test_pages_that_are_only_partly_meant_stay_unless_rounded_outward(range, whole, asked):
    assert Evictor(Eviction(range=range, whole_folios=whole))._asked(SIZE, ()) == asked


def test_pages_that_are_to_stay_are_not_asked_to_go():
    assert Evictor(Eviction())._asked(SIZE, ((0, 1), (4, 4))) == ((2, 3), (5, 9))
    assert Evictor(Eviction())._asked(SIZE, ((0, 99),)) == ()


def test_only_an_edge_beyond_which_the_file_goes_on_may_cut_a_folio():
    assert staying.edges(((0, 9),), ((0, 9),), SIZE) == []
    assert staying.edges(((2, 7),), ((2, 7),), SIZE) == [2, 7]
    assert staying.edges(((3, 7),), ((2, 7), (9, 9)), SIZE) == [7]
    assert staying.edges(((4, 4),), ((4, 4),), SIZE) == [4]


def test_numbers_are_unknown_where_one_of_them_is():
    assert Evicted(3, "", 1, 1).evicted == 2
    assert Evicted(1, "", 3, 3).evicted == 0        # somebody reads it
    assert Evicted(None, "", 1, 1).evicted is Evicted(1, "", None, None).evicted is None


@pytest.mark.parametrize("dirty, writeback, after, retry, writes, synced", [
    (0, 0, 0, None, 0, ""), (1, 0, 0, None, 1, "fdatasync"), (0, 1, 0, None, 1, "fdatasync"),
    (None, None, 0, None, 1, "fdatasync"), (0, 0, 1, None, 1, "fdatasync"), (0, 0, 1, 0, 0, "")])
def test_only_what_may_be_dirty_is_written(dirty, writeback, after, retry, writes, synced, tmp_path, monkeypatch):
    """To write a clean file waits for the disk, too. What stays may have become dirty."""
    path = tmp_path / "a"
    path.write_bytes(bytes(2 * PAGE))
    answers = iter([Residency(2 * PAGE, 2, 2, dirty, writeback, 0, 0, None, "ok", "cachestat")])
    later = Residency(2 * PAGE, 2, after, 0, 0, 0, 0, ((0, 0),) * after, "ok", "cachestat")
    monkeypatch.setattr(evicting, "measured", lambda *_, **__: next(answers, later))
    monkeypatch.setattr(evicting.advising, "advise", lambda *_: None)
    done = []
    monkeypatch.setattr(os, "fdatasync", done.append)
    found = evicting.evict(path, retry=retry)
    assert (len(done), found.synced, found.left) == (writes, synced, after)


@pytest.fixture
def proc(tmp_path):
    """A machine with two programs: 1 has pages 2-5 of inode 77 mapped and page 3 in memory, 2 may not be looked at."""
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "self").mkdir()
    start = 16 * PAGE
    (tmp_path / "1/maps").write_text(
        f"{start:08x}-{start + 4 * PAGE:08x} r--s {2 * PAGE:08x} 08:01 77   /srv/a b\n"
        f"{start * 2:08x}-{start * 2 + PAGE:08x} rw-p 00000000 00:00 0 [heap]\n")
    (tmp_path / "1/smaps").write_text(
        f"{start:08x}-{start + 4 * PAGE:08x} r--s {2 * PAGE:08x} 08:01 77   /srv/a b\nRss: 4 kB\nVmFlags: rd mr\n"
        f"{start * 2:08x}-{start * 2 + PAGE:08x} rw-p 00000000 00:00 0 [heap]\nVmFlags: rd wr lo\n")
    with (tmp_path / "1/pagemap").open("wb") as file:
        file.seek((16 + 1) * ENTRY)
        file.write(struct.pack("=Q", 1 << PRESENT))
        file.write(bytes(20 * ENTRY))
    return tmp_path


def about(inode):
    return os.stat_result((0o100644, inode, 0x801, 1, 0, 0, SIZE, 0, 0, 0))


def test_a_page_is_mapped_where_a_program_has_touched_it(proc):
    mappings = Mappings(proc)
    assert mappings.reason(about(77), ((0, 9),)) == "mapped"
    assert mappings.reason(about(77), ((3, 3),)) == "mapped"
    assert mappings.reason(about(77), ((2, 2), (4, 9))) == ""       # mapped and never touched
    assert mappings.reason(about(78), ((0, 9),)) == ""


def test_a_page_is_locked_where_the_mapping_says_so(proc):
    smaps = proc / "1/smaps"
    smaps.write_text(smaps.read_text().replace("rd mr", "rd mr lo"))
    assert Mappings(proc).reason(about(77), ((3, 3),)) == "locked"


def test_a_program_that_ends_meanwhile_is_no_reason(proc):
    mappings = Mappings(proc)
    assert mappings.reason(about(78), ((0, 0),)) == ""
    (proc / "1/pagemap").write_bytes(b"abc")
    assert mappings.reason(about(77), ((3, 3),)) == ""
    (proc / "1/pagemap").unlink()
    assert mappings.reason(about(77), ((3, 3),)) == ""


def test_nobody_sees_half_of_what_is_mapped(proc, monkeypatch):
    """Threads share it: one that asks while another reads it anew gets what was known before."""
    mappings, real, seen = Mappings(proc), staying._mapped_by, []
    assert mappings.reason(about(77), ((3, 3),)) == "mapped"

    def read(*words):
        seen.append({*mappings._known})
        return real(*words)

    monkeypatch.setattr(staying, "_mapped_by", read)
    mappings._read_at = float("-inf")
    assert mappings.reason(about(77), ((3, 3),)) == "mapped"
    assert seen == [{77}, {77}]


def test_a_file_that_becomes_shorter_meanwhile_ends_nobody(tmp_path):
    """To touch a page behind the end would (SIGBUS)."""
    with (tmp_path / "a").open("w+b") as file:
        file.truncate(10 * PAGE)
        with mmap.mmap(file.fileno(), 10 * PAGE, access=mmap.ACCESS_COPY) as mapping:
            file.truncate(PAGE)
            with pytest.raises(OSError):
                staying._Frames(mapping, -1, -1).folio(3, 10)
        assert staying.folio_of(file.fileno(), 3, 10 * PAGE) is None


def test_what_became_of_a_file_is_told_of_that_file_alone(tmp_path, capsys):
    """Of a file that is reached twice one row is shown, and no answer of it stays for what comes later."""
    (tmp_path / "a").write_bytes(bytes(2 * PAGE))
    for number in range(50):
        os.link(tmp_path / "a", tmp_path / f"b{number}")
    assert fadvise("--json", "--sync", "none", "--dry-run", str(tmp_path), *["/dev/null"] * 50) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [one["before"] for one in files] == [2, *[None] * 50]


def fadvise(*words: str) -> int:
    return command.main(["fadvise", *words], None, {"fadvise": lambda: COMMAND})


@pytest.fixture
def plain(tmp_path):
    with (tmp_path / "plain").open("w+b") as file:
        yield file


def test_options_that_make_no_sense_together_are_refused(capsys, tmp_path, plain):
    for words, told in ((("-a", "random", "x"), "random belongs to the open file description"),
                        ((), "which files?"), (("--json", "--csv", "x"), "choose one"),
                        (("-a", "willneed", "--keep-resident", "s", "x"), "--keep-resident is for evicting"),
                        (("--fd", str(plain.fileno()), "x"), "--fd is a file already")):
        assert fadvise(*words) == 2
        assert told in capsys.readouterr().err
    pipe, folder = os.pipe(), os.open(tmp_path, os.O_RDONLY)
    for words in (("--retry", "-1", "x"), ("--retry", "101", "x"), ("--fd", "x"), ("-a", "please", "x"),
                  *(("--fd", str(fd)) for fd in (*pipe, folder, 1 << 20, 1 << 40))):
        with pytest.raises(SystemExit) as ended:
            fadvise(*words)
        assert ended.value.code == 2
    assert "is no open descriptor of a plain file" in capsys.readouterr().err
    for fd in (*pipe, folder):
        os.close(fd)
    assert fadvise(str(tmp_path / "none")) == 1
    told = capsys.readouterr()
    assert "none: No such file or directory" in told.err and "0 files" in told.out
