"""A store of a newer istatd is refused in words that help, by all that open one, and stays as it is."""
from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreCorrupt, StoreError
from istat_server.store import opening
from istat_server.store.files import journal, manifest, statfile, statformat
from istat_server.store.files.versions import NewerFormat
from istat_server.store.offline import checking, repairing
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
            for module in {"MANIFEST": [manifest], "journal": [journal], "StatFile": [statformat, statfile]}[kind]:
                future.setattr(module, "VERSION", 9)
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
        with pytest.raises(NewerFormat, match="is of version 2 with sketches, written by a newer istatd"):
            look()
    assert contents(tmp_path) == before
