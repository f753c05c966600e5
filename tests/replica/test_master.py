"""What a master answers over HTTP, as its replicas ask it: leases, files, the journal, namespaces, fencing; the lag."""
from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gevent
import pytest

from istat.clock import StoppedClock
from istat.daemon.tls import Certificate
from istat.declared.pages import decode
from istat.errors import ServerUnreachable, SettingsError
from istat_server.replica.master.answers import Piece
from istat_server.replica.master.asking import ask_known
from istat_server.replica.master.pouring import part_of
from istat_server.replica.refusals import CopyNeeded, OtherStore, ReplicaError, Superseded
from istat_server.replica.source import MOST_WORDS, PATHS, Master
from istat_server.senders.sender import Sender
from istat_server.store.files import journal
from istat_server.store.positions import Deposed, Known, Position
from tests.certificates import Authority
from tests.replica.serving import TOKEN, Serving, broken_off, no_faults
from tests.store.harness import NOW, open_store


@pytest.fixture()
def served(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.stop()


def pulled(master: Master, position: Position, most: int = 1 << 20) -> tuple[dict[int, bytes], Piece]:
    """All that is synced behind a position, by segment, and the last answer."""
    found: dict[int, bytes] = {}
    keep = position.segment         # so that it can be compared
    while True:
        piece = master.journal(position, 0, most=most, keep=keep)
        found[position.segment] = found.get(position.segment, b"") + piece.data
        if not piece.data and piece.next == position:
            return found, piece
        position = piece.next


def await_waiting(served: Serving) -> None:
    """A pull of the replica waits for more by now."""
    with gevent.Timeout(10.0):
        while not served.leases._of("two").waiting:
            gevent.sleep(0.01)


def test_a_state_tells_how_a_server_stands(served: Serving) -> None:
    served.send(f"a {NOW} 1")
    found, state = served.master().state(), served.store.files.manifest
    assert (found.store, found.epoch, found.term, found.fenced, found.follows) == (state.uuid, state.epoch, 0, "", None)
    assert (found.position.segment, found.position.offset) == served.store._journal.safe_end
    assert (found.time, found.replicas, found.deposed) == (NOW, (), None)
    served.master().lease()
    assert served.master().state().replicas == ("two",)


def test_a_lease_and_its_files_and_the_journal_are_the_masters_bytes(served: Serving) -> None:
    served.send(f"a {NOW} 1")
    served.store.flush()
    served.send(f"b {NOW} 2")
    master = served.master(ours="http://two:8000")
    lease = master.lease()
    assert {file.path.split("/")[0] for file in lease.files} == {"10s", "names"}
    for file in lease.files:
        data = b"".join(map(bytes, master.file(file.path)))
        assert data == (served.store.folder / file.path).read_bytes() and len(data) == file.size
        assert b"".join(map(bytes, master.file(file.path, file.size - 7))) == data[-7:]
    found, last = pulled(master, lease.position)
    place = served.store.folder / "journal"
    assert all(data == journal.segment_path(place, number).read_bytes() for number, data in found.items())
    assert (last.left, last.time, last.term, last.revision) == (0, NOW, 0, 0)
    assert [(one.name, one.url) for one in served.store.files.manifest.replicas] == [("two", "http://two:8000")]


@pytest.mark.parametrize("most", [1, 50, 1 << 20])
def test_the_journal_comes_in_pieces_over_segments(served: Serving, most: int) -> None:
    master = served.master()
    lease = master.lease()
    for step in range(2):
        served.send(f"a{step} {NOW} 1")
        served.store.flush()
    served.send(f"z {NOW} 1")
    found, _last = pulled(master, lease.position, most)
    place = served.store.folder / "journal"
    assert len(found) >= 3 or most > 1
    assert all(data == journal.segment_path(place, number).read_bytes() for number, data in found.items())


def test_who_waits_gets_what_is_synced_meanwhile_and_has_no_lag(served: Serving) -> None:
    master = served.master()
    _found, last = pulled(master, master.lease().position)
    waiting = gevent.spawn(master.journal, last.next, 0, 10.0)
    await_waiting(served)
    assert served.leases.totals() == {"replica.lag.two": 0.0}
    served.send(f"a {NOW} 1")
    piece = waiting.get(timeout=10.0)
    assert piece.data and piece.next.offset == last.next.offset + len(piece.data)


def test_a_wait_ends_with_nothing_and_at_once_when_the_server_ends(served: Serving) -> None:
    master = served.master()
    _found, last = pulled(master, master.lease().position)
    piece = master.journal(last.next, 0, wait=1)
    assert (piece.data, piece.next) == (b"", last.next)
    waiting = gevent.spawn(master.journal, last.next, 0, 10.0)
    await_waiting(served)
    served.leases.stop()
    assert waiting.get(timeout=5.0).data == b""


def test_a_lag_is_counted_from_what_was_applied_last(served: Serving) -> None:
    master = served.master("two.example")
    position = master.lease().position
    served.send(f"a {NOW} 1")
    served.clock.set(NOW + 100)
    assert served.leases.totals() == {"replica.lag.two_example": 100.0}
    master.journal(position, 0, applied=NOW + 40)
    assert served.leases.totals() == {"replica.lag.two_example": 60.0}
    assert served.leases.known_lags() == {"two.example": 60.0}
    master.release()
    assert served.leases.totals() == {}


def test_a_lease_is_renewed_by_pulling_and_by_copying_and_not_each_time(served: Serving) -> None:
    served.send(f"a {NOW} 1")
    served.store.flush()
    master = served.master()
    lease = master.lease()
    path = lease.files[0].path

    def until() -> int:
        return served.store.copying.leased("two").until

    first = until()
    assert list(master.file(path)) and until() == first
    served.clock.set(NOW + 1800)
    assert list(master.file(path)) and until() == first + 1800
    master.journal(lease.position, 0)
    assert served.store.copying.leased("two").files == ()
    with pytest.raises(CopyNeeded, match="holds no file"):
        list(master.file(path))


def test_segments_are_kept_from_the_one_on_that_may_be_asked_for_again(served: Serving) -> None:
    master = served.master()
    lease = master.lease()
    first = lease.position.segment
    for step in range(3):
        served.send(f"a{step} {NOW} 1")
        served.store.flush()
    _found, last = pulled(master, lease.position)
    master.journal(last.next, 0, keep=first + 1)
    served.store.compact()
    assert journal.segment_numbers(served.store.folder / "journal")[0] > first
    with pytest.raises(CopyNeeded, match="is gone"):
        master.journal(lease.position, 0)


def test_positions_that_are_gone_want_a_new_copy(served: Serving) -> None:
    served.send(f"a {NOW} 1")
    master = served.master()
    _found, last = pulled(master, master.lease().position)
    for wrong, revision in ((replace(last.next, salt=last.next.salt ^ 1), 0), (replace(last.next, store="0" * 32), 0),
                            (replace(last.next, segment=last.next.segment + 5), 0),
                            (replace(last.next, offset=last.next.offset + 1), 0), (last.next, 3),
                            (replace(last.next, epoch=last.next.epoch + 1), 0)):
        with pytest.raises(CopyNeeded):
            master.journal(wrong, revision)
    assert not master.journal(last.next, 0).data
    with pytest.raises(CopyNeeded, match="no lease of three"):
        served.master("three").journal(last.next, 0)


def test_no_file_stays_open_that_was_asked_for_in_vain(served: Serving) -> None:
    served.send(f"a {NOW} 1")
    served.store.flush()
    master = served.master()
    file = master.lease().files[0]
    query = f"file?name=two&path={file.path}"
    list(master.file(file.path))
    before = len(os.listdir("/proc/self/fd"))
    for method, headers, status in (("HEAD", {}, 200), ("GET", {"Range": "bytes=99999999-"}, 416),
                                    ("HEAD", {"Range": "bytes=2-5"}, 206)):
        connection = http.client.HTTPConnection("127.0.0.1", served.http.port)
        asked = gevent.get_hub().threadpool.spawn(ask, connection, method, query, headers)
        assert asked.get(timeout=10.0) == status
    with gevent.Timeout(10.0):      # the server sees the end of connections a little later
        while len(os.listdir("/proc/self/fd")) > before:
            gevent.sleep(0.01)


def ask(connection: http.client.HTTPConnection, method: str, query: str, headers: dict[str, str]) -> int:
    """The status of an answer. In a thread: this process answers, too."""
    connection.request(method, PATHS + query, headers={"Authorization": f"Bearer {TOKEN}", **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.mark.parametrize("path", ["MANIFEST", "../master/MANIFEST", "/etc/passwd", "", "names/../MANIFEST", "a\0b"])
def test_no_file_is_given_that_the_lease_does_not_name(served: Serving, path: str, monkeypatch) -> None:
    faults: list[object] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *given: faults.append(given))
    master = served.master()
    master.lease()
    with pytest.raises(ReplicaError):
        list(master.file(path))
    assert not faults       # a refusal is none


def test_a_fenced_server_gives_nothing_and_says_who_took_its_place(served: Serving) -> None:
    master, uuid = served.master(), served.store.files.manifest.uuid
    position = master.lease().position
    with pytest.raises(OtherStore):
        master.fence("0" * 32, 1, "http://two:8000")
    master.fence(uuid, 1, "http://two:8000")
    master.fence(uuid, 1, "http://two:8000")
    with pytest.raises(Superseded):
        master.fence(uuid, 1, "http://three:8000")
    for ask in (master.lease, lambda: master.journal(position, 0), lambda: list(master.file("names/x"))):
        with pytest.raises(Superseded, match="two:8000 has taken its place"):
            ask()
    assert (master.state().fenced, master.state().term) == ("http://two:8000", 1)
    assert "two:8000" in served.store.refusing


def test_a_master_of_a_lower_term_is_not_believed(served: Serving) -> None:
    with pytest.raises(Superseded, match="another one of term 3"):
        served.master(term=3).lease()
    ours = served.master()
    position = ours.lease().position
    ours.term = 2
    with pytest.raises(Superseded):
        ours.journal(position, 0)


def test_a_start_is_fenced_by_a_replica_that_has_taken_its_place_and_by_no_other(served: Serving, tmp_path) -> None:
    old = open_store(tmp_path / "old", StoppedClock(NOW))
    uuid = old.files.manifest.uuid
    served.store.files.commit(lambda state: replace(state, term=1, deposed=Deposed("0" * 32, "")), ())
    old.files.commit(lambda state: replace(state, replicas=(Known("two", served.url),)), ())
    ask_known(old, lambda url: served.master())
    assert old.read_only == ""
    served.store.files.commit(lambda state: replace(state, deposed=Deposed(uuid, "")), ())
    ask_known(old, lambda url: served.master())
    assert served.url in old.read_only
    ask_known(object(), lambda url: served.master())        # a store that nobody can follow
    old.close()


def test_namespaces_come_as_their_files_are(served: Serving) -> None:
    served.namespaces.set("boards", {"one": "grün"})
    master = served.master()
    (stamp,) = master.namespaces().values()
    found = master.namespace("boards")
    assert found is not None and found.stamp == stamp
    assert found.values == (served.namespaces._folder.path / "boards.set").read_bytes()
    assert found.versions == (served.namespaces._folder.path / "boards.versions").read_bytes()
    served.namespaces.set("boards", {"one": "red"})
    assert master.namespaces()["boards"] != stamp
    assert master.namespace("none") is None


def test_what_is_declared_comes_with_a_stamp_and_once(served: Serving) -> None:
    served.declared.take('cpu.user {"unit":"°C"}'.encode(), Sender("tcp", "10.0.0.7:99", 0.0))
    master = served.master()
    stamp, data = master.declared("")
    assert data is not None and decode(data).kept == [("tcp_10.0.0.7", 'cpu.user {"unit":"°C"}'.encode())]
    assert master.declared(stamp) == (stamp, None)
    served.declared.take(b"other {}", Sender("tcp", "10.0.0.7:99", 0.0))
    later, data = master.declared(stamp)
    assert later != stamp and data is not None and len(decode(data).kept) == 2


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_is_answered(served: Serving, token: str) -> None:
    with pytest.raises(ReplicaError, match=r"needs .*replica-token.*\(our setting replica-token\)"):
        served.master(token=token).state()


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../x"])
def test_names_that_cannot_be_are_refused(served: Serving, name: str) -> None:
    with pytest.raises(ReplicaError, match="name must be"):
        served.master(name).lease()


@pytest.mark.parametrize("url", ["ftp://x", "x:8000", "http://x/path", "http://", "http://x:99999", "http://[::1", "http://a:b@x"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(SettingsError):
        Master(url, "", "two")


@pytest.mark.parametrize("url", ["http://x:99999", "http://[::1", "http://x/y", "http://x:80?y", "file://x", "x"])
def test_a_master_remembers_no_address_at_which_it_could_not_ask(served: Serving, url: str) -> None:
    with pytest.raises(ReplicaError, match="url must be an address"):
        served.master(ours=url).lease()
    assert served.store.files.manifest.replicas == ()


def test_whoever_is_asked_for_a_state_cannot_make_us_read_much(served: Serving) -> None:
    served.spoil = lambda _environ, found: [b"[" * (MOST_WORDS + 1)]
    with pytest.raises(ServerUnreachable):
        served.master().state()


def test_who_does_not_answer_is_unreachable_and_a_kept_connection_that_ended_is_none(served: Serving) -> None:
    master = served.master()
    assert master.state().term == 0
    master._idle[0].sock.close()
    assert master.state().term == 0
    served.http.stop()
    with pytest.raises(ServerUnreachable, match="does not answer"):
        master.state()


def test_a_file_that_breaks_off_is_gone_on_with(served: Serving) -> None:
    served.send(*(f"a{one} {NOW} 1" for one in range(200)))
    served.store.flush()
    master = served.master()
    (file,) = [one for one in master.lease().files if one.path.startswith("names/")]

    served.spoil = lambda _environ, found: broken_off(found, file.size // 2)
    got = b""
    with pytest.raises(ServerUnreachable):
        for piece in master.file(file.path):
            got += bytes(piece)
    assert len(got) == file.size // 2
    served.spoil = None
    got += b"".join(map(bytes, master.file(file.path, len(got))))
    assert got == (served.store.folder / file.path).read_bytes()


def test_a_master_is_asked_by_tls_and_one_that_is_not_believed_gets_no_token(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair()
    served = Serving(tmp_path, Certificate(pair.cert, pair.key))
    served.send(*(f"a{one} {NOW} 1" for one in range(100)))
    served.store.flush()
    master = served.master(ca=authority.ca)
    for file in master.lease().files:
        assert b"".join(map(bytes, master.file(file.path))) == (served.store.folder / file.path).read_bytes()
    with pytest.raises(ServerUnreachable, match=r"not believed: .*\(replica-ca\)"):
        served.master(ca=Authority(tmp_path, "another").ca).state()
    served.scheme = "http"
    with pytest.raises(ServerUnreachable):
        served.master().state()
    served.stop()


@pytest.mark.parametrize(("header", "part"), [("", None), ("bytes=3-", (3, 10)), ("bytes=0-0", (0, 1)),
                                              ("bytes=2-99", (2, 10)), ("bytes=-3", None), ("lines=1-2", None)])
def test_ranges_are_read_as_http_has_them(header: str, part: tuple[int, int] | None) -> None:
    assert part_of(header, 10) == part


def test_a_file_that_no_lease_holds_is_refused_and_no_fault_of_ours(served: Serving) -> None:
    master = served.master()
    master.lease()
    with no_faults(), pytest.raises(CopyNeeded, match="holds no file of this name"):
        list(master.file("../MANIFEST"))
