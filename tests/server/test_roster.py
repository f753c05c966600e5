"""The list of senders: what it shows, what it bounds, whom it forgets first."""
from __future__ import annotations

from istat.clock import FakeClock
from istat_server.roster import FORGET_SECONDS, METADATA_ALWAYS, METADATA_KEYS, METADATA_TOTAL, Roster, address_of

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
        "online": True, "transport": "udp", "bytes": 100, "metadata": {"hostname": "db1", "version": "0.1"}}]
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


def test_what_all_senders_tell_is_bounded_together_and_goes_with_them() -> None:
    """Datagrams of forged addresses: 10,000 senders with all that each may tell would be 160 MB."""
    clock = FakeClock(1_700_000_000)
    roster = Roster(clock, limit=2000)

    def tell(number: int) -> int:
        sender = roster.from_udp(key(number), 1)
        return sum(sender.meta(b"k%d" % one, b"x" * 256) for one in range(METADATA_KEYS))

    taken = [tell(number) for number in range(2000)]
    assert (taken[0], taken[-1]) == (METADATA_KEYS, 1)
    assert roster._told.bytes <= METADATA_TOTAL + 2000 * METADATA_ALWAYS
    assert roster.from_udp(key(0), 1).meta(b"k0", b"shorter"), "what makes no more of it is taken"
    honest = roster.connected("tcp", "10.0.0.9:1")
    assert honest.meta(b"hostname", b"web1") and honest.meta(b"agent", b"web1.example.org"), "whoever filled it"
    roster.disconnected(honest)
    clock.advance(FORGET_SECONDS + 1)
    rows(roster)
    assert roster._told.bytes == 0
    assert [tell(number) for number in range(5000, 5100)] == [METADATA_KEYS] * 100
    for number in range(3000):
        connection = roster.connected("tcp", f"10.1.0.1:{number}")
        assert connection.meta(b"key", b"value")
        roster.disconnected(connection)
    assert roster._told.bytes == sum(sender._own for sender in roster._everyone()) > 0
