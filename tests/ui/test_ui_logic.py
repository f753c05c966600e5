"""The page's files: its logic under `node --test`, its types under tsc, and its vendored library as locked.

Node is needed to build and check the page only, so that these skip without it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.skips import need

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "istat_server" / "ui"
NODE_SECONDS = 120


def test_page_logic() -> None:
    need(shutil.which("node"), "node")
    done = subprocess.run(
        ["node", "--test", "tests/ui/"], cwd=ROOT, capture_output=True, text=True, timeout=NODE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_page_types() -> None:
    compiler = ROOT / "node_modules" / "typescript" / "bin" / "tsc"
    need(shutil.which("node") and compiler.exists(), "the type checker (npm ci)")
    done = subprocess.run(
        ["node", str(compiler), "-p", "."], cwd=ROOT, capture_output=True, text=True, timeout=NODE_SECONDS
    )
    assert done.returncode == 0, done.stdout


def test_vendored_library_is_the_installed_one() -> None:
    package = ROOT / "node_modules" / "uplot"
    need((PAGE / "vendor").exists() and package.exists(), "the chart library (python setup.py build_ui)")
    for name in ("dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE"):
        assert (PAGE / "vendor" / Path(name).name).read_bytes() == (package / name).read_bytes(), name


def scripts() -> list[Path]:
    """Ours, wherever they lie."""
    return [path for path in PAGE.rglob("*.js") if "vendor" not in path.parts]


def test_no_inline_script_or_style() -> None:
    """The page is served with `default-src 'self'`: what is inline would silently not work."""
    text = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    for script in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL):
        assert not script.strip()


def test_addresses_are_relative() -> None:
    """The page works under any prefix of a reverse proxy."""
    for path in [PAGE / "index.html", *scripts(), PAGE / "style.css"]:
        found = re.findall(
            r"""(?:href|src)="(/[^"]*)"|["'`](/(?:api|ui)/[^"'`]*)|https?://(?!www\.w3\.org)\S+""", path.read_text()
        )
        assert not found, f"{path.name}: {found}"


def test_every_module_is_short() -> None:
    assert len(scripts()) > 12
    for path in scripts():
        assert len(path.read_text().splitlines()) <= 400, path.name
