"""Readable sources take turns, others get theirs in between, and one that is broken harms nobody else."""
from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.event import Event

from istat.clock import FakeClock
from istat_server.ingest.pump import PORTION_BYTES, SLICE_SECONDS, Outcome, Pump
from istat_server.roster import Sender
from tests.ingest.fakes import Bench, FakeIntake

MORE, EMPTY, REST, CLOSED = Outcome.MORE, Outcome.EMPTY, Outcome.REST, Outcome.CLOSED
PEER = Sender("udp", "192.0.2.7:1", 0)
# Far longer than anything here takes [s]; it is never waited out unless something is broken.
PATIENCE = 5.0
# Steps of a source that has more and more: a pump that stops for nobody comes to their end.
MANY = 200_000


class Source:
    """Does one step after the other as it is told, and writes into a list that several share what happens to it."""

    def __init__(self, name: str, seen: list[str], *steps: Outcome | Exception) -> None:
        self.name, self.seen = name, seen
        self.steps = list(steps)
        self.done = Event()             # the last of the steps was done
        self.watched = Event()
        self.broken: Exception | None = None    # what `watch` raises
        self.stuck: Exception | None = None     # what `close` raises
        self.during: Callable[[], None] = lambda: None

    def work(self) -> Outcome:
        self.seen.append(self.name)
        self.during()
        step = self.steps.pop(0)
        if not self.steps:
            self.done.set()
        if isinstance(step, Exception):
            raise step
        return step

    def watch(self) -> None:
        if self.broken is not None:
            raise self.broken
        self.seen.append(f"{self.name} watched")
        self.watched.set()

    def close(self) -> None:
        self.seen.append(f"{self.name} closed")
        if self.stuck is not None:
            raise self.stuck


def no_error(where: str, error: BaseException) -> None:
    raise AssertionError(where) from error


@pytest.fixture
def seen() -> list[str]:
    return []


def idle(bench: Bench, seen: list[str]) -> None:
    """Wait until the pump has nothing to do; what a last source does for it is not in `seen`."""
    last = Source("last", [], CLOSED)
    bench.pump.ready(last)
    assert last.done.wait(PATIENCE), f"the pump is stuck after {seen}"


def test_sources_that_have_more_take_turns(bench: Bench, seen: list[str]) -> None:
    for name in "ab":
        bench.pump.ready(Source(name, seen, MORE, MORE, CLOSED))
    bench.pump.ready(Source("c", seen, CLOSED))
    for _ in range(3):
        idle(bench, seen)
    assert seen == ["a", "b", "c", "a", "b", "a", "b"]


def test_an_emptied_source_is_watched_and_comes_again_when_it_is_readable(bench: Bench, seen: list[str]) -> None:
    source = Source("a", seen, EMPTY, EMPTY)
    bench.pump.ready(source)
    idle(bench, seen)
    assert seen == ["a", "a watched"]
    idle(bench, seen)
    assert seen == ["a", "a watched"], "nobody said that it is readable"
    bench.pump.ready(source)
    idle(bench, seen)
    assert seen == ["a", "a watched"] * 2


def test_a_closed_source_is_left_alone(bench: Bench, seen: list[str]) -> None:
    bench.pump.ready(Source("a", seen, CLOSED))
    idle(bench, seen)
    idle(bench, seen)
    assert seen == ["a"]


@pytest.fixture
def unhurried() -> Iterator[Bench]:
    """A pump whose slice never ends: the hub, and with it the timer of a rest, has no turn between two steps."""
    bench = Bench()
    bench.pump = Pump(no_error, bench.clock.monotonic)
    bench.pump.start()
    yield bench
    bench.pump.stop()


def test_resting_sources_are_watched_together_when_the_rest_is_over(unhurried: Bench, seen: list[str]) -> None:
    sources = [Source(name, seen, REST, MORE, REST) for name in "ab"]
    for round_ in range(2):
        for source in sources:
            source.watched.clear()
            unhurried.pump.ready(source)
        assert all(source.watched.wait(PATIENCE) for source in sources), f"rest {round_} does not end"
    assert seen == ["a", "b", "a watched", "b watched", "a", "b", "a", "b", "a watched", "b watched"]


def test_a_rest_ends_for_those_that_rest_and_only_once(unhurried: Bench, seen: list[str]) -> None:
    pump = unhurried.pump
    pump.wake_resting()
    assert seen == [], "nobody rests"
    pump.ready(Source("a", seen, REST))
    pump.ready(Source("b", seen, EMPTY))
    idle(unhurried, seen)
    pump.wake_resting()     # unless it ended by itself meanwhile
    pump.wake_resting()
    assert seen == ["a", "b", "b watched", "a watched"]


@pytest.mark.parametrize("where", ["work", "watch"])
def test_a_source_that_raises_is_closed_and_told_of_and_the_others_go_on(seen: list[str], where: str) -> None:
    told: list[tuple[str, BaseException]] = []
    pump = Pump(lambda place, error: told.append((place, error)))
    fault = ValueError("odd bytes")
    bad = Source("bad", seen, fault if where == "work" else EMPTY)
    bad.broken = fault
    good = Source("good", seen, MORE, CLOSED)
    pump.ready(bad)
    pump.ready(good)
    pump.start()
    assert good.done.wait(PATIENCE)
    pump.stop()
    assert seen == ["bad", "bad closed", "good", "good"]
    assert told == [("a listener", fault)]


def test_a_source_whose_end_fails_too_harms_nobody(seen: list[str]) -> None:
    told: list[tuple[str, BaseException]] = []
    pump = Pump(lambda place, error: told.append((place, error)))
    fault, worse = ValueError("odd bytes"), OSError("no such descriptor")
    bad, good = Source("bad", seen, fault), Source("good", seen, CLOSED)
    bad.stuck = worse
    pump.ready(bad)
    pump.ready(good)
    pump.start()
    assert good.done.wait(PATIENCE)
    pump.stop()
    assert told == [("a listener", fault), ("the end of a listener", worse)]


def test_a_source_that_cannot_be_watched_after_its_rest_harms_no_other_one(seen: list[str]) -> None:
    told: list[tuple[str, BaseException]] = []
    pump = Pump(lambda place, error: told.append((place, error)))
    bad, good = Source("bad", seen, REST), Source("good", seen, REST)
    bad.broken = OSError("closed meanwhile")
    pump.ready(bad)
    pump.ready(good)
    pump.start()
    assert good.watched.wait(PATIENCE)
    pump.stop()
    assert seen == ["bad", "good", "bad closed", "good watched"]
    assert told == [("a listener", bad.broken)]


def test_others_get_their_turn_however_much_there_is_to_read() -> None:
    """A source that never has enough is there, and a greenlet wants some turns of the hub."""
    bench, endless = Bench(), Source("endless", [])
    endless.during = lambda: endless.steps.append(MORE if len(endless.seen) < MANY else CLOSED)
    turns = Event()

    def other() -> None:
        for _ in range(3):
            gevent.sleep(0)
        turns.set()

    bench.pump.ready(endless)
    bench.pump.start()
    gevent.spawn(other)
    assert turns.wait(PATIENCE)
    bench.pump.stop()
    assert 0 < len(endless.seen) < MANY


def test_what_became_readable_before_the_start_is_worked_on_after_it(seen: list[str]) -> None:
    bench = Bench()
    bench.pump.ready(Source("a", seen, CLOSED))
    assert seen == []
    bench.pump.start()
    idle(bench, seen)
    bench.pump.stop()
    assert seen == ["a"]


def test_stopping_ends_with_the_present_step(seen: list[str]) -> None:
    """The source's step lets the hub run, as feeding does, and meanwhile the server is told to end."""
    bench = Bench()
    began, go_on = Event(), Event()
    slow = Source("slow", seen, MORE, CLOSED)

    def during() -> None:
        began.set()
        go_on.wait(PATIENCE)
        seen.append("slow has done")

    slow.during = during
    bench.pump.ready(slow)
    bench.pump.ready(Source("next", seen, CLOSED))
    bench.pump.start()
    assert began.wait(PATIENCE)
    stopping = gevent.spawn(bench.pump.stop)
    gevent.sleep(0)
    assert not stopping.dead, "it waits for the step"
    go_on.set()
    stopping.join(PATIENCE)
    assert stopping.successful()
    assert seen == ["slow", "slow has done"], "the rest stays in the sockets"


def test_it_can_be_stopped_idle_twice_or_without_a_start() -> None:
    for starts in (True, False):
        pump = Bench().pump
        if starts:
            pump.start()
        gevent.sleep(0)
        pump.stop()
        pump.stop()


class SlowIntake(FakeIntake):
    """Each portion takes its time, and the clock is the test's."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds
        self.sizes: list[int] = []

    def feed(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        self.clock.advance(self.seconds)
        self.sizes.append(end - start)
        return super().feed(view, start, end, sender)


def fed(text: bytes, seconds: float = 0.0, start: int = 0, end: int | None = None) -> tuple[int, SlowIntake, list[int]]:
    """What `Pump.feed` says of a text, the intake, and after how many portions another greenlet had its turns."""
    clock = FakeClock(0)
    intake, turns = SlowIntake(clock, seconds), list[int]()
    pump = Pump(no_error, clock.monotonic)

    def other() -> None:
        while True:
            turns.append(intake.feeds)
            gevent.sleep(0)

    watcher = gevent.spawn(other)
    used = pump.feed(intake, memoryview(text), start, len(text) if end is None else end, PEER)
    seen = sorted(set(turns))
    watcher.kill()      # another turn
    return used, intake, seen


def test_a_long_text_is_fed_in_portions_of_whole_lines() -> None:
    lines = [b"name.%d %d" % (number, number) for number in range(5000)]
    text = b"\n".join(lines) + b"\n"
    used, intake, _ = fed(text + b"unfinished 1")
    assert used == len(text)
    assert intake.lines == lines
    assert max(intake.sizes) <= PORTION_BYTES
    assert len(text) / PORTION_BYTES < intake.feeds < len(text) / PORTION_BYTES + 3
    assert set(intake.senders) == {PEER}


def test_a_line_longer_than_a_portion_is_taken_whole() -> None:
    long = b"n" * (2 * PORTION_BYTES)
    used, intake, _ = fed(b"a 1\n" + long + b" 2\nb 3\nc")
    assert intake.lines == [b"a 1", long + b" 2", b"b 3"]
    assert used == len(long) + 11
    assert fed(long)[0] == 0, "it has no end yet"


def test_only_the_span_is_fed_and_its_whole_lines_are_counted() -> None:
    used, intake, _ = fed(b"a 1\nb 2\nc 3\n", start=4, end=10)
    assert (used, intake.lines) == (4, [b"b 2"])
    used, intake, _ = fed(b"a 1\n", start=4)
    assert (used, intake.feeds) == (0, 0)


def test_the_hub_has_its_turn_when_a_slice_is_over_not_before() -> None:
    line = b"x" * (PORTION_BYTES - 3) + b" 1\n"     # each of them a portion
    assert fed(line * 4, SLICE_SECONDS)[2] == [1, 2, 3, 4]
    assert fed(line * 4, 0.0)[2] == []
    # The slice is over after every second portion, and begins anew with the turn.
    assert fed(line * 5, SLICE_SECONDS / 2)[2] == [2, 4]


def test_what_has_come_is_read_before_it_is_settled(bench: Bench, seen: list[str]) -> None:
    busy, resting = Source("busy", seen, MORE, MORE, EMPTY), Source("resting", seen, REST)
    bench.pump.ready(resting)
    bench.pump.ready(busy)
    bench.pump.settle(PATIENCE)
    assert seen.count("busy") == 3 and resting.watched.is_set()


def test_a_server_that_is_never_done_settles_in_time(bench: Bench, seen: list[str]) -> None:
    endless = Source("endless", seen, *[MORE] * MANY)
    bench.pump.ready(endless)
    with gevent.Timeout(PATIENCE):
        bench.pump.settle(0.05)
    assert endless.steps
    endless.steps = [EMPTY]


def test_a_pump_that_has_stopped_settles_too(bench: Bench) -> None:
    bench.pump.stop()
    with gevent.Timeout(PATIENCE):
        bench.pump.settle(0.05)
