"""The import arrows: who may know whom. Walks every import statement, those under TYPE_CHECKING as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("istat", "istat_server", "istat_agent", "istat_plugins", "plugins")
STORE_MAY_NOT = ("socket", "socketserver", "http", "gevent.pywsgi", "falcon", "requests")
# (a folder or module, what of ours it may import): the longest prefix decides.
ALLOWED = {
    "istat": ("istat",),
    "istat/kernels": ("istat.kernels",),
    "istat_server": ("istat", "istat_server"),
    "istat_server/store": ("istat", "istat_server.store"),
    "istat_server/query": ("istat", "istat_server.query", "istat_server.store.interface"),
    "istat_agent": ("istat", "istat_agent"),
    "plugins": ("istat", "plugins", "istat_plugins"),
}


def product_files() -> list[Path]:
    """All Python files of the product, without tests."""
    found = [p for package in OURS for p in (ROOT / package).rglob("*.py")]
    return [
        p
        for p in found
        if not p.name.startswith("test_") and p.name != "conftest.py" and "fixtures" not in p.parts
    ]


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all that a file imports; `from a import b` counts as a.b."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == a or name.startswith(a + ".") for a in allowed)


def rule(path: Path) -> tuple[str, ...]:
    text = path.relative_to(ROOT).as_posix()
    return ALLOWED[max((p for p in ALLOWED if text.startswith(p + "/")), key=len)]


@pytest.mark.parametrize("path", product_files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_the_map_allows(path: Path) -> None:
    wrong = [n for n in imports(path) if within(n, OURS) and not within(n, rule(path))]
    assert not wrong, f"{path.relative_to(ROOT)} may import {rule(path)} of ours, not {wrong}"


@pytest.mark.parametrize("path", [p for p in product_files() if "store" in p.parts], ids=lambda p: p.name)
def test_the_store_knows_no_socket_and_no_http(path: Path) -> None:
    assert not [n for n in imports(path) if within(n, STORE_MAY_NOT)]


def test_the_walk_finds_relative_and_plain_imports(tmp_path: Path) -> None:
    assert "istat.errors.IstatError" in set(imports(ROOT / "istat/daemon/service.py"))
    assert len(product_files()) > 10
