"""The guide to cubes is a program: each of its blocks is run, and says what the page says."""
from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "cubes.md", DOCS / "cubes-exports.md"]


def blocks(text):
    """(number of the line, code, what it says) of each block of Python."""
    pattern = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
    return [(text[:found.start()].count("\n") + 2, found[1], found[2]) for found in pattern.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_the_guide_runs_and_says_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    found = blocks(page.read_text())
    assert len(found) >= 4
    for line, code, said in found:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
        assert out.getvalue() == (said or ""), f"{page.name}, line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_all_python_of_the_guide_is_in_blocks(page):
    text = page.read_text()
    assert text.count("```python") == len(blocks(text))
    assert text.count("```text") == sum(said is not None for _, _, said in blocks(text))


def test_a_block_that_says_something_else_would_be_found():
    assert blocks("a\n```python\nprint(1)\n```\n\n```text\n1\n```\n") == [(3, "print(1)\n", "1\n")]
    with pytest.raises(ZeroDivisionError):
        exec(blocks("```python\n1 / 0\n```\n")[0][1])
