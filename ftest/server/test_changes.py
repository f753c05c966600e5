"""`istat delete`, `undelete` and `rename` against a real server, as a person and as a script use them."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ServerProcess, now_bucket


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, environment={"ISTAT_SERVER_ADMIN_TOKEN": "s3cret"}) as server:
        yield server


def istat(server: ServerProcess, *words: str, token: str = "s3cret") -> subprocess.CompletedProcess[str]:
    """The command, with the token in its environment."""
    environment = {**server.environment, "ISTAT_URL": server.url, "ISTAT_ADMIN_TOKEN": token}
    return subprocess.run([sys.executable, "-m", "istat.cli.command", *words], env=environment, text=True,
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def names(server: ServerProcess) -> list[str]:
    return [row["name"] for row in server.get("/api/v1/names", match="t.*")["names"]]


def test_delete_undo_and_rename(server: ServerProcess, tmp_path: Path) -> None:
    start = now_bucket()
    server.send_tcp(b"".join(b"t.old.%d %d %d\n" % (k, start, k) for k in range(20)) + b"t.keep 1\n")
    server.wait_for_samples(21)
    shown = istat(server, "delete", "t.old.*")
    assert (shown.returncode, shown.stdout.splitlines()[-2:]) == (0, [
        "... and 10 more", "20 counters would be deleted; say --yes to do it"])
    assert len(names(server)) == 21
    assert "20 counters deleted" in istat(server, "delete", "t.old.*", "--yes").stdout
    assert names(server) == ["t.keep"]
    server.restart(kill=True)
    assert names(server) == ["t.keep"]
    assert len(istat(server, "delete", "--list").stdout.splitlines()) == 20
    server.send_tcp(b"t.old.3 %d 5\n" % start)
    server.wait_until(lambda: names(server) == ["t.keep", "t.old.3"], "the name is a new counter")
    back = istat(server, "undelete", "t.old.*")
    assert (back.returncode, back.stdout) == (1, "19 counters came back\n")
    assert "t.old.3 stays deleted: a counter of that name has come since" in back.stderr
    assert server.values("t.old.7", start, start + 10, "avg") == [7.0]
    assert server.values("t.old.3", start, start + 10, "count") == [1]
    renamed = istat(server, "rename", "t.old.*", "t.new.*", "--yes", "--json")
    assert json.loads(renamed.stdout)["renamed"] == 20
    assert server.values("t.new.7", start, start + 10, "avg") == [7.0]
    server.restart()
    assert server.values("t.new.7", start, start + 10, "avg") == [7.0]
    assert not [name for name in names(server) if "old" in name]


def test_who_may(server: ServerProcess, tmp_path: Path) -> None:
    server.send_tcp(b"t.a 1\n")
    server.wait_for_samples(1)
    refused = istat(server, "delete", "t.a", "--yes", token="wrong")
    assert refused.returncode == 83
    assert "the token is wrong: this needs the server's admin-token; " in refused.stderr
    assert istat(server, "delete", "t.a", "--yes", token="").returncode == 2
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    assert istat(server, "delete", "t.a", "--yes", "--token-file", os.fspath(file), token="").returncode == 0
    assert names(server) == []
    assert istat(server, "delete", "t.none", "--yes").returncode == 84
