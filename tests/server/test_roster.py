"""The list of senders: what it shows, what it bounds, whom it forgets first."""
from __future__ import annotations

import tracemalloc

from istat.clock import FakeClock
from istat_server.roster import FORGET_SECONDS, Roster, address_of
from istat_server.senders.blacklist import Blacklist
from istat_server.senders.sender import METADATA_ALWAYS, METADATA_KEYS, METADATA_TOTAL

V4 = b"\x1f\xaf" + bytes([10, 0, 0, 7])


def key(number: int) -> bytes:
    return number.to_bytes(2, "big") + bytes([10, 0, 0, 7])


def rows(roster: Roster) -> list[dict[str, object]]:
    return [roster.row(sender) for sender in roster.senders()]


def test_addresses_of_senders() -> None:
    assert address_of(V4) == "10.0.0.7:8111"
    assert address_of(b"\x00\x01" + bytes(15) + b"\x01") == "[::1]:1"


def test_an_agent_is_shown_by_what_it_says_about_itself() -> None:
    clock = FakeClock(1_700_000_000)
    roster = Roster(clock)
    sender = roster.from_udp(V4, 100)
    sender.meta(b"#hostname", b" db1 ")
    sender.meta("version", "0.1")
    clock.advance(20)
    assert rows(roster) == [{
        "name": "db1", "address": "10.0.0.7:8111", "version": "0.1", "last_seen": 1_700_000_000.0,
        "online": True, "transport": "udp", "bytes": 100, "metadata": {"hostname": "db1", "version": "0.1"},
        "refused": {}, "failing": [], "blacklisted": False, "via": None}]
    assert [roster.istatd_row(one) for one in roster.senders()] == [{
        "hostname": "db1", "version": "0.1", "_peer": "10.0.0.7:8111", "_online": True,
        "_connected": "2023-11-14T22:13:20Z", "_idle": 20}]
    clock.advance(200)
    assert [row["online"] for row in rows(roster)] == [False]
    assert roster.online() == 0


def test_metadata_is_bounded() -> None:
    sender = Roster(FakeClock()).connected("tcp", "10.0.0.7:1")
    for i in range(METADATA_KEYS):
        assert sender.meta(f"key{i}", "value")
    assert not sender.meta("one more", "value")
    assert sender.meta("key0", "newer")
    assert not sender.meta("key1", "x" * 257)
    assert (sender.metadata["key0"], sender.metadata["key1"], sender.metadata_refused) == ("newer", "value", 2)


def test_collectors_that_fail_are_told_until_they_work_again() -> None:
    sender = Roster(FakeClock()).connected("tcp", "10.0.0.7:1")
    for key, value in (("agent", "web1"), ("failing", "2"), ("failing.1", "1325394000 exec:check_x: no: such file"),
                       ("failing.2", "1325393000 : disk: not run")):
        assert sender.meta(key, value)
    first = {"agent": "web1", "collector": "exec:check_x", "why": "no: such file", "since": 1325394000}
    assert sender.failing() == [
        first, {"agent": "web1", "collector": "", "why": "disk: not run", "since": 1325393000}]
    sender.meta("failing", "1")
    assert sender.failing() == [first]
    sender.meta("failing", "0")
    assert (sender.failing(), sender.metadata) == ([], {"agent": "web1", "failing": "0"})
    for odd in ("-1", "1e9", "\u0663", "9" * 40, ""):
        sender.meta("failing", odd)
        assert sender.failing() == []
    sender.meta("failing", "31")
    sender.meta("failing.1", "no words")
    assert sender.failing() == []


def test_what_fails_is_bounded_as_other_metadata_are() -> None:
    roster = Roster(FakeClock())
    sender = roster.connected("tcp", "10.0.0.7:1")
    for _ in range(3):
        sender.meta("failing", "999999")
        taken = [sender.meta(f"failing.{place}", "1 a: " + "x" * 240) for place in range(1, 60)]
        assert taken.count(True) == METADATA_KEYS - 1
        assert len(sender.failing()) == METADATA_KEYS - 1
        sender.meta("failing", "0")
    other = roster.connected("tcp", "10.0.0.8:1")
    told = 0
    while other.meta(f"k{told % METADATA_KEYS}{told}"[:METADATA_KEYS], "x"):
        told += 1
    assert told == METADATA_KEYS, "what was told before is not counted any more"


def test_failing_collectors_of_all_agents_that_are_there() -> None:
    clock = FakeClock(1000)
    roster = Roster(clock)
    assert roster.failing() == []
    for port, fails in ((1, True), (2, True), (3, False)):
        sender = roster.from_udp(key(port), 10)
        sender.meta("agent", f"web{port}")
        if fails:
            sender.meta("failing", "1")
            sender.meta("failing.1", "900 cpu: broken")
    assert [row["agent"] for row in roster.failing()] == ["web1", "web2"]
    clock.advance(100)
    again = roster.from_udp(key(9), 10)         # web1 was started again: another port
    again.meta("agent", "web1")
    assert [row["agent"] for row in roster.failing()] == ["web2"]
    clock.advance(100)
    assert roster.failing() == [], "it is not there any more"


def test_a_host_that_came_back_hides_its_gone_selves() -> None:
    clock = FakeClock(1000)
    roster = Roster(clock)
    for port in (1, 2, 3):
        sender = roster.connected("tcp", f"10.0.0.7:{port}")
        sender.meta("hostname", "web1")
        clock.advance(10)
        if port < 3:
            roster.disconnected(sender)
    assert [(row["address"], row["online"]) for row in rows(roster)] == [("10.0.0.7:3", True)]


def test_an_agent_that_was_started_again_is_shown_once() -> None:
    clock = FakeClock(1000)
    roster = Roster(clock)
    for port in (1, 2, 3):
        roster.from_udp(key(port), 100).meta("agent", "web1")
        clock.advance(10)
    assert [row["address"] for row in rows(roster)] == ["10.0.0.7:3"]


def test_two_agents_of_one_name_that_both_send_are_both_shown() -> None:
    clock = FakeClock(1000)
    roster = Roster(clock)
    for port in (1, 2, 1, 2):
        roster.from_udp(key(port), 100).meta("agent", "web1")
        clock.advance(10)
    assert [row["address"] for row in rows(roster)] == ["10.0.0.7:2", "10.0.0.7:1"]


def test_the_longest_gone_make_place_and_the_online_ones_stay() -> None:
    clock = FakeClock(1000)
    roster = Roster(clock, limit=3)
    stays = roster.connected("tcp", "10.0.0.1:1")
    for host in (2, 3):
        roster.disconnected(roster.connected("tcp", f"10.0.0.{host}:1"))
    roster.from_udp(key(1), 5)
    assert {row["address"] for row in rows(roster)} == {"10.0.0.1:1", "10.0.0.3:1", "10.0.0.7:1"}
    roster.from_udp(key(2), 5)
    shared = roster.from_udp(key(3), 5)
    assert shared.address == "(other senders)"
    assert (len(roster), roster.unlisted) == (3, 1)
    clock.advance(200)      # UDP senders are offline by now, the connection is not
    assert roster.from_udp(key(3), 5).address == "10.0.0.7:3"
    assert stays.connected
    assert "10.0.0.1:1" in {row["address"] for row in rows(roster)}


def test_gone_peers_are_forgotten_after_a_day() -> None:
    clock = FakeClock(1000)
    roster = Roster(clock)
    roster.disconnected(roster.connected("tcp", "10.0.0.1:1"))
    roster.from_udp(V4, 1)
    clock.advance(90_001)
    assert rows(roster) == []
    assert len(roster) == 0


def test_what_is_told_is_bounded_by_the_memory_it_takes() -> None:
    """Many short texts took thirty times what they had in bytes of UTF-8, wide ones four times."""
    roster, senders = Roster(FakeClock(1_700_000_000)), 3000
    narrow, wide = b"v" * 20, "\U0001f600".encode() + b"v" * 20
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        told = [roster.from_udp(key(number), 1) for number in range(senders)]
        plain = tracemalloc.get_traced_memory()[0] - before
        for number, sender in enumerate(told):
            for one in range(METADATA_KEYS):
                sender.meta(b"%d.k" % one, b"%d" % (one + 10) if number % 2 else (wide if one % 2 else narrow))
        took = tracemalloc.get_traced_memory()[0] - before - plain
    finally:
        tracemalloc.stop()
    assert took < 1.1 * (METADATA_TOTAL + senders * METADATA_ALWAYS // 2), "who came before the total was full has more"
    assert roster._common.bytes * 0.8 < took < roster._common.bytes * 1.2


def test_what_all_senders_tell_is_bounded_together_and_goes_with_them() -> None:
    """Datagrams of forged addresses: 10,000 senders with all that each may tell would be 160 MB."""
    clock = FakeClock(1_700_000_000)
    roster = Roster(clock, limit=2000)

    def tell(number: int) -> int:
        sender = roster.from_udp(key(number), 1)
        return sum(sender.meta(b"k%d" % one, b"x" * 256) for one in range(METADATA_KEYS))

    taken = [tell(number) for number in range(2000)]
    assert taken[0] == METADATA_KEYS and 1 < taken[-1] < 8
    assert roster._common.bytes <= METADATA_TOTAL + 2000 * METADATA_ALWAYS
    assert roster.from_udp(key(0), 1).meta(b"k0", b"shorter"), "what makes no more of it is taken"
    honest = roster.connected("tcp", "10.0.0.9:1")
    assert honest.meta(b"hostname", b"web1") and honest.meta(b"agent", b"web1.example.org"), "whoever filled it"
    roster.disconnected(honest)
    clock.advance(FORGET_SECONDS + 1)
    rows(roster)
    assert roster._common.bytes == 0
    assert [tell(number) for number in range(5000, 5100)] == [METADATA_KEYS] * 100
    for number in range(3000):
        connection = roster.connected("tcp", f"10.1.0.1:{number}")
        assert connection.meta(b"key", b"value")
        roster.disconnected(connection)
    assert roster._common.bytes == sum(sender._own for sender in roster._everyone()) > 0


def test_who_is_told_of_by_a_forwarder_is_shown_with_it_and_goes_with_it() -> None:
    clock = FakeClock(1_700_000_000)
    roster = Roster(clock)
    forwarder = roster.connected("tls", "10.0.0.1:4000")
    forwarder.meta("hostname", "relay1")
    told = roster.origin(forwarder, "10.1.0.7:5000")
    told.meta("hostname", "db1")
    clock.advance(30)
    assert roster.origin(forwarder, "10.1.0.7:5000") is told
    shown = {str(row["name"]): row for row in rows(roster)}
    assert shown["db1"]["via"] == "relay1" and shown["relay1"]["via"] is None
    assert (shown["db1"]["address"], shown["db1"]["online"], shown["db1"]["last_seen"]) == (
        "10.1.0.7:5000", True, clock.now())
    assert roster.istatd_row(told)["_via"] == "relay1"
    roster.disconnected(forwarder)
    assert [row["online"] for row in rows(roster)] == [False, False]
    again = roster.connected("tls", "10.0.0.1:4001")
    roster.origin(again, "10.1.0.7:5000").meta("hostname", "db1")
    assert [row["online"] for row in rows(roster) if row["name"] == "db1"] == [True], "its gone self is hidden"


def test_those_told_of_have_their_place_in_the_bounds() -> None:
    roster = Roster(FakeClock(), limit=3)
    forwarder = roster.connected("tcp", "10.0.0.1:1")
    for number in range(5):
        roster.origin(forwarder, f"host{number}").meta("hostname", f"host{number}")
    assert (len(roster), roster.unlisted) == (3, 3)


def test_a_forwarder_is_not_barred_for_whom_it_tells_of() -> None:
    roster = Roster(FakeClock())
    roster.blacklist.become(Blacklist(["db1"]))
    forwarder = roster.connected("tcp", "10.0.0.1:1")
    roster.origin(forwarder, "db1").meta("hostname", "db1")
    assert not any(row["blacklisted"] for row in rows(roster))


def test_those_without_a_place_are_barred_by_address_and_never_for_what_another_said() -> None:
    roster = Roster(FakeClock(), limit=1)
    roster.blacklist.become(Blacklist(["10.0.0.9", "db1"]))
    roster.connected("tcp", "10.0.0.1:1")
    listed = roster.from_udp(b"\x00\x01" + bytes([10, 0, 0, 9]), 5)
    other = roster.from_udp(key(1), 5)
    other.meta("hostname", "db1")
    assert listed.barred and not other.barred
    assert roster.from_udp(key(2), 5) is other and not other.barred


def test_a_machine_that_is_barred_again_and_again_has_one_entry() -> None:
    roster = Roster(FakeClock())
    roster.blacklist.become(Blacklist(["db1"]))
    for port in range(5):
        sender = roster.connected("tcp", f"10.0.0.7:{port}")
        sender.meta("hostname", "db1")
        roster.disconnected(sender)
    assert len(roster) == 1
    roster.purge(0, -1)
    assert len(roster) == 0
    sender = roster.connected("tcp", "10.0.0.7:9")
    sender.meta("hostname", "db1")
    roster.disconnected(sender)
    assert [row["blacklisted"] for row in rows(roster)] == [True]
