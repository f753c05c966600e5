"""In which coding answers go out: part 7.1 of the behaviour specification."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from falcon.testing import TestClient
from hypothesis import given
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat_server.http.app import make_app
from istat_server.http.exchange.coding import DEFLATE, GZIP, NONE, choose
from istat_server.http.families.table import our_routes
from istat_server.http.openapi import described
from istat_server.http.rights import Rights
from istat_server.testing.memory import MemoryStore
from tests.http.application import NAMESPACES, Nobody, app_of, origins, tokens

UNPACK: dict[str, Callable[[bytes], bytes]] = {GZIP: gzip.decompress, DEFLATE: zlib.decompress}
T = 1325394000
LONG = f"/foo.bar?start={T}&end={T + 600}"


@pytest.mark.parametrize(("accepted", "coding"), [
    ("", NONE), ("gzip", GZIP), ("deflate", DEFLATE), ("gzip, deflate", GZIP), ("deflate, gzip", GZIP),
    ("gzip, deflate, br, zstd", GZIP), ("GZIP", GZIP), ("br", NONE), ("identity", NONE), ("identity, gzip", GZIP),
    ("gzip;q=0.5, identity", NONE), ("gzip;q=0.5, deflate", DEFLATE), ("gzip;q=0.5,deflate;q=0.5", GZIP),
    ("gzip;q=0", NONE), ("gzip;q=0, deflate;q=0", NONE), ("*", GZIP), ("*;q=0", NONE), ("gzip;q=0, *", DEFLATE),
    ("gzip;q=0.5, *", DEFLATE), ("deflate;q=0.5, *;q=0.5", GZIP), ("gzip;q=0.2, deflate;q=0.1, *", NONE),
    ("br, gzip;q=0.8", NONE), ("gzip ; q=1.0", GZIP), ("gzip;q = 0.5, identity;q=0.4", GZIP),
    # Hundredths count, and what is no number is none.
    ("gzip;q=0.991, identity;q=0.995", GZIP), ("gzip;q=0.001", NONE), ("gzip;q=x", NONE), ("gzip;q=-1", NONE),
    ("gzip;q=1e308", GZIP), ("gzip;q=nan", NONE), ("gzip;level=9", GZIP), (",,;", NONE),
])
def test_the_choice(accepted: str, coding: str) -> None:
    assert choose(accepted) == coding


@given(st.text(alphabet="gzipdeflate*;q=0.15, e-\t", max_size=60))
def test_any_header_has_a_choice(accepted: str) -> None:
    assert choose(accepted) in (GZIP, DEFLATE, NONE)


def store() -> MemoryStore:
    made = MemoryStore(clock=FakeClock(T + 900))
    for k in range(60):
        made.add("foo.bar", T + 10 * k, k)
    return made


@pytest.mark.parametrize("path", [LONG, "/api/v1/openapi.json", "/files/app.js", "/ui/app.js"])
@pytest.mark.parametrize("coding", [GZIP, DEFLATE])
def test_answers_say_how_they_are_packed(path: str, coding: str) -> None:
    client = TestClient(app_of(store(), FakeClock(T + 900)))
    plain = client.simulate_get(path)
    assert "content-encoding" not in plain.headers
    packed = client.simulate_get(path, headers={"Accept-Encoding": coding})
    assert packed.headers["content-encoding"] == coding
    assert "Accept-Encoding" in packed.headers["vary"]
    assert UNPACK[coding](packed.content) == plain.content
    assert int(packed.headers["content-length"]) == len(packed.content) < len(plain.content)


def test_short_answers_are_not_packed() -> None:
    client = TestClient(app_of(store(), FakeClock(T + 900)))
    for path in ("/health", "/no.such", "/?a=*"):
        answer = client.simulate_get(path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers
        assert answer.json


def test_nothing_is_packed_where_the_server_may_not() -> None:
    clock = FakeClock(T + 900)
    table = described([("istat_server.builtin", our_routes(store(), dict, Nobody(), str, clock,
                                                                  namespaces=NAMESPACES))])
    client = TestClient(make_app(table, Rights(tokens(), clock), origins(), packs=False))
    for path in (LONG, "/api/v1/openapi.json", "/files/app.js"):
        answer = client.simulate_get(path, headers={"Accept-Encoding": "gzip, deflate"})
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
