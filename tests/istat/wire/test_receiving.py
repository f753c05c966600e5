"""A receiver's sessions: each batch is taken once, and acknowledged when it is written, never before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadBatch
from istat.wire.batches import (
    MOST_UNDER_WAY,
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
    frame_size,
)
from istat.wire.receiving import NotKept, Receiving

A, B = bytes(16), b"b" * 16


class Keeping:
    """A store that writes when it is told to, and forgets what it has not written when its process ends."""

    def __init__(self) -> None:
        self.refusing = ""
        self.barred: Refusal | None = None
        self.ticket = self.written = 0
        self.refused = 0
        self.full = False
        self.taken: list[tuple[bytes, int, int, bytes]] = []
        self.told: list[tuple[str, bytes]] = []
        self.mistakes: list[str] = []
        self.meanwhile: list[Callable[[], object]] = []     # what others do while a batch is prepared
        self._last: dict[tuple[bytes, int], int] = {}

    def hurry(self) -> None:
        """It takes its time."""

    def refuses(self, hello: Hello, who: Any) -> Refusal | None:
        return self.barred

    def last(self, sender: bytes, epoch: int) -> int:
        return self._last.get((sender, epoch), 0)

    def prepare(self, batch: Lines) -> bool:
        return bool(self.meanwhile and (self.meanwhile.pop()(), True))

    def take(self, batch: Lines, hello: Hello, who: Any) -> int:
        assert batch.sequence > self.last(hello.sender, hello.epoch)
        if self.full:
            raise NotKept("the disk is full")
        self._last[hello.sender, hello.epoch] = batch.sequence
        self.taken.append((hello.sender, hello.epoch, batch.sequence, batch.text))
        self.ticket += 1
        return self.refused

    def tell(self, meta: Meta, hello: Hello, who: Any) -> None:
        self.told.append((meta.origin, meta.text))

    def mistake(self, kind: str, text: bytes, who: Any) -> None:
        self.mistakes.append(kind)

    def write(self) -> None:
        self.written = self.ticket

    def restart(self) -> Keeping:
        """What another process finds."""
        again = Keeping()
        for sender, epoch, sequence, text in self.taken[:self.written]:
            again.take(Lines(sequence, 0, 0, 1, text), Hello(sender, epoch), None)
        again.write()
        return again


class Peer:
    """A sender's connection: what it has said, and was answered."""

    def __init__(self, receiving: Receiving) -> None:
        self.heard: list[Message] = []
        self.session = receiving.session(self._answer, "somebody")

    def _answer(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            size = frame_size(view, 0)
            self.heard.append(decode(view[:size]))
            view = view[size:]

    def say(self, *messages: Message) -> list[Message]:
        """Say so; what was answered at once."""
        before, data = len(self.heard), b"".join(map(encode, messages))
        at = 0
        while at < len(data):
            used = self.session.feed(memoryview(data), at, len(data))
            assert used > 0
            at += used
        return self.heard[before:]

    def hello(self, sender: bytes = A, epoch: int = 1, **more: str) -> list[Message]:
        return self.say(Hello(sender, epoch, **more))


def batch(sequence: int, text: bytes = b"a 1\n") -> Lines:
    return Lines(sequence, 100, 0, text.count(b"\n"), text)


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


@pytest.fixture
def receiving(keeping: Keeping) -> Receiving:
    return Receiving(keeping)


def test_a_batch_is_acknowledged_when_it_is_written(keeping: Keeping, receiving: Receiving) -> None:
    peer = Peer(receiving)
    assert peer.hello() == []
    assert not receiving.settle() and peer.heard == [Welcome(0)]
    assert peer.say(batch(1), batch(2)) == []
    assert receiving.settle() and peer.heard == [Welcome(0)]
    keeping.written = 1
    assert receiving.settle() and peer.heard[1:] == [Ack(1)]
    keeping.refused = 3
    peer.say(batch(7))
    keeping.write()
    assert not receiving.settle()
    assert peer.heard[2:] == [Ack(2), Ack(7, 3)]
    assert [sequence for _, _, sequence, _ in keeping.taken] == [1, 2, 7]
    assert receiving.totals == {"taken": 3, "lines": 3, "bytes": 12, "refused": 3, "again": 0, "later": 0, "denied": 0}


def test_it_is_told_when_somebody_is_owed_an_answer(receiving: Receiving, keeping: Keeping) -> None:
    woken: list[int] = []
    receiving.wake = lambda: woken.append(receiving.owed)
    peer = Peer(receiving)
    peer.hello()
    peer.say(batch(1))
    assert woken == [0] and receiving.owed == 2
    keeping.write()
    receiving.settle()
    peer.say(batch(2))
    assert woken == [0, 0]


def test_what_is_sent_again_is_acknowledged_and_not_taken(keeping: Keeping, receiving: Receiving) -> None:
    first, again = Peer(receiving), Peer(receiving)
    first.hello()
    first.say(batch(1), batch(2))
    again.hello()
    again.say(batch(1), batch(2), batch(3))
    receiving.settle()
    # Nothing is written: neither is the first one told so, nor the second one that it was there already.
    assert first.heard[-1] == Refusal("elsewhere", "this sender has connected anew, with the same spool")
    assert not [one for one in (*first.heard, *again.heard) if isinstance(one, Ack | Welcome) and one != Welcome(0)]
    keeping.write()
    receiving.settle()
    assert again.heard == [Welcome(2), Ack(1), Ack(2), Ack(3)]
    assert len(keeping.taken) == 3 and receiving.totals["again"] == 2


def test_an_older_session_is_over_before_the_newer_one_is_welcomed(keeping: Keeping, receiving: Receiving) -> None:
    """Else what WELCOME does not tell of could still be taken, and the sender has given it to another receiver."""
    older, newer, other = Peer(receiving), Peer(receiving), Peer(receiving)
    older.hello()
    other.hello(B)
    newer.hello(epoch=2)
    assert older.say(batch(1), Ping()) == []
    assert keeping.taken == [] and receiving.senders == 2
    assert newer.say(batch(1)) == [] and other.say(batch(1)) == []
    assert [one[:3] for one in keeping.taken] == [(A, 2, 1), (B, 1, 1)]
    newer.session.close()
    assert receiving.senders == 1


def test_a_spool_of_two_hosts_is_told(keeping: Keeping, receiving: Receiving) -> None:
    Peer(receiving).hello(host="web1")
    Peer(receiving).hello(host="web1")
    assert keeping.mistakes == []
    Peer(receiving).hello(host="copy")
    assert keeping.mistakes == ["batch_copied"]


def test_after_later_nothing_of_a_connection_is_taken(keeping: Keeping, receiving: Receiving) -> None:
    peer = Peer(receiving)
    peer.hello()
    peer.say(batch(1))
    keeping.refusing = "the disk is full"
    assert peer.say(batch(2)) == [Later(2, "the disk is full")]
    keeping.refusing = ""
    assert peer.say(batch(3)) == [Later(3, "the disk is full")]     # else 2 would look taken
    keeping.write()
    receiving.settle()
    assert peer.heard[-1] == Ack(1) and receiving.totals["later"] == 2
    again = Peer(receiving)
    again.hello()
    again.say(batch(2), batch(3))
    keeping.write()
    receiving.settle()
    assert again.heard == [Welcome(1), Ack(2), Ack(3)]


@pytest.mark.parametrize(("shown", "refused"), [("", True), ("other", True), ("secret", False), ("secret ", True)])
def test_a_token_must_be_shown(keeping: Keeping, shown: str, refused: bool) -> None:
    receiving = Receiving(keeping, "secret")
    peer = Peer(receiving)
    answers = peer.hello(token=shown)
    receiving.settle()
    if not refused:
        assert peer.heard == [Welcome(0)] and keeping.mistakes == []
        return
    (refusal,) = answers
    assert isinstance(refusal, Refusal) and refusal.code == "token" and "secret" not in refusal.sentence
    assert peer.say(batch(1)) == [] and keeping.taken == []
    assert keeping.mistakes == ["batch_token"] and receiving.totals["denied"] == 1 and receiving.senders == 0


def test_nobody_forwards_to_himself(keeping: Keeping, receiving: Receiving) -> None:
    receiving.own.add(A)
    (refusal,) = Peer(receiving).hello()
    assert isinstance(refusal, Refusal) and refusal.code == "own"
    assert Peer(receiving).hello(B) == []


def test_a_keeper_may_refuse_a_sender(keeping: Keeping, receiving: Receiving) -> None:
    keeping.barred = Refusal("barred", "web1 is on the blacklist")
    assert Peer(receiving).hello() == [keeping.barred]


@pytest.mark.parametrize("said", [
    [batch(1)], [Meta("", b"#a b\n")], [Hello(A, 1), Hello(A, 1)], [Welcome(1)], [Hello(A, 1), Ack(1)],
    [Hello(A, 1), Later(1, "")], [Hello(A, 1), Pong()], [Refusal("", "")],
    [Hello(A, 1), *(batch(n) for n in range(1, MOST_UNDER_WAY + 2))],
], ids=lambda said: " ".join(type(one).__name__ for one in said[:3]))
def test_what_is_no_conversation_ends_it(keeping: Keeping, receiving: Receiving, said: list[Message]) -> None:
    peer = Peer(receiving)
    refusal = peer.say(*said)[-1]
    assert isinstance(refusal, Refusal) and refusal.code == "protocol"
    taken = len(keeping.taken)
    assert peer.say(Hello(B, 1), batch(100)) == [] and len(keeping.taken) == taken <= MOST_UNDER_WAY


def test_metadata_and_pings(keeping: Keeping, receiving: Receiving) -> None:
    peer = Peer(receiving)
    assert peer.say(Ping()) == [Pong()]
    peer.hello()
    assert peer.say(Meta("web1", b"#hostname web1\n"), Ping(), Ping()) == [Pong(), Pong()]
    assert keeping.told == [("web1", b"#hostname web1\n")]


def test_one_call_takes_at_most_one_batch_and_few_other_frames(keeping: Keeping, receiving: Receiving) -> None:
    peer = Peer(receiving)
    frames = [encode(one) for one in (Hello(A, 1), batch(1), batch(2))]
    data = b"".join(frames) + encode(Ping()) * 1000
    view = memoryview(data)
    at = peer.session.feed(view, 0, len(data))
    assert at == len(frames[0]) + len(frames[1]) and len(keeping.taken) == 1
    at += peer.session.feed(view, at, len(data))
    assert at == sum(map(len, frames)) and len(keeping.taken) == 2
    used = peer.session.feed(view, at, len(data))
    assert 0 < used < 2000 and len(peer.heard) == used // 9
    assert peer.session.feed(view, at, at + 8) == 0         # less than a frame


def test_a_frame_that_is_malformed_is_the_connections_end(receiving: Receiving) -> None:
    peer = Peer(receiving)
    frame = bytearray(encode(Ping()))
    frame[4] = 99
    with pytest.raises(BadBatch):
        peer.session.feed(memoryview(frame), 0, len(frame))


def test_who_has_gone_is_answered_no_more(keeping: Keeping, receiving: Receiving) -> None:
    peer = Peer(receiving)
    peer.hello()
    peer.say(batch(1))
    peer.session.close()
    keeping.write()
    assert not receiving.settle()
    assert peer.heard == [] and receiving.senders == 0 and receiving.owed == 0


STEP = st.sampled_from(["send", "send", "send", "write", "settle", "cut", "kill", "refuse"])


@given(st.lists(STEP, max_size=60))
def test_whatever_is_cut_and_killed_each_batch_is_kept_once(steps: list[str]) -> None:
    """A sender that lets go of what is acknowledged, and sends all else again."""
    keeping, want, sent = Keeping(), 0, 0
    acknowledged: set[int] = set()
    receiving = Receiving(keeping)
    peer = Peer(receiving)
    peer.hello()
    for step in [*steps, "cut", "send", "write", "settle"]:
        keeping.refusing = "no" if step == "refuse" else ""
        if step in ("send", "refuse") and sent - len(acknowledged) < MOST_UNDER_WAY:
            sent += 1
            want = max(want, sent)
            peer.say(batch(sent, b"a %d\n" % sent))
        elif step == "write":
            keeping.write()
        elif step == "settle":
            receiving.settle()
        elif step == "kill":
            keeping = keeping.restart()
            receiving = Receiving(keeping)
        acknowledged |= {one.sequence for one in peer.heard if isinstance(one, Ack)}
        if step in ("cut", "kill") or isinstance(peer.heard[-1:] and peer.heard[-1], Later):
            peer = Peer(receiving)
            peer.hello()
            keeping.write()
            receiving.settle()
            (welcome,) = peer.heard
            assert isinstance(welcome, Welcome)
            acknowledged |= set(range(1, welcome.last + 1))
            sent = max(acknowledged, default=0)
            assert sent == welcome.last         # what was acknowledged once is there
    keeping.write()
    receiving.settle()
    kept = [sequence for _, _, sequence, _ in keeping.taken]
    assert kept == sorted(set(kept)) and set(kept) >= acknowledged


def test_one_call_takes_the_lines_of_one_message_only(receiving: Receiving) -> None:
    """Else one that is full of them would keep all others waiting for many milliseconds."""
    peer = Peer(receiving)
    peer.hello()
    for many in (Meta("web1", b"#a b\n" * 60), batch(1)):
        data = encode(many)
        assert peer.session.feed(memoryview(data * 3), 0, 3 * len(data)) == len(data)
    assert peer.session.feed(memoryview(encode(Ping()) * 3), 0, 3 * len(encode(Ping()))) == 3 * len(encode(Ping()))


def test_a_sender_that_is_here_anew_while_its_batch_is_prepared_sends_it_again(keeping: Keeping) -> None:
    """Else it would be told that the batch is not here, and it was there a moment later."""
    receiving = Receiving(keeping)
    old, new = Peer(receiving), Peer(receiving)
    old.hello()
    receiving.settle()
    keeping.meanwhile.append(new.hello)
    old.say(batch(1))
    receiving.settle()
    assert keeping.taken == [] and not any(isinstance(message, Ack) for message in old.heard)
    assert new.heard == [Welcome(0)]
    new.say(batch(1))
    keeping.write()
    receiving.settle()
    assert [sequence for _, _, sequence, _ in keeping.taken] == [1] and new.heard[1:] == [Ack(1)]


def test_a_batch_that_is_prepared_when_nothing_is_taken_any_more_is_for_later(keeping: Keeping) -> None:
    peer = Peer(Receiving(keeping))
    peer.hello()

    def fills() -> None:
        keeping.refusing = "the disk is full"

    keeping.meanwhile.append(fills)
    assert peer.say(batch(1), batch(2)) == [Later(1, "the disk is full"), Later(2, "the disk is full")]
    assert keeping.taken == []


def test_a_batch_that_cannot_be_kept_after_all_is_for_later_and_so_is_what_comes_behind_it(keeping: Keeping) -> None:
    receiving = Receiving(keeping)
    peer = Peer(receiving)
    peer.hello()
    keeping.full = True
    assert peer.say(batch(1)) == [Later(1, "the disk is full")]
    keeping.full = False
    assert peer.say(batch(2)) == [Later(2, "the disk is full")]
    assert keeping.taken == [] and receiving.totals["later"] == 2 and receiving.totals["taken"] == 0


def test_what_was_taken_is_acknowledged_while_nothing_is_taken(keeping: Keeping) -> None:
    """Told "later", its sender would give it to the next target, too."""
    receiving = Receiving(keeping)
    Peer(receiving).hello()
    first, again = Peer(receiving), Peer(receiving)
    first.hello()
    first.say(batch(1))
    again.hello()
    keeping.refusing = "the disk is full"
    assert again.say(batch(1), batch(2)) == [Later(2, "the disk is full")]
    keeping.write()
    receiving.settle()
    assert again.heard[-1] == Ack(1) and len(keeping.taken) == 1


def test_tickets_that_begin_anew_with_another_store_hold_no_answer_up(keeping: Keeping) -> None:
    """As a replica's do when its copies change places."""
    receiving = Receiving(keeping)
    before, after = Peer(receiving), Peer(receiving)
    keeping.ticket = 5000
    before.hello()
    keeping.ticket = keeping.written = 3
    after.hello(B)
    receiving.settle()
    assert before.heard == after.heard == [Welcome(0)]
