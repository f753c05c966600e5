"""Of one file what is in memory: what is told of odd ones, and who is believed."""
from __future__ import annotations

import os

import pytest

from istat.pagecache import residency as module
from istat.pagecache.residency import can_see, measured, residency
from istat.pagecache.syscalls import PAGE

OTHER = 12345       # a user


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "a"
    made.write_bytes(b"x" * (2 * PAGE + 1))
    return made


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A made-up /proc; a function that says what the caller is there."""
    where = tmp_path / "proc"
    for name in ("thread-self", "sys/kernel", "self"):
        (where / name).mkdir(parents=True)
    (where / "sys/kernel/overflowuid").write_text("65534\n")
    monkeypatch.setattr(module, "PROC", where)
    monkeypatch.setattr(os, "access", lambda *words, **more: False)

    def tell(owner, euid, capabilities="0000000000000000", uid_map="         0          0 4294967295\n"):
        (where / "thread-self/status").write_text(f"Name:\tx\nCapEff:\t{capabilities}\nCapBnd:\t00\n")
        (where / "self/uid_map").write_text(uid_map)
        monkeypatch.setattr(os, "geteuid", lambda: euid)
        monkeypatch.setattr(os, "stat", lambda path: os.stat_result((0o100644, 0, 0, 1, owner, 0, 0, 0, 0, 0)))
    return tell


def test_what_has_no_pages_is_told_by_its_state(tmp_path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    assert residency(tmp_path / "empty", pages=True, dirty_pages=True)[:8] == (0, 0, 0, 0, 0, 0, 0, ())
    assert residency(tmp_path / "empty").state == "empty"
    for special in (tmp_path, tmp_path / "pipe", "/dev/null"):
        assert residency(special) == module.special()
    missing = residency(tmp_path / "none")
    assert (missing.state, missing.failed, missing.known) == ("error(No such file or directory)", True, False)


def test_the_last_page_may_be_part_of_one(path):
    assert residency(path).pages == 3
    assert residency(path, range=(2 * PAGE, 0)).pages == 1
    assert residency(path, range=(PAGE - 1, 2)).pages == 2
    assert residency(path, range=(1, 0)).pages == 3
    with pytest.raises(ValueError):
        residency(path, range=(-1, 0))


def test_a_descriptor_keeps_its_place(path):
    with path.open("rb", buffering=0) as file:
        file.seek(5)
        assert residency(file.fileno(), pages=True).pages == 3
        assert file.tell() == 5


def test_a_file_that_grows_meanwhile_is_told(path):
    with path.open("r+b") as file:
        about = os.fstat(file.fileno())
        file.truncate(10 * PAGE)
        found = measured(file.fileno(), about)
    assert (found.state, found.pages) == ("changed", 3)
    assert found.known


def test_who_may_write_is_believed(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    monkeypatch.setattr(module, "_has", lambda capability: False)
    monkeypatch.setattr(os, "access", lambda name, *words, **more: str(name) == str(path))
    assert can_see(path)
    assert not can_see(path.parent)


@pytest.mark.parametrize("owner, told, believed", [
    (OTHER, {"euid": OTHER}, True), (OTHER, {"euid": 0}, False), (OTHER, {"euid": 7}, False),
    (OTHER, {"euid": 0, "capabilities": "000001ffffffffff"}, True),
    (OTHER, {"euid": 7, "capabilities": "0000000000000008"}, True),
    (OTHER, {"euid": 7, "capabilities": "000001fffffffff7"}, False),
    (65534, {"euid": 65534}, True),
    # In a user namespace.
    (65534, {"euid": 0, "capabilities": "000001ffffffffff", "uid_map": "0 1000 1\n"}, False),
    (65534, {"euid": 65534, "uid_map": ""}, False),
    (0, {"euid": 0, "uid_map": "0 1000 1\n"}, True),
    (1000, {"euid": 0, "capabilities": "000001ffffffffff", "uid_map": "0 100000 65536\n"}, True)])
def test_owners_and_who_stands_for_them_are_believed(proc, owner, told, believed):
    proc(owner, **told)
    assert can_see("any") is believed


def test_without_proc_nobody_stands_for_others(proc, monkeypatch, tmp_path):
    proc(OTHER, 0, "000001ffffffffff")
    monkeypatch.setattr(module, "PROC", tmp_path / "none")
    assert not can_see("any")
