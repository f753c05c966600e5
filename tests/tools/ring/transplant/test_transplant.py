"""Two trees of ring files fill each other's gaps; what a peer sends opens no file that was not found, and changes no
bucket that holds something."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name

import pytest
from istatd_writer import Ring
from test_importing import imported, run

from istat.clock import FakeClock
from istat.daemon.service import PidFile
from istat.errors import ServerUnreachable, UsageError
from istat_server.foreign import ring
from istat_server.foreign.ring import Bucket
from istat_server.tools import ALIASES
from istat_server.tools.ring.transplant.asking import Wish, exchange
from istat_server.tools.ring.transplant.command import moment
from istat_server.tools.ring.transplant.messages import Message, TransplantError, encode, slots
from istat_server.tools.ring.transplant.serving import Server
from istat_server.tools.ring.transplant.talking import Talk
from istat_server.tools.ring.transplant.trees import Tree
from tests.tools.ring.leases import has_leases

NOW = 1325404800
T = NOW - 4000
ALL = Wish(0, 1 << 40)
FILES = ("a/10s", "a/1h", "a/5m", "a/b/10s", "c/10s", "c/5m")


def make(root: Path, samples: dict[str, dict[int, float]]) -> Path:
    """A tree: file -> {which bucket: its value}."""
    for name, values in samples.items():
        interval = {"10s": 10, "5m": 300, "1h": 3600}[name.rpartition("/")[2]]
        made = Ring(interval, 512, T)
        for number, value in values.items():
            made.sample(T - T % interval + number * interval, value)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(made.encode())
    return root


def held(path: Path) -> dict[int, float]:
    found = ring.read(path)
    start = found.header.created
    return {(row[0] - start) // found.header.interval: row[2] for row in found.rows(NOW, 10).rows()}


class Listening:
    """A server in a thread."""

    def __init__(self, root: Path, token: str = "") -> None:
        self.server = Server(Tree(root), "127.0.0.1", 0, token, FakeClock(NOW))
        self.port = int(self.server.server_address[1])
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def talk(self) -> tuple[Talk, socket.socket]:
        peer = socket.create_connection(("127.0.0.1", self.port), 10)
        return Talk(peer, 1 << 26), peer

    def raw(self, data: bytes) -> bytes:
        """What comes back until the server ends."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as peer:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionResetError):        # it has ended, and not read all
                while piece := peer.recv(1 << 16):
                    answer += piece
        return answer

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join(20)
        self.server.server_close()


@pytest.fixture
def listening() -> Iterator[list[Listening]]:
    made: list[Listening] = []
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return make(tmp_path / "theirs", {file: {0: 1.0, 1: 2.0, 5: 7.0} for file in FILES})


def test_both_sides_have_all_of_all_files_afterwards(tmp_path: Path, theirs: Path, listening: list[Listening]) -> None:
    ours = make(tmp_path / "ours", {file: {0: 9.0, 2: 3.0, 4: 4.0} for file in (*FILES, "only/here/10s")})
    listening.append(Listening(theirs))
    totals = exchange(Tree(ours), "127.0.0.1", listening[0].port, ALL, FakeClock(NOW))
    for file in FILES:
        late = file.endswith("1h")      # an hour's buckets 2 and later lie after now
        both = {1: 2.0} if late else {1: 2.0, 2: 3.0, 4: 4.0, 5: 7.0}
        assert held(ours / file).items() >= ({0: 9.0} | ({} if late else both)).items(), file
        assert held(theirs / file).items() >= ({0: 1.0} | both).items(), file
    assert totals["files"] == len(FILES) + 1 and listening[0].server.totals["unknown"] == 1
    assert held(ours / "only/here/10s") == {0: 9.0, 2: 3.0, 4: 4.0}
    assert not (theirs / "only").exists()
    assert {path.name for path in theirs.rglob("*") if path.is_file()} == {"10s", "1h", "5m"}
    again = exchange(Tree(ours), "127.0.0.1", listening[0].port, ALL, FakeClock(NOW))
    assert again["filled"] == 0


def test_a_range_is_all_that_is_exchanged(tmp_path: Path, theirs: Path, listening: list[Listening]) -> None:
    ours = make(tmp_path / "ours", {"a/10s": {0: 9.0, 2: 3.0, 4: 4.0}})
    listening.append(Listening(theirs))
    exchange(Tree(ours), "127.0.0.1", listening[0].port, Wish(T + 10, T + 30), FakeClock(NOW))
    assert held(ours / "a/10s") == {0: 9.0, 1: 2.0, 2: 3.0, 4: 4.0}
    assert held(theirs / "a/10s") == {0: 1.0, 1: 2.0, 2: 3.0, 5: 7.0}


PROBES = (b"../secret/10s", b"/../secret/10s", b"a/../../secret/10s", b"//secret/10s", b"a/./10s", b"a", b"",
          b"link/10s", b".hidden/10s", b"a/10s/", b"a//10s", b"../" * 300 + b"etc/passwd")


def test_a_path_that_was_not_found_below_the_folder_opens_nothing(tmp_path: Path, theirs: Path,
                                                                  listening: list[Listening],
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    secret = make(tmp_path / "secret", {"10s": {0: 5.0}}) / "10s"
    make(theirs / ".hidden", {"10s": {0: 5.0}})
    (theirs / "link").symlink_to(tmp_path / "secret")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    listening.append(Listening(theirs))
    opened: list[str] = []
    real = ring.read
    monkeypatch.setattr(ring, "read", lambda path: opened.append(str(path)) or real(path))
    talk, peer = listening[0].talk()
    new = slots([Bucket(T + 20, 1.0, 1.0, 1.0, 1, 1.0)])
    absolute = os.fsencode(secret)
    with peer:
        for path in (*PROBES, absolute):
            talk.send(Message(path, 0, 1 << 40, new))
            assert talk.receive(20) == Message(path, 0, 1 << 40)
        assert opened == [] and listening[0].server.totals["unknown"] == len(PROBES) + 1
        talk.send(Message(b"/a/10s", 0, 1 << 40, new))      # as a path below the root it may begin with a slash
        answer = talk.receive(20)
        assert answer is not None and len(list(answer.buckets())) == 3
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after[path]} == {theirs / "a/10s"}


@pytest.mark.parametrize("bucket", [
    Bucket(T + 21, 1.0, 1.0, 1.0, 1, 1.0), Bucket(NOW + 10, 1.0, 1.0, 1.0, 1, 1.0),
    Bucket(1 << 59, 1.0, 1.0, 1.0, 1, 1.0), Bucket(T - 512 * 10, 1.0, 1.0, 1.0, 1, 1.0),
    Bucket(-10, 1.0, 1.0, 1.0, 1, 1.0), Bucket(T + 20, float("nan"), 1.0, 1.0, 1, 1.0),
    Bucket(T + 20, 1.0, float("inf"), 1.0, 1, 1.0), Bucket(T + 20, 1.0, 1.0, 1.0, 0, 1.0),
    Bucket(T + 20, 1.0, 1.0, 1.0, -5, 1.0), Bucket(T, 77.0, 1.0, 1.0, 1, 1.0)])
def test_a_bucket_that_cannot_be_or_has_no_empty_place_is_not_taken(bucket: Bucket, theirs: Path,
                                                                    listening: list[Listening]) -> None:
    before = (theirs / "a/10s").read_bytes()
    listening.append(Listening(theirs))
    talk, peer = listening[0].talk()
    with peer:
        talk.send(Message(b"a/10s", 0, 1 << 40, slots([bucket])))
        assert talk.receive(20) is not None
    assert (theirs / "a/10s").read_bytes() == before
    totals = listening[0].server.totals
    assert totals["refused"] + totals["kept"] + totals["too_old"] == 1 and not totals["filled"]


NO_MESSAGES = (b"\xff\xff\xff\xff", struct.pack(">I", 1 << 25), struct.pack(">I", 3) + b"\xff\xff\xff",
               struct.pack(">I", 9) + b"\x01a", b"\0\0", b"GET / HTTP/1.1\r\n\r\n",
               encode(Message(b"a/10s", 0, 1 << 40))[:-1])


@pytest.mark.parametrize("data", NO_MESSAGES)
def test_bytes_that_are_no_message_end_their_connection_only(data: bytes, theirs: Path, listening: list[Listening],
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    listening.append(Listening(theirs))
    talk, peer = listening[0].talk()
    with peer:
        assert listening[0].raw(data) == b""
        talk.send(Message(b"a/10s", 0, 1 << 40))
        answer = talk.receive(20)
        assert answer is not None and len(answer.slots) == 96
    assert listening[0].server.totals["broken"] == 1 and "Traceback" not in capsys.readouterr().err


def test_a_message_is_as_long_as_the_largest_file_at_most(theirs: Path, listening: list[Listening]) -> None:
    listening.append(Listening(theirs))
    largest = max(path.stat().st_size for path in theirs.rglob("10s"))
    assert largest < listening[0].server.tree.most_message < largest + 10_000


def test_only_so_many_connections_at_once(theirs: Path, listening: list[Listening]) -> None:
    listening.append(Listening(theirs))
    peers = [listening[0].talk() for _ in range(4)]
    for talk, _ in peers:       # all are served by now
        talk.send(Message(b"a/10s", 0, 1))
        assert talk.receive(20) is not None
    assert listening[0].raw(b"") == b""
    assert listening[0].server.totals["turned_away"] == 1
    for _, peer in peers:
        peer.close()


def test_without_the_token_nothing_is_answered(tmp_path: Path, theirs: Path, listening: list[Listening],
                                               capsys: pytest.CaptureFixture[str]) -> None:
    ours = make(tmp_path / "ours", {"a/10s": {2: 3.0}})
    listening.append(Listening(theirs, "secret"))
    port = listening[0].port
    assert listening[0].raw(encode(Message(b"a/10s", 0, 1 << 40))) == b""
    for token in ("", "secre", "secret2"):
        with pytest.raises((TransplantError, ServerUnreachable)):
            exchange(Tree(ours), "127.0.0.1", port, ALL._replace(token=token), FakeClock(NOW))
    assert held(ours / "a/10s") == {2: 3.0} and listening[0].server.totals["without_token"] == 4
    assert "secret" not in capsys.readouterr().err
    exchange(Tree(ours), "127.0.0.1", port, ALL._replace(token="secret"), FakeClock(NOW))
    assert held(ours / "a/10s") == {0: 1.0, 1: 2.0, 2: 3.0, 5: 7.0}


def test_a_damaged_file_on_either_side_is_told_and_the_others_go_on(tmp_path: Path, theirs: Path,
                                                                    listening: list[Listening],
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    ours = make(tmp_path / "ours", {file: {2: 3.0} for file in FILES})
    (ours / "a/10s").write_bytes(b"x" * 9000)
    (theirs / "c/10s").write_bytes(bytes(9000))
    listening.append(Listening(theirs))
    totals = exchange(Tree(ours), "127.0.0.1", listening[0].port, ALL, FakeClock(NOW))
    assert totals["damaged"] == 1 and listening[0].server.totals["damaged"] == 1
    err = capsys.readouterr().err
    assert f"{ours}/a/10s is no istatd file" in err and f"{theirs}/c/10s is no istatd file" in err
    assert (ours / "a/10s").read_bytes() == b"x" * 9000 and (theirs / "c/10s").read_bytes() == bytes(9000)
    assert held(ours / "a/b/10s") == {0: 1.0, 1: 2.0, 2: 3.0, 5: 7.0}


def test_a_peer_that_answers_of_another_file_is_no_peer(tmp_path: Path) -> None:
    ours = make(tmp_path / "ours", {"a/10s": {2: 3.0}})
    before = (ours / "a/10s").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as lying:
        def answer() -> None:
            peer, _ = lying.accept()
            with peer:
                peer.recv(1 << 16)
                peer.sendall(encode(Message(b"../a/10s", 0, 1 << 40, slots([Bucket(T, 1.0, 1.0, 1.0, 1, 1.0)]))))
                peer.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TransplantError, match="of another file"):
            exchange(Tree(ours), "127.0.0.1", lying.getsockname()[1], ALL, FakeClock(NOW))
        thread.join(20)
    assert (ours / "a/10s").read_bytes() == before


def test_trees_that_a_daemon_writes_are_refused(tmp_path: Path, theirs: Path) -> None:
    if not has_leases(tmp_path):
        pytest.skip("this file system has no leases")
    with open(theirs / "c/5m", "r+b"), pytest.raises(UsageError, match="open for writing in another process"):
        Tree(theirs)
    assert len(Tree(theirs)) == len(FILES)


def test_our_stores_and_folders_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(f"name,time,value\na.b,{NOW - 100},1\n")
    imported(capsys, tmp_path / "a.csv", "--store", tmp_path / "store")
    with pytest.raises(UsageError, match="is a store of ours"):
        Tree(tmp_path / "store")
    with pytest.raises(UsageError, match="there is no folder"):
        Tree(tmp_path / "none")


def program(*words: object) -> int:
    status: int = resolve_name(ALIASES["istatd_transplant"]).main([str(word) for word in words], FakeClock(NOW))
    return status


def test_listening_beyond_this_machine_wants_a_token(theirs: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("ISTAT_TRANSPLANT_TOKEN", raising=False)
    for where in ("0.0.0.0:0", "[::]:0", "example.org:8099", ":0"):
        assert program("--listen", where, "--store", theirs) == 1
        assert "wants a token" in capsys.readouterr().err


def test_command_lines(tmp_path: Path, theirs: Path, listening: list[Listening],
                       capsys: pytest.CaptureFixture[str]) -> None:
    ours = make(tmp_path / "ours", {"a/10s": {2: 3.0}})
    listening.append(Listening(theirs))
    where = f"127.0.0.1:{listening[0].port}"
    assert program("--connect", where, "--store", ours, "--fromtime", "2012-01-01T00:00:00", "--totime", NOW,
                   "--limitrate", 1000, "--progress", 1, "--verbose", "--pidfile", tmp_path / "pid") == 0
    out, err = capsys.readouterr()
    assert out == "1 files, 3 filled, 1 sent\n" and "1 of 1 files\n" in err and not (tmp_path / "pid").exists()
    assert run("ring", "transplant", "--connect", where, "--store", ours, "--json") == 0
    assert capsys.readouterr().out == '{"files": 1, "sent": 4}\n'
    assert program("--connect", where, "--store", ours, "--totime", "1960-01-01T00:00:00") == 0     # nothing of then
    for words in ((), ("--store", ours), ("--listen", 0, "--connect", where, "--store", ours), ("--connect", where),
                  ("--connect", where, "--store", ours, "--fromtime", "x"), ("--test", "left")):
        assert program(*words) == 1, words
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert program("--connect", f"127.0.0.1:{free.getsockname()[1]}", "--store", ours) == 2


def test_a_pid_file_is_held_and_nothing_else_is_written_over(tmp_path: Path, theirs: Path,
                                                             listening: list[Listening],
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    listening.append(Listening(theirs))
    ours, place = make(tmp_path / "ours", {"a/10s": {2: 3.0}}), tmp_path / "pid"
    words = ("--connect", f"127.0.0.1:{listening[0].port}", "--store", ours, "--pidfile", place)
    place.write_text("999999999\n")                     # stale
    assert program(*words) == 0 and not place.exists()
    with PidFile(place):
        assert program(*words) == 1 and "already running as process" in capsys.readouterr().err
    place.write_text("precious\n")
    assert program(*words) == 1 and place.read_text() == "precious\n"


def test_the_self_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert resolve_name(ALIASES["istatd_transplant"]).main(["--test"]) == 0
    assert capsys.readouterr().out == "ok\n"


def test_moments() -> None:
    assert [moment(text, "--from") for text in ("1325394000", "2012-01-01T05:00:00", "2012-01-01T05:00:00Z",
                                                "2012-01-01T06:00:00+01:00")] == [1325394000] * 4
    assert [moment(text, "--from") for text in ("1969-12-31T23:59:59", "0001-01-01T00:00:00")] == [0, 0]
