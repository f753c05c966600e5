"""Connections of the admin port: careful and careless clients beside one another."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.event import Event

from istat.clock import FakeClock
from istat.daemon.handover import Handover
from istat.daemon.listening import serving
from istat.errors import StoreError
from istat_server.admin import port
from istat_server.admin.operations import Once
from istat_server.admin.port import AdminPort
from istat_server.mistakes import Mistakes
from istat_server.sockets import ADMIN, open_service
from tests.admin.conversation import NOW, TOKEN, Conversation


class Served:
    """The port, in this process."""

    def __init__(self, token: str = TOKEN, is_open: bool = False) -> None:
        self.talk = Conversation(token=token, is_open=is_open)
        self.mistakes = Mistakes(FakeClock(NOW))
        self.errors: list[BaseException] = []
        listeners = open_service({"admin-port": 0, "admin-listen-address": ""}, ADMIN, Handover())
        self.number = listeners[0].getsockname()[1]
        self.port = AdminPort(listeners, self.talk.operations, self.talk.guard, self.mistakes,
                              lambda where, error: self.errors.append(error), 18011)
        self.port.start()

    def connect(self, host: str = "127.0.0.1") -> Any:
        return gevent.socket.create_connection((host, self.number), 10)

    def places(self) -> int:
        return len(self.port._serving)


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    yield found
    found.port.stop()
    assert found.errors == []


def answer(client: Any, sent: bytes = b"", end: bytes = b"ok\r\n") -> bytes:
    """What comes back, up to this end of it or that of the connection."""
    client.sendall(sent)
    data = b""
    while not data.endswith(end):
        more = client.recv(65536)
        if not more:
            break
        data += more
    return bytes(data)


def test_commands_are_answered_and_counted(served: Served) -> None:
    client = served.connect()
    assert answer(client, b"flush\n") == b"ok\r\n"
    assert answer(client, b"stats\r\npurge 0,60\r\nnope\n", b"'nope')\r\n").count(b"\r\n") == 6
    assert answer(client, b"quit\n") == b""
    assert served.port.totals() == {"admin.connections": 1, "admin.commands": 5}
    gevent.sleep(0)
    assert served.places() == 0


def test_what_a_client_leaves_unfinished_is_not_done(served: Served) -> None:
    client = served.connect()
    client.sendall(b"flush")
    client.close()
    gevent.sleep(0.05)
    assert served.talk.done == [] and served.places() == 0


def test_connections_that_say_nothing_make_room(served: Served) -> None:
    silent = [served.connect() for _ in range(port.PLACES)]
    assert answer(silent[0], b"flush\n") == b"ok\r\n"           # it has said something, so the second goes first
    client = served.connect()
    assert answer(client, b"flush\n") == b"ok\r\n"
    assert answer(silent[1]) == b"" and served.places() == port.PLACES
    assert answer(silent[0], b"flush\n") == b"ok\r\n"
    assert served.mistakes.counts["admin_too_many"] == 1
    for one in (*silent, client):
        one.close()
    gevent.sleep(0.05)
    assert served.places() == 0         # however they ended


def test_commands_in_work_keep_their_places(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()
    monkeypatch.setattr(served.talk.operations, "_flushing", Once(go_on.wait))
    busy = [served.connect() for _ in range(port.PLACES)]
    for one in busy:
        one.sendall(b"flush\n")
    gevent.sleep(0.05)
    assert answer(served.connect()) == b""                      # the new one has to go
    assert served.mistakes.counts["admin_too_many"] == 1
    go_on.set()
    assert [answer(one) for one in busy] == [b"ok\r\n"] * port.PLACES


def test_who_says_nothing_or_takes_nothing_is_let_go_in_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "IDLE_SECONDS", 0.05)
    assert answer(served.connect()) == b""
    monkeypatch.setattr(port, "ANSWER_SECONDS", 0.2)
    lazy = gevent.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect(("127.0.0.1", served.number))
    with gevent.Timeout(20):
        with pytest.raises(OSError):
            while True:
                lazy.sendall(b"help\n" * 1000)
        while served.places():
            gevent.sleep(0.05)


def test_who_takes_no_answer_makes_room(served: Served) -> None:
    """However long an answer may wait to be taken: as many as there are places keep nobody out."""
    lazy = []
    for _ in range(port.PLACES):
        client = gevent.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.number))
        client.setblocking(False)
        lazy.append(client)
    with gevent.Timeout(60):
        while not all(one.sends for one in served.port._serving._places):
            for client in lazy:
                with contextlib.suppress(BlockingIOError):
                    client.send(b"help\n" * 1000)
            gevent.sleep(0.02)
    assert answer(served.connect(), b"flush\n") == b"ok\r\n"
    for client in lazy:
        client.close()


def test_who_guesses_tokens_makes_room(served: Served) -> None:
    """A wrong token is answered late, and as many of them as there are places keep nobody out."""
    guessing = [served.connect() for _ in range(port.PLACES)]
    for client in guessing:
        client.sendall(b"auth wrong\n")
    gevent.sleep(0.05)
    assert answer(served.connect(), b"flush\n") == b"ok\r\n"
    for client in guessing:
        client.close()


def test_who_sends_without_end_lets_others_have_their_turn(served: Served) -> None:
    """Each command is one turn, however many come at once."""
    crowd = [served.connect() for _ in range(4)]
    for one in crowd:
        one.sendall(b"stats\n" * 200)
    # One that waits for nothing: during a flush, whose disk may be slow, the others have as many turns as they like.
    assert answer(served.connect(), b"stats\n").endswith(b"ok\r\n")
    assert served.port.commands < 100       # it did not wait for all of them
    while served.port.commands < 801:
        gevent.sleep(0.01)


def test_a_wrong_token_waits_and_is_counted_without_it(served: Served, monkeypatch: pytest.MonkeyPatch,
                                                       caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(port, "WRONG_SECONDS", 0.2)
    client, other = served.connect(), served.connect()
    client.sendall(b"auth guess\n")
    gevent.sleep(0.05)
    assert answer(other, b"flush\n") == b"ok\r\n"       # meanwhile
    assert answer(client, b"auth again\nauth more\nflush\n") == b"huh? the token is wrong\r\n" * 3
    assert served.mistakes.counts["admin_token"] == 3 and served.talk.done.count("store") == 1
    assert answer(other, b"auth %s\n" % TOKEN.encode()) == b"ok\r\n"
    assert "admin_token" in caplog.text
    assert not any(word in caplog.text for word in ("guess", "again", "more\n", TOKEN))


def test_a_request_of_http_is_told_where_http_is(served: Served) -> None:
    told = answer(served.connect(), b"POST / HTTP/1.1\r\nHost: x\r\n\r\nflush\r\n")
    assert told.startswith(b"HTTP/1.1 421 ") and b"this port takes commands and answers no HTTP: ask port 18011" in told
    assert served.talk.done == [] and served.mistakes.counts["http_request"] == 1


def test_it_listens_on_loopback_of_both_kinds(served: Served) -> None:
    for host in ("127.0.0.1", *(["::1"] if socket.has_ipv6 and len(served.port._serving._listening) > 1 else [])):
        assert answer(served.connect(host), b"flush\n") == b"ok\r\n"


def test_a_fault_ends_its_connection_only(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    other = served.connect()
    with monkeypatch.context() as patched:
        patched.setattr(served.talk.store, "flush", lambda: 1 / 0)
        assert answer(served.connect(), b"flush\nflush\n") == port.FAULT
    assert [type(error) for error in served.errors] == [ZeroDivisionError]
    served.errors.clear()
    assert answer(other, b"flush\n") == b"ok\r\n" and served.places() == 1


def test_tokens_are_taken_over(served: Served) -> None:
    client = served.connect()
    assert answer(client, b"auth %s\n" % TOKEN.encode()) == b"ok\r\n"
    served.port.reload(served.talk.settings("renewed"))
    assert answer(client, b"debug http\n", b"\r\n").startswith(b"huh? this wants the admin-token")
    assert answer(client, b"auth renewed\n") == b"ok\r\n"


def test_want_of_descriptors_pauses(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "ACCEPT_PAUSE", 0.05)
    listener, watcher = served.port._serving._listening[0]

    class Starved:
        def accept(self) -> Any:
            raise OSError(24, "too many open files")

    watcher.stop()
    served.port._serving._accept(Starved())  # type: ignore[arg-type]
    assert answer(served.connect(), b"flush\n") == b"ok\r\n"        # after the pause


def test_an_end_lets_commands_in_work_end(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Served()
    monkeypatch.setattr(found.talk.operations, "_flushing", Once(lambda: gevent.sleep(0.2)))
    client, idle = found.connect(), found.connect()
    client.sendall(b"flush\n")
    gevent.sleep(0.05)
    found.port.stop()
    assert answer(client) == b"ok\r\n" and answer(idle) == b""


# -- one flush for many


class Work:
    """Something that takes until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = Event()
        self.once = Once(self.act)

    def act(self) -> None:
        self.begun += 1
        self.go_on.wait()

    def asked(self, times: int = 1) -> list[gevent.Greenlet]:
        """Those who want it; they have come when this returns."""
        found = [gevent.spawn(self.once.run) for _ in range(times)]
        gevent.idle()
        return found


def test_flushes_at_once_are_one_more() -> None:
    work = Work()
    all_of_them = [*work.asked(), *work.asked(20)]
    work.go_on.set()
    gevent.joinall(all_of_them, raise_error=True)
    assert work.begun == 2      # nothing that came before one of them began after it


def test_what_goes_wrong_is_told_to_all_who_shared_it() -> None:
    def work() -> None:
        gevent.sleep(0.02)
        raise StoreError("the disk is full")

    once = Once(work)
    failed: list[str] = []

    def run() -> None:
        try:
            once.run()
        except StoreError as error:
            failed.append(str(error))

    gevent.joinall([gevent.spawn(run) for _ in range(3)])
    assert failed == ["the disk is full"] * 3


def test_who_shares_a_run_that_is_broken_off_is_told_so() -> None:
    work = Work()
    (first,) = work.asked()
    second, third = work.asked(2)
    first.kill()
    gevent.idle()
    assert work.begun == 2
    second.kill()               # in the run that both of them waited for
    gevent.joinall([third])
    assert str(third.exception) == "it was broken off"
    work.go_on.set()
    gevent.joinall(work.asked(), raise_error=True)
