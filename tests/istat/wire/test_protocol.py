"""Protocols: our own stands in nobody's way, others are translated line by line."""
from __future__ import annotations

from typing import Any

import pytest

from istat.wire.lines import LINES, sample_line
from istat.wire.protocol import Datagrams, EachLine


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.fed: list[tuple[bytes, object]] = []
        self.refused: list[tuple[str, bytes, object]] = []

    def feed(self, view: memoryview, start: int, end: int, sender: object) -> int:
        self.fed.append((bytes(view[start:end]), sender))
        return end - start

    def refuse(self, kind: str, text: bytes, sender: object) -> None:
        self.refused.append((kind, text, sender))


def translate(line: bytes) -> bytes:
    name, value = line.decode().split(",")
    return sample_line(name, float(value)) if name else b""


def test_lines_go_to_the_sink_as_they_are() -> None:
    sink = Kept()
    assert LINES.feeder(sink) is sink
    assert LINES.datagrams is Datagrams.LINES


def test_each_line_is_translated_and_what_is_bad_is_the_senders_mistake() -> None:
    sink = Kept()
    text = memoryview(b"xxa,1\nno comma\n,0\nbad name,3\nb,2\nunfinished")
    used = EachLine("pairs", translate).feeder(sink).feed(text, 2, len(text), "me")
    assert used == len(text) - 2 - len("unfinished")
    assert sink.fed == [(b"a 1.0\nb 2.0\n", "me")]
    assert sink.refused == [("bad_message", b"no comma", "me"), ("bad_message", b"bad name,3", "me")]


@pytest.mark.parametrize("given", [b"a 1", "a 1\n", 5])
def test_what_a_function_must_not_give_is_its_own_fault(given: Any) -> None:
    sink = Kept()
    with pytest.raises(TypeError, match="which is no line of ours with its line feed"):
        EachLine("odd", lambda line: given).feeder(sink).feed(memoryview(b"x\ny\n"), 0, 4, None)
    assert sink.fed == [] and sink.refused == []


def test_a_fault_of_the_function_costs_no_line_before_it() -> None:
    def odd(line: bytes) -> bytes:
        return {b"a": b"a 1\n"}[line]

    sink = Kept()
    with pytest.raises(KeyError):
        EachLine("odd", odd).feeder(sink).feed(memoryview(b"a\na\nb\na\n"), 0, 8, "me")
    assert sink.fed == [(b"a 1\na 1\n", "me")]


def test_nothing_is_fed_where_nothing_was_meant() -> None:
    sink = Kept()
    assert EachLine("pairs", translate).feeder(sink).feed(memoryview(b",1\n"), 0, 3, None) == 3
    assert sink.fed == []
