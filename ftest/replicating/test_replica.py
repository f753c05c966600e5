"""A replica has what its master has, bucket by bucket: over kills of both, falling behind, and all that changes."""
from __future__ import annotations

import random
import socket
import time
from pathlib import Path

import pytest
import requests

from ftest.harness.generator import Generator
from ftest.harness.replicas import (
    assert_same,
    everything,
    following,
    refused,
    replica_of,
    running,
    server_of,
)
from ftest.harness.serverprocess import ServerProcess

pytestmark = pytest.mark.seconds(100)


def caught_up(replica: ServerProcess) -> bool:
    """Whether it has all that its master has synced."""
    found = following(replica)
    return bool(found["following"]) and found["lag"] == 0


def test_it_copies_follows_and_refuses(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    with running(master):
        old = int(time.time()) - 1000
        master.send_tcp(b"".join(b"old.%d %d %d\n" % (number, old, number) for number in range(200)))
        master.wait_for_samples(200)
        replica = replica_of(master, tmp_path / "two")
        with running(replica):
            assert_same(master, replica)
            master.send_tcp(b"young.one 7\n*hits^host.a 3\nyoung.one 9\n")
            assert_same(master, replica)
            assert ("young.one", "gauge", "10s") in everything(replica)
            replica.wait_until(lambda: caught_up(replica), "it has caught up")
            sentence = f"this server is a replica of {master.url}: send and change there"
            assert replica.get("/api/v1/status")["store"]["refusing"] == sentence
            assert sentence in refused(replica, "/api/v1/delete", {"names": ["young.one"], "confirm": True})
            before = everything(replica)
            replica.send_tcp(b"young.one 1000\n")
            replica.wait_until(lambda: replica.refused().get("store_refuses"), "the line is refused")
            assert everything(replica) == before


def test_deletes_renames_undeletes_and_namespaces_travel(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    replica = replica_of(master, tmp_path / "two")
    with running(master, replica):
        master.send_tcp(b"a.one 1\na.two 2\na.three 3\n")
        assert_same(master, replica)
        master.post("/api/v1/delete", {"names": ["a.one", "a.two"], "confirm": True})
        assert_same(master, replica)
        assert {name for name, _kind, _level in everything(replica)} == {"a.three"}
        master.post("/api/v1/undelete", {"names": ["a.two"]})
        master.post("/api/v1/rename", {"from": "a.three", "to": "b.three", "confirm": True})
        master.send_tcp(b"a.one 11\na.three 33\nb.three 34\n")
        assert_same(master, replica)
        assert {name for name, _kind, _level in everything(replica)} == {"a.one", "a.two", "a.three", "b.three"}
        master.post("/api/v1/namespace", {"name": "board", "changes": {"title": "Ours"}})
        replica.wait_until(lambda: "board" in str(replica.get("/api/v1/namespaces")), "the namespace has come", 30.0)
        assert replica.get("/api/v1/namespace", name="board") == master.get("/api/v1/namespace", name="board")
        replica.restart()
        assert_same(master, replica)


def test_another_retention_of_the_master_makes_a_new_copy(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one", retention="10s:1h")
    replica = replica_of(master, tmp_path / "two", retention="10s:1h")
    with running(master, replica):
        master.send_tcp(b"a.one 1\n")
        assert_same(master, replica)
        master.options["retention"] = "10s:2h,1m:1d"
        master.restart()
        replica.wait_until(lambda: following(replica)["copies"] == 1, "it copied anew", 60.0)
        master.send_tcp(b"a.one 2\na.two 2\n")
        assert_same(master, replica)
        assert replica.get("/api/v1/status")["store"]["retention"].startswith("10s:2h")


def test_one_that_fell_behind_copies_anew_and_serves_the_old_until_then(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one", flush=1)
    replica = replica_of(master, tmp_path / "two")
    with running(master, replica):
        master.send_tcp(b"a.one 1\n")
        assert_same(master, replica)
        replica.kill9()
        answer = requests.delete(f"{master.url}/api/v1/replica/lease?name=second", timeout=10, **master.ask)
        assert answer.json() == {"ended": True}
        end = time.monotonic() + 60
        while not let_go(master):
            assert time.monotonic() < end, master.log()
            master.send_tcp(b"a.one 2\na.two 3\n")
            time.sleep(0.5)
        replica.start()
        assert_same(master, replica)
        replica.wait_until(lambda: following(replica)["copies"] == 1, "it copied anew", 30.0)
        assert_same(master, replica)


def let_go(master: ServerProcess) -> bool:
    """Whether the master holds nothing for a replica any more, and the journal from before is gone."""
    store = master.get("/api/v1/status")["store"]
    return not store["pins"] and store["replay_from"] > 4


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_of_both_at_any_moment(tmp_path: Path, kills: int) -> None:
    rng = random.Random(kills)
    master = server_of(tmp_path / "one")
    replica = replica_of(master, tmp_path / "two")
    with running(master, replica), Generator("a", lambda: master.stat_port, seed=kills) as load:
        for number in range(kills):
            load.wait_for(rng.randrange(5, 60))
            time.sleep(rng.random())
            (master if number % 4 == 3 else replica).restart(kill=True)
        load.drain()
        load.truth.check(master)
        assert_same(master, replica)
        load.truth.check(replica)
        replica.restart()
        load.truth.check(replica)


def test_a_replica_of_a_replica(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    middle = replica_of(master, tmp_path / "two", "middle")
    last = replica_of(middle, tmp_path / "three", "last")
    with running(master, middle, last), Generator("a", lambda: master.stat_port, seed=3) as load:
        load.wait_for(40)
        middle.restart(kill=True)
        load.wait_for(40)
        load.drain()
        assert_same(master, middle)
        assert_same(middle, last)
        load.truth.check(last)


def test_promoted_it_takes_over_and_the_old_one_is_fenced(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    replica = replica_of(master, tmp_path / "two")
    with running(master, replica):
        port = [master]
        with Generator("a", lambda: port[0].stat_port, seed=4) as load:
            load.wait_for(30)
            load.drain()
            assert_same(master, replica)
            master.kill9()
            assert replica.post("/api/v1/replica/promote", {}) == {"term": 1, "deposed": master.url}
            port[0] = replica
            load.truth.check(replica)
        with Generator("b", lambda: replica.stat_port, seed=5, truth=load.truth) as more:
            more.wait_for(20)
            more.drain()
            more.truth.check(replica)
        assert replica.get("/api/v1/status")["store"]["deposed"] == master.url
        master.start()
        master.wait_until(lambda: replica.url in master.get("/api/v1/status")["store"]["refusing"], "it is fenced",
                          60.0)
        assert replica.url in refused(master, "/api/v1/delete", {"names": ["x"], "confirm": True})
        replica.wait_until(lambda: not replica.get("/api/v1/status")["store"]["deposed"], "it has heard that")
        master.restart()
        assert replica.url in master.get("/api/v1/status")["store"]["refusing"]
        replica.restart()           # replica-of stands in its settings yet
        more.truth.check(replica)


def test_data_of_its_own_are_never_replaced(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    other = server_of(tmp_path / "two")
    with running(master):
        with running(other):
            other.send_tcp(b"mine 1\n")
            other.wait_for_samples(1)
        other.options["replica-of"] = master.url
        code, log = other.start_expecting_failure()
        assert code != 0 and "has data of its own, and cannot become a replica" in log


def test_the_first_copy_waits_for_a_master_that_is_away(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    replica = replica_of(master, tmp_path / "two")
    with running(master):
        master.send_tcp(b"a.one 1\n")
        master.wait_for_samples(1)
    replica._spawn()
    replica.wait_until(lambda: "there is no first copy of the master yet" in replica.log(), "it waits", 30.0)
    answer = requests.get(f"{replica.url}/api/v1/status", timeout=10, **replica.ask)
    assert answer.status_code == 503 and "copied from its master" in answer.json()["error"]
    with running(master):
        replica.wait_until(replica.healthy, "it serves its copy", 60.0)
        assert_same(master, replica)
    assert replica.terminate() == 0


def test_it_ends_at_once_while_it_copies(tmp_path: Path) -> None:
    """A master that never answers must not hold a stop of the service."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        master = server_of(tmp_path / "one", http_port=silent.getsockname()[1])
        replica = replica_of(master, tmp_path / "two")
        replica._spawn()
        replica.wait_until(lambda: "is copied into" in replica.log(), "it begins to copy", 30.0)
        assert replica.terminate() == 0         # not what it says when the master is given up
        replica.assert_no_traceback()
