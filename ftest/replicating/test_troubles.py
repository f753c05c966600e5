"""Forwarding while every side is killed and every network cut, in turn: what was acknowledged is counted once.

A program sends acknowledged batches, and sends again what has no answer. In the end each server must have exactly what
the program had acknowledged: count, sum, min and max of each finest bucket of each counter.
"""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ftest.harness.site import Site
from ftest.replicating.topologies import SHAPES, Shape, run
from tests.certificates import Authority

pytestmark = pytest.mark.seconds(300)


@pytest.mark.parametrize("seconds", [60, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_what_was_acknowledged_is_counted_once(tmp_path: Path, shape: Callable[[Site], Shape], seconds: float) -> None:
    with Site(tmp_path) as site:
        run(site, shape(site), seconds)


def test_by_tls_and_with_a_token(tmp_path: Path, authority: Authority) -> None:
    """Cuts fall into handshakes and records, too."""
    pair = authority.pair()
    with Site(tmp_path) as site:
        center = site.server("center", ca=authority.ca, tls_cert=pair.cert, tls_key=pair.key, samples_tls="required",
                             samples_token="s" * 32)
        link = site.network(center)
        edge = site.server("edge", [link], forward_ca=authority.ca, forward_token="s" * 32,
                           environment={"ISTAT_SERVER_FORWARD_TLS": "true"})
        load = site.load("a", edge)
        site.trouble(load, 15, [*site.kills(edge, center), *site.cuts(link)])
        site.settle()
        load.drain()
        load.truth.check(center)
        assert center.ingest()["tls.connects"]
