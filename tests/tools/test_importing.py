"""`istat import` as a person uses it: every bucket of a source is in the store, once, whatever happens on the way."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from istatd_writer import Counter, f32

from istat.cli import command
from istat.clock import FakeClock
from istat.errors import StoreError, StoreLocked, UsageError
from istat.retention import Ladder
from istat_server.store.files import manifest
from istat_server.store.statstore import StatStore
from istat_server.tools import COMMANDS
from istat_server.tools.importing import NothingTaken

ROOT = Path(__file__).parents[2]
NOW = 1325404800
RETENTION = "10s:2h,5m:4d,1h:40d"


def run(*words: object, now: float = NOW) -> int:
    brought = {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
    return command.main([str(word) for word in words], FakeClock(now), brought)


def imported(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    assert run("import", *words, "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def opened(folder: Path) -> StatStore:
    state, _ = manifest.load(folder)
    assert state is not None
    return StatStore.open(folder, state.default.ladder, FakeClock(NOW))


def istatd_store(root: Path, counters: int = 6, more: tuple[int, ...] = ()) -> dict[str, Counter]:
    """A store with gauges and events, young and old, some of whose rings went round. `more`: ages of later samples."""
    draw = random.Random(counters)
    made = {}
    for number in range(counters):
        event = number % 3 == 2
        counter = Counter(NOW - 80000, event)
        for age in sorted((draw.randrange(80000 if number % 2 else 6000) for _ in range(400)), reverse=True):
            counter.add(NOW - age, float(draw.randrange(100)) if event else draw.gauss(50, 9))
        for age in more:
            counter.add(NOW - age, 7.0 + number)
        name = f"host.h{number}.cpu"
        counter.write(root / name.replace(".", "/"))
        made[name] = counter
    return made


def short(rows: list[Any]) -> dict[int, tuple[Any, ...]]:
    return {row[0]: (row[1], pytest.approx(row[2], rel=1e-12, abs=1e-9), f32(row[4]), f32(row[5])) for row in rows}


def compare(folder: Path, theirs: dict[str, Counter]) -> int:
    """Every bucket of theirs is ours; how many there were."""
    store = opened(folder)
    seen = 0
    try:
        assert {store.counter(id).name for id in range(store.count())} == set(theirs)
        for name, counter in theirs.items():
            found = store.find(name.encode())
            assert found is not None
            for level, ring in enumerate(counter.rings.values()):
                oldest = NOW - store.ladder.levels[level].keep
                ours = short(store.select([found.id], level, 0, NOW + 1)[0].rows())
                for start, (total, low, high, count, _sumsq) in ring.buckets().items():
                    if start >= oldest:
                        assert (count, total, low, high) == ours[start], (name, level, start)
                        seen += 1
    finally:
        store.close()
    return seen


def test_an_istatd_store_comes_out_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = istatd_store(tmp_path / "old")
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    [found] = imported(capsys, tmp_path / "old", "--store", tmp_path / "new", "--retention", RETENTION)
    assert found["totals"]["counters"] == 6 and found["problems"] == {}
    assert compare(tmp_path / "new", theirs) > 1500
    store = opened(tmp_path / "new")
    store.compact()
    store.close()
    assert compare(tmp_path / "new", theirs) > 1500
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == before


def test_a_second_import_counts_nothing_twice_and_takes_what_is_new_of_a_changed_tree(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = istatd_store(tmp_path / "old", 6)
    words = [tmp_path / "old", "--store", tmp_path / "new", "--retention", RETENTION]
    first = imported(capsys, *words)
    [again] = imported(capsys, *words)
    assert again == {**first[0], "totals": {}, "before": first[0]["totals"], "nothing_new": True}
    compare(tmp_path / "new", theirs)
    # They go on, in buckets that are there and in new ones.
    theirs = istatd_store(tmp_path / "old", 6, (700, 400, 95, 93, 50, 11))
    (tmp_path / "old/host/late").mkdir()
    theirs["host.late"] = Counter(NOW - 5000)
    theirs["host.late"].add(NOW - 4000, 5.0)
    theirs["host.late"].write(tmp_path / "old/host/late")
    for _ in range(2):
        [more] = imported(capsys, *words)
        compare(tmp_path / "new", theirs)
    assert more["nothing_new"]


def test_each_run_tells_what_it_did_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"name,time,value\na,{NOW - 100},1\na,{NOW - 50},2\nbad\n")
    words = ["import", path, "--store", tmp_path / "s", "--retention", RETENTION]
    assert run(*words) == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(path), "(csv):", "bad_line", "1", "buckets", "2", "counters", "1"]
    assert said.err == f"istat: {path}, line 4: 1 columns, 3 expected\n"
    assert run(*words) == 0
    said = capsys.readouterr()
    assert "there is nothing new. Imported until 20" in said.out
    assert said.out.split()[-6:] == ["bad_line", "1", "buckets", "2", "counters", "1"]
    assert said.err == ""
    with open(path, "a") as file:
        file.write(f"b,{NOW - 40},3\n\nworse,\n")
    assert run(*words) == 0
    said = capsys.readouterr()
    assert "a.csv (csv), beside what was imported until 20" in said.out
    assert said.out.split()[-6:] == ["bad_line", "1", "buckets", "1", "counters", "1"]
    assert said.err == f"istat: {path}, line 7: 2 columns, 3 expected\n"


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    istatd_store(tmp_path / "old", 3)
    words = [tmp_path / "old", "--store", tmp_path / "new", "--retention", RETENTION]
    [trial] = imported(capsys, *words, "--dry-run")
    assert not (tmp_path / "new").exists()
    [done] = imported(capsys, *words)
    assert trial["totals"] == done["totals"]


def test_damaged_seasonal_and_strange_files_are_told_and_passed_over(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = istatd_store(tmp_path / "old", 2)
    folder = tmp_path / "old/host/h0/cpu"
    seasonal = bytearray((folder / "5m").read_bytes())
    seasonal[24] = 2
    (folder / "ret-7d").write_bytes(seasonal)
    (folder / "notes").write_text("what is this")
    (folder / "short").write_bytes(seasonal[:9000])
    (tmp_path / "old/loop").symlink_to(tmp_path / "old")
    [found] = imported(capsys, tmp_path / "old", "--store", tmp_path / "new", "--retention", RETENTION)
    assert found["problems"] == {"seasonal": 1, "damaged": 2, "links": 1}
    assert any("notes: is no istatd file" in text for text in found["texts"])
    compare(tmp_path / "new", theirs)


def test_the_same_tree_by_a_link_or_a_folder_of_it_is_not_counted_again(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = istatd_store(tmp_path / "old", 3)
    (tmp_path / "link").symlink_to(tmp_path / "old")
    words = ["--store", tmp_path / "new", "--retention", RETENTION]
    imported(capsys, tmp_path / "old", *words)
    [again] = imported(capsys, tmp_path / "link", *words)
    assert again["nothing_new"]
    [inside] = imported(capsys, tmp_path / "link/host/h1", *words, "--prefix", "Host.h1.")
    assert "buckets" not in inside["totals"] and inside["totals"]["covered"] > 0
    compare(tmp_path / "new", theirs)
    [other] = imported(capsys, tmp_path / "old/host", *words)       # other names: a copy, as it is asked for
    assert other["totals"]["buckets"] > inside["totals"]["covered"]
    assert {name for name in names_in(tmp_path / "new") if not name.startswith("host.")} == {
        "h0.cpu", "h1.cpu", "h2.cpu"}


def names_in(folder: Path) -> set[str]:
    store = opened(folder)
    found = {store.counter(id).name for id in range(store.count())}
    store.close()
    return found


def test_an_import_from_before_of_a_link_is_known_by_its_own_path(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    istatd_store(tmp_path / "old", 1)
    (tmp_path / "link").symlink_to(tmp_path / "old")
    words = ["--store", tmp_path / "new", "--retention", RETENTION]
    imported(capsys, tmp_path / "old", *words)
    state, _ = manifest.load(tmp_path / "new")
    assert state is not None
    [note] = state.imports
    manifest.save(tmp_path / "new", replace(state, imports=(replace(note, key=f"istatd::{tmp_path / 'link'}"),)))
    assert imported(capsys, tmp_path / "link", *words)[0]["nothing_new"]


def test_names_that_become_one_are_told_and_only_the_first_is_taken(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, path in enumerate(("App/Count", "app/count", "a.b/c", "a/b/c", "u/\u00e4", "u/\u00fc", "a^b", "x y")):
        counter = Counter(NOW - 5000)
        counter.add(NOW - 50, float(number))
        counter.write(tmp_path / "old" / path)
    words = [tmp_path / "old", "--store", tmp_path / "new", "--retention", RETENTION]
    for more in (["--dry-run"], []):
        [found] = imported(capsys, *words, *more)
        assert found["problems"] == {"name_taken": 3, "name_odd": 1}
        told = "\n".join(found["texts"])
        assert "app/count would become app.count, as App/Count did, and was not taken; give it another name: " \
               "--rename 'app/count=NAME'" in told
        assert "a.b/c would become a.b.c, as a.b.c did" in told and "a^b: the caret" in told
        assert found["totals"]["counters"] == 4
    assert names_in(tmp_path / "new") == {"a.b.c", "app.count", "u.__", "x_y"}
    renames = ["--rename", "app/count=app.count2", "--rename", "u/\u00fc=u.ue", "--rename", "a.b/*=ab.*"]
    [found] = imported(capsys, *words, *renames)
    assert found["problems"] == {"name_odd": 1}
    store = opened(tmp_path / "new")
    assert {store.counter(id).name: [row[1:3] for row in store.select([id], 0, 0, NOW)[0].rows()]
            for id in range(store.count())} == {
        "a.b.c": [(1, 3.0)], "app.count": [(1, 0.0)], "u.__": [(1, 4.0)], "x_y": [(1, 7.0)],
        "app.count2": [(1, 1.0)], "u.ue": [(1, 5.0)], "ab.c": [(1, 2.0)]}
    store.close()


@pytest.mark.parametrize("rename", ["a", "a=", "=b", "a*=b", "a=b*"])
def test_a_rename_that_is_none_is_refused(tmp_path: Path, rename: str) -> None:
    istatd_store(tmp_path / "old", 1)
    assert run("import", tmp_path / "old", "--store", tmp_path / "new", "--rename", rename) == UsageError.exit_code
    assert not (tmp_path / "new").exists()


def test_a_source_of_which_nothing_can_be_read_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, words = tmp_path / "a.csv", ["--store", tmp_path / "new", "--retention", RETENTION]
    path.write_text(f'name,time,value\nms.a,{NOW}000,1\nx.y,{NOW},"1,5"\na^b,{NOW},1\n"two\nlines",{NOW},1\n')
    for more in (["--dry-run"], [], []):
        assert run("import", path, *words, *more) == NothingTaken.exit_code
        said = capsys.readouterr()
        assert f"nothing of {path} (csv) could be taken" in said.err and "bad_line" in said.out
    with open(path, "a") as file:
        file.write(f"a,{NOW - 10},1\n")
    assert run("import", path, *words) == 0
    (tmp_path / "w").mkdir()
    (tmp_path / "w/a.wsp").write_bytes(b"no whisper")
    assert run("import", tmp_path / "w", *words) == NothingTaken.exit_code


def test_a_source_that_holds_nothing_of_the_kind_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, words = tmp_path / "a.csv", ["--store", tmp_path / "new", "--retention", RETENTION]
    path.write_text(f"name,time,value\na,{NOW},1\n")
    for kind in ("rrd", "whisper"):     # of istatd each file is looked at, and told
        assert run("import", path, *words, "--from", kind) == NothingTaken.exit_code
        assert f"{path} ({kind}): nothing of the kind {kind} is there" in capsys.readouterr().err
    (tmp_path / "empty.csv").touch()
    assert run("import", tmp_path / "empty.csv", *words) == UsageError.exit_code
    assert "here it is empty" in capsys.readouterr().err


def test_csv_by_another_path_by_a_pipe_that_grows_and_compressed(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["name,time,value\n", *(f"q.a,{NOW - 100 + at},{at}\n" for at in range(40))]
    words = ["--store", tmp_path / "new", "--retention", RETENTION]

    def piped(text: str | bytes) -> dict[str, Any]:
        data = text.encode() if isinstance(text, str) else text
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return imported(capsys, "-", *words)[0]

    def total() -> float:
        store = opened(tmp_path / "new")
        found = sum(row[2] for row in store.select([0], 0, 0, NOW)[0].rows())
        store.close()
        return found

    assert piped("".join(lines[:11]))["totals"]["buckets"] == 10
    assert piped("".join(lines[:11]))["nothing_new"]
    assert piped("".join(lines[:21]))["totals"]["buckets"] == 10
    assert total() == sum(range(20))
    (tmp_path / "a.csv").write_text("".join(lines[:31]))
    (tmp_path / "link").symlink_to(tmp_path)
    assert imported(capsys, tmp_path / "a.csv", *words)[0]["totals"]["buckets"] == 10
    assert imported(capsys, tmp_path / "link/a.csv", *words)[0]["nothing_new"]
    whole = gzip.compress("".join(lines).encode())
    (tmp_path / "b.csv.gz").write_bytes(whole)
    assert imported(capsys, tmp_path / "b.csv.gz", *words)[0]["totals"]["buckets"] == 10
    assert piped(whole)["nothing_new"]
    assert total() == sum(range(40))
    state, _ = manifest.load(tmp_path / "new")
    assert state is not None and len(state.imports) == 3        # the pipe's is one, however it grows
    assert run("import", tmp_path / "a.csv", *words, "--rename", "q.a=q.b") == UsageError.exit_code
    assert "--rename holds from the first import" in capsys.readouterr().err


def test_a_compressed_file_that_is_cut_off_is_told_and_gone_on_with(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, words = tmp_path / "a.csv.gz", ["--store", tmp_path / "new", "--retention", RETENTION]
    draw = random.Random(3)
    text = "name,time,value\n" + "".join(f"a{draw.random()},{NOW - 100},1\n" for _ in range(3000))
    whole = gzip.compress(text.encode())
    path.write_bytes(whole[: len(whole) // 2])
    [found] = imported(capsys, path, *words)
    assert found["problems"]["damaged"] == 1 and "Compressed file ended" in found["texts"][-1]
    path.write_bytes(whole)
    imported(capsys, path, *words)
    assert len(names_in(tmp_path / "new")) == 3000


def test_a_file_and_its_dump_are_one_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.rrd", "a.xml"):
        (tmp_path / name).write_text("")
    assert run("import", tmp_path / "a.rrd", tmp_path / "a.xml", "--store", tmp_path / "new") == UsageError.exit_code
    assert "import one of them" in capsys.readouterr().err


def test_what_cannot_be_imported_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "readme").write_text("hello")
    assert run("import", tmp_path, "--store", tmp_path / "new") == UsageError.exit_code
    assert run("import", tmp_path / "none", "--store", tmp_path / "new") == UsageError.exit_code
    istatd_store(tmp_path / "old", 1)
    store = StatStore.open(tmp_path / "new", Ladder.parse(RETENTION), FakeClock(NOW))
    assert run("import", tmp_path / "old", "--store", tmp_path / "new") == StoreLocked.exit_code
    store.close()
    assert run("import", tmp_path / "old", "--store", tmp_path / "new", "--retention", "1s:1d") == StoreError.exit_code
    error = capsys.readouterr().err
    for words in ("nothing that can be imported", "there is no", "stop it", "has the retention"):
        assert words in error


def test_prefixes_and_refusals_are_reported_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counter = Counter(NOW - 80000)
    counter.add(NOW - 50, 1.0)
    counter.write(tmp_path / "old/a")
    ancient = Counter(NOW - 90 * 86400)
    ancient.add(NOW - 90 * 86400 + 50, 1.0)
    ancient.write(tmp_path / "old/b")
    words = ["--store", tmp_path / "new", "--prefix", "Was.", "--retention", RETENTION]
    assert run("import", tmp_path / "old", *words) == 0
    printed = capsys.readouterr().out.split()
    assert printed[printed.index("from_past") + 1] == "3" and printed[printed.index("buckets") + 1] == "3"
    store = opened(tmp_path / "new")
    assert store.counter(0).name == "was.a" and store.count() == 1
    store.close()


SLOW = """
import sys, time
from istat_server.store.offline import appending
from istat_server.tools import importing, COMMANDS
from istat.cli import command
from istat.clock import FakeClock
from functools import partial
from pkgutil import resolve_name
appending.BLOCKS_AT_ONCE = 1
appending.ROWS_AT_ONCE = 1
append = appending.Appender.append
def slowly(self, series, new_only):
    time.sleep(0.02)
    append(self, series, new_only)
appending.Appender.append = slowly
brought = {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
print("ready", flush=True)
sys.exit(command.main(sys.argv[2:], FakeClock(float(sys.argv[1])), brought))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_is_killed_goes_on_and_counts_nothing_twice(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], end: signal.Signals) -> None:
    theirs = istatd_store(tmp_path / "old", 24)
    words = [str(tmp_path / "old"), "--store", str(tmp_path / "new"), "--retention", RETENTION]
    draw = random.Random(int(end))
    codes = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", SLOW, str(NOW), "import", *words], cwd=ROOT,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(draw.random() * 0.4)
        process.send_signal(end)
        said = process.communicate(timeout=60)[1].decode()
        codes.append(process.returncode)
        state, _ = manifest.load(tmp_path / "new")
        if state is not None and state.imports and state.imports[0].finished:
            break
    assert set(codes) <= {-end, 130, 0}, said
    [found] = imported(capsys, *words)
    assert sum(part.get("counters", 0) for part in (found["totals"], found["before"])) == 24
    assert compare(tmp_path / "new", theirs) > 5000
    state, _ = manifest.load(tmp_path / "new")
    assert state is not None and state.imports[0].finished
    live = {str(tmp_path / "new" / entry.path) for entry in state.files}
    assert live <= {str(path) for path in (tmp_path / "new").rglob("*.statfile")}
    shutil.rmtree(tmp_path / "new")
