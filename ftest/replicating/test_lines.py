"""Plain lines by TCP and UDP through a server that forwards: the next one has the same counters, value for value."""
from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from ftest.harness.serverprocess import ServerProcess
from ftest.harness.site import Site
from ftest.harness.truth import COLUMNS

pytestmark = pytest.mark.seconds(20)
NAMES = ("a", "b.c", "one^host.x^", "two^host.x^class.y", "UPPER.Case", "é.latin", "*hits^host.x^", "*e")


def odd_lines(rng: random.Random, now: int) -> list[bytes]:
    """Samples as senders write them, and what is none."""
    lines = []
    for _ in range(3000):
        name, value = rng.choice(NAMES), rng.choice(("1", "-2.5", "1e-7", "+3", ".25", "4.", "123456789.123456789"))
        lines.append(rng.choice((
            f"{name} {value}\n", f"{name} {now - rng.randint(0, 60)} {value}\n", f"  {name}\t{value} \r\n",
            f"{name} {now} 6 14 1 3 3\n", f"{name} {now} 6 14 1 3 3 9\n", "no.value\n", f"{name} what\n", "\n",
            f"{name} 1 2 3\n", f"{name} {now - 40 * 86400} 1\n", f"@{name} 1\n", "#key value\n")).encode())
    return lines


def all_of(server: ServerProcess, names: list[str], now: int) -> list[dict[str, Any]]:
    """Every bucket of the last minutes, to the last bit."""
    answer = server.post("/api/v1/series", {"names": names, "from": now - 120, "to": now + 60, "columns": COLUMNS})
    return [{key: one[key] for key in ("name", "kind", *COLUMNS)} for one in answer["series"]]


def names_of(server: ServerProcess) -> list[str]:
    return [one["name"] for one in server.get("/api/v1/names")["names"] if not one["name"].startswith("istatd.")]


def test_the_next_server_has_the_same(tmp_path: Path) -> None:
    now = int(time.time())
    with Site(tmp_path) as site:
        center = site.server("center", fake_time=now)
        edge = site.server("edge", [f"127.0.0.1:{center.stat_port}"], fake_time=now)
        lines = odd_lines(random.Random(3), now)
        edge.send_tcp(b"".join(lines[:2000]))
        edge.send_udp(b"".join(lines[2000:2200]))
        with edge.connect() as sock:
            for line in lines[2200:2400]:
                sock.sendall(line)
        edge.send_tcp(b"a 1\n" * 50_000)                    # more lines in 64 KiB than a batch may have
        edge.send_tcp(b"long" * 2000 + b" 5\n" + b"a 1\n")
        edge.wait_until(lambda: has_all(edge, now), "the last lines are in", 60)

        def same() -> bool:
            names = names_of(edge)
            return sorted(names_of(center)) == sorted(names) and all_of(center, names, now) == all_of(edge, names, now)

        edge.wait_until(same, "both have the same", 30)
        assert has_all(edge, now)


def has_all(server: ServerProcess, now: int) -> bool:
    """Whether the 50,000 lines of `a` are there, which were sent last."""
    if "a" not in names_of(server):
        return False
    (found,) = all_of(server, ["a"], now)
    return max(count or 0 for count in found["count"]) > 50_000


def test_metadata_of_senders_are_told_with_who_told_them(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        center = site.server("center")
        edge = site.server("edge", [f"127.0.0.1:{center.stat_port}"])
        with edge.connect() as sock:
            sock.sendall(b"#hostname db7\n#version 3\na 1\n")
            center.wait_until(lambda: [row for row in center.get("/api/v1/agents")["agents"] if row["name"] == "db7"],
                              "the sender is told")
        (row,) = [row for row in center.get("/api/v1/agents")["agents"] if row["name"] == "db7"]
        assert row["via"], row
