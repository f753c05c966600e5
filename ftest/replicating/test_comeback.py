"""An old master that comes back asks its replicas first; a master that was put back is told from the one it was."""
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ftest.harness.generator import Generator
from ftest.harness.replicas import assert_same, following, replica_of, running, server_of

pytestmark = pytest.mark.seconds(20)


def test_an_old_master_takes_nothing_from_its_first_moment_on(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    replica = replica_of(master, tmp_path / "two")
    with running(master, replica):
        with Generator("a", lambda: master.stat_port, seed=6) as load:
            load.wait_for(10)
            load.drain()
        assert_same(master, replica)
        master.kill9()
        replica.post("/api/v1/replica/promote", {})
        master.start()          # which ends when it is ready
        assert replica.url in master.get("/api/v1/status")["store"]["refusing"]
        assert "has taken this server's place" in master.log()
        master.send_tcp(b"late 1\n")
        master.wait_until(lambda: master.get("/api/v1/status")["refused"].get("store_refuses"), "it is refused")
        assert not master.get("/api/v1/names", match="late")["names"]


def test_a_master_that_was_put_back_is_copied_anew(tmp_path: Path) -> None:
    master = server_of(tmp_path / "one")
    replica = replica_of(master, tmp_path / "two")
    with running(master, replica):
        with Generator("a", lambda: master.stat_port, seed=7) as load:
            load.wait_for(10)
            load.drain()
            assert_same(master, replica)
        copies = following(replica)["copies"]
        master.terminate()
        shutil.copytree(tmp_path / "one", tmp_path / "kept")
        master.start()
        with Generator("b", lambda: master.stat_port, seed=8) as load:
            load.wait_for(10)
            load.drain()
            assert_same(master, replica)
        master.terminate()
        shutil.rmtree(tmp_path / "one")
        shutil.copytree(tmp_path / "kept", tmp_path / "one")
        master.start()
        with Generator("c", lambda: master.stat_port, seed=9) as load:
            load.wait_for(10)
            load.drain()
        assert_same(master, replica)
        assert following(replica)["copies"] > copies
