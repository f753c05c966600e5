"""The kernels: the loops that a profile says must be native, each with a plain-Python twin.

`python/X.py` is the specification of `native/X.pyx`. `ISTAT_KERNELS=python|native` chooses; without it
the native build is used when it is complete, else the plain-Python one. The two are never mixed: a
native kernel works on the memory of the other native kernels. Both have the same rooms:

    columns, names, varints     what the rooms stand on: rows of buckets, names to ids, numbers as bytes
    blocks/                     rows coded, written, read and merged
    search/                     patterns and questions over a table of names
    cubes/                      cells of several dimensions, their metrics and sketches, as bytes and as JSON
    ingest/                     datagrams and lines to buckets, records to buckets: the engine of a store
    replay/                     references to pages, replayed in caches of a size and a policy
    render, rings               rows as JSON text; the slots of istatd's ring files as rows
    watchdog                    a thread that needs no interpreter, and sees that the loop stands still

    from istat.kernels import columns           # the chosen build
    twin = implementation("python").columns     # one build by name, for tests

Kernels are imported when first asked for, and of ours import nothing outside this package but errors.
"""

from __future__ import annotations

import importlib
import os
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from istat.kernels.python import blocks, columns, cubes, names, render, replay, rings, search, watchdog
    from istat.kernels.python.ingest import engine, head, lines, udp

__all__ = [
    "IMPLEMENTATION", "KERNELS", "blocks", "columns", "cubes", "engine", "head", "implementation", "lines",
    "names", "native_missing", "render", "replay", "rings", "search", "udp", "watchdog",
]  # fmt: skip

#: Where each kernel is in its build; a room that is one tells in its __init__ what is for others.
KERNELS = {
    "blocks": "blocks", "columns": "columns", "cubes": "cubes", "engine": "ingest.engine", "head": "ingest.head",
    "lines": "ingest.lines", "names": "names", "render": "render", "replay": "replay", "rings": "rings",
    "search": "search", "udp": "ingest.udp", "watchdog": "watchdog",
}  # fmt: skip
ROOMS = ("", "blocks", "cubes", "cubes/sampling", "cubes/wire", "ingest", "replay", "search")
TWINS_ONLY = {"__init__", "reading", "varints"}     # native ones have none, or stand in a .pxd alone
BUILDS = ("python", "native")
VARIABLE = "ISTAT_KERNELS"
HOW_TO_BUILD = "build them with: python setup.py build_ext --inplace (needs a C compiler and Cython)"


class Implementation:
    """One build of the kernels: `.columns`, `.blocks`, ... are its modules. `name` says which build."""

    def __init__(self, name: str) -> None:
        if name not in BUILDS:
            raise ImportError(f"no kernels are called {name!r}: {VARIABLE} is one of {', '.join(BUILDS)}")
        self.name = name

    def __getattr__(self, kernel: str) -> ModuleType:
        if kernel not in KERNELS:
            raise AttributeError(f"no kernel is called {kernel!r}")
        module = f"istat.kernels.{self.name}.{KERNELS[kernel]}"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if self.name == "native" and (error.name or "").startswith("istat.kernels.native."):
                raise ImportError(f"the native kernel {kernel!r} is not built; {HOW_TO_BUILD}") from error
            raise

    def __repr__(self) -> str:
        return f"Implementation({self.name!r})"


def native_missing() -> list[str]:
    """The kernels that were not built as native code, as `room.module`; nothing is imported to find out."""
    missing = []
    for room in ROOMS:
        built = {name for name, suffix in _files("native", room) if suffix in EXTENSION_SUFFIXES}
        twins = {name for name, suffix in _files("python", room) if suffix == ".py"}
        missing += [f"{room}.{name}".replace("/", ".").lstrip(".") for name in sorted(twins - built - TWINS_ONLY)]
    return missing


def _files(build: str, room: str) -> list[tuple[str, str]]:
    """The files of a room, each taken apart: the module's name and all that follows it."""
    parts = [name.partition(".") for name in os.listdir(os.path.join(os.path.dirname(__file__), build, room))]
    return [(name, dot + rest) for name, dot, rest in parts]


def implementation(name: str) -> Implementation:
    """The kernels of one build, "python" or "native". ImportError when it is no such build."""
    return Implementation(name)


def _choose() -> Implementation:
    """The build that the environment asks for, else the fastest that is complete."""
    wish = os.environ.get(VARIABLE, "")
    missing = native_missing() if wish in ("", "native") else []
    if wish == "native" and missing:
        raise ImportError(f"{VARIABLE}=native, but not built: {', '.join(missing)}; {HOW_TO_BUILD}")
    return Implementation(wish or ("python" if missing else "native"))


_chosen = _choose()
IMPLEMENTATION = _chosen.name


def __getattr__(name: str) -> ModuleType:
    if name not in KERNELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module: ModuleType = getattr(_chosen, name)
    globals()[name] = module
    return module
