"""What a store gives to those that copy it: leases, synced bytes of the journal, and its place."""
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.errors import StoreError
from istat.retention import Ladder
from istat_server.store.files import journal, manifest
from istat_server.store.options import Options
from istat_server.store.positions import Known, Position
from istat_server.store.statstore import StatStore
from istat_server.store.work.copying import Gone, NotInPlace
from tests.store.harness import LADDER, NOW, crash, open_store, put, send

DAY = 86400


@pytest.fixture()
def store(tmp_path: Path, clock: FakeClock):
    found = open_store(tmp_path / "store", clock)
    yield found
    found.close()


def synced(store: StatStore) -> Position:
    """All that was sent is written and synced; the end of it."""
    store._hand_over()
    assert store._journal.sync(store._journal.handed, 10.0)
    return store.copying.end()


def lease(store: StatStore, name: str = "two", url: str = ""):
    return store.copying.lease(Known(name, url), NOW + DAY)


def everything(store: StatStore, position: Position, most: int = 1 << 20) -> tuple[dict[int, bytes], Position]:
    """All synced bytes from a position on, by segment."""
    found: dict[int, bytes] = {}
    while True:
        part = store.copying.read(position, most)
        found[position.segment] = found.get(position.segment, b"") + part.data
        if part.next == position and not part.data:
            assert part.left == 0
            return found, part.next
        position = part.next


def test_a_lease_names_a_whole_state_and_the_sizes_of_its_files(store):
    send(store, f"a {NOW} 1")
    store.flush()
    send(store, f"b {NOW} 2")
    held = lease(store)
    assert dict(held.files).keys() == manifest.live_paths(held.state)
    assert all((store.folder / path).stat().st_size == size for path, size in held.files)
    assert (held.position.segment, held.position.offset) == (held.state.replay_from, 0)
    assert held.state.pins == ()
    segment = journal.segment_path(store.folder / "journal", held.position.segment)
    assert held.position.salt == journal.salt_of(segment.read_bytes()[:journal.HEADER_BYTES], segment)


def test_its_files_and_the_journal_from_its_position_on_are_the_store(store, tmp_path, clock):
    send(store, f"a {NOW} 1")
    store.flush()
    held = lease(store)
    send(store, f"b {NOW} 2")
    store.flush()
    send(store, f"c {NOW} 3")
    synced(store)
    copy = tmp_path / "copy"
    for path, _size in held.files:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes((store.folder / path).read_bytes())
    (copy / "journal").mkdir(parents=True)
    for number, data in everything(store, held.position)[0].items():
        journal.segment_path(copy / "journal", number).write_bytes(data)
    manifest.save(copy, held.state)
    other = open_store(copy, clock)
    assert sorted(other.find(name) is not None for name in (b"a", b"b", b"c")) == [True] * 3
    other.close()


def test_what_is_not_synced_is_not_given(tmp_path, clock):
    store = StatStore.open(tmp_path, LADDER, clock, options=Options(key=1, journal_sync=3600.0))
    held = lease(store)
    send(store, f"a {NOW} 1")
    store._hand_over()
    assert store._journal.drain(10.0)
    assert store.copying.read(held.position, 1 << 20).data == b""
    assert store.copying.waits(held.position)
    synced(store)
    assert not store.copying.waits(held.position)
    data = store.copying.read(held.position, 1 << 20).data
    assert data == journal.segment_path(tmp_path / "journal", held.position.segment).read_bytes()
    store.close()


@pytest.mark.parametrize("most", [1, 7, 100, 1 << 20])
def test_bytes_come_in_pieces_of_any_size_and_end_with_their_segment(store, most):
    held = lease(store)
    for step in range(3):
        send(store, f"a{step} {NOW} 1")
        synced(store)
        store.flush()
    send(store, f"z {NOW} 1")
    end = synced(store)
    found, last = everything(store, held.position, most)
    place = store.folder / "journal"
    assert len(found) == 4
    assert all(data == journal.segment_path(place, number).read_bytes() for number, data in found.items())
    assert (last.segment, last.offset) == (end.segment, end.offset)


def test_a_position_that_is_none_is_gone(store):
    send(store, f"a {NOW} 1")
    end = synced(store)
    salt = everything(store, replace(end, offset=0))[1].salt
    assert store.copying.read(replace(end, salt=salt), 100).data == b""
    wrong = (replace(end, salt=salt ^ 1), replace(end, salt=salt, offset=end.offset + 1),
             replace(end, salt=salt, segment=end.segment + 1), replace(end, salt=0))
    for position in wrong:
        with pytest.raises(Gone) as refused:
            store.copying.read(position, 100)
        assert refused.value.reason == "position"


def test_a_segment_of_which_nothing_is_synced_yet_has_nothing_and_is_waited_for(store):
    send(store, f"a {NOW} 1")
    synced(store)
    store.flush()
    held = lease(store)
    assert held.position.segment > store.copying.end().segment
    part = store.copying.read(held.position, 100)
    assert (part.data, part.next, part.left) == (b"", held.position, 0)
    assert store.copying.waits(held.position)


def test_positions_of_other_stores_epochs_and_revisions_are_gone(store):
    end = synced(store)
    store.copying.check(end, store.copying.state.revision)
    for position, revision, reason in ((replace(end, store="0" * 32), 0, "position"),
                                       (replace(end, epoch=end.epoch + 1), 0, "position"), (end, 1, "revision")):
        with pytest.raises(Gone) as refused:
            store.copying.check(position, revision)
        assert refused.value.reason == reason


def test_a_lease_holds_files_until_the_journal_is_read_and_then_segments_only(store):
    send(store, f"a {NOW} 1")
    store.flush()
    held = lease(store)
    (path,) = [path for path, _size in held.files if path.endswith(".statfile")]
    handle, size = store.copying.file("two", path)
    assert size == dict(held.files)[path] == len(os.pread(handle, 1 << 20, 0))
    os.close(handle)
    store.copying.renew("two", NOW + 2 * DAY)
    assert store.copying.leased("two").until == NOW + 2 * DAY
    for _ in range(3):
        send(store, f"a {NOW} 1")
        store.flush()
    assert journal.segment_numbers(store.folder / "journal")[0] == held.position.segment
    store.copying.hold("two", held.position.segment + 2, NOW + DAY)
    store.compact()
    assert journal.segment_numbers(store.folder / "journal")[0] == held.position.segment + 2
    with pytest.raises(Gone, match="holds no file"):
        store.copying.file("two", path)
    store.copying.hold("two", 1, NOW + DAY)         # what was let go stays so
    assert store.copying.leased("two").position.segment == held.position.segment + 2


@pytest.mark.parametrize("path", ["MANIFEST", "../store/MANIFEST", "/etc/passwd", "", "journal/00000001.journal"])
def test_no_other_file_is_given(store, path):
    lease(store)
    with pytest.raises(Gone, match="holds no file"):
        store.copying.file("two", path)


def test_two_replicas_of_one_name_are_told_of(store):
    send(store, f"a {NOW} 1")
    store.flush()
    (path, _size), *_more = store.copying.lease(Known("two", ""), NOW + DAY).files
    store.copying.hold("two", 1, NOW + DAY)           # the other one of this name pulls
    with pytest.raises(Gone, match="same replica-name"):
        store.copying.file("two", path)


def test_a_link_in_a_files_place_is_not_followed(store, tmp_path):
    send(store, f"a {NOW} 1")
    store.flush()
    (path,) = [path for path, _size in lease(store).files if path.endswith(".names")]
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    (store.folder / path).unlink()
    (store.folder / path).symlink_to(secret)
    with pytest.raises(Gone, match="cannot be read"):
        store.copying.file("two", path)


def test_there_is_no_lease_that_nobody_made(store):
    for ask in (lambda: store.copying.leased("two"), lambda: store.copying.renew("two", NOW + DAY),
                lambda: store.copying.hold("two", 1, NOW + DAY)):
        with pytest.raises(Gone) as refused:
            ask()
        assert refused.value.reason == "lease"


def test_replicas_are_remembered_and_at_most_sixteen(store):
    for number in range(20):
        lease(store, f"r{number}", f"http://r{number}:8000")
        store.pinning.unpin(f"r{number}")
    known = store.files.manifest.replicas
    assert [one.name for one in known] == [f"r{number}" for number in range(4, 20)]
    assert known[-1].url == "http://r19:8000"


def test_who_is_fenced_takes_nothing_and_says_who_took_its_place_also_after_a_restart(tmp_path, clock):
    store = open_store(tmp_path, clock)
    send(store, f"a {NOW} 1")
    uuid, by = store.files.manifest.uuid, "http://two:8000"
    store.copying.fence(uuid, 1, by)
    store.copying.fence(uuid, 1, by)        # as one whose answer was lost repeats it
    for _ in range(2):
        assert by in store.refusing and by in store.read_only
        with pytest.raises(StoreError, match="two:8000 has taken its place"):
            store.delete([store.find(b"a").id])
        with pytest.raises(StoreError, match="two:8000 has taken its place"):
            store.rename([(store.find(b"a").id, b"b")])
        assert (store.files.manifest.term, store.files.manifest.fenced) == (1, by)
        store.close()
        store = open_store(tmp_path, clock)
    store.close()


def test_fences_of_a_term_that_is_not_higher_or_for_another_store_do_nothing(store):
    uuid = store.files.manifest.uuid
    store.copying.fence(uuid, 2, "http://two:8000")
    for ask, reason in (((uuid, 2, "http://three:8000"), "term"), ((uuid, 1, "http://two:8000"), "term"),
                        (("0" * 32, 9, "http://two:8000"), "store")):
        with pytest.raises(NotInPlace) as refused:
            store.copying.fence(*ask)
        assert refused.value.reason == reason
    assert store.files.manifest.fenced == "http://two:8000"


def test_rules_ancestors_and_a_damaged_journal_raise_the_revision_and_restarts_do_not(tmp_path, clock):
    def opened(ladder: str = LADDER.text, damage: bool = False) -> int:
        if damage:
            path = max((tmp_path / "journal").glob("*.journal"), key=lambda one: one.stat().st_size)
            data = bytearray(path.read_bytes())
            data[journal.HEADER_BYTES + journal.FRAME_BYTES] ^= 1
            path.write_bytes(data)
        store = StatStore.open(tmp_path, Ladder.parse(ladder), clock, options=Options(key=1))
        revision = store.files.manifest.revision
        for _ in range(2):
            put(store, f"a {NOW} 1")
            store._hand_over()
            store._journal.drain(10.0)
        crash(store)
        return revision

    assert [opened(), opened()] == [0, 0]
    assert opened("10s:2h,1m:6h,10m:2d") == 1
    assert opened("10s:2h,1m:6h,10m:2d", damage=True) == 2


def test_rows_that_the_journal_never_had_raise_the_revision(store, monkeypatch):
    send(store, f"a {NOW} 1")
    synced(store)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store._journal, "_write", full)
        send(store, f"a {NOW} 2")
        store._hand_over()
        assert not store._journal.drain(5.0) and store._journal.error is not None
        patched.setattr(store._journal, "_turn_over", full)
        try:
            store.flush()
        except StoreError:
            pass
    with_files, _problem = manifest.load(store.folder)
    assert with_files.revision > 0          # with the files already: a kill now must not hide it
    store._pool.apply(store.files.commit, (lambda state: state, ()))
    assert store.files.manifest.revision >= with_files.revision
