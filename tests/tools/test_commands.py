"""The server's sub-commands are where the package says they are."""

from __future__ import annotations

import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat.cli.istatd.alias import Alias
from istat.subcommands import GROUP, SubCommand
from istat_server.tools import ALIASES, COMMANDS

ROOT = Path(__file__).parents[2]


def test_the_package_offers_what_the_tree_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][GROUP] == COMMANDS


def test_the_package_has_a_script_for_each_program_of_istatds() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name: place for name, place in scripts.items() if not name.startswith("istat-") and name != "istat"} == {
        name: f"{place}.main" for name, place in ALIASES.items()}


@pytest.mark.parametrize("name", ALIASES)
def test_each_of_istatds_programs_can_be_loaded_and_has_its_name(name: str) -> None:
    alias = resolve_name(ALIASES[name])
    assert isinstance(alias, Alias) and alias.name == name


@pytest.mark.parametrize("place", COMMANDS.values(), ids=COMMANDS.keys())
def test_each_can_be_loaded(place: str) -> None:
    assert isinstance(resolve_name(place), SubCommand)
