"""A store of a newer istatd is refused in words that help, by all that open one, and stays as it is."""
from __future__ import annotations

from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreCorrupt, StoreError
from istat_server.store import checking, journal, manifest, opening, repairing, statfile, statformat
from istat_server.store.versions import NewerFormat
from tests.store.test_statstore import NOW, crash, open_store, put


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
