"""A site of istatd's sends to a real server of ours: its agent's batches, its scripts' lines; with ancestors too."""
from __future__ import annotations

import time
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ServerProcess

pytestmark = pytest.mark.seconds(15)
NOW = 1_325_395_000
PREAMBLE = b"#proto x 1 1\r\n#version Nov 21 2026 10:00:00\r\n#hostname db1\r\n"
# One batch of an agent's, with the digits that it has.
BATCH = (b"*e.f 1325395000 3\r\n"
         b"a.b 1325394990 100000 1e+10 100000 100000 1\r\n"
         b"a.b 1325395000 4 8.5 1.5 2.5 2\r\n"
         b"a.b 1325395010 8 64 8 8 1\r\n"
         b"g.h.1 1325395000 4 16 4 4 1\r\ng.r.2 1325395000 4 16 4 4 1\r\ng 1325395000 4 16 4 4 1\r\n")
SCRIPT = b"Foo.Bar 1325394000 5\r\nfoo.bar 1325394000 7.25\nfoo.bar 1325394030 1e3\nagg.x 1325394000 10 34 2 5 3\n"


def buckets(server: ServerProcess, name: str, start: int, end: int) -> list[tuple[int, float, int]]:
    """(time, sum, count) as istatd's request gives them."""
    found = server.get(f"/{name}", start=start, end=end, samples=0)["buckets"]
    return [(one["time"], one["data"]["sum"], one["data"]["count"]) for one in found]


def check(server: ServerProcess) -> None:
    assert buckets(server, "a.b", NOW - 10, NOW + 20) == [(NOW - 10, 100000, 1), (NOW, 4, 2), (NOW + 10, 8, 1)]
    assert buckets(server, "e.f", NOW, NOW + 10) == [(NOW, 0.3, 1)]
    assert [buckets(server, name, NOW, NOW + 10) for name in ("g.h.1", "g.r.2")] == [[(NOW, 4, 1)]] * 2
    assert buckets(server, "foo.bar", 1325394000, 1325394060) == [(1325394000, 12.25, 2), (1325394030, 1000, 1)]
    assert buckets(server, "agg.x", 1325394000, 1325394010) == [(1325394000, 10, 3)]


@pytest.mark.parametrize("rollup", [0, 1])
def test_an_agent_and_scripts_of_istatds(tmp_path: Path, rollup: int) -> None:
    with ServerProcess(tmp_path, fake_time=NOW, rollup=rollup) as server:
        agent = server.connect()
        agent.sendall(PREAMBLE + BATCH[:100])
        agent.sendall(BATCH[100:])              # a line may come in two pieces
        server.send_tcp(SCRIPT[:-1])            # its last line has no end: half of one, perhaps
        server.send_udp(b"agg.x 1325394000 10 34 2 5 3\n")
        server.wait_for_samples(11 + 10 * rollup)
        (row,) = [one for one in server.get("/", a="*")["agents"] if one.get("proto")]
        assert (row["hostname"], row["proto"], row["version"]) == ("db1", "x 1 1", "Nov 21 2026 10:00:00")
        check(server)
        time.sleep(0.5)                         # by then what was read is in the journal
        agent.close()
        server.restart(kill=True)
        check(server)
        if rollup:
            assert buckets(server, "foo", 1325394000, 1325394060) == [(1325394000, 12.25, 2), (1325394030, 1000, 1)]
            assert buckets(server, "e", NOW, NOW + 10) == [(NOW, 0.3, 1)]
            assert buckets(server, "g", NOW, NOW + 10) == [(NOW, 4, 1)], "g.h and g.r are the parents of what came"
            assert buckets(server, "g.h", NOW, NOW + 10) == [(NOW, 4, 1)]


def test_parents_that_are_made_are_listed_and_read(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, fake_time=NOW, environment={"ISTAT_SERVER_MAKE_PARENTS": "true"}) as server:
        server.send_udp(b"web.hits.host1 1325395000 5\n")
        server.wait_for_samples(1)
        assert [buckets(server, name, NOW, NOW + 10) for name in ("web.hits", "web")] == [[], []]
        assert {row["name"]: row["type"] for row in server.get("/", q="web*")["matching_names"]} == {
            "web": 2, "web.hits": 2, "web.hits.host1": 0}
