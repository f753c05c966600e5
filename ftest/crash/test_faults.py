"""Disks that fail: every kind of operation on every kind of file, in a running server (ftest/crash/powercut.py).

Whatever fails: the server stays up, says why it refuses or waits, answers what it can, goes on by itself once the fault
is over, and after a kill nothing that it took is missing.
"""
from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftest.crash.crashload import LADDER, NOW
from ftest.crash.hurried import FastServer
from ftest.crash.powercut import Shim
from ftest.harness.serverprocess import ServerProcess
from istat_server.store.offline import checking

pytestmark = pytest.mark.seconds(35)
FAULTS = [
    ("write", "/journal/", errno.EIO), ("write", "/journal/", errno.ENOSPC), ("sync", "/journal", errno.EIO),
    ("open", "/journal/", errno.EIO), ("write", ".statfile", errno.EIO), ("write", ".statfile", errno.ENOSPC),
    ("sync", ".statfile", errno.EIO), ("rename", ".statfile", errno.ENOSPC), ("open", ".statfile", errno.EROFS),
    ("write", "/names/", errno.ENOSPC), ("rename", "/names/", errno.EIO), ("sync", "/names", errno.EIO),
    ("write", "MANIFEST", errno.EIO), ("sync", "MANIFEST", errno.ENOSPC), ("rename", "MANIFEST", errno.EIO),
    ("link", "MANIFEST", errno.EIO), ("unlink", ".statfile", errno.EIO), ("unlink", ".journal", errno.EROFS),
]
FAULT_SECONDS = 0.6
BACK_SECONDS = 30.0         # of a loaded machine; the server tries every fraction of a second


def shim_or_skip(folder: Path, root: Path) -> Shim:
    """The library, where it can be built."""
    try:
        return Shim(folder, root)
    except FileNotFoundError as error:
        pytest.skip(f"no faults can be made here: {error}")


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A server whose disk can be made to fail."""
    folder = tmp_path_factory.mktemp("faults")
    root = folder / "disk"
    root.mkdir()
    shim = shim_or_skip(folder / "shim", root)
    environment = {key: value for key, value in shim.environment.items() if key != "POWERCUT_LOG"}
    server = FastServer(folder / "server", environment=environment, store=root / "store", retention=LADDER,
                        flush=1, fake_time=NOW)
    server.store = root / "store"
    server.start()
    yield server, shim
    shim.say()
    server.let_go()


READER = """
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
for _ in sys.stdin:
    try:
        said = "read" if os.pread(file, 10, 0) else "nothing"
    except OSError as error:
        said = error.strerror
    print(said, flush=True)
"""


def test_a_fault_is_there_and_gone_as_soon_as_it_is_said(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / "file").write_text("something")
    shim = shim_or_skip(tmp_path / "shim", root)
    with subprocess.Popen([sys.executable, "-c", READER, root / "file"], env={**os.environ, **shim.environment},
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        def read() -> str:
            reader.stdin.write("\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        for _ in range(50):
            shim.fault("read", "/file", errno.EIO)
            assert read() == "Input/output error"
            shim.say()
            assert read() == "read"


def counted(server: ServerProcess) -> int:
    """Samples of the counter that all tests feed."""
    answer = server.post("/*", {"keys": ["fed"], "start": NOW - 600, "stop": NOW + 60, "maxSamples": -1})["fed"]
    return sum(bucket["count"] for bucket in answer["data"]) if isinstance(answer, dict) else 0


def feed(server: ServerProcess, name: str) -> None:
    """Ten samples, and one of a counter that is new."""
    server.send_tcp(b"fed %d 1\n" % NOW * 10 + b"new.%s %d 1\n" % (name.encode(), NOW))


def status(server: ServerProcess) -> dict:
    return server.get("/api/v1/status")["store"]


def in_order(server: ServerProcess) -> bool:
    """Whether nothing is refused and nothing waits to be written."""
    found = status(server)
    return not (found["refusing"] or found["flush_problem"] or found["journal_pending"])


@pytest.mark.parametrize(("call", "part", "error"), FAULTS, ids=lambda value: str(value).strip("/."))
def test_a_failing_disk(disk, call, part, error):
    server, shim = disk
    before = counted(server)
    shim.fault(call, part, error)
    try:
        end = time.monotonic() + FAULT_SECONDS
        number = 0
        while time.monotonic() < end:
            number += 1
            feed(server, f"{call}.{number}.{part.strip('/.')}.{error}")
            time.sleep(0.05)
            assert counted(server) >= before        # it answers
    finally:
        shim.say()
    server.wait_until(lambda: in_order(server), "all is in order again", BACK_SECONDS)
    cuts = status(server)["cuts"]
    taken = counted(server)
    feed(server, f"{call}.after.{part.strip('/.')}.{error}")
    server.wait_until(lambda: counted(server) == taken + 10, "samples are taken again", BACK_SECONDS)
    server.wait_until(lambda: status(server)["cuts"] > cuts and in_order(server), "cuts are written", BACK_SECONDS)
    assert server.process.poll() is None
    server.assert_no_traceback()
    time.sleep(0.15)
    server.kill9()
    server.start()
    assert counted(server) == taken + 10
    assert not checking.check(server.store).errors


def test_blocks_that_cannot_be_read_are_left_out_and_counted(disk):
    server, shim = disk
    whole = counted(server) + 10                    # the tests before have fed it, too
    feed(server, "read")
    server.wait_until(lambda: counted(server) == whole, "all was read")
    assert server.terminate() == 0                  # all is in files
    server.start()                                  # and nothing is cached
    assert counted(server) == whole
    assert server.terminate() == 0
    server.start()
    assert status(server)["rows_in_memory"] == 0
    shim.fault("read", "/10s/", errno.EIO)
    server.wait_until(lambda: counted(server) == 0, "nothing can be read")
    assert status(server)["damaged_blocks"] > 0
    shim.say()
    server.wait_until(lambda: counted(server) == whole, "all can be read")
    server.assert_no_traceback()


def test_a_read_only_disk_refuses_and_goes_on(disk):
    server, shim = disk
    before = counted(server)
    shim.say(*(f"fault {call} /store {errno.EROFS} -1" for call in
               ("open", "write", "sync", "rename", "link", "unlink", "truncate", "mkdir")))
    server.wait_until(lambda: (feed(server, "readonly"), status(server)["refusing"])[1], "samples are refused")
    assert "Read-only file system" in status(server)["refusing"]
    assert counted(server) >= before
    shim.say()
    server.wait_until(lambda: in_order(server), "all is in order again", BACK_SECONDS)
    server.assert_no_traceback()


def test_a_second_server_on_one_store_is_refused(disk, tmp_path: Path):
    server, _shim = disk
    second = ServerProcess(tmp_path, store=server.store, retention=LADDER, fake_time=NOW)
    code, said = second.start_expecting_failure()
    assert code == 92
    assert "is in use by another istat-server" in said
    assert "Traceback" not in said
