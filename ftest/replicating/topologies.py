"""Who forwards to whom in the tests of forwarding: each shape starts its processes, and says what may fail and who must
have what in the end."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftest.harness.generator import Generator
from ftest.harness.serverprocess import ServerProcess
from ftest.harness.site import Site, Trouble
from ftest.harness.truth import Truth


@dataclass
class Shape:
    """What was started: who sends, what may fail, and which servers must hold which truth."""

    loads: list[Generator]
    troubles: list[Trouble]
    holds: list[tuple[ServerProcess, Truth]]


def agent_to_server(site: Site) -> Shape:
    """program -> agent -> server."""
    center = site.server("center")
    link = site.network(center)
    edge = site.agent("edge", [link])
    first = site.network(edge)
    load = site.load("a", first)
    return Shape([load], [*site.kills(edge, center), *site.cuts(first, link)], [(center, load.truth)])


def server_to_server(site: Site) -> Shape:
    """program -> server -> server."""
    center = site.server("center")
    link = site.network(center)
    edge = site.server("edge", [link])
    first = site.network(edge)
    load = site.load("a", first)
    return Shape([load], [*site.kills(edge, center), *site.cuts(first, link)],
                 [(edge, load.truth), (center, load.truth)])


def chain_of_three(site: Site) -> Shape:
    """program -> server -> server -> server."""
    top = site.server("top")
    upper = site.network(top)
    middle = site.server("middle", [upper])
    lower = site.network(middle)
    edge = site.server("edge", [lower])
    load = site.load("a", edge)
    return Shape([load], [*site.kills(edge, middle, top), *site.cuts(lower, upper)],
                 [(one, load.truth) for one in (edge, middle, top)])


def three_into_one(site: Site) -> Shape:
    """Three programs -> three servers -> one, with the same names and events."""
    center = site.server("center")
    links = [site.network(center) for _ in range(3)]
    edges = [site.server(f"edge{at}", [link]) for at, link in enumerate(links)]
    truth = Truth()
    loads = [site.load("a", edge, truth=truth) for edge in edges]
    return Shape(loads, [*site.kills(center, *edges), *site.cuts(*links)], [(center, truth)])


SHAPES: list[Callable[[Site], Shape]] = [agent_to_server, server_to_server, chain_of_three, three_into_one]


def run(site: Site, shape: Shape, seconds: float) -> None:
    """Traffic and troubles for so long; then all that was acknowledged must be there, once."""
    site.trouble(shape.loads[0], seconds, shape.troubles)
    site.settle()
    for load in shape.loads:
        load.drain()
    for server, truth in shape.holds:
        truth.check(server)
    print(f"{shape.loads[0].truth.samples} samples, {len(site.done)} troubles, "
          f"{sum(load.repeated for load in shape.loads)} batches sent twice")
