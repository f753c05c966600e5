"""Whose word on a metric holds, and what hostile senders can and cannot do."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from istat.clock import FakeClock
from istat.declared.pages import Kept, decode, encode
from istat.metrics import Metric
from istat_server.declared import declared as bounds
from istat_server.declared.declared import Declared
from istat_server.mistakes import Mistakes
from istat_server.roster import FORGET_SECONDS, Roster, Sender

OWN = [Metric("istatd.counters", "counters", "how many"), Metric("istatd.refused.<kind>", "", "by kind", event=True)]


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock(1_000_000)
        self.mistakes, self.roster = Mistakes(self.clock), Roster(self.clock)
        self.declared = Declared(self.clock, self.mistakes, OWN, "istatd.")
        self.news: list[bytes] = []
        self.declared.news = self.news.append
        self.sender = self.tcp(7)

    def tcp(self, number: int) -> Sender:
        return self.roster.connected("tcp", f"10.0.0.{number}:99")

    def udp(self, number: int) -> Sender:
        return Sender("udp", f"10.1.{number // 250}.{number % 250}:99", self.clock.now())

    def say(self, text: str, sender: Sender | None = None) -> None:
        self.declared.take(text.encode(), sender or self.sender)

    def count(self, what: str) -> float:
        return self.declared.totals()[f"declared.{what}"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(bounds, "MOST_NAMES", 40)
    monkeypatch.setattr(bounds, "MOST_OF_ONE", 10)
    monkeypatch.setattr(bounds, "MOST_UDP", 20)
    monkeypatch.setattr(bounds, "MOST_BYTES", 4000)
    yield Bench()


def test_what_is_declared_is_told_of_counters(bench: Bench) -> None:
    bench.say('cpu.user {"unit":"%","help":"time of programs","link":"https://example.net/cpu"}')
    bench.say('disk.<device>.reads {"kind":"event"}')
    assert bench.declared.find("cpu.user.host.web1") == Metric("cpu.user", "%", "time of programs",
                                                               link="https://example.net/cpu")
    found = bench.declared.find("disk.sda.reads.host.web1.class.db")
    assert found is not None and found.kind == "event"
    assert bench.declared.find("cpu.idle") is None
    assert [metric.name for metric in bench.declared.all()] == [
        "cpu.user", "disk.<device>.reads", "istatd.counters", "istatd.refused.<kind>"]
    assert len(bench.news) == 2 and b"".join(bench.news) == bench.declared.lines()


def test_the_same_again_is_no_news_whoever_says_it_and_however(bench: Bench) -> None:
    for number, text in enumerate(['a {"unit":"s"}', 'a {"unit":"s"}', 'a  { "unit": "s" } ', '*A {"unit":"s","x":1}']):
        bench.say(text, bench.tcp(number))
    assert len(bench.news) == 1 and (bench.count("changed"), bench.count("metrics")) == (1, 1)
    assert bench.declared.number == 1


def test_the_latest_of_two_that_differ_holds(bench: Bench) -> None:
    bench.say('disk.<device>.used {"unit":"bytes"}')
    gone: list[bytes] = []
    bench.declared.gone = gone.append
    bench.say('disk.<disk>.used {"unit":"MB"}', bench.tcp(8))
    assert gone == [b"disk.<device>.used"]
    found = bench.declared.find("disk.sda.used")
    assert found == Metric("disk.<disk>.used", "MB", "") and bench.count("metrics") == 1
    assert bench.declared.lines() == b'#metric disk.<disk>.used {"unit":"MB"}\n'
    assert bench.count("bytes") == len('disk.<disk>.used {"unit":"MB"}')


def test_two_that_take_turns_change_it_now_and_then_only(bench: Bench) -> None:
    versions = ('a {"unit":"s"}', 'a {"unit":"ms"}')
    for number in range(1000):
        bench.say(versions[number % 2])
    assert bench.count("changed") == 6 and len(bench.news) == 6 and bench.count("refused") == 497
    bench.clock.advance(600)
    for number in range(10):
        bench.say(versions[number % 2])
    assert bench.count("changed") == 7
    bench.clock.advance(7200)
    bench.say('a {"unit":"us"}')
    found = bench.declared.find("a")
    assert found is not None and found.unit == "us"


def test_nobody_says_what_the_servers_own_are(bench: Bench) -> None:
    own = bench.declared.find("istatd.refused.bad_number")
    assert own == OWN[1]
    bench.say('istatd.counters {"help":"buy this"}')
    bench.say('istatd.refused.<k> {"help":"buy this"}')
    bench.say('istatd.refused.bad_number {"help":"buy this"}')
    bench.say('istatd {"help":"buy this"}')
    assert bench.declared.find("istatd.refused.bad_number") == OWN[1]
    assert bench.declared.find("istatd.other") is None
    assert bench.count("refused") == 3 and len(bench.news) == 1
    bench.say('istatd.counters {"unit":"counters","help":"how many"}')
    assert bench.count("refused") == 3


def test_what_cannot_be_read_is_counted_and_shown_with_who_said_it(bench: Bench) -> None:
    for text in ("", "a", "a {", 'a {"kind":"x"}', "<x> {}", 'b {"link":"javascript:1"}', "c " + "x" * 5000):
        bench.say(text)
    assert bench.count("refused") == 7 and bench.mistakes.counts["bad_metadata"] == 7
    assert bench.sender.refused == {"bad_metadata": 7}
    assert bench.count("metrics") == 0 and bench.news == []


def test_one_sender_has_its_share_and_pushes_nobody_out(small: Bench, caplog: pytest.LogCaptureFixture) -> None:
    small.say('mine {"unit":"s"}', small.tcp(1))
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            small.say(f"flood{number} {{}}", small.tcp(2))
    assert small.count("metrics") == 11 and small.count("refused") == 90
    assert "there is no room for what 'tcp 10.0.0.2' declares of metrics: 11 names of 40" in caplog.text
    small.say("other {}", small.tcp(3))
    assert small.declared.find("mine.host.a") and small.declared.find("other")


def test_forged_addresses_take_half_of_the_room(small: Bench) -> None:
    for number in range(200):
        small.say(f"forged{number} {{}}", small.udp(number))
    assert small.count("metrics") == 20
    for number in range(30):
        small.say(f"real{number} {{}}", small.tcp(number))
    assert small.count("metrics") == 40 and small.declared.find("real19") and not small.declared.find("real20")


def test_what_one_sender_kept_before_a_restart_counts_as_its_own_after_it(small: Bench) -> None:
    for number in range(10):
        small.say(f"before{number} {{}}")
    after = Declared(small.clock, small.mistakes, OWN, "istatd.")
    assert after.load(decode(encode(small.declared.kept())).kept) == 0
    after.take(b"more {}", small.sender)
    assert after.find("more") is None and after.totals()["declared.refused"] == 1
    after.take(b"more {}", small.tcp(8))
    assert after.find("more") is not None


def test_one_sender_and_forged_ones_leave_shapes_of_names_for_others(bench: Bench) -> None:
    for number in range(300):
        bench.say(f"mine.p{number}<n> {{}}")
        bench.say(f"forged.q{number}<n> {{}}", bench.udp(number))
    assert bench.count("metrics") == bounds.MOST_SHAPES_OF_ONE + bounds.MOST_SHAPES_UDP
    bench.say("forged.plain {}", bench.udp(1))
    bench.say("forged.q0<same> {\"unit\":\"s\"}", bench.udp(1))
    assert bench.count("changed") == 151
    bench.say("mine.p0<number>.deeper {}", bench.tcp(8))
    assert not bench.declared.find("forged.plain") and bench.declared.find("mine.p05.deeper")
    bench.clock.advance(FORGET_SECONDS + 1)
    bench.say("mine.q<n> {}")
    assert bench.count("metrics") == 1 and bench.declared.find("mine.q7")


def test_thousands_that_nobody_tells_any_more_go_by_portions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SWEPT_AT_ONCE", 100)
    for number in range(250):
        bench.say(f"old{number} {{}}")
    bench.clock.advance(FORGET_SECONDS + 1)
    monkeypatch.setattr(bounds, "MOST_NAMES", 10)
    for number, left in enumerate((150, 50, 1, 2, 3)):
        bench.say(f"new{number} {{}}")
        assert bench.count("metrics") == left
    assert {metric.name for metric in bench.declared.all()} >= {"new2", "new3", "new4"}


def test_all_together_have_so_many_bytes_changes_included(small: Bench) -> None:
    for number in range(20):
        small.say(f'big{number} {{"help":"{"h" * 380}"}}', small.tcp(number))
    assert 3500 < small.count("bytes") <= 4000
    small.say("little {}", small.tcp(99))
    small.say(f'little {{"help":"{"h" * 380}"}}', small.tcp(99))
    found = small.declared.find("little")
    assert found is not None and found.help == "" and small.count("bytes") <= 4000


def test_what_nobody_tells_for_a_day_makes_room_and_what_is_told_does_not(small: Bench) -> None:
    for number in range(10):
        small.say(f"old{number} {{}}")
    small.clock.advance(FORGET_SECONDS / 2)
    small.say("old3 {}")
    small.clock.advance(FORGET_SECONDS / 2 + 1)
    gone: list[bytes] = []
    small.declared.gone = gone.append
    number = small.declared.number
    small.say("new {}")
    assert small.declared.number == number + 2, "what went is written down as gone, even if nothing came in its place"
    assert sorted(gone) == [b"old%d" % number for number in range(10) if number != 3]
    assert {metric.name for metric in small.declared.all()} == {"new", "old3", *(metric.name for metric in OWN)}
    assert small.count("metrics") == 2 and small.count("bytes") == len("new {}old3 {}")


def test_a_replica_takes_what_its_master_has_and_nothing_of_senders(bench: Bench) -> None:
    bench.say("gone {}")
    bench.say("stays {}")
    bench.declared.read_only = lambda: "this server is a replica"
    bench.say("mine {}")
    turns: list[int] = []
    many = [Kept("batches a", f"m{number} {{}}".encode()) for number in range(500)]
    bench.declared.replace([Kept("tcp 10.0.0.7", b"stays {}"), Kept("x", b"no declaration"), *many],
                           lambda: turns.append(1))
    assert bench.count("metrics") == 501 and len(turns) == 2
    assert bench.declared.find("stays") and bench.declared.find("m499")
    assert not bench.declared.find("gone") and not bench.declared.find("mine")
    number = bench.declared.number
    bench.declared.replace(bench.declared.kept())
    assert bench.declared.number == number
    bench.declared.replace([], lambda: turns.append(1))
    assert bench.count("metrics") == 0 and len(turns) == 4 and bench.declared.number == number + 501


def test_ten_thousand_agents_that_declare_the_same_change_nothing(bench: Bench) -> None:
    changes: list[int] = []
    bench.declared.changed = lambda: changes.append(1)
    lines = [f'plugin.m{number} {{"unit":"s","kind":"gauge","help":"what it is"}}'.encode() for number in range(200)]
    for number in range(100):       # the work of each is the same
        sender = bench.udp(number)
        for line in lines:
            bench.declared.take(line, sender)
    assert len(changes) == 200 == bench.count("metrics") == len(bench.news)
