"""A connection to a server of ours, and one to an original istatd, from the sender's side."""
from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.event import Event
from gevent.server import StreamServer

from istat.clock import FakeClock, SystemClock
from istat.errors import BadBatch
from istat.forwarding import session as sessions
from istat.forwarding.origins import MOST_KEYS, MOST_LINE
from istat.forwarding.plain import Answers, Plain, preamble
from istat.forwarding.session import Ended, Session
from istat.forwarding.targets import Target
from istat.forwarding.ways import NotTaken, Refused, Sent, advice, dial
from istat.spool.frames import Frame
from istat.wire.batches import MOST_META, MOST_UNDER_WAY, Ack, Hello, Pong, encode
from istat.wire.strangers import MOST_SENTENCE
from tests.istat.forwarding.receiver import Receiver

HELLO = Hello(b"s" * 16, 7, "web1", "secret")
DEADLINE = 20.0     # seconds that only a broken machine needs


def frame(sequence: int, text: bytes = b"a 1\n") -> tuple[Frame, list[int]]:
    return Frame(sequence, 1000, 0, text.count(b"\n"), text), [sequence]


class Talk:
    """A session, and what it was told."""

    def __init__(self, port: int, clock: Any = None) -> None:
        self.done: list[tuple[int, int]] = []
        self.changed = Event()
        sock = dial(Target("127.0.0.1", port), None)
        self.way = Session(sock, HELLO, clock or SystemClock(), self._done, self.changed)

    def _done(self, sent: Sent, refused: int) -> None:
        self.done.append((sent.sequence, refused))

    def until(self, what: Any) -> None:
        with gevent.Timeout(DEADLINE):
            while not what():
                self.way.wait(self.changed, 1.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.stop()


def test_batches_are_acknowledged_in_order_with_what_was_refused(receiver: Receiver) -> None:
    talk = Talk(receiver.port)
    assert talk.way.greet() == 0
    assert receiver.hellos == [HELLO]
    talk.way.send(*frame(1))
    talk.way.send(*frame(2, b"a 1\nbad\nbad\n"))
    talk.way.meta("db1", b"#agent db1\n")
    talk.until(lambda: len(talk.done) == 2)
    assert talk.done == [(1, 0), (2, 2)]
    assert receiver.lines == [b"a 1", b"a 1", b"bad", b"bad"]
    assert not talk.way.under_way
    talk.way.close()
    again = Talk(receiver.port)
    assert again.way.greet() == 2
    assert [(meta.origin, meta.text) for meta in receiver.told] == [("db1", b"#agent db1\n")]


def test_what_an_origin_tells_goes_in_as_many_messages_as_it_needs(receiver: Receiver) -> None:
    """The longest that there is: a receiver's 32 keys, with all the bytes that they may have."""
    text = b"".join(b"#%02d%s %s\n" % (key, b"k" * 254, b"v" * 256) for key in range(32))
    assert MOST_META < len(text) <= MOST_KEYS * MOST_LINE
    talk = Talk(receiver.port)
    talk.way.greet()
    talk.way.meta("db1", text)
    talk.way.send(*frame(1))
    talk.until(lambda: talk.done)
    assert [meta.origin for meta in receiver.told] == ["db1", "db1"]
    assert b"".join(meta.text for meta in receiver.told) == text
    talk.way.close()


def test_so_much_may_be_under_way_and_no_more(receiver: Receiver) -> None:
    receiver.mute = True
    talk = Talk(receiver.port)
    talk.way.greet()
    for sequence in range(1, MOST_UNDER_WAY + 1):
        assert talk.way.room
        talk.way.send(*frame(sequence))
    assert not talk.way.room
    large = Talk(receiver.port)
    large.way.greet()
    sequence = MOST_UNDER_WAY
    while large.way.room:
        sequence += 1
        large.way.send(*frame(sequence, b"%064000d 1\n" % 0))
    assert sequence - MOST_UNDER_WAY == (1 << 20) // 64003


def test_what_is_not_taken_now_and_who_is_not_let_in_is_told(receiver: Receiver) -> None:
    receiver.later = "the disk is full"
    talk = Talk(receiver.port)
    talk.way.greet()
    talk.way.send(*frame(5))
    with pytest.raises(NotTaken, match="the disk is full") as later:
        talk.until(lambda: False)
    assert later.value.sequence == 5
    assert [sent.sequence for sent in talk.way.under_way] == [5]
    receiver.refusal = "no token"
    with pytest.raises(Refused, match="no token"):
        Talk(receiver.port).way.greet()


def test_a_cut_ends_it_and_what_was_under_way_is_known(receiver: Receiver) -> None:
    receiver.mute = True
    talk = Talk(receiver.port)
    talk.way.greet()
    talk.way.send(*frame(1))
    receiver.stop()
    with pytest.raises(OSError):
        talk.until(lambda: False)
    assert [sent.sequence for sent in talk.way.under_way] == [1]
    with pytest.raises(OSError):
        talk.way.send(*frame(2))


def test_who_never_answers_the_greeting_is_perhaps_an_original(receiver: Receiver,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "GREETING", 0.05)
    receiver.deaf = True
    with pytest.raises(TimeoutError, match="written with istatd:"):
        Talk(receiver.port).way.greet()


def test_silence_is_asked_about_and_ends_it(receiver: Receiver) -> None:
    clock = FakeClock()
    talk = Talk(receiver.port, clock)
    talk.way.greet()
    clock.advance(sessions.PING + 1)
    talk.way.wait(talk.changed, 0)      # asks
    talk.until(lambda: talk.way._heard_at == clock.monotonic())
    receiver.deaf = True
    clock.advance(sessions.PING + 1)
    talk.way.wait(talk.changed, 0)
    clock.advance(sessions.ANSWER + 1)
    with pytest.raises(TimeoutError, match="has not answered for 30 s"):
        talk.way.wait(talk.changed, 0)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100, encode(HELLO)],
                         ids=["another protocol", "a sender's words"])
def test_an_answer_that_is_none_ends_it(answer: bytes) -> None:
    with serving(lambda sock: sock.sendall(answer)) as port, pytest.raises((BadBatch, Ended)):
        Talk(port).way.greet()


def test_a_target_that_never_ends_talking_is_left_and_holds_up_nobody(receiver: Receiver) -> None:
    """Reads of what is there already do not wait: without a turn for others the whole process would hang."""
    talk = Talk(receiver.port)
    talk.way.greet()
    receiver.say = encode(Pong()) * 5000
    with gevent.Timeout(DEADLINE), pytest.raises(BadBatch, match="it says Pong, which is not what comes now"):
        talk.way.send(*frame(1))
        while True:
            talk.way.wait(talk.changed, 0.1)


def test_who_refuses_more_than_there_is_does_not_speak_the_protocol(receiver: Receiver) -> None:
    """Else what was acknowledged would be counted below zero."""
    talk = Talk(receiver.port)
    talk.way.greet()
    receiver.say = encode(Ack(1, 5))
    with gevent.Timeout(DEADLINE), pytest.raises(BadBatch, match="refuses 5 lines of a batch that has 1"):
        talk.way.send(*frame(1))
        while True:
            talk.way.wait(talk.changed, 0.1)
    assert talk.done == [] and [sent.sequence for sent in talk.way.under_way] == [1]


def test_what_a_target_says_is_a_part_of_a_line() -> None:
    said = "no\n2026 ERROR root\x1b[2J" + "y" * 999
    for error in (Refused(said), NotTaken(1, said)):
        assert str(error).startswith("no 2026 ERROR root [2Jyyy") and len(str(error)) <= MOST_SENTENCE
    assert str(Refused("")) == "it does not say why"


def test_others_have_turns_while_answers_come(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    turns: list[float] = []
    real = gevent.sleep
    monkeypatch.setattr(sessions.gevent, "sleep", lambda seconds: (turns.append(seconds), real(seconds)))
    talk = Talk(receiver.port)
    talk.way.greet()
    for sequence in range(1, 11):
        talk.way.send(*frame(sequence))
        talk.until(lambda: not talk.way.under_way)
    assert turns.count(sessions.TURN) >= 10


# -- an original istatd


class serving:
    """A server that does one thing with each connection, then reads to its end; `heard` is what came."""

    def __init__(self, act: Any = None) -> None:
        self._act, self.heard, self.sock = act, bytearray(), None
        self._server = StreamServer(("127.0.0.1", 0), self._serve)

    def _serve(self, sock: Any, _address: object) -> None:
        self.sock = sock
        if self._act is not None:
            self._act(sock)
        while got := sock.recv(1 << 16):
            self.heard += got

    def __enter__(self) -> int:
        self._server.start()
        port: int = self._server.server_port
        return port

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0)


def plain(port: int, arrived: list[int], changed: Event) -> Plain:
    return Plain(dial(Target("127.0.0.1", port, True), None), preamble("web1", "9"), SystemClock(),
                 lambda sent: arrived.append(sent.sequence), changed)


def test_an_original_gets_preamble_and_lines_with_times() -> None:
    arrived: list[int] = []
    changed, server = Event(), serving()
    with server as port:
        way = plain(port, arrived, changed)
        assert way.greet() == 0
        way.meta("db1", b"#agent db1\n")
        way.send(*frame(1, b"a 1\nb 999 0.1\n*c^d 3\n"))
        with gevent.Timeout(DEADLINE):
            while way.under_way:
                way.wait(changed, 0.1)
            while not server.heard.endswith(b"*c^d 1000 3\n"):
                gevent.sleep(0.01)
        way.close()
    assert arrived == [1]
    assert bytes(server.heard) == (b"#proto x 1 1\r\n#version 9\r\n#hostname web1\r\n#agent db1\n"
                                   b"a 1000 1\nb 999 0.1\n*c^d 1000 3\n")


def test_who_answers_as_no_istatd_does_is_told_so() -> None:
    with serving(lambda sock: sock.sendall(b"?")) as port, pytest.raises(Answers, match="another port"):
        plain(port, [], Event()).greet()


def test_an_original_that_closes_leaves_what_it_has_not() -> None:
    changed, server = Event(), serving()
    with server as port:
        way = plain(port, [], changed)
        way.greet()
        assert server.sock is not None
        server.sock.close()
        with gevent.Timeout(DEADLINE), pytest.raises(ConnectionResetError):
            while True:
                way.wait(changed, 0.1)


# -- reaching one


def test_a_port_that_is_closed_is_told_with_advice() -> None:
    with serving() as port:
        pass
    with pytest.raises(OSError) as error:
        dial(Target("127.0.0.1", port), None)
    assert error.value.errno == errno.ECONNREFUSED
    assert "stat-port" in advice(Target("a", 1), error.value)
    with pytest.raises(gevent.socket.gaierror):
        dial(Target("nobody.invalid", port), None)
    assert "in the setting forward right" in advice(Target("a", 1), gevent.socket.gaierror(-2, "no name"))
    assert "is it an istatd" in advice(Target("a", 1), BadBatch("a frame of 2000000000 bytes"))
    assert advice(Target("a", 1), Refused("why")) == ""


def test_a_target_that_ends_after_it_was_reached_has_the_right_settings() -> None:
    assert "samples-tls" in advice(Target("a", 1), Ended())
    assert advice(Target("a", 1), Ended(), greeted=True) == ". Does it still run, and is the network up?"
