"""Peers' mistakes: every one counted, a few shown."""
from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.daemon.ratelimit import LINES_AT_ONCE
from istat.kernels import lines
from istat_server.declared.declared import Declared
from istat_server.mistakes import EXAMPLE_BYTES, KINDS, MOST_COMPLAINTS, OTHERS, QUIET_SECONDS, Mistakes
from istat_server.roster import FORGET_SECONDS, Sender
from istat_server.store.accepting import TALLIED, UNNAMED
from istat_server.testing.memory import KINDS as OF_THE_MODEL

ROOT = Path(__file__).parents[2]


def test_what_is_wrong_with_a_declaration_is_told_beside_it() -> None:
    clock = FakeClock(1_000_000)
    mistakes = Mistakes(clock)
    mistakes.note("bad_metadata", b'#metric a {"kind":"rate"}', Sender("tcp", "10.0.0.7:99", 0.0))
    (complaint,) = mistakes.complaints(10)
    assert complaint["example"] == '#metric a {"kind":"rate"}'
    assert str(complaint["wrong"]).endswith("its kind is gauge or event")


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


def test_of_senders_of_batches_the_log_says_what_helps(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Mistakes(FakeClock()).note("batch_token", b"web1", Sender("tls", "10.0.0.7:99", 0))
    assert caplog.messages == ["batch_token from tls 10.0.0.7:99: 'web1' (give the sender's forward-token the value of "
                               "samples-token)"]


def test_of_a_declaration_the_log_says_why_not_however_long_it_is(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(1_000_000)
    declared = Declared(clock, Mistakes(clock))
    with caplog.at_level(logging.WARNING):
        declared.take(b'a {"kind":"rate"}', Sender("tcp", "10.0.0.7:99", 0.0))
        declared.take(b'a {"help":"' + b"h" * 600 + b'"}', Sender("tcp", "10.0.0.7:99", 0.0))
    assert caplog.messages[0].endswith(
        """: '#metric a {"kind":"rate"}' (a metric is declared by `#metric NAME JSON`: its kind is gauge or event)""")
    assert caplog.messages[1].endswith("(621 bytes) (a metric is declared by `#metric NAME JSON`: it has 613 bytes, "
                                       "and 512 is the most: shorten the help)")


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


def senders(first: int, count: int) -> list[Sender]:
    return [Sender("udp", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:5", 0)
            for number in range(first, first + count)]


def test_mistakes_are_told_by_sender_whatever_its_port_the_last_one_first() -> None:
    clock = FakeClock(1325395000)
    mistakes = Mistakes(clock)
    mistakes.note("bad_number", b"x abc", Sender("tcp", "10.0.0.7:99", 0))
    clock.advance(5)
    mistakes.note("long_line", b"y" * 70_000, Sender("tcp", "[2001:db8::1]:5", 0))
    named = Sender("tcp", "10.0.0.7:100", 0)
    named.meta("agent", "web1")
    clock.advance(5)
    mistakes.show("bad_number", b"x 1,5", named)
    mistakes.blame("bad_number", b"", named, 40)
    first, second = mistakes.complaints(9)
    assert first == {
        "kind": "bad_number", "sender": "web1", "address": "10.0.0.7:100", "transport": "tcp", "count": 42,
        "last": 1325395010.0, "example": "x 1,5", "meant": "x 1.5",
        "wrong": "'1,5' has a comma for a decimal point (LC_NUMERIC=C)"}
    assert (second["sender"], second["example"]) == ("[2001:db8::1]", "y" * EXAMPLE_BYTES)
    assert "wrong" not in second
    assert mistakes.complaints(1) == [first]
    assert named.refused == {"bad_number": 41}
    assert mistakes.counts["bad_number"] == 1, "what is shown or blamed was counted by others"


def test_users_of_unix_sockets_are_senders_too_and_some_are_unknown() -> None:
    mistakes = Mistakes(FakeClock(1000))
    for process in (7, 8):
        mistakes.note("bad_fields", b"x", Sender("unix", f"process {process} of user 1000", 0))
    mistakes.note("too_many_connections", b"10.0.0.7:9: no room")
    assert [(row["sender"], row["count"]) for row in mistakes.complaints(9)] == [
        (OTHERS, 1), ("process 8 of user 1000", 2)]


def test_addresses_that_nobody_has_push_no_sender_out_that_goes_on() -> None:
    clock = FakeClock(1325395000)
    mistakes = Mistakes(clock)
    honest = Sender("udp", "192.0.2.7:1", 0)
    mistakes.note("bad_fields", b"mine", honest)
    for sender in senders(1, 3 * MOST_COMPLAINTS):
        mistakes.note("bad_fields", b"forged", sender)
    clock.advance(QUIET_SECONDS - 1)
    mistakes.note("bad_fields", b"mine", honest)
    clock.advance(2)
    for sender in senders(5000, 3 * MOST_COMPLAINTS):
        mistakes.note("bad_fields", b"forged again", sender)
    rows = mistakes.complaints(10 * MOST_COMPLAINTS)
    assert len(rows) <= MOST_COMPLAINTS + 1
    assert ("192.0.2.7", 2) in [(row["sender"], row["count"]) for row in rows]
    assert rows[0]["sender"] == OTHERS, "there was no room for all of them"


def test_a_complaint_of_more_than_a_day_ago_is_not_told() -> None:
    clock = FakeClock(1325395000)
    mistakes = Mistakes(clock)
    mistakes.note("bad_fields", b"x", Sender("udp", "192.0.2.7:1", 0))
    clock.advance(FORGET_SECONDS + 1)
    assert mistakes.complaints(9) == []


def test_what_a_sender_wrote_can_be_shown_anywhere() -> None:
    mistakes = Mistakes(FakeClock(1325395000))
    mistakes.note("bad_number", b"a\x1b[31m 17 1325395000\xff", Sender("tcp", "10.0.0.7:99", 0))
    (row,) = mistakes.complaints(9)
    assert row["example"] == "a\\x1b[31m 17 1325395000\\xff"
