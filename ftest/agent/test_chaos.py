"""Servers, networks and agents are killed, cut and ended at random while a drop-in collector and a program deliver by
an agent, and the collector alone by another: in the end each server that gets everything has it once, with counts,
sums, minima and maxima.

A killed agent may lose the readings that it had in memory alone: at most those of the last few intervals before the
kill, and whole ones. Which arrived is seen by a counter of which each reading has a bit of its own.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftest.harness.agentprocess import AgentProcess
from ftest.harness.cutproxy import CutProxy
from ftest.harness.serverprocess import ServerProcess
from ftest.harness.site import Site, Trouble
from ftest.harness.truth import INTERVAL, Sample, Truth, ask
from tests.ports import own_port

pytestmark = pytest.mark.seconds(160)
SECONDS = [120, pytest.param(3600, marks=pytest.mark.slow)]
# Readings that a kill may take: one that waits for an interval, one that is written a tick later, the one that is
# being made, and one for a machine that has much else to do.
MOST_MISSING = 4
BITS = 40           # readings of which a bucket can be told apart: more than there are in it
ARRIVE_SECONDS = 120.0

# What it emits stands in a file before it is emitted, so that a kill in between is one that loses the reading.
COLLECTOR = """
import json, os, pathlib, random
from istat.plugin import collector

emitted = pathlib.Path({file!r})
ended = pathlib.Path({ended!r})
chance = random.Random()
count = sum(1 for _ in emitted.open("rb")) if emitted.exists() else 0


@collector(interval=1)
def collect(emit):
    global count
    if ended.exists():
        return
    values = {{"chaos.bits": 1 << count % {bits}}}
    values |= {{f"chaos.gauge{{n}}": chance.randint(-1000, 1000) for n in range(20)}}
    values |= {{f"*chaos.event{{n}}": chance.randint(1, 100) for n in range(5)}}
    told = json.dumps({{"pid": os.getpid(), "time": emit.time, "values": values}})
    with emitted.open("ab", buffering=0) as file:
        file.write(told.encode() + b"\\n")
    count += 1
    for name, value in values.items():
        (emit.event if name[0] == "*" else emit.gauge)(name.lstrip("*"), value)
"""


@dataclass(frozen=True)
class Read:
    """A reading that the collector wrote down: the process that made it, its time, its values by wire name."""

    pid: int
    time: int
    values: dict[str, int]

    @property
    def bit(self) -> tuple[int, int]:
        """Its bucket, and its value of chaos.bits: no other one has both."""
        return self.time // INTERVAL * INTERVAL, self.values["chaos.bits"]


class Emitting(AgentProcess):
    """An agent with that collector alone. `killed`: its processes that ended by SIGKILL."""

    def __init__(self, folder: Path, host: str, forward: list[str]) -> None:
        drop_ins = folder / "plugins.d"
        drop_ins.mkdir(parents=True)
        self.emitted, self.ended = folder / "emitted", folder / "ended"
        (drop_ins / "chaos.py").write_text(COLLECTOR.format(file=str(self.emitted), ended=str(self.ended), bits=BITS))
        self.killed: set[int] = set()
        self.host = host
        super().__init__(folder, forward, host=host, enable="chaos", plugin_dir=drop_ins)

    def kill9(self) -> None:
        assert self.process is not None
        self.killed.add(self.process.pid)
        super().kill9()

    def reload(self) -> None:
        """Have it read its settings again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def readings(self) -> list[Read]:
        """What the collector wrote down, in its order; a line that a kill tore is none, nor was it emitted."""
        lines = self.emitted.read_bytes().split(b"\n")[:-1]
        whole = [line for line in lines if line.startswith(b"{") and line.endswith(b"}}")]
        return [Read(**json.loads(line)) for line in whole]


def missing(server: ServerProcess, host: str, readings: list[Read]) -> list[Read]:
    """Which of a host's a server has not. AssertionError where it has what is none of them, or one twice."""
    times = [one.time for one in readings]
    rows = ask(server, f"chaos.bits.host.{host}", min(times), max(times))
    bits = {at: int(row[1]) for at, row in rows.items()}
    arrived = [one for one in readings if bits.get(one.bit[0], 0) & one.bit[1]]
    of_bucket: dict[int, list[int]] = defaultdict(list)
    for one in arrived:
        of_bucket[one.bit[0]].append(one.bit[1])
    for at, row in rows.items():
        there = of_bucket[at]
        assert (row[0], int(row[1])) == (len(there), sum(there)), f"in the bucket {at} something is there twice"
    there = {one.bit for one in arrived}
    return [one for one in readings if one.bit not in there]


def check(server: ServerProcess, agent: Emitting) -> None:
    """Wait until it has all that may not be missing, and see that it has nothing else."""
    readings = agent.readings()
    assert len({one.bit for one in readings}) == len(readings)
    # By lives, one after the other: in an hour the number of a process comes again.
    lives = [(pid, list(life)) for pid, life in itertools.groupby(readings, lambda one: one.pid)]
    may_miss = {one.bit for pid, life in lives if pid in agent.killed for one in life[-MOST_MISSING:]}
    gone: list[Read] = []

    def arrived() -> bool:
        gone[:] = missing(server, agent.host, readings)
        return all(one.bit in may_miss for one in gone)

    server.wait_until(arrived, "it has all that no kill took", ARRIVE_SECONDS)
    time.sleep(2)       # what may be missing may still come
    arrived()
    truth, without = Truth(), {one.bit for one in gone}
    for one in readings:
        if one.bit not in without:
            for name, value in one.values.items():
                truth.add(Sample(f"{name}.host.{agent.host}", one.time, (value,)), 0)
    truth.check(server)
    print(f"{server.folder.name}, {agent.host}: {len(readings) - len(gone)} of {len(readings)} readings, "
          f"{len(agent.killed)} kills")


def ends(agent: Emitting, links: list[CutProxy], chance: random.Random) -> list[Trouble]:
    """It ends as it should and begins again, with all that it has; it reads its settings again; it is killed while its
    network stands, with readings in memory that were sent and not answered, or that were not sent."""
    def end() -> None:
        agent.terminate()
        time.sleep(chance.uniform(0, 1))
        agent.start()

    def kill_unheard() -> None:
        for link in links:
            chance.choice([link.stall, link.cut, link.heal])()
        time.sleep(chance.uniform(0, 4))
        agent.kill9()
        for link in links:
            link.cut()
            link.heal()
        agent.start()

    return [end, agent.reload, kill_unheard, kill_unheard]


@pytest.mark.parametrize("seconds", SECONDS)
def test_whatever_is_killed_or_cut_each_server_has_all_once(tmp_path: Path, seconds: float) -> None:
    """Both agents -> (one | two) -> center, and -> other."""
    seed = 1 if seconds == SECONDS[0] else int(time.time())
    print(f"seed {seed}")
    with Site(tmp_path, seed) as site:
        center, other = site.server("center"), site.server("other")
        one, two = (site.server(name, [f"127.0.0.1:{center.stat_port}"]) for name in ("one", "two"))
        links = [site.network(server) for server in (one, two, other)]
        first, second, third = (f"127.0.0.1:{link.port}" for link in links)
        agents = [site.start(Emitting(tmp_path / host, host, [f"{first} | {second}", third]))
                  for host in ("web1", "web2")]
        for agent in agents:
            center.wait_until(agent.emitted.exists, "the collector runs")
        load = site.load("a", agents[0], rate=20.0)
        site.trouble(load, seconds, [*site.kills(*agents, one, two, other), *site.cuts(*links),
                                     *(trouble for agent in agents for trouble in ends(agent, links, site.random))])
        site.settle()
        load.drain()
        for agent in agents:
            agent.ended.touch()
        for server in (center, other):
            for agent in agents:
                check(server, agent)
            load.truth.check(server, seconds=ARRIVE_SECONDS)
        print(f"{len(site.done)} troubles, {load.truth.samples} samples of the program")


def test_a_reading_that_is_missing_or_twice_is_seen(tmp_path: Path) -> None:
    """The test's own eyes."""
    readings = [Read(1, 1_700_000_000 + n, {"chaos.bits": 1 << n, "chaos.gauge0": n}) for n in range(20)]
    with ServerProcess(tmp_path, retention="10s:10y", stat_port=own_port()) as server:
        for one in readings[:-3]:
            server.send_tcp(f"chaos.bits.host.web1 {one.time} {one.values['chaos.bits']}\n".encode())
        server.wait_until(lambda: missing(server, "web1", readings) == readings[-3:], "all others are there")
        server.send_tcp(f"chaos.bits.host.web1 {readings[0].time} {readings[0].values['chaos.bits']}\n".encode())
        with pytest.raises(AssertionError, match="is there twice"):
            server.wait_until(lambda: missing(server, "web1", readings) != readings[-3:], "it is there twice")
