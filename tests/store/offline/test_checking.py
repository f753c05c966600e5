"""`istat check` and `--repair`: every kind of damage is found, what is whole is saved, nothing gets worse."""
from __future__ import annotations

import json
import random
import shutil

import pytest

from istat.cli import command
from istat.errors import StoreLocked
from istat_server.store.files import manifest
from istat_server.store.offline import checking, repairing
from istat_server.tools.checking import COMMAND
from tests.store.harness import NOW, crash, open_store, put, rows

NAMES = [f"counter.n{at:03}" for at in range(300)]


@pytest.fixture
def folder(tmp_path, clock):
    """A store with derived, fine and direct files, two names files and a journal."""
    where = tmp_path / "s"
    store = open_store(where, clock)
    put(store, *(f"{name} {NOW - 10 * at} {at}" for name in NAMES for at in range(20)))
    clock.advance(7200)
    store.tick()
    store.compact()
    put(store, *(f"{name} {NOW + 7000} 5" for name in NAMES), f"late {NOW - 5000} 1")
    store.flush()
    put(store, "last 1", *(f"{name} 7" for name in NAMES[:10]))
    crash(store)
    return where


def total(where, clock):
    """Samples at the finest level, over all counters that answer."""
    store = open_store(where, clock)
    try:
        return sum(row[1] for id in range(store.count())
                   for row in store.select([id], 0, NOW - 10 ** 5, NOW + 10 ** 5)[0].rows())
    finally:
        crash(store)


def problems(where):
    return checking.check(where).errors


def state_of(where):
    return manifest.load(where)[0]


def files(where, suffix, kind=""):
    return sorted(path for path in where.glob(f"*/*{suffix}") if kind in path.name and "damaged" not in path.parts)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)


def test_a_sound_store_is_sound_and_repairing_it_changes_nothing(folder):
    report = checking.check(folder)
    assert (report.errors, report.counters) == ([], 302)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert repairing.repair(folder) == repairing.Repair()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_store_in_use_is_checked_but_not_repaired(folder, clock):
    store = open_store(folder, clock)
    put(store, "more 1")
    assert not problems(folder)
    with pytest.raises(StoreLocked):
        repairing.repair(folder)
    store.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_byte_anywhere_is_found_and_mended(folder, clock, seed):
    rng = random.Random(seed)
    whole = total(folder, clock)
    state = state_of(folder)
    live = [folder / entry.path for entry in state.files] + files(folder, ".names") + [folder / "MANIFEST"]
    live = [path for path in live if path.suffix != ".names" or int(path.stem) in state.names]
    victim = rng.choice(live)
    flip(victim, rng.randrange(victim.stat().st_size))
    found = problems(folder)
    assert found and {finding.file for finding in found} == {str(victim.relative_to(folder))}, victim
    repairing.repair(folder)
    assert not problems(folder)
    assert repairing.repair(folder) == repairing.Repair()
    kept = total(folder, clock)
    assert kept <= whole
    if victim.suffix != ".names" and "fine" not in victim.name:
        assert kept == whole
    assert (folder / "damaged").is_dir()
    assert not problems(folder)


@pytest.mark.parametrize("kind", ["fine", "derived", "direct"])
def test_a_missing_file_is_told_and_left_out(folder, clock, kind):
    gone = files(folder, ".statfile", kind)
    gone = next(path for path in gone if str(path.relative_to(folder)) in {e.path for e in state_of(folder).files})
    gone.unlink()
    assert [(finding.kind, finding.file) for finding in problems(folder)] == [
        ("missing", str(gone.relative_to(folder)))]
    done = repairing.repair(folder)
    assert done.lost_rows > 0 and any("is missing" in text for text in done.done)
    assert not problems(folder)


def test_a_damaged_block_costs_its_rows_only(tmp_path, clock):
    where = tmp_path / "many"
    store = open_store(where, clock)
    put(store, *(f"{name} {NOW - 10 * at} {at * 1.7}" for name in NAMES for at in range(300)))
    store.flush()
    crash(store)
    (path,) = files(where, ".statfile", "fine")
    flip(path, 3000)
    done = repairing.repair(where)
    assert 0 < done.lost_rows < 300 * 300 // 2
    assert not problems(where)
    assert total(where, clock) == 300 * 300 - done.lost_rows


def test_what_a_derived_file_lost_is_derived_anew(folder, clock):
    before = open_store(folder, clock)
    wanted = {name: rows(before, name, 1) for name in NAMES[:5]}
    crash(before)
    for path in files(folder, ".statfile", "derived"):
        flip(path, path.stat().st_size - 5)
    repairing.repair(folder)
    store = open_store(folder, clock)
    assert {name: rows(store, name, 1) for name in NAMES[:5]} == wanted
    crash(store)


def test_counters_whose_names_are_lost_are_not_taken_for_new_ones(folder, clock):
    for number in state_of(folder).names:
        (folder / f"names/{number:08d}.names").unlink()
    assert {finding.kind for finding in problems(folder)} >= {"missing"}
    done = repairing.repair(folder)
    assert not problems(folder), done
    store = open_store(folder, clock)
    put(store, "brand.new 3")
    assert [row[2] for row in rows(store, "brand.new", 0)] == [3.0]
    assert store.find(b"istatd.lost.counter.0") is not None
    crash(store)


def test_damage_in_the_journal_and_a_missing_segment(folder, clock):
    segments = files(folder, ".journal")
    segment = max(segments, key=lambda path: path.stat().st_size)
    flip(segment, 60)
    whole = total(folder, clock)
    repairing.repair(folder)
    assert not problems(folder)
    assert total(folder, clock) <= whole
    numbers = [int(path.stem) for path in files(folder, ".journal") if int(path.stem) >= state_of(folder).replay_from]
    (folder / f"journal/{numbers[0]:08d}.journal").unlink()
    assert [finding.kind for finding in problems(folder)] == ["missing"]
    repairing.repair(folder)
    assert not problems(folder)
    total(folder, clock)


def test_the_command(folder, capsys, tmp_path):
    brought = {"check": lambda: COMMAND}
    assert command.main(["check", str(folder)], brought=brought) == 0
    assert "all sound" in capsys.readouterr().out
    (folder / "MANIFEST.previous").rename(tmp_path / "previous")     # as in a new store, or a restored one
    assert command.main(["check", str(folder)], brought=brought) == 0
    assert "MANIFEST.previous" not in capsys.readouterr().out
    (tmp_path / "previous").rename(folder / "MANIFEST.previous")
    victim = folder / state_of(folder).files[0].path
    flip(victim, victim.stat().st_size // 2)
    assert command.main(["check", str(folder)], brought=brought) == 90
    told = capsys.readouterr()
    finding, summary = told.out.splitlines()
    assert finding.count(victim.name) == 1 and finding.startswith(f"damaged: {victim.relative_to(folder)}: ")
    assert "iB, 302 counters: 1 error" in summary and "errors" not in summary
    assert told.err == f"istat: one thing is wrong in {folder}; `istat check --repair` saves what is whole\n"
    assert command.main(["check", "--json", str(folder)], brought=brought) == 90
    told = capsys.readouterr()
    assert json.loads(told.out)["findings"][0]["file"] == str(victim.relative_to(folder))
    assert "--repair" in told.err
    assert command.main(["check", "--repair", str(folder)], brought=brought) == 0
    assert "repaired: " in capsys.readouterr().out
    assert command.main(["check", str(tmp_path / "none")], brought=brought) == 91
    shutil.rmtree(folder)
