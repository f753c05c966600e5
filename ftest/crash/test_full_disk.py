"""A full disk: samples are refused with a reason, all goes on by itself once there is space, nothing is lost."""
from __future__ import annotations

import os
import subprocess
import time

import pytest
import requests

from ftest.harness.serverprocess import ServerProcess

pytestmark = pytest.mark.seconds(10)
NOW = 1325395000
DISK = "6m"
SAFE = 0.3      # [s] after this what was taken is in the journal: the store's 100 ms, and a loaded machine's
LINE = b"tick 1325394000 1\n"


@pytest.fixture
def disk(tmp_path):
    """A disk of a few MB; needs root."""
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(where)],
                          capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no disk of our own can be mounted here: {made.stderr.strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill(path):
    with open(path, "wb", buffering=0) as ballast:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    ballast.write(b"\0" * size)
            except OSError:
                continue


def reserved(server):
    return server.get("/api/v1/status")["store"]["reserve_bytes"]


def refusing(server):
    return server.get("/api/v1/status")["store"]["refusing"]


def count(server):
    body = {"names": ["tick"], "from": NOW - 1000, "to": NOW - 990, "columns": ["count"]}
    found = server.post("/api/v1/series", body)["series"]
    return found[0]["count"][0] or 0 if found else 0


class Sender:
    def __init__(self, server):
        self.server = server
        self.sent = 0

    def send(self, names=False):
        """A thousand samples; with `names`, each brings a new counter as well."""
        text = b"".join(LINE + (b"new.%d 1\n" % (self.sent + at) if names else b"") for at in range(1000))
        self.server.send_tcp(text)
        self.sent += 1000


@pytest.mark.parametrize("names", [False, True])
def test_a_full_disk_and_space_again(tmp_path, disk, names):
    with ServerProcess(tmp_path, store=disk / "store", fake_time=NOW, flush=1) as server:
        sender = Sender(server)
        sender.send(names)
        server.wait_until(lambda: count(server) == 1000, "the first samples are taken")
        fill(disk / "ballast")

        def refused():
            sender.send(names)
            return refusing(server)

        server.wait_until(refused, "samples are refused", 30)
        assert "No space left on device" in refusing(server)
        sender.send(names)
        server.wait_until(lambda: server.refused().get("store_refuses", 0) >= 1000, "refusals are counted")
        assert count(server) >= 1000                    # queries are answered meanwhile
        os.unlink(disk / "ballast")
        server.wait_until(lambda: refusing(server) == "", "it goes on by itself", 15)
        before = count(server)
        sender.send(names)
        server.wait_until(lambda: count(server) == before + 1000, "samples are taken again")
        server.wait_until(lambda: reserved(server), "the reserve is made again")
        taken = count(server)
        assert sender.sent - server.refused()["store_refuses"] <= taken < sender.sent
        time.sleep(SAFE)
        server.restart(kill=True)
        assert count(server) == taken
        server.restart()
        assert count(server) == taken


@pytest.mark.parametrize("reserve", [True, False])
def test_an_end_while_the_disk_is_full_keeps_what_was_taken(tmp_path, disk, reserve):
    server = ServerProcess(tmp_path, store=disk / "store", fake_time=NOW, flush=3600).start()
    sender = Sender(server)
    sender.send()
    server.wait_until(lambda: count(server) == 1000, "the samples are taken")
    server.wait_until(lambda: reserved(server), "there is a reserve")
    time.sleep(SAFE)
    if not reserve:
        os.unlink(disk / "store/reserve")
    fill(disk / "ballast")
    if reserve:
        assert server.terminate() == 0                  # what it held is in files
        assert "kept in reserve" in server.log()
    else:
        assert server.terminate() != 0                  # it could not write what it held, and says so
        assert "the journal keeps it" in server.log()
    os.unlink(disk / "ballast")
    with server:
        assert count(server) == 1000


def test_a_full_disk_under_namespaces(tmp_path, disk):
    """A change that the disk does not take is refused with a reason and changes nothing; the next one that fits is
    taken."""
    settings = disk / "settings"
    environment = {"ISTAT_SERVER_SETTINGS_OPEN": "true", "ISTAT_SERVER_SETTINGS": str(settings)}
    with ServerProcess(tmp_path, environment=environment) as server:
        def post(values):
            return requests.post(f"{server.url}/?s=boards", json=values, timeout=10)

        def versions():
            return [row["value"] for row in
                    server.get("/api/v1/namespace/versions", name="boards", key="a")["versions"]]

        assert post({"a": "before"}).status_code == 200
        fill(disk / "ballast")
        answer = post({"a": "x" * 100_000})
        assert answer.status_code == 503 and "No space left on device" in answer.json()["error"]
        assert server.get("/?s=boards") == {"a": "before"} and versions() == ["before"]
        server.kill9()
        server.start()
        assert server.get("/?s=boards") == {"a": "before"} and versions() == ["before"]
        os.unlink(disk / "ballast")
        assert post({"a": "after"}).status_code == 200
        assert server.get("/?s=boards") == {"a": "after"} and versions() == ["after", "before"]
        server.assert_no_traceback()
