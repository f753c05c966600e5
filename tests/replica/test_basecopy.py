"""Base copies: what is made of a master's files, and that a crash at any moment of a swap is gone on from."""
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from istat.errors import ServerUnreachable, StoreCorrupt, StoreError, StoreFull
from istat_server.replica import basecopy
from istat_server.replica.master.answers import LeasedFile
from istat_server.store.files import manifest
from istat_server.store.positions import Follows
from tests.replica.serving import Serving, broken_off, no_faults
from tests.store.harness import NOW, open_store, rows


@pytest.fixture()
def served(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    made.send(*(f"a{one} {NOW} {one}" for one in range(50)), f"*ev {NOW} 3")
    made.store.flush()
    yield made
    made.stop()


def counters(folder: Path, served: Serving) -> dict[str, list]:
    """All that a store has, by name."""
    store = open_store(folder, served.clock, replica=True)
    found = {name: rows(store, name, 0) for name in ("a1", "a49", "ev")} if store.count() else {}
    store.close()
    return found


def test_a_copy_is_a_store_of_its_own_that_says_whom_it_follows(served: Serving, tmp_path: Path) -> None:
    shown: list[tuple[int, int]] = []
    lease = basecopy.copy(served.master(), tmp_path / "two", lambda done, total: shown.append((done, total)))
    assert shown[-1][0] == shown[-1][1] == sum(file.size for file in lease.files)
    assert basecopy.is_ready(tmp_path / "two")
    basecopy.swap(tmp_path / "two")
    state, problem = manifest.load(tmp_path / "two")
    assert state is not None and problem == ""
    assert state.follows == Follows(lease.position, 0) and state.follows.position.salt == lease.position.salt
    assert state.uuid != lease.position.store and (state.pins, state.replicas) == ((), ())
    assert [entry.path for entry in state.files] == [entry.path for entry in served.store.files.manifest.files]
    for entry in state.files:
        assert (tmp_path / "two" / entry.path).read_bytes() == (served.store.folder / entry.path).read_bytes()
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["10s", "FORMAT", "LOCK", "MANIFEST", "names"]


def test_what_was_copied_before_it_broke_off_is_not_copied_again(served: Serving, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basecopy, "AT_ONCE", 1)
    asked: list[str] = []

    def cut(environ, found):
        asked.append(environ["QUERY_STRING"])
        if "names" in environ["QUERY_STRING"] and len(asked) < 4:
            return broken_off(found, 100)
        return found

    served.spoil = cut
    with pytest.raises(ServerUnreachable):
        basecopy.copy(served.master(), tmp_path / "two")
    part = next((tmp_path / "two" / "base").rglob("*.part"))
    assert part.stat().st_size == 100
    served.spoil = lambda environ, found: asked.append(environ.get("HTTP_RANGE", "")) or found
    asked.clear()
    basecopy.copy(served.master(), tmp_path / "two")
    assert asked == ["", "bytes=100-"]          # the lease, and the rest of one file
    assert basecopy.is_ready(tmp_path / "two")


def test_what_a_master_lost_its_life_with_is_not_gone_on_with(served: Serving, tmp_path: Path) -> None:
    basecopy.copy(served.master(), tmp_path / "two")
    (tmp_path / "two/base" / basecopy.WHOSE).write_bytes(b"another\n")
    asked: list[str] = []
    served.spoil = lambda environ, found: asked.append(environ["PATH_INFO"]) or found
    basecopy.copy(served.master(), tmp_path / "two")
    assert sum(path.endswith("/file") for path in asked) == 2


def test_a_flipped_byte_on_the_way_is_found_and_fetched_anew(served: Serving, tmp_path: Path) -> None:
    def flip(environ, found):
        if "statfile" not in environ["QUERY_STRING"]:
            return found
        data = bytearray(b"".join(found))
        data[len(data) // 2] ^= 1
        return [bytes(data)]

    served.spoil = flip
    with no_faults(), pytest.raises(StoreCorrupt):
        basecopy.copy(served.master(), tmp_path / "two")
    assert not basecopy.is_ready(tmp_path / "two")
    served.spoil = None
    basecopy.copy(served.master(), tmp_path / "two")
    basecopy.swap(tmp_path / "two")
    assert counters(tmp_path / "two", served)["a49"]


def test_a_file_that_is_longer_than_its_lease_says_takes_no_more_room(served: Serving, tmp_path: Path) -> None:
    master = served.master()
    real = master.lease
    master.lease = lambda: replace(real(), files=tuple(replace(one, size=one.size - 1) for one in real().files))
    with no_faults(), pytest.raises(StoreCorrupt, match="has more than"):
        basecopy.copy(master, tmp_path / "two")
    assert not basecopy.is_ready(tmp_path / "two")


@pytest.mark.parametrize("path", ["../x", "names/../../x", "/etc/x", "names/.x", "names"])
def test_a_file_of_another_place_is_refused(served: Serving, tmp_path: Path, path: str) -> None:
    lease = served.master().lease()
    state = manifest.decode(lease.manifest.encode(), "")
    state = replace(state, files=(replace(state.files[0], path=path),))
    files = tuple(LeasedFile(one, 1) for one in manifest.references(state))
    with pytest.raises(StoreCorrupt, match="which no store has"):
        basecopy._check(replace(lease, files=files), state, "master")
    with pytest.raises(StoreCorrupt, match="other files"):
        basecopy._check(lease, state, "master")


def test_a_disk_without_room_is_told_before_anything_comes(served: Serving, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basecopy, "ROOM", 1 << 60)
    with pytest.raises(StoreFull, match="make room on its disk"):
        basecopy.copy(served.master(), tmp_path / "two")


def old_store(folder: Path, served: Serving) -> None:
    """A store with another counter, its namespaces, and what somebody else laid there."""
    store = open_store(folder, served.clock)
    text = f"old {NOW} 1\n".encode()
    store.tick()
    store.accept(memoryview(text), 0, len(text))
    store.close()
    (folder / "settings").mkdir()
    (folder / "settings/x.set").write_text("a=b\n")
    (folder / "notes").write_text("mine")


def test_a_swap_replaces_the_store_and_nothing_else(served: Serving, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    old_store(folder, served)
    basecopy.copy(served.master(), folder)
    basecopy.settle(folder)             # a ready copy stays
    assert basecopy.is_ready(folder)
    basecopy.swap(folder)
    store = open_store(folder, served.clock, replica=True)
    assert store.find(b"old") is None and store.find(b"a1") is not None
    store.close()
    assert (folder / "settings/x.set").read_text() == "a=b\n" and (folder / "notes").read_text() == "mine"
    assert not any((folder / name).exists() for name in (basecopy.BASE, basecopy.OUTGOING, basecopy.SWAPPING))
    with pytest.raises(StoreError, match="no whole copy"):
        basecopy.swap(folder)


def test_a_copy_that_nobody_wants_goes_when_it_is_settled(served: Serving, tmp_path: Path) -> None:
    basecopy.copy(served.master(), tmp_path / "two")
    basecopy.settle(tmp_path / "two", keep=False)
    assert not (tmp_path / "two/base").exists()


class Killed(BaseException):
    """The process has ended."""


def test_a_swap_that_is_killed_at_any_step_is_gone_on_with(served: Serving, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = None
    for steps in range(60):
        folder = tmp_path / f"s{steps}"
        old_store(folder, served)
        basecopy.copy(served.master(), folder)
        left = [steps]
        with monkeypatch.context() as patched:
            for name in ("rename", "unlink", "rmdir"):
                patched.setattr(os, name, dying(getattr(os, name), left))
            try:
                basecopy.swap(folder)
                ended = True
            except Killed:
                ended = False
        basecopy.settle(folder)
        if (folder / "base").exists():          # it had not begun: the old store is whole, and the copy ready
            assert basecopy.is_ready(folder)
            basecopy.swap(folder)
        found = counters(folder, served)
        wanted = wanted or found
        assert found == wanted and found["a49"]
        assert not any((folder / name).exists() for name in (basecopy.BASE, basecopy.OUTGOING, basecopy.SWAPPING))
        if ended:
            return
    raise AssertionError("a swap has more steps than that")


def dying(act, left: list[int]):
    """A call of the system at which the process ends, after so many of them."""
    def call(*given, **named):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return act(*given, **named)

    return call
