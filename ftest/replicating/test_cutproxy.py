"""The tests' own network does what it says, or tests over it would show nothing."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ftest.harness.cutproxy import CutProxy

pytestmark = pytest.mark.seconds(3)


class Echo:
    """Answers what comes; at the end of a stream it says `bye`."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.got = b""
        self.ends: list[str] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                try:
                    while data := sock.recv(4096):
                        self.got += data
                        sock.sendall(data)
                    sock.sendall(b"bye")
                    self.ends.append("end")
                except ConnectionError:
                    self.ends.append("reset")

    def wait_for_end(self) -> str:
        limit = time.monotonic() + 10
        while not self.ends:
            assert time.monotonic() < limit, "no end"
            time.sleep(0.01)
        return self.ends[-1]


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.listener.close()


@pytest.fixture
def network(echo: Echo) -> Iterator[CutProxy]:
    with CutProxy(echo.port) as made:
        yield made


def talk(network: CutProxy) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", network.port), timeout=10)
    sock.sendall(b"one")
    assert sock.recv(10) == b"one"
    return sock


def test_a_cut_resets_both_sides_until_healed(echo: Echo, network: CutProxy) -> None:
    with talk(network) as sock:
        network.cut()
        with pytest.raises(ConnectionError):
            sock.recv(10)
    assert echo.wait_for_end() == "reset"
    with pytest.raises(ConnectionError):
        talk(network)
    network.heal()
    talk(network).close()


def test_a_stall_passes_nothing_and_loses_nothing(echo: Echo, network: CutProxy) -> None:
    with talk(network) as sock:
        network.stall()
        sock.sendall(b"two")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(10)
        network.heal()
        sock.settimeout(10)
        assert sock.recv(10) == b"two"


def test_a_half_close_ends_one_direction(echo: Echo, network: CutProxy) -> None:
    with talk(network) as sock:
        network.half_close()
        assert sock.recv(10) == b"bye" and sock.recv(10) == b""
    assert echo.wait_for_end() == "end"


def test_a_cut_in_the_middle_passes_just_what_was_said(echo: Echo, network: CutProxy) -> None:
    with talk(network) as sock:
        network.cut_after(5)
        sock.sendall(b"three")
        assert sock.recv(10) == b"three"
        sock.sendall(b"four")
        with pytest.raises(ConnectionError):
            sock.recv(10)
    assert echo.wait_for_end() == "reset"
    assert echo.got == b"onethree"
    talk(network).close()
