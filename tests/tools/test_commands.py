"""The server's sub-commands are where the package says they are."""

from __future__ import annotations

import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat.subcommands import GROUP, SubCommand
from istat_server.tools import COMMANDS

ROOT = Path(__file__).parents[2]


def test_the_package_offers_what_the_tree_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][GROUP] == COMMANDS


@pytest.mark.parametrize("place", COMMANDS.values(), ids=COMMANDS.keys())
def test_each_can_be_loaded(place: str) -> None:
    assert isinstance(resolve_name(place), SubCommand)
