"""Lines to the engine, and what it leaves over: new names, metadata, bad lines; with each build of the kernels."""
from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest

from istat import names
from istat.clock import FakeClock
from istat.kernels import Implementation
from istat.retention import Ladder
from istat_server.ingest.intake import Intake
from istat_server.mistakes import Mistakes
from istat_server.senders.sender import METADATA_BYTES, METADATA_KEYS, Sender
from istat_server.store.accepting import UNNAMED, Accepting
from istat_server.store.interface import Accepted
from istat_server.store.names.catalogue import Catalogue, Learned, Meaning
from istat_server.store.pool import InlinePool
from istat_server.store.statstore import StatStore

NOW = 1325395000
# The engine keeps the text of so many bad lines of one portion.
BAD_KEPT = 32


class Names(Catalogue):
    """A catalogue that writes down what it is to learn."""

    learnt: list[bytes]

    def meaning(self, wire: bytes) -> Meaning | Learned:
        self.learnt.append(wire)
        return super().meaning(wire)


class Keeper:
    """An engine and the names it knows, as a store has them, without files."""

    def __init__(self, kernels: Implementation, max_counters: int = 100) -> None:
        self.engine = kernels.engine.Engine([10], 7)
        self.engine.set_limits(NOW, NOW + 60, NOW + 10, [NOW - 864000])
        self.catalogue = Names(self.engine, max_counters, FakeClock(NOW), InlinePool(), InlinePool())
        self.catalogue.learnt = self.learnt = []
        self.accepting = Accepting(self.engine, self.catalogue)
        self.refusing = ""
        self.portions = 0

    def accept(self, view: memoryview, start: int, end: int) -> Accepted:
        self.portions += 1
        return self.accepting.lines(view, start, end)

    @property
    def names_refused(self) -> dict[str, int]:
        """Refusals that the engine does not count itself."""
        return {kind: self.accepting.totals().refused[kind] for kind in UNNAMED.values()}

    def values(self, name: bytes) -> list[tuple[int, int, float]]:
        """(time, count, sum) of the buckets of a counter."""
        (found,) = self.engine.collect([self.engine.counters.find(name)], 0, 0, 1 << 40)
        return [row[:3] for row in found.rows()]


class Feed:
    """An intake over a Keeper, with one sender."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.mistakes = Mistakes(FakeClock(NOW))
        self.sender = Sender("tcp", "192.0.2.7:4321", NOW)
        self.intake = Intake(keeper, self.mistakes)

    def __call__(self, text: bytes) -> int:
        return self.intake.feed(memoryview(text), 0, len(text), self.sender)

    @property
    def refused(self) -> dict[str, int]:
        """The mistakes that there were, by kind, without those that the engine counts."""
        noted = Counter(self.mistakes.counts) + Counter(self.keeper.names_refused)
        return {kind: count for kind, count in noted.items() if count}

    @property
    def tally(self) -> dict[str, int]:
        counts: dict[str, int] = self.keeper.engine.tally()
        return counts


@pytest.fixture
def feed(kernels: Implementation) -> Feed:
    return Feed(Keeper(kernels))


def test_samples_of_new_names_are_taken_whole_and_once(feed: Feed) -> None:
    text = b"cpu 1325394990 5\ncpu 1325394991 7\n*hits 1325394990 20\n"
    assert feed(text) == len(text)
    assert feed.keeper.values(b"cpu") == [(1325394990, 2, 12.0)]
    assert feed.keeper.values(b"hits") == [(1325394990, 1, 20.0)]
    assert (feed.tally["samples"], feed.tally["lines"], feed.tally["unknown"]) == (3, 3, 3)
    assert feed(b"cpu 1325394992 1\n") == 17
    assert feed.keeper.values(b"cpu") == [(1325394990, 3, 13.0)]
    assert feed.keeper.learnt == [b"cpu", b"cpu", b"*hits"], "a name that has a route is not asked for again"
    assert feed.refused == {}


def test_a_new_name_is_what_stands_before_any_white_space(feed: Feed) -> None:
    assert feed(b" \ta.b\x0b\x0c1\r\n") == 10
    assert feed.keeper.learnt == [b"a.b"]
    assert feed.keeper.values(b"a.b") == [(NOW, 1, 1.0)]


def test_a_caret_name_feeds_all_the_counters_that_it_means(feed: Feed) -> None:
    feed(b"req.time^host.web1^class.front 1325394990 4\n")
    assert feed.keeper.catalogue.count() == 2
    for name in (b"req.time.host.web1", b"req.time.class.front"):
        assert feed.keeper.values(name) == [(1325394990, 1, 4.0)]
    assert feed.tally["lines"] == 1


def test_known_and_new_names_in_one_portion_are_all_taken(feed: Feed) -> None:
    feed(b"old 1325394990 1\n")
    feed(b"old 1325394990 2\nnew 1325394990 3\nold 1325394990 4\n")
    assert feed.keeper.values(b"old") == [(1325394990, 3, 7.0)]
    assert feed.keeper.values(b"new") == [(1325394990, 1, 3.0)]


def test_an_unfinished_line_is_left_to_the_caller(feed: Feed) -> None:
    assert feed(b"a 1\nb 2") == 4
    assert feed(b"b 2") == 0
    assert feed.tally["samples"] == 1
    assert feed.keeper.engine.counters.find(b"b") < 0


def test_only_the_span_that_was_named_is_read(feed: Feed) -> None:
    text = b"before 1\na 1\nb 2\nafter 3\n"
    assert feed.intake.feed(memoryview(text), 9, 17, feed.sender) == 8
    assert feed.keeper.learnt == [b"a", b"b"]
    assert feed.intake.feed(memoryview(text), 9, 9, feed.sender) == 0


def test_the_store_waits_for_the_journal_after_each_portion(tmp_path: Path, clock: FakeClock,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(StatStore, "after_feed", lambda store: seen.append(store.engine.tally()["samples"]))
    store = StatStore.open(tmp_path, Ladder.parse("10s:1d"), clock)
    for text in (b"a 1\nb 2\n", b"a 3\n", b"no end"):
        store.accept(memoryview(text), 0, len(text))
    assert seen == [2, 3, 3]
    store.close()


def test_a_name_that_means_no_counter_is_counted_as_refused_and_told(feed: Feed,
                                                                     caplog: pytest.LogCaptureFixture) -> None:
    assert feed(b"* 1\n^ 1\na 1\n*^ 1325394990 1\n") == 28
    assert (feed.keeper.catalogue.count(), feed.tally["samples"], feed.refused) == (1, 1, {"no_name": 3})
    assert caplog.messages == [f"no_name from tcp 192.0.2.7:4321: '{line}'" for line in (
        "* 1", "^ 1", "*^ 1325394990 1")]


def test_names_beyond_max_counters_are_refused_and_the_rest_goes_on(kernels: Implementation,
                                                                    caplog: pytest.LogCaptureFixture) -> None:
    feed = Feed(Keeper(kernels, max_counters=2))
    feed(b"a 1\nb 2\nc 3\nc 4\na 5\n")
    assert feed.keeper.values(b"a") == [(NOW, 2, 6.0)]
    assert feed.keeper.engine.counters.find(b"c") < 0
    assert feed.refused == {"name_refused": 2}
    assert caplog.messages == ["name_refused from tcp 192.0.2.7:4321: 'c 3'",
                               "name_refused from tcp 192.0.2.7:4321: 'c 4'"]
    assert feed.tally["samples"] == 3


def test_a_name_that_is_too_long_is_refused(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    longest = b"n" * names.WIRE_NAME_ROOM
    feed(longest + b" 1\n" + longest + b"n 2\n")
    assert feed.refused == {"name_too_long": 1}
    assert feed.keeper.catalogue.count() == 1
    assert caplog.messages[0].startswith("name_too_long from tcp 192.0.2.7:4321: 'nnn")


def test_bad_lines_are_shown_with_their_kind_and_counted_by_the_engine_alone(
        feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    feed(b"a\na b\na inf\n@a 1\ngood 1\n")
    assert caplog.messages == [f"{kind} from tcp 192.0.2.7:4321: {line}" for kind, line in (
        ("bad_fields", "'a'"), ("bad_number", "'a b'"), ("not_finite", "'a inf'"),
        ("reserved", "'@a 1' (no name begins with @; write: a 1)"))]
    assert {kind: feed.tally[kind] for kind in ("bad_fields", "bad_number", "not_finite", "reserved")} == {
        "bad_fields": 1, "bad_number": 1, "not_finite": 1, "reserved": 1}
    assert feed.refused == {}, "they would be counted twice"
    assert feed.tally["samples"] == 1


def test_a_flood_of_bad_lines_is_counted_whole_and_keeps_no_new_name_out(feed: Feed,
                                                                         caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    feed(b"a\n" * (BAD_KEPT + 100) + b"late 1\n")
    assert feed.tally["bad_fields"] == BAD_KEPT + 100
    assert len(caplog.records) < BAD_KEPT
    assert feed.keeper.values(b"late") == [(NOW, 1, 1.0)]


def test_a_sender_is_told_with_all_that_was_refused_of_it_and_an_example(feed: Feed) -> None:
    feed(b"a 1\n" + b"a 17 1325395000\n" * 100)
    feed(b"late 1325395000123 5\n* 1\n")
    assert feed.sender.refused == {"from_past": 100, "from_future": 1, "no_name": 1}
    assert feed.tally["from_past"] == 100
    rows = {str(row["kind"]): row for row in feed.mistakes.complaints(9)}
    assert {kind: (row["count"], row["example"], row.get("meant")) for kind, row in rows.items()} == {
        "from_past": (100, "a 17 1325395000", "a 1325395000 17"),
        "from_future": (1, "late 1325395000123 5", "late 1325395000 5"), "no_name": (1, "* 1", "")}
    assert (rows["from_past"]["sender"], rows["from_past"]["address"]) == ("192.0.2.7", "192.0.2.7:4321")


def test_a_line_of_which_one_new_counter_takes_nothing_is_told_too(feed: Feed) -> None:
    feed(b"c^x 1\n")
    feed(b"*c^x^y %d 1\n" % (NOW + 30))     # a gauge may be so far ahead, a counter of events may not
    assert feed.sender.refused == {"from_future": 1}
    assert [row["example"] for row in feed.mistakes.complaints(9)] == [f"*c^x^y {NOW + 30} 1"]
    assert feed.keeper.values(b"c.x") == [(NOW, 1, 1.0), (NOW + 30, 1, 1.0)]
    assert feed.keeper.engine.counters.find(b"c.y") < 0


def test_the_log_says_what_was_probably_meant(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    feed(b"a 1\na 17 1325395000\n")
    assert caplog.messages == ["from_past from tcp 192.0.2.7:4321: 'a 17 1325395000' (the time stands behind the "
                               "value, as Graphite has it; write: a 1325395000 17)"]


def test_metadata_is_split_at_the_first_space(feed: Feed) -> None:
    text = b"#hostname  web1 in rack 7 \r\n#agent istat\n"
    assert feed(text) == len(text)
    assert feed.sender.metadata == {"hostname": "web1 in rack 7", "agent": "istat"}
    assert feed(b"#hostname web2\n") == 15
    assert feed.sender.metadata["hostname"] == "web2"
    assert (feed.refused, feed.tally["metadata"], feed.tally["samples"]) == ({}, 3, 0)


@pytest.mark.parametrize("line", [b"#", b"#hostname", b"# web1", b"#k " + b"v" * (METADATA_BYTES + 1)])
def test_metadata_that_cannot_be_kept_is_a_mistake(feed: Feed, caplog: pytest.LogCaptureFixture, line: bytes) -> None:
    feed(line + b"\n")
    assert feed.sender.metadata == {}
    assert feed.refused == {"bad_metadata": 1}
    assert caplog.messages[0].startswith(f"bad_metadata from tcp 192.0.2.7:4321: '{line[:100].decode()}")


def test_a_peer_may_tell_so_much_about_itself(feed: Feed) -> None:
    feed(b"".join(b"#k%d v\n" % number for number in range(METADATA_KEYS + 3)) + b"#k0 w\n")
    assert len(feed.sender.metadata) == METADATA_KEYS
    assert feed.sender.metadata["k0"] == "w"
    assert feed.refused == {"bad_metadata": 3}


def test_what_comes_while_the_store_refuses_is_counted_and_dropped(feed: Feed) -> None:
    feed.keeper.refusing = "the disk is full"
    assert feed(b"#hostname web1\n") == 15
    assert feed.refused == {}, "what a sender says of itself is no sample"
    assert feed(b"#agent web1\na 1\n#hostname web1\nc 2\nb") == 35
    assert feed.refused == {"store_refuses": 2}
    assert feed.sender.refused == {"store_refuses": 2}
    assert feed(b"no end") == 0
    assert feed.refused == {"store_refuses": 2}, "its beginning is not a line yet"
    assert (feed.tally["lines"], feed.sender.metadata, feed.keeper.portions) == (0, {}, 0)
    feed.keeper.refusing = ""
    assert feed(b"a 1\n") == 4
    assert feed.keeper.values(b"a") == [(NOW, 1, 1.0)]
    assert feed.refused == {"store_refuses": 2}


def test_a_deleted_counter_is_made_anew_by_its_next_sample(clock: FakeClock, tmp_path: Path) -> None:
    store = StatStore.open(tmp_path, Ladder.parse("10s:1d"), clock)
    sender, intake = Sender("udp", "192.0.2.7:1", 0), Intake(store, Mistakes(clock))

    def take(text: bytes) -> None:
        assert intake.feed(memoryview(text), 0, len(text), sender) == len(text)

    take(b"a 1\nb 1\n")
    first = store.find(b"a")
    assert first is not None
    store.delete([first.id])
    take(b"b 2\na 3\n")
    second = store.find(b"a")
    assert second is not None and second.id != first.id
    (rows,) = store.select([second.id], 0, NOW - 100, NOW + 100)
    assert [row[:3] for row in rows.rows()] == [(NOW, 1, 3.0)]
    store.close()
