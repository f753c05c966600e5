"""The import arrows: who may know whom. Walks every import statement, those under TYPE_CHECKING as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("istat", "istat_server", "istat_agent", "istat_plugins", "plugins")
STORE = "istat_server/store"
STORE_MAY_NOT = ("socket", "socketserver", "http", "gevent.pywsgi", "falcon", "requests")
# What every room of the store may know: the contract, threads, newer versions, how files are made, places in journals.
GROUND = ("istat", *(f"istat_server.store.{name}" for name in ("interface", "pool", "versions", "ondisk", "positions")))
FILES, LEVELS, NAMES, WORK = (f"istat_server.store.{room}" for room in ("files", "levels", "names", "work"))
# (a folder or module, what of ours it may import): the longest prefix decides. The store's rooms from the ground up.
ALLOWED = {
    "istat": ("istat",),
    "istat/kernels": ("istat.kernels", "istat.errors"),
    "istat/cube": ("istat.cube", "istat.kernels", "istat.errors", "istat.clock", "istat.names", "istat.wire"),
    "istat/cli/cubes": ("istat.cli", "istat.cube", "istat.clock", "istat.errors", "istat.settings",
                        "istat.subcommands"),
    "istat/cli/istatd": ("istat.cli", "istat.client", "istat.clock", "istat.errors", "istat.settings",
                         "istat.subcommands", "istat.unanswered"),
    "istat/pagecache": ("istat.pagecache", "istat.pictures", "istat.access", "istat.kernels", "istat.errors",
                        "istat.clock"),
    "istat/pagecache/layouts": ("istat.pagecache.layouts", "istat.retention", "istat.errors"),
    "istat/pagecache/model": ("istat.pagecache.model", "istat.pagecache.layouts", "istat.retention", "istat.errors",
                              "istat.clock"),
    "istat/pictures": ("istat.pictures", "istat.access", "istat.errors"),
    "istat/cli/pagecache": ("istat.cli", "istat.pagecache", "istat.pictures", "istat.clock", "istat.errors",
                            "istat.settings", "istat.subcommands"),
    "istat/exporter": ("istat.exporter", "istat.kernels", "istat.names", "istat.settings", "istat.errors"),
    # What daemons know of TLS and of users is handed in.
    "istat/declared": ("istat.declared", "istat.errors", "istat.metrics", "istat.names"),
    "istat/forwarding": ("istat.forwarding", "istat.declared", "istat.spool", "istat.wire", "istat.kernels",
                         "istat.settings", "istat.errors", "istat.clock", "istat.metrics"),
    # Files and clocks, no sockets: what is done with frames is others' business.
    "istat/spool": ("istat.spool", "istat.access", "istat.clock", "istat.errors", "istat.pagecache", "istat.wire"),
    "istat/wire": ("istat.wire", "istat.kernels", "istat.errors"),
    "istat_server": ("istat", "istat_server"),
    "istat_server/admin": ("istat", "istat_server.admin", "istat_server.mistakes", "istat_server.roster",
                           "istat_server.store.interface"),
    f"{STORE}/interface": ("istat",),
    f"{STORE}/accepting": (*GROUND, NAMES),
    f"{STORE}/answering": (*GROUND, FILES, LEVELS, NAMES),
    f"{STORE}/pool": ("istat",),
    f"{STORE}/versions": ("istat",),
    f"{STORE}/ondisk": ("istat",),
    f"{STORE}/positions": ("istat",),
    f"{STORE}/options": ("istat", FILES, NAMES),
    f"{STORE}/files": (*GROUND, FILES),
    f"{STORE}/levels": (*GROUND, FILES, LEVELS),
    f"{STORE}/names": (*GROUND, FILES, LEVELS, NAMES),
    f"{STORE}/work": (*GROUND, FILES, LEVELS, NAMES, WORK),
    f"{STORE}/opening": (*GROUND, FILES, LEVELS, NAMES),
    f"{STORE}/batching": (*GROUND, NAMES, WORK, "istat_server.store.accepting"),
    f"{STORE}/statstore": (*GROUND, FILES, LEVELS, NAMES, WORK, "istat_server.store.opening",
                            "istat_server.store.options",
                            "istat_server.store.accepting", "istat_server.store.answering",
                            "istat_server.store.batching", "istat_server.store.following"),
    f"{STORE}/following": (*GROUND, FILES, LEVELS, NAMES, WORK),
    f"{STORE}/offline": ("istat", "istat_server.store"),
    # Namespaces lie beside the store, and know of it only how files are made, and threads.
    "istat_server/keyvalue": ("istat", "istat_server.keyvalue", "istat_server.store.ondisk", "istat_server.store.pool"),
    "istat_server/query": ("istat", "istat_server.query", "istat_server.store.interface"),
    # The model of a store, and the suite for whoever brings one: no store of ours, and no server.
    "istat_server/testing": ("istat", "istat_server.testing", "istat_server.store.interface"),
    "istat_agent": ("istat", "istat_agent"),
    "plugins": ("istat", "plugins", "istat_plugins"),
}
# Of the common library: what authors of collectors and applications import knows neither the command line nor what only
# daemons need; and these two do not know each other.
ABOVE = ("istat.cli", "istat.daemon")


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
    text = path.relative_to(ROOT).with_suffix("").as_posix()
    return ALLOWED[max((p for p in ALLOWED if text == p or text.startswith(p + "/")), key=len)]


@pytest.mark.parametrize("path", product_files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_the_map_allows(path: Path) -> None:
    wrong = [n for n in imports(path) if within(n, OURS) and not within(n, rule(path))]
    assert not wrong, f"{path.relative_to(ROOT)} may import {rule(path)} of ours, not {wrong}"


@pytest.mark.parametrize("path", [p for p in product_files() if p.parts[len(ROOT.parts)] in ("istat", "plugins")],
                         ids=lambda p: p.relative_to(ROOT).as_posix())
def test_what_authors_import_knows_no_command_line_and_no_daemon(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).parts[:2])
    assert not [n for n in imports(path) if within(n, ABOVE) and not within(n, (own,))]


def test_the_model_of_a_store_knows_no_engine() -> None:
    for path in (p for p in product_files() if "testing" in p.parts):
        assert not [n for n in imports(path) if within(n, ("istat.kernels.engine", "istat.kernels.python.ingest"))]


@pytest.mark.parametrize("path", [p for p in product_files() if "store" in p.parts], ids=lambda p: p.name)
def test_the_store_knows_no_socket_and_no_http(path: Path) -> None:
    assert not [n for n in imports(path) if within(n, STORE_MAY_NOT)]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not by imports inside functions or for types only."""
    known = {module_name(path): path for path in product_files()}
    arrows = {}
    for name, path in known.items():
        wanted = set()
        for one in imports(path):
            target = next((t for t in (one, one.rpartition(".")[0]) if t in known), None)
            if target is not None and target != name:
                wanted.add(target)
        arrows[name] = wanted
    while ready := [name for name, wanted in arrows.items() if not wanted & arrows.keys()]:
        for name in ready:
            del arrows[name]
    assert not arrows, f"in circles, or above one: {sorted(arrows)}"


@pytest.mark.parametrize("folder", sorted({p.parent for p in product_files()}),
                         ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_folder_has_no_more_modules_than_one_looks_through(folder: Path) -> None:
    modules = [p for p in (*folder.glob("*.py"), *folder.glob("*.pyx")) if p.name != "__init__.py"]
    assert len(modules) <= 12


def test_the_walk_finds_relative_and_plain_imports(tmp_path: Path) -> None:
    assert "istat.errors.IstatError" in set(imports(ROOT / "istat/daemon/service.py"))
    assert len(product_files()) > 10
