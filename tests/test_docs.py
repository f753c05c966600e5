"""The documentation is held to account where it can be."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ftest.install.mistakes import MISTAKES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# Written by a program that ftest runs; the page lives without it.
MADE_LATER = {"docs/screenshot.png"}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def script(name: str) -> ModuleType:
    """One of the scripts in docs/, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["make_settings", "make_commands"])
def test_made_pages_say_what_the_programs_say(name: str) -> None:
    result = subprocess.run([sys.executable, DOCS / f"{name}.py", "--check"], timeout=60)
    assert result.returncode == 0, f"stale; run: python docs/{name}.py"


@pytest.mark.parametrize("name", sorted(path.stem for path in DOCS.glob("*.py")))
def test_each_script_finds_what_it_imports(name: str) -> None:
    """Also those that only people start."""
    assert script(name).__doc__


def test_a_stale_page_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = script("make_commands")
    monkeypatch.setattr(commands, "TARGET", tmp_path / "command-line.md")
    assert commands.main(["--check"]) == 1, "there is none"
    assert commands.main([]) == 0
    assert commands.main(["--check"]) == 0
    (tmp_path / "command-line.md").write_text(commands.page().replace("--last", "--first"))
    assert commands.main(["--check"]) == 1


def test_the_page_of_commands_has_them_all() -> None:
    commands = script("make_commands")
    page = commands.page()
    for program in commands.programs.tool()[1]:
        section = page.split(f"\n## {program.name}\n")[1].split("\n## ")[0]
        shown = [option for option in program.options if not commands.EVERYWHERE & set(option.flags)]
        assert all(commands.code(commands.name_of(option)) in section for option in shown), program.name
    for name, meanings in ((n, commands.programs.exit_statuses(n)) for n in ("istat", "istat-server", "istat-agent")):
        assert all(f"\n| {number} | " in page for number in meanings), name


def nav_entries() -> list[str]:
    """The pages that mkdocs.yml names, in order. Read by lines: a YAML reader is there only with the extra `docs`."""
    nav = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    return re.findall(r"^ +- (?:.*: )?(\S+\.md)$", nav, re.MULTILINE)


def test_every_page_is_once_in_the_navigation() -> None:
    entries = nav_entries()
    assert len(entries) > 20
    assert len(set(entries)) == len(entries), "a page stands twice in mkdocs.yml"
    assert set(entries) == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: p.relative_to(DOCS).as_posix())
def test_pages_of_the_site_link_to_pages_of_the_site(page: Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if "://" not in t]
    assert not [t for t in targets if not (page.parent / t).resolve().is_relative_to(DOCS)]


def test_what_a_page_fetches_from_elsewhere_is_found() -> None:
    site = script("make_site")
    assert site.fetches('<a href="https://example.org/">x</a><img src="a.png"><link rel="canonical" href="//a/">') == []
    found = site.fetches(
        '<link rel="stylesheet" href="https://fonts.example/x.css"><script src="//cdn.example/a.js"></script>'
        '<style>@import "https://a.example/b.css";</style><p style="background: url(http://c.example/d.png)">'
    )
    assert [re.findall(r"[a-z]+\.example", one) for one in found] == [
        ["fonts.example"], ["cdn.example"], ["c.example"], ["a.example"]]


def test_bars_in_code_of_tables_lose_their_backslash() -> None:
    hooks = script("site_hooks")
    assert hooks.without_escapes("<td><code>a\\|b</code> c\\|d</td><code>e\\|f</code>") == (
        "<td><code>a|b</code> c\\|d</td><code>e\\|f</code>")


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    inside = [t for t in targets if "://" not in t]
    paths = [(page.parent / t).resolve() for t in inside]
    assert not [p for p in paths if not p.exists() and p.relative_to(ROOT).as_posix() not in MADE_LATER]


def test_the_page_caches_example_in_python_runs(tmp_path: Path) -> None:
    (tmp_path / "if01.rrd").write_bytes(bytes(105_312))
    [code] = re.findall(r"^```python\n(.*?)^```", (DOCS / "page-cache.md").read_text(), re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code.replace("/srv/rrd", str(tmp_path))], cwd=ROOT, timeout=60,
                          capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert first == "26 of 26 pages: ((0, 25),)" and second == f"{tmp_path}/if01.rrd 26 ok"
    assert re.fullmatch(r"\d+ pages went, \d+ stayed: \(.*\)", third), "on tmpfs all stay"


def test_each_mistake_on_the_page_is_made_by_a_functional_test() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(MISTAKES)


def test_the_page_of_mistakes_has_the_cure_of_each_message() -> None:
    """A section is a message (indented), and words besides it."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    for section in page.split("\n## ")[1:]:
        lines = section.splitlines()
        assert [line for line in lines if line.startswith("    ")], lines[0]
        assert len(" ".join(line for line in lines[1:] if not line.startswith("    ")).split()) >= 15, lines[0]
