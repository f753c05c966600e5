"""What a replica makes of a master that is none, or answers as no istat-server does: a sentence, within bounds."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.server import StreamServer

from istat.errors import IstatError, ServerUnreachable
from istat_server.replica.source import Master
from istat_server.store.positions import Position

STORE = "0123456789abcdef" * 2
PLACE = {"store": STORE, "epoch": 1, "segment": 1, "offset": 0, "salt": 7}
AT = Position(STORE, 1, 1, 0, 7)
STATE: dict[str, Any] = {"version": "1", "store": STORE, "epoch": 1, "revision": 0, "term": 0, "fenced": "",
                         "follows": None, "deposed": None, "position": PLACE, "time": 1.5, "replicas": ["a"],
                         "final": 0}
LEASE: dict[str, Any] = {"name": "two", "until": 1, "term": 0, "revision": 0, "time": 1.0, "position": PLACE,
                         "manifest": "", "files": [["a/b", 1]]}
HEADERS = {"X-Istat-Next": f"{STORE} 1 1 3 7", "X-Istat-Left": "0", "X-Istat-Time": "1.0", "X-Istat-Term": "0",
           "X-Istat-Revision": "0"}
ODD = [None, -1, 1 << 63, 1.5, "x", [], {}, True, "9" * 5000, "\ud800"]
DEADLINE = 60.0     # seconds that only a broken machine needs


class Stranger:
    """Answers each request with bytes of a test's, a function's if it is one, and ends the connection."""

    def __init__(self) -> None:
        self.answer: bytes | Callable[[Any], None] = b""
        self.asked: list[bytes] = []
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def says(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        told = {"Content-Length": str(len(body)), **{key.replace("_", "-"): value for key, value in headers.items()}}
        self.answer = (f"HTTP/1.1 {status}\r\n" + "".join(f"{key}: {value}\r\n" for key, value in told.items())
                       + "\r\n").encode("latin-1") + body

    def _serve(self, sock: Any, _address: object) -> None:
        self.asked.append(sock.recv(1 << 16))
        try:
            if callable(self.answer):
                self.answer(sock)
            else:
                sock.sendall(self.answer)
        except OSError:
            pass        # who asked has gone
        sock.close()

    def stop(self) -> None:
        self._server.stop(timeout=0)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    found = Stranger()
    yield found
    found.stop()


@pytest.fixture
def master(stranger: Stranger) -> Iterator[Master]:
    found = Master(stranger.url, "token", "two")
    yield found
    found.close()


def spoiled(whole: dict[str, Any]) -> list[bytes]:
    """Answers that have something odd, or nothing, in one place."""
    found = [json.dumps({**whole, key: odd}) for key in whole for odd in ODD]
    found += [json.dumps({key: value for key, value in whole.items() if key != left}) for left in whole]
    found += [json.dumps({**whole, "position": {**PLACE, key: odd}}) for key in PLACE for odd in ODD]
    found += ["[" * 200_000, "", "null", "[]", "\x00", "{"]
    return [text.encode() for text in found]


def test_what_is_whole_is_understood_and_what_is_newer_is_passed_over(stranger: Stranger, master: Master) -> None:
    stranger.says(json.dumps({**STATE, "later": 1}).encode())
    assert (master.state().position, master.state().replicas) == (AT, ("a",))
    stranger.says(json.dumps({**LEASE, "later": 1}).encode())
    assert [(file.path, file.size) for file in master.lease().files] == [("a/b", 1)]
    stranger.says(b"abc", **HEADERS)
    assert (master.journal(AT, 0).data, master.journal(AT, 0).next.offset) == (b"abc", 3)


@pytest.mark.parametrize("ask", ["state", "lease", "namespaces", "namespace", "roster"])
def test_an_answer_with_something_odd_is_told_in_a_sentence(stranger: Stranger, master: Master, ask: str) -> None:
    asks: dict[str, Callable[[], Any]] = {
        "state": master.state, "lease": master.lease, "namespaces": master.namespaces, "roster": master.roster,
        "namespace": lambda: master.namespace("a")}
    whole = {"state": STATE, "lease": LEASE, "namespaces": {"namespaces": [["a", "1"]]},
             "namespace": {"name": "a", "stamp": "1", "values": "", "versions": ""},
             "roster": {"agents": [{"name": "a", "online": True, "metadata": {"a": "b"}}]}}[ask]
    for body in spoiled(whole):
        stranger.says(body)
        master.term = 0
        try:
            asks[ask]()
        except ServerUnreachable as error:
            assert "does not answer as an istat-server would" in str(error)     # noqa: PT017
        except IstatError:
            pass        # a term that is higher than one of ours, and the like
    for status in ("302 Found", "404 Not Found", "500 Oops", "200 OK"):
        stranger.says(b"<html>", status, Location="http://127.0.0.1:1/")
        with pytest.raises(IstatError):
            asks[ask]()


@pytest.mark.parametrize("changed", [{key: odd} for key in HEADERS for odd in (
    "", "x", "-1", "nan", "inf", "1 2", str(1 << 63), "9" * 5000)] + [
        {"X-Istat-Next": f"{'z' * 32} 1 1 1 1"}, {"X-Istat-Next": f"{'f' * 32} 1 1 3 7"},
        {"X-Istat-Next": f"{STORE} 1 1 4 7"}, {"X-Istat-Next": f"{STORE} 1 0 3 7"},
        {"X-Istat-Next": f"{STORE} 1 1 -1 1"}, {"X-Istat-Next": STORE}],
    ids=lambda changed: " ".join(map(str, changed.items()))[:50])
def test_a_journal_with_odd_headers_is_none(stranger: Stranger, master: Master, changed: dict[str, str]) -> None:
    stranger.says(b"abc", **{**HEADERS, **changed})
    if not (set(changed) == {"X-Istat-Time"} and changed["X-Istat-Time"] in ("1 2",)):
        with pytest.raises(ServerUnreachable):
            master.journal(AT, 0)
    without = {key: value for key, value in HEADERS.items() if key not in changed}
    stranger.says(b"abc", **without)
    with pytest.raises(ServerUnreachable):
        master.journal(AT, 0)


def test_more_of_a_journal_than_was_asked_for_is_not_read(stranger: Stranger, master: Master) -> None:
    """An answer without an end costs no memory, and holds up nobody."""
    def endless(sock: Any) -> None:
        sock.sendall("".join(["HTTP/1.1 200 OK\r\n", *(f"{key}: {value}\r\n" for key, value in HEADERS.items()),
                              "\r\n"]).encode())
        while True:
            sock.sendall(bytes(1 << 16))
            gevent.sleep(0)

    stranger.answer = endless
    with gevent.Timeout(DEADLINE), pytest.raises(ServerUnreachable, match="does not answer as"):
        master.journal(AT, 0, most=1 << 20)


def test_a_redirection_is_not_followed(stranger: Stranger, master: Master) -> None:
    for ask in (master.state, lambda: list(master.file("a/b")), lambda: master.journal(AT, 0)):
        stranger.asked.clear()
        stranger.says(b"x", "302 Found", Location=stranger.url + "/other", **HEADERS)
        with pytest.raises(ServerUnreachable, match="status 302"):
            ask()
        assert len(stranger.asked) == 1


@pytest.mark.parametrize("length", ["-5", "x", str(1 << 70)])
def test_a_file_of_no_size_is_none(stranger: Stranger, master: Master, length: str) -> None:
    stranger.says(b"abc", Content_Length=length)
    with pytest.raises(ServerUnreachable):
        list(master.file("a/b"))


def test_what_it_refuses_with_is_a_part_of_a_line(stranger: Stranger, master: Master) -> None:
    stranger.says(json.dumps({"error": "no\n2026 ERROR root\x1b[2J" + "y" * 999}).encode(), "503 Later")
    with pytest.raises(ServerUnreachable, match=r"http://[0-9.:]+: no 2026 ERROR root \[2Jy{1,300}$"):
        master.state()
