"""The processes and networks of one functional test, and what goes wrong among them.

    with Site(tmp_path, seed) as site:
        center = site.server("center")
        link = site.network(center)
        edge = site.agent("edge", [link])
        load = site.load("a", edge)
        site.trouble(load, 60, [*site.kills(edge, center), *site.cuts(link)])
        load.drain()
        load.truth.check(center)

All ends with the block, the last that was started first.
"""
from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from ftest.harness.agentprocess import AgentProcess
from ftest.harness.cutproxy import CutProxy
from ftest.harness.generator import Generator
from ftest.harness.original import Original
from ftest.harness.serverprocess import ServerProcess
from tests.ports import own_port

Daemon = ServerProcess | AgentProcess
Trouble = Callable[[], None]
StartedAgent = TypeVar("StartedAgent", bound=AgentProcess)


class Site:
    """All of one test's; the same seed decides the same."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self._seed = seed
        self._stack = ExitStack()
        self._networks: list[CutProxy] = []
        self.done: list[str] = []       # the troubles that were made, in order

    def server(self, name: str, forward: Sequence[str | CutProxy] = (), command: list[str] | None = None,
               **options: object) -> ServerProcess:
        """A server that keeps its ports, started; `command`: another than its main program."""
        options.setdefault("stat_port", own_port())
        options.setdefault("http_port", own_port())
        if forward:
            options["forward"] = ",".join(_target(one) for one in forward)
            options.setdefault("spool", self.folder / name / "spool")
        made = ServerProcess(self.folder / name, **options)
        made.command = command or made.command
        return self._stack.enter_context(made)

    def agent(self, name: str, forward: Sequence[str | CutProxy], command: list[str] | None = None,
              **options: object) -> AgentProcess:
        """An agent, started; `command`: another than its main program."""
        made = AgentProcess(self.folder / name, [_target(one) for one in forward], **options)
        made.command = command or made.command
        return self._stack.enter_context(made)

    def start(self, agent: StartedAgent) -> StartedAgent:
        """An agent of another kind, started."""
        return self._stack.enter_context(agent)

    def network(self, target: Daemon | Original) -> CutProxy:
        """A network towards a daemon's stat port."""
        self._networks.append(self._stack.enter_context(CutProxy(lambda: target.stat_port)))
        return self._networks[-1]

    def load(self, host: str, target: Daemon | CutProxy, **options: object) -> Generator:
        """A program that sends to a daemon, or over a network."""
        port = (lambda: target.port) if isinstance(target, CutProxy) else (lambda: target.stat_port)
        return self._stack.enter_context(Generator(host, port, seed=self._seed, **options))     # type: ignore[arg-type]

    # -- what goes wrong

    def kills(self, *daemons: Daemon) -> list[Trouble]:
        """kill -9 of each, and another start after a while."""
        def kill(daemon: Daemon) -> None:
            daemon.kill9()
            time.sleep(self.random.uniform(0, 1))
            daemon.start()
        return [_named(f"kill {daemon.folder.name}", functools.partial(kill, daemon)) for daemon in daemons]

    def cuts(self, *networks: CutProxy) -> list[Trouble]:
        """Each way in which a network fails, for each."""
        return [_named(f"{way.__name__} network {at}", functools.partial(way, network))
                for at, network in enumerate(networks)
                for way in (self._cut, self._cut_inside, self._stall, self._half_close)]

    def trouble(self, load: Generator, seconds: float, troubles: Sequence[Trouble]) -> None:
        """Traffic for so long; each trouble in turn, in an order of chance, some batches between two. Each at least
        once, however long that takes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(self.done) < len(troubles):
            for trouble in self.random.sample(troubles, len(troubles)):
                if time.monotonic() >= end and len(self.done) >= len(troubles):
                    return
                load.wait_for(self.random.randint(1, 40))
                self.done.append(trouble.__name__)
                trouble()
                time.sleep(min(0.5, max(0.0, end - time.monotonic())))

    def settle(self) -> None:
        """All networks are well again, whatever they were about to do."""
        for network in self._networks:
            network.heal()

    def _cut(self, network: CutProxy) -> None:
        network.cut()
        time.sleep(self.random.uniform(0, 2))
        network.heal()

    def _cut_inside(self, network: CutProxy) -> None:
        network.cut_after(self.random.randint(1, 20_000))

    def _stall(self, network: CutProxy) -> None:
        network.stall()
        time.sleep(self.random.uniform(0, 3))
        if self.random.random() < 0.5:
            network.cut()
        network.heal()

    def _half_close(self, network: CutProxy) -> None:
        network.half_close()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if error is not None:
            error.add_note(f"troubles until then: {', '.join(self.done) or 'none'}")
        self._stack.__exit__(kind, error, trace)


def _named(name: str, action: Callable[[], None]) -> Trouble:
    action.__name__ = name          # type: ignore[attr-defined]
    return action


def _target(one: str | CutProxy) -> str:
    return one if isinstance(one, str) else f"127.0.0.1:{one.port}"
