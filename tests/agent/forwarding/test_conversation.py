"""What one connection to an agent's local port says, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat.wire.batches import MAGIC, MOST_FRAME, Hello, Later, Lines, Ping, encode
from istat.wire.receiving import Receiving
from istat_agent.counters import Counters
from istat_agent.forwarding.intake import Intake, Keeping, Peer
from istat_agent.forwarding.streams import MOST_LINE, READ, Conversation
from tests.agent.forwarding.fakes import FakeForwarder

SENDER = b"0123456789abcdef"
BATCHES = [Lines(number, 1325395000 + number, 0, 2, b"a %d\n*b 1 %d\n" % (number, number)) for number in range(1, 6)]
SPOKEN = MAGIC + encode(Hello(SENDER, 3)) + b"".join(map(encode, BATCHES)) + encode(Ping())


class Talk:
    """A conversation without a socket, in a buffer that others write to between its pieces."""

    def __init__(self) -> None:
        self.way, self.counters = FakeForwarder(), Counters()
        intake = Intake(self.way, self.counters, FakeClock(1325395000), lambda: None)
        self.buffer = bytearray(max(MOST_LINE, MOST_FRAME) + READ)
        self.talk = Conversation(self.buffer, intake, Receiving(Keeping(intake)), Peer("here"))
        self.answers = b""

    def hear(self, data: bytes) -> None:
        while data and not self.talk.over:
            room = self.talk.room()
            size = min(len(data), len(room))
            room[:size] = data[:size]
            self.talk.take(size)
            self.answers += self.talk.answer()
            self.buffer[:] = b"?" * len(self.buffer)        # of another connection
            data = data[size:]

    def in_pieces(self, data: bytes, cuts: list[int]) -> None:
        at = 0
        for cut in [*sorted(cuts), len(data)]:
            self.hear(data[at:cut])
            at = max(at, cut)


def pieces_of(data: bytes) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, len(data)), max_size=8)


@given(pieces_of(SPOKEN))
def test_batches_in_any_pieces_are_kept_once_each(cuts: list[int]) -> None:
    whole, cut = Talk(), Talk()
    whole.hear(SPOKEN)
    cut.in_pieces(SPOKEN, cuts)
    assert cut.way.frames == whole.way.frames == [
        (batch.text, batch.clock, 2, 0, (SENDER, 3, batch.sequence)) for batch in BATCHES]
    assert cut.answers == whole.answers and cut.counters.local_refused == 0


LINES = b"#hostname db1\r\na 1\n\nb 2\r\nnonsense\n*c 3 4\n"


@given(pieces_of(LINES))
def test_lines_in_any_pieces_are_the_same(cuts: list[int]) -> None:
    talk = Talk()
    talk.in_pieces(LINES, cuts)
    assert talk.way.text == b"a 1\nb 2\r\n*c 3 4\n"
    assert (talk.counters.local, talk.counters.local_refused) == (3, 1)
    assert talk.way.told == {"db1": b"#hostname db1\n"}


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([MAGIC, encode(Hello(SENDER, 1)), encode(Ping()),
                                                                  encode(BATCHES[0]), b"\n", b"GET / HTTP/1.1\r\n"])),
                max_size=8))
def test_whatever_comes_is_taken_or_refused(said: list[bytes]) -> None:
    talk = Talk()
    talk.in_pieces(b"".join(said), [])
    talk.talk.close()


def test_a_line_that_is_too_long_is_skipped_whole() -> None:
    talk = Talk()
    talk.hear(b"a 1\n" + b"x" * (MOST_LINE + 10) + b"\nb 2\n")
    assert talk.way.text == b"a 1\nb 2\n" and talk.counters.local_refused == 1


def test_a_batch_that_the_disk_does_not_take_is_not_acknowledged() -> None:
    talk = Talk()
    talk.way.full = True
    talk.hear(MAGIC + encode(Hello(SENDER, 3)) + encode(BATCHES[0]))
    assert encode(Later(1, "the spool cannot be written: its disk is full, or fails")) in talk.answers
    assert talk.way.frames == [] and talk.counters.local == 0


def test_of_many_lines_that_are_none_all_are_counted_and_few_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself would keep the agent from its other work for long."""
    told: list[tuple[str, bytes, int]] = []
    real = Intake.mistake

    def mistake(self: Intake, kind: str, text: bytes, label: str, count: int = 1) -> None:
        told.append((kind, text, count))
        real(self, kind, text, label, count)

    monkeypatch.setattr(Intake, "mistake", mistake)
    talk = Talk()
    talk.hear(b"bad1\n#\nbad2\na 1\n" * 100)
    assert told == [("bad_fields", b"bad1", 200), ("bad_metadata", b"#", 100)]
    assert (talk.counters.local_refused, talk.counters.local) == (300, 100)
