"""splitd: each place gets every byte, the first one's answers come back, one that fails costs the others nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat_server.tools import ALIASES

ROOT = Path(__file__).parents[4]


class Place:
    """Takes connections one after the other and keeps what comes; answers at the end of each."""

    def __init__(self, answer: bytes = b"") -> None:
        self.taken: list[bytes] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self._answer, self._came = answer, threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.listening.accept()
            except OSError:
                return
            with peer:
                data = b""
                while piece := peer.recv(1 << 16):
                    data += piece
                peer.sendall(self._answer)
            self.taken.append(data)
            self._came.release()

    def one(self) -> bytes:
        """What the next connection brought."""
        assert self._came.acquire(timeout=20)
        return self.taken[-1]


class Splitd:
    def __init__(self, *places: str) -> None:
        code = "import sys; from istat.cli.istatd.split import ALIAS; sys.exit(ALIAS.main())"
        self.process = subprocess.Popen([sys.executable, "-c", code, "0", *places], cwd=ROOT, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def say(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 20) as peer:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := peer.recv(1 << 16):
                answer += piece
        return answer

    def end(self) -> str:
        """What it told."""
        self.process.terminate()
        return self.process.communicate(timeout=20)[1]


@pytest.fixture
def places() -> Iterator[list[Place]]:
    made = [Place(b"first"), Place(b"second")]
    yield made
    for place in made:
        place.listening.close()


def test_all_places_get_all_and_the_first_one_answers(places: list[Place]) -> None:
    splitd = Splitd(*(place.name for place in places))
    try:
        for data in (b"a.b 1\n", bytes(range(256)) * 20_000, b""):
            assert splitd.say(data) == b"first"
            assert [place.one() for place in places] == [data, data]
    finally:
        assert "Traceback" not in splitd.end()


def test_a_place_that_is_not_there_is_told_and_costs_the_others_nothing(places: list[Place]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{free.getsockname()[1]}"
        splitd = Splitd(places[0].name, gone)
        try:
            assert splitd.say(b"a.b 1\n") == b"first" and places[0].one() == b"a.b 1\n"
        finally:
            told = splitd.end()
        assert f"splitd: {gone} cannot be reached" in told and "Traceback" not in told
        splitd = Splitd(gone, places[1].name)
        try:
            assert splitd.say(b"a.b 2\n") == b"" and places[1].one() == b"a.b 2\n"
        finally:
            assert "Traceback" not in splitd.end()


def test_a_place_that_takes_nothing_is_let_go(places: list[Place]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        splitd = Splitd(places[0].name, f"127.0.0.1:{stuck.getsockname()[1]}")
        try:
            data = b"x" * (32 << 20)        # more than the kernel holds for it
            assert splitd.say(data) == b"first" and places[0].one() == data
        finally:
            told = splitd.end()
        assert "takes no more" in told and "Traceback" not in told


def test_command_lines() -> None:
    for words in ((), ("8110",), ("x y", "localhost:1"), ("8110", "nowhere:x"), ("-v", "1", "2")):
        assert resolve_name(ALIASES["splitd"]).main(list(words)) == 1, words
