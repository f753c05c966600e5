"""From whom nothing is taken: the list, its file, and what befalls senders on it by real sockets."""
from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent.socket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat_server.ingest.connections import ConnectionInput
from istat_server.ingest.datagrams import DatagramInput
from istat_server.ingest.endpoints import Transport
from istat_server.ingest.intake import Intake
from istat_server.ingest.places import Places
from istat_server.ingest.pump import Surroundings
from istat_server.selfmetrics import METRICS, REFUSAL_METRICS
from istat_server.senders.blacklist import MOST_FILE, Blacklist, Reader
from istat_server.store.interface import METADATA, Accepted
from tests.ingest.fakes import Bench, listening, until


class Keeper:
    """Takes all lines, and remembers samples."""

    refusing = ""

    def __init__(self) -> None:
        self.samples: list[bytes] = []

    def accept(self, view: memoryview, start: int, end: int) -> Accepted:
        *whole, rest = bytes(view[start:end]).split(b"\n")
        self.samples += [line for line in whole if not line.startswith(b"#")]
        return Accepted(end - start - len(rest), [(METADATA, line, 1) for line in whole if line.startswith(b"#")])


class Around(Bench):
    """A bench with a real intake."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = Keeper()
        self.real = Intake(self.keeper, self.mistakes)
        self.intake = self.real     # type: ignore[assignment]

    def bar(self, *lines: str) -> None:
        self.roster.blacklist.become(Blacklist(lines))
        self.roster.judge()


@pytest.fixture
def around() -> Iterator[Around]:
    around = Around()
    around.pump.start()
    yield around
    around.pump.stop()
    assert around.errors == []


Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(around: Around) -> Iterator[Connect]:
    bound = listening(Transport.TCP)
    surroundings: Surroundings = around
    listener = ConnectionInput([bound], surroundings, 1000, Places(50, 100))
    listener.start()
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(gevent.socket.create_connection(bound.sockets[0].getsockname(), 10))
        return opened[-1]

    yield connect
    for sock in opened:
        sock.close()
    listener.stop()


@pytest.fixture
def datagrams(around: Around) -> Iterator[tuple[str, int]]:
    bound = listening(Transport.UDP)
    surroundings: Surroundings = around
    listener = DatagramInput([bound], surroundings)
    listener.start()
    yield bound.sockets[0].getsockname()
    listener.stop()


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_names_addresses_and_networks() -> None:
    black = Blacklist(["# the old ones", "  DB1.example.net\r", "", "10.0.0.7", "192.0.2.0/24", "2001:db8::/32",
                       "ab12"])
    assert len(black) == 5
    barred = [("", "db1.example.net"), ("", "DB1.Example.NET"), ("10.0.0.7", ""), ("192.0.2.255", "web1"),
              ("[2001:db8::5]", ""), ("::ffff:10.0.0.7", ""), ("", "ab12")]
    assert all(black.bars(*one) for one in barred)
    free = [("", "db1"), ("10.0.0.8", ""), ("192.0.3.1", "web1"), ("2001:db9::5", ""), ("", ""), ("user 1000", "x"),
            ("fe80::1%eth0", "")]
    assert not any(black.bars(*one) for one in free)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=5), st.integers(0, 2**32 - 1))
def test_networks_are_what_the_library_says(given_: list[tuple[int, int]], address: int) -> None:
    networks = [ipaddress.ip_network(one, strict=False) for one in given_]
    asked = ipaddress.IPv4Address(address)
    assert Blacklist(map(str, networks)).bars(str(asked)) == any(asked in network for network in networks)


@given(st.text(max_size=40))
def test_any_line_is_read(line: str) -> None:
    assert len(Blacklist([line])) <= 1


def test_an_ipv4_address_written_as_one_of_ipv6_is_that_one() -> None:
    listed = Blacklist(["::ffff:10.0.0.7", "::ffff:10.1.0.0/112"])
    assert listed.bars("10.0.0.7") and listed.bars("::ffff:10.0.0.7") and listed.bars("10.1.200.3")
    assert not listed.bars("10.0.0.8") and not listed.bars("10.2.0.1") and not listed.bars("::1")


def test_a_connection_that_says_a_name_on_it_is_closed_and_what_follows_is_dropped(
        around: Around, connect: Connect) -> None:
    around.bar("db1")
    bad, good = connect(), connect()
    bad.sendall(b"before 1\n#hostname DB1\nafter 1\n#hostname web1\nagain 1\n")
    good.sendall(b"#hostname web1\nx 1\n")
    assert is_closed(bad)
    until(lambda: len(around.keeper.samples) > 1)       # of two connections, in any order
    assert sorted(around.keeper.samples) == [b"before 1", b"x 1"]
    assert around.mistakes.counts["blacklisted"] == 1
    rows = {row["name"]: row for row in (around.roster.row(one) for one in around.roster.senders())}
    assert rows["DB1"]["blacklisted"] is True and rows["DB1"]["online"] is False
    assert rows["web1"]["blacklisted"] is False and rows["web1"]["online"] is True


def test_an_open_connection_is_closed_at_its_next_line_once_it_is_listed(around: Around, connect: Connect) -> None:
    client = connect()
    client.sendall(b"#hostname db1\na 1\n")
    until(lambda: around.keeper.samples == [b"a 1"])
    around.bar("db1")
    client.sendall(b"b 1\n")
    assert is_closed(client)
    assert around.keeper.samples == [b"a 1"]
    assert [around.roster.istatd_row(one) for one in around.roster.senders()][0]["blacklisted"] == "true"


def test_who_comes_from_a_listed_address_is_closed_at_once_and_listed_once(around: Around, connect: Connect) -> None:
    around.bar("127.0.0.0/8")
    for _ in range(5):
        assert is_closed(connect())
    assert around.mistakes.counts["blacklisted"] == 5
    assert len(around.roster) == 1
    around.bar()
    client = connect()
    client.sendall(b"a 1\n")
    until(lambda: around.keeper.samples == [b"a 1"])


def test_a_udp_sender_silences_itself_only_and_until_it_has_another_name(
        around: Around, datagrams: tuple[str, int]) -> None:
    around.bar("db1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bad, socket.socket(socket.AF_INET,
                                                                                socket.SOCK_DGRAM) as good:
        bad.sendto(b"#hostname db1\na 1\n", datagrams)
        good.sendto(b"b 1\n", datagrams)
        bad.sendto(b"c 1\n", datagrams)
        until(lambda: around.keeper.samples == [b"b 1"] and around.mistakes.counts["blacklisted"] == 2)
        bad.sendto(b"#hostname web1\nd 1\n", datagrams)
        until(lambda: around.keeper.samples == [b"b 1", b"d 1"])
    assert around.mistakes.counts["blacklisted"] == 2


def test_datagrams_of_a_listed_address_are_dropped_whatever_they_say(
        around: Around, datagrams: tuple[str, int]) -> None:
    around.bar("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"a 1\n#hostname web1\nb 1\n", datagrams)
        until(lambda: around.mistakes.counts["blacklisted"] == 1)
    assert around.keeper.samples == []


def test_the_file_is_read_again_when_it_has_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, black, changes = tmp_path / "black", Blacklist(), []
    reader = Reader(black, lambda: changes.append(len(black)), {"blacklist-path": path, "blacklist-period": 60})
    with caplog.at_level(logging.INFO):
        reader.look()
        reader.look()
        assert len(black) == 0 and caplog.text.count("No such file") == 1
        path.write_text("db1\n10.0.0.0/8\n")
        reader.look()
        reader.look()
        assert changes == [2] and black.bars("10.1.2.3") and reader.totals() == {"blacklist.entries": 2}
        path.unlink()
        reader.look()
        assert black.bars("", "db1"), "the list stays"
        path.write_text("db2\n")
        os.utime(path, (1, 1))      # older than before, as from a backup
        reader.look()
        assert not black.bars("", "db1") and black.bars("", "db2")
        path.write_text("x\n" * MOST_FILE)
        reader.look()
        assert black.bars("", "db2") and "more than" in caplog.text
        reader.reload({"blacklist-path": None, "blacklist-period": 60})
        reader.look()
        assert len(black) == 0


def test_what_was_meant_as_a_network_and_is_none_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "black"
    path.write_text("10.0.0.0/33\n192.0.2.0/24\n10.1/16\nweb1\n")
    Reader(Blacklist(), lambda: None, {"blacklist-path": path, "blacklist-period": 1.0}).look()
    assert "bars nobody by '10.0.0.0/33', which is no network, nor by 1 others" in caplog.text
    caplog.clear()
    path.write_text("192.0.2.0/24\nweb1\n")
    Reader(Blacklist(), lambda: None, {"blacklist-path": path, "blacklist-period": 1.0}).look()
    assert "bars nobody" not in caplog.text


def test_a_period_of_0_bars_nobody_and_a_pipe_is_not_waited_for(tmp_path: Path,
                                                                caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "black"
    path.write_text("db1\n")
    black = Blacklist()
    Reader(black, lambda: None, {"blacklist-path": path, "blacklist-period": 0}).look()
    assert len(black) == 0
    os.mkfifo(tmp_path / "pipe")
    Reader(black, lambda: None, {"blacklist-path": tmp_path / "pipe", "blacklist-period": 1}).look()
    assert "no plain file" in caplog.text


def test_a_running_reader_looks_again_after_a_reload(tmp_path: Path) -> None:
    path, black = tmp_path / "black", Blacklist()
    path.write_text("db1\n")
    reader = Reader(black, lambda: None, {"blacklist-path": None, "blacklist-period": 60})
    reader.start()
    assert len(black) == 0
    reader.reload({"blacklist-path": path, "blacklist-period": 60})
    until(lambda: black.bars("", "db1"))
    reader.stop()


def test_it_is_counted_as_istatd_did() -> None:
    assert REFUSAL_METRICS["blacklist.count"] == ("blacklisted",)
    assert {"blacklist.count", "blacklist.entries"} <= {metric.name for metric in METRICS}
