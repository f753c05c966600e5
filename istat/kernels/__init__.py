"""The kernels: the loops that a profile says must be native, each with a plain-Python twin.

`python/X.py` is the specification of `native/X.pyx`. `ISTAT_KERNELS=python|native` chooses; without it
the native build is used when it is complete, else the plain-Python one. The two are never mixed: a
native kernel works on the memory of the other native kernels.

    from istat.kernels import columns           # the chosen build
    twin = implementation("python").columns     # one build by name, for tests

Kernels are imported when first asked for, and import nothing of ours outside this package.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from istat.kernels.python import blocks, columns, engine, head, lines, names, render, rings, search, udp

__all__ = [
    "IMPLEMENTATION", "KERNELS", "blocks", "columns", "engine", "head", "implementation", "lines",
    "names", "native_missing", "render", "rings", "search", "udp",
]  # fmt: skip

KERNELS = ("columns", "blocks", "names", "lines", "head", "engine", "render", "search", "udp", "rings")
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
        try:
            return importlib.import_module(f"istat.kernels.{self.name}.{kernel}")
        except ModuleNotFoundError as error:
            if self.name == "native" and error.name == f"istat.kernels.native.{kernel}":
                raise ImportError(f"the native kernel {kernel!r} is not built; {HOW_TO_BUILD}") from error
            raise

    def __repr__(self) -> str:
        return f"Implementation({self.name!r})"


def native_missing() -> list[str]:
    """Names of the kernels that were not built as native code; nothing is imported to find out."""
    return [k for k in KERNELS if importlib.util.find_spec(f"istat.kernels.native.{k}") is None]


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
