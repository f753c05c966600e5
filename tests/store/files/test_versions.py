"""A store of a newer istatd is refused in words that help, by all that open one, and stays as it is."""
from __future__ import annotations

import dataclasses
import json
import os
import zlib
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreCorrupt, StoreError
from istat.kernels import blocks, columns
from istat.kernels.python.ingest import records
from istat_server.store import opening
from istat_server.store.files import container, journal, manifest, statfile, statformat
from istat_server.store.offline import appending, backup, checking, repairing
from istat_server.store.versions import NewerFormat
from istat_server.tools import dumpjournal
from tests.store.harness import NOW, crash, open_store, put


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but the two that anyone may touch."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "LOCK"}


@pytest.mark.parametrize("kind", ["FORMAT", "MANIFEST", "journal", "StatFile"])
def test_it_is_refused_and_left_alone(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(NOW)
    with monkeypatch.context() as future:       # what a later istatd would write
        if kind == "FORMAT":
            future.setattr(opening, "FORMAT_TEXT", b"istatd store 9\n")
        else:
            for module in {"MANIFEST": [manifest], "journal": [journal], "StatFile": [container, statformat]}[kind]:
                future.setattr(module, "VERSION", 9)
            future.setattr(container, "READABLE", (1, 2, container.VERSION))
        store = open_store(tmp_path, clock)
        put(store, f"a.b {NOW} 1")
        if kind == "journal":
            crash(store)
        else:
            store.close()
    before = contents(tmp_path)
    for look in (lambda: open_store(tmp_path, clock), lambda: checking.check(tmp_path),
                 lambda: repairing.repair(tmp_path)):
        with pytest.raises(StoreError, match="is of version 9, written by a newer istatd; this one,") as told:
            look()
        assert isinstance(told.value, NewerFormat) and not isinstance(told.value, StoreCorrupt)
        assert "apt install istatd=VERSION" in str(told.value)
        assert told.value.exit_code == StoreError.exit_code
    assert contents(tmp_path) == before


@pytest.mark.parametrize("part", ["", "files", "policies", "imports"])
def test_keys_that_a_later_one_added_are_not_dropped(part: str, tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    imports = (manifest.Import("csv::/a", "", "", True, NOW),)
    for _ in range(2):          # so that there is a MANIFEST before, which must not be used either
        store = open_store(tmp_path, clock)
        put(store, f"a.b {NOW} 1")
        store.flush()
        store.files.commit(lambda state: dataclasses.replace(state, imports=imports), ())
        store.close()
    path = tmp_path / manifest.NAME
    fields = json.loads(path.read_bytes().partition(b"\n")[2])
    (fields[part][0] if part else fields)["sketches"] = 1
    body = json.dumps(fields).encode()
    path.write_bytes(b"istat-manifest %d %08x %d\n" % (manifest.VERSION, zlib.crc32(body), len(body)) + body)
    before = contents(tmp_path)
    for look in (lambda: open_store(tmp_path, clock), lambda: checking.check(tmp_path),
                 lambda: repairing.repair(tmp_path)):
        with pytest.raises(NewerFormat, match="is of version 3 with sketches, written by a newer istatd"):
            look()
    assert contents(tmp_path) == before


def refused_by_all(folder: Path, elsewhere: Path, words: str, clock: FakeClock) -> None:
    """Whoever opens a store says in a sentence that it is newer, and no byte in its folder changes."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for look in (lambda: open_store(folder, clock), lambda: checking.check(folder), lambda: repairing.repair(folder),
                 lambda: appending.open_store(folder, clock, None)):
        with pytest.raises(NewerFormat, match=words) as told:
            look()
        assert str(told.value).count("written by a newer istatd") == 1
    backup.backup(folder, elsewhere, clock, lambda _done, _all: None)       # copies what it need not understand
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("part", "value", "words"), [
    ("columns", (*statformat.COLUMNS, "sketch:bytes"), "is of version 2 with the columns sketch:bytes"),
    ("payload", "cube", "is of version 2 with the payload cube"),
    ("kind", "guessed", "is of version 2 with the kind guessed"),
])
def test_what_a_statfile_has_that_is_not_known_is_never_dropped(
        part: str, value: object, words: str, tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(tmp_path / "s", clock)
    put(store, *(f"a.b {NOW - 10 * at} 1" for at in range(9)))
    store.flush()
    (entry,) = store.files.manifest.files
    store.close()
    writer = blocks.BlockWriter(interval=10)
    writer.add_run(0, False, columns.Columns.from_rows([(NOW, 1, 1.0, 0.0, 1.0, 1.0)]))
    path = tmp_path / "s" / entry.path
    with statfile.StatFile.open(path) as file:
        header = dataclasses.replace(file.header, **{part: value})
    with statfile.StatFileWriter(tmp_path, header) as made:
        made.add(writer.finish())
        os.rename(made.finish().path, path)
    size = path.stat().st_size
    text = (tmp_path / "s" / manifest.NAME).read_bytes()
    state = manifest.decode(text, "")
    state = state.with_files([dataclasses.replace(entry, size=size, rows=1)], [entry.path])
    (tmp_path / "s" / manifest.NAME).write_bytes(manifest.encode(state))
    refused_by_all(tmp_path / "s", tmp_path / "copy", words, clock)
    with pytest.raises(NewerFormat):
        statfile.StatFile.open(path)


@pytest.mark.parametrize("where", ["journal", "names"])
@pytest.mark.parametrize(("record", "words"), [(b"\x0f\x09", "with the record change 9 at byte"),
                                               (records.put_escape(77, b"x"), "with the record escape 77 at byte")])
def test_records_of_kinds_that_are_not_known_are_no_damage(
        where: str, record: bytes, words: str, tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(tmp_path / "s", clock)
    put(store, f"a.b {NOW} 1")
    store.flush()
    put(store, f"a.b {NOW} 2", f"a.c {NOW} 2")
    crash(store)
    state = manifest.load(tmp_path / "s")[0]
    path = (manifest.names_path(tmp_path / "s", state.names[-1]) if where == "names" else
            journal.segment_path(tmp_path / "s" / "journal", state.replay_from))
    salt = int.from_bytes(path.read_bytes()[12:16], "little")
    with open(path, "ab") as file:
        file.write(journal.frame_header(salt, NOW, record) + record)
    refused_by_all(tmp_path / "s", tmp_path / "copy", words, clock)
    assert [one["byte"] for one in dumpjournal.records(path) if one["record"] == "unknown"] == [0]
