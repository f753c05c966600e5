"""The page of compatibility: every row says what holds, and names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/istatd-compatibility.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| item |", "| # |"))]
NAMED = re.compile(r"`([\w./-]+\.(?:py|mjs))::([^`\[]+)(?:\[[^`]*)?`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_a_row_says_what_holds_and_names_tests_that_are_there(row: str) -> None:
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert len(cells) == 4 and cells[0]
    if not cells[0].isdigit():
        assert cells[1] in ("same", "better", "left out")
    found = NAMED.findall(cells[3])
    assert found, "no test is named"
    for path, name in found:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert all(is_in(part, text) for part in name.split("::")), f"{path} has no {name}"


def is_in(name: str, text: str) -> bool:
    """Whether a test or a class of tests is called so, not only begins so."""
    in_python = re.search(rf"^ *(def|class) {re.escape(name)}\b", text, re.MULTILINE)
    return in_python is not None or f'test("{name}"' in text
