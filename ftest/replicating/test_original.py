"""Forwarding to an original istatd, for which a plain port stands that reads lines as that one does."""
from __future__ import annotations

from pathlib import Path

import pytest

from ftest.harness.original import Original
from ftest.harness.site import Site
from ftest.harness.truth import Cell, Truth
from tests.ports import own_port

pytestmark = pytest.mark.seconds(40)
ANY = 0     # a clock that no line needs: each has its time


def over(had: Truth, should: Truth) -> list[str]:
    """Cells of `had` that hold more than they should."""
    found = []
    for kind, right in ((had.gauges, should.gauges), (had.events, should.events)):
        for name, cells in kind.items():
            for at, cell in cells.items():
                most = right.get(name, {}).get(at, Cell())
                if cell.count > most.count or (kind is had.events and cell.sum > most.sum):
                    found.append(f"{name} {at}: {cell}, at most {most}")
    return found


def same(had: Truth, should: Truth) -> bool:
    """Whether all is there that should be, and once; the program that forwards adds counters of its own."""
    return (all(had.gauges.get(name) == cells for name, cells in should.gauges.items())
            and all(_sums(had.events.get(name, {})) == _sums(cells) for name, cells in should.events.items()))


def _sums(cells: dict[int, Cell]) -> dict[int, int]:
    return {at: cell.sum for at, cell in cells.items()}


@pytest.mark.parametrize("kind", ["agent", "server"])
def test_lines_have_times_and_all_digits_and_metadata_come_first(tmp_path: Path, kind: str) -> None:
    with Original() as old, Site(tmp_path) as site:
        target = f"istatd:127.0.0.1:{old.port}"
        edge = site.agent("edge", [target]) if kind == "agent" else site.server("edge", [target])
        load = site.load("a", edge)
        load.wait_for(20)
        load.drain()
        old.wait_until(lambda: same(ours(old), load.truth), "all is there")
        assert old.connections[0][0].startswith(b"#proto x 1 1")
        assert {"proto", "version", "hostname"} <= old.metadata().keys()
        assert all(len(line.split()) in (3, 7) for line in old.lines if line[:1] != b"#")


def ours(old: Original) -> Truth:
    """What came of the generator's: self-metrics are no whole numbers."""
    return old.truth(ANY, lambda line: line.lstrip(b"*").startswith((b"load.", b"hits", b"sent")))


def test_the_original_away_for_a_while_gets_what_waited(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        port = own_port()
        edge = site.agent("edge", [f"istatd:127.0.0.1:{port}"])
        load = site.load("a", edge)
        load.wait_for(20)
        edge.restart(kill=True)
        load.wait_for(20)
        with Original(port) as old:
            load.drain()
            old.wait_until(lambda: same(ours(old), load.truth), "all is there", 60)


def test_a_cut_loses_what_was_under_way_at_most_and_repeats_nothing(tmp_path: Path) -> None:
    with Original() as old, Site(tmp_path) as site:
        link = site.network(old)
        edge = site.server("edge", [f"istatd:127.0.0.1:{link.port}"])
        load = site.load("a", edge)
        site.trouble(load, 10, [*site.kills(edge), *site.cuts(link)])
        site.settle()
        load.drain()
        edge.send_tcp(b"the.last 1\n")      # what comes behind all others over one connection
        old.wait_until(lambda: old.count(b"the.last "), "all that was to come has come", 90)
        assert not over(ours(old), load.truth)
        arrived = old.count(b"load.", b"*hits", b"*sent")
        assert 0 < arrived <= load.truth.samples
