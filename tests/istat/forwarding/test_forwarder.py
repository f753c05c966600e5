"""The whole forwarder, over a real spool, to receivers on ports of this machine: what arrives, and where, at last."""
from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from istat.clock import SystemClock
from istat.forwarding import group, member, options, retrying
from istat.forwarding.forwarder import Forwarder, Introduction
from istat.forwarding.targets import TargetGroup
from istat.settings.types import Many
from tests.istat.forwarding.receiver import Receiver

DEADLINE = 30.0     # seconds that only a broken machine needs
WHO = Introduction("web1", "9.9")


def until(true: Callable[[], Any]) -> None:
    with gevent.Timeout(DEADLINE):
        while not true():
            gevent.sleep(0.01)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets are tried again at once."""
    monkeypatch.setattr(retrying, "FIRST", 0.01)
    monkeypatch.setattr(retrying, "MOST", 0.05)


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    made: list[Receiver] = []

    def make() -> Receiver:
        made.append(Receiver())
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def forwarders(tmp_path: Path) -> Iterator[Callable[..., Forwarder]]:
    running: list[Forwarder] = []

    def make(forward: str, known: Any = None, wait: float = 0.0, **changed: Any) -> Forwarder:
        for one in running:
            one.stop()
        running.clear()
        values = {setting.name: setting.default for setting in options.settings("/unused")}
        values |= {"forward": Many(TargetGroup()).parse(forward), "forward-token": "secret"}
        values |= {name.replace("_", "-"): value for name, value in changed.items()}
        made = Forwarder(values, tmp_path / "spool", SystemClock(), WHO, known=known, wait=wait)
        made.start()
        running.append(made)
        return made

    yield make
    for one in running:
        one.stop()


def to(*receivers: Receiver) -> str:
    return " | ".join(f"127.0.0.1:{one.port}" for one in receivers)


def give(forwarder: Forwarder, first: int, last: int) -> list[bytes]:
    """Frames with a line each; the lines."""
    lines = [b"c%d 1000 %d" % (n, n) for n in range(first, last + 1)]
    for line in lines:
        forwarder.take(line + b"\n", 1000, 1)
    return lines


def all_done(forwarder: Forwarder) -> bool:
    return forwarder.totals()["forward.waiting"] == 0


def test_lines_arrive_once_with_their_clock(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    forwarder.lines(b"a 1\nb 2\n")
    forwarder.lines(b"c 3\n")
    forwarder.take(b"d 1000 4 16 4 4 1\n", 1000, 1, interval=10)
    until(lambda: all_done(forwarder))
    assert there.lines == [b"a 1", b"b 2", b"c 3", b"d 1000 4 16 4 4 1"]
    assert [batch.interval for batch in there.taken] == [0, 10]
    assert there.taken[1].clock == 1000
    assert abs(there.taken[0].clock - SystemClock().now()) < DEADLINE
    assert there.hellos[0].sender == forwarder.id
    assert (there.hellos[0].host, there.hellos[0].token) == ("web1", "secret")
    totals = forwarder.totals()
    assert (totals["forward.lines"], totals["forward.acknowledged"], totals["forward.connected"]) == (4, 4, 1)


def test_refused_lines_are_counted_as_such(receivers: Any, forwarders: Any) -> None:
    forwarder = forwarders(to(receivers()))
    forwarder.lines(b"a 1\nbad 2\n")
    forwarder.tick()
    until(lambda: all_done(forwarder))
    assert (forwarder.totals()["forward.acknowledged"], forwarder.totals()["forward.refused"]) == (1, 1)


def test_small_frames_become_one_batch_and_keep_their_times(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    there.stop()
    forwarder = forwarders(to(there))
    forwarder.take(b"a 1\nb 900 1\n", 1000, 2)
    forwarder.take(b"c 1\nd 900 1\n", 1001, 2)
    forwarder.take(b"e 1\n", 1000, 1)
    forwarder.take(b"f 1000 4 16 4 4 1\n", 1000, 1, interval=10)
    for n in range(20):
        forwarder.take(b"g%d 1000 1\n" % n, 1000, 1)
    there.start()
    until(lambda: all_done(forwarder))
    assert [batch.text for batch in there.taken[:2]] == [
        b"a 1\nb 900 1\nc 1001 1\nd 900 1\ne 1\n", b"f 1000 4 16 4 4 1\n"]
    assert [(batch.sequence, batch.clock, batch.interval) for batch in there.taken[:2]] == [
        (3, 1000, 0), (4, 1000, 10)]
    assert [batch.count for batch in there.taken[2:]] == [8, 8, 4]


def test_what_is_too_long_for_a_frame_is_divided_at_lines(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    lines = [b"%0999d 1\n" % n for n in range(300)]
    forwarder.lines(b"".join(lines))
    forwarder.lines(b"n" * 70_000 + b" 1\nshort 1\n")
    forwarder.tick()
    until(lambda: all_done(forwarder))
    assert there.lines == [line.rstrip() for line in lines] + [b"short 1"]
    assert forwarder.totals()["forward.lost.too_long"] == 1


def test_nothing_goes_before_the_journal_has_it(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there), known=lambda mark: True)
    first = forwarder.take(b"a 1\n", 1000, 1, mark=(b"x" * 16, 1, 1))
    second = forwarder.take(b"b 1\n", 1000, 1, mark=(b"x" * 16, 1, 2))
    until(lambda: forwarder.totals()["forward.connected"])
    forwarder.release(first)
    until(lambda: there.lines)
    gevent.sleep(0.05)
    assert there.lines == [b"a 1"]
    forwarder.release(second)
    until(lambda: all_done(forwarder))
    assert there.lines == [b"a 1", b"b 1"]


def test_a_target_that_is_away_gets_all_when_it_is_back(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    there.stop()
    forwarder = forwarders(to(there))
    lines = give(forwarder, 1, 50)
    until(lambda: forwarder.status()["groups"][0]["targets"][0]["state"] == "away")
    assert "refused" in forwarder.status()["groups"][0]["targets"][0]["why"]
    there.start()
    until(lambda: all_done(forwarder))
    assert there.lines == lines


def test_a_target_that_takes_nothing_is_not_told_to_be_back(receivers: Any, forwarders: Any, caplog: Any) -> None:
    caplog.set_level("INFO", "istat.forwarding")
    there = receivers()
    there.later = "it is a replica"
    forwarder = forwarders(to(there))
    give(forwarder, 1, 2)
    until(lambda: forwarder.totals()["forward.connects"] >= 3)
    assert f"cannot forward to {to(there)}: it is a replica" in caplog.text
    assert "again, after" not in caplog.text and "forwarding to" not in caplog.text
    there.later = ""
    until(lambda: all_done(forwarder))
    assert f"the target {to(there)} takes samples again, after" in caplog.text
    assert f"forwarding to {to(there)}" in caplog.text


def test_the_end_says_what_waits_in_the_spool(receivers: Any, forwarders: Any, caplog: Any) -> None:
    caplog.set_level("INFO", "istat.forwarding")
    here, away = receivers(), receivers()
    away.stop()
    forwarder = forwarders(f"{to(here)}, {to(away)}")
    give(forwarder, 1, 50)
    until(lambda: len(here.lines) == 50)
    forwarder.stop()
    assert f"lines that wait in the spool for {to(away)} until the next start: 50" in caplog.text
    assert f"lines that wait in the spool for {to(here)}" not in caplog.text


def test_what_was_under_way_when_it_was_cut_is_sent_again_and_counted_once(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    there.mute = True       # takes, and does not say so
    forwarder = forwarders(to(there))
    lines = give(forwarder, 1, 400)
    until(lambda: len(there.taken) == 16)
    there.cut()
    there.mute = False
    until(lambda: all_done(forwarder))
    assert there.lines == lines


def test_what_was_under_way_over_a_restart_is_settled(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    there.mute = True
    forwarder = forwarders(to(there))
    lines = give(forwarder, 1, 400)
    until(lambda: len(there.taken) == 16)
    forwarder = forwarders(to(there))
    there.mute = False
    there.cut()
    lines += give(forwarder, 401, 420)
    until(lambda: all_done(forwarder))
    assert there.lines == lines


def test_a_target_that_knows_later_batches_of_the_spool_gets_none(receivers: Any, forwarders: Any) -> None:
    """It would acknowledge what is new, as old, and not count it."""
    there, other = receivers(), receivers()
    forwarder = forwarders(to(there, other))
    until(lambda: there.hellos)
    key = there.hellos[0].sender, there.hellos[0].epoch
    there.last[key] = (1 << 63) - 1
    there.cut()
    until(lambda: forwarder.status()["groups"][0]["in_use"] == to(other))
    lines = give(forwarder, 1, 20)
    until(lambda: all_done(forwarder))
    assert (there.lines, other.lines) == ([], lines)
    until(lambda: "was the spool put back" in forwarder.status()["groups"][0]["targets"][0]["why"])


def test_the_log_says_which_target_is_used(receivers: Any, forwarders: Any, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(group, "QUIET", 0.0)
    caplog.set_level("INFO", "istat.forwarding")
    first, second = receivers(), receivers()
    forwarder = forwarders(to(first, second))
    give(forwarder, 1, 2)
    name = f"{to(first)} | {to(second)}"
    until(lambda: f"forwarding to {to(first)} of {name}" in caplog.text)
    first.stop()
    until(lambda: forwarder.status()["groups"][0]["in_use"] == to(second))
    give(forwarder, 3, 4)
    until(lambda: f"forwarding to {to(second)} of {name}" in caplog.text)
    assert "Does it want TLS" not in caplog.text, "it was reached, so that its settings fit"
    assert forwarder.status()["groups"][0]["in_use"] == to(second)


def test_the_next_is_used_while_the_first_is_away_and_each_line_is_at_one(receivers: Any, forwarders: Any) -> None:
    first, second = receivers(), receivers()
    first.mute = True
    forwarder = forwarders(to(first, second))
    doubtful = give(forwarder, 1, 20)
    until(lambda: first.lines == doubtful)
    assert not second.hellos
    first.stop()
    until(lambda: forwarder.status()["groups"][0]["in_use"] == to(second))
    lines = give(forwarder, 21, 30)
    until(lambda: second.lines == lines and forwarder.totals()["forward.waiting"] == 20)    # that wait for the first
    first.mute = False
    first.start()
    until(lambda: all_done(forwarder) and forwarder.status()["groups"][0]["in_use"] == to(first))
    more = give(forwarder, 31, 35)
    until(lambda: all_done(forwarder))
    assert first.lines == doubtful + more
    assert second.lines == lines


def test_what_is_in_doubt_for_too_long_goes_to_the_one_in_use(receivers: Any, forwarders: Any) -> None:
    first, second = receivers(), receivers()
    first.mute = True
    forwarder = forwarders(to(first, second), forward_doubt=0.2)
    lines = give(forwarder, 1, 20)
    until(lambda: first.lines == lines)
    first.stop()

    def done() -> bool:
        forwarder.tick()
        return all_done(forwarder)
    until(done)
    assert second.lines == lines
    assert forwarder.totals()["forward.doubted"] == 20


def test_a_target_that_is_back_and_settles_nothing_holds_up_nobody(receivers: Any, forwarders: Any) -> None:
    first, second = receivers(), receivers()
    first.mute = True
    forwarder = forwarders(to(first, second))
    doubtful = give(forwarder, 1, 5)
    until(lambda: first.lines == doubtful)
    first.stop()
    until(lambda: forwarder.status()["groups"][0]["in_use"] == to(second))
    first.last.clear()      # it has lost what it took, and wants it again
    first.start()
    until(lambda: len(first.lines) == 10)
    lines = give(forwarder, 6, 15)
    until(lambda: second.lines == lines)
    first.cut()
    first.mute = False
    until(lambda: forwarder.status()["groups"][0]["in_use"] == to(first))
    until(lambda: all_done(forwarder))


def test_what_a_target_that_is_back_refuses_goes_to_the_next_at_once(receivers: Any, forwarders: Any) -> None:
    """WELCOME says what it has of it, and LATER that it takes no more: nothing is in doubt."""
    first, second = receivers(), receivers()
    first.mute = True
    forwarder = forwarders(to(first, second))
    lines = give(forwarder, 1, 5)
    until(lambda: first.lines == lines)
    first.mute, first.later = False, "it is a replica"      # so what comes now is under way behind what it has
    first.swallow = True
    lost = give(forwarder, 6, 30)
    until(lambda: first.swallowed)
    first.swallow = False
    first.cut()
    until(lambda: all_done(forwarder))
    assert first.lines == lines and sorted(second.lines) == sorted(lost)
    assert forwarder.totals()["forward.doubted"] == 0


def test_later_makes_the_next_one_be_used_with_nothing_twice(receivers: Any, forwarders: Any) -> None:
    first, second = receivers(), receivers()
    first.later = "the disk is full"
    forwarder = forwarders(to(first, second))
    lines = give(forwarder, 1, 40)
    until(lambda: all_done(forwarder))
    assert second.lines + first.lines == lines
    assert second.lines
    assert forwarder.totals()["forward.failures"] >= 1
    first.later = ""
    until(lambda: forwarder.status()["groups"][0]["in_use"] == to(first))
    lines += give(forwarder, 41, 50)
    until(lambda: all_done(forwarder))
    assert second.lines + first.lines == lines


def test_each_entry_gets_everything(receivers: Any, forwarders: Any) -> None:
    one, other = receivers(), receivers()
    other.stop()
    forwarder = forwarders(f"{to(one)}, {to(other)}")
    lines = give(forwarder, 1, 30)
    until(lambda: one.lines == lines)
    other.start()
    until(lambda: all_done(forwarder))
    assert other.lines == lines
    assert one.lines == lines


def test_origins_are_told_at_each_connection_and_when_they_change(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    forwarder.meta("db1", b"#agent db1\n")
    until(lambda: there.told)
    forwarder.meta("db1", b"#version 2\n")
    until(lambda: len(there.told) == 2)
    assert (there.told[-1].origin, there.told[-1].text) == ("db1", b"#agent db1\n#version 2\n")
    there.cut()
    until(lambda: len(there.told) == 3)
    assert there.told[-1].text == b"#agent db1\n#version 2\n"


def declared_at(there: Receiver) -> list[bytes]:
    assert all(meta.origin == "" for meta in there.told)
    return b"".join(meta.text for meta in there.told).splitlines()


def test_metrics_are_declared_at_each_connection_and_when_they_change(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    forwarder.meta("web1", b"#metric a {}\n#metric b {}\n")
    forwarder.meta("web2", b"#metric a {}\n")
    until(lambda: declared_at(there) == [b"#metric a {}", b"#metric b {}"])
    forwarder.meta("", b'#metric b {"unit":"s"}\n#metric a {}\n')
    until(lambda: declared_at(there)[2:] == [b'#metric b {"unit":"s"}'])
    there.told.clear()
    there.cut()
    until(lambda: declared_at(there) == [b"#metric a {}", b'#metric b {"unit":"s"}'])


def test_many_long_declarations_fit_into_messages(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    lines = [b"#metric m%d " % number + b"x" * 480 for number in range(200)]
    forwarder.meta("", b"\n".join(lines) + b"\n")
    until(lambda: declared_at(there) == lines)


def test_after_hours_all_are_declared_again(receivers: Any, forwarders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = receivers()
    monkeypatch.setattr(member, "METRICS_AGAIN", 0.01)
    forwarder = forwarders(to(there))
    forwarder.meta("", b"#metric a {}\n")
    until(lambda: len(declared_at(there)) > 1)
    assert set(declared_at(there)) == {b"#metric a {}"}


def test_many_origins_are_told_soon(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    for n in range(1000):
        forwarder.meta(f"host{n}", b"#agent x\n")
    until(lambda: len({told.origin for told in there.told}) == 1000)


def test_an_original_gets_lines(receivers: Any, forwarders: Any) -> None:
    there = receivers()     # reads no line of it, and never answers
    there.deaf = True
    forwarder = forwarders(f"istatd:{to(there)}")
    give(forwarder, 1, 5)
    until(lambda: all_done(forwarder))
    assert forwarder.totals()["forward.acknowledged"] == 5


def test_what_was_under_way_to_an_original_that_goes_is_lost_and_counted(forwarders: Any) -> None:
    with socket.socket() as there:          # it takes a connection and reads nothing: its end is a reset
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        there.bind(("127.0.0.1", 0))
        there.listen(1)
        forwarder = forwarders(f"istatd:127.0.0.1:{there.getsockname()[1]}")
        for _ in range(100):
            forwarder.take(b"c 1000 1\n" * 4000, 1000, 4000)
        until(lambda: forwarder.totals()["forward.sent"])
    until(lambda: forwarder.totals()["forward.failures"])
    totals = forwarder.totals()
    assert totals["forward.lost.cut"] > 0
    assert totals["forward.acknowledged"] + totals["forward.lost.cut"] + totals["forward.waiting"] == 400_000


def test_an_end_waits_a_moment_for_what_is_under_way(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    until(lambda: forwarder.totals()["forward.connected"])
    forwarder.lines(b"last 1\n")
    forwarder.stop()
    assert there.lines == [b"last 1"]


def test_short_lines_arrive_although_a_batch_may_have_so_many_only(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    forwarder.lines(b"a 1\n" * 10_000)
    for _ in range(1000):
        forwarder.lines(b"b 2\n" * 9)
    forwarder.tick()
    until(lambda: all_done(forwarder))
    assert there.lines.count(b"a 1") == 10_000 and there.lines.count(b"b 2") == 9_000


def test_what_a_changed_entry_has_not_had_its_new_one_gets(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(to(there))
    first = give(forwarder, 1, 5)
    until(lambda: all_done(forwarder))
    there.stop()
    until(lambda: forwarder.totals()["forward.connected"] == 0)
    waiting = give(forwarder, 6, 9)
    other = receivers()
    forwarder = forwarders(to(there, other))
    until(lambda: all_done(forwarder))
    assert (there.lines, sorted(other.lines)) == (first, waiting)


def test_it_is_waited_for_targets_that_can_be_reached(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    forwarder = forwarders(f"{to(there)},127.0.0.1:1")
    until(lambda: forwarder.totals()["forward.connected"] == 1)
    forwarder.lines(b"a 1\n")
    forwarder.settle(DEADLINE)
    assert there.lines == [b"a 1"] and forwarder.totals()["forward.waiting"] == 1, "the other one is away"


def test_many_targets_with_much_in_doubt_hold_up_the_one_in_use_only_for_a_while(receivers: Any,
                                                                                 forwarders: Any) -> None:
    there = [receivers() for _ in range(4)]
    for one in there[:3]:
        one.mute = True
    forwarder = forwarders(to(*there))
    sent: list[bytes] = []
    for place, one in enumerate(there[:3]):
        sent += give(forwarder, place * 1000 + 1, place * 1000 + 150)
        until(lambda one=one: len(one.taken) == 16 or len(one.lines) >= 100)
        one.stop()
    sent += give(forwarder, 3001, 3100)
    for one in there[:3]:
        one.mute = False
        one.start()
    until(lambda: all_done(forwarder))
    assert sorted(line for one in there for line in one.lines) == sorted(sent)


def test_lines_that_may_wait_are_not_in_the_spool_before_they_are_acknowledged(receivers: Any, forwarders: Any,
                                                                               tmp_path: Path) -> None:
    there = receivers()
    forwarder = forwarders(to(there), wait=600.0)
    forwarder.lines(b"a 1\n", waits=True)
    forwarder.lines(b"b 2\n", waits=True)
    forwarder.tick()
    until(lambda: all_done(forwarder))
    assert there.lines == [b"a 1", b"b 2"] and not list((tmp_path / "spool").glob("*.spool"))
    there.stop()
    forwarder.lines(b"c 3\n", waits=True)
    forwarder.lines(b"d 4\n")
    forwarder.lines(b"e 5\n", waits=True)
    forwarder.tick()
    (segment,) = (tmp_path / "spool").glob("*.spool")
    assert b"c 3\nd 4\ne 5\n" in segment.read_bytes(), "those of programs do not wait, nor what came with them"
    forwarder.lines(b"f 6\n", waits=True)
    forwarder.tick()
    assert b"f 6" not in segment.read_bytes()
    there.start()
    until(lambda: all_done(forwarder))
    assert there.lines == [b"a 1", b"b 2", b"c 3", b"d 4", b"e 5", b"f 6"]


def test_what_waits_is_in_the_spool_at_the_end(receivers: Any, forwarders: Any) -> None:
    there = receivers()
    there.stop()
    forwarder = forwarders(to(there), wait=600.0)
    forwarder.lines(b"a 1\n", waits=True)
    forwarder.stop()
    there.start()
    forwarder = forwarders(to(there), wait=600.0)
    until(lambda: all_done(forwarder))
    assert there.lines == [b"a 1"]


def test_what_the_target_has_is_not_joined_with_what_is_new(receivers: Any, forwarders: Any, tmp_path: Path) -> None:
    """Where the cursor cannot be read all is sent again: what it has is known by its sequences, if they are its own."""
    there = receivers()
    forwarder = forwarders(to(there))
    sent = give(forwarder, 1, 3)
    until(lambda: all_done(forwarder))
    forwarder.stop()
    there.stop()
    cursors = list((tmp_path / "spool").glob("*.cursor"))
    assert len(cursors) == 1
    cursors[0].write_bytes(bytes(cursors[0].stat().st_size))
    forwarder = forwarders(to(there))
    sent += give(forwarder, 4, 5)
    there.start()
    until(lambda: all_done(forwarder))
    assert there.lines == sent
