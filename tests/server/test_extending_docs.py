"""docs/extending.md tells of every door with the code of the toy plugin, which ftest/server/test_toy_plugin.py runs."""
from __future__ import annotations

import inspect
import re
from pathlib import Path

from istat_server import hookspecs
from istat_server.hookspecs import HOOKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
TOY = ROOT / "tests" / "toyplugin"
SOURCES = [path.read_text() for path in (*sorted((TOY / "istat_toy").glob("*.py")), ROOT / "tests" / "memoryplugin.py")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_each_hook_has_a_heading_with_its_arguments_and_there_is_no_other() -> None:
    declared = [f"{hook}({', '.join(inspect.signature(getattr(hookspecs, hook)).parameters)})" for hook in HOOKS]
    assert sorted(re.findall(r"^### `(istat_.*)`$", PAGE, re.MULTILINE)) == sorted(declared)


def test_all_code_on_the_page_is_the_toys() -> None:
    shown = blocks("python")
    assert len(shown) > 4
    assert [block for block in shown if not any(block in source for source in SOURCES)] == []
    assert blocks("toml") == [(TOY / "pyproject.toml").read_text()]


def test_the_page_shows_each_door_with_code_that_the_tests_run() -> None:
    shown = re.findall(r"@hookimpl\n *def (istat_\w+)", "".join(blocks("python")))
    assert sorted(shown) == sorted(HOOKS)
