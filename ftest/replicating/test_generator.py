"""A program's acknowledged batches into one server that is killed and cut off: the tests' own generator, and the
receiver's side alone."""
from __future__ import annotations

from pathlib import Path

import pytest

from ftest.harness.site import Site

pytestmark = pytest.mark.seconds(15)


def test_what_one_server_acknowledged_is_counted_once(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        server = site.server("one")
        link = site.network(server)
        load = site.load("a", link)
        site.trouble(load, 10, [*site.kills(server), *site.cuts(link)])
        site.settle()
        load.drain()
        load.truth.check(server)
        assert load.connects > len(site.done) // 2 and load.repeated


def test_only_who_shows_the_token_is_taken(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        server = site.server("one", samples_token="right")
        load = site.load("a", server, token="right")
        wrong = site.load("b", server, token="wrong")
        load.wait_for(20)
        load.drain()
        load.truth.check(server)
        server.wait_until(lambda: wrong.problems, "the other one is refused")
        assert wrong.acknowledged == 0 and wrong.problems[0].startswith("token: ")
