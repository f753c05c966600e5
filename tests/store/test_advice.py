"""Every file of a store, of imports and of exports is opened with its advice to the page cache: none goes past
`istat.pagecache.ownfiles`."""
from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from istat.cli import command
from istat.clock import FakeClock
from istat.kernels import columns
from istat.pagecache import ownfiles
from istat_server.tools import brought
from tests.opens import watched
from tests.store.harness import NOW, crash, open_store, put, rows, send

ROOT = Path(__file__).parents[2]
ROOMS = ("istat_server/store", "istat_server/foreign", "istat_server/tools")
# Openers, which `ownfiles` is given, and folders.
MAY_OPEN = {"istat_server/store/ondisk.py"}
READS = {"read_bytes", "read_text", "write_bytes", "write_text"}
STORES = {"StatFile", "StatStore", "ownfiles"}


def opens_in(path: Path) -> list[str]:
    """Calls of a module that open files by themselves."""
    found = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call):
            continue
        what = node.func
        if isinstance(what, ast.Name) and what.id == "open":
            found.append(f"{path.name}:{node.lineno}")
        if isinstance(what, ast.Attribute) and (what.attr in READS or (
                what.attr == "open" and not (isinstance(what.value, ast.Name) and what.value.id in STORES))):
            found.append(f"{path.name}:{node.lineno}")
    return found


def test_no_module_opens_a_data_file_by_itself() -> None:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")
               if path.relative_to(ROOT).as_posix() not in MAY_OPEN]
    assert len(modules) > 50
    assert [place for path in modules for place in opens_in(path)] == []


def test_a_module_that_does_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("import os\nopen('a')\nos.open('a', 0)\npath.open()\npath.read_bytes()\nStatFile.open('a')\n")
    assert opens_in(module) == ["module.py:2", "module.py:3", "module.py:4", "module.py:5"]


def live(folder: Path, clock: FakeClock) -> None:
    """The life of a store: samples, cuts, merges, questions, deletes, a crash, a replay, expiry."""
    store = open_store(folder, clock)
    for step in range(40):
        send(store, *(f"g.{one} {clock.now():.0f} {step}" for one in range(5)), f"*ev {clock.now():.0f} 1")
        if step % 10 == 9:
            store.flush()
        clock.advance(400)
    store.compact()
    assert rows(store, "g.0", 0) and rows(store, "ev", 1)
    store.delete([store.find(b"g.4").id])
    send(store, f"g.1 {clock.now():.0f} 1")
    crash(store)
    store = open_store(folder, clock)
    put(store, f"g.2 {clock.now():.0f} 1")
    store.flush()
    clock.advance(3 * 86400)
    store.watch.confirm()
    send(store, f"g.3 {clock.now():.0f} 1")
    store.compact()
    store.close()


def run(*words: object, now: float = NOW) -> int:
    return command.main([str(word) for word in words], FakeClock(now), brought())


def test_in_the_life_of_a_store_no_file_is_opened_without_advice(tmp_path: Path, clock: FakeClock) -> None:
    with watched(tmp_path) as opens:
        live(tmp_path / "store", clock)
    assert opens.without == []
    assert opens.advised > 100


def test_nor_by_what_works_on_one_that_nobody_has_open(tmp_path: Path, clock: FakeClock,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(tmp_path / "store", clock)
    send(store, f"g.1 {NOW} 1", f"*ev {NOW} 2")
    store.flush()
    send(store, f"g.1 {NOW} 3")
    crash(store)
    foreign = ROOT / "tests/fixtures/foreign"
    with watched(tmp_path) as opens:
        assert run("backup", "--store", tmp_path / "store", "--copy", tmp_path / "copy") == 0
        assert run("restore", tmp_path / "copy", tmp_path / "back") == 0
        assert run("check", tmp_path / "back") == 0
        assert run("check", tmp_path / "back", "--repair") == 0
        for form in ("csv", "istatd"):
            assert run("export", "--store", tmp_path / "back", "--format", form, "--output", tmp_path / form) == 0
        for source in (tmp_path / "istatd", tmp_path / "csv", *foreign.iterdir()):
            run("import", source, "--store", tmp_path / "new")
        for path in (tmp_path / "back").rglob("*"):
            if path.suffix in (".statfile", ".journal", ".names") or path.name == "MANIFEST":
                assert run("dump", path) == 0
    capsys.readouterr()
    assert opens.without == []
    assert opens.advised > 50


def test_a_damaged_store_is_repaired_with_advice_too(tmp_path: Path, clock: FakeClock) -> None:
    store = open_store(tmp_path / "store", clock)
    send(store, *(f"g.{one} {NOW} 1" for one in range(50)))
    store.flush()
    send(store, *(f"g.{one} {NOW} 1" for one in range(50)))
    crash(store)
    for path in (*(tmp_path / "store").rglob("*.statfile"), *(tmp_path / "store").rglob("*.journal")):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with watched(tmp_path) as opens:
        run("check", tmp_path / "store", "--repair")
    assert opens.without == [] and opens.advised


def test_long_answers_are_told_of_beforehand_unless_they_are_at_hand(tmp_path: Path, clock: FakeClock,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path, clock, cache_bytes=1 << 20)
    real, advised = os.posix_fadvise, []
    for _ in range(4):
        send(store, f"g.1 {clock.now():.0f} 1", f"g.2 {clock.now():.0f} 1")
        store.flush()
        clock.advance(400)
    monkeypatch.setattr(ownfiles, "LONG", 0)
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, at, n, how: advised.append(how) or real(fd, at, n, how))
    (name, *_others) = store.files.open_files()
    file, into = store.files.open_files()[name], columns.Columns()
    entry = file.blocks_for(0, 9)[0]
    file.read_ahead([entry])
    assert advised == [os.POSIX_FADV_WILLNEED]
    monkeypatch.setattr(file, "entries", lambda first, last: iter([entry, entry]))
    assert file.read(entry.first_id, 0, 1 << 40, into) == 2
    assert advised == [os.POSIX_FADV_WILLNEED] * 3
    assert file.read(entry.first_id, 0, 1 << 40, into) == 2
    assert len(advised) == 3
    store.close()


def test_each_finished_file_is_read_without_read_ahead(tmp_path: Path, clock: FakeClock,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    advised: dict[str, set[int]] = {}
    real = os.posix_fadvise

    def note(handle: int, offset: int, length: int, advice: int) -> None:
        advised.setdefault(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")), set()).add(advice)
        real(handle, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", note)
    live(tmp_path, clock)
    finished = {name for name in advised if name.endswith(".statfile")}
    assert finished and all(os.POSIX_FADV_RANDOM in advised[name] for name in finished)
    written = {name for name in advised if name.endswith((".statfile.tmp", ".journal"))}
    assert written and all(os.POSIX_FADV_DONTNEED in advised[name] for name in written)
    assert not [name for name in advised if os.POSIX_FADV_SEQUENTIAL in advised[name]]
