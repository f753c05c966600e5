"""Places of connections: a share for each address, and who makes room."""
from __future__ import annotations

import pytest

from istat_server.ingest.places import LOOPBACK, Places, address_of


def test_who_is_silent_longest_comes_first() -> None:
    places: Places[str] = Places(3, 2)
    for name in "abc":
        places.take(name, "10.0.0.1" if name < "c" else "10.0.0.2")
    assert places.full and places.has_share("10.0.0.1") and not places.has_share("10.0.0.2")
    places.heard("a")
    assert (places.silent_longest(), list(places), len(places), "b" in places) == ("b", ["b", "c", "a"], 3, True)
    assert places.leave("b") and not places.leave("b")
    assert not places.full and not places.has_share("10.0.0.1")
    places.leave("a")
    places.leave("c")
    assert not places._of, "an address without connections is forgotten"


@pytest.mark.parametrize(("host", "counts_as"), [
    ("192.0.2.7", "192.0.2.7"), ("127.0.0.1", LOOPBACK), ("127.8.9.1", LOOPBACK), ("::1", LOOPBACK),
    ("::ffff:192.0.2.7", "192.0.2.7"), ("::ffff:127.0.0.1", LOOPBACK),
    ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"), ("2001:db8:0:1::2", "2001:db8:0:1::/64"),
    ("2001:db8:0:2::2", "2001:db8:0:2::/64"), ("fe80::1%eth0", "fe80::1"), ("fe80::2%eth0", "fe80::2"),
])
def test_what_counts_as_one_address(host: str, counts_as: str) -> None:
    assert address_of((host, 5)) == counts_as
