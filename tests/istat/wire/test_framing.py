"""Lines out of a stream: however its bytes come in, the same lines, and never more held than one."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from istat.wire.framing import LineFraming

LIMIT, READ = 5, 16


def through(framing: LineFraming, pieces: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Lines and long ones, where one read brings at most READ bytes and all share a buffer that others write to."""
    buffer = bytearray(b"\n" * (LIMIT + READ))
    lines: list[bytes] = []
    lost: list[bytes] = []
    for piece in pieces:
        for start in range(0, len(piece), READ):
            read = piece[start:start + READ]
            held = framing.held
            assert held <= LIMIT
            buffer[:held] = b"\n" * held        # another stream has used it
            buffer[held:held + len(read)] = read
            runs, too_long = framing.take(buffer, held + len(read))
            for begin, end in runs:
                assert begin < end and buffer[end - 1] == 10
                lines += bytes(buffer[begin:end]).split(b"\n")[:-1]
            lost += too_long
            buffer[:] = b"\n" * len(buffer)
    return lines, lost


STREAMS = st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\r", b"\n")), max_size=12)


@given(STREAMS | st.lists(st.text("ab\n", max_size=40).map(str.encode), max_size=12))
@example([b"aaaaa\naaaaaa\nb\n"])
@example([b"aaaaaa", b"\nb\n"])
@example([b"a" * 21, b"\n\n"])
def test_any_splitting_gives_the_same_lines(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    *whole, rest = data.split(b"\n")
    framing = LineFraming(LIMIT)
    lines, lost = through(framing, pieces)
    assert lines == [line for line in whole if len(line) <= LIMIT]
    assert len(lost) == sum(len(line) > LIMIT for line in data.split(b"\n")), "each long one is told once"
    assert framing.finish() == (rest if len(rest) <= LIMIT else b"")
    assert framing.finish() == b""


def test_what_is_told_of_a_long_line_is_its_beginning() -> None:
    framing = LineFraming(LIMIT)
    lines, lost = through(framing, [b"a\n0123456789abcdef0123\nb", b"\n", b"tail"])
    assert lines == [b"a", b"b"]
    assert len(lost) == 1 and b"0123456789abcdef0123".startswith(lost[0])
    assert framing.held == 4


class Watched(bytearray):
    """A buffer that counts the bytes among which line feeds are looked for."""

    looked = 0

    def rfind(self, *words: Any) -> int:
        self.looked += words[2] - words[1]
        return super().rfind(*words)


def test_each_byte_of_a_line_that_comes_in_pieces_is_looked_at_once() -> None:
    framing, buffer = LineFraming(100_000), Watched(100_100)
    for _ in range(9000):
        held = framing.held
        buffer[held:held + 10] = b"0123456789"
        assert framing.take(buffer, held + 10) == ((), ())
    assert buffer.looked == 90_000
