"""Who is at the other end of a socket."""

from __future__ import annotations

import pytest

from istat.daemon.peers import household, in_words


@pytest.mark.parametrize(("host", "found"), [
    ("192.0.2.7", "192.0.2.7"), ("127.8.9.1", "127.8.9.1"), ("::ffff:192.0.2.7", "192.0.2.7"), ("::1", "::/64"),
    ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"), ("2001:db8:0:1::2", "2001:db8:0:1::/64"),
    ("2001:db8:0:2::2", "2001:db8:0:2::/64"), ("fe80::1%eth0", "fe80::1"), ("fe80::2%eth0", "fe80::2"),
])
def test_what_counts_as_one(host: str, found: str) -> None:
    assert household((host, 5)) == found


@pytest.mark.parametrize("address", ["", b"", None, ()])
def test_sockets_without_addresses_are_one(address: object) -> None:
    assert household(address) == ""


def test_addresses_in_words() -> None:
    assert [in_words(one) for one in (("192.0.2.7", 5), ("2001:db8::1", 5, 0, 0), b"")] == [
        "192.0.2.7:5", "[2001:db8::1]:5", "a Unix socket"]
