"""docs/security.md states each bound as the code has it: its table names where a bound stands, and is compared."""
from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from istat_agent.options import DECLARATION as OF_AGENT
from istat_server.http import limits
from istat_server.options import DECLARATION

PAGE = (Path(__file__).parents[1] / "docs" / "security.md").read_text()
#: Modules of which each number is a bound that the page states.
WHOLE = (limits,)
UNITS = {"": 1, "s": 1, "ms": 0.001, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "%": 0.01, "bytes": 1}
VALUE = re.compile(r"([\d,.]+) ?([A-Za-z%]*)")


class Row(NamedTuple):
    what: str
    value: str
    where: str


def rows() -> Iterator[Row]:
    section = PAGE.split("\n## Bounds\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        match = re.fullmatch(r"\| (.+) \| ([^|]+) \| [^|]+ \| `([^`|]+)` \|", line)
        if match:
            yield Row(*match.groups())


def number(text: str) -> float:
    """The value of a cell: "10 s", "1,000", "32 KiB"; further words are for people."""
    match = VALUE.match(text)
    assert match, text
    return float(match[1].replace(",", "")) * UNITS.get(match[2], 1)


def actual(where: str) -> float:
    """The value of `package.module.NAME` (and attributes), or the default of `setting NAME`, `agent setting NAME`."""
    if where.startswith("agent setting "):
        return float(OF_AGENT.settings[where.removeprefix("agent setting ")].default)
    if where.startswith("setting "):
        return float(DECLARATION.settings[where.removeprefix("setting ")].default)
    names = where.split(".")
    for cut in range(len(names) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(names[:cut]))
        except ModuleNotFoundError:
            continue
        for name in names[cut:]:
            found = getattr(found, name)
        return float(found)     # type: ignore[arg-type]
    raise AssertionError(f"there is no {where}")


def declared(module: ModuleType) -> Iterator[str]:
    """The names of all numbers of a module, and of its frozen values."""
    for name, value in vars(module).items():
        if not name.isupper():
            continue
        if is_dataclass(value) and not isinstance(value, type):
            yield from (f"{module.__name__}.{name}.{field.name}" for field in fields(value))
        elif isinstance(value, (int, float)):
            yield f"{module.__name__}.{name}"


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.where)
def test_each_bound_on_the_page_is_the_codes(row: Row) -> None:
    assert number(row.value) == pytest.approx(actual(row.where))


def test_no_bound_of_these_modules_is_missing() -> None:
    told = {row.where for row in rows()}
    assert [name for module in WHOLE for name in declared(module) if name not in told] == []
