"""Peers' mistakes: every one counted, a few shown."""
from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.daemon.ratelimit import LINES_AT_ONCE
from istat.kernels import lines
from istat_server.mistakes import KINDS, Mistakes
from istat_server.roster import Sender
from istat_server.store.accepting import TALLIED, UNNAMED
from istat_server.testing.memory import KINDS as OF_THE_MODEL

ROOT = Path(__file__).parents[2]


def test_all_are_counted_and_a_few_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    mistakes = Mistakes(clock)
    sender = Sender("tcp", "10.0.0.7:99", 0)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            mistakes.note("bad_number", b"x abc\x1b[31m", sender)
        assert len(caplog.records) == LINES_AT_ONCE
        assert caplog.messages[0] == "bad_number from tcp 10.0.0.7:99: 'x abc\\x1b[31m'"
        clock.advance(1)
        mistakes.note("bad_number", b"again", sender)
    assert caplog.messages[-1] == "bad_number from tcp 10.0.0.7:99: 'again' (990 more not shown)"
    assert mistakes.counts["bad_number"] == 1001


def test_long_lines_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Mistakes(FakeClock()).note("long_line", b"x" * 70_000)
    assert caplog.messages == ["long_line from unknown sender: '" + "x" * 200 + "'... (70000 bytes)"]


def test_every_kind_is_explained_with_what_to_do() -> None:
    """Listeners and intake name theirs where they count; stores have lists."""
    calls = re.findall(r"mistakes\.(?:add|note|show)\(\"([a-z_]+)\"", "".join(
        path.read_text() for path in (ROOT / "istat_server").rglob("*.py")))
    good = {"EMPTY", "SAMPLE", "META", "UNKNOWN"}
    kinds = {*calls, *TALLIED, *UNNAMED.values(), *OF_THE_MODEL,
             *(name.lower() for name in lines.CODES if name not in good)}
    assert len(calls) >= 5
    assert kinds <= KINDS.keys()
    assert all(kind.what and kind.cure for kind in KINDS.values())
