"""Plugins' endpoints over real sockets: another protocol by TCP, UDP and Unix sockets, with the same bounds as ours."""
from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from istat.daemon.handover import Handover
from istat.wire.framing import Framing, LineFraming, Taken
from istat.wire.lines import LINES, sample_line
from istat.wire.protocol import Datagrams, EachLine, Feeder, Sink, WireProtocol
from istat_server.ingest.connections import ConnectionInput
from istat_server.ingest.datagrams import DatagramInput
from istat_server.ingest.endpoints import Endpoint, Offer, Transport
from istat_server.ingest.places import Places
from istat_server.sockets import Bound, CannotListen, PortInUse, open_endpoints
from tests.ingest.fakes import Bench, listening, until


def translate(line: bytes) -> bytes:
    name, value = line.decode().split("=")
    return sample_line(name, float(value))


PAIRS = EachLine("pairs", translate)


class Lengths:
    """Messages of one byte that says how long a name is, the name, and one byte for the value."""

    name = "lengths"
    datagrams = Datagrams.WHOLE

    def framing(self, limit: int) -> Framing:
        return LengthFraming()

    def feeder(self, sink: Sink) -> Feeder:
        return LengthFeeder(sink)


class LengthFraming:
    """Holds less than one message, which is at most 257 bytes."""

    def __init__(self) -> None:
        self._tail = b""

    @property
    def held(self) -> int:
        return len(self._tail)

    def take(self, buffer: bytearray, end: int) -> Taken:
        buffer[:len(self._tail)] = self._tail
        at = 0
        while at < end and at + buffer[at] + 2 <= end:
            at += buffer[at] + 2
        self._tail = bytes(buffer[at:end])
        return [(0, at)] if at else [], []

    def finish(self) -> bytes:
        tail, self._tail = self._tail, b""
        return tail


class LengthFeeder:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def feed(self, view: memoryview, start: int, end: int, sender: object) -> int:
        at = start
        while at < end and at + view[at] + 2 <= end:
            name = bytes(view[at + 1:at + 1 + view[at]])
            line = name + b" %d\n" % view[at + 1 + view[at]]
            self._sink.feed(memoryview(line), 0, len(line), sender)
            at += view[at] + 2
        return at - start


class Whole:
    """Listeners of one endpoint, of either kind."""

    def __init__(self, bench: Bench, bound: Bound) -> None:
        self.connections = ConnectionInput([bound] if bound.endpoint.transport.stream else [], bench, 1000,
                                           Places(50, 100))
        self.datagrams = DatagramInput([] if bound.endpoint.transport.stream else [bound], bench)
        self.address = bound.sockets[0].getsockname()
        self.kind = socket.SOCK_STREAM if bound.endpoint.transport.stream else socket.SOCK_DGRAM
        self.family = bound.sockets[0].family
        for part in (self.connections, self.datagrams):
            part.start()

    def client(self) -> socket.socket:
        sock = socket.socket(self.family, self.kind)
        sock.connect(self.address)
        return sock

    def totals(self) -> dict[str, int]:
        return self.connections.totals() | self.datagrams.totals()

    def stop(self) -> None:
        for part in (self.connections, self.datagrams):
            part.stop()


@pytest.fixture(params=list(Transport), ids=lambda transport: transport.value)
def transport(request: pytest.FixtureRequest) -> Transport:
    found: Transport = request.param
    return found


@pytest.fixture
def running(bench: Bench, tmp_path: Path, transport: Transport) -> Iterator[list[Whole]]:
    started: list[Whole] = []

    def begin(protocol: WireProtocol) -> Whole:
        path = str(tmp_path / "in.sock") if transport.local else ""
        started.append(Whole(bench, listening(transport, protocol, path=path)))
        return started[-1]

    bench.begin = begin     # type: ignore[attr-defined]
    yield started
    for whole in started:
        whole.stop()


def test_each_line_of_another_protocol(bench: Bench, transport: Transport, running: list[Whole]) -> None:
    whole = bench.begin(PAIRS)      # type: ignore[attr-defined]
    with whole.client() as client:
        client.send(b"a=1\nb=x\n")
        client.send(b"c=3\n" if transport.stream else b"c=3")
        until(lambda: bench.intake.lines == [b"a 1.0", b"c 3.0"])
    assert bench.intake.refused == [("bad_message", b"b=x")]
    sizes = {name: size for name, size in whole.totals().items() if name.endswith(".bytes") and size}
    assert sizes == {f"{transport.value}.bytes": 12 if transport.stream else 11}
    sender = bench.intake.senders[0]
    assert sender.transport == transport.value
    if transport is Transport.UNIX:
        assert sender.address == f"process {os.getpid()} of user {os.getuid()}"


def test_messages_that_are_no_lines(bench: Bench, transport: Transport, running: list[Whole]) -> None:
    whole = bench.begin(Lengths())      # type: ignore[attr-defined]
    with whole.client() as client:
        client.send(b"\x02ab\x05\x01c\x07")
        client.send(b"\x01d\n\x03ef" if transport.stream else b"\x01d\n\x03ef")
        until(lambda: bench.intake.lines == [b"ab 5", b"c 7", b"d 10"])
    kind = "incomplete" if transport.stream else "unterminated"
    until(lambda: bench.mistakes.counts[kind] == 1)


def test_a_stop_while_datagrams_are_taken_one_by_one_is_no_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two datagrams others have their turn, and one of these may be who ends the server."""
    whole = Whole(bench, listening(Transport.UDP, Lengths()))
    stops = [whole.stop]
    monkeypatch.setattr(bench.pump, "breathe", lambda: stops.pop()() if stops else None)
    with whole.client() as client:
        for sent in (b"\x01a\x01", b"\x01b\x02", b"\x01c\x03"):
            client.send(sent)
        until(lambda: len(bench.intake.lines) == 3)
    bench.pump.stop()
    assert bench.errors == []


def test_lines_by_every_transport(bench: Bench, transport: Transport, running: list[Whole]) -> None:
    whole = bench.begin(LINES)      # type: ignore[attr-defined]
    with whole.client() as client:
        for i in range(100):
            client.send(b"n %d\n" % i)
            if i % 5 == 4:      # a Unix socket takes ten datagrams before its sender has to wait
                until(lambda: len(bench.intake.lines) == i + 1)     # noqa: B023
        if not transport.stream:
            client.send(b"no end")
            client.send(b"m 1\nalso without")
            until(lambda: bench.intake.lines[100:] == [b"m 1"] and bench.mistakes.counts["unterminated"] == 2)


def test_a_framing_of_its_own_length(bench: Bench) -> None:
    bound = listening(Transport.TCP, LINES, longest=50_000)
    whole = Whole(bench, bound)
    with whole.client() as client:
        client.sendall(b"x" * 49_998 + b" 1\n" + b"x" * 50_001 + b"\nb 1\n")
        until(lambda: len(bench.intake.lines) == 2)
    assert [len(line) for line in bench.intake.lines] == [50_000, 3]
    assert bench.mistakes.counts["long_line"] == 1
    whole.stop()
    assert isinstance(LINES.framing(5), LineFraming)


class Broken:
    """A protocol that fails: as a connection begins, or at each message."""

    name = "broken"
    datagrams = Datagrams.WHOLE

    def __init__(self, act: Callable[[], int], early: bool) -> None:
        self.act, self.early = act, early

    def framing(self, limit: int) -> Framing:
        if self.early:
            self.act()
        return LineFraming(limit)

    def feeder(self, sink: Sink) -> Feeder:
        return self     # type: ignore[return-value]

    def feed(self, view: memoryview, start: int, end: int, sender: object) -> int:
        return self.act()


def late() -> int:
    raise gevent.Timeout(1)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("act", "told"), [
    (lambda: 1 // 0, ["ZeroDivisionError"]), (lambda: sys.exit(3), ["SystemExit"]), (late, ["Timeout"]),
    (lambda: -5, []),
])
def test_a_broken_protocol_harms_nobody_else(act: Callable[[], int], told: list[str], early: bool) -> None:
    bench = Bench()
    bench.pump.start()
    bound = [listening(Transport.TCP, Broken(act, early)), listening(Transport.TCP)]    # type: ignore[arg-type]
    connections = ConnectionInput(bound, bench, 1000, Places(100, 100))
    connections.start()
    for one, text in ((bound[0], b"x\n"), (bound[1], b"good 1\n")):
        with socket.create_connection(("127.0.0.1", one.endpoint.port), 5) as client:
            client.sendall(text)
            gevent.sleep(0.02)
    until(lambda: bench.intake.lines == [b"good 1"])
    until(lambda: bench.roster.online() == 0)
    connections.stop()
    bench.pump.stop()
    assert [type(error).__name__ for error in bench.errors] == told


# --- Unix sockets -------------------------------------------------------------------------------------------


@pytest.fixture(params=[Transport.UNIX, Transport.UNIX_DATAGRAM], ids=lambda transport: transport.value)
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Offer:
    return Offer(Endpoint("local", request.param, LINES, path=str(tmp_path / "a b:ü.sock"), mode=0o660), "a test")


def test_the_file_of_a_dead_socket_is_replaced_a_live_one_is_not(local: Offer) -> None:
    path = local.endpoint.path
    first = open_endpoints([local], 64)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    with pytest.raises(PortInUse, match="is in use by another process"):
        open_endpoints([local], 64)
    first.close()
    open_endpoints([local], 64).close()
    os.unlink(path)
    Path(path).write_text("precious")
    with pytest.raises(PortInUse, match="is no socket"):
        open_endpoints([local], 64)
    assert Path(path).read_text() == "precious"


def test_a_folder_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    offer = Offer(Endpoint("x", Transport.UNIX, LINES, path=str(tmp_path / "no" / "x")), "a test")
    with pytest.raises(CannotListen, match="the folder of .* does not exist: make it"):
        open_endpoints([offer], 64)


def test_a_kept_unix_socket_loses_nothing_over_a_restart(local: Offer) -> None:
    (first,) = open_endpoints([local], 64).bound
    kind = first.sockets[0].type
    kept = [("kept", first.sockets[0].detach())]
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(local.endpoint.path)
        client.send(b"between 1\n")
        (second,) = open_endpoints([local], 64, Handover(kept)).bound
        (sock,) = second.sockets
        if kind == socket.SOCK_STREAM:
            sock.setblocking(True)
            connection, _ = sock.accept()
            assert connection.recv(100) == b"between 1\n"
            connection.close()
        else:
            assert sock.recv(100) == b"between 1\n"
    # Without its file nobody would find it: a new one is made.
    os.unlink(local.endpoint.path)
    handover = Handover([("kept", sock.detach())])
    third = open_endpoints([local], 64, handover)
    handover.close()
    assert os.path.exists(local.endpoint.path)
    third.close()
