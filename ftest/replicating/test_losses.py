"""What a spool can lose is counted and named, and all else arrives once: a full spool, changed bytes, a full disk."""
from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftest.harness.cutproxy import CutProxy
from ftest.harness.generator import Generator
from ftest.harness.serverprocess import ServerProcess
from ftest.harness.site import Site
from ftest.harness.truth import ask

pytestmark = pytest.mark.seconds(60)
MiB = 1 << 20
GAUGE = "load.plain"
# A server without self-metrics: what is lost of them would be counted, and the generator knows nothing of it.
QUIET = [sys.executable, "-c", "import sys, istat_server.server as server; server.INTERVAL = 86400.0; "
                               "from istat_server.main import main; sys.exit(main(sys.argv[1:]))"]
# Batches of some 55 KB, of samples that each count as one.
BULK: dict[str, Any] = {"rate": 1000.0, "lines": 2000, "gauges": (GAUGE,), "events": (), "most_parts": 1}


def forwarded(edge: ServerProcess) -> dict[str, Any]:
    found: dict[str, Any] = edge.get("/api/v1/status")["forward"]
    return found


def lost(edge: ServerProcess) -> dict[str, int]:
    """Lines that were lost, by reason; reasons without any left out."""
    return {reason: count for reason, count in forwarded(edge)["spool_lost"].items() if count}


def waiting(edge: ServerProcess) -> int:
    return sum(group["waiting_lines"] for group in forwarded(edge)["groups"])


def counted(server: ServerProcess, load: Generator) -> int:
    """Samples of the generator's gauge that a server has; no bucket has more than was sent."""
    right = load.truth.gauges[GAUGE]
    rows = ask(server, GAUGE, min(right), max(right))
    assert not [(at, row) for at, row in rows.items() if row[0] > right[at].count], "something is there twice"
    return int(sum(row[0] for row in rows.values()))


def check(edge: ServerProcess, center: ServerProcess, load: Generator, before: int = 0) -> dict[str, int]:
    """What was lost, once nothing waits: with what arrived it must be all that was acknowledged. `before`: what was
    lost before a restart, since totals begin anew."""
    load.drain()
    edge.wait_until(lambda: waiting(edge) == 0, "nothing waits any more", 60)
    found = lost(edge)
    assert counted(center, load) + sum(found.values()) + before == load.truth.samples
    return found


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few MB; needs root."""
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", str(where)],
                          capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no disk of our own can be mounted here: {made.stderr.strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def away(site: Site, **options: object) -> tuple[ServerProcess, CutProxy, ServerProcess]:
    """A server that forwards to another one, which is away: center, network, edge."""
    center = site.server("center")
    link = site.network(center)
    link.cut()
    return center, link, site.server("edge", [link], command=QUIET, **options)


def test_a_spool_at_its_bound_loses_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        center, link, edge = away(site, spool_bytes=16 * MiB)
        load = site.load("a", edge, **BULK)
        edge.wait_until(lambda: lost(edge).get("bytes"), "the spool is full", 120)
        assert sum(path.stat().st_size for path in (edge.folder / "spool").iterdir()) <= 17 * MiB
        load.wait_for(5)
        link.heal()
        assert set(check(edge, center, load)) == {"bytes"}
        load.truth.check(edge)


def test_flipped_bytes_are_stepped_over_and_their_lines_counted(tmp_path: Path) -> None:
    rng = random.Random(5)
    with Site(tmp_path) as site:
        center, link, edge = away(site)
        load = site.load("a", edge, **BULK)
        load.wait_for(200)
        load.drain()
        edge.kill9()
        segments = sorted((edge.folder / "spool").glob("*.spool"))
        assert len(segments) >= 2
        for segment in segments:
            data = bytearray(segment.read_bytes())
            for _ in range(3):
                data[rng.randrange(len(data) // 10, len(data) * 9 // 10)] ^= 1 << rng.randrange(8)
            segment.write_bytes(data)
        edge.start()
        link.heal()
        assert set(check(edge, center, load)) == {"damaged"}
        load.truth.check(edge)


def test_a_full_disk_under_the_spool(tmp_path: Path, disk: Path) -> None:
    with Site(tmp_path) as site:
        center, link, edge = away(site, spool=disk / "spool")
        load = site.load("a", edge, **BULK)
        load.wait_for(20)
        with open(disk / "ballast", "wb", buffering=0) as ballast:
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        ballast.write(b"\0" * size)
                except OSError:
                    continue
        load.wait_for(60)
        edge.wait_until(lambda: lost(edge).get("disk"), "what does not fit is lost and counted", 60)
        os.unlink(disk / "ballast")
        load.wait_for(20)
        link.heal()
        assert set(check(edge, center, load)) == {"disk"}
        load.truth.check(edge)
        before = sum(lost(edge).values())
        edge.restart(kill=True)
        check(edge, center, load, before)


def test_a_store_that_was_moved_away_leaves_what_waits(tmp_path: Path) -> None:
    """The spool is told by its end that the store had all of it, so that a new store changes nothing."""
    with Site(tmp_path) as site:
        center, link, edge = away(site)
        load = site.load("a", edge, **BULK)
        load.wait_for(20)
        load.drain()
        assert edge.terminate() == 0
        edge.store.rename(tmp_path / "moved")
        edge.start()
        link.heal()
        load.truth.check(center)
