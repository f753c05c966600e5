"""A master and its replicas as processes, and the comparison of all that they have, bucket by bucket."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from ftest.harness.serverprocess import ServerProcess
from tests.ports import own_port

TOKEN, ADMIN = "replicas may ask", "an operator may"
CATCH_UP_SECONDS = 60.0
CLOSE = 1e-9            # that sums may differ by, relatively: they were added in another order


def server_of(folder: Path, **options: object) -> ServerProcess:
    """A server that replicas may follow, at a port that stays."""
    given: dict[str, object] = {"http_port": own_port(), "replica_token": TOKEN, "admin_token": ADMIN, "flush": 3,
                                **options}
    found = ServerProcess(folder, token=ADMIN, **given)
    found.http_port = int(str(given["http_port"]))
    return found


def replica_of(master: ServerProcess, folder: Path, name: str = "second", **options: object) -> ServerProcess:
    """A replica of a server; it has an address of its own that stays."""
    port = own_port()
    return server_of(folder, replica_of=f"http://127.0.0.1:{master.http_port}", replica_name=name, http_port=port,
                     replica_url=f"http://127.0.0.1:{port}", **options)


def everything(server: ServerProcess) -> dict[tuple[str, str, str], list[tuple[int, ...]]]:
    """(name, kind, level) -> rows (time, count, sum, min, max), of all counters but the server's own."""
    found: dict[tuple[str, str, str], list[tuple[int, ...]]] = {}
    token = ""
    while True:
        answer = server.post("/api/v1/rows", {"token": token, "to": int(time.time()) + 100})
        for counter in answer["counters"]:
            if not counter["name"].startswith("istatd."):
                for level, rows in counter["rows"].items():
                    place = found.setdefault((counter["name"], counter["kind"], level), [])
                    place += [tuple(row[:5]) for row in rows]
        token = answer["token"]
        if not answer["truncated"]:
            return found


def differences(master: ServerProcess, replica: ServerProcess) -> list[str]:
    """What one has and the other has not; some of it."""
    one, other = everything(master), everything(replica)
    found = [f"{key}: only one has it" for key in one.keys() ^ other.keys()]
    for key in one.keys() & other.keys():
        if not _alike(one[key], other[key]):
            found.append(f"{key}: {one[key][-3:]} and {other[key][-3:]}")
    return found[:10]


def _alike(ours: list[tuple[int, ...]], theirs: list[tuple[int, ...]]) -> bool:
    return len(ours) == len(theirs) and all(
        mine[:2] == yours[:2] and all(abs(a - b) <= CLOSE * max(1.0, abs(a)) for a, b in zip(mine[2:], yours[2:]))
        for mine, yours in zip(ours, theirs))


def following(replica: ServerProcess) -> dict[str, Any]:
    """How it follows."""
    found: dict[str, Any] = replica.get("/api/v1/status")["store"]["replica"]
    return found


def assert_same(master: ServerProcess, replica: ServerProcess, seconds: float = CATCH_UP_SECONDS) -> None:
    """The replica has what the master has, soon."""
    end = time.monotonic() + seconds
    while (found := differences(master, replica)) or not everything(master):
        assert time.monotonic() < end, f"{found}\n{following(replica)}\n{replica.log()[-4000:]}"
        time.sleep(0.2)


@contextmanager
def running(*servers: ServerProcess) -> Iterator[None]:
    """While inside they run; those that do still at the end are ended, and none may have told of a fault."""
    try:
        for one in servers:
            if one.process is None:
                one.start()
        yield
        for one in servers:
            if one.process is not None:
                assert one.terminate() == 0, one.log()
            one.assert_no_traceback()
    finally:
        for one in servers:
            if one.process is not None:
                one.kill9()


def refused(server: ServerProcess, path: str, body: object) -> str:
    """The sentence by which a change is refused."""
    answer = requests.post(server.url + path, json=body, timeout=10, **server.ask)
    assert answer.status_code >= 400, answer.text
    return str(answer.json()["error"])
