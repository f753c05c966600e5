"""The self-test of a transplant, for `--test`: two trees in a folder of its own, one side in a thread."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from istat.clock import Clock
from istat.errors import IstatError
from istat_server.foreign import ring, ringedit
from istat_server.foreign.ring import Bucket, Ring
from istat_server.foreign.ringedit import Edit, Mode
from istat_server.tools.ring.transplant.asking import Wish, exchange
from istat_server.tools.ring.transplant.serving import Server
from istat_server.tools.ring.transplant.trees import Tree

FILES = ("a/10s", "a/5m", "b/c/10s", "b/c/5m")
BEGIN, BUCKETS = 1_000_000_200, 12      # [s]; of each tree


def run(clock: Clock) -> None:
    """IstatError when the two do not become one."""
    with tempfile.TemporaryDirectory(prefix="istat-transplant-") as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        for root, odd in ((ours, 0), (theirs, 1)):
            for file in FILES:
                _make(root / file, odd)
        with Server(Tree(theirs), "127.0.0.1", 0, "", clock) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                exchange(Tree(ours), "127.0.0.1", int(server.server_address[1]), Wish(0, 1 << 40), clock)
            finally:
                server.shutdown()
                thread.join()
        for file in FILES:
            if _held(ours / file) != _held(theirs / file) or len(_held(ours / file)) != 2 * BUCKETS:
                raise IstatError(f"the self-test fails: {file} has other buckets here than there")


def _make(path: Path, odd: int) -> None:
    interval = 10 if path.name == "10s" else 300
    header = ring.empty(path, interval, interval * 100, 0, 0, BEGIN)
    edit = Edit(Ring(header, bytes(header.file_size - header.page_size)))
    for number in range(odd, 2 * BUCKETS, 2):
        edit.put(Bucket(BEGIN + number * interval, 1.0 + odd, 1.0, 1.0, 1, 1.0), Mode.OVERWRITE)
    path.parent.mkdir(parents=True, exist_ok=True)
    ringedit.save(path, edit)


def _held(path: Path) -> list[Bucket]:
    return sorted(ringedit.load(path).buckets(0, 1 << 40))
