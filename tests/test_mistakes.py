"""Peers' mistakes: every one counted, a few shown."""
from __future__ import annotations

import logging

import pytest

from istat.clock import FakeClock
from istat_server.mistakes import LINES_AT_ONCE, Mistakes
from istat_server.roster import Peer


def test_all_are_counted_and_a_few_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    mistakes = Mistakes(clock)
    peer = Peer("tcp", "10.0.0.7:99", 0)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            mistakes.note("bad_number", b"x abc\x1b[31m", peer)
        assert len(caplog.records) == LINES_AT_ONCE
        assert caplog.messages[0] == "bad_number from tcp 10.0.0.7:99: 'x abc\\x1b[31m'"
        clock.advance(1)
        mistakes.note("bad_number", b"again", peer)
    assert caplog.messages[-1] == "bad_number from tcp 10.0.0.7:99: 'again' (990 more not shown)"
    assert mistakes.counts["bad_number"] == 1001


def test_long_lines_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Mistakes(FakeClock()).note("long_line", b"x" * 70_000)
    assert caplog.messages == ["long_line from unknown peer: '" + "x" * 200 + "'... (70000 bytes)"]
