"""Acknowledged batches over real sockets, into a store: TCP, TLS, Unix; tokens, the blacklist, and the roster."""
from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from istat.clock import FakeClock
from istat.daemon.tls import Certificate, client_context
from istat.wire.batches import (
    HEADER,
    MAGIC,
    MOST_TEXT,
    Ack,
    Hello,
    Later,
    Lines,
    Message,
    Meta,
    Ping,
    Pong,
    Refusal,
    Welcome,
    decode,
    encode,
)
from istat.wire.lines import LINES
from istat.wire.protocol import EachLine
from istat_server.ingest import connections
from istat_server.ingest.batches import Batches
from istat_server.ingest.connections import ConnectionInput
from istat_server.ingest.endpoints import Transport
from istat_server.ingest.intake import Intake
from istat_server.ingest.places import Places
from istat_server.senders.blacklist import Blacklist
from istat_server.store.interface import Capability, Mark
from istat_server.testing.contract import NOW, Opened, T
from istat_server.testing.memory import MemoryStore
from tests.certificates import Authority
from tests.ingest.fakes import Bench, listening, until

A = bytes(range(16))
TEN = 10.0


class SlowStore(MemoryStore):
    """What is taken is written when a test says so."""

    def accept_marked(self, *given: Any) -> Any:
        """See Store.accept_marked."""
        self.ticket += 1
        return super().accept_marked(*given)


@dataclass
class Teed:
    """A tee that remembers, and how much the store had then."""

    store: MemoryStore
    batches: list[tuple[bytes, int, int, int, Mark, int]] = field(default_factory=list)
    metas: list[tuple[str, bytes]] = field(default_factory=list)

    def batch(self, *given: Any) -> None:
        """See Tee.batch."""
        self.batches.append((*given, self.store.totals().samples))

    def meta(self, origin: str, text: bytes) -> None:
        """See Tee.meta."""
        self.metas.append((origin, text))

    def settle(self, seconds: float) -> None:
        """Nothing is under way."""


class Site:
    """A store and the way of batches into it."""

    def __init__(self, bench: Bench, token: str = "") -> None:
        self.bench = bench
        self.clock = FakeClock(NOW)
        self.store = SlowStore(clock=self.clock)
        self.opened = Opened(self.store, self.clock)
        self.intake = Intake(self.store, bench.mistakes)
        bench.intake = self.intake      # type: ignore[assignment]
        self.batches = Batches(self.store, self.intake, bench.roster, bench.mistakes, token)
        self.listeners: list[ConnectionInput] = []

    def listen(self, transport: Transport = Transport.TCP, certificate: Certificate | None = None,
               **more: Any) -> Callable[[], Any]:
        """Take connections; the result connects."""
        bound = listening(transport, more.pop("protocol", LINES), **more)
        listener = ConnectionInput([bound], self.bench, 1000, Places(50, 100), certificate,
                                   receiving=self.batches.receiving)
        listener.start()
        self.listeners.append(listener)
        address = bound.sockets[0].getsockname()
        if transport is Transport.TCP:
            return lambda: gevent.socket.create_connection(address, TEN)
        return lambda: unix(address)

    def value(self, name: str, start: int = T) -> float:
        """The sum of a counter's bucket; 0 before there is one."""
        if self.store.find(name.encode()) is None:
            return 0
        rows = self.opened.one(name, 0, start, start + 10)
        return sum(row[2] for row in rows)

    def write(self) -> None:
        """All is written."""
        self.store.written = self.store.ticket

    @property
    def counts(self) -> dict[str, int]:
        """Mistakes."""
        return {kind: count for kind, count in self.bench.mistakes.counts.items() if count}


def unix(address: str) -> Any:
    sock = gevent.socket.socket(socket.AF_UNIX)
    sock.connect(address)
    return sock


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    made = Site(bench)
    yield made
    for listener in made.listeners:
        listener.stop()
    made.batches.stop()


class Client:
    """A sender's side."""

    def __init__(self, sock: Any, first: bytes = MAGIC) -> None:
        self.sock = sock
        sock.settimeout(TEN)
        sock.sendall(first)

    def say(self, *messages: Message) -> None:
        """Say so."""
        self.sock.sendall(b"".join(map(encode, messages)))

    def hear(self) -> Message | None:
        """The next answer; None at the end."""
        head = self._read(HEADER.size)
        return decode(head + self._read(HEADER.unpack(head)[0])) if head else None

    def hello(self, **more: Any) -> Message | None:
        """Say HELLO; the answer."""
        self.say(Hello(more.pop("sender", A), more.pop("epoch", 1), **more))
        return self.hear()

    def silent(self, seconds: float = 0.05) -> bool:
        """Whether nothing is heard for so long."""
        try:
            gevent.socket.wait_read(self.sock.fileno(), seconds, TimeoutError())
        except TimeoutError:
            return True
        return False

    def _read(self, size: int) -> bytes:
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while len(found) < size:
                piece = self.sock.recv(size - len(found))
                if not piece:
                    break
                found += piece
        return found


def batch(sequence: int, text: bytes, clock: int = T, interval: int = 0) -> Lines:
    return Lines(sequence, clock, interval, text.count(b"\n"), text)


@pytest.fixture(params=["tcp", "tls", "unix"])
def connect(request: pytest.FixtureRequest, site: Site, authority: Authority, tmp_path: Path) -> Callable[[], Any]:
    if request.param == "tcp":
        return site.listen()
    if request.param == "unix":
        return site.listen(Transport.UNIX, path=str(tmp_path / "socket"))
    pair = authority.pair()
    plain, context = site.listen(certificate=Certificate(pair.cert, pair.key)), client_context(authority.ca)
    return lambda: context.wrap_socket(plain(), server_hostname="localhost")


def test_a_batch_is_taken_and_acknowledged_when_it_is_written(site: Site, connect: Callable[[], Any]) -> None:
    client = Client(connect())
    assert client.hello(host="web1") == Welcome(0)
    client.say(batch(1, b"a 5\nb %d 7\nbad\n" % T), batch(2, b"a 6\n"))
    until(lambda: site.value("a") == 11)
    assert client.silent()
    site.store.written = 1
    assert client.hear() == Ack(1, 1)
    assert client.silent()
    site.write()
    assert client.hear() == Ack(2)
    (sender,) = site.bench.roster.senders()
    assert sender.name == "web1" and sender.refused == {"bad_fields": 1}
    assert site.batches.totals()["batches.taken"] == 2 and site.batches.totals()["batches.senders"] == 1
    client.sock.close()
    until(lambda: site.batches.receiving.senders == 0)
    assert site.counts == {}        # the store has counted the bad line


def test_what_is_sent_again_counts_once(site: Site, connect: Callable[[], Any]) -> None:
    totals = site.batches.receiving.totals
    for turn in range(3):
        client = Client(connect())
        client.say(Hello(A, 1), batch(1, b"a 5\n"), batch(2, b"a 6\n"))
        until(lambda: (totals["taken"], totals["again"]) == (2, 2 * turn))  # noqa: B023 - at once
        site.write()
        assert isinstance(client.hear(), Welcome)
        assert [client.hear(), client.hear()] == [Ack(1), Ack(2)]
        client.sock.close()
        until(lambda: site.batches.receiving.senders == 0)
    assert site.value("a") == 11
    client = Client(connect())
    assert client.hello() == Welcome(2)


def test_large_batches_in_small_pieces_and_many_at_once(site: Site, connect: Callable[[], Any]) -> None:
    client = Client(connect(), MAGIC[:5])
    gevent.sleep(0.01)
    client.sock.sendall(MAGIC[5:])
    assert client.hello() == Welcome(0)
    line = b"some.name.that.is.long 1\n"
    text = line * (MOST_TEXT // len(line))
    frame = encode(batch(1, text))
    for at in range(0, len(frame), 10_000):
        client.sock.sendall(frame[at:at + 10_000])
        gevent.sleep(0.001)
    site.write()
    client.say(*(batch(sequence, text) for sequence in range(2, 17)))
    until(lambda: site.batches.receiving.totals["taken"] == 16)
    site.write()
    assert [client.hear() for _ in range(16)] == [Ack(sequence) for sequence in range(1, 17)]
    assert site.value("some.name.that.is.long") == 16 * text.count(b"\n")


def test_what_the_store_does_not_take_now_is_to_be_sent_later(site: Site, connect: Callable[[], Any]) -> None:
    client = Client(connect())
    client.hello()
    site.store.refusing = "the journal cannot be written"
    client.say(batch(1, b"a 1\n"), Ping())
    assert [client.hear(), client.hear()] == [Later(1, "the journal cannot be written"), Pong()]
    site.store.refusing = ""
    again = Client(connect())
    assert again.hello() == Welcome(0)
    again.say(batch(1, b"a 1\n"))
    until(lambda: site.value("a") == 1)
    site.write()
    assert again.hear() == Ack(1)


def test_the_tee_hears_of_each_batch_once_and_before_the_store(site: Site) -> None:
    site.batches.tee = teed = Teed(site.store)
    connect = site.listen()
    for _ in range(2):
        client = Client(connect())
        client.say(Hello(A, 3, "web1"), batch(1, b"a 1\nb 1\n", interval=10), Meta("", b"#version 1\n"),
                   Meta("db7", b"#version 2\n#hostname db7\n"), Ping())
        while client.hear() != Pong():
            pass
    assert teed.batches == [(b"a 1\nb 1\n", T, 10, 2, Mark(A, 3, 1), 0)]
    assert set(teed.metas) == {("web1", b"#version 1\n"), ("db7", b"#version 2\n#hostname db7\n")}
    rows = [site.bench.roster.row(one) for one in site.bench.roster.senders()]
    assert {(row["name"], row["version"], row["via"]) for row in rows} == {("web1", "1", None), ("db7", "2", "web1")}


def test_metadata_that_are_none_are_the_senders_mistake(site: Site) -> None:
    client = Client(site.listen()())
    client.say(Hello(A, 1, "web1"), Meta("", b"#nothing\n#a b\n"), Meta("x" * 300, b"#a b\n"), Ping())
    while client.hear() != Pong():
        pass
    assert site.counts == {"bad_metadata": 2}
    (sender,) = site.bench.roster.senders()
    assert sender.metadata == {"hostname": "web1", "a": "b"} and sender.refused == {"bad_metadata": 2}


def test_a_listed_host_is_refused(site: Site) -> None:
    site.bench.roster.blacklist.become(Blacklist(["web1"]))
    client = Client(site.listen()())
    refusal = client.hello(host="web1")
    assert isinstance(refusal, Refusal) and refusal.code == "barred"
    assert client.hear() is None
    assert site.counts == {"blacklisted": 1}


def test_who_is_listed_meanwhile_is_closed_and_nothing_more_is_taken(site: Site) -> None:
    client = Client(site.listen()())
    client.hello(host="web1")
    client.say(batch(1, b"a 1\n"))
    until(lambda: site.value("a") == 1)
    site.bench.roster.blacklist.become(Blacklist(["web1"]))
    site.bench.roster.judge()
    client.say(batch(2, b"a 1\n"))
    assert client.hear() is None
    assert site.value("a") == 1 and site.counts == {"blacklisted": 1}


def test_who_goes_before_he_is_answered_does_nothing_wrong(site: Site, connect: Callable[[], Any]) -> None:
    client = Client(connect())
    client.hello()
    client.say(batch(1, b"a 1\n"))
    until(lambda: site.value("a") == 1)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")      # a reset
    client.sock.close()
    site.write()
    until(lambda: site.batches.receiving.senders == 0 and site.batches.receiving.owed == 0)
    assert site.counts == {}


def test_a_store_without_marks_takes_no_batches(site: Site) -> None:
    site.store.capabilities -= {Capability.BATCH_MARKS}
    refusal = Client(site.listen()()).hello()
    assert isinstance(refusal, Refusal) and refusal.code == "unable"


@pytest.mark.parametrize("first", [b"#istat-batches 2\n", b"#istat-batches 1 \n", b"a 1\n#istat-batches 1\n"])
def test_other_first_lines_are_lines(site: Site, first: bytes) -> None:
    client = Client(site.listen()(), first + b"b 2\n")
    until(lambda: site.value("b", NOW - NOW % 10) == 2)
    assert client.silent(0.02)


def test_only_where_lines_are_spoken(site: Site) -> None:
    translated: list[bytes] = []
    other = EachLine("other", lambda line: translated.append(line) or b"")      # type: ignore[func-returns-value]
    Client(site.listen(protocol=other)())
    until(lambda: translated == [MAGIC.rstrip()])


@pytest.mark.parametrize("broken", [b"\xff" * 64, encode(Ping())[:-1] + b"\0" + encode(Ping()), HEADER.pack(0, 99, 0)])
def test_what_is_no_frame_ends_the_connection(site: Site, broken: bytes) -> None:
    client = Client(site.listen()())
    client.hello()
    client.sock.sendall(broken)
    assert client.hear() is None
    assert site.counts == {"bad_message": 1}
    assert site.batches.receiving.senders == 0


def test_a_batch_that_is_cut_is_no_mistake(site: Site) -> None:
    client = Client(site.listen()())
    client.hello()
    client.sock.sendall(encode(batch(1, b"a 1\n"))[:-1])
    client.sock.close()
    until(lambda: site.batches.receiving.senders == 0)
    assert site.counts == {} and site.store.count() == 0


def test_who_does_not_read_his_answers_is_closed(site: Site) -> None:
    client = Client(site.listen()())
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.hello()
    pings = encode(Ping()) * 20_000
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            client.sock.sendall(pings)
    until(lambda: site.counts == {"answers_unread": 1}, TEN)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections come from another machine."""
    monkeypatch.setattr(connections, "address_of", lambda address: "192.0.2.7")


@pytest.mark.parametrize("token", ["", "wrong", "secret"])
def test_samples_token(bench: Bench, far: None, token: str) -> None:
    site = Site(bench, "secret")
    client = Client(site.listen()())
    answer = client.hello(token=token)
    if token == "secret":
        assert answer == Welcome(0)
    else:
        assert isinstance(answer, Refusal) and answer.code == "token"
        assert site.counts == {"batch_token": 1}
    site.listeners[0].stop()


def test_with_a_token_lines_are_taken_of_this_machine_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(bench, "secret")
    connect = site.listen()
    Client(connect(), b"a 1\n")
    until(lambda: site.store.count() == 1)
    monkeypatch.setattr(connections, "address_of", lambda address: "192.0.2.7")
    client = Client(connect(), b"b 1\n")
    assert client.hear() is None
    assert site.counts == {"token_wanted": 1} and site.store.count() == 1
    with contextlib.suppress(ConnectionError):
        assert Client(connect(), b"\n" * 10 + b"x" * 5000 + b"\nb 1\n").hear() is None
    until(lambda: site.counts == {"token_wanted": 2})
    assert site.store.count() == 1
    site.listeners[0].stop()


def test_who_was_not_let_in_makes_room_for_who_is(site: Site) -> None:
    """Else whoever says the first line, and has no token, could take all places for good."""
    site.batches.receiving.token = "secret"
    connect = site.listen()
    (listener,) = site.listeners
    listener.reload({"max-connections": 50, "max-connections-per-address": 3})
    good, wrong, begun = Client(connect()), Client(connect()), Client(connect())
    assert good.hello(token="secret") == Welcome(0)
    refusal = wrong.hello(token="guessed", sender=b"w" * 16)
    assert isinstance(refusal, Refusal) and refusal.code == "token"
    until(lambda: len(listener.connections) == 3 and not any(one.waits() for one in listener.connections))
    others = [Client(connect()) for _ in range(2)]
    assert [other.hello(token="secret", sender=bytes([at]) * 16) for at, other in enumerate(others)] == [Welcome(0)] * 2
    assert (wrong.hear(), begun.hear()) == (None, None)
    good.say(batch(1, b"a 1\n"), Ping())
    assert good.hear() == Pong()
    assert site.counts == {"batch_token": 1, "too_many_of_address": 2}
