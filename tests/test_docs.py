"""The documentation is held to account where it can be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Written by a program that ftest runs; the page lives without it.
MADE_LATER = {"docs/screenshot.png"}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_settings_page_says_what_the_programs_say() -> None:
    result = subprocess.run([sys.executable, ROOT / "docs/make_settings.py", "--check"], timeout=60)
    assert result.returncode == 0, "stale; run: python docs/make_settings.py"


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    inside = [t for t in targets if "://" not in t]
    paths = [(page.parent / t).resolve() for t in inside]
    assert not [p for p in paths if not p.exists() and p.relative_to(ROOT).as_posix() not in MADE_LATER]
