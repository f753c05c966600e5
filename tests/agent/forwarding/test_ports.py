"""An agent's local ports by real sockets: lines and batches come in, and what is none is counted."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import gevent.socket
import pytest

from istat.clock import SystemClock
from istat.daemon.listening.binding import PortInUse
from istat.settings.types import OFF
from istat.wire.batches import MAGIC, Ack, BatchFraming, Hello, Later, Lines, Meta, Refusal, Welcome, decode, encode
from istat.wire.batches import Message as Told
from istat.wire.receiving import Receiving
from istat_agent.counters import Counters
from istat_agent.forwarding.datagrams import DatagramReader
from istat_agent.forwarding.intake import MOST_KEYS, Intake, Keeping, Peer
from istat_agent.forwarding.ports import Ports, open_ports
from istat_agent.forwarding.streams import StreamInput
from tests.agent.forwarding.fakes import FakeForwarder

SENDER = b"0123456789abcdef"


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        gevent.sleep(0.002)


class Local:
    """Open ports, and what came by them."""

    def __init__(self, path: Path) -> None:
        self.way, self.counters = FakeForwarder(), Counters()
        self.ports: Ports = open_ports({"stat-port": 0, "stat-path": path})
        self.seen: list[bytes] = []
        self.intake = Intake(self.way, self.counters, SystemClock(), lambda: None, self.seen.extend)
        receiving = Receiving(Keeping(self.intake))
        receiving.own.add(FakeForwarder.id)
        self.inputs = [StreamInput(self.ports.listeners, self.intake, receiving),
                       *(DatagramReader(sock, self.intake) for sock in self.ports.datagrams)]
        for one in self.inputs:
            one.start()

    def stop(self) -> None:
        for one in self.inputs:
            one.stop()

    def connect(self) -> socket.socket:
        sock: socket.socket = gevent.socket.create_connection(("127.0.0.1", self.ports.port), 10)
        return sock


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    local = Local(tmp_path / "stat")
    yield local
    local.stop()


class Talk:
    """A sender of batches."""

    def __init__(self, sock: socket.socket, hello: Hello) -> None:
        self.sock, self._framing, self._buffer = sock, BatchFraming(), bytearray(1 << 18)
        self._told: list[Told] = []
        sock.sendall(MAGIC + encode(hello))

    def say(self, *messages: Told) -> None:
        self.sock.sendall(b"".join(map(encode, messages)))

    def hear(self) -> Told:
        with gevent.Timeout(5):
            while not self._told:
                data = self.sock.recv(65536)
                assert data, "it has hung up"
                held = self._framing.held
                self._buffer[held:held + len(data)] = data
                for start, end in self._framing.take(self._buffer, held + len(data))[0]:
                    self._told += frames(bytes(self._buffer[start:end]))
        return self._told.pop(0)


def frames(data: bytes) -> list[Told]:
    found = []
    while data:
        size = 9 + int.from_bytes(data[:4], "little")
        found.append(decode(data[:size]))
        data = data[size:]
    return found


def test_lines_by_tcp_udp_and_a_unix_socket(local: Local) -> None:
    tcp = local.connect()
    tcp.sendall(b"a 1\nb 1325395000 2\n*c")
    until(lambda: local.way.text == b"a 1\nb 1325395000 2\n")
    tcp.sendall(b" 3\n")
    until(lambda: local.way.text.endswith(b"*c 3\n"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"d 4\n", ("127.0.0.1", local.ports.port))
    until(lambda: local.way.text.endswith(b"d 4\n"))
    unix = gevent.socket.socket(socket.AF_UNIX)
    unix.connect(local.ports.path)
    unix.sendall(b"e 5\n")
    until(lambda: local.way.text.endswith(b"e 5\n"))
    assert (local.counters.local, local.counters.local_refused) == (5, 0)
    assert b"".join(local.seen) == local.way.text, "prometheus-port is told of them too"


def test_what_is_no_sample_stays_here_and_is_counted(local: Local) -> None:
    client = local.connect()
    client.sendall(b"a 1\nnonsense\n\nb abc\n@x 1\nb 2\n")
    until(lambda: local.way.text == b"a 1\nb 2\n")
    assert local.counters.local_refused == 3


def test_a_datagram_without_an_end_and_an_unfinished_last_line_are_counted(local: Local) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"a 1\nb 2", ("127.0.0.1", local.ports.port))
    client = local.connect()
    client.sendall(b"c 3\nd")
    client.close()
    until(lambda: local.counters.local_refused == 2)
    assert sorted(local.way.text.splitlines()) == [b"a 1", b"c 3"]


def test_what_programs_tell_of_themselves_goes_on_under_their_names(local: Local) -> None:
    client = local.connect()
    client.sendall(b"#proto x 1 1\r\n#hostname db1\r\nq 1\n")
    until(lambda: "db1" in local.way.told)
    assert local.way.told == {"db1": b"#proto x 1 1\n#hostname db1\n"}
    unnamed = local.connect()
    unnamed.sendall(b"#class web\n")
    until(lambda: len(local.way.told) == 2)
    assert set(local.way.told) == {"db1", f"127.0.0.1:{unnamed.getsockname()[1]}"}


def test_what_one_tells_is_bounded() -> None:
    peer = Peer("x")
    assert all(peer.tell(f"#key{number} 1".encode()) for number in range(MOST_KEYS))
    assert not peer.tell(b"#more 1") and peer.tell(b"#key0 2") and not peer.tell(b"#nothing")
    assert not peer.tell(b"#key1 " + b"x" * 1000)


def test_a_request_of_http_is_let_go_and_nothing_of_it_is_taken(local: Local) -> None:
    client = local.connect()
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nevil 1\n")
    with gevent.Timeout(5):
        answer = client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 421 ")
    until(lambda: local.counters.local_refused == 1)
    assert local.way.text == b""


def test_batches_are_kept_with_their_marks_and_acknowledged_once(local: Local) -> None:
    talk = Talk(local.connect(), Hello(SENDER, 7, "app1"))
    assert talk.hear() == Welcome(0)
    batch = Lines(1, 1325395000, 10, 2, b"a 1\n#key v\n")
    talk.say(batch, Lines(2, 1325395001, 0, 2, b"b 2\nnonsense\n"))
    assert [talk.hear(), talk.hear()] == [Ack(1, 0), Ack(2, 1)]
    assert local.way.frames == [(b"a 1\n", 1325395000, 1, 10, (SENDER, 7, 1)),
                                (b"b 2\n", 1325395001, 1, 0, (SENDER, 7, 2))]
    again = Talk(local.connect(), Hello(SENDER, 7, "app1"))
    assert again.hear() == Welcome(2)
    again.say(batch, Meta("db1", b"#class web\n"), Meta("", b"#role x\n"))
    assert again.hear() == Ack(1, 0)
    until(lambda: "app1" in local.way.told)
    assert len(local.way.frames) == 2 and local.way.told["db1"] == b"#class web\n"


def test_a_batch_without_any_sample_is_acknowledged_and_makes_no_frame(local: Local) -> None:
    talk = Talk(local.connect(), Hello(SENDER, 7))
    assert talk.hear() == Welcome(0)
    talk.say(Lines(1, 1325395000, 0, 2, b"nonsense\nmore nonsense here now\n"))
    assert talk.hear() == Ack(1, 2)
    assert local.way.frames == [] and local.way.text == b""


def test_while_the_spool_takes_nothing_batches_are_to_come_later(local: Local) -> None:
    local.way.refusing = "the disk is full"
    talk = Talk(local.connect(), Hello(SENDER, 1))
    assert talk.hear() == Welcome(0)
    talk.say(Lines(1, 1, 0, 1, b"a 1\n"))
    assert talk.hear() == Later(1, "the disk is full")
    assert local.way.frames == []


def test_batches_of_our_own_spool_are_refused(local: Local) -> None:
    talk = Talk(local.connect(), Hello(FakeForwarder.id, 1))
    refusal = talk.hear()
    assert isinstance(refusal, Refusal) and refusal.code == "own"


def test_a_damaged_frame_ends_the_connection(local: Local) -> None:
    client = local.connect()
    client.sendall(MAGIC + encode(Hello(SENDER, 1))[:-1] + b"?" + b"x" * 20)
    with gevent.Timeout(5):
        while client.recv(4096):
            pass
    assert local.counters.local_refused == 1


def test_ports_are_of_this_machine_only_and_one_number_for_both(tmp_path: Path) -> None:
    ports = open_ports({"stat-port": 0, "stat-path": None})
    where = {sock.getsockname()[:2] for sock in (*ports.listeners, *ports.datagrams)}
    assert {host for host, _ in where} <= {"127.0.0.1", "::1"} and {port for _, port in where} == {ports.port}
    assert ports.told() == [f"stat-port={ports.port}"]
    with pytest.raises(PortInUse):
        open_ports({"stat-port": ports.port, "stat-path": None})
    for sock in (*ports.listeners, *ports.datagrams):
        sock.close()
    none = open_ports({"stat-port": OFF, "stat-path": None})
    assert (none.listeners, none.datagrams, none.told()) == ([], [], [])


def test_a_time_of_0_stays_one(local: Local) -> None:
    local.connect().sendall(b"a 0 5\n")
    until(lambda: local.way.text == b"a 0 5\n")


def test_what_has_come_by_the_end_is_taken(local: Local) -> None:
    client = local.connect()
    client.sendall(b"a 1\n")
    until(lambda: local.way.text == b"a 1\n")      # it has a place
    client.sendall(b"b 2\n" * 1000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"c 3\n", ("127.0.0.1", local.ports.port))
    local.stop()
    assert local.way.text.count(b"b 2\n") == 1000 and b"c 3\n" in local.way.text
