"""What a server takes, and what of it goes to the forwarder, and when: over a real store and a real spool."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from istat.clock import SystemClock
from istat.declared.pages import Kept
from istat.forwarding import options, retrying
from istat.forwarding.forwarder import Forwarder, Introduction
from istat.forwarding.targets import TargetGroup
from istat.retention import Ladder
from istat.settings.types import Many
from istat.wire.batches import Hello, Lines, Meta
from istat_server.declared.declared import Declared
from istat_server.forwarding.tee import Tee
from istat_server.ingest.batches import Batches
from istat_server.ingest.intake import Intake
from istat_server.mistakes import Mistakes
from istat_server.roster import Roster
from istat_server.selfmetrics import SelfMetrics
from istat_server.store.statstore import StatStore
from tests.istat.forwarding.receiver import Receiver

DEADLINE = 30.0     # seconds that only a broken machine needs
AGENT = Hello(b"a" * 16, 3, "web1")


def until(true: Callable[[], Any], tick: Callable[[], object] = lambda: None) -> None:
    with gevent.Timeout(DEADLINE):
        while not true():
            tick()
            gevent.sleep(0.01)


class Forwarding:
    """The parts of a server that forwarding hangs on."""

    def __init__(self, folder: Path, port: int) -> None:
        clock = SystemClock()
        self.store = StatStore.open(folder / "store", Ladder.parse("10s:10d"), clock)
        values = {setting.name: setting.default for setting in options.settings("/unused")}
        values["forward"] = Many(TargetGroup()).parse(f"127.0.0.1:{port}")
        self.forwarder = Forwarder(values, folder / "spool", clock, Introduction("me", "1"), known=self.store.knows)
        self.mistakes, self.roster, self.metrics = Mistakes(clock), Roster(clock), SelfMetrics()
        self.intake = Intake(self.store, self.mistakes)
        self.batches = Batches(self.store, self.intake, self.roster, self.mistakes)
        self.tee = Tee(self.forwarder, self.store)
        self.declared = Declared(clock, self.mistakes)
        self.intake.declared = self.declared.take
        self.tee.hang_on(self.intake, self.batches, self.declared, self.metrics)
        self.tee.start()
        self.sender = self.roster.connected("tcp", "10.0.0.7:99")

    def feed(self, text: bytes) -> None:
        assert self.intake.feed(memoryview(text), 0, len(text), self.sender) == len(text)

    def take(self, sequence: int, text: bytes) -> int:
        return self.batches.take(Lines(sequence, int(SystemClock().now()), 0, text.count(b"\n"), text), AGENT,
                                 self.sender)

    def tick(self) -> None:
        self.tee.tick()
        self.store.tick()

    def end(self) -> None:
        self.tee.stop()
        self.store.close()


@pytest.fixture
def there() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.stop()


@pytest.fixture
def make(tmp_path: Path, there: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Forwarding]]:
    monkeypatch.setattr(retrying, "FIRST", 0.01)
    monkeypatch.setattr(retrying, "MOST", 0.05)
    made: list[Forwarding] = []

    def one() -> Forwarding:
        for before in made:
            before.end()
        made[:] = [Forwarding(tmp_path, there.port)]
        return made[0]

    yield one
    for one_of in made:
        one_of.end()


def test_samples_go_on_and_what_no_grammar_takes_does_not(make: Any, there: Receiver) -> None:
    server = make()
    server.feed(b"a 1\n#agent web1\nnonsense\nb 2\n@c 3\n*d^e^f 4\n")
    server.feed(b"whole 1\n")
    until(lambda: len(there.lines) == 4, server.tick)
    assert there.lines == [b"a 1", b"b 2", b"*d^e^f 4", b"whole 1"]
    until(lambda: there.told, server.tick)
    assert [(told.origin, told.text) for told in there.told] == [("web1", b"#agent web1\n")]


def test_what_this_store_alone_refuses_goes_on(make: Any, there: Receiver) -> None:
    server = make()
    server.feed(b"old 1000000 5\nnew 1\n")
    until(lambda: len(there.lines) == 2, server.tick)
    assert there.lines == [b"old 1000000 5", b"new 1"]


def test_a_batch_goes_on_once_the_journal_has_it(make: Any, there: Receiver) -> None:
    server = make()
    assert server.take(1, b"a 1\nb inf\n") == 1
    until(lambda: server.metrics.values()["forward.connected"])
    server.tee.tick()
    gevent.sleep(0.05)
    assert there.lines == []        # the store had no tick, so that nothing is written
    until(lambda: there.lines, server.tick)
    assert there.lines == [b"a 1", b"b inf"]


def test_what_is_declared_goes_on_once_it_is_taken_whatever_it_came_by(make: Any, there: Receiver) -> None:
    server = make()
    server.feed(b'#metric a {"unit":"s"}\n#metric <all> {}\n#metric a {"unit":"s"}\n')
    server.batches.tell(Meta("", b"#metric b {}\n#metric broken\n"), AGENT, server.sender)
    until(lambda: any(b"#metric b" in meta.text for meta in there.told), server.tick)
    assert b"".join(meta.text for meta in there.told) == b'#metric a {"unit":"s"}\n#metric b {}\n'
    assert server.mistakes.counts["bad_metadata"] == 2 and server.sender.metadata == {}


def test_what_nobody_declares_any_more_is_told_no_more(make: Any, there: Receiver) -> None:
    server = make()
    server.feed(b"#metric a {}\n#metric b {}\n")
    until(lambda: sum(meta.text.count(b"#metric") for meta in there.told) == 2, server.tick)
    server.declared.replace([Kept("tcp_10.0.0.7", b"b {}")])
    there.told.clear()
    there.cut()
    until(lambda: there.told, server.tick)
    assert b"".join(meta.text for meta in there.told) == b"#metric b {}\n"


def test_origins_of_a_forwarder_are_told_by_their_names(make: Any, there: Receiver) -> None:
    server = make()
    server.batches.tell(Meta("", b"#agent web1\n"), AGENT, server.sender)
    server.batches.tell(Meta("db1", b"#agent db1\n"), AGENT, server.sender)
    until(lambda: len({told.origin for told in there.told}) == 2, server.tick)
    assert {told.origin: told.text for told in there.told} == {"web1": b"#agent web1\n", "db1": b"#agent db1\n"}


def test_batches_of_our_own_spool_are_known_as_such(make: Any) -> None:
    server = make()
    assert server.forwarder.id in server.batches.receiving.own


def test_after_a_kill_the_spool_has_what_the_journal_has(make: Any, there: Receiver, tmp_path: Path) -> None:
    """A batch that came to the spool and not to the journal is not there after a start: its sender sends it again."""
    there.stop()
    server = make()
    server.take(1, b"a 1\n")
    until(lambda: server.store.written >= server.store.ticket, server.tick)
    mark = (AGENT.sender, AGENT.epoch, 2)
    server.tee.batch(b"lost 1\n", 1000, 0, 1, mark)
    server.forwarder.stop(whole=False)                   # what a kill leaves
    server = make()
    assert server.store.last_sequence(AGENT.sender, AGENT.epoch) == 1
    server.take(2, b"again 1\n")
    there.start()
    until(lambda: len(there.lines) == 2, server.tick)
    assert there.lines == [b"a 1", b"again 1"]


def test_what_came_last_is_forwarded_at_the_end(make: Any, there: Receiver) -> None:
    server = make()
    until(lambda: server.metrics.values()["forward.connected"])
    server.feed(b"last 1\n")
    server.tee.stop()
    assert there.lines == [b"last 1"]
    server.feed(b"later 1\n")       # as self-metrics do: for the store alone
    server.tee.tick()


class Exchanged:
    """A store whose tickets begin anew, as a replica's does with another base copy."""

    ticket = written = 1000

    def tick(self) -> None:
        pass


def test_tickets_that_begin_anew_hold_nothing_up(make: Any, there: Receiver) -> None:
    server = make()
    store = Exchanged()
    tee = Tee(server.forwarder, store)
    store.written = 0
    server.forwarder.lines(b"a 1\n")
    tee.tick()
    store.ticket = store.written = 3
    until(lambda: there.lines, tee.tick)
    assert there.lines == [b"a 1"]
