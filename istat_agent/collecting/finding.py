"""Finds collectors: the built-in ones, entry points of group `istat_agent.plugins`, and drop-in `*.py` files.

All three go through one door (`hookspecs.istat_collectors`). A plugin that cannot be loaded becomes one
message for its author and stops nothing else. It knows nothing of schedules, options' values or the wire.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from istat.access import dropin
from istat.daemon import missing
from istat.errors import PluginError
from istat.plugin import Definition
from istat_agent.collecting.loading import definitions_of, load_file

ENTRY_POINTS = "istat_agent.plugins"
# In a checkout the built-in plugins lie in plugins/ beside this package; installed they have another name.
CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT_IN = ("plugins", "istat_plugins") if os.path.exists(f"{CHECKOUT}/setup.py") else ("istat_plugins",)


@dataclass(frozen=True)
class Found:
    """A collector and the plugin that brought it."""

    # None of one that is never imported here, since it is isolated: what it declares is known by its child only.
    definition: Definition | None
    origin: str  # for messages: the path, or the entry point
    own: bool = False  # one of ours; all others are foreign
    path: str | None = None  # of a drop-in file
    entry: str | None = None  # of an entry point: what it names, MODULE or MODULE:ATTRIBUTE
    stamp: str = ""  # another one when the plugin has changed
    isolated: str = ""  # why it is to run in a child, "" for one that need not; settings may say so besides
    called: str = ""  # its name, where there is no definition

    @property
    def name(self) -> str:
        """The collector's name."""
        return self.called if self.definition is None else self.definition.name


@dataclass
class Collection:
    """What a search found: collectors by name, and a message per plugin that could not be used."""

    found: dict[str, Found] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, origin: str, load: Callable[[], object]) -> None:
        """Load one plugin and take its collectors, or the message that says why not."""
        try:
            definitions = definitions_of(origin, load())
        except PluginError as error:
            self.problems.append(f"{origin}: {error}")
            return
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
            self.problems.append(f"{origin}: {missing.told(error)}")
            return
        for definition in definitions:
            earlier = self.found.get(definition.name)
            if earlier is not None:
                self.problems.append(
                    f"{origin}: collector {definition.name!r} is already defined by {earlier.origin};"
                    " give it another name: @collector(name=...)"
                )
                continue
            self.found[definition.name] = Found(definition, origin)


def discover(plugin_dirs: Sequence[str]) -> Collection:
    """Everything that can be found: built-in, installed, then dropped into `plugin_dirs`. Never raises."""
    collection = Collection()
    for origin, load in _sources(plugin_dirs):
        collection.add(origin, load)
    return collection


def _sources(plugin_dirs: Sequence[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    package = built_in_package()
    if package is not None:
        for module in pkgutil.iter_modules(package.__path__):
            if module.ispkg:
                name = f"{package.__name__}.{module.name}.collector"
                yield f"built-in {module.name}", functools.partial(importlib.import_module, name)
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        yield f"entry point {entry.name} ({entry.value})", entry.load
    for folder in plugin_dirs:
        yield from _drop_ins(folder)


def _drop_ins(folder: str) -> Iterator[tuple[str, Callable[[], object]]]:
    try:
        paths = dropin.python_files([folder])
    except OSError as error:
        yield folder, functools.partial(_refuse, f"cannot be read: {error.strerror}")
        return
    for path in paths:
        yield path, functools.partial(load_file, path)


def _refuse(reason: str) -> object:
    raise PluginError(reason)


def built_in_package() -> ModuleType | None:
    """The package of the built-in collectors, or None where it is not installed."""
    for name in BUILT_IN:
        try:
            package = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if getattr(package, "ISTAT_BUILT_IN", False):
            return package
    return None
